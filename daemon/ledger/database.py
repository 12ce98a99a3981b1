"""One ledger file's connections and transactions. The one place that explains a database's errors."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final
from urllib.parse import quote

import sqlalchemy as sa
from sqlalchemy.engine.interfaces import DBAPICursor

from daemon.errors import LedgerError

#: How long a write waits for another process's write, seconds; ours take milliseconds.
BUSY_SECONDS: Final = 10.0
#: How long it waits once the daemon is to stop, which has 10 s for several of them.
HURRY_SECONDS: Final = 1.0
#: A write waits in steps, seconds: SQLite hears no signal while it waits.
STEP_SECONDS: Final = 0.25
#: Pauses between tries to switch the file to a write-ahead log, seconds: four in all.
SWITCH_PAUSES: Final = tuple(0.01 * number for number in range(1, 29))
#: What to do where the ledger is gone or cannot be read. Its -wal and -shm belong to the file that is replaced.
RESTORE: Final = (
    "Restore it from a backup, made by `blobdrop ledger backup`: move what is there aside, with its -wal and -shm, "
    "and copy the backup to its place. Without one, make it anew from what is left: `blobdrop ledger rebuild`"
)
READ_ONLY: Final = "its disk is read-only. Mend the disk, or mount it to be written; nothing is lost"
#: What marks a connection whose transactions write.
WRITES: Final = "writes"
#: SQLite's names of what went wrong -> what it means and what to do.
ADVICE: Final = (
    ("SQLITE_BUSY", "another process has kept it locked for {seconds:g} s. Stop that process, then try again"),
    ("SQLITE_LOCKED", "another process keeps it locked. Stop that process, then try again"),
    ("SQLITE_READONLY", "this user may not write to it. Give the user the right to write the file and its folder"),
    ("SQLITE_PERM", "this user may not read it. Give the user the right to read the file and its folder"),
    ("SQLITE_FULL", "its disk is full. Free some space; nothing was half written"),
    ("SQLITE_IOERR", "its disk cannot be read or written. Check the disk and the rights on the file and its folder"),
    ("SQLITE_CANTOPEN", "it cannot be opened. Check that the file exists and the rights on it and its folder"),
    ("SQLITE_CORRUPT", f"the file is damaged. {RESTORE}"),
    ("SQLITE_NOTADB", f"the file is not an SQLite database, or damaged. {RESTORE}; or set ledger.url"),
)


class Database:
    """Connections to one ledger file, for short transactions from any thread.

    Not for a forked child: open it after forking, or open another one in the child.
    """

    def __init__(self, path: Path) -> None:
        """Prepare to connect to an existing file; nothing is opened yet."""
        self.path = path
        self._engine = sa.create_engine(f"sqlite:///{path}", creator=self._connect)
        self._writer = self._engine.execution_options(**{WRITES: True})
        self._inode: tuple[int, int] | None = None
        self._patience_seconds = BUSY_SECONDS
        sa.event.listen(self._engine, "begin", self._begin)

    def hurry(self) -> None:
        """From now on hardly wait for other processes' writes. From any thread or a signal."""
        self._patience_seconds = HURRY_SECONDS

    @contextmanager
    def reading(self) -> Iterator[sa.Connection]:
        """Give a connection that sees one state of the ledger, whatever is written meanwhile.

        Raises:
            LedgerError: the ledger cannot be read; the message says why and what to do.
        """
        with self._explained(), self._engine.connect() as connection:
            yield connection

    @contextmanager
    def writing(self) -> Iterator[sa.Connection]:
        """Give a connection for one transaction: all of it is on the disk at the end, or nothing of it.

        It is the only writer from its first statement, so that it may read before it writes.

        Raises:
            LedgerError: the ledger cannot be written; the message says why and what to do.
        """
        with self._explained(), self._writer.begin() as connection:
            self._check_in_place()
            yield connection

    @contextmanager
    def unchecked(self) -> Iterator[sa.Connection]:
        """Give a connection for one transaction, as `writing`, in which nobody checks what rows refer to.

        To delete many rows that others may refer to: SQLite would go through all of those for each.
        """
        with self._explained(), self._writer.connect() as connection:
            cursor = connection.connection.cursor()
            cursor.execute("PRAGMA foreign_keys=OFF")
            try:
                with connection.begin():
                    self._check_in_place()
                    yield connection
            finally:
                cursor.execute("PRAGMA foreign_keys=ON")

    def use_wal(self) -> None:
        """Make the file keep a write-ahead log, so that readers and the writer do not wait for each other.

        Raises:
            LedgerError: the file's folder cannot have one, or this user may not write there.
        """
        if not _is_writable(self.path):
            raise LedgerError(f"ledger {self.path}: {self._advice('SQLITE_READONLY')}")
        with self._explained(), self._engine.connect() as connection:
            # A pragma on the driver's own connection: inside a transaction it would do nothing.
            mode = _switch_to_wal(connection.connection)
        if mode != "wal":
            raise LedgerError(
                f"ledger {self.path}: its file system has no shared memory (journal mode {mode!r}, expected 'wal'). "
                "Put the ledger on a local disk with ledger.url"
            )

    def close(self) -> None:
        """Close every connection; the last one to close takes the write-ahead log into the file."""
        self._engine.dispose()

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(address_of(self.path), uri=True, timeout=BUSY_SECONDS, check_same_thread=False)
        # Python's own transactions would begin late and as readers; `_begin` begins them.
        connection.isolation_level = None
        connection.execute("PRAGMA foreign_keys=ON")
        # FULL: a commit is on the disk before the table's transaction or the source is touched (design 4.2).
        connection.execute("PRAGMA synchronous=FULL")
        self._inode = self._inode or _inode(self.path)
        return connection

    def _begin(self, connection: sa.Connection) -> None:
        cursor = connection.connection.cursor()
        if WRITES not in connection.get_execution_options():
            cursor.execute("BEGIN")
            return
        cursor.execute(f"PRAGMA busy_timeout = {STEP_SECONDS * 1000:.0f}")
        try:
            self._take_turn(cursor)
        finally:
            cursor.execute(f"PRAGMA busy_timeout = {BUSY_SECONDS * 1000:.0f}")

    def _take_turn(self, cursor: DBAPICursor) -> None:
        began = time.monotonic()
        while True:
            try:
                cursor.execute("BEGIN IMMEDIATE")
            except sqlite3.OperationalError as error:
                # Also where another process repairs the log that a killed one has left: SQLITE_BUSY_RECOVERY.
                is_busy = error.sqlite_errorname.startswith("SQLITE_BUSY")
                if not is_busy or time.monotonic() - began >= self._patience_seconds:
                    raise
            else:
                return

    def _check_in_place(self) -> None:
        """Refuse to write into a file that somebody has removed or replaced under us: the rows would be lost."""
        try:
            inode = _inode(self.path)
        except FileNotFoundError as error:
            raise LedgerError(f"ledger {self.path} was removed while in use. Stop, and restore it") from error
        if inode != self._inode:
            raise LedgerError(f"ledger {self.path} was replaced while in use. Stop, and start again with the right one")

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """Turn what the database reports into a LedgerError. A broken rule of our own statements stays what it is."""
        try:
            yield
        except (sa.exc.IntegrityError, sa.exc.ProgrammingError):
            raise
        except sa.exc.DBAPIError as error:
            raise self._explain(error.orig or error) from error
        except sqlite3.Error as error:
            raise self._explain(error) from error

    def _explain(self, error: BaseException) -> LedgerError:
        advice = self._advice(getattr(error, "sqlite_errorname", ""))
        return LedgerError(f"ledger {self.path}: {advice} ({error})")

    def _advice(self, name: str) -> str:
        if name.startswith("SQLITE_READONLY") and _is_on_read_only_disk(self.path):
            return READ_ONLY
        advice = next((text for prefix, text in ADVICE if name.startswith(prefix)), "it is not as a ledger should be")
        return advice.format(seconds=self._patience_seconds)


def address_of(path: Path) -> str:
    """Return the URI by which SQLite opens an existing ledger: to write, or as well as a user can who may only look."""
    # mode=rw: one that is missing is an error, never a new empty ledger.
    mode = "mode=rw"
    if not _is_writable(path):
        # Even to read a log SQLite wants to write beside the file. Where there is no log, nobody has the file open.
        mode = "mode=ro" if Path(f"{path}-wal").exists() else "mode=ro&immutable=1"
    return f"file:{quote(os.fsencode(path.absolute()))}?{mode}"


def _is_writable(path: Path) -> bool:
    return os.access(path, os.W_OK) and os.access(path.parent, os.W_OK)


def _is_on_read_only_disk(path: Path) -> bool:
    return bool(os.statvfs(path.parent).f_flag & os.ST_RDONLY)


def _switch_to_wal(driver: sa.PoolProxiedConnection) -> str:
    """Switch, and return the mode that the file is in. SQLite does not wait here where two processes do it at once."""
    cursor = driver.cursor()
    for pause in SWITCH_PAUSES:
        try:
            cursor.execute("PRAGMA journal_mode=WAL")
            break
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY:
                raise
            time.sleep(pause)
    return str(cursor.execute("PRAGMA journal_mode").fetchone()[0])


def _inode(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_dev, status.st_ino
