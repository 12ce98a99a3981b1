"""Late rows in real processes: set aside, waived, flagged; days computed again once, whatever is killed when."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

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
def test_a_person_takes_late_rows_in_and_has_their_day_computed_again(world: World) -> None:
    def day() -> dict[str, Any]:
        newest: dict[str, Any] = json.loads(world.run("days", "--json").stdout)["days"][0]
        return newest

    world.drop("first.csv", rows(1))
    world.drop("_READY", str(FIRST).encode())
    world.once(code=0)
    world.drop("late.csv", rows(1, 21))
    assert world.once(code=1)["late_rows"] == 21
    (drop,) = json.loads(world.run("drops", "--json", "--state", "rejected").stdout)
    assert (drop["late_rows"], drop["watermark"]) == (21, "2026-03-02T08:00:00.000+00:00")
    assert (day()["changed"], day()["late_rows_in_quarantine"]) == (None, 21)
    assert world.run("quarantine", "release", "late.csv").code == 0
    assert world.once(code=0)["decisions"]["rows_accepted"] == 0
    assert world.run("quarantine", "waive", "late.csv", "--rule", "late", "--reason", "they are right").code == 0
    assert world.once(code=0)["decisions"] == {"done": 1, "refused": 0, "failed": 0, "rows_accepted": 21}
    assert day()["changed"] == {"rows_came": 21, "late_rows": 21, "rows_left": 0, "says": "21 rows came (21 late)"}
    assert world.run("days", "restate", "2026-03-01", "--scope", "default/metrics", "--reason", "late").code == 0
    world.once(code=0)
    assert (day()["version"], day()["changed"], day()["report"]["rows"]) == (2, None, 41)


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
