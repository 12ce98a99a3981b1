"""Whether the daemon is alive, and whether all that it needs has answered lately."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

from daemon.errors import WorkError
from daemon.ledger import Ledger
from daemon.places import Place
from daemon.tally import Tally

#: Seconds without the end of a turn after which the loop hangs; as WatchdogSec of deploy/blobdrop.service.
HANGS_SECONDS: Final = 300.0
#: Seconds beyond two polls within which the place of the drops should have been listed: a large container takes long.
LISTING_SECONDS: Final = 60.0


@dataclass(frozen=True)
class Answer:
    """What is said of the daemon's health: whether all is well, and each thing in words."""

    well: bool
    says: Mapping[str, str] = field(default_factory=dict)


class Health:
    """What the loop and those that it needs have shown. The loop tells; any thread may ask."""

    def __init__(
        self,
        *,
        ledger: Ledger,
        tally: Tally,
        tables: Place,
        poll_seconds: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Begin at the start of the loop, which may take its time for the first turn; `tables` is their place."""
        self._ledger, self._tally, self._tables = ledger, tally, tables
        self._listing_seconds = 2 * poll_seconds + LISTING_SECONDS
        self._clock = clock
        self._turned = clock()
        self._is_up = False
        #: Why the last turn gave up; empty where it did not.
        self._fails = ""
        self._status = "starting"

    def completed(self, status: str) -> None:
        """Tell of a turn that was completed."""
        self._is_up, self._fails = True, ""
        self._turned, self._status = self._clock(), status

    def gave_up(self, status: str) -> None:
        """Tell of a turn that ended as something does not answer."""
        self._fails = status
        self._turned, self._status = self._clock(), status

    def alive(self) -> Answer:
        """Say whether the loop goes round."""
        since = self._clock() - self._turned
        return Answer(since < HANGS_SECONDS, {"loop": f"{self._status}; the last turn ended {since:.0f} s ago"})

    def ready(self) -> Answer:
        """Say whether ledger and tables answer now, and the place of the drops lately."""
        parts = {"loop": self._loop(), "source": self._source(), "ledger": self._asked(), "store": self._store()}
        return Answer(not any(parts.values()), {name: reason or "answers" for name, reason in parts.items()})

    def _loop(self) -> str:
        if not self._is_up:
            return "the first turn is not over"
        return self._fails if self.alive().well else self.alive().says["loop"]

    def _source(self) -> str:
        last = self._tally.answered("list")
        if last is None:
            return "not listed yet"
        since = self._clock() - last
        return "" if since < self._listing_seconds else f"listed last {since:.0f} s ago; {self._status}"

    def _asked(self) -> str:
        try:
            self._ledger.last_activity()
        except WorkError as error:
            return str(error)
        return ""

    def _store(self) -> str:
        folder = self._tables.url
        try:
            self._tables.folders()
        except OSError as error:
            return f"{self._tables.describe()}: {error.strerror}"
        # A container's right to write is seen when it is made use of.
        if self._tables.is_local and os.path.isdir(folder) and not os.access(folder, os.R_OK | os.W_OK | os.X_OK):  # noqa: PTH112
            return f"{folder} cannot be written"
        return ""
