"""Stories drawn from a student: what a reader sees, and what required words and adherence are
measured on.

Each story is drawn alone, from a generator seeded by (seed, its index): it is the same, bit for
bit, whichever other stories are asked for with it. That costs speed on large machines (no batch),
which ten or a hundred small stories from a super tiny model do not need. Draws are by inverse
cumulative sum in float64 on the CPU, so the device moves only logits.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import DynamicCache, PreTrainedModel

from distill.errors import DistillError
from distill.prefix import PrefixSpace, prefix_ids
from warehouse.identity import seed_from

# The ids of a story so far and the logits of its next id, float64 (V,): the logits to draw from.
# An id of -inf is never drawn; at least one must be left.
Shape = Callable[[Sequence[int], NDArray[np.float64]], NDArray[np.float64]]


class StorySpace(PrefixSpace, Protocol):
    """What sampling needs of a token space."""

    @property
    def end_id(self) -> int:
        """The id that ends a story."""

    def decode(self, ids: Sequence[int]) -> str:
        """The text of ids."""


@dataclass(frozen=True, slots=True)
class Sampling:
    """How symbols are drawn: temperature 0 takes the likeliest; top_k None draws from all ids."""

    temperature: float
    max_new_tokens: int
    top_k: int | None = None


@dataclass(frozen=True, slots=True)
class Sample:
    """One story: its text, and whether it came to its end symbol before max_new_tokens."""

    text: str
    is_finished: bool
    num_tokens: int


def sample_stories(
    model: PreTrainedModel,
    space: StorySpace,
    contexts: Sequence[str | None],
    *,
    seed: int,
    sampling: Sampling,
    shape: Shape | None = None,
) -> list[Sample]:
    """One story for each context: the lines that say what is asked of it, in the form that the
    student was trained on, or None for a story of its choice.

    `shape` changes the logits before each draw; None: the student's own. A story also ends where
    the model's positions end. The start symbol is never drawn, unless it is the end symbol too.
    Raises DistillError if a context leaves no room for a story.
    """
    was_training = model.training
    model.train(False)
    try:
        with torch.inference_mode():
            return [
                _sample(
                    model,
                    space,
                    prefix_ids(space, context),
                    np.random.default_rng(seed_from(seed, index)),
                    sampling,
                    shape,
                )
                for index, context in enumerate(contexts)
            ]
    finally:
        model.train(was_training)


def _sample(
    model: PreTrainedModel,
    space: StorySpace,
    prefix: NDArray[np.int32],
    rng: np.random.Generator,
    sampling: Sampling,
    shape: Shape | None,
) -> Sample:
    limit = getattr(model.config, "max_position_embeddings", None)
    room = sampling.max_new_tokens if limit is None else limit - len(prefix)
    if room < 1:
        raise DistillError(
            f"expected a prompt of fewer than {limit} ids (the model's positions), "
            f"found {len(prefix)}; ask for less"
        )
    cache = DynamicCache()
    read = torch.from_numpy(prefix.astype(np.int64))[None]
    ids: list[int] = []
    for _ in range(min(room, sampling.max_new_tokens)):
        logits = model(
            input_ids=read.to(model.device),
            past_key_values=cache,
            use_cache=True,
            logits_to_keep=1,
        ).logits
        logits_V = logits[0, -1].double().cpu().numpy()
        if space.start_id != space.end_id:
            logits_V[space.start_id] = -np.inf
        if shape is not None:
            logits_V = shape(ids, logits_V)
        next_id = _draw(logits_V, rng, sampling)
        if next_id == space.end_id:
            return Sample(space.decode(ids), True, len(ids) + 1)
        ids.append(next_id)
        read = torch.tensor([[next_id]])
    return Sample(space.decode(ids), False, len(ids))


def _draw(
    logits_V: NDArray[np.float64],
    rng: np.random.Generator,
    sampling: Sampling,
) -> int:
    """An id drawn from softmax(logits / temperature), restricted to the top_k likeliest (ties: the
    lower id).
    """
    if sampling.temperature == 0:
        return int(logits_V.argmax())
    order = np.argsort(-logits_V, kind="stable")[: sampling.top_k]
    weights = np.exp((logits_V[order] - logits_V[order[0]]) / sampling.temperature)
    cumulative = np.cumsum(weights)
    place = int(np.searchsorted(cumulative, rng.random() * cumulative[-1], side="right"))
    return int(order[min(place, len(order) - 1)])
