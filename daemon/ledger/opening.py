"""The ledger's file: making it, opening it, bringing it up to date. The one place that explains a database's errors."""

from __future__ import annotations

import os
import sqlite3
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final
from urllib.parse import quote

import sqlalchemy as sa

from daemon.durable import make_folder, sync
from daemon.errors import LedgerError, LedgerMissingError
from daemon.ledger import tables

#: How long a write waits for another process's write, seconds; ours take milliseconds.
BUSY_SECONDS: Final = 10.0
#: Pauses between tries to switch the file to a write-ahead log, seconds: four in all.
SWITCH_PAUSES: Final = tuple(0.01 * number for number in range(1, 29))
#: What to do where the ledger is gone or cannot be read. Its -wal and -shm belong to the file that is replaced.
RESTORE: Final = (
    "Restore it from a backup, made by `blobdrop ledger backup`: move what is there aside, with its -wal and -shm, "
    "and copy the backup to its place. Without one, make it anew from what is left: `blobdrop ledger rebuild`"
)
#: How SQLite opens a file to write it: one that is missing is an error, never a new empty ledger.
_TO_WRITE: Final = "mode=rw"
#: SQLite's names of what went wrong -> what it means and what to do.
ADVICE: Final = (
    ("SQLITE_BUSY", f"another process has kept it locked for {BUSY_SECONDS:g} s. Stop that process, then try again"),
    ("SQLITE_LOCKED", "another process keeps it locked. Stop that process, then try again"),
    ("SQLITE_READONLY", "this user may not write to it. Give the user the right to write the file and its folder"),
    ("SQLITE_PERM", "this user may not read it. Give the user the right to read the file and its folder"),
    ("SQLITE_FULL", "its disk is full. Free some space; nothing was half written"),
    ("SQLITE_IOERR", "its disk cannot be read or written. Check the disk and the rights on the file and its folder"),
    ("SQLITE_CANTOPEN", "it cannot be opened. Check that the file exists and the rights on it and its folder"),
    ("SQLITE_CORRUPT", f"the file is damaged. {RESTORE}"),
    ("SQLITE_NOTADB", f"the file is not an SQLite database, or damaged. {RESTORE}; or set ledger.url"),
)


def file_of(url: str) -> Path:
    """Return the file that a ledger's URL such as `sqlite:///var/ledger.db` names, as an absolute path.

    Raises:
        LedgerError: the URL names no SQLite file.
    """
    example = "such as sqlite:///var/ledger.db, or sqlite:////srv/ledger.db for an absolute path"
    try:
        parsed = sa.make_url(url)
    except sa.exc.ArgumentError as error:
        raise LedgerError(f"ledger.url {url!r} is not a database URL; expected one {example}") from error
    if parsed.get_backend_name() != "sqlite" or parsed.get_driver_name() != "pysqlite":
        shown = parsed.render_as_string(hide_password=True)
        raise LedgerError(f"ledger.url {shown!r}: this version keeps its ledger in SQLite; expected a URL {example}")
    if not parsed.database or parsed.database == ":memory:" or parsed.database.startswith("file:"):
        raise LedgerError(
            f"ledger.url {url!r} names no file, and a ledger must outlive the program; expected {example}"
        )
    return Path(parsed.database).absolute()


class Database:
    """Connections to one ledger file, for short transactions from any thread.

    Not for a forked child: open it after forking, or open another one in the child.
    """

    def __init__(self, path: Path) -> None:
        """Prepare to connect to an existing file; nothing is opened yet."""
        self.path = path
        self._engine = sa.create_engine(f"sqlite:///{path}", creator=self._connect)
        self._writer = self._engine.execution_options(begin="BEGIN IMMEDIATE")
        self._inode: tuple[int, int] | None = None
        sa.event.listen(self._engine, "begin", _begin)

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
        if self._mode() != _TO_WRITE:
            raise LedgerError(f"ledger {self.path}: {dict(ADVICE)['SQLITE_READONLY']}")
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
        address = f"file:{quote(os.fsencode(self.path))}?{self._mode()}"
        connection = sqlite3.connect(address, uri=True, timeout=BUSY_SECONDS, check_same_thread=False)
        # Python's own transactions would begin late and as readers; `_begin` begins them.
        connection.isolation_level = None
        connection.execute("PRAGMA foreign_keys=ON")
        # FULL: a commit is on the disk before the table's transaction or the source is touched (design 4.2).
        connection.execute("PRAGMA synchronous=FULL")
        self._inode = self._inode or _inode(self.path)
        return connection

    def _mode(self) -> str:
        """Return how SQLite is to open the file: to write, or as well as a user can who may only look."""
        if os.access(self.path, os.W_OK) and os.access(self.path.parent, os.W_OK):
            return _TO_WRITE
        has_log = Path(f"{self.path}-wal").exists()
        # Even to read a log SQLite wants to write beside the file. Where there is no log, nobody has the file open.
        return "mode=ro" if has_log else "mode=ro&immutable=1"

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
        name = getattr(error, "sqlite_errorname", "")
        advice = next((text for prefix, text in ADVICE if name.startswith(prefix)), "it is not as a ledger should be")
        return LedgerError(f"ledger {self.path}: {advice} ({error})")


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


def _begin(connection: sa.Connection) -> None:
    connection.exec_driver_sql(connection.get_execution_options().get("begin", "BEGIN"))


def open_ledger(path: Path, *, tables_exist: Callable[[], bool], now: float) -> Database:
    """Open the ledger for a daemon: make it where none is and none is missed, bring an older one up to date.

    Raises:
        LedgerMissingError: there is none, or an empty file, and `tables_exist()` says that there was one.
        LedgerError: it cannot be made, read or brought up to date.
    """
    new = not path.exists()
    if new:
        _refuse_loss(path, tables_exist)
        _make_file(path)
    with _opened(path) as database:
        revision = revision_of(database)
        if revision is None and not new:
            _refuse_loss(path, tables_exist)
        database.use_wal()
        if revision != tables.HEAD:
            _bring_up_to_date(database, now)
    return database


def open_existing(path: Path) -> Database:
    """Open a ledger for a command, which never makes one.

    Raises:
        LedgerError: there is none yet, or not one of this program's version.
    """
    with _opened(path) as database:
        revision = revision_of(database) if path.exists() else None
        if revision is None:
            raise LedgerError(f"nothing was ingested yet: there is no ledger at {path}. Start the daemon: blobdrop run")
        if revision != tables.HEAD:
            raise LedgerError(
                f"ledger {path} is of an older program (revision {revision}, expected {tables.HEAD}). "
                "Start the daemon once, which brings it up to date: blobdrop run --once"
            )
    return database


@contextmanager
def _opened(path: Path) -> Iterator[Database]:
    """Give a database that stays open when the block ends well, and is closed when it does not."""
    with ExitStack() as stack:
        database = Database(path)
        stack.callback(database.close)
        yield database
        stack.pop_all()


def revision_of(database: Database) -> str | None:
    """Return the revision of the ledger's tables, one that this program knows; None for a file without any table.

    Raises:
        LedgerError: the file is another program's, is damaged, or is of a newer program.
    """
    with database.reading() as connection:
        return _revision(connection, database.path)


def _revision(connection: sa.Connection, path: Path) -> str | None:
    found = connection.exec_driver_sql("SELECT name FROM sqlite_master WHERE type = 'table'").scalars().all()
    if not found:
        return None
    if tables.version.name not in found or tables.about.name not in found:
        raise LedgerError(f"{path} is a database, but not a blobdrop ledger. Set ledger.url to a file of its own")
    revision = connection.execute(sa.select(tables.version.c.version_num)).scalar_one()
    if revision not in tables.REVISIONS:
        raise LedgerError(
            f"ledger {path} is of a newer program (revision {revision}, this one knows up to {tables.HEAD}). "
            "Upgrade blobdrop"
        )
    return str(revision)


def _refuse_loss(path: Path, tables_exist: Callable[[], bool]) -> None:
    if tables_exist():
        raise LedgerMissingError(
            f"no ledger at {path}, but tables exist: starting an empty one would ingest every file again. "
            f"{RESTORE}; or set ledger.url to where the ledger is. To start afresh, move the tables away (store.url)"
        )


def _make_file(path: Path) -> None:
    try:
        make_folder(path.parent)
        path.touch()
        for folder in (path.parent, path.parent.parent):
            sync(folder)
    except OSError as error:
        reason = error.strerror or error
        raise LedgerError(
            f"ledger {path} cannot be made: {reason}. Check the rights on its folder, or set ledger.url"
        ) from error


def _bring_up_to_date(database: Database, now: float) -> None:
    """Make or migrate the tables in one transaction, which also keeps a second process out."""
    with database.writing() as connection:
        # Looked at again: another process may have done it while this one waited for the lock.
        revision = _revision(connection, database.path)
        if revision is None:
            make_tables(connection, now)
        elif revision != tables.HEAD:
            migrate(connection)


def make_tables(connection: sa.Connection, now: float, identity: str = "") -> None:
    """Make the tables of an empty ledger, with the identity of a lost one or with a new one."""
    # Not through the migrations, which would import Alembic; a test holds that both ways give the same tables.
    tables.metadata.create_all(connection)
    connection.execute(tables.version.insert(), {"version_num": tables.HEAD})
    connection.execute(tables.about.insert(), {"identity": identity or str(uuid.uuid4()), "created_at": now})


def migrate(connection: sa.Connection) -> None:
    """Bring the tables up to date, within the connection's transaction."""
    # Imported here, as an optional extra would be: 0.1 s that only an older ledger has to pay.
    from alembic import command  # noqa: PLC0415
    from alembic.config import Config  # noqa: PLC0415

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
