"""Sampled stories: reproducible one by one, drawn from the law that they claim."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from distill.errors import DistillError
from distill.prefix import has_context, prefix_ids, words_line
from distill.sample import Sampling, _draw, sample_stories

FREE = Sampling(temperature=1.0, max_new_tokens=24)


@dataclass(frozen=True)
class ByteSpace:
    """The 128 ASCII codes, then a start and an end id."""

    start_id: int = 128
    end_id: int = 129

    def encode(self, text: str) -> list[int]:
        return list(text.encode("ascii"))

    def decode(self, ids: Sequence[int]) -> str:
        return bytes(i for i in ids if i < 128).decode("ascii")


SPACE = ByteSpace()


@pytest.fixture(scope="module")
def model() -> LlamaForCausalLM:
    config = LlamaConfig(
        vocab_size=130,
        hidden_size=16,
        intermediate_size=24,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=48,
        initializer_range=0.4,
        tie_word_embeddings=True,
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model: LlamaForCausalLM = LlamaForCausalLM(config)
    model.train(False)
    return model


def test_a_story_is_the_same_whatever_else_is_asked_for(model: LlamaForCausalLM) -> None:
    contexts = [None, "Words: jump, boat\n", None]
    together = sample_stories(model, SPACE, contexts, seed=3, sampling=FREE)
    assert sample_stories(model, SPACE, contexts[:1], seed=3, sampling=FREE) == together[:1]
    other = sample_stories(model, SPACE, ["hat", contexts[1]], seed=3, sampling=FREE)
    assert other[1] == together[1]
    assert together[0] != together[2]
    assert together != sample_stories(model, SPACE, contexts, seed=4, sampling=FREE)


def test_sampling_reads_no_global_random_state(model: LlamaForCausalLM) -> None:
    first = sample_stories(model, SPACE, [None], seed=3, sampling=FREE)
    state = torch.random.get_rng_state()
    torch.rand(5)
    assert sample_stories(model, SPACE, [None], seed=3, sampling=FREE) == first
    torch.random.set_rng_state(state)


def test_cached_greedy_stories_equal_a_whole_pass_per_symbol(model: LlamaForCausalLM) -> None:
    (found,) = sample_stories(
        model, SPACE, ["Words: hat\n"], seed=0, sampling=Sampling(temperature=0, max_new_tokens=12)
    )
    ids = prefix_ids(SPACE, "Words: hat\n").tolist()
    expected: list[int] = []
    while len(expected) < 12:
        with torch.no_grad():
            logits = model(torch.tensor([ids + expected])).logits[0, -1]
        logits[SPACE.start_id] = -torch.inf
        expected.append(int(logits.argmax()))
        if expected[-1] == SPACE.end_id:
            break
    assert found.is_finished == (expected[-1] == SPACE.end_id)
    assert found.text == SPACE.decode([i for i in expected if i != SPACE.end_id])
    assert found.num_tokens == len(expected)


def test_a_story_stops_at_its_end_symbol(model: LlamaForCausalLM) -> None:
    stories = sample_stories(
        model, SPACE, [None] * 16, seed=1, sampling=Sampling(temperature=3.0, max_new_tokens=40)
    )
    finished = [story for story in stories if story.is_finished]
    assert 0 < len(finished) < 16
    assert all(len(story.text) == story.num_tokens - 1 for story in finished)
    assert all(
        len(story.text) == story.num_tokens == 40 for story in stories if story not in finished
    )


def test_a_story_ends_where_the_models_positions_end(model: LlamaForCausalLM) -> None:
    never_ending = Sampling(temperature=1e-3, max_new_tokens=1000)
    stories = sample_stories(model, SPACE, [None, "Words: hat\n"], seed=1, sampling=never_ending)
    assert all(story.num_tokens <= 47 for story in stories)
    with pytest.raises(DistillError, match="fewer than 48 ids"):
        sample_stories(model, SPACE, ["hat" * 20], seed=1, sampling=FREE)


def test_a_space_with_one_symbol_for_start_and_end_still_ends_its_stories(
    model: LlamaForCausalLM,
) -> None:
    stories = sample_stories(
        model,
        ByteSpace(start_id=129),
        [None] * 16,
        seed=1,
        sampling=Sampling(temperature=3.0, max_new_tokens=40),
    )
    assert any(story.is_finished for story in stories)


def test_draws_follow_the_softmax_at_the_temperature() -> None:
    logits = np.array([1.0, 3.0, -np.inf, 2.0])
    rng = np.random.default_rng(0)
    draws = [_draw(logits, rng, Sampling(2.0, 1)) for _ in range(20_000)]
    weights = np.exp(logits / 2.0)
    shares = np.bincount(draws, minlength=4) / 20_000
    assert shares == pytest.approx(weights / weights.sum(), abs=0.015)
    assert shares[2] == 0


def test_top_k_keeps_the_likeliest_and_the_lower_id_of_equals() -> None:
    rng = np.random.default_rng(0)
    logits = np.array([1.0, 2.0, 1.0, 0.0])
    drawn = {_draw(logits, rng, Sampling(5.0, 1, top_k=2)) for _ in range(200)}
    assert drawn == {0, 1}


def test_prefix_is_the_start_symbol_and_the_line_that_asks_for_words() -> None:
    assert words_line(["jump", "big boat"]) == "Words: jump, big boat\n"
    assert prefix_ids(SPACE, None).tolist() == [128]
    found = prefix_ids(SPACE, words_line(["jump"]))
    assert found.tolist() == [128, *b"Words: jump\n"]
    assert found.dtype == np.int32


@pytest.mark.parametrize("words", [[], [""], ["a, b"], ["a\n"], [" a"]])
def test_words_that_would_read_otherwise_are_refused(words: list[str]) -> None:
    with pytest.raises(DistillError, match="word"):
        words_line(words)


def test_the_documents_with_a_context_are_the_share_asked_for_and_nested() -> None:
    doc_ids = [f"document {index}" for index in range(4000)]
    half = {doc_id for doc_id in doc_ids if has_context(doc_id, 0.5)}
    assert len(half) == pytest.approx(2000, abs=130)
    assert {doc_id for doc_id in doc_ids if has_context(doc_id, 0.25)} < half
    assert not any(has_context(doc_id, 0.0) for doc_id in doc_ids)
    assert all(has_context(doc_id, 1.0) for doc_id in doc_ids)
