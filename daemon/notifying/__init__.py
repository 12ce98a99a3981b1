"""Tells people what has happened: each receiver in a thread of its own, which follows the ledger and holds up nobody.

How far a receiver has come is in a file beside the ledger, written when a message was delivered: what is undelivered at
a stop or a crash is told after the next start. It may come twice then, under the same id where nothing was added.
"""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Final

from structlog.typing import FilteringBoundLogger

from daemon.durable import sync
from daemon.errors import UndeliveredError, WorkError
from daemon.ledger import Ledger
from daemon.notifying.messages import message
from daemon.notifying.news import Mark, News, beginning
from daemon.notifying.ways import Way

#: Pauses after deliveries that failed, seconds: doubled from the first to the longest.
FIRST_PAUSE_SECONDS: Final = 1.0
LONGEST_PAUSE_SECONDS: Final = 300.0
MOST_DOUBLINGS: Final = 16
#: Seconds between two looks into the ledger; more where one takes long: a fiftieth of the time at the most.
LOOK_SECONDS: Final = 1.0
REST: Final = 50
#: Goes at what is left at the end of `run --once`.
LAST_GOES: Final = 3
#: Seconds after which is written how far a receiver has come that had nothing to be told.
WRITE_SECONDS: Final = 600.0


class Notifier:
    """Tells one receiver."""

    def __init__(
        self,
        name: str,
        ledger: Ledger,
        news: News,
        way: Way,
        *,
        file: Path,
        window_seconds: float,
        log: FilteringBoundLogger,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Begin where the last run ended; without its file, with what happens from now on.

        Raises:
            WorkError: the ledger cannot be read, or the file not be written.
        """
        self._name, self._ledger, self._news, self._way = name, ledger, news, way
        self._file, self._window_seconds, self._log, self._clock = file, window_seconds, log, clock
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"notify {name}", daemon=True)
        self._failures = 0
        #: When the first was seen of what is to be told next; None where there is nothing.
        self._first: float | None = None
        self._written = time.monotonic()
        read = _read(file)
        self._mark = beginning(ledger, clock()) if read is None else _within(read, ledger)
        if read is None:
            self._write()

    def start(self) -> None:
        """Tell from now on."""
        self._thread.start()

    def stop(self) -> None:
        """Tell no more; what is undelivered is told after the next start."""
        self._stopped.set()
        self._way.stop()

    def join(self, seconds: float) -> None:
        """Wait so long until it has stopped; a delivery that is under way ends with the process."""
        if self._thread.is_alive():
            self._thread.join(seconds)

    def finish(self) -> None:
        """Tell what there is to tell now, in a few goes, for a daemon that runs once."""
        for _ in range(LAST_GOES):
            if not (pause := self._try(self._tell)) or self._stopped.wait(pause):
                return
        self._log.warning("notify.undelivered", notify=self._name, note="it is told after the next start")

    def _run(self) -> None:
        pause = 0.0
        while not self._stopped.wait(pause):
            began = time.monotonic()
            pause = self._try(self._look) or max(LOOK_SECONDS, REST * (time.monotonic() - began))

    def _try(self, act: Callable[[], None]) -> float:
        """Do it; return the seconds to wait before it is tried again, 0 where it went well."""
        try:
            act()
        except WorkError as error:
            if self._stopped.is_set():
                return 0.0
            pause = min(LONGEST_PAUSE_SECONDS, FIRST_PAUSE_SECONDS * 2.0 ** min(self._failures, MOST_DOUBLINGS))
            self._failures += 1
            self._log.warning("notify.failed", notify=self._name, reason=str(error), again_in_seconds=pause)
            return pause
        self._failures = 0
        return 0.0

    def _look(self) -> None:
        """Tell what has happened where the first of it is `window_seconds` old: the others are in the same message."""
        now = self._clock()
        after, groups = self._news.since(self._mark, now)
        if not groups:
            self._mark, self._first = after, None
            if time.monotonic() - self._written > WRITE_SECONDS:
                self._write()
        elif self._first is None:
            self._first = now
        elif now - self._first >= self._window_seconds:
            self._tell()

    def _tell(self) -> None:
        now = self._clock()
        after, groups = self._news.since(self._mark, now)
        if groups:
            told = message(self._name, self._ledger.identity, (self._mark, after), groups, now)
            self._way.deliver(json.dumps(told).encode(), told["id"])
            things = sum(group["count"] for group in groups)
            self._log.info("notify.delivered", notify=self._name, message=told["id"], things=things)
            self._mark, self._first = after, None
            self._write()

    def _write(self) -> None:
        self._written = time.monotonic()
        unfinished = self._file.with_name(f".{self._file.name}.tmp")
        try:
            unfinished.write_text(json.dumps(self._mark.to_json()) + "\n")
            sync(unfinished)
            os.replace(unfinished, self._file)  # noqa: PTH105 - says that it replaces
        except OSError as error:
            why = f"{self._file} cannot be written: {error.strerror}; give this user the right to"
            raise UndeliveredError(why) from error


def _within(mark: Mark, ledger: Ledger) -> Mark:
    """Return the mark, put back to what the ledger has: a backup that was restored knows less than was told."""
    event, marker = ledger.watched.newest()
    return replace(mark, event=min(mark.event, event), marker=min(mark.marker, marker))


def _read(file: Path) -> Mark | None:
    try:
        return Mark.of_json(json.loads(file.read_text()))
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return None
