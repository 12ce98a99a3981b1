"""What a crash has left is brought to an end: batches that were intended, files that were staged, drops at work."""

from __future__ import annotations

from collections.abc import Collection

from daemon.committing import promote_all, supersede_all
from daemon.model import METRIC_DAYS, Batch
from daemon.parts import Parts


def recover(parts: Parts, sessions: Collection[str], *, counts: bool = True) -> int:
    """Resolve what was under way; only while nothing is at work. Return the drops that are found again.

    Args:
        parts: the ledger knows what was intended, the store what became of it.
        sessions: of the daemons that broke off: their units' names begin so.
        counts: whether drops at work have had an attempt; not where ledger or disk were at fault, and not they.

    Raises:
        WorkError: ledger, table or quarantine cannot be used; nothing is lost, and it can be tried again.
    """
    ledger, store, quarantine, now = parts.ledger, parts.store, parts.quarantine, parts.clock()
    quarantine.sweep()
    for batch in ledger.open_batches():
        resolve(parts, batch, "the daemon stopped before its commit")
    # Only now: those of a batch that the table holds are in their places.
    quarantine.sweep_pending()
    for feed in (*parts.feeds, METRIC_DAYS):
        store.clear(feed)
        if sessions:
            store.sweep(feed, sessions)
    found_again = ledger.recover(now, counts=counts)
    # Their next go may come to something else, or their objects are gone: what was published of them is not to stay.
    quarantine.remove_all((each.drop.customer, each.drop.feed, each.drop.id) for each in ledger.waiting())
    return found_again


def resolve(parts: Parts, batch: Batch, reason: str) -> None:
    """Bring a batch to its end that broke off in its middle: recorded where the table holds it, else forgotten.

    Raises:
        WorkError: ledger, table or quarantine cannot be used; nothing is lost, and it can be tried again.
    """
    ledger, store, quarantine, now = parts.ledger, parts.store, parts.quarantine, parts.clock()
    if store.holds(batch):
        promote_all(quarantine, batch)
        supersede_all(ledger, quarantine, batch.outcomes)
        ledger.record(batch, now)
        parts.log.info("batch.recovered", feed=batch.feed, batch=batch.number, drops=len(batch.outcomes))
    else:
        store.abandon(batch)
        ledger.forget(batch, now, reason)
