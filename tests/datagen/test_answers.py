"""Which answers of a server are believed."""

import json
from dataclasses import replace

import pytest

from datagen.config import SamplingConfig, VerdictConfig
from datagen.engine_config import EngineConfig
from datagen.engines.answers import BadAnswerError, Expected, read_answer
from datagen.engines.openai_engine import OpenAIEngine
from datagen.families import load_family
from datagen.generate import Order, Shard, Story, write_stories
from datagen.plan import Plan
from datagen.vocabulary import load_vocabulary
from tests.datagen.flaky_server import MODEL, flaky_server, tokens_of

EXPECTED = Expected("m", is_chat=False, max_new_tokens=50)


def _body(text: str, **more: str) -> bytes:
    choice = {"text": text, "finish_reason": "stop"}
    return json.dumps({"model": "m", "choices": [choice], **more}).encode()


def test_half_a_character_is_no_answer() -> None:
    with pytest.raises(BadAnswerError, match="half a character"):
        read_answer(_body("a cat \ud83d"), EXPECTED, None)


def _chat(end: str, **message: object) -> bytes:
    choice = {"message": {"role": "assistant", **message}, "finish_reason": end}
    usage = {"prompt_tokens": 9, "completion_tokens": 0}
    return json.dumps({"model": "m", "choices": [choice], "usage": usage}).encode()


@pytest.mark.parametrize("is_chat", [True, False], ids=["chat", "opening"])
def test_a_text_that_the_filter_kept_back_is_an_empty_unfinished_answer(is_chat: bool) -> None:
    choice = {"finish_reason": "content_filter", "text": None, "message": {"content": None}}
    body = json.dumps({"model": "m", "choices": [choice]}).encode()
    answer = read_answer(body, replace(EXPECTED, is_chat=is_chat), None)
    assert (answer.text, answer.is_finished) == ("", False)


def test_a_server_that_keeps_texts_back_is_asked_once_for_each_and_ends_no_night() -> None:
    order = Order(
        plan=Plan(load_vocabulary("age3"), load_family("story"), 5),
        sampling=SamplingConfig(
            temperature=1,
            top_k=40,
            max_new_tokens=150,
            soft_limit_tokens=150,
            constrain=False,
            steer=0,
            max_attempts=2,
            seed=3,
        ),
        verdicts=VerdictConfig(
            min_words=1, max_words=60, max_repeated_share=1, max_unknown_share=1
        ),
        teacher_digest="a teacher's",
        engine=None,
        allows_instructions=True,
    )
    for is_told, reason in ((True, "empty"), (False, "unfinished")):
        asked = replace(order, allows_instructions=is_told)
        with flaky_server(keeps_back=True) as server:
            config = EngineConfig(kind="openai", urls=(server.url,), model=MODEL)
            engine = OpenAIEngine(config, tokens_of, tokens_of)
            shard = Shard("run", 0, range(10), "n")
            stories: list[Story] = []
            write_stories(asked, shard, engine, on_tokens=print, on_story=stories.append)
        assert [story.reason for story in stories] == [reason] * 20
        assert set(server.asked.values()) == {1}


def test_a_refusal_in_place_of_the_text_is_the_text() -> None:
    expected = replace(EXPECTED, is_chat=True)
    said = "I'm sorry, but I can't write that."
    answer = read_answer(_chat("stop", content=None, refusal=said), expected, None)
    assert (answer.text, answer.num_tokens) == (said, None)
    assert (
        read_answer(_chat("stop", content="A cat.", refusal=None), expected, None).text == "A cat."
    )
    for body in (_chat("stop", content=None, refusal=None), _chat("length", content=None)):
        with pytest.raises(BadAnswerError, match="null where the text"):
            read_answer(body, expected, None)


def test_a_short_word_in_place_of_a_key_may_stand_in_an_answer() -> None:
    body = _body("The ollama sat.", system_fingerprint="fp_ollama")
    assert read_answer(body, EXPECTED, "ollama").text == "The ollama sat."


@pytest.mark.parametrize("body", [_body("It is sk-0123456789."), _body("x", id="sk-0123456789")])
def test_an_answer_that_repeats_the_key_is_refused(body: bytes) -> None:
    with pytest.raises(BadAnswerError, match="repeats the key"):
        read_answer(body, EXPECTED, "sk-0123456789")


def test_an_address_that_stands_twice_is_refused() -> None:
    with pytest.raises(ValueError, match="each address once"):
        EngineConfig(kind="openai", urls=("http://a/v1", "http://a/v1/"), model="m")
