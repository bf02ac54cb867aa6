"""Where the pages, page headers and the footer of a Parquet file lie, read from the file's
own Thrift structures.

Thrift's compact protocol, as far as a page header needs it:
https://github.com/apache/thrift/blob/master/doc/specs/thrift-compact-protocol.md
"""

from dataclasses import dataclass
from pathlib import Path

import pyarrow.parquet as pq

_COMPRESSED_PAGE_SIZE = 3
_TRUE, _FALSE, _BYTE, _I16, _I32, _I64, _DOUBLE, _BINARY, _LIST, _SET, _MAP, _STRUCT = range(1, 13)


@dataclass(frozen=True, slots=True)
class Layout:
    """Byte ranges of a file; `footer` includes its length and the closing magic."""

    pages: tuple[range, ...]
    page_headers: tuple[range, ...]
    footer: range
    rest: tuple[int, ...]


def layout_of(path: Path) -> Layout:
    """The layout of one Parquet file; together the parts are every byte of it."""
    data = path.read_bytes()
    metadata = pq.read_metadata(path)
    pages, headers = [], []
    for group in range(metadata.num_row_groups):
        for number in range(metadata.num_columns):
            chunk = metadata.row_group(group).column(number)
            at = chunk.dictionary_page_offset or chunk.data_page_offset
            end = at + chunk.total_compressed_size
            while at < end:
                start, size = _page_header(data, at)
                headers.append(range(at, start))
                pages.append(range(start, start + size))
                at = start + size
            assert at == end
    footer = range(len(data) - 8 - int.from_bytes(data[-8:-4], "little"), len(data))
    known = {offset for part in (*pages, *headers, footer) for offset in part}
    rest = tuple(sorted(set(range(len(data))) - known))
    return Layout(tuple(pages), tuple(headers), footer, rest)


def _page_header(data: bytes, at: int) -> tuple[int, int]:
    """The header's end and the size of the page behind it."""
    reader = _Reader(data, at)
    fields = reader.struct()
    size = fields[_COMPRESSED_PAGE_SIZE]
    assert isinstance(size, int)
    return reader.at, size


class _Reader:
    def __init__(self, data: bytes, at: int) -> None:
        self.data = data
        self.at = at

    def struct(self) -> dict[int, object]:
        fields: dict[int, object] = {}
        number = 0
        while (head := self._byte()) != 0:
            delta = head >> 4
            number = number + delta if delta else self._zigzag()
            fields[number] = self._value(head & 15)
        return fields

    def _value(self, kind: int) -> object:
        if kind in (_TRUE, _FALSE):
            return kind == _TRUE
        if kind == _BYTE:
            return self._byte()
        if kind in (_I16, _I32, _I64):
            return self._zigzag()
        if kind == _STRUCT:
            return self.struct()
        if kind in (_BINARY, _DOUBLE):
            size = 8 if kind == _DOUBLE else self._varint()
            self.at += size
            return self.data[self.at - size : self.at]
        raise AssertionError(f"a page header holds no Thrift type {kind}")

    def _byte(self) -> int:
        self.at += 1
        return self.data[self.at - 1]

    def _varint(self) -> int:
        value = shift = 0
        while (byte := self._byte()) & 128:
            value |= (byte & 127) << shift
            shift += 7
        return value | byte << shift

    def _zigzag(self) -> int:
        value = self._varint()
        return (value >> 1) ^ -(value & 1)
