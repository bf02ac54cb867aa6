"""Which texts repeat an older one: word for word, or nearly.

Two texts are near duplicates if the sets of their word n-grams have a Jaccard similarity of at
least `min_similarity`. MinHash with banding (Broder 1997; Leskovec, Rajaraman, Ullman: Mining of
Massive Datasets, chapter 3) proposes pairs, the n-gram sets themselves decide: so a pair that is
found is one (up to collisions of 64-bit digests), and only pairs can be missed. Of NUM_HASHES
slots, `rows` form a band; a pair of similarity s is proposed with probability
1 - (1 - s**rows)**bands. bands_for takes the most rows that still give 0.99 at the threshold
itself: at 0.8 that is 21 bands of 6, thus 0.998 at 0.8 and 1 - 1e-7 at 0.9, but 0.015 at 0.3.

Everything is integer arithmetic on blake2b digests of words: the same on every machine, in every
process. Cost: 0.15 CPU-ms for a story of 150 words, most of it for its words, and 170 bytes
(tests/bench/results/dedup.md). A corpus of near-templates, thousands of stories that are alike but
not alike enough, costs a comparison (20 microseconds) for each of its pairs that share a band.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from datagen.config import DuplicateConfig
from datagen.measures import words_of
from datagen.word_hashes import GOLDEN, Hashes, WordDigests, longer, mixed, word_hashes
from warehouse.identity import seed_from

NUM_HASHES = 128
_RECALL_AT_THRESHOLD = 0.99
_TEXTS_AT_ONCE = 512  # their n-grams stay in the cache while 128 hashes pass over them
_NUM_REMEMBERED = 4096
_MULTIPLIERS = np.array(
    [seed_from("minhash", place) << 1 | 1 for place in range(NUM_HASHES)], np.uint64
)


@dataclass(frozen=True, slots=True)
class Repeat:
    """The text at `place` repeats the older one at `older`; similarity 1.0 may also be other
    punctuation, `is_exact` says that the texts are equal.
    """

    place: int
    older: int
    similarity: float
    is_exact: bool


def find_repeats(
    texts: Sequence[str],
    config: DuplicateConfig,
    *,
    num_earlier: int = 0,
    sides: Sequence[bool] | None = None,
) -> list[Repeat]:
    """Of texts in order, oldest first: those that repeat an older one that stays, by place.

    The first `num_earlier` stay whatever they are. A text that repeats several names the oldest.
    One that is like a refused text only, and like no text that stays, stays. With `sides`, one for
    each text, only an older text of the other side is repeated.
    """
    bands = _shared_bands(texts, config)
    grams = lru_cache(_NUM_REMEMBERED)(lambda place: gram_set(texts[place], config))
    buckets: defaultdict[tuple[int, int], list[int]] = defaultdict(list)
    first_of: dict[tuple[str, bool], int] = {}
    repeats: list[Repeat] = []
    for place, text in enumerate(texts):
        mine = bands.get(place, [])
        side = sides is not None and sides[place]
        other = side if sides is None else not side
        if place >= num_earlier:
            alike = {older for band in mine for older in buckets[band]}
            proposed = sorted(older for older in alike if sides is None or sides[older] == other)
            repeat = _exact(place, first_of.get((text, other))) or _near(
                place, proposed, grams, config
            )
            if repeat is not None:
                repeats.append(repeat)
                continue
        first_of.setdefault((text, side), place)
        for band in mine:
            buckets[band].append(place)
    return repeats


def similarity(first: Hashes, second: Hashes) -> float:
    """The Jaccard similarity of two sets of gram_set: 0 to 1."""
    shared = len(np.intersect1d(first, second, assume_unique=True))
    return shared / (len(first) + len(second) - shared)


def gram_set(text: str, config: DuplicateConfig) -> Hashes:
    """The digests of the text's different word n-grams, sorted; a text of fewer words has one, of
    all its words. Words as measures.words_of has them: case and punctuation do not count.
    """
    return distinct_grams([text], config.words_per_gram)


def distinct_grams(texts: Sequence[str], words_per_gram: int) -> Hashes:
    """The digests of all texts' different word n-grams, sorted."""
    grams, _ = _grams([words_of(text) for text in texts], words_per_gram, WordDigests())
    return np.unique(grams)


def bands_for(min_similarity: float) -> tuple[int, int]:
    """(bands, rows): the most rows with which a pair at the threshold is proposed with probability
    0.99 or more.
    """
    shapes = [(NUM_HASHES // rows, rows) for rows in range(NUM_HASHES, 0, -1)]
    return next(
        (bands, rows)
        for bands, rows in shapes
        if proposal_probability(min_similarity, bands, rows) >= _RECALL_AT_THRESHOLD
    )


def proposal_probability(jaccard: float, bands: int, rows: int) -> float:
    """The S-curve: how probably two texts of that similarity share a band."""
    return 1 - (1 - jaccard**rows) ** bands


def signatures(texts: Sequence[str], config: DuplicateConfig) -> Iterator[Hashes]:
    """The MinHash signatures, some texts at a time: shape (texts, NUM_HASHES).

    Slots of two texts are equal with the probability of their similarity.
    """
    digests = WordDigests()
    for start in range(0, len(texts), _TEXTS_AT_ONCE):
        words = [words_of(text) for text in texts[start : start + _TEXTS_AT_ONCE]]
        grams, starts = _grams(words, config.words_per_gram, digests)
        slots = [np.minimum.reduceat(grams * factor, starts) for factor in _MULTIPLIERS]
        yield np.stack(slots, axis=1)


def _exact(place: int, older: int | None) -> Repeat | None:
    return None if older is None else Repeat(place, older, 1.0, is_exact=True)


def _near(
    place: int, proposed: Sequence[int], grams: Callable[[int], Hashes], config: DuplicateConfig
) -> Repeat | None:
    for older in proposed:
        found = similarity(grams(place), grams(older))
        if found >= config.min_similarity:
            return Repeat(place, older, found, is_exact=False)
    return None


def _shared_bands(
    texts: Sequence[str], config: DuplicateConfig
) -> dict[int, list[tuple[int, int]]]:
    """Of each text that shares a band with another: the bands that it shares, as (band, key)."""
    num_bands, rows = bands_for(config.min_similarity)
    keys = np.zeros((len(texts), num_bands), np.uint64)
    done = 0
    for slots in signatures(texts, config):
        in_bands = slots[:, : num_bands * rows].reshape(len(slots), num_bands, rows)
        for row in range(rows):
            block = keys[done : done + len(slots)]
            block[:] = mixed(block * GOLDEN + in_bands[:, :, row])
        done += len(slots)
    shared: defaultdict[int, list[tuple[int, int]]] = defaultdict(list)
    for band in range(num_bands):
        _, inverse, counts = np.unique(keys[:, band], return_inverse=True, return_counts=True)
        for place in np.flatnonzero(counts[inverse] > 1).tolist():
            shared[place].append((band, int(inverse[place])))
    return shared


def _grams(
    texts: Sequence[Sequence[str]], length: int, digests: WordDigests
) -> tuple[Hashes, NDArray[np.int64]]:
    """The digests of the n-grams of all texts, text after text, and where each text's begin; each
    text has one at least.
    """
    words = word_hashes(texts, digests)
    num_words = np.array([len(text) for text in texts], np.int64)
    num_grams = np.maximum(num_words - length + 1, 1)
    starts = np.cumsum(num_grams) - num_grams
    grams = np.zeros(int(num_grams.sum()), np.uint64)
    is_long = np.repeat(num_words >= length, num_grams)
    word_starts = np.repeat(np.cumsum(num_words) - num_words, num_grams)
    firsts = (word_starts + np.arange(len(grams)) - np.repeat(starts, num_grams))[is_long]
    rolled = np.zeros(len(firsts), np.uint64)
    for place in range(length):
        rolled = longer(rolled, words[firsts + place])
    grams[is_long] = rolled
    for index in np.flatnonzero(num_words < length):
        grams[starts[index]] = digests[" ".join(texts[index])]
    return grams, starts
