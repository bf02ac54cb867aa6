"""The named views (sql/*.sql, one a file) and the two small tables that come from the manifest and
the schemas.
"""

from functools import cache
from importlib.resources import files

import pyarrow as pa

from warehouse.ledger import Ledger
from warehouse.schemas import TABLES

_NIGHTS = pa.schema(
    [
        ("line", pa.string()),
        ("night", pa.string()),
        ("ordinal", pa.int64()),
        ("first_index", pa.int64()),
        ("num_indices", pa.int64()),
        ("parent_snapshot", pa.int64()),
        ("champion_id", pa.string()),
        ("numerics", pa.string()),
        ("asked", pa.string()),
    ]
)


@cache
def named_views() -> dict[str, str]:
    """The SQL of every named view, by name; a view may use the tables and the views before it in
    this order.
    """
    folder = files("warehouse").joinpath("sql")
    found = {
        file.name.removesuffix(".sql"): file.read_text(encoding="utf-8")
        for file in folder.iterdir()
        if file.name.endswith(".sql")
    }
    return dict(sorted(found.items()))


def small_tables(ledger: Ledger, snapshot: int | None = None) -> dict[str, pa.Table]:
    """`nights` (one row per claimed night) and `columns` (one row per column of the lake, with its
    meaning).
    """
    last = ledger.snapshot if snapshot is None else snapshot
    nights = [
        {name: getattr(night, name) for name in _NIGHTS.names}
        for night in ledger.nights.values()
        if night.parent_snapshot < last
    ]
    columns = [
        {
            "table_name": table.name,
            "column_name": field.name,
            "type": str(field.type),
            "meaning": field.metadata[b"meaning"].decode(),
        }
        for table in TABLES.values()
        for field in table.schema
    ]
    return {
        "nights": pa.Table.from_pylist(nights, schema=_NIGHTS),
        "columns": pa.Table.from_pylist(columns),
    }


def sql_schema(schema: pa.Schema) -> pa.Schema:
    """The schema as SQL sees it: DuckDB's Arrow scan knows no half floats, so they become
    floats.
    """
    return pa.schema([pa.field(field.name, _sql_type(field.type)) for field in schema])


def _sql_type(kind: pa.DataType) -> pa.DataType:
    if pa.types.is_list(kind):
        return pa.list_(_sql_type(kind.value_type))
    return pa.float32() if pa.types.is_float16(kind) else kind
