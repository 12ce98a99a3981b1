"""Rows against contracts: what is found, in one pass, whatever the batch; and what is never held against a row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import pandera.pandas as pandera
import pyarrow as pa
import pytest

from validators.checking import Checked, check_rows
from validators.contract import Contract
from validators.errors import FileProblem

Texts = Mapping[str, Sequence[str | None]]


def texts(columns: Texts) -> pa.Table:
    return pa.table({name: pa.array(cells, pa.string()) for name, cells in columns.items()})


def checked(contract: Contract, columns: Texts, *, final: bool = True) -> Checked:
    table = texts(columns)
    match = contract.match(table.column_names, final=final)
    assert not match.problems
    return check_rows(match, table)


def found(contract: Contract, columns: Texts, *, final: bool = True) -> dict[tuple[str, str | None], list[int]]:
    hits = checked(contract, columns, final=final).hits
    return {(hit.rule, hit.column): np.flatnonzero(hit.failed).tolist() for hit in hits}


def contract(columns: Mapping[str, Any], *checks: Any, row_wise: Sequence[str] = ("*",), **options: Any) -> Contract:
    return Contract.of(pandera.DataFrameSchema(dict(columns), checks=list(checks), **options), row_wise=row_wise)


def test_all_problems_of_a_row_are_found_in_one_pass() -> None:
    made = contract(
        {
            "n": pandera.Column(int, [pandera.Check.ge(0), pandera.Check.isin([1, 2])]),
            "s": pandera.Column(str, pandera.Check.str_length(max_value=2)),
        }
    )
    assert found(made, {"n": ["1", "x", "-5", None], "s": ["a", "abc", None, "abc"]}) == {
        ("type", "n"): [1],
        ("not_nullable", "n"): [3],
        ("not_nullable", "s"): [2],
        ("greater_than_or_equal_to", "n"): [2],
        ("isin", "n"): [2],
        ("str_length", "s"): [1, 3],
    }


def test_a_hit_says_what_was_expected_and_which_values_are_allowed() -> None:
    made = contract({"s": pandera.Column(str, pandera.Check.isin(["user_id", "stable_id"]))})
    (hit,) = checked(made, {"s": ["user_id", "userid"]}).hits
    assert (hit.expected, hit.allowed) == ("one of user_id, stable_id", ("user_id", "stable_id"))
    dtype = pd.CategoricalDtype(["red", "blue"])
    (hit,) = checked(contract({"s": pandera.Column(dtype)}), {"s": ["red", "bleu"]}).hits
    assert (hit.rule, hit.allowed) == ("type", ("red", "blue"))


def test_the_typed_table_has_every_column_in_the_contracts_order_and_types() -> None:
    made = contract(
        {"a": pandera.Column("int32"), "b": pandera.Column(str, required=False), "c": pandera.Column(float)}
    )
    typed = checked(made, {"c": ["1.5", "x"], "a": ["1", "2"]}).typed
    assert typed.schema.names == ["a", "b", "c"]
    assert typed.schema.types == [pa.int32(), pa.string(), pa.float64()]
    assert typed.to_pydict() == {"a": [1, 2], "b": [None, None], "c": [1.5, None]}


def test_a_check_on_a_column_does_not_see_cells_that_could_not_be_read() -> None:
    seen: list[pd.Series[Any]] = []

    def positive(numbers: Any) -> Any:
        seen.append(numbers)
        return numbers > 0

    made = contract({"n": pandera.Column("int64", pandera.Check(positive))})
    seen.clear()  # it was tried on no rows
    assert found(made, {"n": ["1", "x", "-1", None]}) == {
        ("type", "n"): [1],
        ("not_nullable", "n"): [3],
        ("positive", "n"): [2],
    }
    assert [(series.dtype, series.index.tolist(), series.tolist(), series.name) for series in seen] == [
        (np.dtype("int64"), [0, 2], [1, -1], "n")
    ]


def test_an_empty_cell_of_a_nullable_column_breaks_nothing_even_where_the_dtype_cannot_hold_it() -> None:
    made = contract(
        {
            "n": pandera.Column("int64", pandera.Check.ge(0, ignore_na=False), nullable=True),
            "m": pandera.Column("int64"),
        },
        pandera.Check(lambda rows: rows["n"] < rows["m"], name="less"),
    )
    assert found(made, {"n": [None, "5", "1"], "m": ["1", "2", "3"]}) == {("less", None): [1]}


READERS: list[tuple[str, Any]] = [
    ("by name", lambda rows: rows["a"] < rows["b"]),
    ("by attribute", lambda rows: rows.a < rows.b),
    ("several", lambda rows: rows[["a", "b"]].diff(axis=1)["b"] > 0),
    ("by label", lambda rows: rows.loc[:, "a"] < rows.loc[:, "b"]),
    ("row by row", lambda rows: rows.apply(lambda row: row["a"] < row.b, axis=1)),
    ("in groups", lambda rows: rows.groupby("a")["b"].transform("min") > rows["a"]),
    ("with a default", lambda rows: rows.get("a") < rows.get("b") if "b" in rows else rows["a"] > 0),
    ("after a look at the rows", lambda rows: pd.Series(dtype=bool) if rows.empty else rows["a"] < rows["b"]),
]


@pytest.mark.parametrize(("how", "check"), READERS)
def test_a_check_on_rows_is_not_held_against_rows_whose_cells_it_needs_are_unknown(how: str, check: Any) -> None:
    columns = {name: pandera.Column(float) for name in "abc"}
    made = contract(columns, pandera.Check(check, name=how))
    cells = {"a": ["1", "9", "x", "9", "9"], "b": ["2", "2", "3", "y", "2"], "c": ["0", "0", "0", "0", "z"]}
    assert found(made, cells) == {("type", "a"): [2], ("type", "b"): [3], ("type", "c"): [4], (how, None): [1, 4]}


def test_a_check_that_may_read_every_column_is_not_held_against_rows_with_any_unknown_cell() -> None:
    columns = {name: pandera.Column(float) for name in "abc"}
    for check in (
        lambda rows: rows.sum(axis=1) < 5,
        lambda rows: (rows < 5).all(axis=1),
        lambda rows: rows.to_numpy().max(axis=1) < 5,
    ):
        made = contract(
            columns, pandera.Check(lambda rows, check=check: pd.Series(check(rows), rows.index), name="sum")
        )
        cells = {"a": ["1", "9", "9"], "b": ["2", "2", "3"], "c": ["0", "0", "x"]}
        assert found(made, cells) == {("type", "c"): [2], ("sum", None): [1]}


def test_a_check_on_single_rows_is_judged_by_what_it_reads_of_each_row() -> None:
    columns = {name: pandera.Column(float, nullable=True) for name in "abc"}
    check = pandera.Check(lambda row: row["a"] > 0 and row.b > 0, name="row", element_wise=True)
    cells = {
        "a": ["1", "-1", "x", "1", "-1", "1"],
        "b": ["1", "y", "1", "y", "1", "-1"],
        "c": ["0", "0", "0", "0", "z", "z"],
    }
    # In row 1 the unknown b is never read, in row 3 it is.
    assert found(contract(columns, check), cells)["row", None] == [1, 4, 5]


def test_a_check_that_gives_a_flag_for_each_cell_names_the_column() -> None:
    columns = {"a": pandera.Column(float, nullable=True), "b": pandera.Column(float)}
    made = contract(columns, pandera.Check(lambda rows: rows > 0, name="positive"))
    assert found(made, {"a": ["1", "-1", None], "b": ["-1", "1", "1"]}) == {
        ("positive", "a"): [1],
        ("positive", "b"): [0],
    }


def test_a_built_in_on_the_whole_schema_speaks_of_each_column() -> None:
    made = contract({"a": pandera.Column(float), "b": pandera.Column(int)}, pandera.Check.ge(0))
    rule = "greater_than_or_equal_to"
    assert found(made, {"a": ["-1", "x"], "b": ["1", "-1"]}) == {("type", "a"): [1], (rule, "a"): [0], (rule, "b"): [1]}


def test_rules_of_an_absent_optional_column_are_not_judged() -> None:
    columns = {"a": pandera.Column(int), "b": pandera.Column(int, pandera.Check.ge(0), required=False)}
    made = contract(
        columns,
        pandera.Check(lambda rows: rows["a"] < rows["b"], name="less"),
        pandera.Check(lambda rows: rows["a"] < rows.b, name="by attribute"),
        pandera.Check(lambda rows: "b" in rows, name="there"),
        pandera.Check(lambda row: row["a"] < row["b"], name="row", element_wise=True),
        row_wise=["less", "by attribute"],
    )
    assert found(made, {"a": ["1"]}) == {}
    assert found(made, {"a": ["1"], "b": ["0"]}) == {
        ("less", None): [0],
        ("by attribute", None): [0],
        ("row", None): [0],
    }


def test_records_that_name_their_columns_may_leave_optional_ones_out() -> None:
    columns = {"a": pandera.Column(int), "b": pandera.Column(int, required=False), "c": pandera.Column(str)}
    made = contract(columns)
    assert found(made, {"a": ["1", None], "b": ["1", None]}, final=False) == {
        ("not_nullable", "a"): [1],
        ("not_nullable", "c"): [0, 1],
    }
    assert found(made, {"a": ["1", "1"], "b": ["1", None], "c": ["x", "y"]}) == {("not_nullable", "b"): [1]}


@pytest.mark.parametrize(
    ("check", "words"),
    [
        (pandera.Check(lambda s: s.no_such_method(), name="broken"), "rule 'broken' of column a raised AttributeError"),
        (
            pandera.Check(lambda n: n / 0, name="broken", element_wise=True),
            "raised ZeroDivisionError: division by zero",
        ),
        (pandera.Check(lambda s: s.sum() > 100, name="broken"), "is to judge row by row, but answered with one no"),
        (pandera.Check(lambda s: s.head(1) > 100, name="broken"), "is to judge row by row, but answered for rows"),
        (pandera.Check(lambda s: (s > 0).tolist(), name="broken"), "raised NotImplementedError"),
    ],
)
def test_a_check_that_fails_speaks_of_the_whole_file_and_names_the_rule(check: Any, words: str) -> None:
    made = contract({"a": pandera.Column(int, check)})
    with pytest.raises(FileProblem) as caught:
        checked(made, {"a": ["1", "2"]})
    assert caught.value.rule == "check_error"
    assert words in caught.value.message
    assert "have the contract mended" in caught.value.hint


def test_a_check_that_reads_an_undeclared_column_only_where_there_are_rows_is_told_to_declare_it() -> None:
    def less(rows: Any) -> Any:
        return rows["a"] < rows["extra"] if len(rows) else rows["a"] > 0

    made = contract({"a": pandera.Column(int)}, pandera.Check(less))
    with pytest.raises(FileProblem, match="rule 'less' reads 'extra', which the contract does not declare as a column"):
        checked(made, {"a": ["1"]})


def test_what_one_check_writes_into_its_series_another_does_not_see() -> None:
    def spoil(numbers: Any) -> Any:
        numbers[:] = 0
        return numbers == 0

    made = contract({"a": pandera.Column(int, [pandera.Check(spoil), pandera.Check.ge(1)])})
    result = checked(made, {"a": ["1", "2"]})
    assert result.hits == ()
    assert result.typed["a"].to_pylist() == [1, 2]


def test_no_answer_is_no() -> None:
    made = contract({"n": pandera.Column("Int64", pandera.Check.ge(0, ignore_na=False), nullable=True)})
    assert found(made, {"n": ["1", None]}) == {("greater_than_or_equal_to", "n"): [1]}


def test_no_rows_break_no_rule() -> None:
    made = contract(
        {"a": pandera.Column(int, pandera.Check.ge(0))},
        pandera.Check(lambda rows: rows["a"] > rows["a"].iloc[0], name="x"),
    )
    result = checked(made, {"a": []})
    assert (result.hits, result.typed.schema.types, result.typed.num_rows) == ((), [pa.int64()], 0)


def test_text_that_comes_again_and_again_is_held_as_codes_and_judged_the_same() -> None:
    some = ["ok", "fine", "wrong", "much too long", None, "", "no"]
    cells = [some[(number + number // 7) % 7] for number in range(3000)]
    made = contract(
        {
            "s": pandera.Column(
                str,
                [
                    pandera.Check.isin(["ok", "fine", "much too long", "no", ""]),
                    pandera.Check.str_length(min_value=1, max_value=5),
                    pandera.Check.str_matches("^[a-z ]*$"),
                    pandera.Check(lambda series: series != "no", name="own"),
                ],
            ),
            "once": pandera.Column(str),
        },
        pandera.Check(lambda rows: rows["s"] != "ok", name="of rows", ignore_na=False),
    )
    columns: Texts = {"s": cells, "once": [str(number) for number in range(3000)]}

    typed = checked(made, columns).typed
    assert [pa.types.is_dictionary(column.type) for column in typed.schema] == [True, False]
    assert typed["s"].to_pylist() == cells

    def where(*wrong: str | None) -> list[int]:
        return [number for number, cell in enumerate(cells) if cell in wrong]

    assert found(made, columns) == {
        ("not_nullable", "s"): where(None),
        ("isin", "s"): where("wrong"),
        ("str_length", "s"): where("", "much too long"),
        ("own", "s"): where("no"),
        ("of rows", None): where("ok"),
    }
