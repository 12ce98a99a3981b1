"""Committing what units of one feed have staged: one transaction of its table, and then the ledger."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path

import pyarrow as pa

from daemon.claims import Claims
from daemon.entries import coming, promote
from daemon.errors import StoreError, UndoneError
from daemon.ledger import Ledger
from daemon.ledger.queries import IN_TABLE, LEFT_OUT
from daemon.model import Batch, Drop, OnRevision, Outcome, Prepared
from daemon.parts import Parts
from daemon.quarantine import Quarantine


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
        arriving = [self._claims[each.drop_id] for each in outcomes if each.state in IN_TABLE]
        replaces, outcomes = self._superseding(feed, arriving, outcomes)
        # Reports go to the disk before anything says that their drops are done.
        self._quarantine.flush(Path(outcome.report) for outcome in outcomes if outcome.report)
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
        replaces, outcomes = self._superseding(feed, drops, outcomes, left_out=False)
        self._quarantine.flush(coming(Path(outcome.report)) for outcome in outcomes)
        self._transact(Batch(number=0, feed=feed, outcomes=outcomes, files=files, replaces=replaces), schema)

    def _transact(self, batch: Batch, schema: pa.Schema) -> None:
        now = self._clock()
        batch = self._ledger.intend(batch, now, at_least=self._store.last_batch(batch.feed))
        try:
            self._store.commit(batch, schema)
        except StoreError as error:
            if not self._store.holds(batch):
                ids = [outcome.drop_id for outcome in batch.outcomes]
                self._store.abandon(batch)
                self._claims.withdraw(ids)
                self._ledger.forget(batch, now, str(error))
                self._claims.release(ids)
                raise UndoneError(str(error)) from error
        promote_all(self._quarantine, batch)
        supersede_all(self._ledger, self._quarantine, batch.outcomes)
        self._ledger.record(batch, self._clock())
        self._tally.commits[batch.feed] += 1

    def _superseding(
        self, feed: str, arriving: Sequence[Drop], outcomes: Sequence[Outcome], *, left_out: bool = True
    ) -> tuple[tuple[str, ...], tuple[Outcome, ...]]:
        """Return the earlier drops whose rows leave the table because revisions of them arrive, and the outcomes.

        Each outcome then names the drops whose place it takes: with `left_out` also rejected and failed ones, which
        have no rows there. A feed that appends takes a name's versions for files of their own.
        """
        policy = self._feeds[feed].revision
        replaced = self._ledger.earlier(arriving) if policy is OnRevision.REPLACE else {}
        others = self._ledger.earlier(arriving, LEFT_OUT) if left_out and policy is not OnRevision.APPEND else {}
        if replaced or others:
            places = {drop.id: (*replaced.get(drop.id, ()), *others.get(drop.id, ())) for drop in arriving}
            outcomes = [replace(outcome, supersedes=places.get(outcome.drop_id, ())) for outcome in outcomes]
        return tuple(chain.from_iterable(replaced.values())), tuple(outcomes)


def promote_all(quarantine: Quarantine, batch: Batch) -> None:
    """Put the entries in their places that the decisions of a committed batch have left; again does no harm.

    Raises:
        WorkError: the disk failed.
    """
    folders = [Path(outcome.report) for outcome in batch.outcomes if outcome.decision]
    for folder in folders:
        promote(folder)
    quarantine.flush(folders)


def supersede_all(ledger: Ledger, quarantine: Quarantine, outcomes: Sequence[Outcome]) -> None:
    """Have the entries of drops whose place others take say so, before the ledger does; again does no harm.

    Raises:
        WorkError: ledger or disk failed.
    """
    successors = {earlier: outcome.drop_id for outcome in outcomes for earlier in outcome.supersedes}
    for earlier, report in ledger.reports(successors).items():
        quarantine.supersede(Path(report), successors[earlier])
