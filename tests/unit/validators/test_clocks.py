"""Times with a zone in columns that have none in the contract."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pandera.pandas as pandera
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from validators import check_file
from validators.clocks import wall_clock
from validators.judging import Policy

PACIFIC, FIXED = "America/Los_Angeles", "Etc/GMT+8"


def utc(*parts: int) -> dt.datetime:
    return dt.datetime(*parts, tzinfo=dt.UTC)  # type: ignore[misc, arg-type]


def times(moments: Sequence[dt.datetime | None], unit: Any = "us", zone: str = "UTC") -> pa.Array[Any]:
    return pa.array(moments, pa.timestamp(unit, zone))


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
@pytest.mark.parametrize("zone", ["UTC", "Asia/Tokyo", "+01:00"])
def test_a_moment_is_what_the_clock_shows_whatever_zone_and_unit_it_came_with(unit: str, zone: str) -> None:
    shown = wall_clock(times([utc(2026, 3, 1, 12), None, utc(2026, 7, 1, 12), utc(1950, 1, 1)], unit, zone), PACIFIC)
    assert shown.type == pa.timestamp(unit)
    assert [None if each is None else str(each)[:19] for each in shown.to_pylist()] == [
        "2026-03-01 04:00:00",
        None,
        "2026-07-01 05:00:00",
        "1949-12-31 16:00:00",
    ]


def test_a_moment_that_the_clock_shows_twice_stays_as_it_came() -> None:
    around = [utc(2026, 11, 1, 7, 59, 59), utc(2026, 11, 1, 8), utc(2026, 11, 1, 9, 59, 59), utc(2026, 11, 1, 10)]
    assert wall_clock(times(around), PACIFIC).to_pylist() == [
        "2026-11-01T00:59:59",
        "2026-11-01T08:00:00Z",
        "2026-11-01T09:59:59Z",
        "2026-11-01T02:00:00",
    ]
    spring = [utc(2026, 3, 8, 9, 59, 59), utc(2026, 3, 8, 10)]
    assert [each.hour for each in wall_clock(times(spring), PACIFIC).to_pylist()] == [1, 3]


def test_moments_at_the_ends_of_the_calendar_stay_as_they_came() -> None:
    ends = times([utc(1, 1, 1), utc(9999, 12, 31, 23, 59, 59)])
    assert wall_clock(ends, FIXED).to_pylist() == ["0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z"]


def test_a_date_is_only_what_is_midnight_on_the_clock() -> None:
    moments = times([utc(2026, 3, 1, 8), utc(2026, 3, 1), None])
    assert wall_clock(moments, FIXED, whole_days=True).to_pylist() == [
        "2026-03-01T00:00:00",
        "2026-03-01T00:00:00Z",
        None,
    ]


def test_a_file_with_times_in_utc_is_read_in_the_feeds_timezone_and_says_so(tmp_path: Path) -> None:
    schema = pandera.DataFrameSchema(
        {
            "at": pandera.Column("datetime64[us]"),
            "day": pandera.Column(pd.ArrowDtype(pa.date32()), nullable=True),
            "zoned": pandera.Column(pd.DatetimeTZDtype(unit="us", tz="UTC")),
        },
        checks=pandera.Check(lambda frame: frame["at"].dt.hour == 4, name="four"),
    )
    moment = [utc(2026, 3, 1, 12)] * 3
    days = [utc(2026, 3, 1, 8), None, utc(2026, 3, 1)]
    file = tmp_path / "spark.parquet"
    pq.write_table(pa.table({"at": times(moment), "day": times(days), "zoned": times(moment)}), file)
    verdict = check_file(file, schema, policy=Policy(zone=FIXED))
    assert (verdict.rows.read, verdict.rows.accepted) == (3, 2)
    note = "the times in at, day have a zone, which is not expected: read as what a clock in the feed's timezone, "
    assert verdict.notes == (f"{note}Etc/GMT+8, shows",)
    (problem,) = verdict.problems
    said = "row 3, column day: found '2026-03-01T00:00:00Z', expected a date such as 2026-03-01"
    assert [each.message for each in problem.sample] == [said]
