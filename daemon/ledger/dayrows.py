"""What each batch has brought to each business day, and taken from it: kept with the outcomes, in their transaction.

So it can be told of a day that is closed what has come to it since, and what has left it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import sqlalchemy as sa

from daemon.ledger import moves
from daemon.ledger.daytables import SOME_LATE, day_rows, days
from daemon.ledger.queries import chunked
from daemon.ledger.rows import storable
from daemon.ledger.tables import drops
from daemon.model import Outcome

#: A feed's name and a customer's.
Scope = tuple[str, str]
#: Drops that a change names.
MOST_NAMES: Final = 100

_ROWS: Final = (day_rows.c.rows, day_rows.c.late, day_rows.c.aside)


@dataclass(frozen=True, kw_only=True, slots=True)
class Change:
    """What has become otherwise in a closed day since the files were listed that it was computed from."""

    feed: str
    customer: str
    #: ISO.
    day: str
    #: The newest version of the day, and whether it is one of its scope's days: an empty one without a report is none.
    version: int
    counts: bool
    #: Rows that came, and how many of them were late; rows that left.
    came: int
    late: int
    left: int
    #: The newest batch that has changed it.
    batch: int

    @property
    def key(self) -> tuple[str, str, str]:
        """Which day it is of: feed, customer, ISO day."""
        return self.feed, self.customer, self.day

    @property
    def said(self) -> str:
        """What has changed, in words."""
        late = f" ({self.late:,} late)" if self.late else ""
        came = f"{_rows_in_words(self.came)} came{late}" if self.came else ""
        left = f"{_rows_in_words(self.left)} left" if self.left else ""
        return ", ".join(part for part in (came, left) if part)

    def to_json(self) -> dict[str, int | str]:
        """Return what a machine may read, ready for `json.dumps`."""
        return {"rows_came": self.came, "late_rows": self.late, "rows_left": self.left, "says": self.said}


def _rows_in_words(count: int) -> str:
    return f"{count:,} row" if count == 1 else f"{count:,} rows"


def bring(connection: sa.Connection, outcomes: Iterable[Outcome], batch: int) -> None:
    """Note what drops bring to their days; `batch` is 0 for those that bring no row to the table."""
    dated = [outcome for outcome in outcomes if outcome.days]
    if not dated:
        return
    scopes = _scopes(connection, (outcome.drop_id for outcome in dated))
    moves.insert(connection, day_rows, [row for each in dated for row in _rows(each, scopes[each.drop_id], batch)])


def review(connection: sa.Connection, outcomes: Sequence[Outcome], batch: int) -> None:
    """Note what decisions bring to days: of the late rows that were set aside only those that stay are so any more."""
    before = _sums(connection, (outcome.drop_id for outcome in outcomes))
    bring(connection, outcomes, batch)
    negated = (
        {**key, "rows": 0, "late": 0, "aside": -found["aside"], "batch": batch}
        for key, found in before
        if found["aside"]
    )
    moves.insert(connection, day_rows, list(negated))


def take(connection: sa.Connection, replaced: Iterable[str], batch: int) -> None:
    """Note that drops' rows are not of their days any more, as others have taken their place."""
    found = _sums(connection, replaced)
    gone = ({**key, **{name: -count for name, count in sums.items()}, "batch": batch} for key, sums in found)
    moves.insert(connection, day_rows, list(gone))


def late_rows(connection: sa.Connection, scope: Scope, day: str, as_of: int | None = None) -> tuple[int, int]:
    """Return how many late rows of a day are in the table, and how many are in quarantine, as of a batch if given."""
    sums = (sa.func.coalesce(sa.func.sum(column), 0) for column in (day_rows.c.late, day_rows.c.aside))
    query = sa.select(*sums).where(*_of(scope), day_rows.c.day == day)
    if as_of is not None:
        query = query.where(day_rows.c.batch <= as_of)
    late, aside = connection.execute(query).one()
    return int(late), int(aside)


def late_by_day(connection: sa.Connection) -> dict[tuple[str, str, str], tuple[int, int]]:
    """Return for each day (feed, customer, ISO day) with late rows how many are in the table, and in quarantine."""
    key = (day_rows.c.feed, day_rows.c.customer, day_rows.c.day)
    query = sa.select(*key, sa.func.sum(day_rows.c.late), sa.func.sum(day_rows.c.aside)).where(SOME_LATE).group_by(*key)
    found = connection.execute(query)
    return {(feed, customer, day): (int(late), int(aside)) for feed, customer, day, late, aside in found}


def names(connection: sa.Connection, scope: Scope, day: str, after: int, until: int | None = None) -> tuple[str, ...]:
    """Return the names of the drops that have changed a day after a batch, and until another one if given."""
    query = sa.select(drops.c.name).join(day_rows, day_rows.c.drop_id == drops.c.id).distinct().order_by(drops.c.name)
    query = query.where(*_of(scope), day_rows.c.day == day, day_rows.c.batch > after, day_rows.c.rows != 0)
    if until is not None:
        query = query.where(day_rows.c.batch <= until)
    return tuple(connection.execute(query.limit(MOST_NAMES)).scalars())


def changes(connection: sa.Connection, states: Iterable[str]) -> tuple[Change, ...]:
    """Return what has changed since in the days whose newest version is in one of these states."""
    later = days.alias()
    newest = sa.select(sa.func.max(later.c.version)).where(
        later.c.feed == days.c.feed, later.c.customer == days.c.customer, later.c.day == days.c.day
    )
    counts = sa.or_(days.c.state == "closed", days.c.report.is_not(None))
    came = sa.case((day_rows.c.rows > 0, day_rows.c.rows), else_=0)
    late = sa.case((day_rows.c.rows > 0, day_rows.c.late), else_=0)
    left = sa.case((day_rows.c.rows < 0, -day_rows.c.rows), else_=0)
    query = (
        sa.select(
            days.c.feed,
            days.c.customer,
            days.c.day,
            days.c.version,
            counts.label("counts"),
            *(sa.func.sum(each).label(name) for name, each in (("came", came), ("late", late), ("left", left))),
            sa.func.max(day_rows.c.batch).label("batch"),
        )
        .where(days.c.state.in_(list(states)), days.c.version == newest.scalar_subquery())
        .where(day_rows.c.feed == days.c.feed, day_rows.c.customer == days.c.customer, day_rows.c.day == days.c.day)
        .where(day_rows.c.batch > days.c.as_of, day_rows.c.rows != 0)
        .group_by(days.c.feed, days.c.customer, days.c.day, days.c.version, counts)
        .order_by(days.c.day, days.c.feed, days.c.customer)
    )
    return tuple(Change(**row._asdict()) for row in connection.execute(query))


def unknown(connection: sa.Connection) -> tuple[Scope, ...]:
    """Return the scopes with late rows in the table of days that the ledger does not have: they had no rows before."""
    has = sa.select(days.c.day).where(
        days.c.feed == day_rows.c.feed, days.c.customer == day_rows.c.customer, days.c.day == day_rows.c.day
    )
    query = sa.select(day_rows.c.feed, day_rows.c.customer).where(SOME_LATE, day_rows.c.late > 0, sa.not_(has.exists()))
    return tuple((feed, customer) for feed, customer in connection.execute(query.distinct()))


def _rows(outcome: Outcome, scope: Scope, batch: int) -> Iterator[dict[str, Any]]:
    same = {"feed": scope[0], "customer": storable(scope[1]), "drop_id": outcome.drop_id, "batch": batch}
    for each in outcome.days:
        yield {**same, "day": each.day, "rows": each.rows, "late": each.late, "aside": each.aside}


def _scopes(connection: sa.Connection, drop_ids: Iterable[str]) -> dict[str, Scope]:
    query = sa.select(drops.c.id, drops.c.feed, drops.c.customer)
    found: dict[str, Scope] = {}
    for chunk in chunked(drop_ids):
        found.update(
            (row.id, (row.feed, row.customer)) for row in connection.execute(query.where(drops.c.id.in_(chunk)))
        )
    return found


def _sums(connection: sa.Connection, drop_ids: Iterable[str]) -> list[tuple[Mapping[str, Any], Mapping[str, int]]]:
    """Return what drops have in days by now: for each drop and day its key, and its sums, of which one is not 0."""
    keys = (day_rows.c.feed, day_rows.c.customer, day_rows.c.day, day_rows.c.drop_id)
    sums = [sa.func.sum(column).label(column.name) for column in _ROWS]
    query = sa.select(*keys, *sums).group_by(*keys).having(sa.or_(*(sa.func.sum(column) != 0 for column in _ROWS)))
    found: list[tuple[Mapping[str, Any], Mapping[str, int]]] = []
    for chunk in chunked(drop_ids):
        for row in connection.execute(query.where(day_rows.c.drop_id.in_(chunk))):
            both = row._asdict()
            counts = {column.name: int(both.pop(column.name)) for column in _ROWS}
            found.append((both, counts))
    return found


def _of(scope: Scope) -> moves.Where:
    return day_rows.c.feed == scope[0], day_rows.c.customer == storable(scope[1])
