"""vLLM for real, on a CPU, in this process: against the transformers engine over the same prompts,
free and under a vocabulary.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("vllm", reason="needs vLLM; `make test-vllm` sets up an environment with it")

import torch  # what follows may need the packages that come with vLLM
from tokenizers import Tokenizer
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from datagen.engine_config import EngineConfig
from datagen.engines.base import Completion, Request
from datagen.engines.transformers_engine import TransformersEngine
from datagen.engines.vllm_engine import VllmEngine, load_vllm_engine
from datagen.errors import DatagenError, EngineError
from datagen.measures import unknown_words, words_of
from datagen.vocabulary import load_vocabulary
from flows.numerics import writer_class
from flows.teachers import Teacher, TeacherTokenizer
from tests.tiny_tokenizers import byte_level_json
from tests.vllm.agreement import Agreement, compare, first_difference, ids_of
from tests.vllm.asking import (
    TEACHER,
    as_ids,
    contexts,
    drawn,
    greedy,
    requests_for,
    sampling,
    write,
)

pytestmark = pytest.mark.vllm

WARM = {"temperature": 0.9, "top_k": 50}
# More requests than rows: they come and go.
NUM_STORIES = 40


def _greedily(
    ours: TransformersEngine, theirs: VllmEngine, reads: TeacherTokenizer, **changes: float
) -> tuple[Agreement, list[Completion], list[Completion], list[int | None]]:
    """How both engines agree, what they wrote as ids, and where each row parts."""
    requests = requests_for(24)
    expected, found = (write(as_ids(engine), requests, **changes) for engine in (ours, theirs))
    ids = [
        [drawn(reads, request, done) for request, done in zip(requests, completions, strict=True)]
        for completions in (expected, found)
    ]
    places = [first_difference(*pair) for pair in zip(*ids, strict=True)]
    itself = greedy(ours, requests, sampling(**changes))
    return compare(itself, contexts(reads, requests), ids[0], places), expected, found, places


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"soft_limit_tokens": 0},
        {"constrain": True},
        {"constrain": True, "steer": 4, "soft_limit_tokens": 20},
    ],
    ids=["free", "free, soft limit", "vocabulary", "vocabulary, words drawn in"],
)
def test_both_engines_write_the_same_greedily(
    ours: TransformersEngine,
    theirs: VllmEngine,
    reads: TeacherTokenizer,
    changes: dict[str, float],
    record_property: Any,
) -> None:
    agreement, expected, found, places = _greedily(ours, theirs, reads, **changes)
    record_property("agreement", str(agreement))
    assert agreement.wrong == ()
    assert agreement.num_equal >= 18
    for ours_done, theirs_done, place in zip(expected, found, places, strict=True):
        if place is None:
            assert theirs_done == ours_done


def test_finished_stories_are_inside_the_vocabulary(
    theirs: VllmEngine, record_property: Any
) -> None:
    vocabulary, requests = load_vocabulary("age3"), requests_for(NUM_STORIES)
    inside = {**WARM, "constrain": True, "max_new_tokens": 120, "soft_limit_tokens": 30}
    steered, unsteered = (write(theirs, requests, **inside, steer=steer) for steer in (4, 0))
    finished = [done.text for done in (*steered, *unsteered) if done.is_finished]
    outside = [word for text in finished for word in unknown_words(words_of(text), vocabulary)]
    num_words = sum(len(words_of(text)) for text in finished)
    counted = f"{len(finished)} of {2 * NUM_STORIES} stories finished, {num_words} words in them"
    record_property("vocabulary", f"{counted}, {len(outside)} outside")
    assert outside == []
    assert len(finished) > NUM_STORIES
    said = [_num_said(requests, written) for written in (steered, unsteered)]
    record_property("all words", f"{said[0]} of {NUM_STORIES} drawn in, {said[1]} left alone")
    assert said[0] > said[1]
    free = write(theirs, requests, **WARM)
    assert any(unknown_words(words_of(done.text), vocabulary) for done in free)


def _num_said(requests: Sequence[Request], written: Sequence[Completion]) -> int:
    """Stories that hold all the words that were required."""
    return sum(
        all(not forms.isdisjoint(words_of(done.text)) for forms in request.required)
        for request, done in zip(requests, written, strict=True)
    )


def test_the_soft_limit_ends_more_stories(theirs: VllmEngine) -> None:
    requests = [request for request in requests_for(10) if request.prompt]
    free, limited = (
        sum(done.is_finished for done in write(theirs, requests, **limits))
        for limits in (
            {"max_new_tokens": 90, "soft_limit_tokens": 90},
            {"max_new_tokens": 90, "soft_limit_tokens": 0},
        )
    )
    assert limited > free + 1


@pytest.mark.parametrize(
    "changes",
    [{}, {"constrain": True, "steer": 4, "soft_limit_tokens": 20}],
    ids=["free", "vocabulary"],
)
def test_a_seed_repeats_its_story_after_any_others(
    theirs: VllmEngine, changes: dict[str, float]
) -> None:
    requests = requests_for(20)
    first = write(theirs, requests, **WARM, **changes)
    others = [replace(request, seed=request.seed + 1000) for request in requests[:12]]
    texts = {done.text for done in write(theirs, others, **WARM, **changes)}
    assert len(texts & {done.text for done in first}) <= 2
    write(theirs, others, **WARM)
    assert write(theirs, requests, **WARM, **changes) == first


def test_many_long_prompts_at_once_are_read_whole(theirs: VllmEngine) -> None:
    """More than the 4,096 tokens that a step of vLLM reads unless it is told otherwise. A last bit
    that another batch moves may turn a draw.
    """
    asked = "Tell it again with another end: the small boat went out to sea. " * 25
    requests = [Request(asked, "", seed, ()) for seed in range(16)]
    short = {"max_new_tokens": 8, "soft_limit_tokens": 8}
    written = write(theirs, requests, **WARM, **short)
    assert sum(done.num_prompt_tokens for done in written) > 4096
    assert all(done.num_tokens for done in written)
    alone = [write(theirs, [request], **WARM, **short)[0] for request in requests[:6]]
    assert sum(one == done for one, done in zip(alone, written, strict=False)) >= 5


def test_what_is_outside_is_refused_before_anything_is_written(theirs: VllmEngine) -> None:
    outside = [Request("", "The xylocarp", 0, ())]
    with pytest.raises(DatagenError, match="opening inside the vocabulary"):
        write(theirs, outside, constrain=True)
    with pytest.raises(EngineError, match="engine made with the vocabulary's constraint"):
        write(replace(theirs, constraint=None), outside, constrain=True)


def test_the_class_names_vllm(teacher: Teacher) -> None:
    told = writer_class(TEACHER, EngineConfig(kind="vllm"))
    assert told.startswith("vllm 0.32")
    assert f"torch {torch.__version__.split('+')[0]}" in told


def test_an_id_beyond_the_tokenizers_is_followed_like_any(tmp_path: Path) -> None:
    """Models are often padded to more ids than their tokenizer has, and may draw these too."""
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer.from_str(byte_level_json(512)), eos_token="</s>"
    )
    config = LlamaConfig(
        vocab_size=1024,
        hidden_size=64,
        intermediate_size=64,
        num_hidden_layers=1,
        num_attention_heads=1,
        max_position_embeddings=256,
    )
    LlamaForCausalLM(config).save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    engine = load_vllm_engine(
        tmp_path,
        EngineConfig(kind="vllm"),
        device="cpu",
        batch_size=4,
        tokenizer=tokenizer,
        encode=lambda _: [0],
        end_ids=(tokenizer.eos_token_id,),
    )
    asked = {"top_k": 1024, "max_new_tokens": 40, "soft_limit_tokens": 0}
    written = write(as_ids(engine), requests_for(4), **asked)
    assert any(id_ >= len(tokenizer) for done in written for id_ in ids_of(done.text))
