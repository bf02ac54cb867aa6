"""SQL over the lake, read-only by construction and over checked bytes.

An in-memory DuckDB sees pyarrow datasets of the live files and nothing else: no temporary
directory, no external access, no extension, no Python variable, and its settings are locked.
Before a file is scanned its footer is compared with the manifest; pages are compared with their
checksums while they are scanned. Only the tables that a query names are opened.

duckdb is imported where it is used: what outlives the interpreter (Prefect keeps its flows) would
keep a module-level one alive, and duckdb then reports leaks on the terminal at exit.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.dataset as pads
import pyarrow.fs as pafs

from warehouse.errors import FileDamagedError, QueryError
from warehouse.guard import check_query
from warehouse.ledger import FileRow, Ledger
from warehouse.schemas import TABLES
from warehouse.shards import check_file, damage_message
from warehouse.verification import damage_of
from warehouse.views import named_views, small_tables, sql_schema

if TYPE_CHECKING:
    import duckdb

_AT_START: dict[str, str | bool | int | float | list[str]] = {
    "temp_directory": "",
    "autoload_known_extensions": "false",
    "autoinstall_known_extensions": "false",
    "allow_community_extensions": "false",
    "allow_persistent_secrets": "false",
    "python_enable_replacements": "false",
}
_AT_END = (
    "SET TimeZone = 'UTC'",
    "SET enable_external_access = false",
    "SET lock_configuration = true",
)


def run_query(
    root: Path, ledger: Ledger, sql: str, parameters: Sequence[object], snapshot: int | None
) -> pa.Table:
    """The answer to one SELECT over the lake's tables and views, as they were at the snapshot
    (None: now).

    Raises QueryRefused, QueryError, FileDamagedError.
    """
    import duckdb

    small = small_tables(ledger, snapshot)
    views = named_views()
    known = {*TABLES, *views, *small}
    with _connection() as connection:
        query = check_query(connection, sql, known)
        needed = _tables_behind(connection, query.names, known)
        live = {
            name: list(ledger.live_files(name, snapshot)) if name in needed else []
            for name in TABLES
        }
        for name, files in live.items():
            connection.register(name, _dataset(root, name, files))
        for name, rows in small.items():
            connection.register(name, rows)
        for name, view in views.items():
            connection.execute(f'CREATE VIEW "{name}" AS {view}')
        _lock(connection)
        try:
            return connection.sql(query.sql, params=list(parameters) or None).to_arrow_table()
        except (duckdb.Error, pa.ArrowException, OSError) as exc:
            for file in (file for files in live.values() for file in files):
                if what := damage_of(root, file):
                    raise FileDamagedError(damage_message(root, file.path, what)) from exc
            raise QueryError(f"DuckDB cannot answer: {' '.join(str(exc).split())}") from exc


def locked_connection() -> "duckdb.DuckDBPyConnection":
    """An empty in-memory DuckDB that can reach no file, extension, variable or setting."""
    connection = _connection()
    _lock(connection)
    return connection


def _connection() -> "duckdb.DuckDBPyConnection":
    import duckdb

    return duckdb.connect(":memory:", config=_AT_START)


def _lock(connection: "duckdb.DuckDBPyConnection") -> None:
    for setting in _AT_END:
        connection.execute(setting)


def _tables_behind(
    connection: "duckdb.DuckDBPyConnection", names: frozenset[str], known: set[str]
) -> set[str]:
    """The tables that these names stand for, views resolved."""
    views = named_views()
    found: set[str] = set()
    waiting = list(names)
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            if name in views:
                waiting.extend(check_query(connection, views[name], known).names)
    return found & set(TABLES)


def _dataset(root: Path, name: str, files: Sequence[FileRow]) -> pads.Dataset | pa.Table:
    schema = sql_schema(TABLES[name].schema)
    if not files:
        return schema.empty_table()
    for file in files:
        check_file(root, file.stored())
    checked = pads.ParquetFragmentScanOptions(page_checksum_verification=True)
    form = pads.ParquetFileFormat(default_fragment_scan_options=checked)
    local = pafs.LocalFileSystem()
    fragments = [form.make_fragment(str(root / file.path), filesystem=local) for file in files]
    return pads.FileSystemDataset(fragments, schema, form, local)
