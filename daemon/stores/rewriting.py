"""Data files read, and made of data files: without the rows of some drops, or many small ones as one.

Knows files and their rows, not transactions. Everything is streamed, whatever the files' size.
"""

from __future__ import annotations

import bisect
from collections.abc import Collection, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import date
from itertools import groupby
from pathlib import Path
from urllib.parse import unquote

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from daemon.errors import StoreError
from daemon.model import DataFile
from daemon.places import Place
from daemon.staging.datafile import DATE, ROW_GROUP_ROWS, Part, day_of, encoding_of
from daemon.stores.columns import widened

#: A row group of merged rows is written at the latest with so many bytes.
ROW_GROUP_BYTES = 64 * 1024**2
#: A file of more than this part of the target size is large enough to be left alone.
SMALL_PART = 0.5


@dataclass(frozen=True, kw_only=True, slots=True)
class Live:
    """A data file that is part of the table now."""

    path: str
    #: Bytes.
    size: int
    #: The least and the greatest drop id in it; None where the file's writer has not said.
    low: str | None
    high: str | None

    @property
    def day(self) -> str:
        """The ISO day of its rows."""
        return day_of(self.path)

    @property
    def place(self) -> str:
        """Where the file lies below the table; `path` is a URL's, and other writers may have escaped something."""
        return unquote(self.path)


@dataclass(frozen=True, kw_only=True, slots=True)
class Holding:
    """A data file and how many of its rows are of the drops in question."""

    file: Live
    found: int
    rows: int


def holding(place: Place, files: Sequence[Live], drops: Collection[str]) -> list[Holding]:
    """Find the files with rows of these drops: by their statistics, then by reading their `_drop` column alone."""
    ids = sorted(drops)
    found = []
    for file in files:
        if _may_hold(file, ids):
            held = _held(file, place, ids)
            if held.found:
                found.append(held)
    return found


def _held(file: Live, place: Place, ids: Sequence[str]) -> Holding:
    # Not through pyarrow.dataset: it imports pandas, which the daemon's own process does without.
    theirs, found = pa.array(ids, pa.string()), 0
    with place.near([file.place]) as (path,), pq.ParquetFile(path) as opened:
        for group in range(opened.num_row_groups):
            column = opened.read_row_group(group, columns=["_drop"])["_drop"]
            found += pc.sum(pc.is_in(column, value_set=theirs)).as_py() or 0
        return Holding(file=file, found=found, rows=opened.metadata.num_rows)


def _may_hold(file: Live, ids: Sequence[str]) -> bool:
    if file.low is None or file.high is None:
        return True
    first = bisect.bisect_left(ids, file.low)
    return first < len(ids) and ids[first] <= file.high


def without(place: Place, held: Holding, drops: Collection[str], path: str) -> DataFile:
    """Write the file's other rows to the file `path` of the place, which survives a power cut then.

    Raises:
        StoreError: the disk is full, or the rows do not add up.
    """
    ids = pa.array(sorted(drops), pa.string())
    kept = (table.filter(pc.invert(pc.is_in(table["_drop"], ids))) for table in _tables(place, held.file))
    return _written(place, path, kept, held.rows - held.found)


def merged(place: Place, files: Sequence[Live], schema: pa.Schema, path: str) -> DataFile:
    """Write the rows of all files, in their order, to the file `path`; columns that a file has not got are null.

    Raises:
        StoreError: the disk is full, or the rows do not add up.
    """
    with place.near([file.place for file in files]) as paths:
        rows = sum(pq.read_metadata(path).num_rows for path in paths)
        tables = (widened(table, schema) for path in paths for table in _read(path))
        return _written(place, path, tables, rows)


def rows_of(place: Place, files: Sequence[Live], schema: pa.Schema) -> pa.Table:
    """Return the rows of all files, with the columns of the table; null where a file has not got one.

    Not as deltalake reads them: one process in sixty, on a busy machine, is aborted at its end then, by threads of
    Arrow's that still run (delta-rs #2184).
    """
    with place.near([file.place for file in files]) as paths:
        rows = [
            widened(_dated(table, file), schema)
            for file, path in zip(files, paths, strict=True)
            for table in _read(path)
        ]
    return pa.concat_tables(rows) if rows else schema.empty_table()


def _dated(table: pa.Table, file: Live) -> pa.Table:
    day = pa.scalar(date.fromisoformat(file.day), pa.date32())
    return table.append_column(DATE, pa.repeat(day, table.num_rows))


def _tables(place: Place, file: Live) -> Iterator[pa.Table]:
    with place.near([file.place]) as (path,):
        yield from _read(path)


def _read(path: Path) -> Iterator[pa.Table]:
    with pq.ParquetFile(path) as file:
        for batch in file.iter_batches(batch_size=ROW_GROUP_ROWS):
            yield pa.Table.from_batches([batch])


def _written(place: Place, path: str, tables: Iterator[pa.Table], rows: int) -> DataFile:
    part: Part | None = None
    with ExitStack() as undo:
        for table in _row_groups(tables):
            if part is None:
                part = Part(place, path, table.schema, encoding_of(table))
                undo.callback(part.remove)
            part.write(table)
        file = _counted(place.describe(path), part.close() if part else None, rows)
        place.flush([path])
        undo.pop_all()
    return file


def _counted(path: str, file: DataFile | None, rows: int) -> DataFile:
    if file is None or file.rows != rows:
        written = file.rows if file else 0
        raise StoreError(f"{path}: {written} rows were written, expected {rows}; the table is left as it was")
    return file


def _row_groups(tables: Iterator[pa.Table]) -> Iterator[pa.Table]:
    """Gather small tables until they make a row group worth writing."""
    held: list[pa.Table] = []
    rows = size = 0
    for table in tables:
        held.append(table)
        rows, size = rows + table.num_rows, size + table.nbytes
        if rows >= ROW_GROUP_ROWS or size >= ROW_GROUP_BYTES:
            yield pa.concat_tables(held)
            held, rows, size = [], 0, 0
    if rows:
        yield pa.concat_tables(held)


def groups(files: Sequence[Live], target_bytes: int, min_files: int) -> list[list[Live]]:
    """Return which files to merge with each other: small ones of a day, about `target_bytes` in each group."""
    small = sorted((file for file in files if file.size <= target_bytes * SMALL_PART), key=lambda file: file.day)
    chosen = []
    for _, day in groupby(small, key=lambda file: file.day):
        worth = _worth_merging(list(day), min_files)
        chosen += [group for group in _packed(worth, target_bytes) if len(group) > 1]
    return chosen


def _worth_merging(files: list[Live], min_files: int) -> list[Live]:
    """Leave out the files that are larger than all smaller ones together.

    Else a file that has grown to half the target would be written anew for every few tiny ones; this way a row is
    rewritten about as often as its file can double.
    """
    ranked = sorted(files, key=lambda file: file.size)
    total = sum(file.size for file in ranked)
    while len(ranked) >= max(2, min_files):
        if ranked[-1].size <= total - ranked[-1].size:
            largest = ranked[-1].size
            return [file for file in files if file.size <= largest]
        total -= ranked.pop().size
    return []


def _packed(files: list[Live], target_bytes: int) -> Iterator[list[Live]]:
    group: list[Live] = []
    size = 0
    for file in files:
        group.append(file)
        size += file.size
        if size >= target_bytes:
            yield group
            group, size = [], 0
    yield group
