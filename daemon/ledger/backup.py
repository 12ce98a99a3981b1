"""A copy of the ledger while the daemon writes: whole, checked, on the disk, and only then under its name."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Final

from daemon.durable import sync
from daemon.errors import LedgerError
from daemon.ledger.database import address_of

#: What SQLite calls a file that is no database any more.
DAMAGED: Final = ("SQLITE_CORRUPT", "SQLITE_NOTADB")


def back_up(ledger: Path, target: Path, *, force: bool = False) -> int:
    """Copy the ledger as it is at one instant to `target`, one file without a log beside it; return its bytes.

    The daemon may go on writing: SQLite's backup reads one state, and nobody waits for it. A killed backup leaves
    nothing under the target's name.

    Args:
        ledger: an existing ledger.
        target: a file, which may exist with `force` only.
        force: whether to replace the target.

    Raises:
        LedgerError: the ledger is damaged, the target exists, or it cannot be written.
    """
    if target.is_dir():
        raise LedgerError(f"{target} is a folder; name a file in it, such as {target / 'ledger.db'}")
    if target.exists() and target.samefile(ledger):
        raise LedgerError(f"{target} is the ledger itself; name another file")
    if target.exists() and not force:
        raise LedgerError(f"{target} exists already; name another file, or replace it with --force")
    unfinished = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    with _explained(ledger, target):
        try:
            _copy(ledger, unfinished)
            sync(unfinished)
            unfinished.replace(target)
        finally:
            unfinished.unlink(missing_ok=True)
        sync(target.parent)
        return target.stat().st_size


def drops_in(backup: Path) -> int:
    """Return how many drops a backup knows. It may be an older program's: it is best made before an upgrade.

    Raises:
        LedgerError: it is a backup of something else.
    """
    try:
        with closing(_opened(backup)) as connection:
            (count,) = connection.execute("SELECT count(*) FROM drops").fetchone()
    except sqlite3.Error as error:
        why = f"{backup} is no ledger: {error}. Check ledger.url: it names the database that was copied"
        raise LedgerError(why) from error
    return int(count)


def damage(path: Path) -> str:
    """Return what SQLite finds wrong in a database file, in its words; empty when all is well.

    Raises:
        LedgerError: it cannot be looked into now: a lock, a right that is missing.
    """
    try:
        with closing(_opened(path)) as connection:
            return _damage(connection)
    except sqlite3.Error as error:
        if _says_damage(error):
            return str(error)
        raise LedgerError(f"ledger {path} cannot be looked into: {error}. Check who uses it, and its rights") from error


def _copy(ledger: Path, unfinished: Path) -> None:
    unfinished.unlink(missing_ok=True)
    with closing(_opened(ledger)) as source, closing(sqlite3.connect(unfinished)) as copy:
        # In one step: one state of the ledger, whatever is written meanwhile.
        source.backup(copy, pages=-1)
        # The copy says that it has a write-ahead log, as the ledger does. One file is what people can carry.
        copy.execute("PRAGMA journal_mode=DELETE")
        if found := _damage(copy):
            raise LedgerError(_damaged(ledger, found))


def _says_damage(error: sqlite3.Error) -> bool:
    return getattr(error, "sqlite_errorname", "").startswith(DAMAGED)


def _damaged(ledger: Path, found: str) -> str:
    return (
        f"ledger {ledger} is damaged, so no backup was made: {found}. "
        "Stop the daemon, and restore an earlier backup or use `blobdrop ledger rebuild`"
    )


def _opened(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(address_of(path), uri=True)


def _damage(connection: sqlite3.Connection) -> str:
    found = [str(line) for (line,) in connection.execute("PRAGMA integrity_check(3)")]
    return "" if found == ["ok"] else "; ".join(found)


@contextmanager
def _explained(ledger: Path, target: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        raise LedgerError(f"backup {target} cannot be written: {reason}. Check its folder, or name another") from error
    except sqlite3.Error as error:
        if _says_damage(error):
            raise LedgerError(_damaged(ledger, str(error))) from error
        raise LedgerError(
            f"ledger {ledger} cannot be copied to {target}: {error}. Check the room on both disks, and try again"
        ) from error
