"""Settling: what is done to a dropped object at its drop's end, after the ledger has the outcome."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from structlog.typing import FilteringBoundLogger

from daemon.errors import MissingRightError
from daemon.ledger import Ledger
from daemon.model import After, Drop
from daemon.sources import Source

#: Seconds before an object that could not be settled is tried again.
RETRY_SECONDS = 60.0
#: What it means that settling is refused.
STAYS = "what is ingested stays where it is from now on, and is not ingested again; this is not said again"


class Settling:
    """Settles objects, and notes in the ledger which are settled and which are to be tried again."""

    def __init__(
        self,
        ledger: Ledger,
        source: Source,
        after: After,
        *,
        log: FilteringBoundLogger,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Settle nothing yet."""
        self._is_refused = False
        self._ledger, self._source, self._after, self._log, self._clock = ledger, source, after, log, clock

    def late(self) -> None:
        """Settle objects whose drops have ended and that could not be settled then."""
        late = self._ledger.unsettled(now=self._clock())
        if late:
            self.settle([drop for drop, _ in late])

    def settle(self, drops: Sequence[Drop]) -> None:
        """Settle the objects of drops whose outcome is in the ledger; one that fails is tried again later."""
        done = []
        for found, error in self._source.settle_all([drop.found for drop in drops], self._after):
            if error is None or isinstance(error, MissingRightError):
                done.append(found.drop_id)
            if isinstance(error, MissingRightError):
                self._refused(error)
            elif error is not None:
                now = self._clock()
                self._ledger.settle_failed(found.drop_id, str(error), now, not_before=now + RETRY_SECONDS)
                self._log.warning("drop.unsettled", drop=found.drop_id, name=found.name, reason=str(error))
        self._source.flush()
        self._ledger.settled(done, self._clock())

    def _refused(self, error: MissingRightError) -> None:
        """Say once that a right is missing: without it every object stays where it is, as if they were to be kept."""
        if not self._is_refused:
            self._log.error("settle.refused", reason=str(error), after=self._after.value, note=STAYS)
        self._is_refused = True
