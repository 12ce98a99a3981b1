"""The crash matrix: killed before and after each step of the protocol, the daemon ends as if nothing had been."""

from __future__ import annotations

import functools
import os
import shutil
import sqlite3
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from alembic import command
from alembic.config import Config
from deltalake import DeltaTable

from daemon.ledger import tables
from daemon.ledger.database import Database
from tests.acceptance.conftest import wait_for
from tests.acceptance.crashing import Outcome, Point, World, drop_first, drop_second

#: The steps of a drop's way, in their order. Another step of the protocol is another line.
STEPS = (
    Point("claim", "daemon.ledger.records:Ledger.claim"),
    Point("unmatched", "daemon.ledger.records:Ledger.unmatched"),
    Point("fetch", "daemon.sources.folder:_Reading.__enter__"),
    Point("fetch of the second", "daemon.sources.folder:_Reading.__enter__", number=2),
    Point("end of the third's fetch", "daemon.sources.folder:_Reading.__exit__", number=3),
    Point("rejected.csv", "daemon.quarantine.rejects:RejectedWriter.close"),
    Point("original", "daemon.quarantine.entries:Entry.keep_original"),
    Point("report.json", "daemon.quarantine.entries:Entry.write_report"),
    Point("report.html", "daemon.reports.pages:html"),
    Point("entry", "daemon.quarantine.entries:Entry.publish"),
    Point("second entry", "daemon.quarantine.entries:Entry.publish", number=2),
    Point("row group", "daemon.staging.datafile:Part.write"),
    Point("data file", "daemon.staging.datafile:Part.close"),
    Point("second data file", "daemon.staging.datafile:Part.close", number=2),
    Point("entries on the disk", "daemon.quarantine:Quarantine.flush"),
    Point("intent", "daemon.ledger.records:Ledger.intend"),
    Point("file without a revision's rows", "daemon.stores.delta:DeltaStore._without"),
    Point("second file without them", "daemon.stores.delta:DeltaStore._without", number=2),
    Point("table commit", "daemon.stores.transactions:Table.change"),
    Point("log on the disk", "daemon.stores.transactions:sync_log"),
    Point("record", "daemon.ledger.records:Ledger.record"),
    Point("finish", "daemon.ledger.records:Ledger.finish"),
    Point("archive", "daemon.sources.folder:FolderSource.settle"),
    Point("archive of the second", "daemon.sources.folder:FolderSource.settle", number=2),
    Point("archive of a linked file", "daemon.sources.moving:_copy"),
    Point("copy of a linked file", "daemon.sources.moving:sync"),
    Point("delete", "daemon.sources.folder:FolderSource.settle", after="delete"),
    Point("delete under a hidden name", "daemon.sources.moving:_take", after="delete"),
    Point("keep", "daemon.sources.folder:FolderSource.settle", after="keep"),
    Point("settled", "daemon.ledger.records:Ledger.settled"),
)
#: Steps of a start that finds a crash.
RECOVERY = (
    Point("forget", "daemon.ledger.records:Ledger.forget", once_killed_after="daemon.ledger.records:Ledger.intend"),
    Point("discard", "daemon.stores.delta:DeltaStore.discard", once_killed_after="daemon.ledger.records:Ledger.intend"),
    Point("clear", "daemon.stores.delta:DeltaStore.clear", once_killed_after="daemon.staging.datafile:Part.close"),
    Point("sweep", "daemon.stores.delta:DeltaStore.sweep", once_killed_after="daemon.staging.datafile:Part.close"),
    Point(
        "recover", "daemon.ledger.records:Ledger.recover", once_killed_after="daemon.quarantine.entries:Entry.publish"
    ),
)
#: Steps of the very first start.
BEGINNING = (
    Point("ledger's file", "daemon.ledger.opening:_make_file"),
    Point("ledger's tables", "daemon.ledger.opening:make_tables"),
    Point("hold", "daemon.ledger.hold:_write"),
    Point("table's creation", "daemon.stores.transactions:create"),
)
#: The steps between which it is decided where a row ends. `make crash` takes every step, which takes minutes.
DECISIVE = frozenset(
    {"ledger's tables", "claim", "entry", "data file", "intent", "table commit", "record", "archive", "recover", "swap"}
)
COMPACTION = (
    Point("merged file", "daemon.stores.rewriting:merged"),
    Point("merged file's place", "daemon.stores.compacting:_swapped"),
    Point("swap", "daemon.stores.transactions:Table.change"),
    Point("end", "daemon.stores.compacting:_finish"),
)


def chosen(*points: Point) -> list[Point]:
    """Return the points that are tried now: the decisive ones, and all of them in `make crash`."""
    return [point for point in points if point.name in DECISIVE or "BLOBDROP_TEST_KILLS" in os.environ]


@dataclass(frozen=True)
class Stage:
    """A world, with copies of what it was to go back to, and what comes of it undisturbed."""

    world: World
    #: After the first drops were worked, and after the second ones.
    first: Path
    second: Path
    #: What has come of the first drops, and for each `source.after` what comes of the second ones.
    begun: Outcome
    undisturbed: Callable[[str], Outcome]


@pytest.fixture(scope="session")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """One world for all tests of a process: its place may not change, and its beginning takes a while."""
    folder = tmp_path_factory.mktemp("crashes")
    with tempfile.TemporaryDirectory(prefix="bd") as scratch:
        world = World(folder / "world", scratch=Path(scratch) / "t")
        first, second = folder / "first", folder / "second"
        drop_first(world)
        world.once()
        world.copy_to(first)

        @functools.cache
        def undisturbed(after: str) -> Outcome:
            world.restore(first)
            world.settings["BLOBDROP_SOURCE__AFTER"] = after
            drop_second(world)
            world.once()
            assert world.leftovers() == []
            if after == "archive":
                world.copy_to(second)
            return world.outcome()

        yield Stage(world, first, second, world.outcome(), undisturbed)


@pytest.fixture
def world(stage: Stage) -> World:
    """A world in which the first drops have been worked, with the usual settings."""
    stage.world.settings.pop("BLOBDROP_STORE__COMPACT_FILES", None)
    stage.world.settings.pop("BLOBDROP_SOURCE__AFTER", None)
    stage.world.restore(stage.first)
    return stage.world


@pytest.mark.parametrize("point", chosen(*STEPS, *RECOVERY), ids=lambda point: point.name)
def test_killed_before_and_after_a_step_it_ends_as_if_undisturbed(world: World, stage: Stage, point: Point) -> None:
    expected = stage.undisturbed(point.after)
    world.restore(stage.first)
    drop_second(world)
    world.kill_around(point)
    world.once()

    assert_same(world, expected)


@pytest.mark.parametrize("point", chosen(*BEGINNING), ids=lambda point: point.name)
def test_killed_when_it_begins_for_the_first_time_it_begins_again(world: World, stage: Stage, point: Point) -> None:
    for path in (world.folder / "var", world.root):
        shutil.rmtree(path)
    drop_first(world)
    world.kill_around(point)
    world.once()

    assert_same(world, stage.begun)


@pytest.fixture
def compacting(world: World, stage: Stage) -> Outcome:
    """Give the world small data files that are worth merging; return what it is, and is to stay."""
    outcome = stage.undisturbed("archive")
    world.restore(stage.second)
    world.settings["BLOBDROP_STORE__COMPACT_FILES"] = "2"
    assert len(day_files(world)) >= 3
    # As a copy it is another file, which would be listed as unmatched again.
    (world.root / "unknown" / "nobody.csv").unlink()
    return replace(outcome, source={name: digest for name, digest in outcome.source.items() if "nobody" not in name})


@pytest.mark.parametrize("point", chosen(*COMPACTION), ids=lambda point: point.name)
def test_killed_while_it_compacts_every_row_stays_where_it_was(world: World, compacting: Outcome, point: Point) -> None:
    world.kill_around(point, once=False)
    world.start()
    wait_for(lambda: len(day_files(world)) == 1, "the day's files are one", told=lambda: world.log)
    assert world.stop() == 0

    assert_same(world, compacting)


def test_stopped_while_it_compacts_it_leaves_nothing_half_done(world: World, compacting: Outcome) -> None:
    for seconds in (0.0, 0.02, 0.05):
        world.start()
        wait_for((world.store / "metrics" / "_compacting.lock").exists, "a compaction begins", every=0.001)
        time.sleep(seconds)
        assert world.stop() == 0
        assert_same(world, compacting)


@pytest.mark.skipif(len(tables.REVISIONS) == 1, reason="the ledger has one revision: there is nothing to migrate from")
def test_killed_while_it_migrates_the_ledger_it_migrates_it_again(world: World, stage: Stage) -> None:
    expected = stage.undisturbed("archive")
    world.restore(stage.first)
    make_older(world.folder / "var" / "ledger.db")
    drop_second(world)
    world.kill_around(Point("migration", "daemon.ledger.opening:migrate"))
    world.once()

    assert_same(world, expected)


def assert_same(world: World, expected: Outcome) -> None:
    """Hold a world against an undisturbed one: the same rows, each once, the same all else, and nothing beside it."""
    outcome = world.outcome()
    assert max(count for rows in outcome.tables.values() for count in rows.values()) == 1
    assert outcome.tables == expected.tables
    assert outcome == expected
    assert world.leftovers() == []


def day_files(world: World) -> list[str]:
    """Return the data files of the day that most drops have rows of."""
    return [uri for uri in DeltaTable(str(world.store / "metrics")).file_uris() if "date=2026-03-01" in uri]


def make_older(ledger: Path) -> None:
    """Make the ledger one of the first revision, with all that this had a place for."""
    newer = ledger.rename(ledger.with_name("newer.db"))
    ledger.touch()
    database = Database(ledger)
    with database.writing() as connection:
        config = Config()
        config.set_main_option("script_location", str(Path(tables.__file__).parent / "migrations"))
        config.attributes["connection"] = connection
        command.upgrade(config, tables.REVISIONS[0])
    database.close()
    with closing(sqlite3.connect(ledger)) as older, older:
        older.execute("ATTACH ? AS newer", (str(newer),))
        for table in ("ledger", "batches", "drops", "events"):
            names = ", ".join(name for _, name, *_ in older.execute(f"PRAGMA main.table_info({table})"))
            older.execute(f"INSERT INTO main.{table} ({names}) SELECT {names} FROM newer.{table}")  # noqa: S608
    newer.unlink()
