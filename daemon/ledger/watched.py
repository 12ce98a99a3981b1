"""What those who watch from outside ask the ledger, again and again: each question is cheap, however much there is."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any, Final

import sqlalchemy as sa

from daemon.ledger.database import Database
from daemon.ledger.days import CLOSED, Day
from daemon.ledger.daytables import days, markers
from daemon.ledger.queries import chunked
from daemon.ledger.rows import Kind
from daemon.ledger.tables import drops, events
from daemon.markers import Standing
from daemon.model import Rows, State

#: Events that are looked through in one read.
AT_ONCE: Final = 2_000
#: States of drops that somebody may want to be told of.
TROUBLED: Final = (State.PARTIAL, State.REJECTED, State.FAILED)
_ROWS: Final = ("read", "accepted", "rejected")
#: Columns of a drop that an ending shows.
_SHOWN: Final = ("id", "name", "feed", "customer", "rules", "reason", "report", *(f"rows_{one}" for one in _ROWS))
#: A version of a day: feed, customer, day, version.
DayKey = tuple[str, str, str, int]


@dataclass(frozen=True, kw_only=True, slots=True)
class Ending:
    """A drop that came to its end otherwise than wholly fine."""

    drop_id: str
    name: str
    feed: str
    customer: str
    #: What it came to then; what stands in the other fields is of now.
    state: State
    rows: Rows
    rules: tuple[tuple[str, str, int], ...]
    reason: str
    report: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Verdict:
    """A verdict on a marker, for one scope."""

    id: int
    name: str
    feed: str
    customer: str
    standing: Standing
    note: str


@dataclass(frozen=True, kw_only=True, slots=True)
class DayNow:
    """A version of a day that is held, or was closed lately."""

    key: DayKey
    state: Day
    closed_at: float | None
    reason: str
    rows: int


class Watched:
    """Each method raises LedgerError when the ledger cannot be read."""

    def __init__(self, database: Database) -> None:
        """Ask this database."""
        self._database = database

    def under_way(self) -> tuple[int, float | None]:
        """Return how many drops are found or being worked, and when the oldest was found, unix seconds; None: none."""
        query = sa.select(sa.func.count(), sa.func.min(drops.c.found_at))
        with self._database.reading() as connection:
            count, oldest = connection.execute(query.where(drops.c.state.in_((State.FOUND, State.WORKING)))).one()
        return int(count), oldest

    def newest(self) -> tuple[int, int]:
        """Return the numbers of the newest event and of the newest marker; 0 for none."""
        with self._database.reading() as connection:
            event = connection.execute(sa.select(sa.func.max(events.c.id))).scalar()
            marker = connection.execute(sa.select(sa.func.max(markers.c.id))).scalar()
        return event or 0, marker or 0

    def endings(self, since: int, upto: int) -> Iterator[Ending]:
        """Yield what drops came to in the events after `since`, up to `upto`, but for those that are wholly fine."""
        query = (
            sa.select(events.c.state.label("came_to"), *(drops.c[name] for name in _SHOWN))
            .join(drops, drops.c.id == events.c.drop_id)
            .where(events.c.kind.in_((Kind.RECORDED, Kind.FINISHED)), events.c.state.in_(TROUBLED))
            .order_by(events.c.id)
        )
        for first in range(since + 1, upto + 1, AT_ONCE):
            some = query.where(events.c.id.between(first, min(upto, first + AT_ONCE - 1)))
            with self._database.reading() as connection:
                rows = connection.execute(some).all()
            yield from map(_ending, rows)

    def waiting(self) -> tuple[int, ...]:
        """Return the numbers of the markers that wait for their verdict."""
        unsettled = sa.text("markers.settled_at IS NULL")
        query = sa.select(markers.c.id).where(unsettled, markers.c.standing == Standing.WAITING)
        with self._database.reading() as connection:
            return tuple(connection.execute(query).scalars())

    def refused(
        self, since: int, upto: int, *, waited: Collection[int], waiting: Collection[int]
    ) -> tuple[Verdict, ...]:
        """Return the refusals among the markers after `since` up to `upto`, and those that waited and do no more."""
        columns = (markers.c[name] for name in ("id", "name", "feed", "customer", "standing", "note"))
        query = sa.select(*columns).where(markers.c.standing.in_([each for each in Standing if each.refused]))
        with self._database.reading() as connection:
            found = list(connection.execute(query.where(markers.c.id.between(since + 1, upto))))
            for chunk in chunked(waited):
                found += connection.execute(query.where(markers.c.id.in_(chunk), markers.c.id <= since))
        # One that waited a moment ago, and got its verdict since, is told with those that wait no more next time.
        judged = (row for row in found if row.id not in waiting)
        return tuple(Verdict(**{**row._asdict(), "standing": Standing(row.standing)}) for row in judged)

    def days(self, closed_since: float) -> tuple[DayNow, ...]:
        """Return the days that are held, and those that were closed since then, unix seconds."""
        closed = sa.and_(days.c.state.in_(CLOSED), days.c.report.is_not(sa.null()), days.c.closed_at >= closed_since)
        query = sa.select(days).where(sa.or_(closed, days.c.state == Day.HELD)).order_by(days.c.day, days.c.version)
        with self._database.reading() as connection:
            return tuple(_day(row) for row in connection.execute(query))

    def has_come(self, feed: str, since: float, until: float) -> bool:
        """Tell whether any drop of a feed was found in that time, unix seconds, or is of then by the source's clock."""
        then = (sa.and_(when >= since, when < until) for when in (drops.c.found_at, drops.c.modified))
        query = sa.select(drops.c.id).where(drops.c.feed == feed, sa.or_(*then)).limit(1)
        with self._database.reading() as connection:
            return connection.execute(query).first() is not None


def _ending(row: Any) -> Ending:
    return Ending(
        drop_id=row.id,
        name=row.name,
        feed=row.feed,
        customer=row.customer,
        state=State(row.came_to),
        rows=Rows(read=row.rows_read, accepted=row.rows_accepted, rejected=row.rows_rejected),
        rules=tuple((rule, column, count) for rule, column, count in row.rules),
        reason=row.reason,
        report=row.report,
    )


def _day(row: Any) -> DayNow:
    return DayNow(
        key=(row.feed, row.customer, row.day, row.version),
        state=Day(row.state),
        closed_at=row.closed_at,
        reason=row.reason,
        rows=int((row.report or {}).get("rows") or 0),
    )
