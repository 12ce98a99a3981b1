"""How any value of a typed column is written as text: for reports, for CSV, and on the way from type to type."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

#: An Arrow array of any type, in chunks or in one. The stubs of pyarrow know too little of it to say more.
Array: TypeAlias = Any

#: Below this, and from its negative on, a float without a fraction is an int64.
_WHOLE_FLOATS: Final = 2.0**63
#: Cells that show whether those of a column come again and again, and how often each distinct one of them has to come.
_PROBE: Final = 1024
_REPEATS: Final = 4


def flat(column: Array) -> Array:
    """Return the column as one array whose values stand for themselves.

    Chunks are joined (a single one is not copied), dictionaries and runs are decoded, the views and large variants of
    text and bytes become plain ones, and an extension type that only names a stored one gives that.
    """
    parts = [column] if isinstance(column, pa.Array) else column.chunks or [pa.array([], column.type)]
    parts = [_decoded(part) for part in parts]
    values = parts[0] if len(parts) == 1 else pa.concat_arrays(parts)
    return _days(values) if pa.types.is_date64(values.type) else values


def repeats(text: Array) -> bool:
    """Tell whether a column has few distinct cells, as far as its first ones show; a short one is never said to."""
    if len(text) <= _PROBE:
        return False
    return bool(pc.count_distinct(text.slice(0, _PROBE)).as_py() * _REPEATS <= _PROBE)


def coded(text: Array) -> Array:
    """Hold text (`pa.string()`) whose cells come again and again as codes of its distinct cells.

    Rules then look at the distinct ones, and rows are moved and written in a quarter of the time.
    """
    return text.dictionary_encode() if repeats(text) else text


def uncoded(table: pa.Table) -> pa.Table:
    """Return the table with every value in its place, where columns are held as codes."""
    for index, column in enumerate(table.schema):
        if pa.types.is_dictionary(column.type):
            table = table.set_column(index, column.with_type(column.type.value_type), flat(table.column(index)))
    return table


def to_text(column: Array) -> Array:
    r"""Write each value as text (`pa.string()`); null stays null, and so does NaN, pandas' way to write a missing one.

    Whole floats become whole numbers (`42`), others their shortest text that reads back the same; decimals have no
    exponent; dates and times are ISO 8601, in UTC with `Z` where they have a zone; nested values are compact JSON;
    bytes that are not UTF-8 are shown as `\xNN`.
    """
    values = flat(column)
    if pa.types.is_string(values.type):
        return values
    write = next((write for holds, write in _WRITERS if holds(values.type)), _write_any)
    return write(values)


def decode(values: Array) -> Array:
    """Read bytes as UTF-8 (`pa.string()`); null where they are not."""
    try:
        return values.cast(pa.string())
    except pa.ArrowInvalid:
        return pa.array([_utf8(value) for value in values.to_pylist()], pa.string())


def _decoded(values: Array) -> Array:
    kind = values.type
    if pa.types.is_dictionary(kind):
        return _decoded(values.dictionary_decode())
    if pa.types.is_run_end_encoded(kind):
        return _decoded(pc.call_function("run_end_decode", [values]))
    if isinstance(kind, pa.BaseExtensionType) and kind != pa.uuid():
        return _decoded(values.storage)
    if pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
        return values.cast(pa.string())
    if pa.types.is_large_binary(kind) or pa.types.is_binary_view(kind) or pa.types.is_fixed_size_binary(kind):
        return values.cast(pa.binary())
    return values


def _days(values: Array) -> Array:
    try:
        return values.cast(pa.date32())
    except pa.ArrowInvalid:  # A time of day stands in it, which Arrow does not write.
        return values.cast(pa.timestamp("ms"))


def _write_plain(values: Array) -> Array:
    return values.cast(pa.string())


def _write_floats(values: Array) -> Array:
    text = values.cast(pa.string())
    numbers = values.to_numpy(zero_copy_only=False).astype(np.float64)
    missing = np.isnan(numbers)
    # Arrow writes 1e+10 and -0, which nobody writes who means the whole number.
    whole = (np.trunc(numbers) == numbers) & (numbers >= -_WHOLE_FLOATS) & (numbers < _WHOLE_FLOATS)
    if whole.any():
        exact = pa.array(np.where(whole, numbers, 0).astype(np.int64)).cast(pa.string())
        text = pc.if_else(pa.array(whole), exact, text)
    return pc.if_else(pa.array(missing), pa.scalar(None, pa.string()), text) if missing.any() else text


def _write_decimals(values: Array) -> Array:
    text = values.cast(pa.string())
    if pc.any(pc.match_substring(text, "E")).as_py():
        return pa.array([None if value is None else format(value, "f") for value in values.to_pylist()], pa.string())
    return text


def _write_times(values: Array) -> Array:
    zoned = values.type.tz is not None
    # Without its zone, whose name Arrow would look up in the system's data, which small machines lack.
    values = values.cast(pa.int64()).cast(pa.timestamp(values.type.unit))
    with suppress(pa.ArrowInvalid):  # Nanoseconds that are none of whole microseconds, or a year far away, stay.
        values = values.cast(pa.timestamp("us"))
    text = pc.replace_substring(values.cast(pa.string()), " ", "T", max_replacements=1)
    text = pc.replace_substring_regex(text, r"\.0+$", "")
    return pc.binary_join_element_wise(text, "Z", "") if zoned else text


def _write_clock(values: Array) -> Array:
    return pc.replace_substring_regex(values.cast(pa.string()), r"\.0+$", "")


def _write_bytes(values: Array) -> Array:
    try:
        return values.cast(pa.string())
    except pa.ArrowInvalid:
        shown = (None if value is None else value.decode(errors="backslashreplace") for value in values.to_pylist())
        return pa.array(shown, pa.string())


def _write_json(values: Array) -> Array:
    return pa.array([None if value is None else _json(value) for value in _rows(values)], pa.string())


def _write_any(values: Array) -> Array:
    return pa.array([None if value is None else str(value) for value in values.to_pylist()], pa.string())


def _rows(values: Array) -> list[Any]:
    try:
        return list(values.to_pylist(maps_as_pydicts="strict"))
    except KeyError:  # A key that comes twice in a map would lose a value: such maps are shown as pairs.
        return list(values.to_pylist())


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=_json_leaf)


def _json_leaf(value: Any) -> str:
    if isinstance(value, bytes):
        return value.decode(errors="backslashreplace")
    return str(value.isoformat() if hasattr(value, "isoformat") else value)


def _utf8(value: bytes | None) -> str | None:
    try:
        return None if value is None else value.decode()
    except UnicodeDecodeError:
        return None


_Writer = Callable[[Array], Array]
#: Which types are written how; the first that fits.
_WRITERS: Final[tuple[tuple[Callable[[pa.DataType], bool], _Writer], ...]] = (
    (pa.types.is_null, _write_plain),
    (pa.types.is_integer, _write_plain),
    (pa.types.is_boolean, _write_plain),
    (pa.types.is_date, _write_plain),
    (pa.types.is_floating, _write_floats),
    (pa.types.is_decimal, _write_decimals),
    (pa.types.is_timestamp, _write_times),
    (pa.types.is_time, _write_clock),
    (pa.types.is_binary, _write_bytes),
    (pa.types.is_nested, _write_json),
)
