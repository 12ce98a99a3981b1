"""What the ledger can be asked. Every read sees one state of it, also while the daemon writes."""

from __future__ import annotations

import difflib
import math
from collections.abc import Collection, Iterable, Iterator, Sequence
from functools import cached_property
from itertools import chain
from typing import Any, Final, TypeVar

import sqlalchemy as sa

from daemon.errors import NotFoundError
from daemon.ledger.database import Database
from daemon.ledger.rows import (
    DropRow,
    Event,
    FeedSummary,
    Kind,
    Waiting,
    batch_from,
    drop_row,
    event_from,
    found_from,
    printable,
    storable,
)
from daemon.ledger.tables import about, batches, drops, events
from daemon.model import Batch, Drop, Rows, State

#: Values in one IN list: few statements, and far below SQLite's 32,766 parameters.
CHUNK: Final = 5_000
#: States of drops whose object is still to be settled. Unmatched and failed objects stay where they are.
TO_SETTLE: Final = (State.INGESTED, State.PARTIAL, State.REJECTED, State.DUPLICATE)
#: States of drops whose rows are in the table.
IN_TABLE: Final = (State.INGESTED, State.PARTIAL)
#: States of drops none of whose rows are in the table, and that a person has to see to.
LEFT_OUT: Final = (State.REJECTED, State.FAILED)
#: More digests than this are not worth sending to a worker.
MOST_DIGESTS: Final = 1_000
#: What may have changed what is told of a drop.
TOLD: Final = frozenset(
    {Kind.UNMATCHED, Kind.RECORDED, Kind.FINISHED, Kind.SUPERSEDED, Kind.RELEASED, Kind.DECIDED, Kind.REBUILT}
)
#: Names that are searched for near matches, newest first.
NEAR_NAMES: Final = 2_000

Value = TypeVar("Value")


def chunked(values: Iterable[Value], size: int = CHUNK) -> Iterator[Sequence[Value]]:
    """Yield the values in tuples of at most `size`."""
    values = tuple(values)
    for start in range(0, len(values), size):
        yield values[start : start + size]


class Queries:
    """The ledger's reads. Each raises LedgerError when the ledger cannot be read."""

    def __init__(self, database: Database) -> None:
        """Ask this database."""
        self._database = database

    # ---------------------------------------------------------------- THE LEDGER

    @cached_property
    def identity(self) -> str:
        """The ledger's id, a uuid made with it: never the same for two ledgers."""
        with self._database.reading() as connection:
            return str(connection.execute(sa.select(about.c.identity)).scalar_one())

    def last_activity(self) -> float | None:
        """Return when the newest event happened, unix seconds; None before the first."""
        newest = sa.select(events.c.at).order_by(events.c.id.desc()).limit(1)
        with self._database.reading() as connection:
            return connection.execute(newest).scalar()

    def last_batch(self, feed: str) -> int:
        """Return the feed's highest batch number that the ledger has given; 0 for none.

        Where the store holds a higher one, this ledger is older than the table: an old backup.
        """
        with self._database.reading() as connection:
            return highest_batch(connection, feed)

    def last_committed(self, feed: str) -> int:
        """Return the feed's highest batch number that the ledger has seen in the table; 0 for none."""
        with self._database.reading() as connection:
            return highest_batch(connection, feed, batches.c.state == "committed")

    def open_batches(self) -> tuple[Batch, ...]:
        """Return the batches that are intended and neither recorded nor forgotten, whole, for recovery."""
        query = sa.select(batches).where(batches.c.ended_at.is_(None)).order_by(batches.c.feed)
        with self._database.reading() as connection:
            return tuple(batch_from(row) for row in connection.execute(query))

    # ---------------------------------------------------------------- WHAT IS TO BE DONE

    def news(self, since: int, limit: int) -> tuple[int, tuple[DropRow, ...]]:
        """Return the number of the last event after `since`, of `limit` at most, and the drops that they changed."""
        after = sa.select(events.c.id, events.c.drop_id, events.c.kind).where(events.c.id > since)
        with self._database.reading() as connection:
            found = connection.execute(after.order_by(events.c.id).limit(limit)).all()
        changed = {event.drop_id for event in found if event.kind in TOLD}
        rows = (self._rows(sa.select(drops).where(drops.c.id.in_(chunk))) for chunk in chunked(changed))
        return (found[-1].id if found else since), tuple(chain.from_iterable(rows))

    def known_versions(self, pairs: Iterable[tuple[str, str]]) -> dict[tuple[str, str], State]:
        """Return those (uri, version) pairs that the ledger has, with their states."""
        asked = pairs if isinstance(pairs, set | frozenset) else frozenset(pairs)
        states = {state.value: state for state in State}
        query = sa.select(drops.c.uri, drops.c.version, drops.c.state)
        known = {}
        with self._database.reading() as connection:
            for statement in self._narrowed(connection, query, asked):
                for uri, version, state in connection.execute(statement):
                    if (uri, version) in asked:
                        known[uri, version] = states[state]
        return known

    def _narrowed(
        self, connection: sa.Connection, query: sa.Select[Any], asked: Collection[tuple[str, str]]
    ) -> Iterator[sa.Select[Any]]:
        """Yield the query for the asked uris; when most of the ledger is asked for, one scan takes half the time."""
        if 2 * len(asked) > connection.execute(sa.select(sa.func.count()).select_from(drops)).scalar_one():
            yield query
        else:
            yield from (query.where(drops.c.uri.in_(chunk)) for chunk in chunked({uri for uri, _ in asked}))

    def waiting(self, limit: int = 100_000) -> tuple[Waiting, ...]:
        """Return the drops in state found, each as its next go, those that may begin first in front.

        A new object is claimed without being found in the ledger: these are the ones that came back.
        """
        query = sa.select(drops).where(drops.c.state == State.FOUND).order_by(drops.c.not_before, drops.c.found_at)
        with self._database.reading() as connection:
            return tuple(
                Waiting(drop=_drop(row, attempt=row.attempt + 1), not_before=row.not_before)
                for row in connection.execute(query.limit(limit))
            )

    def unsettled(self, limit: int = 1_000, *, now: float = math.inf) -> tuple[tuple[Drop, State], ...]:
        """Return final drops whose object is not yet settled, oldest first; those with a failure behind them last.

        Left out: unmatched and failed ones, whose objects stay, and those that are not to be tried before `now`.
        """
        query = (
            sa.select(drops)
            .where(drops.c.settled_at.is_(None), _STATE.in_(TO_SETTLE), drops.c.settle_not_before <= now)
            .order_by(drops.c.settle_failures, drops.c.changed_at)
            .limit(limit)
        )
        with self._database.reading() as connection:
            return tuple((_drop(row, attempt=row.attempt), State(row.state)) for row in connection.execute(query))

    def duplicate_of(
        self, customer: str, feed: str, sha256s: Collection[str], *, contract: str | None = None
    ) -> dict[str, str]:
        """Return for each digest that is known in the scope the first drop that brought it.

        Known are the bytes of ingested and partial drops whose rows are in the table, and of rejected ones: with
        `contract`, only of those that this contract rejected, so that a mended contract judges them again. Bytes that
        a revision has replaced are not known, so that going back to them is a revision too.
        """
        query = sa.select(drops.c.sha256, drops.c.id).where(*_known(customer, feed, contract))
        first: dict[str, str] = {}
        with self._database.reading() as connection:
            for chunk in chunked({digest for digest in sha256s if digest}):
                rows = connection.execute(query.where(drops.c.sha256.in_(chunk)).order_by(drops.c.changed_at))
                for digest, drop_id in rows:
                    first.setdefault(digest, drop_id)
        return first

    def digests(
        self, customer: str, feed: str, sizes: Collection[int], *, contract: str | None = None
    ) -> frozenset[str]:
        """Return the scope's known digests (as in `duplicate_of`) of objects of these sizes, in bytes.

        Empty when there are more than 1,000: they only save work, and the outcome is looked up in any case.
        """
        query = sa.select(drops.c.sha256).where(*_known(customer, feed, contract))
        known: set[str] = set()
        with self._database.reading() as connection:
            for chunk in chunked(set(sizes)):
                # Row by row, so that a scope full of objects of one size is left at once.
                for digest in connection.execute(query.where(drops.c.size.in_(chunk))).scalars():
                    known.add(digest)
                    if len(known) > MOST_DIGESTS:
                        return frozenset()
        return frozenset(known - {""})

    def earlier(self, revisions: Iterable[Drop], states: Collection[State] = IN_TABLE) -> dict[str, tuple[str, ...]]:
        """Return for each drop's id the earlier drops of its uri and scope whose rows are in the table, oldest first.

        With other `states`, those that are in one of them. Drops without any are left out.
        """
        wanted = {(drop.found.uri, drop.feed, storable(drop.customer)): drop.id for drop in revisions}
        # The state is looked at here: as a condition it would tempt SQLite to go through all ingested drops instead.
        columns = (drops.c.uri, drops.c.feed, drops.c.customer, drops.c.id, drops.c.state)
        query = sa.select(*columns).where(drops.c.superseded_by.is_(None)).order_by(drops.c.changed_at)
        found: dict[str, tuple[str, ...]] = {}
        with self._database.reading() as connection:
            for chunk in chunked({uri for uri, _, _ in wanted}):
                for *scope, drop_id, state in connection.execute(query.where(drops.c.uri.in_(chunk))):
                    later = wanted.get((scope[0], scope[1], scope[2]), drop_id)
                    if state in states and later != drop_id:
                        found[later] = (*found.get(later, ()), drop_id)
        return found

    # ---------------------------------------------------------------- WHAT PEOPLE ASK

    def drops(
        self,
        state: State | None = None,
        *,
        feed: str | None = None,
        customer: str | None = None,
        name: str | None = None,
        superseded: bool = True,
        limit: int = 100,
    ) -> tuple[DropRow, ...]:
        """Return drops, the newest found first. `name` is any part of it, in any case; `superseded` ones are too."""
        query = sa.select(drops).order_by(drops.c.found_at.desc(), drops.c.id).limit(limit)
        for column, value in ((drops.c.state, state), (drops.c.feed, feed), (drops.c.customer, customer)):
            query = query if value is None else query.where(column == storable(value))
        if not superseded:
            query = query.where(drops.c.superseded_by.is_(None))
        if name is not None:
            query = query.where(drops.c.name.icontains(printable(name), autoescape=True))
        return self._rows(query)

    def drop(self, key: str) -> DropRow:
        """Return the drop with this id, the beginning of an id, or a name (its newest version; its last part will do).

        Raises:
            NotFoundError: there is none (the message has near ones), or the key fits several.
        """
        key = printable(key)
        tries = [
            (drops.c.id == key.lower(), "id"),
            (drops.c.name == key, "uri"),
            (drops.c.id.startswith(key.lower(), autoescape=True), "id"),
            (drops.c.name.endswith("/" + key, autoescape=True), "uri"),
        ]
        newest = sa.select(drops).order_by(drops.c.found_at.desc(), drops.c.changed_at.desc()).limit(CHUNK)
        for condition, one_is in tries if key else ():
            fitting = self._rows(newest.where(condition))
            if len({getattr(row, one_is) for row in fitting}) > 1:
                shown = ", ".join(f"{row.id} ({row.name})" for row in fitting[:5])
                raise NotFoundError(f"{key!r} fits {len(fitting)} drops: {shown}. Give more of the id or of the name")
            if fitting:
                return fitting[0]
        raise NotFoundError(self._nothing_like(key))

    def _nothing_like(self, key: str) -> str:
        newest = sa.select(drops.c.name).order_by(drops.c.found_at.desc()).limit(NEAR_NAMES)
        with self._database.reading() as connection:
            names = connection.execute(newest).scalars().all()
        by_last = {name.rpartition("/")[2]: name for name in reversed(names)} | {name: name for name in names}
        near = dict.fromkeys(by_last[match] for match in difflib.get_close_matches(key, by_last, n=3))
        hint = f"did you mean {' or '.join(near)}?" if near else "`blobdrop drops` lists what there is"
        return f"no drop has the id or name {key!r}: {hint}"

    def history(self, name: str) -> tuple[DropRow, ...]:
        """Return all versions of the object with this whole name, the first found in front."""
        return self._rows(sa.select(drops).where(drops.c.name == printable(name)).order_by(drops.c.found_at))

    def reports(self, drop_ids: Iterable[str]) -> dict[str, str]:
        """Return where the reports of these drops are; those without one are left out."""
        query = sa.select(drops.c.id, drops.c.report).where(drops.c.report != "")
        found: dict[str, str] = {}
        with self._database.reading() as connection:
            for chunk in chunked(drop_ids):
                found.update((row.id, row.report) for row in connection.execute(query.where(drops.c.id.in_(chunk))))
        return found

    def events(self, drop_id: str) -> tuple[Event, ...]:
        """Return what has happened to the drop, in order; also when its row is gone."""
        columns = (column for column in events.c if column is not events.c.id)
        query = sa.select(*columns).where(events.c.drop_id == drop_id).order_by(events.c.id)
        with self._database.reading() as connection:
            return tuple(event_from(row._asdict()) for row in connection.execute(query))

    def counts(self) -> dict[str, dict[State, int]]:
        """Return how many drops of each feed are in each state; unmatched ones are under the feed ''."""
        query = sa.select(drops.c.feed, drops.c.state, sa.func.count()).group_by(drops.c.state, drops.c.feed)
        counted: dict[str, dict[State, int]] = {}
        with self._database.reading() as connection:
            for feed, state, count in connection.execute(query):
                counted.setdefault(feed, {})[State(state)] = count
        return counted

    def totals(self) -> dict[str, Rows]:
        """Return how many rows of each feed went where. Rows of drops that were replaced are left out."""
        names = ("read", "accepted", "rejected", "late")
        sums = (sa.func.sum(drops.c[f"rows_{name}"]) for name in names)
        query = sa.select(drops.c.feed, *sums).where(drops.c.superseded_by.is_(None)).group_by(drops.c.feed)
        with self._database.reading() as connection:
            found = connection.execute(query).all()
        return {feed: Rows(**dict(zip(names, map(int, counts), strict=True))) for feed, *counts in found}

    def feeds(self) -> tuple[FeedSummary, ...]:
        """Return each feed that has drops, in figures, by name."""
        query = (
            sa.select(drops.c.feed, sa.func.count(drops.c.customer.distinct()), sa.func.max(drops.c.found_at))
            .where(drops.c.feed != "")
            .group_by(drops.c.feed)
            .order_by(drops.c.feed)
        )
        counts, totals = self.counts(), self.totals()
        with self._database.reading() as connection:
            found = connection.execute(query).all()
        return tuple(
            FeedSummary(feed=feed, customers=customers, drops=counts[feed], rows=totals[feed], last_found_at=at)
            for feed, customers, at in found
            if feed in counts and feed in totals
        )

    def _rows(self, query: sa.Select[Any]) -> tuple[DropRow, ...]:
        with self._database.reading() as connection:
            return tuple(drop_row(row._asdict()) for row in connection.execute(query))


def highest_batch(connection: sa.Connection, feed: str, *where: sa.ColumnElement[bool]) -> int:
    """Return the feed's highest batch number, of the batches that match; 0 for none."""
    query = sa.select(batches.c.number).where(batches.c.feed == feed, *where)
    return connection.execute(query.order_by(batches.c.number.desc()).limit(1)).scalar() or 0


#: A drop's state where its index is not to be used, which may seem as narrow as another one, and is not.
_STATE: Final = sa.literal_column("+drops.state", sa.Text)


def _known(customer: str, feed: str, contract: str | None) -> tuple[sa.ColumnElement[bool], ...]:
    rejected = drops.c.state == State.REJECTED
    if contract is not None:
        rejected &= drops.c.contract == storable(contract)
    return (
        drops.c.feed == feed,
        drops.c.customer == storable(customer),
        drops.c.superseded_by.is_(None),
        drops.c.state.in_(IN_TABLE) | rejected,
    )


def _drop(row: Any, attempt: int) -> Drop:
    claimed = {"feed": row.feed, "customer": row.customer, "watermark": row.watermark}
    return Drop(id=row.id, found=found_from(row), attempt=attempt, **claimed)
