"""What of a text stands in the text that a student was trained on: shares of its n-grams, and its
longest run of copied words with the document that holds it.

Words, not tokens (8, 16 and 32 words are some 10, 21 and 42 tokens; Lee and others 2022 and Carlini
and others 2023 look at 50): students of different token spaces compare, and a copy in other case or
punctuation is one. An n-gram or run never crosses the border of a document. Runs of fewer than
SHORTEST words are not looked for: everybody shares those.

The training text streams past the texts, so memory follows from these and from one part of it,
however much there is. Of each part the n-grams of SHORTEST words that some text holds are kept,
and both sides grow word by word until nothing is left that both have; that finds every copied
n-gram of every length. N-grams are 64-bit digests (datagen.word_hashes): among 1e13 pairs one is
equal by chance with probability 1e-6. Cost: tests/bench/results/memorisation.md.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from datagen.measures import words_of
from datagen.word_hashes import Hashes, WordDigests, longer, word_hashes

LENGTHS = (8, 16, 32)
SHORTEST = 5

Places = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Copied:
    """What of one text was copied.

    num_grams and num_copied: for each of LENGTHS, the text's n-grams and those of them that stand
    in the training text. The longest copied run is the `num_words` words from `start` on (counted
    in words_of), which stand in the document `doc_id`, the first of those that hold the run; of
    runs of one length the one found first. Without a run of SHORTEST words: 0, 0 and None.
    """

    num_grams: tuple[int, ...]
    num_copied: tuple[int, ...]
    num_words: int
    start: int
    doc_id: str | None

    def share(self, length: int) -> float | None:
        """The copied share of the text's n-grams of that length; None for a shorter text."""
        place = LENGTHS.index(length)
        total = self.num_grams[place]
        return self.num_copied[place] / total if total else None


def find_copies(
    texts: Sequence[str], training: Iterable[Sequence[tuple[str, str]]]
) -> list[Copied]:
    """What of each text stands in the training text, which comes in parts: lists of (doc_id, text).

    The parts' borders change nothing, but for the order in which equally long runs are found.
    """
    search = _Search([words_of(text) for text in texts])
    for part in training:
        search.look_into(part)
    return search.found()


class _Text:
    """Documents as digests, document after document: the digest of each word, its document, and
    where that ends.
    """

    def __init__(self, documents: Sequence[Sequence[str]], digests: WordDigests) -> None:
        lengths = np.array([len(words) for words in documents], np.int64)
        self.words = word_hashes(documents, digests)
        self.documents = np.repeat(np.arange(len(documents)), lengths)
        self.starts = np.cumsum(lengths) - lengths
        self.ends = np.repeat(np.cumsum(lengths), lengths)

    def grams(self) -> tuple[Places, Hashes]:
        """Where an n-gram of SHORTEST words begins, and its digest."""
        places = np.arange(len(self.words))
        grams = np.zeros(len(places), np.uint64)
        for length in range(SHORTEST):
            places, grams = self.longer(places, grams, length)
        return places, grams

    def longer(self, places: Places, grams: Hashes, length: int) -> tuple[Places, Hashes]:
        """The n-grams of that length there with one word more, where their document has one."""
        is_inside = places + length < self.ends[places]
        places = places[is_inside]
        return places, longer(grams[is_inside], self.words[places + length])


class _Search:
    """What was found so far."""

    def __init__(self, texts: Sequence[Sequence[str]]) -> None:
        self._digests = WordDigests()
        self._text = _Text(texts, self._digests)
        self._lengths = [len(words) for words in texts]
        self._places, self._grams = self._text.grams()
        self._known = np.unique(self._grams)
        self._is_copied = np.zeros((len(LENGTHS), len(self._text.words)), bool)
        self._num_words = np.zeros(len(texts), np.int64)
        self._starts = np.zeros(len(texts), np.int64)
        self._doc_ids: list[str | None] = [None] * len(texts)

    def look_into(self, part: Sequence[tuple[str, str]]) -> None:
        """Add what stands in that part of the training text."""
        source = _Text([words_of(text) for _, text in part], self._digests)
        there, seen = source.grams()
        there, seen = _only(there, seen, self._known)
        here, mine = _only(self._places, self._grams, np.unique(seen))
        length = SHORTEST
        while len(here):
            if length in LENGTHS:
                self._is_copied[LENGTHS.index(length), here] = True
            self._note_runs(length, here, mine, part, source.documents[there], seen)
            here, mine = self._text.longer(here, mine, length)
            there, seen = source.longer(there, seen, length)
            here, mine = _only(here, mine, np.unique(seen))
            there, seen = _only(there, seen, np.unique(mine))
            length += 1

    def _note_runs(
        self,
        length: int,
        here: Places,
        mine: Hashes,
        part: Sequence[tuple[str, str]],
        documents: Places,
        seen: Hashes,
    ) -> None:
        """Remember the first run of each text that has none so long, and the first document that
        holds it.
        """
        texts, firsts = np.unique(self._text.documents[here], return_index=True)
        is_longer = length > self._num_words[texts]
        texts, firsts = texts[is_longer], firsts[is_longer]
        if not len(texts):
            return
        self._num_words[texts] = length
        self._starts[texts] = here[firsts] - self._text.starts[texts]
        grams, first_seen = np.unique(seen, return_index=True)
        holders = documents[first_seen[np.searchsorted(grams, mine[firsts])]]
        for text, holder in zip(texts.tolist(), holders.tolist(), strict=True):
            self._doc_ids[text] = part[holder][0]

    def found(self) -> list[Copied]:
        """What was found, text by text."""
        counts = [
            np.bincount(self._text.documents[is_copied], minlength=len(self._lengths)).tolist()
            for is_copied in self._is_copied
        ]
        return [
            Copied(
                num_grams=tuple(max(length - gram + 1, 0) for gram in LENGTHS),
                num_copied=tuple(count[place] for count in counts),
                num_words=int(self._num_words[place]),
                start=int(self._starts[place]),
                doc_id=self._doc_ids[place],
            )
            for place, length in enumerate(self._lengths)
        ]


def _only(places: Places, grams: Hashes, wanted: Hashes) -> tuple[Places, Hashes]:
    """Those whose n-gram is among the wanted ones, which are sorted."""
    if not len(wanted):
        return places[:0], grams[:0]
    at = np.minimum(np.searchsorted(wanted, grams), len(wanted) - 1)
    is_wanted = wanted[at] == grams
    return places[is_wanted], grams[is_wanted]
