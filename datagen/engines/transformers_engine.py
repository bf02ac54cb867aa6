"""The teacher as a transformers model in this process: batched wide, sorted by length, each row
drawing from its own seed.

Sampling is by inverse cumulative distribution over the `top_k` likeliest ids at the given
temperature, in float64, one uniform number per row and step taken from a generator that the
request's seed makes. So a story's draws do not depend on which rows stand beside it (its
probabilities do, in their last bits: the caller forms the batches).

A weak teacher rarely ends by itself. Past the soft limit the end symbol's logit grows with every
token, but only where a sentence has just ended. Targets are captured later, from the teacher's own
law.
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

# Ended rows are taken out when they are this share of the batch: each time copies the cache once.
_COMPACT_SHARE = 1 / 8
# Nats per token past the soft limit: ten tokens on, a sentence's end is e times likelier to be the
# story's.
_END_BONUS = 0.1
_AFTER_SENTENCE = "\"'\u201d\u2019\u0120\u010a\u2581"


@dataclass(frozen=True, slots=True)
class TransformersEngine:
    """Writes with a loaded model; `encode` gives the ids of a prompt as the model expects to be
    told it.
    """

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    encode: Callable[[str], list[int]]
    end_ids: Sequence[int]
    batch_size: int

    def write(
        self, requests: Sequence[Request], sampling: SamplingConfig, on_tokens: TokensWritten
    ) -> list[Completion]:
        """One completion per request; batches are formed by context length, then by place among the
        requests.
        """
        openings = [self.tokenizer.encode(r.opening, add_special_tokens=False) for r in requests]
        contexts = [
            self.encode(request.prompt) + opening
            for request, opening in zip(requests, openings, strict=True)
        ]
        order = sorted(range(len(requests)), key=lambda place: (len(contexts[place]), place))
        ends = _Ends.of(self.tokenizer, self.model.config.vocab_size, self.end_ids)
        completions: dict[int, Completion] = {}
        for start in range(0, len(order), self.batch_size):
            places = order[start : start + self.batch_size]
            rows = _Rows.of([requests[place].seed for place in places], sampling.max_new_tokens)
            self._decode([contexts[place] for place in places], rows, ends, sampling, on_tokens)
            for row, place in enumerate(places):
                ids = openings[place] + rows.drawn[row]
                completions[place] = Completion(
                    text=str(self.tokenizer.decode(ids, skip_special_tokens=True)),
                    num_tokens=len(rows.drawn[row]) + rows.is_ended[row],
                    is_finished=rows.is_ended[row],
                )
        return [completions[place] for place in range(len(requests))]

    @torch.inference_mode()
    def _decode(
        self,
        contexts: Sequence[Sequence[int]],
        rows: "_Rows",
        ends: "_Ends",
        sampling: SamplingConfig,
        on_tokens: TokensWritten,
    ) -> None:
        batch, logits_BV = prefill(self.model, contexts, sampling.max_new_tokens)
        live = list(range(len(contexts)))
        for step in range(sampling.max_new_tokens):
            ids_B = draw(logits_BV, rows.uniforms[live, step], sampling)
            on_tokens(rows.add(live, ids_B.tolist(), self.end_ids))
            open_places = [place for place, row in enumerate(live) if not rows.is_ended[row]]
            if not open_places or step + 1 == sampling.max_new_tokens:
                return
            if len(live) - len(open_places) >= _COMPACT_SHARE * len(live):
                live, ids_B = self._compact(batch, live, ids_B, open_places)
            logits_BV = batch.step(ids_B)
            ends.invite(logits_BV, ids_B, step + 1 - sampling.soft_limit_tokens)

    @staticmethod
    def _compact(
        batch: Batch, live: list[int], ids_B: Tensor, open_places: list[int]
    ) -> tuple[list[int], Tensor]:
        indices = torch.tensor(open_places, device=ids_B.device)
        batch.keep(indices)
        return [live[place] for place in open_places], ids_B[indices]


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


@dataclass(frozen=True, slots=True)
class _Ends:
    """Where a story may end: ids that end a sentence, as bool (V,), and the main end id."""

    is_sentence_end_V: Tensor
    end_id: int

    @classmethod
    def of(
        cls, tokenizer: PreTrainedTokenizerBase, vocab_size: int, end_ids: Sequence[int]
    ) -> "_Ends":
        tokens = tokenizer.convert_ids_to_tokens(list(range(len(tokenizer))))
        is_end = [token.rstrip(_AFTER_SENTENCE)[-1:] in (".", "!", "?") for token in tokens]
        padding = [False] * (vocab_size - len(is_end))
        return cls(torch.tensor(is_end + padding), end_ids[0])

    def invite(self, logits_BV: Tensor, ids_B: Tensor, num_past: int) -> None:
        """Raise the end's logit, in place, in rows whose last id ends a sentence, by how far they
        are past the soft limit.
        """
        if num_past > 0:
            logits_BV[:, self.end_id] += _END_BONUS * num_past * self.is_sentence_end_V[ids_B]


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
