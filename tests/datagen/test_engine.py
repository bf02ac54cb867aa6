"""The engine against transformers' own decoding, its draws against the softmax, its attention
against sdpa.
"""

import copy
import math
from collections.abc import Sequence
from typing import Any, cast

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import LlamaForCausalLM, PreTrainedTokenizerFast

from datagen.config import SamplingConfig
from datagen.engines.base import Completion, Request
from datagen.engines.transformers_engine import TransformersEngine, draw
from tests.datagen.tiny_llama import VOCAB_SIZE, _one_thread, model, sdpa_model

__all__ = ["_one_thread", "model", "sdpa_model"]

START_ID = 0
MAX_NEW_TOKENS = 40
# Every id is a word of its own, so a text says exactly which ids were drawn.
WORDS = [f"w{id_}" for id_ in range(VOCAB_SIZE)]
NEVER = VOCAB_SIZE  # an id that no draw falls on


@pytest.fixture(scope="module")
def tokenizer() -> PreTrainedTokenizerFast:
    return _words_as_ids(WORDS)


def _words_as_ids(words: Sequence[str]) -> PreTrainedTokenizerFast:
    backend = Tokenizer(models.WordLevel({word: id_ for id_, word in enumerate(words)}, words[0]))
    backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return PreTrainedTokenizerFast(tokenizer_object=backend)


def _sampling(**changes: float) -> SamplingConfig:
    values = {
        "temperature": 1.0,
        "top_k": 1,
        "max_new_tokens": MAX_NEW_TOKENS,
        "soft_limit_tokens": MAX_NEW_TOKENS,
        "constrain": False,
        "steer": 0,
        "max_attempts": 1,
        "seed": 0,
    }
    return SamplingConfig.model_validate({**values, **changes})


def _requests(num_requests: int, *, shared: Sequence[int] = ()) -> list[Request]:
    """Openings of 1 to 9 ids after the shared ones, each with a seed of its own."""
    rng = np.random.default_rng(1)
    openings = [[*shared, *rng.integers(1, VOCAB_SIZE, 1 + i % 9)] for i in range(num_requests)]
    return [
        Request(prompt="", opening=" ".join(WORDS[id_] for id_ in ids), seed=seed, required=())
        for seed, ids in enumerate(openings)
    ]


def _engine(
    model: LlamaForCausalLM,
    tokenizer: PreTrainedTokenizerFast,
    *,
    end_ids: Sequence[int] = (NEVER - 1,),
    batch_size: int = 64,
) -> TransformersEngine:
    return TransformersEngine(
        model=model,
        tokenizer=tokenizer,
        encode=lambda _: [START_ID],
        end_ids=end_ids,
        batch_size=batch_size,
    )


def _write(
    engine: TransformersEngine, requests: Sequence[Request], **changes: float
) -> list[Completion]:
    return engine.write(requests, _sampling(**changes), lambda _: None)


def _generated(
    model: LlamaForCausalLM,
    tokenizer: PreTrainedTokenizerFast,
    request: Request,
    end_ids: Sequence[int],
) -> Completion:
    """What transformers' own greedy decoding makes of the request by itself."""
    opening = tokenizer.encode(request.opening, add_special_tokens=False)
    context = [START_ID, *opening]
    ids = (
        cast(Any, model)
        .generate(
            torch.tensor([context]),
            attention_mask=torch.ones(1, len(context), dtype=torch.long),
            do_sample=False,
            max_new_tokens=MAX_NEW_TOKENS,
            eos_token_id=list(end_ids),
            pad_token_id=end_ids[0],
        )[0, len(context) :]
        .tolist()
    )
    is_finished = ids[-1] in end_ids
    text = tokenizer.decode([*opening, *ids[: len(ids) - is_finished]])
    return Completion(str(text), len(ids), is_finished, len(context))


@pytest.fixture(scope="module")
def end_ids(model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast) -> list[int]:
    """Two ids at which some of the greedy rows end, at different lengths, and others do not."""
    completions = _write(_engine(model, tokenizer), _requests(24))
    drawn = [[int(word[1:]) for word in done.text.split()] for done in completions]
    counts = np.bincount(np.concatenate([np.unique(ids) for ids in drawn]), minlength=VOCAB_SIZE)
    return [int(id_) for id_ in np.argsort(np.abs(counts - len(drawn) // 3), kind="stable")[:2]]


@pytest.mark.parametrize("shared", [(), (5, 6, 7, 8)], ids=["own openings", "shared beginning"])
def test_greedy_texts_equal_transformers_own(
    model: LlamaForCausalLM,
    sdpa_model: LlamaForCausalLM,
    tokenizer: PreTrainedTokenizerFast,
    end_ids: list[int],
    shared: tuple[int, ...],
) -> None:
    requests = _requests(24, shared=shared)
    expected = [_generated(sdpa_model, tokenizer, request, end_ids) for request in requests]
    for batch_size in (1, 5, 64):
        engine = _engine(model, tokenizer, end_ids=end_ids, batch_size=batch_size)
        assert _write(engine, requests) == expected
    assert len({done.num_tokens for done in expected if done.is_finished}) > 3
    assert not all(done.is_finished for done in expected)


def test_equal_openings_are_written_from_one_beginning(
    model: LlamaForCausalLM, sdpa_model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast
) -> None:
    requests = [Request("", "w3 w4 w5", seed, ()) for seed in range(3)]
    expected = _generated(sdpa_model, tokenizer, requests[0], [NEVER - 1])
    assert _write(_engine(model, tokenizer), requests) == [expected] * 3


@pytest.mark.parametrize("top_k", [1, 20])
def test_a_repeat_is_equal(
    model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, end_ids: list[int], top_k: int
) -> None:
    engine = _engine(model, tokenizer, end_ids=end_ids, batch_size=8)
    requests = _requests(20)
    assert _write(engine, requests, top_k=top_k) == _write(engine, requests, top_k=top_k)


def test_draws_depend_on_the_seed_and_not_on_neighbours(
    model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, end_ids: list[int]
) -> None:
    # float64: what a neighbour moves is then below anything that a draw can see.
    model64 = copy.deepcopy(model).double()
    requests = _requests(20)
    together = _write(_engine(model64, tokenizer, end_ids=end_ids), requests, top_k=20)
    alone = _write(_engine(model64, tokenizer, end_ids=end_ids, batch_size=1), requests, top_k=20)
    assert together == alone
    assert 0 < sum(done.is_finished for done in alone) < len(alone)
    first = requests[0]
    others = [Request(first.prompt, first.opening, seed, ()) for seed in range(100, 110)]
    texts = {done.text for done in _write(_engine(model64, tokenizer), others, top_k=20)}
    assert len(texts) == len(others)


def test_every_drawn_token_is_reported_once(
    model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, end_ids: list[int]
) -> None:
    engine = _engine(model, tokenizer, end_ids=end_ids, batch_size=8)
    told: list[int] = []
    completions = engine.write(_requests(20), _sampling(), told.append)
    assert sum(told) == sum(done.num_tokens for done in completions)
    assert len(told) > len(completions)


def test_past_the_soft_limit_stories_end_where_a_sentence_does(
    model: LlamaForCausalLM,
) -> None:
    words = [f"w{id_}." if id_ % 3 == 0 else f"w{id_}" for id_ in range(VOCAB_SIZE)]
    dotted = _words_as_ids(words)
    reluctant = copy.deepcopy(model)
    end_id = 1
    with torch.no_grad():
        reluctant.lm_head.weight[end_id] = 0  # a logit of 0: never among the twenty likeliest
    engine = _engine(reluctant, dotted, end_ids=[end_id])
    requests = _requests(24)
    unlimited = _write(engine, requests, top_k=20, soft_limit_tokens=MAX_NEW_TOKENS)
    assert not any(done.is_finished for done in unlimited)
    limited = _write(engine, requests, top_k=20, soft_limit_tokens=5)
    ended = [done for done in limited if done.is_finished]
    assert len(ended) > 3
    assert all(done.text.endswith(".") and done.num_tokens > 5 for done in ended)


@given(
    logits=st.lists(st.floats(-20, 20, width=32), min_size=2, max_size=30, unique=True),
    temperature=st.floats(0.1, 3),
    top_k=st.integers(1, 40),
)
def test_evenly_spread_numbers_draw_each_id_as_often_as_its_share(
    logits: list[float], temperature: float, top_k: int
) -> None:
    num_rows = 2_000
    uniforms_B = (np.arange(num_rows) + 0.5) / num_rows
    logits_BV = torch.tensor([logits]).expand(num_rows, -1)
    ids_B = draw(logits_BV, uniforms_B, _sampling(temperature=temperature, top_k=top_k))
    counts_V = np.bincount(ids_B.numpy(), minlength=len(logits))
    shares_V = _softmax_of_the_likeliest(np.array(logits, np.float64) / temperature, top_k)
    assert (np.abs(counts_V - num_rows * shares_V) <= 1 + 1e-6).all()
    assert (counts_V[shares_V == 0] == 0).all()


def _softmax_of_the_likeliest(logits_V: np.ndarray, top_k: int) -> np.ndarray:
    kept_V = logits_V >= np.sort(logits_V)[-min(top_k, len(logits_V))]
    weights_V: np.ndarray = np.where(kept_V, np.exp(logits_V - logits_V.max()), 0)
    shares_V: np.ndarray = weights_V / weights_V.sum()
    return shares_V


def test_the_ends_of_the_unit_interval_draw_the_likeliest_and_the_least_likely_id() -> None:
    logits_BV = torch.tensor([[0.0, 3.0, 1.0, 2.0]]).expand(2, -1)
    uniforms_B = np.array([0.0, math.nextafter(1.0, 0.0)])
    assert draw(logits_BV, uniforms_B, _sampling(top_k=3)).tolist() == [1, 2]


def test_random_numbers_draw_the_softmax() -> None:
    num_rows, vocab_size = 20_000, 12
    logits_V = torch.linspace(-2, 2, vocab_size)
    uniforms_B = np.random.default_rng(0).random(num_rows)
    ids_B = draw(logits_V.expand(num_rows, -1), uniforms_B, _sampling(top_k=vocab_size))
    expected_V = num_rows * torch.softmax(logits_V.double(), dim=0).numpy()
    counts_V = np.bincount(ids_B.numpy(), minlength=vocab_size)
    chi_square = float(((counts_V - expected_V) ** 2 / expected_V).sum())
    assert chi_square < 31.3  # 0.1 % of right samples exceed it at 11 degrees of freedom
