"""The lake: what every other package uses to keep rows and to ask for them.

A shard is committed with all its tables in one manifest transaction, so that it is there as a
whole or not at all. Files that no transaction names (a killed writer's, a lost race's) are
invisible: readers ask the manifest and never list a folder.
"""

import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import pyarrow as pa

from warehouse.catalog import run_query
from warehouse.commits import is_taken, prepared, table_named, warn_of_other_rows, write_files
from warehouse.database import create_database
from warehouse.errors import ChampionChangedError, RowsError, WarehouseError
from warehouse.identity import Json, digest
from warehouse.ledger import FileRow, Ledger, Row
from warehouse.manifest import Manifest
from warehouse.nights import ChampionChange, champion_rows
from warehouse.publishing import CATALOG_NAME, publish_catalog
from warehouse.runs import commit_run, drop_files
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
        champion: ChampionChange | None = None,
    ) -> bool:
        """True if the rows are now in the lake; False, with nothing changed, if the shard was
        committed before.

        `champion` changes with the rows, in one transaction. Raises RowsError for rows that do not
        fit, CommitConflictError if the shard was committed before with some of these tables only,
        StorageError, ChampionChangedError, with nothing changed, if it is another one by now.
        """
        commit = prepared(run_id, shard, tables, facts or {})
        is_new = not is_taken(self.manifest.ledger(), commit)
        if is_new:
            files = write_files(self.root, commit)

            def rows(ledger: Ledger) -> Sequence[Row]:
                if is_taken(ledger, commit):
                    return []
                changed = [] if champion is None else champion_rows(ledger, champion)
                return [*(part.row for part in commit.parts), *files, *changed]

            try:
                is_new = bool(self.manifest.append(rows))
            except ChampionChangedError:
                drop_files(self.root, self.manifest, files)
                raise
            if not is_new:
                drop_files(self.root, self.manifest, files)
        if not is_new:
            warn_of_other_rows(self.manifest.ledger(), commit)
        return is_new

    def commit_run(
        self,
        run_id: str,
        shards: Iterable[Mapping[str, pa.Table]],
        *,
        facts: Mapping[str, Json] | None = None,
    ) -> bool:
        """True if all shards of the run are now in the lake, in one transaction: no reader ever
        sees some of them. False, with nothing changed, if the run was committed before.

        Memory holds one shard at a time. Raises as commit_shard does.
        """
        return commit_run(self.root, self.manifest, run_id, shards, facts or {})

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
        parts = self.shards(table, run_ids=run_ids, columns=columns, snapshot=snapshot)
        return pa.concat_tables([_asked_schema(table, columns).empty_table(), *parts])

    def shards(
        self,
        table: str,
        *,
        run_ids: Collection[str] | None = None,
        columns: Sequence[str] | None = None,
        snapshot: int | None = None,
    ) -> Iterator[pa.Table]:
        """The same rows as `read`, one file of the table after the other, so that memory holds one
        shard however large the lake is.
        """
        names = _asked_schema(table, columns).names
        for file in list(self.manifest.ledger().live_files(table, snapshot)):
            if run_ids is None or _run_id_of(file) in run_ids:
                yield read_shard(self.root, file.stored(), table_named(table), names)

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

    def digest(self, *, snapshot: int | None = None) -> str:
        """The lake content digest, now or as it was at that snapshot: equal for equal rows, however
        often the work was killed or in what order it was done.
        """
        ledger = self.manifest.ledger()
        last = ledger.snapshot if snapshot is None else snapshot
        return digest(
            sorted(
                [row.table_name, row.shard_key, row.content_digest]
                for key, row in ledger.shards.items()
                if table_named(row.table_name).is_content and ledger.since[key] <= last
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


def _asked_schema(table: str, columns: Sequence[str] | None) -> pa.Schema:
    """The table's columns that are asked for, in that order; RowsError for one it has not."""
    schema = table_named(table).schema
    unknown = sorted(set(columns or ()) - set(schema.names))
    if unknown:
        raise RowsError(
            f"{table} has no column {', '.join(unknown)}; it has {', '.join(schema.names)}"
        )
    return schema if columns is None else pa.schema([schema.field(name) for name in columns])


def _run_id_of(file: FileRow) -> str:
    first: str = json.loads(file.shard_keys)[0]
    return first.rpartition("/")[0]
