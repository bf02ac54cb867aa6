"""The teacher as a transformers model in this process: batched wide, sorted by length, each row
drawing from its own seed.

Sampling is by inverse cumulative distribution over the `top_k` likeliest ids at the given
temperature, in float64, one uniform number per row and step taken from a generator that the
request's seed makes. So a story's draws do not depend on which rows stand beside it (its
probabilities do, in their last bits: the caller forms the batches).

Before each draw a guide shapes the logits: ends are invited, words outside the vocabulary shut,
missing ones drawn in. Targets are captured later, from the teacher's own law.
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from datagen.config import SamplingConfig
from datagen.engines.base import Completion, Request, TokensWritten
from datagen.engines.decoding import Batch, prefill
from datagen.engines.guiding import Constraint, FreeGuide, Guide, SentenceEnds
from datagen.errors import EngineError

# Ended rows are taken out when they are this share of the batch: each time copies the cache once.
_COMPACT_SHARE = 1 / 8


@dataclass(frozen=True, slots=True)
class TransformersEngine:
    """Writes with a loaded model; `encode` gives the ids of a prompt as the model expects to be
    told it. `constraint` is what sampling.constrain asks for.
    """

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    encode: Callable[[str], list[int]]
    end_ids: Sequence[int]
    batch_size: int
    constraint: Constraint | None = None

    @torch.inference_mode()
    def write(
        self, requests: Sequence[Request], sampling: SamplingConfig, on_tokens: TokensWritten
    ) -> list[Completion]:
        """One completion per request; batches are formed by context length, then by place among the
        requests. DatagenError if sampling.constrain is on and there is no constraint, or an opening
        is outside the vocabulary.
        """
        openings = [self.tokenizer.encode(r.opening, add_special_tokens=False) for r in requests]
        contexts = [
            self.encode(request.prompt) + opening
            for request, opening in zip(requests, openings, strict=True)
        ]
        order = sorted(range(len(requests)), key=lambda place: (len(contexts[place]), place))
        model, guided = self._guided(sampling)
        completions: dict[int, Completion] = {}
        for start in range(0, len(order), self.batch_size):
            places = order[start : start + self.batch_size]
            rows = _Rows.of([requests[place].seed for place in places], sampling.max_new_tokens)
            batch, logits = prefill(
                model, [contexts[place] for place in places], sampling.max_new_tokens
            )
            guide = guided([requests[place] for place in places])
            self._decode(batch, logits, rows, guide, sampling, on_tokens)
            for row, place in enumerate(places):
                ids = openings[place] + rows.drawn[row]
                completions[place] = Completion(
                    text=str(self.tokenizer.decode(ids, skip_special_tokens=True)),
                    num_tokens=len(rows.drawn[row]) + rows.is_ended[row],
                    is_finished=rows.is_ended[row],
                    num_prompt_tokens=len(contexts[place]),
                )
        return [completions[place] for place in range(len(requests))]

    def _guided(
        self, sampling: SamplingConfig
    ) -> tuple[PreTrainedModel, Callable[[Sequence[Request]], Guide]]:
        """The model that decodes, and what makes the guide of a batch."""
        if not sampling.constrain:
            ends = SentenceEnds.of(self.tokenizer, self.model.config.vocab_size, self.end_ids)
            return self.model, lambda _: FreeGuide(ends, sampling.soft_limit_tokens)
        constraint = self.constraint
        if constraint is None:
            raise EngineError(
                "sampling.constrain = true: expected an engine made with the vocabulary's "
                "constraint, found none; make it with one"
            )
        return constraint.model, lambda requests: constraint.guide(requests, sampling)

    def _decode(
        self,
        batch: Batch,
        logits: Tensor,
        rows: "_Rows",
        guide: Guide,
        sampling: SamplingConfig,
        on_tokens: TokensWritten,
    ) -> None:
        live = list(range(len(rows.drawn)))
        for step in range(sampling.max_new_tokens):
            guide.shape(logits, step)
            ids_B = guide.take(draw(logits, rows.uniforms[live, step], sampling))
            on_tokens(rows.add(live, ids_B.tolist(), self.end_ids))
            open_places = [place for place, row in enumerate(live) if not rows.is_ended[row]]
            if not open_places or step + 1 == sampling.max_new_tokens:
                return
            if len(live) - len(open_places) >= _COMPACT_SHARE * len(live):
                indices = torch.tensor(open_places, device=ids_B.device)
                batch.keep(indices)
                guide.keep(indices)
                live, ids_B = [live[place] for place in open_places], ids_B[indices]
            logits = batch.step(ids_B)


def draw(logits_BV: Tensor, uniforms_B: np.ndarray, sampling: SamplingConfig) -> Tensor:
    """One id per row, drawn from softmax(logits / temperature) cut to its top_k ids; int64 (B,).

    uniforms_B: float64 in [0, 1), one per row.
    """
    top_k = min(sampling.top_k, logits_BV.shape[1])
    values_BK, ids_BK = torch.topk(logits_BV, top_k, dim=1)
    cumulative_BK = torch.softmax(values_BK.double() / sampling.temperature, dim=1).cumsum(dim=1)
    uniforms = torch.from_numpy(uniforms_B).to(logits_BV.device)
    threshold_B1 = uniforms[:, None] * cumulative_BK[:, -1:]
    places_B1 = torch.searchsorted(cumulative_BK, threshold_B1, right=True).clamp(max=top_k - 1)
    return ids_BK.gather(1, places_B1)[:, 0]


@dataclass(slots=True)
class _Rows:
    """What each row of a batch has drawn so far."""

    uniforms: np.ndarray
    drawn: list[list[int]] = field(default_factory=list)
    is_ended: list[bool] = field(default_factory=list)

    @classmethod
    def of(cls, seeds: Sequence[int], num_steps: int) -> "_Rows":
        uniforms = np.stack([np.random.default_rng(seed).random(num_steps) for seed in seeds])
        return cls(uniforms, [[] for _ in seeds], [False] * len(seeds))

    def add(self, live: Sequence[int], ids: Sequence[int], end_ids: Collection[int]) -> int:
        """Take each live row's id unless the row has ended; returns how many were taken."""
        taken = 0
        for row, token in zip(live, ids, strict=True):
            if self.is_ended[row]:
                continue
            taken += 1
            if token in end_ids:
                self.is_ended[row] = True
            else:
                self.drawn[row].append(token)
        return taken
