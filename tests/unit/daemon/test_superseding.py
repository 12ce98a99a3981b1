"""Whose rows leave the table: those that no name stands for any more, in whatever order drops are worked."""

from __future__ import annotations

from collections.abc import Callable

from daemon.model import Drop, OnDuplicate, OnRevision, State
from tests.corpus import text
from tests.unit.daemon.conftest import Rig, good

REJECTED = text.HEADER + b"x,user_id,revenue,2026-03-01,lots\n"


def successors(rig: Rig, *drops: Drop) -> list[str | None]:
    return [rig.ledger.drop(drop.id).superseded_by for drop in drops]


def test_a_file_corrected_to_what_another_one_has_leaves_no_rows_of_its_own(rig: Rig) -> None:
    a, b = rig.take_in(a=good(2), b=good(3))
    (copy,) = rig.take_in(a=good(3))
    assert rig.state(copy) is State.DUPLICATE
    assert rig.rows() == {b.id: 3}
    assert successors(rig, a, b, copy) == [copy.id, None, None]


def test_files_that_swap_their_bytes_lose_nothing(rig: Rig) -> None:
    a, b = rig.take_in(a=good(2), b=good(3))
    rig.take_in(a=good(3), b=good(2))
    assert sorted(rig.rows().values()) == [2, 3]
    assert rig.rows().keys() == {a.id, b.id}


def test_rows_of_a_copied_file_leave_when_the_copy_is_corrected_too(rig: Rig) -> None:
    (a,) = rig.take_in(a=good(2))
    (copy,) = rig.take_in(copy=good(2))
    (corrected,) = rig.take_in(a=good(3))
    assert rig.rows() == {a.id: 2, corrected.id: 3}
    assert successors(rig, a, copy) == [None, None]

    (other,) = rig.take_in(copy=good(4))
    assert rig.rows() == {corrected.id: 3, other.id: 4}
    assert successors(rig, a, copy, corrected) == [other.id, other.id, None]


def test_going_back_to_bytes_that_a_copy_has_kept_is_a_duplicate(rig: Rig) -> None:
    (a,) = rig.take_in(a=good(2))
    rig.take_in(copy=good(2))
    (corrected,) = rig.take_in(a=good(3))
    (back,) = rig.take_in(a=good(2))
    assert rig.rows() == {a.id: 2}
    assert rig.state(back) is State.DUPLICATE
    assert successors(rig, a, corrected, back) == [None, back.id, None]


def test_the_same_bytes_dropped_again_under_their_name_leave_them_where_they_are(rig: Rig) -> None:
    (a,) = rig.take_in(a=good(2))
    rig.source.put("metrics/a.csv", good(2), modified=99.0)
    rig.ingest.claim(rig.intake.look().drops)
    rig.turn()
    assert rig.rows() == {a.id: 2}
    assert successors(rig, a) == [None]


def test_a_copy_of_a_rejected_file_takes_no_rows_out_of_the_table(rig: Rig) -> None:
    rig.take_in(bad=REJECTED)
    (a,) = rig.take_in(a=good(2))
    (copy,) = rig.take_in(a=REJECTED)
    rig.turn()  # the contract that rejected it is not the one of this daemon, as if it had been mended
    assert rig.state(copy) is State.DUPLICATE
    assert rig.rows() == {a.id: 2}
    assert successors(rig, a) == [None]


def test_where_duplicates_are_ingested_each_file_has_rows_of_its_own(rig_of: Callable[..., Rig]) -> None:
    rig = rig_of(feed_duplicates=OnDuplicate.INGEST)
    a, b = rig.take_in(a=good(2), b=good(2))
    (corrected,) = rig.take_in(a=good(3))
    assert rig.rows() == {b.id: 2, corrected.id: 3}
    assert successors(rig, a, b) == [corrected.id, None]


def test_a_feed_that_appends_takes_nothing_out(rig_of: Callable[..., Rig]) -> None:
    rig = rig_of(feed_revision=OnRevision.APPEND)
    a, b = rig.take_in(a=good(2), b=good(3))
    (copy,) = rig.take_in(a=good(3))
    (newer,) = rig.take_in(b=good(4))
    assert rig.rows() == {a.id: 2, b.id: 3, newer.id: 4}
    assert successors(rig, a, b, copy) == [None, None, None]


def test_another_customers_files_are_not_looked_at(rig: Rig) -> None:
    (a,) = rig.take_in(a=good(2))
    rig.source.put("acme/metrics/a.csv", good(2))
    rig.ingest.claim(rig.intake.look().drops)
    rig.turn()
    (corrected,) = rig.take_in(a=good(3))
    assert a.id not in rig.rows()
    assert rig.rows()[corrected.id] == 3
    assert sum(rig.rows().values()) == 5
