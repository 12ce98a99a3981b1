"""Columns and rules as values."""

from __future__ import annotations

import pandera.pandas as pandera
import pytest

from validators.contract import load_contract
from validators.rules import Column, Rule, Scope, listed, told_apart


def column(dtype: object) -> Column:
    (found,) = load_contract(pandera.DataFrameSchema({"x": pandera.Column(dtype)})).columns
    return found


@pytest.mark.parametrize(
    ("dtype", "holds"),
    [("int64", False), ("bool", False), ("Int64", True), ("boolean", True), ("float64", True), (str, True)],
)
def test_a_dtype_has_a_value_for_an_empty_cell_or_not(dtype: object, holds: bool) -> None:
    assert column(dtype).holds_nulls is holds


def test_rules_of_one_name_are_numbered_within_their_column() -> None:
    rules = [Rule(name="in_range", scope=Scope.ROW, column=name) for name in ("a", "a", "b", "a")]
    assert [(rule.name, rule.column) for rule in told_apart(rules)] == [
        ("in_range", "a"),
        ("in_range_2", "a"),
        ("in_range", "b"),
        ("in_range_3", "a"),
    ]


def test_a_rule_on_a_pattern_becomes_one_on_a_column() -> None:
    rule = Rule(name="unique", scope=Scope.UNIQUE, column="x.*", pattern=True)
    assert rule.on("x1") == Rule(name="unique", scope=Scope.UNIQUE, column="x1", columns=("x1",))
    assert Rule(name="ge", scope=Scope.ROW, column="x.*", pattern=True).on("x1").columns is None


def test_a_rule_on_rows_shows_the_columns_it_reads() -> None:
    assert Rule(name="r", scope=Scope.ROW, columns=("a", "b")).shows == ("a", "b")
    assert Rule(name="r", scope=Scope.ROW, column="a", columns=("a",)).shows == ()
    assert Rule(name="r", scope=Scope.ROW).shows == ()


def test_a_long_list_of_words_is_cut_with_what_is_left() -> None:
    assert listed(["a", 1, None]) == "a, 1, None"
    assert listed([]) == ""
    assert listed(range(2_000), limit=2) == "0, 1 and 1,998 more"
