"""A feed whose table cannot be used waits by itself: nothing of it is lost, and others go on as if nothing were."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from daemon.errors import StoreError
from daemon.tidying import Tidying
from tests.unit.daemon.conftest import METRICS, Rig, good
from tests.unit.daemon.days.test_closing import FIRST, LATER, rows

OTHER = replace(METRICS, name="other", paths=("other/**",))


@pytest.fixture
def two(rig_of: Callable[..., Rig]) -> Rig:
    """A daemon with two feeds, each with a table."""
    rig = rig_of(others=(OTHER,))
    for feed in ("metrics", "other"):
        rig.source.put(f"{feed}/first.csv", good(3, f"{feed}-first"), modified=1.0)
    rig.loop.run_once()
    return rig


@contextmanager
def corrupt(rig: Rig, *feeds: str) -> Iterator[None]:
    """Have the newest entry of tables' logs say nothing that anybody can read, for the length of a `with`."""
    entries = [max(Path(rig.store.describe(feed), "_delta_log").glob("*.json")) for feed in feeds]
    before = [entry.read_bytes() for entry in entries]
    for entry in entries:
        entry.write_bytes(b"{garbage")
    yield
    for entry, data in zip(entries, before, strict=True):
        entry.write_bytes(data)


def turns(rig: Rig, count: int = 3) -> None:
    for _ in range(count):
        rig.clock.now += 5
        rig.loop._round()


def count(rig: Rig, feed: str) -> int:
    return len(rig.store.read(feed))


def test_others_go_on_and_its_own_drops_wait_until_its_table_is_mended(two: Rig) -> None:
    with corrupt(two, "metrics"):
        for number in range(4):
            for feed in ("metrics", "other"):
                two.source.put(f"{feed}/{number}.csv", good(2, f"{feed}{number}-"), modified=2.0 + number)
            turns(two)
        assert count(two, "other") == 3 + 4 * 2
        (event,) = two.events("feed.waiting")
        assert event["feed"] == "metrics"
        assert "the table cannot be read" in event["reason"]
        assert list(two.ingest.ailing) == ["metrics"]
        assert "metrics waiting for a table" in two.loop._status()
        assert two.ledger.counts()["metrics"].keys() == {"ingested", "working"}
        assert not two.ingest.busy
    turns(two, 6)
    assert (count(two, "metrics"), count(two, "other")) == (3 + 4 * 2, 3 + 4 * 2)
    assert len(two.events("feed.mended")) == 1
    assert two.events("turn.failed") == []
    assert two.ingest.ailing == {}


def test_one_that_is_killed_while_a_feed_waits_takes_its_drops_up_again(two: Rig) -> None:
    with corrupt(two, "metrics"):
        two.source.put("metrics/a.csv", good(2, "a"), modified=2.0)
        turns(two)
        two.crash()
    two.start()
    two.ingest.recover()
    two.loop.run_once()
    assert count(two, "metrics") == 3 + 2
    assert two.staged() == two.in_table() | {path.name for path in (two.folder / "tables/other").rglob("part-*")}


def test_its_markers_and_days_wait_with_it_and_those_of_others_do_not(two: Rig) -> None:
    two.clock.now = float(LATER)
    with corrupt(two, "metrics"):
        for feed in ("metrics", "other"):
            two.source.put(f"{feed}/1.csv", rows(1), modified=2.0)
            two.source.put(f"{feed}/_READY", str(FIRST).encode(), modified=3.0)
        turns(two, 6)
        assert two.ledger.markers.watermarks() == {("other", "default"): FIRST}
        assert [day[1] for day in two.ingest.tallied.days_closed] == ["other"]
    turns(two, 8)
    assert sorted(day[1] for day in two.ingest.tallied.days_closed) == ["metrics", "other"]


def test_a_day_that_is_ready_already_waits_for_its_feeds_table(two: Rig) -> None:
    two.clock.now = float(LATER)
    two.source.put("metrics/_READY", str(FIRST).encode(), modified=3.0)
    two.workers.hold = True
    turns(two, 2)
    two.closing._running = None
    two.workers._lined_up.clear()
    two.workers.hold = False
    with corrupt(two, "metrics"):
        turns(two)
        assert two.ingest.tallied.days_closed == []
        assert not two.closing.busy
    turns(two, 6)
    assert [day[1] for day in two.ingest.tallied.days_closed] == ["metrics"]


def test_what_all_tables_have_fails_the_turn(two: Rig) -> None:
    with corrupt(two, "metrics", "other"):
        two.source.put("metrics/a.csv", good(2, "a"), modified=2.0)
        with pytest.raises(StoreError, match="the table cannot be read"):
            turns(two)
    turns(two, 6)
    assert count(two, "metrics") == 3 + 2


def test_what_runs_once_says_which_feed_waits_and_does_the_others_work(two: Rig) -> None:
    for feed in ("metrics", "other"):
        two.source.put(f"{feed}/a.csv", good(2, f"{feed}a"), modified=2.0)
    two.clock.now += 10
    with corrupt(two, "metrics"), pytest.raises(StoreError, match="metrics"):
        two.loop.run_once()
    assert count(two, "other") == 3 + 2
    two.crash()
    two.start()
    two.ingest.recover()
    two.loop.run_once()
    assert count(two, "metrics") == 3 + 2


def test_a_table_that_cannot_be_read_is_not_compacted(two: Rig) -> None:
    tidying = Tidying(
        two.store,
        two.workers,
        ("metrics", "other"),
        target_bytes=2**20,
        min_files=2,
        log=two.log,
        clock=two.clock,
        usable=two.parts.ailing.usable,
    )
    with corrupt(two, "metrics"):
        for _ in range(4):
            two.clock.now += 60
            tidying.turn()
    assert two.events("table.not_compacted") == []
    assert len(two.events("feed.waiting")) == 1
