"""In which form Parquet stores a column: what takes the fewest bytes and every reader can read.

Most bytes of a lake are lists of numbers, of the table `targets`; a dictionary is in vain there.
Whole numbers are split by byte, as the high ones repeat. DuckDB splits no half floats, so these
stay whole, and brotli's model of neighbouring bytes makes up for it. The levels are the highest:
a shard is written once, at some 15,000 target tokens per CPU-second, and read many times, at no
loss. tests/bench/storage.py measures it.
"""

from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

_ZSTD_USUAL, _ZSTD_MOST, _BROTLI_MOST = 3, 19, 11


@dataclass(frozen=True, slots=True)
class Form:
    """A codec with its level, and an encoding; without one the column has a dictionary."""

    codec: str
    level: int
    encoding: str | None = None


def form_of(field: pa.Field, values: pa.ChunkedArray) -> Form:
    """The form of a column with these values."""
    if pa.types.is_list(field.type):
        if pa.types.is_float16(field.type.value_type):
            return Form("brotli", _BROTLI_MOST, "PLAIN")
        if pa.types.is_integer(field.type.value_type):
            return Form("zstd", _ZSTD_MOST, "BYTE_STREAM_SPLIT")
    elif pa.types.is_string(field.type) and _is_key(values):
        return Form("zstd", _ZSTD_USUAL, "DELTA_LENGTH_BYTE_ARRAY")
    return Form("zstd", _ZSTD_USUAL)


def _is_key(values: pa.ChunkedArray) -> bool:
    """Whether every value is there once only."""
    return len(values) > 1 and pc.count_distinct(values).as_py() == len(values)
