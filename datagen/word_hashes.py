"""Words and word n-grams as 64-bit numbers: the same on every machine, in every process.

A word is its blake2b digest; an n-gram is made from the one a word shorter and one word more, so
that n-grams of every length come out of one pass. Everything is integer arithmetic. Two n-grams
that differ have equal numbers with probability 2**-64.
"""

from collections.abc import Sequence
from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray

Hashes = NDArray[np.uint64]

GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MIX = np.uint64(0xBF58476D1CE4E5B9)


class WordDigests(dict[str, int]):
    """64 bits of blake2b for each word; unlike hash(), the same in every process."""

    def __missing__(self, word: str) -> int:
        value = int.from_bytes(blake2b(word.encode(), digest_size=8).digest(), "big")
        self[word] = value
        return value


def word_hashes(texts: Sequence[Sequence[str]], digests: WordDigests) -> Hashes:
    """The digests of the words of all texts, text after text."""
    return np.fromiter(
        (digests[word] for text in texts for word in text), np.uint64, sum(map(len, texts))
    )


def longer(grams: Hashes, words: Hashes) -> Hashes:
    """Each n-gram with one word more behind it; an n-gram of no words is 0."""
    return mixed(grams * GOLDEN + words)


def mixed(values: Hashes) -> Hashes:
    """Each bit of the input moves about half of the output's: a product alone mixes upwards
    only.
    """
    values = (values ^ values >> np.uint64(32)) * _MIX
    return values ^ values >> np.uint64(29)
