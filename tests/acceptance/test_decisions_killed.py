"""Decisions under kill -9: whatever the daemon is doing with them, each is carried out once, and no row is lost."""

from __future__ import annotations

import os
import random
import signal
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance.crashing import Outcome, Point, World
from tests.acceptance.orders import HEADER, MIXED, mend_contract, set_up

#: The steps of a decision's way, in their order.
POINTS = (
    Point("worker begins", "daemon.reviewing:review"),
    Point("entry beside the drop's own", "daemon.quarantine.entries:Entry.publish", number=2),
    Point("intent", "daemon.ledger.records:Ledger.intend"),
    Point("table commit", "daemon.stores.delta:DeltaStore.commit"),
    Point("first entry in its place", "daemon.quarantine:Quarantine.promote"),
    Point("last entry in its place", "daemon.quarantine:Quarantine.promote", number=3),
    Point("an older entry aside", "daemon.cabinets.folder:_swap", number=2),
    Point("record", "daemon.ledger.records:Ledger.record"),
    Point("discarded", "daemon.ledger.decisions:Decisions.end"),
)


def decide(world: World) -> None:
    """Drop files that are set aside, wholly and in part; decide on each of them in another way."""
    set_up(world)
    for name in ("released.csv", "waived.csv", "discarded.csv"):
        world.drop(name, MIXED + f"{name},DE,1\n".encode(), feed="orders")
    world.drop("rejected.csv", (HEADER + "r1,US,1\nr2,US,0\nr3,US,2\n").encode(), feed="orders")
    world.once(code=1)
    mend_contract(world)
    for arguments in (
        ("release", "released.csv"),
        ("waive", "waived.csv", "--rule", "unique", "--reason", "they do that"),
        ("discard", "discarded.csv", "--reason", "theirs"),
        ("release", "rejected.csv"),
    ):
        done = world.run("quarantine", *arguments)
        assert done.code == 0, done.stderr


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[World, Path, Outcome]]:
    """A world in which decisions wait, a copy of it, and what comes of it when nothing is killed."""
    folder = tmp_path_factory.mktemp("decisions")
    with tempfile.TemporaryDirectory(prefix="bd") as scratch:
        world = World(folder / "world", scratch=Path(scratch) / "t")
        decide(world)
        world.copy_to(folder / "decided")
        world.once(code=0)
        undisturbed = world.outcome()
        rows = sum(undisturbed.tables["orders"].values())
        # Ten good rows and the last one of each file; what was released; what was waived; of the rejected file two.
        assert rows == 3 * 11 + 1 + 3 + 2
        yield world, folder / "decided", undisturbed


@pytest.fixture
def world(prepared: tuple[World, Path, Outcome]) -> World:
    """A world in which decisions wait."""
    world, decided, _ = prepared
    world.restore(decided)
    return world


def assert_as_undisturbed(world: World, undisturbed: Outcome) -> None:
    """Hold what has come of everything against what comes of it when nothing is killed."""
    assert world.outcome() == undisturbed
    assert world.leftovers() == []
    world.assert_every_row_is_in_one_place()
    with world.ledger() as ledger:
        decisions = [each for row in world.drops() for each in ledger.decisions.of([row.id])[row.id]]
    assert sorted((each.action.value, each.state.value, each.rows_accepted) for each in decisions) == [
        ("discard", "done", 0),
        ("release", "done", 1),
        ("release", "done", 2),
        ("waive", "done", 3),
    ]


#: The steps that decide whether something is carried out once; `make crash` tries all of them.
DECISIVE = frozenset({"table commit", "record"})
TRIED = [point for point in POINTS if point.name in DECISIVE or "BLOBDROP_TEST_KILLS" in os.environ]


@pytest.mark.parametrize("point", TRIED, ids=lambda point: point.name)
def test_killed_before_and_after_a_step_a_decision_is_carried_out_once(
    world: World, prepared: tuple[World, Path, Outcome], point: Point
) -> None:
    world.kill_at(point, "before")
    world.kill_at(point, "after")
    world.once(code=0)

    assert_as_undisturbed(world, prepared[2])


@pytest.mark.slow
def test_killed_at_random_times_decisions_are_carried_out_once(
    world: World, prepared: tuple[World, Path, Outcome]
) -> None:
    chance = random.Random(20261123)  # noqa: S311 - a fixed seed, so that a failure comes again
    for _ in range(4):
        world.start()
        time.sleep(chance.uniform(0.0, 0.6))
        world.stop(signal.SIGKILL)
    world.once(code=0)

    assert_as_undisturbed(world, prepared[2])
