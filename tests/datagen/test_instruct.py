"""The instruct form: lines that are true of their text, in every subset and order, by the key."""

import dataclasses
import math
from collections import Counter

import pytest

from datagen.families import load_family
from datagen.instruct import instruct_context, instruct_lines
from datagen.plan import Plan
from datagen.vocabulary import load_vocabulary
from tests.datagen.specs import story_spec

PLAN = Plan(load_vocabulary("age3"), load_family("story"), 1)
SPEC = story_spec("jump", "boat", "happy", "dialogue", "moral")
TEXT = 'A happy boat was on a lake. "Can I jump?" it asked. Then it did! The end.'
OWN = {"A happy boat was on a lake.", '"Can I jump?"', "it asked.", "Then it did!", "The end."}


def _context(key: str) -> list[str]:
    text = instruct_context(PLAN, SPEC, TEXT, key)
    assert text.endswith("Text:\n")
    return text.splitlines()[:-1]


def test_each_line_says_what_was_asked() -> None:
    words, features, sentence, summary = instruct_lines(PLAN, SPEC, TEXT, "k")
    assert words == "Words: jump, boat, happy"
    assert features == "Features: dialogue, moral"
    assert sentence.removeprefix("Sentence: ") in OWN
    assert summary == "Summary: The happy boat that wanted to jump."


def test_a_required_sentence_comes_before_another() -> None:
    spec = dataclasses.replace(SPEC, sentence="Then it did!")
    assert {instruct_lines(PLAN, spec, TEXT, str(key))[2] for key in range(9)} == {
        "Sentence: Then it did!"
    }


def test_every_sentence_of_the_text_is_chosen_by_some_key() -> None:
    chosen = {instruct_lines(PLAN, SPEC, TEXT, str(key))[2] for key in range(200)}
    assert {line.removeprefix("Sentence: ") for line in chosen} == OWN


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
    spec = story_spec("jump", "boat", "happy", *features)
    names = [line.split(":")[0] for line in instruct_lines(PLAN, spec, text, "k")]
    assert ("Features" in names) == bool(features)
    assert ("Sentence" in names) == (text == TEXT)
    assert {"Words", "Summary"} <= set(names)


def test_lines_stay_lines() -> None:
    text = "One\nsentence that\nruns on. And\x0bmore."
    for key in range(50):
        context = instruct_context(PLAN, SPEC, text, str(key))
        assert len(context.splitlines()) == context.count("\n")
