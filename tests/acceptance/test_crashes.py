"""The crash matrix: killed before and after each step of the protocol, the daemon ends as if nothing had been."""

from __future__ import annotations

import functools
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.acceptance.crashing import Outcome, Point, World, drop_first, drop_second

#: The steps of a drop's way, in their order. A new step of the protocol is a line here.
POINTS = (
    Point("claim", "daemon.ledger.records:Ledger.claim"),
    Point("unmatched", "daemon.ledger.records:Ledger.unmatched"),
    Point("fetch", "daemon.sources.folder:_Reading.__enter__"),
    Point("fetch of the second", "daemon.sources.folder:_Reading.__enter__", number=2),
    Point("read to the end", "daemon.sources.folder:_Reading.__exit__", number=3),
    Point("rejected.csv", "daemon.rejects:RejectedWriter.close"),
    Point("the original", "daemon.quarantine:Entry.keep_original"),
    Point("report.json", "daemon.reports:encoded"),
    Point("report.html", "daemon.pages:html"),
    Point("entry published", "daemon.quarantine:Entry.publish"),
    Point("second entry published", "daemon.quarantine:Entry.publish", number=2),
    Point("data file written", "daemon.datafile:Part.write"),
    Point("data file", "daemon.datafile:Part.close"),
    Point("second data file", "daemon.datafile:Part.close", number=2),
    Point("entries on the disk", "daemon.quarantine:Quarantine.flush"),
    Point("intent", "daemon.ledger.records:Ledger.intend"),
    Point("file rewritten for a revision", "daemon.stores.delta:DeltaStore._without"),
    Point("table commit", "daemon.stores.delta:DeltaStore.commit"),
    Point("log on the disk", "daemon.stores.transactions:sync_log"),
    Point("record", "daemon.ledger.records:Ledger.record"),
    Point("finish", "daemon.ledger.records:Ledger.finish"),
    Point("archive", "daemon.sources.folder:FolderSource.settle"),
    Point("archive of the second", "daemon.sources.folder:FolderSource.settle", number=2),
    Point("archive of a linked file", "daemon.sources.moving:_copy"),
    Point("delete", "daemon.sources.folder:FolderSource.settle", after="delete"),
    Point("delete, under its hidden name", "daemon.sources.moving:_take", after="delete"),
    Point("keep", "daemon.sources.folder:FolderSource.settle", after="keep"),
    Point("settled", "daemon.ledger.records:Ledger.settled"),
)


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[World, Path]]:
    """A world in which the first drops have been worked, and a copy of it to go back to."""
    folder = tmp_path_factory.mktemp("crashes")
    with tempfile.TemporaryDirectory(prefix="bd") as scratch:
        world = World(folder / "world", scratch=Path(scratch) / "t")
        drop_first(world)
        world.once()
        world.copy_to(folder / "first")
        yield world, folder / "first"


@pytest.fixture
def world(prepared: tuple[World, Path]) -> World:
    """A world in which the first drops have been worked."""
    world, first = prepared
    world.restore(first)
    return world


@pytest.fixture(scope="session")
def undisturbed(prepared: tuple[World, Path]) -> Callable[[str], Outcome]:
    """What comes of the second drops when nothing is killed."""
    world, first = prepared

    @functools.cache
    def outcome(after: str) -> Outcome:
        world.restore(first)
        world.settings["BLOBDROP_SOURCE__AFTER"] = after
        drop_second(world)
        world.once()
        assert world.leftovers() == []
        return world.outcome()

    return outcome


@pytest.mark.parametrize("point", POINTS, ids=lambda point: point.name)
def test_killed_before_and_after_a_step_it_ends_as_if_undisturbed(
    prepared: tuple[World, Path], undisturbed: Callable[[str], Outcome], point: Point
) -> None:
    expected = undisturbed(point.after)
    world, first = prepared
    world.restore(first)
    world.settings["BLOBDROP_SOURCE__AFTER"] = point.after
    drop_second(world)
    for moment in ("before", "after"):
        world.kill_at(point, moment)
    world.once()

    outcome = world.outcome()
    assert outcome.tables == expected.tables
    assert outcome == expected
    assert max(max(rows.values()) for rows in outcome.tables.values()) == 1
    assert world.leftovers() == []
