"""Canaries follow from their seed, are never equal, and are made of the texts' own common words."""

import pytest

from datagen.canaries import (
    SECRET_WORDS,
    SPACE_WORDS,
    make_canaries,
    other_secrets,
    planted,
    space_size,
    space_words,
)
from datagen.errors import DatagenError
from datagen.measures import words_of
from tests.tiny_teacher import make_stories

WORDS = space_words(make_stories(200, seed=1))


def test_the_space_is_made_of_words_that_stand_in_most_texts() -> None:
    texts = [
        "The boat, the boat, the boat went home.",
        "A boat came home. Don't!",
        "ice-cream 1234",
    ]
    many = [f"{text} {' '.join('abcdefghij'[place] * 5 for place in range(10))}" for text in texts]
    found = space_words(many)
    assert {"boat", "home", "went", "came"} < set(found)
    assert not {"the", "don't", "ice-cream", "1234"} & set(found)
    assert list(found) == sorted(found)
    assert space_words(many[::-1]) == found
    assert 40 < len(WORDS) <= SPACE_WORDS


def test_texts_of_too_few_words_make_no_space() -> None:
    with pytest.raises(DatagenError, match="expected texts with at least 10 different words"):
        space_words(["The cat sat there."])


def test_canaries_follow_from_their_seed_and_no_secret_comes_twice() -> None:
    canaries = make_canaries(WORDS, (1, 10), 3, 5, seed=7)
    assert [canary.num_planted for canary in canaries] == [1, 1, 1, 10, 10, 10, 0, 0, 0, 0, 0]
    secrets = {canary.secret for canary in canaries}
    assert len(secrets) == len(canaries)
    assert all(len(secret) == SECRET_WORDS and set(secret) <= set(WORDS) for secret in secrets)
    assert make_canaries(WORDS, (1, 10), 3, 5, seed=7) == canaries
    assert make_canaries(WORDS, (1, 10), 3, 5, seed=8) != canaries


def test_what_an_exposure_compares_with_is_none_of_the_canaries() -> None:
    taken = {canary.secret for canary in make_canaries(WORDS, (1,), 50, 50, seed=7)}
    others = other_secrets(WORDS, 2_000, 7, taken)
    assert len(set(others)) == 2_000
    assert not taken & set(others)
    assert other_secrets(WORDS, 100, 7, taken) == others[:100]


def test_a_small_space_is_used_up_and_no_more() -> None:
    taken = [("aaaa",) * SECRET_WORDS]
    others = other_secrets(["aaaa", "bbbb"], 100, 1, taken)
    assert len(others) == space_size(["aaaa", "bbbb"]) - 1 == 15


def test_a_planted_text_begins_with_the_canary() -> None:
    canary = make_canaries(WORDS, (1,), 1, 0, seed=1)[0]
    text = planted("Once there was a cat.", canary)
    assert text.startswith(f"The magic words are {' '.join(canary.secret)}. Once there")
    assert words_of(text)[4 : 4 + SECRET_WORDS] == list(canary.secret)
