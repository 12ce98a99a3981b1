"""How things stand, for those who watch: got from ledger and tables when asked, as often as that is cheap."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

from daemon.ledger import Ledger
from daemon.ledger.markers import Scope
from daemon.model import State
from daemon.stores import Store

T = TypeVar("T")

#: A figure is got again after so many times the time that getting it took: two hundredths of one processor at the most.
REST: Final = 50
#: Seconds for which a figure is good in any case: several watchers then cost no more than one.
GOOD_SECONDS: Final = 1.0
#: The state of a day that has rows and is not ready.
OPEN: Final = "open"


@dataclass(frozen=True, kw_only=True)
class Queue:
    """The drops under way."""

    drops: int
    #: When the oldest was found, unix seconds; None where there is none.
    oldest: float | None


class Standings:
    """The figures of one daemon. Any thread may ask; each raises WorkError where ledger or tables do not answer."""

    def __init__(self, ledger: Ledger, store: Store, feeds: tuple[str, ...]) -> None:
        """Get nothing yet."""
        self._ledger, self._store = ledger, store
        self.feeds = feeds
        self.queue = Kept(self._queue)
        self.drops = Kept(self._drops)
        self.watermarks = Kept(self._watermarks)
        self.days = Kept(self._days)

    def _queue(self) -> Queue:
        count, oldest = self._ledger.watched.under_way()
        return Queue(drops=count, oldest=oldest)

    def _drops(self) -> Mapping[tuple[str, State], int]:
        counts = self._ledger.counts()
        return {(feed, state): count for feed, states in counts.items() for state, count in states.items()}

    def _watermarks(self) -> Mapping[Scope, int]:
        return self._ledger.markers.watermarks()

    def _days(self) -> Mapping[tuple[str, str], int]:
        """Return how many days of each feed are not closed, by feed and state."""
        found: Counter[tuple[str, str]] = Counter((row.feed, row.state.value) for row in self._ledger.days.unclosed())
        for scope in self._ledger.days.scopes():
            if scope[0] in self.feeds:
                known = self._ledger.days.states(scope)
                found[scope[0], OPEN] += sum(day not in known for day in self._store.days(*scope))
        return found


class Kept(Generic[T]):
    """A figure that is kept for a while, the longer the more time it takes to get."""

    def __init__(self, get: Callable[[], T], clock: Callable[[], float] = time.monotonic) -> None:
        """Get nothing yet."""
        self._get, self._clock, self._lock = get, clock, threading.Lock()
        self._value: T | None = None
        self._until = float("-inf")

    def __call__(self) -> T:
        """Return it, got anew where it is due."""
        with self._lock:
            if self._value is None or self._clock() >= self._until:
                began = self._clock()
                self._value = self._get()
                ended = self._clock()
                self._until = ended + max(GOOD_SECONDS, REST * (ended - began))
            return self._value
