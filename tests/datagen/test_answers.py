"""Which answers of a server are believed."""

import json

import pytest

from datagen.engine_config import EngineConfig
from datagen.engines.answers import BadAnswerError, Expected, read_answer

EXPECTED = Expected("m", is_chat=False, max_new_tokens=50)


def _body(text: str, **more: str) -> bytes:
    choice = {"text": text, "finish_reason": "stop"}
    return json.dumps({"model": "m", "choices": [choice], **more}).encode()


def test_half_a_character_is_no_answer() -> None:
    with pytest.raises(BadAnswerError, match="half a character"):
        read_answer(_body("a cat \ud83d"), EXPECTED, None)


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
