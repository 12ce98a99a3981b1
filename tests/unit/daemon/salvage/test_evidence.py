"""What the archive and the tables tell of watermarks and of closed days, where the ledger is lost."""

from __future__ import annotations

import datetime as dt
import os
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from daemon.days.bounds import bounds
from daemon.ledger import Ledger
from daemon.ledger.rebuilding import ClosedDay, Heard
from daemon.markers import Reading
from daemon.model import Feed, Found, Held, SignalGaps
from daemon.salvage.evidence import closed_without, heard, judged, tellers, watermarks
from daemon.signals import Listed, understood, waits_of
from daemon.signals.files import read_days
from daemon.sources import Archived
from daemon.sources.folder import FolderSource
from daemon.sources.names import is_marker
from daemon.stores.memory import MemoryStore
from tests.unit.daemon.conftest import METRICS
from tests.unit.daemon.days.test_closing import FIRST

EVENTS = replace(METRICS, name="events", paths=("events/**", "{customer}/events/**"))


def archive(folder: Path, name: str, data: bytes) -> None:
    path = folder / "_archive" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def said_in(folder: Path, feeds: tuple[Feed, ...] = (METRICS, EVENTS), *held: Held) -> tuple[Heard, ...]:
    """Return what the archive of a folder says, as of now."""
    source = FolderSource(folder, settle_seconds=0.0)
    told = tellers(source, feeds)
    listed = {one.kept: read_days(one.kept, source) for one in told if not is_marker(one.found.name)}
    return judged(heard(source, told, listed, feeds), (), feeds, {"metrics": held})


def marks_of(folder: Path) -> dict[tuple[str, str], float]:
    return dict(watermarks(said_in(folder), ()))


def test_the_newest_good_marker_of_each_scope_is_its_watermark(tmp_path: Path) -> None:
    archive(tmp_path, "metrics/_READY", str(FIRST).encode())
    archive(tmp_path, "metrics/deep/_READY.txt", str(FIRST - 5).encode())
    archive(tmp_path, "acme/_READY.json", b'{"timestamp": %d, "type": "events"}' % (FIRST + 1))
    for name, data in {"_READY": b"soon", "_READY.txt": b"99999999999", "_READY.json": b'{"timestamp": 1}'}.items():
        archive(tmp_path, f"globex/metrics/{name}", data)
    archive(tmp_path, "globex/_READY", b'{"timestamp": %d, "type": "nothing"}' % FIRST)
    archive(tmp_path, "metrics/a.csv", str(FIRST + 99).encode())
    assert marks_of(tmp_path) == {("metrics", "default"): FIRST, ("events", "acme"): FIRST + 1}


def test_a_marker_that_was_ahead_of_its_time_says_nothing_later_either(tmp_path: Path) -> None:
    archive(tmp_path, "metrics/_READY", str(int(os.stat(tmp_path).st_ctime) + 86_400).encode())  # noqa: PTH116
    assert marks_of(tmp_path) == {}


def test_archived_signals_say_how_far_their_days_go(tmp_path: Path) -> None:
    archive(tmp_path, "metrics/signals/a.csv", b"finished_date\n2026-02-27\n")
    archive(tmp_path, "metrics/signals/b.csv", b"finished_date\n2026-03-01\n2026-02-28\n")
    archive(tmp_path, "acme/signals/c.csv", b"finished_date\n2026-03-01\n")
    archive(tmp_path, "acme/events/_READY", str(FIRST + 7).encode())
    archive(tmp_path, "globex/metrics/signals/d.csv", b"finished_date\n2999-01-01\n")
    archive(tmp_path, "globex/metrics/signals/e.csv", b"finished_date\n2026-03-01\nsoon\n")
    archive(tmp_path, "globex/metrics/signals/f.csv", b"")
    assert marks_of(tmp_path) == {
        ("metrics", "default"): FIRST,
        ("metrics", "acme"): FIRST,
        ("events", "acme"): FIRST + 7,
    }
    refused = {one.found.name: one.reading for one in said_in(tmp_path) if one.scope[1] == "globex"}
    assert [refused[name].standing.value for name in sorted(refused)] == ["future", "unreadable", "unreadable"]
    assert "row 2 (line 3), column finished_date" in refused["globex/metrics/signals/e.csv"].note


@pytest.mark.parametrize(("first", "standings"), [("2026-02-26", ["gap", "gap"]), ("2026-02-27", ["applied", "gap"])])
def test_archived_signals_of_a_feed_that_waits_for_each_day_leave_gaps_as_they_were(
    tmp_path: Path, first: str, standings: list[str]
) -> None:
    archive(tmp_path, "metrics/signals/a.csv", b"finished_date\n2026-02-27\n")
    archive(tmp_path, "metrics/signals/b.csv", b"finished_date\n2026-03-01\n")
    waits = replace(METRICS, signal_gaps=SignalGaps.WAIT)
    rows = Held(drop_id="a", customer="default", rows=1, at=0.0, days={first: 1})
    later = Held(drop_id="b", customer="default", rows=1, at=2.0**33, days={"2026-01-01": 1})
    others = Held(drop_id="c", customer="acme", rows=1, at=0.0, days={"2026-01-01": 1})
    said = said_in(tmp_path, (waits, EVENTS), rows, later, others)
    assert [one.reading.standing.value for one in said] == standings
    assert [one.reading.days for one in said] == [("2026-02-27",), ("2026-03-01",)]
    assert (
        f"until a signal lists {'2026-02-26' if 'applied' not in standings else '2026-02-28'}" in said[1].reading.note
    )


def test_days_that_were_closed_say_how_far_a_watermark_was_in_any_case(tmp_path: Path) -> None:
    archive(tmp_path, "metrics/signals/b.csv", b"finished_date\n2026-03-01\n")
    source, feeds = FolderSource(tmp_path, settle_seconds=0.0), (replace(METRICS, signal_gaps=SignalGaps.WAIT),)
    told = tellers(source, feeds)
    said = heard(source, told, {one.kept: read_days(one.kept, source) for one in told}, feeds)
    rows = Held(drop_id="a", customer="default", rows=1, at=0.0, days={"2026-02-01": 1})
    closed = ClosedDay(
        feed="metrics", customer="default", day="2026-02-28", version=1, watermark=FIRST - 86_400.0, at=1.0
    )
    (one,) = judged(said, [closed], feeds, {"metrics": [rows]})
    assert (one.reading.standing.value, one.reading.instant) == ("applied", FIRST)


def test_days_of_feeds_without_metrics_are_closed_up_to_their_watermark(tmp_path: Path) -> None:
    class Store(MemoryStore):
        def days(self, _feed: str, _customer: str) -> dict[str, tuple[str, ...]]:
            return dict.fromkeys(("2026-02-28", "2026-03-01", "2026-03-02"), ())

        def columns(self, feed: str) -> pa.Schema:
            names = ("unit_id", "id_type", "metric_name") if feed == "metrics" else ("event_name",)
            return pa.schema([(name, pa.string()) for name in names])

    marks = {("metrics", "default"): FIRST, ("events", "acme"): FIRST + 1}
    found = closed_without(Store(str(tmp_path)), marks, (METRICS, EVENTS))
    assert [(day.feed, day.customer, day.day, day.version) for day in found] == [
        ("events", "acme", "2026-02-28", 1),
        ("events", "acme", "2026-03-01", 1),
    ]


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    days=st.lists(st.integers(1, 12) | st.sets(st.integers(1, 12), min_size=1, max_size=4), min_size=1, max_size=8),
    gaps=st.sampled_from(SignalGaps),
    first=st.sampled_from([None, "2026-02-04"]),
)
def test_with_verdicts_given_anew_the_watermark_and_what_is_waited_for_are_those_of_before(
    tmp_path_factory: pytest.TempPathFactory, days: list[int | set[int]], gaps: SignalGaps, first: str | None
) -> None:
    feed, scope = replace(METRICS, signal_gaps=gaps, timezone="UTC"), ("metrics", "default")
    held = (Held(drop_id="a", customer="default", rows=1, at=0.0, days={first: 1}),) if first else ()
    said = [(found(number), reading(each)) for number, each in enumerate(days)]
    path = tmp_path_factory.mktemp("ledger") / "ledger.db"
    with Ledger.open(f"sqlite:///{path}", tables_exist=lambda: False, now=1.0) as ledger:
        for each, what in said:
            ledger.markers.add(each, {scope: what}, {}, 1.0)
            (marker,) = ledger.markers.waiting()
            ledger.markers.judge(marker, 1.0, waits_of(feed, lambda: [first] if first else []))
            ledger.markers.settled([each], 1.0)
        before = {one.found.uri: (one.standing, one.instant) for one in ledger.markers.newest()}
    archived = [(Archived(found=each, kept=each, at=1.0), {scope: what}) for each, what in said]
    anew = judged(archived, (), (feed,), {"metrics": held})
    assert {one.found.uri: (one.reading.standing, one.reading.instant) for one in anew} == before


def found(number: int) -> Found:
    return Found(uri=f"s{number}", name=f"signals/{number}", version="1", size=1, modified=1.0)


def reading(days: int | set[int]) -> Reading:
    if isinstance(days, int):
        return Reading(instant=bounds(dt.date(2026, 2, days), "UTC").end)
    return understood(Listed(days=tuple(dt.date(2026, 2, day) for day in sorted(days))), "UTC", FIRST)
