"""The statements that writes are made of: many rows in few statements, each with its line in the history."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

import sqlalchemy as sa

from daemon.errors import LedgerError
from daemon.ledger.queries import chunked, highest_batch
from daemon.ledger.rows import Kind, found_columns, noted, outcome_columns, packed, storable
from daemon.ledger.tables import batches, drops, events
from daemon.model import Batch, Drop, Found, Outcome, State

#: Conditions that are all to hold.
Where = tuple[sa.ColumnElement[bool], ...]

#: Being worked, in no batch: what the end of a go without a batch may change.
AT_WORK: Final[Where] = (drops.c.state == State.WORKING, drops.c.batch.is_(None))


def insert(connection: sa.Connection, table: sa.Table, rows: list[dict[str, Any]]) -> None:
    """Insert the rows, which may be none."""
    if rows:
        connection.execute(table.insert(), rows)


def update(connection: sa.Connection, rows: list[dict[str, Any]], **same: Any) -> None:
    """Update drops one by one, each row by its `key`, and all of them with the `same` values."""
    if rows:
        values: dict[str, Any] = {name: sa.bindparam(name) for name in rows[0] if name != "key"}
        connection.execute(drops.update().where(drops.c.id == sa.bindparam("key")).values(**values, **same), rows)


def move(
    connection: sa.Connection,
    where: Where,
    kind: Kind,
    state: State | None,
    now: float,
    *,
    note: str = "",
    **values: Any,
) -> int:
    """Move the drops that match into the state (None: leave it), with an event each; return how many."""
    after = drops.c.state if state is None else sa.literal(state.value)
    add_events(connection, where, kind, now, state=after, note=note)
    if state is not None:
        values |= {"state": state.value, "changed_at": now}
    return connection.execute(drops.update().where(*where).values(**values)).rowcount


def add_events(
    connection: sa.Connection,
    where: Where,
    kind: Kind,
    now: float,
    *,
    state: sa.ColumnElement[Any] = drops.c.state,
    note: str | sa.ColumnElement[str] = "",
) -> None:
    """Add an event for each drop that matches; `state` is the one after it."""
    text = sa.literal(storable(note)) if isinstance(note, str) else note
    columns = (sa.literal(now), drops.c.id, sa.literal(kind.value), state, drops.c.attempt, drops.c.batch, text)
    names = ["at", "drop_id", "kind", "state", "attempt", "batch", "note"]
    connection.execute(events.insert().from_select(names, sa.select(*columns).where(*where)))


def matching(connection: sa.Connection, drop_ids: Iterable[str], where: Where) -> set[str]:
    """Return those of the ids whose drops match."""
    found: set[str] = set()
    for chunk in chunked(drop_ids):
        found.update(connection.execute(sa.select(drops.c.id).where(drops.c.id.in_(chunk), *where)).scalars())
    return found


def standing(connection: sa.Connection, drop_ids: Iterable[str]) -> dict[str, Any]:
    """Return rows of those ids that the ledger has: how their drops stand, and what they were claimed as."""
    stands = (drops.c.id, drops.c.state, drops.c.attempt, drops.c.not_before, drops.c.finished_at)
    query = sa.select(*stands, drops.c.feed, drops.c.customer, drops.c.watermark)
    rows: dict[str, Any] = {}
    for chunk in chunked(drop_ids):
        rows.update((row.id, row) for row in connection.execute(query.where(drops.c.id.in_(chunk))))
    return rows


def require_working(connection: sa.Connection, drop_ids: Collection[str], where: Where, purpose: str) -> None:
    """Refuse to go on when one of the drops does not match.

    Raises:
        LedgerError: names the first such drop and its state.
    """
    missing = set(drop_ids) - matching(connection, drop_ids, where)
    if missing:
        drop_id = min(missing)
        row = standing(connection, (drop_id,)).get(drop_id)
        stands = "unknown to the ledger" if row is None else f"{row.state}, or in another batch"
        raise LedgerError(f"drop {drop_id} {purpose}: it is {stands}, and was expected to be worked for it")


def end(connection: sa.Connection, outcomes: Collection[Outcome], kind: Kind, now: float) -> None:
    """Write the outcomes into their drops' rows."""
    rows = [{"key": outcome.drop_id, **outcome_columns(outcome)} for outcome in outcomes]
    update(connection, rows, changed_at=now)
    for chunk in chunked(outcome.drop_id for outcome in outcomes if not outcome.log):
        add_events(connection, (drops.c.id.in_(chunk),), kind, now, note=drops.c.reason)
    for outcome in outcomes:
        if outcome.log:
            note = noted(outcome.reason, outcome.log)
            add_events(connection, (drops.c.id == outcome.drop_id,), kind, now, note=note)


def supersede(
    connection: sa.Connection, outcomes: Sequence[Outcome], replaces: Sequence[str], now: float
) -> Collection[str]:
    """Note for each drop whose place the outcomes' drops take which of them did; return these drops.

    Of a replaced one that no outcome names, it is the drop of its uri, else the first.
    """
    successors = {earlier: outcome.drop_id for outcome in outcomes for earlier in outcome.supersedes}
    if unnamed := [drop_id for drop_id in replaces if drop_id not in successors]:
        successors |= _by_uri(connection, outcomes, unnamed)
    update(connection, [{"key": earlier, "superseded_by": later} for earlier, later in successors.items()])
    for chunk in chunked(successors):
        add_events(connection, (drops.c.id.in_(chunk),), Kind.SUPERSEDED, now, note=drops.c.superseded_by)
    return successors.keys()


def _by_uri(connection: sa.Connection, outcomes: Sequence[Outcome], replaced: Sequence[str]) -> dict[str, str]:
    query = sa.select(drops.c.id, drops.c.uri)
    owners: dict[str, str] = {}
    for chunk in chunked(outcome.drop_id for outcome in outcomes):
        owners.update((uri, drop_id) for drop_id, uri in connection.execute(query.where(drops.c.id.in_(chunk))))
    found: dict[str, str] = {}
    for chunk in chunked(replaced):
        rows = connection.execute(query.where(drops.c.id.in_(chunk)))
        found.update((drop_id, owners.get(uri, outcomes[0].drop_id)) for drop_id, uri in rows)
    return found


def open_batch(connection: sa.Connection, batch: Batch, now: float, *, at_least: int) -> Batch:
    """Store a batch, whole, under a number above all of its feed's and above `at_least`; return it with that.

    Raises:
        LedgerError: the feed has an open batch already: the table, which knows only its newest number, could not say
            after a crash which of the two it holds.
    """
    still = sa.select(batches.c.number).where(batches.c.feed == batch.feed, batches.c.ended_at.is_(None))
    number = connection.execute(still).scalar()
    if number is not None:
        raise LedgerError(f"batch {number} of feed {batch.feed} is still open: record or forget it before the next one")
    batch = replace(batch, number=max(highest_batch(connection, batch.feed), at_least) + 1)
    row = {
        "feed": batch.feed,
        "number": batch.number,
        "state": "intended",
        "drops": len(batch.outcomes),
        "intended_at": now,
        "outcomes": [packed(outcome) for outcome in batch.outcomes],
        "files": [packed(file) for file in batch.files],
        "replaces": list(batch.replaces),
    }
    connection.execute(batches.insert(), row)
    return batch


def close_batch(connection: sa.Connection, batch: Batch, state: str, now: float) -> bool:
    """Bring an intended batch to its end and prune what was for recovery; False when it is there already.

    Raises:
        LedgerError: the batch was never intended, or has come to another end.
    """
    this = (batches.c.feed == batch.feed, batches.c.number == batch.number)
    before = connection.execute(sa.select(batches.c.state).where(*this)).scalar()
    if before not in ("intended", state):
        raise LedgerError(
            f"batch {batch.number} of feed {batch.feed} cannot be {state}: "
            f"it {'was never intended' if before is None else f'is {before} already'}"
        )
    pruned: Mapping[str, Any] = {"outcomes": None, "files": None, "replaces": None}
    connection.execute(
        batches.update().where(*this, batches.c.ended_at.is_(None)).values(state=state, ended_at=now, **pruned)
    )
    return bool(before == "intended")


def new_row(drop_id: str, found: Found, now: float, claimed: Drop | None = None) -> dict[str, Any]:
    """Return the whole row of a drop that the ledger has not heard of: claimed for its first go, or unmatched."""
    return {
        "id": drop_id,
        **found_columns(found),
        "feed": claimed.feed if claimed else "",
        "customer": storable(claimed.customer) if claimed else "",
        "state": (State.WORKING if claimed else State.UNMATCHED).value,
        "attempt": 1 if claimed else 0,
        "watermark": claimed.watermark if claimed else None,
        "found_at": now,
        "changed_at": now,
    }


def again(drop: Drop) -> dict[str, Any]:
    """Return what changes in the row of a drop that is claimed once more; its feed may be another one by now."""
    scope = {"feed": drop.feed, "customer": storable(drop.customer)}
    return {"key": drop.id, **scope, "attempt": drop.attempt, "watermark": drop.watermark}


def first_go(drop: Drop, marks: Mapping[tuple[str, str], int]) -> Drop:
    """Return a drop as it is claimed first: under the watermark of its scope."""
    watermark = marks.get((drop.feed, storable(drop.customer)))
    same = drop.attempt == 1 and drop.watermark == watermark
    return drop if same else replace(drop, attempt=1, watermark=watermark)


def next_go(drop: Drop, row: Any, marks: Mapping[tuple[str, str], int]) -> Drop:
    """Return a drop as it is claimed again, given its row: under the watermark of before, unless it has a new scope."""
    scope = (drop.feed, storable(drop.customer))
    was_claimed = row.state == State.FOUND and (row.feed, row.customer) == scope
    watermark = row.watermark if was_claimed else marks.get(scope)
    return replace(drop, attempt=row.attempt + 1, watermark=watermark)
