"""The lake: what every other package uses to keep rows and to ask for them.

A shard is committed with all its tables in one manifest transaction, so that it is there as a
whole or not at all. Files that no transaction names (a killed writer's, a lost race's) are
invisible: readers ask the manifest and never list a folder.
"""

import json
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import pyarrow as pa

from warehouse.catalog import run_query
from warehouse.commits import is_taken, prepared, table_named, warn_of_other_rows, write_files
from warehouse.database import create_database
from warehouse.errors import RowsError, WarehouseError
from warehouse.identity import Json, digest
from warehouse.ledger import FileRow
from warehouse.manifest import Manifest
from warehouse.publishing import CATALOG_NAME, publish_catalog
from warehouse.shards import read_shard
from warehouse.verification import MANIFEST_NAME, Defect, verify_lake


class Lake:
    """An open lake; safe to share between threads, and several processes may have it open at
    once.
    """

    def __init__(self, root: Path, manifest: Manifest) -> None:
        self.root = root
        self.manifest = manifest

    @classmethod
    def open(cls, root: Path, *, create: bool = False) -> "Lake":
        """The lake in that folder; `create` makes an empty one where there is none.

        Raises LakeNotFoundError, LakeFormatError, ManifestDamagedError, StorageError.
        """
        root = root.absolute()
        path = root / MANIFEST_NAME
        if create and not path.exists():
            create_database(path)
        return cls(root, Manifest(path))

    def close(self) -> None:
        """Let go of the manifest."""
        self.manifest.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def is_committed(self, table: str, shard_key: str, *, snapshot: int | None = None) -> bool:
        """True if the shard `<run_id>/<shard:05d>` of the table is in the lake, or was at that
        snapshot.
        """
        since = self.manifest.ledger().since.get((table_named(table).name, shard_key))
        return since is not None and (snapshot is None or since <= snapshot)

    def commit_shard(
        self,
        run_id: str,
        shard: int,
        tables: Mapping[str, pa.Table],
        *,
        facts: Mapping[str, Json] | None = None,
    ) -> bool:
        """True if the rows are now in the lake; False, with nothing changed, if the shard was
        committed before.

        Raises RowsError for rows that do not fit, CommitConflictError if the shard was committed
        before with some of these tables only, StorageError.
        """
        commit = prepared(run_id, shard, tables, facts or {})
        is_new = not is_taken(self.manifest.ledger(), commit)
        if is_new:
            files = write_files(self.root, commit)
            rows = [part.row for part in commit.parts] + files
            added = self.manifest.append(lambda ledger: [] if is_taken(ledger, commit) else rows)
            is_new = bool(added)
            if not is_new:
                self._drop(files)
        if not is_new:
            warn_of_other_rows(self.manifest.ledger(), commit)
        return is_new

    def read(
        self,
        table: str,
        *,
        run_ids: Collection[str] | None = None,
        columns: Sequence[str] | None = None,
        snapshot: int | None = None,
    ) -> pa.Table:
        """The rows of a table, ordered by shard key and inside a shard by the table's key.

        `run_ids`: of these runs only. `columns`: these, in this order. `snapshot`: as the lake was
        then. Raises FileDamagedError where a byte that was needed changed.
        """
        spec = table_named(table)
        unknown = sorted(set(columns or ()) - set(spec.schema.names))
        if unknown:
            raise RowsError(
                f"{table} has no column {', '.join(unknown)}; it has {', '.join(spec.schema.names)}"
            )
        names = spec.schema.names if columns is None else list(columns)
        schema = pa.schema([spec.schema.field(name) for name in names])
        files = self.manifest.ledger().live_files(table, snapshot)
        parts = [
            read_shard(self.root, file.stored(), spec, names)
            for file in files
            if run_ids is None or _run_id_of(file) in run_ids
        ]
        return pa.concat_tables([schema.empty_table(), *parts])

    def facts(self, table: str, run_id: str) -> dict[str, Json]:
        """What commit_shard was given as `facts` for the table's shards of a run, merged; {} if
        there is no such shard.

        Raises WarehouseError if two shards say different things under one key.
        """
        merged: dict[str, Json] = {}
        for (name, _), row in self.manifest.ledger().shards.items():
            if name == table_named(table).name and row.run_id == run_id:
                for key, value in json.loads(row.facts).items():
                    if merged.setdefault(key, value) != value:
                        raise WarehouseError(
                            f"the shards of {table} of run {run_id} differ in the fact {key}: "
                            f"{merged[key]!r} and {value!r}"
                        )
        return merged

    def size_bytes(self, table: str, run_id: str) -> int:
        """Bytes on disk of the table's files of a run."""
        files = self.manifest.ledger().live_files(table_named(table).name)
        return sum(file.size_bytes for file in files if _run_id_of(file) == run_id)

    def query(
        self, sql: str, parameters: Sequence[object] = (), *, snapshot: int | None = None
    ) -> pa.Table:
        """The answer to one SELECT over the tables and named views, from checked bytes.

        Writes nothing and reads nothing but this lake. Raises QueryRefused, QueryError,
        FileDamagedError.
        """
        return run_query(self.root, self.manifest.ledger(), sql, parameters, snapshot)

    def digest(self) -> str:
        """The lake content digest: equal for equal rows, however often the work was killed or in
        what order it was done.
        """
        return digest(
            sorted(
                [row.table_name, row.shard_key, row.content_digest]
                for row in self.manifest.ledger().shards.values()
                if table_named(row.table_name).is_content
            )
        )

    def verify(self) -> list[Defect]:
        """Every file of the lake that is missing or changed; see verification.verify_lake for a
        lake that cannot be opened.
        """
        return verify_lake(self.root)

    def is_published(self) -> bool:
        """True if the catalog is not older than the manifest."""
        catalog, manifest = self.root / CATALOG_NAME, self.root / MANIFEST_NAME
        return catalog.exists() and catalog.stat().st_mtime_ns >= manifest.stat().st_mtime_ns

    def publish(self) -> Path:
        """Write catalog.duckdb for other programs and return its path; a reader of the old one is
        not disturbed.
        """
        return publish_catalog(self.root, self.manifest.ledger())

    def _drop(self, files: Sequence[FileRow]) -> None:
        """Delete what a lost race wrote; a file of equal bytes has the winner's name and stays."""
        known = self.manifest.ledger().files
        for file in files:
            if file.path not in known:
                (self.root / file.path).unlink(missing_ok=True)


def _run_id_of(file: FileRow) -> str:
    first: str = json.loads(file.shard_keys)[0]
    return first.rpartition("/")[0]
