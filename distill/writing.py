"""What a student writes after several prefixes at once, one forward pass for a symbol of each.

Legend: B texts in work, P longest prefix, V ids of the student, L symbols that a text may have.

Every draw has its uniform beforehand: which symbol it gives follows from that and the student's
law, so a text's neighbours in a batch move it by their effect on a logit's last bits alone.
Prefixes stand on the right, with a mask over what is to their left; a text that has ended leaves
the batch.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import DynamicCache, LlamaForCausalLM

from distill.draws import draw_counts
from distill.errors import DistillError

Int32Array = NDArray[np.int32]


@dataclass(frozen=True, slots=True, eq=False)
class WritingRequest:
    """What a text is written after, int32[P], and the uniforms in [0, 1) of its symbols,
    float64[L]: at most L of them are written, L at least 1.
    """

    prefix_ids: Int32Array
    uniforms: NDArray[np.float64]


def write_texts(
    model: LlamaForCausalLM,
    requests: Sequence[WritingRequest],
    *,
    start_id: int,
    end_ids: Sequence[int],
    temperature: float,
    max_positions: int,
) -> list[Int32Array]:
    """The ids of each request's text: the end symbol is the last, unless it was cut off at L.

    Any of end_ids ends a text, the first stands for it; the start symbol is never drawn, unless it
    is one of them. Each id is the first whose cumulative probability at `temperature` exceeds its
    uniform (distill.draws). A batch's texts, prefixes included, have at most max_positions places
    (one text at least), longest first, so equal requests in equal order make equal batches. Raises
    DistillError for logits that are not finite.
    """
    written: list[Int32Array] = [np.zeros(0, np.int32)] * len(requests)
    banned = None if start_id in end_ids else start_id
    with torch.no_grad():
        for places in _batches(requests, max_positions):
            batch = _Batch(model, [requests[place] for place in places])
            while batch.rows:
                probs_BV = _probabilities(batch.next_logits(), banned, temperature)
                batch.take(probs_BV, end_ids)
            for place, ids in zip(places, batch.ids, strict=True):
                written[place] = np.array(ids, np.int32)
    return written


class _Batch:
    """Texts that are written together: `ids` of each so far, `rows` of those that go on."""

    def __init__(self, model: LlamaForCausalLM, requests: Sequence[WritingRequest]) -> None:
        self.ids: list[list[int]] = [[] for _ in requests]
        self.rows = list(range(len(requests)))
        self._model, self._requests = model, requests
        self._cache = DynamicCache()
        sizes = [len(request.prefix_ids) for request in requests]
        inputs_BP = np.zeros((len(requests), max(sizes)), np.int64)
        mask_BP = np.zeros_like(inputs_BP)
        for row, request in enumerate(requests):
            inputs_BP[row, -sizes[row] :] = request.prefix_ids
            mask_BP[row, -sizes[row] :] = 1
        self._inputs = torch.from_numpy(inputs_BP).to(model.device)
        self._mask = torch.from_numpy(mask_BP).to(model.device)

    def next_logits(self) -> torch.Tensor:
        """float64[B, V] of the next symbol of each text that goes on."""
        places = (self._mask.cumsum(dim=1) - 1).clamp(min=0)
        said = self._model(
            input_ids=self._inputs,
            attention_mask=self._mask,
            position_ids=places[:, -self._inputs.shape[1] :],
            past_key_values=self._cache,
            use_cache=True,
            logits_to_keep=1,
        )
        logits_BV: torch.Tensor = said.logits[:, -1].double()
        return logits_BV

    def take(self, probs_BV: torch.Tensor, end_ids: Sequence[int]) -> None:
        """Write a symbol of each text, and let go of those that end with it."""
        uniforms_B1 = np.array(
            [[self._requests[row].uniforms[len(self.ids[row])]] for row in self.rows]
        )
        drawn = draw_counts(probs_BV, uniforms_B1).ids.tolist()
        for row, id_ in zip(self.rows, drawn, strict=True):
            self.ids[row].append(end_ids[0] if id_ in end_ids else id_)
        going_on = [
            place
            for place, (row, id_) in enumerate(zip(self.rows, drawn, strict=True))
            if id_ not in end_ids and len(self.ids[row]) < len(self._requests[row].uniforms)
        ]
        if len(going_on) < len(drawn):
            kept = torch.tensor(going_on, dtype=torch.int64, device=self._mask.device)
            self._cache.batch_select_indices(kept)
            self._mask = self._mask[kept]
        self.rows = [self.rows[place] for place in going_on]
        inputs_B1 = torch.tensor([[drawn[place]] for place in going_on], dtype=torch.int64)
        self._inputs = inputs_B1.to(self._mask.device)
        self._mask = torch.nn.functional.pad(self._mask, (0, 1), value=1)


def _batches(requests: Sequence[WritingRequest], max_positions: int) -> Iterator[list[int]]:
    """The places of the requests of each batch."""

    def longest_first(place: int) -> tuple[int, int]:
        return -len(requests[place].uniforms), place

    batch: list[int] = []
    num_before = 0
    for place in sorted(range(len(requests)), key=longest_first):
        num_before = max(num_before, len(requests[place].prefix_ids))
        num_symbols = len(requests[batch[0] if batch else place].uniforms)
        if batch and (len(batch) + 1) * (num_before + num_symbols) > max_positions:
            yield batch
            batch, num_before = [], len(requests[place].prefix_ids)
        batch.append(place)
    if batch:
        yield batch


def _probabilities(logits_BV: torch.Tensor, banned: int | None, temperature: float) -> torch.Tensor:
    if not bool(logits_BV.isfinite().all()):
        raise DistillError(
            "expected finite logits of the student as it writes, found others: lower "
            "train.learning_rate or raise train.warmup_share"
        )
    if banned is not None:
        logits_BV[:, banned] = -torch.inf
    return (logits_BV / temperature).softmax(dim=1)
