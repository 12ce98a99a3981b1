"""No formula comes alive, and every value survives being guarded and dropped back."""

from __future__ import annotations

import re

import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from validators.formulas import guard, unguard

ALIVE = re.compile("[=+\\-@\t\r\n\uff1d\uff0b\uff0d\uff20]")
NEARLY = st.text("'=+-@\t\r\n\uff1d\uff0b\uff0d\uff200123.eE ab", max_size=8)


def one(cell: str) -> str:
    return guard(pa.array([cell])).to_pylist()[0]  # type: ignore[no-any-return]


def is_number(cell: str) -> bool:
    return re.fullmatch(r"[+-]([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?", cell) is not None


@pytest.mark.parametrize(
    "cell",
    ["=1+1", "=cmd|' /C calc'!A0", "+1+1", "-1+1", "@SUM(1)", "\t=1", "\r=1", "\n=1", "\uff1d1", "\uff0b1", "\uff20x"],
)
def test_a_formula_gets_an_apostrophe(cell: str) -> None:
    assert one(cell) == "'" + cell


@pytest.mark.parametrize("cell", ["'=1", "''=1", "'-5", "'\uff1d1"])
def test_a_cell_that_looks_guarded_gets_one_apostrophe_more(cell: str) -> None:
    assert one(cell) == "'" + cell


@pytest.mark.parametrize("cell", ["-5", "+3.2", "-1e5", "-.5", "+5.", "-1E-7"])
def test_a_plain_number_stays_as_it_is(cell: str) -> None:
    assert one(cell) == cell


@pytest.mark.parametrize("cell", ["-", "+", "-a", "-5-3", "-1,5", "+49 123", "-1e", "-5\n", "-inf"])
def test_what_begins_like_a_number_and_is_none_gets_an_apostrophe(cell: str) -> None:
    assert one(cell) == "'" + cell


@pytest.mark.parametrize("cell", ["", "a=b", "'", "''", "it's", "'quoted'", "5", "1-1", " =1", "name@example.org"])
def test_other_cells_stay_as_they_are(cell: str) -> None:
    assert one(cell) == cell
    assert unguard(pa.array([cell])).to_pylist() == [cell]


@settings(deadline=None)
@given(cells=st.lists(st.none() | NEARLY | st.text(), max_size=8))
@example(cells=[None, "", "=", "'=", "''=", "-", "-5", "'-5", "\uff1d"])
def test_a_guarded_column_is_dead_and_unguarded_the_same_again(cells: list[str | None]) -> None:
    column = pa.array(["x", *cells], pa.string()).slice(1)

    guarded = guard(column)

    assert unguard(guarded).to_pylist() == cells
    assert guarded.type == pa.string()
    for cell in guarded.to_pylist():
        assert cell is None or not ALIVE.match(cell) or is_number(cell)


def test_a_column_in_chunks_is_guarded_too() -> None:
    column = pa.chunked_array([["=1"], [], ["a", None]], pa.string())

    assert guard(column).to_pylist() == ["'=1", "a", None]
    assert unguard(guard(column)).to_pylist() == ["=1", "a", None]


def test_an_empty_column_and_one_of_nulls_stay_as_they_are() -> None:
    assert guard(pa.array([], pa.string())).to_pylist() == []
    assert unguard(pa.array([None, None], pa.string())).to_pylist() == [None, None]
