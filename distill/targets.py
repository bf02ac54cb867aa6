"""What the teacher said of each next token: as read from the lake, and as one student reads it.

A row of the table `targets` is one document in flat lists; lists become numpy arrays through
Arrow's buffers, never through Python objects. Everything read is checked (each position's counts
sum to R, ids ascend and lie below V), and the facts in the manifest are compared with what the
student was promised: another teacher, tokenizer, R or shift is refused.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from distill.errors import DistillError
from distill.tokens import TokenSpace
from warehouse.identity import Json
from warehouse.schemas import TARGETS

SHIFT = "target t predicts input_ids[t]"
_PER_POSITION = ("n_targets", "entropy", "teacher_nll", "word_start_logmass")
_LISTS = ("input_ids", *_PER_POSITION, "target_ids", "target_counts")


@dataclass(frozen=True, slots=True)
class CaptureFacts:
    """What a capture run promises of its rows; it is stored with them. context: "prompt" or
    "start".
    """

    num_draws: int
    teacher_digest: str
    tokenizer_sha256: str
    vocab_size: int
    context: str
    mode: str = "sampled"
    temperature: float = 1.0
    shift: str = SHIFT

    def to_json(self) -> dict[str, Json]:
        """The facts as commit_shard takes them."""
        return asdict(self)


@dataclass(frozen=True, slots=True, eq=False)
class CapturedDocument:
    """A document in teacher ids. T positions, K unique draws: input_ids int32[T] is the text and
    the end symbol, n_targets uint8[T], target_ids int32[K], target_counts uint8[K], the others
    float16[T] in nats.
    """

    doc_id: str
    story_id: str
    num_context_tokens: int
    input_ids: NDArray[np.int32]
    n_targets: NDArray[np.uint8]
    target_ids: NDArray[np.int32]
    target_counts: NDArray[np.uint8]
    entropy: NDArray[np.float16]
    teacher_nll: NDArray[np.float16]
    word_start_logmass: NDArray[np.float16]


@dataclass(frozen=True, slots=True, eq=False)
class StudentDocument:
    """A document in student ids. prefix_ids int32[P] comes first and has no loss; target t predicts
    input_ids[t].

    input_ids int32[T] (text and end symbol); n_draws int32[T], the draws kept (0: the hard label
    only); position t's unique draws are target_ids int32[K] and target_counts int32[K] at
    offsets[t]:offsets[t + 1], offsets int64[T + 1].
    """

    doc_id: str
    prefix_ids: NDArray[np.int32]
    input_ids: NDArray[np.int32]
    n_draws: NDArray[np.int32]
    offsets: NDArray[np.int64]
    target_ids: NDArray[np.int32]
    target_counts: NDArray[np.int32]


def check_facts(found: Mapping[str, Json], expected: CaptureFacts, where: str) -> None:
    """Raises DistillError that lists each fact that differs, if any; other keys of `found` are not
    looked at.
    """
    differing = [
        f"{key}: expected {value!r}, found {found.get(key)!r}"
        for key, value in expected.to_json().items()
        if found.get(key) != value
    ]
    if differing:
        raise DistillError(f"targets of {where}: {'; '.join(differing)}; capture them again")


def to_table(
    documents: Sequence[CapturedDocument], *, run_id: str, teacher_digest: str
) -> pa.Table:
    """Rows of the table `targets`, in the order of the documents."""

    def lists(name: str) -> pa.ListArray:
        arrays = [getattr(document, name) for document in documents]
        ends = np.cumsum([array.size for array in arrays], dtype=np.int32)
        offsets = np.concatenate([np.zeros(1, np.int32), ends])
        type_ = TARGETS.schema.field(name).type
        flat = np.concatenate(arrays) if arrays else np.zeros(0, type_.value_type.to_pandas_dtype())
        return pa.ListArray.from_arrays(offsets, pa.array(flat, type_.value_type), type=type_)

    columns: dict[str, Any] = {
        "doc_id": [document.doc_id for document in documents],
        "run_id": [run_id] * len(documents),
        "story_id": [document.story_id for document in documents],
        "teacher_digest": [teacher_digest] * len(documents),
        "num_context_tokens": [document.num_context_tokens for document in documents],
    }
    arrays = [
        pa.array(columns[field.name], field.type) if field.name in columns else lists(field.name)
        for field in TARGETS.schema
    ]
    return pa.Table.from_arrays(arrays, schema=TARGETS.schema)


def from_table(table: pa.Table, *, num_draws: int, vocab_size: int) -> list[CapturedDocument]:
    """The documents as views of the table's buffers, each checked. Raises DistillError that names
    the first bad document.
    """
    doc_ids: list[str] = table.column("doc_id").to_pylist()
    story_ids: list[str] = table.column("story_id").to_pylist()
    contexts = table.column("num_context_tokens").to_numpy()
    columns = {name: _flat(table, name) for name in _LISTS}
    documents = [
        CapturedDocument(
            doc_id=doc_ids[i],
            story_id=story_ids[i],
            num_context_tokens=int(contexts[i]),
            **{name: flat[ends[i] : ends[i + 1]] for name, (flat, ends) in columns.items()},
        )
        for i in range(len(doc_ids))
    ]
    for document in documents:
        if defect := _defect(document, num_draws, vocab_size):
            raise DistillError(
                f"targets of document {document.doc_id}: {defect}; verify the lake, capture again"
            )
    return documents


def to_student(
    captured: CapturedDocument, space: TokenSpace, prefix_ids: Sequence[int]
) -> StudentDocument | None:
    """The document in the space's ids, or None if its text holds an id that the space lacks, or an
    end id.

    Draws on lacking ids are dropped: what stays is an unbiased sample of the teacher conditioned on
    the kept ids. Draws on the teacher's several end ids are added up. num_dropped_draws tells how
    many are gone.
    """
    input_ids = space.from_teacher[captured.input_ids]
    if (input_ids < 0).any() or (input_ids[:-1] == space.end_id).any():
        return None
    num_positions = input_ids.size
    mapped = space.from_teacher[captured.target_ids].astype(np.int64)
    rows = np.repeat(np.arange(num_positions, dtype=np.int64), captured.n_targets)
    is_kept = mapped >= 0
    keys = (rows * space.vocab_size + mapped)[is_kept]
    counts = captured.target_counts[is_kept].astype(np.int32)
    if (np.diff(keys) <= 0).any():
        keys, inverse = np.unique(keys, return_inverse=True)
        counts = np.bincount(inverse, weights=counts).astype(np.int32)
    rows, ids = np.divmod(keys, space.vocab_size)
    sizes = np.bincount(rows, minlength=num_positions)
    return StudentDocument(
        doc_id=captured.doc_id,
        prefix_ids=np.array(prefix_ids, np.int32),
        input_ids=input_ids,
        n_draws=np.bincount(rows, weights=counts, minlength=num_positions).astype(np.int32),
        offsets=np.concatenate([np.zeros(1, np.int64), np.cumsum(sizes)]),
        target_ids=ids.astype(np.int32),
        target_counts=counts,
    )


def num_dropped_draws(document: StudentDocument, num_draws: int) -> int:
    """Draws of the document that fell on ids which its space lacks; num_draws is R."""
    return num_draws * document.input_ids.size - int(document.n_draws.sum())


def _flat(table: pa.Table, name: str) -> tuple[NDArray[Any], NDArray[np.int64]]:
    """The column's values end to end, and where each row's begin, with the end of the last."""
    column = table.column(name).combine_chunks()
    if isinstance(column, pa.ChunkedArray):
        column = pa.concat_arrays(column.chunks) if column.num_chunks else pa.array([], column.type)
    values = column.flatten()
    if column.null_count or values.null_count:
        raise DistillError(f"targets: expected no null in {name}, found some; verify the lake")
    ends = np.concatenate([np.zeros(1, np.int64), np.cumsum(column.value_lengths().to_numpy())])
    return values.to_numpy(), ends.astype(np.int64)


def _defect(document: CapturedDocument, num_draws: int, vocab_size: int) -> str | None:
    """What is wrong with the document, if anything."""
    num_positions = document.input_ids.size
    for name in _PER_POSITION:
        if (found := getattr(document, name).size) != num_positions:
            return f"expected {num_positions} values of {name}, one per token, found {found}"
    n_targets = document.n_targets.astype(np.int64)
    sizes = (int(n_targets.sum()), document.target_ids.size, document.target_counts.size)
    if num_positions == 0 or len(set(sizes)) != 1:
        return f"expected n_targets, target_ids and target_counts of one length, found {sizes}"
    if n_targets.min() == 0 or document.target_counts.min() == 0:
        return "expected draws at every position and counts from 1, found 0"
    starts = np.cumsum(n_targets) - n_targets
    sums = np.add.reduceat(document.target_counts, starts, dtype=np.int64)
    if (sums != num_draws).any():
        wrong = int(np.flatnonzero(sums != num_draws)[0])
        return (
            f"expected counts that sum to R = {num_draws}, found {sums[wrong]} at position {wrong}"
        )
    is_rising = np.diff(document.target_ids) > 0
    is_rising[starts[1:] - 1] = True
    if not is_rising.all():
        return "expected ids that ascend inside each position, found others"
    largest = max(int(document.target_ids.max()), int(document.input_ids.max()))
    smallest = min(int(document.target_ids.min()), int(document.input_ids.min()))
    if smallest < 0 or largest >= vocab_size:
        return f"expected ids in [0, {vocab_size}), found {smallest} to {largest}"
    return None
