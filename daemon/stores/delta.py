"""Delta tables in a folder or a container: one for each feed, readable by others while we write."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from urllib.parse import unquote

import pyarrow as pa

from daemon.errors import StoreError
from daemon.model import Batch, DataFile, Held
from daemon.places import Place
from daemon.staging import staged
from daemon.staging.datafile import DATE, path_of, writing
from daemon.stores.columns import added, arranged
from daemon.stores.compacting import clear, compact, has_begun
from daemon.stores.contents import held_in
from daemon.stores.expiring import expire
from daemon.stores.rewriting import Holding, holding, without
from daemon.stores.transactions import Change, Mark, Table, clear_log, create, explained, has_log, sync_whole_log

#: How often a batch is tried again because another change came first. Each time somebody else got on, so this is only
#: reached when something is wrong.
TRIES = 100


class DeltaStore:
    """The Store over deltalake. One process commits batches under one `app`; its threads may share the store.

    Nothing is opened before it is needed: a process that is forked after that cannot use deltalake any more.
    """

    def __init__(self, place: Place, *, app: str) -> None:
        """Keep tables in folders of the place, and number batches under the name `app`."""
        self._place = place
        self._app = app
        self._tables: dict[str, Table] = {}
        self._lock = threading.RLock()
        #: Whether it was told to stop; and whether the tables could not be reached since, so that they are left alone.
        self._is_stopped = self._is_gone = False

    def __reduce__(self) -> tuple[Callable[..., DeltaStore], tuple[Place, str]]:
        """Travel to another process as what it was made of; open tables and locks stay behind."""
        return _made_again, (self._place, self._app)

    def place(self, feed: str) -> Place:
        """Return where workers stage the feed's data files."""
        if feed in ("", ".", "..") or "/" in feed:
            raise StoreError(f"feed {feed!r} cannot name a folder: give it a name without '/'")
        place = self._place.below(feed)
        # deltalake would take `%20` for a blank, and a backslash for a slash.
        if unquote(place.url) != place.url or "\\" in place.url or not place.url.isprintable():
            raise StoreError(f"{place.url!r} cannot hold a table: no `%41`, backslash or control character in its path")
        return place

    def describe(self, feed: str) -> str:
        """Say where the feed's table is, as deltalake and other readers take it."""
        return self.place(feed).url

    def tables(self) -> tuple[str, ...]:
        """Return the names of all tables."""
        with explained(self._place):
            return tuple(name for name in self._place.folders() if has_log(self._place.below(name)))

    def prepare(self) -> None:
        """Make the place of the tables ready."""
        with explained(self._place):
            self._place.prepare()

    def stop(self) -> None:
        """Try nothing again: once something has failed, fail at once."""
        self._is_stopped = True
        self._place.stop()

    def exists(self, feed: str) -> bool:
        """Tell whether the feed has a table already."""
        with self._using(feed):
            return has_log(self.place(feed))

    def last_batch(self, feed: str) -> int:
        """Return the number of the newest batch that the table holds; 0 for none."""
        with self._using(feed):
            table = self._table(feed)
            return table.batch(self._app) if table else 0

    def columns(self, feed: str) -> pa.Schema:
        """Return the columns of the feed's table; none without a table."""
        with self._using(feed):
            table = self._table(feed)
            return table.schema if table else pa.schema([])

    def holds(self, batch: Batch) -> bool:
        """Tell whether the table holds the batch, or a later one, for good."""
        if self.last_batch(batch.feed) < batch.number:
            return False
        # Whoever committed it may have been killed before it pushed the log's entry to the disk.
        with self._using(batch.feed):
            sync_whole_log(self.place(batch.feed))
        return True

    def commit(self, batch: Batch, schema: pa.Schema) -> None:
        """Make the batch part of the table, in one transaction."""
        columns = arranged(schema)
        rewritten: dict[str, DataFile] = {}
        with self._using(batch.feed):
            try:
                if not any(self._try(batch, columns, rewritten) for _ in range(TRIES)):
                    raise StoreError(f"{self.describe(batch.feed)}: others changed the table {TRIES} times in a row")
            finally:
                if rewritten:
                    self._remove(batch.feed, (file.path for file in rewritten.values()))

    def discard(self, feed: str, files: Iterable[DataFile]) -> None:
        """Delete staged files of a batch that will not be committed; one that has been part of the table stays."""
        with self._using(feed):
            self._remove(feed, (file.path for file in files))

    def abandon(self, batch: Batch) -> None:
        """Delete a batch's staged files, and the files that it wrote again without the rows that it replaces."""
        self.discard(batch.feed, batch.files)
        if batch.replaces:
            with self._using(batch.feed):
                paths = (file.path for file in self.place(batch.feed).list(f"{DATE}="))
                begun = f"{_rewritten(batch)}-"
                self._remove(batch.feed, (path for path in paths if path.rpartition("/")[2].startswith(begun)))

    def sweep(self, feed: str, units: Collection[str]) -> int:
        """Delete what killed workers have staged under these names; return how many files."""
        with self._using(feed):
            return self._remove(feed, staged(self.place(feed), units))

    def clear(self, feed: str) -> None:
        """Delete what killed commits and compactions have left in the table's folder and in its log."""
        with self._using(feed):
            place = self.place(feed)
            clear_log(place)
            # A table is opened only where there is something to do: every start asks.
            if has_begun(place) and (table := self._table(feed)):
                clear(table, place)

    def compact(self, feed: str, *, target_bytes: int, min_files: int) -> int:
        """Merge days' small files into large ones; return how many files were merged into others."""
        place = self.place(feed)
        # A handle of its own and no lock: batches are committed meanwhile.
        with explained(place):
            table = Table.open(place)
            return compact(table, place, target_bytes=target_bytes, min_files=min_files) if table else 0

    def drops(self, feed: str) -> tuple[Held, ...]:
        """Return what the table holds of each drop."""
        with self._using(feed):
            table = self._table(feed)
            return held_in(self.place(feed), table.live()) if table else ()

    def expire(self, feed: str, *, keep_hours: int, stray_seconds: float, spared: Collection[str] = ()) -> int:
        """Delete what older versions needed, log entries of those, and staged files that were forgotten."""
        place = self.place(feed)
        # A handle of its own and no lock, as for a compaction.
        with explained(place):
            table = Table.open(place)
            return expire(table, place, keep_hours=keep_hours, stray_seconds=stray_seconds, spared=spared)

    def days(self, feed: str, customer: str) -> Mapping[str, tuple[str, ...]]:
        """Return the days that may have rows of a customer, with the data files that may."""
        days = dict[str, tuple[str, ...]]()
        with self._using(feed):
            table = self._table(feed)
            for file in table.having("customer", customer) if table else ():
                days[file.day] = (*days.get(file.day, ()), file.place)
        return days

    def read(self, feed: str, *, date: str | None = None) -> pa.Table:
        """Read a day (or all) of the table, for tests and small tools."""
        with self._using(feed):
            table = self._table(feed)
            if table is None:
                raise StoreError(f"feed {feed!r} has no table yet at {self.describe(feed)}")
            return table.read(date)

    def _try(self, batch: Batch, columns: pa.Schema, rewritten: dict[str, DataFile]) -> bool:
        """Commit the batch to the table as it is now; False when another change came first."""
        mark = Mark(app=self._app, number=batch.number)
        table = self._table(batch.feed)
        if table is None:
            return create(self.place(batch.feed), columns, batch.files, mark)
        if table.batch(self._app) >= batch.number:
            return True
        new = added(table.schema, columns)
        if new:
            table.widen(new)
            return False
        return table.change(self._change(table, batch, rewritten), mark)

    def _change(self, table: Table, batch: Batch, rewritten: dict[str, DataFile]) -> Change:
        """Work out the transaction. `rewritten` keeps, by source, what an earlier try has written already."""
        if not batch.replaces:
            return Change(added=batch.files)
        held = holding(self.place(batch.feed), table.live(), batch.replaces)
        mixed = [each for each in held if each.found < each.rows]
        for each in mixed:
            if each.file.path not in rewritten:
                rewritten[each.file.path] = self._without(batch, each)
        kept = tuple(rewritten[each.file.path] for each in mixed)
        return Change(added=batch.files + kept, removed=tuple(each.file for each in held))

    def _without(self, batch: Batch, held: Holding) -> DataFile:
        """Write a file's other rows under a name that says all of what is in it, so that redoing overwrites."""
        content = "\n".join((self._app, held.file.path, *sorted(batch.replaces)))
        name = f"{_rewritten(batch)}-{hashlib.sha256(content.encode()).hexdigest()[:16]}"
        return without(self.place(batch.feed), held, batch.replaces, path_of(held.file.day, name))

    def _remove(self, feed: str, paths: Iterable[str]) -> int:
        """Delete the files that are part of no version of the table."""
        wanted, place = list(paths), self.place(feed)
        table = self._table(feed) if wanted else None
        known = table.known() if table else set()
        with writing(place.describe()):
            return place.remove([path for path in wanted if path not in known])

    def _table(self, feed: str) -> Table | None:
        """Return the feed's table as it is now."""
        known = self._tables.get(feed)
        if known is not None and known.still_there():
            known.refresh()
            return known
        table = Table.open(self.place(feed))
        if table is not None:
            self._tables[feed] = table
        return table

    @contextmanager
    def _using(self, feed: str) -> Iterator[None]:
        """Hold the tables for one thread, explain what goes wrong, and open the table anew after that."""
        if self._is_gone:
            raise StoreError(f"{self.describe(feed)} is not looked at any more, as the daemon stops")
        with self._lock, explained(self.place(feed)), ExitStack() as undo:
            undo.callback(self._given_up, feed)
            yield
            undo.pop_all()

    def _given_up(self, feed: str) -> None:
        self._tables.pop(feed, None)
        self._is_gone = self._is_stopped


def _rewritten(batch: Batch) -> str:
    """Return how the names of files begin that a batch writes again."""
    return f"part-{batch.number:010d}"


def _made_again(place: Place, app: str) -> DeltaStore:
    return DeltaStore(place, app=app)
