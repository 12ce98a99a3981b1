"""Vetting: what was true when a unit was worked is looked at again before its commit; what is not is worked again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from daemon.claims import Claims
from daemon.decisions import Action, Decision, Standing
from daemon.errors import LedgerError, StoreError
from daemon.ingest import LINGER_SECONDS
from daemon.model import Drop, OnDuplicate, OnRevision, State
from daemon.vetting import Vetted, Vetting
from tests.unit.daemon.conftest import Rig, dirty, good

CONTRACT = """
import pandera.pandas as pa
from pandera.typing import Series

class Orders(pa.DataFrameModel):
    order_id: Series[str]
    quantity: Series[{quantity}]
    extra: Series[{extra}] | None = pa.Field(alias="n_.*", regex=True, nullable=True)
"""


def vet(rig: Rig, claims: Claims, *units: tuple[Drop, ...]) -> Vetted:
    finished = [rig.prepare(unit, unit=f"u{number}") for number, unit in enumerate(units)]
    return Vetting(rig.parts, claims).vet("metrics", finished)


def claimed(rig: Rig, **files: bytes) -> tuple[Claims, tuple[Drop, ...]]:
    claims = Claims(rig.ledger, rig.quarantine, rig.clock)
    return claims, tuple(claims.claim(rig.put(**files)))


def stale(vetted: Vetted) -> list[tuple[list[str], set[str]]]:
    """Return, for each unit that is worked again, its drops' names, and whose bytes it is told of."""
    return [([drop.found.name for drop in drops], {whose for whose, _ in known}) for drops, known in vetted.again]


def held(rig: Rig, **files: bytes) -> tuple[Drop, ...]:
    """Claim drops; their units wait to be worked."""
    rig.workers.hold = True
    drops = rig.put(**files)
    rig.ingest.claim(drops)
    rig.ingest.pump()
    return drops


# ---------------------------------------------------------------- WHAT IS KNOWN BY NOW


def test_the_second_of_two_units_with_the_same_bytes_is_worked_again(rig: Rig) -> None:
    claims, (a, b, c) = claimed(rig, a=good(2), b=good(2), c=good(3))
    vetted = vet(rig, claims, (a,), (b,), (c,))
    assert [each.unit for each in vetted.sound] == ["u0", "u2"]
    assert stale(vetted) == [(["metrics/b.csv"], {"default"})]


def test_a_unit_whose_bytes_have_come_into_the_table_since_is_worked_again(rig: Rig) -> None:
    rig.take_in(a=good(2))
    claims, (b,) = claimed(rig, b=good(2))
    assert stale(vet(rig, claims, (b,))) == [(["metrics/b.csv"], {"default"})]


def test_another_customers_bytes_are_not_known(rig: Rig) -> None:
    rig.take_in(a=good(2))
    rig.source.put("acme/metrics/a.csv", good(2))
    claims = Claims(rig.ledger, rig.quarantine, rig.clock)
    (b,) = claims.claim(rig.intake.look().drops)
    assert b.customer == "acme"
    assert vet(rig, claims, (b,)).again == ()


def test_a_unit_that_is_worked_again_itself_makes_no_other_so(rig: Rig) -> None:
    """It is worked again without what is known, so what else it brings may still have to come from another unit."""
    claims, (a, b, c, d) = claimed(rig, a=good(2), b=good(2), c=good(3), d=good(3))
    vetted = vet(rig, claims, (a,), (b, c), (d,))
    assert stale(vetted) == [(["metrics/b.csv", "metrics/c.csv"], {"default"})]


def test_a_feed_that_takes_duplicates_has_none(rig_of: Callable[..., Rig]) -> None:
    rig = rig_of(feed_duplicates=OnDuplicate.INGEST)
    claims, (a, b) = claimed(rig, a=good(2), b=good(2))
    assert vet(rig, claims, (a,), (b,)).again == ()


def test_nothing_is_left_of_a_unit_that_is_worked_again(rig: Rig) -> None:
    rig.take_in(a=good(2))
    claims, (b, c) = claimed(rig, b=good(2), c=dirty())
    before = rig.staged()
    assert len(vet(rig, claims, (b, c)).again) == 1
    assert rig.staged() == before
    assert rig.entries() == []


# ---------------------------------------------------------------- WHAT WAS TAKEN FOR KNOWN


def test_rows_of_which_a_duplicate_waits_for_its_commit_stay_though_a_newer_version_comes_with_it(rig: Rig) -> None:
    (first,) = rig.take_in(a=good(2))
    # Given a copy of a's bytes, found out to be one, that waits to share the commit of another unit
    copy, other = held(rig, copy=good(2), other=good(5, "o"))
    rig.workers.work(1)
    rig.ingest.collect()
    # When a newer version of a is committed with it
    (newer,) = held(rig, a=good(3, "new"))
    rig.workers.work()
    rig.ingest.collect()

    assert [rig.state(drop) for drop in (copy, other, newer)] == [State.DUPLICATE, State.INGESTED, State.INGESTED]
    assert rig.rows() == {newer.id: 3, other.id: 5, first.id: 2}
    assert not rig.ingest.busy


def test_a_duplicate_that_was_found_out_before_a_newer_version_was_committed_is_ingested(rig: Rig) -> None:
    """In a batch of its own, after that of the newer version."""
    rig.take_in(a=good(2))
    newer, copy = held(rig, a=good(3, "new"), copy=good(2))
    rig.workers.work(1)
    rig.clock.now += LINGER_SECONDS
    rig.ingest.collect()
    rig.clock.now += LINGER_SECONDS
    rig.ingest.collect()
    assert [rig.state(drop) for drop in (newer, copy)] == [State.INGESTED, State.WORKING]
    for _ in range(2):
        rig.turn()
    assert rig.rows() == {newer.id: 3, copy.id: 2}


def test_rows_of_which_a_duplicate_comes_with_the_newer_version_stay(rig: Rig) -> None:
    (old,) = rig.take_in(a=good(2))
    claims, (newer, copy) = claimed(rig, a=good(3, "new"), copy=good(2))
    unit, prepared = rig.prepare([newer, copy], known=frozenset({("default", rig.ledger.drop(old.id).sha256)}))
    assert [each.state for each in prepared.outcomes] == [State.DUPLICATE, State.INGESTED]

    vetted = Vetting(rig.parts, claims).vet("metrics", [(unit, prepared)])
    assert (vetted.sound, vetted.again) == ((prepared,), ())
    rig.committing(claims).commit("metrics", vetted.sound)
    assert rig.rows() == {old.id: 2, newer.id: 3}


def test_a_duplicate_of_rows_that_are_in_the_table_or_come_with_its_batch_stays_one(rig: Rig) -> None:
    rig.take_in(a=good(2))
    claims, drops = claimed(rig, b=good(2), c=good(3), d=good(3))
    known = frozenset({("default", rig.ledger.history("metrics/a.csv")[0].sha256)})
    finished = [rig.prepare(drops, known=known)]
    vetted = Vetting(rig.parts, claims).vet("metrics", finished)
    found = {each.drop_id: each.state for each in vetted.sound[0].outcomes}
    assert [found[drop.id] for drop in drops] == [State.DUPLICATE, State.INGESTED, State.DUPLICATE]
    assert vetted.again == ()


def test_a_copy_of_bytes_whose_name_alone_was_refused_is_ingested(rig_of: Callable[..., Rig]) -> None:
    rig = rig_of(feed_revision=OnRevision.REJECT)
    rig.take_in(a=good(2))
    refused, copy = rig.put(a=good(3), copy=good(3))
    rig.ingest.claim([refused, copy])
    for _ in range(3):
        rig.turn()
    assert [rig.state(drop) for drop in (refused, copy)] == [State.REJECTED, State.INGESTED]
    assert rig.rows()[copy.id] == 3
    assert not rig.ingest.busy


# ---------------------------------------------------------------- WHAT THE TABLE NEVER TAKES


class Orders:
    """A feed whose contract changes between two starts of the daemon."""

    def __init__(self, rig_of: Callable[..., Rig], folder: Path) -> None:
        self._folder, self._contracts = folder, 0
        self.rig = rig_of(feed_contract=self._contract(), feed_base=folder)

    def _contract(self, quantity: str = "int", extra: str = "str") -> str:
        # Under a new name each time: contracts are loaded once in a process.
        self._contracts += 1
        name = f"orders{self._contracts}.py"
        (self._folder / name).write_text(CONTRACT.format(quantity=quantity, extra=extra))
        return f"{name}:Orders"

    def judge_by(self, **types: str) -> None:
        """Start again with another contract."""
        self.rig.close()
        self.rig.feed = replace(self.rig.feed, contract=self._contract(**types))
        self.rig.start()
        self.rig.ingest.recover()


@pytest.fixture
def orders(rig_of: Callable[..., Rig], tmp_path: Path) -> Orders:
    return Orders(rig_of, tmp_path)


def order(tag: str, **extra: str) -> bytes:
    """Return a file with one order, and with columns of its own."""
    return "\n".join((",".join(("order_id", "quantity", *extra)), ",".join((tag, "1", *extra.values())))).encode()


def test_only_the_drop_whose_column_has_another_type_than_the_tables_fails(orders: Orders) -> None:
    """Worked together with others in one unit, and told what to do."""
    orders.rig.take_in(first=order("f", n_note="text"))
    orders.judge_by(extra="float")
    rig = orders.rig
    files = {"a": order("a"), "b": order("b", n_note="1.5"), "c": order("c", n_size="2"), "d": b"nothing,of\n1,2\n"}
    drops = rig.put(**files)
    rig.ingest.claim(drops)
    for _ in range(3):
        rig.turn()

    assert [rig.state(drop) for drop in drops] == [State.INGESTED, State.FAILED, State.INGESTED, State.REJECTED]
    row = rig.ledger.drop(drops[1].id)
    assert row.reason == (
        "column 'n_note' is double in the file, as the contract has it, and string in the table, where a column keeps "
        "its type. Give the column its earlier type or another name in the contract, or give the feed another name, "
        "which starts a new table."
    )
    assert (row.attempt, row.settled_at) == (1, None)
    assert rig.kinds(drops[1]) == ["claimed", "finished"]
    assert rig.staged() == rig.in_table()
    assert rig.entries() == [drops[3].id]
    assert rig.ledger.open_batches() == ()
    assert not rig.ingest.busy

    # And with the contract mended it is only to be asked for again
    orders.judge_by(extra="str")
    orders.rig.ledger.retry(None, rig.clock())
    orders.rig.loop.run_once()
    assert orders.rig.state(drops[1]) is State.INGESTED


def test_of_two_drops_with_columns_that_a_table_cannot_tell_apart_the_second_fails(orders: Orders) -> None:
    """Neither is in the table yet, and both are in one unit."""
    rig = orders.rig
    drops = rig.put(a=order("a", n_note="x"), b=order("b", N_note="y", n_size="2"), c=order("c", n_Note="y"))
    rig.ingest.claim(drops)
    for _ in range(3):
        rig.turn()
    assert [rig.state(drop) for drop in drops] == [State.INGESTED, State.INGESTED, State.FAILED]
    assert rig.ledger.drop(drops[2].id).reason == (
        "columns 'n_note', 'n_Note' differ in nothing but case, which a table cannot tell apart. Rename one."
    )
    assert rig.staged() == rig.in_table()


def test_where_every_drop_has_the_column_every_one_fails_and_the_earlier_rows_stay(orders: Orders) -> None:
    (first,) = orders.rig.take_in(a=order("f"))
    orders.judge_by(quantity="float")
    rig = orders.rig
    drops = rig.put(a=order("a"), b=order("b"), c=order("c"))
    rig.ingest.claim(drops)
    for _ in range(3):
        rig.turn()
    assert {rig.state(drop) for drop in drops} == {State.FAILED}
    assert rig.rows() == {first.id: 1}
    assert rig.ledger.drop(first.id).superseded_by is None
    assert rig.staged() == rig.in_table()
    rig.loop.run_once()
    assert not rig.ingest.busy


def test_a_drop_that_the_table_refuses_is_worked_again_after_a_crash_before_it_failed(orders: Orders) -> None:
    orders.rig.take_in(first=order("f"))
    orders.judge_by(quantity="float")
    rig = orders.rig
    rig.break_ledger("UPDATE OF finished_at ON drops")
    (drop,) = rig.put(a=order("a"))
    rig.ingest.claim([drop])
    rig.ingest.pump()
    with pytest.raises(LedgerError):
        rig.ingest.collect()
    assert rig.staged() == rig.in_table()
    rig.mend_ledger()
    rig.crash()
    rig.start()
    rig.ingest.recover()
    rig.loop.run_once()
    assert rig.state(drop) is State.FAILED
    assert rig.staged() == rig.in_table()


def test_a_table_that_cannot_be_read_now_is_no_reason_to_fail(rig_of: Callable[..., Rig]) -> None:
    rig = rig_of(rules={"attempts": 1})
    rig.take_in(a=good(2))
    (entry,) = Path(rig.store.describe("metrics"), "_delta_log").glob("*.json")
    content = entry.read_bytes()
    entry.write_text("no longer what it was")
    drops = rig.put(a=good(3, "new"), b=dirty())
    rig.ingest.claim(drops)
    rig.ingest.pump()
    for _ in range(3):
        with pytest.raises(StoreError, match="the table cannot be read or written"):
            rig.ingest.collect()

    entry.write_bytes(content)
    rig.loop.run_once()
    assert [rig.state(drop) for drop in drops] == [State.INGESTED, State.PARTIAL]
    assert {rig.ledger.drop(drop.id).attempt for drop in drops} == {1}
    assert rig.rows() == {drops[0].id: 3, drops[1].id: 9}


def test_a_decision_whose_rows_the_table_refuses_fails_and_the_rows_stay_aside(orders: Orders) -> None:
    data = b"order_id,quantity\na,1\nb,2\nc,1.5\n"
    (drop,) = orders.rig.take_in(a=data)
    orders.judge_by(quantity="float")
    rig = orders.rig
    rig.ledger.decisions.add([Decision(drop_id=drop.id, action=Action.RELEASE, by="tester", at=rig.clock.now)])
    for _ in range(2):
        rig.ingest.decide()
        rig.turn()

    (done,) = rig.ledger.decisions.of([drop.id])[drop.id]
    assert done.state is Standing.FAILED
    assert "column 'quantity' is double in the file, as the contract has it, and int64 in the table" in done.note
    assert (rig.state(drop), rig.rows()) == (State.PARTIAL, {drop.id: 2})
    assert rig.staged() == rig.in_table()
    assert rig.entries() == [drop.id]
    assert not rig.ingest.busy
