"""Captured documents as one student reads them: in the ids of its token space.

Documents are worked on end to end, some at a time, so that the cost is that of numpy's passes over
the draws and next to nothing for each document or token.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from distill.errors import DistillError
from distill.target_defects import rises
from distill.targets import CapturedDocument, StudentDocument
from distill.tokens import TokenSpace

# Documents whose draws fit a core's cache together.
_READ_AT_ONCE = 64


def to_students(
    captured: Sequence[CapturedDocument], space: TokenSpace, prefix_ids: Sequence[Sequence[int]]
) -> list[StudentDocument | None]:
    """Each document in the space's ids after its prefix, or None if its text holds an id that the
    space lacks, or an end id.

    Draws on lacking ids are dropped: what stays is an unbiased sample of the teacher conditioned on
    the kept ids. Draws on the teacher's several end ids are added up. num_dropped_draws tells how
    many are gone. Raises DistillError for an own space, and for a top-k capture if the space lacks
    an id.
    """
    if space.is_own:
        raise DistillError(
            f"expected a token space of the teacher's for its draws, found an own token space, "
            f"{space.digest}, with no ids of a teacher; read the texts alone (hard_labels)"
        )
    if captured and captured[0].tail_logmass.size:
        return [_with_tail(*pair, space) for pair in zip(captured, prefix_ids, strict=True)]
    documents: list[StudentDocument | None] = []
    for first in range(0, len(captured), _READ_AT_ONCE):
        part = slice(first, first + _READ_AT_ONCE)
        documents += _read_together(captured[part], space, prefix_ids[part])
    return documents


def _with_tail(
    captured: CapturedDocument, prefix_ids: Sequence[int], space: TokenSpace
) -> StudentDocument | None:
    """What is kept of the teacher given the kept ids cannot be told from a bucket: how much of the
    tail lies on them is not stored. So the space must have all ids.
    """
    num_lacking = int((space.from_teacher < 0).sum())
    if num_lacking:
        raise DistillError(
            f"document {captured.doc_id}: expected a token space of all the teacher's ids for "
            f"top-k targets, found one that lacks {num_lacking:,}: how much of the tail's mass is "
            "theirs is not stored; set token_space.kind to teacher, or capture.mode to sampled"
        )
    input_ids = space.from_teacher[captured.input_ids]
    if (input_ids[:-1] == space.end_id).any():
        return None
    logprobs = captured.topk_logprob.astype(np.float64)
    tail = captured.tail_logmass.astype(np.float64)
    offsets = np.append(0, np.cumsum(captured.n_targets, dtype=np.int64))
    sums = np.log(np.add.reduceat(np.exp(logprobs), offsets[:-1]) + np.exp(tail))
    ids = space.from_teacher[captured.target_ids]
    # The space's order of ids may be another than the teacher's.
    rows = np.repeat(np.arange(input_ids.size), captured.n_targets)
    order = np.lexsort((ids, rows))
    return StudentDocument(
        doc_id=captured.doc_id,
        prefix_ids=np.array(prefix_ids, np.int32),
        input_ids=input_ids,
        n_draws=np.zeros(input_ids.size, np.int32),
        offsets=offsets,
        target_ids=ids[order].astype(np.int32),
        target_counts=np.zeros(0, np.uint8),
        target_logprobs=(logprobs - sums[rows])[order],
        tail_logmass=tail - sums,
    )


def hard_labels(
    doc_id: str, space: TokenSpace, text: str, prefix_ids: Sequence[int]
) -> StudentDocument:
    """The text as a student without a teacher reads it: no draws at any position."""
    ids = [*space.encode(text), space.end_id]
    none = np.zeros(0, np.int32)
    return StudentDocument(
        doc_id=doc_id,
        prefix_ids=np.array(prefix_ids, np.int32),
        input_ids=np.array(ids, np.int32),
        n_draws=np.zeros(len(ids), np.int32),
        offsets=np.zeros(len(ids) + 1, np.int64),
        target_ids=none,
        target_counts=none.astype(np.uint8),
    )


def _read_together(
    captured: Sequence[CapturedDocument], space: TokenSpace, prefix_ids: Sequence[Sequence[int]]
) -> list[StudentDocument | None]:
    """to_students of a few documents, whose arrays are worked on end to end."""
    input_ids_T = space.from_teacher.take(_joined(captured, "input_ids"))
    ends_D = np.cumsum([document.input_ids.size for document in captured])
    is_unfit_T = (input_ids_T < 0) | (input_ids_T == space.end_id)
    is_unfit_T[ends_D - 1] = input_ids_T[ends_D - 1] < 0
    unfit_D = np.logical_or.reduceat(is_unfit_T, np.append(0, ends_D[:-1])).tolist()
    ids_K, counts_K, sizes_T, n_draws_T = _kept_draws(captured, space)
    offsets_T = np.append(0, np.cumsum(sizes_T))
    documents: list[StudentDocument | None] = []
    first = 0
    for document, prefix, last, is_unfit in zip(
        captured, prefix_ids, ends_D.tolist(), unfit_D, strict=True
    ):
        draws = slice(offsets_T[first], offsets_T[last])
        read = StudentDocument(
            doc_id=document.doc_id,
            prefix_ids=np.array(prefix, np.int32),
            input_ids=input_ids_T[first:last],
            n_draws=n_draws_T[first:last],
            offsets=offsets_T[first : last + 1] - draws.start,
            target_ids=ids_K[draws],
            target_counts=counts_K[draws],
        )
        documents.append(None if is_unfit else read)
        first = last
    return documents


def _kept_draws(
    captured: Sequence[CapturedDocument], space: TokenSpace
) -> tuple[NDArray[np.int32], NDArray[np.uint8], NDArray[np.int64], NDArray[np.int32]]:
    """The draws in the space's ids, ascending in each position, with their counts; and of each
    position the unique draws and the draws that are kept.
    """
    n_targets_T = _joined(captured, "n_targets")
    counts_K = _joined(captured, "target_counts")
    ids_K = space.from_teacher.take(_joined(captured, "target_ids"))  # half the time of []
    starts_T = np.cumsum(n_targets_T, dtype=np.int64) - n_targets_T
    is_kept_K = ids_K >= 0
    if is_kept_K.all():
        sizes_T = n_targets_T.astype(np.int64)
        n_draws_T = np.add.reduceat(counts_K, starts_T, dtype=np.int32)
    else:
        sizes_T = np.add.reduceat(is_kept_K, starts_T, dtype=np.int64)
        n_draws_T = np.add.reduceat(counts_K * is_kept_K, starts_T, dtype=np.int32)
        ids_K, counts_K = ids_K[is_kept_K], counts_K[is_kept_K]
    if not rises(ids_K, np.cumsum(sizes_T)):  # several end ids became one
        keys_K = np.repeat(np.arange(sizes_T.size), sizes_T) * space.vocab_size + ids_K
        order_K = np.argsort(keys_K, kind="stable")
        keys_K = keys_K[order_K]
        firsts = np.flatnonzero(np.append(True, np.diff(keys_K) > 0))
        counts_K = np.add.reduceat(counts_K[order_K], firsts, dtype=np.uint8)
        rows, ids = np.divmod(keys_K[firsts], space.vocab_size)
        sizes_T, ids_K = np.bincount(rows, minlength=sizes_T.size), ids.astype(np.int32)
    return ids_K, counts_K, sizes_T, n_draws_T


def _joined(captured: Sequence[CapturedDocument], name: str) -> NDArray[Any]:
    return np.concatenate([getattr(document, name) for document in captured])
