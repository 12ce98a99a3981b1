"""Days that late rows change: computed again exactly once, wherever the daemon is killed while it does that."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from tests.acceptance.crashing import Point, World
from tests.acceptance.test_days_closed import FIRST, metric_days, rows

FEED = """
[[feeds]]
name = "metrics"
paths = ["metrics/**"]
contract = "validators.metrics:precomputed_metrics"
late = "restate"
"""
#: Where the daemon is killed in turn, after each late file: the step, the moment, at which call.
KILLS: Sequence[Sequence[tuple[str, str, int]]] = (
    (("daemon.ledger.days:Days.restate", "before", 1), ("daemon.ledger.days:Days.restate", "after", 1)),
    (("daemon.ledger.days:Days.intend", "before", 1), ("daemon.ledger.days:Days.intend", "after", 1)),
    (("daemon.stores.delta:DeltaStore.commit", "after", 2),),
    (("daemon.ledger.records:Ledger.record", "after", 2),),
)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with tempfile.TemporaryDirectory(prefix="bd") as scratch:
        yield World(tmp_path / "world", scratch=Path(scratch) / "t")


@pytest.mark.slow
def test_a_daemon_that_is_killed_while_it_restates_gives_each_day_one_more_version(world: World) -> None:
    world.configure(FEED)
    world.drop("first.csv", rows(1))
    world.drop("_READY", str(FIRST).encode())
    world.once(code=0)
    for number, kills in enumerate(KILLS):
        world.drop(f"late-{number}.csv", rows(1, 21 + number))
        for step, moment, call in kills:
            world.kill_at(Point(f"{moment} {step}", step, number=call), moment)
        world.once(code=0)
        world.once(code=0)
        found = sorted((row["version"], row["units"]) for row in metric_days(world))
        assert found == [(version, 19 + version) for version in range(1, number + 3)]
    assert world.leftovers() == []
