"""One rule over some rows: which of them break it. Both for batches and for whole files.

A cell that could not be read is never shown to a check, and no placeholder stands for it: a check on a column sees the
series without it, a check on rows sees the rows of which it can read all that it asks for.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from validators.casting import Kind, to_pandas
from validators.errors import FileProblem
from validators.model import Mask, Numbers
from validators.rules import CHECK_ERROR, Column, Rule, Scope
from validators.shortcuts import broken
from validators.texts import Array, flat
from validators.watching import Unread, watched, watched_row


@dataclass(frozen=True, kw_only=True)
class Found:
    """What one rule says of some rows."""

    #: The column that breaks it; None for rows.
    column: str | None
    #: The positions of the rows that break it, ascending; None where the rule speaks of all rows together.
    positions: Numbers | None


class Cells:
    """Some rows' typed cells, as pandas sees them: each column converted once, when a rule first asks for it."""

    def __init__(
        self,
        columns: Mapping[str, Column],
        typed: pa.Table,
        unknown: Mapping[str, Mask],
        absent: Collection[str] = (),
    ) -> None:
        """Keep rows.

        Args:
            columns: the columns that the rows have, by name.
            typed: their cells, in the columns' Arrow types.
            unknown: for columns with such cells, which of them could not be read or cannot be held by the dtype.
            absent: optional columns that the file does not have.
        """
        self.columns = columns
        self.absent = frozenset(absent)
        self.unknown = unknown
        self._typed = typed
        self._series: dict[str, pd.Series[Any]] = {}

    @property
    def rows(self) -> int:
        """How many rows there are."""
        return len(self._typed)

    def series(self, name: str) -> pd.Series[Any]:
        """Return a column's known cells in exactly the declared dtype, indexed by position."""
        if name not in self._series:
            self._series[name] = self._convert(name)
        return self._series[name]

    def plain(self, name: str) -> Array | None:
        """Return a column of text, maybe as codes, or of numbers as it is typed; None where it is of another kind."""
        if self.columns[name].type.kind not in (Kind.STRING, Kind.INTEGER, Kind.FLOAT):
            return None
        column = self._typed[name]
        return column.chunk(0) if column.num_chunks == 1 else flat(column)

    def frame(self, names: Collection[str]) -> pd.DataFrame:
        """Return the rows whose cells in these columns are all known, indexed by position."""
        hidden = self.hidden(names)
        if hidden is None or len(names) == 1:
            found = {name: self.series(name) for name in names}
            index = pd.RangeIndex(self.rows) if hidden is None else next(iter(found.values())).index
            return pd.DataFrame(found, index=index, copy=False)
        known = self._typed.select(list(names)).filter(pa.array(~hidden))
        index = pd.Index(np.flatnonzero(~hidden))
        found = {name: to_pandas(flat(known[name]), self.columns[name].type) for name in names}
        for series in found.values():
            series.index = index
        return pd.DataFrame(found, index=index, copy=False)

    def hidden(self, names: Collection[str]) -> Mask | None:
        """Return which rows have an unknown cell in these columns; None for no row."""
        masks = [self.unknown[name] for name in names if name in self.unknown]
        return np.logical_or.reduce(masks) if masks else None

    def empty(self, names: Collection[str]) -> Mask:
        """Return which rows have no value in any of these columns."""
        empty = np.ones(self.rows, np.bool_)
        for name in names:
            column = self._typed[name]
            if not column.null_count:
                return np.zeros(self.rows, np.bool_)
            empty &= column.is_null().to_numpy()
        return empty

    def _convert(self, name: str) -> pd.Series[Any]:
        values, unknown = flat(self._typed[name]), self.unknown.get(name)
        if unknown is None:
            series = to_pandas(values, self.columns[name].type)
        else:
            series = to_pandas(values.filter(pa.array(~unknown)), self.columns[name].type)
            series.index = pd.Index(np.flatnonzero(~unknown))
        series.name = name
        return series


def evaluate(rule: Rule, cells: Cells) -> list[Found]:
    """Return what a rule says of some rows; nothing where all of them keep it.

    Raises:
        FileProblem: the check raised an exception, or said something that is no answer. That is the contract's fault,
            but nobody can tell which rows are good, so it speaks of the whole file.
        MemoryError: the memory did not suffice, which says nothing of the file.
    """
    try:
        return _way(rule)(rule, cells)
    except (FileProblem, MemoryError):
        raise
    except Exception as error:
        name = _missed(error)
        if name in cells.absent:
            return []  # the rule needs a column that the file may leave out, and does
        raise check_error(rule, _said(rule, error, name if name in cells.columns else None)) from error


def _missed(error: Exception) -> str | None:
    """Return the name of the column that a check did not find, if that is what went wrong."""
    name = error.args[0] if isinstance(error, KeyError) and error.args else getattr(error, "name", None)
    return name if isinstance(name, str) else None


def _said(rule: Rule, error: Exception, known: str | None) -> str:
    if isinstance(error, KeyError) and rule.given:
        return (
            f"raised KeyError: {error.args[0] if error.args else error}; perhaps the file has no rows of such a group"
        )
    if isinstance(error, KeyError) and known is None:
        return f"reads {error}, which the contract does not declare as a column"
    return f"raised {type(error).__name__}: {error}"


def _way(rule: Rule) -> Callable[[Rule, Cells], list[Found]]:
    if rule.given:
        return _given
    if rule.column is not None:
        return _column
    return _rows_one_by_one if rule.check.element_wise else _rows


def reads(check: Any, cells: Cells) -> tuple[str, ...] | None:
    """Return the columns that a check on rows is seen to read of `cells`, which have no rows; None for all.

    It is a first guess that saves time: a check that reads more when there are rows is given more then.
    """
    names: tuple[str, ...] = ()
    # A check may also stumble over a frame without rows; with rows it is asked again.
    while isinstance(more := _watch(check, cells, names), Unread):
        if not more.names:
            return None
        names = (*names, *sorted(more.names))
    return names


def _column(rule: Rule, cells: Cells) -> list[Found]:
    plain = cells.plain(rule.column or "")
    positions = None if plain is None else broken(rule.check, plain)
    if positions is not None:
        return [Found(column=rule.column, positions=positions)] if len(positions) else []
    # A copy costs nothing until it is written to, and then other checks do not see what this one wrote.
    result = rule.check(cells.series(rule.column or "").copy(deep=False))
    judged = result.checked_object.index  # less the empty cells that it ignores
    return _answer(rule, result.check_output, judged, cells)


def _given(rule: Rule, cells: Cells) -> list[Found]:
    """Judge by a check whose columns are known beforehand: groups, and tests of hypotheses."""
    frame = cells.frame(cells.columns if rule.columns is None else rule.columns)
    output = rule.check(frame, rule.column).check_output
    if isinstance(output, pd.Series):
        output = bool(output.all())  # it has an answer for each group, which names no rows
    return _answer(rule, output, frame.index, cells)


def _rows(rule: Rule, cells: Cells) -> list[Found]:
    """Judge by a check that takes a frame: first with the columns that it is known to read, then with all it asks."""
    given = None if rule.columns is None else tuple(name for name in rule.columns if name in cells.columns)
    while given is not None:
        seen = _watch(rule.check, cells, given)
        if isinstance(seen, Seen):
            return _answer(rule, seen.output, seen.index, cells)
        # After any other exception the stand-in may be to blame: a plain frame tells.
        more = seen.names if isinstance(seen, Unread) else None
        given = (*given, *sorted(more)) if more else None
    frame = cells.frame(cells.columns)
    return _answer(rule, _twin(rule.check)(frame).check_output, frame.index, cells)


def _rows_one_by_one(rule: Rule, cells: Cells) -> list[Found]:
    """Judge by a check that takes one row: where a row has unknown cells, by what it reads of just that row."""
    frame, hidden = cells.frame(cells.columns), cells.hidden(cells.columns)
    positions = frame.index.to_numpy()[:0]
    if len(frame):
        found = _answer(rule, _twin(rule.check)(frame).check_output, frame.index, cells)
        positions = np.concatenate([each.positions for each in found if each.positions is not None] or [positions])
    if hidden is not None:
        broken = [position for position in np.flatnonzero(hidden) if not _row_holds(rule.check, cells, int(position))]
        empty = cells.empty(cells.columns) if rule.check.ignore_na else np.zeros(cells.rows, np.bool_)
        positions = np.sort(np.concatenate([positions, [each for each in broken if not empty[each]]]).astype(np.int64))
    return [Found(column=None, positions=positions)] if len(positions) else []


def _row_holds(check: Any, cells: Cells, position: int) -> bool:
    known = [name for name in cells.columns if not (name in cells.unknown and cells.unknown[name][position])]
    row = pd.Series({name: cells.series(name).loc[position] for name in known}, name=position, dtype=object)
    try:
        return bool(function_of(check)(watched_row(row, cells.columns)))
    except Unread:
        return True


@dataclass(frozen=True)
class Seen:
    """What a check answers of the rows that it was shown."""

    output: Any
    index: pd.Index[Any]


def _watch(check: Any, cells: Cells, given: tuple[str, ...]) -> Seen | Exception:
    """Run a check over the rows whose cells in the given columns are known; return why not, where it cannot."""
    frame = cells.frame(given)
    twin = _twin(check, lambda real: watched(real, cells.columns))
    try:
        return Seen(twin(frame).check_output, frame.index)
    except MemoryError:
        raise
    except Exception as error:  # noqa: BLE001 - a check may raise anything; the caller tells what it means
        return error


def function_of(check: Any) -> Callable[..., Any]:
    """Return what a check calls, with its options given and none of pandera around it."""
    return partial(check._check_fn, **check._check_kwargs)  # noqa: SLF001 - pandera has no public way to wrap a check


def _twin(check: Any, dress: Callable[[pd.DataFrame], Any] | None = None) -> Any:
    """Return the same check without pandera's own leave for rows that are empty, which looks at all columns."""
    twin, function = copy.copy(check), check._check_fn  # noqa: SLF001 - as above
    twin.ignore_na, twin.n_failure_cases = False, None
    if dress is not None:
        twin._check_fn = lambda frame, **options: function(dress(frame), **options)  # noqa: SLF001 - as above
    return twin


def _answer(rule: Rule, output: Any, index: pd.Index[Any], cells: Cells) -> list[Found]:
    """Turn what a check answers into positions: one flag for each row, for each cell, or for everything."""
    if isinstance(output, pd.DataFrame):
        return [found for name in output.columns for found in _cell_answer(rule, output[name], index, cells)]
    if not isinstance(output, pd.Series):
        return [] if output else [_whole(rule, "answered with one no for all rows")]
    positions = _positions(output, index)
    if positions is None:
        return [] if output.all() else [_whole(rule, "answered for rows that it was not asked about")]
    if rule.column is None and rule.check.ignore_na and len(positions):
        positions = positions[~cells.empty(cells.columns)[positions]]
    return [Found(column=rule.column, positions=positions)] if len(positions) else []


def _cell_answer(rule: Rule, output: pd.Series[Any], index: pd.Index[Any], cells: Cells) -> list[Found]:
    name = str(output.name)
    positions = _positions(output, index)
    if positions is None or name not in cells.columns:
        return [] if output.all() else [_whole(rule, "answered for cells that it was not asked about")]
    if rule.check.ignore_na and len(positions):
        positions = positions[~cells.empty([name])[positions]]
    return [Found(column=name, positions=positions)] if len(positions) else []


def _positions(output: pd.Series[Any], index: pd.Index[Any]) -> Numbers | None:
    """Return the positions of the rows that break the rule; None where the answer is not about these rows.

    No answer (`pd.NA`) is no: the rule was not seen to hold.
    """
    holds = output.to_numpy(dtype=np.bool_, na_value=False) if output.hasnans else output.to_numpy(dtype=np.bool_)
    same = output.index is index or output.index.equals(index)
    if same and holds.all():
        return np.empty(0, np.int64)
    if not same and (len(output) != len(index) or not output.index.is_unique or not output.index.isin(index).all()):
        return None
    return np.sort(np.asarray(output.index.to_numpy()[~holds], np.int64))


def _whole(rule: Rule, answered: str) -> Found:
    if rule.scope is Scope.ROW:
        raise check_error(rule, f"is to judge row by row, but {answered}")
    return Found(column=rule.column, positions=None)


def check_error(rule: Rule, what: str) -> FileProblem:
    """Return the problem of a file that the contract's own check cannot judge."""
    of = f" of column {rule.column}" if rule.column else ""
    return FileProblem(
        CHECK_ERROR,
        f"the contract's rule '{rule.name}'{of} {what}",
        hint="the file may be good: have the contract mended, then drop the file again",
    )
