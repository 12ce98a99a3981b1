"""Units: large drops alone and small ones together, none lost; fresh ones first, suspects of a crash last."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from daemon.lineup import (
    ALONE_FACTOR,
    PATIENCE_SECONDS,
    PIECES,
    UNIT_BYTES,
    UNIT_DROPS,
    Lineup,
    bundles,
    pieces,
)
from daemon.model import Drop, Found, Turn, Unit

NUMBERS = itertools.count()


def drop(name: str) -> Drop:
    found = Found(uri=f"file:///{name}", name=name, version="1", size=1, modified=0.0)
    return Drop(id=name, found=found, feed="metrics", customer="default")


def unit(turn: Turn = Turn.FIRST, drops: Sequence[str] = ("a", "b")) -> Unit:
    return Unit(id=str(next(NUMBERS)), feed="metrics", drops=tuple(map(drop, drops)), turn=turn)


def taken(lineup: Lineup, under_way: Sequence[Unit] = ()) -> list[Turn]:
    """Return the turns of the units that may be handed out now, besides those under way."""
    busy = list(under_way)
    while (found := lineup.next(busy)) is not None:
        busy.append(found)
    return [each.turn for each in busy[len(under_way) :]]


def sized(sizes: Sequence[int]) -> list[Drop]:
    founds = [
        Found(uri=f"memory:///{number}", name=str(number), version="1", size=size, modified=0.0)
        for number, size in enumerate(sizes)
    ]
    return [Drop(id=found.drop_id, found=found, feed="metrics", customer="default") for found in founds]


def lengths(sizes: Sequence[int], processes: int) -> list[int]:
    return [len(bundle) for bundle in bundles(sized(sizes), processes)]


# ---------------------------------------------------------------- BUNDLES


def test_nothing_makes_no_unit() -> None:
    assert lengths([], 2) == []


@pytest.mark.parametrize(("count", "processes", "expected"), [(1, 4, [1]), (4, 2, [2, 2]), (5, 2, [3, 2])])
def test_small_drops_are_spread_over_the_workers(count: int, processes: int, expected: list[int]) -> None:
    assert lengths([100] * count, processes) == expected


def test_a_unit_has_at_most_so_many_drops() -> None:
    assert lengths([1] * (2 * UNIT_DROPS + 1), 1) == [UNIT_DROPS, UNIT_DROPS, 1]


def test_a_drop_that_would_make_a_unit_too_large_begins_another() -> None:
    half = UNIT_BYTES // 2
    assert lengths([half, half, 1, half], 1) == [2, 2]
    assert lengths([1, UNIT_BYTES, 1], 1) == [1, 1, 1]


def test_a_drop_larger_than_a_unit_is_one_by_itself() -> None:
    assert lengths([UNIT_BYTES * 9], 2) == [1]


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(0, 2 * UNIT_BYTES), max_size=50), st.integers(1, 8))
def test_every_drop_is_in_one_unit_and_their_order_stays(sizes: list[int], processes: int) -> None:
    given_drops = sized(sizes)
    made = [list(bundle) for bundle in bundles(given_drops, processes)]
    assert [drop for bundle in made for drop in bundle] == given_drops
    assert all(made)
    assert all(len(bundle) == 1 or sum(drop.found.size for drop in bundle) <= UNIT_BYTES for bundle in made)


# ---------------------------------------------------------------- THEIR ORDER


def test_units_are_taken_by_turn_and_within_a_turn_in_their_order() -> None:
    lineup = Lineup(2)
    last, nexts, firsts = unit(Turn.LAST), [unit(Turn.NEXT), unit(Turn.NEXT)], [unit(), unit()]
    lineup.add([last, *nexts, *firsts])

    assert [lineup.next([]) for _ in range(6)] == [*firsts, *nexts, last, None]
    assert not lineup


def test_each_worker_has_one_unit_to_work_and_one_that_waits() -> None:
    lineup = Lineup(2)
    lineup.add([unit() for _ in range(10)])

    assert taken(lineup) == [Turn.FIRST] * 4


@pytest.mark.parametrize(("processes", "allowed"), [(1, 1), (2, 1), (4, 3)])
def test_suspects_leave_a_worker_for_what_comes_next(processes: int, allowed: int) -> None:
    lineup = Lineup(processes)
    lineup.add([unit(Turn.LAST) for _ in range(9)])

    assert taken(lineup) == [Turn.LAST] * allowed


def test_suspects_wait_while_anything_else_waits_and_while_every_worker_is_busy() -> None:
    lineup = Lineup(2)
    lineup.add([unit(Turn.LAST), unit()])

    assert taken(lineup, [unit() for _ in range(4)]) == []
    assert taken(lineup, [unit(), unit()]) == [Turn.FIRST]
    assert taken(lineup, [unit(), unit()]) == []
    assert taken(lineup, [unit()]) == [Turn.LAST]


def test_a_drop_that_broke_its_worker_is_worked_apart_until_it_has_ended() -> None:
    lineup = Lineup(2)
    drops = [drop("a"), drop("b")]
    lineup.suspect(drops[0])

    assert lineup.apart(drops) == ([drops[1]], [drops[0]])
    lineup.acquit(["a", "never seen"])
    assert lineup.apart(drops) == (drops, [])


def test_patience_grows_with_a_feed_that_is_slow_and_ends_when_one_of_its_drops_is_to_blame() -> None:
    lineup = Lineup(2)

    assert lineup.patience(unit()) == PATIENCE_SECONDS
    assert lineup.patience(unit(drops=["a"])) == ALONE_FACTOR * PATIENCE_SECONDS
    assert lineup.patience(unit(Turn.LAST)) is None
    lineup.double("metrics")
    lineup.double("metrics")
    assert lineup.patience(unit()) == 4 * PATIENCE_SECONDS
    lineup.suspect(drop("a"))
    assert lineup.patience(unit()) == PATIENCE_SECONDS


@pytest.mark.parametrize("count", [1, 2, 15, 16, 17, 255, 256])
def test_a_unit_is_taken_apart_into_pieces_that_hold_each_drop_once(count: int) -> None:
    drops = [drop(str(number)) for number in range(count)]
    found = pieces(drops)

    assert [each for piece in found for each in piece] == drops
    assert len(found) <= PIECES
    assert max(map(len, found)) == -(-count // PIECES)
