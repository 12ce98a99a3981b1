"""A pandas frame, judged as the rows of a file are."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from validators.casting import to_pandas
from validators.contract import Contract, load_contract
from validators.files import Part, judge
from validators.judging import Judged, Policy
from validators.model import Chunk, Dialect, Limits, Numbers, Verdict
from validators.rules import Column
from validators.texts import Array, flat, to_text, uncoded

#: What Arrow raises for a column whose cells are not of one kind, or of one that it does not know.
_NOT_OF_ONE_KIND = (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError, OverflowError, UnicodeEncodeError)


@dataclass(frozen=True, kw_only=True)
class CheckedFrame:
    """A frame after checking: its good rows with exact types, the others as they came, and the verdict.

    Both keep the frame's index.
    """

    good: pd.DataFrame
    rejected: pd.DataFrame
    verdict: Verdict


class _Frames:
    """A sink that keeps the typed good rows, and which rows they and the rejected ones are."""

    def __init__(self) -> None:
        self.restart()

    def batch(self, part: Part, judged: Judged, problems: pa.Array) -> None:  # noqa: ARG002 - words are for files
        """Keep a judged part's good rows, and the positions of both kinds."""
        positions = part.chunk.rows - 1
        self.rejected.append(positions[judged.rejected])
        if not judged.rejected.all():
            self.good.append(uncoded(judged.typed).filter(pa.array(~judged.rejected)))
            self.accepted.append(positions[~judged.rejected])

    def restart(self) -> None:
        """Forget what was kept: the rows come once more."""
        self.good: list[pa.Table] = []
        self.accepted: list[Numbers] = []
        self.rejected: list[Numbers] = []


class _FrameReader:
    """A frame in memory, read like a typed file."""

    typed = True
    returned = False

    def __init__(self, frame: pd.DataFrame, limits: Limits) -> None:
        self.notes: tuple[str, ...] = ()
        self.dialect = Dialect()
        columns = [_arrow(frame.iloc[:, place]) for place in range(frame.shape[1])]
        self._table = pa.Table.from_arrays(columns, names=[str(name) for name in frame.columns])
        self._limits = limits

    def header(self) -> tuple[str, ...]:
        """Return the names of the frame's columns."""
        return tuple(self._table.column_names)

    def chunks(self, names: Collection[str] | None = None) -> Iterator[Chunk]:
        """Yield the frame's rows in batches, numbered from 1; of these columns only, where names are given."""
        table = self._table if names is None else self._table.select(list(names))
        for start in range(0, table.num_rows, self._limits.batch_rows):
            piece = table.slice(start, self._limits.batch_rows)
            rows = np.arange(start + 1, start + 1 + piece.num_rows, dtype=np.int64)
            yield Chunk(table=piece, rows=rows, lines=np.zeros(len(rows), np.int64))

    def close(self) -> None:
        """Do nothing: the frame is its owner's."""


def check_frame(
    frame: pd.DataFrame,
    contract: str | Contract | Any,
    *,
    options: Mapping[str, Any] | None = None,
    limits: Limits | None = None,
    policy: Policy | None = None,
) -> CheckedFrame:
    """Judge a pandas frame as the rows of a file would be, and return good and rejected rows apart.

    Args:
        frame: any columns; text is cast as strictly as a file's. Its index is no column.
        contract: as for `check_file`.
        options: as for `check_file`.
        limits: as for `check_file`.
        policy: as for `check_file`.

    Raises:
        ContractError: the contract cannot be loaded or honoured.
        TypeError: it is no pandas frame.
    """
    if not isinstance(frame, pd.DataFrame):
        to_pandas_first = "; give its .to_pandas()" if hasattr(frame, "to_pandas") else ""
        raise TypeError(f"check_frame takes a pandas DataFrame, not a {type(frame).__name__}{to_pandas_first}")
    loaded = contract if isinstance(contract, Contract) else load_contract(contract, options=options or {})
    limits, sink = limits or Limits(), _Frames()
    reader = _FrameReader(frame, limits)
    verdict = judge(reader, loaded, policy or Policy(), limits, sink)
    match = loaded.match(reader.header())
    columns = [column for column in match.columns if column.name not in match.absent]
    return CheckedFrame(
        good=_good(sink, columns, frame.index),
        rejected=frame.iloc[np.concatenate([*sink.rejected, np.empty(0, np.int64)])],
        verdict=verdict,
    )


def _good(sink: _Frames, columns: Collection[Column], index: pd.Index[Any]) -> pd.DataFrame:
    """Return the good rows in exactly the dtypes that the contract declares, under the frame's own index."""
    typed = pa.concat_tables(sink.good) if sink.good else None
    own = index[np.concatenate([*sink.accepted, np.empty(0, np.int64)])]
    cells = {each.name: pa.array([], each.type.arrow) if typed is None else flat(typed[each.name]) for each in columns}
    series = {each.name: _series(cells[each.name], each).set_axis(own) for each in columns}
    return pd.DataFrame(series, index=own)


def _series(values: Array, column: Column) -> pd.Series[Any]:
    if not values.null_count or column.holds_nulls:
        return to_pandas(values, column.type)
    # NumPy's integers and booleans have no missing value; pandas' own of the same width have.
    name = "boolean" if pa.types.is_boolean(values.type) else str(values.type).replace("int", "Int").replace("u", "U")
    return pd.Series(pd.array(values.to_numpy(zero_copy_only=False), dtype=name))


def _arrow(series: pd.Series[Any]) -> Array:
    """Return a frame's column; as text where its cells are not of one kind, as in a file that has no types."""
    if isinstance(series.dtype, pd.PeriodDtype | pd.IntervalDtype):
        return _text(series)  # Arrow would make numbers of them.
    try:
        values = pa.array(series, from_pandas=True)
    except _NOT_OF_ONE_KIND:
        return _text(series)
    return flat(values)


def _text(series: pd.Series[Any]) -> Array:
    missing = series.isna()
    return pa.array([None if empty else _cell(each) for each, empty in zip(series, missing, strict=True)], pa.string())


def _cell(value: Any) -> str:
    """Write one cell as a typed column's is written."""
    if not isinstance(value, str):
        try:
            return str(to_text(pa.array([value]))[0])
        except _NOT_OF_ONE_KIND:
            value = str(value)
    return str(value).encode(errors="backslashreplace").decode()
