"""What of finished units may go into a batch: some of what they were worked by may not hold any more."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain

from daemon.claims import Claims
from daemon.ledger.queries import IN_TABLE
from daemon.model import Drop, OnDuplicate, Outcome, Prepared, State, Unit
from daemon.parts import Parts
from daemon.stores.columns import misfits

#: A customer's bytes, by their sha256.
Brought = tuple[str, str]
Finished = tuple[Unit, Prepared]
#: Drops to be worked again as one unit, and what is known by now, where that is more than the ledger tells.
Again = tuple[Sequence[Drop], Collection[Brought]]


@dataclass(frozen=True, kw_only=True)
class Vetted:
    """Finished units of one feed. What is not sound has been taken back."""

    #: What may be committed, all of it together.
    sound: tuple[Prepared, ...]
    again: tuple[Again, ...]
    #: Drops whose rows the table will never take, and why.
    refused: tuple[tuple[Drop, str], ...]


class Vetting:
    """Looks finished units over before their commit, by the thread that commits: nothing changes in between."""

    def __init__(self, parts: Parts, claims: Claims) -> None:
        """Look at nothing yet."""
        self._ledger, self._store = parts.ledger, parts.store
        self._feeds, self._contracts, self._claims = parts.feeds, parts.contracts, claims

    def vet(self, feed: str, finished: Sequence[Finished]) -> Vetted:
        """Sort out what may be committed, and take back the rest.

        Worked again are units that bring what is known by now, and drops taken for duplicates of what a newer version
        has replaced since. A unit that does not fit the table is taken apart, to find which of its drops it is.

        Raises:
            WorkError: ledger, table or quarantine cannot be used.
        """
        again: list[Again] = []
        fresh: list[Prepared] = []
        for (unit, each), known in zip(finished, self._stale(feed, finished), strict=True):
            if known:
                # With what it was told before: else two duplicates that are found out in turn take turns for ever.
                again.append((self._taken_back(feed, each), unit.known.union(known)))
            else:
                fresh.append(each)
        fitting, refused, apart = self._fitting(feed, fresh)
        baseless = self._baseless(feed, fitting)
        sound = (_without(each, baseless) for each in fitting)
        alone = chain(apart, (self._claims[drop_id] for drop_id in baseless))
        return Vetted(
            sound=tuple(each for each in sound if each.outcomes),
            again=(*again, *(([drop], ()) for drop in alone)),
            refused=tuple(refused),
        )

    def _taken_back(self, feed: str, prepared: Prepared) -> list[Drop]:
        """Take back what a unit has staged and written; return its drops."""
        self._store.discard(feed, prepared.files)
        self._claims.withdraw(outcome.drop_id for outcome in prepared.outcomes)
        return [self._claims[outcome.drop_id] for outcome in prepared.outcomes]

    # ---------------------------------------------------------------- DUPLICATES

    def _stale(self, feed: str, finished: Sequence[Finished]) -> Iterator[Collection[Brought]]:
        """Yield for each unit what it brings though it is known by now, in a table or from a unit before it.

        Nothing where the feed takes duplicates.
        """
        skip = self._feeds[feed].duplicates is OnDuplicate.SKIP
        known = self._known(feed, _outcomes(each for _, each in finished)) if skip else set()
        for _, each in finished:
            brought = self._brought(each.outcomes)
            again = brought & known
            if skip and not again:
                known |= brought
            yield again

    def _brought(self, outcomes: Iterable[Outcome]) -> set[Brought]:
        return {(self._claims[each.drop_id].customer, each.sha256) for each in outcomes if _brings(each)}

    def _known(self, feed: str, outcomes: Iterable[Outcome]) -> set[Brought]:
        by_scope: dict[tuple[str, str], set[str]] = {}
        for outcome in outcomes:
            if _brings(outcome):
                scope = (self._claims[outcome.drop_id].customer, outcome.contract)
                by_scope.setdefault(scope, set()).add(outcome.sha256)
        return {
            (customer, digest)
            for (customer, contract), digests in by_scope.items()
            for digest in self._ledger.duplicate_of(customer, feed, digests, contract=contract)
        }

    def _baseless(self, feed: str, prepared: Sequence[Prepared]) -> list[str]:
        """Return the drops that are taken for duplicates of what neither a table holds now, nor this batch brings.

        They were found out when they were worked, by what was known then. What a table holds stays, now that they come.
        """
        outcomes = list(_outcomes(prepared))
        by_customer: dict[str, list[Outcome]] = {}
        for outcome in outcomes:
            if outcome.state is State.DUPLICATE:
                by_customer.setdefault(self._claims[outcome.drop_id].customer, []).append(outcome)
        if not by_customer:
            return []
        brought = self._brought(outcomes)
        baseless: list[str] = []
        for customer, theirs in by_customer.items():
            digests = {each.sha256 for each in theirs}
            # By whatever contract they were rejected: one that is edited meanwhile must not have them judged for ever.
            held = set(self._ledger.duplicate_of(customer, feed, digests))
            held |= {digest for digest in digests if (customer, digest) in brought}
            baseless += [each.drop_id for each in theirs if each.sha256 not in held]
        return baseless

    # ---------------------------------------------------------------- THE TABLE'S COLUMNS

    def _fitting(
        self, feed: str, prepared: Sequence[Prepared]
    ) -> tuple[list[Prepared], list[tuple[Drop, str]], list[Drop]]:
        """Return what fits the table; drops that do not, and why; and drops that were worked together with such."""
        fitting: list[Prepared] = []
        refused: list[tuple[Drop, str]] = []
        apart: list[Drop] = []
        for each, reason in zip(prepared, self._misfits(feed, prepared), strict=True):
            if not reason:
                fitting.append(each)
                continue
            arriving = [outcome.drop_id for outcome in each.outcomes if outcome.state in IN_TABLE]
            for drop in self._taken_back(feed, each):
                if arriving == [drop.id]:
                    refused.append((drop, reason))
                else:
                    apart.append(drop)
        return fitting, refused, apart

    def _misfits(self, feed: str, prepared: Sequence[Prepared]) -> Iterable[str]:
        schemas = [each.schema for each in prepared]
        return misfits(self._store.columns(feed), schemas) if any(schemas) else [""] * len(schemas)


def _outcomes(prepared: Iterable[Prepared]) -> Iterator[Outcome]:
    return chain.from_iterable(each.outcomes for each in prepared)


def _without(prepared: Prepared, drop_ids: Collection[str]) -> Prepared:
    if not drop_ids:
        return prepared
    return replace(prepared, outcomes=tuple(each for each in prepared.outcomes if each.drop_id not in drop_ids))


def _brings(outcome: Outcome) -> bool:
    """Tell whether the same bytes are a duplicate of this drop's: not where only its name was refused."""
    judged = bool(outcome.contract) or outcome.state in IN_TABLE
    return outcome.state is not State.DUPLICATE and bool(outcome.sha256) and judged
