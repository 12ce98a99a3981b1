"""The short way to an answer gives pandera's own answer, or none."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, reject, settings
from hypothesis import strategies as st
from pandera.pandas import Check

from validators.shortcuts import broken

CELLS = st.lists(st.one_of(st.none(), st.sampled_from(["", "a", "ab", "é", "🙂🙂", " a", "abc"]), st.text(max_size=4)))
CHECKS = st.one_of(
    st.builds(Check.isin, st.lists(st.sampled_from(["", "a", "ab", "é", "🙂🙂"]), min_size=1)),
    st.builds(lambda low, more: Check.str_length(low, low + more), st.integers(0, 3), st.integers(0, 2)),
    st.builds(lambda low: Check.str_length(min_value=low), st.integers(0, 3)),
    st.builds(lambda high: Check.str_length(max_value=high), st.integers(0, 3)),
)


def _by_pandera(check: Check, cells: Sequence[str | None]) -> list[int]:
    output = check(pd.Series(cells, dtype="str")).check_output
    return [int(position) for position in output.index[~output.to_numpy(dtype=bool)]]


@given(CHECKS, CELLS)
def test_the_answer_is_panderas(check: Check, cells: list[str | None]) -> None:
    found = broken(check, pa.array(cells, pa.string()))
    assert found is not None
    assert found.tolist() == _by_pandera(check, cells)


@given(CHECKS, CELLS)
def test_codes_are_answered_for_as_their_cells_are(check: Check, cells: list[str | None]) -> None:
    coded = pa.array(["zu", *cells], pa.string()).dictionary_encode()
    found = broken(check, coded.slice(1))
    assert found is not None
    assert found.tolist() == _by_pandera(check, cells)


@given(CELLS)
def test_a_slice_of_a_column_is_answered_for_by_itself(cells: list[str | None]) -> None:
    whole = pa.array(["much too long", *cells, "much too long"], pa.string())
    found = broken(Check.str_length(max_value=4), whole.slice(1, len(cells)))
    assert found is not None
    assert found.tolist() == []


@pytest.mark.parametrize(
    "check",
    [
        Check.str_matches("a"),
        Check.str_length(exact_value=2),
        Check.isin(["a", 1]),
        Check.isin(["a"], ignore_na=False),
        Check.notin(["a"]),
        Check(lambda text: text.isin(["a"]), name="isin"),
        Check(lambda text: text == "a", element_wise=True, name="str_length"),
    ],
    ids=str,
)
def test_what_has_no_short_way_is_left_to_pandera(check: Check) -> None:
    """Also a user's own check under the name of one that has."""
    assert broken(check, pa.array(["a", "b"])) is None


NUMBERS = st.lists(st.one_of(st.none(), st.integers(-4, 4), st.sampled_from([2**53 + 1, -(2**53) - 1, 2**62])))
FLOATS = st.lists(st.one_of(st.none(), st.floats(allow_nan=False), st.sampled_from([-1.0, 0.0, 1.0, 2.0**53])))
BOUNDS = st.one_of(
    st.integers(-4, 4), st.sampled_from([2**53, 2**53 + 1, -1.0, 0.0, 1.0, 2.0**53, sys.float_info.max, np.float64(1)])
)
NUMBER_CHECKS = st.one_of(
    *(st.builds(kind, BOUNDS) for kind in (Check.ge, Check.gt, Check.le, Check.lt)),
    st.builds(
        lambda one, other, low, high: Check.in_range(
            min(one, other), max(one, other), low or one == other, high or one == other, name="bounds"
        ),
        BOUNDS,
        BOUNDS,
        st.booleans(),
        st.booleans(),
    ),
)


@settings(suppress_health_check=[HealthCheck.filter_too_much])
@given(NUMBER_CHECKS, NUMBERS | FLOATS, st.sampled_from(["float64", "Int64"]))
def test_numbers_that_are_said_to_keep_their_bounds_do_so_by_pandera(
    check: Check, cells: list[float | None], dtype: str
) -> None:
    kind = pa.float64() if dtype == "float64" else pa.int64()
    try:
        numbers = pa.array(cells, kind)
        series = pd.Series(cells, dtype=dtype)
    except (pa.ArrowInvalid, TypeError, ValueError, OverflowError):
        reject()
    found = broken(check, numbers)
    if found is not None:
        assert not len(found)
        assert np.asarray(check(series).check_output, dtype=bool).all()


@pytest.mark.parametrize(
    ("check", "kind"),
    [
        (Check.in_range(0, 2, name="small"), pa.int64()),
        (Check.in_range(-0.5, 2.5), pa.float64()),
        (Check.gt(0), pa.float64()),
        (Check.lt(3), pa.int64()),
    ],
    ids=str,
)
def test_numbers_within_their_bounds_are_known_without_pandera(check: Check, kind: pa.DataType) -> None:
    found = broken(check, pa.array([1, None, 2], kind))
    assert found is not None
    assert not len(found)
    assert broken(check, pa.array([1, 3, -1], kind)) is None


@pytest.mark.parametrize("bound", [1.5, 2**53 + 1, True, np.int64(1)], ids=str)
def test_a_bound_that_pandas_might_round_is_left_to_it(bound: float) -> None:
    kind = pa.int64() if isinstance(bound, float) else pa.float64()
    assert broken(Check.le(bound), pa.array([0], kind)) is None


def test_nothing_broken_is_an_answer() -> None:
    found = broken(Check.isin(["a"]), pa.array(["a", None, "a"]))
    assert found is not None
    assert found.dtype == np.int64
    assert not len(found)
