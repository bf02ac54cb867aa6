"""Rows of a query on standard output: a table to look at, or CSV or JSON lines for the next
program.
"""

import json
import math
import sys
from typing import Any, Literal

import pyarrow as pa
import pyarrow.csv as pacsv
from rich import box
from rich.console import Console, JustifyMethod
from rich.table import Table
from rich.text import Text

from flows.errors import FlowsError

Format = Literal["table", "csv", "json"]


def chosen_form(*, as_csv: bool, as_json: bool) -> Format:
    """What --csv and --json ask for; FlowsError if both were given."""
    if as_csv and as_json:
        raise FlowsError("--csv and --json: expected one of them, found both")
    return "csv" if as_csv else "json" if as_json else "table"


def write_rows(rows: pa.Table, form: Format) -> None:
    """Write all rows; a list is JSON inside CSV."""
    if form == "csv":
        _write_csv(rows)
    elif form == "json":
        for row in rows.to_pylist():
            finite = {name: _finite(value) for name, value in row.items()}
            print(json.dumps(finite, ensure_ascii=False, default=str))
    else:
        Console().print(_table(rows))


def _finite(value: object) -> object:
    """The value, or None for a number that JSON has no word for: a bound that is not there."""
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _write_csv(rows: pa.Table) -> None:
    try:
        pacsv.write_csv(_flat(rows), sys.stdout.buffer)
    except pa.ArrowNotImplementedError as exc:
        raise FlowsError(
            f"--csv: expected columns that CSV can hold, found: {exc}; cast them to varchar, or "
            "use --json"
        ) from exc


def _table(rows: pa.Table) -> Table:
    table = Table(box=box.SIMPLE_HEAD, caption=_counted(rows.num_rows), caption_justify="left")
    for field in rows.schema:
        justify: JustifyMethod = "right" if _is_number(field.type) else "left"
        table.add_column(field.name, justify=justify, overflow="fold")
    for row in rows.to_pylist():
        table.add_row(*(_cell(value) for value in row.values()))
    return table


def _counted(num_rows: int) -> str:
    return f"{num_rows} row{'' if num_rows == 1 else 's'}"


def _is_number(kind: pa.DataType) -> bool:
    """A sum of whole numbers comes from DuckDB as a decimal."""
    tests = (pa.types.is_integer, pa.types.is_floating, pa.types.is_decimal)
    return any(is_it(kind) for is_it in tests)


def _cell(value: Any) -> Text:
    """As text that a terminal only shows: what would steer it stands there as its escape."""
    if value is None:
        return Text("")
    text = f"{value:.6g}" if isinstance(value, float) else str(value)
    return Text("".join(c if c.isprintable() or c == "\n" else ascii(c)[1:-1] for c in text))


def _flat(rows: pa.Table) -> pa.Table:
    columns = []
    for field in rows.schema:
        column = rows.column(field.name)
        if pa.types.is_nested(field.type):
            texts = [
                None if value is None else json.dumps(value, default=str)
                for value in column.to_pylist()
            ]
            column = pa.array(texts, pa.string())
        columns.append(column)
    return pa.table(columns, names=rows.schema.names)
