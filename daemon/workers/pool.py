"""A pool of worker processes: one that is lost takes only its own task with it, and another takes its place."""

from __future__ import annotations

import os
import pickle
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import CancelledError, Future
from multiprocessing.connection import wait
from typing import Any, Final, TypeVar

from daemon.workers.killable import At, Done, Killable, Ours, Raised, Ready, Said, Task

T = TypeVar("T")

#: Seconds after which the pool looks round though nothing has happened.
LOOK_SECONDS: Final = 60.0


class LostError(Exception):
    """A worker process ended before its task did."""

    def __init__(self, exitcode: int | None, *, log: str, at: str, overdue: bool) -> None:
        """Keep what is known of its end.

        Args:
            exitcode: a negative one is a signal's; None for a process that cannot be killed.
            log: the last lines that it wrote.
            at: which part of its task it was at.
            overdue: whether its time was up.
        """
        super().__init__(exitcode, log)
        self.exitcode, self.log, self.at, self.overdue = exitcode, log, at, overdue


class RaisedError(Exception):
    """A task raised an exception that is none of ours."""

    def __init__(self, raised: Raised, *, log: str, at: str) -> None:
        """Keep what was raised, the last lines that the worker wrote, and which part of its task it was at."""
        super().__init__(raised.said)
        self.raised, self.log, self.at = raised, log, at


class StartError(Exception):
    """No worker process can be started; its message says why."""


class Pool:
    """Worker processes, started when there is something to do, and a thread that hands out tasks in their order."""

    def __init__(self, processes: int, begin: Callable[[], None]) -> None:
        """Start nothing yet; each worker calls `begin` before it takes tasks."""
        self._processes, self._begin = processes, begin
        self._tasks: deque[Task] = deque()
        self._workers: list[Killable] = []
        self._bell = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._stopping = self._is_closed = False
        self._thread = threading.Thread(target=self._run, name="pool", daemon=True)

    @property
    def works(self) -> bool:
        """Whether tasks are taken: it is neither stopped nor broken."""
        return not self._stopping and (self._thread.ident is None or self._thread.is_alive())

    def schedule(self, seconds: float, work: Callable[..., T], *arguments: object) -> Future[T]:
        """Have a call made by a worker.

        Its future may raise what `work` raises of ours, `LostError`, `RaisedError`, `StartError` and `CancelledError`.

        Args:
            seconds: that it may take, from when a worker has it.
            work: what to call; it, its arguments and what it returns travel pickled.
            arguments: what to call it with, after a `Say`.
        """
        task = Task(pickle.dumps((work, arguments)), seconds)
        self._tasks.append(task)
        if self._thread.ident is None:
            self._thread.start()
        os.eventfd_write(self._bell, 1)
        return task.future

    def stop(self) -> None:
        """Kill every worker and wait until they are gone. What was not done is cancelled."""
        if self._is_closed:
            return
        self._stopping = self._is_closed = True
        if self._thread.ident is not None:
            os.eventfd_write(self._bell, 1)
            self._thread.join()
        os.close(self._bell)

    # ---------------------------------------------------------------- IN ITS THREAD

    def _run(self) -> None:
        try:
            while not self._stopping:
                self._turn()
        finally:
            self._stopping = True
            for worker in self._workers:
                worker.end(at_once=True)
                worker.close()
            undone = [worker.task for worker in self._workers if worker.task] + list(self._tasks)
            for task in undone:
                task.future.set_exception(CancelledError())

    def _turn(self) -> None:
        """Start workers, give them tasks, and wait until there is something to hear of one."""
        self._hire()
        for worker in [each for each in self._workers if each.is_ready and each.task is None]:
            if self._tasks:
                self._hand(worker)
        deadlines = [worker.deadline for worker in self._workers if worker.deadline is not None]
        until = min(deadlines, default=time.monotonic() + LOOK_SECONDS) - time.monotonic()
        signs = [sign for worker in self._workers for sign in worker.signs()]
        ready = set(wait([self._bell, *signs], max(0.0, until)))
        if self._bell in ready:
            os.eventfd_read(self._bell)
        for worker in list(self._workers):
            self._look(worker, ready)

    def _hire(self) -> None:
        """Start as many workers as there are tasks that wait, up to the pool's size."""
        idle = sum(worker.task is None for worker in self._workers)
        for _ in range(min(len(self._tasks) - idle, self._processes - len(self._workers))):
            try:
                self._workers.append(Killable(self._begin))
            except (OSError, EOFError) as error:
                self._refuse(str(error))
                return

    def _refuse(self, why: str) -> None:
        """Fail the task whose turn it is, as there is nobody to do it."""
        if self._tasks:
            self._tasks.popleft().future.set_exception(StartError(why))

    def _hand(self, worker: Killable) -> None:
        try:
            worker.hand(self._tasks[0])
        except OSError:
            self._lose(worker)  # it ended while it had nothing to do
            return
        self._tasks.popleft()

    def _look(self, worker: Killable, ready: set[Any]) -> None:
        worker.hear()
        if worker.tasks in ready:
            try:
                said = worker.tasks.recv()
            except (EOFError, OSError):
                self._lose(worker)
            else:
                self._take(worker, said)
        elif not worker.is_alive():
            self._lose(worker)
        elif worker.deadline is not None and time.monotonic() >= worker.deadline:
            worker.hurry()
            if worker.deadline is None:
                self._lose(worker)

    def _take(self, worker: Killable, said: Said) -> None:
        if isinstance(said, Ready):
            worker.is_ready = True
            return
        if isinstance(said, At):
            worker.at, worker.has_begun = said.what, True
            return
        log = worker.log() if isinstance(said, Raised) else ""
        task = worker.free()
        if isinstance(said, Raised):
            self._dismiss(worker)
        if task is None:
            return
        if isinstance(said, Done):
            task.future.set_result(said.value)
        elif isinstance(said, Ours):
            task.future.set_exception(said.error)
        else:
            task.future.set_exception(RaisedError(said, log=log, at=worker.at))

    def _lose(self, worker: Killable) -> None:
        """Deal with a worker that has ended, or has to."""
        exitcode = self._dismiss(worker)
        task = worker.free()
        if task is not None and not worker.has_begun:
            self._tasks.appendleft(task)
        elif task is not None:
            task.future.set_exception(LostError(exitcode, log=worker.log(), at=worker.at, overdue=worker.overdue))
        elif not worker.is_ready:
            self._refuse(f"it ended with exit code {exitcode} before its first task. {worker.log()}")

    def _dismiss(self, worker: Killable) -> int | None:
        self._workers.remove(worker)
        exitcode = worker.end()
        worker.hear()
        worker.close()
        return exitcode
