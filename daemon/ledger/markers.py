"""The ledger's markers and signals: each version of each, what it waits for, the verdict; and the watermarks.

A watermark is the greatest instant of its scope's applied markers, and is kept nowhere else.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import sqlalchemy as sa

from daemon.ledger import moves
from daemon.ledger.database import Database
from daemon.ledger.daytables import awaited, markers
from daemon.ledger.queries import chunked
from daemon.ledger.rows import found_columns, found_from, iso, printable, storable
from daemon.ledger.tables import drops
from daemon.ledger.verdicts import close_gaps, give, verdict_on, watermark_of, watermarks
from daemon.markers import Reading, Standing
from daemon.model import Drop, Found, State
from daemon.signals import Waits

#: A feed's name and a customer's: what a marker speaks for.
Scope = tuple[str, str]

#: Drops that are under way.
UNDER_WAY: Final = (State.FOUND, State.WORKING)
#: The scope of a marker or signal that speaks for none.
NO_SCOPE: Final[Scope] = ("", "")


@dataclass(frozen=True, kw_only=True, slots=True)
class Marker:
    """A version of a `_READY` object or signal, for one of the scopes it speaks for. Times are unix seconds."""

    id: int
    found: Found
    #: Empty, as the customer, where it speaks for no scope.
    feed: str
    customer: str
    #: None where it says no instant.
    instant: int | None
    text: str
    standing: Standing
    note: str
    seen_at: float
    judged_at: float | None
    settled_at: float | None
    #: The days that a signal lists, ISO; none for a marker.
    days: tuple[str, ...] = ()

    @property
    def scope(self) -> Scope:
        """The feed and the customer."""
        return self.feed, self.customer

    def to_json(self) -> dict[str, Any]:
        """Return what a machine may read, ready for `json.dumps`; times are ISO 8601 in UTC, None for never."""
        return {
            "name": printable(self.found.name),
            "version": self.found.version,
            "days": list(self.days),
            "feed": self.feed or None,
            "customer": self.customer or None,
            "timestamp": self.instant,
            "text": self.text,
            "verdict": self.standing.value,
            "note": self.note,
            "seen_at": iso(self.seen_at),
            "judged_at": iso(self.judged_at),
            "settled_at": iso(self.settled_at),
        }


@dataclass(frozen=True, kw_only=True, slots=True)
class Unfinished:
    """A drop that is not final, or has failed."""

    drop: Drop
    state: State
    reason: str


class Markers:
    """The ledger's markers. Each method raises LedgerError when the ledger cannot be read or written."""

    def __init__(self, database: Database) -> None:
        """Ask and write this database."""
        self._database = database

    # ---------------------------------------------------------------- WHAT IS KNOWN

    def known(self, pairs: Collection[tuple[str, str]]) -> set[tuple[str, str]]:
        """Return those (uri, version) pairs that the ledger has."""
        query = sa.select(markers.c.uri, markers.c.version)
        found: set[tuple[str, str]] = set()
        with self._database.reading() as connection:
            for chunk in chunked({uri for uri, _ in pairs}):
                found.update(
                    (row.uri, row.version) for row in connection.execute(query.where(markers.c.uri.in_(chunk)))
                )
        return found.intersection(pairs)

    def waiting(self) -> tuple[Marker, ...]:
        """Return the markers that wait, in the order in which they are judged: as they came, then by their own time."""
        query = sa.select(markers).where(_UNSETTLED, markers.c.standing == Standing.WAITING)
        return self._markers(query.order_by(markers.c.id))

    def gaps(self, scope: Scope) -> tuple[Marker, ...]:
        """Return the signals of a scope that wait for days before theirs."""
        query = sa.select(markers).where(markers.c.standing == Standing.GAP, markers.c.feed == scope[0])
        return self._markers(query.where(markers.c.customer == storable(scope[1])).order_by(markers.c.id))

    def newest(self, limit: int = 100, *, waiting: bool = False) -> tuple[Marker, ...]:
        """Return markers, the newest first; with `waiting` only such."""
        query = sa.select(markers).order_by(markers.c.id.desc()).limit(limit)
        return self._markers(query.where(markers.c.standing == Standing.WAITING) if waiting else query)

    def of(self, found: Found) -> tuple[Marker, ...]:
        """Return what is known of a version of a marker, for each of its scopes."""
        this = (markers.c.uri == found.uri, markers.c.version == found.version)
        return self._markers(sa.select(markers).where(*this).order_by(markers.c.id))

    def is_newest(self, found: Found) -> bool:
        """Tell whether no later version of the object is known."""
        this, later = markers.alias(), markers.alias()
        query = sa.select(later.c.id).join(this, sa.and_(this.c.uri == later.c.uri, this.c.id < later.c.id))
        query = query.where(this.c.uri == found.uri, this.c.version == found.version, later.c.version != found.version)
        with self._database.reading() as connection:
            return connection.execute(query.limit(1)).first() is None

    def counts(self) -> dict[Standing, int]:
        """Return how many markers have which verdict."""
        query = sa.select(markers.c.standing, sa.func.count()).group_by(markers.c.standing)
        with self._database.reading() as connection:
            return {Standing(standing): count for standing, count in connection.execute(query)}

    def watermark(self, feed: str, customer: str) -> int | None:
        """Return the newest instant that was applied in a scope, unix seconds; None before the first."""
        with self._database.reading() as connection:
            return watermark_of(connection, (feed, storable(customer)))

    def watermarks(self) -> dict[Scope, int]:
        """Return the watermark of every scope that has one."""
        with self._database.reading() as connection:
            return watermarks(connection)

    def under_way(self) -> dict[str, Scope]:
        """Return the uris of all drops that are under way or have failed, each with its scope."""
        query = sa.select(drops.c.uri, drops.c.feed, drops.c.customer).where(*_open(failed=True))
        with self._database.reading() as connection:
            return {uri: (feed, customer) for uri, feed, customer in connection.execute(query)}

    def unfinished(self, *, failed: bool, scope: Scope | None = None) -> tuple[Unfinished, ...]:
        """Return the drops (of a scope) that are under way; with `failed` also those that have failed."""
        query = sa.select(drops).where(*_open(failed=failed)).order_by(drops.c.found_at)
        if scope is not None:
            query = query.where(drops.c.feed == scope[0], drops.c.customer == storable(scope[1]))
        with self._database.reading() as connection:
            return tuple(_unfinished(row) for row in connection.execute(query))

    # ---------------------------------------------------------------- THE BARRIER

    def add(self, found: Found, readings: Mapping[Scope, Reading], before: Mapping[str, Scope], now: float) -> None:
        """Note a version of a marker once for each of its scopes. One that the ledger has already is left as it is.

        One that waits does so for the objects with the uris in `before`, those of its scope.
        """
        with self._database.writing() as connection:
            this = (markers.c.uri == found.uri, markers.c.version == found.version)
            if connection.execute(sa.select(markers.c.id).where(*this)).first() is not None:
                return
            for scope, reading in readings.items():
                waits = reading.standing is Standing.WAITING
                row = {**found_columns(found), **said(scope, reading), "seen_at": now}
                row["judged_at"] = None if waits else now
                (number,) = connection.execute(markers.insert().returning(markers.c.id), row).one()
                uris = (uri for uri, whose in before.items() if whose == scope) if waits else ()
                moves.insert(connection, awaited, [{"marker": number, "uri": uri} for uri in uris])

    def is_held(self, marker: Marker, *, failed: bool) -> bool:
        """Tell whether a drop that was there before a waiting marker is not final; `failed` ones count as such."""
        named = sa.select(awaited.c.uri).where(awaited.c.marker == marker.id, awaited.c.uri == drops.c.uri).exists()
        before = sa.or_(drops.c.modified <= marker.found.modified, named)
        query = sa.select(drops.c.id).where(*_of(marker), *_open(failed=failed), before).limit(1)
        with self._database.reading() as connection:
            return connection.execute(query).first() is not None

    def awaited(self, marker: Marker) -> frozenset[str]:
        """Return the uris of the objects that a waiting marker waits for."""
        with self._database.reading() as connection:
            query = sa.select(awaited.c.uri).where(awaited.c.marker == marker.id)
            return frozenset(connection.execute(query).scalars())

    def release(self, marker: Marker, still: Collection[str], *, failed: bool) -> None:
        """Forget what a marker waits for no more: objects without an open drop, but for the uris in `still`.

        What comes under such a name from now on has come after the marker.
        """
        is_open = sa.select(drops.c.id).where(drops.c.uri == awaited.c.uri, *_open(failed=failed)).exists()
        query = sa.select(awaited.c.uri).where(awaited.c.marker == marker.id, sa.not_(is_open))
        with self._database.reading() as connection:
            done = [uri for uri in connection.execute(query).scalars() if uri not in still]
        if done:
            with self._database.writing() as connection:
                for chunk in chunked(done):
                    connection.execute(awaited.delete().where(awaited.c.marker == marker.id, awaited.c.uri.in_(chunk)))

    def judge(self, marker: Marker, now: float, waits: Waits | None = None) -> tuple[Standing, str]:
        """Give the verdict on a waiting marker by the watermark of its scope; return it with its note.

        Once given, a verdict stays: a marker that has one already is left as it is; but for signals whose days waited
        for days before them, which take effect with the one that brings those.

        Args:
            marker: the marker, or signal.
            now: unix seconds.
            waits: what a feed needs whose days are loaded only when a signal lists them; None for another feed.
        """
        with self._database.writing() as connection:
            row = connection.execute(sa.select(markers).where(markers.c.id == marker.id)).one()
            if row.standing != Standing.WAITING:
                return Standing(row.standing), str(row.note)
            verdict = verdict_on(connection, row, waits)
            give(connection, marker.id, verdict, now)
            connection.execute(awaited.delete().where(awaited.c.marker == marker.id))
            if waits is not None and verdict.standing is Standing.APPLIED:
                close_gaps(connection, (row.feed, row.customer), waits, now)
        return verdict.standing, verdict.note

    # ---------------------------------------------------------------- THE OBJECT IS SETTLED

    def unsettled(self, now: float = math.inf) -> tuple[Found, ...]:
        """Return the objects with a verdict for each of their scopes that are not yet settled, oldest first."""
        query = sa.select(markers).where(_UNSETTLED, markers.c.settle_not_before <= now).order_by(markers.c.id)
        found = self._markers(query)
        waiting = {(each.found.uri, each.found.version) for each in found if each.standing is Standing.WAITING}
        judged = (each.found for each in found if (each.found.uri, each.found.version) not in waiting)
        return tuple(dict.fromkeys(judged))

    def settled(self, founds: Iterable[Found], now: float) -> None:
        """Note that these objects have been kept, archived or deleted. Repeating it changes nothing."""
        with self._database.writing() as connection:
            for found in founds:
                connection.execute(_version(found).where(_UNSETTLED).values(settled_at=now))

    def settle_later(self, found: Found, not_before: float) -> None:
        """Do not try to settle the object before then."""
        with self._database.writing() as connection:
            connection.execute(_version(found).values(settle_not_before=not_before))

    def _markers(self, query: sa.Select[Any]) -> tuple[Marker, ...]:
        with self._database.reading() as connection:
            return tuple(_marker(row) for row in connection.execute(query))


#: In plain SQL, so that the index on unsettled markers is used.
_UNSETTLED: Final = sa.text("markers.settled_at IS NULL")


def _version(found: Found) -> sa.Update:
    return markers.update().where(markers.c.uri == found.uri, markers.c.version == found.version)


def _of(marker: Marker) -> moves.Where:
    return drops.c.feed == marker.feed, drops.c.customer == marker.customer


def _open(*, failed: bool) -> moves.Where:
    states = (*UNDER_WAY, State.FAILED) if failed else UNDER_WAY
    return drops.c.state.in_(states), drops.c.superseded_by.is_(None)


def said(scope: Scope, reading: Reading) -> dict[str, Any]:
    """Return the columns of what a marker says to a scope, with its standing."""
    return {
        "feed": scope[0],
        "customer": storable(scope[1]),
        "instant": reading.instant,
        "text": storable(reading.text),
        "standing": reading.standing.value,
        "note": storable(reading.note),
        "days": list(reading.days) or None,
    }


def _unfinished(row: Any) -> Unfinished:
    drop = Drop(id=row.id, found=found_from(row), feed=row.feed, customer=row.customer, attempt=row.attempt)
    return Unfinished(drop=drop, state=State(row.state), reason=row.reason)


def _marker(row: Any) -> Marker:
    return Marker(
        id=row.id,
        found=found_from(row),
        feed=row.feed,
        customer=row.customer,
        instant=row.instant,
        text=row.text,
        standing=Standing(row.standing),
        note=row.note,
        seen_at=row.seen_at,
        judged_at=row.judged_at,
        settled_at=row.settled_at,
        days=tuple(row.days or ()),
    )
