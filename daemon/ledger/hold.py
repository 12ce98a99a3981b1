"""The exclusive hold on a ledger: one daemon at a time. Freed by the system when its holder dies, however it dies."""

from __future__ import annotations

import fcntl
import json
import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from daemon.errors import LedgerBusyError, LedgerError

#: Bytes of a lock file at the most.
LOCK_BYTES = 4096
#: Holds that ended by a crash, and are remembered; one is enough unless starts fail too.
CRASHES = 32


@dataclass(frozen=True, kw_only=True)
class Hold:
    """One daemon's hold on the ledger."""

    #: Never the same for two holds; names what this daemon makes and has to clear away if it crashes.
    session: str
    #: The sessions of those before it that did not end in good order.
    crashed: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Holder:
    """The daemon that holds a ledger."""

    pid: int
    #: Unix seconds.
    since: float


class _Lock:
    """An open lock file. Closing it twice is fine."""

    def __init__(self, path: Path) -> None:
        self.fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)

    def close(self) -> None:
        """Close it here, without freeing a lock that another process shares."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1


@contextmanager
def held(ledger: Path, now: float) -> Iterator[Hold]:
    """Hold the ledger for the length of a `with`, with pid and `now` (unix seconds) in `<ledger>.lock`.

    What is written there is wiped only at a `with`'s good end, so that the next holder knows of a crash.

    Raises:
        LedgerBusyError: another process holds it; the message says which.
        LedgerError: its lock file cannot be made or locked.
    """
    path = lock_of(ledger)
    with _taken(path) as lock:
        hold = Hold(session=uuid.uuid4().hex[:12], crashed=_crashed(lock))
        _write(lock, path, json.dumps({"pid": os.getpid(), "since": now, **asdict(hold)}))
        # A forked worker shares the lock; it must not keep it when the daemon is killed and the worker lives on.
        os.register_at_fork(after_in_child=lock.close)
        yield hold
        _write(lock, path, "")


@contextmanager
def alone(ledger: Path) -> Iterator[None]:
    """Keep daemons from holding the ledger for the length of a `with`; what the last one has left is still known then.

    Raises:
        LedgerBusyError: one holds it.
        LedgerError: its lock file cannot be made or locked.
    """
    with _taken(lock_of(ledger)):
        yield


@contextmanager
def _taken(path: Path) -> Iterator[_Lock]:
    try:
        lock = _Lock(path)
    except OSError as error:
        raise LedgerError(f"lock file {path} cannot be opened: {error.strerror}. Check the rights on it") from error
    try:
        _take(lock, path)
        yield lock
    finally:
        lock.close()


def holder(ledger: Path) -> Holder | None:
    """Return who holds the ledger now; None for nobody, or for a holder that this user may not ask about."""
    try:
        with lock_of(ledger).open("rb") as lock:
            written = json.loads(lock.read(LOCK_BYTES))
            # Only a holder has written this, or one that was killed: a daemon that starts takes the lock first.
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return Holder(pid=int(written["pid"]), since=float(written["since"]))
    except (OSError, ValueError):
        return None
    return None


def lock_of(ledger: Path) -> Path:
    """Return the ledger's lock file."""
    return ledger.with_name(ledger.name + ".lock")


def _take(lock: _Lock, path: Path) -> None:
    try:
        fcntl.flock(lock.fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise LedgerBusyError(
            f"{_holder(lock)} holds this ledger (its lock is {path}). "
            "Stop it first, or give this one a ledger of its own (ledger.url)"
        ) from None
    except OSError as error:
        raise LedgerError(f"{path} cannot be locked: {error.strerror}. Put the ledger on a local disk") from error


def _crashed(lock: _Lock) -> tuple[str, ...]:
    """Return the sessions that the last holder has left behind: its own and those that it found."""
    try:
        left = json.loads(os.pread(lock.fd, LOCK_BYTES, 0))
        return (*map(str, left["crashed"]), str(left["session"]))[-CRASHES:]
    except (ValueError, KeyError, TypeError):
        return ()


def _write(lock: _Lock, path: Path, text: str) -> None:
    try:
        os.ftruncate(lock.fd, 0)
        os.pwrite(lock.fd, text.encode(), 0)
        # After a power cut too the next holder is to know what this one may have left.
        os.fsync(lock.fd)
    except OSError as error:
        raise LedgerError(f"{path} cannot be written: {error.strerror}. Check its disk; nothing is lost") from error


def _holder(lock: _Lock) -> str:
    """Say who holds the lock, from what the holder wrote; it may not have written yet."""
    try:
        holder = json.loads(os.pread(lock.fd, LOCK_BYTES, 0))
        since = datetime.fromtimestamp(holder["since"], UTC).isoformat(sep=" ", timespec="seconds")
        return f"process {holder['pid']}, running since {since},"
    except (ValueError, KeyError, TypeError):
        return "another process"
