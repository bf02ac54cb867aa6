"""Counts the words of a corpus: a text, .jsonl, Parquet or CSV file, or the stories of a lake.

Files are read in pieces: memory grows with the number of distinct words alone.
"""

import csv
import json
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from io import TextIOWrapper
from pathlib import Path
from typing import BinaryIO

from datagen.measures import words_of
from flows.errors import FlowsError
from flows.progress import track

TEXT = "text"
ENTRY_COLUMNS = ("word_clean", "definition", "word", "lemma")
_PIECE_CHARS = 1 << 20
_BATCH_ROWS = 1024
Texts = Iterator[tuple[str, int]]


@dataclass(frozen=True, slots=True)
class CorpusWords:
    """How often each word stands in a corpus; in a word list each row counts as one, its words
    joined by spaces.
    """

    counts: Counter[str]
    is_word_list: bool


def words_of_lake(data: Path) -> CorpusWords:
    """The words of all stories that passed their own verdict, from the table `words`."""
    from warehouse.lake import Lake

    counts: Counter[str] = Counter()
    with Lake.open(data) as lake:
        for shard in lake.shards("words", columns=["word", "num_occurrences"]):
            columns = (shard.column(name).to_pylist() for name in shard.column_names)
            for word, times in zip(*columns, strict=True):
                counts[word] += times
    return _some(f"{data}: accepted stories", CorpusWords(counts, False))


def words_of_file(path: Path) -> CorpusWords:
    """The words of a file; how its name ends says how it is read. FlowsError if it cannot be."""
    if not path.is_file():
        raise FlowsError(
            f"{path}: expected a file (text, .jsonl, .parquet or .csv), found none; "
            "leave --against out to count the stories of the lake"
        )
    suffix = path.suffix.lower()
    column = _entry_column(path) if suffix == ".csv" else None
    readers: dict[str, Callable[[Path], Texts]] = {
        ".jsonl": _jsonl_texts,
        ".parquet": _parquet_texts,
        ".csv": lambda csv_path: _csv_texts(csv_path, column or TEXT),
    }
    counts: Counter[str] = Counter()
    with track("counting words", path.stat().st_size, "bytes") as bar:
        done = 0
        for text, position in readers.get(suffix, _plain_texts)(path):
            words = words_of(text)
            counts.update(words if column is None else [" ".join(words)] if words else [])
            bar.advance(position - done)
            done = position
    return _some(str(path), CorpusWords(counts, column is not None))


def _some(where: str, words: CorpusWords) -> CorpusWords:
    if not words.counts:
        raise FlowsError(f"{where}: expected a corpus with words in it, found none")
    return words


def _plain_texts(path: Path) -> Texts:
    """Pieces that end at white space, so that no word is cut but one longer than a piece."""
    rest = ""
    with path.open("rb") as binary, TextIOWrapper(binary, encoding="utf-8-sig") as file:
        try:
            while piece := file.read(_PIECE_CHARS):
                text = rest + piece
                end = max(text.rfind(" "), text.rfind("\n"))
                end = len(text) if end < 0 and len(text) > _PIECE_CHARS else max(end, 0)
                rest = text[end:]
                yield text[:end], binary.tell()
        except UnicodeDecodeError as exc:
            raise _not_utf8(path, exc) from exc
    yield rest, path.stat().st_size


def _jsonl_texts(path: Path) -> Texts:
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            if line.strip():
                yield _json_text(f"{path}, line {number}", line), file.tell()


def _json_text(place: str, line: bytes) -> str:
    try:
        row = json.loads(line.decode("utf-8-sig"))
    except ValueError as exc:  # UnicodeDecodeError and JSONDecodeError are ValueErrors
        raise FlowsError(f"{place}: expected a JSON object in UTF-8, found none ({exc})") from exc
    text = row.get(TEXT) if isinstance(row, dict) else None
    if not isinstance(text, str):
        raise FlowsError(f'{place}: expected a JSON object with a text under "{TEXT}", found none')
    return text


def _parquet_texts(path: Path) -> Texts:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            kind = file.schema_arrow.field(TEXT).type if TEXT in file.schema_arrow.names else None
            if kind not in (pa.string(), pa.large_string()):
                raise FlowsError(
                    f"{path}: expected a column {TEXT} of strings, found the columns "
                    f"{', '.join(file.schema_arrow.names)}"
                )
            size, rows, done = path.stat().st_size, max(file.metadata.num_rows, 1), 0
            for batch in file.iter_batches(_BATCH_ROWS, columns=[TEXT]):
                for text in batch.column(0).to_pylist():
                    done += 1
                    yield text or "", size * done // rows
    except pa.ArrowException as exc:
        raise FlowsError(f"{path}: expected a whole Parquet file, found: {exc}") from exc


def _entry_column(path: Path) -> str | None:
    """The column of a word list, or None where the file has texts."""
    with path.open("rb") as file:
        columns = next(_csv_rows(path, file), ([], 0))[0]
    if TEXT in columns:
        return None
    column = next((name for name in ENTRY_COLUMNS if name in columns), None)
    if column is None:
        raise FlowsError(
            f"{path}: expected a header with a column {', '.join(ENTRY_COLUMNS)} (a word list) or "
            f"{TEXT} (texts), found {', '.join(columns)[:200]!r}"
        )
    return column


def _csv_texts(path: Path, column: str) -> Texts:
    with path.open("rb") as file:
        rows = _csv_rows(path, file)
        place = next(rows)[0].index(column)
        for cells, position in rows:
            yield cells[place] if len(cells) > place else "", position


def _csv_rows(path: Path, file: BinaryIO) -> Iterator[tuple[list[str], int]]:
    lines = (line.decode("utf-8-sig" if not start else "utf-8") for start, line in enumerate(file))
    reader = csv.reader(lines)
    try:
        for cells in reader:
            yield cells, file.tell()
    except UnicodeDecodeError as exc:
        raise _not_utf8(path, exc) from exc
    except csv.Error as exc:
        raise FlowsError(
            f"{path}, line {reader.line_num}: expected comma-separated cells, found: {exc}"
        ) from exc


def _not_utf8(path: Path, exc: UnicodeDecodeError) -> FlowsError:
    return FlowsError(
        f"{path}: expected UTF-8, found byte 0x{exc.object[exc.start]:02x}; save it as UTF-8"
    )
