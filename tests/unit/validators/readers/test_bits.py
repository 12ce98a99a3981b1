"""Flags as bits, against the same worked out one by one."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from validators.readers.bits import one_earlier, one_later, packed, running_parity, unpacked

FLAGS = st.lists(st.booleans(), min_size=1, max_size=200)
FEW = settings(max_examples=40, deadline=None)


@FEW
@given(FLAGS)
def test_what_is_packed_comes_back(flags: list[bool]) -> None:
    bits = packed(np.array(flags))
    assert unpacked(bits, len(flags)).tolist() == flags
    assert len(bits) == -(-len(flags) // 64)


@FEW
@given(FLAGS)
def test_parity_runs_from_an_odd_bit_up_to_the_next(flags: list[bool]) -> None:
    expected, inside = [], False
    for flag in flags:
        inside ^= flag
        expected.append(inside)
    assert unpacked(running_parity(packed(np.array(flags))), len(flags)).tolist() == expected


@FEW
@given(FLAGS)
def test_bits_move_one_place_over_the_borders_of_words(flags: list[bool]) -> None:
    bits = packed(np.array(flags))
    assert unpacked(one_later(bits), len(flags)).tolist() == [True, *flags[:-1]]
    assert unpacked(one_earlier(bits), len(flags)).tolist() == [*flags[1:], False]
