"""What `/metrics` says, in the families of Prometheus: what was counted since the start, and how things stand.

A customer is a label of a watermark's lag alone, of the worst ones: anybody who may drop files can make up customers.
"""

from __future__ import annotations

import itertools
import os
import resource
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Final

from prometheus_client import CollectorRegistry
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.exposition import choose_encoder

from daemon import __version__
from daemon.errors import WorkError
from daemon.model import State
from daemon.tally import BOUNDS, Tally, Timing
from daemon.watching.standing import Standings
from daemon.workers.executor import Workers
from validators.sentences import printable

#: Scopes whose lag is told, the greatest first.
MOST_SCOPES: Final = 500
#: What is 0 before it happens for the first time, so that its first increase shows.
_ENDS: Final = tuple(state for state in State if state.final and state is not State.UNMATCHED)
_KILLS: Final = ("timeout", "SIGKILL")
#: Counted by one label: the family's name, what it is, the label.
_BY_ONE: Final = (
    ("blobdrop_rows_accepted", "Rows of drops that went into a table.", "accepted"),
    ("blobdrop_rows_rejected", "Rows of drops that were set aside.", "rejected"),
    ("blobdrop_bytes", "Bytes of drops that came to their end, as dropped.", "bytes_read"),
    ("blobdrop_batch_commits", "Batches that were committed to a table; metric_days has those of days.", "commits"),
    ("blobdrop_retries", "Goes at a drop that broke off and are begun again.", "retries"),
)


class Exposition:
    """The page of one daemon."""

    def __init__(
        self, tally: Tally, standings: Standings, workers: Workers, clock: Callable[[], float] = time.time
    ) -> None:
        """Show these, and the process itself."""
        self._tally, self._standings, self._workers, self._clock = tally, standings, workers, clock
        self._registry = CollectorRegistry()
        self._registry.register(self)

    def page(self, accepted: str) -> tuple[str, bytes]:
        """Return the page's content type, as the header `Accept` asks for it, and its bytes."""
        encode, kind = choose_encoder(accepted)
        return kind, encode(self._registry)

    def describe(self) -> Iterable[Metric]:
        """Say nothing beforehand: the registry would ask for all figures to know their names."""
        return ()

    def collect(self) -> Iterator[Metric]:
        """Yield every family. Those for which ledger or tables do not answer now are left out."""
        yield InfoMetricFamily("blobdrop", "The program that runs.", {"version": __version__})
        yield from self._counted()
        yield _stages(dict(self._tally.stages))
        yield from self._standing()
        yield from _process()

    def _counted(self) -> Iterator[Metric]:
        tally = self._tally
        ended = {(feed, state.value): 0 for feed in self._standings.feeds for state in _ENDS}
        ended |= {(feed, state.value): count for (feed, state), count in dict(tally.ended_in).items()}
        yield _counter("blobdrop_drops", "Drops that came to their end.", ("feed", "state"), ended.items())
        for name, says, field in _BY_ONE:
            counts: dict[str, int] = dict.fromkeys(self._standings.feeds, 0) | dict(getattr(tally, field))
            yield _counter(name, says, ("feed",), (((feed,), count) for feed, count in counts.items()))
        rejects = "Rows that broke a rule; one row may break several."
        yield _counter("blobdrop_rejects", rejects, ("feed", "rule"), dict(tally.rejects).items())
        lost = dict.fromkeys(_KILLS, 0) | dict(self._workers.lost)
        kills = {(reason,): count for reason, count in lost.items()}
        yield _counter("blobdrop_worker_kills", "Workers that ended before their work.", ("reason",), kills.items())
        verdicts = {(standing.value,): count for standing, count in dict(tally.markers).items()}
        yield _counter("blobdrop_markers", "Verdicts on markers.", ("verdict",), verdicts.items())
        closed = Counter((feed,) for _, feed, _ in list(tally.days_closed))
        yield _counter("blobdrop_days_closed", "Days that were closed.", ("feed",), closed.items())
        yield CounterMetricFamily("blobdrop_failed_turns", "Turns of the loop that failed.", value=tally.failed_turns)

    def _standing(self) -> Iterator[Metric]:
        for family in (self._queue, self._drops, self._lags, self._days):
            try:
                yield from family()
            except WorkError:
                # What is missing says so itself: `up` and readiness tell why.
                continue

    def _queue(self) -> Iterator[Metric]:
        queue = self._standings.queue()
        age = 0.0 if queue.oldest is None else max(0.0, self._clock() - queue.oldest)
        yield GaugeMetricFamily("blobdrop_queue_drops", "Drops that are found or being worked.", value=queue.drops)
        yield GaugeMetricFamily(
            "blobdrop_queue_age_seconds", "Since when the oldest of them is known; 0 where there is none.", value=age
        )

    def _drops(self) -> Iterator[Metric]:
        known = {(feed, state.value): count for (feed, state), count in self._standings.drops().items()}
        yield _gauge("blobdrop_known_drops", "Drops in the ledger, as they stand.", ("feed", "state"), known.items())

    def _lags(self) -> Iterator[Metric]:
        now, marks = self._clock(), self._standings.watermarks()
        worst = itertools.islice(sorted(marks.items(), key=lambda item: item[1]), MOST_SCOPES)
        lags = {(feed, printable(customer)): now - instant for (feed, customer), instant in worst}
        says = f"How far a scope's watermark is behind now; of the {MOST_SCOPES} that are farthest."
        yield _gauge("blobdrop_watermark_lag_seconds", says, ("feed", "customer"), lags.items())
        yield GaugeMetricFamily("blobdrop_watermarks", "Scopes that have a watermark.", value=len(marks))

    def _days(self) -> Iterator[Metric]:
        days = self._standings.days()
        yield _gauge(
            "blobdrop_days_open",
            "Days with rows that are not closed.",
            ("feed", "state"),
            days.items(),
        )


def _process() -> Iterator[Metric]:
    """Yield what the daemon's own process takes. Not by the library's collector, which says nothing in our sandbox."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    taken = {
        "resident_memory_bytes": ("Memory that the process has.", pages * os.sysconf("SC_PAGE_SIZE")),
        "open_fds": ("Files and sockets that it has open.", sum(1 for _ in Path("/proc/self/fd").iterdir())),
        "max_fds": ("How many it may have.", resource.getrlimit(resource.RLIMIT_NOFILE)[0]),
    }
    for name, (says, value) in taken.items():
        yield GaugeMetricFamily(f"blobdrop_process_{name}", says, value=value)
    seconds = time.process_time()
    yield CounterMetricFamily("blobdrop_process_cpu_seconds", "Processor time that it has used.", value=seconds)


def _counter(name: str, says: str, labels: tuple[str, ...], counts: Iterable[tuple[tuple[str, ...], float]]) -> Metric:
    family = CounterMetricFamily(name, says, labels=labels)
    for values, count in counts:
        family.add_metric(values, count)
    return family


def _gauge(name: str, says: str, labels: tuple[str, ...], values: Iterable[tuple[tuple[str, ...], float]]) -> Metric:
    family = GaugeMetricFamily(name, says, labels=labels)
    for of, value in values:
        family.add_metric(of, value)
    return family


def _stages(stages: Mapping[str, Timing]) -> Metric:
    family = HistogramMetricFamily(
        "blobdrop_stage_seconds", "Seconds that a stage took: list, work, commit, settle.", labels=("stage",)
    )
    for stage, timing in stages.items():
        sums = itertools.accumulate(timing.counts)
        bounds = (*(f"{bound:g}" for bound in BOUNDS), "+Inf")
        family.add_metric((stage,), list(zip(bounds, sums, strict=True)), timing.seconds)
    return family
