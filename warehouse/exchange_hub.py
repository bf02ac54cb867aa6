"""Documents from a Hugging Face dataset: a folder, or an id of the hub. Owner of `datasets`.

Only data is read: the library runs no code that comes with a dataset. A folder is streamed; a hub
dataset is pulled into the library's own cache first, because its documents are read twice, once
for their digest and once for their rows. So a folder's files must not change meanwhile.
"""

import hashlib
import logging
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa

from warehouse.errors import ExchangeError
from warehouse.exchange_documents import Document, document_of
from warehouse.exchange_sources import refuse_changed, stamps_of
from warehouse.identity import Json

_ROWS_PER_BATCH = 1_000
_HUB_ID = re.compile(r"([A-Za-z0-9][A-Za-z0-9._-]*/)?[A-Za-z0-9][A-Za-z0-9._-]*")
_SAVED_TO_DISK = ("dataset_dict.json", "state.json")


class DatasetSource:
    """Documents of all splits of a dataset, split by split in the order of their names.

    `files`: the folder's, by name; none for a hub dataset. `stamps`: theirs, from before the
    library opened it.
    """

    unit = "rows"

    def __init__(
        self,
        splits: Mapping[str, Any],
        text_column: str,
        origin: str,
        files: Mapping[str, Path],
        stamps: Mapping[str, tuple[int, int]],
    ) -> None:
        self.origin = origin
        self._files, self._stamps = files, stamps
        self.total = sum(getattr(split, "num_rows", 0) for split in splits.values())
        self.num_done = 0
        self._splits = dict(sorted(splits.items()))
        self._text_column = text_column
        for name, split in self._splits.items():
            columns = split.column_names or list(next(iter(split), {}))
            if text_column not in columns:
                raise ExchangeError(
                    f"{origin}, split {name}: expected the column {text_column!r}, found "
                    f"{', '.join(columns) or 'none'}; name the one that holds the text with "
                    "--text-column"
                )

    def identity(self) -> Json:
        """The splits' names and the digest of their texts: the same from a folder and the hub."""
        sums = []
        for name in self._splits:
            sha = hashlib.sha256()
            for raw in self._raw_texts(name):
                sha.update(len(raw).to_bytes(8, "big") + raw)
            sums.append([name, sha.hexdigest()])
        return ["hf", sums]

    def documents(self, max_bytes: int) -> Iterator[Document]:
        """Every document; its file is its split's name."""
        self.num_done = 0
        for name in self._splits:
            for row, raw in enumerate(self._raw_texts(name), start=1):
                self.num_done += 1
                yield document_of(raw, name, row, max_bytes=max_bytes)

    def check_unchanged(self) -> None:
        """Compare a folder's files as FileSource does; what was pulled is the library's, and nobody
        writes to it.
        """
        refuse_changed(self._files, self._stamps)

    def _raw_texts(self, split: str) -> Iterator[bytes]:
        rows = self._splits[split].select_columns([self._text_column]).with_format("arrow")
        try:
            for batch in rows.iter(_ROWS_PER_BATCH):
                yield from _bytes_of(batch.column(self._text_column), self._where(split))
        except ExchangeError:
            raise
        except Exception as exc:  # the library lets through whatever its readers raise
            raise _unreadable(self._where(split), exc) from exc

    def _where(self, split: str) -> str:
        return f"{self.origin}, split {split}"


def open_dataset(
    source: str, text_column: str, origin: str, files: Mapping[str, Path] | None = None
) -> DatasetSource:
    """The dataset in that folder, which holds these files, or of that hub id; ExchangeError says in
    one line why not.
    """
    try:
        import datasets  # type: ignore[import-not-found, import-untyped, unused-ignore]
    except ImportError as exc:
        raise ExchangeError(
            f"{source}: expected the library `datasets` to read it with, found none; install it "
            "(pip install 'stillhouse[datasets]'), or give JSONL, Parquet or text"
        ) from exc
    datasets.disable_progress_bars()
    # It warns of each of its retries; what it ends with is told in our own line.
    logging.getLogger("huggingface_hub").setLevel(logging.ERROR)
    files = files or {}
    stamps = stamps_of(files)
    folder = Path(source)
    is_folder = folder.is_dir()
    if not is_folder and not _HUB_ID.fullmatch(source):
        raise ExchangeError(
            f"{source}: expected a folder that holds a dataset, or a hub id as owner/name; found "
            "neither"
        )
    try:
        if is_folder and any((folder / name).is_file() for name in _SAVED_TO_DISK):
            loaded: Any = datasets.load_from_disk(str(folder))
        elif is_folder:
            loaded = datasets.load_dataset(str(folder.absolute()), streaming=True)
        else:
            loaded = datasets.load_dataset(source)
    except Exception as exc:  # whatever its hub client, readers and builders raise
        raise _unreadable(source, exc, is_folder=is_folder) from exc
    splits = loaded if isinstance(loaded, dict) else {"all": loaded}
    return DatasetSource(splits, text_column, origin, files, stamps)


def _bytes_of(column: Iterable[Any], where: str) -> Iterator[bytes]:
    for value in column:
        is_text = isinstance(value, pa.StringScalar | pa.LargeStringScalar | pa.StringViewScalar)
        if not is_text and not isinstance(value, pa.NullScalar):
            raise ExchangeError(
                f"{where}: expected text in the column, found {value.type}; name another column "
                "with --text-column"
            )
        buffer = value.as_buffer() if is_text else None
        yield b"" if buffer is None else buffer.to_pybytes()


def _unreadable(where: str, error: Exception, *, is_folder: bool = True) -> ExchangeError:
    said = next(iter(str(error).splitlines()), type(error).__name__) or type(error).__name__
    advice = "mend or fetch it again"
    if not is_folder:
        advice = (
            "look at the id and the network; or fetch the dataset where there is one "
            "(load_dataset(...).save_to_disk(FOLDER)) and import that folder"
        )
    return ExchangeError(
        f"{where}: expected a dataset that `datasets` loads, found: {said}; {advice}"
    )
