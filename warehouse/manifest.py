"""The transactional list of what the lake holds: a small append-only database.

Exactly-once is a database constraint: UNIQUE(table_name, shard_key), and the first committer wins.
Writers open with BEGIN IMMEDIATE, because a deferred read-then-write fails at once under load,
whatever the timeout. All decisions are made on the checked ledger, never on single rows fetched by
SQL. Cost: 0.2 CPU-seconds to open 1,000 shards of three tables; later operations read only what
is new.
"""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import sqlalchemy as sa

from warehouse.database import (
    DATABASE_ERRORS,
    check_structure,
    damaged,
    database_sha256,
    insert_snapshot,
    last_snapshot,
    open_database,
    rows_since,
    snapshots_since,
    translated,
)
from warehouse.errors import LakeFormatError, LakeNotFoundError, ManifestDamagedError
from warehouse.ledger import Ledger, Night, Row
from warehouse.nights import ChampionChange, NightRequest, changed_champion, claimed_night
from warehouse.seal import Seal, read_seal, write_seal


class Manifest:
    """An open manifest; every answer comes from checked rows. Safe to share between threads."""

    def __init__(self, path: Path) -> None:
        """Open and check an existing manifest.

        Raises LakeNotFoundError, LakeFormatError for a lake that a newer stillhouse wrote,
        ManifestDamagedError for any changed or lost row.
        """
        if not path.is_file():
            raise LakeNotFoundError(
                f"no lake at {path.parent}: {path.name} is not there; "
                "make one with `stillhouse run quickstart`, or say where it is with --data"
            )
        self.path = path
        self._engine = open_database(path)
        self._lock = threading.Lock()
        self._ledger = Ledger()
        with self._lock, self._transaction() as connection:
            try:
                check_structure(connection)
            except ManifestDamagedError as exc:
                raise damaged(path, str(exc)) from exc
            except LakeFormatError as exc:
                raise LakeFormatError(f"lake {path.parent}: {exc}") from exc
            self._catch_up(connection)

    def close(self) -> None:
        """Let go of the database; the manifest must not be used afterwards."""
        self._engine.dispose()

    def ledger(self) -> Ledger:
        """Everything committed up to now."""
        with self._lock, self._transaction() as connection:
            self._catch_up(connection)
            return self._ledger

    def snapshot(self) -> int:
        """The number of the last committed transaction; 0 for an empty lake."""
        return self.ledger().snapshot

    def append(self, decide: Callable[[Ledger], Sequence[Row]]) -> Sequence[Row]:
        """Commit as one snapshot the rows that `decide` makes of the ledger, and return them;
        none: nothing changes.

        `decide` runs while nobody else can write.
        """
        with self._lock, self._transaction(is_writer=True) as connection:
            self._catch_up(connection)
            rows = decide(self._ledger)
            if rows:
                insert_snapshot(connection, self._ledger, rows)
            last = self._ledger.snapshot + bool(rows)
        self._keep_sealed(last)
        return rows

    def claim_night(self, request: NightRequest) -> Night:
        """The claim of (line, night): made now, or the first one ever made.

        Raises NightConflictError, which names what differs, where the first claim was for
        something else.
        """
        self.append(lambda ledger: claimed_night(ledger, request))
        return self.ledger().nights[request.line, request.night]

    def nights(self, line: str | None = None) -> list[Night]:
        """The claimed nights of one line (all lines if None), in the order of their claims."""
        nights = self.ledger().nights.values()
        return [night for night in nights if line is None or night.line == line]

    def champion(self, line: str) -> str | None:
        """The line's student in use, or None."""
        return self.ledger().champion(line)

    def swap_champion(self, line: str, *, expected: str | None, new: str, night: str) -> bool:
        """True if the night's change of champion to `new` stands: made now, or by an earlier run
        of that night.

        False, with nothing changed, if the champion is not `expected`, or that night chose another
        student.
        """
        is_standing = False
        change = ChampionChange(line, night, expected, new)

        def decide(ledger: Ledger) -> Sequence[Row]:
            nonlocal is_standing
            is_standing, rows = changed_champion(ledger, change)
            return rows

        self.append(decide)
        return is_standing

    def is_as_sealed(self) -> bool:
        """False if the file's bytes are not those that its last writer left; True while that
        cannot be said.

        Raises ManifestDamagedError if the seal itself changed.
        """
        with self._transaction() as connection:
            last = last_snapshot(connection)
            seal = read_seal(self.path)
            if seal is None or seal.snapshot != last:
                return True
            return seal.sha256 == database_sha256(connection)

    def _keep_sealed(self, last: int) -> None:
        """Seal the file as it is, unless it was sealed at snapshot `last` or later; no writer
        interferes.
        """
        try:
            seal = read_seal(self.path)
        except ManifestDamagedError:
            seal = None
        if seal is not None and seal.snapshot >= last:
            return
        with self._transaction(is_writer=True) as connection:
            write_seal(self.path, Seal(last_snapshot(connection), database_sha256(connection)))

    @contextmanager
    def _transaction(self, *, is_writer: bool = False) -> Iterator[sa.Connection]:
        try:
            with self._engine.connect() as connection:
                connection.execution_options(is_writer=is_writer)
                with connection.begin():
                    yield connection
        except DATABASE_ERRORS as exc:
            raise translated(exc, self.path) from exc

    def _catch_up(self, connection: sa.Connection) -> None:
        try:
            since = self._ledger.snapshot
            last = last_snapshot(connection)
            if last == since and since > 0:
                return
            added = rows_since(connection, since)
            ledger = self._ledger.copy()
            for snapshot in snapshots_since(connection, since):
                ledger.extend(snapshot, added.pop(snapshot.snapshot, []))
            if added:
                raise ManifestDamagedError(f"snapshot {min(added)} is missing")
            if ledger.snapshot != last:
                raise ManifestDamagedError(f"snapshot {ledger.snapshot} was there and is gone")
        except ManifestDamagedError as exc:
            raise damaged(self.path, str(exc)) from exc
        except LakeFormatError as exc:
            raise LakeFormatError(f"lake {self.path.parent}: {exc}") from exc
        self._ledger = ledger
