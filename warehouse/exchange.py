"""Corpora in: documents from outside become rows of `imports`, with their origin and licence.

An import is one run, and its id follows from the documents' bytes, its name and its options: the
same import again adds nothing, another one under a taken name is refused. It comes into the lake
in one transaction, so nobody ever reads a part of one. Imports are not compared with each other:
one with a wrong option is made again under another name. Memory: one shard, and some 80 bytes for
each different document of the import and accepted story of the lake (that is how a repeated one is
found).
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa

from warehouse.errors import ExchangeError
from warehouse.exchange_documents import DUPLICATE, IN_LAKE, Document
from warehouse.exchange_hub import open_dataset
from warehouse.exchange_sources import FileSource, Source, utf8_name
from warehouse.identity import digest, digest_bytes
from warehouse.lake import Lake
from warehouse.locks import hold_file
from warehouse.provenance import check_licence, check_name, check_origin
from warehouse.schemas import IMPORTS, STORIES
from warehouse.split import text_split_digest

# Raise when the rows that the same source gives change.
IMPORT_VERSION = 1
FORMATS = ("auto", "hf", "jsonl", "parquet", "txt")
MAX_DOCUMENT_BYTES = 1 << 24
_KIND_OF_SUFFIX = {
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".parquet": "parquet",
    ".txt": "txt",
    ".arrow": "hf",
}
_ROWS_PER_SHARD = 10_000
_BYTES_PER_SHARD = 1 << 25


@dataclass(frozen=True, slots=True)
class ImportRequest:
    """What an import is called, what its rows say of themselves, and how long (in UTF-8 bytes) a
    document may be. `count_words` gives the words of a text.
    """

    name: str
    origin: str
    licence: str
    max_bytes: int
    count_words: Callable[[str], int]

    def __post_init__(self) -> None:
        check_name("--name", self.name, "customer-mails")
        check_origin(self.origin)
        check_licence(self.licence)
        if not 1 <= self.max_bytes <= MAX_DOCUMENT_BYTES:
            raise ExchangeError(f"--max-bytes {self.max_bytes}: expected 1 to {MAX_DOCUMENT_BYTES}")


@dataclass(frozen=True, slots=True)
class Imported:
    """A corpus in the lake: how many documents, and how many of them for which reason are not
    accepted. `is_new`: it was not there before.
    """

    run_id: str
    is_new: bool
    num_documents: int
    num_accepted: int
    reasons: Mapping[str, int]


def open_source(source: str, form: str, text_column: str) -> Source:
    """What that path or hub id names; `form` is one of FORMATS. Raises ExchangeError."""
    if form not in FORMATS:
        raise ExchangeError(f"--format {form}: expected one of {', '.join(FORMATS)}")
    path = Path(source).expanduser()
    origin = utf8_name(path.resolve().name)
    is_like_id = source.count("/") == 1 and path.suffix not in _KIND_OF_SUFFIX
    if not path.exists() and (form == "hf" or (form == "auto" and is_like_id)):
        return open_dataset(source, text_column, source)
    files = _files_of(path)
    kind = _kind_of(path, files) if form == "auto" else form
    if kind == "hf":
        return open_dataset(str(path), text_column, origin, files)
    if path.is_dir():
        files = {n: file for n, file in files.items() if _KIND_OF_SUFFIX.get(file.suffix) == kind}
    if not files:
        raise ExchangeError(f"{path}: expected {kind} files in that folder, found none")
    return FileSource(kind, files, text_column, origin)


def import_corpus(
    lake: Lake, source: Source, request: ImportRequest, on_progress: Callable[[int], None]
) -> Imported:
    """The corpus, now in the lake as a whole. `on_progress` is told how much more of source.total
    is done.

    Raises ExchangeError for a bad source or a taken name, StorageError; then nothing was added.
    """
    run_id = _run_id(source, request)
    work = _Import(lake, source, request, run_id, on_progress)
    is_new = commit_import(lake, request.name, run_id, work.shards())
    return _counted(lake, run_id, is_new=is_new)


def commit_import(
    lake: Lake, name: str, run_id: str, shards: Iterator[Mapping[str, pa.Table]]
) -> bool:
    """True if the import of that name is now in the lake, all its shards at once; False if it was.

    Raises ExchangeError if another run has the name.
    """
    with hold_file(lake.root / "work" / f"import-{name}.lock"):
        _refuse_taken_name(lake, name, run_id)
        is_there = lake.is_committed(IMPORTS.name, f"{run_id}/00000")
        return not is_there and lake.commit_run(run_id, shards)


def import_run(lake: Lake, name: str) -> str:
    """The run of the import of that name; ExchangeError lists the names if there is none."""
    names = _names(lake)
    if name not in names:
        raise ExchangeError(
            f"import {name!r}: expected one of {', '.join(sorted(names)) or 'none yet'}; bring it "
            "in with `stillhouse corpus import`"
        )
    return names[name]


@dataclass(slots=True)
class _Import:
    """The shards of one import, made one after the other."""

    lake: Lake
    source: Source
    request: ImportRequest
    run_id: str
    on_progress: Callable[[int], None]
    _seen: set[bytes] = field(default_factory=set)
    _in_lake: set[bytes] = field(default_factory=set)

    def shards(self) -> Iterator[Mapping[str, pa.Table]]:
        """Tables of `imports` of bounded size, cut by the documents alone."""
        self._in_lake = _known_texts(self.lake)
        rows: list[dict[str, Any]] = []
        size = done = num_shards = 0
        for document in self.source.documents(self.request.max_bytes):
            rows.append(self._row(document))
            size += len(document.text)
            if len(rows) == _ROWS_PER_SHARD or size >= _BYTES_PER_SHARD:
                yield {IMPORTS.name: pa.Table.from_pylist(rows, schema=IMPORTS.schema)}
                rows, size, num_shards = [], 0, num_shards + 1
            if self.source.num_done > done:
                self.on_progress(self.source.num_done - done)
                done = self.source.num_done
        if rows:
            yield {IMPORTS.name: pa.Table.from_pylist(rows, schema=IMPORTS.schema)}
        elif not num_shards:
            raise ExchangeError(
                f"{self.source.origin}: expected at least one document, found none; is it the "
                "right file, folder or format?"
            )
        self.source.check_unchanged()

    def _row(self, document: Document) -> dict[str, Any]:
        key = digest_bytes(document.text.encode())
        reason = document.reason or self._repeats(bytes.fromhex(key))
        return {
            "doc_id": key,
            "run_id": self.run_id,
            "name": self.request.name,
            "origin": self.request.origin,
            "licence": self.request.licence,
            "source_file": document.source_file,
            "source_row": document.source_row,
            "text": document.text,
            "num_words": self.request.count_words(document.text),
            "num_bytes": document.num_bytes,
            "split_digest": text_split_digest(document.text),
            "accepted": reason is None,
            "reason": reason,
        }

    def _repeats(self, key: bytes) -> str | None:
        if key in self._seen:
            return DUPLICATE
        self._seen.add(key)
        return IN_LAKE if key in self._in_lake else None


def _run_id(source: Source, request: ImportRequest) -> str:
    return digest(
        "import",
        IMPORT_VERSION,
        source.identity(),
        [request.name, request.origin, request.licence, request.max_bytes],
    )


def _files_of(path: Path) -> dict[str, Path]:
    """Every file by its path below a folder, or the one file by its name."""
    if path.is_file():
        return {path.name: path}
    if not path.is_dir():
        raise ExchangeError(
            f"{path}: expected a file, a folder, or a hub id (owner/name); found none of these"
        )
    found = sorted(file for file in path.rglob("*") if file.is_file())
    return {file.relative_to(path).as_posix(): file for file in found}


def _kind_of(path: Path, files: Mapping[str, Path]) -> str:
    kinds = {_KIND_OF_SUFFIX.get(file.suffix) for file in files.values()} - {None}
    if len(kinds) != 1:
        found = ", ".join(sorted(str(kind) for kind in kinds)) or "none that is known"
        raise ExchangeError(
            f"{path}: expected one kind of file ({', '.join(_KIND_OF_SUFFIX)}), found {found}; say "
            f"which with --format {'|'.join(FORMATS[1:])}"
        )
    return str(kinds.pop())


def _known_texts(lake: Lake) -> set[bytes]:
    """The ids of all accepted stories of the lake."""
    known: set[bytes] = set()
    for rows in lake.shards(STORIES.name, columns=["doc_id", "accepted"]):
        accepted = rows.filter(rows.column("accepted")).column("doc_id")
        known.update(bytes.fromhex(key) for key in accepted.to_pylist())
    return known


def _names(lake: Lake) -> dict[str, str]:
    rows = lake.query("SELECT DISTINCT name, run_id FROM imports").to_pylist()
    return {row["name"]: row["run_id"] for row in rows}


def _refuse_taken_name(lake: Lake, name: str, run_id: str) -> None:
    taken = _names(lake).get(name)
    if taken not in (None, run_id):
        raise ExchangeError(
            f"--name {name}: expected a name that no other import has, found it taken by run "
            f"{taken} (other files or options); an import is never replaced: choose another name"
        )


def _counted(lake: Lake, run_id: str, *, is_new: bool) -> Imported:
    counts: Counter[str | None] = Counter()
    for rows in lake.shards(IMPORTS.name, run_ids=[run_id], columns=["reason"]):
        counts.update(rows.column("reason").to_pylist())
    accepted = counts.pop(None, 0)
    reasons = {str(reason): num for reason, num in sorted(counts.items(), key=str)}
    return Imported(run_id, is_new, accepted + sum(reasons.values()), accepted, reasons)
