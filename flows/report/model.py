"""What a page is made of, ready to be set: sections of blocks, tables as text, pictures, and the
SQL of each.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from flows.report.answers import Answer
from flows.report.svg import Chart

MAX_COLUMNS_BESIDE = 4


@dataclass(frozen=True, slots=True)
class Column:
    """A column's heading, and whether it holds numbers."""

    heading: str
    is_number: bool = True


@dataclass(frozen=True, slots=True)
class Table:
    """A table as text; the first cell of a row is its heading. `strong` rows stand out."""

    caption: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[str, ...], ...]
    strong: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True)
class Source:
    """The SQL of some figures, by what it asks for."""

    what: str
    sql: str


@dataclass(frozen=True, slots=True)
class Story:
    """A text, who wrote it (a role, or empty), and its figures in a line."""

    who: str
    role: str
    text: str
    facts: str


@dataclass(frozen=True, slots=True)
class StoryRow:
    """Stories of the same words, side by side."""

    words: str
    stories: tuple[Story, ...]


@dataclass(frozen=True, slots=True)
class Block:
    """A picture with its table, or stories, with their SQL. `folded` blocks open on a click."""

    key: str
    title: str = ""
    notes: tuple[str, ...] = ()
    chart: Chart | None = None
    tables: tuple[Table, ...] = ()
    story_rows: tuple[StoryRow, ...] = ()
    sources: tuple[Source, ...] = ()
    folded: str = ""

    @property
    def is_side_by_side(self) -> bool:
        """Whether the tables are narrow enough to stand beside the picture."""
        columns = max((len(table.columns) for table in self.tables), default=0)
        return self.chart is not None and columns <= MAX_COLUMNS_BESIDE


@dataclass(frozen=True, slots=True)
class Section:
    """A part of the page with its heading; `key` is its anchor."""

    key: str
    title: str
    intro: str
    blocks: tuple[Block, ...]


@dataclass(frozen=True, slots=True)
class Headline:
    """A figure at the top of the page and the section that says more."""

    label: str
    value: str
    detail: str
    section: str


def source(*answers: Answer[Any] | None) -> tuple[Source, ...]:
    """The SQL of the answers, each once."""
    found = {answer.sql: answer.what for answer in answers if answer is not None}
    return tuple(Source(what, sql) for sql, what in found.items())


def columns(first: str, *numbers: str) -> tuple[Column, ...]:
    """A heading column of words, then columns of numbers."""
    return (Column(first, is_number=False), *(Column(number) for number in numbers))


def cells(rows: Sequence[Sequence[str]]) -> tuple[tuple[str, ...], ...]:
    """Rows of text as a table keeps them."""
    return tuple(tuple(row) for row in rows)
