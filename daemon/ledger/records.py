"""Class Ledger: what the daemon writes into the ledger. Each write is one short transaction, on the disk at its end."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from contextlib import AbstractContextManager
from functools import cached_property
from types import TracebackType
from typing import Any, Final, Self

import sqlalchemy as sa

from daemon.errors import NotFoundError
from daemon.ledger import dayrows, days, decisions, history, moves
from daemon.ledger.days import Days
from daemon.ledger.decisions import Decisions
from daemon.ledger.hold import Hold, Holder, held, holder
from daemon.ledger.markers import Markers
from daemon.ledger.moves import AT_WORK
from daemon.ledger.opening import file_of, open_existing, open_ledger
from daemon.ledger.queries import Queries, chunked
from daemon.ledger.rows import Kind, noted, storable
from daemon.ledger.tables import drops
from daemon.ledger.verdicts import watermarks
from daemon.ledger.versions import Versions
from daemon.ledger.watched import Watched
from daemon.model import Batch, Drop, Found, Outcome, State

#: Where a go may begin. A failed drop needs `retry` first; an unmatched one may have a feed since.
CLAIMABLE: Final = (State.FOUND, State.UNMATCHED)
UNSETTLED: Final[moves.Where] = (drops.c.settled_at.is_(None),)


class Ledger(Queries):
    """What has happened to every drop. Each write raises LedgerError when the ledger cannot be written."""

    @classmethod
    def open(cls, url: str, *, tables_exist: Callable[[], bool], now: float) -> Self:
        """Open the ledger for the daemon; make it where there is none, bring an older one up to date.

        Raises:
            LedgerMissingError: there is none, and `tables_exist()` says that there was one.
            LedgerError: it cannot be made or read, or is of a newer program.
        """
        return cls(open_ledger(file_of(url), tables_exist=tables_exist, now=now))

    @classmethod
    def open_read(cls, url: str) -> Self:
        """Open the ledger for a command: to ask, or for one small write such as `retry`. Never makes one.

        Raises:
            LedgerError: there is none yet, it cannot be read, or it is not of this program's version.
        """
        return cls(open_existing(file_of(url)))

    @cached_property
    def decisions(self) -> Decisions:
        """What people have decided of drops in quarantine."""
        return Decisions(self._database)

    @cached_property
    def markers(self) -> Markers:
        """What markers say, and the watermarks."""
        return Markers(self._database)

    @cached_property
    def days(self) -> Days:
        """Which days are ready, held and closed."""
        return Days(self._database)

    @cached_property
    def watched(self) -> Watched:
        """What those who watch from outside want to know."""
        return Watched(self._database)

    @cached_property
    def versions(self) -> Versions:
        """Which versions of objects stand."""
        return Versions(self._database)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close every connection to it."""
        self._database.close()

    def hurry(self) -> None:
        """From now on hardly wait for other processes' writes: the daemon is to stop. From any thread or a signal."""
        self._database.hurry()

    def hold(self, now: float) -> AbstractContextManager[Hold]:
        """Hold the ledger as its only daemon for the length of a `with`; commands need no hold.

        Raises:
            LedgerBusyError: another process holds it; the message says which, and since when.
        """
        return held(self._database.path, now)

    def holder(self) -> Holder | None:
        """Return the daemon that holds this ledger now; None for nobody."""
        return holder(self._database.path)

    # ---------------------------------------------------------------- A GO BEGINS, OR BREAKS OFF

    def claim(self, wanted: Iterable[Drop], now: float) -> tuple[Drop, ...]:
        """Move new, found and unmatched drops to working; return those that were moved, each with its attempt.

        The ledger counts the attempts, whatever the given ones say, and gives each drop its scope's watermark at its
        first claim, which it keeps. Left out are drops that are being worked or have been, as (uri, version) is never
        worked twice, and found ones that are to wait beyond `now`.
        """
        given = {drop.id: drop for drop in wanted}
        with self._database.writing() as connection:
            known, marks = moves.standing(connection, given), watermarks(connection)
            new = [moves.first_go(drop, marks) for drop in given.values() if drop.id not in known]
            free = (row for row in known.values() if row.state in CLAIMABLE and row.not_before <= now)
            again = [moves.next_go(given[row.id], row, marks) for row in free]
            moves.insert(connection, drops, [moves.new_row(drop.id, drop.found, now, drop) for drop in new])
            moves.update(connection, [moves.again(drop) for drop in again], state=State.WORKING.value, changed_at=now)
            for chunk in chunked(drop.id for drop in (*new, *again)):
                moves.add_events(connection, (drops.c.id.in_(chunk),), Kind.CLAIMED, now)
        return (*new, *again)

    def unmatched(self, founds: Iterable[Found], now: float) -> None:
        """Note objects that no feed has a pattern for. Those that were worked already keep their state."""
        rows = {drop_id: moves.new_row(drop_id, found, now) for found in founds for drop_id in (found.drop_id,)}
        waiting = (drops.c.state == State.FOUND,)
        with self._database.writing() as connection:
            known = moves.standing(connection, rows)
            new = [row for key, row in rows.items() if key not in known]
            moves.insert(connection, drops, new)
            for chunk in chunked(row["id"] for row in new):
                moves.add_events(connection, (drops.c.id.in_(chunk),), Kind.UNMATCHED, now)
            for chunk in chunked(known):
                where = (drops.c.id.in_(chunk), *waiting)
                moves.move(connection, where, Kind.UNMATCHED, State.UNMATCHED, now, feed="", customer="")

    def give_back(
        self,
        drop_ids: Iterable[str],
        now: float,
        reason: str = "",
        *,
        log: str = "",
        not_before: float = 0.0,
        counts: bool = True,
    ) -> int:
        """Move working drops back to found, not to be claimed before `not_before`; return how many there were.

        `log` is what a worker has written; it goes into the history.
        `counts=False` takes the attempt back, for one that the daemon's own stop broke off. Drops of an intended
        batch stay: record or forget decides on them.
        """
        values: dict[str, Any] = {"not_before": not_before, "reason": storable(reason)}
        if not counts:
            values["attempt"] = drops.c.attempt - 1
        return self._move(drop_ids, AT_WORK, Kind.GIVEN_BACK, State.FOUND, now, note=noted(reason, log), **values)

    def gone(self, drop_ids: Iterable[str], now: float) -> int:
        """Forget working and found drops whose object has vanished; only their events stay. Return how many."""
        vanished = (drops.c.state.in_((State.WORKING, State.FOUND)), drops.c.batch.is_(None))
        count = 0
        with self._database.writing() as connection:
            for chunk in chunked(drop_ids):
                where = (drops.c.id.in_(chunk), *vanished)
                moves.add_events(connection, where, Kind.GONE, now, state=sa.null(), note=drops.c.name)
                count += connection.execute(drops.delete().where(*where)).rowcount
        return count

    def recover(self, now: float, *, counts: bool = True) -> int:
        """Move every working drop that is in no intended batch back to found; return how many there were.

        For the daemon's start, under the hold: whoever worked them is dead. Open batches are resolved first or after.
        `counts=False` takes the attempts back, for a daemon that starts over by itself: no drop was at fault.
        """
        reason = "the daemon stopped while it was worked" if counts else "the daemon's work was broken off"
        values: dict[str, Any] = {"not_before": 0.0, "reason": reason}
        if not counts:
            values["attempt"] = drops.c.attempt - 1
        with self._database.writing() as connection:
            return moves.move(connection, AT_WORK, Kind.RECOVERED, State.FOUND, now, note=reason, **values)

    def retry(self, key: str | None, now: float) -> tuple[str, ...]:
        """Give a failed drop (an id, its beginning, or a name), or with None every failed one, another go.

        One that waits for its next go anyway need not wait; one whose place a newer version has taken is left alone.
        The attempts stay counted. Returns the ids.

        Raises:
            NotFoundError: there is no such drop, or it has not failed.
        """
        failed: tuple[sa.ColumnElement[bool], ...] = (drops.c.state == State.FAILED, drops.c.superseded_by.is_(None))
        if key is not None:
            row = self.drop(key)
            if row.superseded_by:
                raise NotFoundError(
                    f"drop {row.id} ({row.name}) is superseded by drop {row.superseded_by}, a newer version of the file"
                )
            waits = row.state is State.FOUND and row.not_before > now
            if row.state is not State.FAILED and not waits:
                raise NotFoundError(
                    f"drop {row.id} ({row.name}) is {row.state}, and only failed drops can be tried again. "
                    "`blobdrop drops --state failed` lists them"
                )
            failed = (drops.c.id == row.id, drops.c.state == row.state)
        with self._database.writing() as connection:
            ids = tuple(connection.execute(sa.select(drops.c.id).where(*failed)).scalars())
            moves.move(connection, failed, Kind.RETRIED, State.FOUND, now, not_before=0.0)
        return ids

    # ---------------------------------------------------------------- A GO ENDS

    def finish(self, outcomes: Collection[Outcome], now: float) -> None:
        """Write outcomes that need no table transaction: duplicate, failed, rejected. Repeating it changes nothing.

        Raises:
            LedgerError: a drop is not being worked, or is in an intended batch; nothing was written.
        """
        with self._database.writing() as connection:
            known = moves.standing(connection, (outcome.drop_id for outcome in outcomes))
            open_ones = [outcome for outcome in outcomes if not _stands(known.get(outcome.drop_id), outcome)]
            ids = [outcome.drop_id for outcome in open_ones]
            moves.require_working(connection, ids, AT_WORK, "cannot be finished")
            moves.end(connection, open_ones, Kind.FINISHED, now)
            dayrows.bring(connection, open_ones, 0)
            dayrows.take(connection, moves.supersede(connection, open_ones, (), now), 0)

    def intend(self, batch: Batch, now: float, *, at_least: int = 0) -> Batch:
        """Store a batch before its table transaction, and return it under its number.

        The number is one above the feed's highest here and above `at_least`, the highest that the table holds.

        Raises:
            LedgerError: the feed has an open batch already, a drop is not being worked, or a decision does not wait;
                nothing was written.
        """
        ids = [] if batch.decided else [outcome.drop_id for outcome in batch.outcomes]
        with self._database.writing() as connection:
            moves.require_working(connection, ids, AT_WORK, "cannot go into a batch")
            if batch.decided:
                decisions.require_pending(connection, batch.outcomes)
            batch = moves.open_batch(connection, batch, now, at_least=at_least)
            for chunk in chunked(ids):
                connection.execute(drops.update().where(drops.c.id.in_(chunk)).values(batch=batch.number))
        return batch

    def record(self, batch: Batch, now: float) -> None:
        """Write the outcomes of a batch that the table holds. Repeating it changes nothing.

        Raises:
            LedgerError: the batch was never intended, or was forgotten, or a drop is not in it; nothing was written.
        """
        ids = [outcome.drop_id for outcome in batch.outcomes]
        with self._database.writing() as connection:
            if not moves.close_batch(connection, batch, "committed", now):
                return
            if batch.decided:
                decisions.carry_out(connection, batch, now)
            else:
                moves.require_working(
                    connection, ids, _in_batch(batch), f"cannot be recorded with batch {batch.number}"
                )
                moves.end(connection, batch.outcomes, Kind.RECORDED, now)
                dayrows.bring(connection, batch.outcomes, batch.number)
            replaced = moves.supersede(connection, batch.outcomes, batch.replaces, now)
            dayrows.take(connection, replaced, batch.number)
            days.settle(connection, batch, now, held=True)

    def forget(self, batch: Batch, now: float, reason: str = "") -> None:
        """Drop an intent that the table does not hold: its drops are found again, its decisions wait again.

        Repeating it changes nothing.

        Its number is not given again. The attempt does not count: the drops were worked well, the table was at fault.

        Raises:
            LedgerError: the batch was never intended, or was recorded.
        """
        reset: dict[str, Any] = {"batch": None, "not_before": 0.0, "attempt": drops.c.attempt - 1}
        with self._database.writing() as connection:
            if moves.close_batch(connection, batch, "forgotten", now):
                days.settle(connection, batch, now, held=False)
                for chunk in chunked(outcome.drop_id for outcome in batch.outcomes):
                    where = (drops.c.id.in_(chunk), *_in_batch(batch))
                    moves.move(
                        connection,
                        where,
                        Kind.FORGOTTEN,
                        State.FOUND,
                        now,
                        note=reason,
                        reason=storable(reason),
                        **reset,
                    )

    # ---------------------------------------------------------------- THE OBJECT IS SETTLED

    def settled(self, drop_ids: Iterable[str], now: float) -> None:
        """Note that these drops' objects have been kept, archived or deleted. Repeating it changes nothing."""
        self._move(drop_ids, UNSETTLED, Kind.SETTLED, None, now, settled_at=now)

    def settle_failed(self, drop_id: str, reason: str, now: float, *, not_before: float = 0.0) -> None:
        """Note why the drop's object could not be settled; it is not tried again before `not_before`."""
        values: dict[str, Any] = {
            "settle_failures": drops.c.settle_failures + 1,
            "settle_reason": storable(reason),
            "settle_not_before": not_before,
        }
        self._move((drop_id,), UNSETTLED, Kind.SETTLE_FAILED, None, now, note=reason, **values)

    # ---------------------------------------------------------------- WHAT IS KEPT

    def unreport(self, drop_id: str) -> bool:
        """Note that the drop's report is about to be removed; False where it must stay, for a decision that waits."""
        with self._database.writing() as connection:
            if decisions.waits(connection, drop_id):
                return False
            connection.execute(drops.update().where(drops.c.id == drop_id).values(report=""))
        return True

    def prune(self, before: float) -> int:
        """Forget some events and ended batches from before then, and no drop; return how many, 0 when none is left."""
        return history.prune(self._database, before)

    def _move(
        self, drop_ids: Iterable[str], where: moves.Where, kind: Kind, state: State | None, now: float, **values: Any
    ) -> int:
        with self._database.writing() as connection:
            return sum(
                moves.move(connection, (drops.c.id.in_(chunk), *where), kind, state, now, **values)
                for chunk in chunked(drop_ids)
            )


def _in_batch(batch: Batch) -> moves.Where:
    return drops.c.state == State.WORKING, drops.c.feed == batch.feed, drops.c.batch == batch.number


def _stands(row: Any, outcome: Outcome) -> bool:
    """Tell whether the row has this outcome already."""
    return row is not None and row.state == outcome.state and row.finished_at == outcome.finished_at
