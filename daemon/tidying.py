"""What the loop does when there is nothing else to do: small data files become large ones, one feed at a time."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future

from structlog.typing import FilteringBoundLogger

from daemon.errors import BlobdropError
from daemon.stores import Store
from daemon.workers.executor import Workers

#: Seconds between two looks at a table: a look reads its log in a worker, so a stream of batches needs no more.
PAUSE_SECONDS = 10.0


class Tidying:
    """Compacts tables that have changed since they were last looked at, in a worker, without stopping ingestion."""

    def __init__(
        self,
        store: Store,
        workers: Workers,
        feeds: Sequence[str],
        *,
        target_bytes: int,
        min_files: int,
        log: FilteringBoundLogger,
        clock: Callable[[], float] = time.time,
        usable: Callable[[str], bool] = lambda _feed: True,
    ) -> None:
        """Know of no table yet; `min_files` 0 turns it off; `usable` tells whether a feed's table can be read."""
        self._usable = usable
        self._store, self._workers, self._feeds, self._log = store, workers, feeds, log
        self._target_bytes, self._min_files, self._clock = target_bytes, min_files, clock
        #: The newest batch and the time of the last look, for each feed.
        self._tidied: dict[str, tuple[int, float]] = {}
        self._running: tuple[str, Future[int]] | None = None

    def turn(self) -> None:
        """Take the result of a compaction that has ended, or begin one where a table has grown enough."""
        if not self._min_files:
            return
        if self._running is not None:
            if not self._running[1].done():
                return
            self._end(*self._running)
            self._running = None
        for feed in self._feeds:
            if self._has_grown(feed):
                future = self._workers.compact(
                    self._store, feed, target_bytes=self._target_bytes, min_files=self._min_files
                )
                self._running = (feed, future)
                return

    def stop(self) -> None:
        """Break off a compaction that is under way, with the workers, and clear away what it has written.

        Raises:
            StoreError: its files cannot be deleted; the next start does it.
        """
        if self._running is not None:
            feed, _ = self._running
            self._running = None
            self._workers.stop()
            self._store.clear(feed)

    def _has_grown(self, feed: str) -> bool:
        """Tell whether batches have come since the last look, which is not too fresh."""
        now, (batch, looked) = self._clock(), self._tidied.get(feed, (0, 0.0))
        if now - looked < PAUSE_SECONDS or not self._usable(feed):
            return False
        newest = self._store.last_batch(feed) if self._store.exists(feed) else 0
        self._tidied[feed] = (newest, now)
        return newest != batch

    def _end(self, feed: str, future: Future[int]) -> None:
        try:
            files = self._workers.result(future)
        except BlobdropError as error:
            self._store.clear(feed)
            self._log.warning("table.not_compacted", feed=feed, reason=str(error))
            return
        if files:
            self._log.info("table.compacted", feed=feed, files=files)
