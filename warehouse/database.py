"""The manifest's SQL: its tables, how rows go in and come back, and what the database's own
errors mean.

SQLite with a rollback journal, not a write-ahead log: at rest the database is one file whose
bytes can be compared, and a reader leaves no file behind. No pool: each operation opens its
own connection, so threads share nothing. The statements are portable; only the lines that
name SQLite are not.
"""

import hashlib
import os
import sqlite3
import uuid
from collections.abc import Sequence
from dataclasses import asdict, fields
from pathlib import Path

import sqlalchemy as sa

from warehouse.errors import LakeFormatError, ManifestDamagedError, StorageError, WarehouseError
from warehouse.ledger import ROW_TYPES, Ledger, Row, Snapshot, chained, name_of, row_digest
from warehouse.shards import sync_folder

FORMAT = 1
_LOCK_TIMEOUT_S = 60
# Python's sqlite3 raises UnicodeDecodeError where SQLite's own complaint quotes damaged bytes.
DATABASE_ERRORS = (sa.exc.DBAPIError, sqlite3.Error, UnicodeDecodeError)
_STORAGE_ERRORS = (
    "SQLITE_FULL",
    "SQLITE_IOERR",
    "SQLITE_READONLY",
    "SQLITE_CANTOPEN",
    "SQLITE_PERM",
)

_METADATA = sa.MetaData()


def _table(name: str, *parts: sa.Column[int] | sa.Column[str] | sa.UniqueConstraint) -> sa.Table:
    return sa.Table(
        name,
        _METADATA,
        sa.Column("snapshot", sa.BigInteger, nullable=False, index=True),
        *parts,
        sa.Column("row_digest", sa.Text, nullable=False),
    )


def _text(name: str, *, nullable: bool = False) -> sa.Column[str]:
    return sa.Column(name, sa.Text, nullable=nullable)


def _integer(name: str) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger, nullable=False)


_FORMAT = sa.Table("lake_format", _METADATA, sa.Column("format", sa.BigInteger, nullable=False))
_SNAPSHOTS = sa.Table(
    "snapshots",
    _METADATA,
    sa.Column("snapshot", sa.BigInteger, primary_key=True, autoincrement=False),
    _integer("num_added"),
    _text("chain_digest"),
)
_TABLES = {
    "shards": _table(
        "shards",
        _text("table_name"),
        _text("shard_key"),
        _text("run_id"),
        _integer("num_rows"),
        _text("content_digest"),
        _text("facts"),
        _text("committed_at"),
        sa.UniqueConstraint("table_name", "shard_key"),
    ),
    "files": _table(
        "files",
        _text("table_name"),
        _text("path"),
        _integer("num_rows"),
        _integer("size_bytes"),
        _text("sha256"),
        _text("footer_sha256"),
        _integer("schema_version"),
        _text("min_id", nullable=True),
        _text("max_id", nullable=True),
        _text("shard_keys"),
        sa.UniqueConstraint("path"),
    ),
    "retirements": _table("retirements", _text("path"), sa.UniqueConstraint("path")),
    "nights": _table(
        "nights",
        _text("line"),
        _text("night"),
        _integer("ordinal"),
        _integer("first_index"),
        _integer("num_indices"),
        _integer("parent_snapshot"),
        _text("champion_id", nullable=True),
        _text("numerics"),
        _text("asked"),
        sa.UniqueConstraint("line", "night"),
        sa.UniqueConstraint("line", "ordinal"),
    ),
    "champions": _table(
        "champions",
        _text("line"),
        _integer("ordinal"),
        _text("night"),
        _text("student_id"),
        _text("previous_id", nullable=True),
        sa.UniqueConstraint("line", "night"),
        sa.UniqueConstraint("line", "ordinal"),
    ),
}


def open_database(path: Path) -> sa.Engine:
    """An engine whose transactions are BEGIN IMMEDIATE under the execution option `is_writer`,
    deferred otherwise.
    """
    engine = sa.create_engine(
        sa.URL.create("sqlite", database=str(path)),
        poolclass=sa.NullPool,
        connect_args={"timeout": _LOCK_TIMEOUT_S},
    )

    @sa.event.listens_for(engine, "connect")
    def leave_transactions_to_us(connection: sqlite3.Connection, _record: object) -> None:
        connection.isolation_level = None

    @sa.event.listens_for(engine, "begin")
    def begin(connection: sa.Connection) -> None:
        if connection.get_execution_options().get("is_writer"):
            # EXTRA: the removal of the rollback journal is durable too, or a power cut could
            # undo a commit.
            connection.exec_driver_sql("PRAGMA synchronous=EXTRA")
            connection.exec_driver_sql("BEGIN IMMEDIATE")
        else:
            connection.exec_driver_sql("BEGIN")

    return engine


def create_database(path: Path) -> None:
    """Make an empty manifest at `path`, whole or not at all; one that is there already stays as it
    is.

    Raises StorageError where the folder cannot be written.
    """
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        engine = open_database(temporary)
        with engine.begin() as connection:
            _METADATA.create_all(connection)
            connection.execute(_FORMAT.insert().values(format=FORMAT))
        engine.dispose()
        # A link, not a rename: the second of two creators must not replace what the first
        # may have filled since.
        os.link(temporary, path)
        sync_folder(path.parent)
    except FileExistsError as exc:
        if not path.is_file():
            raise StorageError(f"cannot make a lake in {path.parent}: {exc.strerror}") from exc
    except (OSError, sa.exc.DBAPIError, sqlite3.Error) as exc:
        raise StorageError(f"cannot make a lake in {path.parent}: {_one_line(exc)}") from exc
    finally:
        if path.parent.is_dir():
            temporary.unlink(missing_ok=True)


def check_structure(connection: sa.Connection) -> None:
    """Pass if the database is sound and of this program's format; else ManifestDamagedError or
    LakeFormatError.
    """
    complaints = connection.exec_driver_sql("PRAGMA integrity_check").scalars().all()
    if list(complaints) != ["ok"]:
        raise ManifestDamagedError(f"SQLite says: {_first_line(complaints)}")
    formats = connection.execute(sa.select(_FORMAT.c.format)).scalars().all()
    if len(formats) != 1 or not isinstance(formats[0], int) or formats[0] < 1:
        raise ManifestDamagedError(f"its format is {list(formats)}, not one number")
    if formats[0] > FORMAT:
        raise LakeFormatError(
            f"has format {formats[0]}, written by a newer stillhouse; this one knows formats up to "
            f"{FORMAT}; use a newer stillhouse"
        )


def _first_line(complaints: Sequence[object]) -> str:
    """A damaged page draws a complaint for each of its cells, below a line of stars."""
    lines = [line for text in complaints for line in str(text).splitlines()]
    return next((line for line in lines if not line.startswith("***")), "nothing")


def last_snapshot(connection: sa.Connection) -> int:
    """The number of the last committed transaction, 0 if there is none."""
    return connection.scalar(sa.select(sa.func.max(_SNAPSHOTS.c.snapshot))) or 0


def snapshots_since(connection: sa.Connection, since: int) -> list[Snapshot]:
    """The later snapshots in order, as stored."""
    query = sa.select(_SNAPSHOTS).where(_SNAPSHOTS.c.snapshot > since)
    return [Snapshot(*row) for row in connection.execute(query.order_by(_SNAPSHOTS.c.snapshot))]


def rows_since(connection: sa.Connection, since: int) -> dict[int, list[tuple[Row, str]]]:
    """The rows of later snapshots, each with its stored digest, by snapshot; not checked."""
    found: dict[int, list[tuple[Row, str]]] = {}
    for name, table in _TABLES.items():
        kind = ROW_TYPES[name]
        columns = [table.c[field.name] for field in fields(kind)]
        query = sa.select(table.c.snapshot, table.c.row_digest, *columns)
        for snapshot, stored, *values in connection.execute(query.where(table.c.snapshot > since)):
            found.setdefault(snapshot, []).append((kind(*values), stored))
    return found


def insert_snapshot(connection: sa.Connection, ledger: Ledger, rows: Sequence[Row]) -> None:
    """Insert the rows as the snapshot that follows the ledger's last."""
    number = ledger.snapshot + 1
    values: dict[str, list[dict[str, object]]] = {}
    digests = []
    for row in rows:
        digests.append(row_digest(row, number))
        values.setdefault(name_of(row), []).append(
            asdict(row) | {"snapshot": number, "row_digest": digests[-1]}
        )
    for name, added in values.items():
        connection.execute(_TABLES[name].insert(), added)
    snapshot = chained(ledger.chain_digest, number, digests)
    connection.execute(_SNAPSHOTS.insert(), asdict(snapshot))


def _one_line(error: Exception) -> str:
    origin = error.orig if isinstance(error, sa.exc.DBAPIError) else error
    return " ".join(str(origin).split())


def database_sha256(connection: sa.Connection) -> str:
    """The sha256 of the database file as this transaction sees it.

    SQLite hands out the bytes: if Python opened and closed the file, POSIX would drop the
    locks that other threads of this process hold on it.
    """
    plain = connection.connection.driver_connection
    assert isinstance(plain, sqlite3.Connection)
    return hashlib.sha256(plain.serialize()).hexdigest()


def translated(error: Exception, path: Path) -> WarehouseError:
    """What one of DATABASE_ERRORS means for the lake's owner."""
    origin = error.orig if isinstance(error, sa.exc.DBAPIError) else error
    name = getattr(origin, "sqlite_errorname", "")
    if name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
        return StorageError(
            f"{path} was locked by another process for {_LOCK_TIMEOUT_S} s; "
            "run again when it has finished"
        )
    if name.startswith(_STORAGE_ERRORS):
        return StorageError(
            f"cannot use {path}: {origin}; check free space and permissions, "
            "or choose another folder with --data"
        )
    return damaged(path, str(origin))


def damaged(path: Path, what: str) -> ManifestDamagedError:
    """The one line that says that the manifest is damaged and what to do."""
    return ManifestDamagedError(
        f"{path} is damaged: {what}; restore it from a backup (the Parquet files are not touched)"
    )
