"""Late rows: told apart by the watermark of their drop's claim; set aside, taken, or changing a day's version."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from daemon.decisions import Action, Decision
from daemon.ledger import DropRow
from daemon.ledger.days import Day
from daemon.model import METRIC_DAYS, Late
from daemon.places import Place
from tests.corpus.text import HEADER
from tests.unit.daemon.conftest import Rig, killed
from tests.unit.daemon.days.test_closing import FIRST, LATER, SCOPE, Killed, drop, mark, metric_days, one, rows, run

BOTH = rows(1, 2) + rows(2, 3).removeprefix(HEADER)


def closed_day(rig: Rig) -> Rig:
    """Close the first of March with three rows."""
    rig.clock.now = float(LATER)
    drop(rig, "first", rows(1))
    mark(rig, 1)
    run(rig)
    assert one(rig).state is Day.CLOSED
    return rig


@pytest.fixture
def late_of(rig_of: Callable[..., Rig]) -> Callable[..., Rig]:
    """Make a daemon with the first of March closed, whose feed does this with late rows."""
    return lambda late, **parts: closed_day(rig_of(feed_late=late, **parts))


def bring(rig: Rig, name: str, data: bytes) -> DropRow:
    """Drop a file after the day was closed, and have it worked; return what came of it."""
    rig.clock.now += 10
    drop(rig, name, data)
    run(rig)
    return rig.ledger.drop(f"metrics/{name}.csv")


def decide(rig: Rig, row: DropRow, action: Action, *rules: str) -> Decision:
    given = Decision(drop_id=row.id, action=action, rules=rules, reason="it is right", by="ann", at=rig.clock.now)
    rig.ledger.decisions.add([given])
    run(rig)
    return rig.ledger.decisions.of([row.id])[row.id][-1]


def sums(rig: Rig) -> list[tuple[int, str, float | None]]:
    return [(row["version"], row["metric_name"], row["sum"]) for row in metric_days(rig)]


def changed(rig: Rig) -> list[tuple[str, int, int, int]]:
    return [(each.day, each.came, each.late, each.left) for each in rig.ledger.days.changes()]


def late_rows(rig: Rig, day: int = 1) -> tuple[int, int]:
    return rig.ledger.days.late_rows(SCOPE, f"2026-03-{day:02}")


# ---------------------------------------------------------------- SET ASIDE


def test_late_rows_go_into_quarantine_and_the_others_into_the_table(late_of: Callable[..., Rig]) -> None:
    rig = late_of(Late.QUARANTINE)
    row = bring(rig, "both", BOTH)
    assert (row.state, row.rows_read, row.rows_accepted, row.rows_rejected, row.rows_late) == ("partial", 5, 3, 2, 2)
    assert row.rules == (("late", "date", 2),)
    entry = rig.quarantine.list()[0]
    assert entry.report is not None
    assert entry.report.to_json()["late_rows"] == 2
    kept = Path(entry.folder, "rejected.csv").read_text().splitlines()
    assert "date: expected a time from the watermark 2026-03-02T08:00:00Z on, as all before it was said" in kept[1]
    assert kept[1].endswith("have the rule late waived, or the feed's setting late changed), of day 2026-03-01\"")
    assert (late_rows(rig), changed(rig), sums(rig)) == ((0, 2), [], [(1, "visits", 6.0)])
    again = rig.ledger.days.restate(one(rig), "to look", "ann", rig.clock())
    run(rig)
    report = one(rig).report
    assert report is not None
    assert (one(rig).version, report["late_rows"], report["late_rows_in_quarantine"]) == (again, 2, 2)


def test_a_file_of_late_rows_alone_is_rejected_and_its_original_kept(late_of: Callable[..., Rig]) -> None:
    rig = late_of(Late.QUARANTINE)
    row = bring(rig, "more", rows(1, 4))
    assert (row.state, row.rows_rejected, row.rows_late) == ("rejected", 4, 4)
    assert row.reason == "none of 4 rows is left: 4 lie before the watermark; late rows can be waived"
    assert {"metrics/first.csv"} == {rig.ledger.drop(drop_id).name for drop_id in rig.rows()}
    assert late_rows(rig) == (0, 4)


def test_a_released_late_row_stays_and_a_waived_one_is_taken_and_flags_its_day(late_of: Callable[..., Rig]) -> None:
    rig = late_of(Late.QUARANTINE)
    both, more = bring(rig, "both", BOTH), bring(rig, "more", rows(1, 4))
    for row in (both, more):
        decision = decide(rig, row, Action.RELEASE)
        assert decision.rows_accepted == 0
        assert "before the watermark" in decision.note
    assert changed(rig) == []
    for row, count in ((both, 2), (more, 4)):
        assert decide(rig, row, Action.WAIVE, "late").rows_accepted == count
        assert rig.ledger.drop(row.id).state == "ingested"
        assert rig.ledger.drop(row.id).rows_late == row.rows_late
    waived = [each["_waived"] for each in rig.store.read("metrics").to_pylist() if each["_waived"]]
    assert waived == ["late"] * 6
    assert (late_rows(rig), changed(rig)) == ((6, 0), [("2026-03-01", 6, 6, 0)])
    assert sums(rig) == [(1, "visits", 6.0)]
    told = rig.events("day.changed")[-1]
    assert told["note"] == "6 rows came (6 late) since it was closed"
    assert told["remedy"] == "blobdrop days restate 2026-03-01 --scope default/metrics --reason ..."


def test_a_feed_that_takes_late_rows_by_now_takes_released_ones(late_of: Callable[..., Rig]) -> None:
    rig = late_of(Late.QUARANTINE)
    row = bring(rig, "more", rows(1, 4))
    rig.close()
    rig.feed = replace(rig.feed, late=Late.RESTATE)
    rig.start()
    assert decide(rig, row, Action.RELEASE).rows_accepted == 4
    assert one(rig).version == 2


def test_a_correction_of_a_closed_day_leaves_its_rows_until_somebody_waives(late_of: Callable[..., Rig]) -> None:
    rig = late_of(Late.QUARANTINE)
    row = bring(rig, "first", rows(1, value=5.0))
    assert row.state == "rejected"
    assert (changed(rig), sum(rig.rows().values())) == ([], 3)
    decide(rig, row, Action.WAIVE, "late")
    assert changed(rig) == [("2026-03-01", 3, 3, 3)]
    assert {each["metric_value"] for each in rig.store.read("metrics").to_pylist()} == {5.0}


def test_a_correction_that_takes_rows_from_a_closed_day_flags_it(late_of: Callable[..., Rig]) -> None:
    rig = late_of(Late.QUARANTINE)
    bring(rig, "first", BOTH)
    assert changed(rig) == [("2026-03-01", 0, 0, 3)]
    assert late_rows(rig) == (0, 2)
    assert rig.events("day.changed")[-1]["note"] == "3 rows left since it was closed"


# ---------------------------------------------------------------- TAKEN


def test_taken_late_rows_leave_the_closed_day_as_it_is_and_flag_it(late_of: Callable[..., Rig]) -> None:
    rig = late_of(Late.ACCEPT)
    row = bring(rig, "both", BOTH)
    assert (row.state, row.rows_accepted, row.rows_late) == ("ingested", 5, 2)
    assert (changed(rig), late_rows(rig), sums(rig)) == ([("2026-03-01", 2, 2, 0)], (2, 0), [(1, "visits", 6.0)])
    assert len(rig.events("day.changed")) == 1
    mark(rig, 2)
    run(rig)
    report = one(rig, 2).report
    assert report is not None
    assert report["late_rows"] == 0
    assert len(rig.events("day.changed")) == 1


def test_late_rows_of_a_day_that_is_open_are_counted_when_it_closes(rig_of: Callable[..., Rig]) -> None:
    rig = rig_of(feed_late=Late.ACCEPT)
    rig.clock.now = float(LATER)
    seconds = HEADER.replace(b"date", b"timestamp")
    lines = [b"u%d,user_id,visits,%d,1\n" % (hour, FIRST + hour * 3600) for hour in range(6)]
    drop(rig, "a", seconds + b"".join(lines[:3]))
    rig.source.put("metrics/_READY", str(FIRST + 3 * 3600).encode(), modified=rig.clock())
    run(rig)
    bring(rig, "b", seconds + b"".join(lines[1:]))
    mark(rig, 2)
    run(rig)
    report = one(rig, 2).report
    assert report is not None
    assert (report["rows"], report["late_rows"]) == (8, 2)
    assert changed(rig) == []


def test_days_before_the_first_close_when_late_rows_come_for_them(late_of: Callable[..., Rig]) -> None:
    rig = late_of(Late.ACCEPT)
    bring(rig, "older", rows(1).replace(b"2026-03-01", b"2026-02-20"))
    row = rig.ledger.days.one(SCOPE, "2026-02-20")
    assert row is not None
    assert (row.state, row.version) == (Day.CLOSED, 1)


# ---------------------------------------------------------------- RESTATED


def test_a_day_to_which_late_rows_come_is_computed_again(late_of: Callable[..., Rig]) -> None:
    rig = late_of(Late.RESTATE)
    bring(rig, "more", rows(1, 4))
    row = one(rig)
    assert (row.version, row.state, row.reason, row.by) == (
        2,
        Day.CLOSED,
        "4 rows came (4 late) after it was closed",
        "",
    )
    assert row.report is not None
    assert row.report["late_rows"] == 4
    assert row.report["restates"] == {
        "version": 1,
        "rows_before": 3,
        "rows_after": 7,
        "metrics": [{"metric": "visits", "id_type": "user_id", "before": 6.0, "after": 8.0, "change": "changed"}],
        "because_of": ["metrics/more.csv"],
    }
    assert (sums(rig), changed(rig)) == ([(1, "visits", 6.0), (2, "visits", 8.0)], [])


def test_an_empty_day_to_which_late_rows_come_has_metrics_that_are_new(late_of: Callable[..., Rig]) -> None:
    rig = late_of(Late.RESTATE)
    mark(rig, 2)
    run(rig)
    assert one(rig, 2).state is Day.EMPTY
    bring(rig, "late", rows(2))
    again = one(rig, 2)
    assert (again.version, again.state) == (2, Day.CLOSED)
    assert again.report is not None
    assert again.report["restates"]["rows_before"] == 0
    (new,) = again.report["restates"]["metrics"]
    assert (new["metric"], new["before"], new["after"]) == ("visits", None, 6.0)


def test_a_correction_restates_its_day_and_says_which_metrics_are_gone(late_of: Callable[..., Rig]) -> None:
    rig = late_of(Late.RESTATE)
    bring(rig, "first", rows(1, metric="clicks"))
    row = one(rig)
    assert row.report is not None
    assert [(each["metric"], each["after"], each["change"]) for each in row.report["restates"]["metrics"]] == [
        ("clicks", 6.0, "new"),
        ("visits", None, "gone"),
    ]
    assert row.report["metrics"] == 1
    newest = [(each["metric_name"], each["kind"], each["sum"]) for each in metric_days(rig) if each["version"] == 2]
    assert newest == [("clicks", "value", 6.0), ("visits", "gone", None)]


def test_a_day_that_all_rows_have_left_is_restated_to_nothing(late_of: Callable[..., Rig]) -> None:
    rig = late_of(Late.RESTATE)
    bring(rig, "first", rows(2))
    row = one(rig)
    assert (row.version, row.state, row.reason) == (2, Day.CLOSED, "3 rows left after it was closed")
    newest = [(each["metric_name"], each["kind"], each["sum"]) for each in metric_days(rig) if each["version"] == 2]
    assert newest == [("visits", "gone", None)]


def test_what_comes_while_a_day_is_computed_is_in_its_next_version(late_of: Callable[..., Rig]) -> None:
    rig = late_of(Late.RESTATE)
    rig.workers.hold = True
    drop(rig, "more", rows(1, 4))
    run(rig, 1)
    rig.workers.work()
    run(rig, 1)  # the day is being computed again
    assert one(rig).state is Day.READY
    drop(rig, "last", rows(1, 5))
    run(rig, 1)
    rig.workers._lined_up.reverse()
    rig.workers.work(1)
    run(rig, 1)
    assert sum(rig.rows().values()) == 12
    rig.workers.hold = False
    rig.workers.work()
    run(rig)
    assert [(version, sum_) for version, _, sum_ in sums(rig)] == [(1, 6.0), (2, 8.0), (3, 10.0)]
    assert changed(rig) == []


def test_a_drop_that_was_claimed_in_time_and_came_after_the_close_flags_the_day(rig_of: Callable[..., Rig]) -> None:
    rig = rig_of()
    rig.clock.now = float(LATER)
    drop(rig, "first", rows(1))
    mark(rig, 1)
    run(rig, 1)  # the marker waits; all that comes now comes after it
    rig.clock.now += 10
    drop(rig, "more", rows(1, 4))
    rig.workers.hold = True
    rig.loop._round()
    (claimed,) = (each for each in rig.ledger.drops() if each.name == "metrics/more.csv")
    assert claimed.watermark is None
    run(rig, 3)
    rig.workers._lined_up.reverse()
    rig.workers.work(1)
    rig.workers.hold = False
    run(rig)
    rig.workers.work()
    run(rig)
    assert rig.ledger.drop(claimed.id).rows_late == 0
    report = one(rig).report
    assert report is not None
    assert report["rows"] + sum(came for _, came, _, _ in changed(rig)) == 7


# ---------------------------------------------------------------- THE SAME ALWAYS


def test_a_drop_keeps_the_watermark_of_its_first_claim(rig: Rig) -> None:
    rig.clock.now = float(LATER)
    rig.workers.hold = True
    drop(rig, "early", rows(1))
    rig.source.put("acme/metrics/_READY", str(FIRST).encode(), modified=rig.clock())
    run(rig, 3)
    rig.workers.lose(killed())
    run(rig, 1)
    early = rig.ledger.drop("metrics/early.csv")
    assert (early.state, early.watermark) == ("found", None)
    # its scope's watermark moves meanwhile, by hand: the barrier would wait
    marks = rig.ledger.markers
    assert marks.watermarks() == {("metrics", "acme"): FIRST}
    rig.crash()
    rig.start()
    rig.ingest.recover()
    rig.workers.hold = False
    run(rig)
    assert rig.ledger.drop(early.id).rows_late == 0


def test_a_failed_drop_is_late_by_its_first_claim_after_a_retry(rig_of: Callable[..., Rig]) -> None:
    rig = rig_of(feed_late=Late.QUARANTINE, rules={"attempts": 1})
    closed_day(rig)
    rig.clock.now += 10
    drop(rig, "second", rows(2))
    rig.workers.hold = True
    run(rig, 2)
    rig.workers.lose(killed())
    run(rig, 1)
    second = rig.ledger.drop("metrics/second.csv")
    assert (second.state, second.watermark) == ("failed", FIRST)
    rig.ledger.retry(second.id, rig.clock())
    rig.workers.hold = False
    rig.crash()
    rig.start()
    rig.ingest.recover()
    run(rig)
    again = rig.ledger.drop(second.id)
    assert (again.state, again.watermark, again.rows_late) == ("ingested", FIRST, 0)


@pytest.mark.parametrize("at", ["before", "after"])
def test_a_kill_while_a_day_is_restated_gives_one_new_version(late_of: Callable[..., Rig], at: str) -> None:
    def store_of(place: Place, app: str) -> Any:
        return Killed(place, app=app)

    rig = late_of(Late.RESTATE, store_of=store_of)
    rig.clock.now += 10
    drop(rig, "more", rows(1, 4))
    rig.store.at = at  # type: ignore[attr-defined]
    with pytest.raises(RuntimeError):
        run(rig)
    assert one(rig).state is Day.CLOSING
    rig.crash()
    rig.start()
    rig.ingest.recover()
    run(rig)
    assert sums(rig) == [(1, "visits", 6.0), (2, "visits", 8.0)]
    assert (one(rig).version, changed(rig)) == (2, [])
    assert rig.store.last_batch(METRIC_DAYS) >= 2
