"""What memorisation finds, against a search that compares words one by one."""

import random
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datagen.measures import words_of
from datagen.memorisation import LENGTHS, SHORTEST, Copied, find_copies
from tests.tiny_teacher import make_stories

STORIES = make_stories(60, seed=3)
TRAINING = [(f"doc-{place}", text) for place, text in enumerate(STORIES[:50])]


def _slowly(text: str, training: Sequence[tuple[str, str]]) -> Copied:
    """The same by comparing every n-gram with every n-gram."""
    words = words_of(text)
    documents = [(doc_id, f" {' '.join(words_of(held))} ") for doc_id, held in training]

    def holder(gram: list[str]) -> str | None:
        wanted = f" {' '.join(gram)} "
        return next((doc_id for doc_id, held in documents if wanted in held), None)

    grams = [[words[at : at + n] for at in range(len(words) - n + 1)] for n in LENGTHS]
    copied = tuple(sum(holder(gram) is not None for gram in some) for some in grams)
    for length in range(len(words), SHORTEST - 1, -1):
        for start in range(len(words) - length + 1):
            doc_id = holder(words[start : start + length])
            if doc_id is not None:
                return Copied(tuple(map(len, grams)), copied, length, start, doc_id)
    return Copied(tuple(map(len, grams)), copied, 0, 0, None)


def test_a_copied_story_is_found_at_once() -> None:
    [copy] = find_copies([STORIES[7]], [TRAINING])
    assert copy.doc_id == "doc-7"
    assert (copy.start, copy.num_words) == (0, len(words_of(STORIES[7])))
    assert [copy.share(length) for length in LENGTHS] == [1.0] * len(LENGTHS)


def test_a_copy_in_other_case_and_punctuation_inside_another_story_is_found() -> None:
    middle = words_of(STORIES[7])[3:23]
    text = f"Zig zag zog. {' '.join(middle).upper()}! Zap zip."
    [copy] = find_copies([text], [TRAINING])
    assert (copy.start, copy.num_words, copy.doc_id) == (3, 20, "doc-7")
    assert copy.num_grams == (18, 10, 0)
    assert copy.num_copied == (13, 5, 0)
    assert copy.share(32) is None


@pytest.mark.parametrize("size", [1, 7, 50])
def test_real_looking_stories_are_as_the_slow_search_says(size: int) -> None:
    """Held-out stories of the same templates share long runs with many documents."""
    parts = [TRAINING[start : start + size] for start in range(0, len(TRAINING), size)]
    found = find_copies(STORIES[50:], parts)
    expected = [_slowly(text, TRAINING) for text in STORIES[50:]]
    assert [copy.num_copied for copy in found] == [copy.num_copied for copy in expected]
    assert [copy.num_words for copy in found] == [copy.num_words for copy in expected]
    assert any(copy.num_words > 8 for copy in found)
    if size == 50:
        assert found == expected


@given(
    st.lists(st.text("ab ", max_size=60), max_size=4),
    st.lists(st.text("ab ", max_size=90), max_size=5),
)
def test_texts_of_two_words_are_as_the_slow_search_says(
    texts: list[str], documents: list[str]
) -> None:
    training = [(str(place), text) for place, text in enumerate(documents)]
    assert find_copies(texts, [training]) == [_slowly(text, training) for text in texts]


def test_a_run_never_crosses_the_border_of_a_document() -> None:
    words = [f"w{place}" for place in range(12)]
    halves = [("a", " ".join(words[:6])), ("b", " ".join(words[6:]))]
    [copy] = find_copies([" ".join(words)], [halves])
    assert (copy.num_words, copy.start, copy.doc_id) == (6, 0, "a")
    assert copy.num_copied == (0, 0, 0)


def test_strangers_short_texts_and_no_training_text_have_no_copy() -> None:
    strange = " ".join(f"x{place}" for place in range(40))
    for copy in find_copies([strange, "", STORIES[0][:12]], [TRAINING]):
        assert (copy.num_words, copy.doc_id, sum(copy.num_copied)) == (0, None, 0)
    [copy] = find_copies([STORIES[0]], [])
    assert copy.num_words == 0
    assert find_copies([], [TRAINING]) == []
    [copy] = find_copies([STORIES[0]], [[], [("empty", "")], TRAINING])
    assert copy.doc_id == "doc-0"


def test_the_order_of_the_texts_changes_nothing() -> None:
    rng = random.Random(1)
    texts = [*STORIES[45:], *STORIES[45:47]]
    places = rng.sample(range(len(texts)), len(texts))
    found = find_copies(texts, [TRAINING])
    assert find_copies([texts[place] for place in places], [TRAINING]) == [
        found[place] for place in places
    ]
