"""The order of units: fresh ones first, what is suspected of breaking its worker last."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import pytest

from daemon.lineup import ALONE_FACTOR, PATIENCE_SECONDS, PIECES, Lineup, pieces
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
