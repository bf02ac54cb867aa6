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
    """One text to write: what the teacher is told, the words its answer must begin with, and the
    seed of its draws.
    """

    prompt: str
    opening: str
    seed: int


@dataclass(frozen=True, slots=True)
class Completion:
    """What the teacher wrote (its opening included), how many tokens it drew, and whether it ended
    by itself.
    """

    text: str
    num_tokens: int
    is_finished: bool


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
