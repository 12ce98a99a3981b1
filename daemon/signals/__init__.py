"""What a signal says: the days that its rows list become an instant in a feed's zone, or a verdict. Pure.

"Ready by dataset": every row of a file in `signals/` says that the days up to and including it are loaded (Statsig's
documentation of uploads to a container, `azure_upload`). Whether the days between are loaded too is the feed's setting.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from daemon.days.bounds import bounds, last_complete
from daemon.markers import AHEAD_SECONDS, EARLIEST, Reading, Standing, judge, told
from daemon.model import Feed, SignalGaps

#: Days that a sentence lists.
NAMED: Final = 3
#: A day that no clock shows before the earliest instant that is believed.
FIRST_DAY: Final = dt.datetime.fromtimestamp(EARLIEST, dt.UTC).date()
ONE: Final = dt.timedelta(days=1)
AGAIN: Final = "drop the signal again"


@dataclass(frozen=True, kw_only=True)
class Listed:
    """What a signal's file has: days, or a reason why they cannot be believed."""

    #: Ascending, each once.
    days: tuple[dt.date, ...] = ()
    #: What was found, what was expected; empty where the days are good.
    trouble: str = ""


@dataclass(frozen=True, kw_only=True)
class Waits:
    """What a feed needs whose days are loaded only when a signal lists them."""

    zone: str
    #: The first day of which the scope may have rows; None where it has none.
    first: dt.date | None = None


@dataclass(frozen=True, kw_only=True)
class Weighed:
    """The verdict on a signal of a feed that waits for days which no signal has listed."""

    standing: Standing
    note: str
    #: How far the watermark goes, unix seconds; None where it stays.
    instant: int | None = None


def waits_of(feed: Feed, days: Callable[[], Iterable[str]]) -> Waits | None:
    """Return what a feed needs whose days are loaded only when a signal lists them; None for another feed.

    `days` tells, where it is asked, which days, ISO, may have rows of the scope.
    """
    if feed.signal_gaps is SignalGaps.INFER:
        return None
    first = min(days(), default=None)
    return Waits(zone=feed.timezone, first=dt.date.fromisoformat(first) if first else None)


def understood(listed: Listed, zone: str, now: float) -> Reading:
    """Return what a signal says to a feed with days in this zone; `now`, unix seconds, is held against it."""
    if listed.trouble:
        return Reading(standing=Standing.UNREADABLE, note=f"{listed.trouble}; {AGAIN}")
    if not listed.days:
        note = f"it lists no day, expected rows such as 2026-03-01 below the header finished_date; {AGAIN}"
        return Reading(standing=Standing.UNREADABLE, note=note)
    first, last = listed.days[0], listed.days[-1]
    text = f"{first}" if first == last else f"{first} to {last}, {len(listed.days):,} days"
    if first <= FIRST_DAY:
        note = f"found the day {first}, expected days since 2000; {AGAIN}"
        return Reading(standing=Standing.IMPLAUSIBLE, note=note, text=text)
    if last.year > dt.datetime.fromtimestamp(now, dt.UTC).year + 1 or bounds(last, zone).end > now + AHEAD_SECONDS:
        note = (
            f"found the day {last}, expected days that are over in {zone}, and now it is {told(now)}; "
            f"{AGAIN} once the data is there"
        )
        return Reading(standing=Standing.FUTURE, note=note, text=text)
    days = tuple(day.isoformat() for day in listed.days)
    return Reading(instant=bounds(last, zone).end, text=text, days=days)


def weigh(own: Collection[str], listed: Collection[str], watermark: int | None, waits: Waits) -> Weighed:
    """Return the verdict on a signal where a day is loaded only when it is listed.

    Args:
        own: the days that it lists, ISO; at least one.
        listed: those that earlier signals of its scope have listed.
        watermark: of its scope, unix seconds.
        waits: the zone of the days, and the first that may have rows.
    """
    mine, zone = sorted(dt.date.fromisoformat(day) for day in own), waits.zone
    if watermark is not None and mine[-1] <= last_complete(watermark, zone):
        standing, note = judge(bounds(mine[-1], zone).end, watermark)
        return Weighed(standing=standing, note=note)
    known = {*mine, *(dt.date.fromisoformat(day) for day in listed)}
    start = _start(known, watermark, waits)
    last = run_to(start, known)
    if last is None:
        return Weighed(standing=Standing.GAP, note=_missing(start, mine))
    instant = bounds(last, zone).end
    beyond = sorted(day for day in known if day > last)
    more = f"; {_missing(last + ONE, beyond)}" if beyond else ""
    return Weighed(
        standing=Standing.APPLIED, note=f"everything before {told(instant)} is loaded{more}", instant=instant
    )


def loaded_since(own: Collection[str], listed: Collection[str], watermark: int, waits: Waits) -> Weighed | None:
    """Return the verdict on a signal of which days have come to be loaded; None where none has. As for `weigh`."""
    start = last_complete(watermark, waits.zone) + ONE
    last = run_to(start, {dt.date.fromisoformat(day) for day in listed}) or start - ONE
    loaded = [day for day in map(dt.date.fromisoformat, own) if day <= last]
    if not loaded:
        return None
    instant = bounds(max(loaded), waits.zone).end
    note = f"everything before {told(instant)} is loaded, as the days before have come"
    return Weighed(standing=Standing.APPLIED, note=note, instant=instant)


def run_to(start: dt.date, listed: Collection[dt.date]) -> dt.date | None:
    """Return the last of the days from `start` on that are listed without a gap; None where `start` is not."""
    day = start
    while day in listed:
        day += ONE
    return day - ONE if day > start else None


def _start(known: Collection[dt.date], watermark: int | None, waits: Waits) -> dt.date:
    """Return the first day that is not loaded yet."""
    if watermark is not None:
        return last_complete(watermark, waits.zone) + ONE
    first = min(known)
    return first if waits.first is None else min(first, waits.first)


def _missing(day: dt.date, before: Sequence[dt.date]) -> str:
    more = f" and {len(before) - NAMED:,} more" if len(before) > NAMED else ""
    named = ", ".join(str(each) for each in before[:NAMED]) + more
    return f'it waits with {named} until a signal lists {day} as well (signal_gaps = "wait"), or a marker says more'
