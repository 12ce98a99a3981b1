"""How values of every type are written as text."""

from __future__ import annotations

import datetime as dt
import json
import uuid
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from validators.texts import Array, coded, decode, flat, repeats, to_text, uncoded

MORNING = dt.datetime(2026, 3, 1, 1, 2, 10)  # noqa: DTZ001 - times without a zone are a type of their own
UUID = uuid.UUID(int=5)


@pytest.mark.parametrize(
    ("column", "written"),
    [
        (pa.array(["00123", "", " a "]), ["00123", "", " a "]),
        (pa.array([42, -7], pa.int8()), ["42", "-7"]),
        (pa.array([2**64 - 1], pa.uint64()), ["18446744073709551615"]),
        (pa.array([42.0, -0.0, 0.1, 1e-7, float("inf")]), ["42", "0", "0.1", "1e-7", "inf"]),
        (
            pa.array([1e15, 1.5e16, 123456789012345680.0]),
            ["1000000000000000", "15000000000000000", "123456789012345680"],
        ),
        (pa.array([1e300, -(2.0**63)]), ["1e+300", "-9223372036854775808"]),
        (pa.array([0.1, 16777216.0], pa.float32()), ["0.1", "16777216"]),
        (pa.array([True, False]), ["true", "false"]),
        (pa.array([Decimal("12.50"), Decimal("-0.01")], pa.decimal128(10, 2)), ["12.50", "-0.01"]),
        (pa.array([Decimal("1e-10"), Decimal(1)], pa.decimal128(20, 10)), ["0.0000000001", "1.0000000000"]),
        (pa.array([dt.date(2026, 3, 1)]), ["2026-03-01"]),
        (pa.array([dt.date(2026, 3, 1)], pa.date64()), ["2026-03-01"]),
        (pa.array([1], pa.int64()).view(pa.date64()), ["1970-01-01T00:00:00.001000"]),
        (pa.array([MORNING], pa.timestamp("s")), ["2026-03-01T01:02:10"]),
        (pa.array([MORNING, MORNING.replace(microsecond=500)]), ["2026-03-01T01:02:10", "2026-03-01T01:02:10.000500"]),
        (pa.array([1], pa.int64()).view(pa.timestamp("ns")), ["1970-01-01T00:00:00.000000001"]),
        (pa.array([MORNING], pa.timestamp("ns", "Europe/Berlin")), ["2026-03-01T01:02:10Z"]),
        (pa.array([dt.time(1, 2, 10), dt.time(0, 0, 0, 5)]), ["01:02:10", "00:00:00.000005"]),
        (pa.array([dt.timedelta(hours=1)]), ["1:00:00"]),
        (pa.array([b"abc", b"a\xff"]), ["abc", "a\\xff"]),
        (pa.array([b"abc"], pa.binary(3)), ["abc"]),
        (pa.array([b"abc"], pa.large_binary()), ["abc"]),
        (pa.array(["a"], pa.string_view()), ["a"]),
        (pa.array(["a"], pa.large_string()), ["a"]),
        (pa.array(["a", "b", "a"]).dictionary_encode(), ["a", "b", "a"]),
        (pa.array([[1, 2], []]), ["[1,2]", "[]"]),
        (pa.array([{"a": 1, "b": [MORNING, None]}]), ['{"a":1,"b":["2026-03-01T01:02:10",null]}']),
        (pa.array([{"ü": Decimal("1.50"), "b": b"\xff"}]), ['{"ü":"1.50","b":"\\\\xff"}']),
        (pa.array([[("a", 1)]], pa.map_(pa.string(), pa.int64())), ['{"a":1}']),
        (pa.array([[("a", 1), ("a", 2)]], pa.map_(pa.string(), pa.int64())), ['[["a",1],["a",2]]']),
        (pa.ExtensionArray.from_storage(pa.uuid(), pa.array([UUID.bytes], pa.binary(16))), [str(UUID)]),
        (pa.ExtensionArray.from_storage(pa.json_(), pa.array(['{"a": 1}'])), ['{"a": 1}']),
        (pa.RunEndEncodedArray.from_arrays(pa.array([2, 3], pa.int32()), pa.array(["a", "b"])), ["a", "a", "b"]),
    ],
    ids=lambda value: str(value.type) if isinstance(value, pa.Array) else None,
)
def test_values_are_written_as_people_write_them(column: Array, written: list[str]) -> None:
    text = to_text(column)

    assert text.type == pa.string()
    assert text.to_pylist() == written


@pytest.mark.parametrize(
    "kind",
    [
        *(pa.string(), pa.int64(), pa.float64(), pa.decimal128(10, 2), pa.bool_(), pa.date32(), pa.date64()),
        *(pa.timestamp("us"), pa.time64("us"), pa.binary(), pa.list_(pa.int64()), pa.null(), pa.duration("s")),
        pa.dictionary(pa.int32(), pa.string()),
    ],
    ids=str,
)
def test_null_stays_null_in_every_type_and_an_empty_column_empty(kind: Any) -> None:
    assert to_text(pa.nulls(3, kind)).to_pylist() == [None, None, None]
    assert to_text(pa.nulls(3, kind).slice(2)).to_pylist() == [None]
    assert to_text(pa.chunked_array([], kind)).to_pylist() == []
    assert to_text(pa.nulls(0, kind)).type == pa.string()


def test_not_a_number_is_written_as_null() -> None:
    assert to_text(pa.array([float("nan"), 1.5, None])).to_pylist() == [None, "1.5", None]


@settings(deadline=None)
@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), max_size=10))
def test_a_float_written_reads_back_the_same(numbers: list[float]) -> None:
    assert [float(text) for text in to_text(pa.array(numbers, pa.float64())).to_pylist()] == numbers


@settings(deadline=None)
@given(st.integers(-(2**62), 2**62))
def test_a_whole_float_is_written_with_every_digit_and_no_exponent(number: int) -> None:
    assert to_text(pa.array([float(number)])).to_pylist() == [str(int(float(number)))]


def test_nested_values_are_compact_json_that_reads_back() -> None:
    rows = [{"a": [1, None], "b": {"c": "ü"}}, None]

    text = to_text(pa.array(rows)).to_pylist()

    assert text[1] is None
    assert json.loads(text[0]) == rows[0]
    assert " " not in text[0]


def test_chunks_and_dictionaries_become_one_plain_array() -> None:
    chunks = pa.chunked_array([pa.array(["a"]).dictionary_encode(), pa.array(["b", None]).dictionary_encode()])

    assert flat(chunks).equals(pa.array(["a", "b", None]))


def test_one_plain_chunk_is_not_copied() -> None:
    values = pa.array(["a", "b"])

    assert flat(pa.chunked_array([values])).buffers()[2].address == values.buffers()[2].address


def test_bytes_are_decoded_where_they_are_utf8_and_null_elsewhere() -> None:
    assert decode(pa.array([b"a", "ü".encode(), None])).to_pylist() == ["a", "ü", None]
    assert decode(pa.array([b"a", b"\xff", None])).to_pylist() == ["a", None, None]


@pytest.mark.parametrize(
    ("cells", "said"),
    [
        (["a", None] * 1000, True),
        ([f"{number % 256}" for number in range(2000)], True),
        ([f"{number % 257}" for number in range(2000)], False),
        (["a"] * 1024, False),
        ([], False),
    ],
    ids=["few", "just few enough", "too many", "too short to tell", "none"],
)
def test_a_column_repeats_where_its_first_cells_do(cells: list[str | None], said: bool) -> None:
    assert repeats(pa.array(cells, pa.string())) is said
    assert pa.types.is_dictionary(coded(pa.array(cells, pa.string())).type) is said


def test_codes_become_values_again_and_nothing_else_changes() -> None:
    schema = pa.schema([pa.field("a", pa.string(), metadata={"k": "v"}), pa.field("n", pa.int64())])
    table = pa.table([["x", None] * 1000, range(2000)], schema=schema)
    held = table.set_column(
        0, schema.field(0).with_type(pa.dictionary(pa.int32(), pa.string())), coded(flat(table["a"]))
    )

    assert uncoded(held).equals(table, check_metadata=True)
    assert uncoded(table) is table
