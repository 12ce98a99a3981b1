"""Tries a contract's own checks on no rows, before any file comes: what fails there for sure would fail every file.

Of an author's own check only that counts which rows have no part in: that it cannot be called so, a name or a module
that does not exist, a column that the contract does not declare. Any other exception may come of the missing rows.
"""

from __future__ import annotations

import datetime as dt
import importlib.util
import re
from collections.abc import Callable, Collection, Mapping
from decimal import Decimal
from typing import Any

import pandas as pd
import pyarrow as pa
from pandera.api.hypotheses import Hypothesis

from validators.casting import Kind, to_pandas
from validators.errors import ContractError
from validators.evaluating import function_of
from validators.loading import blame, blamed_line
from validators.rules import Column
from validators.suggest import did_you_mean
from validators.watching import UndeclaredError, Unread, watched, watched_row

#: What Python says of a call with too many or too few arguments.
_MISCALLED = re.compile(r"takes (from )?\d+.* positional arguments?\b|missing \d+ required .*arguments?\b")
#: Hypotheses of pandera's own, by their functions' names; they need SciPy.
_NEED_SCIPY = ("two_sample_ttest", "one_sample_ttest")
#: A cell of each kind that every column of that kind can hold.
_CELLS: Mapping[Kind, Any] = {
    Kind.STRING: "a",
    Kind.CATEGORY: "a",
    Kind.INTEGER: 1,
    Kind.FLOAT: 0.5,
    Kind.DECIMAL: Decimal(0),
    Kind.BOOLEAN: True,
    Kind.DATE: dt.date(2026, 3, 1),
    Kind.TIMESTAMP: dt.datetime(2026, 3, 1, tzinfo=dt.UTC),
}


def refuse_broken(
    check: Any, name: str, column: Column | None, columns: Collection[Column], *, built_in: bool = False
) -> None:
    """Refuse a check that no file could satisfy.

    Args:
        check: a pandera check.
        name: the rule's name, for messages.
        column: the column that it judges; None for whole rows.
        columns: all that the contract declares.
        built_in: whether it is one of pandera's own, which can do without rows, so that every exception counts.

    Raises:
        ContractError: it cannot be called, does not fit its column, or uses something that is not there.
    """
    if isinstance(check, Hypothesis):
        if name in _NEED_SCIPY and importlib.util.find_spec("scipy") is None:
            raise ContractError(f"the rule '{name}' needs SciPy, which is not installed. Install it, or take it away")
        return
    of = f"the rule '{name}'" + (f" of column '{column.name}'" if column else "")
    error = _tried_built_in(check, column) if built_in and column else _tried(check, column, columns)
    if built_in and error is not None:
        of_kind = f", which is read as {column.type.kind}" if column else ""
        said = f"{type(error).__name__}: {error}".rstrip(".")
        raise ContractError(f"{of}{of_kind}, raises {said}. Mend what it is given, or the dtype")
    if (key := _undeclared(error)) is not None and not _matches(key, columns):
        near = did_you_mean(key, [each.name for each in columns]) or "declare it, nullable or required=False if need be"
        raise ContractError(f"{of} reads '{key}', which the contract does not declare as a column; {near}")
    if _miscalled(error):
        raise ContractError(
            f"{of} cannot be called: {error}. Models give a check `cls` and what it checks, pa.Check only that"
        )
    if isinstance(error, NameError | ImportError) and not isinstance(error, UnboundLocalError):
        raise ContractError(f"{of} raises {blame(error)}. Mend it") from error


def _tried_built_in(check: Any, column: Column) -> Exception | None:
    """Judge one cell by one of pandera's own checks, whose kind is all that matters; return what that raised."""
    cell = column.type.categories[0] if column.type.categories else _CELLS[column.type.kind]
    try:
        check(_series(column, cell))
    except Exception as error:  # noqa: BLE001 - a check may raise anything; the caller tells what it means
        return error
    return None


def _tried(check: Any, column: Column | None, columns: Collection[Column]) -> Exception | None:
    """Call an author's function with what the check would give it; return what it raised."""
    plain, function = {each.name: each for each in columns if not each.pattern}, function_of(check)
    try:
        if column is not None:
            function(_nothing(check, column))
        elif check.element_wise:
            function(watched_row(pd.Series(dict.fromkeys(plain), dtype=object), plain))
        elif not check.groupby:
            _try_frame(function, plain)
    except Exception as error:  # noqa: BLE001 - a check may raise anything; the caller tells what it means
        return error
    return None


def _nothing(check: Any, column: Column) -> Any:
    """Return what a check of a column is given where there are no rows."""
    if check.groupby:
        return {}
    return None if check.element_wise else _series(column)


def _series(column: Column, *cells: Any) -> pd.Series[Any]:
    return to_pandas(pa.array(cells, column.type.arrow), column.type).rename(column.name)


def _try_frame(function: Callable[[Any], Any], columns: Mapping[str, Column]) -> None:
    frame = pd.DataFrame({name: _series(column) for name, column in columns.items()})
    try:
        function(watched(frame, columns))
    except Unread:
        function(frame)


def _undeclared(error: Exception | None) -> str | None:
    """Return the column that a check has read though there is none, as `frame["name"]` or `frame.name`."""
    if isinstance(error, UndeclaredError):
        return str(error.args[0])
    if isinstance(error, AttributeError) and isinstance(error.obj, pd.DataFrame):
        return error.name
    return None


def _matches(name: str, columns: Collection[Column]) -> bool:
    return any(each.pattern and re.match(each.name, name) for each in columns)


def _miscalled(error: Exception | None) -> bool:
    """Tell whether a function could not even be entered: no line of its author's has run."""
    return isinstance(error, TypeError) and bool(_MISCALLED.search(str(error))) and not blamed_line(error)
