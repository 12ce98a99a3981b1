"""The crash matrix over a container: killed around reading, copying, deleting, receipts, nothing is lost or doubled."""

from __future__ import annotations

import json
import os
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance.crashing import Point, World
from tests.azurite.running import Container
from tests.corpus import text

#: The steps that touch the container, in their order, and those of the ledger and the table between them.
STEPS = (
    Point("reading", "daemon.sources.azure_reading:bring", number=2),
    Point("table commit", "daemon.stores.transactions:Table.change"),
    Point("record", "daemon.ledger.records:Ledger.record"),
    Point("archive", "daemon.sources.azure_settling:archive", number=2),
    Point("copy", "daemon.sources.azure_settling:_verify", number=2),
    Point("deletion of what is copied", "daemon.sources.azure_settling:delete", number=2),
    Point("deletion", "daemon.sources.azure_settling:delete", after="delete"),
    Point("settled", "daemon.ledger.records:Ledger.settled"),
    Point("receipt", "daemon.sources.azure:AzureSource._put", number=2),
    Point("receipts' end", "daemon.receipts:Receipts._write"),
)
#: Those between which it is decided where a blob ends; `make crash` takes all.
DECISIVE = frozenset({"copy", "receipt"})


def chosen() -> list[Point]:
    return [point for point in STEPS if point.name in DECISIVE or "BLOBDROP_TEST_KILLS" in os.environ]


@pytest.fixture
def world(tmp_path: Path, container: Container) -> Iterator[World]:
    """A world whose drops are in a container: the first ones have been ingested."""
    with tempfile.TemporaryDirectory(prefix="bd") as scratch:
        made = World(tmp_path / "world", scratch=Path(scratch) / "t")
        made.settings |= container.environment
        container.put("metrics/day.csv", text.good(6, tag="day"))
        container.put("metrics/seen.csv", text.good(3, tag="seen"))
        made.once()
        yield made


@pytest.mark.parametrize("point", chosen(), ids=lambda point: point.name)
def test_killed_before_and_after_a_step_nothing_is_lost_or_doubled(
    world: World, container: Container, point: Point
) -> None:
    container.put("metrics/day.csv", text.good(5, tag="days"))
    container.put("metrics/clean.csv", text.good(4, tag="clean"))
    container.put("acme/metrics/dirty.csv", text.good(5, tag="dirty") + b"x,USERID,revenue,2026-03-01,1\n")
    container.put("metrics/broken.csv", text.header_missing())
    container.put("metrics/again.csv", text.good(3, tag="seen"))

    world.kill_around(point)
    world.once()

    rows = world.table()
    assert max(Counter(zip(rows["_drop"].to_pylist(), rows["_row"].to_pylist(), strict=True)).values()) == 1
    assert rows.num_rows == 3 + 5 + 4 + 5
    world.assert_every_row_is_in_one_place()
    assert world.leftovers() == []
    states = {"day": "ingested", "clean": "ingested", "broken": "rejected", "again": "duplicate"}
    assert {name: world.found(f"{name}.csv").state.value for name in states} == states
    assert all(drop.settled_at for drop in world.drops())
    assert_settled(container, archived=point.after == "archive")
    for name in (*(f"metrics/{name}" for name in states), "acme/metrics/dirty"):
        receipt = json.loads(container.get(f"_receipts/{name}.csv.json"))
        assert receipt["state"] == states.get(Path(name).name, "partial")


def assert_settled(container: Container, *, archived: bool) -> None:
    """See that no drop is left, and that the archive has each blob's bytes, under whatever name."""
    names = {name for name in container.names() if not name.startswith("_receipts/")}
    assert all(name.startswith("_archive/") for name in names), names
    kept = {container.get(name) for name in names}
    if archived:
        assert (len(names), len(kept)) == (7, 6), "each is archived once, two with the same bytes"
    else:
        assert len(names) == 2, "those that were archived before"
