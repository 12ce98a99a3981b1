"""What the ledger may forget: old events and old batches. What it may never forget, its drops, is not touched here."""

from __future__ import annotations

from typing import Any, Final

import sqlalchemy as sa

from daemon.ledger.database import Database
from daemon.ledger.tables import batches, drops, events

#: Rows that one transaction deletes: some hundredths of a second, in which others wait.
AT_ONCE: Final = 2_000


def prune(database: Database, before: float) -> int:
    """Delete some of the events and ended batches from before then, unix seconds; return how many, 0 when none is left.

    Each feed's newest batches and the newest event stay, whatever their age, as others count on from them.

    Raises:
        LedgerError: the ledger cannot be written.
    """
    with database.writing() as connection:
        count = connection.execute(events.delete().where(events.c.id.in_(_old_events(before)))).rowcount
    return count or _prune_batches(database, before)


def _old_events(before: float) -> sa.Select[Any]:
    newest = sa.select(sa.func.max(events.c.id)).scalar_subquery()
    # Ids grow with time, so that the oldest are found without an index on the time.
    oldest = sa.select(events.c.id, events.c.at).order_by(events.c.id).limit(AT_ONCE).subquery()
    return sa.select(oldest.c.id).where(oldest.c.at < before, oldest.c.id < newest)


def _prune_batches(database: Database, before: float) -> int:
    kept = sa.select(sa.func.max(batches.c.number)).where(batches.c.feed == sa.bindparam("of"))
    count = 0
    with database.unchecked() as connection:
        for feed in connection.execute(sa.select(batches.c.feed).distinct()).scalars().all():
            # By its state, as the newest that is in the table is held against the table at each start.
            newest = connection.execute(kept.where(batches.c.state == "committed"), {"of": feed}).scalar() or 0
            old = (batches.c.feed == feed, batches.c.number < newest, batches.c.ended_at < before)
            some = sa.select(batches.c.number).where(*old).order_by(batches.c.number).limit(AT_ONCE)
            if numbers := connection.execute(some).scalars().all():
                theirs = (drops.c.feed == feed, drops.c.batch.between(numbers[0], numbers[-1]))
                connection.execute(drops.update().where(*theirs).values(batch=None))
                count += connection.execute(
                    batches.delete().where(batches.c.feed == feed, batches.c.number.in_(numbers))
                ).rowcount
    return count
