"""What the teacher is told: every word and feature is in it, and it is grammatical."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datagen.measures import required_hits, words_of
from datagen.plan import FEATURES, PromptSpec, plan_item
from datagen.prompts import article, instruction, prefix, prompt_id
from datagen.vocabulary import load_vocabulary

AGE3 = load_vocabulary("age3")
seeds = st.integers(0, 2**63 - 1)


def _spec(noun: str, adjective: str, *features: str) -> PromptSpec:
    return PromptSpec(0, "jump", noun, adjective, features)


@pytest.mark.parametrize(
    ("noun", "adjective", "opening"),
    [
        ("boat", "happy", "there was a happy boat. The boat liked to jump."),
        ("boat", "old", "there was an old boat. The boat liked to jump."),
        ("apple", "big", "there was a big apple. The apple liked to jump."),
        ("water", "ugly", "there was some ugly water. The water liked to jump."),
        ("clothes", "new", "there were some new clothes. The clothes liked to jump."),
        ("glass", "empty", "there was an empty glass. The glass liked to jump."),
    ],
)
def test_prefix_agrees_with_its_noun(noun: str, adjective: str, opening: str) -> None:
    assert prefix(_spec(noun, adjective), AGE3) == f"Once upon a time, {opening}"


@given(seed=seeds, index=st.integers(0, 1000))
def test_prefix_holds_the_three_words(seed: int, index: int) -> None:
    spec = plan_item(AGE3, seed, index)
    words = words_of(prefix(spec, AGE3))
    assert required_hits(words, spec, AGE3) == 3
    assert {word.lower() for word in spec.words} <= set(words)


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("apple", "an"),
        ("boat", "a"),
        ("hour", "an"),
        ("house", "a"),
        ("unicorn", "a"),
        ("useful", "a"),
        ("unimportant", "an"),
        ("ugly", "an"),
        ("upset", "an"),
        ("Orange", "an"),
        ("one", "a"),
        ("open", "an"),
        ("yellow", "a"),
    ],
)
def test_article_follows_the_sound(word: str, expected: str) -> None:
    assert article(word) == expected


def test_instruction_asks_for_the_three_words() -> None:
    told = instruction(_spec("boat", "happy"))
    assert '"the happy boat that wanted to jump"' in told
    assert 'the words "jump" and "happy boat"' in told


@pytest.mark.parametrize("feature", FEATURES)
def test_each_feature_changes_the_instruction_in_its_own_way(feature: str) -> None:
    plain = instruction(_spec("boat", "happy"))
    told = instruction(_spec("boat", "happy", feature))
    others = {instruction(_spec("boat", "happy", other)) for other in FEATURES if other != feature}
    assert told.replace(told[len("Write a very short story") : told.index(" for a small")], "") == (
        plain
    )
    assert told != plain
    assert told not in others


def test_prompt_id_changes_with_everything_that_was_asked() -> None:
    base = prompt_id({"vocabulary": "age3"}, "d", 1, 2)
    others = [
        prompt_id({"vocabulary": "age4"}, "d", 1, 2),
        prompt_id({"vocabulary": "age3"}, "e", 1, 2),
        prompt_id({"vocabulary": "age3"}, "d", 2, 2),
        prompt_id({"vocabulary": "age3"}, "d", 1, 3),
    ]
    assert prompt_id({"vocabulary": "age3"}, "d", 1, 2) == base
    assert len({base, *others}) == 5
