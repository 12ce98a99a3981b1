"""A batch from claim to settle: the only place where the stages meet.

Drops are claimed in the ledger, bundled into units, and worked by the workers; what they have staged is committed
batch by batch; then the ledger records it, and the source is touched last.
"""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import replace
from itertools import chain

from daemon import telling
from daemon.claims import Claims
from daemon.committing import Committing
from daemon.deciding import Deciding
from daemon.errors import BlobdropError, UndoneError
from daemon.ledger.queries import IN_TABLE
from daemon.lineup import Lineup, bundles
from daemon.model import (
    Drop,
    Outcome,
    Prepared,
    Setup,
    State,
    Turn,
    Unit,
)
from daemon.parts import Parts
from daemon.recovery import recover
from daemon.setbacks import Setbacks
from daemon.settling import Settling
from daemon.tally import Tally
from daemon.vetting import Vetting

#: Finished units wait at most so long for others to share their commit, while there are others.
LINGER_SECONDS = 0.5


class Ingest:
    """Works drops. Its methods are called by one thread, turn after turn."""

    def __init__(self, parts: Parts) -> None:
        """Wire the stages; nothing happens yet."""
        self._parts = parts
        self._numbers = itertools.count()
        self._claims = Claims(parts.ledger, parts.quarantine, parts.clock)
        self._vetting = Vetting(parts, self._claims)
        self._committing = Committing(parts, self._claims)
        self.tallied: Tally = parts.tally
        self._deciding = Deciding(parts, self._committing, self.tallied, name_unit=self._name_unit, setup=self._setup)
        self._settling = Settling(parts.ledger, parts.source, parts.rules.after, log=parts.log, clock=parts.clock)
        self._waiting = Lineup(parts.workers.processes)
        self._setbacks = Setbacks(
            parts,
            self._claims,
            self._waiting,
            unit_of=lambda feed, drops, turn: self._unit(feed, drops, turn=turn),
            tell=self._tell,
        )
        self._worked: dict[Future[Prepared], Unit] = {}
        self._prepared: dict[str, list[tuple[Unit, Prepared]]] = {}
        self._since: dict[str, float] = {}
        #: Whether a step broke off in its middle, so that what is in memory may not be what is in the ledger.
        self._adrift = False

    @property
    def busy(self) -> bool:
        """Whether any drop is claimed and not yet recorded, or any decision under way, but for feeds that ail."""
        ailing = self.ailing
        return len(self._claims) > (self._claims.of(ailing) if ailing else 0) or self._deciding.busy

    @property
    def ailing(self) -> Mapping[str, str]:
        """The feeds that wait as their tables cannot be used, and why."""
        return self._parts.ailing.feeds

    @property
    def claimed(self) -> int:
        """How many drops are claimed and not yet recorded. Any thread may ask."""
        return len(self._claims)

    def at_work(self, uri: str) -> bool:
        """Whether a version of this object is being worked."""
        return self._claims.at_work(uri)

    # ---------------------------------------------------------------- RECOVERY

    def recover(self) -> int:
        """Resolve what a crash left. Return the drops found again."""
        return recover(self._parts, self._parts.hold.crashed)

    def _start_over(self) -> None:
        """Do with ourselves what a start does after a crash: what is in the ledger and in the tables is the truth."""
        self._parts.workers.stop()
        for memory in (self._waiting, self._worked, self._prepared, self._since, self._claims):
            memory.clear()
        self._deciding.clear()
        again = recover(self._parts, [self._parts.hold.session], counts=False)
        self._adrift = False
        if again:
            self._parts.log.warning("drops.recovered", drops=again, note="a step was broken off; they are worked again")

    @contextmanager
    def _step(self) -> Iterator[None]:
        """Do what must be done as a whole; an error in its middle leaves us adrift, unless all of it was undone."""
        if self._adrift:
            self._start_over()
        self._adrift = True
        try:
            yield
        except UndoneError:
            self._adrift = False
            raise
        self._adrift = False

    # ---------------------------------------------------------------- CLAIM

    def decide(self) -> None:
        """Take up what people have decided of drops in quarantine since the last look."""
        with self._step():
            self._deciding.look()

    def claim(self, drops: Sequence[Drop]) -> None:
        """Claim drops in the ledger and line them up as units."""
        with self._step():
            by_feed: dict[str, list[Drop]] = {}
            for drop in self._claims.claim(drops):
                by_feed.setdefault(drop.feed, []).append(drop)
            for feed, members in by_feed.items():
                together, alone = self._waiting.apart(members)
                self._waiting.add(
                    self._unit(feed, bundle) for bundle in bundles(together, self._parts.workers.processes)
                )
                self._waiting.add(self._unit(feed, [drop], turn=Turn.LAST) for drop in alone)

    def pump(self) -> None:
        """Give the workers units, as many as keep them busy."""
        while (unit := self._waiting.next(self._worked.values(), self.ailing)) is not None:
            future = self._parts.workers.submit(
                unit, self._parts.feeds[unit.feed], self._setup(unit.feed, self._waiting.patience(unit))
            )
            self._worked[future] = unit
            future.add_done_callback(lambda _: self._parts.wake())
        self._deciding.pump()

    def _unit(
        self, feed: str, drops: Sequence[Drop], known: Collection[tuple[str, str]] = (), turn: Turn = Turn.FIRST
    ) -> Unit:
        if not known and len(drops) == 1:
            customer = drops[0].customer
            size, contract = drops[0].found.size, self._parts.contracts.get(feed)
            digests = self._parts.ledger.digests(customer, feed, {size}, contract=contract)
            known = {(customer, digest) for digest in digests}
        return Unit(
            id=self._name_unit(),
            feed=feed,
            drops=tuple(drops),
            known=frozenset(known),
            earlier={revision: found[-1] for revision, found in self._parts.ledger.earlier(drops).items()},
            turn=turn,
        )

    def _name_unit(self) -> str:
        return f"{self._parts.hold.session}-{next(self._numbers)}"

    def _setup(self, feed: str, patience_seconds: float | None = None) -> Setup:
        return Setup(
            source=self._parts.source,
            table=self._parts.store.place(feed),
            quarantine=self._parts.quarantine,
            limits=self._parts.rules.limits,
            now=self._parts.clock(),
            patience_seconds=patience_seconds,
        )

    # ---------------------------------------------------------------- COLLECT

    def collect(self) -> bool:
        """Take what the workers have finished and commit it; return whether anything was taken."""
        self._parts.ailing.look()
        with self._step():
            done = [future for future in self._worked if future.done()]
            for future in done:
                self._take(future, self._worked.pop(future))
            self.pump()
            for feed in list(self._prepared):
                if not self._lingers(feed) and self._parts.ailing.usable(feed):
                    self._since.pop(feed)
                    self._commit(feed, self._prepared.pop(feed))
            decided = self._deciding.collect()
        return bool(done) or decided

    def _lingers(self, feed: str) -> bool:
        """Tell whether a feed's finished units should wait for others to share their commit."""
        others = any(unit.feed == feed and unit.turn is not Turn.LAST for unit in self._worked.values())
        return others and self._parts.clock() - self._since[feed] < LINGER_SECONDS

    def _take(self, future: Future[Prepared], unit: Unit) -> None:
        try:
            prepared = self._parts.workers.result(future)
        except BlobdropError as error:
            self._setbacks.broken(unit, error)
            return
        if prepared.changed:
            self._claims.gone(prepared.changed)
            self._waiting.acquit(prepared.changed)
            self._parts.log.info("drop.changed", drops=len(prepared.changed), note="read again in its new version")
        failed = [outcome for outcome in prepared.outcomes if outcome.state is State.FAILED]
        for outcome in failed:
            self._setbacks.attempted(self._claims[outcome.drop_id], outcome.reason, outcome.log)
        kept = tuple(outcome for outcome in prepared.outcomes if outcome.state is not State.FAILED)
        if kept:
            self._since.setdefault(unit.feed, self._parts.clock())
            self._prepared.setdefault(unit.feed, []).append((unit, replace(prepared, outcomes=kept)))

    # ---------------------------------------------------------------- COMMIT

    def _commit(self, feed: str, finished: Sequence[tuple[Unit, Prepared]]) -> None:
        """Commit what finished units of one feed have staged, as far as that still holds; then settle."""
        vetted = self._vetting.vet(feed, finished)
        for drop, reason in vetted.refused:
            self._setbacks.failed(drop, reason)
        again = vetted.again
        try:
            if vetted.sound:
                self._bring(feed, vetted.sound)
        except UndoneError:
            # What the others bring is not known after all: nobody has it.
            again = tuple((drops, ()) for drops, _ in again)
            raise
        finally:
            self._waiting.add(self._unit(feed, drops, known) for drops, known in again)

    def _bring(self, feed: str, prepared: Sequence[Prepared]) -> None:
        with self.tallied.timing("commit"):
            outcomes = self._committing.commit(feed, prepared)
        drops = [self._claims[outcome.drop_id] for outcome in outcomes]
        batch = self._parts.ledger.last_batch(feed)
        for outcome in outcomes:
            self._tell(outcome, batch if outcome.state in IN_TABLE else 0)
        with self.tallied.timing("settle"):
            self._settling.settle(drops)

    def settle_late(self) -> None:
        """Settle objects whose drops have ended and that could not be settled then."""
        self._settling.late()

    # ---------------------------------------------------------------- STOP

    def stop(self) -> None:
        """Kill the workers and give back what they had; nothing is half done.

        Raises:
            WorkError: the ledger or a table cannot be used; the next start brings it to an end.
        """
        if self._adrift:
            self._start_over()
        self._parts.workers.stop()
        for unit in self._worked.values():
            self._parts.store.sweep(unit.feed, [unit.id])
        self._claims.give_back_all("the daemon stopped")
        # Those of feeds that ail come last: their files stay for the next start.
        staged = sorted(chain.from_iterable(self._prepared.values()), key=lambda each: each[0].feed in self.ailing)
        self._waiting.clear()
        self._worked.clear()
        self._prepared.clear()
        self._deciding.give_up()
        for unit, prepared in staged:
            self._parts.store.discard(unit.feed, prepared.files)

    def _tell(self, outcome: Outcome, batch: int = 0) -> None:
        drop = self._claims[outcome.drop_id]
        self._claims.release([drop.id])
        self._waiting.acquit([drop.id])
        self.tallied.ended(drop, outcome)
        level = self._parts.log.info if outcome.state in (State.INGESTED, State.DUPLICATE) else self._parts.log.warning
        level(f"drop.{outcome.state}", **telling.of(drop), **telling.result(outcome, batch))
        if outcome.reason:
            self._parts.log.debug("drop.said", drop=drop.id, reason=outcome.reason, log=outcome.log)
