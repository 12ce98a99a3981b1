"""Intake: what is new and complete is brought once, oldest first; the rest when its time comes; nothing is lost."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from daemon.errors import SourceError
from daemon.feeds import Feeds
from daemon.intake import Arrivals, Intake
from daemon.model import After, Drop, Feed, Found, Outcome, State
from daemon.sources import Source
from daemon.sources.folder import FolderSource
from daemon.sources.memory import MemorySource
from tests.unit.daemon.conftest import METRICS, Rig, good


class Flaky(MemorySource):
    """A source whose listing breaks off in its middle while `broken`."""

    broken = False

    def list(self) -> Iterator[Found]:
        for found in super().list():
            yield found
            if self.broken:
                raise SourceError("the share is gone")


def names(arrivals: Arrivals) -> list[str]:
    return [drop.found.name for drop in arrivals.drops]


def intake_of(rig: Rig, *feeds: Feed, source: Source | None = None) -> Intake:
    at_work = rig.ingest.at_work
    return Intake(source or rig.source, rig.ledger, Feeds(feeds or [METRICS]), at_work=at_work, clock=rig.clock)


def finish(rig: Rig, state: State, *drops: Drop) -> None:
    rig.ledger.claim(drops, rig.clock())
    rig.ledger.finish([Outcome(drop_id=drop.id, state=state, finished_at=1.0) for drop in drops], rig.clock())


def test_an_empty_source_brings_nothing(rig: Rig) -> None:
    assert rig.intake.look() == Arrivals()


def test_new_drops_come_oldest_first_with_feed_and_customer(rig: Rig) -> None:
    for name, modified in (("metrics/b.csv", 3.0), ("acme/metrics/c.csv", 1.0), ("metrics/a.csv", 3.0)):
        rig.source.put(name, good(1), modified=modified)
    found = rig.intake.look().drops
    assert [(drop.found.name, drop.feed, drop.customer, drop.attempt) for drop in found] == [
        ("acme/metrics/c.csv", "metrics", "acme", 1),
        ("metrics/a.csv", "metrics", "default", 1),
        ("metrics/b.csv", "metrics", "default", 1),
    ]


def test_a_drop_that_nobody_claimed_is_brought_again(rig: Rig) -> None:
    """A turn may fail between the listing and the claim."""
    rig.source.put("metrics/a.csv", good(1))
    assert names(rig.intake.look()) == names(rig.intake.look()) == ["metrics/a.csv"]


def test_what_has_ended_is_not_brought_again_nor_asked_for(rig: Rig) -> None:
    rig.source.put("metrics/a.csv", good(1))
    finish(rig, State.REJECTED, *rig.intake.look().drops)
    assert rig.intake.look() == Arrivals()
    rig.break_ledger("INSERT ON events")
    assert rig.intake.look() == Arrivals()
    assert intake_of(rig).look() == Arrivals(), "nor by a daemon that has just started"


def test_a_new_version_of_what_has_ended_is_brought(rig: Rig) -> None:
    rig.source.put("metrics/a.csv", good(1))
    finish(rig, State.INGESTED, *rig.intake.look().drops)
    assert names(rig.intake.look()) == []
    rig.source.put("metrics/a.csv", good(2))
    assert names(rig.intake.look()) == ["metrics/a.csv"]


# ---------------------------------------------------------------- NOT YET


def test_what_still_changes_is_pending_and_the_first_to_be_complete_says_when(rig: Rig) -> None:
    source = MemorySource(settle_seconds=5.0)
    intake = intake_of(rig, source=source)
    source.put("metrics/a.csv", good(1), modified=rig.clock() - 1)
    source.put("metrics/b.csv", good(1), modified=rig.clock() - 3)
    source.put("metrics/c.csv", good(1), modified=rig.clock() - 9)
    arrivals = intake.look()
    assert (names(arrivals), arrivals.due_seconds, arrivals.pending) == (["metrics/c.csv"], 2.0, 2)


def test_where_clocks_disagree_our_own_listings_decide_and_a_change_begins_anew(rig: Rig) -> None:
    source = MemorySource(settle_seconds=5.0)
    intake = intake_of(rig, source=source)
    ahead = rig.clock() + 10_000
    source.put("metrics/a.csv", good(1), modified=ahead)
    assert intake.look().due_seconds == 5.0
    rig.clock.now += 4
    assert intake.look().due_seconds == 1.0
    source.put("metrics/a.csv", good(2), modified=ahead)
    rig.clock.now += 4
    assert intake.look().due_seconds == 5.0
    rig.clock.now += 5
    assert names(intake.look()) == ["metrics/a.csv"]


def test_a_new_version_waits_while_an_older_one_is_worked(rig: Rig) -> None:
    rig.workers.hold = True
    rig.ingest.claim(rig.put(a=good(1)))
    rig.ingest.pump()
    rig.source.put("metrics/a.csv", good(2))
    arrivals = rig.intake.look()
    assert arrivals == Arrivals(incomplete=arrivals.incomplete)
    assert [found.name for found in arrivals.incomplete] == ["metrics/a.csv"]
    rig.turn()
    assert names(rig.intake.look()) == ["metrics/a.csv"]


def test_a_drop_given_back_comes_again_when_its_time_has_come_as_its_next_attempt(rig: Rig) -> None:
    (drop,) = rig.put(a=good(1))
    rig.ledger.claim([drop], rig.clock())
    rig.ledger.give_back([drop.id], rig.clock(), not_before=rig.clock() + 30.0)
    arrivals = rig.intake.look()
    assert (arrivals.drops, arrivals.due_seconds, arrivals.pending) == ((), 30.0, 1)
    rig.clock.now += 30
    (again,) = rig.intake.look().drops
    assert (again.id, again.attempt) == (drop.id, 2)


def test_a_failed_drop_comes_again_only_when_a_person_asks_for_it(rig: Rig) -> None:
    (drop,) = rig.put(a=good(1))
    finish(rig, State.FAILED, drop)
    assert rig.intake.look() == Arrivals()
    rig.ledger.retry(drop.id, rig.clock())
    assert names(rig.intake.look()) == ["metrics/a.csv"]


# ---------------------------------------------------------------- NOBODY'S


def test_what_no_feed_wants_is_told_once_and_wanted_when_a_feed_comes_for_it(rig: Rig) -> None:
    rig.source.put("other/a.csv", good(1))
    arrivals = rig.intake.look()
    assert [found.name for found in arrivals.unmatched] == ["other/a.csv"]
    assert arrivals.drops == ()
    rig.ledger.unmatched(arrivals.unmatched, rig.clock())
    assert rig.intake.look() == Arrivals()
    assert intake_of(rig).look() == Arrivals()

    other = Feed(name="other", paths=("other/*",), contract=METRICS.contract)
    (drop,) = intake_of(rig, METRICS, other).look().drops
    assert drop.feed == "other"


def test_markers_are_apart(rig: Rig) -> None:
    rig.source.put("metrics/_READY", b"1647975283")
    arrivals = rig.intake.look()
    assert [found.name for found in arrivals.markers] == ["metrics/_READY"]
    assert (arrivals.drops, arrivals.unmatched) == ((), ())


# ---------------------------------------------------------------- A SOURCE THAT FAILS


def test_a_listing_that_breaks_off_forgets_nothing_and_brings_nothing_twice(rig_of: Callable[..., Rig]) -> None:
    source = Flaky()
    rig = rig_of(source=source)
    for name in ("a", "b"):
        source.put(f"metrics/{name}.csv", good(1))
    finish(rig, State.REJECTED, *rig.intake.look().drops)
    rig.intake.look()
    source.put("metrics/c.csv", good(1))

    source.broken = True
    with pytest.raises(SourceError, match="the share is gone"):
        rig.intake.look()
    source.broken = False
    assert names(rig.intake.look()) == ["metrics/c.csv"]


def test_an_object_that_is_gone_is_forgotten(rig: Rig) -> None:
    for number in range(3):
        rig.source.put(f"metrics/{number}.csv", good(1))
    drops = rig.intake.look().drops
    finish(rig, State.REJECTED, *drops)
    rig.intake.look()
    for drop in drops:
        rig.source.settle(drop.found, After.DELETE)
    rig.intake.look()
    assert not rig.intake._done
    assert not rig.intake._fresh


def test_a_drop_that_waits_for_another_go_is_gone_when_its_version_is(rig: Rig) -> None:
    for name in ("deleted", "changed", "same"):
        rig.source.put(f"metrics/{name}.csv", good(1))
    drops = rig.intake.look().drops
    rig.ledger.claim(drops, rig.clock())
    rig.ledger.give_back([drop.id for drop in drops], rig.clock())
    rig.source.take("metrics/deleted.csv")
    rig.source.put("metrics/changed.csv", good(2))
    arrivals = rig.intake.look()
    assert sorted(drop.found.name for drop in arrivals.gone) == ["metrics/changed.csv", "metrics/deleted.csv"]
    assert sorted(names(arrivals)) == ["metrics/changed.csv", "metrics/same.csv"]


def test_a_listing_that_breaks_off_says_of_nothing_that_it_is_gone(rig_of: Callable[..., Rig]) -> None:
    source = Flaky()
    rig = rig_of(source=source)
    drops = rig.put(a=good(1), b=good(2))
    rig.ledger.claim(drops, rig.clock())
    rig.ledger.give_back([drop.id for drop in drops], rig.clock())
    source.broken = True
    with pytest.raises(SourceError):
        rig.intake.look()
    source.broken = False
    assert rig.intake.look().gone == ()


def test_a_real_folder_is_looked_at_in_the_same_way(rig: Rig, tmp_path: Path) -> None:
    folder = tmp_path / "drops" / "acme" / "metrics"
    folder.mkdir(parents=True)
    (folder / "a.csv").write_bytes(good(1))
    (folder / "b.csv.tmp").write_bytes(good(1))
    (folder / "_READY").write_bytes(b"1")
    source = FolderSource(tmp_path / "drops", settle_seconds=0.0)
    rig.clock.now = 4e9  # long after the files were written
    arrivals = intake_of(rig, source=source).look()
    assert names(arrivals) == ["acme/metrics/a.csv"]
    assert len(arrivals.markers) == 1
