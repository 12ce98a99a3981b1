"""Batches and settling: what is written around a table transaction, and after it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from daemon.errors import LedgerError
from daemon.model import Batch, State

if TYPE_CHECKING:
    from tests.unit.daemon.ledger.conftest import World


class TestBatches:
    def test_batches_of_a_feed_are_numbered_from_one(self, world: World) -> None:
        for name, feed, number in (("a", "metrics", 1), ("b", "events", 1), ("c", "metrics", 2)):
            (drop,) = world.claim(name, feed=feed)
            batch = world.intend(world.outcome(drop), feed=feed)
            world.ledger.record(batch, world.now())

            assert batch.number == number
        assert world.ledger.last_batch("metrics") == 2
        assert world.ledger.last_batch("none") == 0

    def test_a_number_is_always_above_the_one_that_the_table_holds(self, world: World) -> None:
        (drop,) = world.claim("a.csv")

        batch = world.ledger.intend(world.batch(world.outcome(drop)), world.now(), at_least=41)

        assert batch.number == 42

    def test_an_open_batch_comes_back_whole_after_a_restart(self, world: World) -> None:
        a, b = world.claim("a.csv", "b.csv")
        outcomes = world.outcome(a, rules=(("range", "value", 2),)), world.outcome(b, State.PARTIAL, reason="\udcff")
        batch = world.intend(*outcomes, replaces=("0123456789abcdef",))
        world.ledger.close()

        with world.open() as ledger:
            assert ledger.open_batches() == (batch,)

    def test_a_recorded_batch_gives_its_outcomes_to_its_drops(self, world: World) -> None:
        good, bad, twice = world.claim("good.csv", "bad.csv", "twice.csv")
        outcomes = world.outcome(good), world.outcome(bad, State.PARTIAL), world.outcome(twice, State.DUPLICATE)
        batch = world.intend(*outcomes)

        world.ledger.record(batch, world.now())

        assert [world.state(drop) for drop in (good, bad, twice)] == [State.INGESTED, State.PARTIAL, State.DUPLICATE]
        assert {row.batch for row in world.ledger.drops()} == {1}
        assert world.ledger.events(bad.id)[-1].batch == 1
        assert world.ledger.open_batches() == ()

    def test_recording_twice_changes_nothing(self, world: World) -> None:
        (drop,) = world.claim("a.csv")
        batch = world.intend(world.outcome(drop))

        world.ledger.record(batch, world.now())
        world.ledger.record(batch, world.now())

        assert world.kinds(drop) == ["claimed", "recorded"]

    def test_what_was_stored_for_recovery_is_pruned(self, world: World) -> None:
        world.ingest("a.csv")

        with world.ledger._database.reading() as connection:
            stored = connection.exec_driver_sql("SELECT state, drops, outcomes, files, replaces FROM batches").all()
        assert [tuple(row) for row in stored] == [("committed", 1, None, None, None)]

    def test_a_forgotten_batch_gives_its_drops_back_and_keeps_its_number(self, world: World) -> None:
        (drop,) = world.claim("a.csv")
        batch = world.intend(world.outcome(drop))

        world.ledger.forget(batch, world.now(), "the table does not hold it")
        world.ledger.forget(batch, world.now())

        assert world.ledger.open_batches() == ()
        assert world.ledger.waiting()[0].drop.attempt == 1
        assert world.kinds(drop) == ["claimed", "forgotten"]
        world.claim("a.csv")
        assert world.intend(world.outcome(drop)).number == 2

    def test_a_second_open_batch_of_a_feed_is_refused(self, world: World) -> None:
        a, b = world.claim("a.csv", "b.csv")
        world.intend(world.outcome(a))

        with pytest.raises(LedgerError, match="batch 1 of feed metrics is still open"):
            world.intend(world.outcome(b))

        assert world.ledger.drop(b.id).batch is None

    def test_a_drop_that_nobody_works_cannot_go_into_a_batch(self, world: World) -> None:
        drop = world.finish("a.csv")

        with pytest.raises(LedgerError, match="cannot go into a batch: it is failed"):
            world.intend(world.outcome(drop))

        assert world.ledger.last_batch("metrics") == 0

    def test_a_batch_has_one_end(self, world: World) -> None:
        (drop,) = world.claim("a.csv")
        batch = world.intend(world.outcome(drop))
        world.ledger.record(batch, world.now())

        with pytest.raises(LedgerError, match="cannot be forgotten: it is committed already"):
            world.ledger.forget(batch, world.now())
        with pytest.raises(LedgerError, match="cannot be committed: it was never intended"):
            world.ledger.record(world.batch(world.outcome(drop)), world.now())

    def test_an_outcome_of_a_drop_outside_the_batch_records_nothing(self, world: World) -> None:
        a, b = world.claim("a.csv", "b.csv")
        batch = world.intend(world.outcome(a))
        other = Batch(number=1, feed="metrics", outcomes=(world.outcome(b),))

        with pytest.raises(LedgerError, match="cannot be recorded with batch 1"):
            world.ledger.record(other, world.now())

        assert world.ledger.open_batches() == (batch,)

    def test_an_empty_batch_is_numbered_and_recorded(self, world: World) -> None:
        batch = world.intend()
        world.ledger.record(batch, world.now())

        assert world.ledger.last_batch("metrics") == 1

    def test_replaced_drops_name_the_drop_of_their_uri_that_replaced_them(self, world: World) -> None:
        old = world.ingest("a.csv", "1")
        other, new = world.claim("b.csv", "a.csv", version="2")
        batch = world.intend(world.outcome(other), world.outcome(new), replaces=(old.id,))

        world.ledger.record(batch, world.now())

        assert world.ledger.drop(old.id).superseded_by == new.id
        assert world.ledger.events(old.id)[-1].kind == "superseded"
        assert world.ledger.events(old.id)[-1].note == new.id


class TestSettling:
    def test_a_settled_drop_is_not_settled_again(self, world: World) -> None:
        drop = world.ingest("a.csv")

        world.ledger.settled([drop.id], world.now())
        world.ledger.settled([drop.id], world.now())

        assert world.ledger.unsettled() == ()
        assert world.ledger.drop(drop.id).settled_at == world.clock - 1
        assert world.kinds(drop) == ["claimed", "recorded", "settled"]

    def test_a_failed_settling_is_kept_with_its_reason_and_waits(self, world: World) -> None:
        drop = world.ingest("a.csv")

        world.ledger.settle_failed(drop.id, "no right to delete", world.now(), not_before=world.clock + 60)

        row = world.ledger.drop(drop.id)
        assert (row.settle_failures, row.settle_reason, row.state) == (1, "no right to delete", State.INGESTED)
        assert world.ledger.unsettled(now=world.clock) == ()
        assert len(world.ledger.unsettled(now=world.clock + 60)) == 1
