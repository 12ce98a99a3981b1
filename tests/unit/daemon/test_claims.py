"""Claims: what is under way is known here exactly as it is in the ledger."""

from __future__ import annotations

import pytest

from daemon.claims import Claims
from daemon.errors import LedgerError
from daemon.model import State
from tests.unit.daemon.conftest import Rig, good


@pytest.fixture
def claims(rig: Rig) -> Claims:
    return Claims(rig.ledger, rig.quarantine, rig.clock)


def test_a_claimed_drop_is_known_by_id_and_its_object_is_at_work(rig: Rig, claims: Claims) -> None:
    (drop,) = rig.put(a=good(1))
    assert not claims
    assert claims.claim([drop]) == (drop,)
    assert (len(claims), claims[drop.id]) == (1, drop)
    assert claims.at_work(drop.found.uri)
    assert not claims.at_work("memory:///metrics/b.csv")
    assert rig.state(drop) is State.WORKING


def test_a_drop_is_claimed_once(rig: Rig, claims: Claims) -> None:
    (drop,) = rig.put(a=good(1))
    claims.claim([drop])
    assert claims.claim([drop]) == ()
    assert Claims(rig.ledger, rig.quarantine, rig.clock).claim([drop]) == ()
    assert rig.kinds(drop) == ["claimed"]


def test_a_drop_given_back_waits_before_its_second_attempt(rig: Rig, claims: Claims) -> None:
    (drop,) = rig.put(a=good(1))
    claims.claim([drop])
    claims.give_back([drop.id], "its disk failed", wait_seconds=5.0)

    assert not claims
    assert not claims.at_work(drop.found.uri)
    assert rig.state(drop) is State.FOUND
    rig.clock.now += 4.9
    assert claims.claim([drop]) == ()
    rig.clock.now += 0.1
    (again,) = claims.claim([drop])
    assert again.attempt == 2
    assert claims[drop.id] is again


def test_a_go_that_does_not_count_is_the_same_attempt_again(rig: Rig, claims: Claims) -> None:
    (drop,) = rig.put(a=good(1))
    claims.claim([drop])
    claims.give_back([drop.id], "the daemon stopped", counts=False)
    (again,) = claims.claim([drop])
    assert again.attempt == 1


def test_everything_is_given_back_at_once_and_counts_for_none(rig: Rig, claims: Claims) -> None:
    claims.claim(rig.put(a=good(1), b=good(2)))
    claims.give_back_all("the daemon stopped")
    assert not claims
    assert [(each.drop.attempt, each.not_before) for each in rig.ledger.waiting()] == [(1, rig.clock())] * 2


def test_a_drop_that_is_gone_leaves_only_its_events(rig: Rig, claims: Claims) -> None:
    (drop,) = rig.put(a=good(1))
    claims.claim([drop])
    claims.gone([drop.id])
    assert not claims.at_work(drop.found.uri)
    assert rig.ledger.drops() == ()
    assert rig.kinds(drop) == ["claimed", "gone"]


def test_releasing_and_clearing_change_nothing_in_the_ledger(rig: Rig, claims: Claims) -> None:
    first, second = rig.put(a=good(1), b=good(2))
    claims.claim([first, second])
    claims.release([first.id, "unknown"])
    assert not claims.at_work(first.found.uri)
    assert claims.at_work(second.found.uri)
    claims.clear()
    assert not claims
    assert not claims.at_work(second.found.uri)
    assert (rig.state(first), rig.state(second)) == (State.WORKING, State.WORKING)


def test_a_ledger_that_cannot_be_written_leaves_claims_as_they_were(rig: Rig, claims: Claims) -> None:
    first, second = rig.put(a=good(1), b=good(2))
    claims.claim([first])
    rig.break_ledger("INSERT ON events")
    with pytest.raises(LedgerError, match="malformed JSON"):
        claims.claim([second])
    with pytest.raises(LedgerError, match="malformed JSON"):
        claims.give_back([first.id], "any")
    assert (len(claims), claims.at_work(first.found.uri), claims.at_work(second.found.uri)) == (1, True, False)
    rig.mend_ledger()
    assert claims.claim([second]) == (second,)
