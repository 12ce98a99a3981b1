"""JSON objects as records: strict parsing, what is wrong with one that is not a record, and columns of text.

Numbers keep the digits they are written with. Knows nothing of files, lines or envelopes.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from types import MappingProxyType
from typing import Any, Final

import numpy as np
import pyarrow as pa

from validators.errors import FileProblem
from validators.model import Chunk, Malformed, MalformedRecords
from validators.readers.jsonnested import Nested, NotQuickError

#: Levels of arrays and objects within a record. Real metadata has two or three; Python itself gives up near 1,000.
MAX_DEPTH: Final = 64
#: The blanks of JSON, RFC 8259 section 2.
BLANKS: Final = " \t\r\n"

#: Records of a piece, at most: what each of them lacks of the others' keys takes memory too.
PIECE_ROWS: Final = 2048
#: Cells of a chunk, at most: each takes four bytes even where its record has no such key.
_MOST_CELLS: Final = 16 * 1024**2
#: Records with so many times fewer keys than there are in all of them together are looked at key by key.
_SPARSE: Final = 4

_EXPECTED = "one JSON object (RFC 8259)"


class Number(str):
    """A JSON number as it is written, which is its text in a column too."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Constant:
    """`NaN`, `Infinity` or `-Infinity`: Python reads them, JSON does not have them."""

    text: str


class Repeated(dict[str, Any]):
    """An object with a key that comes twice, so that nobody can say what it means."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Fault:
    """Why a text is no record."""

    found: str
    rule: str = "invalid_json"
    expected: str = _EXPECTED


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    return found if len(found) == len(pairs) else Repeated(found)


#: Parses RFC 8259; what Python allows beyond it comes as `Constant` or `Repeated`, so that only its record suffers.
#: Numbers come as their text. (Plain `str`: the garbage collector need not look at records without other values.)
DECODER: Final = json.JSONDecoder(parse_int=str, parse_float=str, parse_constant=Constant, object_pairs_hook=_object)
#: The same, slower, with numbers told apart from strings, for writing what is nested.
_EXACT: Final = json.JSONDecoder(
    parse_int=Number, parse_float=Number, parse_constant=Constant, object_pairs_hook=_object
)
#: Writes the strings of what is nested, with letters as they are.
ENCODER: Final = json.JSONEncoder(ensure_ascii=False)


@dataclass(slots=True)
class Records:
    """Consecutive records on their way to a chunk: parsed ones, and the malformed ones between them."""

    values: list[dict[str, Any]] = field(default_factory=list)
    #: The texts they were parsed from, for those that turn out to be malformed.
    texts: list[str] = field(default_factory=list)
    rows: list[int] = field(default_factory=list)
    lines: list[int] = field(default_factory=list)
    malformed: list[Malformed] = field(default_factory=list)

    def add(self, value: dict[str, Any], text: str, row: int, line: int) -> None:
        """Take one parsed object."""
        self.values.append(value)
        self.texts.append(text)
        self.rows.append(row)
        self.lines.append(line)

    def refuse(self, fault: Fault, text: str, row: int, line: int) -> None:
        """Take one text that is no record."""
        if _escaped(text):
            fault = Fault(found="bytes that are not UTF-8", rule="encoding", expected="text in UTF-8")
        self.malformed.append(
            Malformed(row=row, line=line, rule=fault.rule, found=fault.found, expected=fault.expected, raw=_shown(text))
        )

    def __len__(self) -> int:
        """Return the number of records, malformed ones included."""
        return len(self.values) + len(self.malformed)


@dataclass(frozen=True, kw_only=True)
class Piece:
    """Some records as columns; pieces are put together into chunks."""

    table: pa.Table
    rows: Sequence[int]
    lines: Sequence[int]
    malformed: tuple[Malformed, ...]


def to_piece(records: Records, limit: int, constants: Mapping[str, str | None] = MappingProxyType({})) -> Piece:
    """Turn records into columns of text; those that hold what no column can hold become malformed.

    Names are in the order in which they first come; a record that lacks one has null there, or what `constants` has.

    Raises:
        FileProblem: `too_many_columns`, where they are more than `limit`.
    """
    keys = len({*constants, *chain.from_iterable(records.values)})
    if keys > limit:
        raise too_many_columns(keys, limit)
    table = None
    if not any("\\u0000" in text for text in records.texts):
        table = _table(records, constants)
    if table is None:
        _sort_out(records)
        table = _table(records, constants)
        assert table is not None  # noqa: S101 - every value has just been looked at
    malformed = tuple(sorted(records.malformed, key=lambda record: record.row))
    return Piece(table=table, rows=records.rows, lines=records.lines, malformed=malformed)


def chunks_of(pieces: Iterable[Piece], batch_rows: int, names: Iterable[str] | None) -> Iterator[Chunk]:
    """Put pieces together until another one would make more than `batch_rows` records, or too many cells."""
    waiting: list[Piece] = []
    count, keys = 0, set[str]()
    for piece in pieces:
        size = len(piece.rows) + len(piece.malformed)
        keys.update(piece.table.column_names)
        if waiting and (count + size > batch_rows or (count + size) * len(keys) > _MOST_CELLS):
            yield _chunk(waiting, names)
            waiting, count, keys = [], 0, set(piece.table.column_names)
        waiting.append(piece)
        count += size
    if count:
        yield _chunk(waiting, names)


def flaw(value: object, depth: int = 0) -> Fault | None:
    """Return what is wrong with a parsed value, however deep; None when it is a strict JSON value."""
    if isinstance(value, str):
        return _text_flaw(value)
    if isinstance(value, Constant):
        return Fault(found=f"{value.text}, which JSON does not have")
    if isinstance(value, Repeated):
        return Fault(found="an object with the same key twice", expected="an object whose keys are all different")
    if not isinstance(value, dict | list):
        return None
    if depth >= MAX_DEPTH:
        return Fault(found=f"values nested more than {MAX_DEPTH} levels deep")
    inner = chain(value, value.values()) if isinstance(value, dict) else value
    return next((fault for item in inner if (fault := flaw(item, depth + 1)) is not None), None)


def cell(value: object) -> str | None:
    """Return the text that stands for a JSON value in a column: null is null, what is nested is compact JSON."""
    if value is None or isinstance(value, str):
        return value
    return compact(value)


def compact(value: object) -> str:
    """Write a parsed value as JSON without blanks, its numbers as they were written."""
    if isinstance(value, Number):
        return str(value)
    if isinstance(value, Constant):
        return value.text
    if isinstance(value, Mapping):
        return "{" + ",".join(f"{ENCODER.encode(key)}:{compact(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(compact, value)) + "]"
    return ENCODER.encode(value)


def syntax_fault(error: ValueError | RecursionError, text: str) -> Fault:
    """Put into words why a text does not parse."""
    if isinstance(error, RecursionError):
        return Fault(found=f"values nested more than {MAX_DEPTH} levels deep")
    if isinstance(error, json.JSONDecodeError):
        return Fault(found=f"{error.msg} at character {error.pos + 1}: {excerpt(text, error.pos)}")
    return Fault(found=str(error))


def excerpt(text: str, position: int) -> str:
    """Return a little of the text around a position, for a message."""
    start = max(0, position - 20)
    return repr(_shown(text[start : position + 20]))


def too_many_columns(count: int, limit: int) -> FileProblem:
    """Return the refusal of a file whose records have too many different keys."""
    return FileProblem(
        "too_many_columns",
        f"the records have {count:,} different keys or more; a file may have {limit:,} columns",
        hint="Put what varies into the values of one column, or raise limits.max_columns.",
    )


def _table(records: Records, constants: Mapping[str, str | None]) -> pa.Table | None:
    """Return the records as columns; None where some value has to be looked at more closely."""
    values, nested = records.values, Nested(records.texts)
    defaults = dict.fromkeys(chain.from_iterable(values)) | dict(constants)
    names = dict.fromkeys(chain(constants, defaults))
    try:
        if len(names) * len(values) > _SPARSE * sum(map(len, values)) and not constants:
            columns = _sparse_columns(values, names, nested)
        else:
            every = range(len(values))
            columns = [
                _column([value.get(name, defaults[name]) for value in values], every, name, nested) for name in names
            ]
        return _with_rows(columns, list(names), len(values))
    except (UnicodeEncodeError, NotQuickError):
        return None


def _sparse_columns(values: list[dict[str, Any]], names: Iterable[str], nested: Nested) -> list[pa.Array[Any]]:
    """Return columns of which each record has few: only what is there is looked at one by one."""
    found: dict[str, tuple[list[int], list[Any]]] = {name: ([], []) for name in names}
    for at, value in enumerate(values):
        for name, item in value.items():
            places, items = found[name]
            places.append(at)
            items.append(item)
    columns = []
    for name, (places, items) in found.items():
        index, missing = np.zeros(len(values), np.int32), np.ones(len(values), np.bool_)
        index[places], missing[places] = np.arange(len(places)), False
        columns.append(_column(items, places, name, nested).take(pa.array(index, mask=missing)))
    return columns


def _column(values: list[Any], places: Iterable[int], name: str, nested: Nested) -> pa.Array[Any]:
    """Turn values into text; `places` tells in which of the records each of them is."""
    try:
        return pa.array(values, pa.string())
    except pa.ArrowTypeError:
        return pa.array(
            [
                item if item is None or item.__class__ is str else _scalar(item) or nested.text(at, name)
                for at, item in zip(places, values, strict=True)
            ],
            pa.string(),
        )


def _scalar(value: object) -> str | None:
    """Return the text of a value; None where it is nested."""
    if value.__class__ is bool:
        return "true" if value else "false"
    return value if isinstance(value, str) else None


def _with_rows(columns: list[pa.Array[Any]], names: list[str], rows: int) -> pa.Table:
    """Make a table that knows its number of rows even without a column."""
    if not names:
        return pa.table({"": pa.nulls(rows)}).select([])
    return pa.table(columns, names=names)


def _sort_out(records: Records) -> None:
    """Parse again, slower: records with a flaw become malformed, and what is nested in the others becomes text."""
    kept = Records(malformed=records.malformed)
    for text, row, line in zip(records.texts, records.rows, records.lines, strict=True):
        value = _EXACT.raw_decode(text)[0]
        fault = flaw(value)
        if fault is None:
            kept.add({key: cell(item) for key, item in value.items()}, text, row, line)
        else:
            kept.refuse(fault, text, row, line)
    records.values, records.texts, records.rows, records.lines = kept.values, kept.texts, kept.rows, kept.lines


def _chunk(pieces: list[Piece], names: Iterable[str] | None) -> Chunk:
    table = pa.concat_tables([piece.table for piece in pieces], promote_options="default").combine_chunks()
    if names is not None:
        table = table.select([name for name in table.column_names if name in names])
    rows = sum(len(piece.rows) for piece in pieces)
    return Chunk(
        # A table forgets its number of rows when tables without columns are put together.
        table=table if table.num_columns else _with_rows([], [], rows),
        rows=np.fromiter(chain.from_iterable(piece.rows for piece in pieces), np.int64),
        lines=np.fromiter(chain.from_iterable(piece.lines for piece in pieces), np.int64),
        malformed=MalformedRecords.of(chain.from_iterable(piece.malformed for piece in pieces)),
    )


def _text_flaw(value: str) -> Fault | None:
    if "\0" in value:
        return Fault(found="a NUL character", rule="nul_byte", expected="text without NUL characters")
    if not value.isascii() and _escaped(value):
        return Fault(found="half of a surrogate pair", rule="encoding", expected="text in UTF-8")
    return None


def _escaped(text: str) -> bool:
    """Tell whether a text has characters that UTF-8 does not have: bytes that could not be decoded become such."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return True
    return False


def _shown(text: str) -> str:
    r"""Return a text as UTF-8 can have it: bytes that could not be decoded as `\xNN`."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace") if _escaped(text) else text
