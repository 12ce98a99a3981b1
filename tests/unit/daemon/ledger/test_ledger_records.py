"""Writes: each moves drops as `tables` documents it, or refuses and changes nothing."""

from __future__ import annotations

import random
import signal
import sqlite3
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from daemon.errors import LedgerError, NotFoundError
from daemon.model import Outcome, State

if TYPE_CHECKING:
    from tests.unit.daemon.ledger.conftest import World

ROOT = Path(__file__).parents[4]


class TestClaiming:
    def test_a_new_drop_is_worked_at_its_first_attempt(self, world: World) -> None:
        drop = world.drop("a.csv")

        assert world.ledger.claim([drop], world.now()) == (drop,)

        row = world.ledger.drop(drop.id)
        assert (row.state, row.attempt, row.feed, row.customer) == (State.WORKING, 1, "metrics", "acme")
        assert row.found_at == row.changed_at == world.clock

    def test_a_drop_that_is_being_worked_is_not_claimed_again(self, world: World) -> None:
        (drop,) = world.claim("a.csv")

        assert world.ledger.claim([drop], world.now()) == ()
        assert world.kinds(drop) == ["claimed"]

    @pytest.mark.parametrize("state", [State.REJECTED, State.DUPLICATE, State.FAILED])
    def test_a_drop_with_an_outcome_is_not_claimed_again(self, world: World, state: State) -> None:
        drop = world.finish("a.csv", state=state)

        assert world.ledger.claim([drop], world.now()) == ()
        assert world.state(drop) == state

    def test_a_drop_named_twice_in_a_list_is_claimed_once(self, world: World) -> None:
        drop = world.drop("a.csv")

        assert world.ledger.claim([drop, drop], world.now()) == (drop,)

    def test_another_version_of_a_name_is_another_drop(self, world: World) -> None:
        world.claim("a.csv", version="1")

        assert len(world.ledger.claim([world.drop("a.csv", "2")], world.now())) == 1
        assert [row.version for row in world.ledger.history("a.csv")] == ["1", "2"]

    def test_attempts_are_counted_by_the_ledger_not_by_the_listing(self, world: World) -> None:
        (drop,) = world.claim("a.csv")
        world.ledger.give_back([drop.id], world.now())

        # A listing shows the object as it did at first: attempt 1.
        (again,) = world.ledger.claim([world.drop("a.csv")], world.now())

        assert again.attempt == 2
        assert world.ledger.drop(drop.id).attempt == 2

    def test_a_drop_that_is_to_wait_is_not_claimed_before_its_time(self, world: World) -> None:
        (drop,) = world.claim("a.csv")
        world.ledger.give_back([drop.id], world.now(), "the worker died", not_before=world.clock + 100)

        assert world.ledger.claim([drop], world.clock + 99) == ()
        assert len(world.ledger.claim([drop], world.clock + 100)) == 1

    def test_an_unmatched_drop_is_claimed_when_a_feed_has_a_pattern_for_it(self, world: World) -> None:
        drop = world.drop("a.csv")
        world.ledger.unmatched([drop.found], world.now())

        (claimed,) = world.ledger.claim([drop], world.now())

        row = world.ledger.drop(drop.id)
        assert (claimed.attempt, row.state, row.feed, row.customer) == (1, State.WORKING, "metrics", "acme")
        assert world.kinds(drop) == ["unmatched", "claimed"]

    def test_nothing_to_claim_is_fine(self, world: World) -> None:
        assert world.ledger.claim([], world.now()) == ()

    def test_ten_thousand_drops_take_one_transaction(self, world: World) -> None:
        drops = [world.drop(f"metrics/{number:05}.csv") for number in range(10_000)]
        begun = time.perf_counter()
        claimed = world.ledger.claim(drops, world.now())
        print(f"10,000 claims: {time.perf_counter() - begun:.3f} s")  # noqa: T201 - a figure for whoever runs it with -s

        assert len(claimed) == 10_000
        assert world.ledger.recover(world.now()) == 10_000


class TestUnmatched:
    def test_an_unmatched_object_is_listed(self, world: World) -> None:
        drop = world.drop("what.bin")

        world.ledger.unmatched([drop.found, drop.found], world.now())
        world.ledger.unmatched([drop.found], world.now())

        (row,) = world.ledger.drops(State.UNMATCHED)
        assert (row.id, row.feed, row.attempt) == (drop.id, "", 0)
        assert world.kinds(drop) == ["unmatched"]

    def test_a_drop_that_came_back_may_be_without_a_feed_by_now(self, world: World) -> None:
        (drop,) = world.claim("a.csv")
        world.ledger.give_back([drop.id], world.now())

        world.ledger.unmatched([drop.found], world.now())

        assert world.state(drop) == State.UNMATCHED

    def test_what_was_ingested_stays_so_when_its_feed_is_taken_away(self, world: World) -> None:
        drop = world.ingest("a.csv")

        world.ledger.unmatched([drop.found], world.now())

        assert world.state(drop) == State.INGESTED


class TestBreakingOff:
    def test_a_drop_given_back_waits_with_its_reason(self, world: World) -> None:
        (drop,) = world.claim("a.csv")

        assert world.ledger.give_back([drop.id], world.now(), "the worker died", not_before=5.0) == 1

        (waiting,) = world.ledger.waiting()
        assert (waiting.drop.id, waiting.drop.attempt, waiting.not_before) == (drop.id, 2, 5.0)
        assert world.ledger.drop(drop.id).reason == "the worker died"
        assert world.ledger.events(drop.id)[-1].note == "the worker died"

    def test_what_a_lost_worker_wrote_is_in_the_history_line_by_line(self, world: World) -> None:
        (drop,) = world.claim("a.csv")
        world.ledger.give_back([drop.id], world.now(), "the worker\ndied", log="first\n\nlast \udcff")
        world.ledger.claim([drop], world.now())
        failed = Outcome(drop_id=drop.id, state=State.FAILED, reason="it died again", log="only")
        world.ledger.finish([failed], world.now())

        told = [(event.note, event.log) for event in world.ledger.events(drop.id)]
        assert told[1] == ("the worker died", ("first", "", "last \\udcff"))
        assert told[3] == ("it died again", ("only",))
        assert world.ledger.drop(drop.id).reason == "it died again"

    def test_an_attempt_that_the_stop_broke_off_does_not_count(self, world: World) -> None:
        (drop,) = world.claim("a.csv")

        world.ledger.give_back([drop.id], world.now(), "the daemon stops", counts=False)

        assert world.ledger.waiting()[0].drop.attempt == 1

    def test_only_working_drops_are_given_back(self, world: World) -> None:
        drop = world.ingest("a.csv")

        assert world.ledger.give_back([drop.id, "0" * 16], world.now()) == 0
        assert world.state(drop) == State.INGESTED

    def test_a_drop_of_an_intended_batch_is_not_given_back(self, world: World) -> None:
        (drop,) = world.claim("a.csv")
        world.intend(world.outcome(drop))

        assert world.ledger.give_back([drop.id], world.now()) == 0
        assert world.ledger.gone([drop.id], world.now()) == 0
        assert world.ledger.recover(world.now()) == 0

    def test_a_vanished_object_leaves_only_its_history(self, world: World) -> None:
        (drop,) = world.claim("gone.csv")

        assert world.ledger.gone([drop.id], world.now()) == 1

        assert world.ledger.drops() == ()
        event = world.ledger.events(drop.id)[-1]
        assert (event.kind, event.state, event.note) == ("gone", None, "gone.csv")

    def test_a_vanished_object_that_comes_back_is_a_new_drop(self, world: World) -> None:
        (drop,) = world.claim("a.csv")
        world.ledger.gone([drop.id], world.now())

        assert world.claim("a.csv") == (drop,)
        assert world.kinds(drop) == ["claimed", "gone", "claimed"]

    def test_an_ingested_drop_is_never_forgotten(self, world: World) -> None:
        drop = world.ingest("a.csv")

        assert world.ledger.gone([drop.id], world.now()) == 0

    def test_after_a_crash_working_drops_are_found_again_and_their_attempt_counts(self, world: World) -> None:
        left, ingested = world.claim("left.csv")[0], world.ingest("done.csv")

        assert world.ledger.recover(world.now()) == 1

        assert world.ledger.waiting()[0].drop.attempt == 2
        assert (world.state(left), world.state(ingested)) == (State.FOUND, State.INGESTED)
        assert world.kinds(left) == ["claimed", "recovered"]


class TestRetrying:
    def test_a_failed_drop_gets_another_go_by_name(self, world: World) -> None:
        drop = world.finish("acme/a.csv")

        assert world.ledger.retry("a.csv", world.now()) == (drop.id,)

        assert world.ledger.waiting()[0].drop.attempt == 2
        assert world.kinds(drop) == ["claimed", "finished", "retried"]

    def test_all_failed_drops_get_another_go(self, world: World) -> None:
        failed = {world.finish("a.csv").id, world.finish("b.csv").id}
        world.finish("c.csv", state=State.REJECTED)

        assert set(world.ledger.retry(None, world.now())) == failed
        assert world.ledger.retry(None, world.now()) == ()

    def test_a_drop_that_waits_for_its_next_go_need_not_wait(self, world: World) -> None:
        (drop,) = world.claim("a.csv")
        world.ledger.give_back([drop.id], world.now(), "the worker died", not_before=world.clock + 3600)

        assert world.ledger.retry("a.csv", world.now()) == (drop.id,)
        assert world.ledger.waiting()[0].not_before == 0.0
        assert world.ledger.retry(None, world.now()) == (), "it has not failed"

    def test_a_drop_whose_place_a_newer_version_has_taken_is_not_tried_again(self, world: World) -> None:
        old = world.finish("a.csv")
        (new,) = world.claim("a.csv", version="2")
        outcome = replace(world.outcome(new, state=State.REJECTED), supersedes=(old.id,))
        world.ledger.finish([outcome], world.now())

        assert world.ledger.drop(old.id).superseded_by == new.id
        assert world.kinds(old) == ["claimed", "finished", "superseded"]
        assert world.ledger.retry(None, world.now()) == ()
        with pytest.raises(NotFoundError, match=f"is superseded by drop {new.id}, a newer version"):
            world.ledger.retry(old.id, world.now())

    def test_only_failed_drops_can_be_tried_again(self, world: World) -> None:
        world.ingest("a.csv")

        with pytest.raises(NotFoundError, match=r"\(a\.csv\) is ingested, and only failed drops"):
            world.ledger.retry("a.csv", world.now())


class TestFinishing:
    def test_an_outcome_without_a_batch_is_written_whole(self, world: World) -> None:
        drop = world.finish("a.csv", state=State.REJECTED, reason="no header", report="/q/r", rules=(("r", "c", 3),))

        row = world.ledger.drop(drop.id)
        assert (row.state, row.reason, row.report, row.batch) == (State.REJECTED, "no header", "/q/r", None)
        assert (row.rows.read, row.rows.accepted, row.rows.rejected) == (10, 0, 10)
        assert row.rules == (("r", "c", 3),)
        assert len(row.sha256) == 64
        assert (row.changed_at, row.finished_at - row.started_at) == (world.clock, 0.5)

    def test_finishing_twice_changes_nothing(self, world: World) -> None:
        (drop,) = world.claim("a.csv")
        outcome = world.outcome(drop, State.FAILED)

        world.ledger.finish([outcome], world.now())
        world.ledger.finish([outcome], world.now())

        assert world.kinds(drop) == ["claimed", "finished"]

    def test_a_drop_that_nobody_works_cannot_be_finished(self, world: World) -> None:
        (worked,) = world.claim("a.csv")
        stray = world.drop("b.csv")

        with pytest.raises(LedgerError, match=f"drop {stray.id} cannot be finished: it is unknown to the ledger"):
            world.ledger.finish([world.outcome(worked, State.FAILED), world.outcome(stray, State.FAILED)], world.now())

        assert world.state(worked) == State.WORKING

    def test_a_drop_in_an_intended_batch_cannot_be_finished(self, world: World) -> None:
        (drop,) = world.claim("a.csv")
        world.intend(world.outcome(drop))

        with pytest.raises(LedgerError, match="working, or in another batch"):
            world.ledger.finish([world.outcome(drop, State.FAILED)], world.now())


class TestDying:
    def test_killed_at_any_moment_every_write_is_there_whole_or_not_at_all(self, world: World) -> None:
        world.ledger.close()
        process = subprocess.Popen([sys.executable, "-c", WRITER, world.url], stdout=subprocess.PIPE, cwd=ROOT)
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(random.uniform(0.05, 0.3))  # noqa: S311 - any moment will do
        process.send_signal(signal.SIGKILL)
        process.communicate(timeout=10)

        connection = sqlite3.connect(world.path)
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        rows = connection.execute("SELECT count(*), sum(state = 'ingested'), sum(batch IS NULL) FROM drops").fetchone()
        connection.close()
        assert [count % 50 for count in rows] == [0, 0, 0]
        with world.open() as ledger:
            for batch in ledger.open_batches():
                assert len(batch.outcomes) == 50
                ledger.record(batch, world.now())
            ledger.recover(world.now())
            assert ledger.drops(State.WORKING) == ()


WRITER = """
import sys
from daemon.ledger import Ledger
from daemon.model import Batch, Drop, Found, Outcome, State
with Ledger.open(sys.argv[1], tables_exist=lambda: True, now=1.0) as ledger:
    for turn in range(100_000):
        names = [f"{turn}/{number}" for number in range(50)]
        founds = [Found(uri=f"file:///{name}", name=name, version="1", size=1, modified=1.0) for name in names]
        drops = ledger.claim([Drop(id=f.drop_id, found=f, feed="m", customer="c") for f in founds], 1.0)
        outcomes = tuple(Outcome(drop_id=drop.id, state=State.INGESTED) for drop in drops)
        ledger.record(ledger.intend(Batch(number=0, feed="m", outcomes=outcomes), 2.0), 3.0)
        print(turn, flush=True)
"""


def test_every_statement_is_one_that_postgresql_shares(world: World) -> None:
    # Given that everything that is run is also compiled for the other database
    seen: list[str] = []
    other = postgresql.dialect()  # type: ignore[no-untyped-call]

    def compile_too(_: object, statement: sa.ClauseElement | str, *__: object) -> None:
        if not isinstance(statement, str):
            seen.append(str(statement.compile(dialect=other)))

    sa.event.listen(world.ledger._database._engine, "before_execute", compile_too)

    # When drops take every way there is
    old = world.ingest("a.csv", "1")
    world.ledger.settled([old.id], world.now())
    world.ingest("a.csv", "2", replaces=(old.id,))
    failed = world.finish("b.csv")
    world.ledger.retry("b.csv", world.now())
    world.claim("b.csv")
    world.ledger.gone([failed.id], world.now())
    world.ledger.unmatched([world.drop("c.csv").found], world.now())
    world.ledger.drops(State.FAILED, feed="x", customer="y", name="z")
    world.ledger.known_versions([("a", "b")])
    world.ledger.digests("acme", "metrics", {1, 2})
    world.ledger.feeds()

    # Then there is no statement that it could not be given
    assert len(seen) > 30
