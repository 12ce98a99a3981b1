"""What a crash has left is brought to an end: batches that were intended, files that were staged, drops at work."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from structlog.typing import FilteringBoundLogger

from daemon.committing import promote_all, supersede_all
from daemon.ledger import Ledger
from daemon.quarantine import Quarantine
from daemon.stores import Store


def recover(
    ledger: Ledger,
    store: Store,
    quarantine: Quarantine,
    *,
    feeds: Iterable[str],
    sessions: Collection[str],
    now: float,
    log: FilteringBoundLogger,
) -> int:
    """Resolve what was under way; only while nothing is at work. Return the drops that are found again.

    Args:
        ledger: what was intended.
        store: the truth about what became of it.
        quarantine: may have entries that were never finished.
        feeds: whose tables may have staged files.
        sessions: of the daemons that have crashed: their units' names begin so.
        now: unix seconds.
        log: is told of batches that turn out to be in a table.

    Raises:
        WorkError: ledger, table or quarantine cannot be used; nothing is lost, and it can be tried again.
    """
    quarantine.sweep()
    for batch in ledger.open_batches():
        if store.holds(batch):
            promote_all(quarantine, batch)
            supersede_all(ledger, quarantine, batch.outcomes)
            ledger.record(batch, now)
            log.info("batch.recovered", feed=batch.feed, batch=batch.number, drops=len(batch.outcomes))
        else:
            store.abandon(batch)
            ledger.forget(batch, now, "the daemon stopped before its commit")
    # Only now: those of a batch that the table holds are in their places.
    quarantine.sweep_pending()
    for feed in feeds:
        store.clear(feed)
        if sessions:
            store.sweep(feed, sessions)
    found_again = ledger.recover(now)
    # Their next go may come to something else, or their objects are gone: what was published of them is not to stay.
    for each in ledger.waiting():
        quarantine.remove(each.drop.customer, each.drop.feed, each.drop.id)
    return found_again
