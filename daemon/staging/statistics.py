"""What Delta wants to know of a data file so that readers can pass it over: counts and bounds, from Parquet metadata.

The rules are those of the Delta protocol, "Per-file Statistics"
(https://github.com/delta-io/delta/blob/master/PROTOCOL.md#per-file-statistics).
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

#: Columns whose statistics are written, the first ones; Delta's own default. The engine's own columns come on top.
FIRST_COLUMNS = 32
#: The engine's own columns: `_drop` finds the files of a replaced drop.
OWN_COLUMNS = frozenset({"customer", "_drop", "_row", "_ingested_at"})
#: Characters of a string that its bounds keep; Delta's own default.
TEXT_CHARACTERS = 32

_LAST_CHARACTER = 0x10FFFF
_SURROGATES = range(0xD800, 0xE000)
#: Without a zone, because it serves both kinds of timestamps; the zone is added as text.
_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001


def statistics(metadata: pq.FileMetaData, schema: pa.Schema, nan: Collection[str] = ()) -> str:
    """Return Delta's statistics of a file with these columns as JSON.

    Numbers are exact, decimals too; strings are cut to 32 characters, the largest one upwards; times are in UTC, to the
    microsecond. What cannot be said truly is left out: bounds of booleans and bytes, of columns that hold a NaN (named
    in `nan`; Parquet's own bounds pass over it), infinite ones, and ones beyond the years 1 to 9999.
    """
    nulls: dict[str, str] = {}
    lows: dict[str, str] = {}
    highs: dict[str, str] = {}
    for index, column in enumerate(schema):
        if index >= FIRST_COLUMNS and column.name not in OWN_COLUMNS:
            continue
        found = _folded(metadata, index, plain(column.type))
        if found is None:
            continue
        nulls[column.name] = str(found.nulls)
        if column.name not in nan:
            lows |= _member(column.name, _low(found))
            highs |= _member(column.name, _high(found))
    bounds = {"minValues": _object(lows), "maxValues": _object(highs), "nullCount": _object(nulls)}
    return _object({"numRecords": str(metadata.num_rows)} | bounds)


def _member(name: str, text: str | None) -> dict[str, str]:
    return {} if text is None else {name: text}


def _object(members: Mapping[str, str]) -> str:
    """Write a JSON object of members that are JSON already: `json` itself would round decimals."""
    return "{" + ",".join(f"{json.dumps(name)}:{text}" for name, text in members.items()) + "}"


def plain(kind: pa.DataType) -> pa.DataType:
    """Return the type of the values, where they are held in a dictionary."""
    return kind.value_type if pa.types.is_dictionary(kind) else kind


@dataclass(frozen=True)
class _Folded:
    """The statistics of one column over all row groups; no bounds where a group has values without them."""

    kind: pa.DataType
    nulls: int
    low: Any = None
    high: Any = None


def _folded(metadata: pq.FileMetaData, index: int, kind: pa.DataType) -> _Folded | None:
    nulls, lows, highs = 0, [], []
    unbounded = False
    for group in range(metadata.num_row_groups):
        column = metadata.row_group(group).column(index)
        found = column.statistics
        if found is None or found.null_count is None:
            return None
        nulls += found.null_count
        if found.has_min_max:
            low, high = _bounds(found, kind)
            lows.append(low)
            highs.append(high)
        elif found.null_count < metadata.row_group(group).num_rows:
            unbounded = True
    if unbounded or not lows:
        return _Folded(kind, nulls)
    return _Folded(kind, nulls, min(lows), max(highs))


def _bounds(found: pq.Statistics, kind: pa.DataType) -> tuple[Any, Any]:
    # Times as raw numbers: a Python date or datetime cannot hold every one of them.
    if pa.types.is_temporal(kind):
        return found.min_raw, found.max_raw
    return found.min, found.max


def _low(found: _Folded) -> str | None:
    if isinstance(found.low, str):
        return json.dumps(found.low[:TEXT_CHARACTERS])
    return _bound(found.kind, found.low)


def _high(found: _Folded) -> str | None:
    if isinstance(found.high, str):
        text = found.high if len(found.high) <= TEXT_CHARACTERS else _above(found.high[:TEXT_CHARACTERS])
        return None if text is None else json.dumps(text)
    return _bound(found.kind, found.high)


def _above(prefix: str) -> str | None:
    """Return a text that sorts after every text with this prefix, no longer than it; None where there is none."""
    kept = prefix.rstrip(chr(_LAST_CHARACTER))
    if not kept:
        return None
    following = ord(kept[-1]) + 1
    return kept[:-1] + chr(_SURROGATES.stop if following in _SURROGATES else following)


def _bound(kind: pa.DataType, value: Any) -> str | None:
    """Write a bound that is not a text as JSON; None for what has no exact place in JSON."""
    if value is None:
        return None
    for belongs, written in _WRITTEN:
        if belongs(kind):
            return written(kind, value)
    return None


def _number(_: pa.DataType, value: float) -> str | None:
    return repr(value) if math.isfinite(value) else None


def _decimal(_: pa.DataType, value: Decimal) -> str:
    return format(value, "f")


def _day(_: pa.DataType, value: int) -> str | None:
    try:
        return json.dumps((date(1970, 1, 1) + timedelta(days=value)).isoformat())
    except OverflowError:
        return None


def _instant(kind: pa.DataType, value: int) -> str | None:
    try:
        moment = _EPOCH + timedelta(microseconds=value)
    except OverflowError:
        return None
    return json.dumps(moment.isoformat(timespec="microseconds") + ("Z" if getattr(kind, "tz", None) else ""))


def _is_microseconds(kind: pa.DataType) -> bool:
    return bool(pa.types.is_timestamp(kind) and kind.unit == "us")


#: How bounds are written, by type; a type that is not here has none.
_WRITTEN: tuple[tuple[Callable[[pa.DataType], bool], Callable[[pa.DataType, Any], str | None]], ...] = (
    (pa.types.is_integer, _number),
    (pa.types.is_floating, _number),
    (pa.types.is_decimal, _decimal),
    (pa.types.is_date32, _day),
    (_is_microseconds, _instant),
)
