"""Documents from files that stand on this machine: JSONL, Parquet, plain text.

A text file is one document, unless it has lines that are exactly `<|endoftext|>`, as TinyStories
has: these end a document. Files are read in the order of their names, a piece at a time. A file
that cannot be read as what it is said to be stops everything, with file and line.
"""

import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, Protocol

import pyarrow as pa
import pyarrow.parquet as pq

from warehouse.errors import ExchangeError
from warehouse.exchange_documents import Document, document_of, raw_of
from warehouse.identity import Json, sha256_file

SEPARATOR = "<|endoftext|>"
_MAX_LINE_BYTES = 1 << 26
_PIECE_BYTES = 1 << 20
_ROWS_PER_BATCH = 1_024


class Source(Protocol):
    """Where documents come from. `total` in `unit`; `num_done` of it are read so far."""

    origin: str
    total: int
    unit: str
    num_done: int

    def identity(self) -> Json:
        """What the documents follow from: equal for equal content, wherever it lies."""

    def documents(self, max_bytes: int) -> Iterator[Document]:
        """Every document, in one order; ExchangeError names the file and line that is bad."""

    def check_unchanged(self) -> None:
        """Pass if nothing changed since `identity`; else ExchangeError."""


@dataclass(slots=True)
class FileSource:
    """Documents of files, known by their paths below the source (POSIX, sorted)."""

    kind: str
    files: Mapping[str, Path]
    text_column: str
    origin: str
    total: int = 0
    unit: str = "bytes"
    num_done: int = 0
    _stamps: dict[str, tuple[int, int]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._stamps = stamps_of(self.files)
        self.total = sum(size for size, _ in self._stamps.values())

    def identity(self) -> Json:
        """Kind, column, and every file's name and sha256."""
        sums = [[utf8_name(name), sha256_file(path)] for name, path in self.files.items()]
        return [self.kind, None if self.kind == "txt" else self.text_column, sums]

    def documents(self, max_bytes: int) -> Iterator[Document]:
        """Every document of every file."""
        before = 0
        for name, path in self.files.items():
            size, _ = self._stamps[name]

            def is_at(num_bytes: int, before: int = before) -> None:
                self.num_done = before + num_bytes

            place = _Place(utf8_name(name), path, self.text_column, max_bytes, is_at)
            try:
                yield from _READERS[self.kind](place)
            except (OSError, pa.ArrowException) as exc:
                raise _bad(path, f"a readable {self.kind} file", str(exc)) from exc
            before += size
            self.num_done = before

    def check_unchanged(self) -> None:
        """Compare sizes and times of change with those from before the first read."""
        refuse_changed(self.files, self._stamps)


def stamps_of(files: Mapping[str, Path]) -> dict[str, tuple[int, int]]:
    """By name, each file's size in bytes and time of change in ns; ExchangeError if it has none."""
    try:
        stats = {name: path.stat() for name, path in files.items()}
    except OSError as exc:
        where = Path(os.fsdecode(exc.filename))
        raise _bad(where, "a readable file", exc.strerror or str(exc)) from exc
    return {name: (stat.st_size, stat.st_mtime_ns) for name, stat in stats.items()}


def refuse_changed(files: Mapping[str, Path], stamps: Mapping[str, tuple[int, int]]) -> None:
    """Pass if the files still have these stamps; else ExchangeError names the first one."""
    now = stamps_of(files)
    changed = sorted(name for name in files if stamps[name] != now[name])
    if changed:
        raise _bad(
            files[changed[0]],
            "a file that nobody writes to",
            "it changed while it was read",
            "import again when it is whole",
        )


def utf8_name(name: str) -> str:
    """A file's name as text that UTF-8 has: bytes that are none show as \\xff."""
    return os.fsencode(name).decode(errors="backslashreplace")


@dataclass(frozen=True, slots=True)
class _Place:
    """The file that a reader is at, and how it says how far it is."""

    name: str
    path: Path
    text_column: str
    max_bytes: int
    is_at: Callable[[int], None]

    def document(self, raw: bytes, row: int, num_bytes: int | None = None) -> Document:
        return document_of(raw, self.name, row, max_bytes=self.max_bytes, num_bytes=num_bytes)


def _jsonl(place: _Place) -> Iterator[Document]:
    with place.path.open("rb") as stream:
        for number, line in _lines(stream, place.path):
            place.is_at(stream.tell())
            if line.strip():
                yield place.document(_text_of(line, place, number), number)


def _lines(stream: BinaryIO, path: Path) -> Iterator[tuple[int, bytes]]:
    number = 0
    while line := stream.readline(_MAX_LINE_BYTES + 1):
        number += 1
        if len(line) > _MAX_LINE_BYTES:
            what = f"line {number} of at most {_MAX_LINE_BYTES} bytes"
            raise _bad(path, what, "a longer one", "is it JSONL, one object a line?")
        yield number, line


def _text_of(line: bytes, place: _Place, number: int) -> bytes:
    """The text's bytes as they stand in the line. What is not UTF-8 there survives as it is, to be
    judged with the text.
    """
    where = f"line {number}"
    try:
        row = json.loads(line.decode("utf-8-sig", "surrogateescape"))
    except (ValueError, RecursionError) as exc:
        raise _bad(place.path, f"a JSON object in {where}", str(exc)) from exc
    if not isinstance(row, dict):
        raise _bad(place.path, f"a JSON object in {where}", type(row).__name__)
    if place.text_column not in row:
        raise _no_column(place, sorted(row), where)
    text = row[place.text_column]
    if text is None:
        return b""
    if not isinstance(text, str):
        what = f"text under {place.text_column!r} in {where}"
        raise _bad(place.path, what, type(text).__name__)
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return raw_of(text)


def _parquet(place: _Place) -> Iterator[Document]:
    size = place.path.stat().st_size
    with pq.ParquetFile(place.path, page_checksum_verification=True) as file:
        schema, num_rows = file.schema_arrow, file.metadata.num_rows
        if schema.names.count(place.text_column) != 1:
            raise _no_column(place, schema.names, "the schema")
        kind = schema.field(place.text_column).type
        row = 0
        for batch in file.iter_batches(_ROWS_PER_BATCH, columns=[place.text_column]):
            for raw in _raw_texts(batch.column(0), kind, place):
                row += 1
                yield place.document(raw, row)
            place.is_at(size * row // max(num_rows, 1))


def _raw_texts(column: pa.Array, kind: pa.DataType, place: _Place) -> Sequence[bytes]:
    """The column's bytes: Arrow does not look whether what is called a string is UTF-8."""
    if pa.types.is_dictionary(kind):
        column, kind = column.dictionary_decode(), kind.value_type
    is_text = pa.types.is_string(kind) or pa.types.is_large_string(kind)
    if not is_text and not pa.types.is_string_view(kind):
        raise _bad(place.path, f"text in the column {place.text_column!r}", str(kind))
    if pa.types.is_string_view(kind):
        column = column.cast(pa.large_string())
    binary = pa.large_binary() if pa.types.is_large_string(column.type) else pa.binary()
    return [raw or b"" for raw in column.view(binary).to_pylist()]


def _text(place: _Place) -> Iterator[Document]:
    """What a document holds beyond max_bytes is counted and not kept."""
    parts: list[bytes] = []
    size, begins, number = 0, 1, 0
    is_separated, is_line_start = False, True
    with place.path.open("rb") as stream:
        while piece := stream.readline(_PIECE_BYTES):
            number += is_line_start
            if is_line_start and piece.rstrip(b"\r\n") == SEPARATOR.encode():
                yield _ended(place, parts, size, begins)
                parts, size, begins, is_separated = [], 0, number + 1, True
            else:
                if size <= place.max_bytes:
                    parts.append(piece)
                size += len(piece)
            is_line_start = piece.endswith(b"\n")
            place.is_at(stream.tell())
    if not is_separated or b"".join(parts).strip():
        yield _ended(place, parts, size, begins)


def _ended(place: _Place, parts: Sequence[bytes], size: int, begins: int) -> Document:
    raw = b"".join(parts)
    return place.document(raw, begins, size if size > len(raw) else None)


_READERS: dict[str, Callable[[_Place], Iterator[Document]]] = {
    "jsonl": _jsonl,
    "parquet": _parquet,
    "txt": _text,
}


def _no_column(place: _Place, found: Sequence[str], where: str) -> ExchangeError:
    names = ", ".join(found[:20]) or "none"
    return _bad(
        place.path,
        f"the column {place.text_column!r} in {where}",
        names,
        "name the one that holds the text with --text-column",
    )


def _bad(path: Path, expected: str, found: str, advice: str = "mend the file") -> ExchangeError:
    return ExchangeError(f"{path}: expected {expected}, found: {found}; {advice}")
