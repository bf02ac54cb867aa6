"""A run whose shards come into the lake together: all in one transaction, or none.

The files of each shard are written first, one shard in memory at a time, and no reader sees them;
then one transaction names them all. What a killed writer leaves is invisible, as any file is that
the manifest does not name, and the same run written again takes its place. One writer at a time:
it removes what it wrote if it fails, and another's equal files have the same names.
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import pyarrow as pa

from warehouse.commits import prepared, write_files
from warehouse.identity import Json
from warehouse.ledger import FileRow, Ledger, ShardRow
from warehouse.locks import hold_file
from warehouse.manifest import Manifest


def commit_run(
    root: Path,
    manifest: Manifest,
    run_id: str,
    shards: Iterable[Mapping[str, pa.Table]],
    facts: Mapping[str, Json],
) -> bool:
    """True if the run's shards, numbered in this order, are now in the lake; False, with nothing
    changed, if one of them was before.

    Raises RowsError, WarehouseError, StorageError, and what `shards` raises; then no file stays.
    """
    rows: list[ShardRow] = []
    files: list[FileRow] = []
    is_done = False
    with hold_file(root / "work" / f"run-{run_id}.lock"):
        try:
            for number, tables in enumerate(shards):
                commit = prepared(run_id, number, tables, facts)
                files += write_files(root, commit)
                rows += [part.row for part in commit.parts]
            added = manifest.append(
                lambda ledger: [] if _is_taken(ledger, rows) else [*rows, *files]
            )
            is_done = bool(added)
        finally:
            if not is_done:
                drop_files(root, manifest, files)
    return is_done


def drop_files(root: Path, manifest: Manifest, files: Sequence[FileRow]) -> None:
    """Delete those of the files that the manifest does not name: a file of equal bytes has the
    winner's name and stays.
    """
    known = manifest.ledger().files
    for file in files:
        if file.path not in known:
            (root / file.path).unlink(missing_ok=True)


def _is_taken(ledger: Ledger, rows: Sequence[ShardRow]) -> bool:
    return any((row.table_name, row.shard_key) in ledger.shards for row in rows)
