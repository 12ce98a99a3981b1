"""When a feed's business day begins and ends, in UTC, and which day is the last that is complete. Pure.

The rows' side of it is `validators.days`; both ask the same zone data, and a test holds that they agree.
"""

from __future__ import annotations

import datetime as dt
import zoneinfo
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from daemon.errors import ConfigError, StoreError

SECONDS_PER_DAY: Final = 86_400
#: The day that seconds are counted from.
_FIRST: Final = dt.date(1970, 1, 1).toordinal()
#: Days of UTC around a local midnight in which it lies, whatever the zone: offsets stay below 16 hours.
_AROUND: Final = 2
#: Days that can be asked for: well inside of what a clock can show in every zone.
FIRST_DAY: Final = dt.date(1900, 1, 1)
LAST_DAY: Final = dt.date(9990, 12, 31)
#: Days without rows in a row after which a scope is taken to pause: a month of nothing is no gap any more.
LONGEST_GAP: Final = 31


@dataclass(frozen=True, kw_only=True)
class Bounds:
    """A day's instants, unix seconds: from `start` on, and before `end`.

    Where a clock is set back over midnight, a few moments of the day come after the next one has begun: then `end` is
    after the next day's `start`. A day that a zone has skipped has none: its `end` is its `start`.
    """

    start: int
    end: int

    @property
    def hours(self) -> float:
        """How long it is: 24, or 23 or 25 and the like where clocks are changed."""
        return (self.end - self.start) / 3600


def bounds(day: dt.date, zone: str) -> Bounds:
    """Return the bounds of a day between `FIRST_DAY` and `LAST_DAY` in a zone, an IANA name.

    Raises:
        ConfigError: there is no such zone.
    """
    midnight = (day.toordinal() - _FIRST) * SECONDS_PER_DAY
    return Bounds(start=_first_from(midnight, zone), end=_first_never_before(midnight + SECONDS_PER_DAY, zone))


def day_at(instant: float, zone: str) -> dt.date:
    """Return the day that an instant, unix seconds, falls on."""
    return dt.datetime.fromtimestamp(instant, dt.UTC).astimezone(_clock(zone)).date()


def last_complete(watermark: float, zone: str) -> dt.date:
    """Return the last day of which, as of the watermark (unix seconds), every instant has passed."""
    day = day_at(watermark, zone) + dt.timedelta(days=1)
    while bounds(day, zone).end > watermark:
        day -= dt.timedelta(days=1)
    return day


def gaps(days: Collection[str], last: str) -> Iterator[str]:
    """Yield the days (ISO) up to `last` without rows, of which somebody has to know.

    They lie after the first of `days`, those with rows, and are the first 31 of each stretch: what a stray row of
    long ago, or a marker after a long pause, leaves between is nobody's.
    """
    known = sorted(dt.date.fromisoformat(day) for day in days if day <= last)
    end = dt.date.fromisoformat(last) + dt.timedelta(days=1)
    for day, following in pairwise([*known, end] if known else ()):
        for after in range(1, min((following - day).days, LONGEST_GAP + 1)):
            yield (day + dt.timedelta(days=after)).isoformat()


def _first_from(local: int, zone: str) -> int:
    """Return the first instant at which a clock in the zone shows `local` or later."""
    return min(max(start, local - offset) for start, end, offset in _stretches(local, zone) if local - offset < end)


def _first_never_before(local: int, zone: str) -> int:
    """Return the first instant from which on no clock in the zone shows a time before `local`."""
    return max(min(end, local - offset) for start, end, offset in _stretches(local, zone) if local - offset > start)


def _stretches(local: int, zone: str) -> Iterator[tuple[int, int, int]]:
    """Yield around an instant the stretches in which the zone's offset from UTC stays the same: start, end, offset.

    No zone has ever changed twice within 24 hours.
    """
    clock, around = _clock(zone), local // SECONDS_PER_DAY
    for day in range(around - _AROUND, around + _AROUND):
        start, end = day * SECONDS_PER_DAY, (day + 1) * SECONDS_PER_DAY
        before, after = _offset(start, clock), _offset(end, clock)
        change = _change(start, end, clock) if before != after else end
        yield start, change, before
        if change < end:
            yield change, end, after


def _change(low: int, high: int, clock: dt.tzinfo) -> int:
    """Return the first second after `low` at which the offset is no longer the one at `low`; at `high` it is not."""
    old = _offset(low, clock)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if _offset(middle, clock) == old else (low, middle)
    return high


def _offset(instant: int, clock: dt.tzinfo) -> int:
    """Return how many seconds the clock is ahead of UTC."""
    ahead = dt.datetime.fromtimestamp(instant, clock).utcoffset()
    return int(ahead.total_seconds()) if ahead is not None else 0


def _clock(zone: str) -> dt.tzinfo:
    try:
        return zoneinfo.ZoneInfo(zone)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise ConfigError(f"there is no time zone {zone!r}; Etc/GMT+8 and Europe/Berlin are examples") from error


def iso_day(number: int) -> str:
    """Return a day, given in days since 1970, in ISO 8601.

    Raises:
        StoreError: it is none that a table can hold.
    """
    try:
        return dt.date.fromordinal(_FIRST + number).isoformat()
    except (OverflowError, ValueError):
        raise StoreError(f"day {number} since 1970 lies outside the years 1 to 9999, which a table can hold") from None
