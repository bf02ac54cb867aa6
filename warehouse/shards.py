"""One immutable Parquet file: written so that it is whole or absent, read so that a flipped bit is
an error.

Write: the whole file in memory, a temporary file, fsync, rename to a name made from its own
sha256, fsync of the folder. Two writers of the same bytes write the same name, so neither can harm
the other. Read: size, magic and the footer's sha256 against the manifest, then every page against
its checksum. By default pyarrow and DuckDB check none of these and read most flipped bits as other
values.
"""

import hashlib
import json
import os
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from warehouse.errors import FileDamagedError, LakeFormatError, StorageError
from warehouse.identity import Json, canonical_json
from warehouse.schemas import Table
from warehouse.storage_forms import form_of

METADATA_KEY = b"stillhouse"
_MAGIC = b"PAR1"
_TAIL_BYTES = 8
_HASH_CHARS_IN_NAME = 12


@dataclass(frozen=True, slots=True)
class StoredFile:
    """What the manifest knows of a file: enough to refuse it when a bit of it changed."""

    path: str
    num_rows: int
    size_bytes: int
    sha256: str
    footer_sha256: str


def write_shard(
    root: Path, folder: str, name: str, rows: pa.Table, footer: Mapping[str, Json]
) -> StoredFile:
    """Write canonical rows to `root/folder/name-<hash>.parquet`; the file is durable on return.

    `footer` becomes the value of the key-value pair `stillhouse`. Raises StorageError; no
    temporary file is left.
    """
    data = _encode(rows, footer)
    sha256 = hashlib.sha256(data).hexdigest()
    path = f"{folder}/{name}-{sha256[:_HASH_CHARS_IN_NAME]}.parquet"
    try:
        _make_durable_folder(root / folder)
        write_durably(root / path, data)
    except OSError as exc:
        raise StorageError(
            f"cannot write {root / path} ({len(data)} bytes): {exc.strerror or exc}; "
            "free space or choose a writable folder with --data, then run again"
        ) from exc
    footer_sha256 = hashlib.sha256(_footer_of(data)).hexdigest()
    return StoredFile(path, rows.num_rows, len(data), sha256, footer_sha256)


def read_shard(
    root: Path, file: StoredFile, table: Table, columns: Sequence[str] | None = None
) -> pa.Table:
    """The rows of one file, with the given columns of the table in that order (all if None);
    columns that its table had not yet when it was written are null.

    Raises FileDamagedError if any byte that the read needed is not what was written.
    """
    footer = check_file(root, file)
    schema = (
        table.schema if columns is None else pa.schema([table.schema.field(c) for c in columns])
    )
    try:
        # Parsed from the checked bytes: the file may change under our hands.
        metadata = pq.read_metadata(pa.BufferReader(_MAGIC + footer))
        with pq.ParquetFile(
            root / file.path, metadata=metadata, page_checksum_verification=True
        ) as parquet:
            rows = parquet.read(columns=schema.names, use_threads=False)
        rows.validate()
        rows = _with_later_columns(rows, schema, root / file.path)
        return rows.select(schema.names).cast(schema).replace_schema_metadata(None)
    except LakeFormatError:
        raise
    except (OSError, pa.ArrowException, ValueError) as exc:
        raise FileDamagedError(damage_message(root, file.path, str(exc))) from exc


def _with_later_columns(rows: pa.Table, schema: pa.Schema, path: Path) -> pa.Table:
    """A table's new version may add nullable columns or let a column be null, nothing else."""
    for field in schema:
        if field.name not in rows.schema.names:
            if not field.nullable:
                raise LakeFormatError(
                    f"{path}: written by an older stillhouse, without the column {field.name}; "
                    "read this lake with that stillhouse, or begin another with --data"
                )
            rows = rows.append_column(field, pa.nulls(rows.num_rows, field.type))
    return rows


def check_file(root: Path, file: StoredFile) -> bytes:
    """The file's footer (with its length and magic), once size, magic and the footer's sha256 are
    as written.
    """
    path = root / file.path
    try:
        with path.open("rb") as stream:
            size = os.fstat(stream.fileno()).st_size
            head = stream.read(len(_MAGIC))
            stream.seek(max(0, size - _TAIL_BYTES))
            tail = stream.read(_TAIL_BYTES)
            stream.seek(max(0, size - _TAIL_BYTES - int.from_bytes(tail[:4], "little")))
            footer = stream.read()
    except FileNotFoundError as exc:
        raise FileDamagedError(damage_message(root, file.path, "the file is missing")) from exc
    except OSError as exc:
        raise StorageError(f"cannot read {path}: {exc.strerror or exc}") from exc
    if size != file.size_bytes:
        what = f"it has {size} bytes, {file.size_bytes} were written"
        raise FileDamagedError(damage_message(root, file.path, what))
    if head != _MAGIC or hashlib.sha256(footer).hexdigest() != file.footer_sha256:
        raise FileDamagedError(damage_message(root, file.path, "its footer changed"))
    return footer


def read_footer(path: Path) -> dict[str, Json]:
    """What write_shard was given as `footer`; raises LakeFormatError for a file without it."""
    metadata = pq.read_metadata(path).metadata or {}
    if METADATA_KEY not in metadata:
        raise LakeFormatError(f"{path} was not written by stillhouse: it has no such footer key")
    value: dict[str, Json] = json.loads(metadata[METADATA_KEY])
    return value


def damage_message(root: Path, path: str, what: str) -> str:
    """The one line that says which file is damaged and what to do."""
    return (
        f"{root / path} is damaged: {what}; restore it from a backup "
        "(`stillhouse lake verify` lists every damaged file)"
    )


def _encode(rows: pa.Table, footer: Mapping[str, Json]) -> bytes:
    forms = {_leaf(field): form_of(field, rows.column(field.name)) for field in rows.schema}
    sink = pa.BufferOutputStream()
    with pq.ParquetWriter(
        sink,
        rows.schema,
        compression={leaf: form.codec for leaf, form in forms.items()},
        compression_level={leaf: form.level for leaf, form in forms.items()},
        column_encoding={leaf: form.encoding for leaf, form in forms.items() if form.encoding},
        use_dictionary=[leaf for leaf, form in forms.items() if not form.encoding],
        # Of lists nobody asks for the least and the greatest value.
        write_statistics=[field.name for field in rows.schema if not pa.types.is_list(field.type)],
        write_page_checksum=True,
        # Readers take the types from schemas.py; Arrow's copy with every meaning is 3 KB a file.
        store_schema=False,
    ) as writer:
        writer.write_table(rows)
        writer.add_key_value_metadata({METADATA_KEY: canonical_json(footer)})
    data: bytes = sink.getvalue().to_pybytes()
    return data


def _leaf(field: pa.Field) -> str:
    """The name that Parquet gives the column's values."""
    return f"{field.name}.list.element" if pa.types.is_list(field.type) else str(field.name)


def _footer_of(data: bytes) -> bytes:
    return data[-_TAIL_BYTES - int.from_bytes(data[-_TAIL_BYTES:-4], "little") :]


def write_durably(path: Path, data: bytes) -> None:
    """Replace the file by these bytes, whole or not at all; the temporary file is gone
    whatever happens.
    """
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}.tmp")
    try:
        with temporary.open("xb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    sync_folder(path.parent)


def _make_durable_folder(folder: Path) -> None:
    """Create the folder and every missing parent, each one's name durable in its own parent."""
    missing = []
    while not folder.is_dir():
        missing.append(folder)
        folder = folder.parent
    for new in reversed(missing):
        new.mkdir(exist_ok=True)
        sync_folder(new.parent)


def sync_folder(folder: Path) -> None:
    """Make the folder's list of names durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
