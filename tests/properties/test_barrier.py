"""The barrier, driven by chance against a simple model: drops, overwritten drops, markers, failures, restarts, clocks.

The model knows nothing of ledgers and queries. It keeps for each marker the set of names that were there, unfinished,
when a listing showed it first, and decides by that set and by the source's clock.
"""

from __future__ import annotations

import os
import tempfile
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from pathlib import Path

import structlog
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from structlog.testing import LogCapture

from daemon.ailing import Ailing
from daemon.cabinets.folder import FolderCabinet
from daemon.claims import Claims
from daemon.feeds import Feeds
from daemon.intake import Intake
from daemon.ledger import Ledger
from daemon.ledger.queries import LEFT_OUT
from daemon.markers import Standing
from daemon.model import After, Drop, Limits, Outcome, ReadyNeeds, State
from daemon.parts import Parts, Rules
from daemon.quarantine import Quarantine
from daemon.ready import Ready
from daemon.sources.memory import MemorySource
from daemon.stores.memory import MemoryStore
from daemon.tally import Tally
from tests.unit.daemon.conftest import METRICS, Here

CUSTOMERS = ("acme", "globex")
#: The end of the first day in Etc/GMT+8.
FIRST, FIRST_DAY = 1_772_438_400, date(2026, 3, 1)

customers = st.sampled_from(CUSTOMERS)
numbers = st.integers(0, 2)


@dataclass
class Thing:
    """A version of a dropped file, in the model."""

    version: int
    modified: float
    #: seen (in the source), working, back (to be worked again), failed, final.
    state: str = "seen"
    #: Whether it was ever claimed, and its customer's watermark then: by that its rows are late, in every go.
    claimed: bool = False
    watermark: int | None = None

    def claim(self, watermark: int | None) -> None:
        """Begin a go."""
        if not self.claimed:
            self.claimed, self.watermark = True, watermark
        self.state = "working"


@dataclass
class Mark:
    """A version of a marker, in the model."""

    customer: str
    name: str
    version: int
    instant: int
    modified: float
    #: Names that were there and not final when it was listed first; None before that.
    before: set[str] | None = None
    #: Which listing has taken it in, so that the next one may decide; 0 before.
    taken: int = 0
    verdict: str = ""


@dataclass
class Model:
    """What ought to be."""

    failed_hold: bool
    #: The versions of each name, the newest last.
    things: dict[str, list[Thing]] = field(default_factory=dict)
    marks: list[Mark] = field(default_factory=list)
    watermarks: dict[str, int] = field(default_factory=dict)
    listings: int = 0

    def of(self, drop: Drop) -> Thing:
        return next(each for each in self.things[drop.found.name] if each.version == int(drop.found.version))

    def unfinished(self, customer: str, *, failed: bool) -> dict[str, float]:
        """Return the names of a customer that have a version which is not final, with the least of their times."""
        states = {"seen", "working", "back"} | ({"failed"} if failed else set())
        return {
            name: min(times)
            for name, things in self.things.items()
            if name.startswith(f"{customer}/") and (times := [each.modified for each in things if each.state in states])
        }


class Barrier(RuleBasedStateMachine):
    """A source, an intake, a ledger and the barrier; drops end as the machine says."""

    @initialize(needs=st.sampled_from(ReadyNeeds), settle_seconds=st.sampled_from([0.0, 5.0]))
    def begin(self, needs: ReadyNeeds, settle_seconds: float) -> None:
        self.folder = tempfile.TemporaryDirectory()
        self.now = float(FIRST + 10_000_000)
        self.source = MemorySource(settle_seconds=settle_seconds)
        self.feed = replace(METRICS, ready_needs=needs)
        self.model = Model(failed_hold=needs is ReadyNeeds.FINAL)
        self.stack = ExitStack()
        self.open()

    def open(self) -> None:
        self.stack = ExitStack()
        ledger = self.stack.enter_context(
            Ledger.open(f"sqlite:///{self.folder.name}/ledger.db", tables_exist=lambda: False, now=self.now)
        )
        self.ledger, hold = ledger, self.stack.enter_context(ledger.hold(self.now))
        log = structlog.wrap_logger(None, processors=[LogCapture()])
        rules = Rules(after=After.ARCHIVE, attempts=3, retry_seconds=0.0, limits=Limits())
        store = MemoryStore(f"{self.folder.name}/tables")
        parts = Parts(
            ledger=ledger,
            hold=hold,
            store=store,
            source=self.source,
            workers=Here(),
            quarantine=Quarantine(FolderCabinet(Path(self.folder.name, "q"))),
            feeds={"metrics": self.feed},
            contracts={},
            rules=rules,
            wake=lambda: None,
            ailing=Ailing(store, ("metrics",), log=log, clock=lambda: self.now),
            log=log,
            clock=lambda: self.now,
        )
        self.claims = Claims(ledger, parts.quarantine, lambda: self.now)
        self.claimed: dict[str, Drop] = {}
        self.intake = Intake(
            self.source, ledger, Feeds([self.feed]), at_work=self.claims.at_work, clock=lambda: self.now
        )
        self.ready = Ready(parts, Tally())

    def teardown(self) -> None:
        if hasattr(self, "folder"):
            self.stack.close()
            self.folder.cleanup()

    # ------------------------------------------------------------ WHAT CUSTOMERS DO

    @rule(customer=customers, number=numbers, ago=st.sampled_from([0, 0, 1, 2, 10, 60, -8]))
    def drop(self, customer: str, number: int, ago: int) -> None:
        """Drop a file, or overwrite one; the source's clock may be behind, or ahead."""
        self.put(f"{customer}/metrics/{number}.csv", self.now - ago)

    @rule(
        customer=customers, number=numbers, day=st.integers(1, 3), after=st.sampled_from([0, 0, 1]), ahead=st.booleans()
    )
    def squeeze(self, customer: str, number: int, day: int, after: int, *, ahead: bool) -> None:
        """Drop a file between a marker's listing and its verdict, whose time is just the marker's, or a second later.

        Chance alone hardly ever does that. Where the source's clock is ahead the file is incomplete at the verdict.
        """
        self.mark(customer, day, ago=-8 if ahead else 0, signals=False)
        time = self.model.marks[-1].modified
        self.listing(1)
        if ahead:
            self.listing(10)
        self.put(f"{customer}/metrics/{number}.csv", time + after)
        self.listing(1)

    def put(self, name: str, modified: float) -> None:
        self.source.put(name, b"x", modified=modified)
        things = [each for each in self.model.things.get(name, ()) if each.state != "seen"]
        self.model.things[name] = [*things, Thing(self.version(name) or 0, modified)]

    @rule(customer=customers, number=numbers)
    def take_away(self, customer: str, number: int) -> None:
        """Remove a file."""
        name = f"{customer}/metrics/{number}.csv"
        if self.version(name) is not None:
            self.source.take(name)
            self.model.things[name] = [each for each in self.model.things[name] if each.state != "seen"]

    @rule(customer=customers, day=st.integers(0, 3), ago=st.sampled_from([0, 1, 10, -8]), signals=st.booleans())
    def mark(self, customer: str, day: int, ago: int, *, signals: bool) -> None:
        """Drop a marker or a signal, or overwrite one that nobody has read."""
        file, instant = "signals/s.csv" if signals else "_READY", FIRST + day * 86_400
        name, listed = f"{customer}/metrics/{file}", FIRST_DAY + timedelta(days=day)
        text = f"finished_date\n{listed}\n" if signals else str(instant)
        self.source.put(name, text.encode(), modified=self.now - ago)
        unread = [each for each in self.model.marks if each.name == name and not each.taken]
        self.model.marks = [each for each in self.model.marks if each not in unread]
        self.model.marks.append(Mark(customer, name, self.version(name) or 0, instant, self.now - ago))

    def version(self, name: str) -> int | None:
        return next((int(found.version) for found in self.source.list() if found.name == name), None)

    # ------------------------------------------------------------ WHAT THE DAEMON DOES

    @rule(seconds=st.sampled_from([1, 1, 2, 10]))
    def listing(self, seconds: int) -> None:
        """List, claim what is complete, and see what becomes of the markers."""
        self.now += seconds
        arrivals = self.intake.look()
        self.ledger.gone([drop.id for drop in arrivals.gone], self.now)
        for name, things in self.model.things.items():
            here = self.version(name)
            self.model.things[name] = [each for each in things if each.state != "back" or each.version == here]
        for drop in self.claims.claim(arrivals.drops):
            self.claimed[drop.id] = drop
            self.model.of(drop).claim(self.model.watermarks.get(drop.customer))
            assert drop.watermark == self.model.of(drop).watermark
        self.ready.turn(arrivals)
        self.expect({found.version for found in arrivals.markers})

    def expect(self, complete: set[str]) -> None:
        """Let the model decide on the markers of this listing."""
        held: set[str] = set()
        self.model.listings += 1
        listed = [mark for mark in self.model.marks if not mark.verdict]
        listed.sort(key=lambda mark: (mark.taken, mark.modified, mark.name))
        for mark in listed:
            names = self.model.unfinished(mark.customer, failed=self.model.failed_hold)
            if mark.before is None:
                mark.before = set(self.model.unfinished(mark.customer, failed=True))
            if not mark.taken:
                mark.taken = self.model.listings if str(mark.version) in complete else 0
                continue
            mark.before &= set(names)
            older = {name for name, least in names.items() if least <= mark.modified}
            if mark.customer in held or mark.before or older:
                held.add(mark.customer)
                continue
            now = self.model.watermarks.get(mark.customer)
            if now is None or mark.instant > now:
                mark.verdict, self.model.watermarks[mark.customer] = "applied", mark.instant
            else:
                mark.verdict = "repeated" if mark.instant == now else "regressed"

    def pick(self, choice: int) -> Drop:
        return self.claimed.pop(sorted(self.claimed)[choice % len(self.claimed)])

    @precondition(lambda self: self.claimed)
    @rule(choice=st.integers(0, 5), state=st.sampled_from([State.INGESTED, State.REJECTED, State.FAILED]))
    def finish(self, choice: int, state: State) -> None:
        """Bring a drop that is worked to its end."""
        drop = self.pick(choice)
        left_out = self.ledger.earlier([drop], LEFT_OUT).get(drop.id, ()) if state is State.INGESTED else ()
        self.ledger.finish([Outcome(drop_id=drop.id, state=state, finished_at=self.now, supersedes=left_out)], self.now)
        self.claims.release([drop.id])
        self.model.of(drop).state = "failed" if state is State.FAILED else "final"
        if state is State.INGESTED:
            for each in self.model.things[drop.found.name]:
                each.state = "final" if each.state == "failed" else each.state
        if state is not State.FAILED:
            self.source.settle(drop.found, After.ARCHIVE)

    @precondition(lambda self: self.claimed)
    @rule(choice=st.integers(0, 5))
    def give_back(self, choice: int) -> None:
        """Break off the work on a drop."""
        drop = self.pick(choice)
        self.claims.give_back([drop.id], "its worker was lost")
        self.model.of(drop).state = "back"

    @rule()
    def retry(self) -> None:
        """Give all failed drops another go."""
        self.ledger.retry(None, self.now)
        for each in (each for things in self.model.things.values() for each in things):
            each.state = "back" if each.state == "failed" else each.state

    @rule()
    def restart(self) -> None:
        """Be killed, and start again."""
        lost = list(self.claimed.values())
        self.claimed.clear()
        self.stack.__exit__(RuntimeError, RuntimeError("killed"), None)
        self.open()
        self.ledger.recover(self.now)
        for drop in lost:
            self.model.of(drop).state = "back"
        for mark in self.model.marks:
            if not mark.taken:
                mark.before = None  # what was there before is judged by the first listing after the start

    # ------------------------------------------------------------ WHAT MUST HOLD

    @invariant()
    def verdicts_are_the_models(self) -> None:
        if not hasattr(self, "model"):
            return
        told = {int(each.found.version): each.standing.value for each in self.ledger.markers.newest(10_000)}
        wanted = {mark.version: mark.verdict or Standing.WAITING.value for mark in self.model.marks if mark.taken}
        assert told == wanted
        found = {customer: at for (_, customer), at in self.ledger.markers.watermarks().items()}
        assert found == self.model.watermarks

    @invariant()
    def each_drop_keeps_the_watermark_of_its_first_claim(self) -> None:
        if not hasattr(self, "model"):
            return
        things = {(name, each.version): each for name, things in self.model.things.items() for each in things}
        for row in self.ledger.drops(limit=10_000):
            thing = things.get((row.name, int(row.version)))
            assert thing is None or not thing.claimed or row.watermark == thing.watermark


Barrier.TestCase.settings = settings(
    max_examples=int(os.environ.get("PROPERTY_EXAMPLES", "30")),
    stateful_step_count=40,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
TestBarrier = Barrier.TestCase
