"""The signals that stop the daemon: SIGTERM, and Ctrl-C in a terminal."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

Handling = Callable[[int, FrameType | None], None]


def leave(_number: int, _frame: FrameType | None) -> None:
    """End a daemon that is told to stop before its loop goes round: nothing has begun that could be half done."""
    raise SystemExit(0)


def stopping(stop: Callable[[], None]) -> Handling:
    """Return what calls `stop` on the first signal; a second one ends the process the hard way."""

    def handle(number: int, _frame: FrameType | None) -> None:
        stop()
        signal.signal(number, signal.SIG_DFL)

    return handle


@contextmanager
def handling(handler: Handling) -> Iterator[None]:
    """Have SIGTERM and SIGINT handled so, for the length of a `with`."""
    before = {number: signal.signal(number, handler) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, earlier in before.items():
            signal.signal(number, earlier)
