"""Conditions that a challenger must meet whatever its bits per byte: a value and its limit.

A value that is absent, NaN or infinite breaks its gate: what was not measured was not met.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Bound = Literal["at most", "at least"]


@dataclass(frozen=True, slots=True)
class Gate:
    """A value and the limit that it must keep; `suite` is empty for what is not measured on one,
    and a value of None was not measured.
    """

    name: str
    value: float | None
    bound: Bound
    limit: float
    suite: str = ""

    @property
    def ok(self) -> bool:
        """Whether the value keeps its limit; a value at the limit does."""
        if self.value is None or not math.isfinite(self.value):
            return False
        return self.value <= self.limit if self.bound == "at most" else self.value >= self.limit

    def __str__(self) -> str:
        where = f" on {self.suite}" if self.suite else ""
        found = "not measured" if self.value is None else f"{self.value:g}"
        return f"{self.name}{where} ({found}, {self.bound} {self.limit:g})"


def at_most(name: str, value: float | None, limit: float, suite: str = "") -> Gate:
    """The gate of a value that must not exceed its limit."""
    return Gate(name, value, "at most", limit, suite)


def at_least(name: str, value: float | None, limit: float, suite: str = "") -> Gate:
    """The gate of a value that must reach its limit."""
    return Gate(name, value, "at least", limit, suite)


def told(broken: Sequence[Gate]) -> str:
    """The broken gates in words, with their values and limits."""
    what = "a gate is" if len(broken) == 1 else f"{len(broken)} gates are"
    return f"{what} broken: {', '.join(map(str, broken))}"
