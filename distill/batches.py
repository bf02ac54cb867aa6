"""Documents in an order that follows from (seed, epoch, rank, world size): a resumed run and a
control read the same.

An epoch is a shuffle of all documents, cut into optimizer steps of nearly equal numbers of target
tokens: no document is lost, none is cut, and there is no small last step with a noisy gradient. A
step mixes all lengths; inside it documents are sorted by length and cut into batches of a bounded
padded size, which saves padding (right, so that the causal mask alone hides it) without making some
steps all short and others all long; for an accelerator, rows of one length hold several documents.
A target never sees another document. Several ranks divide each step among them, so the steps are
the same for any number of ranks.

Shapes: B documents of a batch, T padded length, N targets of a batch, K kept draws of a batch, D
documents of the set.
"""

import heapq
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, fields

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


def _nothing() -> torch.Tensor:
    return torch.empty(0, dtype=torch.float64)


@dataclass(frozen=True, slots=True)
class Batch:
    """Documents of one forward pass.

    Target n is predicted by row `positions_N[n]` of the flat (B * T) hidden states.

    All int64. `offsets_N1`, `target_ids_K` and `target_counts_K` are what sparse_cross_entropy
    takes. Of top-k targets the counts are empty, and `target_logprobs_K` and `tail_logmass_N`,
    float64, are what top_k_cross_entropy takes; else these two are empty. `position_ids_BT` is
    there where rows hold several documents: positions begin at 0 with each, by which transformers
    knows them apart, turns each as if it were alone (RoPE) and masks every attention across them;
    padding is at position 0, each a document of its own.
    """

    input_ids_BT: torch.Tensor
    positions_N: torch.Tensor
    labels_N: torch.Tensor
    offsets_N1: torch.Tensor
    target_ids_K: torch.Tensor
    target_counts_K: torch.Tensor
    target_logprobs_K: torch.Tensor = field(default_factory=_nothing)
    tail_logmass_N: torch.Tensor = field(default_factory=_nothing)
    position_ids_BT: torch.Tensor | None = None

    @property
    def num_tokens(self) -> int:
        """Targets, N."""
        return len(self.labels_N)

    def to(self, device: torch.device) -> "Batch":
        """The same batch on that device."""
        tensors = {each.name: getattr(self, each.name) for each in fields(self)}
        moved = {name: held.to(device) for name, held in tensors.items() if held is not None}
        return Batch(**moved)


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


def split_step(num_targets_D: Int64Array, indices: Int64Array, world_size: int) -> list[Int64Array]:
    """Each rank's share of a step's documents, in the step's order: every document on one rank.

    Longest first, each to the rank with the fewest targets so far (the first of several), so two
    ranks differ by one document at most. A rank has none where there are fewer documents than
    ranks.
    """
    if world_size == 1:
        return [indices]
    num_targets = num_targets_D[indices]
    rank_of = np.empty(len(indices), dtype=np.int64)
    loads = [(0, rank) for rank in range(world_size)]
    for place in np.argsort(-num_targets, kind="stable").tolist():
        load, rank = heapq.heappop(loads)
        rank_of[place] = rank
        heapq.heappush(loads, (load + int(num_targets[place]), rank))
    return [indices[rank_of == rank] for rank in range(world_size)]


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


def make_batches(
    documents: Sequence[StudentDocument], max_batch_tokens: int, row_length: int | None = None
) -> list[Batch]:
    """One step's documents as batches of at most `max_batch_tokens` padded tokens, long ones first.

    Without a row_length each document is a row, padded to the longest of its batch. With one, rows
    have that length (a longer document is refused by check_documents) and hold several documents:
    shapes that do not change are what an accelerator wants, and a CPU would pay for their attention
    across documents, though it is masked. A row is longer than max_batch_tokens only alone.
    """
    by_length = sorted(documents, key=_num_inputs, reverse=True)
    if row_length is not None:
        return _packed_batches(by_length, max_batch_tokens, row_length)
    batches, start = [], 0
    while start < len(by_length):
        width = _num_inputs(by_length[start])
        rows = max(1, max_batch_tokens // width)
        batches.append(_make_batch([[d] for d in by_length[start : start + rows]], width))
        start += rows
    return batches


def _packed_batches(
    by_length: Sequence[StudentDocument], max_batch_tokens: int, row_length: int
) -> list[Batch]:
    """Each document, longest first, in the first row that has room for it."""
    width = max(_num_inputs(by_length[0]), min(row_length, max_batch_tokens))
    rows: list[list[StudentDocument]] = []
    room: list[int] = []
    for document in by_length:
        size = _num_inputs(document)
        row = next((row for row, left in enumerate(room) if left >= size), len(rows))
        if row == len(rows):
            rows.append([])
            room.append(width)
        rows[row].append(document)
        room[row] -= size
    num_rows = max(1, max_batch_tokens // width)
    parts = [rows[first : first + num_rows] for first in range(0, len(rows), num_rows)]
    return [_make_batch(part, width, is_packed=True) for part in parts]


def _num_inputs(document: StudentDocument) -> int:
    return len(document.prefix_ids) + len(document.input_ids) - 1


def _make_batch(
    rows: Sequence[Sequence[StudentDocument]], width: int, *, is_packed: bool = False
) -> Batch:
    documents = [document for row in rows for document in row]
    num_prefix_B = np.array([len(document.prefix_ids) for document in documents])
    num_targets_B = np.array([len(document.input_ids) for document in documents])
    num_draws_B = np.array([len(document.target_ids) for document in documents])
    num_inputs_B = num_prefix_B + num_targets_B - 1
    # Where each document begins in the flat inputs: behind those of its row.
    sizes_of_rows = np.split(num_inputs_B, np.cumsum([len(row) for row in rows])[:-1])
    starts_B = np.concatenate([r * width + _before(s) for r, s in enumerate(sizes_of_rows)])
    labels_N = _joined([document.input_ids for document in documents])
    positions_N = _ranges(starts_B + num_prefix_B - 1, num_targets_B)
    input_ids_BT = np.full((len(rows), width), _PADDING_ID, dtype=np.int64)
    is_read_N = np.ones(len(labels_N), dtype=np.bool_)
    is_read_N[np.cumsum(num_targets_B) - 1] = False  # a document's last target
    flat_ids = input_ids_BT.reshape(-1)
    flat_ids[positions_N[is_read_N] + 1] = labels_N[is_read_N]
    prefix_ids = _joined([document.prefix_ids for document in documents])
    flat_ids[_ranges(starts_B, num_prefix_B)] = prefix_ids
    ends_N = _joined([document.offsets[1:] for document in documents])
    ends_N += np.repeat(_before(num_draws_B), num_targets_B)
    arrays = [
        input_ids_BT,
        positions_N,
        labels_N,
        np.append(0, ends_N),
        _joined([document.target_ids for document in documents]),
        _joined([document.target_counts for document in documents]),
        np.concatenate([document.target_logprobs for document in documents]),
        np.concatenate([document.tail_logmass for document in documents]),
    ]
    if is_packed:
        place_BT = np.zeros_like(input_ids_BT)
        place_BT.reshape(-1)[_ranges(starts_B, num_inputs_B)] = _ranges(0, num_inputs_B)
        arrays.append(place_BT)
    return Batch(*map(torch.from_numpy, arrays))


def _ranges(firsts_B: Int64Array | int, sizes_B: Int64Array) -> Int64Array:
    """The whole numbers from each first on, as many as its size says, end to end."""
    return np.arange(sizes_B.sum()) + np.repeat(firsts_B - _before(sizes_B), sizes_B)


def _before(sizes_B: Int64Array) -> Int64Array:
    """How much comes before each of the sizes."""
    return np.cumsum(sizes_B) - sizes_B


def _joined(arrays: Sequence[npt.NDArray[np.integer]]) -> Int64Array:
    return np.concatenate(arrays, dtype=np.int64)


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
