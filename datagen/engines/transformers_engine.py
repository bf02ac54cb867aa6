"""The teacher as a transformers model in this process: batched wide, sorted by length, refilled as
rows end, each row drawing from its own seed.

Sampling is by inverse cumulative distribution over the `top_k` likeliest ids at the given
temperature, in float64, one uniform number per row and step taken from a generator that the
request's seed makes. So a story's draws do not depend on which rows stand beside it (its
probabilities do, in their last bits: which rows meet follows from the requests of a call alone).

Before each draw a guide shapes the logits: ends are invited, words outside the vocabulary shut,
missing ones drawn in. Targets are captured later, from the teacher's own law.
"""

from collections import deque
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from datagen.config import SamplingConfig
from datagen.engines.base import Completion, Request, TokensWritten
from datagen.engines.decoding import Batch
from datagen.engines.guiding import Constraint, FreeGuide, Guide, SentenceEnds
from datagen.errors import EngineError

# Ended rows make room for waiting requests, or are dropped, when they are this share of the batch:
# contexts are read together, and dropping rows copies the cache.
_CHANGE_SHARE = 1 / 8


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
        """One completion per request; they are begun by context length, then by place among the
        requests. DatagenError if sampling.constrain is on and there is no constraint, or an opening
        is outside the vocabulary.
        """
        texts = [self._text(request, sampling) for request in requests]
        waiting = deque(sorted(texts, key=lambda text: len(text.context_ids)))
        if not waiting:
            return []
        rows = self._rows(waiting, sampling)
        while rows.texts:
            on_tokens(rows.draw(sampling, self.end_ids))
            done = [row for row, text in enumerate(rows.texts) if text.is_done]
            if len(done) < _CHANGE_SHARE * len(rows.texts):
                continue
            if waiting:
                rows.admit([(row, waiting.popleft()) for row in done[: len(waiting)]])
            else:
                rows.drop_done()
        return [self._completion(text) for text in texts]

    def _text(self, request: Request, sampling: SamplingConfig) -> "_Text":
        opening_ids = self.tokenizer.encode(request.opening, add_special_tokens=False)
        return _Text(
            request=request,
            opening_ids=opening_ids,
            context_ids=[*self.encode(request.prompt), *opening_ids],
            uniforms=np.random.default_rng(request.seed).random(sampling.max_new_tokens),
        )

    def _completion(self, text: "_Text") -> Completion:
        ids = [*text.opening_ids, *text.drawn_ids]
        return Completion(
            text=str(self.tokenizer.decode(ids, skip_special_tokens=True)),
            num_tokens=len(text.drawn_ids) + text.is_ended,
            is_finished=text.is_ended,
            num_prompt_tokens=len(text.context_ids),
        )

    def _rows(self, waiting: "deque[_Text]", sampling: SamplingConfig) -> "_Rows":
        """The first rows, taken from the texts that wait."""
        num_rows = min(self.batch_size, len(waiting))
        model, guide = self._guided(num_rows, sampling)
        contexts = [text.context_ids for text in waiting]
        batch = Batch(model, contexts, num_rows=num_rows, max_new_tokens=sampling.max_new_tokens)
        first = [waiting.popleft() for _ in range(num_rows)]
        ids_B = torch.zeros(num_rows, dtype=torch.long, device=model.device)
        rows = _Rows(batch, guide, list(first), ids_B)
        rows.admit(list(enumerate(first)))
        return rows

    def _guided(self, num_rows: int, sampling: SamplingConfig) -> tuple[PreTrainedModel, Guide]:
        """The model that decodes, and the guide of its rows."""
        if not sampling.constrain:
            ends = SentenceEnds.of(self.tokenizer, self.model.config.vocab_size, self.end_ids)
            return self.model, FreeGuide(ends, sampling.soft_limit_tokens)
        if self.constraint is None:
            raise EngineError(
                "sampling.constrain = true: expected an engine made with the vocabulary's "
                "constraint, found none; make it with one"
            )
        return self.constraint.model, self.constraint.guide(num_rows, sampling)


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
class _Text:
    """One request while it is written: what the model reads before it, one number in [0, 1) for
    each draw, and what was drawn, its end id left out.
    """

    request: Request
    opening_ids: list[int]
    context_ids: list[int]
    uniforms: np.ndarray
    drawn_ids: list[int] = field(default_factory=list)
    is_ended: bool = False

    @property
    def is_done(self) -> bool:
        """Whether nothing more is drawn for it."""
        return self.is_ended or len(self.drawn_ids) == len(self.uniforms)

    def take(self, id_: int, end_ids: Collection[int]) -> bool:
        """Take the next id, unless the text is done; whether it was taken."""
        if self.is_done:
            return False
        self.is_ended = id_ in end_ids
        if not self.is_ended:
            self.drawn_ids.append(id_)
        return True


@dataclass(slots=True)
class _Rows:
    """The texts that are written now, one in each row; ids_B is what the model reads next.

    A text that is done keeps its row until the row is given away; its draws are thrown away.
    """

    batch: Batch
    guide: Guide
    texts: list[_Text]
    ids_B: Tensor

    def admit(self, begun: Sequence[tuple[int, _Text]]) -> None:
        """Begin texts in rows, in the place of what these held."""
        numbers, texts = [row for row, _ in begun], [text for _, text in begun]
        for row, text in begun:
            self.texts[row] = text
        self.batch.admit(numbers, [text.context_ids for text in texts])
        self.guide.admit(numbers, [text.request for text in texts])
        last_ids = [text.context_ids[-1] for text in texts]
        self.ids_B[numbers] = torch.tensor(last_ids, device=self.ids_B.device)

    def draw(self, sampling: SamplingConfig, end_ids: Collection[int]) -> int:
        """Draw one id in each row; how many of them belong to a text."""
        steps = [min(len(text.drawn_ids), len(text.uniforms) - 1) for text in self.texts]
        logits = self.batch.step(self.ids_B)
        self.guide.shape(logits, torch.tensor(steps, device=logits.device))
        drawn = zip(self.texts, steps, strict=True)
        uniforms_B = np.array([text.uniforms[step] for text, step in drawn])
        self.ids_B = self.guide.take(draw(logits, uniforms_B, sampling))
        taken = zip(self.texts, self.ids_B.tolist(), strict=True)
        return sum(text.take(id_, end_ids) for text, id_ in taken)

    def drop_done(self) -> None:
        """Go on with the texts that are not done."""
        kept = [row for row, text in enumerate(self.texts) if not text.is_done]
        self.texts = [self.texts[row] for row in kept]
        indices = torch.tensor(kept, dtype=torch.long, device=self.ids_B.device)
        self.ids_B = self.ids_B[indices]
        self.batch.keep(indices)
        self.guide.keep(indices)
