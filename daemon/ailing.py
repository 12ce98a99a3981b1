"""Feeds whose own table cannot be used, while others can: each waits by itself, and goes on once that is mended."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Final

from structlog.typing import FilteringBoundLogger

from daemon.errors import StoreError
from daemon.stores import Store

#: Seconds until an ailing table is looked at again; each look that finds it so still doubles them, up to the longest.
FIRST_SECONDS: Final = 1.0
LONGEST_SECONDS: Final = 10.0


@dataclass(frozen=True)
class _Ailment:
    reason: str
    #: When the table is looked at next, unix seconds, and how long that was waited for.
    again_at: float
    seconds: float


class Ailing:
    """Knows which feeds ail. Its methods are called by one thread."""

    def __init__(
        self, store: Store, feeds: Collection[str], *, log: FilteringBoundLogger, clock: Callable[[], float]
    ) -> None:
        """Think well of all feeds."""
        self._store, self._known, self._log, self._clock = store, tuple(feeds), log, clock
        self._ailments: dict[str, _Ailment] = {}

    @property
    def feeds(self) -> Mapping[str, str]:
        """The feeds that ail, and why."""
        return {feed: ailment.reason for feed, ailment in self._ailments.items()}

    def look(self) -> None:
        """Look at the tables again that it is time for.

        Raises:
            StoreError: no table can be read any more.
        """
        for feed in tuple(self._ailments):
            self.usable(feed)

    def usable(self, feed: str) -> bool:
        """Tell whether a feed's table can be read now; to be asked before anything is begun that needs it.

        Raises:
            StoreError: it cannot, and no other one can: then it is not the feed that ails.
        """
        ailment = self._ailments.get(feed)
        if ailment is not None and self._clock() < ailment.again_at:
            return False
        try:
            self._store.last_batch(feed)
        except StoreError as error:
            if not any(self._answers(other) for other in self._known if other != feed):
                raise
            self._wait(feed, ailment, str(error))
            return False
        if self._ailments.pop(feed, None) is not None:
            self._log.info("feed.mended", feed=feed, note="its table can be read again; its drops go on")
        return True

    def _answers(self, feed: str) -> bool:
        try:
            self._store.last_batch(feed)
        except StoreError:
            return False
        return True

    def _wait(self, feed: str, before: _Ailment | None, reason: str) -> None:
        seconds = min(LONGEST_SECONDS, 2 * before.seconds) if before else FIRST_SECONDS
        self._ailments[feed] = _Ailment(reason, self._clock() + seconds, seconds)
        if before is None or before.reason != reason:
            note = "its drops wait, other feeds go on; it goes on by itself once the table is mended or restored"
            self._log.error("feed.waiting", feed=feed, reason=reason, note=note)
