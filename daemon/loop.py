"""Turn after turn: list, claim, work, commit, settle, beat, sleep; stop when told; back off when the world fails."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from structlog.typing import FilteringBoundLogger

from daemon.days.closing import Closing
from daemon.errors import StoreError, UnreachableError, WorkError
from daemon.ingest import Ingest
from daemon.intake import Arrivals, Intake
from daemon.ledger import Ledger
from daemon.ready import Ready

#: Seconds that `run --once` waits for a file that keeps changing before it leaves it for another time.
PATIENCE_SECONDS = 60.0
#: The longest pause after turns that failed; each failure doubles it, from the poll interval on.
LONGEST_PAUSE_SECONDS = 60.0
#: A daemon that is never idle tidies up all the same, so often: its workers do that beside the rest.
TIDY_SECONDS = 60.0
#: The share of such a pause that nothing cuts short but a stop: what arrives cannot have the same fail over and over.
CALM_SHARE = 0.5
#: Enough for any poll interval to reach the longest pause, and far from what a float can hold.
MOST_DOUBLINGS = 32
#: Seconds after which the daemon sees what a command has asked for in the ledger, however long it may sleep.
NOTICE_SECONDS = 1.0
#: A look at the workers now and then, should a wake-up be lost.
BUSY_SECONDS = 0.25


@dataclass(frozen=True, kw_only=True)
class Pace:
    """How fast the loop goes round."""

    poll_seconds: float
    settle_seconds: float
    #: The longest pause after turns that failed: shorter where somebody waits for signs of life.
    longest_seconds: float = LONGEST_PAUSE_SECONDS


class Loop:
    """The daemon's one thread. Everything else only wakes it."""

    def __init__(
        self,
        *,
        intake: Intake,
        ingest: Ingest,
        ready: Ready,
        closing: Closing,
        ledger: Ledger,
        pace: Pace,
        log: FilteringBoundLogger,
        beat: Callable[[str], None] = lambda _status: None,
        gave_up: Callable[[str], None] = lambda _status: None,
        idle: Callable[[], None] = lambda: None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Wire the loop.

        `beat` is told after each turn that was completed, `gave_up` after one that failed as something does not answer,
        neither after one that a mistake of ours broke off; `idle` is called when there is nothing to do.
        """
        self._intake, self._ingest, self._ready, self._closing = intake, ingest, ready, closing
        self._ledger = ledger
        self._pace, self._log, self._beat, self._idle, self._clock = pace, log, beat, idle, clock
        self._gave_up = gave_up
        self._woken = threading.Event()
        self._arrived = threading.Event()
        self._stopping = threading.Event()
        self._failures = 0
        self._calm_seconds = 0.0
        #: How many drops had ended when a turn failed last.
        self._ended = 0
        self._next_listing = 0.0
        self._next_tidying = clock() + TIDY_SECONDS
        self._next_notice = 0.0
        self._newest = ledger.decisions.newest()
        self._pending = 0

    def wake(self) -> None:
        """Begin the next turn now. From any thread."""
        self._woken.set()

    def stop(self) -> None:
        """End after the step that is under way. From any thread or a signal."""
        self._stopping.set()
        self._ledger.hurry()
        self._woken.set()

    def arrived(self) -> None:
        """List the source in the next turn, which begins now. From any thread."""
        self._arrived.set()
        self._woken.set()

    def run(self) -> None:
        """Go round until told to stop.

        Raises:
            WorkError: what was under way could not be given back; nothing is lost, the next start does it.
        """
        while not self._stopping.is_set():
            pause = self._turn()
            self._stopping.wait(self._calm_seconds)
            self._pause(pause - self._calm_seconds)
        self._end()

    def run_once(self) -> int:
        """Go round until nothing is left; return how many objects were left because they kept changing.

        Raises:
            WorkError: a turn failed; nothing is lost, but the work is not done.
        """
        patience = self._clock() + PATIENCE_SECONDS
        while not self._stopping.is_set():
            pause = self._round()
            if self._ingest.busy or self._ready.restless or self._ready.busy or self._closing.busy:
                patience = self._clock() + PATIENCE_SECONDS
            elif not self._pending or self._clock() > patience:
                break
            self._pause(pause)
        ailing = self._ingest.ailing
        self._end()
        if ailing:
            raise StoreError("; ".join(f"feed {feed!r} waits: {reason}" for feed, reason in ailing.items()))
        return self._pending

    def _end(self) -> None:
        try:
            self._ingest.stop()
            self._closing.stop()
        except WorkError:
            self._log.warning("stop.unfinished", note="nothing is lost: the next start brings it to its end")
            raise

    def _turn(self) -> float:
        """Go round once; a failure is told and slows the loop down. Return the seconds until the next turn."""
        self._calm_seconds = 0.0
        try:
            pause = self._round()
        except UnreachableError as error:
            # Told to stop, the source breaks off what it waits for.
            return 0.0 if self._stopping.is_set() else self._unable(error)
        except WorkError as error:
            return self._unable(error)
        except Exception as error:  # noqa: BLE001 - the daemon lives on: one of the two places where anything is caught
            self._log.exception("turn.broken")
            return self._failed(error)
        if self._failures and self._is_mended():
            self._log.info("turn.mended", after_failures=self._failures)
            self._failures = 0
        return pause

    def _is_mended(self) -> bool:
        """Tell whether something has ended well: that work was begun anew says nothing of what failed at its end."""
        return not self._ingest.busy or self._ingest.tallied.done > self._ended

    def _unable(self, error: WorkError) -> float:
        pause = self._failed(error)
        self._gave_up(f"trying again in {pause:g} s: {error}")
        return pause

    def _failed(self, error: Exception) -> float:
        doubled = self._pace.poll_seconds * 2.0 ** min(self._failures, MOST_DOUBLINGS)
        pause = min(self._pace.longest_seconds, doubled)
        self._failures += 1
        self._calm_seconds = CALM_SHARE * pause
        self._ingest.tallied.failed_turns += 1
        self._ended = self._ingest.tallied.done
        self._log.error("turn.failed", reason=str(error), again_in_seconds=pause)
        return pause

    def _round(self) -> float:
        """List if it is time, work, commit; return the seconds until there may be more to do."""
        self._woken.clear()
        took = self._ingest.collect()
        now, asked = self._clock(), self._is_asked()
        if now >= self._next_listing or self._arrived.is_set() or self._has_ended(took) or asked:
            # Cleared before the listing: what arrives in its middle may lie in a folder that it has passed.
            self._arrived.clear()
            self._ingest.settle_late()
            self._ingest.decide()
            with self._ingest.tallied.timing("list"):
                arrivals = self._intake.look()
            self._admit(arrivals, now)
        self._ingest.pump()
        self._closing.turn()
        if not self._ingest.busy or now >= self._next_tidying:
            self._idle()
            self._next_tidying = now + TIDY_SECONDS
        self._beat(self._status())
        until_listing = max(0.0, self._next_listing - self._clock())
        busy = self._ingest.busy or self._closing.busy or self._ready.busy
        return min(BUSY_SECONDS if busy else NOTICE_SECONDS, until_listing)

    def _has_ended(self, took: bool) -> bool:
        """Tell whether workers have ended something that the next listing goes on with."""
        return (took and not self._ingest.busy) or self._ready.answered

    def _status(self) -> str:
        doing = f"working, {self._ingest.claimed:,} in hand" if self._ingest.busy else "waiting for drops"
        waits = f"; {', '.join(self._ingest.ailing)} waiting for a table" if self._ingest.ailing else ""
        return f"{doing}; {self._ingest.tallied.done:,} done since the start{waits}"

    def _is_asked(self) -> bool:
        """Tell whether a command has left something to do in the ledger since this was last looked for."""
        now = self._clock()
        if now < self._next_notice:
            return False
        since, self._newest = self._newest, self._ledger.decisions.newest()
        self._next_notice = now + NOTICE_SECONDS
        decided = self._newest != since and self._ledger.decisions.is_asked(since)
        return decided or self._closing.is_asked()

    def _admit(self, arrivals: Arrivals, now: float) -> None:
        if arrivals.gone:
            self._ledger.gone([drop.id for drop in arrivals.gone], now)
            for drop in arrivals.gone:
                self._log.info("drop.gone", name=drop.found.name, note="this version of it is not there any more")
        if arrivals.unmatched:
            self._ledger.unmatched(arrivals.unmatched, now)
            for found in arrivals.unmatched:
                self._ingest.tallied.unmatched(found)
                self._log.warning("drop.unmatched", name=found.name, note="no feed has a pattern for this name")
        if arrivals.drops:
            self._ingest.claim(arrivals.drops)
        self._closing.look(moved=self._ready.turn(arrivals))
        self._pending = arrivals.pending
        due = self._pace.poll_seconds if arrivals.due_seconds is None else arrivals.due_seconds
        due = 0.0 if self._ready.restless else due
        self._next_listing = now + min(due, self._pace.poll_seconds)

    def _pause(self, seconds: float) -> None:
        self._woken.wait(seconds)
