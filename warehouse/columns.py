"""What a table of the lake is made of: the form in which story_tables.py, student_tables.py and
measured_tables.py state theirs.
"""

from dataclasses import dataclass

import pyarrow as pa


@dataclass(frozen=True, slots=True)
class Table:
    """A table of the lake: its name, what one row is, its columns, and the columns that its rows
    are sorted by. A new version may add nullable columns or let a column be null, and change
    nothing else.
    """

    name: str
    row: str
    version: int
    is_content: bool
    sorted_by: tuple[str, ...]
    schema: pa.Schema


def column(name: str, type_: pa.DataType, meaning: str, *, nullable: bool = False) -> pa.Field:
    """A column that says its unit and meaning."""
    return pa.field(name, type_, nullable=nullable, metadata={"meaning": meaning})


ID = pa.string()
RUN = column("run_id", ID, "the run that made this row: a digest of what was asked for")
