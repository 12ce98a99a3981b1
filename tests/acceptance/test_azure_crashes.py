"""The crash matrix over a container: killed around reading, copying, deleting, receipts, nothing is lost or doubled."""

from __future__ import annotations

import json
import os
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from deltalake import DeltaTable

from daemon.places.container import LEASE_SECONDS
from tests.acceptance.cloudy import Cloud
from tests.acceptance.conftest import wait_for
from tests.acceptance.crashing import Point
from tests.azurite.running import Container
from tests.corpus import text

BAD = b"x,USERID,revenue,2026-03-01,1\n"
#: The steps that touch the containers, in their order, and those of the ledger between them.
STEPS = (
    Point("reading", "daemon.sources.azure_reading:bring", number=2),
    Point("data file", "daemon.places.container:ContainerPlace.keep"),
    Point("entry", "daemon.cabinets.container:ContainerCabinet.put"),
    Point("entry's files", "daemon.places.container:ContainerPlace.upload", number=2),
    Point("intent", "daemon.ledger.records:Ledger.intend"),
    Point("rewritten file", "daemon.stores.delta:DeltaStore._without"),
    Point("table commit", "daemon.stores.transactions:Table.change"),
    Point("superseded entry", "daemon.quarantine.entries:rewrite"),
    Point("record", "daemon.ledger.records:Ledger.record"),
    Point("archive", "daemon.sources.azure_settling:archive", number=2),
    Point("copy", "daemon.sources.azure_settling:_verify", number=2),
    Point("deletion of what is copied", "daemon.sources.azure_settling:delete", number=2),
    Point("deletion", "daemon.sources.azure_settling:delete", after="delete"),
    Point("settled", "daemon.ledger.records:Ledger.settled"),
    Point("receipt", "daemon.sources.azure:AzureSource._put", number=2),
    Point("receipts' end", "daemon.receipts:Receipts._write"),
    Point(
        "sweep", "daemon.stores.delta:DeltaStore.sweep", once_killed_after="daemon.places.container:ContainerPlace.keep"
    ),
)
#: Those between which it is decided where rows and a blob end; `make crash` takes all.
DECISIVE = frozenset({"table commit", "copy"})
DECISIONS = (
    Point("review", "daemon.reviewing:review"),
    Point("data file", "daemon.places.container:ContainerPlace.keep"),
    Point("table commit", "daemon.stores.transactions:Table.change"),
    Point("entry in its place", "daemon.cabinets.container:ContainerCabinet.move"),
    Point("an entry's copy", "daemon.places.container:ContainerPlace.copy", number=2),
    Point("record", "daemon.ledger.records:Ledger.record"),
)
COMPACTION = (
    Point("merged file", "daemon.stores.rewriting:merged"),
    Point("swap", "daemon.stores.transactions:Table.change"),
    Point("end", "daemon.stores.compacting:_finish"),
)
EVERY = "BLOBDROP_TEST_KILLS" in os.environ


def chosen() -> list[Point]:
    return [point for point in STEPS if point.name in DECISIVE or EVERY]


@pytest.fixture
def world(tmp_path: Path, container: Container, lake: Container) -> Iterator[Cloud]:
    """A world in containers: the first drops have been ingested."""
    with tempfile.TemporaryDirectory(prefix="bd") as scratch:
        made = Cloud(tmp_path / "world", scratch=Path(scratch) / "t", source=container, lake=lake)
        container.put("metrics/day.csv", text.good(6, tag="day"))
        container.put("metrics/other.csv", text.good(2, tag="others"))
        container.put("metrics/seen.csv", text.good(3, tag="seen"))
        container.put("metrics/partly.csv", text.good(2, tag="partly") + BAD)
        made.once()
        yield made


@pytest.mark.parametrize("point", chosen(), ids=lambda point: point.name)
def test_killed_before_and_after_a_step_nothing_is_lost_or_doubled(
    world: Cloud, container: Container, point: Point
) -> None:
    container.put("metrics/day.csv", text.good(5, tag="days"))
    container.put("metrics/clean.csv", text.good(4, tag="clean"))
    container.put("acme/metrics/dirty.csv", text.good(5, tag="dirty") + BAD)
    container.put("metrics/broken.csv", text.header_missing())
    container.put("metrics/again.csv", text.good(3, tag="seen"))
    container.put("metrics/partly.csv", text.good(3, tag="partlies"))

    world.kill_around(point)
    world.once()

    assert_each_once(world, 2 + 3 + 5 + 4 + 5 + 3)
    states = {"day": "ingested", "clean": "ingested", "broken": "rejected", "again": "duplicate", "partly": "ingested"}
    assert {name: world.found(f"{name}.csv").state.value for name in states} == states
    assert all(drop.settled_at for drop in world.drops())
    assert_settled(container, archived=point.after == "archive")
    for name in (*(f"metrics/{name}" for name in states), "acme/metrics/dirty"):
        receipt = json.loads(container.get(f"_receipts/{name}.csv.json"))
        assert receipt["state"] == states.get(Path(name).name, "partial")


@pytest.mark.skipif(not EVERY, reason="`make crash` tries these")
@pytest.mark.parametrize("point", DECISIONS, ids=lambda point: point.name)
def test_killed_while_a_decision_is_carried_out_its_rows_come_once(world: Cloud, point: Point) -> None:
    assert world.run("quarantine", "waive", "partly.csv", "--rule", "isin", "--reason", "known").code == 0

    world.kill_around(point)
    world.once()

    assert_each_once(world, 6 + 2 + 3 + 2 + 1)
    assert world.found("partly.csv").state.value == "ingested"
    assert [name for name in world.lake.names() if ".next/" in name] == []


@pytest.mark.skipif(not EVERY, reason="`make crash` tries these")
@pytest.mark.parametrize("point", COMPACTION, ids=lambda point: point.name)
def test_killed_while_it_compacts_every_row_stays_where_it_was(
    world: Cloud, container: Container, point: Point
) -> None:
    for number in range(3):  # files about as large, so that they are worth merging
        container.put(f"metrics/clean-{number}.csv", text.good(4, tag=f"clean{number}x"))
        world.once()
    world.settings["BLOBDROP_STORE__COMPACT_FILES"] = "2"

    for moment in ("before", "after"):
        world.kill_at(point, moment, once=False)
        time.sleep(LEASE_SECONDS)  # so long the killed one keeps others out, and they only look again after a batch
    world.start()
    wait_for(lambda: not is_merging(world), "the day's files are one", told=lambda: world.log, seconds=60, every=1.0)
    assert world.stop() == 0

    assert_each_once(world, 6 + 2 + 3 + 2 + 3 * 4)


def is_merging(world: Cloud) -> bool:
    """Tell whether the day has more than one file still."""
    world.look()
    return len(DeltaTable(str(world.store / "metrics")).file_uris()) > 1


def assert_each_once(world: Cloud, rows: int) -> None:
    """See that the table has so many rows, each once, and that nothing is left that is nobody's."""
    world.look()
    table = world.table()
    assert max(Counter(zip(table["_drop"].to_pylist(), table["_row"].to_pylist(), strict=True)).values()) == 1
    assert table.num_rows == rows
    world.assert_every_row_is_in_one_place()
    assert world.leftovers() == []


def assert_settled(container: Container, *, archived: bool) -> None:
    """See that no drop is left, and that the archive has each blob's bytes, under whatever name."""
    names = {name for name in container.names() if not name.startswith("_receipts/")}
    assert all(name.startswith("_archive/") for name in names), names
    kept = {container.get(name) for name in names}
    if archived:
        assert (len(names), len(kept)) == (10, 9), "each is archived once, two with the same bytes"
    else:
        assert len(names) == 4, "those that were archived before"
