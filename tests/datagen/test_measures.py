"""Words, unknown words and required words of a text."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datagen.measures import required_hits, unknown_words, words_of
from datagen.vocabulary import load_vocabulary
from tests.datagen.specs import story_spec

AGE3 = load_vocabulary("age3")
SPEC = story_spec("run", "mouse", "good")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", []),
        ("... !?", []),
        ("Tom's Mom said, \"Don't!\"", ["tom's", "mom", "said", "don't"]),
        ("Tom\u2019s mom \u2018ran\u2019", ["tom's", "mom", "ran"]),
        ("the kids' ice-cream", ["the", "kids", "ice-cream"]),
        ("well--then - now\u2014here", ["well", "then", "now", "here"]),
        ("3 cats, 10,000 dogs", ["3", "cats", "10", "000", "dogs"]),
        ("a caf\u00e9 and a cafe\u0301", ["a", "caf\u00e9", "and", "a", "caf\u00e9"]),
        ("snake_case\nnew line", ["snake", "case", "new", "line"]),
    ],
)
def test_words_are_runs_of_letters_with_inner_marks(text: str, words: list[str]) -> None:
    assert words_of(text) == words


@given(st.text())
def test_words_of_joined_words_are_the_same_words(text: str) -> None:
    words = words_of(text)
    assert words_of(" ".join(words)) == words


@pytest.mark.parametrize(
    "word",
    [
        "ran",
        "mice",
        "better",
        "mom's",
        "he'll",
        "they're",
        "we've",
        "she'd",
        "i'm",
        "let's",
        "it's",
        "didn't",
        "can't",
        "won't",
        "cannot",
        "isn't",
        "two",
        "lily's",
        "ice-cream",
        "well-known",
        "mummy",
    ],
)
def test_inflected_contracted_and_joined_words_are_inside(word: str) -> None:
    assert unknown_words([word], AGE3) == []


@pytest.mark.parametrize(
    "word",
    [
        "photosynthesis",
        "photosynthesis's",
        "3x",
        "xn't",
        "ice-photosynthesis",
        "'s't",
        "runned",
    ],
)
def test_other_words_and_figures_are_outside(word: str) -> None:
    assert unknown_words([word], AGE3) == [word]


def test_unknown_words_keep_order_and_repeats() -> None:
    words = words_of("The dodo saw a quark. The dodo ran.")
    assert unknown_words(words, AGE3) == ["dodo", "quark", "dodo"]


@pytest.mark.parametrize(
    ("text", "hits"),
    [
        ("The good mouse can run.", 3),
        ("Mice ran. It was better.", 3),
        ("The mouse's best running.", 3),
        ("The mousetrap was a runner of goods.", 0),
        ("MOUSE! GOOD!", 2),
        ("a mouse-hole", 0),
        ("", 0),
    ],
)
def test_required_words_count_in_any_form_as_whole_words(text: str, hits: int) -> None:
    assert required_hits(words_of(text), SPEC, AGE3) == hits


def test_a_form_of_another_part_of_speech_does_not_count() -> None:
    spec = story_spec("jump", "light", "happy")
    assert required_hits(["lighter", "jump", "happy"], spec, AGE3) == 2
