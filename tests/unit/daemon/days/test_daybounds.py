"""A day's bounds in a zone: fixed offsets, days of 23 and 25 hours, odd shifts; the same days as the rows get."""

from __future__ import annotations

import datetime as dt

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from daemon.days.bounds import LONGEST_GAP, bounds, day_at, gaps, last_complete
from daemon.errors import ConfigError
from validators.days import days_of
from validators.kinds import Kind

ZONES = (
    "Etc/GMT+8",
    "America/Los_Angeles",
    "Europe/Berlin",
    "Asia/Kolkata",
    "Australia/Lord_Howe",
    "America/Sao_Paulo",
    "America/Havana",
    "America/St_Johns",
    "Asia/Kathmandu",
    "Pacific/Apia",
    "Pacific/Chatham",
    "Africa/Cairo",
    "UTC",
)


def utc(text: str) -> int:
    return int(dt.datetime.fromisoformat(f"{text}+00:00").timestamp())


@pytest.mark.parametrize(
    ("zone", "day", "start", "end"),
    [
        ("Etc/GMT+8", "2026-07-01", "2026-07-01 08:00", "2026-07-02 08:00"),
        ("America/Los_Angeles", "2026-07-01", "2026-07-01 07:00", "2026-07-02 07:00"),
        ("America/Los_Angeles", "2026-03-08", "2026-03-08 08:00", "2026-03-09 07:00"),  # 23 hours
        ("America/Los_Angeles", "2026-11-01", "2026-11-01 07:00", "2026-11-02 08:00"),  # 25 hours
        ("Australia/Lord_Howe", "2026-04-05", "2026-04-04 13:00", "2026-04-05 13:30"),  # half an hour longer
        ("Asia/Kolkata", "2026-03-01", "2026-02-28 18:30", "2026-03-01 18:30"),
        ("America/Sao_Paulo", "2018-11-04", "2018-11-04 03:00", "2018-11-05 02:00"),  # begins at 01:00
        ("America/Sao_Paulo", "2018-02-17", "2018-02-17 02:00", "2018-02-18 03:00"),  # its last hour comes twice
        ("America/Havana", "2026-11-01", "2026-11-01 04:00", "2026-11-02 05:00"),  # its first hour comes twice
        ("Pacific/Apia", "2011-12-30", "2011-12-30 10:00", "2011-12-30 10:00"),  # never was
        ("America/St_Johns", "2010-11-06", "2010-11-06 02:30", "2010-11-07 03:30"),  # set back at 00:01
    ],
)
def test_a_day_has_these_bounds(zone: str, day: str, start: str, end: str) -> None:
    found = bounds(dt.date.fromisoformat(day), zone)
    assert (found.start, found.end) == (utc(start), utc(end))


@pytest.mark.parametrize(
    ("zone", "marker", "last"),
    [
        ("Etc/GMT+8", "2026-07-02 07:30", "2026-06-30"),
        ("America/Los_Angeles", "2026-07-02 07:30", "2026-07-01"),
        ("Etc/GMT+8", "2026-01-02 07:30", "2025-12-31"),
        ("America/Los_Angeles", "2026-01-02 07:30", "2025-12-31"),
        ("Etc/GMT+8", "2026-01-02 08:00", "2026-01-01"),
        ("Etc/GMT+8", "2022-03-22 18:54:43", "2022-03-21"),
        ("America/St_Johns", "2010-11-07 02:45", "2010-11-05"),  # the 7th has begun, and the 6th is not over
        ("America/St_Johns", "2010-11-07 03:30", "2010-11-06"),
        ("Pacific/Apia", "2011-12-30 10:00", "2011-12-30"),
    ],
)
def test_a_marker_completes_the_days_that_are_over(zone: str, marker: str, last: str) -> None:
    assert last_complete(utc(marker), zone).isoformat() == last


def test_an_unknown_zone_is_told() -> None:
    with pytest.raises(ConfigError, match="there is no time zone 'Mars/Olympus'"):
        bounds(dt.date(2026, 3, 1), "Mars/Olympus")


@settings(deadline=None)
@given(st.sampled_from(ZONES), st.integers(0, 2_000_000_000))
def test_a_row_and_its_day_agree(zone: str, instant: int) -> None:
    (day,) = days_of(pa.array([instant]), Kind.INTEGER, zone).to_pylist()
    assert day == day_at(instant, zone)
    assert bounds(day, zone).start <= instant < bounds(day, zone).end


@settings(deadline=None)
@given(st.sampled_from(ZONES), st.integers(0, 2_000_000_000))
def test_no_row_of_a_complete_day_can_come_any_more(zone: str, watermark: int) -> None:
    last = last_complete(watermark, zone)
    # Every quarter of an hour of two days, as rows that come after the watermark.
    later = pa.array(range(watermark, watermark + 2 * 86_400, 900))
    assert min(days_of(later, Kind.INTEGER, zone).to_pylist()) > last
    assert bounds(last + dt.timedelta(days=1), zone).end > watermark


@settings(deadline=None)
@given(st.sampled_from(ZONES), st.dates(dt.date(1970, 1, 2), dt.date(2037, 12, 30)))
def test_a_day_ends_where_the_next_begins_or_later(zone: str, day: dt.date) -> None:
    this, following = bounds(day, zone), bounds(day + dt.timedelta(days=1), zone)
    assert this.start <= this.end <= following.end
    assert following.start <= this.end


@pytest.mark.parametrize(
    ("days", "last", "missing"),
    [
        ((), "2026-03-05", ""),
        (("2026-03-06",), "2026-03-05", ""),
        (("2026-03-05",), "2026-03-05", ""),
        (("2026-03-01", "2026-03-03"), "2026-03-05", "02 04 05"),
        (("2026-03-03", "2026-03-01", "2026-03-09"), "2026-03-04", "02 04"),
    ],
)
def test_days_without_rows_lie_after_the_first_with_rows(days: tuple[str, ...], last: str, missing: str) -> None:
    assert " ".join(day[-2:] for day in gaps(days, last)) == missing


def test_of_a_long_stretch_without_rows_the_first_days_are_gaps() -> None:
    found = list(gaps(["2010-01-01", "2026-03-01"], "2026-06-01"))
    assert len(found) == 2 * LONGEST_GAP
    assert (found[0], found[LONGEST_GAP - 1], found[LONGEST_GAP]) == ("2010-01-02", "2010-02-01", "2026-03-02")
