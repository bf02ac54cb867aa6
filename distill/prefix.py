"""What a student reads before a story: the start symbol, then perhaps a context that says what is
asked of it, as the line `Words: a, b, c`.

A share of the training documents (the recipe says how many) carry a context, so that a student that
is asked for words has seen how it is asked. Which ones is a digest of the document alone: it does
not move when other documents come or go. A context carries no loss, and bits per byte are measured
without it. Whoever knows what was asked of a text writes its context; a student that reads other
lines than the one of its words has their names in its config.json.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

import numpy as np
import numpy.typing as npt

from distill.errors import DistillError
from warehouse.identity import seed_from

if TYPE_CHECKING:
    from transformers import PreTrainedConfig

_SEED_RANGE = 2**63
# The key in config.json. Loaders other than ours keep it and look at nothing of it.
_LINES = "stillhouse_instruct_lines"


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


def prefix_ids(space: PrefixSpace, context: str | None) -> npt.NDArray[np.int32]:
    """int32[P]: the start id, then the ids of the context unless it is None."""
    ids = [] if context is None else space.encode(context)
    return np.array([space.start_id, *ids], dtype=np.int32)


def has_context(doc_id: str, share: float) -> bool:
    """True for `share` of all documents, always the same ones; a larger share keeps those of a
    smaller one.
    """
    return seed_from("words line", doc_id) < share * _SEED_RANGE


def mark_instruct_lines(config: "PreTrainedConfig", names: Sequence[str] | None) -> None:
    """Make the student's config say which lines of the instruct form it was trained on; None leaves
    it as it is, that of a student which reads the line of its words.
    """
    if names is not None:
        setattr(config, _LINES, list(names))


def instruct_lines_of(config: "PreTrainedConfig") -> tuple[str, ...] | None:
    """The names of the lines that the student was trained on; None: it reads the line of its words.

    DistillError if the config holds something else there.
    """
    names = getattr(config, _LINES, None)
    if names is None:
        return None
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise DistillError(
            f"a student's config.json: expected a list of names in {_LINES}, found {names!r:.100}; "
            "put back the file that its training wrote, or train it again"
        )
    return tuple(names)
