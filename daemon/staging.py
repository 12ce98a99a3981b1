"""Staging: a unit's good rows as Parquet files by day below the table's root, before any of them is part of the table.

Used in worker processes. Memory is bounded whatever the size of the unit and however its days are mixed.
"""

from __future__ import annotations

import re
from collections import OrderedDict, deque
from collections.abc import Collection, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import date, timedelta
from itertools import pairwise
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import pyarrow as pa

from daemon.datafile import (
    DATE,
    ROW_GROUP_ROWS,
    Encoding,
    Part,
    encoding_of,
    path_of,
    plain_schema,
    repeating_texts,
    writing,
)
from daemon.durable import sync
from daemon.errors import StoreError
from daemon.model import DataFile
from validators.model import Mask, Numbers

#: Bytes of rows that wait for their row group to fill, all days together.
BUFFER_BYTES = 64 * 1024**2
#: Files open at once, each with an encoder of some megabytes. A unit of more mixed days gets several files for a day.
OPEN_FILES = 64
#: Row groups handed to the writing thread and not yet written: one being written and one waiting keep both busy.
ROW_GROUPS_AHEAD = 2

_NUMBERS = re.compile(r"\d+(-\d+)*\.parquet")
_SAFE_NAME = re.compile(r"[A-Za-z0-9._-]+")
_EPOCH = date(1970, 1, 1)
#: Days of a batch lie within so many days nearly always; then they sort by radix.
_RADIX_DAYS = 2**16


@dataclass(frozen=True)
class _Key:
    """What may share a file: rows of one day with the same columns."""

    day: str
    schema: pa.Schema


@dataclass
class _Buffer:
    """Rows of one key that wait for their row group to fill."""

    tables: list[pa.Table] = field(default_factory=list)
    rows: int = 0
    bytes: int = 0


class Stage:
    """Takes a unit's rows batch by batch and turns them into data files, one for each day if memory allows.

    Encoding and writing run on a thread of their own. Either `finish` or `abort` ends it; leaving a `with` block by an
    exception aborts.
    """

    def __init__(
        self, root: Path, unit: str, *, buffer_bytes: int = BUFFER_BYTES, open_files: int = OPEN_FILES
    ) -> None:
        """Stage below the table's folder `root`; nothing is created before there are rows.

        `unit` names the files (`part-<unit>-00.parquet`). It may never come again once a file of it is committed:
        files of that name are replaced.
        """
        if not _SAFE_NAME.fullmatch(unit):
            raise ValueError(f"unit {unit!r} names files: letters, digits, '.', '_' and '-' only")
        self._files = _Files(root, unit, open_files)
        self._buffers: dict[_Key, _Buffer] = {}
        self._bytes = 0
        self._buffer_bytes = buffer_bytes
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="staging")
        self._ahead: deque[Future[None]] = deque()
        self._schemas: dict[pa.Schema, None] = {}
        #: The columns of each schema that are held as codes.
        self._codes: dict[pa.Schema, tuple[str, ...]] = {}

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

    def add(self, table: pa.Table, days: pa.Array[Any], keep: Mask | None = None) -> None:
        """Take rows with every column of the table but `date`, and the day (date32) of each.

        A contract's own column `date` is left out where it is the row's day; any other one is an error.

        Args:
            table: the rows.
            days: their days; none of a row that is kept may be null.
            keep: which rows to take; None for all. One copy leaves the others out and puts days together.

        Raises:
            StoreError: an earlier row group could not be written.
        """
        rows = np.arange(table.num_rows) if keep is None else np.flatnonzero(keep)
        if not rows.size:
            return
        table = _without_date(table, days)
        self._schemas.setdefault(table.schema)
        for number, part in _by_day(self._coded(table), _numbers(days, table.num_rows, rows), rows):
            self._keep(_Key(_iso(number), part.schema), part)
        # One at a time, so that days that grow alike take turns and the writing thread is never idle.
        largest = max(self._buffers, key=lambda key: self._buffers[key].rows)
        if self._buffers[largest].rows >= ROW_GROUP_ROWS:
            self._flush(largest)
        while self._bytes > self._buffer_bytes:
            self._flush(max(self._buffers, key=lambda key: self._buffers[key].bytes))

    def finish(self) -> tuple[DataFile, ...]:
        """Write what is left, push every file and its folder to the disk, and describe the files, by path.

        Raises:
            StoreError: the disk is full, or fails; `abort` then removes what there is.
        """
        for key in sorted(self._buffers, key=lambda key: key.day):
            self._flush(key, last=True)
        self._wait(0)
        finished = self._thread.submit(self._files.finish).result()
        self._thread.shutdown()
        return finished

    def abort(self) -> None:
        """Remove every file of the unit; also after `finish`, as long as none of them is committed.

        Raises:
            StoreError: a file is there and cannot be removed.
        """
        self._thread.shutdown(cancel_futures=True)
        self._buffers.clear()
        self._files.remove()

    def _coded(self, table: pa.Table) -> pa.Table:
        """Hold texts that come again and again as codes: these are moved and written in a quarter of the time."""
        if table.schema not in self._codes:
            self._codes[table.schema] = repeating_texts(table)
        for name in self._codes[table.schema]:
            coded = table.column(name).dictionary_encode()
            table = table.set_column(table.column_names.index(name), name, coded)
        return table

    def _keep(self, key: _Key, table: pa.Table) -> None:
        buffer = self._buffers.setdefault(key, _Buffer())
        buffer.tables.append(table)
        buffer.rows += table.num_rows
        buffer.bytes += table.nbytes
        self._bytes += table.nbytes

    def _flush(self, key: _Key, *, last: bool = False) -> None:
        buffer = self._buffers.pop(key)
        self._bytes -= buffer.bytes
        self._wait(ROW_GROUPS_AHEAD - 1)
        self._ahead.append(self._thread.submit(self._files.write, key, buffer.tables, last))

    def _wait(self, ahead: int) -> None:
        while len(self._ahead) > ahead:
            self._ahead.popleft().result()


def staged(root: Path, units: Collection[str]) -> list[Path]:
    """Find the files that were staged under these names, or under such a name with numbers of its own: `u`, `u-1`."""
    return [
        path
        for unit in units
        for path in root.glob(f"{DATE}=*/part-{unit}-*.parquet")
        if _NUMBERS.fullmatch(path.name.removeprefix(f"part-{unit}-"))
    ]


class _Files:
    """The unit's files. Belongs to the writing thread until that has ended."""

    def __init__(self, root: Path, unit: str, open_files: int) -> None:
        self._root = root
        self._unit = unit
        self._open_files = open_files
        #: Least used first.
        self._open: OrderedDict[_Key, Part] = OrderedDict()
        self._done: list[DataFile] = []
        self._encodings: dict[pa.Schema, Encoding] = {}
        #: The paths of each day, also those of files that could not be created.
        self._paths: dict[str, list[str]] = {}

    def write(self, key: _Key, tables: list[pa.Table], last: bool) -> None:
        """Write one row group, or a few; after the last one of a key its file is finished."""
        # Codes of one dictionary are written as they are; of several, Arrow would write texts again.
        table = pa.concat_tables(tables).unify_dictionaries()
        self._part(key, table).write(table)
        if last:
            self._close(key)

    def finish(self) -> tuple[DataFile, ...]:
        """Finish every file and push their folders to the disk."""
        for key in tuple(self._open):
            self._close(key)
        for folder in self._folders():
            with writing(folder):
                sync(folder)
        return tuple(sorted(self._done, key=lambda file: file.path))

    def remove(self) -> None:
        """Delete every file, finished or not."""
        while self._open:
            self._open.popitem()[1].remove()
        for path in (path for paths in self._paths.values() for path in paths):
            with writing(self._root / path):
                (self._root / path).unlink(missing_ok=True)
        self._paths.clear()

    def _part(self, key: _Key, table: pa.Table) -> Part:
        if key in self._open:
            self._open.move_to_end(key)
            return self._open[key]
        if len(self._open) >= self._open_files:
            self._close(next(iter(self._open)))
        if key.schema not in self._encodings:
            self._encodings[key.schema] = encoding_of(table)
        part = Part(self._root, self._new_path(key.day), key.schema, self._encodings[key.schema])
        self._open[key] = part
        return part

    def _new_path(self, day: str) -> str:
        paths = self._paths.setdefault(day, [])
        paths.append(path_of(day, f"part-{self._unit}-{len(paths):02d}"))
        return paths[-1]

    def _close(self, key: _Key) -> None:
        self._done.append(self._open[key].close())
        del self._open[key]

    def _folders(self) -> list[Path]:
        """Return the folders with new entries: of the days, and the table's own, which may be new itself."""
        days = [(self._root / paths[0]).parent for paths in self._paths.values()]
        return [*days, self._root, self._root.parent] if days else []


def _numbers(days: pa.Array[Any], count: int, rows: Numbers) -> Numbers:
    """Return the days of these rows as numbers since 1970; a missing day is the caller's mistake."""
    if len(days) != count:
        raise ValueError(f"{count} rows need as many days, and got {len(days)}")
    if days.null_count and days.is_null().to_numpy(zero_copy_only=False)[rows].any():
        raise ValueError(f"{count} rows need as many days, and {days.null_count} have none")
    numbers: Numbers = days.cast(pa.int32()).fill_null(0).to_numpy(zero_copy_only=False)
    return numbers[rows].astype(np.int64)


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


def _by_day(table: pa.Table, numbers: Numbers, rows: Numbers) -> Iterator[tuple[int, pa.Table]]:
    """Yield each day of at least one of these rows with its rows in their order."""
    low, high = int(numbers.min()), int(numbers.max())
    if low == high:
        yield low, table if len(rows) == table.num_rows else _taken(table, pa.array(rows))
        return
    offsets = numbers - low
    order = np.argsort(offsets.astype(np.uint16) if high - low < _RADIX_DAYS else offsets, kind="stable")
    ordered, numbers = _taken(table, pa.array(rows[order])), numbers[order]
    starts = [0, *(np.flatnonzero(np.diff(numbers)) + 1).tolist(), len(numbers)]
    for start, stop in pairwise(starts):
        yield int(numbers[start]), ordered.slice(start, stop - start)


def _taken(table: pa.Table, rows: pa.Array[Any]) -> pa.Table:
    """Return these rows, in this order. Of a column without any value it is only their number that counts."""
    columns = [
        column.slice(0, len(rows)) if column.null_count == len(column) else column.take(rows)
        for column in table.columns
    ]
    return pa.Table.from_arrays(columns, schema=table.schema)


def _iso(number: int) -> str:
    try:
        return (_EPOCH + timedelta(days=number)).isoformat()
    except OverflowError:
        raise StoreError(f"day {number} since 1970 lies outside the years 1 to 9999, which a table can hold") from None
