"""What one commit adds: rows made canonical, the manifest's rows for them, and the Parquet files.

Nothing here decides that a shard is in the lake: that is the manifest's transaction.
"""

import json
import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from warehouse.canonical import canonical_rows, content_digest
from warehouse.errors import CommitConflictError, RowsError, WarehouseError
from warehouse.identity import Json, canonical_json
from warehouse.ledger import FileRow, Ledger, ShardRow
from warehouse.schemas import TABLES, Table
from warehouse.shards import write_shard

_RUN_ID = re.compile(r"[0-9A-Za-z][0-9A-Za-z_.-]*")
_MAX_SHARD = 99_999

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Part:
    """One table's share of a commit: the manifest's row and the canonical rows."""

    row: ShardRow
    rows: pa.Table


@dataclass(frozen=True, slots=True)
class Commit:
    """All tables of one shard, ordered by name; at least one."""

    shard: int
    shard_key: str
    parts: tuple[Part, ...]


def table_named(name: str) -> Table:
    """The table of that name; WarehouseError lists the tables if there is none."""
    if name not in TABLES:
        raise WarehouseError(f"no table {name!r}; the tables are: {', '.join(TABLES)}")
    return TABLES[name]


def prepared(
    run_id: str, shard: int, tables: Mapping[str, pa.Table], facts: Mapping[str, Json]
) -> Commit:
    """The commit of these rows, checked; raises RowsError or WarehouseError for what does not
    fit.
    """
    if not _RUN_ID.fullmatch(run_id):
        raise WarehouseError(
            f"run id {run_id!r}: expected letters, digits, '_', '-' and '.', as it names a folder"
        )
    if not 0 <= shard <= _MAX_SHARD:
        raise WarehouseError(f"shard {shard} of run {run_id}: expected 0 to {_MAX_SHARD}")
    shard_key = f"{run_id}/{shard:05d}"
    if not tables:
        raise WarehouseError(f"shard {shard_key}: expected rows of at least one table, found none")
    facts_text = canonical_json(facts).decode()
    now = datetime.now(UTC).isoformat(timespec="microseconds")
    parts = []
    for name in sorted(tables):
        table = table_named(name)
        rows = canonical_rows(tables[name], table, f"shard {shard_key}")
        _refuse_other_runs(rows, table, run_id, shard_key)
        digest = content_digest(rows, table)
        row = ShardRow(name, shard_key, run_id, rows.num_rows, digest, facts_text, now)
        parts.append(Part(row, rows))
    return Commit(shard, shard_key, tuple(parts))


def is_taken(ledger: Ledger, commit: Commit) -> bool:
    """True if the shard was committed before; CommitConflictError if with some of the tables
    only.
    """
    names = {part.row.table_name for part in commit.parts}
    taken = {name for name in names if (name, commit.shard_key) in ledger.shards}
    if taken and taken != names:
        raise CommitConflictError(
            f"shard {commit.shard_key} was committed with {', '.join(sorted(taken))} but without "
            f"{', '.join(sorted(names - taken))}; commit all tables of a shard at once"
        )
    return bool(taken)


def write_files(root: Path, commit: Commit) -> list[FileRow]:
    """The durable files of a commit, invisible until the manifest names them; raises
    StorageError.
    """
    return [_written(root, commit, part) for part in commit.parts]


def warn_of_other_rows(ledger: Ledger, commit: Commit) -> None:
    """Log a line for each content table whose committed rows are not the ones offered."""
    for part in commit.parts:
        kept = ledger.shards[part.row.table_name, commit.shard_key]
        is_content = TABLES[part.row.table_name].is_content
        if is_content and kept.content_digest != part.row.content_digest:
            _logger.warning(
                "shard %s of %s: other rows were committed first, and they are kept",
                commit.shard_key,
                part.row.table_name,
            )


def _refuse_other_runs(rows: pa.Table, table: Table, run_id: str, shard_key: str) -> None:
    others = set(pc.unique(rows.column("run_id")).to_pylist()) - {run_id}
    if table.is_content and others:
        raise RowsError(f"shard {shard_key}: {table.name} has rows of another run: {min(others)}")


def _written(root: Path, commit: Commit, part: Part) -> FileRow:
    table = TABLES[part.row.table_name]
    file = write_shard(
        root,
        folder=f"lake/{table.name}/{part.row.run_id}",
        name=f"{commit.shard:05d}",
        rows=part.rows,
        footer=_footer(commit, part.row),
    )
    ids = part.rows.column(table.sorted_by[0])
    return FileRow(
        table_name=table.name,
        path=file.path,
        num_rows=file.num_rows,
        size_bytes=file.size_bytes,
        sha256=file.sha256,
        footer_sha256=file.footer_sha256,
        schema_version=table.version,
        min_id=str(ids[0].as_py()) if file.num_rows else None,
        max_id=str(ids[-1].as_py()) if file.num_rows else None,
        shard_keys=json.dumps([commit.shard_key]),
    )


def _footer(commit: Commit, row: ShardRow) -> dict[str, Json]:
    """Enough to write the manifest's rows of this shard again; no clock: equal rows, equal
    bytes.
    """
    siblings: Sequence[Json] = [
        {
            "table": part.row.table_name,
            "schema_version": TABLES[part.row.table_name].version,
            "num_rows": part.row.num_rows,
            "content_digest": part.row.content_digest,
        }
        for part in commit.parts
    ]
    return {
        "table": row.table_name,
        "shard_key": row.shard_key,
        "run_id": row.run_id,
        "schema_version": TABLES[row.table_name].version,
        "facts": json.loads(row.facts),
        "tables": siblings,
    }
