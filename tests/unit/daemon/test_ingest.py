"""A batch from claim to settle: every row once, the source last, one bad drop by itself, nothing left by a failure."""

from __future__ import annotations

from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from daemon.errors import ContractError, LedgerError, SourceError, StoreError, UndoneError
from daemon.ingest import LINGER_SECONDS
from daemon.ledger import Ledger
from daemon.lineup import UNITS_PER_WORKER
from daemon.model import After, Batch, Drop, Found, OnRevision, State
from daemon.sources.memory import MemorySource
from daemon.stores.delta import DeltaStore
from tests.unit.daemon.conftest import Here, Rig, dirty, good, killed, overdue, put_off


class Witness(MemorySource):
    """A source that notes in which state a drop was, by the ledger, when its object was touched."""

    def __init__(self) -> None:
        super().__init__()
        self.ledger: Ledger | None = None
        self.seen: list[State] = []

    def settle(self, found: Found, after: After) -> None:
        assert self.ledger is not None
        self.seen.append(self.ledger.drop(found.drop_id).state)
        super().settle(found, after)


def claim_and_hold(rig: Rig, **files: bytes) -> tuple[Drop, ...]:
    """Claim drops; their units wait to be worked."""
    rig.workers.hold = True
    drops = rig.put(**files)
    rig.ingest.claim(drops)
    rig.ingest.pump()
    return drops


# ---------------------------------------------------------------- THE WAY OF A DROP


def test_every_drop_goes_its_way_to_the_end(rig: Rig) -> None:
    drops = rig.take_in(a=good(4), b=dirty(), c=b"nothing,of,ours\n1,2,3\n")
    a, b, c = (rig.ledger.drop(drop.id) for drop in drops)

    assert [row.state for row in (a, b, c)] == [State.INGESTED, State.PARTIAL, State.REJECTED]
    assert all(row.rows.read == row.rows.accepted + row.rows.rejected for row in (a, b, c))
    assert rig.rows() == {a.id: 4, b.id: 9}
    assert len(rig.source.archived) == 3
    assert not rig.ingest.busy
    tally = rig.ingest.tallied
    assert (tally.done, tally.rows.read, tally.rows.accepted) == (3, 4 + 10 + 1, 13)
    told = [entry["event"] for entry in rig.told.entries if entry["log_level"] != "debug"]
    assert told == ["drop.ingested", "drop.partial", "drop.rejected"]
    assert rig.told.entries[1]["report"] == str(rig.quarantine.folder("default", "metrics", b.id))


def test_the_source_is_touched_only_when_the_ledger_has_the_outcome(rig_of: Callable[..., Rig]) -> None:
    source = Witness()
    rig = rig_of(source=source)
    source.ledger = rig.ledger
    rig.take_in(a=good(4), b=dirty(), c=b"", d=good(4))
    rig.turn()
    assert sorted(source.seen) == [State.DUPLICATE, State.INGESTED, State.PARTIAL, State.REJECTED]


def test_a_drop_is_not_worked_twice_however_often_it_is_claimed(rig: Rig) -> None:
    drops = rig.put(a=good(2))
    rig.ingest.claim(drops)
    rig.ingest.claim(drops)
    rig.turn()
    rig.ingest.claim(drops)
    assert not rig.ingest.busy
    assert rig.rows() == {drops[0].id: 2}
    assert rig.ingest.tallied.done == 1


def test_an_object_is_at_work_from_its_claim_until_its_outcome_is_in_the_ledger(rig: Rig) -> None:
    (drop,) = claim_and_hold(rig, a=good(2))
    assert (rig.ingest.at_work(drop.found.uri), rig.ingest.busy, rig.ingest.claimed) == (True, True, 1)
    rig.turn()
    assert (rig.ingest.at_work(drop.found.uri), rig.ingest.busy, rig.ingest.claimed) == (False, False, 0)


def test_the_loop_is_woken_when_a_unit_is_done(rig: Rig) -> None:
    claim_and_hold(rig, a=good(2), b=good(3))
    assert rig.wakes == 0
    rig.workers.work(1)
    assert rig.wakes == 1
    rig.workers.lose(killed())
    assert rig.wakes == 2


def test_workers_get_no_more_units_than_keep_them_busy(rig_of: Callable[..., Rig]) -> None:
    rig = rig_of(workers=Here(processes=1))
    rig.workers.hold = True
    for number in range(5):  # claimed one by one, so that each is a unit
        rig.ingest.claim(rig.put(**{f"a{number}": good(1, tag=str(number))}))
    rig.ingest.pump()
    assert rig.workers.waiting == UNITS_PER_WORKER
    rig.workers.work(1)
    rig.ingest.collect()
    assert rig.workers.waiting == UNITS_PER_WORKER
    rig.workers.hold = False
    while rig.ingest.busy:
        rig.turn()
    assert len(rig.rows()) == 5


# ---------------------------------------------------------------- ONE COMMIT FOR MANY


def test_finished_units_wait_for_others_to_share_their_commit_but_not_for_long(rig: Rig) -> None:
    claim_and_hold(rig, a=good(1), b=good(2), c=good(3), d=good(4))
    assert rig.workers.waiting == 2
    rig.workers.work(1)
    assert rig.ingest.collect()
    assert not rig.store.exists("metrics")
    rig.clock.now += LINGER_SECONDS
    assert not rig.ingest.collect()
    assert rig.store.last_batch("metrics") == 1
    rig.turn()
    assert rig.store.last_batch("metrics") == 2
    assert len(rig.rows()) == 4


def test_units_that_are_done_together_are_one_batch(rig: Rig) -> None:
    claim_and_hold(rig, a=good(1), b=good(2), c=good(3))
    rig.turn()
    assert rig.store.last_batch("metrics") == 1
    assert len(rig.rows()) == 3


def test_the_same_bytes_in_two_units_are_one_drop_and_its_duplicate(rig: Rig) -> None:
    drops = rig.take_in(a=good(3), b=good(3))
    assert rig.ingest.busy
    rig.turn()
    assert [rig.state(drop) for drop in drops] == [State.INGESTED, State.DUPLICATE]
    assert rig.rows() == {drops[0].id: 3}
    assert rig.staged() == rig.in_table()


def test_bytes_that_came_into_the_table_while_they_were_worked_once_more_are_a_duplicate(rig: Rig) -> None:
    a, b = claim_and_hold(rig, a=good(3), b=good(3))
    rig.workers.work(1)
    rig.clock.now += LINGER_SECONDS
    rig.ingest.collect()
    rig.clock.now += LINGER_SECONDS
    rig.ingest.collect()
    assert rig.rows() == {a.id: 3}
    rig.turn()
    assert rig.staged() == rig.in_table()
    rig.turn()
    assert rig.state(b) is State.DUPLICATE
    assert rig.rows() == {a.id: 3}


def test_duplicates_of_a_unit_that_are_found_out_in_turn_end_all_the_same(rig: Rig) -> None:
    """Each time that it is worked again it still knows what it was told the time before."""
    rig.take_in(seen=good(2))
    # Given two units, of which the first has a file of earlier, and bytes that the second has too
    drops = claim_and_hold(rig, again=good(2), a=good(3), x=good(4), b=good(3))
    # When the first is found out for the one, and once the second is in the table for the other
    rig.workers.work(1)
    rig.clock.now += LINGER_SECONDS
    rig.ingest.collect()
    for _ in range(3):
        rig.turn()
    assert not rig.ingest.busy
    assert [rig.state(drop) for drop in drops] == [State.DUPLICATE, State.DUPLICATE, State.INGESTED, State.INGESTED]
    assert rig.staged() == rig.in_table()


def test_bytes_whose_commit_was_undone_make_no_duplicate(rig_of: Callable[..., Rig]) -> None:
    """Whoever brings them too may be the only one left who does."""

    class Full(DeltaStore):
        is_full = True

        def commit(self, batch: Batch, schema: pa.Schema) -> None:
            if self.is_full:
                raise StoreError("the disk is full")
            super().commit(batch, schema)

    rig = rig_of(store_of=lambda url, app: Full(url, app=app))
    _, b = drops = rig.put(a=good(3), b=good(3))
    rig.ingest.claim(drops)
    rig.ingest.pump()
    with pytest.raises(UndoneError, match="the disk is full"):
        rig.ingest.collect()
    rig.source.take("metrics/a.csv")
    assert isinstance(rig.store, Full)
    rig.store.is_full = False
    rig.loop.run_once()
    assert rig.state(b) is State.INGESTED
    assert rig.rows() == {b.id: 3}


def test_a_feed_may_take_a_name_once(rig_of: Callable[..., Rig]) -> None:
    rig = rig_of(feed_revision=OnRevision.REJECT)
    (first,) = rig.take_in(a=good(2))
    (second,) = rig.take_in(a=good(3))
    assert rig.state(second) is State.REJECTED
    assert rig.ledger.drop(second.id).rules == (("revision", "", 1),)
    assert rig.rows() == {first.id: 2}


# ---------------------------------------------------------------- ONE BAD DROP STOPS NOTHING ELSE


def test_a_lost_worker_takes_only_its_own_drop_with_it(rig_of: Callable[..., Rig]) -> None:
    """Three drops of one unit, whose worker is killed: each is worked by itself, and only the poisonous one fails."""
    rig = rig_of(workers=Here(processes=1), rules={"attempts": 1})
    a, b, c = claim_and_hold(rig, a=good(1), b=good(2), c=good(3))
    assert rig.workers.waiting == 1
    rig.workers.lose(killed())
    rig.ingest.collect()
    assert [entry["drops"] for entry in rig.events("unit.split")] == [3]

    assert rig.workers.waiting == 2
    rig.workers.work(1)
    rig.workers.lose(killed())
    rig.ingest.collect()
    rig.turn()
    assert [rig.state(drop) for drop in (a, b, c)] == [State.INGESTED, State.FAILED, State.INGESTED]
    assert rig.rows() == {a.id: 1, c.id: 3}
    row = rig.ledger.drop(b.id)
    assert row.reason == "the worker was killed by SIGKILL, perhaps for want of memory"
    assert row.settled_at is None
    assert {found.name for found in rig.source.list()} == {"metrics/b.csv"}


def test_a_contract_that_somebody_breaks_meanwhile_costs_no_drop_an_attempt(rig_of: Callable[..., Rig]) -> None:
    rig = rig_of(workers=Here(processes=1), rules={"attempts": 1})
    drops = claim_and_hold(rig, a=good(1), b=good(2))
    rig.workers.lose(ContractError("contract 'ours.py:Ours': SyntaxError. Mend it and try again"))
    rig.ingest.collect()
    assert [rig.state(drop) for drop in drops] == [State.FOUND] * 2
    assert [(entry["feed"], entry["drops"]) for entry in rig.events("contract.broken")] == [("metrics", 2)]

    rig.workers.hold = False
    rig.clock.now += 10.0
    rig.ingest.claim(rig.intake.look().drops)
    while rig.ingest.busy:
        rig.turn()
    assert sorted(rig.rows().values()) == [1, 2]
    assert {rig.ledger.drop(drop.id).attempt for drop in drops} == {1}


def test_where_there_is_no_time_to_wait_for_a_contract_the_work_is_not_done(rig_of: Callable[..., Rig]) -> None:
    rig = rig_of(rules={"retry_seconds": 0.0})
    (drop,) = claim_and_hold(rig, a=good(1))
    rig.workers.lose(ContractError("contract 'ours.py:Ours': SyntaxError. Mend it and try again"))
    with pytest.raises(UndoneError, match="Mend it"):
        rig.ingest.collect()
    assert rig.state(drop) is State.FOUND


def test_the_drop_that_a_lost_worker_was_at_is_known_and_the_others_stay_together(rig_of: Callable[..., Rig]) -> None:
    rig = rig_of(workers=Here(processes=1), rules={"attempts": 1})
    a, b, c = claim_and_hold(rig, a=good(1), b=good(2), c=good(3))
    rig.workers.lose(killed(at=b.id, log="the last line"))
    rig.ingest.collect()
    assert rig.state(b) is State.FAILED
    assert rig.ledger.events(b.id)[-1].log == ("the last line",)

    while rig.ingest.busy:
        rig.turn()
    assert rig.rows() == {a.id: 1, c.id: 3}
    assert {rig.ledger.drop(each.id).attempt for each in (a, c)} == {1}


def test_what_holds_up_others_is_worked_after_them_and_its_attempt_does_not_count(rig_of: Callable[..., Rig]) -> None:
    rig = rig_of(workers=Here(processes=1))
    slow, other = claim_and_hold(rig, a=good(1), b=good(2))
    rig.workers.lose(put_off(at=slow.id))
    rig.ingest.collect()
    assert rig.workers.waiting == 1
    rig.turn()
    assert rig.rows() == {other.id: 2}
    rig.turn()
    assert rig.rows() == {other.id: 2, slow.id: 1}
    assert rig.ledger.drop(slow.id).attempt == 1
    assert rig.kinds(slow) == ["claimed", "recorded", "settled"]


def test_a_drop_that_broke_its_worker_by_itself_never_shares_a_unit_again(rig_of: Callable[..., Rig]) -> None:
    rig = rig_of(workers=Here(processes=1), rules={"retry_seconds": 0.0})
    claim_and_hold(rig, bad=good(1))
    rig.workers.lose(killed())
    rig.ingest.collect()
    rig.ingest.claim(rig.put(a=good(2), b=good(3)))
    rig.ingest.pump()
    assert rig.workers.waiting == 1  # with the two that are fresh
    rig.workers.work()
    rig.ingest.collect()
    assert len(rig.rows()) == 2
    assert rig.workers.waiting == 1
    rig.turn()
    assert len(rig.rows()) == 3


def test_what_a_lost_worker_has_put_into_quarantine_is_taken_back(rig: Rig) -> None:
    (drop,) = claim_and_hold(rig, a=dirty())
    _, todo = rig.workers._lined_up[0]
    todo()
    assert rig.entries() == [drop.id]
    rig.workers.lose(killed())
    rig.ingest.collect()
    assert rig.entries() == []


def test_a_drop_is_tried_again_after_pauses_that_grow_and_then_fails(rig: Rig) -> None:
    (drop,) = rig.put(a=good(1))
    rig.workers.hold = True
    for attempt, wait in ((1, 10.0), (2, 20.0)):
        rig.ingest.claim(rig.intake.look().drops)
        rig.ingest.pump()
        rig.workers.lose(overdue())
        rig.ingest.collect()
        (waiting,) = rig.ledger.waiting()
        assert (waiting.drop.attempt, waiting.not_before) == (attempt + 1, rig.clock() + wait)
        rig.clock.now += wait - 0.001
        assert rig.intake.look().drops == ()
        rig.clock.now += 0.001
    rig.ingest.claim(rig.intake.look().drops)
    rig.ingest.pump()
    rig.workers.lose(overdue())
    rig.ingest.collect()

    row = rig.ledger.drop(drop.id)
    assert (row.state, row.attempt) == (State.FAILED, 3)
    assert row.reason == "it took longer than workers.timeout_seconds = 900"
    assert [entry["seconds"] for entry in rig.events("drop.retried")] == [10.0, 20.0]
    rig.clock.now += 10_000
    assert rig.intake.look().drops == ()
    assert rig.ingest.tallied.drops[State.FAILED] == 1


def test_a_unit_whose_worker_was_lost_leaves_no_staged_file(rig: Rig) -> None:
    """It was killed after it had staged, before it could say so."""
    claim_and_hold(rig, a=good(2))
    future, todo = rig.workers._lined_up[0]
    todo()
    assert rig.staged()
    rig.workers.lose(killed())
    rig.ingest.collect()
    assert future.done()
    assert rig.staged() == set()


def test_an_unreadable_drop_of_a_unit_is_tried_again_and_the_others_are_ingested(rig_of: Callable[..., Rig]) -> None:
    class Locked(MemorySource):
        def fetch(self, found: Found) -> Any:
            if found.name.endswith("b.csv"):
                raise SourceError(f"{found.name}: permission denied")
            return super().fetch(found)

    rig = rig_of(source=Locked(), workers=Here(processes=1))
    a, b, c = rig.take_in(a=good(1), b=good(2), c=good(3))
    assert [rig.state(drop) for drop in (a, b, c)] == [State.INGESTED, State.FOUND, State.INGESTED]
    assert rig.ledger.drop(b.id).reason == "metrics/b.csv: permission denied"


def test_a_drop_that_changes_while_it_waits_is_found_again_in_its_new_version(rig: Rig) -> None:
    old, other = claim_and_hold(rig, a=good(2), b=good(3))
    rig.source.put("metrics/a.csv", good(5, tag="new"))
    rig.turn()
    assert rig.kinds(old) == ["claimed", "gone"]
    assert [entry["drops"] for entry in rig.events("drop.changed")] == [1]
    (new,) = rig.intake.look().drops
    rig.ingest.claim([new])
    rig.turn()
    assert rig.rows() == {other.id: 3, new.id: 5}


# ---------------------------------------------------------------- THE WORLD FAILS


def test_a_disk_that_cannot_be_staged_on_costs_no_attempt(rig: Rig) -> None:
    blocked = Path(rig.store.describe("metrics"), "date=2026-03-01")
    blocked.parent.mkdir(parents=True)
    blocked.write_text("a file where the day's folder should be")
    drops = rig.put(a=good(2))
    rig.ingest.claim(drops)
    rig.ingest.pump()
    with pytest.raises(UndoneError, match="cannot be written: Not a directory"):
        rig.ingest.collect()
    assert not rig.ingest.busy
    assert [each.drop.attempt for each in rig.ledger.waiting()] == [1]

    blocked.unlink()
    rig.loop.run_once()
    assert rig.rows() == {drops[0].id: 2}
    assert rig.workers.stopped == 1  # at the end of the run; nothing was started over for it


def test_a_disk_that_cannot_even_be_swept_costs_no_attempt(rig_of: Callable[..., Rig]) -> None:
    """The staging failed, and what it has left cannot be deleted either."""

    class Stuck(DeltaStore):
        is_stuck = True

        def sweep(self, feed: str, units: Collection[str]) -> int:
            if self.is_stuck:
                raise StoreError("the disk is gone")
            return super().sweep(feed, units)

    rig = rig_of(store_of=lambda url, app: Stuck(url, app=app), rules={"attempts": 1})
    assert isinstance(rig.store, Stuck)
    (drop,) = claim_and_hold(rig, a=good(2))
    for _ in range(3):
        rig.workers.lose(StoreError("the disk is full"))
        with pytest.raises(StoreError, match="the disk is gone"):
            rig.ingest.collect()
        rig.store.is_stuck = False
        rig.ingest.collect()
        rig.store.is_stuck = True
        assert [each.drop.attempt for each in rig.ledger.waiting()] == [1]
        rig.ingest.claim([drop])
        rig.ingest.pump()

    rig.store.is_stuck = False
    rig.turn()
    assert rig.rows() == {drop.id: 2}
    assert rig.staged() == rig.in_table()


@pytest.mark.parametrize(
    "change", ["UPDATE OF ended_at ON batches", "INSERT ON batches", "UPDATE OF settled_at ON drops"]
)
def test_a_step_that_broke_off_is_brought_to_its_end_by_the_next_one(rig: Rig, change: str) -> None:
    rig.break_ledger(change)
    drops = rig.put(a=good(2), b=dirty())
    rig.ingest.claim(drops)
    rig.ingest.pump()
    with pytest.raises(LedgerError):
        rig.ingest.collect()
    with pytest.raises(LedgerError):  # still broken: nothing is forgotten, nothing is believed
        rig.loop.run_once()

    rig.mend_ledger()
    rig.clock.now += 100
    rig.loop.run_once()
    assert [rig.state(drop) for drop in drops] == [State.INGESTED, State.PARTIAL]
    assert rig.rows() == {drops[0].id: 2, drops[1].id: 9}
    assert len(rig.source.archived) == 2
    assert rig.staged() == rig.in_table()
    assert rig.ledger.open_batches() == ()


# ---------------------------------------------------------------- STOPPING, STARTING


def test_stopping_gives_everything_back_and_leaves_no_file(rig: Rig) -> None:
    drops = claim_and_hold(rig, a=good(1), b=good(2), c=good(3), d=good(4))
    rig.workers.work(1)
    rig.ingest.collect()  # one unit is prepared and waits for the other
    assert rig.staged()
    rig.ingest.stop()

    assert rig.staged() == set()
    assert not rig.ingest.busy
    assert rig.workers.stopped == 1
    assert sorted(each.drop.id for each in rig.ledger.waiting()) == sorted(drop.id for drop in drops)
    assert {each.drop.attempt for each in rig.ledger.waiting()} == {1}
    rig.ingest.stop()
    rig.workers.hold = False
    rig.loop.run_once()
    assert len(rig.rows()) == 4


def test_what_was_published_of_a_drop_that_is_given_back_is_taken_back(rig: Rig) -> None:
    claim_and_hold(rig, a=good(1), b=dirty(), c=good(3))
    rig.workers.work(2)
    assert len(rig.entries()) == 1
    rig.ingest.stop()
    assert rig.entries() == []


def test_stopping_after_a_step_broke_off_ends_it_first(rig: Rig) -> None:
    rig.break_ledger("UPDATE OF ended_at ON batches")
    (drop,) = rig.put(a=good(2))
    rig.ingest.claim([drop])
    rig.ingest.pump()
    with pytest.raises(LedgerError):
        rig.ingest.collect()
    rig.mend_ledger()
    rig.ingest.stop()
    assert rig.state(drop) is State.INGESTED
    assert rig.rows() == {drop.id: 2}


def test_a_killed_daemon_is_resolved_by_the_next_one(rig: Rig) -> None:
    drops = claim_and_hold(rig, a=good(1), b=good(2), c=good(3), d=good(4))
    rig.workers.work(1)
    rig.ingest.collect()
    rig.crash()
    rig.workers.stop()
    rig.workers.hold = False
    rig.start()
    assert rig.staged()
    assert rig.ingest.recover() == 4
    assert rig.staged() == set()
    rig.loop.run_once()
    assert rig.rows() == {drop.id: number for number, drop in enumerate(drops, 1)}


def test_units_of_two_daemons_never_share_a_name(rig: Rig) -> None:
    """A file of that name may be part of the table already, and would be overwritten."""
    rig.take_in(a=good(1))
    rig.close()
    rig.start()
    rig.take_in(b=good(2))
    assert len(rig.staged()) == 2
    assert sum(rig.rows().values()) == 3
