"""What people have decided of drops in quarantine: written by commands, brought to an end by the daemon."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Any, Final

import sqlalchemy as sa

from daemon.decisions import Action, Decision, Standing
from daemon.errors import LedgerError
from daemon.ledger import dayrows, moves
from daemon.ledger.database import Database
from daemon.ledger.queries import IN_TABLE, chunked
from daemon.ledger.rows import DropRow, Kind, drop_row, outcome_columns, storable
from daemon.ledger.tables import decisions, drops, events
from daemon.model import Batch, Feed, OnDuplicate, OnRevision, Outcome, State

#: Drops that can be decided on.
DECIDABLE: Final = (State.PARTIAL, State.REJECTED)
#: What a decision's outcome leaves as it was in its drop's row: the bytes, and when they were worked.
_KEPT: Final = ("sha256", "started_at", "finished_at")
#: In plain SQL, so that the index on pending decisions is used.
_PENDING: Final = sa.text("decisions.state = 'pending'")
_OPEN: Final[moves.Where] = (drops.c.state.in_(DECIDABLE), drops.c.superseded_by.is_(None))


class Decisions:
    """The ledger's decisions. Each method raises LedgerError when the ledger cannot be read or written."""

    def __init__(self, database: Database) -> None:
        """Ask and write this database."""
        self._database = database

    # ---------------------------------------------------------------- WHAT WAS DECIDED

    def pending(self, limit: int = 10_000) -> tuple[tuple[Decision, DropRow], ...]:
        """Return the decisions that wait, each with its drop as it stands, the oldest first."""
        waiting = sa.select(decisions).where(_PENDING).order_by(decisions.c.id).limit(limit)
        with self._database.reading() as connection:
            found = [_decision(row) for row in connection.execute(waiting)]
            rows = _rows(connection, (each.drop_id for each in found))
        return tuple((each, rows[each.drop_id]) for each in found if each.drop_id in rows)

    def newest(self) -> tuple[int, int]:
        """Return the numbers of the newest event and of the newest decision; 0 before the first."""
        with self._database.reading() as connection:
            numbers = (connection.execute(sa.select(sa.func.max(each.c.id))).scalar() for each in (events, decisions))
            event, decision = (number or 0 for number in numbers)
        return event, decision

    def is_asked(self, since: tuple[int, int]) -> bool:
        """Tell whether a person has asked for something after the event and the decision with these numbers."""
        retried = sa.select(events.c.id).where(events.c.id > since[0], events.c.kind == Kind.RETRIED)
        decided = sa.select(decisions.c.id).where(decisions.c.id > since[1])
        with self._database.reading() as connection:
            return any(connection.execute(query.limit(1)).scalar() is not None for query in (retried, decided))

    def waiting(self) -> int:
        """Return how many decisions wait."""
        with self._database.reading() as connection:
            query = sa.select(sa.func.count()).select_from(decisions).where(_PENDING)
            return int(connection.execute(query).scalar_one())

    def of(self, drop_ids: Iterable[str]) -> dict[str, tuple[Decision, ...]]:
        """Return for each of the drops on which somebody has decided the decisions, the oldest first."""
        query = sa.select(decisions).order_by(decisions.c.id)
        found: dict[str, tuple[Decision, ...]] = {}
        with self._database.reading() as connection:
            for chunk in chunked(drop_ids):
                for row in connection.execute(query.where(decisions.c.drop_id.in_(chunk))):
                    found[row.drop_id] = (*found.get(row.drop_id, ()), _decision(row))
        return found

    def superseded(self, drop_ids: Iterable[str]) -> dict[str, str]:
        """Return for each of the drops whose rows were replaced the drop that did."""
        query = sa.select(drops.c.id, drops.c.superseded_by).where(drops.c.superseded_by.is_not(None))
        found: dict[str, str] = {}
        with self._database.reading() as connection:
            for chunk in chunked(drop_ids):
                rows = connection.execute(query.where(drops.c.id.in_(chunk)))
                found.update((row.id, row.superseded_by) for row in rows)
        return found

    def fitting(self, feed: str, *, rule: str | None = None, customer: str | None = None) -> tuple[DropRow, ...]:
        """Return the feed's drops that can be decided on and of which nobody has decided to discard, oldest first.

        Args:
            feed: the feed's name.
            rule: only drops of which a row breaks this rule.
            customer: only this one's.
        """
        query = sa.select(drops).where(drops.c.feed == feed, *_OPEN).order_by(drops.c.found_at, drops.c.id)
        if customer is not None:
            query = query.where(drops.c.customer == storable(customer))
        with self._database.reading() as connection:
            found = [drop_row(row._asdict()) for row in connection.execute(query)]
        wanted = [row for row in found if rule is None or any(name == storable(rule) for name, _, _ in row.rules)]
        decided = self.of(row.id for row in wanted)
        return tuple(row for row in wanted if not _settled(decided.get(row.id, ())))

    def rules_of(self, feed: str) -> frozenset[str]:
        """Return the rules that rows of the feed's drops break, whatever was decided of them or came in their place."""
        query = sa.select(drops.c.rules).where(drops.c.feed == feed, drops.c.state.in_(DECIDABLE))
        with self._database.reading() as connection:
            return frozenset(rule for rules in connection.execute(query).scalars() for rule, *_ in rules or ())

    def hindrance(self, row: DropRow, action: Action, feed: Feed) -> str:
        """Return why a drop cannot be decided on so, as it stands now; empty when it can."""
        if row.state not in DECIDABLE:
            why = f": {row.reason}" if row.reason else ""
            return f"it is {row.state}{why}; only drops that are partial or rejected can be decided on"
        successor = row.superseded_by or (self._later(row) if feed.revision is OnRevision.REPLACE else None)
        if successor is not None:
            return f"it is superseded by drop {successor}, a newer version of the file, whose rows are in the table"
        if action is Action.DISCARD:
            return ""
        twin = self._twin(row) if feed.duplicates is OnDuplicate.SKIP else None
        if twin is not None:
            return f"its very bytes were ingested as drop {twin} since"
        first = self._in_table(row, drops.c.uri == row.uri) if feed.revision is OnRevision.REJECT else None
        return (
            "" if first is None else f"a file of its name was ingested as drop {first}, and the feed takes a name once"
        )

    def _later(self, row: DropRow) -> str | None:
        """Return the drop of a later version of a rejected object whose rows are in the table.

        A partial one that was replaced has its successor in its row.
        """
        if row.state is not State.REJECTED:
            return None
        newer = sa.or_(
            drops.c.found_at > row.found_at,
            sa.and_(drops.c.found_at == row.found_at, drops.c.changed_at > row.changed_at),
        )
        return self._in_table(row, drops.c.uri == row.uri, newer)

    def _twin(self, row: DropRow) -> str | None:
        """Return another drop with the same bytes whose rows are in the table."""
        return self._in_table(row, drops.c.sha256 == row.sha256) if row.sha256 else None

    def _in_table(self, row: DropRow, *where: sa.ColumnElement[bool]) -> str | None:
        scope = (drops.c.feed == row.feed, drops.c.customer == row.customer, drops.c.id != row.id)
        query = sa.select(drops.c.id, drops.c.state).where(*scope, drops.c.superseded_by.is_(None), *where)
        with self._database.reading() as connection:
            # The state is looked at here, as in `Queries.earlier`.
            return next((found.id for found in connection.execute(query) if found.state in IN_TABLE), None)

    # ---------------------------------------------------------------- DECIDING

    def add(self, wanted: Iterable[Decision]) -> tuple[Decision, ...]:
        """Write decisions for the daemon; return those that were written, with their ids.

        Left out are those on drops that cannot be decided on, and on drops that wait for a decision already.
        """
        given = {decision.drop_id: decision for decision in wanted}
        with self._database.writing() as connection:
            free = moves.matching(connection, given, _OPEN)
            for chunk in chunked(given):
                query = sa.select(decisions.c.drop_id).where(_PENDING, decisions.c.drop_id.in_(chunk))
                free.difference_update(connection.execute(query).scalars())
            highest = connection.execute(sa.select(sa.func.max(decisions.c.id))).scalar() or 0
            rows = [_columns(decision) for drop_id, decision in given.items() if drop_id in free]
            moves.insert(connection, decisions, rows)
            added = sa.select(decisions).where(decisions.c.id > highest).order_by(decisions.c.id)
            return tuple(_decision(row) for row in connection.execute(added))

    # ---------------------------------------------------------------- CARRYING OUT

    def end(self, decision: Decision, state: Standing, note: str, now: float) -> None:
        """Bring a pending decision that moves no row to its end. Repeating it changes nothing."""
        values = {"state": state.value, "note": storable(note), "ended_at": now}
        with self._database.writing() as connection:
            this = decisions.update().where(decisions.c.id == decision.id, _PENDING)
            if connection.execute(this.values(**values)).rowcount:
                told = f"{decision.action.value} by {decision.by} is {state.value}: {note}"
                moves.add_events(connection, (drops.c.id == decision.drop_id,), Kind.DECIDED, now, note=told)

    def broken(self, decision: Decision, note: str) -> None:
        """Note that a go at a pending decision has broken its worker."""
        values = {"attempt": decisions.c.attempt + 1, "note": storable(note)}
        with self._database.writing() as connection:
            connection.execute(decisions.update().where(decisions.c.id == decision.id, _PENDING).values(**values))


def waits(connection: sa.Connection, drop_id: str) -> bool:
    """Tell whether a decision on the drop waits to be carried out."""
    query = sa.select(decisions.c.id).where(_PENDING, decisions.c.drop_id == drop_id)
    return connection.execute(query).first() is not None


def require_pending(connection: sa.Connection, outcomes: Sequence[Outcome]) -> None:
    """Refuse to go on when one of the outcomes' decisions does not wait, or its drop cannot be decided on.

    Raises:
        LedgerError: names the first such drop.
    """
    open_ones = moves.matching(connection, (outcome.drop_id for outcome in outcomes), _OPEN)
    waiting: set[tuple[int, str]] = set()
    for chunk in chunked(outcome.decision for outcome in outcomes):
        query = sa.select(decisions.c.id, decisions.c.drop_id).where(_PENDING, decisions.c.id.in_(chunk))
        waiting.update((row.id, row.drop_id) for row in connection.execute(query))
    for outcome in outcomes:
        if outcome.drop_id not in open_ones or (outcome.decision, outcome.drop_id) not in waiting:
            raise LedgerError(
                f"decision {outcome.decision} on drop {outcome.drop_id} cannot go into a batch: it was carried out, or "
                "the drop has changed since"
            )


def carry_out(connection: sa.Connection, batch: Batch, now: float) -> None:
    """Write what a batch of decisions has brought into their drops' rows, and the decisions' ends."""
    before = _rows(connection, (outcome.drop_id for outcome in batch.outcomes))
    dayrows.review(connection, batch.outcomes, batch.number)
    for outcome in batch.outcomes:
        row = before[outcome.drop_id]
        brought = outcome.rows.accepted - row.rows_accepted
        note = _note(brought, outcome.rows.rejected)
        columns = {name: value for name, value in outcome_columns(outcome).items() if name not in _KEPT}
        number = batch.number if row.batch is None else row.batch
        this = drops.c.id == outcome.drop_id
        connection.execute(drops.update().where(this).values(**columns, batch=number, changed_at=now))
        moves.add_events(connection, (this,), Kind.RELEASED, now, note=note)
        ended = {"state": Standing.DONE.value, "ended_at": now, "note": note, "rows_accepted": brought}
        place = {"feed": batch.feed, "batch": batch.number}
        connection.execute(decisions.update().where(decisions.c.id == outcome.decision).values(**ended, **place))


def _note(brought: int, left: int) -> str:
    rows = f"{brought:,} row" if brought == 1 else f"{brought:,} rows"
    stay = "stays" if left == 1 else "stay"
    return f"{rows} went into the table" + (f", {left:,} {stay} in quarantine" if left else ", none is left")


def _settled(decided: Collection[Decision]) -> bool:
    """Tell whether a drop waits for a decision already, or the last one that was carried out was to discard it."""
    last: Action | None = None
    for decision in decided:
        if decision.state is Standing.PENDING:
            return True
        if decision.state is Standing.DONE:
            last = decision.action
    return last is Action.DISCARD


def _rows(connection: sa.Connection, drop_ids: Iterable[str]) -> dict[str, DropRow]:
    found: dict[str, DropRow] = {}
    for chunk in chunked(drop_ids):
        rows = connection.execute(sa.select(drops).where(drops.c.id.in_(chunk)))
        found.update((row.id, drop_row(row._asdict())) for row in rows)
    return found


def _columns(decision: Decision) -> dict[str, Any]:
    return {
        "drop_id": decision.drop_id,
        "action": decision.action.value,
        "rules": [storable(rule) for rule in decision.rules],
        "reason": storable(decision.reason),
        "by": storable(decision.by),
        "at": decision.at,
        "state": Standing.PENDING.value,
    }


def _decision(row: Any) -> Decision:
    columns = row._asdict()
    return Decision(
        **{
            **columns,
            "action": Action(columns["action"]),
            "state": Standing(columns["state"]),
            "rules": tuple(columns["rules"]),
        }
    )
