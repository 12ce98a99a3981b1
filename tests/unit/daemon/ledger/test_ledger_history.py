"""What the ledger forgets in time, and what it never does."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import Any

import pytest

from daemon.ledger import history
from daemon.model import State
from tests.unit.daemon.ledger.conftest import World


def asked(world: World, query: str) -> list[Any]:
    with closing(sqlite3.connect(world.path)) as connection:
        return connection.execute(query).fetchall()


def prune_all(world: World, before: float) -> int:
    total = 0
    while count := world.ledger.prune(before):
        total += count
    return total


def test_old_events_and_batches_go_and_newer_ones_stay(world: World) -> None:
    old = [world.ingest(f"old{number}.csv") for number in range(3)]
    border = world.now()
    new = world.ingest("new.csv")

    assert prune_all(world, border) == 3 * 2 + 3

    assert all(world.kinds(drop) == [] for drop in old)
    assert world.kinds(new) == ["claimed", "recorded"]
    assert asked(world, "SELECT number FROM batches") == [(4,)]
    assert asked(world, "PRAGMA foreign_key_check") == []


def test_drops_and_their_digests_are_never_forgotten(world: World) -> None:
    drop = world.ingest("a.csv", sha256="d1g3st")
    world.finish("b.csv", state=State.DUPLICATE)

    prune_all(world, world.clock + 1e9)

    assert world.ledger.duplicate_of("acme", "metrics", ["d1g3st"]) == {"d1g3st": drop.id}
    assert world.ledger.known_versions({(drop.found.uri, drop.found.version)})
    assert world.ledger.claim([drop], world.now()) == ()
    assert world.ledger.drop(drop.id).batch == 1  # the newest batch stays, and so does what refers to it


def test_the_newest_batch_of_each_feed_and_the_newest_event_stay(world: World) -> None:
    world.ingest("a.csv")
    world.ingest("b.csv")
    world.ingest("c.csv", feed="events")
    at = world.ledger.last_activity()

    prune_all(world, world.clock + 1e9)

    assert asked(world, "SELECT feed, number FROM batches ORDER BY feed") == [("events", 1), ("metrics", 2)]
    assert (world.ledger.last_batch("metrics"), world.ledger.last_committed("metrics")) == (2, 2)
    assert world.ledger.last_activity() == at


def test_an_open_batch_stays_whatever_its_age(world: World) -> None:
    world.ingest("a.csv")
    world.ingest("b.csv")
    (drop,) = world.claim("c.csv")
    batch = world.intend(world.outcome(drop))

    prune_all(world, world.clock + 1e9)

    assert world.ledger.open_batches() == (batch,)
    world.ledger.record(batch, world.now())
    assert world.state(drop) is State.INGESTED


def test_it_forgets_little_at_a_time(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(history, "AT_ONCE", 4)
    for number in range(6):
        world.ingest(f"{number}.csv")

    counts = []
    while count := world.ledger.prune(world.clock + 1e9):
        counts.append(count)

    assert counts == [4, 4, 3, 4, 1]
    assert world.ledger.prune(world.clock + 1e9) == 0


def test_references_are_checked_again_afterwards(world: World) -> None:
    world.ingest("a.csv")
    prune_all(world, world.clock + 1e9)

    with pytest.raises(Exception, match="FOREIGN KEY"), world.ledger._database.writing() as connection:
        connection.exec_driver_sql("UPDATE drops SET batch = 99")
