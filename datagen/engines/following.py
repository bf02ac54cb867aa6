"""Requests followed through batches that another engine forms: what each may write next.

vLLM takes requests into its batch, out of it and to other rows as it sees fit. So what is known of
a request stands in a guide of all requests of the call, under its place among them, and follows
from the ids that it has drawn. At every step the rows of the batch are picked from there;
datagen.engines.guiding says what is done to their logits.

Tensors: B rows of the batch, V token ids, U columns of allowed ids.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from datagen.config import SamplingConfig
from datagen.engines.base import Request
from datagen.engines.guiding import Constraint, FreeGuide, SentenceEnds, VocabularyGuide
from datagen.errors import EngineError


@dataclass(frozen=True, slots=True)
class Row:
    """One row of the batch: its request's place in the call, and the ids that it has drawn so far,
    a list that grows.
    """

    place: int
    drawn: Sequence[int]


class Following(Protocol):
    """Follows the requests of one call."""

    def shape(self, logits_BV: Tensor, rows: Mapping[int, Row]) -> None:
        """Change the logits of each row's next token, in place; rows: by index in the batch."""


@dataclass(frozen=True, slots=True)
class FreeFollowing:
    """Requests that write any ids."""

    ends: SentenceEnds
    soft_limit_tokens: int

    def shape(self, logits_BV: Tensor, rows: Mapping[int, Row]) -> None:
        """Invite the end after a sentence, in rows past the soft limit."""
        past = [i for i, row in rows.items() if len(row.drawn) > self.soft_limit_tokens]
        if not past:
            return
        last_B = torch.tensor([rows[i].drawn[-1] for i in past], device=logits_BV.device)
        shaped_BV = logits_BV[past]
        guide = FreeGuide(self.ends, self.soft_limit_tokens, last_B)
        guide.shape(shaped_BV, _steps([rows[i] for i in past], logits_BV.device))
        logits_BV[past] = shaped_BV


@dataclass(frozen=True, slots=True)
class VocabularyFollowing:
    """Requests that keep to a vocabulary: the guide of all of them, and how many ids of each it
    has taken in.
    """

    guide: VocabularyGuide
    num_taken: list[int] = field(default_factory=list)

    @classmethod
    def of(
        cls, constraint: Constraint, requests: Sequence[Request], sampling: SamplingConfig
    ) -> "VocabularyFollowing":
        """Nothing drawn yet; DatagenError if an opening is outside the vocabulary."""
        guide = constraint.guide(len(requests), sampling)
        guide.admit(range(len(requests)), requests)
        return cls(guide, [0] * len(requests))

    def shape(self, logits_BV: Tensor, rows: Mapping[int, Row]) -> None:
        """Take in what the rows have drawn, shape the columns of allowed ids, shut all other ids.

        EngineError if a row has drawn an id that was shut everywhere.
        """
        self._take(list(rows.values()))
        ids_U, device = self.guide.constraint.ids_U, logits_BV.device
        rows_B = torch.tensor(list(rows), device=device)
        shaped_BU = logits_BV[rows_B[:, None], ids_U]
        guide = self._picked([row.place for row in rows.values()])
        guide.shape(shaped_BU, _steps(list(rows.values()), device))
        logits_BV[rows_B] = -torch.inf
        logits_BV[rows_B[:, None], ids_U] = shaped_BU

    def _take(self, rows: Sequence[Row]) -> None:
        """Move the requests on by what they have drawn since the last time."""
        while behind := [row for row in rows if len(row.drawn) > self.num_taken[row.place]]:
            places = [row.place for row in behind]
            guide = self._picked(places)
            columns_B = self._columns([row.drawn[self.num_taken[row.place]] for row in behind])
            guide.take(columns_B.to(guide.states_B.device))
            self.guide.states_B[places] = guide.states_B
            for place in places:
                self.num_taken[place] += 1

    def _picked(self, places: list[int]) -> VocabularyGuide:
        """The guide of some requests. What they want is theirs and the whole guide's; their states
        are copies.
        """
        whole = self.guide
        wanted = [whole.wanted[place] for place in places]
        return VocabularyGuide(whole.constraint, whole.steering, whole.states_B[places], wanted)

    def _columns(self, ids: Sequence[int]) -> Tensor:
        """The ids' columns, int64."""
        ids_U = self.guide.constraint.automaton.ids_U
        columns_B = np.searchsorted(ids_U, ids).clip(max=len(ids_U) - 1)
        if not np.array_equal(ids_U[columns_B], ids):
            outside = sorted(set(ids) - set(ids_U.tolist()))
            raise EngineError(
                f"expected vLLM to draw ids of the vocabulary alone, found {outside[:5]}; set "
                "engine.kind = 'transformers' or sampling.constrain = false"
            )
        return torch.from_numpy(columns_B)


def _steps(rows: Sequence[Row], device: torch.device) -> Tensor:
    """How many ids each row has drawn, int64 (B,)."""
    return torch.tensor([len(row.drawn) for row in rows], device=device)
