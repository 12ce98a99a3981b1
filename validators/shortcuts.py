"""Pandera's own checks that Arrow answers just as they do, in a third of the time.

Those on text it answers for each cell; of numbers it tells quickly that none breaks a bound, as is nearly always so.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Collection, Mapping
from typing import Any, Final, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pandera.pandas import Check

from validators.model import Mask, Numbers
from validators.texts import Array

#: Bytes that a character takes in UTF-8, at most.
_MOST_BYTES: Final = 4
#: Up to here a float64 is every whole number.
_WHOLE: Final = 2**53


def broken(check: Check, column: Array) -> Numbers | None:
    """Return the positions of the cells that break a check, ascending; None where pandera has to be asked.

    Args:
        check: any check on one column.
        column: typed, or codes of texts; no null breaks a check here, as pandera leaves them out.
    """
    if not check.ignore_na or check.element_wise or check.groupby is not None:
        return None
    is_coded = pa.types.is_dictionary(column.type)
    cells = column.dictionary if is_coded else column
    way = _way(check, cells.type)
    if way is None:
        return None
    holds = way(cells, **check._check_kwargs)  # noqa: SLF001 - as it was declared, in normal form
    if holds is None:
        return None
    if holds is True or pc.all(holds).as_py() is not False:
        return np.empty(0, np.int64)
    breaks = ~holds.fill_null(True).to_numpy(zero_copy_only=False)
    return np.flatnonzero(_of_codes(breaks, column.indices) if is_coded else breaks)


def _way(check: Check, kind: pa.DataType) -> _Way | None:
    ways = _TEXT_WAYS if pa.types.is_string(kind) else _NUMBER_WAYS if kind in (pa.int64(), pa.float64()) else {}
    for name, way in ways.items():
        if check._check_fn is Check.get_builtin_check_fn(name):  # noqa: SLF001 - a check's own name may be anything
            return way
    return None


def _of_codes(breaks: Mask, codes: Array) -> Mask:
    """Return what is said of the distinct cells for each row; no cell breaks nothing."""
    nothing = len(breaks)
    return np.asarray(np.append(breaks, False)[codes.fill_null(nothing).to_numpy()])


def _isin(text: Array, *, allowed_values: Collection[Any]) -> Array | None:
    if not all(type(value) is str for value in allowed_values):
        return None
    found = pc.is_in(text, pa.array(sorted(allowed_values), pa.string()))
    return pc.or_(found, text.is_null()) if text.null_count else found


def _str_length(
    text: Array, *, min_value: object = None, max_value: object = None, exact_value: object = None
) -> Array | Literal[True] | None:
    bounds = [(pc.greater_equal, min_value), (pc.less_equal, max_value)]
    given = [(holds, bound) for holds, bound in bounds if bound is not None]
    if exact_value is not None or not given or any(type(bound) is not int for _, bound in given):
        return None
    if _surely_within(text, min_value or 0, max_value):
        return True
    lengths = pc.utf8_length(text)
    answers = [holds(lengths, bound) for holds, bound in given]
    return answers[0] if len(answers) == 1 else pc.and_(*answers)


def _surely_within(text: Array, least: Any, most: Any) -> bool:
    """Tell from numbers of bytes alone, if they do tell, that all texts are long and short enough."""
    found = pc.min_max(pc.binary_length(text)).as_py()
    if found["min"] is None:
        return True
    fewest = -(-found["min"] // _MOST_BYTES)
    return bool(fewest >= least and (most is None or found["max"] <= most))


def _in_range(
    numbers: Array, *, min_value: Any, max_value: Any, include_min: bool = True, include_max: bool = True
) -> Literal[True] | None:
    above = operator.ge if include_min else operator.gt
    below = operator.le if include_max else operator.lt
    return _surely_all(numbers, (above, min_value), (below, max_value))


def _least(holds: _Holds) -> _Way:
    return lambda numbers, *, min_value: _surely_all(numbers, (holds, min_value), None)


def _most(holds: _Holds) -> _Way:
    return lambda numbers, *, max_value: _surely_all(numbers, None, (holds, max_value))


def _surely_all(
    numbers: Array, least: tuple[_Holds, Any] | None, most: tuple[_Holds, Any] | None
) -> Literal[True] | None:
    """Tell from the least and the greatest number whether all keep their bounds."""
    if not all(_exact(bound[1], numbers.type) for bound in (least, most) if bound is not None):
        return None
    found = pc.min_max(numbers).as_py()
    if found["min"] is None:
        return True
    pairs = ((found["min"], least), (found["max"], most))
    return all(bound is None or bound[0](number, bound[1]) for number, bound in pairs) or None


def _exact(bound: Any, kind: pa.DataType) -> bool:
    """Tell whether pandas compares a bound with such numbers as Python does, without rounding either."""
    if type(bound) is int:
        return kind == pa.int64() or abs(bound) <= _WHOLE
    return type(bound) is float and kind == pa.float64()


_Way = Callable[..., Array | Literal[True] | None]
_Holds = Callable[[Any, Any], bool]
#: Which checks have a shorter way, by pandera's name. A way says True where no cell breaks the check, and None where
#: that is not sure, or to arguments that it does not know.
_TEXT_WAYS: Final[Mapping[str, _Way]] = {"isin": _isin, "str_length": _str_length}
_NUMBER_WAYS: Final[Mapping[str, _Way]] = {
    "in_range": _in_range,
    "greater_than": _least(operator.gt),
    "greater_than_or_equal_to": _least(operator.ge),
    "less_than": _most(operator.lt),
    "less_than_or_equal_to": _most(operator.le),
}
