"""A frame at hand is judged as a file's rows are, and comes back in two parts."""

from __future__ import annotations

import datetime as dt
import subprocess
import sys
from decimal import Decimal
from pathlib import Path

import numpy as np
import pandas as pd
import pandera.pandas as pandera
import pytest

from validators import check_file, check_frame
from validators.errors import ContractError
from validators.judging import Policy
from validators.model import Limits

SCHEMA = pandera.DataFrameSchema(
    {"n": pandera.Column("Int64", pandera.Check.ge(0), nullable=True), "w": pandera.Column(str, unique=True)}
)
PATIENT = Policy(max_rejected_ratio=1.0)
FRAME = pd.DataFrame({"n": ["1", "x", "-2", None], "w": ["a", "b", "c", "d"], "more": [1, 2, 3, 4]})


class Orders(pandera.DataFrameModel):
    number: int = pandera.Field(ge=0)
    note: str = pandera.Field(nullable=True)


class EveryKind(pandera.DataFrameModel):
    i: pd.Int64Dtype = pandera.Field(nullable=True)
    small: np.int8
    b: pd.BooleanDtype = pandera.Field(nullable=True)
    c: pd.CategoricalDtype = pandera.Field(dtype_kwargs={"categories": ["x", "y"], "ordered": False})
    t: pd.DatetimeTZDtype = pandera.Field(dtype_kwargs={"unit": "ns", "tz": "Europe/Berlin"})
    left_out: float | None


@pytest.mark.parametrize("batch_rows", [1, 3, 1000])
def test_good_and_rejected_rows_come_back_apart(batch_rows: int) -> None:
    checked = check_frame(FRAME, SCHEMA, policy=PATIENT, limits=Limits(batch_rows=batch_rows))
    assert checked.good["w"].tolist() == ["a", "d"]
    assert checked.good["n"].tolist()[0] == 1
    assert checked.good["n"].isna().tolist() == [False, True]
    assert "more" not in checked.good.columns
    pd.testing.assert_frame_equal(checked.rejected, FRAME.iloc[[1, 2]])
    rows = checked.verdict.rows
    assert (rows.read, rows.accepted, rows.rejected) == (4, 2, 2)
    assert checked.verdict.ignored_columns == ("more",)


def test_rejected_rows_keep_their_own_index_and_it_need_not_be_unique() -> None:
    frame = FRAME.set_axis([7, 7, 8, 8])
    checked = check_frame(frame, SCHEMA, policy=PATIENT)
    assert checked.rejected.index.tolist() == [7, 8]
    assert checked.rejected["w"].tolist() == ["b", "c"]


def test_a_rule_over_the_whole_frame_forgets_what_the_first_reading_took() -> None:
    frame = pd.DataFrame({"n": [1, 2, 3], "w": ["a", "b", "a"]})
    checked = check_frame(frame, SCHEMA, policy=PATIENT)
    assert (checked.good["w"].tolist(), checked.rejected["w"].tolist()) == (["b"], ["a", "a"])


def test_over_the_budget_no_row_is_good() -> None:
    checked = check_frame(FRAME, SCHEMA, policy=Policy(max_rejected_ratio=0.25))
    assert len(checked.good) == 0
    assert len(checked.rejected) == 4
    assert checked.verdict.rejected_because


def test_an_empty_frame_is_fine() -> None:
    checked = check_frame(FRAME.iloc[:0], SCHEMA)
    assert checked.verdict.ok
    assert (len(checked.good), len(checked.rejected)) == (0, 0)


def test_a_frame_without_a_column_is_told_so() -> None:
    checked = check_frame(FRAME[["n"]], SCHEMA)
    assert checked.verdict.rejected_because == "the column 'w' is missing"
    assert len(checked.rejected) == 4


def test_the_verdict_is_that_of_the_same_rows_in_a_file(tmp_path: Path) -> None:
    FRAME.to_csv(tmp_path / "a.csv", index=False)
    of_file, of_frame = check_file(tmp_path / "a.csv", SCHEMA), check_frame(FRAME, SCHEMA).verdict
    assert (of_file.rows, of_file.digest) == (of_frame.rows, of_frame.digest)
    assert [(p.rule, p.column, p.count) for p in of_file.problems] == [
        (p.rule, p.column, p.count) for p in of_frame.problems
    ]


def test_a_contract_with_options_is_loaded_by_its_name() -> None:
    frame = pd.DataFrame(
        {"unit_id": ["u"], "id_type": ["team_id"], "metric_name": ["m"], "date": ["2026-03-01"], "metric_value": ["1"]}
    )
    reference = "validators.metrics:precomputed_metrics"
    assert not check_frame(frame, reference).verdict.ok
    assert check_frame(frame, reference, options={"id_types": ["team_id"]}).verdict.ok
    with pytest.raises(ContractError, match="precomputed"):
        check_frame(frame, "validators.metrics:precomputed")


def test_good_rows_keep_their_index_and_have_the_declared_dtypes() -> None:
    frame = pd.DataFrame(
        {
            "i": ["1", None, "x"],
            "small": [1.0, 2.0, 3.0],
            "b": ["true", None, "false"],
            "c": ["x", "y", "x"],
            "t": ["2026-03-01T00:00:00Z"] * 3,
            "more": [1, 2, 3],
        },
        index=["p", "q", "r"],
    )
    checked = check_frame(frame, EveryKind)
    assert list(checked.good.index) == ["p", "q"]
    assert list(checked.rejected.index) == ["r"]
    assert list(checked.good.columns) == ["i", "small", "b", "c", "t"]
    EveryKind.validate(checked.good)


def test_good_rows_have_the_declared_dtypes_even_when_there_are_none() -> None:
    checked = check_frame(pd.DataFrame({"number": ["x"], "note": ["y"], "more": [1]}), Orders)
    assert checked.good.empty
    Orders.validate(checked.good)


def test_a_missing_value_stays_missing_where_numpy_has_no_place_for_it() -> None:
    schema = pandera.DataFrameSchema(
        {"n": pandera.Column(int, nullable=True), "yes": pandera.Column(bool, nullable=True)}
    )
    good = check_frame(pd.DataFrame({"n": ["1", None], "yes": ["true", None]}), schema).good
    assert [str(dtype) for dtype in good.dtypes] == ["Int64", "boolean"]
    assert good["n"].isna().tolist() == good["yes"].isna().tolist() == [False, True]


def test_a_column_of_mixed_cells_is_judged_cell_by_cell() -> None:
    cells = [1, "x", None, 2.0, 2.5, True, 2**70, Decimal(7), [1], 3 + 0j]
    frame = pd.DataFrame({"number": pd.Series(cells, dtype=object), "note": "n"})
    checked = check_frame(frame, Orders, policy=PATIENT)
    assert checked.good["number"].to_dict() == {0: 1, 3: 2, 7: 7}
    assert list(checked.rejected.index) == [1, 2, 4, 5, 6, 8, 9]


def test_text_may_come_as_anything_that_can_be_written() -> None:
    cells = ["q", 1, None, dt.date(2026, 3, 1), b"x", 0.5, "\ud800"]
    frame = pd.DataFrame({"number": range(7), "note": pd.Series(cells, dtype=object)})
    good = check_frame(frame, Orders).good
    assert good["note"].fillna("-").tolist() == ["q", "1", "-", "2026-03-01", "x", "0.5", "\\ud800"]


def test_a_period_is_no_number() -> None:
    frame = pd.DataFrame({"number": pd.period_range("2026-01", periods=2, freq="M"), "note": "n"})
    checked = check_frame(frame, Orders, policy=PATIENT)
    assert checked.verdict.rows.rejected == 2
    assert checked.verdict.problems[0].sample[0].value == "2026-01"


def test_two_columns_of_one_name_reject_the_frame() -> None:
    frame = pd.DataFrame([[1, 2, "x"]], columns=["number", "number", "note"])
    assert check_frame(frame, Orders).verdict.rejected_because == "the column 'number' is there 2 times"


def test_the_result_does_not_depend_on_the_batches() -> None:
    frame = pd.DataFrame({"number": [3, -1, 4, -2, 5], "note": list("abcde")}, index=[9, 8, 7, 6, 5])
    whole, small = check_frame(frame, Orders), check_frame(frame, Orders, limits=Limits(batch_rows=2))
    pd.testing.assert_frame_equal(whole.good, small.good)
    assert list(small.good.index) == [9, 7, 5]
    assert list(small.rejected.index) == [8, 6]


def test_what_is_no_frame_is_refused() -> None:
    with pytest.raises(TypeError, match=r"takes a pandas DataFrame, not a list$"):
        check_frame([1], Orders)  # type: ignore[arg-type]


def test_a_notebook_needs_nothing_of_the_daemon() -> None:
    code = (
        "import sys, pandas as pd, pandera.pandas as pandera\n"
        "from validators import check_file, check_frame, load_contract\n"
        "contract = load_contract(pandera.DataFrameSchema({'a': pandera.Column(int)}))\n"
        "assert check_frame(pd.DataFrame({'a': ['1', 'x']}), contract).good['a'].tolist() == [1]\n"
        "assert not [name for name in sys.modules if name.split('.')[0] == 'daemon']\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_rule_that_may_read_all_of_a_row_is_shown_with_all_of_it() -> None:
    check = pandera.Check(lambda row: row["quantity"] != 13, element_wise=True, name="unlucky")
    schema = pandera.DataFrameSchema({"country": pandera.Column(str), "quantity": pandera.Column(int)}, checks=check)
    frame = pd.DataFrame({"country": ["DE", "FR"], "quantity": [1, 13]})
    (problem,) = check_frame(frame, schema).verdict.problems
    assert problem.sample[0].value == "country=FR, quantity=13"


def test_a_rule_that_says_nothing_of_itself_is_told_once() -> None:
    schema = pandera.DataFrameSchema(
        {"n": pandera.Column(int)}, checks=pandera.Check(lambda rows: rows["n"].sum() < 3, name="few")
    )
    because = check_frame(pd.DataFrame({"n": [1, 2]}), schema).verdict.rejected_because
    assert because == "the rule 'few' does not hold over the whole file"


def test_one_column_that_is_unique_together_is_told_as_one() -> None:
    schema = pandera.DataFrameSchema({"n": pandera.Column(int)}, unique=["n"])
    (problem,) = check_frame(pd.DataFrame({"n": [1, 1]}), schema, policy=PATIENT).verdict.problems
    assert problem.expected == "n that no other row of the file has"


def test_a_description_of_several_lines_is_told_by_its_first_paragraph_on_one_line() -> None:
    check = pandera.Check.lt(10, description="A number that\n    is below ten.\n\n    Nobody needs more.\n")
    schema = pandera.DataFrameSchema({"n": pandera.Column(int, check)})
    (problem,) = check_frame(pd.DataFrame({"n": [1, 10]}), schema).verdict.problems
    assert problem.expected == "A number that is below ten."
