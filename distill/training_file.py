"""The documents of a training in a file, so that memory does not grow with the corpus.

A document is a record: the sizes of its arrays, the arrays end to end, a checksum. One read brings
one document into memory of its own, where it is checked. Nothing is mapped: mapped pages count as
the process's own, and come back from the disk unchecked. In memory stay some 60 bytes for each
document: its id, where it begins, its numbers of tokens.

The file has no name (where the file system knows no such files: a passing one): it is gone with the
last process that has it open, however that ends, so no half-written, old or foreign one can ever be
found. Processes that train together get the open file.
"""

import os
import struct
import tempfile
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from multiprocessing.reduction import DupFd
from pathlib import Path
from typing import Any, overload
from weakref import finalize

import numpy as np
from numpy.typing import NDArray

from distill.errors import DistillError
from distill.targets import StudentDocument
from warehouse.identity import digest, digest_bytes, digest_each

# The wide ones come first, so that all are aligned.
_DTYPES: dict[str, np.dtype[Any]] = {
    "offsets": np.dtype(np.int64),
    "target_logprobs": np.dtype(np.float64),
    "tail_logmass": np.dtype(np.float64),
    "prefix_ids": np.dtype(np.int32),
    "input_ids": np.dtype(np.int32),
    "n_draws": np.dtype(np.int32),
    "target_ids": np.dtype(np.int32),
    "target_counts": np.dtype(np.uint8),
}
_SIZES = struct.Struct(f"<{len(_DTYPES)}I")
_CRC_BYTES = 4
_WRITTEN_AT_ONCE = 64


@dataclass(frozen=True, slots=True, eq=False)
class _Index:
    """What is known of the D documents without reading them; ids are in UTF-8, and record d lies
    from starts_D1[d] to starts_D1[d + 1].
    """

    doc_ids_D: NDArray[np.bytes_]
    starts_D1: NDArray[np.int64]
    num_prefix_D: NDArray[np.int64]
    num_targets_D: NDArray[np.int64]


class TrainingDocuments(Sequence[StudentDocument]):
    """Documents in a file (write_documents). Each that is asked for is read and checked then, and
    its arrays are read-only; DistillError if they are not what was written.
    """

    def __init__(self, descriptor: int, index: _Index) -> None:
        self._descriptor, self._index = descriptor, index
        finalize(self, os.close, descriptor)

    def __len__(self) -> int:
        return len(self._index.doc_ids_D)

    @overload
    def __getitem__(self, place: int) -> StudentDocument: ...
    @overload
    def __getitem__(self, place: slice) -> list[StudentDocument]: ...
    def __getitem__(self, place: int | slice) -> StudentDocument | list[StudentDocument]:
        if isinstance(place, slice):
            return [self._read(i) for i in range(len(self))[place]]
        return self._read(range(len(self))[place])

    def __reduce__(self) -> Any:
        """How a process that is being started gets them: as the open file."""
        return _handed_over, (DupFd(self._descriptor), self._index, self.digest)

    def doc_id(self, place: int) -> str:
        """The document's id; it is not read for that."""
        found: bytes = self._index.doc_ids_D[place]
        return found.decode()

    def places_by_id(self) -> Iterator[int]:
        """The places of the documents in the order of their ids."""
        return map(int, np.argsort(self._index.doc_ids_D))

    @property
    def doc_ids(self) -> Iterator[str]:
        """The ids of all documents."""
        return map(self.doc_id, range(len(self)))

    @property
    def num_prefix_D(self) -> NDArray[np.int64]:
        """The ids that stand before each document's own."""
        return self._index.num_prefix_D

    @property
    def num_targets_D(self) -> NDArray[np.int64]:
        """The targets of each document."""
        return self._index.num_targets_D

    @cached_property
    def digest(self) -> str:
        """As documents_digest has it."""
        return _digest(self)

    def _read(self, place: int) -> StudentDocument:
        start, end = self._index.starts_D1[place : place + 2].tolist()
        doc_id = self.doc_id(place)
        try:
            record = os.pread(self._descriptor, end - start, start)
        except OSError:
            record = b""
        if len(record) != end - start or not _is_whole(record):
            raise DistillError(
                f"document {doc_id}: expected the {end - start} bytes that were kept on the disk "
                f"for the training, found others, fewer or none ({len(record)}); verify the disk, "
                "and run the same command again: it goes on at the newest checkpoint"
            )
        return _document(doc_id, record)


def write_documents(documents: Iterable[StudentDocument], folder: Path) -> TrainingDocuments:
    """The documents in their order, kept on the disk of that folder, which is made if it is not
    there; they are taken one after the other, and few are held at a time.

    Raises DistillError if the disk does not take them.
    """
    stream, parts = iter(documents), [_index_of([], [])]
    with _unnamed_file(folder) as file:
        while part := list(islice(stream, _WRITTEN_AT_ONCE)):
            records = [_record(document) for document in part]
            _append(file.fileno(), b"".join(records), folder)
            parts.append(_index_of(part, records))
        return TrainingDocuments(os.dup(file.fileno()), _joined(parts))


def documents_digest(documents: Sequence[StudentDocument]) -> str:
    """The digest of the list of the documents' digests; of a file it is worked out once."""
    return documents.digest if isinstance(documents, TrainingDocuments) else _digest(documents)


def num_targets(documents: Sequence[StudentDocument]) -> NDArray[np.int64]:
    """The targets of each document; no document of a file is read for them."""
    if isinstance(documents, TrainingDocuments):
        return documents.num_targets_D
    return np.array([len(document.input_ids) for document in documents], dtype=np.int64)


def _digest(documents: Iterable[StudentDocument]) -> str:
    return digest_each(map(_document_digest, documents))


def _document_digest(document: StudentDocument) -> str:
    arrays = (
        document.prefix_ids,
        document.input_ids,
        document.offsets,
        document.target_ids,
        document.target_counts,
    )
    parts = [digest_bytes(a.astype(np.int64).tobytes()) for a in arrays]
    if document.tail_logmass.size:
        laws = (document.target_logprobs, document.tail_logmass)
        parts += [digest_bytes(a.astype(np.float64).tobytes()) for a in laws]
    return digest(document.doc_id, *parts)


def _record(document: StudentDocument) -> bytes:
    arrays = [getattr(document, name) for name in _DTYPES]
    assert [array.dtype for array in arrays] == [*_DTYPES.values()]
    sizes = _SIZES.pack(*(array.size for array in arrays))
    data = b"".join([sizes, *(array.tobytes() for array in arrays)])
    return data + _crc(data)


def _document(doc_id: str, record: bytes) -> StudentDocument:
    arrays, start = {}, _SIZES.size
    for (name, dtype), size in zip(_DTYPES.items(), _SIZES.unpack_from(record), strict=True):
        arrays[name] = np.frombuffer(record, dtype, size, start)
        start += size * dtype.itemsize
    return StudentDocument(doc_id, **arrays)


def _is_whole(record: bytes) -> bool:
    return record[-_CRC_BYTES:] == _crc(memoryview(record)[:-_CRC_BYTES])


def _crc(data: bytes | memoryview) -> bytes:
    return zlib.crc32(data).to_bytes(_CRC_BYTES, "little")


def _index_of(documents: Sequence[StudentDocument], records: Sequence[bytes]) -> _Index:
    """With the size of each record in the place of where it begins."""
    return _Index(
        np.array([document.doc_id.encode() for document in documents], dtype=np.bytes_),
        np.array([len(record) for record in records], dtype=np.int64),
        np.array([len(document.prefix_ids) for document in documents], dtype=np.int64),
        np.array([len(document.input_ids) for document in documents], dtype=np.int64),
    )


def _joined(parts: Sequence[_Index]) -> _Index:
    sizes_D = np.concatenate([part.starts_D1 for part in parts])
    return _Index(
        np.concatenate([part.doc_ids_D for part in parts]),
        np.append(0, np.cumsum(sizes_D)),
        np.concatenate([part.num_prefix_D for part in parts]),
        np.concatenate([part.num_targets_D for part in parts]),
    )


def _unnamed_file(folder: Path) -> Any:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return tempfile.TemporaryFile(dir=folder, buffering=0)
    except OSError as exc:
        raise _not_written(folder, exc) from exc


def _append(descriptor: int, data: bytes, folder: Path) -> None:
    left = memoryview(data)
    try:
        while left:
            left = left[os.write(descriptor, left) :]
    except OSError as exc:
        raise _not_written(folder, exc) from exc


def _not_written(folder: Path, exc: OSError) -> DistillError:
    return DistillError(
        f"cannot keep the training documents in {folder}: {exc.strerror or exc}; free space (some "
        "90 bytes for each token of the corpus, 12 k for top-k targets) and run the same command "
        "again"
    )


def _handed_over(file: Any, index: _Index, digest: str) -> TrainingDocuments:
    documents = TrainingDocuments(file.detach(), index)
    documents.digest = digest  # what it was worked out to be once
    return documents
