"""How long small drops may hold up others: a worker whose patience ends leaves them, and they are worked apart."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager

#: The exit code of a worker that gave up.
GAVE_UP = -signal.SIGALRM
#: Seconds that reading one small drop may take at least: milliseconds do from a disk, not from a source far away.
READING_SECONDS = 5.0
#: To check small drops takes a tenth of what it takes to read them; one that takes more than all of it is suspected. As
#: that is measured in the same process, a slow or a busy machine makes no difference.
CHECKING_FACTOR = 1.0


class Patience:
    """What one unit may take, step by step."""

    def __init__(self, seconds: float | None) -> None:
        """Allow each step at least so many seconds; None for as long as it takes."""
        self._seconds = seconds
        self._began = time.monotonic()
        self._reading_took: float | None = None

    @contextmanager
    def reading(self) -> Iterator[None]:
        """End this process unless one small drop is read in time."""
        with self._within(READING_SECONDS):
            yield

    @contextmanager
    def checking(self) -> Iterator[None]:
        """End this process unless small drops, or one of them, are checked in time, given what reading has taken."""
        if self._reading_took is None:
            self._reading_took = time.monotonic() - self._began
        with self._within(CHECKING_FACTOR * self._reading_took):
            yield

    @contextmanager
    def _within(self, seconds: float) -> Iterator[None]:
        """End this process by the kernel's hand, so that it does not matter what a contract's code does, or holds.

        A timer of the kernel's costs a microsecond, where a thread that waits would cost each drop half a millisecond.
        """
        if self._seconds is None:
            yield
            return
        signal.setitimer(signal.ITIMER_REAL, max(seconds, self._seconds))
        try:
            yield
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
