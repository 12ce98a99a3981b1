"""One rule over some rows: what each kind of answer means, and what a check may see."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import pandera.pandas as pandera
import pyarrow as pa
import pytest

from validators.checking import check_rows
from validators.contract import Contract
from validators.errors import FileProblem
from validators.evaluating import Cells, evaluate
from validators.rules import Rule, Scope

Answers = list[tuple[str | None, list[int] | None]]


def ask(
    check: pandera.Check,
    cells_of: Mapping[str, Sequence[str | None]],
    *,
    column: str | None = None,
    scope: Scope = Scope.ROW,
    reads: tuple[str, ...] | None = None,
) -> Answers:
    """Return what a check says of some columns' numbers, given as text; `reads`: the columns it is known to read."""
    declared = {name: pandera.Column(float, nullable=True) for name in cells_of}
    match = Contract.of(pandera.DataFrameSchema(declared)).match(list(cells_of))
    table = pa.table({name: pa.array(cells, pa.string()) for name, cells in cells_of.items()})
    checked = check_rows(match, table)
    cells = Cells({each.name: each for each in match.columns}, checked.typed, checked.unknown)
    found = evaluate(Rule(name="own", scope=scope, column=column, check=check, columns=reads), cells)
    return [(each.column, None if each.positions is None else each.positions.tolist()) for each in found]


# ---------------------------------------------------------------- ANSWERS


def test_a_flag_for_each_row_names_the_rows() -> None:
    assert ask(pandera.Check(lambda s: s > 1), {"x": ["1", "2", "0"]}, column="x") == [("x", [0, 2])]
    assert ask(pandera.Check(lambda s: s > -1), {"x": ["1", "2", "0"]}, column="x") == []


def test_one_no_speaks_of_all_rows_and_a_row_wise_rule_may_not_say_it() -> None:
    check = pandera.Check(lambda s: bool(s.sum() < 1))
    assert ask(check, {"x": ["1"]}, column="x", scope=Scope.DROP) == [("x", None)]
    with pytest.raises(FileProblem, match="is to judge row by row, but answered with one no for all rows") as caught:
        ask(check, {"x": ["1"]}, column="x")
    assert caught.value.rule == "check_error"
    assert caught.value.hint == "the file may be good: have the contract mended, then drop the file again"


def test_a_flag_for_each_cell_names_rows_and_columns() -> None:
    check = pandera.Check(lambda frame: frame > 1)
    assert ask(check, {"x": ["1", "2"], "y": ["3", "0"]}) == [("x", [0]), ("y", [1])]


def test_no_answer_is_no() -> None:
    check = pandera.Check(lambda s: pd.Series([pd.NA, True], index=s.index, dtype="boolean"), ignore_na=False)
    assert ask(check, {"x": ["1", "2"]}, column="x") == [("x", [0])]


@pytest.mark.parametrize("shift", [1, 100])
def test_an_answer_about_other_rows_is_none(shift: int) -> None:
    check = pandera.Check(lambda s: pd.Series([False] * len(s), index=s.index + shift))
    with pytest.raises(FileProblem, match="rows that it was not asked about"):
        ask(check, {"x": ["1", "2"]}, column="x")


def test_rows_in_another_order_are_the_same_rows() -> None:
    check = pandera.Check(lambda s: (s > 1)[::-1])
    assert ask(check, {"x": ["1", "2", "0"]}, column="x") == [("x", [0, 2])]


# ---------------------------------------------------------------- WHAT A CHECK SEES


def test_an_unknown_cell_is_shown_to_no_check_on_its_column() -> None:
    seen: list[list[float]] = []

    def check(series: pd.Series[Any]) -> pd.Series[Any]:
        seen.append(series.tolist())
        return series > 5

    assert ask(pandera.Check(check), {"x": ["1", "bad", "9"]}, column="x") == [("x", [0])]
    assert seen == [[1.0, 9.0]]


@pytest.mark.parametrize(
    "check",
    [
        lambda frame: frame["x"] < frame["y"],
        lambda frame: frame.x < frame.y,
        lambda frame: frame[["x", "y"]].min(axis=1) == frame["x"],
        lambda frame: frame.eval("x < y"),
    ],
)
def test_a_check_on_rows_is_held_only_against_rows_of_which_it_can_read_all_it_asks(
    check: Callable[[Any], Any],
) -> None:
    columns = {"x": ["1", "bad", "9"], "y": ["2", "2", "2"]}
    known: list[tuple[str, ...] | None] = [None, ()]
    for read in known:  # nothing known of what it reads, or that it reads more than that
        assert ask(pandera.Check(check), columns, reads=read) == [(None, [2])]


def test_an_unknown_cell_that_a_check_does_not_read_shields_no_row() -> None:
    columns = {"x": ["1", "9", "9"], "y": ["2", "bad", "2"]}
    assert ask(pandera.Check(lambda frame: frame["x"] < 5), columns, reads=()) == [(None, [1, 2])]
    by_row = pandera.Check(lambda row: row["x"] < 5, element_wise=True)
    assert ask(by_row, columns) == [(None, [1, 2])]


def test_what_one_check_writes_another_does_not_see() -> None:
    def writes(series: pd.Series[Any]) -> pd.Series[Any]:
        series.iloc[:] = 0.0
        return series > 1

    columns = {"x": ["2", "3"]}
    declared = {"x": pandera.Column(float, [pandera.Check(writes, name="writes"), pandera.Check.gt(1)])}
    made = Contract.of(pandera.DataFrameSchema(declared), row_wise=["writes"])
    checked = check_rows(made.match(["x"]), pa.table(columns))
    assert {hit.rule: np.flatnonzero(hit.failed).tolist() for hit in checked.hits} == {"writes": [0, 1]}
    assert checked.typed["x"].to_pylist() == [2.0, 3.0]


def test_empty_cells_are_left_to_the_rule_on_empty_cells() -> None:
    columns = {"x": ["1", None], "y": ["1", None]}
    assert ask(pandera.Check(lambda s: s > 5), columns, column="x") == [("x", [0])]
    assert ask(pandera.Check(lambda frame: frame["x"] > 5), columns) == [(None, [0])]
    assert ask(pandera.Check(lambda s: s > 5, ignore_na=False), columns, column="x") == [("x", [0, 1])]


# ---------------------------------------------------------------- CHECKS THAT STUMBLE


def test_a_check_that_raises_is_named_with_what_it_raised() -> None:
    with pytest.raises(FileProblem) as caught:
        ask(pandera.Check(lambda s: 1 // 0), {"x": ["1"]}, column="x")  # noqa: ARG005 - it fails before it looks
    assert str(caught.value).startswith("the contract's rule 'own' of column x raised ZeroDivisionError: ")


def test_a_column_that_the_contract_does_not_have_is_named() -> None:
    with pytest.raises(FileProblem, match="reads 'z', which the contract does not declare as a column"):
        ask(pandera.Check(lambda frame: frame["z"] > 1), {"x": ["1"]})
