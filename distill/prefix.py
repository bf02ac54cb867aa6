"""What a student reads before a story: the start symbol, then perhaps the line `Words: a, b, c`.

Half of the training documents (the recipe says how many) carry the line, so that a student that is
asked for words has seen how it is asked. Which ones is a digest of the document alone: it does not
move when other documents come or go. The line carries no loss, and bits per byte are measured
without it.
"""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt

from distill.errors import DistillError
from warehouse.identity import seed_from

_SEED_RANGE = 2**63


class PrefixSpace(Protocol):
    """What the prefix needs of a token space."""

    @property
    def start_id(self) -> int:
        """The id that every document begins with."""

    def encode(self, text: str) -> list[int]:
        """The ids of a text, no special ids added."""


def words_line(words: Sequence[str]) -> str:
    """The line that asks for the words, its newline included.

    Raises DistillError for an empty list, an empty word, or a word that holds a comma or a newline:
    it would read as two words or as the beginning of the story.
    """
    if not words:
        raise DistillError("expected at least one word for the 'Words:' line, found none")
    for word in words:
        if word != word.strip() or not word or any(mark in word for mark in ",\n\r"):
            raise DistillError(
                f"expected words without comma, newline or outer spaces, found {word!r}; "
                "give each word as an item of its own"
            )
    return f"Words: {', '.join(words)}\n"


def prefix_ids(space: PrefixSpace, words: Sequence[str] | None) -> npt.NDArray[np.int32]:
    """int32[P]: the start id, then the ids of the words' line unless `words` is None."""
    line = [] if words is None else space.encode(words_line(words))
    return np.array([space.start_id, *line], dtype=np.int32)


def has_words_line(doc_id: str, share: float) -> bool:
    """True for `share` of all documents, always the same ones; a larger share keeps those of a
    smaller one.
    """
    return seed_from("words line", doc_id) < share * _SEED_RANGE
