"""Bundles of drops: large ones alone, small ones together, spread over the workers, none lost and none out of order."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from daemon.model import Drop, Found
from daemon.units import UNIT_BYTES, UNIT_DROPS, bundles


def drops(sizes: Sequence[int]) -> list[Drop]:
    founds = [
        Found(uri=f"memory:///{number}", name=str(number), version="1", size=size, modified=0.0)
        for number, size in enumerate(sizes)
    ]
    return [Drop(id=found.drop_id, found=found, feed="metrics", customer="default") for found in founds]


def lengths(sizes: Sequence[int], processes: int) -> list[int]:
    return [len(bundle) for bundle in bundles(drops(sizes), processes)]


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
    given_drops = drops(sizes)
    made = [list(bundle) for bundle in bundles(given_drops, processes)]
    assert [drop for bundle in made for drop in bundle] == given_drops
    assert all(made)
    assert all(len(bundle) == 1 or sum(drop.found.size for drop in bundle) <= UNIT_BYTES for bundle in made)
