"""Documents in an order that follows from (seed, epoch): a resumed run and a control read the same.

An epoch is a shuffle of all documents, cut into optimizer steps of nearly equal numbers of target
tokens: no document is lost, none is cut, and there is no small last step with a noisy gradient. A
step mixes all lengths; inside it documents are sorted by length and cut into batches of a bounded
padded size, which saves padding (right, so that the causal mask alone hides it) without making some
steps all short and others all long. A target never sees another document.

Shapes: B documents of a batch, T padded length, N targets of a batch, K kept draws of a batch, D
documents of the set.
"""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields

import numpy as np
import numpy.typing as npt
import torch

from distill.errors import DistillError
from distill.targets import StudentDocument
from warehouse.identity import seed_from

_PADDING_ID = 0  # any id would do: nothing that is read depends on it

Int64Array = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Cursor:
    """A place in the endless sequence of steps: the next is `index` of `epoch`, both from 0."""

    epoch: int
    index: int


@dataclass(frozen=True, slots=True)
class Batch:
    """Documents of one forward pass.

    Target n is predicted by row `positions_N[n]` of the flat (B * T) hidden states.

    All int64. `offsets_N1`, `target_ids_K` and `target_counts_K` are what sparse_cross_entropy
    takes.
    """

    input_ids_BT: torch.Tensor
    positions_N: torch.Tensor
    labels_N: torch.Tensor
    offsets_N1: torch.Tensor
    target_ids_K: torch.Tensor
    target_counts_K: torch.Tensor

    @property
    def num_tokens(self) -> int:
        """Targets, N."""
        return len(self.labels_N)

    def to(self, device: torch.device) -> "Batch":
        """The same batch on that device."""
        return Batch(*(getattr(self, field.name).to(device) for field in fields(self)))


def check_documents(
    documents: Sequence[StudentDocument], max_position_embeddings: int, vocab_size: int
) -> None:
    """Raise DistillError for a document that is empty, longer than the context or of other ids."""
    if not documents:
        raise DistillError("no documents to train on: generate or capture more stories")
    for document in documents:
        _check_document(document, max_position_embeddings, vocab_size)


def plan_epoch(
    num_targets_D: Int64Array, tokens_per_step: int, seed: int, epoch: int
) -> list[Int64Array]:
    """The documents (indices) of each step of an epoch: every document once, steps of like size.

    The number of steps is round(total / tokens_per_step), at least 1; a document belongs to the
    step in which its middle falls, so a step is at most one document away from total / steps.
    """
    order_D = np.random.default_rng(seed_from("batches", seed, epoch)).permutation(
        len(num_targets_D)
    )
    ends_D = np.cumsum(num_targets_D[order_D])
    total = int(ends_D[-1])
    num_steps = max(1, round(total / tokens_per_step))
    middles_D = ends_D - num_targets_D[order_D] / 2
    step_of_D = np.minimum((middles_D * num_steps / total).astype(np.int64), num_steps - 1)
    return np.split(order_D, np.flatnonzero(np.diff(step_of_D)) + 1)


def plan_steps(
    num_targets_D: Int64Array, tokens_per_step: int, seed: int, start: Cursor
) -> Iterator[tuple[Cursor, Int64Array]]:
    """The endless steps from `start` on: (the cursor after the step, its documents)."""
    for epoch in itertools.count(start.epoch):
        steps = plan_epoch(num_targets_D, tokens_per_step, seed, epoch)
        for index in range(start.index if epoch == start.epoch else 0, len(steps)):
            is_last = index + 1 == len(steps)
            yield Cursor(epoch + 1, 0) if is_last else Cursor(epoch, index + 1), steps[index]


def count_steps(num_targets_D: Int64Array, tokens_per_step: int, seed: int, num_tokens: int) -> int:
    """Steps until at least `num_tokens` targets were seen; the last one is whole, may pass it."""
    seen = 0
    for count, (_, indices) in enumerate(
        plan_steps(num_targets_D, tokens_per_step, seed, Cursor(0, 0)), start=1
    ):
        seen += int(num_targets_D[indices].sum())
        if seen >= num_tokens:
            return count
    raise AssertionError("the sequence of steps is endless")


def make_batches(documents: Sequence[StudentDocument], max_batch_tokens: int) -> list[Batch]:
    """One step's documents as batches of at most `max_batch_tokens` padded tokens, long ones first.

    A document that is longer is a batch of its own.
    """
    by_length = sorted(documents, key=_num_inputs, reverse=True)
    batches, start = [], 0
    while start < len(by_length):
        rows = max(1, max_batch_tokens // _num_inputs(by_length[start]))
        batches.append(_make_batch(by_length[start : start + rows]))
        start += rows
    return batches


def _num_inputs(document: StudentDocument) -> int:
    return len(document.prefix_ids) + len(document.input_ids) - 1


def _make_batch(documents: Sequence[StudentDocument]) -> Batch:
    width = max(_num_inputs(document) for document in documents)
    input_ids_BT = np.full((len(documents), width), _PADDING_ID, dtype=np.int64)
    positions, offsets, num_draws = [], [np.zeros(1, dtype=np.int64)], 0
    for row, document in enumerate(documents):
        num_prefix, num_targets = len(document.prefix_ids), len(document.input_ids)
        input_ids_BT[row, :num_prefix] = document.prefix_ids
        input_ids_BT[row, num_prefix : num_prefix + num_targets - 1] = document.input_ids[:-1]
        first = row * width + num_prefix - 1
        positions.append(np.arange(first, first + num_targets))
        offsets.append(document.offsets[1:] + num_draws)
        num_draws += len(document.target_ids)
    return Batch(
        torch.from_numpy(input_ids_BT),
        torch.from_numpy(np.concatenate(positions)),
        _joined([document.input_ids for document in documents]),
        _joined(offsets),
        _joined([document.target_ids for document in documents]),
        _joined([document.target_counts for document in documents]),
    )


def _joined(arrays: Sequence[npt.NDArray[np.integer]]) -> torch.Tensor:
    return torch.from_numpy(np.concatenate(arrays).astype(np.int64, copy=False))


def _check_document(
    document: StudentDocument, max_position_embeddings: int, vocab_size: int
) -> None:
    where = f"document {document.doc_id}"
    num_prefix, num_targets = len(document.prefix_ids), len(document.input_ids)
    if not num_prefix or not num_targets:
        raise DistillError(
            f"{where}: a start symbol and at least one target expected, found {num_prefix} and "
            f"{num_targets}"
        )
    if _num_inputs(document) > max_position_embeddings:
        raise DistillError(
            f"{where}: at most {max_position_embeddings} tokens expected (the student's context), "
            f"found {_num_inputs(document)}; leave it out or take a preset with a longer context"
        )
    if len(document.offsets) != num_targets + 1 or document.offsets[-1] != len(document.target_ids):
        raise DistillError(
            f"{where}: {num_targets + 1} offsets that end at {len(document.target_ids)} expected, "
            f"found {len(document.offsets)} that end at {document.offsets[-1]}; capture it again"
        )
    for ids in (document.prefix_ids, document.input_ids, document.target_ids):
        if len(ids) and not 0 <= ids.min() <= ids.max() < vocab_size:
            raise DistillError(
                f"{where}: ids in [0, {vocab_size}) expected, found {ids.min()} to {ids.max()}: "
                "its targets belong to another token space"
            )
