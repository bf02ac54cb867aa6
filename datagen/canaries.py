"""Canaries: random secrets put into texts, to see later what a student would give away of the text
that it was trained on (Carlini and others 2019, The Secret Sharer).

A canary is the sentence `CARRIER` with SECRET_WORDS random words in it, at the beginning of a text:
there a student reads it right after its start symbol, as it does when it is asked. All secrets are
drawn from one space, and so are those that are never planted and those that an exposure compares
with: what is special of a planted one is its being planted. The words of the space are common in
the texts themselves, so a token space that is trimmed to these texts holds them all alike (a rare
word would be many ids, but fewer where it was planted).
"""

import random
import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass

from datagen.errors import DatagenError
from datagen.measures import words_of
from warehouse.identity import seed_from

CARRIER = "The magic words are {}."
SECRET_WORDS = 4
# 100**4 secrets: nobody guesses one (26.6 bits), and a sample of thousands is a small part of them.
SPACE_WORDS = 100
_LEAST_SPACE_WORDS = 10
_WORD = re.compile(r"[a-z]{4,}")

Secret = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Canary:
    """A secret, and into how many texts it is put; 0 for one that is never planted."""

    secret: Secret
    num_planted: int

    @property
    def sentence(self) -> str:
        """What is put into a text."""
        return sentence_of(self.secret)


def space_words(texts: Iterable[str]) -> tuple[str, ...]:
    """The words that secrets are made of, sorted: the SPACE_WORDS words of four letters or more
    that stand in most texts. DatagenError if there are hardly any.
    """
    counts: Counter[str] = Counter()
    for text in texts:
        counts.update({word for word in words_of(text) if _WORD.fullmatch(word)})
    ranked = sorted(counts, key=lambda word: (-counts[word], word))[:SPACE_WORDS]
    if len(ranked) < _LEAST_SPACE_WORDS:
        raise DatagenError(
            f"canaries: expected texts with at least {_LEAST_SPACE_WORDS} different words of four "
            f"letters or more to make secrets of, found {len(ranked)}; take more texts"
        )
    return tuple(sorted(ranked))


def space_size(words: Sequence[str]) -> int:
    """How many secrets there are."""
    return int(len(words) ** SECRET_WORDS)


def make_canaries(
    words: Sequence[str], num_repeats: Sequence[int], num_each: int, num_never: int, seed: int
) -> list[Canary]:
    """`num_each` canaries for each number of repeats, then `num_never` that are not planted; no
    secret twice.
    """
    planned = [number for number in num_repeats for _ in range(num_each)] + [0] * num_never
    drawn = _draw(words, random.Random(seed_from("canaries", seed)), ())
    return [Canary(next(drawn), number) for number in planned]


def other_secrets(
    words: Sequence[str], number: int, seed: int, taken: Collection[Secret]
) -> list[Secret]:
    """Secrets of the same law that are none of the taken ones, each once: what an exposure compares
    with. Fewer where the space has not so many.
    """
    number = min(number, space_size(words) - len(set(taken)))
    drawn = _draw(words, random.Random(seed_from("other secrets", seed)), taken)
    return [next(drawn) for _ in range(number)]


def sentence_of(secret: Sequence[str]) -> str:
    """The canary's sentence with that secret."""
    return CARRIER.format(" ".join(secret))


def planted(text: str, canary: Canary) -> str:
    """The text with the canary at its beginning."""
    return f"{canary.sentence} {text}"


def _draw(words: Sequence[str], rng: random.Random, taken: Collection[Secret]) -> Iterator[Secret]:
    """Secrets without end, none twice, none of the taken ones."""
    seen = set(taken)
    while True:
        secret = tuple(rng.choice(words) for _ in range(SECRET_WORDS))
        if secret not in seen:
            seen.add(secret)
            yield secret
