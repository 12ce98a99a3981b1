"""`ready`, `days` and `days close`: markers speak for the right drops; why a day is open is told."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from daemon.commands import closing, days, ledgers, looking, marking
from daemon.errors import ConfigError, NotFoundError
from daemon.ledger import Ledger
from daemon.ledger.days import Day
from daemon.model import HoldIf, Late, SignalGaps
from daemon.sources.memory import MemorySource
from tests.corpus.text import HEADER
from tests.unit.daemon.commands.conftest import Place
from tests.unit.daemon.conftest import Rig, good
from tests.unit.daemon.days.test_closing import FIRST, LATER, SCOPE, drop, mark, metric_days, rows, run
from tests.unit.daemon.test_ready import fail


def ready(place: Place, timestamp: str, customer: str | None = None, feed: str = "metrics") -> dict[str, Any]:
    assert marking.ready(place.config, feed=feed, timestamp=timestamp, customer=customer, json=True) == 0
    found: dict[str, Any] = place.json()
    return found


def explain(place: Place, day: str) -> dict[str, Any]:
    assert days.days(place.config, explain=day, json=True) == 0
    (found,) = place.json()
    return dict(found)


def taking_late(rig: Rig, late: Late = Late.ACCEPT) -> None:
    """Start anew with a feed that takes late rows."""
    rig.close()
    rig.feed = replace(rig.feed, late=late)
    rig.start()


# ---------------------------------------------------------------- READY


@pytest.mark.parametrize("timestamp", ["1772438400", "2026-03-02T08:00:00Z", "2026-03-02T00:00:00-08:00"])
def test_ready_drops_a_marker_that_the_daemon_reads(place: Place, timestamp: str) -> None:
    found = ready(place, timestamp)
    assert found == {
        "marker": "metrics/_READY-1772438400.json",
        "timestamp": FIRST,
        "complete_until": "2026-03-01",
    }
    (path,) = (place.folder / "drops").rglob("*.json")
    assert json.loads(path.read_bytes()) == {"timestamp": FIRST, "type": "metrics"}


def test_ready_drops_a_customers_marker_into_the_customers_folder(place: Place) -> None:
    assert ready(place, "1772438400", "acme")["marker"] == "acme/metrics/_READY-1772438400.json"
    assert marking.ready(place.config, feed="metrics", timestamp="1772438400", customer=None, json=False) == 0
    said = place.out()
    assert "everything of default/metrics before 2026-03-02T08:00:00Z is there" in said
    assert "Days up to 2026-03-01 are complete then (Etc/GMT+8)" in said
    assert "The daemon is not running" in said


@pytest.mark.parametrize(
    ("timestamp", "words"),
    [
        ("soon", "TIMESTAMP: it is no instant"),
        ("", "TIMESTAMP: it is empty"),
        ("2026-03-02", "without an offset"),
        ("1772438400000", "these are milliseconds"),
        ("0", "expected an instant since 2000"),
        ("9999-01-01T00:00:00Z", "expected an instant that has come"),
        ('{"timestamp": 1772438400, "type": "events"}', "expected an instant alone"),
        ("\udcff", "its bytes are no text"),
    ],
)
def test_ready_refuses_what_is_no_instant_and_drops_nothing(place: Place, timestamp: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        ready(place, timestamp)
    assert not (place.folder / "drops").exists()


@pytest.mark.parametrize("customer", ["a/b", "..", "_hidden", ".dot", "metrics/x", ""])
def test_ready_refuses_a_customer_that_has_no_folder(place: Place, customer: str) -> None:
    if customer == "":
        assert ready(place, "1772438400", customer)["marker"] == "metrics/_READY-1772438400.json"
        return
    with pytest.raises(ConfigError, match="have no folder in which a marker would speak"):
        ready(place, "1772438400", customer)
    assert not (place.folder / "drops").exists()


def test_ready_refuses_a_feed_that_there_is_not(place: Place) -> None:
    with pytest.raises(NotFoundError, match="did you mean 'metrics'"):
        ready(place, "1772438400", feed="metric")


# ---------------------------------------------------------------- DAYS


def test_before_the_first_run_there_are_no_days(place: Place) -> None:
    assert days.days(place.config, explain=None, json=True) == 0
    assert place.json() == {"scopes": [], "days": []}
    assert days.days(place.config, explain="2026-03-01", json=False) == 0
    assert "Nothing was ingested yet" in place.out()
    with pytest.raises(NotFoundError):
        closing.close(place.config, day="2026-03-01", scope="default/metrics", reason="x", json=False)


def test_days_are_listed_with_what_they_came_to(place: Place, rig: Rig) -> None:
    rig.clock.now = float(LATER)
    drop(rig, "1", rows(1))
    drop(rig, "2", rows(2))
    mark(rig, 1)
    run(rig)
    assert days.days(place.config, explain=None, json=True) == 0
    found = place.json()
    (scope,) = found["scopes"]
    assert (scope["customer"], scope["watermark"], scope["complete_until"]) == (
        "default",
        "2026-03-02T08:00:00Z",
        "2026-03-01",
    )
    assert [(day["date"], day["state"]) for day in found["days"]] == [("2026-03-02", "open"), ("2026-03-01", "closed")]
    assert found["days"][1]["report"]["rows"] == 3
    assert days.days(place.config, explain=None, json=False) == 0
    said = place.out()
    assert "2026-03-01  default/metrics  closed        1     3        1" in said
    assert "default/metrics  2026-03-02T08:00:00Z  2026-03-01" in said


def test_why_a_day_is_open_is_told_with_each_blocking_fact(place: Place, rig: Rig) -> None:
    rig.clock.now = float(LATER)
    rig.source.put("metrics/good.csv", good(3, "g"), modified=1.0)
    run(rig)
    assert explain(place, "2026-03-01")["facts"] == [
        "there is no watermark yet",
        "it takes a marker for 2026-03-02T08:00:00Z or later: blobdrop ready metrics 1772438400",
    ]
    failed = fail(rig)
    mark(rig, 1)
    run(rig)
    found = explain(place, "2026-03-01")
    assert (found["state"], found["start"], found["end"], found["hours"]) == (
        "open",
        "2026-03-01T08:00:00Z",
        "2026-03-02T08:00:00Z",
        24.0,
    )
    assert found["facts"][1] == (
        "marker metrics/_READY says 2026-03-02T08:00:00Z, and waits for drops that were there before"
    )
    assert found["facts"][2].startswith(f"drop {failed.id} (metrics/a.csv) has failed: ")
    assert found["facts"][2].endswith(f"blobdrop retry {failed.id}")
    assert days.days(place.config, explain="2026-03-01", json=False) == 0
    assert "from 2026-03-01T08:00:00Z until 2026-03-02T08:00:00Z, 24 hours (Etc/GMT+8)" in place.out()


@pytest.mark.parametrize("day", ["soon", "2026-02-30", "0001-01-01", "9999-12-31", ""])
def test_what_is_no_day_is_refused(place: Place, day: str) -> None:
    with pytest.raises(ConfigError, match="expected"):
        days.days(place.config, explain=day, json=False)


def test_a_held_day_is_closed_by_a_person_with_a_reason(place: Place, rig: Rig) -> None:
    rig.close()
    rig.feed = type(rig.feed)(**{**vars(rig.feed), "hold_if": HoldIf(rejected_ratio_above=0.1)})
    rig.start()
    rig.clock.now = float(LATER)
    drop(rig, "a", rows(1) + b"u9,user_id,visits,2026-03-01,lots\n")
    mark(rig, 1)
    run(rig)
    assert "it is held: 25.0% of the rows" in explain(place, "2026-03-01")["facts"][1]
    with pytest.raises(ConfigError, match="--reason is empty"):
        closing.close(place.config, day="2026-03-01", scope="default/metrics", reason=" ", json=False)
    for scope in ("metrics", "default/nothing", "default/"):
        with pytest.raises(ConfigError, match="expected CUSTOMER/FEED"):
            closing.close(place.config, day="2026-03-01", scope=scope, reason="x", json=False)
    assert closing.close(place.config, day="2026-03-01", scope="default/metrics", reason="a test", json=False) == 0
    assert "Day 2026-03-01 of default/metrics will be closed." in place.out()
    run(rig)
    row = rig.ledger.days.one(SCOPE, "2026-03-01")
    assert row is not None
    assert (row.state, row.reason, bool(row.by)) == (Day.CLOSED, "a test", True)
    assert explain(place, "2026-03-01")["facts"][1].endswith(": a test")
    with pytest.raises(NotFoundError, match="is closed, and only held days can be closed"):
        closing.close(place.config, day="2026-03-01", scope="default/metrics", reason="x", json=False)


def test_a_closed_day_is_restated_as_a_new_version_with_its_difference(place: Place, rig: Rig) -> None:
    taking_late(rig)
    rig.clock.now = float(LATER)
    drop(rig, "1", rows(1) + rows(1, 1, "clicks").removeprefix(HEADER))
    mark(rig, 1)
    run(rig)
    drop(rig, "more", rows(1, 4))
    run(rig)
    assert [row["version"] for row in metric_days(rig)] == [1, 1]
    changed = {"rows_came": 4, "late_rows": 4, "rows_left": 0, "says": "4 rows came (4 late)"}
    assert days.days(place.config, explain=None, json=True) == 0
    (listed,) = place.json()["days"]
    assert (listed["changed"], listed["late_rows"], listed["report"]["late_rows"]) == (changed, 4, 4)
    assert looking.status(place.config, json=True) == 0
    assert place.json()["days"] == {"held": 0, "changed": 1}
    assert looking.status(place.config, json=False) == 0
    assert "1 changed  (blobdrop days)" in place.out()
    assert days.days(place.config, explain=None, json=False) == 0
    assert "changed since: 4 rows came (4 late)" in place.out()
    facts = explain(place, "2026-03-01")["facts"]
    assert "its figures have not: 4 rows came (4 late), by metrics/more.csv" in facts[2]
    assert closing.restate(place.config, day="2026-03-01", scope="default/metrics", reason="late", json=True) == 0
    assert place.json()["version"] == 2
    with pytest.raises(NotFoundError, match="version 2 of day 2026-03-01 of default/metrics is ready"):
        closing.restate(place.config, day="2026-03-01", scope="default/metrics", reason="late", json=True)
    run(rig)
    row = rig.ledger.days.one(SCOPE, "2026-03-01")
    assert row is not None
    assert row.report is not None
    assert (row.version, row.state, row.reason) == (2, Day.CLOSED, "late")
    assert row.report["restates"] == {
        "version": 1,
        "rows_before": 4,
        "rows_after": 8,
        "metrics": [{"metric": "visits", "id_type": "user_id", "before": 6.0, "after": 8.0, "change": "changed"}],
        "because_of": ["metrics/more.csv"],
    }
    assert [(row["metric_name"], row["version"], row["sum"]) for row in metric_days(rig)] == [
        ("clicks", 1, 2.0),
        ("clicks", 2, 2.0),
        ("visits", 1, 6.0),
        ("visits", 2, 8.0),
    ]
    told = explain(place, "2026-03-01")
    assert told["facts"][2:] == [
        "unlike version 1: 4 rows before, 8 now, 1 metric changed, because of metrics/more.csv",
        "  visits by user_id: 6 before, 8 now (changed)",
        "4 late rows of it are in the table",
    ]
    assert (told["late_rows"], told["report"]["late_rows"]) == (4, 4)
    for day, reason, words in (("2026-03-09", "x", "is open"), ("2026-03-01", "", "--reason is empty")):
        with pytest.raises((NotFoundError, ConfigError), match=words):
            closing.restate(place.config, day=day, scope="default/metrics", reason=reason, json=False)


# ---------------------------------------------------------------- STATUS


def test_status_tells_of_refused_markers_until_a_good_one_comes(place: Place, rig: Rig) -> None:
    rig.clock.now = float(LATER)
    rig.source.put("metrics/_READY", b"soon", modified=1.0)
    run(rig)
    assert looking.status(place.config, json=True) == 0
    markers = place.json()["markers"]
    assert markers["verdicts"] == {"unreadable": 1}
    assert (markers["refused"][0]["name"], markers["refused"][0]["verdict"]) == ("metrics/_READY", "unreadable")
    assert looking.status(place.config, json=False) == 0
    assert "marker metrics/_READY is unreadable: it is no instant" in place.out()
    mark(rig, 1)
    run(rig)
    assert looking.status(place.config, json=True) == 0
    assert place.json()["markers"]["refused"] == []


def test_the_ledger_may_be_asked_while_the_daemon_has_it(place: Place, rig: Rig) -> None:
    rig.clock.now = float(LATER)
    with Ledger.open_read(f"sqlite:///{Path(place.folder, 'ledger.db')}") as ledger:
        assert ledger.days.scopes() == ()


def test_a_ledger_that_was_made_anew_closes_no_day_twice(place: Place, rig: Rig) -> None:
    rig.close()
    rig.source = MemorySource()
    rig.start()
    rig.clock.now = float(LATER)
    drop(rig, "1", rows(1))
    drop(rig, "2", rows(2))
    mark(rig, 1)
    run(rig)
    rig.close()
    for path in place.folder.glob("ledger.db*"):
        path.unlink()
    assert ledgers.rebuild(place.config, force=False, json=True) == 0
    rig.feed = replace(rig.feed, late=Late.ACCEPT)
    rig.start()
    assert rig.ledger.markers.watermarks() == {SCOPE: FIRST}
    mark(rig, 1, "metrics/_READY.txt")
    run(rig)
    mark(rig, 2)
    run(rig)
    drop(rig, "more", rows(1, 4))
    run(rig)
    assert [(change.day, change.came) for change in rig.ledger.days.changes()] == [("2026-03-01", 4)]
    assert [row["date"].isoformat() for row in metric_days(rig)] == ["2026-03-01", "2026-03-02"]
    assert {row.day: row.state for row in rig.ledger.days.newest()} == {
        "2026-03-01": Day.CLOSED,
        "2026-03-02": Day.CLOSED,
    }


def test_a_day_that_waits_for_one_before_it_says_which(place: Place, rig_of: Callable[..., Rig]) -> None:
    rig = rig_of(feed_signal_gaps=SignalGaps.WAIT)
    rig.clock.now = float(LATER)
    drop(rig, "1", rows(1))
    rig.source.put("metrics/signals/s.csv", b"finished_date\n2026-03-02\n", modified=1.0)
    run(rig)
    facts = explain(place, "2026-03-02")["facts"]
    assert facts[1].startswith("signal metrics/signals/s.csv: it waits with 2026-03-02 until a signal lists 2026-03-01")


def test_a_ledger_that_was_made_anew_has_read_the_signals_of_the_archive(
    place: Place, rig_of: Callable[..., Rig]
) -> None:
    rig = rig_of(feed_signal_gaps=SignalGaps.WAIT)
    rig.clock.now = float(LATER)
    drop(rig, "1", rows(1))
    run(rig)
    rig.close()
    for path in place.folder.glob("ledger.db*"):
        path.unlink()
    place.config.write_text(place.config.read_text() + 'signal_gaps = "wait"\n')
    signals = {"good": b"2026-03-01\n", "beyond": b"2026-03-03\n", "bad": b"soon\n"}
    for name, data in signals.items():
        place.file(f"drops/_archive/metrics/signals/{name}.csv", b"finished_date\n" + data)

    assert ledgers.rebuild(place.config, force=False, json=True) == 0
    told = place.json()
    assert told["found"]["signals"] == 3
    unheard = {each["name"]: (each["verdict"], each["note"]) for each in told["unknown"]["signals"]}
    assert {name: verdict for name, (verdict, _) in unheard.items()} == {
        "metrics/signals/beyond.csv": "gap",
        "metrics/signals/bad.csv": "unreadable",
    }
    assert "until a signal lists 2026-03-02" in unheard["metrics/signals/beyond.csv"][1]
    rig.start()
    assert rig.ledger.markers.watermarks() == {SCOPE: FIRST}
    rig.source.put("metrics/signals/s.csv", b"finished_date\n2026-03-02\n", modified=1.0)
    run(rig)
    assert rig.ledger.markers.watermarks() == {SCOPE: FIRST + 2 * 86_400}
    rig.close()

    assert ledgers.rebuild(place.config, force=True, json=False) == 0
    said = place.out()
    assert "2 in the archive that signal days and have moved no watermark:" in said
    assert "metrics/signals/bad.csv (default/metrics): row 1 (line 2), column finished_date" in said
