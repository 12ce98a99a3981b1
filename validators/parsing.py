"""Text -> values, strictly and by the column: Arrow's own parsers, kept from what they read and should not.

Three goes, each slower and rarer than the one before: the column as it is; the column without the cells whose bytes
cannot be meant; the column without the cells that a pattern does not know. Only what is left out is looked at singly.
"""

from __future__ import annotations

import datetime as dt
import decimal
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from validators.kinds import MAX_DECIMAL_DIGITS, Kind, Type
from validators.model import Mask
from validators.texts import Array, repeats

#: Around numbers, booleans, dates and times these are no part of the value.
BLANKS: Final = b" \t"

_Bytes = npt.NDArray[np.uint8]
_Offsets = npt.NDArray[np.int32]

_DAYS: Final = "(?:(?:0[1-9]|1[0-2])-(?:0[1-9]|1[0-9]|2[0-8])|(?:0[13-9]|1[0-2])-(?:29|30)|(?:0[13578]|1[02])-31)"
#: Days that are there in every year: all but 29 February. Years that Python knows are at most 9999 and not 0000.
_DAY: Final = f"[1-9][0-9]{{3}}-{_DAYS}"
_ANY_DAY: Final = "[0-9]{4}-[0-9]{2}-[0-9]{2}"
_MINUTES: Final = "[T ](?:[01][0-9]|2[0-3]):[0-5][0-9]"
_CLOCK: Final = rf"{_MINUTES}(?::[0-5][0-9](?:\.[0-9]{{1,6}})?)?"
_ANY_CLOCK: Final = rf"{_MINUTES}(?::[0-5][0-9](?:\.[0-9]{{1,6}}0*)?)?"
_MIDNIGHT: Final = r"(?:[T ]00:00(?::00(?:\.0+)?)?)?"
_OFFSET: Final = "(?:Z|[+-](?:[01][0-9]|2[0-3])(?::?[0-5][0-9])?)"
_DIGITS: Final = r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)"
_FLOAT: Final = rf"^{_DIGITS}(?:[eE][+-]?[0-9]+)?$"
#: Exponents of more digits are beyond every decimal, and beyond Python's.
_DECIMAL: Final = rf"^{_DIGITS}(?:[eE][+-]?[0-9]{{1,6}})?$"
#: 20 digits are those of the greatest integer type, uint64.
_INTEGER: Final = r"^[+-]?0*[0-9]{1,20}(?:\.0*)?$"
#: A whole number that a float64 holds exactly, as spreadsheets and pandas write it: `12.0`.
_SHORT_INTEGER: Final = r"[0-9]{1,15}(?:\.0*)?$"
_BOOLEAN: Final = "(?i)^(?:true|false|1|0)$"

#: Cells that are tried before a whole column is: dirty columns nearly always show there, at no cost worth naming.
_PROBE: Final = 1024


@dataclass(frozen=True, kw_only=True)
class _Form:
    """How the cells of one type look."""

    #: What Arrow reads first; later made the type's own.
    arrow: Any
    #: RE2: what it matches, Arrow reads as we do.
    plain: str
    #: RE2: what it does not match, cannot be read.
    shape: str
    #: Whether Arrow might read some of these cells as what they are not.
    lax: Callable[[Array], bool]
    #: The cells whose bytes are none of a plain one; None where only the pattern can tell.
    odd: Callable[[Array], Mask] | None
    #: Reads cells that have the shape and are not plain; null where they cannot be read.
    rest: Callable[[Array], Array]


def parse(text: Array, to: Type) -> Array:
    """Read every cell as the type's kind; null where it is null or cannot be read.

    Bounds are not looked at: integers come as int64 or uint64, floats may be infinite, times are in microseconds.

    Args:
        text: cells as they came, `pa.string()`; a slice is fine.
        to: any kind but text and categories, which are not parsed.
    """
    form = _FORMS[to.kind](to)
    if text.null_count == len(text):
        return pa.nulls(len(text), form.arrow)
    values = None if form.lax(text) else _attempt_all(text, form.arrow)
    if values is not None:
        return values
    if repeats(text):  # dates nearly always: a few patterns over a few cells, instead of over all
        coded = text.dictionary_encode()
        return parse(coded.dictionary, to).take(coded.indices)
    if _holds(text, BLANKS):
        text = pc.utf8_trim(text, BLANKS.decode())
    odd = form.odd(text) if form.odd else None
    values = None if odd is None else _attempt_all(_hide(text, odd), form.arrow)
    if odd is None or values is None:
        odd = ~_flags(pc.match_substring_regex(text, form.plain))
        values = _hide(text, odd).cast(form.arrow)
    odd &= _flags(text.is_valid())
    if not odd.any():
        return values
    rest = form.rest(_matching(text.filter(pa.array(odd)), form.shape))
    return values if rest.null_count == len(rest) else pc.replace_with_mask(values, pa.array(odd), rest)


def _integer_form(to: Type) -> _Form:
    unsigned = pa.types.is_decimal(to.arrow)
    return _Form(
        arrow=pa.uint64() if unsigned else pa.int64(),
        plain="^[0-9]{1,18}$" if unsigned else "^-?[0-9]{1,18}$",
        shape=_INTEGER,
        lax=lambda text: _holds(text, b"xX"),  # Arrow reads 0x1A as 26.
        odd=lambda text: _odd_bytes(text, b"" if unsigned else b"-", longest=18),
        rest=lambda text: _rest_of_integers(text, to),
    )


def _float_form(to: Type) -> _Form:
    return _Form(
        arrow=to.arrow,
        plain=_FLOAT,
        shape=_FLOAT,
        lax=lambda _: False,  # Arrow reads inf and nan, which are found among the values.
        odd=lambda text: _odd_bytes(text, b"+-."),
        rest=lambda text: text.cast(to.arrow),
    )


def _decimal_form(to: Type) -> _Form:
    before, after = _places(to)
    safe = MAX_DECIMAL_DIGITS - after
    whole, part = f"[0-9]{{1,{before}}}" if before else "0", rf"(?:\.[0-9]{{0,{after}}})?" if after else ""
    return _Form(
        arrow=to.arrow,
        plain=f"^[+-]?{whole}{part}$",
        shape=_DECIMAL,
        # Arrow reads 1e-999 as 0.00, and what has more than 128 bits at the type's scale as some other number.
        lax=lambda text: _holds(text, b"eE") or _longest(text) > safe,
        odd=lambda text: _odd_bytes(text, b"+-.", longest=safe),
        rest=lambda text: _one_by_one(text, lambda cell: _one_decimal(cell, to), to.arrow),
    )


def _boolean_form(to: Type) -> _Form:
    return _Form(
        arrow=to.arrow,
        plain=_BOOLEAN,
        shape=_BOOLEAN,
        lax=lambda _: False,
        odd=None,
        rest=lambda text: text.cast(to.arrow),
    )


def _date_form(to: Type) -> _Form:
    return _Form(
        arrow=to.arrow,
        plain=f"^{_DAY}$",
        shape=f"^{_ANY_DAY}{_MIDNIGHT}$",
        lax=lambda _: False,
        odd=lambda text: _odd_bytes(text, b"-", longest=10),
        rest=lambda text: _one_by_one(text, _one_date, to.arrow),
    )


def _timestamp_form(to: Type) -> _Form:
    also = b"-:T .Z+" if to.zone else b"-:T ."
    plain = f"^{_DAY}" + (f"{_CLOCK}{_OFFSET}$" if to.zone else f"(?:{_CLOCK})?$")
    return _Form(
        arrow=to.arrow,
        plain=plain,
        shape=f"^{_ANY_DAY}" + (f"{_ANY_CLOCK}{_OFFSET}$" if to.zone else f"(?:{_ANY_CLOCK})?$"),
        lax=lambda text: bool(_hours_only(text).any()),
        odd=lambda text: _odd_bytes(text, also) | _hours_only(text),
        rest=lambda text: _rest_of_times(text, plain, to.arrow),
    )


_FORMS: Final[Mapping[Kind, Callable[[Type], _Form]]] = {
    Kind.INTEGER: _integer_form,
    Kind.FLOAT: _float_form,
    Kind.DECIMAL: _decimal_form,
    Kind.BOOLEAN: _boolean_form,
    Kind.DATE: _date_form,
    Kind.TIMESTAMP: _timestamp_form,
}


def _attempt_all(text: Array, to: pa.DataType) -> Array | None:
    """Cast the column, unless its first cells show already that this fails: Arrow goes on to the end to say so."""
    return None if _attempt(text.slice(0, _PROBE), to) is None else _attempt(text, to)


def _attempt(text: Array, to: pa.DataType) -> Array | None:
    try:
        return text.cast(to)
    except pa.ArrowInvalid:
        return None


def _flags(mask: Array) -> Mask:
    """Turn Arrow's mask into NumPy's; null is false."""
    return np.asarray(mask.fill_null(False).to_numpy(zero_copy_only=False))


def _cells(text: Array) -> tuple[_Offsets, _Bytes]:
    """Return where each cell begins and the last one ends, and the bytes of all of them, without a copy."""
    offsets, data = _buffers(text)
    ends = np.frombuffer(offsets, np.int32)[text.offset : text.offset + len(text) + 1]
    content = np.frombuffer(data, np.uint8) if data is not None else np.empty(0, np.uint8)
    return ends - ends[0], content[ends[0] : ends[-1]]


def _buffers(text: Array) -> tuple[Any, Any]:
    _, offsets, data = text.buffers()
    return offsets, data


def _holds(text: Array, letters: bytes) -> bool:
    content = _cells(text)[1].tobytes()
    return any(content.find(letter) >= 0 for letter in letters)


def _longest(text: Array) -> int:
    return int(np.diff(_cells(text)[0]).max(initial=0))


def _odd_bytes(text: Array, also: bytes, *, longest: int | None = None) -> Mask:
    """Find the cells with other bytes than digits and `also`, with a last byte that ends no value, or too long ones."""
    offsets, content = _cells(text)
    lengths = np.diff(offsets)
    odd = lengths == 0 if longest is None else (lengths == 0) | (lengths > longest)
    if content.size:
        last = content[offsets[1:] - 1]
        odd |= _no_digit(last) & (last != ord("Z"))
        strange = _no_digit(content)
        for byte in also:
            strange &= content != byte
        odd[np.searchsorted(offsets, np.flatnonzero(strange), side="right") - 1] = True
    return np.asarray(odd)


def _no_digit(content: _Bytes) -> Mask:
    return content - np.uint8(ord("0")) > np.uint8(9)  # Wraps below 0, so that one comparison does.


def _hours_only(text: Array) -> Mask:
    """Find the times without minutes, such as `2026-03-01T12+01`: Arrow reads them."""
    offsets, content = _cells(text)
    lengths = np.diff(offsets)
    timed = lengths > len("2026-03-01")
    colon = np.minimum(offsets[:-1] + len("2026-03-01T12"), max(content.size - 1, 0))
    short = lengths < len("2026-03-01T12:30")
    return np.asarray(timed & (short | (content[colon] != ord(":"))) if content.size else timed)


def _hide(text: Array, hidden: Mask) -> Array:
    """Make cells null without copying the others."""
    shown = _flags(text.is_valid()) & ~hidden
    offsets, data = _buffers(text)
    validity = pa.py_buffer(np.packbits(shown, bitorder="little").tobytes())
    return pa.StringArray.from_buffers(len(text), offsets.slice(text.offset * 4), data, validity)


def _matching(text: Array, pattern: str) -> Array:
    """Keep the cells that match, null in place of the others."""
    return _hide(text, ~_flags(pc.match_substring_regex(text, pattern)))


def _rest_of_integers(text: Array, to: Type) -> Array:
    """Read `+5` and `12.0` by the column, and what is longer singly."""
    arrow, signs = (pa.uint64(), "^[+]?") if pa.types.is_decimal(to.arrow) else (pa.int64(), "^[+-]?")
    short = _flags(pc.match_substring_regex(text, signs + _SHORT_INTEGER))
    values = _hide(text, ~short).cast(pa.float64()).cast(arrow)
    return _completed(values, text, short, lambda cell: _one_integer(cell, to))


def _rest_of_times(text: Array, plain: str, arrow: pa.DataType) -> Array:
    """Read times with more than six digits of a second by the column, which the shape has made sure are zeros."""
    text = pc.replace_substring_regex(text, r"(\.[0-9]{6})0+", r"\1")
    known = _flags(pc.match_substring_regex(text, plain))
    return _completed(_hide(text, ~known).cast(arrow), text, known, _one_time)


def _completed(values: Array, text: Array, known: Mask, read: Callable[[str], object]) -> Array:
    """Read singly the cells that `values` has not."""
    if known.all():
        return values
    others = _one_by_one(text.filter(pa.array(~known)), read, values.type)
    return pc.replace_with_mask(values, pa.array(~known), others)


def _one_by_one(text: Array, read: Callable[[str], Any], arrow: pa.DataType) -> Array:
    """Read each distinct cell by `read`; None where it cannot."""
    distinct = text.dictionary_encode()
    values = pa.array([read(cell) for cell in distinct.dictionary.to_pylist()], arrow)
    return values.take(distinct.indices)


def _one_integer(cell: str, to: Type) -> int | None:
    sign, digits = ("-", cell[1:]) if cell[0] == "-" else ("", cell.removeprefix("+"))
    value = int(sign + (digits.partition(".")[0].lstrip("0") or "0"))
    return value if to.minimum is not None and to.maximum is not None and to.minimum <= value <= to.maximum else None


def _places(to: Type) -> tuple[int, int]:
    """Return how many digits a decimal type has before and after the point."""
    arrow: Any = to.arrow
    return arrow.precision - arrow.scale, arrow.scale


def _one_decimal(cell: str, to: Type) -> decimal.Decimal | None:
    before, after = _places(to)
    exact = decimal.Context(prec=before + after, traps=[decimal.Inexact, decimal.InvalidOperation])
    try:
        return decimal.Decimal(cell).quantize(decimal.Decimal(1).scaleb(-after), context=exact)
    except (decimal.Inexact, decimal.InvalidOperation):
        return None


def _one_date(cell: str) -> dt.date | None:
    try:
        return dt.date.fromisoformat(cell[: len("2026-03-01")])
    except ValueError:
        return None


def _one_time(cell: str) -> dt.datetime | None:
    try:
        value = dt.datetime.fromisoformat(cell)
        return value.astimezone(dt.UTC) if value.tzinfo else value
    except (ValueError, OverflowError):
        return None
