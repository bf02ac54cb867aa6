"""Asking the lake: every figure of a page stays together with the SQL that it came from.

The text that is run is the text that the page shows, so whoever copies it sees the same rows. Every
text can stand between double quotes in a shell, so none holds a double quote, a dollar, a backtick,
a backslash or an exclamation mark.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from textwrap import dedent
from typing import Any, Generic, TypeVar

from flows.errors import FlowsError
from warehouse.lake import Lake

_PLAIN = re.compile(r"[A-Za-z0-9._-]+")
Row = TypeVar("Row")


@dataclass(frozen=True, slots=True)
class Answer(Generic[Row]):
    """What was asked, and what the lake answered. `what` names it for a person."""

    what: str
    sql: str
    rows: tuple[Row, ...]

    @property
    def first(self) -> Row | None:
        """The first row, if there is one."""
        return self.rows[0] if self.rows else None


@dataclass(frozen=True, slots=True)
class Asker:
    """A lake as it was at one snapshot, so that a page never mixes two states."""

    lake: Lake
    snapshot: int

    def ask(self, what: str, sql: str, row: Callable[..., Row]) -> Answer[Row]:
        """The answer, each of its rows given to `row` by column name."""
        table = self.lake.query(sql, snapshot=self.snapshot)
        values: list[dict[str, Any]] = table.to_pylist()
        return Answer(what, sql, tuple(row(**value) for value in values))


def literal(text: str) -> str:
    """The text as an SQL string; lines, nights and ids hold no character that could end it.

    Raises FlowsError for a text with any other character.
    """
    if not _PLAIN.fullmatch(text):
        raise FlowsError(f"{text!r}: expected letters, digits, '.', '_' or '-' alone")
    return f"'{text}'"


ROLES = ("challenger", "control", "champion", "unigram", "teacher", "prompted_teacher")
ROLE_ORDER = f"list_position([{', '.join(map(literal, ROLES))}], role)"


def here(line: str, night: str) -> str:
    """The condition that a row is of that night."""
    return f"line = {literal(line)} AND night = {literal(night)}"


def sql_text(text: str) -> str:
    """The query as it is run and shown."""
    return dedent(text).strip()
