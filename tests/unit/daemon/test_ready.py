"""Markers: each gets one verdict, kept in the ledger; none takes effect before what was there before it is final."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from daemon.errors import ChangedError, MissingRightError, SourceError
from daemon.ledger.markers import Marker
from daemon.markers import MOST_BYTES, Standing
from daemon.model import After, Drop, Found, ReadyNeeds, State
from daemon.ready import Ready
from daemon.sources.folder import FolderSource
from daemon.sources.memory import MemorySource
from tests.unit.daemon.conftest import Rig, good, overdue

#: The ends of 2026-03-01 and of the day after it in Etc/GMT+8.
FIRST, SECOND = 1_772_438_400, 1_772_524_800
#: When markers are read: after both.
LATER = 1_772_600_000.0


@pytest.fixture
def later(rig: Rig) -> Rig:
    rig.clock.now = LATER
    return rig


def mark(rig: Rig, instant: int | bytes, name: str = "metrics/_READY", modified: float = 1_000.0) -> None:
    rig.source.put(name, instant if isinstance(instant, bytes) else str(instant).encode(), modified=modified)


def turns(rig: Rig, count: int = 3) -> None:
    for _ in range(count):
        rig.clock.now += 10
        rig.loop._round()


def standings(rig: Rig) -> list[str]:
    return [marker.standing.value for marker in reversed(rig.ledger.markers.newest())]


def only(rig: Rig) -> Marker:
    (marker,) = rig.ledger.markers.newest()
    return marker


def hold(rig: Rig, name: str = "a") -> Drop:
    """Have a drop under way that does not end by itself."""
    rig.workers.hold = True
    (drop,) = rig.put(**{name: good(3, name)})
    turns(rig, 1)
    return drop


# ---------------------------------------------------------------- VERDICTS


def test_a_marker_whose_drops_are_final_moves_the_watermark_and_is_archived(later: Rig) -> None:
    later.source.put("metrics/a.csv", good(3), modified=1.0)
    mark(later, FIRST)
    later.loop.run_once()
    assert only(later).standing is Standing.APPLIED
    assert later.ledger.markers.watermarks() == {("metrics", "default"): FIRST}
    assert [name for name, _ in later.source.archived] == ["metrics/a.csv", "metrics/_READY"]
    assert only(later).settled_at is not None
    assert later.ingest.tallied.markers == {Standing.APPLIED: 1}
    (told,) = later.events("marker.applied")
    assert (told["feed"], told["customer"], told["note"]) == (
        "metrics",
        "default",
        "everything before 2026-03-02T08:00:00Z is loaded",
    )


def test_each_version_of_a_marker_gets_its_verdict(later: Rig) -> None:
    for instant in (SECOND, SECOND, FIRST, SECOND + 1, b"soon"):
        mark(later, instant)
        turns(later)
    assert standings(later) == ["applied", "repeated", "regressed", "applied", "unreadable"]
    assert later.ledger.markers.watermark("metrics", "default") == SECOND + 1
    assert len(later.source.archived) == 5


def test_a_marker_before_any_drop_is_applied(later: Rig) -> None:
    mark(later, FIRST)
    later.loop.run_once()
    assert standings(later) == ["applied"]


@pytest.mark.parametrize(
    ("name", "data", "standing", "words"),
    [
        ("metrics/_READY", b"x" * (MOST_BYTES + 1), "unreadable", "longer than 4,096 bytes"),
        ("metrics/_READY", b"", "unreadable", "it is empty"),
        ("metrics/_READY.json", b'{"timestamp": 1772438400, "type": "metric"}', "unknown_feed", "mean 'metrics'"),
        ("metrics/_READY.json", b'{"timestamp": 1772438400, "type": "x"}', "unknown_feed", "the feeds are metrics"),
        ("acme/_READY", b"1772438400", "unmatched", "it lies in no feed's folder"),
        ("_READY", b"1772438400", "unmatched", "it lies in no feed's folder"),
        ("a/b/_READY", b"1772438400000", "milliseconds", "1772438400"),
    ],
)
def test_a_marker_that_is_refused_moves_nothing_and_says_why(
    later: Rig, name: str, data: bytes, standing: str, words: str
) -> None:
    mark(later, data, name)
    later.loop.run_once()
    assert only(later).standing.value == standing
    assert words in only(later).note
    assert later.ledger.markers.watermarks() == {}
    assert [found for found, _ in later.source.archived] == [name]
    (told,) = later.events(f"marker.{standing}")
    assert told["log_level"] == "warning"


def test_a_large_marker_is_not_even_fetched(rig_of: Callable[..., Rig]) -> None:
    class Guarded(MemorySource):
        @contextmanager
        def fetch(self, found: Found) -> Iterator[Path]:
            raise AssertionError(found)
            yield

    rig = rig_of(source=Guarded())
    mark(rig, b"1" * 1024**2)
    rig.loop.run_once()
    assert standings(rig) == ["unreadable"]


def test_a_marker_with_a_type_speaks_for_that_feed_of_its_customer(later: Rig) -> None:
    mark(later, b'{"timestamp": 1772438400, "type": "metrics"}', "acme/any/where/_READY.json")
    later.loop.run_once()
    assert later.ledger.markers.watermarks() == {("metrics", "acme"): FIRST}


def test_two_markers_whose_names_differ_in_case_are_two(later: Rig) -> None:
    mark(later, FIRST, "metrics/_READY", modified=1.0)
    mark(later, SECOND, "metrics/_ready", modified=2.0)
    later.loop.run_once()
    assert standings(later) == ["applied", "applied"]
    assert later.ledger.markers.watermark("metrics", "default") == SECOND


def test_scopes_have_watermarks_of_their_own(later: Rig) -> None:
    mark(later, FIRST, "acme/metrics/_READY")
    mark(later, SECOND, "globex/metrics/_READY")
    later.loop.run_once()
    assert later.ledger.markers.watermarks() == {("metrics", "acme"): FIRST, ("metrics", "globex"): SECOND}


def test_a_folder_that_is_called_like_a_marker_is_told_and_left_alone(
    rig_of: Callable[..., Rig], tmp_path: Path
) -> None:
    root = tmp_path / "drops"
    (root / "metrics" / "_READY" / "x").mkdir(parents=True)
    rig = rig_of(source=FolderSource(root, settle_seconds=0.0))
    rig.loop.run_once()
    assert only(rig).note == "it is a folder, expected a file; remove it and drop a file metrics/_READY"
    turns(rig)
    assert standings(rig) == ["unreadable"]
    assert (root / "metrics" / "_READY" / "x").is_dir()


def test_a_marker_that_stays_where_it_is_is_judged_once(rig_of: Callable[..., Rig]) -> None:
    rig = rig_of(rules={"after": After.KEEP})
    rig.clock.now = LATER
    mark(rig, FIRST)
    turns(rig, 5)
    rig.close()
    rig.start()
    turns(rig, 5)
    assert standings(rig) == ["applied"]
    assert len(rig.events("marker.applied")) == 1


# ---------------------------------------------------------------- THE BARRIER


def test_a_marker_waits_for_the_drops_that_were_there_before_it(later: Rig) -> None:
    hold(later)
    mark(later, FIRST)
    turns(later)
    assert standings(later) == ["waiting"]
    assert later.source.archived == {}
    later.workers.work()
    turns(later)
    assert standings(later) == ["applied"]


def test_a_drop_that_came_later_does_not_hold_a_marker_up(later: Rig) -> None:
    mark(later, FIRST, modified=1_000.0)
    turns(later, 1)
    later.workers.hold = True
    later.source.put("metrics/late.csv", good(3), modified=1_001.0)
    turns(later)
    assert standings(later) == ["applied"]


@pytest.mark.parametrize("modified", [999.0, 1_000.0])
def test_a_drop_that_is_older_by_the_sources_clock_holds_a_marker_though_it_was_listed_later(
    later: Rig, modified: float
) -> None:
    mark(later, FIRST, modified=1_000.0)
    turns(later, 1)
    later.workers.hold = True
    later.source.put("metrics/missed.csv", good(3), modified=modified)
    turns(later)
    assert standings(later) == ["waiting"]
    later.workers.work()
    turns(later)
    assert standings(later) == ["applied"]


def test_drops_of_other_scopes_hold_nothing_up(later: Rig) -> None:
    hold(later)
    mark(later, FIRST, "acme/metrics/_READY")
    turns(later)
    assert standings(later) == ["applied"]


def test_a_file_that_is_still_written_holds_a_marker_whatever_becomes_of_it(rig_of: Callable[..., Rig]) -> None:
    rig = rig_of(source=MemorySource(settle_seconds=60.0))
    rig.clock.now = LATER
    rig.source.put("metrics/big.csv", b"part", modified=LATER)
    mark(rig, FIRST, modified=LATER - 100)
    turns(rig)
    assert standings(rig) == ["waiting"]
    rig.source.put("metrics/big.csv", good(3), modified=rig.clock())  # another version, newer than the marker
    turns(rig)
    assert standings(rig) == ["waiting"]
    rig.clock.now += 100
    turns(rig)
    assert standings(rig) == ["applied"]
    assert sum(rig.rows().values()) == 3


def test_a_file_that_its_customer_takes_away_holds_nothing_up(rig_of: Callable[..., Rig]) -> None:
    rig = rig_of(source=MemorySource(settle_seconds=60.0))
    rig.clock.now = LATER
    rig.source.put("metrics/big.csv", b"part", modified=LATER)
    mark(rig, FIRST, modified=LATER - 100)
    turns(rig)
    rig.source.take("metrics/big.csv")
    turns(rig)
    assert standings(rig) == ["applied"]


def fail(rig: Rig) -> Drop:
    drop = hold(rig)
    for _ in range(3):
        rig.workers.lose(overdue())
        rig.clock.now += 1_000
        turns(rig)
    assert rig.state(drop) is State.FAILED
    return drop


def test_a_failed_drop_holds_a_marker_until_it_is_retried(later: Rig) -> None:
    drop = fail(later)
    mark(later, FIRST)
    turns(later)
    assert standings(later) == ["waiting"]
    later.ledger.retry(drop.id, later.clock())
    later.workers.hold = False
    turns(later)
    assert standings(later) == ["applied"]


def test_a_failed_drop_that_is_gone_for_good_lets_a_marker_go_when_it_is_retried(later: Rig) -> None:
    drop = fail(later)
    mark(later, FIRST)
    later.source.take(drop.found.name)
    turns(later)
    assert standings(later) == ["waiting"]
    later.ledger.retry(drop.id, later.clock())
    turns(later)
    assert standings(later) == ["applied"]


def test_a_feed_may_take_failed_drops_for_settled(rig_of: Callable[..., Rig]) -> None:
    rig = rig_of(feed_ready_needs=ReadyNeeds.SETTLED)
    rig.clock.now = LATER
    fail(rig)
    mark(rig, FIRST)
    turns(rig)
    assert standings(rig) == ["applied"]


def test_markers_of_a_scope_are_judged_in_the_order_in_which_they_came(later: Rig) -> None:
    hold(later)
    mark(later, FIRST, "metrics/_READY", modified=1.0)
    turns(later)
    mark(later, SECOND, "metrics/_READY", modified=0.0)
    turns(later)
    assert standings(later) == ["waiting", "waiting"]
    later.workers.work()
    turns(later)
    assert standings(later) == ["applied", "applied"]


def test_a_waiting_marker_takes_effect_though_its_object_is_gone_or_another_one(later: Rig) -> None:
    hold(later)
    mark(later, FIRST)
    turns(later)
    later.source.take("metrics/_READY")
    later.workers.work()
    turns(later)
    assert standings(later) == ["applied"]


# ---------------------------------------------------------------- WHAT BREAKS OFF


def test_a_marker_waits_on_after_a_restart(later: Rig) -> None:
    hold(later)
    mark(later, FIRST)
    turns(later)
    later.crash()
    later.start()
    later.ingest.recover()
    turns(later, 1)
    assert standings(later) == ["waiting"]
    later.workers.work()
    turns(later)
    assert standings(later) == ["applied"]
    assert sum(later.rows().values()) == 3


def test_a_crash_between_the_verdict_and_the_source_gives_no_second_verdict(rig_of: Callable[..., Rig]) -> None:
    class Failing(MemorySource):
        broken = True

        def settle(self, found: Found, after: After) -> None:
            if self.broken:
                raise RuntimeError("killed")
            super().settle(found, after)

    source = Failing()
    rig = rig_of(source=source)
    rig.clock.now = LATER
    mark(rig, FIRST)
    with pytest.raises(RuntimeError):
        turns(rig)
    assert standings(rig) == ["applied"]
    rig.crash()
    rig.start()
    source.broken = False
    turns(rig)
    assert standings(rig) == ["applied"]
    assert len(source.archived) == 1
    assert rig.ledger.markers.unsettled() == ()


def test_without_the_right_to_settle_markers_it_is_said_once_and_each_has_its_verdict(
    rig_of: Callable[..., Rig],
) -> None:
    class Closed(MemorySource):
        def settle(self, found: Found, after: After) -> None:
            del after
            raise MissingRightError(f"{found.uri}: no")

    rig = rig_of(source=Closed())
    rig.clock.now = LATER
    for number in range(3):
        mark(rig, FIRST + number)
        turns(rig)
        rig.clock.now += 100
    turns(rig)

    assert len(rig.events("marker.unsettled")) == 1
    assert rig.ledger.markers.unsettled() == ()
    assert standings(rig) == ["applied"] * 3


def test_a_marker_that_cannot_be_settled_is_tried_again_later(rig_of: Callable[..., Rig]) -> None:
    class Full(MemorySource):
        full = True

        def settle(self, found: Found, after: After) -> None:
            if self.full:
                raise SourceError("the disk is full")
            super().settle(found, after)

    source = Full()
    rig = rig_of(source=source)
    rig.clock.now = LATER
    mark(rig, FIRST)
    turns(rig)
    assert len(rig.events("marker.unsettled")) == 1
    source.full = False
    rig.clock.now += 100
    turns(rig)
    assert len(source.archived) == 1


def test_a_marker_that_cannot_be_read_now_is_told_once_and_tried_again(rig_of: Callable[..., Rig]) -> None:
    class Locked(MemorySource):
        error: Exception | None = SourceError("permission denied")

        @contextmanager
        def fetch(self, found: Found) -> Iterator[Path]:
            if self.error:
                raise self.error
            with super().fetch(found) as path:
                yield path

    source = Locked()
    rig = rig_of(source=source)
    rig.clock.now = LATER
    mark(rig, FIRST)
    turns(rig)
    assert standings(rig) == []
    assert len(rig.events("marker.unread")) == 1
    source.error = ChangedError("another version")
    turns(rig)
    source.error = None
    turns(rig)
    assert standings(rig) == ["applied"]


def test_a_customer_is_told_of_the_verdict_in_a_receipt(later: Rig) -> None:
    ready = Ready(later.parts, later.ingest.tallied, receipts=True)
    mark(later, b"soon", "acme/metrics/_READY")
    ready.turn(later.intake.look())
    receipt = json.loads(later.source.letters["_receipts/acme/metrics/_READY.json"])
    (verdict,) = receipt["verdicts"]
    assert (receipt["name"], verdict["verdict"], verdict["customer"]) == ("acme/metrics/_READY", "unreadable", "acme")
    assert "it is no instant: found 'soon', expected unix seconds" in verdict["note"]
