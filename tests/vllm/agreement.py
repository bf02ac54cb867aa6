"""Where two greedy decodings of the same prompts part, and whether they had to.

Two engines compute the same logits but for their last bits. So they may write another id only where
the two likeliest ones lie that close together; such a place is exempt, and counted.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel

from datagen.engines.guiding import Guide

TIE_NATS = 1e-3


@dataclass(frozen=True, slots=True)
class Agreement:
    """num_positions: compared, up to where a row parts. num_exempt: rows that part at a tie."""

    num_rows: int
    num_equal: int
    num_positions: int
    num_exempt: int
    wrong: tuple[str, ...]

    def __str__(self) -> str:
        return (
            f"{self.num_equal} of {self.num_rows} rows equal, {self.num_positions} positions "
            f"compared, {self.num_exempt} exempt, {len(self.wrong)} wrong"
        )


@dataclass(frozen=True, slots=True)
class Greedy:
    """What the model itself would write. guide_of: a guide of a row's request alone, nothing drawn;
    ids_U: the ids whose logits the model gives, sorted.
    """

    model: PreTrainedModel
    guide_of: Callable[[int], Guide]
    ids_U: Tensor

    @torch.inference_mode()
    def margin(self, row: int, context: Sequence[int], ids: Sequence[int], place: int) -> float:
        """By how many nats the likeliest id leads before ids[place] is written."""
        told = torch.tensor([[*context, *ids[:place]]])
        logits_1U = self.model(input_ids=told, use_cache=False).logits[:, -1].float()
        guide = self.guide_of(row)
        for id_ in ids[:place]:
            guide.take(torch.searchsorted(self.ids_U, torch.tensor([id_])))
        guide.shape(logits_1U, torch.tensor([place]))
        best, second = torch.topk(logits_1U[0], 2).values.tolist()
        return float(best - second)


class IdsAsText:
    """A tokenizer that decodes to the ids themselves: an engine's text then says what it drew."""

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer

    def __getattr__(self, name: str) -> Any:
        return getattr(self._tokenizer, name)

    def __len__(self) -> int:
        return len(self._tokenizer)

    def decode(self, ids: Sequence[int], **_: object) -> str:
        return " ".join(map(str, ids))


def ids_of(text: str) -> list[int]:
    """The ids of a text of IdsAsText."""
    return [int(id_) for id_ in text.split()]


def compare(
    greedy: Greedy,
    contexts: Sequence[Sequence[int]],
    ours: Sequence[Sequence[int]],
    places: Sequence[int | None],
) -> Agreement:
    """How two decodings agree. ours: what the transformers engine drew, ends included. places:
    where the other one parts from it, None where it does not.
    """
    exempt, wrong, positions = 0, [], 0
    for row, (context, ids, place) in enumerate(zip(contexts, ours, places, strict=True)):
        positions += len(ids) if place is None else place + 1
        if place is None:
            continue
        margin = greedy.margin(row, context, ids, place)
        if margin <= TIE_NATS:
            exempt += 1
        else:
            wrong.append(f"row {row}, place {place} of {len(ids)}: {margin:.5f} nats apart")
    equal = sum(place is None for place in places)
    return Agreement(len(places), equal, positions, exempt, tuple(wrong))


def first_difference(ours: Sequence[int], theirs: Sequence[int]) -> int | None:
    """The first place at which the ids differ, or None."""
    if list(ours) == list(theirs):
        return None
    pairs = enumerate(zip(ours, theirs, strict=False))
    return next((place for place, (a, b) in pairs if a != b), min(len(ours), len(theirs)))
