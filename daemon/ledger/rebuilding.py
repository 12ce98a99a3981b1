"""A ledger written anew from what was found elsewhere: whole under a temporary name, then in its place."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from daemon.durable import sync
from daemon.errors import LedgerError
from daemon.ledger import dayrows
from daemon.ledger.database import Database
from daemon.ledger.days import Day
from daemon.ledger.daytables import days, markers
from daemon.ledger.hold import lock_of
from daemon.ledger.markers import said
from daemon.ledger.moves import insert
from daemon.ledger.opening import make_tables
from daemon.ledger.queries import chunked
from daemon.ledger.rows import Kind, found_columns, outcome_columns, storable
from daemon.ledger.tables import batches, drops, events
from daemon.markers import Reading, Standing
from daemon.model import Found, Outcome

#: A feed's name and a customer's.
Scope = tuple[str, str]
#: What stands beside a ledger's file and belongs to it.
LOGS: Final = ("-wal", "-shm", "-journal")


@dataclass(frozen=True, kw_only=True)
class Known:
    """A drop that has come to its end, as far as it is known."""

    found: Found
    feed: str
    customer: str
    outcome: Outcome
    #: When it came to its end, unix seconds; a guess where nobody knows better.
    at: float
    #: The drop that replaced its rows; None where they are in the table, or never were.
    superseded_by: str | None = None
    #: Whether its object has been settled, or is not there any more.
    settled: bool = True


@dataclass(frozen=True, kw_only=True)
class ClosedDay:
    """A version of a business day whose metrics are in their table. Times are unix seconds."""

    feed: str
    customer: str
    #: ISO.
    day: str
    version: int
    watermark: float
    at: float


@dataclass(frozen=True, kw_only=True)
class Heard:
    """A marker or signal that lies in the archive, for one of its scopes; its verdict is given anew."""

    found: Found
    scope: Scope
    #: With its verdict.
    reading: Reading


def write(
    path: Path,
    known: Sequence[Known],
    newest: Mapping[str, int],
    *,
    closed: Sequence[ClosedDay] = (),
    heard: Sequence[Heard] = (),
    identity: str,
    now: float,
) -> None:
    """Write a whole new ledger to `path`, replacing what an earlier try may have left there; it is on the disk then.

    Args:
        path: a temporary name.
        known: every drop; ids are unique, and so are uris with versions.
        newest: the number of the newest batch that each table holds.
        closed: the days that are closed, which also say up to where the watermarks were.
        heard: the archived markers and signals, those of each scope in the order in which they came.
        identity: of the lost ledger, under which the tables count; empty for a new one.
        now: unix seconds.

    Raises:
        LedgerError: it cannot be written.
    """
    with _explained(path):
        for leftover in (path, *_logs(path)):
            leftover.unlink(missing_ok=True)
        path.touch()
    with closing(Database(path)) as database, database.writing() as connection:
        make_tables(connection, now, identity)
        insert(connection, batches, [_batch(feed, number, now) for feed, number in newest.items() if number])
        for chunk in chunked(known):
            insert(connection, drops, [_row(one) for one in chunk])
            insert(connection, events, [_event(one, now) for one in chunk])
            dayrows.bring(connection, [one.outcome for one in chunk], 0)
        insert(connection, days, [_day(one, newest.get(one.feed, 0)) for one in closed])
        insert(
            connection,
            markers,
            [*_lost(closed, now), *(_marker(one.found, one.scope, one.reading, now) for one in heard)],
        )
    with _explained(path):
        sync(path)


def up_to(closed: Iterable[ClosedDay]) -> dict[Scope, float]:
    """Return up to where the watermarks were when days were closed, unix seconds."""
    newest: dict[Scope, float] = {}
    for one in closed:
        scope = (one.feed, one.customer)
        newest[scope] = max(one.watermark, newest.get(scope, 0.0))
    return newest


def put_in_place(unfinished: Path, ledger: Path, now: float) -> Path | None:
    """Give a finished ledger its name; return where the old one is now, None where there was none.

    The old one goes first, and its logs after it: killed in between there is no ledger, which every start says.

    Raises:
        LedgerError: a file cannot be renamed.
    """
    aside = _aside(ledger, now)
    moved = False
    with _explained(ledger):
        for old, new in zip((ledger, *_logs(ledger)), (aside, *_logs(aside)), strict=True):
            if old.exists():
                old.rename(new)
                moved = True
        _give_to_daemon(unfinished, lock_of(ledger))
        unfinished.rename(ledger)
        sync(ledger.parent)
    return aside if moved else None


def _give_to_daemon(*paths: Path) -> None:
    """Give what root has made to whose folder it is in: the daemon has a user of its own, who could not write it."""
    if os.geteuid() == 0:
        for path in paths:
            if path.exists():
                owner = path.parent.stat()
                os.chown(path, owner.st_uid, owner.st_gid)


def _aside(ledger: Path, now: float) -> Path:
    """Return a free name for the old ledger, with the time in it."""
    stem = f"{ledger.name}.before-rebuild-{time.strftime('%Y%m%dT%H%M%S', time.gmtime(now))}"
    names = (stem, *(f"{stem}-{number}" for number in range(2, 1000)))
    return next(path for path in map(ledger.with_name, names) if not path.exists())


def _logs(ledger: Path) -> tuple[Path, ...]:
    return tuple(ledger.with_name(ledger.name + suffix) for suffix in LOGS)


def _batch(feed: str, number: int, now: float) -> dict[str, Any]:
    # The number alone: it says up to where the table and this ledger agree.
    return {"feed": feed, "number": number, "state": "committed", "drops": 0, "intended_at": now, "ended_at": now}


def _row(one: Known) -> dict[str, Any]:
    return {
        "id": one.outcome.drop_id,
        **found_columns(one.found),
        "feed": one.feed,
        "customer": storable(one.customer),
        "attempt": 1,
        "found_at": one.at,
        "changed_at": one.at,
        **outcome_columns(one.outcome),
        "superseded_by": one.superseded_by,
        "settled_at": one.at if one.settled else None,
    }


def _event(one: Known, now: float) -> dict[str, Any]:
    note = "from tables, quarantine and archive; what happened before is lost"
    values = {"state": one.outcome.state.value, "attempt": 1, "batch": None, "note": note}
    return {"at": now, "drop_id": one.outcome.drop_id, "kind": Kind.REBUILT.value, **values}


def _day(one: ClosedDay, as_of: int) -> dict[str, Any]:
    scope = {"feed": one.feed, "customer": one.customer, "day": one.day, "version": one.version}
    return {
        **scope,
        "state": Day.CLOSED.value,
        "watermark": one.watermark,
        "ready_at": one.at,
        "closed_at": one.at,
        "as_of": as_of,
    }


def _lost(closed: Iterable[ClosedDay], now: float) -> Iterator[dict[str, Any]]:
    """Yield for each scope a marker that stands for those that are lost."""
    for scope, watermark in up_to(closed).items():
        name = "/".join(reversed(scope))
        found = Found(uri=f"lost:{quote(name)}", name=name, version="", size=0, modified=watermark)
        note = "from the days that are closed; the markers and verdicts before are lost"
        yield _marker(found, scope, Reading(standing=Standing.APPLIED, instant=int(watermark), note=note), now)


def _marker(found: Found, scope: Scope, reading: Reading, now: float) -> dict[str, Any]:
    times = dict.fromkeys(("seen_at", "judged_at", "settled_at"), now)
    return {**found_columns(found), **said(scope, reading), **times}


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise LedgerError(
            f"ledger {path} cannot be written: {error.strerror or error}. Check its folder and the room on its disk; "
            "then begin again"
        ) from error
