"""Business days are closed: each once and whole, when the watermark is at its end, with a report and its metrics.

A day's metrics are computed by a worker and committed to the table `metric_days` as drops are to theirs: the intent is
in the ledger first, the table's transaction carries its number, and what breaks off is resolved by asking the table.
"""

from __future__ import annotations

import datetime as dt
import itertools
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from contextlib import suppress
from statistics import median
from typing import Any, Final

from daemon import telling
from daemon.committing import bring
from daemon.days.asked import OF_DAYS, Asked, Figures
from daemon.days.bounds import gaps, last_complete
from daemon.errors import BlobdropError, NotFoundError, UndoneError
from daemon.ledger.dayrows import Change
from daemon.ledger.days import Day, DayRow, Scope
from daemon.ledger.markers import Unfinished
from daemon.model import METRIC_DAYS, Batch, Feed, Late, OnDuplicateKey
from daemon.parts import Parts
from daemon.recovery import resolve
from daemon.tally import Tally

#: Closed days before a day that its rows are held against.
TRAILING_DAYS: Final = 7
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
        #: The newest batch of each feed that was looked at, and what has become otherwise in closed days until then.
        self._seen: Mapping[str, int] = {}
        self._changes: Mapping[tuple[str, str, str], Change] = {}
        #: Whether a day was closed since that look, to which something may have come while it was computed.
        self._stale = False
        #: Whether feeds were passed over at that look, as they ail.
        self._missed = False
        #: Whether a commit broke off in its middle.
        self._adrift = False

    @property
    def busy(self) -> bool:
        """Whether a day is being closed, or can be."""
        ailing = self._parts.ailing.feeds
        return self._running is not None or any(not {row.feed, METRIC_DAYS} & ailing.keys() for row in self._queue)

    def is_asked(self) -> bool:
        """Tell whether a person has left a day to be closed, or closed again, since the last look."""
        ready = {(row.scope, row.day, row.version) for row in self._ready()}
        return not ready <= {(row.scope, row.day, row.version) for row in self._queue}

    def look(self, *, moved: bool) -> None:
        """See which days are ready; `moved` tells whether a watermark has.

        Raises:
            WorkError: ledger or tables cannot be used now.
        """
        self._resolve()
        newest = {feed: self._parts.ledger.last_committed(feed) for feed in self._parts.feeds}
        came = self._stale or newest != self._seen
        scopes = None if moved or self._fresh or self._missed else self._days.late_scopes() if came else ()
        if scopes is None or scopes:
            usable = {name: feed for name, feed in self._parts.feeds.items() if self._parts.ailing.usable(name)}
            self._missed = len(usable) < len(self._parts.feeds)
            for scope, watermark in self._parts.ledger.markers.watermarks().items():
                feed = usable.get(scope[0])
                if feed is not None and (scopes is None or scope in scopes):
                    self._open(scope, watermark, feed)
        if came:
            self._look_back()
        self._restate()
        self._seen, self._fresh, self._stale = newest, False, False
        self._queue = self._ready()

    def _ready(self) -> list[DayRow]:
        return [row for row in self._days.unclosed() if row.state is Day.READY and row.feed in self._parts.feeds]

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
        if self._stale and not self.busy:
            self.look(moved=False)
        following = self._next() if self._running is None else None
        if following is not None:
            asked = self._asked(following)
            future = self._parts.workers.figures(asked)
            self._running = following, asked, future
            future.add_done_callback(lambda _: self._parts.wake())

    def _next(self) -> DayRow | None:
        """Return the first day that can be computed: its feed's table can be read, and that of the metrics."""
        usable = self._parts.ailing.usable
        return next((row for row in self._queue if usable(row.feed) and usable(METRIC_DAYS)), None)

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
        expected = {*gaps(days, last), *(day for day in days if day <= last)}
        if ready := sorted(expected.difference(known)):
            self._days.open(scope, ready, watermark, self._parts.clock())

    # ---------------------------------------------------------------- CHANGED SINCE

    def _look_back(self) -> None:
        """See what has become otherwise in closed days, and tell of what was not known yet."""
        before, self._changes = self._changes, {change.key: change for change in self._days.changes()}
        for key, change in self._changes.items():
            known = before.get(key)
            if self._fresh or (known is not None and known.batch == change.batch):
                continue
            remedy = f"blobdrop days restate {change.day} --scope {change.customer}/{change.feed} --reason ..."
            again = self._is_restated(change)
            (self._parts.log.info if again else self._parts.log.warning)(
                "day.changed",
                name=change.day,
                feed=change.feed,
                customer=change.customer,
                note=f"{change.said} since it was closed",
                remedy="it is computed again" if again else remedy,
            )

    def _restate(self) -> None:
        """Have changed days computed again where their feed wants that, once no drop of their scope is under way."""
        wanted = [change for change in self._changes.values() if self._is_restated(change)]
        busy = {(each.drop.feed, each.drop.customer) for each in self._unfinished()} if wanted else set()
        for change in wanted:
            row = self._days.one((change.feed, change.customer), change.day)
            if row is not None and row.version == change.version and row.scope not in busy:
                with suppress(NotFoundError):  # a person has asked for it in between
                    self._days.restate(row, f"{change.said} after it was closed", "", self._parts.clock())
                self._changes = {key: each for key, each in self._changes.items() if key != change.key}

    def _is_restated(self, change: Change) -> bool:
        feed = self._parts.feeds.get(change.feed)
        return feed is not None and (feed.late is Late.RESTATE or not change.counts)

    def _unfinished(self) -> Sequence[Unfinished]:
        return self._parts.ledger.markers.unfinished(failed=False)

    # ---------------------------------------------------------------- COMPUTED

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
            # Looked at before the files: what comes in between is in them, and counts as having come since.
            as_of=self._parts.ledger.last_committed(row.feed),
            table=store.place(row.feed),
            files=store.days(row.feed, row.customer).get(row.day, ()),
            drops=self._days.came(row.scope),
            former=computed.get(row.day, ()) if row.version > 1 else (),
            earlier=tuple(itertools.chain.from_iterable(earlier)),
            on_duplicate_key=feed.on_duplicate_key,
            measures=feed.measures,
            metrics=store.place(METRIC_DAYS),
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
        report = self._report(row, asked, figures)
        reasons = () if row.by else tuple(_reasons(self._parts.feeds[row.feed], report))
        is_empty = not figures.rows + figures.test_rows
        if is_empty and row.version == 1 and not self._days.newest(row.scope, before=row.day, limit=1):
            # It was asked for because of others' rows.
            self._days.end(row, Day.EMPTY, None, self._parts.clock(), as_of=asked.as_of)
        elif reasons:
            self._parts.store.discard(METRIC_DAYS, figures.files)
            self._hold(row, reasons, report)
        elif is_empty and not figures.files:
            self._days.end(row, Day.EMPTY, report, self._parts.clock(), as_of=asked.as_of)
            self._parts.log.info("day.empty", name=row.day, feed=row.feed, customer=row.customer)
        else:
            self._close(row, asked, figures, report)

    def _close(self, row: DayRow, asked: Asked, figures: Figures, report: Mapping[str, Any]) -> None:
        if figures.files:
            self._commit(row, asked, figures, report)
        else:
            self._days.end(row, Day.CLOSED, report, self._parts.clock(), as_of=asked.as_of)
        self._stale = True
        self._tally.days_closed.append((row.customer, row.feed, row.day))
        shown = {name: report[name] for name in ("drops", "rows", "metrics")}
        self._parts.log.info(
            "day.closed", name=row.day, feed=row.feed, customer=row.customer, version=row.version, **shown
        )

    def _commit(self, row: DayRow, asked: Asked, figures: Figures, report: Mapping[str, Any]) -> None:
        ledger, store, now = self._parts.ledger, self._parts.store, self._parts.clock()
        self._adrift = True
        staged = Batch(number=0, feed=METRIC_DAYS, outcomes=(), files=figures.files)
        at_least = store.last_batch(METRIC_DAYS)
        batch = self._days.intend(row, staged, report, now, as_of=asked.as_of, at_least=at_least)
        try:
            bring(ledger, store, batch, figures.schema, now)
        except UndoneError:
            self._adrift = False
            raise
        ledger.record(batch, self._parts.clock())
        self._tally.commits[METRIC_DAYS] += 1
        self._adrift = False

    def _resolve(self) -> None:
        """Bring a commit to its end that broke off; at a start recovery has done so."""
        for batch in self._parts.ledger.open_batches() if self._adrift else ():
            if batch.feed == METRIC_DAYS:
                resolve(self._parts, batch, "its commit broke off")
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
            reason=telling.discreet(reason, {"reject"}),
            remedy=remedy,
        )

    def _report(self, row: DayRow, asked: Asked, figures: Figures) -> Mapping[str, Any]:
        """Return what a person reads of a day before it closes, ready for JSON."""
        rows = self._days.rows_of(figures.drops)
        late, aside = self._days.late_rows(row.scope, row.day, asked.as_of)
        before = self._trailing(row)
        return {
            "drops": len(figures.drops),
            "rows": figures.rows,
            "test_rows": figures.test_rows,
            "superseded_rows": figures.superseded_rows,
            "late_rows": late + aside,
            "late_rows_in_quarantine": aside,
            "rejected_rows": rows.rejected,
            "rejected_ratio": rows.rejected / rows.read if rows.read else 0.0,
            "metrics": figures.metrics,
            "metrics_expected": figures.expected,
            "metrics_missing": list(figures.missing),
            "trailing_days": len(before),
            "trailing_median_rows": median(before) if before else None,
            "restates": self._difference(row, asked, figures),
        }

    def _difference(self, row: DayRow, asked: Asked, figures: Figures) -> Mapping[str, Any] | None:
        """Return what a restated day has otherwise than its version before; None for a first version."""
        former = self._days.before(row)
        if former is None:
            return None
        names = ("metric", "id_type", "before", "after", "change")
        return {
            "version": former.version,
            "rows_before": (former.report or {}).get("rows"),
            "rows_after": figures.rows,
            "metrics": [dict(zip(names, change, strict=True)) for change in figures.changes],
            "because_of": list(self._days.changed_by(row.scope, row.day, former.as_of or 0, asked.as_of)),
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
            f"{report['superseded_rows']:,} rows have the {'timeuuid' if feed.measures else 'unit, day and metric'} of "
            'another row, expected none (on_duplicate_key = "reject")'
        )
    return found
