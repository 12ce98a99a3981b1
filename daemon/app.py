"""The composition root: settings -> a wired daemon. Concrete sources and stores come from `wiring`."""

from __future__ import annotations

import math
import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field

import structlog

from daemon.ailing import Ailing
from daemon.config import Configuration, Settings
from daemon.days.closing import Closing
from daemon.errors import ConfigError, ContractError, LedgerMissingError, LedgerOldError, WorkerError
from daemon.feeds import Feeds
from daemon.ingest import Ingest
from daemon.intake import Intake
from daemon.ledger import Ledger
from daemon.ledger.database import RESTORE
from daemon.ledger.opening import file_of
from daemon.loop import LONGEST_PAUSE_SECONDS, Loop, Pace
from daemon.measures import unfit
from daemon.model import METRIC_DAYS, ContractSummary, Feed
from daemon.observed import observed
from daemon.parts import Parts, Rules
from daemon.quarantine import Quarantine
from daemon.ready import Ready
from daemon.receipts import Receipts
from daemon.retention import STEP_SECONDS, Expiry, Retention
from daemon.sources import Source
from daemon.stopping import handling, leave, stopping
from daemon.stores import Store
from daemon.systemd import Signs, Systemd
from daemon.tidying import Tidying
from daemon.watching.health import Health
from daemon.wiring import place_of, quarantine_of, source_of, store_of
from daemon.workers.executor import Workers

MB = 1024**2


@dataclass(frozen=True, kw_only=True)
class Daemon:
    """Everything that runs, wired."""

    loop: Loop
    ingest: Ingest
    source: Source
    store: Store
    quarantine: Quarantine
    ledger: Ledger
    tidying: Tidying
    #: What the service manager is told.
    signs: Signs
    #: Set once a signal has told it to stop.
    told: threading.Event = field(default_factory=threading.Event)


def tables_exist(settings: Settings, environ: Mapping[str, str] = os.environ) -> bool:
    """Tell whether any feed has a table: then there must be a ledger too.

    Raises:
        StoreError: it cannot be told.
    """
    return bool(store_of(settings, "", environ).tables())


def open_for_reading(settings: Settings) -> Ledger | None:
    """Open the ledger for a command that only looks, or leaves a note for the daemon; None before the first run.

    Raises:
        LedgerMissingError: there is none, though tables exist.
        LedgerError: it cannot be read.
    """
    path = file_of(settings.ledger.url)
    if path.is_file() and path.stat().st_size:
        return Ledger.open_read(settings.ledger.url)
    if tables_exist(settings):
        raise LedgerMissingError(
            f"no ledger at {path}, but there are tables in {settings.store.url}. "
            f"{RESTORE}; or set ledger.url to where the ledger is"
        )
    return None


def compare(ledger: Ledger, store: Store, feeds: Iterable[str]) -> None:
    """Hold the ledger against the tables: whichever is behind has been put back to an earlier state.

    Raises:
        LedgerOldError: the ledger is behind; it would ingest again what the table has.
    """
    for feed in feeds:
        held, known = store.last_batch(feed), ledger.last_batch(feed)
        if held > known:
            raise LedgerOldError(
                f"the ledger knows of feed {feed!r} up to batch {known}, and its table at {store.describe(feed)} holds "
                f"batch {held}: the ledger is an old backup, and would ingest again what the table has. Restore the "
                "newest backup, or bring this one up to date from tables, quarantine and archive: "
                "`blobdrop ledger rebuild --force`"
            )
        committed = ledger.last_committed(feed)
        if held < committed:
            structlog.get_logger().warning(
                "table.behind",
                feed=feed,
                table=store.describe(feed),
                batch=held,
                expected=committed,
                note="rows are missing: the table was removed or put back. Restore it; or forget its drops, so that "
                "they can be dropped again, with: blobdrop ledger rebuild --force",
            )


def workers_of(settings: Settings) -> Workers:
    """Return the worker processes, not yet started."""
    workers = settings.workers
    return Workers(processes=workers.processes, memory_mb=workers.memory_mb, timeout_seconds=workers.timeout_seconds)


def describe_feeds(feeds: Mapping[str, Feed], workers: Workers) -> dict[str, ContractSummary]:
    """Load every feed's contract where it will be used.

    Raises:
        ContractError: one cannot be loaded; the message names each such feed and its cause.
        ConfigError: a metric asks a feed's rows for what its contract does not have.
    """
    futures: dict[str, Future[ContractSummary]] = {name: workers.describe(feed) for name, feed in feeds.items()}
    summaries, wrong = {}, []
    for name, future in futures.items():
        try:
            summaries[name] = workers.result(future)
        except ContractError as error:
            wrong.append(f"feed {name!r}: {error}")
        except WorkerError as error:
            wrong.append(f"feed {name!r}: contract {feeds[name].contract!r} was being loaded when {error}")
    if wrong:
        raise ContractError("\n".join(wrong))
    if wrong := [each for name, one in summaries.items() for each in unfit(feeds[name].measures, name, one.columns)]:
        raise ConfigError("\n".join(wrong))
    return summaries


@contextmanager
def daemon(configuration: Configuration, environ: Mapping[str, str], *, once: bool = False) -> Iterator[Daemon]:
    """Wire the daemon and hold its ledger, for the length of a `with`.

    Raises:
        SetupError: settings or a contract are wrong.
        WorkError: ledger, store or source cannot be reached.
    """
    settings, log = configuration.settings, structlog.get_logger()
    workers = workers_of(settings)
    workers.warm()
    feeds = {feed.name: feed for feed in configuration.feeds()}
    source = source_of(settings, environ)
    with ExitStack() as stack:
        stack.enter_context(handling(leave))
        stack.callback(workers.stop)
        ledger = stack.enter_context(
            Ledger.open(settings.ledger.url, tables_exist=lambda: tables_exist(settings, environ), now=time.time())
        )
        hold = stack.enter_context(ledger.hold(time.time()))
        store, quarantine = store_of(settings, ledger.identity, environ), quarantine_of(settings, environ)
        store.prepare()
        quarantine.prepare()
        compare(ledger, store, (*feeds, METRIC_DAYS))
        source.prepare()
        contracts = {name: summary.digest for name, summary in describe_feeds(feeds, workers).items()}
        wake: list[Loop] = []
        parts = Parts(
            ledger=ledger,
            hold=hold,
            store=store,
            source=source,
            workers=workers,
            quarantine=quarantine,
            feeds=feeds,
            contracts=contracts,
            rules=_rules(settings, once=once),
            wake=lambda: wake[0].wake(),  # noqa: PLW0108 - the loop is made after this
            ailing=Ailing(store, feeds, log=log, clock=time.time),
            log=log,
        )
        systemd = Systemd.of(environ, os.getpid())
        health = _health(settings, parts, environ)
        wired = _wired(settings, parts, (Signs(systemd), health), once=once, longest=systemd.beat_seconds)
        wake.append(wired.loop)
        stack.callback(wired.tidying.stop)
        found_again = wired.ingest.recover()
        if found_again:
            log.warning("drops.recovered", drops=found_again, note="the daemon stopped while they were worked")
        stack.enter_context(handling(stopping(_stopping(wired, systemd))))
        stack.enter_context(observed(settings, parts, health, environ, once=once))
        if not once:
            stack.enter_context(_watching(source, wired.loop))
        yield wired


def _wired(
    settings: Settings, parts: Parts, told: tuple[Signs, Health], *, once: bool, longest: float | None
) -> Daemon:
    ingest = Ingest(parts)
    ready = Ready(parts, ingest.tallied, receipts=settings.source.leaves_receipts)
    intake = Intake(parts.source, parts.ledger, Feeds(tuple(parts.feeds.values())), at_work=ingest.at_work)
    tidying = Tidying(
        parts.store,
        parts.workers,
        (*parts.feeds, METRIC_DAYS),
        target_bytes=settings.store.target_file_mb * MB,
        min_files=settings.store.compact_files,
        log=parts.log,
        usable=parts.ailing.usable,
    )
    expiry = _expiry(settings, parts, once=once)
    receipts = _receipts(settings, parts, once=once)
    loop = Loop(
        intake=intake,
        ingest=ingest,
        ready=ready,
        closing=Closing(parts, ingest.tallied),
        ledger=parts.ledger,
        pace=_pace(settings, longest),
        log=parts.log,
        beat=_all_told(*(one.completed for one in told)),
        gave_up=_all_told(*(one.gave_up for one in told)),
        # What runs once ends when nothing is left, and would only break a compaction off.
        idle=_each(receipts, expiry.turn) if once else _each(receipts, tidying.turn, expiry.turn),
    )
    return Daemon(
        loop=loop,
        ingest=ingest,
        source=parts.source,
        store=parts.store,
        quarantine=parts.quarantine,
        ledger=parts.ledger,
        tidying=tidying,
        signs=told[0],
    )


def _expiry(settings: Settings, parts: Parts, *, once: bool) -> Expiry:
    """Return what removes what was kept long enough; `run --once` does it at one go, and leaves tables to a daemon."""
    return Expiry(
        Retention(**dict(settings.retention)),
        ledger=parts.ledger,
        source=parts.source,
        store=parts.store,
        workers=parts.workers,
        quarantine=parts.quarantine,
        feeds=() if once else (*parts.feeds, METRIC_DAYS),
        step_seconds=math.inf if once else STEP_SECONDS,
        log=parts.log,
    )


def _receipts(settings: Settings, parts: Parts, *, once: bool) -> Callable[[], object]:
    """Return what leaves receipts: all that are due where it runs once, else some, so as to hold up nothing."""
    if not settings.source.leaves_receipts:
        return lambda: None
    path = file_of(settings.ledger.url)
    file = path.with_name(f"{path.name}.receipts")
    receipts = Receipts(parts.ledger, parts.source, parts.quarantine, file, log=structlog.get_logger())
    return receipts.catch_up if once else receipts.turn


def _each(*turns: Callable[[], object]) -> Callable[[], None]:
    def turn() -> None:
        for each in turns:
            each()

    return turn


def _rules(settings: Settings, *, once: bool) -> Rules:
    return Rules(
        after=settings.source.after,
        attempts=settings.workers.attempts,
        retry_seconds=0.0 if once else settings.workers.retry_seconds,
        limits=settings.limits.limits(),
    )


def _all_told(*those: Callable[[str], None]) -> Callable[[str], None]:
    def tell(status: str) -> None:
        for each in those:
            each(status)

    return tell


def _health(settings: Settings, parts: Parts, environ: Mapping[str, str]) -> Health:
    tables = place_of(settings.store.url, "store.url", settings, environ)
    return Health(ledger=parts.ledger, tally=parts.tally, tables=tables, poll_seconds=settings.source.poll_seconds)


def _pace(settings: Settings, longest: float | None) -> Pace:
    return Pace(
        poll_seconds=settings.source.poll_seconds,
        settle_seconds=settings.source.settle_seconds,
        longest_seconds=min(LONGEST_PAUSE_SECONDS, longest or LONGEST_PAUSE_SECONDS),
    )


@contextmanager
def _watching(source: Source, loop: Loop) -> Iterator[None]:
    with source.watch(loop.arrived):
        yield


def _stopping(daemon: Daemon, systemd: Systemd) -> Callable[[], None]:
    """Return what stops the loop, and whatever it waits for."""

    def stop() -> None:
        systemd.stopping("ending the step that is under way")
        daemon.told.set()
        daemon.loop.stop()
        for place in (daemon.source, daemon.store, daemon.quarantine):
            place.stop()

    return stop
