"""Committing what units of one feed have staged: one transaction of its table, and then the ledger."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import chain

import pyarrow as pa

from daemon.claims import Claims
from daemon.errors import StoreError, UndoneError
from daemon.ledger import Ledger
from daemon.ledger.versions import STANDING
from daemon.model import Batch, Drop, Outcome, Prepared, State
from daemon.parts import Parts
from daemon.quarantine import Quarantine
from daemon.stores import Store
from daemon.superseding import Arriving, superseded


class Committing:
    """Makes batches of finished units: exactly once, whatever breaks off."""

    def __init__(self, parts: Parts, claims: Claims) -> None:
        """Commit nothing yet."""
        self._ledger, self._store, self._quarantine = parts.ledger, parts.store, parts.quarantine
        self._claims, self._feeds, self._clock, self._tally = claims, parts.feeds, parts.clock, parts.tally

    def commit(self, feed: str, prepared: Sequence[Prepared]) -> Sequence[Outcome]:
        """Commit units of one feed as one batch, and write their outcomes into the ledger; return these.

        Raises:
            UndoneError: the table took nothing, and all that was begun has been taken back.
            WorkError: it broke off in the middle; recovery brings it to its end.
        """
        outcomes = tuple(chain.from_iterable(each.outcomes for each in prepared))
        files = tuple(chain.from_iterable(each.files for each in prepared))
        schemas = [each.schema for each in prepared if each.schema is not None]
        arriving = [
            Arriving(self._claims[each.drop_id], each.sha256, is_copy=each.state is State.DUPLICATE)
            for each in outcomes
            if each.state in STANDING
        ]
        replaces, outcomes = self._superseding(feed, arriving, outcomes)
        # Reports go to the disk before anything says that their drops are done.
        self._quarantine.flush(outcome.report for outcome in outcomes if outcome.report)
        if files or replaces:
            schema = pa.unify_schemas(schemas) if schemas else pa.schema([])
            self._transact(Batch(number=0, feed=feed, outcomes=outcomes, files=files, replaces=replaces), schema)
        else:
            supersede_all(self._ledger, self._quarantine, outcomes)
            self._ledger.finish(outcomes, self._clock())
        return outcomes

    def commit_decided(self, feed: str, prepared: Sequence[Prepared], drops: Sequence[Drop]) -> None:
        """Commit what decisions on drops of one feed have brought as one batch, and write it into the ledger.

        Raises:
            UndoneError: the table took nothing; the decisions wait still.
            WorkError: it broke off in the middle; recovery brings it to its end.
        """
        outcomes = tuple(chain.from_iterable(each.outcomes for each in prepared))
        files = tuple(chain.from_iterable(each.files for each in prepared))
        schema = pa.unify_schemas([each.schema for each in prepared if each.schema is not None])
        arriving = [Arriving(drop, self._ledger.drop(drop.id).sha256) for drop in drops]
        replaces, outcomes = self._superseding(feed, arriving, outcomes)
        self._quarantine.flush((outcome.report for outcome in outcomes), pending=True)
        self._transact(Batch(number=0, feed=feed, outcomes=outcomes, files=files, replaces=replaces), schema)

    def _transact(self, batch: Batch, schema: pa.Schema) -> None:
        now = self._clock()
        batch = self._ledger.intend(batch, now, at_least=self._store.last_batch(batch.feed))
        ids = [outcome.drop_id for outcome in batch.outcomes]
        try:
            bring(self._ledger, self._store, batch, schema, now, undo=lambda: self._claims.withdraw(ids))
        except UndoneError:
            self._claims.release(ids)
            raise
        promote_all(self._quarantine, batch)
        supersede_all(self._ledger, self._quarantine, batch.outcomes)
        self._ledger.record(batch, self._clock())
        self._tally.commits[batch.feed] += 1

    def _superseding(
        self, feed: str, arriving: Sequence[Arriving], outcomes: Sequence[Outcome]
    ) -> tuple[tuple[str, ...], tuple[Outcome, ...]]:
        """Return the drops whose rows leave the table because others arrive, and the outcomes, which name their drops.

        A name's earlier versions without rows there, rejected or failed, are named too.
        """
        found = superseded(self._ledger.versions, self._feeds[feed].revision, arriving)
        if found.places:
            outcomes = [replace(each, supersedes=found.places.get(each.drop_id, ())) for each in outcomes]
        return found.replaces, tuple(outcomes)


def bring(
    ledger: Ledger,
    store: Store,
    batch: Batch,
    schema: pa.Schema,
    now: float,
    *,
    undo: Callable[[], None] = lambda: None,
) -> None:
    """Make an intended batch part of its table; where that takes nothing, forget it, after `undo`.

    Raises:
        UndoneError: the table took nothing, and all that was begun has been taken back.
        WorkError: it broke off in the middle; recovery brings it to its end.
    """
    try:
        store.commit(batch, schema)
    except StoreError as error:
        if not store.holds(batch):
            store.abandon(batch)
            undo()
            ledger.forget(batch, now, str(error))
            raise UndoneError(str(error)) from error


def promote_all(quarantine: Quarantine, batch: Batch) -> None:
    """Put the entries in their places that the decisions of a committed batch have left; again does no harm.

    Raises:
        WorkError: the disk failed.
    """
    folders = [outcome.report for outcome in batch.outcomes if outcome.decision]
    for folder in folders:
        quarantine.promote(folder)
    quarantine.flush(folders)


def supersede_all(ledger: Ledger, quarantine: Quarantine, outcomes: Sequence[Outcome]) -> None:
    """Have the entries of drops whose place others take say so, before the ledger does; again does no harm.

    Raises:
        WorkError: ledger or disk failed.
    """
    successors = {earlier: outcome.drop_id for outcome in outcomes for earlier in outcome.supersedes}
    for earlier, report in ledger.reports(successors).items():
        quarantine.supersede(report, successors[earlier])
