"""The seam to the tables. One table for each feed, partitioned by `date`; one transaction for each batch.

Methods block until they are done. One process commits; any of its threads may call any method, and `compact` may run
in a thread or process of its own at any time. What is said of a file's path is below the feed's `place`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Protocol

import pyarrow as pa

from daemon.model import Batch, DataFile, Held
from daemon.places import Place


class Store(Protocol):
    """Where good rows go. Every method raises StoreError when tables cannot be read or written."""

    def place(self, feed: str) -> Place:
        """Return where workers stage the feed's data files. It need not exist."""

    def tables(self) -> tuple[str, ...]:
        """Return the names of all tables that there are, also of feeds that are no more."""

    def stop(self) -> None:
        """Have whatever waits for the tables give up soon. From any thread, or a signal's handler."""

    def describe(self, feed: str) -> str:
        """Say where the feed's table is, for people."""

    def prepare(self) -> None:
        """Make the place of the tables ready when the daemon starts; find out what cannot work."""

    def exists(self, feed: str) -> bool:
        """Tell whether the feed has a table already."""

    def last_batch(self, feed: str) -> int:
        """Return the number of the newest batch that the table holds; 0 for none.

        Raises:
            StoreError: the table cannot be read; nothing may be assumed.
        """

    def columns(self, feed: str) -> pa.Schema:
        """Return the columns of the feed's table, `date` among them; none where it has no table yet."""

    def holds(self, batch: Batch) -> bool:
        """Tell whether the table holds the batch, or a later one. Where it does, it does so after a power cut too.

        To be asked after a crash, or a commit that failed, before anything relies on the batch.

        Raises:
            StoreError: the table cannot be read; nothing may be assumed.
        """

    def commit(self, batch: Batch, schema: pa.Schema) -> None:
        """Make the batch's files part of the table, and its replaced drops' rows no part of it, in one transaction.

        The transaction carries the batch's number, even if the batch has no files. A batch that the table already
        holds, or a later one, changes nothing. `schema` has all columns of all of the batch's files, in any order, with
        or without `date`; it is empty for a batch without files. New columns join the table (and may stay behind if the
        commit then fails); a column of another type is an error. When this returns, the rows survive a power cut.

        Raises:
            StoreError: it failed, and `holds` tells whether the batch is in the table after all.
        """

    def discard(self, feed: str, files: Iterable[DataFile]) -> None:
        """Delete staged files of a batch that will not be committed. Files that are gone already are fine.

        A file that is part of the table, or has been, stays whatever the caller believes.
        """

    def abandon(self, batch: Batch) -> None:
        """Delete what was staged for a batch that the table does not hold, and written on the way to its commit.

        The batch's number may never be committed afterwards.
        """

    def sweep(self, feed: str, units: Collection[str]) -> int:
        """Delete what killed workers have staged as these units, or as `<unit>-<number>`; return how many files it was.

        Only for units that have never been part of a committed batch.
        """

    def clear(self, feed: str) -> None:
        """Delete what killed commits and compactions have left. Only while this process does neither."""

    def compact(self, feed: str, *, target_bytes: int, min_files: int) -> int:
        """Rewrite days with at least `min_files` small files into few large ones, same rows; return how many it merged.

        Files above half of `target_bytes` are left alone. It does not hinder commits: where one came first that
        took a file away, it gives up those files and counts 0 for them.
        """

    def drops(self, feed: str) -> tuple[Held, ...]:
        """Return for each drop that has rows in the table how many, and since when; nothing without a table."""

    def expire(self, feed: str, *, keep_hours: int, stray_seconds: float, spared: Collection[str] = ()) -> int:
        """Delete data files and log entries that nobody needs any more; return how many data files it deleted.

        It does not hinder commits, and may be killed and done again.

        Args:
            feed: whose table.
            keep_hours: for how long older versions of the table stay readable.
            stray_seconds: the age from which a file that was never part of the table is nobody's any more.
            spared: paths of files that are staged for a batch, whatever their age.
        """

    def days(self, feed: str, customer: str) -> Mapping[str, tuple[str, ...]]:
        """Return the ISO days that may have rows of a customer, by the files' statistics, with the files that may.

        The paths are below the feed's place, and stay readable for a while whatever is committed; the feed's columns
        but `date` are in the files, or are null throughout. Nothing without a table.
        """

    def read(self, feed: str, *, date: str | None = None) -> pa.Table:
        """Read a day (or all) of the table, for tests and small tools.

        Raises:
            StoreError: the feed has no table yet.
        """
