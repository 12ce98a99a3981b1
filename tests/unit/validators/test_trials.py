"""Checks that no file could satisfy are refused before any file comes; the others are left to the rows."""

from __future__ import annotations

import datetime as dt
import importlib.util
from typing import Any

import pandas as pd
import pandera.pandas as pandera
import pyarrow as pa
import pytest

from validators.contract import Contract
from validators.errors import ContractError

COLUMNS = {"a": pandera.Column(int), "b": pandera.Column(str), r"x_\d": pandera.Column(int, regex=True, required=False)}


def refusal(*, rows: Any = None, cells: Any = None) -> str:
    columns = dict(COLUMNS) if cells is None else {**COLUMNS, "b": pandera.Column(str, cells)}
    with pytest.raises(ContractError) as caught:
        Contract.of(pandera.DataFrameSchema(columns, checks=rows))
    return str(caught.value)


@pytest.mark.parametrize(
    "check",
    [
        pandera.Check(lambda rows: rows["a"] < rows["extra"], name="less"),
        pandera.Check(lambda rows: rows.a < rows.extra, name="less"),
        pandera.Check(lambda rows: rows[rows["a"] > 0]["extra"] > 0, name="less"),
        pandera.Check(lambda row: row["a"] < row["extra"], name="less", element_wise=True),
    ],
)
def test_a_check_that_reads_an_undeclared_column_is_refused(check: Any) -> None:
    assert "the rule 'less' reads 'extra', which the contract does not declare as a column" in refusal(rows=check)


def test_the_column_that_was_probably_meant_is_named() -> None:
    columns = {"amount": pandera.Column(int)}
    with pytest.raises(ContractError, match=r"did you mean 'amount'?"):
        Contract.of(pandera.DataFrameSchema(columns, checks=pandera.Check(lambda rows: rows["amuont"] > 0)))


def test_a_check_in_a_model_that_forgets_cls_is_refused() -> None:
    class Orders(pandera.DataFrameModel):
        a: int

        @pandera.check("a")
        def positive(column) -> Any:  # noqa: N805 - that is the mistake
            return column > 0  # type: ignore[operator]

    with pytest.raises(
        ContractError, match=r"the rule 'positive' of column 'a' cannot be called: .*Models give a check `cls`"
    ):
        Contract.of(Orders)


@pytest.mark.parametrize("element_wise", [False, True])
def test_a_check_with_too_many_arguments_is_refused(element_wise: bool) -> None:
    check = pandera.Check(lambda cls, cells: cells != "", name="full", element_wise=element_wise)  # noqa: ARG005
    assert "the rule 'full' of column 'b' cannot be called" in refusal(cells=check)


def test_a_check_that_uses_a_name_that_does_not_exist_is_refused_with_its_line() -> None:
    check = pandera.Check(lambda cells: cells.isin(COUNTRIES), name="country")  # type: ignore[name-defined]  # noqa: F821
    said = refusal(cells=check)
    assert "the rule 'country' of column 'b' raises NameError: name 'COUNTRIES' is not defined (" in said
    assert "test_trials.py, line " in said


def test_a_module_that_does_not_exist_is_named() -> None:
    def usual(rows: Any) -> Any:
        import scipy_of_nobody  # type: ignore[import-not-found]  # noqa: PLC0415

        return scipy_of_nobody.ok(rows)

    assert "the rule 'usual' raises ModuleNotFoundError: No module named 'scipy_of_nobody'" in refusal(
        rows=pandera.Check(usual)
    )


@pytest.mark.parametrize(
    ("dtype", "check", "said"),
    [
        (int, pandera.Check.ge("x"), "read as integer, raises TypeError: Invalid comparison"),
        (int, pandera.Check.str_matches("x"), "read as integer, raises AttributeError: Can only use .str accessor"),
        (pandera.Date, pandera.Check.ge("2026-01-01"), "read as date, raises TypeError: '>=' not supported"),
        (
            pd.DatetimeTZDtype("ns", "UTC"),
            pandera.Check.ge(pd.Timestamp("2026-01-01")),
            "read as timestamp, raises TypeError: Invalid comparison",
        ),
    ],
)
def test_a_built_in_check_that_does_not_fit_its_column_is_refused(dtype: Any, check: Any, said: str) -> None:
    with pytest.raises(ContractError) as caught:
        Contract.of(pandera.DataFrameSchema({"a": pandera.Column(dtype, check)}))
    assert f"of column 'a', which is {said}" in str(caught.value)


@pytest.mark.parametrize(
    ("dtype", "check"),
    [
        ("datetime64[ns]", pandera.Check.ge("2026-01-01")),
        (pandera.Date, pandera.Check.in_range(dt.date(2026, 1, 1), dt.date(2026, 12, 31))),
        (pandera.Decimal(8, 2), pandera.Check.ge(0)),
        (pd.ArrowDtype(pa.decimal128(8, 2)), pandera.Check.ge(0)),
        (pd.ArrowDtype(pa.date32()), pandera.Check.ge(dt.date(2026, 1, 1))),
        (pd.CategoricalDtype(["x"], ordered=True), pandera.Check.ge("x")),
        ("category", pandera.Check.str_length(1)),
        ("Int8", pandera.Check.le(1000)),
        (bool, pandera.Check.eq(True)),
        (int, pandera.Check.isin(["a"])),
        (None, pandera.Check.str_matches("x")),
        (int, pandera.Check.unique_values_eq([3])),
    ],
)
def test_a_built_in_check_that_fits_its_column_is_not_refused(dtype: Any, check: Any) -> None:
    assert Contract.of(pandera.DataFrameSchema({"a": pandera.Column(dtype, check)})).rules


@pytest.mark.skipif(importlib.util.find_spec("scipy") is not None, reason="SciPy is here")
def test_a_hypothesis_of_panderas_own_without_scipy_is_refused() -> None:
    test = pandera.Hypothesis.two_sample_ttest("x", "y", groupby="b")
    with pytest.raises(ContractError, match="the rule 'two_sample_ttest' needs SciPy, which is not installed"):
        Contract.of(pandera.DataFrameSchema({"a": pandera.Column(int, test), "b": pandera.Column(str)}))


@pytest.mark.parametrize(
    "check",
    [
        pandera.Check(lambda rows: rows["a"].iloc[0] == 1),
        pandera.Check(lambda rows: rows["b"].value_counts()["DE"] > 0),
        pandera.Check(lambda rows: rows.groupby("b").get_group("DE")["a"].sum() > 0),
        pandera.Check(lambda rows: rows["x_1"] > 0),
        pandera.Check(lambda rows: rows["extra"] > 0 if "extra" in rows else rows["a"] > 0),
        pandera.Check(lambda row: {1: True}[row["a"]], element_wise=True),
        pandera.Check(lambda rows: pd.concat([rows[name] > 0 for name in rows.columns if name != "b"], axis=1)),
    ],
)
def test_a_check_that_only_needs_rows_is_not_refused(check: Any) -> None:
    assert Contract.of(pandera.DataFrameSchema(COLUMNS, checks=check)).rules


@pytest.mark.parametrize(
    "check",
    [
        pandera.Check(lambda cells: cells.iloc[0] == "x"),
        pandera.Check(lambda cell: cell.startswith("x"), element_wise=True),
        pandera.Check(str.isdigit, element_wise=True),
        pandera.Check(lambda groups: groups[1].all(), groupby="a"),
        pandera.Check(lambda cells, start: cells.str.startswith(start), start="x"),
    ],
)
def test_a_check_of_a_column_that_only_needs_cells_is_not_refused(check: Any) -> None:
    schema = pandera.DataFrameSchema({"a": pandera.Column(int), "b": pandera.Column(str, check)})
    assert Contract.of(schema).rules
