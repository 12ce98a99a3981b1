"""The daemon's stages wired as `app` wires them, on a folder of their own, with work done in this process on demand."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import ExitStack, closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

import pytest
import structlog
from deltalake import DeltaTable
from structlog.testing import LogCapture
from structlog.typing import FilteringBoundLogger

from daemon.ailing import Ailing
from daemon.cabinets.folder import FolderCabinet
from daemon.claims import Claims
from daemon.committing import Committing
from daemon.days.asked import Asked, Figures
from daemon.days.closing import Closing
from daemon.feeds import Feeds
from daemon.ingest import Ingest
from daemon.intake import Intake
from daemon.ledger import Ledger
from daemon.loop import Loop, Pace
from daemon.model import After, Batch, Drop, Feed, Limits, Prepared, Setup, State, Unit
from daemon.parts import Parts, Rules
from daemon.places import Place
from daemon.places.folder import FolderPlace
from daemon.prepare import prepare
from daemon.quarantine import Quarantine
from daemon.ready import Ready
from daemon.sources.memory import MemorySource
from daemon.stores import Store
from daemon.stores.delta import DeltaStore
from daemon.workers.executor import Workers, _figures
from daemon.workers.patience import GAVE_UP
from daemon.workers.pool import LostError
from tests.corpus import text

T = TypeVar("T")

METRICS = Feed(
    name="metrics", paths=("metrics/**", "{customer}/metrics/**"), contract="validators.metrics:precomputed_metrics"
)
DIGEST = "of today's contract"
#: An hour at which a row's day is the same in every zone nearby.
NOON = 1_772_366_400.0


def good(count: int, tag: str = "u") -> bytes:
    """Return a file of good rows; `tag` makes them differ from those of other files."""
    return text.good(count, tag)


def dirty(tag: str = "d") -> bytes:
    """Return a file of nine good rows and one bad one."""
    return text.with_record(b"x,user_id,revenue,2026-03-01,lots\n", 4, tag)


def killed(at: str = "", log: str = "") -> LostError:
    """Return what a worker's future has when the worker was killed."""
    return LostError(-9, log=log, at=at, overdue=False)


def overdue() -> LostError:
    """Return what it has when its time was up."""
    return LostError(-6, log="", at="", overdue=True)


def put_off(at: str = "") -> LostError:
    """Return what it has when it gave up, so as not to hold up others."""
    return LostError(GAVE_UP, log="", at=at, overdue=False)


@dataclass
class Clock:
    """Unix seconds that pass when a test says so."""

    now: float = NOON

    def __call__(self) -> float:
        return self.now


class Here(Workers):
    """Workers that do their work in this process: at once, or, with `hold`, when `work` is called."""

    def __init__(self, processes: int = 2) -> None:
        super().__init__(processes=processes, memory_mb=2048, timeout_seconds=900)
        self.hold = False
        self.stopped = 0
        self._lined_up: list[tuple[Future[Any], Callable[[], Any]]] = []

    @property
    def waiting(self) -> int:
        return len(self._lined_up)

    def warm(self) -> None:
        """Nothing is cold here."""

    def work(self, count: int = 1_000_000) -> None:
        """Do what is lined up, the first `count` of it."""
        for future, todo in self._lined_up[:count]:
            if future.set_running_or_notify_cancel():
                try:
                    future.set_result(todo())
                except Exception as error:  # noqa: BLE001 - as a worker process sends back whatever is raised
                    future.set_exception(error)
        del self._lined_up[:count]

    def lose(self, error: Exception) -> None:
        """Have the first that is lined up end as if its process had been lost."""
        future, _ = self._lined_up.pop(0)
        future.set_running_or_notify_cancel()
        future.set_exception(error)

    def stop(self) -> None:
        self.stopped += 1
        for future, _ in self._lined_up:
            future.cancel()
        self._lined_up.clear()

    def _schedule(self, _seconds: float, work: Callable[..., T], *arguments: object) -> Future[T]:
        future: Future[T] = Future()
        # Where patience ends the process ends, and this one is everybody's.
        patient = [replace(each, patience_seconds=None) if isinstance(each, Setup) else each for each in arguments]
        self._lined_up.append((future, lambda: work(lambda _: None, *patient)))
        if not self.hold:
            self.work()
        return future

    def _schedule_day(self, seconds: float, asked: Asked) -> Future[Figures]:
        return self._schedule(seconds, _figures, asked)


@dataclass
class Rig:
    """A daemon without processes of its own, and short ways to say what happens to it."""

    folder: Path
    feed: Feed = METRICS
    #: Feeds beside it.
    others: tuple[Feed, ...] = ()
    source: MemorySource = field(default_factory=MemorySource)
    #: Makes the store, given its folder and the ledger's identity.
    store_of: Callable[[Place, str], Store] = lambda place, app: DeltaStore(place, app=app)
    workers: Here = field(default_factory=Here)
    rules: dict[str, Any] = field(default_factory=dict)
    limits: Limits = field(default_factory=Limits)
    idle: Callable[[], None] = lambda: None
    clock: Clock = field(default_factory=Clock)

    def __post_init__(self) -> None:
        self.quarantine = Quarantine(FolderCabinet(self.folder / "quarantine"))
        self.told = LogCapture()
        self.wakes = 0
        self.start()

    def start(self) -> None:
        """Start, as after a stop or a crash."""
        self.stack = ExitStack()
        self.ledger = self.stack.enter_context(
            Ledger.open(f"sqlite:///{self.path}", tables_exist=lambda: False, now=self.clock())
        )
        self.hold = self.stack.enter_context(self.ledger.hold(self.clock()))
        self.store = self.store_of(FolderPlace(self.folder / "tables"), self.ledger.identity)
        feeds = {feed.name: feed for feed in (self.feed, *self.others)}
        rules: dict[str, Any] = {
            "after": After.ARCHIVE,
            "attempts": 3,
            "retry_seconds": 10.0,
            "limits": Limits(),
        } | self.rules
        self.parts = Parts(
            ledger=self.ledger,
            hold=self.hold,
            store=self.store,
            source=self.source,
            workers=self.workers,
            quarantine=self.quarantine,
            feeds=feeds,
            contracts=dict.fromkeys(feeds, DIGEST),
            rules=Rules(**rules | self.rules),
            wake=self.wake,
            ailing=Ailing(self.store, feeds, log=self.log, clock=self.clock),
            log=self.log,
            clock=self.clock,
        )
        self.ingest = Ingest(self.parts)
        self.intake = Intake(
            self.source, self.ledger, Feeds([self.feed, *self.others]), at_work=self.ingest.at_work, clock=self.clock
        )
        self.ready = Ready(self.parts, self.ingest.tallied)
        self.closing = Closing(self.parts, self.ingest.tallied)
        self.loop = Loop(
            intake=self.intake,
            ingest=self.ingest,
            ready=self.ready,
            closing=self.closing,
            ledger=self.ledger,
            pace=Pace(poll_seconds=2.0, settle_seconds=0.0),
            log=self.log,
            idle=self.idle,
            clock=self.clock,
        )

    def crash(self) -> None:
        """End as a killed process does: nothing is tidied up."""
        error = RuntimeError("killed")
        self.stack.__exit__(RuntimeError, error, None)

    def close(self) -> None:
        self.stack.close()

    def wake(self) -> None:
        self.wakes += 1

    @property
    def path(self) -> Path:
        """The ledger's file."""
        return self.folder / "ledger.db"

    @property
    def log(self) -> FilteringBoundLogger:
        log: FilteringBoundLogger = structlog.wrap_logger(
            None, processors=[self.told], wrapper_class=structlog.make_filtering_bound_logger(0)
        )
        return log

    def events(self, event: str) -> list[Any]:
        """Return what was logged under this name."""
        return [entry for entry in self.told.entries if entry["event"] == event]

    # ---------------------------------------------------------------- WHAT HAPPENS

    def put(self, **files: bytes) -> tuple[Drop, ...]:
        """Drop files into the feed's folder, each a second after the one before; return what intake finds."""
        for number, (name, data) in enumerate(files.items()):
            self.source.put(f"metrics/{name}.csv", data, modified=float(number))
        return self.intake.look().drops

    def take_in(self, **files: bytes) -> tuple[Drop, ...]:
        """Drop files and have them worked to their end."""
        drops = self.put(**files)
        self.ingest.claim(drops)
        self.turn()
        return drops

    def turn(self) -> None:
        """Work what is claimed, and commit it."""
        self.ingest.pump()
        self.workers.work()
        self.ingest.collect()

    def prepare(self, drops: Sequence[Drop], unit: str = "u", **options: Any) -> tuple[Unit, Prepared]:
        """Do a worker's work on drops, as one unit."""
        made = Unit(id=unit, feed=self.feed.name, drops=tuple(drops), **options)
        return made, prepare(made, self.feed, self.setup)

    @property
    def setup(self) -> Setup:
        return Setup(
            source=self.source,
            table=self.store.place(self.feed.name),
            quarantine=self.quarantine,
            limits=self.limits,
            now=self.clock(),
        )

    def committing(self, claims: Claims) -> Committing:
        return Committing(self.parts, claims)

    def intend(self, prepared: Prepared) -> Batch:
        """Write a batch's intent into the ledger, and go no further."""
        batch = Batch(number=0, feed=self.feed.name, outcomes=prepared.outcomes, files=prepared.files)
        return self.ledger.intend(batch, self.clock(), at_least=self.store.last_batch(batch.feed))

    def break_ledger(self, change: str) -> None:
        """Have a change of the ledger's file, such as `UPDATE ON batches`, fail until `mend_ledger`."""
        with closing(sqlite3.connect(self.path, isolation_level=None)) as connection:
            connection.execute(f"CREATE TRIGGER broken BEFORE {change} BEGIN SELECT json('{{'); END")

    def mend_ledger(self) -> None:
        with closing(sqlite3.connect(self.path, isolation_level=None)) as connection:
            connection.execute("DROP TRIGGER broken")

    # ---------------------------------------------------------------- WHAT CAME OF IT

    def state(self, drop: Drop) -> State:
        return self.ledger.drop(drop.id).state

    def kinds(self, drop: Drop) -> list[str]:
        return [event.kind.value for event in self.ledger.events(drop.id)]

    def rows(self) -> dict[str, int]:
        """Return how many rows of the table each drop has brought."""
        if not self.store.exists(self.feed.name):
            return {}
        return Counter(self.store.read(self.feed.name)["_drop"].to_pylist())

    def staged(self) -> set[str]:
        """Return the names of the data files below the table, part of it or not."""
        return {path.name for path in (self.folder / "tables").rglob("part-*.parquet")}

    def in_table(self) -> set[str]:
        """Return the names of the data files that the table has."""
        return {uri.rpartition("/")[2] for uri in DeltaTable(self.store.describe(self.feed.name)).file_uris()}

    def entries(self) -> list[str]:
        """Return what lies in quarantine, temporary folders too."""
        return sorted(path.name for path in (self.folder / "quarantine").glob("*/*/*"))


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    """A daemon with an empty source."""
    made = Rig(tmp_path)
    yield made
    made.close()


@pytest.fixture
def rig_of(tmp_path: Path) -> Iterator[Callable[..., Rig]]:
    """Make a daemon with other parts; keywords for `feed_…` change the feed."""
    with ExitStack() as stack:

        def make(**parts: Any) -> Rig:
            changes = {name.removeprefix("feed_"): parts.pop(name) for name in list(parts) if name.startswith("feed_")}
            made = Rig(tmp_path, feed=replace(METRICS, **changes), **parts)
            stack.callback(made.close)
            return made

        yield make
