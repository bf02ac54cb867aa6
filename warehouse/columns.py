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


def bin_columns(counted: str) -> list[pa.Field]:
    """The columns of one of 15 bins of confidence; `counted`: what num_tokens counts."""
    return [
        column("bin", pa.int16(), "0 for the least sure, 14 for the surest"),
        column("low", pa.float64(), "least probability in the bin"),
        column("high", pa.float64(), "where the next bin begins; the last one holds 1 too"),
        column("num_tokens", pa.int64(), counted),
        column("num_right", pa.int64(), "of them, those where the likeliest event came"),
        column(
            "mean_confidence",
            pa.float64(),
            "mean of those probabilities; null for an empty bin",
            nullable=True,
        ),
    ]


ID = pa.string()
RUN = column("run_id", ID, "the run that made this row: a digest of what was asked for")
