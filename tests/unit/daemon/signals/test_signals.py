"""Signals: files that list the days which are loaded are as good as markers, behind the same barrier."""

from __future__ import annotations

import datetime as dt
import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from daemon.days.bounds import bounds
from daemon.ledger import Ledger
from daemon.ledger.markers import Marker
from daemon.markers import Reading, Standing
from daemon.model import After, Found, SignalGaps
from daemon.ready import Ready
from daemon.signals import Listed, Waits, understood
from daemon.signals.files import MOST_BYTES
from tests.unit.daemon.conftest import Rig, good, killed

#: 2026-03-02 at noon in UTC: 2026-03-01 is over in Etc/GMT+8.
NOW = 1_772_452_800.0
HEADER = "finished_date\n"


def end(day: str, zone: str = "Etc/GMT+8") -> int:
    return bounds(dt.date.fromisoformat(day), zone).end


def listing(*days: str) -> bytes:
    return (HEADER + "".join(f"{day}\n" for day in days)).encode()


def signal(rig: Rig, *days: str, name: str = "metrics/signals/s.csv", modified: float = 1_000.0) -> None:
    rig.source.put(name, listing(*days), modified=modified)


def turns(rig: Rig, count: int = 4) -> None:
    for _ in range(count):
        rig.clock.now += 10
        rig.loop._round()


def told(rig: Rig) -> list[Marker]:
    return list(reversed(rig.ledger.markers.newest()))


def standings(rig: Rig) -> list[str]:
    return [marker.standing.value for marker in told(rig)]


def watermark(rig: Rig) -> int | None:
    return rig.ledger.markers.watermark("metrics", "default")


@pytest.fixture
def later(rig: Rig) -> Rig:
    rig.clock.now = NOW
    return rig


@pytest.fixture
def waits(rig_of: Callable[..., Rig]) -> Rig:
    """A feed that waits for days which no signal lists."""
    rig = rig_of(feed_signal_gaps=SignalGaps.WAIT)
    rig.clock.now = NOW
    return rig


# ---------------------------------------------------------------- AS GOOD AS A MARKER


def test_a_signal_moves_the_watermark_to_the_end_of_its_last_day_and_closes_what_is_before(later: Rig) -> None:
    later.source.put("metrics/a.csv", good(3), modified=1.0)
    signal(later, "2026-02-27", "2026-03-01")
    later.loop.run_once()
    (marker,) = told(later)
    assert (marker.standing, marker.instant) == (Standing.APPLIED, end("2026-03-01"))
    assert marker.days == ("2026-02-27", "2026-03-01")
    assert [name for name, _ in later.source.archived] == ["metrics/a.csv", "metrics/signals/s.csv"]
    assert later.ingest.tallied.days_closed == [("default", "metrics", "2026-03-01")]
    (event,) = later.events("signal.applied")
    assert (event["feed"], event["note"]) == ("metrics", "everything before 2026-03-02T08:00:00Z is loaded")


def test_each_version_of_a_signal_gets_its_verdict(later: Rig) -> None:
    for days in (("2026-02-27",), ("2026-02-26", "2026-02-27"), ("2026-02-25",), ("2026-02-27", "2026-03-01")):
        signal(later, *days)
        turns(later)
    assert standings(later) == ["applied", "repeated", "regressed", "applied"]
    assert watermark(later) == end("2026-03-01")
    turns(later, 5)
    assert len(told(later)) == len(later.source.archived) == 4


def test_signals_that_came_together_are_judged_in_their_order(later: Rig) -> None:
    later.workers.hold = True
    for day in (25, 26, 27):
        signal(later, f"2026-02-{day}", name=f"metrics/signals/{day}.csv", modified=float(day))
    turns(later, 1)
    later.workers._lined_up.reverse()
    for _ in range(3):
        later.workers.work(1)
        turns(later, 2)
    turns(later)
    assert standings(later) == ["applied"] * 3


def test_a_signal_waits_for_the_drops_that_were_there_before_it(later: Rig) -> None:
    later.workers.hold = True
    later.source.put("metrics/a.csv", good(3), modified=1.0)
    turns(later, 1)
    signal(later, "2026-03-01")
    turns(later, 1)
    drop, reading = later.workers._lined_up
    later.workers._lined_up = [reading]
    later.workers.work()
    later.workers._lined_up = [drop]
    turns(later)
    assert standings(later) == ["waiting"]
    later.workers.work()
    turns(later)
    assert standings(later) == ["applied"]


def test_a_signal_that_stays_where_it_is_is_judged_once(rig_of: Callable[..., Rig]) -> None:
    rig = rig_of(rules={"after": After.KEEP})
    rig.clock.now = NOW
    signal(rig, "2026-03-01")
    turns(rig, 5)
    rig.close()
    rig.start()
    turns(rig, 5)
    assert standings(rig) == ["applied"]


def test_markers_and_signals_of_a_scope_share_its_watermark(later: Rig) -> None:
    later.source.put("metrics/_READY", str(end("2026-03-01")).encode(), modified=1.0)
    turns(later)
    signal(later, "2026-03-01")
    turns(later)
    signal(later, "2026-02-28")
    turns(later)
    assert standings(later) == ["applied", "repeated", "regressed"]


# ---------------------------------------------------------------- WHOM IT SPEAKS FOR


@pytest.mark.parametrize(
    ("name", "scope"),
    [
        ("metrics/signals/s.csv", ("metrics", "default")),
        ("signals/s.csv", ("metrics", "default")),
        ("Signals/2026-03-01/part-0.csv", ("metrics", "default")),
        ("signals/metrics/s.csv", ("metrics", "default")),
        ("acme/signals/s.csv", ("metrics", "acme")),
        ("acme/metrics/2026/signals/2026-03-01/s.csv", ("metrics", "acme")),
    ],
)
def test_a_signal_speaks_for_the_folder_that_its_own_lies_in(later: Rig, name: str, scope: tuple[str, str]) -> None:
    signal(later, "2026-03-01", name=name)
    turns(later)
    assert later.ledger.markers.watermarks() == {scope: end("2026-03-01")}


def test_a_signal_that_lies_nowhere_is_told(rig_of: Callable[..., Rig]) -> None:
    rig = rig_of(feed_paths=("{customer}/metrics/**",))
    rig.clock.now = NOW
    signal(rig, "2026-03-01", name="signals/s.csv")
    turns(rig)
    assert standings(rig) == ["unmatched"]
    assert "drop it into CUSTOMER/signals/" in told(rig)[0].note


def test_a_feed_may_have_a_folder_of_that_name_itself(rig_of: Callable[..., Rig]) -> None:
    rig = rig_of(feed_paths=("signals/**",))
    rig.source.put("signals/a.csv", good(3), modified=1.0)
    turns(rig)
    assert sum(rig.rows().values()) == 3
    assert told(rig) == []


@pytest.mark.parametrize("name", ["_SUCCESS", ".s.csv", "s.csv.tmp", "~$s.xlsx", "_temporary/s.csv"])
def test_what_writers_leave_beside_signals_is_none(later: Rig, name: str) -> None:
    signal(later, "2026-03-01", name=f"metrics/signals/{name}")
    turns(later)
    assert told(later) == []


# ---------------------------------------------------------------- BAD SIGNALS


@pytest.mark.parametrize(
    ("name", "data", "standing", "words"),
    [
        ("s.csv", b"", "unreadable", "the file is empty"),
        ("s.csv", b"finished_date\n", "unreadable", "it lists no day"),
        ("s.csv", b"finish_date\n2026-03-01\n", "unreadable", "did you mean 'finished_date'?"),
        ("s.csv", b"2026-03-01\n", "unreadable", "is its header line missing?"),
        ("s.csv", b"finished_date\n2026-03-01\nsoon\n", "unreadable", "row 2 (line 3), column finished_date"),
        ("s.csv", b"finished_date\n2026-02-30\n", "unreadable", "expected a date such as 2026-03-01"),
        ("s.csv", b"finished_date\n20260301\n", "unreadable", "expected a date such as 2026-03-01"),
        ("s.csv", b"finished_date\n2026-03-02\n", "future", "expected days that are over in Etc/GMT+8"),
        ("s.csv", b"finished_date\n2026-03-01\n9999-12-31\n", "future", "found the day 9999-12-31"),
        ("s.csv", b"finished_date\n2026-03-01\n0001-01-01\n", "implausible", "expected days since 2000"),
        ("s.csv", bytes(range(256)) * 4, "unreadable", "drop the signal again"),
        ("s.parquet", b"PAR1 and no more", "unreadable", "drop the signal again"),
        (
            "s.csv.gz",
            gzip.compress(b"finished_date\n2026-03-01\n", mtime=0)[:-4],
            "unreadable",
            "a part of the file is missing",
        ),
        (
            "s.csv.gz",
            gzip.compress(b"finished_date\n" + b"2026-03-01\n" * 1_600_000, mtime=0),
            "unreadable",
            "more than 16,777,216 bytes after unpacking",
        ),
        ("s.csv", b"x" * (MOST_BYTES + 1), "unreadable", "expected a signal of at most 16,777,216"),
    ],
)
def test_a_bad_signal_closes_nothing_and_says_why(
    later: Rig, name: str, data: bytes, standing: str, words: str
) -> None:
    later.source.put("metrics/a.csv", good(3), modified=1.0)
    later.source.put(f"metrics/signals/{name}", data, modified=2.0)
    later.loop.run_once()
    (marker,) = told(later)
    assert marker.standing.value == standing
    assert words in marker.note
    assert watermark(later) is None
    assert later.ingest.tallied.days_closed == []
    assert marker.settled_at is not None


@pytest.mark.parametrize("kind", [pa.date32(), pa.string(), pa.timestamp("us"), pa.timestamp("us", "UTC")])
def test_a_signal_may_be_written_by_a_warehouse(later: Rig, kind: pa.DataType, tmp_path: Path) -> None:
    days = pa.array([dt.date(2026, 2, 28), dt.date(2026, 3, 1)]).cast(kind)
    pq.write_table(pa.table({"FINISHED_DATE": days}), tmp_path / "s.parquet")
    later.source.put("signals/part-0.snappy.parquet", (tmp_path / "s.parquet").read_bytes(), modified=1.0)
    turns(later)
    assert watermark(later) == end("2026-03-01")


def test_a_signal_that_breaks_its_worker_is_refused_after_some_goes(
    later: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    def break_off(*_: object) -> None:
        raise killed()

    monkeypatch.setattr("daemon.signals.files.read_days", break_off)
    signal(later, "2026-03-01")
    turns(later, 8)
    assert standings(later) == ["unreadable"]
    assert "it cannot be read: the worker was killed by SIGKILL" in told(later)[0].note


def test_cells_of_signals_are_in_no_log_line(later: Rig) -> None:
    later.source.put("metrics/signals/s.csv", b"finished_date\nsecret\n", modified=1.0)
    turns(later)
    assert "secret" in told(later)[0].note
    (event,) = later.events("signal.unreadable")
    assert "secret" not in event["note"]


# ---------------------------------------------------------------- GAPS


def test_a_day_is_waited_for_that_no_signal_lists(waits: Rig) -> None:
    signal(waits, "2026-02-25")
    turns(waits)
    signal(waits, "2026-02-27")
    turns(waits)
    assert standings(waits) == ["applied", "gap"]
    assert watermark(waits) == end("2026-02-25")
    assert "until a signal lists 2026-02-26 as well" in told(waits)[1].note
    signal(waits, "2026-02-26")
    turns(waits)
    assert standings(waits) == ["applied", "applied", "applied"]
    assert watermark(waits) == end("2026-02-27")


def receipt(rig: Rig, name: str) -> list[str]:
    told: dict[str, Any] = json.loads(rig.source.letters[f"_receipts/{name}.json"])
    return [each["verdict"] for each in told["verdicts"]]


def test_the_receipt_of_a_signal_that_waited_for_days_says_when_they_have_come(waits: Rig) -> None:
    waits.loop._ready = Ready(waits.parts, waits.ingest.tallied, receipts=True)
    for number, day in (("first", 25), ("second", 27)):
        signal(waits, f"2026-02-{day}", name=f"metrics/signals/{number}.csv")
        turns(waits)
    assert receipt(waits, "metrics/signals/second.csv") == ["gap"]
    signal(waits, "2026-02-26", name="metrics/signals/third.csv")
    turns(waits)
    assert receipt(waits, "metrics/signals/second.csv") == ["applied"]
    assert all(marker.settled_at is not None for marker in told(waits))
    assert len(waits.source.archived) == 3


def test_an_earlier_version_of_a_signal_says_nothing_over_the_receipt_of_the_later_one(waits: Rig) -> None:
    waits.loop._ready = Ready(waits.parts, waits.ingest.tallied, receipts=True)
    for day in (25, 27, 29):
        signal(waits, f"2026-02-{day}" if day < 29 else "2026-03-01")
        turns(waits)
    signal(waits, "2026-02-26", name="metrics/signals/other.csv")
    turns(waits)
    assert standings(waits) == ["applied", "applied", "gap", "applied"]
    assert receipt(waits, "metrics/signals/s.csv") == ["gap"]


def test_a_receipt_that_a_crash_has_kept_from_being_written_again_is_written_at_the_next_start(waits: Rig) -> None:
    waits.loop._ready = Ready(waits.parts, waits.ingest.tallied, receipts=True)
    signal(waits, "2026-02-25", name="metrics/signals/first.csv")
    signal(waits, "2026-02-27", name="metrics/signals/second.csv", modified=1_001.0)
    turns(waits)
    marker = Found(uri="m", name="metrics/_READY", version="1", size=1, modified=1_002.0)
    reading = {("metrics", "default"): Reading(instant=end("2026-02-26"))}
    waits.ledger.markers.add(marker, reading, {}, NOW)
    waits.ledger.markers.judge(waits.ledger.markers.waiting()[0], NOW, Waits(zone="Etc/GMT+8"))
    waits.crash()
    waits.start()
    waits.loop._ready = Ready(waits.parts, waits.ingest.tallied, receipts=True)
    turns(waits)
    assert receipt(waits, "metrics/signals/second.csv") == ["applied"]


def test_a_signal_takes_effect_as_far_as_its_days_go_without_a_gap(waits: Rig) -> None:
    signal(waits, "2026-02-24", "2026-02-25", "2026-02-27", "2026-02-28")
    turns(waits)
    assert standings(waits) == ["applied"]
    assert watermark(waits) == end("2026-02-25")
    signal(waits, "2026-02-24", "2026-02-25", "2026-02-26", "2026-02-27")
    turns(waits)
    assert watermark(waits) == end("2026-02-28")


def test_a_marker_that_bridges_a_gap_brings_the_days_after_it(waits: Rig) -> None:
    signal(waits, "2026-02-24", "2026-02-26")
    turns(waits)
    signal(waits, "2026-02-27")
    turns(waits)
    waits.source.put("metrics/_READY", str(end("2026-02-25")).encode(), modified=1.0)
    turns(waits)
    assert standings(waits) == ["applied", "applied", "applied"]
    assert watermark(waits) == end("2026-02-27")


def test_the_first_day_that_has_rows_is_waited_for(waits: Rig) -> None:
    waits.source.put("metrics/a.csv", good(3).replace(b"2026-03-01", b"2026-02-27"), modified=1.0)
    turns(waits)
    signal(waits, "2026-02-28")
    turns(waits)
    assert standings(waits) == ["gap"]
    signal(waits, "2026-02-26")
    turns(waits)
    assert watermark(waits) == end("2026-02-26")
    signal(waits, "2026-02-27")
    turns(waits)
    assert watermark(waits) == end("2026-02-28")


def test_days_at_or_before_the_watermark_change_nothing_where_days_are_waited_for(waits: Rig) -> None:
    for days in (("2026-02-26", "2026-02-27"), ("2026-02-27",), ("2026-02-20",)):
        signal(waits, *days)
        turns(waits)
    assert standings(waits) == ["applied", "repeated", "regressed"]


def test_the_end_of_a_signals_day_is_that_of_the_feeds_zone(rig_of: Callable[..., Rig]) -> None:
    rig = rig_of(feed_timezone="America/New_York")
    rig.clock.now = float(end("2026-03-08", "America/New_York"))
    signal(rig, "2026-03-08")
    turns(rig)
    assert watermark(rig) == end("2026-03-08", "America/New_York")
    (marker,) = told(rig)
    assert marker.instant == end("2026-03-07", "America/New_York") + 23 * 3600


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(signals=st.lists(st.sets(st.integers(1, 12), min_size=1, max_size=4), min_size=1, max_size=8))
def test_the_watermark_stops_before_the_first_day_that_no_signal_has_listed(
    tmp_path_factory: pytest.TempPathFactory, signals: list[set[int]]
) -> None:
    path = tmp_path_factory.mktemp("ledger") / "ledger.db"
    listed: set[int] = set()
    last = 0
    with Ledger.open(f"sqlite:///{path}", tables_exist=lambda: False, now=1.0) as ledger:
        for number, days in enumerate(signals):
            found = Found(uri=f"s{number}", name=f"signals/{number}", version="1", size=1, modified=1.0)
            found_days = tuple(dt.date(2026, 2, day) for day in sorted(days))
            reading = understood(Listed(days=found_days), "UTC", NOW)
            ledger.markers.add(found, {("metrics", "default"): reading}, {}, 1.0)
            (marker,) = ledger.markers.waiting()
            standing, _ = ledger.markers.judge(marker, 1.0, Waits(zone="UTC"))
            ledger.markers.settled([found], 1.0)

            listed |= days
            before, last = last, last or min(days)
            while last + 1 in listed:
                last += 1
            assert ledger.markers.watermark("metrics", "default") == end(f"2026-02-{last:02}", "UTC")
            assert (standing is Standing.APPLIED) == (last > before)
            assert (standing is Standing.GAP) == (max(days) > last and last == before)
