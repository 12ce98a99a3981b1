"""Frames checked in memory, as somebody does in a notebook."""

from __future__ import annotations

import datetime as dt
import subprocess
import sys
from decimal import Decimal

import numpy as np
import pandas as pd
import pandera.pandas as pa
import pytest

from validators import check_frame
from validators.judging import Policy
from validators.model import Limits

ANY_SHARE = Policy(max_rejected_ratio=1.0)


class Orders(pa.DataFrameModel):
    number: int = pa.Field(ge=0)
    note: str = pa.Field(nullable=True)


class EveryKind(pa.DataFrameModel):
    i: pd.Int64Dtype = pa.Field(nullable=True)
    small: np.int8
    b: pd.BooleanDtype = pa.Field(nullable=True)
    c: pd.CategoricalDtype = pa.Field(dtype_kwargs={"categories": ["x", "y"], "ordered": False})
    t: pd.DatetimeTZDtype = pa.Field(dtype_kwargs={"unit": "ns", "tz": "Europe/Berlin"})
    left_out: float | None


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
    schema = pa.DataFrameSchema({"n": pa.Column(int, nullable=True), "yes": pa.Column(bool, nullable=True)})
    good = check_frame(pd.DataFrame({"n": ["1", None], "yes": ["true", None]}), schema).good
    assert [str(dtype) for dtype in good.dtypes] == ["Int64", "boolean"]
    assert good["n"].isna().tolist() == good["yes"].isna().tolist() == [False, True]


def test_a_column_of_mixed_cells_is_judged_cell_by_cell() -> None:
    cells = [1, "x", None, 2.0, 2.5, True, 2**70, Decimal(7), [1], 3 + 0j]
    frame = pd.DataFrame({"number": pd.Series(cells, dtype=object), "note": "n"})
    checked = check_frame(frame, Orders, policy=ANY_SHARE)
    assert checked.good["number"].to_dict() == {0: 1, 3: 2, 7: 7}
    assert list(checked.rejected.index) == [1, 2, 4, 5, 6, 8, 9]


def test_text_may_come_as_anything_that_can_be_written() -> None:
    cells = ["q", 1, None, dt.date(2026, 3, 1), b"x", 0.5, "\ud800"]
    frame = pd.DataFrame({"number": range(7), "note": pd.Series(cells, dtype=object)})
    good = check_frame(frame, Orders).good
    assert good["note"].fillna("-").tolist() == ["q", "1", "-", "2026-03-01", "x", "0.5", "\\ud800"]


def test_a_period_is_no_number() -> None:
    frame = pd.DataFrame({"number": pd.period_range("2026-01", periods=2, freq="M"), "note": "n"})
    checked = check_frame(frame, Orders, policy=ANY_SHARE)
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
        "import sys, pandas as pd, pandera.pandas as pa\n"
        "from validators import check_file, check_frame, load_contract\n"
        "contract = load_contract(pa.DataFrameSchema({'a': pa.Column(int)}))\n"
        "assert check_frame(pd.DataFrame({'a': ['1', 'x']}), contract).good['a'].tolist() == [1]\n"
        "assert not [name for name in sys.modules if name.split('.')[0] == 'daemon']\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
