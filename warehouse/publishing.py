"""Writes catalog.duckdb: one view per table over explicit paths, so that any DuckDB client can
read the lake.

It is a new file under a temporary name, put in place by a rename: readers of the old one go on
undisturbed and a writer holds no lock. It is in DuckDB's oldest stable storage format. Paths are
absolute: a lake that was moved is published again. Other programs check no bytes; `lake verify`
does that for them.
"""

import os
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa

from warehouse.errors import StorageError
from warehouse.ledger import FileRow, Ledger
from warehouse.schemas import TABLES, Table
from warehouse.shards import sync_folder
from warehouse.views import named_views, small_tables, sql_schema

if TYPE_CHECKING:
    import duckdb

CATALOG_NAME = "catalog.duckdb"


def publish_catalog(root: Path, ledger: Ledger) -> Path:
    """Put a catalog of the ledger's live files in place and return its path; raises
    StorageError.
    """
    import duckdb

    final = root / CATALOG_NAME
    temporary = root / f".{CATALOG_NAME}.{uuid.uuid4().hex}.tmp"
    try:
        _write(root, ledger, temporary)
        with temporary.open("rb+") as stream:
            os.fsync(stream.fileno())
        temporary.replace(final)
        sync_folder(root)
    except (OSError, duckdb.Error) as exc:
        raise StorageError(
            f"cannot write {final}: {' '.join(str(exc).split())}; "
            "`stillhouse lake verify` says whether a file is missing"
        ) from exc
    finally:
        temporary.unlink(missing_ok=True)
    return final


def _write(root: Path, ledger: Ledger, path: Path) -> None:
    import duckdb

    with duckdb.connect(":memory:", config={"temp_directory": ""}) as connection:
        connection.execute(f"ATTACH {_quoted(str(path))} AS catalog (STORAGE_VERSION 'v1.0.0')")
        connection.execute("USE catalog")
        for name, table in TABLES.items():
            body = _select(connection, root, table, list(ledger.live_files(name)))
            connection.execute(f'CREATE VIEW "{name}" AS {body}')
        for name, rows in small_tables(ledger).items():
            connection.execute(f'CREATE VIEW "{name}" AS {_inline(connection, rows)}')
        for name, body in named_views().items():
            connection.execute(f'CREATE VIEW "{name}" AS {body}')
        connection.execute("USE memory")
        connection.execute("DETACH catalog")


def _select(
    connection: "duckdb.DuckDBPyConnection", root: Path, table: Table, files: Sequence[FileRow]
) -> str:
    """A SELECT of the table's rows; columns that an older file lacks are null."""
    nothing = f"{_typed_row(connection, sql_schema(table.schema))} WHERE false"
    if not files:
        return nothing
    columns = ", ".join(f'"{column}"' for column in table.schema.names)
    listed = ", ".join(_quoted(_unglobbed(str(root / file.path))) for file in files)
    if all(file.schema_version == table.version for file in files):
        return f"SELECT {columns} FROM read_parquet([{listed}])"
    rows = f"SELECT * FROM read_parquet([{listed}], union_by_name = true)"
    return f"SELECT {columns} FROM ({rows} UNION ALL BY NAME {nothing})"


def _unglobbed(path: str) -> str:
    """The path as DuckDB must be told it, which reads every path as a pattern."""
    return "".join(f"[{sign}]" if sign in "*?[" else sign for sign in path)


def _typed_row(connection: "duckdb.DuckDBPyConnection", schema: pa.Schema) -> str:
    relation = connection.from_arrow(schema.empty_table())
    pairs = zip(relation.columns, relation.types, strict=True)
    return "SELECT " + ", ".join(f'CAST(NULL AS {kind}) AS "{name}"' for name, kind in pairs)


def _inline(connection: "duckdb.DuckDBPyConnection", rows: pa.Table) -> str:
    """A SELECT of the rows themselves; texts, integers and nulls only."""
    if rows.num_rows == 0:
        return f"{_typed_row(connection, rows.schema)} WHERE false"
    values = ", ".join(
        "(" + ", ".join(_literal(value) for value in row.values()) + ")" for row in rows.to_pylist()
    )
    names = ", ".join(f'"{name}"' for name in rows.column_names)
    return f"SELECT * FROM (VALUES {values}) AS given({names})"


def _literal(value: str | int | None) -> str:
    if value is None:
        return "CAST(NULL AS VARCHAR)"
    return _quoted(value) if isinstance(value, str) else str(value)


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
