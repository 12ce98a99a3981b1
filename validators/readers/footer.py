"""A Parquet footer's claims, read without trusting them: rows, values, sizes.

Arrow reads footers too, but it ends the whole process when it is asked for the metadata of a column that is damaged
(26.0: "Definition level histogram size mismatch" is thrown where nothing catches it). So the few numbers that are
needed before Arrow may read are found here. Thrift's compact protocol, and the numbers of the fields, are as in
https://github.com/apache/thrift/blob/master/doc/specs/thrift-compact-protocol.md and parquet-format's parquet.thrift.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, BinaryIO, Final

from validators.errors import FileProblem

#: Four bytes of length and the four bytes `PAR1` end the file.
_TAIL_BYTES: Final = 8
#: Levels of structures that may be skipped; a footer has six.
_MOST_LEVELS: Final = 16

_TRUE, _FALSE, _BYTE, _DOUBLE, _BINARY, _LIST, _SET, _MAP, _STRUCT, _UUID = 1, 2, 3, 7, 8, 9, 10, 11, 12, 13
_INTEGERS: Final = (4, 5, 6)

#: What a field that is kept has to be: a whole number, or a list of texts; else a structure, or a list of those.
_NUMBER: Final = "number"
_TEXTS: Final = "texts"
_VALUES, _DICTIONARY = 5, 11
#: Fields that are kept, by number, in a FileMetaData, its RowGroups, their ColumnChunks and those's ColumnMetaData.
_COLUMN_META: Final[Mapping[int, Any]] = MappingProxyType(
    {1: _NUMBER, 3: _TEXTS, _VALUES: _NUMBER, 6: _NUMBER, _DICTIONARY: _NUMBER}
)
_COLUMN: Final[Mapping[int, Any]] = MappingProxyType({3: _COLUMN_META})
_GROUP: Final[Mapping[int, Any]] = MappingProxyType({1: (_COLUMN,), 3: _NUMBER})
_FILE: Final[Mapping[int, Any]] = MappingProxyType({3: _NUMBER, 4: (_GROUP,)})
#: A list of 15 elements or more has its length in a number of its own; such a number has 64 bits.
_LONG_LIST, _MOST_SHIFT = 15, 63

#: Bytes of a value in memory, by the number of its physical type: BOOLEAN, INT32, INT64, INT96, FLOAT, DOUBLE,
#: BYTE_ARRAY (four bytes of offset beside the characters), FIXED_LEN_BYTE_ARRAY (at least).
_WIDTHS: Final = (1, 4, 8, 8, 4, 8, 4, 1)
_BYTE_ARRAY: Final = 6


@dataclass(frozen=True, kw_only=True, slots=True)
class Column:
    """What a footer claims of one column of one row group."""

    path: str
    values: int
    #: Bytes after decompression, before decoding.
    size: int
    #: The least bytes in memory, strings without their characters.
    value_bytes: int
    #: Whether a short page may stand for many long strings: strings, with a dictionary.
    looked_up: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class Group:
    """What a footer claims of one row group."""

    rows: int
    columns: tuple[Column, ...]


def read_footer(file: BinaryIO) -> tuple[Group, ...]:
    """Read the claims of a file's footer.

    Raises:
        FileProblem: `parquet`: the footer is missing, damaged, encrypted, or contradicts itself.
    """
    metadata = _metadata(_footer_bytes(file))
    groups = tuple(map(_group, metadata.get(4, ())))
    if sum(group.rows for group in groups) != metadata.get(3):
        raise broken("its footer's numbers of rows contradict each other")
    return groups


def broken(words: str) -> FileProblem:
    """Return the refusal of a Parquet file that cannot be read."""
    return FileProblem(
        "parquet",
        f"the Parquet file is broken or cut off: {' '.join(words.split()).rstrip('. ')}",
        hint="Write the file again, and send the whole of it.",
    )


def _footer_bytes(file: BinaryIO) -> bytes:
    size = file.seek(0, io.SEEK_END)
    file.seek(max(0, size - _TAIL_BYTES))
    tail = file.read(_TAIL_BYTES)
    if tail[4:] == b"PARE":
        raise FileProblem("parquet", "the Parquet file is encrypted", hint="Send it without encryption.")
    if tail[4:] != b"PAR1":
        raise broken("its last four bytes are not PAR1, so its end is missing")
    length = int.from_bytes(tail[:4], "little")
    if length + _TAIL_BYTES > size:
        raise broken(f"its footer claims {length:,} bytes, the file has {size:,}")
    file.seek(size - _TAIL_BYTES - length)
    return file.read(length)


def _metadata(data: bytes) -> dict[int, Any]:
    try:
        return _Compact(data).struct(_FILE, 0)
    except (IndexError, UnicodeDecodeError) as error:
        raise broken("its footer is damaged") from error


def _group(fields: dict[int, Any]) -> Group:
    rows = fields.get(3, -1)
    columns = tuple(_column(column.get(3)) for column in fields.get(1, ()))
    if rows < 0 or any(column.values < 0 or column.size < 0 for column in columns):
        raise broken("its footer claims a negative number of rows, values or bytes")
    return Group(rows=rows, columns=columns)


def _column(fields: dict[int, Any] | None) -> Column:
    if fields is None or not 0 <= fields.get(1, -1) < len(_WIDTHS):
        raise broken("its footer says nothing of a column's values, or has them elsewhere")
    values = fields.get(_VALUES, -1)
    return Column(
        path=".".join(fields.get(3, ())),
        values=values,
        size=fields.get(6, -1),
        value_bytes=values * _WIDTHS[fields[1]],
        looked_up=fields[1] == _BYTE_ARRAY and _DICTIONARY in fields,
    )


class _Compact:
    """Reads Thrift's compact protocol; what is cut off or absurd raises IndexError."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def struct(self, wanted: Mapping[int, Any], level: int) -> dict[int, Any]:
        """Read a structure: the fields that are wanted, by number; the others are skipped."""
        found: dict[int, Any] = {}
        number = 0
        while head := self._byte():
            kind = head & 15
            number = number + (head >> 4) if head >> 4 else self._integer()
            if number in wanted:
                found[number] = self._wanted(kind, wanted[number], level + 1)
            else:
                self._skip(kind, level + 1)
        return found

    def _wanted(self, kind: int, form: Any, level: int) -> Any:
        if form == _NUMBER and kind in _INTEGERS:
            return self._integer()
        if isinstance(form, Mapping) and kind == _STRUCT:
            return self.struct(form, level)
        if kind != _LIST:
            raise IndexError(kind)
        size, inner = self._list_head()
        if form == _TEXTS and inner == _BINARY:
            return [self._take(self._varint()).decode() for _ in range(size)]
        if isinstance(form, tuple) and inner == _STRUCT:
            return [self.struct(form[0], level) for _ in range(size)]
        raise IndexError(kind)

    def _skip(self, kind: int, level: int) -> None:
        if level > _MOST_LEVELS:
            raise IndexError(level)
        if kind in _INTEGERS:
            self._varint()
        elif kind in (_LIST, _SET):
            size, inner = self._list_head()
            for _ in range(size):
                self._skip_element(inner, level + 1)
        elif kind == _MAP:
            self._skip_map(level)
        elif kind == _STRUCT:
            self.struct({}, level)
        elif kind not in (_TRUE, _FALSE):
            self._skip_bytes(kind)

    def _skip_element(self, kind: int, level: int) -> None:
        """Skip an element of a list, where a boolean has a byte of its own."""
        self._skip(_BYTE if kind in (_TRUE, _FALSE) else kind, level)

    def _skip_map(self, level: int) -> None:
        size = self._varint()
        kinds = self._byte() if size else 0
        for _ in range(size):
            self._skip_element(kinds >> 4, level + 1)
            self._skip_element(kinds & 15, level + 1)

    def _skip_bytes(self, kind: int) -> None:
        if kind == _BINARY:
            self._take(self._varint())
        else:
            self._take({_BYTE: 1, _DOUBLE: 8, _UUID: 16}.get(kind, len(self._data) + 1))

    def _list_head(self) -> tuple[int, int]:
        head = self._byte()
        size = head >> 4 if head >> 4 != _LONG_LIST else self._varint()
        if size > len(self._data):
            raise IndexError(size)
        return size, head & 15

    def _byte(self) -> int:
        byte = self._data[self._at]
        self._at += 1
        return byte

    def _take(self, count: int) -> bytes:
        if count > len(self._data) - self._at:
            raise IndexError(count)
        self._at += count
        return self._data[self._at - count : self._at]

    def _varint(self) -> int:
        value = shift = 0
        while (byte := self._byte()) & 128:
            value |= (byte & 127) << shift
            shift += 7
            if shift > _MOST_SHIFT:
                raise IndexError(shift)
        return value | byte << shift

    def _integer(self) -> int:
        value = self._varint()
        return (value >> 1) ^ -(value & 1)
