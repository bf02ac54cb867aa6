"""Rows of a corpus as files: one folder form per format, equal rows to equal bytes.

Parquet is cut into files and row groups of fixed sizes, so that memory holds one row group. Text
has no columns: documents and the separator line that `corpus import` reads.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, Protocol

import pyarrow as pa
import pyarrow.parquet as pq

from warehouse.errors import ExchangeError
from warehouse.exchange_sources import SEPARATOR

Row = Mapping[str, Any]

ROWS = pa.schema(
    [
        ("story_id", pa.string()),
        ("text", pa.string()),
        ("prompt", pa.string()),
        ("words", pa.list_(pa.string())),
        ("family", pa.string()),
        ("slots", pa.string()),
        ("sentence", pa.string()),
        ("split", pa.string()),
        ("line", pa.string()),
        ("night", pa.string()),
        ("plan_index", pa.int64()),
        ("attempt", pa.int16()),
        ("reason", pa.string()),
        ("doc_id", pa.string()),
        ("num_words", pa.int32()),
        ("num_bytes", pa.int32()),
        ("vocabulary", pa.string()),
        ("teacher_digest", pa.string()),
    ]
)
_ROWS_PER_GROUP = 4_096
_GROUPS_PER_FILE = 64


class Writer(Protocol):
    """Takes the rows of one split, in order."""

    def add(self, row: Row) -> None:
        """One row more."""

    def close(self) -> None:
        """All rows are in the files."""


class _Parquet:
    """`folder/split-00000.parquet` and on; a split without rows has no file."""

    def __init__(self, folder: Path, split: str) -> None:
        self._folder, self._split = folder, split
        self._rows: list[Row] = []
        self._file: pq.ParquetWriter | None = None
        self._num_groups = 0

    def add(self, row: Row) -> None:
        self._rows.append(row)
        if len(self._rows) == _ROWS_PER_GROUP:
            self._write_group()

    def close(self) -> None:
        if self._rows:
            self._write_group()
        if self._file is not None:
            self._file.close()

    def _write_group(self) -> None:
        number, place = divmod(self._num_groups, _GROUPS_PER_FILE)
        if place == 0:
            if self._file is not None:
                self._file.close()
            self._folder.mkdir(parents=True, exist_ok=True)
            path = self._folder / f"{self._split}-{number:05d}.parquet"
            self._file = pq.ParquetWriter(path, ROWS, compression="zstd", write_page_checksum=True)
        assert self._file is not None
        self._file.write_table(pa.Table.from_pylist(self._rows, schema=ROWS))
        self._rows, self._num_groups = [], self._num_groups + 1


class _Lines:
    """One file a split, made with its first row."""

    def __init__(self, folder: Path, split: str, suffix: str, line: Callable[[Row], str]) -> None:
        self._path, self._line = folder / f"{split}.{suffix}", line
        self._file: BinaryIO | None = None

    def add(self, row: Row) -> None:
        if self._file is None:
            self._file = self._path.open("xb")
        self._file.write(self._line(row).encode())

    def close(self) -> None:
        if self._file is not None:
            self._file.close()


def _parquet(folder: Path, split: str) -> Writer:
    return _Parquet(folder, split)


def _hf(folder: Path, split: str) -> Writer:
    return _Parquet(folder / "data", split)


def _jsonl(folder: Path, split: str) -> Writer:
    return _Lines(folder, split, "jsonl", lambda row: json.dumps(row, ensure_ascii=False) + "\n")


def _txt(folder: Path, split: str) -> Writer:
    return _Lines(folder, split, "txt", _document)


def _document(row: Row) -> str:
    text = str(row["text"])
    if SEPARATOR in text.splitlines():
        raise ExchangeError(
            f"story {row['story_id']}: expected no line {SEPARATOR} in it, as that ends a document "
            "in a text file; export with --format jsonl"
        )
    return f"{text}\n{SEPARATOR}\n"


_WRITERS: dict[str, Callable[[Path, str], Writer]] = {
    "hf": _hf,
    "jsonl": _jsonl,
    "parquet": _parquet,
    "txt": _txt,
}
FORMATS = tuple(_WRITERS)


@contextmanager
def writers(form: str, folder: Path, splits: Sequence[str]) -> Iterator[dict[str, Writer]]:
    """A writer for each split; their files are whole when the block ends."""
    opened = {split: _WRITERS[form](folder, split) for split in splits}
    try:
        yield opened
    finally:
        for writer in opened.values():
            writer.close()
