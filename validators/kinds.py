"""The types that a contract may declare: which kind of value, how the table stores it, how checks get to see it.

What pandera declares goes in, a frozen `Type` comes out. Nothing here looks at data.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pandas as pd
import pyarrow as pa
from pandera.engines import numpy_engine, pandas_engine

from validators.errors import ContractError


class Kind(enum.StrEnum):
    """What a cell is read as."""

    STRING = "string"
    INTEGER = "integer"
    FLOAT = "float"
    DECIMAL = "decimal"
    BOOLEAN = "boolean"
    DATE = "date"
    TIMESTAMP = "timestamp"
    CATEGORY = "category"


@dataclass(frozen=True, kw_only=True)
class Type:
    """What the cells of one column are."""

    kind: Kind
    #: What `cast` returns and the table stores. Delta has no unsigned integers and no nanoseconds.
    arrow: pa.DataType
    #: Exactly the dtype that the schema declares, which checks get to see.
    pandas: Any
    #: In words: "a whole number", "a date such as 2026-03-01", "one of a, b".
    expected: str
    #: The least and the greatest value of the declared type: whole numbers; for times, microseconds since 1970.
    minimum: int | None = None
    maximum: int | None = None
    #: The declared zone of a timestamp; None for one without offset.
    zone: str | None = None
    #: Of integer text that stands for a time; unused by default.
    unit: str | None = None
    #: Microseconds that a timestamp must be a multiple of, for a declared type that is coarser than the table's.
    step: int = 1
    #: What a category may be; empty for any text.
    categories: tuple[str, ...] = ()


#: The years 0001 to 9999, which Python's datetime, Delta and ISO 8601's four digits have in common.
FIRST_MICROSECOND: Final = -62_135_596_800_000_000
LAST_MICROSECOND: Final = 253_402_300_799_999_999
#: Decimal digits that a Delta table can keep (its protocol, "Primitive Types").
MAX_DECIMAL_DIGITS: Final = 38
#: Categories that `Type.expected` names before it counts the others.
_NAMED_CATEGORIES: Final = 20

_MICROSECONDS: Final[Mapping[str, int]] = {"s": 1_000_000, "ms": 1_000, "us": 1, "ns": 1}
#: What 64-bit nanoseconds can hold of microseconds since 1970.
_NANOSECOND_BOUND: Final = 9_223_372_036_854_775
#: Bits of a declared unsigned integer -> the signed type that holds it in a Delta table.
_UNSIGNED: Final[Mapping[int, pa.DataType]] = {
    8: pa.int16(),
    16: pa.int32(),
    32: pa.int64(),
    64: pa.decimal128(20, 0),
}
_SIGNED: Final[Mapping[int, pa.DataType]] = {8: pa.int8(), 16: pa.int16(), 32: pa.int32(), 64: pa.int64()}
#: Bits of a declared float -> what the table stores.
_FLOATS: Final[Mapping[int, pa.DataType]] = {16: pa.float32(), 32: pa.float32(), 64: pa.float64()}
#: Formats of `to_datetime_kwargs` that say what is read anyway.
_ISO_FORMATS: Final = ("ISO8601", "%Y-%m-%d", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M:%S")
#: Part of a dtype's name -> what to declare in its place.
_INSTEAD: Final[Mapping[str, str]] = {
    "timedelta": "an integer or float column that counts seconds",
    "duration": "an integer or float column that counts seconds",
    "complex": "two float columns",
    "period": "a date, or a string with pa.Check.str_matches",
    "interval": "two columns, one for each end",
    "sparse": "the dtype of its values",
    "list": "str, for the JSON text",
    "dict": "str, for the JSON text",
    "tuple": "str, for the JSON text",
    "struct": "str, for the JSON text",
    "map": "str, for the JSON text",
    "binary": "str",
    "bytes": "str",
    "time": "str with pa.Check.str_matches",
    "float128": "float64",
    "geometry": "str, for the geometry as WKT",
    "pydantic": "a pandera DataFrameModel with a field for each column",
}


def type_of(dtype: Any) -> Type:
    """Turn a column's pandera dtype into what its cells are read as, stored as and seen as.

    Args:
        dtype: `Column.dtype` of a pandera schema; None where none is declared, which is text held as objects.

    Raises:
        ContractError: cells cannot be read as this dtype; the message names it and what to declare in its place.
    """
    if dtype is None:
        return _text(np.dtype(object))
    if isinstance(dtype, pandas_engine.Date):
        _refuse_formats(dtype)
        return _date(dtype.type)
    if isinstance(dtype, pandas_engine.Decimal):
        return _decimal(dtype, dtype.precision, dtype.scale, dtype.type)
    if isinstance(dtype, pandas_engine.DateTime):
        _refuse_formats(dtype)
    native = getattr(dtype, "type", None)
    found = _from_numpy(dtype, native) or _from_pandas(dtype, native)
    if found is None:
        raise ContractError(_refusal(dtype))
    return found


def _from_numpy(dtype: Any, native: Any) -> Type | None:
    if isinstance(dtype, pandas_engine.NpString):
        return _text(np.dtype(object))
    if not isinstance(native, np.dtype):
        return None
    if native.kind == "M":
        return _timestamp(np.datetime_data(native)[0], None, native)
    if native.kind == "b":
        return _boolean(native)
    if native.kind == "O":  # Other dtypes of pandera say object, too: Python's list and dict.
        return _text(native) if isinstance(dtype, numpy_engine.Object) else None
    return _number(native, native)


def _from_pandas(dtype: Any, native: Any) -> Type | None:
    match native:
        case pd.ArrowDtype():
            return _from_arrow(dtype, native.pyarrow_dtype, native)
        case pd.StringDtype():
            return _text(native)
        case pd.CategoricalDtype():
            return _category(dtype, native)
        case pd.DatetimeTZDtype():
            return _timestamp(native.unit, str(native.tz), native)
        case pd.BooleanDtype():
            return _boolean(native)
    return _number(getattr(native, "numpy_dtype", None), native)


def _number(numeric: Any, seen: Any) -> Type | None:
    """Know NumPy's integers and floats, and pandas' that have a mask of missing values: `Int64`, `Float32`, ..."""
    kind, bits = (numeric.kind, numeric.itemsize * 8) if isinstance(numeric, np.dtype) else ("", 0)
    if kind == "f" and bits in _FLOATS:
        return _float(bits, seen)
    return _integer(bits, signed=kind == "i", seen=seen) if kind in ("i", "u") else None


def _from_arrow(dtype: Any, arrow: Any, seen: Any) -> Type | None:
    makers: tuple[tuple[Callable[[pa.DataType], bool], Callable[[], Type]], ...] = (
        (pa.types.is_string, lambda: _text(seen)),
        (pa.types.is_large_string, lambda: _text(seen)),
        (pa.types.is_signed_integer, lambda: _integer(arrow.bit_width, signed=True, seen=seen)),
        (pa.types.is_unsigned_integer, lambda: _integer(arrow.bit_width, signed=False, seen=seen)),
        (pa.types.is_floating, lambda: _float(arrow.bit_width, seen)),
        (pa.types.is_decimal, lambda: _decimal(dtype, arrow.precision, arrow.scale, seen)),
        (pa.types.is_boolean, lambda: _boolean(seen)),
        (pa.types.is_date, lambda: _date(seen)),
        (pa.types.is_timestamp, lambda: _timestamp(arrow.unit, arrow.tz, seen)),
        (_is_category, lambda: Type(kind=Kind.CATEGORY, arrow=pa.string(), pandas=seen, expected="text")),
    )
    return next((make() for holds, make in makers if holds(arrow)), None)


def _is_category(arrow: Any) -> bool:
    return bool(pa.types.is_dictionary(arrow) and pa.types.is_string(arrow.value_type))


def _text(seen: Any) -> Type:
    return Type(kind=Kind.STRING, arrow=pa.string(), pandas=seen, expected="text")


def _integer(bits: int, *, signed: bool, seen: Any) -> Type:
    least, most = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if signed else (0, 2**bits - 1)
    return Type(
        kind=Kind.INTEGER,
        arrow=(_SIGNED if signed else _UNSIGNED)[bits],
        pandas=seen,
        # The bounds of 64 bits in every message would hide the point of nearly all of them.
        expected="a whole number" if signed and bits == max(_SIGNED) else f"a whole number from {least} to {most}",
        minimum=least,
        maximum=most,
    )


def _float(bits: int, seen: Any) -> Type:
    return Type(kind=Kind.FLOAT, arrow=_FLOATS[bits], pandas=seen, expected="a finite number such as 12.5")


def _decimal(dtype: Any, precision: int, scale: int, seen: Any) -> Type:
    if not 0 <= scale <= precision <= MAX_DECIMAL_DIGITS:
        raise ContractError(
            f"dtype {dtype} cannot be kept: a decimal has at most {MAX_DECIMAL_DIGITS} digits, and between none and "
            "all of them after the point. Declare such a precision and scale, or float64."
        )
    before = f"a number with at most {precision - scale} digits before the point"
    return Type(
        kind=Kind.DECIMAL,
        arrow=pa.decimal128(precision, scale),
        pandas=seen,
        expected=f"{before} and {scale} after it" if scale else f"a whole number of at most {precision} digits",
    )


def _boolean(seen: Any) -> Type:
    return Type(kind=Kind.BOOLEAN, arrow=pa.bool_(), pandas=seen, expected="true or false")


def _date(seen: Any) -> Type:
    return Type(kind=Kind.DATE, arrow=pa.date32(), pandas=seen, expected="a date such as 2026-03-01")


def _timestamp(unit: str, zone: str | None, seen: Any) -> Type:
    narrow = unit == "ns"
    example = "without an offset such as 2026-03-01T12:30:00"
    if zone:
        example = "with an offset such as 2026-03-01T12:30:00Z or 2026-03-01T12:30:00+01:00"
    coarse = {"s": ", in whole seconds", "ms": ", in whole milliseconds"}.get(unit, "")
    return Type(
        kind=Kind.TIMESTAMP,
        arrow=pa.timestamp("us", "UTC" if zone else None),
        pandas=seen,
        expected=f"a time {example}{coarse}" + (", in the years 1678 to 2261" if narrow else ""),
        minimum=-_NANOSECOND_BOUND if narrow else FIRST_MICROSECOND,
        maximum=_NANOSECOND_BOUND if narrow else LAST_MICROSECOND,
        zone=zone,
        step=_MICROSECONDS[unit],
    )


def _category(dtype: Any, seen: pd.CategoricalDtype) -> Type:
    names = () if seen.categories is None else tuple(seen.categories)
    if not all(isinstance(name, str) for name in names):
        raise ContractError(
            f"dtype {dtype} has categories that are not text: {', '.join(map(repr, names[:_NAMED_CATEGORIES]))}. "
            "Declare them as text, or the column by its values' dtype with pa.Check.isin."
        )
    shown = ", ".join(names[:_NAMED_CATEGORIES])
    more = f", ... ({len(names)} in all)" if len(names) > _NAMED_CATEGORIES else ""
    return Type(
        kind=Kind.CATEGORY,
        arrow=pa.string(),
        pandas=seen,
        expected=f"one of {shown}{more}" if names else "text",
        categories=names,
    )


def _refuse_formats(dtype: Any) -> None:
    """Refuse dates that pandera would read by rules of its own: here all of them are ISO 8601."""
    options = dict(dtype.to_datetime_kwargs or {})
    if options.get("format") in _ISO_FORMATS:
        del options["format"]
    if options:
        raise ContractError(
            f"dtype {dtype} has to_datetime_kwargs {options}, which cannot be honoured: dates and times are read as "
            "ISO 8601, such as 2026-03-01T12:30:00Z. Leave them out, or declare str with pa.Check.str_matches."
        )
    if getattr(dtype, "time_zone_agnostic", False):
        raise ContractError(
            f"dtype {dtype} with time_zone_agnostic cannot be honoured: a table's column has one zone. Declare it, "
            f"such as pd.DatetimeTZDtype(tz='UTC'), and times with any offset are converted."
        )


def _refusal(dtype: Any) -> str:
    name = f"{type(dtype).__name__} {dtype}".lower()
    instead = next((words for part, words in _INSTEAD.items() if part in name), "str")
    return f"dtype {dtype} is not one that a cell of a drop can be read as. Declare {instead} in its place."
