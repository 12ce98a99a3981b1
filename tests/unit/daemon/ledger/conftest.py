"""A ledger of its own for each test, and drops to put into it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from daemon.ledger import Ledger
from daemon.model import Batch, DataFile, Drop, Found, Outcome, Rows, State


def no_tables() -> bool:
    """Tell what a store tells before the first commit."""
    return False


class World:
    """A ledger, a clock that moves on at each look, and short ways to say what happens."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "var" / "ledger.db"
        self.url = f"sqlite:///{self.path}"
        self.clock = 1_700_000_000.0
        self.ledger = self.open()

    def open(self) -> Ledger:
        return Ledger.open(self.url, tables_exist=no_tables, now=self.now())

    def now(self) -> float:
        self.clock += 1.0
        return self.clock

    def drop(self, name: str, version: str = "1", *, customer: str = "acme", feed: str = "metrics") -> Drop:
        uri = "file:///srv/drops/" + quote(name.encode("utf-8", "surrogatepass"))
        found = Found(uri=uri, name=name, version=version, size=100, modified=1_600_000_000.5)
        return Drop(id=found.drop_id, found=found, feed=feed, customer=customer)

    def claim(self, *names: str, **what: str) -> tuple[Drop, ...]:
        claimed = self.ledger.claim([self.drop(name, **what) for name in names], self.now())
        assert len(claimed) == len(names)
        return claimed

    def outcome(self, drop: Drop, state: State = State.INGESTED, **what: Any) -> Outcome:
        bad = 0 if state is State.INGESTED else 1 if state is State.PARTIAL else 10
        values = {
            "sha256": hashlib.sha256(drop.id.encode()).hexdigest(),
            "rows": Rows(read=10, accepted=10 - bad, rejected=bad),
            "contract": "metrics@1",
            "started_at": self.clock,
            "finished_at": self.clock + 0.5,
        }
        return Outcome(drop_id=drop.id, state=state, **{**values, **what})

    def batch(self, *outcomes: Outcome, feed: str = "metrics", replaces: tuple[str, ...] = ()) -> Batch:
        files = (DataFile(path="date=2026-03-01/part-1.parquet", size=1, rows=9, date="2026-03-01", stats='{"a": 1}'),)
        return Batch(number=0, feed=feed, outcomes=outcomes, files=files, replaces=replaces)

    def intend(self, *outcomes: Outcome, **what: Any) -> Batch:
        return self.ledger.intend(self.batch(*outcomes, **what), self.now())

    def ingest(self, name: str, version: str = "1", state: State = State.INGESTED, **what: Any) -> Drop:
        """Take a drop the whole way into the table, with its customer, feed, or any field of its outcome."""
        scope = {key: what.pop(key) for key in ("customer", "feed") if key in what}
        replaces = what.pop("replaces", ())
        (drop,) = self.claim(name, version=version, **scope)
        batch = self.intend(self.outcome(drop, state, **what), feed=drop.feed, replaces=replaces)
        self.ledger.record(batch, self.now())
        return drop

    def finish(self, name: str, version: str = "1", state: State = State.FAILED, **what: Any) -> Drop:
        """Take a drop to an outcome without a batch."""
        scope = {key: what.pop(key) for key in ("customer", "feed") if key in what}
        (drop,) = self.claim(name, version=version, **scope)
        self.ledger.finish([self.outcome(drop, state, **what)], self.now())
        return drop

    def state(self, drop: Drop) -> State:
        return self.ledger.drop(drop.id).state

    def kinds(self, drop: Drop) -> list[str]:
        return [event.kind.value for event in self.ledger.events(drop.id)]


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """A new ledger in a folder of its own."""
    world = World(tmp_path)
    yield world
    world.ledger.close()
