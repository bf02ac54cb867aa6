"""Repeats are found, word for word and nearly, and nothing else is; the same in every process."""

import random
import subprocess
import sys
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from datagen.config import DuplicateConfig
from datagen.dedup import (
    NUM_HASHES,
    Repeat,
    bands_for,
    find_repeats,
    gram_set,
    proposal_probability,
    signatures,
    similarity,
)
from datagen.measures import words_of

CONFIG = DuplicateConfig(min_similarity=0.8, words_per_gram=5)
WORDS = [f"{first}{last}" for first in "bcdfghklmn" for last in ("at", "et", "it", "ot", "ut")]


def _texts(number: int, seed: int, length: int = 150) -> list[list[str]]:
    rng = random.Random(seed)
    return [rng.choices(WORDS, k=length) for _ in range(number)]


def _jaccard(first: str, second: str, length: int) -> float:
    """By definition, on the n-grams themselves."""
    sets = []
    for text in (first, second):
        words = words_of(text)
        last = max(len(words) - length, 0)
        sets.append({tuple(words[at : at + length]) for at in range(last + 1)})
    return len(sets[0] & sets[1]) / len(sets[0] | sets[1])


def _with_changes(words: Sequence[str], num_changes: int, rng: random.Random) -> str:
    """Other words at places far apart: each takes about ten of the union's 5-grams away from the
    two texts' common ones.
    """
    changed = list(words)
    for place in range(num_changes):
        changed[(place + 1) * len(words) // (num_changes + 1)] = f"new{rng.randrange(10**9)}"
    return " ".join(changed)


@pytest.mark.parametrize(
    ("length", "num_changes", "at_least"),
    [(100, 1, 0.9), (200, 2, 0.9), (160, 3, 0.8)],
)
def test_planted_near_duplicates_are_found(length: int, num_changes: int, at_least: float) -> None:
    """Recall 0.99 or more, of 1,000 pairs, at the similarity that was measured."""
    rng = random.Random(num_changes)
    originals = _texts(1000, seed=1, length=length)
    copies = [_with_changes(words, num_changes, rng) for words in originals]
    texts = [" ".join(words) for words in originals] + copies
    planted = {
        place + 1000: _jaccard(texts[place], texts[place + 1000], 5) for place in range(1000)
    }
    assert at_least <= min(planted.values()) < at_least + 0.05
    found = {repeat.place: repeat for repeat in find_repeats(texts, CONFIG)}
    assert found.keys() <= planted.keys()
    assert len(found) >= 990
    for place, repeat in found.items():
        assert repeat.older == place - 1000
        assert repeat.similarity == pytest.approx(planted[place], abs=1e-12)
        assert not repeat.is_exact


def test_pairs_below_the_threshold_are_left_alone() -> None:
    rng = random.Random(4)
    originals = _texts(300, seed=2)
    texts = [" ".join(words) for words in originals]
    texts += [_with_changes(words, 5, rng) for words in originals]
    assert 0.6 < _jaccard(texts[0], texts[300], 5) < 0.8
    assert find_repeats(texts, CONFIG) == []


@given(st.lists(st.lists(st.sampled_from("abc"), max_size=9), max_size=8))
def test_what_is_found_are_pairs_by_definition(stories: list[list[str]]) -> None:
    texts = [" ".join(words) for words in stories]
    repeats = find_repeats(texts, CONFIG)
    refused = {repeat.place for repeat in repeats}
    for repeat in repeats:
        assert repeat.older < repeat.place
        assert repeat.older not in refused
        assert repeat.is_exact == (texts[repeat.older] == texts[repeat.place])
        assert repeat.similarity >= 0.8
        found = _jaccard(texts[repeat.older], texts[repeat.place], 5)
        assert repeat.similarity == pytest.approx(found, abs=1e-12)
    kept = [text for place, text in enumerate(texts) if place not in refused]
    assert len(set(kept)) == len(kept)


@given(st.text(max_size=60), st.text(max_size=60), st.integers(1, 6))
def test_similarity_is_the_jaccard_of_the_word_grams(first: str, second: str, n: int) -> None:
    config = DuplicateConfig(min_similarity=0.8, words_per_gram=n)
    found = similarity(gram_set(first, config), gram_set(second, config))
    assert found == pytest.approx(_jaccard(first, second, n), abs=1e-12)


def test_slots_agree_as_often_as_the_texts_are_alike() -> None:
    """Over 300 pairs of each similarity: the mean share of equal slots within 4 sigma, and the
    share of pairs with a common band within 4 sigma of the S-curve.
    """
    rng = random.Random(7)
    num_bands, rows = bands_for(0.8)
    for num_changes in (2, 5, 9):
        originals = _texts(300, seed=num_changes)
        pairs = [" ".join(words) for words in originals]
        pairs += [_with_changes(words, num_changes, rng) for words in originals]
        slots = np.concatenate(list(signatures(pairs, CONFIG)))
        same = slots[:300] == slots[300:]
        alike = np.array([_jaccard(a, b, 5) for a, b in zip(pairs, pairs[300:], strict=False)])
        mean = alike.mean()
        assert abs(same.mean() - mean) < 4 * np.sqrt(mean * (1 - mean) / same.size)
        bands = same[:, : num_bands * rows].reshape(300, num_bands, rows).all(axis=2).any(axis=1)
        curve = np.mean([proposal_probability(j, num_bands, rows) for j in alike])
        assert abs(bands.mean() - curve) <= 4 * np.sqrt(curve * (1 - curve) / 300) + 1e-9


@pytest.mark.parametrize("threshold", [0.3, 0.5, 0.7, 0.8, 0.9, 0.99, 1.0])
def test_the_bands_propose_99_of_100_pairs_at_the_threshold(threshold: float) -> None:
    num_bands, rows = bands_for(threshold)
    assert num_bands * rows <= NUM_HASHES
    assert proposal_probability(threshold, num_bands, rows) >= 0.99
    more_rows = NUM_HASHES // (rows + 1), rows + 1
    assert rows == NUM_HASHES or proposal_probability(threshold, *more_rows) < 0.99


def test_the_oldest_that_stays_is_named_and_refused_ones_count_for_nothing() -> None:
    first = _texts(1, seed=3, length=200)[0]
    rng = random.Random(33)
    second = [*first[:-30], *rng.choices(WORDS, k=30)]  # near the first
    third = [*second[25:], *rng.choices(WORDS, k=25)]  # near the second, not the first
    texts = [" ".join(words) for words in (first, second, third, first, second)]
    near = [_jaccard(texts[a], texts[b], 5) >= 0.7 for a, b in ((0, 1), (1, 2), (0, 2))]
    assert near == [True, True, False]
    repeats = find_repeats(texts, DuplicateConfig(min_similarity=0.7, words_per_gram=5))
    assert [(r.place, r.older, r.is_exact) for r in repeats] == [
        (1, 0, False),
        (3, 0, True),
        (4, 0, False),
    ]


def test_earlier_texts_stay_whatever_they_are() -> None:
    texts = ["one two three four five six"] * 4
    assert find_repeats(texts, CONFIG, num_earlier=3) == [Repeat(3, 0, 1.0, is_exact=True)]
    assert find_repeats(texts, CONFIG, num_earlier=4) == []


def test_case_and_punctuation_do_not_hide_a_repeat() -> None:
    texts = ["The cat sat on a mat. It slept.", "the cat sat, on a MAT! it slept"]
    assert find_repeats(texts, CONFIG) == [Repeat(1, 0, 1.0, is_exact=False)]


def test_no_texts_and_texts_without_a_word_are_fine() -> None:
    assert find_repeats([], CONFIG) == []
    assert find_repeats(["Hi."], CONFIG) == []
    assert [r.is_exact for r in find_repeats(["...", "Hi you.", "?!", "...", "Hi!"], CONFIG)] == [
        False,
        True,
    ]


def test_another_process_proposes_the_same() -> None:
    code = (
        "import hashlib, numpy as np\n"
        "from datagen.config import DuplicateConfig\n"
        "from datagen.dedup import signatures\n"
        "config = DuplicateConfig(min_similarity=0.8, words_per_gram=5)\n"
        "texts = ['Once upon a time there was a cat.', 'Hi.', 'A dog ran to the old red house.']\n"
        "slots = np.concatenate(list(signatures(texts, config)))\n"
        "print(hashlib.sha256(slots.astype('<u8').tobytes()).hexdigest())\n"
    )
    digests = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={"PYTHONHASHSEED": seed, "PYTHONPATH": ":".join(sys.path)},
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
        for seed in ("1", "2")
    }
    assert digests == {"99116644b65b73986321db3fb4cd79c673f3f0e2e00a42c0002d70c39b8a278a"}


def test_with_sides_only_the_other_sides_older_text_is_repeated() -> None:
    rng = random.Random(5)
    words = _texts(1, 5)[0]
    texts = [" ".join(words), *(_with_changes(words, 1, rng) for _ in range(4)), " ".join(words)]
    sides = [True, True, False, False, True, False]
    repeats = find_repeats(texts, CONFIG, sides=sides)
    assert [(item.place, item.older, item.is_exact) for item in repeats] == [
        (2, 0, False),
        (3, 0, False),
        (5, 0, True),
    ]
    assert [item.place for item in find_repeats(texts, CONFIG)] == [1, 2, 3, 4, 5]
    assert find_repeats(texts, CONFIG, sides=[True] * 6) == []
    assert [item.place for item in find_repeats(texts, CONFIG, sides=sides, num_earlier=4)] == [
        4,
        5,
    ]


def test_no_pair_across_the_sides_is_left() -> None:
    """What stays has no near duplicate on the other side, as all pairs say."""
    rng = random.Random(6)
    texts = [
        _with_changes(words, rng.randrange(3), rng) for words in _texts(12, 6) for _ in range(4)
    ]
    sides = [rng.random() < 0.4 for _ in texts]
    refused = {item.place for item in find_repeats(texts, CONFIG, sides=sides)}
    assert 0 < len(refused) < len(texts)
    stays = [place for place in range(len(texts)) if place not in refused]
    for place in stays:
        for other in stays:
            if sides[place] != sides[other]:
                assert _jaccard(texts[place], texts[other], CONFIG.words_per_gram) < 0.8
