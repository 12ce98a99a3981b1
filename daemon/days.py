"""Business days are closed: each once and whole, when the watermark is at its end, with a report and its metrics.

A day's metrics are computed by a worker and committed to the table `metric_days` as drops are to theirs: the intent is
in the ledger first, the table's transaction carries its number, and what breaks off is resolved by asking the table.
"""

from __future__ import annotations

import datetime as dt
import itertools
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from statistics import median
from typing import Any, Final

from daemon import telling
from daemon.daybounds import last_complete
from daemon.errors import BlobdropError, StoreError, UndoneError
from daemon.figures import OF_DAYS, Asked, Figures
from daemon.ledger.days import Day, DayRow, Scope
from daemon.model import METRIC_DAYS, Batch, Feed, OnDuplicateKey
from daemon.parts import Parts
from daemon.tally import Tally

#: Closed days before a day that its rows are held against.
TRAILING_DAYS: Final = 7
#: Drops that a restated day's report names.
MOST_DROPS: Final = 100
#: Missing metrics that a reason names.
NAMED: Final = 5


class Closing:
    """Closes days, the oldest first, one at a time. Its methods are called by one thread, turn after turn."""

    def __init__(self, parts: Parts, tally: Tally) -> None:
        """Look at nothing yet."""
        self._parts, self._tally, self._days = parts, tally, parts.ledger.days
        self._units = itertools.count()
        self._queue: list[DayRow] = []
        self._running: tuple[DayRow, Asked, Future[Figures]] | None = None
        #: Whether the watermarks were not looked at since the start.
        self._fresh = True
        #: Whether a commit broke off in its middle.
        self._adrift = False

    @property
    def busy(self) -> bool:
        """Whether a day is being closed, or can be."""
        return self._running is not None or bool(self._queue)

    def look(self, *, moved: bool) -> None:
        """See which days are ready; `moved` tells whether a watermark has.

        Raises:
            WorkError: ledger or tables cannot be used now.
        """
        self._resolve()
        if moved or self._fresh:
            for scope, watermark in self._parts.ledger.markers.watermarks().items():
                if feed := self._parts.feeds.get(scope[0]):
                    self._open(scope, watermark, feed)
            self._fresh = False
        self._queue = [row for row in self._days.unclosed() if row.state is Day.READY and row.feed in self._parts.feeds]

    def turn(self) -> None:
        """Take the day that a worker has computed, and have the next one computed.

        Raises:
            WorkError: ledger or tables cannot be used now; nothing is lost.
        """
        if self._running is not None and self._running[2].done():
            row, asked, future = self._running
            self._running = None
            self._queue = [each for each in self._queue if each != row]
            self._take(row, asked, future)
        if self._running is None and self._queue:
            row = self._queue[0]
            asked = self._asked(row)
            future = self._parts.workers.figures(asked)
            self._running = row, asked, future
            future.add_done_callback(lambda _: self._parts.wake())

    def stop(self) -> None:
        """Give up the day that is being computed, whose worker is dead by now; the next start takes it up again.

        Raises:
            StoreError: what it has staged cannot be deleted; the next start does it.
        """
        if self._running is not None:
            self._parts.store.sweep(METRIC_DAYS, [self._running[1].unit])
        self._running, self._queue = None, []

    # ---------------------------------------------------------------- READY

    def _open(self, scope: Scope, watermark: float, feed: Feed) -> None:
        last = last_complete(watermark, feed.timezone).isoformat()
        known = self._days.states(scope)
        days = self._parts.store.days(*scope)
        if ready := sorted(day for day in days if day <= last and day not in known):
            self._days.open(scope, ready, watermark, self._parts.clock())

    def _asked(self, row: DayRow) -> Asked:
        store, feed = self._parts.store, self._parts.feeds[row.feed]
        first = (dt.date.fromisoformat(row.day) - dt.timedelta(days=OF_DAYS)).isoformat()
        computed = store.days(METRIC_DAYS, row.customer)
        earlier = [files for day, files in computed.items() if first <= day < row.day]
        return Asked(
            feed=row.feed,
            customer=row.customer,
            day=row.day,
            version=row.version,
            files=store.days(row.feed, row.customer).get(row.day, ()),
            drops=self._days.came(row.scope),
            former=computed.get(row.day, ()) if row.version > 1 else (),
            earlier=tuple(itertools.chain.from_iterable(earlier)),
            on_duplicate_key=feed.on_duplicate_key,
            root=store.root(METRIC_DAYS),
            unit=f"{self._parts.hold.session}-{next(self._units)}",
            memory_bytes=self._parts.workers.memory_bytes,
            watermark=row.watermark,
            now=self._parts.clock(),
            contract=self._parts.contracts.get(row.feed, ""),
        )

    # ---------------------------------------------------------------- CLOSED, OR NOT

    def _take(self, row: DayRow, asked: Asked, future: Future[Figures]) -> None:
        if future.cancelled():
            return  # the workers were stopped; it is computed again
        try:
            figures = self._parts.workers.result(future)
        except UndoneError:
            raise
        except BlobdropError as error:
            self._parts.store.sweep(METRIC_DAYS, [asked.unit])
            self._hold(row, [f"its metrics could not be computed: {error}"], None)
            return
        report = self._report(row, figures)
        reasons = () if row.by else tuple(_reasons(self._parts.feeds[row.feed], report))
        if not figures.rows + figures.test_rows:
            self._days.end(row, Day.EMPTY, None, self._parts.clock())
        elif reasons:
            self._parts.store.discard(METRIC_DAYS, figures.files)
            self._hold(row, reasons, report)
        else:
            self._close(row, figures, report)

    def _close(self, row: DayRow, figures: Figures, report: Mapping[str, Any]) -> None:
        if figures.files:
            self._commit(row, figures, report)
        else:
            self._days.end(row, Day.CLOSED, report, self._parts.clock())
        self._tally.days_closed.append((row.customer, row.feed, row.day))
        shown = {name: report[name] for name in ("drops", "rows", "metrics")}
        self._parts.log.info(
            "day.closed", name=row.day, feed=row.feed, customer=row.customer, version=row.version, **shown
        )

    def _commit(self, row: DayRow, figures: Figures, report: Mapping[str, Any]) -> None:
        ledger, store, now = self._parts.ledger, self._parts.store, self._parts.clock()
        self._adrift = True
        staged = Batch(number=0, feed=METRIC_DAYS, outcomes=(), files=figures.files)
        batch = self._days.intend(row, staged, report, now, at_least=store.last_batch(METRIC_DAYS))
        try:
            store.commit(batch, figures.schema)
        except StoreError as error:
            if not store.holds(batch):
                store.abandon(batch)
                ledger.forget(batch, now, str(error))
                self._adrift = False
                raise UndoneError(str(error)) from error
        ledger.record(batch, self._parts.clock())
        self._tally.commits[METRIC_DAYS] += 1
        self._adrift = False

    def _resolve(self) -> None:
        """Bring a commit to its end that broke off; at a start recovery has done so."""
        for batch in self._parts.ledger.open_batches() if self._adrift else ():
            if batch.feed != METRIC_DAYS:
                continue
            if self._parts.store.holds(batch):
                self._parts.ledger.record(batch, self._parts.clock())
            else:
                self._parts.store.abandon(batch)
                self._parts.ledger.forget(batch, self._parts.clock(), "its commit broke off")
        self._adrift = False

    def _hold(self, row: DayRow, reasons: Sequence[str], report: Mapping[str, Any] | None) -> None:
        reason = "; ".join(reasons)
        self._days.hold(row, reason, report)
        remedy = f"blobdrop days close {row.day} --scope {row.customer}/{row.feed} --reason ..."
        self._parts.log.warning(
            "day.held",
            name=row.day,
            feed=row.feed,
            customer=row.customer,
            reason=telling.discreet(reason),
            remedy=remedy,
        )

    def _report(self, row: DayRow, figures: Figures) -> Mapping[str, Any]:
        """Return what a person reads of a day before it closes, ready for JSON."""
        rows = self._days.rows_of(figures.drops)
        before = self._trailing(row)
        return {
            "drops": len(figures.drops),
            "rows": figures.rows,
            "test_rows": figures.test_rows,
            "superseded_rows": figures.superseded_rows,
            "late_rows": 0,
            "rejected_rows": rows.rejected,
            "rejected_ratio": rows.rejected / rows.read if rows.read else 0.0,
            "metrics": figures.metrics,
            "metrics_expected": figures.expected,
            "metrics_missing": list(figures.missing),
            "trailing_days": len(before),
            "trailing_median_rows": median(before) if before else None,
            "restates": self._difference(row, figures),
        }

    def _difference(self, row: DayRow, figures: Figures) -> Mapping[str, Any] | None:
        """Return what a restated day has otherwise than its version before; None for a first version."""
        former = self._days.before(row)
        if former is None:
            return None
        later = self._days.later(figures.drops, former.closed_at or 0.0)
        names = ("metric", "id_type", "before", "after")
        return {
            "version": former.version,
            "rows_before": (former.report or {}).get("rows"),
            "rows_after": figures.rows,
            "metrics": [dict(zip(names, change, strict=True)) for change in figures.changes],
            "because_of": list(later[:MOST_DROPS]),
        }

    def _trailing(self, row: DayRow) -> list[int]:
        newest: dict[str, int] = {}
        for each in self._days.newest(row.scope, before=row.day, limit=4 * TRAILING_DAYS):
            if each.state is Day.CLOSED and each.report:
                newest.setdefault(each.day, each.report["rows"])
        return list(newest.values())[:TRAILING_DAYS]


def _reasons(feed: Feed, report: Mapping[str, Any]) -> Sequence[str]:
    """Say what holds a day, by the feed's settings; nothing where nothing does."""
    rule, found = feed.hold_if, []
    if report["rejected_ratio"] > rule.rejected_ratio_above:
        found.append(
            f"{report['rejected_ratio']:.1%} of the rows of its drops were rejected, "
            f"expected at most {rule.rejected_ratio_above:.1%} (hold_if.rejected_ratio_above)"
        )
    usual = report["trailing_median_rows"]
    if usual is not None and report["rows"] < rule.rows_below * usual:
        found.append(
            f"it has {report['rows']:,} rows, expected {rule.rows_below:.0%} of the usual {usual:,.0f} or more "
            "(hold_if.rows_below)"
        )
    missing = report["metrics_missing"]
    if rule.metrics_missing and missing:
        more = f" and {len(missing) - NAMED} more" if len(missing) > NAMED else ""
        # In quotes, as they come from customers' cells: the log leaves them out.
        named = ", ".join(map(repr, missing[:NAMED]))
        found.append(f"no rows of {named}{more}, expected them (hold_if.metrics_missing)")
    if feed.on_duplicate_key is OnDuplicateKey.REJECT and report["superseded_rows"]:
        found.append(
            f"{report['superseded_rows']:,} rows have the unit, day and metric of another row, expected none "
            '(on_duplicate_key = "reject")'
        )
    return found
