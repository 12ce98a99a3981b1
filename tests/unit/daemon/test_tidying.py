"""Tidying: a table that has grown is compacted once, in a worker, and a failure of it stops nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from daemon.errors import StoreError
from daemon.stores.delta import DeltaStore
from daemon.tidying import PAUSE_SECONDS, Tidying
from tests.unit.daemon.conftest import METRICS, Here, Rig, good, killed, overdue


class Broken(DeltaStore):
    """A store that cannot compact."""

    def compact(self, feed: str, *, target_bytes: int, min_files: int) -> int:
        raise StoreError(f"{feed}: {min_files} files of {target_bytes} bytes, and no room")


def tidying(rig: Rig, *, feeds: tuple[str, ...] = ("metrics",), min_files: int = 2, workers: Any = None) -> Tidying:
    return Tidying(
        rig.store,
        workers or rig.workers,
        feeds,
        target_bytes=10**8,
        min_files=min_files,
        log=rig.log,
        clock=rig.clock,
    )


def grow(rig: Rig, *tags: str) -> None:
    """Bring one data file for each tag, each in a batch of its own."""
    for tag in tags:
        rig.take_in(**{tag: good(2, tag)})
    rig.clock.now += PAUSE_SECONDS


def test_a_table_that_has_grown_is_compacted_and_keeps_its_rows(rig: Rig) -> None:
    grow(rig, "a", "b", "c")
    before = rig.rows()
    tidy = tidying(rig)
    tidy.turn()
    tidy.turn()
    assert len(rig.in_table()) == 1
    assert rig.rows() == before
    assert [(entry["feed"], entry["files"]) for entry in rig.events("table.compacted")] == [("metrics", 3)]


def test_before_the_first_table_there_is_nothing_to_do(rig: Rig) -> None:
    rig.workers.hold = True
    tidying(rig).turn()
    assert rig.workers.waiting == 0


def test_a_table_that_has_not_grown_since_is_not_looked_at_again(rig: Rig) -> None:
    grow(rig, "a", "b")
    tidy = tidying(rig)
    tidy.turn()
    tidy.turn()
    rig.workers.hold = True
    rig.clock.now += 10 * PAUSE_SECONDS
    tidy.turn()
    assert rig.workers.waiting == 0
    rig.workers.hold = False
    grow(rig, "c")
    rig.workers.hold = True
    tidy.turn()
    assert rig.workers.waiting == 1


def test_under_a_stream_of_batches_a_table_is_looked_at_now_and_then(rig: Rig) -> None:
    grow(rig, "a")
    tidy = tidying(rig)
    tidy.turn()
    tidy.turn()
    rig.take_in(b=good(2, "b"))
    rig.workers.hold = True
    rig.clock.now += PAUSE_SECONDS - 1
    tidy.turn()
    assert rig.workers.waiting == 0
    rig.clock.now += 1
    tidy.turn()
    assert rig.workers.waiting == 1


def test_one_compaction_runs_at_a_time(rig: Rig) -> None:
    grow(rig, "a", "b")
    tidy = tidying(rig, feeds=("metrics", "metrics"))
    rig.workers.hold = True
    for _ in range(3):
        rig.clock.now += PAUSE_SECONDS
        tidy.turn()
    assert rig.workers.waiting == 1
    assert not rig.events("table.compacted")


def test_it_can_be_turned_off(rig: Rig) -> None:
    grow(rig, "a", "b")
    rig.workers.hold = True
    tidying(rig, min_files=0).turn()
    assert rig.workers.waiting == 0


def test_too_few_files_are_left_as_they_are_and_nothing_is_said(rig: Rig) -> None:
    grow(rig, "a", "b")
    tidy = tidying(rig, min_files=3)
    tidy.turn()
    tidy.turn()
    assert len(rig.in_table()) == 2
    assert not rig.events("table.compacted")


def test_a_compaction_that_fails_is_told_and_tried_again_with_the_next_batch(rig_of: Callable[..., Rig]) -> None:
    rig = rig_of(store_of=lambda url, app: Broken(url, app=app))
    grow(rig, "a", "b")
    tidy = tidying(rig)
    tidy.turn()
    tidy.turn()
    (told,) = rig.events("table.not_compacted")
    assert (told["feed"], told["reason"]) == ("metrics", "metrics: 2 files of 100000000 bytes, and no room")
    assert told["log_level"] == "warning"
    grow(rig, "c")
    tidy.turn()
    tidy.turn()
    assert len(rig.events("table.not_compacted")) == 2


@pytest.mark.parametrize("error", [overdue(), killed()], ids=["overdue", "killed"])
def test_a_compaction_whose_worker_is_lost_stops_nothing(rig: Rig, error: Exception) -> None:
    grow(rig, "a", "b")
    own = Here()
    own.hold = True
    tidy = tidying(rig, workers=own)
    tidy.turn()
    own.lose(error)
    tidy.turn()
    assert len(rig.events("table.not_compacted")) == 1
    assert len(rig.in_table()) == 2


def test_drops_are_ingested_while_a_compaction_runs(rig: Rig) -> None:
    grow(rig, "a", "b")
    own = Here()
    own.hold = True
    tidy = tidying(rig, workers=own)
    tidy.turn()
    (drop,) = rig.take_in(c=good(5, "c"))
    own.work()
    tidy.turn()
    assert rig.rows()[drop.id] == 5
    assert sum(rig.rows().values()) == 9
    assert METRICS.name in {entry["feed"] for entry in rig.events("table.compacted")}
