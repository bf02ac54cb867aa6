"""What the teacher said of each next token: as read from the lake, and as one student reads it.

A row of the table `targets` is one document in flat lists; lists become numpy arrays through
Arrow's buffers, never through Python objects. Everything read is checked (each position's counts
sum to R, ids ascend and lie below V), and the facts in the manifest are compared with what the
student was promised: another teacher, tokenizer, R or shift is refused.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from distill.errors import DistillError
from distill.target_defects import FIGURES, PER_POSITION, are_sound_draws, defect_of
from distill.tokens import TokenSpace
from warehouse.identity import Json
from warehouse.schemas import TARGETS

SHIFT = "target t predicts input_ids[t]"
FLAT = ("target_ids", "target_counts", "topk_logprob")
"""Columns with a value for each target id; the other lists have one for each position."""
_SAMPLED, _TOP_K = ("target_counts",), ("topk_logprob", "tail_logmass")
_LISTS = ("input_ids", *PER_POSITION, "target_ids")
# What no student reads, and a table may lack.
READ_COLUMNS = tuple(name for name in TARGETS.schema.names if name not in FIGURES)


@dataclass(frozen=True, slots=True)
class CaptureFacts:
    """What a capture run promises of its rows; it is stored with them. context: "prompt" or
    "start"; k: of mode "top_k", whose num_draws is 0.
    """

    num_draws: int
    teacher_digest: str
    tokenizer_sha256: str
    vocab_size: int
    context: str
    mode: str = "sampled"
    temperature: float = 1.0
    shift: str = SHIFT
    k: int | None = None

    def to_json(self) -> dict[str, Json]:
        """The facts as commit_shard takes them; nothing of k where there is none."""
        return {name: value for name, value in asdict(self).items() if value is not None}


@dataclass(frozen=True, slots=True, eq=False)
class CapturedDocument:
    """A document in teacher ids. T positions, K unique draws: input_ids int32[T] is the text and
    the end symbol, n_targets uint8[T], target_ids int32[K], target_counts uint8[K], the others
    float16[T] in nats, or empty where they were not read (READ_COLUMNS).

    Of a top-k capture target_counts is empty, and the ids' log probabilities are topk_logprob
    float16[K], the log masses of all other ids tail_logmass float16[T]; else these are empty.
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
    topk_logprob: NDArray[np.float16] = field(default_factory=lambda: np.zeros(0, np.float16))
    tail_logmass: NDArray[np.float16] = field(default_factory=lambda: np.zeros(0, np.float16))


@dataclass(frozen=True, slots=True, eq=False)
class StudentDocument:
    """A document in student ids. prefix_ids int32[P] comes first and has no loss; target t predicts
    input_ids[t].

    input_ids int32[T] (text and end symbol); n_draws int32[T], the draws kept (0: the hard label
    only); position t's unique draws are target_ids int32[K] and target_counts uint8[K] at
    offsets[t]:offsets[t + 1], offsets int64[T + 1].

    Of a top-k capture n_draws is 0 and target_counts empty; target_logprobs float64[K] and
    tail_logmass float64[T] are then a law: with the tail each position's probabilities sum to 1.
    """

    doc_id: str
    prefix_ids: NDArray[np.int32]
    input_ids: NDArray[np.int32]
    n_draws: NDArray[np.int32]
    offsets: NDArray[np.int64]
    target_ids: NDArray[np.int32]
    target_counts: NDArray[np.uint8]
    target_logprobs: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))
    tail_logmass: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))


def check_facts(found: Mapping[str, Json], expected: CaptureFacts, where: str) -> None:
    """Raises DistillError that lists each fact that differs, if any; other keys of `found` are not
    looked at.
    """
    differing = [
        f"{key}: expected {value!r}, found {found.get(key)!r}"
        for key, value in asdict(expected).items()
        if found.get(key) != value
    ]
    if differing:
        raise DistillError(f"targets of {where}: {'; '.join(differing)}; capture them again")


def check_space(space: TokenSpace, facts: CaptureFacts) -> None:
    """Raises DistillError if the space's maps are not of the tokenizer that was captured with."""
    expected = (facts.tokenizer_sha256, facts.vocab_size)
    found = (space.teacher_tokenizer_sha256 or "none (an own one)", space.from_teacher.size)
    if found != expected:
        raise DistillError(
            f"token space {space.digest}: expected one of the tokenizer that targets were captured "
            f"with, {expected[0]} of {expected[1]:,} ids, found one of {found[0]} of {found[1]:,}; "
            "make the space from that tokenizer, or capture with this one"
        )


def to_table(
    documents: Sequence[CapturedDocument], *, run_id: str, teacher_digest: str
) -> pa.Table:
    """Rows of the table `targets`, in the order of the documents."""

    is_top_k = any(document.tail_logmass.size for document in documents)
    absent = _SAMPLED if is_top_k else _TOP_K

    def lists(name: str) -> pa.ListArray:
        arrays = [getattr(document, name) for document in documents]
        if name in absent:
            return pa.nulls(len(documents), TARGETS.schema.field(name).type)
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


def from_table(
    table: pa.Table, *, num_draws: int, vocab_size: int, k: int | None = None
) -> list[CapturedDocument]:
    """The documents as views of the table's buffers, each checked; with k those of a top-k capture.
    Raises DistillError that names the first bad document.
    """
    doc_ids: list[str] = table.column("doc_id").to_pylist()
    story_ids: list[str] = table.column("story_id").to_pylist()
    contexts = table.column("num_context_tokens").to_numpy()
    names = (*_LISTS, *(_SAMPLED if k is None else _TOP_K))
    columns = {name: _flat(table, name) for name in names if name in table.schema.names}
    others: dict[str, Any] = {
        name: np.zeros(0, np.float16) for name in FIGURES if name not in columns
    }
    if k is not None:
        others["target_counts"] = np.zeros(0, np.uint8)
    documents = [
        CapturedDocument(
            doc_id=doc_ids[i],
            story_id=story_ids[i],
            num_context_tokens=int(contexts[i]),
            **others,
            **{name: flat[ends[i] : ends[i + 1]] for name, (flat, ends) in columns.items()},
        )
        for i in range(len(doc_ids))
    ]
    if documents and not (k is None and are_sound_draws(columns, num_draws, vocab_size)):
        for document in documents:
            if defect := defect_of(document, num_draws, vocab_size, k, others):
                raise DistillError(
                    f"targets of document {document.doc_id}: {defect}; verify the lake, capture "
                    "again"
                )
    return documents


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
