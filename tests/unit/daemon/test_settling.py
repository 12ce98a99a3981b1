"""Settling: the object is touched last, a failure is noted and tried again, and nothing is ingested for it."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from daemon.errors import SourceError
from daemon.model import After, Found, State
from daemon.settling import RETRY_SECONDS, Settling
from daemon.sources.memory import MemorySource
from tests.unit.daemon.conftest import Rig, good, overdue


class Careful(MemorySource):
    """A source that notes how many drops the ledger takes for settled when it is told to keep what it has done."""

    rig: Rig
    settled: list[int]

    def flush(self) -> None:
        self.settled.append(sum(row.settled_at is not None for row in self.rig.ledger.drops()))


class Stuck(MemorySource):
    """A source that cannot settle some names for as long as they are in `stuck`, and notes what it is asked."""

    def __init__(self) -> None:
        super().__init__()
        self.stuck: set[str] = set()
        self.asked: list[str] = []

    def settle(self, found: Found, after: After) -> None:
        self.asked.append(found.name)
        if found.name in self.stuck:
            raise SourceError(f"{found.name}: the archive is full")
        super().settle(found, after)


@pytest.fixture
def source() -> Stuck:
    return Stuck()


@pytest.fixture
def stuck(rig_of: Callable[..., Rig], source: Stuck) -> Rig:
    return rig_of(source=source)


def settling(rig: Rig, after: After = After.ARCHIVE) -> Settling:
    return Settling(rig.ledger, rig.source, after, log=rig.log, clock=rig.clock)


@pytest.mark.parametrize(
    ("after", "left", "archived"), [(After.KEEP, 1, 0), (After.ARCHIVE, 0, 1), (After.DELETE, 0, 0)]
)
def test_an_object_is_kept_archived_or_deleted(
    rig_of: Callable[..., Rig], after: After, left: int, archived: int
) -> None:
    rig = rig_of(rules={"after": after})
    (drop,) = rig.take_in(a=good(1))
    assert (len(list(rig.source.list())), len(rig.source.archived)) == (left, archived)
    assert rig.ledger.drop(drop.id).settled_at == rig.clock()


def test_what_is_settled_is_on_the_disk_before_the_ledger_says_so(rig_of: Callable[..., Rig]) -> None:
    source = Careful()
    source.rig, source.settled = rig_of(source=source), []
    source.rig.take_in(a=good(1), b=good(2))
    assert source.settled[0] == 0
    assert all(row.settled_at for row in source.rig.ledger.drops())


def test_one_that_fails_does_not_hold_up_the_others(stuck: Rig, source: Stuck) -> None:
    source.stuck = {"metrics/a.csv"}
    first, second = stuck.take_in(a=good(1), b=good(2))

    row = stuck.ledger.drop(first.id)
    assert (row.state, row.settled_at, row.settle_failures) == (State.INGESTED, None, 1)
    assert row.settle_reason == "metrics/a.csv: the archive is full"
    assert stuck.ledger.drop(second.id).settled_at is not None
    (told,) = stuck.events("drop.unsettled")
    assert (told["drop"], told["reason"]) == (first.id, row.settle_reason)


def test_it_is_tried_again_only_after_a_pause_and_then_no_more(stuck: Rig, source: Stuck) -> None:
    source.stuck = {"metrics/a.csv"}
    (drop,) = stuck.take_in(a=good(3))
    again = settling(stuck)
    stuck.clock.now += RETRY_SECONDS - 1
    again.late()
    assert source.asked == ["metrics/a.csv"]

    source.stuck.clear()
    stuck.clock.now += 1
    again.late()
    again.late()
    assert source.asked == ["metrics/a.csv"] * 2
    assert stuck.ledger.drop(drop.id).settled_at == stuck.clock()
    assert stuck.rows() == {drop.id: 3}


def test_a_drop_that_failed_or_is_unmatched_is_left_alone(rig_of: Callable[..., Rig], source: Stuck) -> None:
    rig = rig_of(source=source, rules={"attempts": 1})
    rig.workers.hold = True
    rig.ingest.claim(rig.put(a=good(1)))
    rig.ingest.pump()
    rig.workers.lose(overdue())
    rig.ingest.collect()
    settling(rig).late()
    assert source.asked == []


def test_an_object_that_is_gone_already_is_done(rig: Rig) -> None:
    drops = rig.put(a=good(1))
    rig.ingest.claim(drops)
    rig.ingest.pump()
    rig.source.take("metrics/a.csv")
    rig.ingest.collect()
    assert rig.ledger.drop(drops[0].id).settled_at is not None
