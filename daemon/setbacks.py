"""What becomes of drops whose work has broken off: one must not take others with it, nor be tried for ever."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from daemon import telling
from daemon.claims import Claims
from daemon.errors import (
    BlobdropError,
    ContractError,
    DiskError,
    StoreError,
    UndoneError,
    UnreachableError,
    WorkerError,
)
from daemon.lineup import Lineup, pieces
from daemon.model import Drop, Outcome, State, Turn, Unit
from daemon.parts import Parts
from daemon.workers.patience import GAVE_UP


class Setbacks:
    """Lines drops up again, apart from others; gives them back for later; fails them when they have had enough."""

    def __init__(
        self,
        parts: Parts,
        claims: Claims,
        lineup: Lineup,
        *,
        unit_of: Callable[[str, Sequence[Drop], Turn], Unit],
        tell: Callable[[Outcome], None],
    ) -> None:
        """Deal with nothing yet.

        `unit_of` makes a unit of a feed's drops, for a turn; `tell` is told of drops that have failed.
        """
        self._ledger, self._store, self._quarantine = parts.ledger, parts.store, parts.quarantine
        self._claims, self._lineup, self._unit_of, self._tell = claims, lineup, unit_of, tell
        self._rules, self._log, self._clock, self._tally = parts.rules, parts.log, parts.clock, parts.tally

    def broken(self, unit: Unit, error: BlobdropError) -> None:
        """Deal with a unit whose worker failed.

        Raises:
            UndoneError: no drop is to blame; they are tried again.
        """
        self._clear_away(unit)
        if isinstance(error, (StoreError, DiskError, UnreachableError)):
            self._claims.give_back((drop.id for drop in unit.drops), str(error), counts=False)
            raise UndoneError(str(error)) from error
        if isinstance(error, ContractError):
            self._without_contract(unit, error)
            return
        at = error.at if isinstance(error, WorkerError) else ""
        culprits = [drop for drop in unit.drops if drop.id == at or len(unit.drops) == 1]
        others = [drop for drop in unit.drops if drop not in culprits]
        if others:
            self._log.info("unit.split", feed=unit.feed, drops=len(unit.drops), reason=telling.discreet(str(error)))
            self._line_up(unit.feed, pieces(others), Turn.NEXT)
        if _is_put_off(unit, error):
            if unit.turn is Turn.NEXT:
                self._lineup.double(unit.feed)
            self._line_up(unit.feed, [culprits] if culprits else [], Turn.LAST)
            return
        for culprit in culprits:
            self._lineup.suspect(culprit)
            self.attempted(culprit, str(error), error.log if isinstance(error, WorkerError) else "")

    def attempted(self, drop: Drop, reason: str, log: str = "") -> None:
        """Give a drop another go later, or fail it when it has had enough; `log` is what its worker wrote."""
        if drop.attempt < self._rules.attempts:
            wait = self._rules.retry_seconds * 2 ** (drop.attempt - 1)
            self._claims.give_back([drop.id], reason, log=log, wait_seconds=wait)
            fields = {"attempt": drop.attempt, "seconds": wait, "reason": telling.discreet(reason)}
            self._tally.retries[drop.feed] += 1
            self._log.warning("drop.retried", **telling.of(drop), **fields)
            self._log.debug("drop.said", drop=drop.id, reason=reason, log=log)
            return
        self.failed(drop, reason, log)

    def failed(self, drop: Drop, reason: str, log: str = "") -> None:
        """Fail a drop, whatever goes it has left; `log` is what its worker wrote."""
        now = self._clock()
        self._claims.withdraw([drop.id])
        outcome = Outcome(drop_id=drop.id, state=State.FAILED, reason=reason, log=log, started_at=now, finished_at=now)
        self._ledger.finish([outcome], now)
        self._tell(outcome)

    def _without_contract(self, unit: Unit, error: ContractError) -> None:
        """Have drops wait: their contract was right when the daemon began, but this worker is younger than that.

        Raises:
            UndoneError: there is no time to wait.
        """
        seconds = self._rules.retry_seconds
        self._claims.give_back((drop.id for drop in unit.drops), str(error), wait_seconds=seconds, counts=False)
        if not seconds:
            raise UndoneError(str(error)) from error
        note = "somebody is changing it; its drops wait, and no attempt of theirs counts"
        fields = {"drops": len(unit.drops), "seconds": seconds, "reason": str(error)}
        self._log.error("contract.broken", feed=unit.feed, **fields, note=note)

    def _line_up(self, feed: str, bundles: Sequence[Sequence[Drop]], turn: Turn) -> None:
        self._lineup.add(self._unit_of(feed, drops, turn) for drops in bundles)

    def _clear_away(self, unit: Unit) -> None:
        """Delete what a lost worker has left of a unit."""
        self._store.sweep(unit.feed, [unit.id])
        self._quarantine.remove_all((drop.customer, drop.feed, drop.id) for drop in unit.drops)


def _is_put_off(unit: Unit, error: BlobdropError) -> bool:
    """Tell whether the worker ended so as not to hold up others: then what it was at is only worked later."""
    return isinstance(error, WorkerError) and error.exitcode == GAVE_UP and unit.turn is not Turn.LAST
