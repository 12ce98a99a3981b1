"""Delta's statistics of a file: true, or left out."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from daemon.staging.statistics import TEXT_CHARACTERS, statistics


def found(tmp_path: Path, *, rows_per_group: int = 100, nan: tuple[str, ...] = (), **columns: Any) -> dict[str, Any]:
    """Write the columns to a file and return its statistics, decimals exact."""
    table = pa.table(columns)
    pq.write_table(table, tmp_path / "x.parquet", row_group_size=rows_per_group, store_schema=False)
    text = statistics(pq.read_metadata(tmp_path / "x.parquet"), table.schema, nan)
    return json.loads(text, parse_float=Decimal)  # type: ignore[no-any-return]


def bounds(tmp_path: Path, values: pa.Array[Any], **options: Any) -> tuple[Any, Any]:
    stats = found(tmp_path, x=values, **options)
    return stats["minValues"].get("x"), stats["maxValues"].get("x")


def test_rows_nulls_and_bounds_are_folded_over_row_groups(tmp_path: Path) -> None:
    stats = found(tmp_path, rows_per_group=2, x=[5, None, 3, 9, None, None, 4], _drop=["b"] * 6 + ["a"])

    assert stats == {
        "numRecords": 7,
        "minValues": {"x": 3, "_drop": "a"},
        "maxValues": {"x": 9, "_drop": "b"},
        "nullCount": {"x": 3, "_drop": 0},
    }


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (pa.array([-(2**63), 2**63 - 1]), (-(2**63), 2**63 - 1)),
        (pa.array([-3, 4], pa.int8()), (-3, 4)),
        (pa.array([0.1, 1e300]), (Decimal("0.1"), Decimal("1e300"))),
        (pa.array([0, 18446744073709551615], pa.decimal128(20, 0)), (0, 18446744073709551615)),
        (
            pa.array(["-0.01", "12345678901234567890.123456"]).cast(pa.decimal128(38, 6)),
            (Decimal("-0.010000"), Decimal("12345678901234567890.123456")),
        ),
        (pa.array([-1, 2932896], pa.int32()).cast(pa.date32()), ("1969-12-31", "9999-12-31")),
        (
            pa.array([-1, 1], pa.timestamp("us", "UTC")),
            ("1969-12-31T23:59:59.999999Z", "1970-01-01T00:00:00.000001Z"),
        ),
        (pa.array([0, 1], pa.timestamp("us")), ("1970-01-01T00:00:00.000000", "1970-01-01T00:00:00.000001")),
        (pa.array(['"', "é\n\0"]), ('"', "é\n\0")),
        (pa.array(["x", "y"]).dictionary_encode(), ("x", "y")),
    ],
)
def test_bounds_are_exact(tmp_path: Path, values: pa.Array[Any], expected: tuple[Any, Any]) -> None:
    assert bounds(tmp_path, values) == expected


@pytest.mark.parametrize(
    "values",
    [
        pa.array([True, False]),
        pa.array([b"a", b"b"]),
        pa.array([None, None], pa.int64()),
        pa.array([10**6 * 366], pa.int32()).cast(pa.date32()),
        pa.array([2**62], pa.timestamp("us")),
        pa.array([0, 1], pa.timestamp("ms")),
        pa.array(["x" * 10_000]),
    ],
)
def test_bounds_that_cannot_be_said_are_left_out(tmp_path: Path, values: pa.Array[Any]) -> None:
    assert bounds(tmp_path, values) == (None, None)


def test_infinite_bounds_are_left_out_one_by_one(tmp_path: Path) -> None:
    assert bounds(tmp_path, pa.array([1.0, float("inf")])) == (1, None)
    assert bounds(tmp_path, pa.array([1.0, float("-inf")])) == (None, 1)


def test_a_column_with_a_nan_has_no_bounds(tmp_path: Path) -> None:
    assert bounds(tmp_path, pa.array([1.0, float("nan")]), nan=("x",)) == (None, None)


def test_a_row_group_without_bounds_takes_them_from_the_whole_column(tmp_path: Path) -> None:
    assert bounds(tmp_path, pa.array(["a", "x" * 10_000]), rows_per_group=1) == (None, None)


def test_a_row_group_of_nulls_does_not(tmp_path: Path) -> None:
    assert bounds(tmp_path, pa.array([None, 7]), rows_per_group=1) == (7, 7)


@pytest.mark.parametrize("text", ["x" * 33, "a" * 31 + "\ud7ff" * 9, "ab" + chr(0x10FFFF) * 40, "🙂" * 50])
def test_long_texts_are_cut_so_that_they_lie_between_their_bounds(tmp_path: Path, text: str) -> None:
    low, high = bounds(tmp_path, pa.array([text]))

    assert low == text[:TEXT_CHARACTERS]
    assert low.encode() < text.encode() < high.encode()
    assert len(high) <= TEXT_CHARACTERS


def test_a_long_text_with_nothing_above_it_has_no_upper_bound(tmp_path: Path) -> None:
    assert bounds(tmp_path, pa.array([chr(0x10FFFF) * 40])) == (chr(0x10FFFF) * TEXT_CHARACTERS, None)


def test_of_many_columns_the_first_and_the_engines_own_have_statistics(tmp_path: Path) -> None:
    columns: dict[str, Any] = {f"c{number}": [number] for number in range(40)} | {"_drop": ["d"], "_row": [1]}

    assert list(found(tmp_path, **columns)["nullCount"]) == [*(f"c{number}" for number in range(32)), "_drop", "_row"]
