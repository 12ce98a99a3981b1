"""Recovery: what a crash left is brought to an end, by what the table holds and never by guessing."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace

import pytest

from daemon.errors import LedgerError, StoreError
from daemon.model import State
from daemon.places.folder import FolderPlace
from daemon.recovery import recover
from daemon.stores.delta import DeltaStore
from tests.unit.daemon.conftest import Rig, dirty, good


class Unreadable(DeltaStore):
    """A store whose tables nobody can look into."""

    def last_batch(self, feed: str) -> int:
        raise StoreError(f"{feed}: the disk is gone")


def recovered(rig: Rig) -> int:
    return recover(rig.parts, rig.hold.crashed)


def test_where_nothing_was_left_nothing_changes(rig: Rig) -> None:
    (drop,) = rig.take_in(a=good(2))
    rig.close()
    rig.start()
    assert rig.hold.crashed == ()
    assert recovered(rig) == 0
    assert rig.state(drop) is State.INGESTED
    assert rig.rows() == {drop.id: 2}
    assert rig.told.entries[-1]["event"] == "drop.ingested"


def test_a_batch_that_the_table_holds_is_recorded(rig: Rig) -> None:
    """Killed between the table's commit and the ledger's record."""
    rig.break_ledger("UPDATE ON batches")
    with pytest.raises(LedgerError):
        rig.take_in(a=good(3), b=dirty())
    rig.crash()
    rig.mend_ledger()
    rig.start()
    assert len(rig.ledger.open_batches()) == 1
    assert len(rig.source.archived) == 0

    assert recovered(rig) == 0
    assert recovered(rig) == 0
    a, b = sorted(rig.ledger.drops(), key=lambda row: row.name)
    assert (a.state, b.state, a.batch, b.batch) == (State.INGESTED, State.PARTIAL, 1, 1)
    assert rig.rows() == {a.id: 3, b.id: 9}
    assert {drop.id for drop, _ in rig.ledger.unsettled()} == {a.id, b.id}
    assert [(event["batch"], event["drops"]) for event in rig.events("batch.recovered")] == [(1, 2)]


def test_a_batch_that_the_table_does_not_hold_is_forgotten_with_its_files(rig: Rig) -> None:
    """Killed between the intent and the table's commit."""
    drops = rig.put(a=good(3))
    rig.ledger.claim(drops, rig.clock())
    _, prepared = rig.prepare(drops)
    intended = rig.intend(prepared)
    rig.crash()
    rig.start()
    assert rig.staged()

    assert recovered(rig) == 0
    assert rig.ledger.open_batches() == ()
    assert rig.staged() == set()
    assert [(each.drop, each.not_before) for each in rig.ledger.waiting()] == [(drops[0], 0.0)]
    assert not rig.store.exists("metrics")
    # Its number is never given to another batch: the table could not tell the two apart.
    rig.ingest.claim(rig.intake.look().drops)
    rig.turn()
    assert rig.ledger.drop(drops[0].id).batch == intended.number + 1
    assert rig.rows() == {drops[0].id: 3}


def test_what_crashed_daemons_have_staged_goes_and_what_is_in_the_table_stays(rig: Rig) -> None:
    rig.take_in(a=good(1))
    kept = rig.staged()
    sessions = [rig.hold.session]
    for name in ("b", "c"):
        rig.prepare(rig.put(**{name: good(2, tag=name)})[:1], unit=f"{rig.hold.session}-99")
        rig.crash()
        rig.start()
        sessions.append(rig.hold.session)
    rig.prepare(rig.put(d=good(2, tag="d"))[:1], unit="another")
    assert rig.hold.crashed == tuple(sessions[:2])

    recovered(rig)
    assert {name.split("-")[1] for name in rig.staged() - kept} == {"another"}
    assert rig.rows() == {rig.ledger.drops()[0].id: 1}


def test_drops_at_work_are_found_again(rig: Rig) -> None:
    drops = rig.put(a=good(1), b=good(2))
    rig.ingest.claim(drops)
    rig.crash()
    rig.start()
    assert recovered(rig) == 2
    assert rig.kinds(drops[0]) == ["claimed", "recovered"]
    assert recovered(rig) == 0


def test_what_workers_were_writing_into_the_quarantine_is_cleared_away(rig: Rig) -> None:
    rig.take_in(b=dirty())
    entry = rig.quarantine.open("default", "metrics", "half")
    entry.rejected_path.write_text("half of it")
    kept = [name for name in rig.entries() if not name.startswith(".")]
    assert len(rig.entries()) == 2

    recovered(rig)
    assert rig.entries() == kept


def test_what_was_published_of_a_drop_without_an_outcome_is_taken_back(rig: Rig) -> None:
    """It may be a duplicate the next time, or have been taken away, and nobody would ever take its entry back."""
    kept, *_ = rig.take_in(kept=dirty("k"))
    (drop,) = rig.put(b=dirty())
    rig.ledger.claim([drop], rig.clock())
    rig.prepare([drop])
    rig.crash()
    rig.start()
    assert sorted(rig.entries()) == sorted([kept.id, drop.id])

    recovered(rig)
    assert rig.entries() == [kept.id]


def test_a_table_that_cannot_be_read_is_not_taken_for_an_empty_one(rig_of: Callable[..., Rig]) -> None:
    rig = rig_of()
    drops = rig.put(a=good(3))
    rig.ledger.claim(drops, rig.clock())
    _, prepared = rig.prepare(drops)
    rig.intend(prepared)
    rig.crash()
    rig.start()
    staged = rig.staged()
    unreadable = Unreadable(FolderPlace(rig.folder / "tables"), app=rig.ledger.identity)

    with pytest.raises(StoreError, match="metrics: the disk is gone"):
        recover(replace(rig.parts, store=unreadable), rig.hold.crashed)
    assert len(rig.ledger.open_batches()) == 1
    assert rig.staged() == staged
    assert rig.state(drops[0]) is State.WORKING


@pytest.mark.parametrize(
    "change",
    [
        "INSERT ON drops",
        "INSERT ON batches",
        "UPDATE OF batch ON drops",
        "UPDATE OF ended_at ON batches",
        "UPDATE OF settled_at ON drops",
    ],
    ids=lambda change: change.replace(" ", "_"),
)
def test_wherever_the_ledger_breaks_off_every_row_is_in_one_place_in_the_end(rig: Rig, change: str) -> None:
    drops = rig.put(a=good(3), b=dirty(), c=good(3))  # c has the bytes of a
    rig.break_ledger(change)
    with suppress(LedgerError):
        rig.ingest.claim(drops)
        rig.turn()
    assert rig.source.archived == {} or "settled_at" in change
    rig.crash()
    rig.mend_ledger()
    rig.start()
    rig.ingest.recover()
    rig.loop.run_once()

    a, b, c = (rig.ledger.drop(drop.id) for drop in drops)
    assert [row.state for row in (a, b, c)] == [State.INGESTED, State.PARTIAL, State.DUPLICATE]
    assert rig.rows() == {a.id: 3, b.id: 9}
    assert len(rig.source.archived) == 3
    assert rig.staged() == rig.in_table()
