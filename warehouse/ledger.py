"""What the manifest says, as plain values that a program can trust.

Every row of the manifest carries a digest of itself, and every snapshot a digest of the one before
it and of the rows that it added. So a changed, lost, doubled or invented row breaks the chain:
SQLite's own integrity_check sees none of these. A ledger is only ever extended by whole, checked
snapshots.
"""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from typing import TypeAlias

from warehouse.errors import LakeFormatError, ManifestDamagedError
from warehouse.identity import digest
from warehouse.schemas import TABLES
from warehouse.shards import StoredFile


@dataclass(frozen=True, slots=True)
class ShardRow:
    """One committed shard of one table; never deleted, so its key stays taken."""

    table_name: str
    shard_key: str
    run_id: str
    num_rows: int
    content_digest: str
    facts: str
    committed_at: str


@dataclass(frozen=True, slots=True)
class FileRow:
    """One Parquet file and the shards whose rows it holds (a JSON list of shard keys)."""

    table_name: str
    path: str
    num_rows: int
    size_bytes: int
    sha256: str
    footer_sha256: str
    schema_version: int
    min_id: str | None
    max_id: str | None
    shard_keys: str

    def check_version(self) -> None:
        """Pass if this program knows the file's rows: its table's version, or an earlier one, which
        lacks columns at most. Raises LakeFormatError.
        """
        table = TABLES.get(self.table_name)
        if table is None or self.schema_version > table.version:
            known = "no such table" if table is None else f"version {table.version}"
            raise LakeFormatError(
                f"{self.path} holds {self.table_name} version {self.schema_version}, written by a "
                f"newer stillhouse; this one knows {known}; use a newer stillhouse"
            )

    def stored(self) -> StoredFile:
        """What a reader checks the file against."""
        return StoredFile(
            self.path, self.num_rows, self.size_bytes, self.sha256, self.footer_sha256
        )


@dataclass(frozen=True, slots=True)
class RetirementRow:
    """A file that is no longer read since this snapshot."""

    path: str


@dataclass(frozen=True, slots=True)
class Night:
    """What one night of a line claimed at its start, once and for all its reruns.

    `ordinal` counts the line's nights from 1; `first_index` follows the line's last claim, less
    what a budget left unwritten of it; `parent_snapshot` is the lake that the night may read;
    `champion_id` is the student that its challenger meets.
    """

    line: str
    night: str
    ordinal: int
    first_index: int
    num_indices: int
    parent_snapshot: int
    champion_id: str | None
    numerics: str
    asked: str


@dataclass(frozen=True, slots=True)
class ChampionRow:
    """One change of a line's champion, counted from 1."""

    line: str
    ordinal: int
    night: str
    student_id: str
    previous_id: str | None


Row: TypeAlias = ShardRow | FileRow | RetirementRow | Night | ChampionRow

ROW_TYPES: dict[str, type[Row]] = {
    "shards": ShardRow,
    "files": FileRow,
    "retirements": RetirementRow,
    "nights": Night,
    "champions": ChampionRow,
}
_NAMES: dict[type[Row], str] = {kind: name for name, kind in ROW_TYPES.items()}


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One transaction of the manifest: its number, what it added, and the digest that chains it to
    the one before.
    """

    snapshot: int
    num_added: int
    chain_digest: str


def name_of(row: Row) -> str:
    """The manifest's table that a row belongs to."""
    return _NAMES[type(row)]


def row_digest(row: Row, snapshot: int) -> str:
    """What the manifest stores beside the row."""
    return digest(name_of(row), snapshot, asdict(row))


def is_unchanged(row: Row, snapshot: int, stored: str) -> bool:
    """True if a row read back from the manifest is the one that was written."""
    try:
        return row_digest(row, snapshot) == stored
    except (TypeError, ValueError):
        return False


def chained(before: str, snapshot: int, row_digests: Sequence[str]) -> Snapshot:
    """The snapshot that adds rows with these digests to a manifest whose last chain digest is
    `before`.
    """
    return Snapshot(
        snapshot, len(row_digests), digest("snapshot", before, snapshot, sorted(row_digests))
    )


@dataclass(slots=True)
class Ledger:
    """All rows of the manifest up to `snapshot`, checked. Once handed out it is not changed any
    more.
    """

    snapshot: int = 0
    chain_digest: str = ""
    shards: dict[tuple[str, str], ShardRow] = field(default_factory=dict)
    since: dict[tuple[str, str], int] = field(default_factory=dict)
    files: dict[str, tuple[int, FileRow]] = field(default_factory=dict)
    retired: dict[str, int] = field(default_factory=dict)
    nights: dict[tuple[str, str], Night] = field(default_factory=dict)
    champions: dict[str, tuple[ChampionRow, ...]] = field(default_factory=dict)

    def copy(self) -> "Ledger":
        """The same rows, to extend without touching this one."""
        return Ledger(
            self.snapshot,
            self.chain_digest,
            dict(self.shards),
            dict(self.since),
            dict(self.files),
            dict(self.retired),
            dict(self.nights),
            dict(self.champions),
        )

    def extend(self, snapshot: Snapshot, rows: Sequence[tuple[Row, str]]) -> None:
        """Add one snapshot's rows with their stored digests; raises ManifestDamagedError, or
        LakeFormatError for rows of a newer program, before anything changes.
        """
        if snapshot.snapshot != self.snapshot + 1:
            raise ManifestDamagedError(f"snapshot {self.snapshot + 1} is missing")
        for row, stored in rows:
            if not is_unchanged(row, snapshot.snapshot, stored):
                raise ManifestDamagedError(
                    f"a row of {name_of(row)} in snapshot {snapshot.snapshot} changed"
                )
        if snapshot != chained(
            self.chain_digest, snapshot.snapshot, [stored for _, stored in rows]
        ):
            raise ManifestDamagedError(
                f"snapshot {snapshot.snapshot} has lost rows or does not follow the one before it"
            )
        for row, _ in rows:
            if isinstance(row, FileRow):
                row.check_version()
        for row, _ in rows:
            self._add(row, snapshot.snapshot)
        self.snapshot, self.chain_digest = snapshot.snapshot, snapshot.chain_digest

    def live_files(self, table_name: str, snapshot: int | None = None) -> Iterator[FileRow]:
        """The table's files that a reader of that snapshot (None: the last) sees, ordered by shard
        key.
        """
        last = self.snapshot if snapshot is None else snapshot
        live = (
            file
            for since, file in self.files.values()
            if file.table_name == table_name
            and since <= last
            and self.retired.get(file.path, last + 1) > last
        )
        yield from sorted(live, key=lambda file: (file.shard_keys, file.path))

    def champion(self, line: str) -> str | None:
        """The line's student in use, or None."""
        changes = self.champions.get(line)
        return changes[-1].student_id if changes else None

    def _add(self, row: Row, snapshot: int) -> None:
        match row:
            case ShardRow():
                self.shards[row.table_name, row.shard_key] = row
                self.since[row.table_name, row.shard_key] = snapshot
            case FileRow():
                self.files[row.path] = (snapshot, row)
            case RetirementRow():
                self.retired[row.path] = snapshot
            case Night():
                self.nights[row.line, row.night] = row
            case ChampionRow():
                self.champions[row.line] = (*self.champions.get(row.line, ()), row)
