"""Runs units in worker processes that can be killed, with limits on memory and time: the executor seam.

Workers are forked from a warm parent, which has imported what is slow to import and has started no thread.
"""

from __future__ import annotations

import ctypes
import importlib
import multiprocessing
import resource
import signal
from collections.abc import Callable, Collection
from concurrent.futures import BrokenExecutor, CancelledError, Future
from typing import Any, TypeVar

from pebble import CONSTS, ProcessExpired, ProcessPool

from daemon.decisions import Review
from daemon.errors import BlobdropError, WorkerError
from daemon.model import ContractSummary, Feed, Prepared, Setup, Unit
from daemon.stores import Store
from daemon.warming import warm

T = TypeVar("T")

# How often the pool's threads look around, in seconds. A stop waits for them: at pebble's own 0.1 s, noticeably.
CONSTS.sleep_unit = 0.02

#: The module that does the work; the daemon's own process never imports it.
WORK = "daemon.prepare"
#: Loading a contract imports what its author imports, which may take a while on a cold disk.
DESCRIBE_SECONDS = 60.0
#: Compaction rewrites a day at a time; it is in nobody's way.
COMPACT_SECONDS = 3600.0
#: `prctl`'s option for the signal that a process gets when its parent dies (linux/prctl.h).
PR_SET_PDEATHSIG = 1


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
        self._pool: ProcessPool | None = None
        self._open: set[Future[Any]] = set()

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

    def result(self, future: Future[T]) -> T:
        """Return what a finished future holds.

        Raises:
            BlobdropError: what the work itself raised.
            WorkerError: the worker was lost, or raised what it should not.
        """
        try:
            return future.result()
        except BlobdropError:
            raise
        except TimeoutError as error:
            raise WorkerError(f"it took longer than workers.timeout_seconds = {self._timeout_seconds:g}") from error
        except ProcessExpired as error:
            raise WorkerError(_expired(error)) from error
        except (CancelledError, BrokenExecutor) as error:
            raise WorkerError("the workers were killed, perhaps for want of memory") from error
        except MemoryError as error:
            limit = self._memory_bytes // 1024**2
            raise WorkerError(f"it needs more memory than workers.memory_mb = {limit}") from error
        except Exception as error:
            raise WorkerError(f"the worker raised {type(error).__name__}: {error}") from error

    def stop(self) -> None:
        """Kill every worker at once and wait until they are gone."""
        if self._pool is not None:
            self._pool.stop()  # type: ignore[no-untyped-call]
            self._pool.join()
            self._pool = None
        for future in list(self._open):
            future.cancel()

    def mend(self) -> None:
        """Replace a pool that has broken, as pebble's does when its last process is killed while it is idle.

        What was under way ends as lost, so that it is tried again.
        """
        if self._pool is not None and not self._pool.active:
            self.stop()

    def _schedule(self, seconds: float, work: Callable[..., T], *arguments: object) -> Future[T]:
        self.mend()
        if self._pool is None:
            self.warm()
            self._pool = ProcessPool(
                max_workers=self.processes,
                initializer=_begin,
                initargs=(self._memory_bytes,),
                context=multiprocessing.get_context("forkserver"),
            )
        future: Future[T] = self._pool.schedule(work, args=arguments, timeout=seconds)
        self._open.add(future)
        future.add_done_callback(self._open.discard)
        return future


def _expired(error: ProcessExpired) -> str:
    if error.exitcode < 0:
        return f"the worker was killed by {signal.Signals(-error.exitcode).name}, perhaps for want of memory"
    return f"the worker ended by itself with exit code {error.exitcode}"


def _begin(memory_bytes: int) -> None:
    """Make a fresh worker die with its parent, and fail before it takes the machine's memory."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    resource.setrlimit(resource.RLIMIT_DATA, (memory_bytes, memory_bytes))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _prepare(unit: Unit, feed: Feed, setup: Setup) -> Prepared:
    prepared: Prepared = importlib.import_module(WORK).prepare(unit, feed, setup)
    return prepared


def _review(what: Review, feed: Feed, setup: Setup) -> Prepared:
    prepared: Prepared = importlib.import_module("daemon.reviewing").review(what, feed, setup)
    return prepared


def _describe(feed: Feed) -> ContractSummary:
    summary: ContractSummary = importlib.import_module(WORK).describe(feed)
    return summary


def _compact(store: Store, feed: str, target_bytes: int, min_files: int) -> int:
    return store.compact(feed, target_bytes=target_bytes, min_files=min_files)


def _expire(store: Store, feed: str, keep_hours: int, stray_seconds: float, spared: Collection[str]) -> int:
    return store.expire(feed, keep_hours=keep_hours, stray_seconds=stray_seconds, spared=spared)
