"""Decisions in the ledger: which drops take one, how each comes to its end, and an older ledger gets their table."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING

import pytest
from alembic import command
from alembic.config import Config

from daemon.decisions import Action, Decision, Standing
from daemon.errors import LedgerError
from daemon.ledger import Ledger, tables
from daemon.ledger.database import Database
from daemon.model import Batch, Drop, Feed, OnDuplicate, OnRevision, Rows, State

if TYPE_CHECKING:
    from pathlib import Path

    from tests.unit.daemon.ledger.conftest import World

FEED = Feed(name="metrics", paths=("metrics/**",), contract="x:y")


def decided(world: World, drop: Drop, action: Action = Action.RELEASE, *rules: str) -> Decision:
    wanted = Decision(drop_id=drop.id, action=action, rules=rules, reason="why\0", by="me", at=world.now())
    (added,) = world.ledger.decisions.add([wanted])
    return added


def hindrance(world: World, drop: Drop, feed: Feed = FEED, action: Action = Action.RELEASE) -> str:
    return world.ledger.decisions.hindrance(world.ledger.drop(drop.id), action, feed)


class TestDeciding:
    def test_a_decision_is_kept_with_who_when_and_why(self, world: World) -> None:
        drop = world.ingest("a.csv", state=State.PARTIAL)
        added = decided(world, drop, Action.WAIVE, "isin", "in_range")

        assert world.ledger.decisions.of([drop.id, "unknown"]) == {drop.id: (added,)}
        assert (added.id, added.by, added.reason, added.rule) == (1, "me", "why\\x00", "isin, in_range")
        assert (added.state, added.rows_accepted, added.ended_at) == (Standing.PENDING, 0, None)
        assert [(each.id, row.id) for each, row in world.ledger.decisions.pending()] == [(1, drop.id)]

    @pytest.mark.parametrize("state", [State.INGESTED, State.DUPLICATE, State.FAILED])
    def test_only_drops_that_are_set_aside_take_one(self, world: World, state: State) -> None:
        drop = world.finish("a.csv", state=state)
        wanted = Decision(drop_id=drop.id, action=Action.RELEASE, by="me", at=1.0)

        assert world.ledger.decisions.add([wanted]) == ()
        assert f"it is {state}" in hindrance(world, drop)

    def test_a_superseded_drop_takes_none(self, world: World) -> None:
        first = world.ingest("a.csv", state=State.PARTIAL)
        second = world.ingest("a.csv", version="2", replaces=(first.id,))
        wanted = Decision(drop_id=first.id, action=Action.DISCARD, by="me", at=1.0)

        assert world.ledger.decisions.add([wanted]) == ()
        assert f"superseded by drop {second.id}" in hindrance(world, first, action=Action.DISCARD)
        assert world.ledger.decisions.superseded([first.id, second.id]) == {first.id: second.id}

    def test_fitting_drops_are_chosen_by_rule_and_customer_and_discarded_ones_are_left_out(self, world: World) -> None:
        rules = (("isin", "country", 1),)
        fits = world.ingest("a.csv", state=State.PARTIAL, rules=rules)
        world.ingest("b.csv", state=State.PARTIAL, rules=(("unique", "", 1),))
        world.ingest("c.csv", state=State.PARTIAL, rules=rules, customer="globex")
        discarded = world.ingest("d.csv", state=State.PARTIAL, rules=rules)
        waiting = world.ingest("e.csv", state=State.PARTIAL, rules=rules)
        world.ledger.decisions.end(decided(world, discarded, Action.DISCARD), Standing.DONE, "", world.now())
        decided(world, waiting)
        whole = world.finish("f.csv", state=State.REJECTED, rules=rules)

        found = world.ledger.decisions.fitting("metrics", rule="isin", customer="acme")
        assert [row.id for row in found] == [fits.id, whole.id]
        assert len(world.ledger.decisions.fitting("metrics")) == 4
        assert world.ledger.decisions.fitting("events") == ()

    def test_what_a_feed_says_of_versions_and_duplicates_is_heeded(self, world: World) -> None:
        first = world.finish("a.csv", state=State.REJECTED, sha256="same")
        world.ingest("b.csv", sha256="same")
        assert "its very bytes were ingested" in hindrance(world, first)
        assert hindrance(world, first, action=Action.DISCARD) == ""
        twice = Feed(**{**vars(FEED), "duplicates": OnDuplicate.INGEST})
        assert hindrance(world, first, twice) == ""
        world.ingest("a.csv", version="2")
        assert "superseded by drop" in hindrance(world, first, twice)
        assert hindrance(world, first, Feed(**{**vars(twice), "revision": OnRevision.APPEND})) == ""
        assert "takes a name once" in hindrance(world, first, Feed(**{**vars(twice), "revision": OnRevision.REJECT}))


class TestEnding:
    def test_an_end_without_rows_is_told_once(self, world: World) -> None:
        drop = world.ingest("a.csv", state=State.PARTIAL)
        decision = decided(world, drop)
        for _ in range(2):
            world.ledger.decisions.end(decision, Standing.REFUSED, "no", world.now())

        assert world.kinds(drop)[-2:] == ["recorded", "decided"]
        assert world.ledger.events(drop.id)[-1].note == "release by me is refused: no"
        assert world.ledger.decisions.pending() == ()

    def test_a_batch_of_decisions_updates_drops_and_decisions_together_and_once(self, world: World) -> None:
        drop = world.ingest("a.csv", state=State.PARTIAL)
        before = world.ledger.drop(drop.id)
        decision = decided(world, drop)
        outcome = world.outcome(drop, rows=Rows(read=10, accepted=10, rejected=0), decision=decision.id, sha256="other")
        batch = world.intend(outcome)
        assert world.ledger.open_batches()[0].outcomes == (outcome,)
        for _ in range(2):
            world.ledger.record(batch, world.now())

        row, (done,) = world.ledger.drop(drop.id), world.ledger.decisions.of([drop.id])[drop.id]
        assert (row.state, row.rows_accepted, row.sha256, row.batch) == (
            State.INGESTED,
            10,
            before.sha256,
            before.batch,
        )
        assert (done.state, done.rows_accepted, done.batch) == (Standing.DONE, 1, batch.number)
        assert done.note == "1 row went into the table, none is left"
        assert world.kinds(drop)[-1] == "released"

    def test_a_forgotten_batch_leaves_its_decisions_waiting(self, world: World) -> None:
        drop = world.ingest("a.csv", state=State.PARTIAL)
        decision = decided(world, drop)
        before = world.ledger.drop(drop.id)
        batch = world.intend(world.outcome(drop, decision=decision.id))
        world.ledger.forget(batch, world.now(), "the disk is full")

        assert world.ledger.drop(drop.id) == before
        assert world.ledger.decisions.waiting() == 1

    def test_a_decision_that_does_not_wait_goes_into_no_batch(self, world: World) -> None:
        drop = world.ingest("a.csv", state=State.PARTIAL)
        decision = decided(world, drop)
        world.ledger.decisions.end(decision, Standing.DONE, "", world.now())

        with pytest.raises(LedgerError, match=f"decision {decision.id} on drop {drop.id} cannot go into a batch"):
            world.intend(world.outcome(drop, decision=decision.id))
        assert world.ledger.open_batches() == ()

    def test_a_decided_drop_is_not_one_that_is_worked(self, world: World) -> None:
        drop = world.ingest("a.csv", state=State.PARTIAL)
        decision = decided(world, drop)
        batch: Batch = world.intend(world.outcome(drop, decision=decision.id))

        assert batch.decided
        assert world.ledger.recover(world.now()) == 0
        assert world.state(drop) is State.PARTIAL


def test_a_ledger_without_decisions_gets_their_table_and_keeps_its_drops(world: World, tmp_path: Path) -> None:
    drop = world.ingest("a.csv", state=State.PARTIAL)
    world.ledger.close()
    with sqlite3.connect(world.path) as connection:
        for table in ("decisions", "markers", "awaited", "days", "day_rows"):
            connection.execute(f"DROP TABLE {table}")
        for column in ("watermark", "rows_late"):
            connection.execute(f"ALTER TABLE drops DROP COLUMN {column}")
        connection.execute("UPDATE alembic_version SET version_num = '0001'")
    connection.close()
    with pytest.raises(LedgerError, match="of an older program"):
        Ledger.open_read(world.url)
    world.ledger = world.open()

    assert decided(world, drop).id == 1
    path = tmp_path / "old.db"
    path.touch()
    assert columns(path, "0002") == {column.name for column in tables.decisions.c}


def columns(path: Path, revision: str) -> set[str]:
    """Return the columns of the decisions in a ledger that was migrated to a revision."""
    config = Config()
    config.set_main_option("script_location", str(tables.__file__).replace("tables.py", "migrations"))
    database = Database(path)
    with database.writing() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, revision)
        found = connection.exec_driver_sql("PRAGMA table_info(decisions)").all()
    database.close()
    return {row[1] for row in found}
