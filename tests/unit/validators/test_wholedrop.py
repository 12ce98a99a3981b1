"""Rules that must see the whole file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandera.pandas as pandera
import pyarrow as pa
import pytest

from validators.checking import DropHit, WholeDrop, check_rows
from validators.contract import Contract
from validators.errors import FileProblem

Texts = Mapping[str, Sequence[str | None]]


def contract(columns: Mapping[str, Any], *checks: Any, **options: Any) -> Contract:
    return Contract.of(pandera.DataFrameSchema(dict(columns), checks=list(checks), **options))


def judged(made: Contract, *batches: Texts, final: bool = True, max_bytes: int = 10**9) -> list[DropHit]:
    whole, row = WholeDrop(made, max_bytes), 1
    for cells in batches:
        table = pa.table({name: pa.array(values, pa.string()) for name, values in cells.items()})
        checked = check_rows(made.match(table.column_names, final=final), table)
        whole.add(checked, np.arange(row, row + table.num_rows) * 10)
        row += table.num_rows
    return list(whole.finish())


def found(*args: Any, **options: Any) -> dict[tuple[str, str | None], list[int]]:
    return {(hit.rule, hit.column): hit.rows.tolist() for hit in judged(*args, **options)}


def test_a_rule_sees_all_batches_at_once_and_names_records_by_number() -> None:
    made = contract({"x": pandera.Column(float, pandera.Check(lambda s: s <= s.mean(), name="below"))})
    assert found(made, {"x": ["1", "2"]}, {"x": ["9"]}) == {("below", "x"): [30]}


def test_cells_that_could_not_be_read_are_left_out_of_every_rule() -> None:
    made = contract(
        {
            "x": pandera.Column(float, pandera.Check(lambda s: s <= s.mean(), name="below"), unique=True),
            "y": pandera.Column(float),
        },
        pandera.Check(lambda rows: rows["x"] <= rows["x"].mean(), name="rows below"),
    )
    assert found(made, {"x": ["1", "bad", "1"], "y": ["z", "1", "1"]}, {"x": ["bad", "4"], "y": ["1", "1"]}) == {
        ("unique", "x"): [10, 30],
        ("below", "x"): [50],
        ("rows below", None): [50],
    }


def test_a_rule_that_answers_with_one_no_speaks_of_the_whole_file() -> None:
    check = pandera.Check(lambda s: s.sum() < 10, name="sum", error="a sum below 10")
    (hit,) = judged(contract({"x": pandera.Column(float, check)}), {"x": ["9"]}, {"x": ["9"]})
    assert (hit.whole_file, hit.rows.tolist()) == (True, [])
    assert hit.expected == "the rule 'sum' of column x does not hold over the whole file: expected a sum below 10"


def test_a_check_that_fails_is_told_and_does_not_stop_the_others() -> None:
    made = contract(
        {
            "x": pandera.Column(
                float, [pandera.Check(lambda s: s.nope(), name="broken"), pandera.Check(lambda s: s > 5, name="own")]
            )
        }
    )
    hits = judged(made, {"x": ["1"]})
    assert [(hit.rule, hit.whole_file, hit.rows.tolist()) for hit in hits] == [
        ("check_error", True, []),
        ("own", False, [10]),
    ]
    assert "the contract's rule 'broken' of column x raised AttributeError" in hits[0].expected


def test_columns_together_are_unique_over_all_batches() -> None:
    columns = {"a": pandera.Column(str), "b": pandera.Column(int), "c": pandera.Column(str, required=False)}
    made = contract(columns, unique=["a", "b", "c"], report_duplicates="exclude_first")
    (hit,) = judged(made, {"a": ["x", "y"], "b": ["1", "1"]}, {"a": ["x", "x"], "b": ["1", "bad"]})
    assert (hit.rule, hit.column, hit.rows.tolist(), hit.shows) == ("unique", None, [30], ("a", "b"))
    assert hit.expected == "a, b, c that no other row of the file has together"


def test_each_regex_column_is_unique_for_itself() -> None:
    made = contract({"k_.*": pandera.Column(str, unique=True, regex=True)})
    assert found(made, {"k_a": ["x", "y"], "k_b": ["x", "x"]}) == {("unique", "k_b"): [10, 20]}


def test_an_absent_optional_column_breaks_no_rule() -> None:
    columns = {
        "a": pandera.Column(int),
        "b": pandera.Column(int, pandera.Check(lambda s: s.sum() > 0, name="sum"), required=False, unique=True),
    }
    made = contract(columns, pandera.Check(lambda rows: rows["a"] < rows["b"], name="less"))
    assert found(made, {"a": ["1", "2"]}) == {}


def test_records_that_name_their_columns_may_have_them_in_some_batches_only() -> None:
    columns = {
        "a": pandera.Column(int),
        "b": pandera.Column(int, unique=True, required=False),
        "n_.*": pandera.Column(
            int, pandera.Check(lambda s: s < s.max(), name="not most"), regex=True, unique=True, required=False
        ),
    }
    made = contract(columns)
    batches = ({"a": ["1", "2"]}, {"a": ["3"], "b": ["7"], "n_x": ["5"]}, {"a": ["4"], "b": ["7"], "n_x": ["6"]})
    assert found(made, *batches, final=False) == {("unique", "b"): [30, 40], ("not most", "n_x"): [40]}


def test_groups_are_judged_over_the_whole_file() -> None:
    check = pandera.Check(lambda groups: groups["a"].mean() < groups["b"].mean(), groupby="g", name="ordered")
    made = contract({"x": pandera.Column(float, check), "g": pandera.Column(str), "z": pandera.Column(float)})
    good, bad = {"x": ["1", "2"], "g": ["a", "b"], "z": ["?", "?"]}, {"x": ["9"], "g": ["a"], "z": ["1"]}
    assert found(made, good) == {}
    assert [hit.whole_file for hit in judged(made, good, bad)] == [True]


def test_tests_of_hypotheses_are_judged_over_the_whole_file() -> None:
    def gap(left: Any, right: Any) -> tuple[float, float]:
        return float(left.mean() - right.mean()), 0.0

    check = pandera.Hypothesis(gap, samples=["x", "y"], relationship="greater_than", name="x is greater")
    made = contract({"x": pandera.Column(float), "y": pandera.Column(float), "z": pandera.Column(float)}, check)
    assert found(made, {"x": ["2", "3"], "y": ["1", "1"], "z": ["?", "1"]}) == {}
    assert [hit.whole_file for hit in judged(made, {"x": ["1", "0"], "y": ["1", "1"], "z": ["1", "1"]})] == [True]


def test_a_file_too_large_for_a_rule_is_refused_with_what_to_do() -> None:
    made = contract({"x": pandera.Column(float, pandera.Check(lambda s: s > 0, name="own")), "y": pandera.Column(str)})
    batch = {"x": ["1"] * 1000, "y": ["long text"] * 1000}
    assert judged(made, batch, batch, max_bytes=17_000) == []
    with pytest.raises(FileProblem) as caught:
        judged(made, batch, batch, batch, max_bytes=17_000)
    assert caught.value.rule == "too_large_for_rule"
    assert "the file is too large for 'own'" in caught.value.message
    assert "row_wise" in caught.value.hint


def test_uniqueness_alone_is_under_no_cap() -> None:
    made = contract({"x": pandera.Column(int, unique=True)})
    assert found(made, {"x": ["1", "2"]}, {"x": ["2"]}, max_bytes=0) == {("unique", "x"): [20, 30]}


def test_a_file_without_rows_is_judged_like_a_frame_without_rows() -> None:
    made = contract(
        {"x": pandera.Column(float, pandera.Check(lambda s: s > s.mean(), name="above"), unique=True)},
        pandera.Check(lambda rows: len(rows) > 0, name="some rows"),
    )
    assert [(hit.rule, hit.whole_file) for hit in judged(made)] == [("some rows", True)]
    assert [(hit.rule, hit.whole_file) for hit in judged(made, {"x": []})] == [("some rows", True)]


def test_batches_that_hold_a_text_as_codes_stand_beside_ones_that_do_not() -> None:
    made = contract({"x": pandera.Column(str, pandera.Check(lambda s: s != s.max(), name="below"), unique=True)})
    again = [f"a{number % 200}" for number in range(2000)]
    once = [f"b{number}" for number in range(2000)]
    assert found(made, {"x": again}, {"x": once}, {"x": ["b7", "z"]}) == {
        ("unique", "x"): [*range(10, 20_010, 10), 20_080, 40_010],
        ("below", "x"): [40_020],
    }
