"""Nothing grows for ever: what has been kept long enough goes, little by little, when there is nothing else to do.

Each step looks anew at what is there, so that it may break off anywhere and be done again. The ledger's drops are never
forgotten: what was known stays known, however long ago.
"""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from structlog.typing import FilteringBoundLogger

from daemon.errors import BlobdropError
from daemon.ledger import Ledger
from daemon.quarantine import Quarantine
from daemon.sources import Source
from daemon.stores import Store
from daemon.workers.executor import Workers

#: Seconds between the beginnings of two rounds.
PAUSE_SECONDS: Final = 3600.0
#: Seconds of one turn's steps, so that a drop that arrives meanwhile does not wait.
STEP_SECONDS: Final = 0.05
#: What an hour in days may be off by, as it is written with few digits.
HOURS_OFF: Final = 0.05
DAY_SECONDS: Final = 86_400.0
#: From this age on, what no batch and no worker knows is nobody's: no worker may take longer than a day.
STRAY_SECONDS: Final = DAY_SECONDS


@dataclass(frozen=True, kw_only=True)
class Retention:
    """For how long what is kept. Days; 0 for ever."""

    archive_days: float = 0.0
    quarantine_days: float = 0.0
    history_days: float = 0.0
    #: Never 0: readers of a table's older versions need them for a while, nobody for ever.
    table_days: float = 7.0


class Expiry:
    """Removes what has been kept long enough. Its turns are taken by the loop's thread."""

    def __init__(
        self,
        retention: Retention,
        *,
        ledger: Ledger,
        source: Source,
        store: Store,
        workers: Workers,
        quarantine: Quarantine,
        feeds: Sequence[str],
        log: FilteringBoundLogger,
        step_seconds: float = STEP_SECONDS,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Remove nothing yet; the first round begins with the first turn."""
        self._retention, self._quarantine, self._feeds = retention, quarantine, feeds
        self._ledger, self._source, self._store, self._workers = ledger, source, store, workers
        self._log, self._clock = log, clock
        self._next = 0.0
        self._step_seconds = step_seconds
        self._round: Iterator[bool] | None = None
        self._removed: Counter[str] = Counter()

    def turn(self) -> None:
        """Go on with a round for a few hundredths of a second, or begin one when it is time."""
        if self._round is None:
            if self._clock() < self._next:
                return
            self._next, self._round = self._clock() + PAUSE_SECONDS, self._steps()
        end = time.monotonic() + self._step_seconds
        for is_waiting in self._round:
            if is_waiting or time.monotonic() >= end:
                return
        self._round = None
        if removed := {what: count for what, count in self._removed.items() if count}:
            self._log.info("retention.applied", **removed)
        self._removed.clear()

    def _steps(self) -> Iterator[bool]:
        """Do everything once. At each yield something else may be done; it tells whether there is nothing to do now."""
        yield from self._part("archived_files", self._archive())
        yield from self._part("quarantine_entries", self._entries())
        yield from self._part("ledger_rows", self._history())
        for feed in self._feeds:
            yield from self._part("data_files", self._table(feed))

    def _part(self, what: str, steps: Iterator[int | None]) -> Iterator[bool]:
        """Count what the steps remove, None while they wait for a worker; what fails is told."""
        try:
            for count in steps:
                self._removed[what] += count or 0
                yield count is None
        except BlobdropError as error:
            self._log.warning("retention.failed", what=what, reason=str(error), again_in_seconds=PAUSE_SECONDS)

    def _before(self, days: float) -> float:
        """Return the instant before which things go; 0.0, before which there is nothing, where they stay for ever."""
        return self._clock() - days * DAY_SECONDS if days else 0.0

    def _archive(self) -> Iterator[int]:
        before = self._before(self._retention.archive_days)
        return self._source.expire(before) if before else iter(())

    def _entries(self) -> Iterator[int]:
        before = self._before(self._retention.quarantine_days)
        stray = self._clock() - STRAY_SECONDS
        for _ in self._quarantine.left_behind(stray):
            yield 0
        for entry in self._quarantine.finished(before) if before else ():
            if entry is not None and self._ledger.unreport(entry.drop):
                self._quarantine.let_go(entry)
            yield int(entry is not None)

    def _history(self) -> Iterator[int]:
        before = self._before(self._retention.history_days)
        while before and (count := self._ledger.prune(before)):
            yield count

    def _table(self, feed: str) -> Iterator[int | None]:
        """Have a worker clean a feed's table."""
        staged = {file.path for batch in self._ledger.open_batches() for file in batch.files if batch.feed == feed}
        hours = max(1, math.ceil(self._retention.table_days * 24 - HOURS_OFF))
        future = self._workers.expire(self._store, feed, keep_hours=hours, stray_seconds=STRAY_SECONDS, spared=staged)
        while not future.done():
            yield None
        yield self._workers.result(future)
