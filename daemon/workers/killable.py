"""One worker process that can be killed, from both ends: what it does, and how the process that started it sees it.

It shares no lock and no queue with others, so that a dead one leaves nothing locked. What it writes to stdout and
stderr is kept, a little of it, to be told when it is lost; it never mixes with what the daemon says.
"""

from __future__ import annotations

import contextlib
import faulthandler
import multiprocessing
import os
import pickle
import signal
import sys
import time
import traceback
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from typing import Any, Final

from daemon.errors import BlobdropError

#: Seconds that a worker has to end by itself when its time is up, or when it has closed its pipe.
GRACE_SECONDS: Final = 1.0
#: Bytes of what a worker has written that are kept, and the lines of them that are told.
KEPT_BYTES: Final = 64 * 1024
TOLD_LINES: Final = 20
#: What `faulthandler` begins with. Below it the innermost call comes first, and not last as in a traceback.
FATAL: Final = "Fatal Python error: "


@dataclass(frozen=True)
class Ready:
    """It can take a task."""


@dataclass(frozen=True)
class At:
    """Which part of its task it begins now."""

    what: str


@dataclass(frozen=True)
class Done:
    """What has come of its task."""

    value: Any


@dataclass(frozen=True)
class Ours:
    """Its task has raised one of our errors."""

    error: BlobdropError


@dataclass(frozen=True)
class Raised:
    """Its task has raised something else. It ends now, for nobody knows in which state it is."""

    #: The exception's type and message.
    said: str
    #: Whether memory ran out.
    memory: bool


Said = Ready | At | Done | Ours | Raised
#: How a task says which part of it begins; empty for none in particular.
Say = Callable[[str], None]


@dataclass
class Task:
    """A call that a worker is to make."""

    #: The function, which takes a `Say` first, and its other arguments, pickled.
    call: bytes
    #: From when it is handed over.
    seconds: float
    future: Future[Any] = field(default_factory=Future)


# -------------------------------------------------------------------- IN THE WORKER


def serve(tasks: Connection[Said, Any], saying: Connection[Any, Any], begin: Callable[[], None]) -> None:
    """Make calls, one after the other, until nobody is there to send any."""
    # A group of its own, so that what a contract starts can be killed with it. To stop is for the daemon alone, which
    # gives back what its workers have, and kills them.
    os.setpgid(0, 0)
    # It ends a worker whose patience is over, whatever those who started it have thought of it.
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    for told_to_stop in (signal.SIGINT, signal.SIGTERM):
        signal.signal(told_to_stop, signal.SIG_IGN)
    for written in (1, 2):
        os.dup2(saying.fileno(), written)
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    # Where it was when it crashed, or was told that its time is up.
    faulthandler.enable(2, all_threads=False)
    begin()
    tasks.send(Ready())
    while True:
        try:
            call = tasks.recv_bytes()
        except EOFError:
            return
        # From now on it is this task that may be to blame for what happens to us.
        tasks.send(At(""))
        answer = _answer(call, lambda what: tasks.send(At(what)))
        tasks.send(answer)
        if isinstance(answer, Raised):
            os._exit(1)


def _answer(call: bytes, say: Say) -> Said:
    try:
        work, arguments = pickle.loads(call)  # noqa: S301 - from our own parent
        return Done(work(say, *arguments))
    except BlobdropError as error:
        return Ours(error)
    except BaseException as error:  # noqa: BLE001 - whatever a contract raises, its parent has to hear of it
        traceback.print_exc(file=sys.__stderr__)
        return Raised(f"{type(error).__name__}: {error}".rstrip(": "), isinstance(error, MemoryError))


# -------------------------------------------------------------------- IN ITS PARENT


class Killable:
    """A worker process as its parent sees it. Not thread-safe."""

    def __init__(self, begin: Callable[[], None]) -> None:
        """Start it; it calls `begin` before it takes tasks.

        Raises:
            OSError, EOFError: no process can be started now.
        """
        tasks, theirs = multiprocessing.Pipe()
        said, saying = multiprocessing.Pipe(duplex=False)
        self.tasks: Connection[Any, Said] = tasks
        self._said: Connection[Any, Any] | None = said
        context = multiprocessing.get_context("forkserver")
        self._process = context.Process(target=serve, args=(theirs, saying, begin))
        try:
            self._process.start()
        except (OSError, EOFError):
            self.close()
            raise
        finally:
            theirs.close()
            saying.close()
        os.set_blocking(said.fileno(), False)
        self._kept = bytearray()
        self.is_ready = False
        #: Which part of its task it is at, as far as it has said.
        self.at = ""
        #: Whether it has begun the task that it was given.
        self.has_begun = False
        self.task: Task | None = None
        #: When its time is up, by the monotonic clock; None while it has nothing to do.
        self.deadline: float | None = None
        self.overdue = False

    def signs(self) -> list[Any]:
        """Return what becomes readable when there is something to hear of it."""
        return [self.tasks, self._process.sentinel, *([self._said] if self._said else [])]

    def is_alive(self) -> bool:
        """Tell whether the process has not ended."""
        return self._process.is_alive()

    def hand(self, task: Task) -> None:
        """Give it a task.

        Raises:
            OSError: it has ended meanwhile.
        """
        self.hear()
        self._kept.clear()
        self.tasks.send_bytes(task.call)
        self.task, self.deadline, self.has_begun = task, time.monotonic() + task.seconds, False

    def free(self) -> Task | None:
        """Take its task from it, which has ended."""
        task, self.task, self.deadline = self.task, None, None
        return task

    def hear(self) -> None:
        """Keep the end of what it has written."""
        while self._said is not None:
            try:
                heard = os.read(self._said.fileno(), KEPT_BYTES)
            except BlockingIOError:
                return
            self._kept = (self._kept + heard)[-KEPT_BYTES:]
            if not heard:
                self._said.close()
                self._said = None

    def log(self) -> str:
        """Return the last lines that it has written for this task."""
        self.hear()
        return told(self._kept.decode("utf-8", "replace"))

    def hurry(self) -> None:
        """Have a worker whose time is up write where it is, and end; the second time, kill it."""
        if self.overdue:
            self.deadline = None
            self._kill()
            return
        self.overdue, self.deadline = True, time.monotonic() + GRACE_SECONDS
        with contextlib.suppress(ProcessLookupError):
            os.kill(self._pid, signal.SIGABRT)

    def end(self, *, at_once: bool = False) -> int | None:
        """See to it that it and what it has started are gone; return its exit code, None if it cannot be killed."""
        if not at_once:
            self._process.join(GRACE_SECONDS)
        self._kill()
        self._process.join(GRACE_SECONDS)
        return self._process.exitcode

    def close(self) -> None:
        """Let go of its pipes."""
        self.tasks.close()
        if self._said is not None:
            self._said.close()
            self._said = None

    def _kill(self) -> None:
        # One that is killed before it leads its group has started nothing yet.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._pid, signal.SIGKILL)
        if self._process.is_alive():
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._pid, signal.SIGKILL)

    @property
    def _pid(self) -> int:
        assert self._process.pid is not None  # noqa: S101 - it was started
        return self._process.pid


def told(written: str) -> str:
    """Return the lines of what a worker has written that say most: the innermost calls where it crashed, or the last.

    At most 20 lines.
    """
    start = written.rfind(FATAL)
    if start < 0:
        return "\n".join(_lines(written)[-TOLD_LINES:])
    return "\n".join((_lines(written[:start])[-TOLD_LINES // 2 :] + _lines(written[start:]))[:TOLD_LINES])


def _lines(text: str) -> list[str]:
    return [line.rstrip() for line in text.splitlines() if line.strip()]
