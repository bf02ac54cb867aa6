"""The instruct form: lines that are true of their text, in every subset and order, by the key."""

import dataclasses
import math
from collections import Counter

import pytest

from datagen.errors import DatagenError
from datagen.families import load_family, parse_family
from datagen.instruct import (
    MAX_OWN_SENTENCE_CHARS,
    Ask,
    ask_of,
    asking_context,
    instruct_context,
    instruct_lines,
    line_names,
)
from datagen.vocabulary import load_vocabulary
from tests.datagen.specs import story_spec

AGE3, STORY = load_vocabulary("age3"), load_family("story")
TEXT = 'A happy boat was on a lake. "Can I jump?" it asked. Then it did! The end.'
OWN = {"A happy boat was on a lake.", '"Can I jump?"', "it asked.", "Then it did!", "The end."}


def _ask(*features: str) -> Ask:
    spec = story_spec("jump", "boat", "happy", *features)
    return ask_of(STORY, spec.values, spec.sentence, AGE3)


ASK = _ask("dialogue", "moral")


def _context(key: str) -> list[str]:
    context = instruct_context(ASK, TEXT, key)
    assert context is not None
    assert context.endswith("Text:\n")
    lines = context.splitlines()[:-1]
    assert line_names(context) == tuple(line.split(":")[0] for line in lines)
    return lines


def test_a_prompt_asks_for_words_features_and_what_its_family_makes_of_them() -> None:
    assert ASK.words == ("jump", "boat", "happy")
    assert ASK.features == ("dialogue", "moral")
    assert ASK.sentence is None
    assert ASK.summary == "The happy boat that wanted to jump."


def test_words_that_need_not_stand_in_the_text_are_neither_words_nor_features() -> None:
    family = parse_family(
        "f.toml",
        b"""
name = "f"
version = 1
description = ""
instruction = "A {{ tone }} note, {{ noun }}."
opening = "A note."
sentence = "It rained."
[slots.tone]
kind = "choice"
values = ["warm, kind", "brief"]
[slots.noun]
kind = "word"
part_of_speech = "noun"
required = false
""",
    )
    values = {"tone": ("warm, kind",), "noun": ("boat",)}
    asked = ask_of(family, values, "It rained.", AGE3)
    assert asked == Ask((), ("warm, kind",), "It rained.", None)


def test_without_a_vocabulary_there_is_no_summary() -> None:
    values = story_spec("jump", "boat", "happy", "moral").values
    assert ask_of(STORY, values, None, None) == dataclasses.replace(_ask("moral"), summary=None)


def test_each_line_says_what_was_asked() -> None:
    words, features, sentence, summary = instruct_lines(ASK, TEXT, "k")
    assert words == "Words: jump, boat, happy"
    assert features == "Features: dialogue, moral"
    assert sentence.removeprefix("Sentence: ") in OWN
    assert summary == "Summary: The happy boat that wanted to jump."


def test_a_required_sentence_comes_before_another() -> None:
    ask = dataclasses.replace(ASK, sentence="Then it did!")
    assert {instruct_lines(ask, TEXT, str(key))[2] for key in range(9)} == {
        "Sentence: Then it did!"
    }


def test_every_sentence_of_the_text_is_chosen_by_some_key() -> None:
    chosen = {instruct_lines(ASK, TEXT, str(key))[2] for key in range(200)}
    assert {line.removeprefix("Sentence: ") for line in chosen} == OWN


def test_a_sentence_that_would_take_the_room_of_its_text_is_not_chosen() -> None:
    long = f"It ran{' on' * MAX_OWN_SENTENCE_CHARS}."
    assert instruct_context(Ask(), long, "k") is None
    for key in range(20):
        context = instruct_context(Ask(), f"{long} The end.", str(key))
        assert context == "Sentence: The end.\nText:\n"


def test_a_text_of_which_nothing_is_known_has_no_context() -> None:
    assert instruct_context(Ask(), "no end", "k") is None


def test_subsets_and_orders_are_all_there_and_equally_likely() -> None:
    forms = [tuple(line.split(":")[0] for line in _context(str(key))) for key in range(3000)]
    subsets = Counter(frozenset(form) for form in forms)
    assert len(subsets) == 15
    # 200 of each on average; 5 standard deviations are 69.
    assert min(subsets.values()) > 131
    assert max(subsets.values()) < 269
    assert len({form for form in forms if len(form) == 3}) == 24
    assert len({form for form in forms if len(form) == 4}) == 24


def test_each_order_of_lines_is_equally_likely() -> None:
    orders = Counter(
        tuple(line.split(":")[0] for line in lines)
        for lines in (_context(str(key)) for key in range(12_000))
        if len(lines) == 4
    )
    mean = orders.total() / 24
    assert len(orders) == 24
    assert max(abs(times - mean) for times in orders.values()) < 5 * math.sqrt(mean)


def test_the_key_alone_decides() -> None:
    assert _context("a") == _context("a")
    assert len({tuple(_context(str(key))) for key in range(50)}) > 20


@pytest.mark.parametrize(("text", "features"), [("", ()), ("no end", ()), (TEXT, ("moral",))])
def test_a_line_with_nothing_to_say_is_left_out(text: str, features: tuple[str, ...]) -> None:
    names = [line.split(":")[0] for line in instruct_lines(_ask(*features), text, "k")]
    assert ("Features" in names) == bool(features)
    assert ("Sentence" in names) == (text == TEXT)
    assert {"Words", "Summary"} <= set(names)


def test_lines_stay_lines() -> None:
    text = "One\nsentence that\nruns on. And\x0bmore."
    for key in range(50):
        context = instruct_context(ASK, text, str(key)) or ""
        assert len(context.splitlines()) == context.count("\n") > 1


def test_a_student_is_asked_in_lines_that_it_was_trained_on() -> None:
    assert asking_context(Ask(("jump", "boat"))) == "Words: jump, boat\nText:\n"
    whole = dataclasses.replace(ASK, sentence="The end.")
    asked = asking_context(whole) or ""
    assert asked.endswith("\nText:\n")
    assert tuple(asked.splitlines()[:-1]) == instruct_lines(whole, TEXT, "k")
    assert asking_context(Ask()) is None


@pytest.mark.parametrize(
    ("ask", "said"),
    [
        (Ask(("jump", "")), "line Words: expected something to ask for, found ''"),
        (Ask(("a, b",)), "line Words: .* give each word as an item of its own"),
        (Ask(("a\n",)), r"line Words: .* found 'a\\n'"),
        (Ask(features=(" ",)), "line Features: expected something to ask for, found ' '"),
        (Ask(sentence="It ran.\nText:"), r"line Sentence: .* found 'It ran\.\\nText:'"),
        (Ask(summary=""), "line Summary: expected something to ask for"),
    ],
)
def test_what_would_read_otherwise_is_not_asked(ask: Ask, said: str) -> None:
    with pytest.raises(DatagenError, match=said):
        asking_context(ask)
