"""Every cell is read exactly as a slow, obvious reader of one cell reads it, whatever stands around it."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable
from decimal import Decimal

import numpy as np
import pandas as pd
import pandera.pandas as pap
import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pandera.engines import pandas_engine

from validators.casting import Cast, cast
from validators.kinds import Type, type_of
from validators.texts import Array


def declared(dtype: object) -> Type:
    return type_of(pap.Column(dtype).dtype)


NAIVE = declared(pd.ArrowDtype(pa.timestamp("us")))
NANOSECONDS = declared(pd.Timestamp)
ZONED = declared(pd.DatetimeTZDtype("us", "Europe/Berlin"))
SECONDS = declared(pd.DatetimeTZDtype("s", "UTC"))
DATE = declared(pandas_engine.Date)

# ---------------------------------------------------------------- the slow, obvious reader of one cell


def one_integer(cell: str, least: int, most: int) -> int | None:
    found = re.fullmatch(r"([+-]?[0-9]+)(\.0*)?", cell.strip(" \t"))
    if not found:
        return None
    value = int(found[1])
    return value if least <= value <= most else None


def one_float(cell: str) -> float | None:
    cell = cell.strip(" \t")
    if not re.fullmatch(r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?", cell):
        return None
    value = float(cell)
    return value if np.isfinite(value) else None


def one_decimal(cell: str, precision: int, scale: int) -> Decimal | None:
    cell = cell.strip(" \t")
    if not re.fullmatch(r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]{1,6})?", cell):
        return None
    sign, digits, exponent = Decimal(cell).as_tuple()
    assert isinstance(exponent, int)
    if exponent > 400:
        return Decimal(0) if not any(digits) else None
    if exponent < -400 and any(digits):
        digits, exponent = (*digits, 1), exponent - 1  # Still no multiple of the scale's step, if the last digit is 0.
    shifted = int("".join(map(str, digits))) * 10 ** max(exponent + scale, 0)
    rest = 10 ** min(max(-exponent - scale, 0), 2000)
    if shifted % rest or shifted // rest >= 10**precision:
        return None
    return Decimal((sign, tuple(map(int, str(shifted // rest))), -scale))


def one_boolean(cell: str) -> bool | None:
    return {"true": True, "1": True, "false": False, "0": False}.get(cell.strip(" \t").lower())


def one_date(cell: str) -> dt.date | None:
    found = re.fullmatch(r"([0-9]{4})-([0-9]{2})-([0-9]{2})([T ]00:00(:00(\.0+)?)?)?", cell.strip(" \t"))
    try:
        return dt.date(int(found[1]), int(found[2]), int(found[3])) if found else None
    except ValueError:
        return None


def one_time(cell: str, *, zoned: bool) -> dt.datetime | None:
    day = r"([0-9]{4})-([0-9]{2})-([0-9]{2})"
    clock = r"[T ]([0-9]{2}):([0-9]{2})(?::([0-9]{2})(?:\.([0-9]{1,6})0*)?)?"
    offset = r"(?:(Z)|([+-])([0-9]{2})(?::?([0-9]{2}))?)"
    found = re.fullmatch(rf"{day}(?:{clock}{offset}?)?", cell.strip(" \t"))
    if not found or bool(found[8] or found[9]) != zoned:
        return None
    try:
        value = dt.datetime(int(found[1]), int(found[2]), int(found[3]))  # noqa: DTZ001 - the zone comes later
        hour, minute, second = (int(part or 0) for part in found.group(4, 5, 6))
        value = value.replace(hour=hour, minute=minute, second=second)
        value = value.replace(microsecond=int((found[7] or "0").ljust(6, "0")))
        if not zoned:
            return value
        hours, minutes = int(found[10] or 0), int(found[11] or 0)
        if hours > 23 or minutes > 59:
            return None
        away = dt.timedelta(hours=hours, minutes=minutes)
        return (value + away if found[9] == "-" else value - away).replace(tzinfo=dt.UTC)
    except (ValueError, OverflowError):
        return None


# ---------------------------------------------------------------- cells that are nearly right

NUMBERS = st.one_of(
    st.from_regex(r"\A[ \t]?[+-]?[0-9]{0,21}(\.[0-9]{0,9})?([eE][+-]?[0-9]{1,4})?[ \t]?\Z"),
    st.from_regex(r"\A[+-]?0{0,40}[0-9]{1,3}(\.0{0,40})?\Z"),
    st.text("0123456789+-.eExX_, \tnaif", max_size=8),
    st.integers(-(2**65), 2**65).map(str),
    st.integers(0, 300).map(str),
    st.floats().map(repr),
    st.decimals(allow_nan=False, allow_infinity=False, places=3).map(str),
    st.sampled_from(
        ["", "NaN", "nan(1)", "inf", "-Infinity", "1e999", "1e-999", "0x1A", "\uff11\uff12", "1_000", "1,5", "true"]
    ),
)
DAYS = st.one_of(
    st.dates().map(str),
    st.from_regex(r"\A[0-9]{4}-[01][0-9]-[0-3][0-9]\Z"),
    st.from_regex(r"\A(19|20)[0-9]{2}-(02-(28|29|30)|(04|06|09|11|12)-3[01])\Z"),
    st.sampled_from(["0000-01-01", "0001-01-01", "9999-12-31", "2024-02-29", "1900-02-29", "2026-3-1", "20260301"]),
)
TIMES = st.one_of(
    DAYS,
    st.datetimes().map(str),
    st.datetimes().map(lambda moment: moment.isoformat() + "Z"),
    st.datetimes(timezones=st.just(dt.timezone(dt.timedelta(hours=-9, minutes=-30)))).map(str),
    st.builds("{}{}".format, DAYS, st.from_regex(r"\A[T ][0-2][0-9](:[0-6][0-9]){0,2}(\.[0-9]{0,9})?Z?\Z")),
    st.builds(
        "{}{}".format,
        DAYS,
        st.from_regex(r"\A[T ][01][0-9]:[0-5][0-9](:30(\.5{1,6}0{0,4})?)?[+-][0-2][0-9]:?[0-6][0-9]\Z"),
    ),
    st.builds(
        "{}{}".format, DAYS, st.sampled_from(["T00:00", " 00:00:00", "T00:00:00.000", "T00:00:00Z", "T12", "T12Z"])
    ),
    st.builds(
        "{}{}".format, DAYS, st.sampled_from(["T12+01", "T12+01:00", " 12", "T24:00", "T123015", "t12:30", "T12:30z"])
    ),
    st.text("0123456789-:T Z+.", max_size=30),
)
BOOLEANS = st.one_of(
    st.sampled_from(["true", "True", "TRUE", "tRuE", "false", "1", "0", " true", "yes", "t", "01", "1.0", ""]),
    st.text(max_size=3),
)


#: Machines that do much else at once are no error.
EXAMPLES = settings(max_examples=60, deadline=None)


def columns(cells: st.SearchStrategy[str]) -> st.SearchStrategy[list[str | None]]:
    return st.lists(st.none() | cells, max_size=12)


def read(column: Array, to: Type) -> tuple[list[object], list[int]]:
    """Cast the column; return its values and the places of the cells that are bad."""
    done = cast(column, to)
    values = done.values  # noqa: PD011 - no frame of pandas
    assert values.type == to.arrow
    return values.to_pylist(), [] if done.bad is None else np.flatnonzero(done.bad).tolist()


def agree(cells: list[str | None], to: Type, one: Callable[[str], object]) -> None:
    """Hold a column against the reader of one cell: as it is, as a slice, in chunks, and among plain cells."""
    expected = [None if cell is None else one(cell) for cell in cells]
    bad = [place for place, cell in enumerate(cells) if cell is not None and expected[place] is None]
    text = pa.array(cells, pa.string())
    surrounded = pa.array(["x", *cells, "1"], pa.string()).slice(1, len(cells))
    for column in (text, surrounded, pa.chunked_array([text.slice(0, 3), text.slice(3)])):
        assert read(column, to) == (expected, bad)


BITS = [("int8", -128, 127), ("Int16", -(2**15), 2**15 - 1), ("uint32", 0, 2**32 - 1), ("int64", -(2**63), 2**63 - 1)]


@pytest.mark.parametrize(("dtype", "least", "most"), [*BITS, ("uint64", 0, 2**64 - 1)])
@EXAMPLES
@given(cells=columns(NUMBERS))
@example(cells=["9223372036854775808", "18446744073709551615", "18446744073709551616", "-1", "-0", "-0.0", "+7."])
@example(cells=["0" * 60 + "12", "1." + "0" * 60, "12.0", "0x1A", "007"])
def test_integers_are_read_as_one_by_one(dtype: str, least: int, most: int, cells: list[str | None]) -> None:
    agree(cells, declared(dtype), lambda cell: one_integer(cell, least, most))


@EXAMPLES
@given(cells=columns(NUMBERS))
@example(cells=["1e308", "1.8e308", "-1e999", "5e-324", "1e-999", ".5", "5.", ".", "-.", "1e", "+"])
def test_floats_are_read_as_one_by_one(cells: list[str | None]) -> None:
    agree(cells, declared(float), one_float)


@pytest.mark.parametrize(("precision", "scale"), [(10, 2), (28, 0), (2, 2), (38, 10)])
@EXAMPLES
@given(cells=columns(NUMBERS))
@example(cells=["1.2" + "0" * 60, "1e-999", "1e-3", "99999999.995", "00000000001.5", "1e400000", "0e999999", "-.0"])
@example(cells=["34028240094917855838123044555.482", "65442904650246439712564029718473278", "0" * 40 + "1.5"])
def test_decimals_are_read_as_one_by_one(precision: int, scale: int, cells: list[str | None]) -> None:
    agree(cells, declared(pandas_engine.Decimal(precision, scale)), lambda cell: one_decimal(cell, precision, scale))


@EXAMPLES
@given(cells=columns(BOOLEANS))
def test_booleans_are_read_as_one_by_one(cells: list[str | None]) -> None:
    agree(cells, declared(bool), one_boolean)


@EXAMPLES
@given(cells=columns(TIMES))
def test_dates_are_read_as_one_by_one(cells: list[str | None]) -> None:
    agree(cells, DATE, one_date)


@EXAMPLES
@given(cells=columns(TIMES))
def test_times_without_offset_are_read_as_one_by_one(cells: list[str | None]) -> None:
    agree(cells, NAIVE, lambda cell: one_time(cell, zoned=False))


@EXAMPLES
@given(cells=columns(TIMES))
@example(cells=["0001-01-01T00:00+01:00", "9999-12-31T23:59:59-01:00", "2026-02-29T00:00Z", "2024-02-29T00:00Z"])
def test_times_with_offset_are_read_as_one_by_one(cells: list[str | None]) -> None:
    agree(cells, ZONED, lambda cell: one_time(cell, zoned=True))


@EXAMPLES
@given(cells=columns(TIMES))
def test_times_that_the_declared_nanoseconds_cannot_hold_are_bad(cells: list[str | None]) -> None:
    def one(cell: str) -> dt.datetime | None:
        value = one_time(cell, zoned=False)
        held = value is not None and pd.Timestamp.min < pd.Timestamp(value) < pd.Timestamp.max
        return value if held else None

    agree(cells, NANOSECONDS, one)


@EXAMPLES
@given(cells=columns(TIMES))
def test_times_finer_than_the_declared_seconds_are_bad(cells: list[str | None]) -> None:
    def one(cell: str) -> dt.datetime | None:
        value = one_time(cell, zoned=True)
        return value if value is not None and not value.microsecond else None

    agree(cells, SECONDS, one)


@EXAMPLES
@given(cells=columns(st.text(max_size=6)))
def test_any_text_at_all_is_read_or_bad_and_never_an_error(cells: list[str | None]) -> None:
    agree(cells, declared(float), one_float)
    agree(cells, NAIVE, lambda cell: one_time(cell, zoned=False))


@pytest.mark.parametrize("dirt", ["N/A", "1.2.3", "", "-", "12,5", "1e400"])
def test_one_bad_cell_far_down_a_long_column_costs_no_other_cell(dirt: str) -> None:
    # Given a column longer than what is tried first, with dirt in its second half,
    cells = [f"{number / 4:.2f}" for number in range(5000)]
    cells[4321] = dirt

    assert read(pa.array(cells), declared(float)) == ([n / 4 if n != 4321 else None for n in range(5000)], [4321])


def test_a_column_of_whole_numbers_with_points_is_exact_up_to_the_last_digit() -> None:
    numbers = [0, 1, -1, 999_999_999_999_999, 2**53 + 1, 2**63 - 1, -(2**63)]

    assert read(pa.array([f"{number}.0" for number in numbers]), declared(int)) == (numbers, [])


def test_a_number_of_thousands_of_digits_is_read_or_bad_and_never_an_error() -> None:
    cells = pa.array(["0" * 5000 + "12", "1." + "0" * 5000, "9" * 5000, "0x1A"])

    assert read(cells, declared(int)) == ([12, 1, None, None], [2, 3])


def test_a_float32_beyond_its_range_is_bad_and_others_are_the_nearest() -> None:
    cells = pa.array(["0.1", "3.5e38", "-3.5e38", "1e-60", "16777217"])

    assert read(cells, declared("float32")) == ([float(np.float32(0.1)), None, None, 0.0, 16777216.0], [1, 2])


def test_a_float16_is_kept_as_float32_and_beyond_its_range_bad() -> None:
    cells = pa.array(["1.5", "65504", "65519", "65520", "1e5"])

    assert declared("float16").arrow == pa.float32()
    assert read(cells, declared("float16")) == ([1.5, 65504.0, 65519.0, None, None], [3, 4])


def test_seven_to_nine_digits_of_a_second_are_fine_where_the_last_are_zeros() -> None:
    cells = ["2026-03-01T12:30:15.1234560Z", "2026-03-01T12:30:15.123456000Z", "2026-03-01T12:30:15.1234567Z"]

    moment = dt.datetime(2026, 3, 1, 12, 30, 15, 123456, tzinfo=dt.UTC)
    assert read(pa.array(cells), ZONED) == ([moment, moment, None], [2])


@settings(deadline=None)
@given(st.lists(st.sampled_from([None, "2026-03-01", " 2026-03-01 ", "2026-02-30", "", "x", "20260301"]), min_size=1))
def test_a_column_of_few_distinct_cells_is_read_as_each_cell_is(cells: list[str | None]) -> None:
    """Such a column is read by its distinct cells, a shorter one cell by cell."""
    many = (cells * 5_000)[:5_000]
    once, often = cast(pa.array(cells, pa.string()), DATE), cast(pa.array(many, pa.string()), DATE)
    assert _told(often) == (_told(once) * 5_000)[:5_000]


def _told(done: Cast) -> list[tuple[object, bool]]:
    bad = np.zeros(len(done.values), np.bool_) if done.bad is None else done.bad
    return list(zip(done.values.to_pylist(), bad.tolist(), strict=True))  # noqa: PD011 - no frame of pandas
