"""Carries out what people have decided of drops in quarantine: each decision once, whatever breaks off.

A decision is reviewed by a worker as a unit of its own, and its rows go into the table in batches of decisions only.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future

from daemon.committing import Committing
from daemon.decisions import Action, Decision, Review, Standing
from daemon.errors import BlobdropError, DecisionError, DiskError, StoreError, UndoneError
from daemon.ledger import DropRow
from daemon.model import Drop, Prepared, Setup, State
from daemon.parts import Parts
from daemon.reports import counted
from daemon.stores.columns import misfits
from daemon.tally import Tally

#: Reviews handed to the workers ahead of time, for each worker: drops' own work is not to wait for long.
REVIEWS_PER_WORKER = 2
#: Finished reviews wait at most so long for others to share their commit, while there are others.
LINGER_SECONDS = 0.5

Reviewed = tuple[Review, Prepared]


class Deciding:
    """Decisions on their way. Its methods are called by one thread, turn after turn."""

    def __init__(
        self,
        parts: Parts,
        committing: Committing,
        tally: Tally,
        *,
        name_unit: Callable[[], str],
        setup: Callable[[str], Setup],
    ) -> None:
        """Take up nothing yet.

        `name_unit` gives a name that was never given before, `setup` what units of a feed need.
        """
        self._ledger, self._store, self._quarantine = parts.ledger, parts.store, parts.quarantine
        self._workers, self._committing, self._feeds = parts.workers, committing, parts.feeds
        self._rules, self._name_unit, self._setup = parts.rules, name_unit, setup
        self._tally, self._ailing = tally, parts.ailing
        self._wake, self._log, self._clock = parts.wake, parts.log, parts.clock
        self._waiting: deque[Review] = deque()
        self._worked: dict[Future[Prepared], Review] = {}
        self._reviewed: dict[str, list[Reviewed]] = {}
        self._since: dict[str, float] = {}
        #: Decisions that are under way.
        self._known: set[int] = set()
        #: When decisions that have broken their worker are tried again, unix seconds.
        self._not_before: dict[int, float] = {}

    @property
    def busy(self) -> bool:
        """Whether any decision is under way, but for those that wait as their feed ails."""
        return len(self._known) > sum(len(self._reviewed.get(feed, ())) for feed in self._ailing.feeds)

    # ---------------------------------------------------------------- TAKING UP

    def look(self) -> None:
        """Take up the decisions that wait in the ledger."""
        now = self._clock()
        for decision, row in self._ledger.decisions.pending():
            if decision.id in self._known or self._not_before.get(decision.id, 0.0) > now:
                continue
            hindrance = self._hindrance(decision, row)
            if hindrance:
                self._end(decision, row.name, Standing.REFUSED, hindrance)
            elif decision.action is Action.DISCARD:
                self._end(
                    decision, row.name, Standing.DONE, "its rows stay where they are, and are not asked about again"
                )
            else:
                self._known.add(decision.id)
                self._waiting.append(self._review(decision, row))

    def pump(self) -> None:
        """Give the workers reviews, as many as keep them busy."""
        while self._waiting and len(self._worked) < REVIEWS_PER_WORKER * self._workers.processes:
            review = self._waiting[0]
            feed = review.drop.feed
            future = self._workers.review(review, self._feeds[feed], self._setup(feed))
            self._worked[future] = self._waiting.popleft()
            future.add_done_callback(lambda _: self._wake())

    def _review(self, decision: Decision, row: DropRow) -> Review:
        drop = Drop(id=row.id, found=row.found, feed=row.feed, customer=row.customer, watermark=row.watermark)
        return Review(
            unit=self._name_unit(), decision=decision, drop=drop, state=row.state, rows=row.rows, sha256=row.sha256
        )

    def _hindrance(self, decision: Decision, row: DropRow) -> str:
        feed = self._feeds.get(row.feed)
        if feed is None:
            return f"there is no feed {row.feed!r} any more"
        return self._ledger.decisions.hindrance(row, decision.action, feed)

    # ---------------------------------------------------------------- CARRYING OUT

    def collect(self) -> bool:
        """Take what the workers have finished and commit it; return whether anything was taken."""
        done = [future for future in self._worked if future.done()]
        for future in done:
            self._take(future, self._worked.pop(future))
        self.pump()
        for feed in list(self._reviewed):
            if not self._lingers(feed) and self._ailing.usable(feed):
                self._since.pop(feed)
                self._commit(feed, self._reviewed.pop(feed))
        return bool(done)

    def _lingers(self, feed: str) -> bool:
        others = any(review.drop.feed == feed for review in self._worked.values())
        return others and self._clock() - self._since[feed] < LINGER_SECONDS

    def _take(self, future: Future[Prepared], review: Review) -> None:
        try:
            prepared = self._workers.result(future)
        except DecisionError as error:
            self._end(review.decision, review.drop.found.name, Standing.REFUSED, str(error))
        except BlobdropError as error:
            self._broken(review, error)
        else:
            self._since.setdefault(review.drop.feed, self._clock())
            self._reviewed.setdefault(review.drop.feed, []).append((review, prepared))

    def _broken(self, review: Review, error: BlobdropError) -> None:
        """Try a decision later again that has broken its worker, or fail it when it has had enough."""
        decision, name = review.decision, review.drop.found.name
        self._store.sweep(review.drop.feed, [review.unit])
        self._known.discard(decision.id)
        if isinstance(error, (StoreError, DiskError)):
            raise UndoneError(str(error)) from error
        if decision.attempt + 1 >= self._rules.attempts:
            self._end(decision, name, Standing.FAILED, str(error))
            return
        wait = self._rules.retry_seconds * 2**decision.attempt
        self._ledger.decisions.broken(decision, str(error))
        self._not_before[decision.id] = self._clock() + wait
        self._log.warning("decision.retried", **_of(decision, name), seconds=wait, reason=str(error))

    def _commit(self, feed: str, reviewed: Sequence[Reviewed]) -> None:
        """Commit what the reviews of one feed have staged, the ones after those that stand in their way."""
        try:
            self._commit_apart(feed, reviewed)
        except UndoneError:
            for review, each in reviewed:
                if review.decision.id in self._known:
                    self._undo(review, each)
                    self._known.discard(review.decision.id)
            raise

    def _commit_apart(self, feed: str, reviewed: Sequence[Reviewed]) -> None:
        for together in _apart(reviewed):
            fresh = [each for each in together if self._moves(each)]
            if fresh:
                # A partial drop has taken its place in the table when it came.
                coming_in = [review.drop for review, _ in fresh if review.state is State.REJECTED]
                self._committing.commit_decided(feed, [each for _, each in fresh], coming_in)
            for review, each in fresh:
                self._tell(review, each)

    def _moves(self, reviewed: Reviewed) -> bool:
        """Tell whether a review's rows may go into the table; one that moves none, or may not any more, ends here."""
        review, prepared = reviewed
        name = review.drop.found.name
        hindrance = self._hindrance(review.decision, self._ledger.drop(review.drop.id))
        (misfit,) = misfits(self._store.columns(review.drop.feed), [prepared.schema])
        if hindrance or misfit:
            self._undo(review, prepared)
            state = Standing.REFUSED if hindrance else Standing.FAILED
            self._end(review.decision, name, state, hindrance or misfit)
        elif not prepared.files:
            self._end(review.decision, name, Standing.DONE, prepared.outcomes[0].reason)
        return not (hindrance or misfit) and bool(prepared.files)

    def _undo(self, review: Review, prepared: Prepared) -> None:
        drop = review.drop
        self._store.discard(drop.feed, prepared.files)
        self._quarantine.give_up(self._quarantine.folder(drop.customer, drop.feed, drop.id))

    def _tell(self, review: Review, prepared: Prepared) -> None:
        (outcome,) = prepared.outcomes
        self._known.discard(review.decision.id)
        brought, left = outcome.rows.accepted - review.rows.accepted, outcome.rows.rejected
        self._tally.released_rows(review.drop.feed, brought)
        note = f"{counted(brought)} now in the table, {left:,} set aside"
        self._log.info("decision.done", **_of(review.decision, review.drop.found.name), note=note)

    def _end(self, decision: Decision, name: str, state: Standing, note: str) -> None:
        self._ledger.decisions.end(decision, state, note, self._clock())
        self._tally.decisions[state] += 1
        self._known.discard(decision.id)
        self._not_before.pop(decision.id, None)
        level = self._log.info if state is Standing.DONE else self._log.warning
        level(f"decision.{state}", **_of(decision, name), note=note)

    # ---------------------------------------------------------------- STOPPING

    def give_up(self) -> None:
        """Take back what is not committed yet; the decisions wait in the ledger. The workers are stopped before."""
        for review in self._worked.values():
            self._store.sweep(review.drop.feed, [review.unit])
        for review, prepared in (each for reviewed in self._reviewed.values() for each in reviewed):
            self._undo(review, prepared)
        self.clear()

    def clear(self) -> None:
        """Forget what is under way; the ledger and recovery know."""
        for memory in (self._waiting, self._worked, self._reviewed, self._since, self._known):
            memory.clear()


def _apart(reviewed: Iterable[Reviewed]) -> Iterator[list[Reviewed]]:
    """Yield reviews in groups that have no object and no bytes twice: the earlier one may hinder the later."""
    together: list[Reviewed] = []
    taken: set[object] = set()
    for review, prepared in sorted(reviewed, key=lambda each: each[0].decision.id):
        drop = review.drop
        marks = {("uri", drop.found.uri), ("bytes", drop.customer, review.sha256 or drop.id)}
        if marks & taken:
            yield together
            together, taken = [], set()
        together.append((review, prepared))
        taken |= marks
    if together:
        yield together


def _of(decision: Decision, name: str) -> dict[str, str]:
    return {"drop": decision.drop_id, "name": name, "action": decision.action.value, "by": decision.by}
