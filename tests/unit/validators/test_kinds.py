"""Everything that users declare in pandera is known, exactly, or refused with what to declare in its place."""

from __future__ import annotations

import datetime as dt
import decimal
import re
from typing import Annotated, Any, Optional

import numpy as np
import pandas as pd
import pandera.pandas as pap
import pandera.typing as pandera_typing
import pyarrow as pa
import pytest
from pandera.engines import pandas_engine

from validators.errors import ContractError
from validators.kinds import FIRST_MICROSECOND, LAST_MICROSECOND, Kind, Type, type_of

#: What is annotated with these is only known when it runs.
pandera_types: Any = pandera_typing
S: Any = pandera_types.Series
engine: Any = pandas_engine
arrow: Any = pa

MICROSECONDS = pa.timestamp("us")
INSTANTS = pa.timestamp("us", "UTC")


def annotated(annotation: object) -> Any:
    """Return the dtype that a model's annotation ends up as."""
    body = {"__annotations__": {"cell": annotation}, "__module__": __name__}
    return type("Model", (pap.DataFrameModel,), body).to_schema().columns["cell"].dtype  # type: ignore[attr-defined]


def declared(dtype: object) -> Type:
    return type_of(pap.Column(dtype).dtype)


@pytest.mark.parametrize(
    ("annotation", "kind", "stored"),
    [
        (int, Kind.INTEGER, pa.int64()),
        (str, Kind.STRING, pa.string()),
        (S[int], Kind.INTEGER, pa.int64()),
        (S[str], Kind.STRING, pa.string()),
        (S[float], Kind.FLOAT, pa.float64()),
        (S[bool], Kind.BOOLEAN, pa.bool_()),
        (S[object], Kind.STRING, pa.string()),
        (S[Any], Kind.STRING, pa.string()),
        (S[bytes], Kind.STRING, pa.string()),
        (Optional[S[int]], Kind.INTEGER, pa.int64()),  # noqa: UP045 - as users write it
        (S[np.int32], Kind.INTEGER, pa.int32()),
        (S[np.float16], Kind.FLOAT, pa.float32()),
        (S[np.str_], Kind.STRING, pa.string()),
        (S["Int64"], Kind.INTEGER, pa.int64()),
        (S[pd.Int64Dtype], Kind.INTEGER, pa.int64()),
        (S[pd.BooleanDtype], Kind.BOOLEAN, pa.bool_()),
        (S[pd.StringDtype], Kind.STRING, pa.string()),
        (S["string"], Kind.STRING, pa.string()),
        (S["string[pyarrow]"], Kind.STRING, pa.string()),
        (S[pandera_types.Int8], Kind.INTEGER, pa.int8()),
        (S[pandera_types.Category], Kind.CATEGORY, pa.string()),
        (S[pd.CategoricalDtype], Kind.CATEGORY, pa.string()),
        (S[Annotated[pd.CategoricalDtype, ["a", "b"], True]], Kind.CATEGORY, pa.string()),
        (S[pd.Timestamp], Kind.TIMESTAMP, MICROSECONDS),
        (S[dt.datetime], Kind.TIMESTAMP, MICROSECONDS),
        (S[pandera_types.DateTime], Kind.TIMESTAMP, MICROSECONDS),
        (S[Annotated[pd.DatetimeTZDtype, "ns", "UTC"]], Kind.TIMESTAMP, INSTANTS),
        (S[dt.date], Kind.DATE, pa.date32()),
        (S[engine.Date], Kind.DATE, pa.date32()),
        (S[decimal.Decimal], Kind.DECIMAL, pa.decimal128(28, 0)),
        (S[Annotated[pd.ArrowDtype, pa.decimal128(10, 2)]], Kind.DECIMAL, pa.decimal128(10, 2)),
        (S[arrow.date32], Kind.DATE, pa.date32()),
        (S[arrow.string], Kind.STRING, pa.string()),
    ],
    # An address in the id of a test would make each process of a run name it differently.
    ids=lambda value: re.sub(r" at 0x[0-9a-f]+", "", str(value)),
)
def test_what_models_are_annotated_with_is_known(annotation: object, kind: Kind, stored: pa.DataType) -> None:
    found = type_of(annotated(annotation))

    assert (found.kind, found.arrow) == (kind, stored)


@pytest.mark.parametrize(
    ("dtype", "kind", "stored"),
    [
        (None, Kind.STRING, pa.string()),
        ("object", Kind.STRING, pa.string()),
        ("string[python]", Kind.STRING, pa.string()),
        ("uint8", Kind.INTEGER, pa.int16()),
        ("UInt16", Kind.INTEGER, pa.int32()),
        ("uint32", Kind.INTEGER, pa.int64()),
        ("UInt64", Kind.INTEGER, pa.decimal128(20, 0)),
        ("float32", Kind.FLOAT, pa.float32()),
        ("Float64", Kind.FLOAT, pa.float64()),
        ("boolean", Kind.BOOLEAN, pa.bool_()),
        ("category", Kind.CATEGORY, pa.string()),
        ("datetime64[ns]", Kind.TIMESTAMP, MICROSECONDS),
        ("datetime64[ns, Europe/Berlin]", Kind.TIMESTAMP, INSTANTS),
        (engine.Decimal(10, 2), Kind.DECIMAL, pa.decimal128(10, 2)),
        (engine.DateTime(to_datetime_kwargs={"format": "ISO8601"}), Kind.TIMESTAMP, MICROSECONDS),
        (pd.ArrowDtype(pa.large_string()), Kind.STRING, pa.string()),
        (pd.ArrowDtype(pa.uint8()), Kind.INTEGER, pa.int16()),
        (pd.ArrowDtype(pa.float16()), Kind.FLOAT, pa.float32()),
        (pd.ArrowDtype(pa.bool_()), Kind.BOOLEAN, pa.bool_()),
        (pd.ArrowDtype(pa.date64()), Kind.DATE, pa.date32()),
        (pd.ArrowDtype(pa.timestamp("ms", "UTC")), Kind.TIMESTAMP, INSTANTS),
        (pd.ArrowDtype(pa.dictionary(pa.int32(), pa.string())), Kind.CATEGORY, pa.string()),
    ],
    ids=str,
)
def test_what_columns_are_declared_as_is_known(dtype: object, kind: Kind, stored: pa.DataType) -> None:
    found = declared(dtype)

    assert (found.kind, found.arrow) == (kind, stored)


@pytest.mark.parametrize(
    ("dtype", "words"),
    [
        (int, "a whole number"),
        ("int8", "a whole number from -128 to 127"),
        ("UInt16", "a whole number from 0 to 65535"),
        (float, "a finite number such as 12.5"),
        (bool, "true or false"),
        (str, "text"),
        (engine.Date, "a date such as 2026-03-01"),
        (engine.Decimal(10, 2), "a number with at most 8 digits before the point and 2 after it"),
        (decimal.Decimal, "a whole number of at most 28 digits"),
        (pd.Timestamp, "a time without an offset such as 2026-03-01T12:30:00, in the years 1678 to 2261"),
        (
            pd.DatetimeTZDtype("us", "UTC"),
            "a time with an offset such as 2026-03-01T12:30:00Z or 2026-03-01T12:30:00+01:00",
        ),
        (
            pd.ArrowDtype(pa.timestamp("s")),
            "a time without an offset such as 2026-03-01T12:30:00, in whole seconds",
        ),
        (pd.CategoricalDtype(["a", "b"]), "one of a, b"),
        ("category", "text"),
    ],
    ids=str,
)
def test_a_type_says_in_words_what_it_expects(dtype: object, words: str) -> None:
    assert declared(dtype).expected == words


def test_many_categories_are_named_in_part_and_counted() -> None:
    found = declared(pd.CategoricalDtype([f"c{number}" for number in range(50)]))

    assert found.expected.endswith("c18, c19, ... (50 in all)")
    assert len(found.categories) == 50


@pytest.mark.parametrize("bits", [8, 16, 32, 64])
def test_integers_have_the_bounds_of_their_width(bits: int) -> None:
    signed, unsigned = declared(f"int{bits}"), declared(f"UInt{bits}")

    assert (signed.minimum, signed.maximum) == (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
    assert (unsigned.minimum, unsigned.maximum) == (0, 2**bits - 1)


def test_times_have_the_bounds_and_steps_of_their_unit() -> None:
    nanoseconds, seconds = declared(pd.Timestamp), declared(pd.DatetimeTZDtype("s", "Europe/Berlin"))

    assert nanoseconds.minimum == -nanoseconds.maximum if nanoseconds.maximum else False
    assert (nanoseconds.step, nanoseconds.zone) == (1, None)
    assert (seconds.minimum, seconds.maximum) == (FIRST_MICROSECOND, LAST_MICROSECOND)
    assert (seconds.step, seconds.zone) == (1_000_000, "Europe/Berlin")


def test_the_same_dtype_gives_equal_types() -> None:
    assert declared("Int32") == declared(pd.Int32Dtype())
    assert declared("int32") != declared("Int32")


@pytest.mark.parametrize(
    ("dtype", "named", "instead"),
    [
        ("timedelta64[ns]", "timedelta64[ns]", "counts seconds"),
        (pd.ArrowDtype(pa.duration("us")), "duration[us]", "counts seconds"),
        (complex, "complex128", "two float columns"),
        (pd.PeriodDtype("D"), "period[D]", "a date"),
        (pd.IntervalDtype("int64"), "interval", "two columns"),
        (pd.SparseDtype("float64"), "Sparse", "dtype of its values"),
        (pap.Float128, "float128", "float64"),
        (engine.PythonList, "list", "JSON"),
        (pd.ArrowDtype(pa.list_(pa.int64())), "list<item: int64>", "JSON"),
        (pd.ArrowDtype(pa.binary()), "binary", "str"),
        (pd.ArrowDtype(pa.time64("us")), "time64[us]", "str"),
        (pd.ArrowDtype(pa.null()), "null", "str"),
        (engine.Decimal(40, 2), "Decimal(40, 2)", "at most 38 digits"),
        (pd.ArrowDtype(pa.decimal128(5, -2)), "decimal128(5, -2)", "after the point"),
        (engine.Date(to_datetime_kwargs={"format": "%d.%m.%Y"}), "%d.%m.%Y", "ISO 8601"),
        (engine.DateTime(to_datetime_kwargs={"dayfirst": True}), "dayfirst", "ISO 8601"),
        (engine.DateTime(time_zone_agnostic=True), "time_zone_agnostic", "DatetimeTZDtype"),
        (pd.CategoricalDtype([1, 2]), "category", "pa.Check.isin"),
    ],
    ids=str,
)
def test_what_cannot_be_honoured_is_refused_by_name_with_what_to_declare(
    dtype: object, named: str, instead: str
) -> None:
    found = pap.Column(dtype).dtype

    with pytest.raises(ContractError) as refusal:
        type_of(found)

    assert named in str(refusal.value)
    assert instead in str(refusal.value)


def test_a_pydantic_model_is_refused_for_a_model_with_columns() -> None:
    pydantic = pytest.importorskip("pydantic")
    record = pydantic.create_model("Record", cell=(int, ...))

    with pytest.raises(ContractError, match="DataFrameModel"):
        type_of(engine.PydanticModel(record))
