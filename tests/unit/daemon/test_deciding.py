"""Decisions on their way: each is carried out once or refused with the reason, whatever breaks off or comes between."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from daemon.decisions import Action, Decision
from daemon.errors import LedgerError, StoreError, UndoneError, WorkerError
from daemon.model import Batch, OnDuplicate, OnRevision, Outcome
from daemon.quarantine import Quarantine
from daemon.quarantine.entries import coming
from daemon.stores.delta import DeltaStore
from tests.unit.daemon.decided import MIXED, STRICT, Desk, orders


@pytest.fixture
def desk_of(tmp_path: Path) -> Iterator[Callable[..., Desk]]:
    """Make a daemon; keywords change its feed."""
    made: list[Desk] = []

    def make(**feed: Any) -> Desk:
        made.append(Desk(tmp_path, **feed))
        return made[-1]

    yield make
    for desk in made:
        desk.rig.close()


@pytest.fixture
def desk(desk_of: Callable[..., Desk]) -> Desk:
    return desk_of()


# ---------------------------------------------------------------- ONCE


def test_a_decision_is_carried_out_once_however_often_it_is_looked_for(desk: Desk) -> None:
    drop = desk.take_in("a.csv", MIXED)
    desk.judge_by()
    done = desk.decide(drop)
    desk.carry_out(turns=3)

    assert (done.state, done.rows_accepted, done.feed, done.batch) == ("done", 1, "metrics", 2)
    assert done.note == "1 row went into the table, 6 stay in quarantine"
    assert desk.names() == ["us"]
    assert desk.counts(drop) == ("partial", 17, 11, 6)
    assert desk.rig.kinds(drop) == ["claimed", "recorded", "settled", "released"]
    assert not desk.rig.ingest.busy


def test_many_decisions_share_a_commit(desk: Desk) -> None:
    drops = [desk.take_in(f"{number}.csv", orders("1,DE,1", f"us{number},US,1")) for number in range(5)]
    desk.judge_by()
    version = desk.rig.store.last_batch("metrics")
    for drop in drops:
        desk.leave(drop)
    desk.carry_out(turns=2)

    assert desk.names() == [f"us{number}" for number in range(5)]
    assert desk.rig.store.last_batch("metrics") <= version + 2
    assert {desk.counts(drop)[0] for drop in drops} == {"ingested"}


def test_a_drop_waits_for_one_decision_at_a_time(desk: Desk) -> None:
    drop = desk.take_in("a.csv", MIXED)
    desk.leave(drop)
    again = Decision(drop_id=drop.id, action=Action.DISCARD, by="tester", at=1.0)

    assert desk.rig.ledger.decisions.add([again]) == ()
    assert desk.rig.ledger.decisions.waiting() == 1
    desk.carry_out()
    assert len(desk.rig.ledger.decisions.add([again])) == 1


def test_discarding_moves_nothing_and_has_an_event(desk: Desk) -> None:
    drop = desk.take_in("a.csv", MIXED)
    before = desk.counts(drop)
    done = desk.decide(drop, Action.DISCARD)

    assert (done.state, done.rows_accepted) == ("done", 0)
    assert desk.counts(drop) == before
    assert desk.rig.kinds(drop)[-1] == "decided"
    assert desk.rig.ledger.decisions.fitting("metrics") == ()


# ---------------------------------------------------------------- WHAT COMES BETWEEN


def test_a_decision_on_a_drop_that_was_superseded_meanwhile_is_refused(desk: Desk) -> None:
    drop = desk.take_in("a.csv", MIXED)
    desk.judge_by()
    desk.leave(drop)
    desk.rig.workers.hold = True
    desk.rig.ingest.decide()
    desk.rig.ingest.pump()
    desk.rig.workers.work()
    desk.rig.workers.hold = False
    # Reviewed, and not yet committed, when a newer version of the file is.
    newer = desk.take_in("a.csv", orders("new,DE,1"))

    (decision,) = desk.decisions(drop)
    assert desk.names() == ["new"]
    assert decision.state in ("refused", "done")
    assert desk.rig.ledger.drop(newer.id).state == "ingested"
    assert desk.row(drop).superseded_by == newer.id
    assert [name for name in desk.rig.entries() if name.startswith(".")] == []


def test_a_decision_that_waits_while_its_drop_is_superseded_is_refused(desk: Desk) -> None:
    drop = desk.take_in("a.csv", MIXED)
    desk.leave(drop)
    newer = desk.take_in("a.csv", orders("new,DE,1"))
    desk.carry_out()

    (decision,) = desk.decisions(drop)
    assert decision.state == "refused"
    assert f"superseded by drop {newer.id}" in decision.note
    assert desk.names() == ["new"]


def test_a_rejected_version_replaces_an_earlier_one_when_it_is_released(desk: Desk) -> None:
    first = desk.take_in("a.csv", orders("first,DE,1"))
    second = desk.take_in("a.csv", orders("second,US,1"))
    desk.judge_by()
    assert desk.decide(second).state == "done"

    assert desk.names() == ["second"]
    assert desk.row(first).superseded_by == second.id
    assert desk.counts(second) == ("ingested", 1, 1, 0)


def test_a_rejected_version_is_not_released_over_a_later_one(desk: Desk) -> None:
    first = desk.take_in("a.csv", orders("first,US,1"))
    second = desk.take_in("a.csv", orders("second,DE,1"))
    desk.judge_by()
    decision = Decision(drop_id=first.id, action=Action.RELEASE, by="tester", at=desk.rig.clock.now)

    assert desk.row(first).superseded_by == second.id
    assert desk.rig.ledger.decisions.add([decision]) == ()
    assert desk.names() == ["second"]


def test_where_versions_are_appended_an_earlier_one_may_be_released(desk_of: Callable[..., Desk]) -> None:
    desk = desk_of(revision=OnRevision.APPEND)
    first = desk.take_in("a.csv", orders("first,US,1"))
    desk.take_in("a.csv", orders("second,DE,1"))
    desk.judge_by()

    assert desk.decide(first).state == "done"
    assert desk.names() == ["first", "second"]


def test_where_a_name_is_taken_once_a_refused_version_stays_refused(desk_of: Callable[..., Desk]) -> None:
    desk = desk_of(revision=OnRevision.REJECT)
    desk.take_in("a.csv", orders("first,DE,1"))
    second = desk.take_in("a.csv", orders("second,DE,1"))
    decision = desk.decide(second)

    assert decision.state == "refused"
    assert "the feed takes a name once" in decision.note
    desk.judge_by(STRICT, revision=OnRevision.REPLACE)
    assert desk.decide(second).state == "done"
    assert desk.names() == ["second"]


@pytest.mark.parametrize("duplicates", list(OnDuplicate))
def test_the_same_bytes_are_released_twice_only_where_duplicates_are_ingested(
    desk_of: Callable[..., Desk], duplicates: OnDuplicate
) -> None:
    desk = desk_of(duplicates=duplicates)
    first = desk.take_in("a.csv", orders("us,US,1"))
    desk.judge_by('"DE"')
    second = desk.take_in("b.csv", orders("us,US,1"))
    assert (desk.counts(first)[0], desk.counts(second)[0]) == ("rejected", "rejected")
    desk.judge_by()
    desk.leave(first)
    desk.leave(second)
    desk.carry_out(turns=2)

    twice = duplicates is OnDuplicate.INGEST
    assert desk.names() == (["us", "us"] if twice else ["us"])
    assert desk.decisions(second)[0].state == ("done" if twice else "refused")


def test_a_decision_on_a_feed_that_is_gone_is_refused(desk: Desk) -> None:
    drop = desk.take_in("a.csv", MIXED)
    desk.leave(drop)
    desk.rig.close()
    desk.rig.start()
    desk.rig.ingest._deciding._feeds = {}
    desk.rig.ingest.decide()

    assert desk.decisions(drop)[0].note == "there is no feed 'metrics' any more"


# ---------------------------------------------------------------- WHAT BREAKS OFF


def test_a_worker_that_is_lost_is_tried_again_and_then_the_decision_fails(desk: Desk) -> None:
    drop = desk.take_in("a.csv", MIXED)
    desk.judge_by()
    desk.leave(drop)
    desk.rig.workers.hold = True
    for go in range(3):
        desk.rig.ingest.decide()
        desk.rig.ingest.pump()
        desk.rig.workers.lose(WorkerError("the worker was killed"))
        desk.rig.ingest.collect()
        assert [each.attempt for each in desk.decisions(drop)] == [min(go + 1, 2)]
        desk.rig.ingest.decide()
        assert desk.rig.workers.waiting == 0
        desk.rig.clock.now += 100.0

    (decision,) = desk.decisions(drop)
    assert (decision.state, decision.note) == ("failed", "the worker was killed")
    assert desk.counts(drop) == ("partial", 17, 10, 7)
    assert not desk.rig.ingest.busy
    desk.rig.workers.hold = False
    assert desk.decide(drop).state == "done"


def test_a_table_that_takes_nothing_leaves_the_decision_waiting(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    drop = desk.take_in("a.csv", MIXED)
    desk.judge_by()
    desk.leave(drop)
    before = desk.rig.staged()
    with monkeypatch.context() as broken:

        def refuse(*_: object) -> None:
            raise StoreError("the disk is full")

        broken.setattr(DeltaStore, "commit", refuse)
        with pytest.raises(UndoneError, match="the disk is full"):
            desk.carry_out()
    assert desk.decisions(drop)[0].state == "pending"
    assert desk.rig.staged() == before
    assert [name for name in desk.rig.entries() if name.startswith(".")] == []
    assert desk.kept(drop) != []
    desk.carry_out()

    assert desk.decisions(drop)[0].state == "done"
    assert desk.counts(drop) == ("partial", 17, 11, 6)


@pytest.mark.parametrize("step", ["commit", "promote", "record"])
def test_killed_around_the_commit_it_is_brought_to_its_end_at_the_next_start(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    drop = desk.take_in("a.csv", MIXED)
    desk.judge_by()
    desk.leave(drop)
    with monkeypatch.context() as broken:
        kill(broken, desk, step)
        with pytest.raises(KeyboardInterrupt):
            desk.carry_out()
    desk.restart_after_crash()
    desk.carry_out()

    assert desk.names() == ["us"]
    assert desk.counts(drop) == ("partial", 17, 11, 6)
    assert [each.state for each in desk.decisions(drop)] == ["done"]
    assert [name for name in desk.rig.entries() if name.startswith(".")] == []
    assert desk.rig.staged() == desk.rig.in_table()


def kill(broken: pytest.MonkeyPatch, desk: Desk, step: str) -> None:
    """Have the daemon break off before a step."""

    def die(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    if step == "commit":
        broken.setattr(DeltaStore, "commit", die)
    elif step == "promote":
        broken.setattr(Quarantine, "promote", die)
    else:
        broken.setattr(type(desk.rig.ledger), "record", die)


def test_killed_between_the_two_renames_the_new_entry_ends_in_its_place(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    drop = desk.take_in("a.csv", MIXED)
    desk.judge_by()
    desk.leave(drop)
    with monkeypatch.context() as broken:
        rename = Path.rename

        def die_after(path: Path, target: Path) -> Path:
            renamed = rename(path, target)
            if target.name.endswith(".old"):
                raise KeyboardInterrupt
            return renamed

        broken.setattr(Path, "rename", die_after)
        with pytest.raises(KeyboardInterrupt):
            desk.carry_out()
    folder = desk.entry(drop)
    assert not folder.exists()
    assert Path(coming(str(folder))).exists()
    desk.restart_after_crash()

    assert desk.counts(drop) == ("partial", 17, 11, 6)
    assert [name for name in desk.rig.entries() if name.startswith(".")] == []


def test_stopped_while_decisions_are_reviewed_it_takes_them_up_again(desk: Desk) -> None:
    drop = desk.take_in("a.csv", MIXED)
    desk.judge_by()
    desk.leave(drop)
    desk.rig.workers.hold = True
    desk.rig.ingest.decide()
    desk.rig.ingest.pump()
    assert desk.rig.ingest.busy
    desk.rig.ingest.stop()
    desk.rig.workers.hold = False
    desk.rig.close()
    desk.rig.start()
    assert desk.rig.ingest.recover() == 0
    desk.carry_out()

    assert desk.names() == ["us"]
    assert desk.decisions(drop)[0].attempt == 0


def test_a_batch_of_decisions_is_not_intended_twice(desk: Desk) -> None:
    drop = desk.take_in("a.csv", MIXED)
    desk.judge_by()
    done = desk.decide(drop)
    row = desk.row(drop)
    again = Outcome(drop_id=row.id, state=row.state, rows=row.rows, decision=done.id)
    with pytest.raises(LedgerError, match="was carried out"):
        desk.rig.ledger.intend(Batch(number=0, feed="metrics", outcomes=(again,)), 1.0)
