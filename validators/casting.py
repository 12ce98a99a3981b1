"""Text or typed columns -> columns of exactly the declared type, and a mask of the cells that could not be cast.

No value changes silently: what cannot be read as declared is bad, and never something near it. Typed values are held
to the same rules as text; where Arrow's own conversion is not certain to keep a value, it goes by way of its text.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from validators.kinds import MAX_DECIMAL_DIGITS, Kind, Type, type_of
from validators.model import Mask
from validators.parsing import parse
from validators.texts import Array, decode, flat, to_text

__all__ = ["Cast", "Kind", "Type", "cast", "to_pandas", "to_text", "type_of"]

_MICROSECONDS_PER_DAY: Final = 86_400_000_000
#: Days since 1970 of 0001-01-01 and 9999-12-31.
_FIRST_DAY: Final = -719_162
_LAST_DAY: Final = 2_932_896
#: The least magnitude that float16 rounds to infinity (IEEE 754 binary16).
_HALF_OVERFLOW: Final = 65_520.0


@dataclass(frozen=True, kw_only=True)
class Cast:
    """A column cast."""

    #: Of `Type.arrow`; null where the cell was null or is bad.
    values: Array
    #: True where a cell could not be cast; None where there is no such cell.
    bad: Mask | None


def cast(column: Array, to: Type) -> Cast:
    """Cast a column exactly.

    Args:
        column: text as it came (`pa.string()`), or any typed Arrow column; in chunks, sliced or empty, too.
        to: what the contract declares.

    Returns:
        As many values as the column has. NaN in a typed column is a value that is missing, not a bad one.
    """
    given = flat(column)
    values = _within(_values(given, to), to)
    if values.type != to.arrow:
        values = values.cast(to.arrow)
    if values.null_count == given.null_count:
        return Cast(values=values, bad=None)
    bad = _numpy(values.is_null()) & ~_numpy(given.is_null(nan_is_null=True))
    return Cast(values=values, bad=bad if bad.any() else None)


def to_pandas(values: Array, to: Type) -> pd.Series:
    """Turn cast values into a series of exactly the dtype that the schema declares, without a copy where possible.

    Args:
        values: of `to.arrow`; without nulls where the dtype cannot hold them, such as `int64`.
        to: what they were cast to.
    """
    dtype: Any = to.pandas
    if isinstance(dtype, pd.CategoricalDtype):
        return _categories(values, dtype)
    if isinstance(dtype, pd.DatetimeTZDtype):
        moments = values.cast(pa.timestamp(dtype.unit, "UTC")).to_numpy(zero_copy_only=False)
        return pd.Series(pd.DatetimeIndex(moments, tz="UTC").tz_convert(dtype.tz), copy=False)
    if isinstance(dtype, pd.ArrowDtype):
        return pd.Series(pd.array(values.cast(dtype.pyarrow_dtype), dtype=dtype), copy=False)
    if isinstance(dtype, np.dtype):
        return pd.Series(_native(values, dtype), dtype=dtype, copy=False)
    if not isinstance(dtype, pd.StringDtype):
        values = values.cast(pa.from_numpy_dtype(dtype.numpy_dtype))
    return pd.Series(dtype.__from_arrow__(values), copy=False)


def _values(given: Array, to: Type) -> Array:
    """Read the column as the type's kind, by the shortest way that keeps every value."""
    direct = _DIRECT.get(to.kind)
    values = None if direct is None else direct(given, to)
    if values is not None:
        return values
    text = decode(given) if pa.types.is_binary(given.type) else to_text(given)
    if pa.types.is_timestamp(given.type):  # Arrow writes `<value out of range: ...>` for years of six digits.
        text = pc.if_else(pc.starts_with(text, "<"), pa.scalar(None, pa.string()), text)
    return text if to.kind in (Kind.STRING, Kind.CATEGORY) else parse(text, to)


def _direct_integers(given: Array, to: Type) -> Array | None:
    wide = pa.uint64() if pa.types.is_decimal(to.arrow) else pa.int64()
    if pa.types.is_floating(given.type):
        return _whole(given, wide)
    return _attempt(given, wide) if pa.types.is_integer(given.type) else None


def _direct_floats(given: Array, to: Type) -> Array | None:
    # As with text, the nearest float is the value; one beyond the type becomes infinite, which is found later.
    near = pa.types.is_floating(given.type) or pa.types.is_integer(given.type)
    return given.cast(to.arrow, safe=False) if near else None


def _direct_decimals(given: Array, to: Any) -> Array | None:
    if pa.types.is_decimal(given.type):
        # With more digits than this at the new scale, Arrow gives some other number without a word.
        safe = given.type.precision - given.type.scale + to.arrow.scale <= MAX_DECIMAL_DIGITS
        return _attempt(given, to.arrow) if safe else None
    return _attempt(given, to.arrow) if pa.types.is_integer(given.type) else None


def _direct_booleans(given: Array, _: Type) -> Array | None:
    return given if pa.types.is_boolean(given.type) else None


def _direct_dates(given: Array, to: Type) -> Array | None:
    if pa.types.is_date32(given.type):
        return given
    if not pa.types.is_timestamp(given.type) or given.type.tz:
        return None
    times = _attempt(given, pa.timestamp("us"))
    if times is None or (_raw(times, np.int64) % _MICROSECONDS_PER_DAY).any():
        return None  # Arrow would take the time of day away.
    return times.cast(to.arrow)


def _direct_times(given: Array, to: Type) -> Array | None:
    if pa.types.is_date32(given.type) and not to.zone:
        return _attempt(given, to.arrow)
    same = pa.types.is_timestamp(given.type) and bool(given.type.tz) == bool(to.zone)
    return _attempt(given, to.arrow) if same else None


#: Typed columns that need not become text first; None where one must, after all.
_DIRECT: Final[Mapping[Kind, Callable[[Array, Type], Array | None]]] = {
    Kind.INTEGER: _direct_integers,
    Kind.FLOAT: _direct_floats,
    Kind.DECIMAL: _direct_decimals,
    Kind.BOOLEAN: _direct_booleans,
    Kind.DATE: _direct_dates,
    Kind.TIMESTAMP: _direct_times,
}


def _attempt(given: Array, to: pa.DataType) -> Array | None:
    try:
        return given.cast(to)
    except pa.ArrowInvalid:
        return None


def _whole(given: Array, wide: pa.DataType) -> Array:
    """Read floats as integers; null where there is a fraction or too large a value."""
    numbers = given.to_numpy(zero_copy_only=False).astype(np.float64)
    least, beyond = (0.0, 2.0**64) if wide == pa.uint64() else (-(2.0**63), 2.0**63)
    whole = (np.trunc(numbers) == numbers) & (numbers >= least) & (numbers < beyond)
    exact = np.where(whole, numbers, 0).astype(wide.to_pandas_dtype())
    return pa.array(exact, wide, mask=~whole)


def _within(values: Array, to: Type) -> Array:
    """Make values null that the declared type does not have."""
    outside = _outside(values, to) if len(values) else None
    if outside is None or not outside.any():
        return values
    return pc.if_else(pa.array(outside), pa.scalar(None, values.type), values)


def _outside(values: Array, to: Type) -> Mask | None:
    if to.kind is Kind.FLOAT:
        floats = _raw(values, values.type.to_pandas_dtype())
        return np.asarray(~(np.abs(floats) < (_HALF_OVERFLOW if _is_half(to) else np.inf)))  # NaN is less than none.
    if to.kind is Kind.DATE:
        days = _raw(values, np.int32)
        return (days < _FIRST_DAY) | (days > _LAST_DAY)
    if to.kind is Kind.CATEGORY and to.categories:
        return ~_numpy(pc.is_in(values, pa.array(to.categories, pa.string())))
    if to.minimum is None or to.maximum is None:
        return None
    numbers = _raw(values, np.uint64 if values.type == pa.uint64() else np.int64)
    outside = (numbers < to.minimum) | (numbers > to.maximum)
    return np.asarray(outside if to.step == 1 else outside | (numbers % to.step != 0))


def _is_half(to: Type) -> bool:
    return str(to.pandas) in ("float16", "halffloat[pyarrow]")


def _raw(values: Array, dtype: npt.DTypeLike) -> npt.NDArray[Any]:
    """Look at a column's numbers without a copy; what stands in place of a null is of no meaning."""
    return np.frombuffer(values.buffers()[1], dtype)[values.offset : values.offset + len(values)]


def _numpy(mask: Array) -> Mask:
    return np.asarray(mask.to_numpy(zero_copy_only=False), np.bool_)


def _native(values: Array, dtype: np.dtype[Any]) -> npt.NDArray[Any]:
    if dtype.kind in "iufM":
        values = values.cast(pa.from_numpy_dtype(dtype))
    elif pa.types.is_date(values.type):  # One object for each distinct day, where to_numpy makes one for each cell.
        return np.asarray(values.to_pandas(date_as_object=True), dtype=object)
    return np.asarray(values.to_numpy(zero_copy_only=False))


def _categories(values: Array, dtype: pd.CategoricalDtype) -> pd.Series:
    if dtype.categories is None:
        found = values.dictionary_encode()
        names, codes = pd.Index(found.dictionary.to_pandas()), found.indices
        return pd.Series(pd.Categorical.from_codes(_codes(codes), names, ordered=dtype.ordered))
    codes = pc.index_in(values, pa.array(list(dtype.categories), pa.string()))
    return pd.Series(pd.Categorical.from_codes(_codes(codes), dtype=dtype))


def _codes(indices: Array) -> npt.NDArray[np.int32]:
    return np.asarray(indices.fill_null(-1).to_numpy(), np.int32)
