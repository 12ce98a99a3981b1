"""The day that a moment falls on in a zone, for many rows at once, daylight saving included.

Python's own zone data is asked (the system's, or the `tzdata` package's), twice for each day that occurs. Arrow's and
DuckDB's would need the system's, which small machines lack.
"""

from __future__ import annotations

import datetime as dt
import zoneinfo
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from validators.errors import ContractError
from validators.kinds import Kind
from validators.texts import Array

SECONDS_PER_DAY = 86_400
#: Of the units of Arrow's times, how many make a second.
PER_SECOND: Final = {"s": 1, "ms": 1_000, "us": 1_000_000, "ns": 1_000_000_000}
#: Days since 1970 of which every moment has a date in every zone: 0001-01-02 and 9999-12-30.
FIRST_DAY, LAST_DAY = -719_161, 2_932_895


def days_of(values: Array, kind: Kind, zone: str, per_second: int = 1) -> Array:
    """Return the days (date32) of dates, times, or whole numbers of unix time; null where there is none.

    Args:
        values: date32; a timestamp with a zone, or one without, which is taken as already in `zone`; or integers.
        kind: the column's kind.
        zone: an IANA name such as `Etc/GMT+8`.
        per_second: how many of the unit of whole numbers make a second.

    Raises:
        ContractError: there is no such zone.
    """
    if kind is Kind.DATE or (kind is Kind.TIMESTAMP and values.type.tz is None):
        return values.cast(pa.date32(), safe=False)
    if kind is not Kind.INTEGER:
        per_second = PER_SECOND[values.type.unit]
    return _local_days(values.cast(pa.int64()), per_second, zone_of(zone))


def zone_of(name: str) -> dt.tzinfo:
    """Return a zone by its IANA name.

    Raises:
        ContractError: there is no such zone.
    """
    try:
        return zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise ContractError(
            f"there is no time zone '{name}'. Use an IANA name such as Etc/GMT+8 or Europe/Paris"
        ) from error


def _local_days(counts: Array, per_second: int, zone: dt.tzinfo) -> Array:
    missing = counts.is_null().to_numpy(zero_copy_only=False)
    moments = counts.fill_null(0).to_numpy(zero_copy_only=False) // per_second
    days = moments // SECONDS_PER_DAY
    missing |= (days < FIRST_DAY) | (days > LAST_DAY)
    moments = np.where(missing, 0, moments)
    local = (moments + offsets_of(moments, zone)) // SECONDS_PER_DAY
    return pa.array(local.astype(np.int32), mask=missing).cast(pa.date32())


def offsets_of(moments: npt.NDArray[np.int64], zone: dt.tzinfo) -> npt.NDArray[np.int64]:
    """Return how many seconds the zone is ahead of UTC at each moment (seconds since 1970).

    A day at whose start and end the offset is the same has that offset throughout; on the few others the moment of
    the change is searched. No zone has ever changed twice within 24 hours.
    """
    days, inverse = np.unique(moments // SECONDS_PER_DAY, return_inverse=True)
    starts = days * SECONDS_PER_DAY
    before = np.array([_offset(int(start), zone) for start in starts], np.int64)
    after = np.array([_offset(int(start) + SECONDS_PER_DAY, zone) for start in starts], np.int64)
    changes = starts.copy()
    for day in np.flatnonzero(before != after):
        changes[day] = _change(int(starts[day]), zone)
    return np.where(moments >= changes[inverse], after[inverse], before[inverse])


def least_clock(moment: int, zone: str) -> int:
    """Return the least that a clock in the zone shows from a moment on, as seconds since 1970 on that clock.

    That is what it shows at the moment itself, but for one that is about to be set back.

    Raises:
        ContractError: there is no such zone.
    """
    clock = zone_of(zone)
    before, after = _offset(moment, clock), _offset(moment + SECONDS_PER_DAY, clock)
    shown = moment + before
    return min(shown, _change(moment, clock) + after) if after < before else shown


def _change(start: int, zone: dt.tzinfo) -> int:
    """Return the first moment of the day from `start` at which the offset is no longer that of its start."""
    old, low, high = _offset(start, zone), start, start + SECONDS_PER_DAY
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if _offset(middle, zone) == old else (low, middle)
    return high


def _offset(moment: int, zone: dt.tzinfo) -> int:
    at = dt.datetime(1970, 1, 1, tzinfo=dt.UTC) + dt.timedelta(seconds=moment)
    ahead = at.astimezone(zone).utcoffset()
    return int(ahead.total_seconds()) if ahead is not None else 0
