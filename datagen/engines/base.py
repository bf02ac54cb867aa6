"""What an engine is: prompts in, completions out, and nothing about stories.

An engine's answer to a request depends on the request's seed, on the batch that the caller formed,
and on the engine's numerics class, never on who else is waiting or on what came before.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from datagen.config import SamplingConfig


@dataclass(frozen=True, slots=True)
class Request:
    """One text to write: what the teacher is told, the words its answer must begin with, the seed
    of its draws, and, for each word that must occur in it, that word's lower-case forms.
    """

    prompt: str
    opening: str
    seed: int
    required: tuple[frozenset[str], ...]


@dataclass(frozen=True, slots=True)
class Completion:
    """What the teacher wrote (its opening included), how many tokens it drew, whether it ended by
    itself, and how many tokens it was told (its opening included).
    """

    text: str
    num_tokens: int
    is_finished: bool
    num_prompt_tokens: int


TokensWritten = Callable[[int], None]


class Engine(Protocol):
    """A teacher that writes."""

    def write(
        self, requests: Sequence[Request], sampling: SamplingConfig, on_tokens: TokensWritten
    ) -> list[Completion]:
        """One completion per request, in the requests' order; on_tokens hears of tokens as they are
        drawn.
        """
        ...
