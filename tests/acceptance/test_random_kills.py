"""Kills at random times, from outside: they hit what lies between the steps of the crash matrix.

`make crash` has 200 of them, and stops the daemon in the middle of a file of 1 GB.
"""

from __future__ import annotations

import json
import os
import random
import signal
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from deltalake import DeltaTable

from daemon.model import State
from tests.acceptance.conftest import RUNNING, wait_for
from tests.acceptance.crashing import World, assert_gone
from tests.corpus import text

#: How often the daemon is killed; `make crash` says 200.
KILLS = int(os.environ.get("BLOBDROP_TEST_KILLS", "3"))
#: Where the random times begin; another one for other times.
SEED = int(os.environ.get("BLOBDROP_TEST_SEED", "20260301"))
#: Megabytes of the file in whose middle the daemon is stopped; `make crash` says 1024.
BIG_MB = int(os.environ.get("BLOBDROP_TEST_BIG_MB", "192"))
#: Rows of a file that is read in batches, for 8 MB are read as a whole.
MANY_ROWS = 240_000


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """An empty world."""
    with tempfile.TemporaryDirectory(prefix="bd") as scratch:
        yield World(tmp_path / "world", scratch=Path(scratch) / "t")


@dataclass
class Customer:
    """Drops files of all kinds, and knows what has to come of them in the end."""

    world: World
    chance: random.Random
    #: For each name that has good rows: the units of its newest version that are good, and those that are bad.
    good: dict[str, list[str]] = field(default_factory=dict)
    bad: dict[str, list[str]] = field(default_factory=dict)
    #: Files that come once more under another name, and are never revised.
    twins: list[bytes] = field(default_factory=list)
    duplicates: int = 0
    broken: int = 0
    _made: int = 0

    def drop(self) -> None:
        """Drop another file."""
        self._made += 1
        kinds = {self._clean: 8, self._dirty: 4, self._twin: 2, self._duplicate: 2, self._revision: 4, self._broken: 1}
        self.chance.choices(list(kinds), list(kinds.values()))[0](f"f{self._made}.csv")

    def drop_large(self) -> None:
        """Drop a file that is worked by itself."""
        self._made += 1
        self._put(f"f{self._made}.csv", MANY_ROWS)

    def _clean(self, name: str) -> None:
        self._put(name, self.chance.randint(1, 300))

    def _dirty(self, name: str) -> None:
        self._put(name, self.chance.randint(3, 300), bad=self.chance.randint(1, 2))

    def _twin(self, name: str) -> None:
        self.twins.append(self._put(f"t-{name}", self.chance.randint(1, 50)))

    def _duplicate(self, name: str) -> None:
        if self.twins:
            self.duplicates += 1
            self.world.drop(f"again-{name}", self.chance.choice(self.twins))

    def _revision(self, _: str) -> None:
        names = [name for name in self.good if not name.startswith("t-")]
        if names:
            self._put(self.chance.choice(names[-20:]), self.chance.randint(3, 300), bad=self.chance.randint(0, 1))

    def _broken(self, name: str) -> None:
        self.broken += 1
        self.world.drop(f"broken-{name}", f"{name},1\n{name},2\n".encode())

    def _put(self, name: str, good: int, bad: int = 0) -> bytes:
        tag = f"u{self._made}-"
        self.good[name] = [f"{tag}{number}" for number in range(good)]
        self.bad[name] = [f"{tag}bad-{number}" for number in range(bad)]
        lines = b"".join(b"%s,USERID,revenue,2026-03-01,1\n" % unit.encode() for unit in self.bad[name])
        data = text.good(good, tag=tag) + lines
        self.world.drop(name, data)
        return data


@pytest.mark.timeout(120 + 20 * KILLS)
def test_killed_at_random_times_while_drops_arrive_every_row_is_there_once(world: World) -> None:
    world.settings["BLOBDROP_STORE__COMPACT_FILES"] = "4"
    chance = random.Random(SEED)  # noqa: S311 - a seed, so that a failure may come again
    customer = Customer(world, chance)
    sessions = [_go(world, customer, chance, large=kill % 10 == 0) for kill in range(KILLS)]
    began = time.monotonic()
    summary = world.once()

    found = Counter(world.table()["unit_id"].to_pylist())
    expected = Counter(unit for units in customer.good.values() for unit in units)
    lost, doubled = expected - found, Counter({unit: count for unit, count in found.items() if count > 1})
    told = {
        "kills": KILLS,
        "drops": len(world.drops()),
        "rows": found.total(),
        "lost rows": lost.total(),
        "double rows": doubled.total(),
        "worked in the last go": sum(summary["drops"].values()),
        "its seconds": round(time.monotonic() - began, 1),
    }
    (world.folder.parent / "told.json").write_text(json.dumps(told))
    print(told)  # noqa: T201 - the figures are for whoever runs it with -s
    assert told["worked in the last go"] < told["drops"]
    assert (lost, doubled) == (Counter(), Counter())
    assert found == expected
    assert _rejected(world) == Counter(unit for units in customer.bad.values() for unit in units)
    states = world.states()
    assert (states["rejected"], states["duplicate"]) == (customer.broken, customer.duplicates)
    assert states.keys() <= {"ingested", "partial", "rejected", "duplicate"}
    assert [path for path in world.root.rglob("*.csv") if "_archive" not in path.parts] == []
    assert world.outcome().open_batches == 0
    assert world.leftovers() == []
    for session in sessions:
        assert_gone(session)


def _go(world: World, customer: Customer, chance: random.Random, *, large: bool) -> int:
    """Start the daemon, drop files, kill it; return its session.

    A third of the kills hit its start, the others what it does in about the same time after that, however fast it is.
    """
    if large:
        customer.drop_large()
    before, began, most = world.log.count(RUNNING), time.monotonic(), 1.0
    world.begin()
    assert world.process is not None
    session = world.process.pid
    if chance.random() < 2 / 3:
        wait_for(lambda: world.log.count(RUNNING) > before, "the daemon is running", told=lambda: world.log, every=0.01)
        most = 1.5 * (time.monotonic() - began)
    end = time.monotonic() + chance.uniform(0.0, most)
    while (left := end - time.monotonic()) > 0:
        customer.drop()
        time.sleep(min(left, chance.uniform(0.0, 0.2)))
    world.stop(signal.SIGKILL)
    return session


def _rejected(world: World) -> Counter[str]:
    """Count the units in the quarantine entries of drops whose rows stand."""
    standing = [drop for drop in world.drops() if drop.state is State.PARTIAL and drop.superseded_by is None]
    return Counter(row["unit_id"] for drop in standing for row in world.rejected_in(Path(drop.report)))


@pytest.mark.timeout(120 + BIG_MB)
def test_stopped_in_the_middle_of_a_big_file_it_ends_within_seconds_and_works_it_later(world: World) -> None:
    rows = drop_big(world, BIG_MB)
    world.start()
    wait_for(lambda: list(world.store.glob("metrics/date=*/*.parquet")), "the big file is half staged", seconds=60)
    wait_for(lambda: world.states()["working"], "the big file is worked")
    began = time.monotonic()

    assert world.stop(patience=10) == 0
    print({"megabytes": BIG_MB, "seconds to stop": round(time.monotonic() - began, 2)})  # noqa: T201
    assert world.states() == {"found": 1}
    assert world.leftovers() == []
    assert list(world.store.glob("**/*.parquet")) == []
    assert "Traceback" not in world.log

    done = world.run("run", "--once", "--json", patience=120 + BIG_MB)
    assert done.summary["rows"] == {"read": rows, "accepted": rows, "rejected": 0}
    assert world.found("big.csv").attempt == 1  # stopping is nobody's fault
    actions = DeltaTable(str(world.store / "metrics")).get_add_actions()
    assert sum(actions["num_records"].to_pylist()) == rows
    assert world.leftovers() == []


def drop_big(world: World, megabytes: int) -> int:
    """Drop a file of so many megabytes; return its rows. One block of them comes again and again: made in no time."""
    block = b"".join(text.rows(200_000, tag="big"))
    blocks = -(-megabytes * 1024**2 // len(block))
    path = world.root / "metrics" / "big.csv"
    path.parent.mkdir()
    with (world.folder / "big").open("wb") as file:
        file.write(text.HEADER)
        for _ in range(blocks):
            file.write(block)
    (world.folder / "big").rename(path)
    return blocks * 200_000
