"""Doing many things at once that wait for somebody far away, and not waiting for them any longer when told to stop."""

from __future__ import annotations

import queue
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Final, TypeVar

Given = TypeVar("Given")
Got = TypeVar("Got")

#: Seconds between two looks whether it is still wanted.
LOOK_SECONDS: Final = 0.2


def at_once(
    work: Callable[[Given], Got], given: Sequence[Given], *, threads: int, is_over: Callable[[], bool]
) -> Iterator[tuple[Given, Got | None]]:
    """Yield each with what came of it, as it comes; with None what nothing has come of when it is over.

    The threads do not keep the process alive: what one of them waits for then is left to its fate.
    """
    waiting: queue.SimpleQueue[Given] = queue.SimpleQueue()
    done: queue.SimpleQueue[tuple[Given, Future[Got]]] = queue.SimpleQueue()
    for each in given:
        waiting.put(each)
    for number in range(min(threads, len(given))):
        threading.Thread(
            target=_work, args=(work, waiting, done, is_over), name=f"at-once-{number}", daemon=True
        ).start()
    left = list(given)
    while left and not is_over():
        try:
            each, future = done.get(timeout=LOOK_SECONDS)
        except queue.Empty:
            continue
        left.remove(each)
        yield each, future.result()
    yield from ((each, None) for each in left)


def in_order(
    pool: ThreadPoolExecutor, work: Callable[[Given], Got], given: Sequence[Given], *, ahead: int
) -> Iterator[Got]:
    """Yield what comes of each, in order, with so many at most under way or waiting to be taken."""
    waiting: deque[Future[Got]] = deque()
    for each in given:
        waiting.append(pool.submit(work, each))
        if len(waiting) >= ahead:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()


def _work(
    work: Callable[[Given], Got],
    waiting: queue.SimpleQueue[Given],
    done: queue.SimpleQueue[tuple[Given, Future[Got]]],
    is_over: Callable[[], bool],
) -> None:
    while not is_over():
        try:
            each = waiting.get_nowait()
        except queue.Empty:
            return
        future: Future[Got] = Future()
        try:
            future.set_result(work(each))
        except BaseException as error:  # noqa: BLE001 - raised again where it is waited for
            future.set_exception(error)
        done.put((each, future))
