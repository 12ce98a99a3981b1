"""Staging: a unit's good rows as Parquet files by day below the table's root, before any of them is part of the table.

Used in worker processes. Memory is bounded whatever the size of the unit and however its days are mixed.
"""

from __future__ import annotations

import datetime as dt
import re
from collections import deque
from collections.abc import Collection, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

import numpy as np
import pyarrow as pa

from daemon.days.bounds import iso_day
from daemon.errors import StoreError
from daemon.model import DataFile
from daemon.places import Place
from daemon.staging.datafile import DATE, ROW_GROUP_ROWS, plain_schema, repeating
from daemon.staging.dayfiles import DayFiles, Key
from validators.model import Mask, Numbers
from validators.texts import flat

#: Bytes of rows that wait for their row group to fill, all days together.
BUFFER_BYTES = 64 * 1024**2
#: Files open at once, each with an encoder of some megabytes. A unit of more mixed days gets several files for a day.
OPEN_FILES = 64
#: Batches handed to the writing thread and not yet dealt with: one at work and one waiting keep both threads busy.
BATCHES_AHEAD = 2

_NUMBERS = re.compile(r"\d+(-\d+)*\.parquet")
_SAFE_NAME = re.compile(r"[A-Za-z0-9._-]+")
#: Days of a batch lie within so many days nearly always; then they sort by radix.
_RADIX_DAYS = 2**16


@dataclass
class _Buffer:
    """Rows of one key that wait for their row group to fill."""

    tables: list[pa.Table] = field(default_factory=list)
    rows: int = 0
    bytes: int = 0


class Stage:
    """Takes a unit's rows batch by batch and turns them into data files, one for each day if memory allows.

    Sorting, encoding and writing run on a thread of their own. Either `finish` or `abort` ends it; leaving a `with`
    block by an exception aborts.
    """

    def __init__(
        self, place: Place, unit: str, *, buffer_bytes: int = BUFFER_BYTES, open_files: int = OPEN_FILES
    ) -> None:
        """Stage where the table is; nothing is created before there are rows.

        `unit` names the files (`part-<unit>-00.parquet`). It may never come again once a file of it is committed:
        files of that name are replaced.
        """
        if not _SAFE_NAME.fullmatch(unit):
            raise ValueError(f"unit {unit!r} names files: letters, digits, '.', '_' and '-' only")
        self._files = DayFiles(place, unit, open_files)
        self._days = _Days(self._files, buffer_bytes)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="staging")
        self._ahead: deque[Future[None]] = deque()
        self._schemas: dict[pa.Schema, None] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None:
            self.abort()

    @property
    def schema(self) -> pa.Schema | None:
        """The columns of all rows so far, as the table has them; None before the first.

        Raises:
            StoreError: batches have a column under one name with several types.
        """
        try:
            return pa.unify_schemas([plain_schema(schema) for schema in self._schemas]) if self._schemas else None
        except pa.ArrowException as error:
            raise StoreError(f"batches of one unit differ in a column's type: {error}") from error

    def add(
        self, table: pa.Table, days: pa.Array[Any], keep: Mask | None = None, *, absent: Collection[str] = ()
    ) -> None:
        """Take rows with every column of the table but `date`, and the day (date32) of each.

        A contract's own column `date` is left out where it is the row's day; any other one is an error.

        Args:
            table: the rows.
            days: their days; none of a row that is kept may be null.
            keep: which rows to take; None for all. One copy leaves the others out and puts days together.
            absent: columns that these rows do not have. The table has them, and the files do not.

        Raises:
            StoreError: an earlier batch could not be written.
        """
        rows = None if keep is None else np.flatnonzero(keep)
        if not (table.num_rows if rows is None else rows.size):
            return
        table = _without_date(table, days)
        self._schemas.setdefault(table.schema)
        table = table.drop_columns([name for name in table.column_names if name in absent])
        numbers = _numbers(days, table.num_rows, rows)
        self._wait(BATCHES_AHEAD - 1)
        self._ahead.append(self._thread.submit(self._days.add, table, numbers, rows))

    def finish(self) -> tuple[DataFile, ...]:
        """Write what is left, have every file kept, and describe the files, by path.

        Raises:
            StoreError: the disk is full, or fails; `abort` then removes what there is.
        """
        self._wait(0)
        finished = self._thread.submit(self._days.finish).result()
        self._thread.shutdown()
        return finished

    def abort(self) -> None:
        """Remove every file of the unit; also after `finish`, as long as none of them is committed.

        Raises:
            StoreError: a file is there and cannot be removed.
        """
        self._thread.shutdown(cancel_futures=True)
        self._days.clear()
        self._files.remove()

    def _wait(self, ahead: int) -> None:
        while len(self._ahead) > ahead:
            self._ahead.popleft().result()


class _Days:
    """Rows that wait, by day, for their row groups to fill. Belongs to the writing thread until that has ended."""

    def __init__(self, files: DayFiles, buffer_bytes: int) -> None:
        self._files = files
        self._buffers: dict[Key, _Buffer] = {}
        self._bytes = 0
        self._buffer_bytes = buffer_bytes
        #: The columns of each schema that are held as codes.
        self._codes: dict[pa.Schema, tuple[str, ...]] = {}

    def add(self, table: pa.Table, numbers: Numbers, rows: Numbers | None) -> None:
        """Put these rows of a table, None for all, to their days, and write row groups that are full."""
        for number, part in _by_day(self._coded(table), numbers, rows):
            self._keep(Key(iso_day(number), part.schema), part)
        # One at a time, so that days that grow alike take turns.
        largest = max(self._buffers, key=lambda key: self._buffers[key].rows)
        if self._buffers[largest].rows >= ROW_GROUP_ROWS:
            self._flush(largest)
        while self._bytes > self._buffer_bytes:
            self._flush(max(self._buffers, key=lambda key: self._buffers[key].bytes))

    def finish(self) -> tuple[DataFile, ...]:
        """Write what is left and finish every file."""
        left = {key: self._buffers[key].tables for key in sorted(self._buffers, key=lambda key: key.day)}
        self._buffers.clear()
        return self._files.finish(left)

    def clear(self) -> None:
        """Forget the rows that wait."""
        self._buffers.clear()

    def _coded(self, table: pa.Table) -> pa.Table:
        """Hold in each batch the same columns as codes: those that come again and again in the first one."""
        plain = plain_schema(table.schema)
        if plain not in self._codes:
            self._codes[plain] = repeating(table)
        for index, (name, column) in enumerate(zip(plain.names, table.columns, strict=True)):
            is_coded, wanted = pa.types.is_dictionary(column.type), name in self._codes[plain]
            if wanted != is_coded:
                held = column.dictionary_encode() if wanted else flat(column)
                table = table.set_column(index, table.schema.field(index).with_type(held.type), held)
        return table

    def _keep(self, key: Key, table: pa.Table) -> None:
        buffer = self._buffers.setdefault(key, _Buffer())
        buffer.tables.append(table)
        buffer.rows += table.num_rows
        buffer.bytes += table.nbytes
        self._bytes += table.nbytes

    def _flush(self, key: Key) -> None:
        buffer = self._buffers.pop(key)
        self._bytes -= buffer.bytes
        self._files.write(key, buffer.tables)


def staged(place: Place, units: Collection[str]) -> list[str]:
    """Find the files that were staged under these names, or under such a name with numbers of its own: `u`, `u-1`."""
    names = tuple(f"part-{unit}-" for unit in units)
    found = ((file.path, file.path.rpartition("/")[2]) for file in place.list(f"{DATE}="))
    return [
        path
        for path, file in found
        for name in names
        if file.startswith(name) and _NUMBERS.fullmatch(file.removeprefix(name))
    ]


def _numbers(days: pa.Array[Any], count: int, rows: Numbers | None) -> Numbers:
    """Return the days of these rows as numbers since 1970; a missing day is the caller's mistake."""
    if len(days) != count:
        raise ValueError(f"{count} rows need as many days, and got {len(days)}")
    if days.null_count:
        missing = days.is_null().to_numpy(zero_copy_only=False)
        if (missing if rows is None else missing[rows]).any():
            raise ValueError(f"{count} rows need as many days, and {days.null_count} have none")
        days = days.fill_null(dt.date(1970, 1, 1))
    numbers: Numbers = days.cast(pa.int32()).to_numpy(zero_copy_only=False)
    return numbers if rows is None else numbers[rows]


def _without_date(table: pa.Table, days: pa.Array[Any]) -> pa.Table:
    table = table.replace_schema_metadata(None)
    if DATE not in table.column_names:
        return table
    # Nothing may be lost quietly: the column is in the file's path now, so it has to be the row's day.
    if not table.column(DATE).equals(pa.chunked_array([days])):
        raise StoreError(
            f"the contract's column {DATE!r} is not the row's day, and a table's column of that name is. "
            "Make it the time column, or give it another name in the contract."
        )
    return table.drop_columns([DATE])


def _by_day(table: pa.Table, numbers: Numbers, rows: Numbers | None) -> Iterator[tuple[int, pa.Table]]:
    """Yield each day of at least one of these rows with its rows in their order."""
    low, high = int(numbers.min()), int(numbers.max())
    if low == high:
        yield low, table if rows is None else _taken(table, pa.array(rows))
        return
    is_near = high - low < _RADIX_DAYS
    days, places = (range(low, high + 1), numbers - low) if is_near else np.unique(numbers, return_inverse=True)
    order = np.argsort(places.astype(np.uint16) if is_near else places, kind="stable")
    # Half as wide as NumPy's own positions: they are read once for each column.
    positions = (order if rows is None else rows[order]).astype(np.uint32)
    ordered = _taken(table, pa.array(positions))
    counts = np.bincount(places)
    for place, stop in zip(np.flatnonzero(counts).tolist(), np.cumsum(counts)[counts > 0].tolist(), strict=True):
        yield int(days[place]), ordered.slice(stop - int(counts[place]), int(counts[place]))


def _taken(table: pa.Table, rows: pa.Array[Any]) -> pa.Table:
    """Return these rows, in this order. Of a column whose values are all the same only their number counts."""
    columns = [column.slice(0, len(rows)) if _is_alike(column) else column.take(rows) for column in table.columns]
    return pa.Table.from_arrays(columns, schema=table.schema)


def _is_alike(column: pa.ChunkedArray[Any]) -> bool:
    if column.null_count:
        return bool(column.null_count == len(column))
    is_coded = pa.types.is_dictionary(column.type) and column.num_chunks == 1
    return is_coded and len(column.chunk(0).dictionary) == 1
