"""One form for rows that mean the same: same columns and types, sorted, hashed by value.

The content digest is of rows, not of file bytes, so it outlives compaction and another Parquet
writer. Arrow's buffers are hashed after what does not count (chunking, slices, bytes under nulls,
padding) is taken away. Cost: about the memory bandwidth of blake2b, near 1 GB/s.
"""

import hashlib

import pyarrow as pa
import pyarrow.compute as pc

from warehouse.errors import RowsError
from warehouse.identity import DIGEST_BYTES, canonical_json
from warehouse.schemas import Table

_ROWS_PER_BLOCK = 65_536


def canonical_rows(rows: pa.Table, table: Table, where: str) -> pa.Table:
    """The rows with the table's columns, in its order and types, sorted by its key.

    Rows with equal keys are sorted by their other scalar columns. Raises RowsError, which names
    `where`, for missing or unknown columns, values that do not fit, and nulls in columns (or list
    items) that must not hold any.
    """
    missing = sorted(set(table.schema.names) - set(rows.column_names))
    unknown = sorted(set(rows.column_names) - set(table.schema.names))
    if missing or unknown or len(rows.column_names) != len(table.schema.names):
        raise RowsError(
            f"{where}: {table.name} has the columns {', '.join(table.schema.names)}; "
            f"missing: {', '.join(missing) or 'none'}; unknown: {', '.join(unknown) or 'none'}"
        )
    rows = rows.select(table.schema.names)
    _refuse_nulls(rows, table, where)
    try:
        rows = rows.cast(table.schema).replace_schema_metadata(None)
    except (pa.ArrowException, ValueError) as exc:
        raise RowsError(f"{where}: rows do not fit the types of {table.name}: {exc}") from exc
    return _sorted(rows, table)


def content_digest(rows: pa.Table, table: Table) -> str:
    """32 hex characters that depend on the canonical rows and the table's name and version
    alone.
    """
    hash_ = hashlib.blake2b(digest_size=DIGEST_BYTES)
    columns = [[field.name, str(field.type)] for field in table.schema]
    hash_.update(canonical_json([table.name, table.version, columns, rows.num_rows]))
    for start in range(0, rows.num_rows, _ROWS_PER_BLOCK):
        for column in rows.slice(start, _ROWS_PER_BLOCK).columns:
            _update(hash_, pa.concat_arrays(column.chunks))
    return hash_.hexdigest()


def _refuse_nulls(rows: pa.Table, table: Table, where: str) -> None:
    for field in table.schema:
        column = rows.column(field.name)
        if not field.nullable and column.null_count:
            raise RowsError(
                f"{where}: column {field.name} of {table.name} must not be null; "
                f"{column.null_count} of {rows.num_rows} rows are"
            )
        if pa.types.is_list(column.type) and pc.list_flatten(column).null_count:
            raise RowsError(f"{where}: a list in column {field.name} of {table.name} holds a null")


def _sorted(rows: pa.Table, table: Table) -> pa.Table:
    keys = [(name, "ascending") for name in table.sorted_by]
    num_distinct = rows.group_by(list(table.sorted_by)).aggregate([]).num_rows
    if num_distinct < rows.num_rows:
        keys += [
            (field.name, "ascending")
            for field in table.schema
            if field.name not in table.sorted_by and not pa.types.is_list(field.type)
        ]
    return rows.take(pc.sort_indices(rows, sort_keys=keys))


def _update(hash_: hashlib.blake2b, array: pa.Array) -> None:
    """Feed the values of an array of any column type that schemas.py uses."""
    if array.null_count:
        hash_.update(b"nulls")
        _update(hash_, pc.is_null(array))
        array = array.drop_null()
    if pa.types.is_list(array.type):
        hash_.update(_fixed_width_bytes(pc.list_value_length(array)))
        _update(hash_, array.flatten())
    elif pa.types.is_string(array.type):
        hash_.update(_fixed_width_bytes(pc.binary_length(array)))
        hash_.update(_text_bytes(array))
    elif pa.types.is_boolean(array.type):
        hash_.update(_fixed_width_bytes(array.cast(pa.uint8())))
    else:
        hash_.update(_fixed_width_bytes(array))


def _fixed_width_bytes(array: pa.Array) -> memoryview:
    width = array.type.bit_width // 8
    start = array.offset * width
    return _bytes(array.buffers()[1])[start : start + len(array) * width]


def _text_bytes(array: pa.Array) -> memoryview:
    _, offsets, data = array.buffers()
    if len(array) == 0:
        return memoryview(b"")
    ends = _bytes(offsets).cast("i")
    return _bytes(data)[ends[array.offset] : ends[array.offset + len(array)]]


def _bytes(buffer: pa.Buffer | None) -> memoryview:
    return memoryview(b"") if buffer is None else memoryview(buffer).cast("B")
