"""Typed columns are held to the same rules as text, and checks get to see exactly the dtypes that were declared."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import pandera.pandas as pap
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pandera.engines import pandas_engine

from validators.casting import cast, to_pandas
from validators.kinds import Type, type_of
from validators.texts import Array, to_text

NAN, INFINITE = float("nan"), float("inf")
MONEY = pandas_engine.Decimal(10, 2)
INSTANT = pd.DatetimeTZDtype("us", "UTC")
NOON = dt.datetime(2026, 3, 1, 12)  # noqa: DTZ001 - times without a zone are a type of their own
MIDNIGHT = dt.datetime(2026, 3, 1)  # noqa: DTZ001
EPOCH = dt.datetime(1970, 1, 1)  # noqa: DTZ001
DAY = dt.date(2026, 3, 1)
UTC_NOON = NOON.replace(tzinfo=dt.UTC)


def declared(dtype: object) -> Type:
    return type_of(pap.Column(dtype).dtype)


def read(column: Array, dtype: object) -> tuple[list[object], list[int]]:
    """Cast the column; return its values and the places of the cells that are bad."""
    to = declared(dtype)
    done = cast(column, to)
    values = done.values  # noqa: PD011 - no frame of pandas
    assert values.type == to.arrow
    assert done.bad is None or (done.bad.any() and len(done.bad) == len(values))
    return values.to_pylist(), [] if done.bad is None else np.flatnonzero(done.bad).tolist()


@pytest.mark.parametrize(
    ("column", "dtype", "values", "bad"),
    [
        # Integers
        (pa.array([1, 300, None]), "int8", [1, None, None], [1]),
        (pa.array([1, -1], pa.int8()), "uint64", [1, None], [1]),
        (pa.array([2**64 - 1, 1], pa.uint64()), int, [None, 1], [0]),
        (pa.array([2**64 - 1], pa.uint64()), "uint64", [2**64 - 1], []),
        (pa.array([12.0, 12.5, NAN, None, -0.0]), int, [12, None, None, None, 0], [1]),
        (
            pa.array([INFINITE, 2.0**53 + 2, 2.0**62, 2.0**63, -(2.0**63)]),
            int,
            [None, 2**53 + 2, 2**62, None, -(2**63)],
            [0, 3],
        ),
        (pa.array([2.0**63, 2.0**64, -1.0]), "uint64", [2**63, None, None], [1, 2]),
        (pa.array([1.0, 1.5], pa.float32()), "Int16", [1, None], [1]),
        (pa.array([Decimal("1.00"), Decimal("1.50")]), int, [1, None], [1]),
        (pa.array([True, False]), int, [None, None], [0, 1]),
        (pa.array([MIDNIGHT]), int, [None], [0]),
        (pa.array([DAY, None]), int, [None, None], [0]),
        (pa.array([[1], None]), int, [None, None], [0]),
        (pa.array([{"a": 1}]), int, [None], [0]),
        (pa.array([b"12", b"\xff", None]), int, [12, None, None], [1]),
        # Floats
        (pa.array([1.5, NAN, INFINITE, -INFINITE, None]), float, [1.5, None, None, None, None], [2, 3]),
        (pa.array([1, 2**53 + 1]), float, [1.0, float(2**53 + 1)], []),
        (pa.array([2**64 - 1], pa.uint64()), float, [float(2**64 - 1)], []),
        (pa.array([1.5, 1e39, NAN]), "float32", [1.5, None, None], [1]),
        (pa.array([1.5, 1e6, NAN]), "float16", [1.5, None, None], [1]),
        (pa.array([Decimal("0.10")]), float, [0.1], []),
        (pa.array([True]), float, [None], [0]),
        # Decimals
        (
            pa.array([0.1, 1.25, 1e-5, NAN, 1e5, INFINITE]),
            MONEY,
            [Decimal("0.10"), Decimal("1.25"), None, None, 10**5, None],
            [2, 5],
        ),
        (pa.array([0.1], pa.float32()), MONEY, [Decimal("0.10")], []),
        (pa.array([5, 10**9, None]), MONEY, [5, None, None], [1]),
        (pa.array([Decimal("1.500"), Decimal("1.555"), None]), MONEY, [Decimal("1.50"), None, None], [1]),
        (pa.array([Decimal("1.5")], pa.decimal256(60, 3)), MONEY, [Decimal("1.50")], []),
        (pa.array([Decimal(-419), Decimal(0)], pa.decimal128(6, 0)), pandas_engine.Decimal(38, 38), [None, 0], [0]),
        # Booleans
        (pa.array([True, False, None]), bool, [True, False, None], []),
        (pa.array([1, 0, 2]), bool, [True, False, None], [2]),
        (pa.array([1.0, 0.0, 0.5, NAN]), bool, [True, False, None, None], [2]),
        # Dates
        (pa.array([DAY], pa.date32()), pandas_engine.Date, [DAY], []),
        (
            pa.array([86_400_000, 1, None], pa.int64()).view(pa.date64()),
            pandas_engine.Date,
            [dt.date(1970, 1, 2), None, None],
            [1],
        ),
        (pa.array([MIDNIGHT, NOON, None]), pandas_engine.Date, [DAY, None, None], [1]),
        (pa.array([MIDNIGHT, None], pa.timestamp("ns")), pandas_engine.Date, [DAY, None], []),
        (pa.array([MIDNIGHT], pa.timestamp("us", "UTC")), pandas_engine.Date, [None], [0]),
        (
            pa.array([10**7, -(10**6), 1], pa.int32()).view(pa.date32()),
            pandas_engine.Date,
            [None, None, dt.date(1970, 1, 2)],
            [0, 1],
        ),
        (pa.array([20260301]), pandas_engine.Date, [None], [0]),
        # Times
        (pa.array([NOON, None], pa.timestamp("s")), pd.Timestamp, [NOON, None], []),
        (
            pa.array([1, 1000, None], pa.int64()).view(pa.timestamp("ns")),
            pd.Timestamp,
            [None, EPOCH.replace(microsecond=1), None],
            [0],
        ),
        (pa.array([DAY]), pd.Timestamp, [MIDNIGHT], []),
        (pa.array([DAY]), INSTANT, [None], [0]),
        (pa.array([NOON, None]), INSTANT, [None, None], [0]),
        (pa.array([UTC_NOON, None], pa.timestamp("ms", "Europe/Berlin")), INSTANT, [UTC_NOON, None], []),
        (pa.array([UTC_NOON], pa.timestamp("us", "UTC")), pd.Timestamp, [None], [0]),
        (
            pa.array([2**62, 0], pa.int64()).view(pa.timestamp("s")),
            pd.ArrowDtype(pa.timestamp("s")),
            [None, EPOCH],
            [0],
        ),
        (pa.array([1772366400]), INSTANT, [None], [0]),
        # Text
        (pa.array([42, None]), str, ["42", None], []),
        (pa.array([42.0, 1.5, NAN]), str, ["42", "1.5", None], []),
        (pa.array([b"a", b"\xff", None]), str, ["a", None, None], [1]),
        (pa.array([2**62], pa.int64()).view(pa.timestamp("s")), str, [None], [0]),
        (pa.array([{"a": [1]}]), None, ['{"a":[1]}'], []),
        (pa.array([" a ", ""]), str, [" a ", ""], []),
        # Categories
        (pa.array(["a", "c", None, " a"]), pd.CategoricalDtype(["a", "b"]), ["a", None, None, None], [1, 3]),
        (pa.array(["a", "c"]).dictionary_encode(), pd.CategoricalDtype(["a", "b"]), ["a", None], [1]),
        (pa.array([1, 2]), pd.CategoricalDtype(["1", "3"]), ["1", None], [1]),
        (pa.array(["a", "c"]), "category", ["a", "c"], []),
    ],
)
def test_typed_values_are_cast_exactly_or_bad(
    column: Array, dtype: object, values: list[object], bad: list[int]
) -> None:
    assert read(column, dtype) == (values, bad)
    # A slice of the same, and the same in chunks, are no different.
    surrounded = pa.concat_arrays([column, column]).slice(len(column))
    assert read(surrounded, dtype) == (values, bad)
    assert read(pa.chunked_array([column.slice(0, 1), column.slice(1)]), dtype) == (values, bad)


DTYPES = [
    *("int8", "int64", "uint8", "uint64", "Int8", "Int64", "UInt16", "UInt64", "float16", "float32", "float64"),
    *("Float32", "Float64", "bool", "boolean", "object", "str", "string", "string[python]", "category", None),
    *(np.str_, pd.CategoricalDtype(["1", "0"]), pd.CategoricalDtype(["1", "0"], ordered=True)),
    *(pandas_engine.Decimal(10, 2), pd.ArrowDtype(pa.decimal128(10, 2)), pd.ArrowDtype(pa.string())),
    *(pd.ArrowDtype(pa.large_string()), pd.ArrowDtype(pa.uint8()), pd.ArrowDtype(pa.uint64())),
    *(pd.ArrowDtype(pa.float16()), pd.ArrowDtype(pa.bool_())),
    pd.ArrowDtype(pa.dictionary(pa.int32(), pa.string())),
]
TIMES = [
    *("datetime64[ns]", "datetime64[ns, UTC]", "datetime64[us, Europe/Berlin]", pandas_engine.Date),
    *(pd.DatetimeTZDtype("s", "Etc/GMT+8"), pd.DatetimeTZDtype("ms", "+01:00"), pandas_engine.DateTime(tz="UTC")),  # type: ignore[call-arg]
    *(pd.ArrowDtype(pa.date32()), pd.ArrowDtype(pa.date64()), pd.ArrowDtype(pa.timestamp("s"))),
    *(pd.ArrowDtype(pa.timestamp("us", "UTC")), pd.ArrowDtype(pa.timestamp("ms", "Europe/Berlin"))),
]
#: They have no room for a value that is missing; checking leaves such rows out.
FULL = (np.dtype(bool), *(np.dtype(f"{sign}int{bits}") for sign in ("", "u") for bits in (8, 16, 32, 64)))


def as_pandas_sees(column: Array, dtype: Any) -> pd.Series[Any]:
    """Cast the column and hold the series against the schema itself."""
    to = declared(dtype)
    done = cast(column, to)
    assert done.bad is None
    series = to_pandas(done.values, to)
    pap.DataFrameSchema({"cell": pap.Column(dtype, nullable=True)}).validate(pd.DataFrame({"cell": series}), lazy=True)
    assert len(series) == len(column)
    return series


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_checks_see_exactly_the_declared_dtype(dtype: Any) -> None:
    series = as_pandas_sees(pa.array(["1", "0", "1"]), dtype)

    assert [str(value) in {"1", "1.0", "True", "1.00"} for value in series] == [True, False, True]
    assert len(as_pandas_sees(pa.array([], pa.string()), dtype)) == 0


@pytest.mark.parametrize("dtype", TIMES, ids=str)
def test_checks_see_exactly_the_declared_dates_and_times(dtype: Any) -> None:
    to = declared(dtype)
    cell = "2026-03-01T00:00:00" + ("Z" if to.zone else "")

    series = as_pandas_sees(pa.array([cell, None]), dtype)

    assert series.isna().tolist() == [False, True]
    assert pd.Timestamp(series.iloc[0]).tz_localize(None) - pd.Timedelta(0) >= pd.Timestamp("2026-02-28T16:00")
    if to.zone:
        assert pd.Timestamp(series.iloc[0]) == pd.Timestamp(cell)
    assert len(as_pandas_sees(pa.array([], pa.string()), dtype)) == 0


@pytest.mark.parametrize("dtype", [dtype for dtype in DTYPES if declared(dtype).pandas not in FULL], ids=str)
def test_missing_values_are_missing_in_every_dtype_that_can_hold_them(dtype: Any) -> None:
    series = as_pandas_sees(pa.array(["1", None]), dtype)

    assert series.isna().tolist() == [False, True]


def test_dates_and_decimals_are_seen_as_pythons_own() -> None:
    dates = as_pandas_sees(pa.array(["2026-03-01", None]), pandas_engine.Date)
    decimals = as_pandas_sees(pa.array(["1.5", None]), MONEY)

    assert dates.tolist() == [DAY, None]
    assert decimals.tolist() == [Decimal("1.50"), None]


def test_numbers_and_text_are_seen_without_a_copy() -> None:
    numbers = pa.array([1.5, 2.5])

    seen = to_pandas(numbers, declared(float))

    assert seen.to_numpy().__array_interface__["data"][0] == numbers.buffers()[1].address


def test_a_text_column_is_cast_without_a_copy() -> None:
    text = pa.array(["a", "b"])

    assert cast(text, declared(str)).values.buffers()[2].address == text.buffers()[2].address  # noqa: PD011


@pytest.mark.parametrize("dtype", [*DTYPES, *TIMES], ids=str)
def test_no_rows_no_chunks_and_no_values_are_no_problem(dtype: Any) -> None:
    assert read(pa.chunked_array([], pa.string()), dtype) == ([], [])
    assert read(pa.array([], pa.float64()), dtype) == ([], [])
    assert read(pa.nulls(3), dtype) == ([None] * 3, [])
    assert read(pa.array([None, None], pa.string()), dtype) == ([None] * 2, [])
    assert read(pa.chunked_array([[None], []], pa.int64()), dtype) == ([None], [])


TYPED = st.one_of(
    st.lists(st.none() | st.integers(-(2**63), 2**63 - 1)).map(lambda rows: pa.array(rows, pa.int64())),
    st.lists(st.none() | st.integers(-3, 300)).map(lambda rows: pa.array(rows, pa.int16())),
    st.lists(st.none() | st.floats(-(2.0**63), 2.0**62)).map(lambda rows: pa.array(rows, pa.float64())),
    st.lists(st.none() | st.integers(-(10**6), 10**6).map(float)).map(lambda rows: pa.array(rows, pa.float64())),
    st.lists(st.none() | st.decimals(-999, 999, places=3)).map(lambda rows: pa.array(rows, pa.decimal128(20, 3))),
    st.lists(st.none() | st.booleans()).map(lambda rows: pa.array(rows, pa.bool_())),
    st.lists(st.none() | st.dates()).map(lambda rows: pa.array(rows, pa.date32())),
    st.lists(st.none() | st.datetimes()).map(lambda rows: pa.array(rows, pa.timestamp("us"))),
    st.lists(st.none() | st.datetimes(timezones=st.just(dt.UTC))).map(
        lambda rows: pa.array(rows, pa.timestamp("us", "UTC"))
    ),
    st.lists(st.none() | st.binary(max_size=3)).map(lambda rows: pa.array(rows, pa.binary())),
)
TARGETS = [
    "int8",
    "int64",
    "uint64",
    "float64",
    "bool",
    "str",
    MONEY,
    pandas_engine.Date,
    pd.ArrowDtype(pa.timestamp("us")),
]


@pytest.mark.parametrize("dtype", [*TARGETS, INSTANT], ids=str)
@settings(max_examples=40, deadline=None)
@given(column=TYPED)
def test_a_typed_column_is_cast_as_its_text_would_be(dtype: Any, column: Array) -> None:
    text = to_text(column)
    if pa.types.is_binary(column.type):  # What is no UTF-8 is shown, but not read.
        whole = [None if value is None or "\\x" in value else value for value in text.to_pylist()]
        column, text = (
            pa.array([None if value is None else value.encode() for value in whole]),
            pa.array(whole, pa.string()),
        )

    values, bad = read(column, dtype)

    assert (values, bad) == read(text, dtype)


def test_the_same_cells_are_cast_the_same_however_they_are_cut() -> None:
    # Given cells of all sorts, more of them than are tried at first,
    cells = ["1", "1.0", "x", " 2 ", "1e3", None, "007", "0x1A", "9" * 30, ""] * 300
    whole = read(pa.array(cells), int)

    # when they are cast in parts of any length,
    for length in (1, 7, 1024, 2999):
        parts = [read(pa.array(cells[at : at + length], pa.string()), int) for at in range(0, len(cells), length)]

        # then all parts together are the whole.
        assert [value for values, _ in parts for value in values] == whole[0]
        assert [at * length + place for at, (_, bad) in enumerate(parts) for place in bad] == whole[1]
