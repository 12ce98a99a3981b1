"""Committing: intent, one transaction, record, in this order; what the table refuses is taken back as a whole."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest

from daemon.claims import Claims
from daemon.errors import LedgerError, StoreError, UndoneError, WorkError
from daemon.ledger import Ledger
from daemon.model import Batch, Drop, OnRevision, State
from daemon.places import Place
from daemon.stores.delta import DeltaStore
from tests.unit.daemon.conftest import Rig, dirty, good

REJECTED = b"nothing,of,ours\n1,2,3\n"


class Brittle(DeltaStore):
    """A store whose next commit fails: before it, or after it though it is in; or of which nobody can tell then."""

    fails: str = ""
    #: What the ledger holds, to look into at the moment of the commit.
    ledger: Ledger | None = None
    seen: tuple[Batch, ...] = ()

    def commit(self, batch: Batch, schema: pa.Schema) -> None:
        if self.ledger is not None:
            self.seen = self.ledger.open_batches()
        if self.fails in ("before", "lost"):
            raise StoreError("the disk is full")
        super().commit(batch, schema)
        if self.fails == "after":
            self.fails = ""
            raise StoreError("the connection broke off")

    def last_batch(self, feed: str) -> int:
        if self.fails == "lost" and self.ledger is not None and self.ledger.open_batches():
            raise StoreError("the disk is gone")
        return super().last_batch(feed)


def brittle(place: Place, app: str) -> Brittle:
    return Brittle(place, app=app)


@pytest.fixture
def store_fails(rig_of: Callable[..., Rig]) -> Callable[[str], Rig]:
    def make(how: str) -> Rig:
        rig = rig_of(store_of=brittle)
        assert isinstance(rig.store, Brittle)
        rig.store.fails, rig.store.ledger = how, rig.ledger
        return rig

    return make


def claimed(rig: Rig, **files: bytes) -> tuple[Claims, tuple[Drop, ...]]:
    claims = Claims(rig.ledger, rig.quarantine, rig.clock)
    return claims, tuple(claims.claim(rig.put(**files)))


def commit(rig: Rig, *units: tuple[Drop, ...], claims: Claims) -> Claims:
    prepared = [rig.prepare(unit, unit=f"u{drop.id}")[1] for unit in units for drop in unit[:1]]
    rig.committing(claims).commit("metrics", prepared)
    return claims


# ---------------------------------------------------------------- COMMIT


def test_units_of_a_feed_become_one_transaction(rig: Rig) -> None:
    claims, (a, b) = claimed(rig, a=good(2), b=dirty())
    commit(rig, (a,), (b,), claims=claims)

    assert rig.rows() == {a.id: 2, b.id: 9}
    assert rig.store.last_batch("metrics") == rig.ledger.last_batch("metrics") == 1
    assert [(row.state, row.batch) for row in map(rig.ledger.drop, (a.id, b.id))] == [
        (State.INGESTED, 1),
        (State.PARTIAL, 1),
    ]


def test_the_intent_is_in_the_ledger_before_the_table_is_touched_and_the_outcome_only_after(
    store_fails: Callable[[str], Rig],
) -> None:
    rig = store_fails("")
    claims, (a,) = claimed(rig, a=good(2))
    commit(rig, (a,), claims=claims)

    assert isinstance(rig.store, Brittle)
    (intended,) = rig.store.seen
    assert [(outcome.drop_id, outcome.state) for outcome in intended.outcomes] == [(a.id, State.INGESTED)]
    assert {Path(file.path).name for file in intended.files} == rig.in_table()
    assert rig.ledger.open_batches() == ()
    assert rig.kinds(a) == ["claimed", "recorded"]


def test_what_brings_no_rows_needs_no_transaction(rig: Rig) -> None:
    claims, (a,) = claimed(rig, a=REJECTED)
    commit(rig, (a,), claims=claims)

    assert rig.state(a) is State.REJECTED
    assert rig.kinds(a) == ["claimed", "finished"]
    assert not rig.store.exists("metrics")


def test_a_table_newer_than_the_ledger_gets_a_number_above_its_own(rig: Rig) -> None:
    rig.store.commit(Batch(number=41, feed="metrics", outcomes=()), pa.schema([("customer", pa.string())]))
    claims, (a,) = claimed(rig, a=good(1))
    commit(rig, (a,), claims=claims)
    assert (rig.ledger.drop(a.id).batch, rig.store.last_batch("metrics")) == (42, 42)
    assert rig.rows() == {a.id: 1}


def test_what_the_table_refuses_is_taken_back_as_a_whole(store_fails: Callable[[str], Rig]) -> None:
    rig = store_fails("before")
    claims, (a, b) = claimed(rig, a=good(2), b=good(3))
    with pytest.raises(UndoneError, match="the disk is full"):
        commit(rig, (a,), (b,), claims=claims)

    assert rig.staged() == set()
    assert rig.ledger.open_batches() == ()
    assert not claims
    assert [(each.drop.attempt, each.not_before) for each in rig.ledger.waiting()] == [(1, 0.0)] * 2
    assert rig.ledger.drop(a.id).reason == "the disk is full"


def test_what_the_table_took_though_it_said_no_is_recorded(store_fails: Callable[[str], Rig]) -> None:
    rig = store_fails("after")
    claims, (a,) = claimed(rig, a=good(2))
    commit(rig, (a,), claims=claims)
    assert rig.state(a) is State.INGESTED
    assert rig.rows() == {a.id: 2}


def test_where_nobody_can_tell_what_the_table_took_nothing_is_taken_back(store_fails: Callable[[str], Rig]) -> None:
    rig = store_fails("lost")
    claims, (a,) = claimed(rig, a=good(2))
    with pytest.raises(StoreError, match="the disk is gone") as caught:
        commit(rig, (a,), claims=claims)
    assert not isinstance(caught.value, UndoneError)
    assert len(rig.ledger.open_batches()) == 1
    assert len(rig.staged()) == 1
    assert rig.state(a) is State.WORKING


def test_a_report_that_is_not_on_the_disk_stops_the_batch_before_anything_is_begun(rig: Rig) -> None:
    claims, (b,) = claimed(rig, b=dirty())
    _, prepared = rig.prepare([b])
    rig.quarantine.remove("default", "metrics", b.id)
    with pytest.raises(WorkError, match=r"The quarantine at .* cannot be used"):
        rig.committing(claims).commit("metrics", [prepared])
    assert rig.ledger.open_batches() == ()
    assert not rig.store.exists("metrics")


def test_a_ledger_that_cannot_record_leaves_the_intent_for_recovery(rig: Rig) -> None:
    claims, (a,) = claimed(rig, a=good(2))
    rig.break_ledger("UPDATE ON batches")
    with pytest.raises(LedgerError):
        commit(rig, (a,), claims=claims)
    rig.mend_ledger()
    assert len(rig.ledger.open_batches()) == 1
    assert rig.state(a) is State.WORKING
    assert rig.rows() == {a.id: 2}


# ---------------------------------------------------------------- REVISIONS


@pytest.mark.parametrize(
    ("revision", "second", "left"),
    [
        (OnRevision.REPLACE, good(5, "v"), {1: 5}),
        (OnRevision.REPLACE, dirty("v"), {1: 9}),
        (OnRevision.REPLACE, REJECTED, {0: 2}),
        (OnRevision.APPEND, good(5, "v"), {0: 2, 1: 5}),
    ],
    ids=["replaced", "replaced-by-a-part", "a-rejected-one-replaces-nothing", "appended"],
)
def test_a_revision_takes_the_place_of_the_rows_before_it_where_the_feed_says_so(
    rig_of: Callable[..., Rig], revision: OnRevision, second: bytes, left: dict[int, int]
) -> None:
    rig = rig_of(feed_revision=revision)
    versions = []
    for data in (good(2), second):
        claims, (drop,) = claimed(rig, a=data)
        commit(rig, (drop,), claims=claims)
        versions.append(drop.id)
    assert rig.rows() == {versions[number]: rows for number, rows in left.items()}
    superseded = rig.ledger.drop(versions[0]).superseded_by
    assert superseded == (None if 0 in left else versions[1])
