"""A student's logits under a vocabulary, as distill.sample asks for them: the same automaton and
the same drawing in of words as the teacher's.
"""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from datagen.automaton_cache import TokenizerFacts
from datagen.constrain import TokenAutomaton
from datagen.engines.steering import Speller, Steering

# A student that learnt little needs more than the quickstart's teacher.
STEER_NATS = 5.0
STEER_AT_TOKENS = 60


class VocabularyShape:
    """Shuts what may not follow and favours missing words; follows one story at a time."""

    def __init__(
        self,
        automaton: TokenAutomaton,
        facts: TokenizerFacts,
        required: Sequence[frozenset[str]],
        *,
        encode: Callable[[str], Sequence[int]],
        max_new_tokens: int,
    ) -> None:
        columns = {id_: id_ for id_ in automaton.ids_U.tolist()}
        speller = Speller(encode, columns, automaton.spellings, adds_space=facts.strips_space)
        self._automaton = automaton
        self._facts = facts
        self._required = required
        self._steering = Steering(speller, STEER_NATS, STEER_AT_TOKENS, max_new_tokens)
        self._begin()

    def __call__(self, ids: Sequence[int], logits_V: NDArray[np.float64]) -> NDArray[np.float64]:
        """The logits to draw the next id from, given the ids of the story so far."""
        if len(ids) < self._num_heard:
            self._begin()
        for id_ in ids[self._num_heard :]:
            self._hear(id_)
        allowed, _ = self._automaton.row(self._state)
        shaped_V = np.full_like(logits_V, -np.inf)
        shaped_V[allowed] = logits_V[allowed]
        if self._wanted.missing:
            may_begin = bool(self._automaton.may_begin_word_S[self._state])
            favoured = self._steering.favoured(self._wanted, may_begin_word=may_begin)
            shaped_V[sorted(favoured)] += self._steering.bonus(self._num_heard)
            if self._steering.withholds_end(self._wanted, self._num_heard):
                shaped_V[list(self._facts.end_ids)] = -np.inf
        return shaped_V

    def _begin(self) -> None:
        self._state = self._automaton.start
        self._num_heard = 0
        self._wanted = self._steering.begin(self._required, "")

    def _hear(self, id_: int) -> None:
        allowed, next_states = self._automaton.row(self._state)
        self._state = int(next_states[np.searchsorted(allowed, id_)])
        self._num_heard += 1
        self._steering.hear(self._wanted, id_, self._facts.token_bytes[id_])
