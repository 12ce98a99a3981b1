"""Tables in this process's memory, for tests and for trying things out. Workers stage real files all the same."""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import date as day_type
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from daemon.errors import StoreError
from daemon.model import Batch, DataFile, Held
from daemon.places import Place
from daemon.places.folder import FolderPlace
from daemon.staging import staged
from daemon.staging.datafile import DATE, writing
from daemon.stores.columns import added, arranged, widened
from daemon.stores.contents import held_of
from daemon.stores.expiring import strays
from daemon.stores.rewriting import Live, groups


@dataclass(frozen=True)
class _Held:
    """The rows of one data file."""

    path: str
    day: str
    size: int
    rows: pa.Table


@dataclass(frozen=True)
class _State:
    """One version of a table. A commit makes a new one, so that readers see all of it or nothing."""

    number: int
    schema: pa.Schema
    files: tuple[_Held, ...] = ()
    #: The paths of all files that have ever been part of it.
    known: frozenset[str] = frozenset()


class MemoryStore:
    """The Store in memory. Files are staged below a folder, and read when they are committed."""

    def __init__(self, url: str) -> None:
        """Let workers stage below the folder `url`."""
        self._folder = Path(url).absolute()
        self._tables: dict[str, _State] = {}
        self._lock = threading.Lock()

    def place(self, feed: str) -> Place:
        """Return the folder below which workers stage the feed's data files."""
        return FolderPlace(self._folder / feed)

    def tables(self) -> tuple[str, ...]:
        """Return the names of all tables."""
        return tuple(self._tables)

    def prepare(self) -> None:
        """Do nothing."""

    def stop(self) -> None:
        """Do nothing: memory lets nobody wait."""

    def describe(self, feed: str) -> str:
        """Say where the feed's table is, for people."""
        return f"{feed} (in memory)"

    def exists(self, feed: str) -> bool:
        """Tell whether the feed has a table already."""
        return feed in self._tables

    def last_batch(self, feed: str) -> int:
        """Return the number of the newest batch that the table holds; 0 for none."""
        return self._tables[feed].number if feed in self._tables else 0

    def columns(self, feed: str) -> pa.Schema:
        """Return the columns of the feed's table; none without a table."""
        return self._tables[feed].schema if feed in self._tables else pa.schema([])

    def holds(self, batch: Batch) -> bool:
        """Tell whether the table holds the batch, or a later one."""
        return self.last_batch(batch.feed) >= batch.number

    def commit(self, batch: Batch, schema: pa.Schema) -> None:
        """Make the batch part of the table."""
        columns = arranged(schema)
        with self._lock:
            state = self._tables.get(batch.feed, _State(0, columns))
            if state.number >= batch.number:
                return
            wider = pa.schema([*state.schema, *added(state.schema, columns)])
            kept = [_without(held, batch.replaces) for held in state.files] if batch.replaces else state.files
            new = [self._read(batch.feed, file) for file in batch.files]
            files = tuple(held for held in (*kept, *new) if held.rows.num_rows)
            known = state.known.union(file.path for file in batch.files)
            self._tables[batch.feed] = _State(batch.number, wider, files, known)

    def discard(self, feed: str, files: Iterable[DataFile]) -> None:
        """Delete staged files of a batch that will not be committed; one that has been part of the table stays."""
        self._remove(feed, (file.path for file in files))

    def abandon(self, batch: Batch) -> None:
        """Delete what was staged for a batch that the table does not hold."""
        self.discard(batch.feed, batch.files)

    def sweep(self, feed: str, units: Collection[str]) -> int:
        """Delete what killed workers have staged under these names; return how many files."""
        return self._remove(feed, staged(self.place(feed), units))

    def clear(self, feed: str) -> None:
        """Do nothing: commits and compactions leave no files behind."""

    def compact(self, feed: str, *, target_bytes: int, min_files: int) -> int:
        """Merge days' small files into large ones; return how many files were merged into others."""
        with self._lock:
            state = self._tables.get(feed)
            if state is None:
                return 0
            live = [Live(path=held.path, size=held.size, low=None, high=None) for held in state.files]
            chosen = [{file.path for file in group} for group in groups(live, target_bytes, min_files)]
            files = state.files
            for paths in chosen:
                files = _merged(files, paths)
            self._tables[feed] = replace(state, files=files)
            return sum(map(len, chosen))

    def drops(self, feed: str) -> tuple[Held, ...]:
        """Return what the table holds of each drop."""
        state = self._tables.get(feed)
        return held_of((held.day, held.rows) for held in state.files) if state else ()

    def expire(self, feed: str, *, keep_hours: int, stray_seconds: float, spared: Collection[str] = ()) -> int:
        """Delete staged files that were forgotten; older versions, and so `keep_hours`, mean nothing here."""
        del keep_hours
        paths = strays(self.place(feed), stray_seconds)
        return self._remove(feed, (path for path in paths if path not in spared))

    def days(self, feed: str, customer: str) -> Mapping[str, tuple[str, ...]]:
        """Write the days' rows into files, and return those."""
        days: dict[str, tuple[str, ...]] = {}
        for number, held in enumerate(self._tables[feed].files if feed in self._tables else ()):
            if customer in held.rows["customer"].to_pylist():
                path = f"{DATE}={held.day}/read-{number}.parquet"
                pq.write_table(held.rows, self.place(feed).draft(path))
                days[held.day] = (*days.get(held.day, ()), path)
        return days

    def read(self, feed: str, *, date: str | None = None) -> pa.Table:
        """Read a day (or all) of the table, for tests and small tools."""
        state = self._tables.get(feed)
        if state is None:
            raise StoreError(f"feed {feed!r} has no table yet")
        chosen = [held for held in state.files if date is None or held.day == date]
        return pa.concat_tables([state.schema.empty_table(), *(_as_in_table(held, state.schema) for held in chosen)])

    def _remove(self, feed: str, paths: Iterable[str]) -> int:
        known = self._tables[feed].known if feed in self._tables else frozenset()
        with writing(self.place(feed).describe()):
            return self.place(feed).remove([path for path in paths if path not in known])

    def _read(self, feed: str, file: DataFile) -> _Held:
        path = self._folder / feed / file.path
        try:
            with pq.ParquetFile(path) as opened:
                rows = opened.read()
        except (OSError, pa.ArrowException) as error:
            raise StoreError(f"{path}: this staged file cannot be read: {error}") from error
        return _Held(file.path, file.date, file.size, rows)


def _without(held: _Held, drops: Collection[str]) -> _Held:
    theirs = pc.is_in(held.rows["_drop"], pa.array(sorted(drops), pa.string()))
    return replace(held, rows=held.rows.filter(pc.invert(theirs)))


def _merged(files: tuple[_Held, ...], paths: Collection[str]) -> tuple[_Held, ...]:
    """Put one entry in place of those with these paths, which are of one day."""
    chosen = [held for held in files if held.path in paths]
    rows = pa.concat_tables([held.rows for held in chosen], promote_options="default")
    one = replace(chosen[0], size=sum(held.size for held in chosen), rows=rows)
    return (*(held for held in files if held.path not in paths), one)


def _as_in_table(held: _Held, schema: pa.Schema) -> pa.Table:
    """Return the rows with all columns of the table: the day from the path, null where the file has none."""
    days = pa.repeat(pa.scalar(day_type.fromisoformat(held.day)), held.rows.num_rows)
    return widened(held.rows.append_column(DATE, days), schema)
