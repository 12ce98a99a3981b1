"""Closing: each day once and whole, when the watermark is at its end; nothing twice, whatever breaks off."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from daemon.errors import LedgerError, StoreError, UndoneError
from daemon.ledger.days import Day, DayRow
from daemon.model import METRIC_DAYS, Batch, HoldIf, OnDuplicateKey
from daemon.stores.delta import DeltaStore
from tests.corpus.text import HEADER
from tests.unit.daemon.conftest import Rig, killed

#: The end of 2026-03-01 in Etc/GMT+8.
FIRST = 1_772_438_400
DAY = 86_400
LATER = FIRST + 30 * DAY
SCOPE = ("metrics", "default")


@pytest.fixture
def later(rig: Rig) -> Rig:
    rig.clock.now = float(LATER)
    return rig


def rows(day: int, count: int = 3, metric: str = "visits", value: float = 2.0) -> bytes:
    lines = (f"u{number},user_id,{metric},2026-03-{day:02},{value}\n".encode() for number in range(count))
    return HEADER + b"".join(lines)


def drop(rig: Rig, name: str, data: bytes) -> None:
    rig.source.put(f"metrics/{name}.csv", data, modified=rig.clock())


def mark(rig: Rig, day: int, name: str = "metrics/_READY") -> None:
    """Say that everything up to the end of a day of March is there."""
    rig.clock.now += 10
    rig.source.put(name, str(FIRST + (day - 1) * DAY).encode(), modified=rig.clock())


def run(rig: Rig, count: int = 6) -> None:
    for _ in range(count):
        rig.clock.now += 10
        rig.loop._round()


def days(rig: Rig) -> dict[str, str]:
    return {row.day: row.state.value for row in reversed(rig.ledger.days.newest())}


def one(rig: Rig, day: int = 1) -> DayRow:
    row = rig.ledger.days.one(SCOPE, f"2026-03-{day:02}")
    assert row is not None
    return row


def metric_days(rig: Rig) -> list[dict[str, Any]]:
    if not rig.store.exists(METRIC_DAYS):
        return []
    found: list[dict[str, Any]] = rig.store.read(METRIC_DAYS).to_pylist()
    return sorted(found, key=lambda row: (row["date"], row["customer"], row["metric_name"], row["version"]))


# ---------------------------------------------------------------- CLOSING


def test_a_day_closes_when_the_watermark_is_at_its_end(later: Rig) -> None:
    drop(later, "a", rows(1))
    drop(later, "b", rows(2))
    mark(later, 1)
    later.loop.run_once()
    assert days(later) == {"2026-03-01": "closed"}
    (row,) = metric_days(later)
    assert (row["date"].isoformat(), row["customer"], row["metric_name"], row["sum"]) == (
        "2026-03-01",
        "default",
        "visits",
        6.0,
    )
    assert later.ingest.tallied.days_closed == [("default", "metrics", "2026-03-01")]
    closed = one(later)
    assert closed.report is not None
    assert {name: closed.report[name] for name in ("drops", "rows", "metrics", "rejected_rows", "late_rows")} == {
        "drops": 1,
        "rows": 3,
        "metrics": 1,
        "rejected_rows": 0,
        "late_rows": 0,
    }
    assert (closed.watermark, closed.batch) == (FIRST, 1)
    (told,) = later.events("day.closed")
    assert (told["name"], told["feed"], told["rows"]) == ("2026-03-01", "metrics", 3)


def test_a_second_before_its_end_a_day_stays_open(later: Rig) -> None:
    drop(later, "a", rows(1))
    later.source.put("metrics/_READY", str(FIRST - 1).encode(), modified=later.clock())
    later.loop.run_once()
    assert days(later) == {}
    assert metric_days(later) == []


def test_when_the_watermark_jumps_all_days_before_it_close_in_their_order(later: Rig) -> None:
    for day in (3, 1, 2, 5):
        drop(later, str(day), rows(day))
    mark(later, 3)
    later.loop.run_once()
    assert [day for _, _, day in later.ingest.tallied.days_closed] == ["2026-03-01", "2026-03-02", "2026-03-03"]
    mark(later, 5)
    later.loop.run_once()
    assert days(later) == {f"2026-03-0{day}": "empty" if day == 4 else "closed" for day in (1, 2, 3, 4, 5)}


def test_a_day_without_rows_is_over_too_and_shows(later: Rig) -> None:
    drop(later, "a", rows(2))
    mark(later, 4)
    later.loop.run_once()
    assert days(later) == {"2026-03-02": "closed", "2026-03-03": "empty", "2026-03-04": "empty"}
    assert later.ingest.tallied.days_closed == [("default", "metrics", "2026-03-02")]
    empty = one(later, 4)
    assert empty.report is not None
    assert (empty.report["rows"], empty.report["drops"], empty.report["trailing_median_rows"]) == (0, 0, 3)
    assert [row["date"].day for row in metric_days(later)] == [2]
    mark(later, 5)
    later.loop.run_once()
    assert [told["name"] for told in later.events("day.empty")] == ["2026-03-03", "2026-03-04", "2026-03-05"]


def test_before_the_first_row_there_are_no_days_however_far_a_marker_jumps(later: Rig) -> None:
    mark(later, -700)
    later.loop.run_once()
    mark(later, 1)
    later.loop.run_once()
    assert days(later) == {}
    drop(later, "a", rows(2))
    mark(later, 2)
    later.loop.run_once()
    assert days(later) == {"2026-03-02": "closed"}


@pytest.mark.slow
def test_of_a_long_pause_the_first_month_shows(later: Rig) -> None:
    drop(later, "a", rows(1).replace(b"2026-03-01", b"2024-03-01") + rows(2).removeprefix(HEADER))
    mark(later, 2)
    later.loop.run_once()
    found = days(later)
    assert list(found)[:2] == ["2024-03-01", "2024-03-02"]
    assert list(found)[-2:] == ["2024-04-01", "2026-03-02"]
    assert sum(state == "empty" for state in found.values()) == 31


def test_the_days_of_one_customer_are_none_of_anothers(later: Rig) -> None:
    later.source.put("metrics/a.csv", rows(1), modified=1.0)
    later.source.put("acme/metrics/a.csv", rows(3), modified=1.0)
    later.source.put("zebra/metrics/a.csv", rows(1), modified=1.0)
    mark(later, 3)
    mark(later, 3, "acme/metrics/_READY")
    later.loop.run_once()
    closed = [(row.customer, row.day, row.state.value) for row in reversed(later.ledger.days.newest())]
    assert closed == [
        ("default", "2026-03-01", "closed"),
        ("default", "2026-03-02", "empty"),
        ("default", "2026-03-03", "empty"),
        ("acme", "2026-03-03", "closed"),
    ]


def test_a_day_without_rows_is_held_where_rows_are_expected(rig_of: Callable[..., Rig]) -> None:
    rig = rig_of(feed_hold_if=HoldIf(rows_below=0.5))
    rig.clock.now = float(LATER)
    drop(rig, "a", rows(1))
    mark(rig, 2)
    rig.loop.run_once()
    held = one(rig, 2)
    assert (held.state, held.reason[:16]) == (Day.HELD, "it has 0 rows, e")
    rig.ledger.days.allow(held, "a holiday", "ann")
    run(rig)
    assert one(rig, 2).state is Day.EMPTY


def test_a_day_without_rows_is_held_where_metrics_are_expected(rig_of: Callable[..., Rig]) -> None:
    rig = rig_of(feed_hold_if=HoldIf(metrics_missing=True))
    rig.clock.now = float(LATER)
    for day in (1, 2, 3):
        drop(rig, str(day), rows(day))
    mark(rig, 4)
    rig.loop.run_once()
    assert one(rig, 4).reason == "no rows of 'visits', expected them (hold_if.metrics_missing)"


def test_each_customer_has_days_of_its_own(later: Rig) -> None:
    drop(later, "a", rows(1))
    later.source.put("acme/metrics/a.csv", rows(1, value=5.0), modified=1.0)
    mark(later, 1, "acme/metrics/_READY")
    later.loop.run_once()
    assert later.ingest.tallied.days_closed == [("acme", "metrics", "2026-03-01")]
    mark(later, 1)
    later.loop.run_once()
    assert [(row["customer"], row["sum"]) for row in metric_days(later)] == [("acme", 15.0), ("default", 6.0)]


def test_a_day_closes_once_however_often_it_is_marked(later: Rig) -> None:
    drop(later, "a", rows(1))
    for instant in (1, 1, 4, 2):
        mark(later, instant)
        run(later)
    later.close()
    later.start()
    run(later)
    assert len(metric_days(later)) == 1
    assert len(later.events("day.closed")) == 1


def test_the_feeds_zone_decides_which_day_is_over(rig_of: Callable[..., Rig]) -> None:
    rig = rig_of(feed_timezone="UTC")
    rig.clock.now = float(LATER)
    drop(rig, "a", rows(1))
    rig.source.put("metrics/_READY", str(FIRST - 8 * 3600).encode(), modified=rig.clock())
    rig.loop.run_once()
    assert days(rig) == {"2026-03-01": "closed"}


def test_rows_that_a_revision_has_replaced_are_not_in_the_day(later: Rig) -> None:
    drop(later, "a", rows(1, value=100.0))
    run(later)
    later.clock.now += 10
    drop(later, "a", rows(1))
    mark(later, 1)
    later.loop.run_once()
    (row,) = metric_days(later)
    assert (row["rows"], row["sum"]) == (3, 6.0)


# ---------------------------------------------------------------- HOLDING


def test_a_day_with_too_many_rejected_rows_is_held_until_a_person_closes_it(rig_of: Callable[..., Rig]) -> None:
    rig = rig_of(feed_hold_if=HoldIf(rejected_ratio_above=0.1))
    rig.clock.now = float(LATER)
    drop(rig, "a", rows(1) + b"u9,user_id,visits,2026-03-01,lots\n")
    mark(rig, 1)
    rig.loop.run_once()
    held = one(rig)
    assert held.state is Day.HELD
    assert held.reason.startswith("25.0% of the rows of its drops were rejected, expected at most 10.0%")
    assert metric_days(rig) == []
    assert rig.staged() == rig.in_table()
    (told,) = rig.events("day.held")
    assert told["remedy"] == "blobdrop days close 2026-03-01 --scope default/metrics --reason ..."
    run(rig)
    assert len(rig.events("day.held")) == 1

    rig.ledger.days.allow(held, "they know", "ann")
    run(rig)
    closed = one(rig)
    assert (closed.state, closed.reason, closed.by) == (Day.CLOSED, "they know", "ann")
    assert len(metric_days(rig)) == 1


def test_a_day_with_far_fewer_rows_than_usual_is_held(rig_of: Callable[..., Rig]) -> None:
    rig = rig_of(feed_hold_if=HoldIf(rows_below=0.5))
    rig.clock.now = float(LATER)
    for day, count in ((1, 10), (2, 11), (3, 12), (4, 5), (5, 6)):
        drop(rig, str(day), rows(day, count))
    mark(rig, 5)
    rig.loop.run_once()
    assert days(rig)["2026-03-04"] == "held"
    assert days(rig)["2026-03-05"] == "closed"
    assert one(rig, 4).reason.startswith("it has 5 rows, expected 50% of the usual 11 or more")


def test_a_day_that_lacks_what_was_there_before_is_held(rig_of: Callable[..., Rig]) -> None:
    rig = rig_of(feed_hold_if=HoldIf(metrics_missing=True))
    rig.clock.now = float(LATER)
    for day in (1, 2, 3):
        drop(rig, f"{day}", rows(day) + rows(day, metric="clicks").removeprefix(HEADER))
    drop(rig, "4", rows(4))
    mark(rig, 4)
    rig.loop.run_once()
    assert one(rig, 3).state is Day.CLOSED
    assert one(rig, 4).reason == "no rows of 'clicks', expected them (hold_if.metrics_missing)"
    (said,) = rig.events("day.held")
    assert said["reason"] == "no rows of '…', expected them (hold_if.metrics_missing)", "it stood in customers' cells"


def test_a_feed_may_have_days_with_double_keys_held(rig_of: Callable[..., Rig]) -> None:
    rig = rig_of(feed_on_duplicate_key=OnDuplicateKey.REJECT)
    rig.clock.now = float(LATER)
    drop(rig, "a", rows(1) + rows(1).removeprefix(HEADER))
    mark(rig, 1)
    rig.loop.run_once()
    assert "3 rows have the unit, day and metric of another row" in one(rig).reason


def test_a_day_whose_worker_is_lost_is_held_with_the_reason(later: Rig) -> None:
    drop(later, "a", rows(1))
    run(later)
    mark(later, 1)
    later.workers.hold = True
    run(later)
    later.workers.lose(killed())
    run(later)
    assert one(later).reason.startswith("its metrics could not be computed: the worker was killed by SIGKILL")
    later.ledger.days.allow(one(later), "again", "ann")
    later.workers.hold = False
    run(later)
    assert one(later).state is Day.CLOSED


# ---------------------------------------------------------------- EXACTLY ONCE


class Killed(DeltaStore):
    """A store that dies before or after the commit of a day's metrics."""

    at = ""

    def commit(self, batch: Batch, schema: Any) -> None:
        if batch.feed == METRIC_DAYS and self.at == "before":
            raise RuntimeError("killed")
        super().commit(batch, schema)
        if batch.feed == METRIC_DAYS and self.at == "after":
            raise RuntimeError("killed")


@pytest.fixture
def dying(rig_of: Callable[..., Rig]) -> Rig:
    rig = rig_of(store_of=lambda url, app: Killed(url, app=app))
    rig.clock.now = float(LATER)
    drop(rig, "a", rows(1))
    mark(rig, 1)
    return rig


@pytest.mark.parametrize("at", ["before", "after"])
def test_a_kill_around_the_commit_gives_one_version(dying: Rig, at: str) -> None:
    dying.store.at = at  # type: ignore[attr-defined]
    with pytest.raises(RuntimeError):
        run(dying)
    assert one(dying).state is Day.CLOSING
    dying.crash()
    dying.start()
    dying.ingest.recover()
    run(dying)
    assert one(dying).state is Day.CLOSED
    assert len(metric_days(dying)) == 1
    assert dying.staged() == {path.name for path in (dying.folder / "tables").rglob("part-*.parquet")}


@pytest.mark.parametrize("at", ["before", "after"])
def test_a_commit_that_breaks_off_is_resolved_by_the_next_turn_too(dying: Rig, at: str) -> None:
    dying.store.at = at  # type: ignore[attr-defined]
    with pytest.raises(RuntimeError):
        run(dying)
    dying.store.at = ""  # type: ignore[attr-defined]
    run(dying)
    assert one(dying).state is Day.CLOSED
    assert len(metric_days(dying)) == 1
    assert dying.ledger.open_batches() == ()


def test_a_kill_before_the_ledger_has_the_end_gives_one_version(dying: Rig) -> None:
    dying.break_ledger("UPDATE OF closed_at ON days")
    with pytest.raises(LedgerError):
        run(dying)
    dying.crash()
    dying.mend_ledger()
    dying.start()
    dying.ingest.recover()
    run(dying)
    assert one(dying).state is Day.CLOSED
    assert len(metric_days(dying)) == 1


def test_a_table_that_cannot_be_written_leaves_the_day_ready(rig_of: Callable[..., Rig]) -> None:
    class Full(DeltaStore):
        full = True

        def commit(self, batch: Batch, schema: Any) -> None:
            if self.full and batch.feed == METRIC_DAYS:
                raise StoreError("the disk is full")
            super().commit(batch, schema)

    rig = rig_of(store_of=lambda url, app: Full(url, app=app))
    rig.clock.now = float(LATER)
    drop(rig, "a", rows(1))
    mark(rig, 1)
    with pytest.raises(UndoneError, match="the disk is full"):
        run(rig)
    assert one(rig).state is Day.READY
    rig.store.full = False  # type: ignore[attr-defined]
    run(rig)
    assert one(rig).state is Day.CLOSED
    assert len(metric_days(rig)) == 1


def test_a_daemon_that_stops_meanwhile_leaves_nothing_half_done(later: Rig) -> None:
    drop(later, "a", rows(1))
    run(later)
    mark(later, 1)
    later.workers.hold = True
    run(later)
    assert later.closing.busy
    later.loop._end()
    assert not later.closing.busy
    later.close()
    later.workers.hold = False
    later.start()
    run(later)
    assert one(later).state is Day.CLOSED
