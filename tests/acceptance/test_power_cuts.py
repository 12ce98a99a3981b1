"""What a power cut takes: the order in which things reach the disk, so that nothing refers to what may not be there.

A test cannot cut the power. So the daemon tells what it does to the disk and when, and each reference is held against
the bytes and the names that it refers to: they must have been synced before it, and after they were written.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from daemon.places.folder import FolderPlace
from tests.acceptance.crashing import Point, World, drop_first, drop_second

CREATE, CHANGE = "daemon.stores.transactions:create", "daemon.stores.transactions:Table.change"
INTEND, RECORD = "daemon.ledger.records:Ledger.intend", "daemon.ledger.records:Ledger.record"
FINISH, SETTLED = "daemon.ledger.records:Ledger.finish", "daemon.ledger.records:Ledger.settled"
SETTLE, MOVE = "daemon.sources.folder:FolderSource.settle", "daemon.sources.moving:rename_new"
PART, HOLDS = "daemon.staging.datafile:Part.__init__", "daemon.stores.delta:DeltaStore.holds"
SYNC_LOG = "daemon.stores.transactions:sync_log"
STEPS = (CREATE, CHANGE, INTEND, RECORD, FINISH, SETTLED, SETTLE, MOVE, PART, HOLDS)


class Told:
    """What the daemon did, line by line."""

    def __init__(self, lines: list[str]) -> None:
        self.lines = lines

    def all(self, *starts: str) -> list[int]:
        """Return the numbers of the lines that begin so."""
        return [number for number, line in enumerate(self.lines) if f"{line}\t".startswith(starts)]

    def first(self, *starts: str, after: int = -1) -> int:
        """Return the number of the first line that begins so, after another one."""
        return next(number for number in self.all(*starts) if number > after)

    def said(self, entry: Path) -> int:
        """Return the number of the line at which the ledger is told of a quarantine entry's drop."""
        words = self.all(f"begin {RECORD}\t", f"begin {FINISH}\t")
        return next(number for number in words if str(entry) in self.lines[number])

    def assert_kept(self, path: Path, *, before: int, since: int = 0) -> None:
        """Hold that a file's bytes, and every new name that leads to it, were synced before a line.

        `since` says when it was written, where none of the lines does.
        """
        made = max([since, *self._made(path)])
        self.assert_synced(path, since=made, before=before)
        self.assert_synced(path.parent, since=made, before=before)
        for folder in path.parents:
            for named in self._named(folder):
                self.assert_synced(folder.parent, since=named, before=before)

    def assert_synced(self, path: Path, *, since: int, before: int) -> None:
        """Hold that a file's bytes, or a folder's names, were synced between two lines."""
        wanted = ("sync ", *(f"fsync {name}" for name in self._earlier_names(path, before)))
        meanwhile = self.lines[since:before]
        assert any(line in wanted for line in meanwhile), "\n".join([f"{path} was not synced:", *meanwhile])

    def _made(self, path: Path) -> list[int]:
        """Return where a data file was begun."""
        table = repr(FolderPlace(path.parents[1]))
        begun = self.all(f"begin {PART}\t{path.relative_to(path.parents[1])}\t")
        return [number for number in begun if table in self.lines[number]]

    def _named(self, path: Path) -> list[int]:
        """Return where a path got its name, by being made or renamed."""
        ends = (f"mkdir {path}\t", *(f"\t{path}\t",))
        verbs = self.all("mkdir ", "rename ", "replace ")
        return [number for number in verbs if f"{self.lines[number]}\t".endswith(ends)]

    def _earlier_names(self, path: Path, before: int) -> list[Path]:
        """Return a path, and the one under which its bytes may have been synced before it was renamed."""
        renamed = (self.lines[number].split(" ", 1)[1] for number in self.all("replace ") if number < before)
        pairs = (line.split("\t") for line in renamed)
        return [path, *(Path(source) for source, target in pairs if Path(target) == path)]


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """An empty world."""
    with tempfile.TemporaryDirectory(prefix="bd") as scratch:
        yield World(tmp_path / "world", scratch=Path(scratch) / "t")


def versions(world: World) -> dict[Path, list[Path]]:
    """Return the entries of the table's log, the oldest first, and the data files that each adds."""
    root = world.store / "metrics"
    found: dict[Path, list[Path]] = {}
    for entry in sorted((root / "_delta_log").glob("*.json")):
        actions = map(json.loads, entry.read_text().splitlines())
        found[entry] = [root / action["add"]["path"] for action in actions if "add" in action]
    return found


@pytest.mark.parametrize("after", ["archive", "delete"])
def test_what_is_referred_to_is_on_the_disk_before_what_refers_to_it(world: World, after: str) -> None:
    world.settings["BLOBDROP_SOURCE__AFTER"] = after
    for drop in (drop_first, drop_second):
        before = set(versions(world)) if (world.store / "metrics").exists() else set()
        assert_in_order(world, told_of(world, drop), before)


def test_a_merged_file_is_on_the_disk_before_the_table_has_it(world: World) -> None:
    drop_first(world)
    world.once()
    drop_second(world)
    world.once()
    before = set(versions(world))
    told = Told(world.record(STEPS, "compact", "metrics"))

    (merge,) = told.all(f"begin {CHANGE}\t")
    ((entry, (merged,)),) = ((entry, files) for entry, files in versions(world).items() if entry not in before)
    told.assert_kept(merged, before=merge)
    told.assert_kept(entry, since=merge, before=len(told.lines))


def test_a_commit_whose_end_was_not_seen_is_on_the_disk_before_the_ledger_has_it(world: World) -> None:
    drop_first(world)
    world.kill_at(Point("log", SYNC_LOG), "before")
    told = Told(world.record(STEPS, "run", "--once"))

    (entry,) = versions(world)
    told.assert_kept(entry, since=told.first(f"begin {HOLDS}\t"), before=told.first(f"begin {RECORD}\t"))


def told_of(world: World, drop: Callable[[World], None]) -> Told:
    drop(world)
    return Told(world.record(STEPS, "run", "--once"))


def assert_in_order(world: World, told: Told, before: set[Path]) -> None:
    new = {entry: files for entry, files in versions(world).items() if entry not in before}
    commits = told.all(f"begin {CREATE}\t", f"begin {CHANGE}\t")
    assert len(new) == len(commits) > 0
    for (entry, files), commit in zip(new.items(), commits, strict=True):
        # Data files before the table's log, which is before the ledger's word that they are in the table.
        for file in files:
            told.assert_kept(file, before=commit)
        recorded = told.first(f"begin {RECORD}\t", after=commit)
        told.assert_kept(entry, since=commit, before=recorded)
        assert any(intent < commit for intent in told.all(f"end {INTEND}\t"))
    # Reports before the ledger's word that drops are done.
    places = [Path(told.lines[number].split("\t")[1]) for number in told.all("rename ")]
    reports = [place for place in places if "quarantine" in place.parts and not place.name.startswith(".")]
    files = [file for report in reports if report.exists() for file in report.iterdir()]
    assert files
    for file in files:
        told.assert_kept(file, before=told.said(file.parent))
    # The ledger's word before the source is touched, and that before the ledger's word that it is settled.
    assert told.first(f"end {RECORD}\t", f"end {FINISH}\t") < told.first(f"begin {SETTLE}\t")
    for move in told.all(f"begin {MOVE}\t"):
        for name in told.lines[move].split("\t")[1:3]:
            told.assert_synced(Path(name).parent, since=move, before=told.first(f"begin {SETTLED}\t", after=move))
