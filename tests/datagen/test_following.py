"""Requests in a batch that another engine forms: they write what they write in a batch of ours."""

import copy
import random
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pytest
import torch
from transformers import PreTrainedTokenizerFast

from datagen.config import SamplingConfig
from datagen.constrain import token_automaton
from datagen.engines.base import Request
from datagen.engines.following import Following, FreeFollowing, Row, VocabularyFollowing
from datagen.engines.guiding import Constraint, SentenceEnds
from datagen.engines.transformers_engine import TransformersEngine, draw
from datagen.errors import DatagenError, EngineError
from datagen.surface import story_dfa
from datagen.vocabulary import load_vocabulary
from flows.constraints import tokenizer_facts
from tests.datagen.tiny_llama import _one_thread, random_llama
from tests.tiny_tokenizers import byte_level_json

__all__ = ["_one_thread"]

VOCAB_SIZE = 512
NUM_PADDED = 8
REQUIRED = (frozenset({"jump", "jumped"}), frozenset({"boat", "boats"}))


@pytest.fixture(scope="module")
def engine() -> TransformersEngine:
    """Ours, in float64, so that its batches do not show in what it writes."""
    from tokenizers import Tokenizer

    backend = Tokenizer.from_str(byte_level_json(VOCAB_SIZE))
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, eos_token="</s>")
    facts = tokenizer_facts(byte_level_json(VOCAB_SIZE), (tokenizer.eos_token_id,))
    dfa = story_dfa(load_vocabulary("age3"))
    automaton = token_automaton(dfa, facts.token_bytes, facts.end_ids, strips_space=False)
    padded = random_llama(VOCAB_SIZE + NUM_PADDED, num_positions=256, spread=0.1)
    model = copy.deepcopy(padded).double()

    def encode(text: str) -> list[int]:
        return list(tokenizer.encode(text, add_special_tokens=False))

    constraint = Constraint.of(automaton, facts.token_bytes, facts.end_ids, model, encode)
    return TransformersEngine(model, tokenizer, lambda _: [0], facts.end_ids, 8, constraint)


def _sampling(**changes: float) -> SamplingConfig:
    values = {"temperature": 1.0, "top_k": 40, "max_new_tokens": 150, "soft_limit_tokens": 0}
    more = {"max_attempts": 1, "seed": 0, "constrain": True, "steer": 4}
    return SamplingConfig.model_validate({**values, **more, **changes})


def _requests() -> list[Request]:
    openings = ["", "The dog", "", "I can", "", "The boat"]
    return [Request("", opening, seed, REQUIRED) for seed, opening in enumerate(openings)]


@dataclass
class ForeignBatch:
    """Draws for requests in rows that come, go and swap by chance, as vLLM's do."""

    engine: TransformersEngine
    requests: Sequence[Request]
    sampling: SamplingConfig
    drawn: list[list[int]] = field(default_factory=list)

    @torch.inference_mode()
    def write(self, following: Following, num_rows: int) -> None:
        chance = random.Random(7)
        self.drawn = [[] for _ in self.requests]
        while waiting := [place for place in range(len(self.requests)) if not self._is_done(place)]:
            places = chance.sample(waiting, min(num_rows, len(waiting)))
            rows = {row: Row(place, list(self.drawn[place])) for row, place in enumerate(places)}
            logits_BV = self._logits(places)
            following.shape(logits_BV, rows)
            uniforms_B = np.array([self._uniform(place) for place in places])
            for place, id_ in zip(places, draw(logits_BV, uniforms_B, self.sampling), strict=True):
                self.drawn[place].append(int(id_))

    def _is_done(self, place: int) -> bool:
        drawn = self.drawn[place]
        is_ended = bool(drawn) and drawn[-1] in self.engine.end_ids
        return is_ended or len(drawn) == self.sampling.max_new_tokens

    def _logits(self, places: Sequence[int]) -> torch.Tensor:
        """Of each row's next id, float32 (B, V); padding stands behind it."""
        encode = self.engine.tokenizer.encode
        told = [
            [0, *encode(self.requests[place].opening, add_special_tokens=False), *self.drawn[place]]
            for place in places
        ]
        longest = max(map(len, told))
        ids_BT = torch.tensor([[*ids, *[0] * (longest - len(ids))] for ids in told])
        logits_BTV: torch.Tensor = self.engine.model(input_ids=ids_BT, use_cache=False).logits
        return logits_BTV[range(len(told)), [len(ids) - 1 for ids in told]].float()

    def _uniform(self, place: int) -> float:
        uniforms = np.random.default_rng(self.requests[place].seed).random(
            self.sampling.max_new_tokens
        )
        return float(uniforms[len(self.drawn[place])])

    def texts(self) -> list[str]:
        return [
            request.opening + str(self.engine.tokenizer.decode(drawn, skip_special_tokens=True))
            for request, drawn in zip(self.requests, self.drawn, strict=True)
        ]


@pytest.mark.parametrize("steer", [0, 4])
def test_under_a_vocabulary_a_foreign_batch_writes_what_ours_does(
    engine: TransformersEngine, steer: float
) -> None:
    requests, sampling = _requests(), _sampling(steer=steer)
    expected = engine.write(requests, sampling, lambda _: None)
    assert engine.constraint is not None
    foreign = ForeignBatch(engine, requests, sampling)
    foreign.write(VocabularyFollowing.of(engine.constraint, requests, sampling), num_rows=4)
    assert foreign.texts() == [done.text for done in expected]
    assert any(done.is_finished for done in expected)


def test_free_requests_are_invited_to_end_as_ours_are(engine: TransformersEngine) -> None:
    requests, sampling = _requests(), _sampling(constrain=False, steer=0, max_new_tokens=40)
    expected = engine.write(requests, sampling, lambda _: None)
    ends = SentenceEnds.of(engine.tokenizer, VOCAB_SIZE + NUM_PADDED, engine.end_ids)
    foreign = ForeignBatch(engine, requests, sampling)
    foreign.write(FreeFollowing(ends, 0), num_rows=4)
    assert foreign.texts() == [done.text for done in expected]


def test_a_padded_id_may_be_drawn_freely(engine: TransformersEngine) -> None:
    ends = SentenceEnds.of(engine.tokenizer, VOCAB_SIZE + NUM_PADDED, engine.end_ids)
    logits_BV = torch.zeros(2, VOCAB_SIZE + NUM_PADDED)
    FreeFollowing(ends, 0).shape(logits_BV, {1: Row(0, [VOCAB_SIZE + NUM_PADDED - 1])})
    assert not logits_BV.any()


def test_rows_that_are_not_followed_stay_as_they_are(engine: TransformersEngine) -> None:
    assert engine.constraint is not None
    logits_BV = torch.zeros(3, VOCAB_SIZE + NUM_PADDED)
    following = VocabularyFollowing.of(engine.constraint, _requests()[:1], _sampling())
    following.shape(logits_BV, {1: Row(0, [])})
    assert not logits_BV[[0, 2]].any()
    is_open_V = logits_BV[1].isfinite()
    assert set(is_open_V.nonzero()[:, 0].tolist()) <= set(engine.constraint.ids_U.tolist())
    assert is_open_V.any()


def test_an_id_from_outside_stops_the_call(engine: TransformersEngine) -> None:
    assert engine.constraint is not None
    following = VocabularyFollowing.of(engine.constraint, _requests()[:1], _sampling())
    logits_BV = torch.zeros(1, VOCAB_SIZE + NUM_PADDED)
    with pytest.raises(EngineError, match=r"vocabulary alone, found \[519\]"):
        following.shape(logits_BV, {0: Row(0, [VOCAB_SIZE + NUM_PADDED - 1])})


def test_an_opening_from_outside_is_refused(engine: TransformersEngine) -> None:
    assert engine.constraint is not None
    outside = [Request("", "The xylocarp", 0, ())]
    with pytest.raises(DatagenError, match="opening inside the vocabulary"):
        VocabularyFollowing.of(engine.constraint, outside, _sampling())
