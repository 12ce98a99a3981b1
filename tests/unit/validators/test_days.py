"""Days in zones, daylight saving and odd values included, against Python's own arithmetic."""

from __future__ import annotations

import datetime as dt
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from validators.days import days_of
from validators.kinds import Kind

ZONES = [
    "Etc/GMT+8",
    "UTC",
    "America/Los_Angeles",
    "Europe/Paris",
    "Asia/Kathmandu",
    "Australia/Lord_Howe",
    "America/Sao_Paulo",
    "Pacific/Apia",
    "Africa/Casablanca",
]
MOMENTS = st.one_of(st.integers(-5_000_000_000, 5_000_000_000), st.integers(1_600_000_000, 1_800_000_000))


def expected(moment: int, zone: str) -> dt.date:
    at = dt.datetime(1970, 1, 1, tzinfo=dt.UTC) + dt.timedelta(seconds=moment)
    return at.astimezone(ZoneInfo(zone)).date()


@settings(deadline=None, max_examples=60)
@given(moments=st.lists(MOMENTS, max_size=20), zone=st.sampled_from(ZONES))
def test_days_are_those_of_pythons_own_zones(moments: list[int], zone: str) -> None:
    found = days_of(pa.array(moments, pa.int64()), Kind.INTEGER, zone)
    assert found.to_pylist() == [expected(moment, zone) for moment in moments]
    times = pa.array([moment * 1_000_000 + 999_999 for moment in moments], pa.timestamp("us", "UTC"))
    assert days_of(times, Kind.TIMESTAMP, zone).to_pylist() == found.to_pylist()


@pytest.mark.parametrize("zone", ZONES)
def test_days_are_right_around_every_change_of_a_year(zone: str) -> None:
    moments = np.arange(1_767_225_600, 1_767_225_600 + 366 * 86_400, 1_799, dtype=np.int64)
    found = days_of(pa.array(moments), Kind.INTEGER, zone).to_pylist()
    assert found == [expected(int(moment), zone) for moment in moments]


def test_what_has_no_date_in_every_zone_has_no_day() -> None:
    far = [None, -62_135_596_800, 253_402_300_799, 2**62, -(2**62), 253_402_200_000]
    found = days_of(pa.array(far, pa.int64()), Kind.INTEGER, "Etc/GMT+8").to_pylist()
    assert found == [None, None, None, None, None, dt.date(9999, 12, 30)]


def test_times_without_a_zone_are_already_in_the_feeds() -> None:
    times = pa.array([dt.datetime(2026, 3, 1, 23, 59), None, dt.datetime(1, 1, 1)], pa.timestamp("us"))  # noqa: DTZ001 - that is the point
    found = days_of(times, Kind.TIMESTAMP, "Asia/Kathmandu").to_pylist()
    assert found == [dt.date(2026, 3, 1), None, dt.date(1, 1, 1)]


def test_no_rows_have_no_days() -> None:
    assert days_of(pa.array([], pa.int64()), Kind.INTEGER, "UTC").to_pylist() == []
