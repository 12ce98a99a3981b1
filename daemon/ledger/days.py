"""The ledger's days: which business days of which scopes are ready, held, closed, and what they came to."""

from __future__ import annotations

import enum
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Final

import sqlalchemy as sa

from daemon.errors import NotFoundError
from daemon.ledger import dayrows, moves
from daemon.ledger.database import Database
from daemon.ledger.dayrows import Change
from daemon.ledger.daytables import days, markers
from daemon.ledger.queries import chunked
from daemon.ledger.rows import iso, storable
from daemon.ledger.tables import drops
from daemon.model import METRIC_DAYS, Batch, Rows

#: A feed's name and a customer's.
Scope = tuple[str, str]


class Day(enum.StrEnum):
    """Where a business day of a scope stands. One that is not in the ledger is open."""

    #: (open) -> ready: the watermark is at its end.
    READY = "ready"
    #: ready -> held: it is not closed before a person says so; the reason says why.
    HELD = "held"
    #: ready -> closing: its metrics are in a batch that is intended.
    CLOSING = "closing"
    #: ready, closing -> closed: its metrics are in `metric_days`.
    CLOSED = "closed"
    #: ready -> empty: it is closed like others, and has no rows. One without a report is none of its scope's days.
    EMPTY = "empty"


#: States of days that what comes later does not change.
CLOSED: Final = (Day.CLOSED, Day.EMPTY)


@dataclass(frozen=True, kw_only=True, slots=True)
class DayRow:
    """A version of a day. Times are unix seconds."""

    feed: str
    customer: str
    #: ISO.
    day: str
    version: int
    state: Day
    watermark: float
    ready_at: float
    closed_at: float | None
    #: What it came to; None before it was computed.
    report: Mapping[str, Any] | None
    #: Why it is held, or was closed all the same.
    reason: str
    #: Who had it closed in spite of what held it; empty for nobody.
    by: str
    batch: int | None
    #: The feed's newest batch that it was computed from; None before it was.
    as_of: int | None

    @property
    def scope(self) -> Scope:
        """The feed and the customer."""
        return self.feed, self.customer

    def to_json(self) -> dict[str, Any]:
        """Return what a machine may read, ready for `json.dumps`; times are ISO 8601 in UTC, None for never."""
        return {
            "feed": self.feed,
            "customer": self.customer,
            "date": self.day,
            "version": self.version,
            "state": self.state.value,
            "watermark": iso(self.watermark),
            "ready_at": iso(self.ready_at),
            "closed_at": iso(self.closed_at),
            "reason": self.reason,
            "by": self.by,
            "report": self.report,
        }


class Days:
    """The ledger's days. Each method raises LedgerError when the ledger cannot be read or written."""

    def __init__(self, database: Database) -> None:
        """Ask and write this database."""
        self._database = database

    # ---------------------------------------------------------------- WHAT IS KNOWN

    def scopes(self) -> tuple[Scope, ...]:
        """Return every scope that has rows or markers, by its names."""
        brought = sa.select(drops.c.feed, drops.c.customer).where(drops.c.rows_accepted > 0)
        marked = sa.select(markers.c.feed, markers.c.customer).where(markers.c.feed != "")
        with self._database.reading() as connection:
            return tuple(sorted((feed, customer) for feed, customer in connection.execute(brought.union(marked))))

    def states(self, scope: Scope) -> dict[str, Day]:
        """Return the state of each day of a scope that the ledger has, that of its newest version."""
        query = sa.select(days.c.day, days.c.state).where(*_of(scope)).order_by(days.c.version)
        with self._database.reading() as connection:
            return {day: Day(state) for day, state in connection.execute(query)}

    def unclosed(self) -> tuple[DayRow, ...]:
        """Return the days that are ready, held or being closed, the oldest first."""
        query = sa.select(days).where(sa.text("days.closed_at IS NULL"))
        return self._rows(query.order_by(days.c.day, days.c.ready_at))

    def newest(self, scope: Scope | None = None, *, before: str = "", limit: int = 1_000) -> tuple[DayRow, ...]:
        """Return days, the newest first, each version of them; only those of a scope, or before a day, if given."""
        query = sa.select(days).where(sa.or_(days.c.state != Day.EMPTY, days.c.report.is_not(None)))
        query = query.order_by(days.c.day.desc(), days.c.version.desc(), days.c.feed, days.c.customer).limit(limit)
        query = query if scope is None else query.where(*_of(scope))
        return self._rows(query.where(days.c.day < before) if before else query)

    def one(self, scope: Scope, day: str) -> DayRow | None:
        """Return the newest version of a day; None where it is open."""
        query = sa.select(days).where(*_of(scope), days.c.day == day).order_by(days.c.version.desc()).limit(1)
        return next(iter(self._rows(query)), None)

    def came(self, scope: Scope) -> tuple[str, ...]:
        """Return the ids of a scope's drops in the order in which they came, by the source's clock and their names."""
        query = sa.select(drops.c.id).where(drops.c.feed == scope[0], drops.c.customer == storable(scope[1]))
        query = query.where(drops.c.rows_accepted > 0, drops.c.superseded_by.is_(None))
        with self._database.reading() as connection:
            return tuple(connection.execute(query.order_by(drops.c.modified, drops.c.name, drops.c.id)).scalars())

    def rows_of(self, drop_ids: Collection[str]) -> Rows:
        """Return how many rows these drops have brought, and where they went."""
        total = Rows()
        query = sa.select(drops.c.rows_read, drops.c.rows_accepted, drops.c.rows_rejected)
        with self._database.reading() as connection:
            for chunk in chunked(drop_ids):
                for read, accepted, rejected in connection.execute(query.where(drops.c.id.in_(chunk))):
                    total += Rows(read=read, accepted=accepted, rejected=rejected)
        return total

    # ---------------------------------------------------------------- WHAT HAS COME SINCE

    def changes(self) -> tuple[Change, ...]:
        """Return what has come to closed days, and what has left them, since they were computed; the oldest first."""
        with self._database.reading() as connection:
            return dayrows.changes(connection, CLOSED)

    def late_rows(self, scope: Scope, day: str, as_of: int | None = None) -> tuple[int, int]:
        """Return how many late rows of a day are in the table, and how many in quarantine; as of a batch if given."""
        with self._database.reading() as connection:
            return dayrows.late_rows(connection, scope, day, as_of)

    def late_by_day(self) -> dict[tuple[str, str, str], tuple[int, int]]:
        """Return the same for each day with late rows, by feed, customer and ISO day."""
        with self._database.reading() as connection:
            return dayrows.late_by_day(connection)

    def late_scopes(self) -> tuple[Scope, ...]:
        """Return the scopes in which late rows have come for days that the ledger does not have."""
        with self._database.reading() as connection:
            return dayrows.unknown(connection)

    def changed_by(self, scope: Scope, day: str, after: int, until: int | None = None) -> tuple[str, ...]:
        """Return the names of the drops that have changed a day after a batch, and until another one if given."""
        with self._database.reading() as connection:
            return dayrows.names(connection, scope, day, after, until)

    # ---------------------------------------------------------------- FROM OPEN TO CLOSED

    def open(self, scope: Scope, ready: Collection[str], watermark: float, now: float) -> None:
        """Note that days are ready, in their first version. Those that the ledger has stay as they are."""
        same = {"feed": scope[0], "customer": storable(scope[1]), "version": 1, "state": Day.READY.value}
        with self._database.writing() as connection:
            known = set(connection.execute(sa.select(days.c.day).where(*_of(scope))).scalars())
            rows = [{**same, "day": day, "watermark": watermark, "ready_at": now} for day in ready if day not in known]
            moves.insert(connection, days, rows)

    def hold(self, row: DayRow, reason: str, report: Mapping[str, Any] | None) -> None:
        """Hold a day that is ready."""
        self._change(row, (Day.READY,), state=Day.HELD.value, reason=storable(reason), report=report, by="")

    def end(self, row: DayRow, state: Day, report: Mapping[str, Any] | None, now: float, *, as_of: int) -> None:
        """Close a day that has nothing for `metric_days`, or note that it is empty; `as_of` is as of `intend`."""
        self._change(row, (Day.READY,), state=state.value, report=report, closed_at=now, as_of=as_of)

    def allow(self, row: DayRow, reason: str, by: str) -> None:
        """Have a held day closed in spite of what holds it.

        Raises:
            NotFoundError: it is not held any more.
        """
        values = {"state": Day.READY.value, "reason": storable(reason), "by": storable(by)}
        if not self._change(row, (Day.HELD,), **values):
            raise NotFoundError(f"day {row.day} of {row.customer}/{row.feed} is not held any more")

    def restate(self, row: DayRow, reason: str, by: str, now: float) -> int:
        """Have a closed day computed again, as a new version; return its number.

        Raises:
            NotFoundError: it is not closed, or is being restated already.
        """
        with self._database.writing() as connection:
            newest = sa.select(days.c.version, days.c.state).where(*_of(row.scope), days.c.day == row.day)
            version, state = connection.execute(newest.order_by(days.c.version.desc()).limit(1)).one()
            if state not in CLOSED:
                raise NotFoundError(
                    f"version {version} of day {row.day} of {row.customer}/{row.feed} is {state}, and only closed days "
                    "can be restated"
                )
            same = {"feed": row.feed, "customer": storable(row.customer), "day": row.day, "watermark": row.watermark}
            note = {"reason": storable(reason), "by": storable(by), "state": Day.READY.value, "ready_at": now}
            moves.insert(connection, days, [{**same, **note, "version": version + 1}])
        return int(version) + 1

    def before(self, row: DayRow) -> DayRow | None:
        """Return the version of a day before this one; None for the first."""
        query = sa.select(days).where(*_of(row.scope), days.c.day == row.day, days.c.version == row.version - 1)
        return next(iter(self._rows(query)), None)

    def intend(
        self, row: DayRow, batch: Batch, report: Mapping[str, Any], now: float, *, as_of: int, at_least: int
    ) -> Batch:
        """Store the batch that brings a day's metrics into `metric_days`, before its table transaction.

        Return it under its number, which is above `at_least`, the highest that the table holds. `as_of` is the feed's
        newest batch that they were computed from.

        Raises:
            LedgerError: that table has an open batch already; nothing was written.
        """
        with self._database.writing() as connection:
            batch = moves.open_batch(connection, batch, now, at_least=at_least)
            values = {"state": Day.CLOSING.value, "batch": batch.number, "report": report, "as_of": as_of}
            connection.execute(days.update().where(*_version(row)).values(**values))
        return batch

    def _change(self, row: DayRow, states: Collection[Day], **values: Any) -> bool:
        with self._database.writing() as connection:
            this = days.update().where(*_version(row), days.c.state.in_(states))
            return bool(connection.execute(this.values(**values)).rowcount)

    def _rows(self, query: sa.Select[Any]) -> tuple[DayRow, ...]:
        with self._database.reading() as connection:
            found = connection.execute(query).all()
        return tuple(DayRow(**{**row._asdict(), "state": Day(row.state)}) for row in found)


def settle(connection: sa.Connection, batch: Batch, now: float, *, held: bool) -> None:
    """Close the days whose metrics a batch has brought, or have them ready again where the table does not hold it."""
    if batch.feed != METRIC_DAYS:
        return
    closed = {"state": Day.CLOSED.value, "closed_at": now}
    again = {"state": Day.READY.value, "batch": None}
    this = (days.c.batch == batch.number, days.c.state == Day.CLOSING)
    connection.execute(days.update().where(*this).values(**(closed if held else again)))


def _of(scope: Scope) -> moves.Where:
    return days.c.feed == scope[0], days.c.customer == storable(scope[1])


def _version(row: DayRow) -> moves.Where:
    return (*_of(row.scope), days.c.day == row.day, days.c.version == row.version)
