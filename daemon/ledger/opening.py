"""The ledger's file: making it, opening it, bringing it up to date."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from pathlib import Path

import sqlalchemy as sa

from daemon.durable import make_folder, sync
from daemon.errors import LedgerError, LedgerMissingError
from daemon.ledger import tables
from daemon.ledger.database import RESTORE, Database
from daemon.ledger.hold import alone


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


def open_ledger(path: Path, *, tables_exist: Callable[[], bool], now: float) -> Database:
    """Open the ledger for a daemon: make it where none is and none is missed, bring an older one up to date.

    Raises:
        LedgerMissingError: there is none, or an empty file, and `tables_exist()` says that there was one.
        LedgerBusyError: it is an older program's, whose daemon runs.
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
            _bring_up_to_date(database, now, new=revision is None)
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


def _bring_up_to_date(database: Database, now: float, *, new: bool) -> None:
    """Make or migrate the tables in one transaction, which also keeps a second process out.

    An older program's daemon may be at work: tables that change under it could make it lose what it writes.
    """
    with nullcontext() if new else alone(database.path), database.writing() as connection:
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


def migrate(connection: sa.Connection, revision: str = "head") -> None:
    """Bring the tables up to date, or to a revision, within the connection's transaction."""
    # Imported here, as an optional extra would be: 0.1 s that only an older ledger has to pay.
    from alembic import command  # noqa: PLC0415
    from alembic.config import Config  # noqa: PLC0415

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
    config.attributes["connection"] = connection
    command.upgrade(config, revision)
