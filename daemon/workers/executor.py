"""Runs units in worker processes that can be killed, with limits on memory and time: the executor seam.

Workers are forked from a warm parent, which has imported what is slow to import and has started no thread.
"""

from __future__ import annotations

import ctypes
import importlib
import resource
import signal
from collections import Counter
from collections.abc import Callable, Collection
from concurrent.futures import CancelledError, Future
from functools import partial
from typing import TypeVar

from daemon.days.asked import Asked, Figures
from daemon.decisions import Review
from daemon.errors import UndoneError, WorkerError
from daemon.model import ContractSummary, Feed, Found, Prepared, Setup, Unit
from daemon.signals import Listed
from daemon.sources import Source
from daemon.stores import Store
from daemon.warming import warm
from daemon.workers.killable import Say
from daemon.workers.pool import LostError, Pool, RaisedError, StartError

T = TypeVar("T")

#: The module that does the work; the daemon's own process never imports it.
WORK = "daemon.prepare"
#: Loading a contract imports what its author imports, which may take a while on a cold disk.
DESCRIBE_SECONDS = 60.0
#: Compaction rewrites a day at a time; it is in nobody's way.
COMPACT_SECONDS = 3600.0
#: `prctl`'s option for the signal that a process gets when its parent dies (linux/prctl.h).
PR_SET_PDEATHSIG = 1
#: `mallopt`'s parameters (malloc.h), and what they are set to: memory of up to so many bytes that a batch has freed is
#: kept for the next one. By default each batch would get new pages from the kernel, which takes a tenth of the time.
MALLOPT = {"M_MMAP_THRESHOLD": (-3, 1024**3), "M_TRIM_THRESHOLD": (-1, 256 * 1024**2)}
#: What is behind a signal, as far as anybody can tell.
WHY = {
    signal.SIGKILL: ", perhaps for want of memory",
    signal.SIGABRT: ": it gave up, perhaps for want of memory",
    signal.SIGSEGV: ": it crashed",
    signal.SIGBUS: ": it crashed, perhaps because the file became shorter while it was read",
}


class Workers:
    """A pool of worker processes."""

    def __init__(self, *, processes: int, memory_mb: int, timeout_seconds: float) -> None:
        """Start nothing yet.

        Args:
            processes: how many units are worked at once.
            memory_mb: of one worker's own data, in megabytes; an allocation beyond it fails.
            timeout_seconds: of one unit; beyond it the worker is killed.
        """
        self.processes = processes
        self._memory_bytes = memory_mb * 1024**2
        self._timeout_seconds = timeout_seconds
        self._pool: Pool | None = None
        #: Worker processes that ended before their work did, by what ended them: their time, a signal, themselves.
        self.lost: Counter[str] = Counter()
        #: Of one process that computes days.
        self._days: Pool | None = None

    def warm(self) -> None:
        """Start the warm parent, so that it imports while the caller does something else."""
        warm()

    def submit(self, unit: Unit, feed: Feed, setup: Setup) -> Future[Prepared]:
        """Have a unit worked; `result` says what came of it."""
        return self._schedule(self._timeout_seconds, _prepare, unit, feed, setup)

    def review(self, what: Review, feed: Feed, setup: Setup) -> Future[Prepared]:
        """Have a decision carried out as far as a worker can; `result` says what came of it."""
        return self._schedule(self._timeout_seconds, _review, what, feed, setup)

    def describe(self, feed: Feed) -> Future[ContractSummary]:
        """Have a feed's contract loaded where it will be used."""
        return self._schedule(max(DESCRIBE_SECONDS, self._timeout_seconds), _describe, feed)

    def signal(self, found: Found, source: Source) -> Future[Listed]:
        """Have the days read that a signal lists."""
        return self._schedule(self._timeout_seconds, _signal, found, source)

    def compact(self, store: Store, feed: str, *, target_bytes: int, min_files: int) -> Future[int]:
        """Have small data files of a feed's table rewritten into large ones."""
        return self._schedule(
            max(COMPACT_SECONDS, self._timeout_seconds), _compact, store, feed, target_bytes, min_files
        )

    def expire(
        self, store: Store, feed: str, *, keep_hours: int, stray_seconds: float, spared: Collection[str]
    ) -> Future[int]:
        """Have what a feed's table does not need any more deleted."""
        seconds = max(COMPACT_SECONDS, self._timeout_seconds)
        return self._schedule(seconds, _expire, store, feed, keep_hours, stray_seconds, spared)

    def figures(self, asked: Asked) -> Future[Figures]:
        """Have a day computed, and its metrics staged: by a process of its own, beside those that work drops.

        DuckDB keeps its own bounds; but it reserves far more than it takes, so that those of a worker would stop it.
        """
        return self._schedule_day(max(COMPACT_SECONDS, self._timeout_seconds), asked)

    @property
    def memory_bytes(self) -> int:
        """What one worker may take."""
        return self._memory_bytes

    def result(self, future: Future[T]) -> T:
        """Return what a finished future holds.

        Raises:
            BlobdropError: what the work itself raised.
            UndoneError: no worker could be started; the work is not to blame.
            WorkerError: the worker was lost, or raised what it should not.
        """
        try:
            return future.result()
        except LostError as error:
            self.lost[_ended_by(error)] += 1
            exitcode = None if error.overdue else error.exitcode
            raise WorkerError(self._lost(error), log=error.log, at=error.at, exitcode=exitcode) from error
        except RaisedError as error:
            raise WorkerError(self._raised(error), log=error.log, at=error.at) from error
        except StartError as error:
            raise UndoneError(f"no worker process can be started: {error}") from error
        except CancelledError as error:
            raise WorkerError("the workers were stopped") from error

    def stop(self) -> None:
        """Kill every worker at once and wait until they are gone."""
        for pool in (self._pool, self._days):
            if pool is not None:
                pool.stop()
        self._pool = self._days = None

    def _schedule(self, seconds: float, work: Callable[..., T], *arguments: object) -> Future[T]:
        if self._pool is not None and not self._pool.works:
            self.stop()
        if self._pool is None:
            self.warm()
            self._pool = Pool(self.processes, partial(_begin, self._memory_bytes))
        return self._pool.schedule(seconds, work, *arguments)

    def _schedule_day(self, seconds: float, asked: Asked) -> Future[Figures]:
        if self._days is None or not self._days.works:
            self.warm()
            self._days = Pool(1, partial(_begin, resource.RLIM_INFINITY))
        return self._days.schedule(seconds, _figures, asked)

    def _lost(self, error: LostError) -> str:
        if error.overdue:
            return f"it took longer than workers.timeout_seconds = {self._timeout_seconds:g}"
        if error.exitcode is not None and error.exitcode < 0:
            number = signal.Signals(-error.exitcode)
            return f"the worker was killed by {number.name}{WHY.get(number, '')}"
        return f"the worker ended by itself with exit code {error.exitcode}"

    def _raised(self, error: RaisedError) -> str:
        if error.raised.memory:
            return f"it needs more memory than workers.memory_mb = {self._memory_bytes // 1024**2}"
        return f"the worker raised {error.raised.said}"


def _ended_by(error: LostError) -> str:
    if error.overdue:
        return "timeout"
    is_signal = error.exitcode is not None and error.exitcode < 0
    return signal.Signals(-(error.exitcode or 0)).name if is_signal else "exit"


def _begin(memory_bytes: int) -> None:
    """Make a fresh worker die with its parent, and fail before it takes the machine's memory."""
    libc = ctypes.CDLL(None)
    libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if hasattr(libc, "mallopt"):  # glibc's
        for parameter, value in MALLOPT.values():
            libc.mallopt(parameter, value)
    resource.setrlimit(resource.RLIMIT_DATA, (memory_bytes, memory_bytes))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _prepare(say: Say, unit: Unit, feed: Feed, setup: Setup) -> Prepared:
    prepared: Prepared = importlib.import_module(WORK).prepare(unit, feed, setup, say)
    return prepared


def _review(_say: Say, what: Review, feed: Feed, setup: Setup) -> Prepared:
    prepared: Prepared = importlib.import_module("daemon.reviewing").review(what, feed, setup)
    return prepared


def _describe(_say: Say, feed: Feed) -> ContractSummary:
    summary: ContractSummary = importlib.import_module("daemon.contracts").describe(feed)
    return summary


def _signal(_say: Say, found: Found, source: Source) -> Listed:
    listed: Listed = importlib.import_module("daemon.signals.files").read_days(found, source)
    return listed


def _compact(_say: Say, store: Store, feed: str, target_bytes: int, min_files: int) -> int:
    return store.compact(feed, target_bytes=target_bytes, min_files=min_files)


def _figures(_say: Say, asked: Asked) -> Figures:
    found: Figures = importlib.import_module("daemon.days.figures").figures(asked)
    return found


def _expire(_say: Say, store: Store, feed: str, keep_hours: int, stray_seconds: float, spared: Collection[str]) -> int:
    return store.expire(feed, keep_hours=keep_hours, stray_seconds=stray_seconds, spared=spared)
