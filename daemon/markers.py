"""What a `_READY` marker says: its bytes become an instant, or a verdict with a sentence of what to do. Pure.

"Everything before that instant has been uploaded": as `mark_data_ready` of Statsig's documentation (metrics/ingest).
"""

from __future__ import annotations

import codecs
import enum
import json
import math
import re
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Final

from validators.sentences import printable, shortened

#: Bytes of a marker that are read. What a marker has to say takes less than 100.
MOST_BYTES: Final = 4096
#: Clocks that are kept right differ by less than a minute; what lies further ahead has not happened.
AHEAD_SECONDS: Final = 60.0
#: 2000-01-01T00:00:00Z: an earlier instant is a mistake, such as a 0 or a date's digits.
EARLIEST: Final = 946_684_800
#: 9999-12-31T23:59:59Z.
LATEST: Final = 253_402_300_799
#: Unix seconds had ten digits from 2001 on, and have them until 2286; a unit of so many digits more is meant by more.
UNITS: Final = ((19, "nanoseconds", 10**9), (16, "microseconds", 10**6), (13, "milliseconds", 10**3))
#: More digits than these are beyond the year 9999 in any unit, and may be more than Python turns into a number.
LONGEST_DIGITS: Final = 30
#: Characters of a marker that a sentence shows.
SHOWN: Final = 60

EXPECTED: Final = (
    "expected unix seconds such as 1647975283, an ISO 8601 time with its offset such as 2022-03-22T18:54:43Z, "
    'or {"timestamp": 1647975283, "type": "metrics"}'
)
AGAIN: Final = "write the marker again"

_BOMS: Final = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_whole = re.compile(r"([+-]?)0*([0-9]+)").fullmatch
_number = re.compile(r"[+-]?[0-9]*\.?[0-9]+(?:[eE][+-]?[0-9]+)?").fullmatch


class Standing(enum.StrEnum):
    """Where a marker stands: it waits, or what the verdict on it was."""

    #: It is readable, and waits until the drops that were there before it are final.
    WAITING = "waiting"
    #: waiting -> applied: the watermark is its instant now.
    APPLIED = "applied"
    #: waiting -> repeated: the watermark was there already; nothing has changed.
    REPEATED = "repeated"
    #: waiting -> regressed: the watermark is later already; nothing has changed.
    REGRESSED = "regressed"
    #: It says no instant.
    UNREADABLE = "unreadable"
    #: waiting -> gap: a signal whose days are noted; one before them is listed by none, so nothing has changed yet.
    #: gap -> applied: the days before have come.
    GAP = "gap"
    #: Its instant has not come yet.
    FUTURE = "future"
    #: Its number counts milliseconds.
    MILLISECONDS = "milliseconds"
    #: Its number counts microseconds, or nanoseconds.
    MICROSECONDS = "microseconds"
    #: Its instant is so early that it must be a mistake.
    IMPLAUSIBLE = "implausible"
    #: Its `type` is no feed's name.
    UNKNOWN_FEED = "unknown_feed"
    #: It lies in no feed's folder, and names no feed.
    UNMATCHED = "unmatched"

    @property
    def refused(self) -> bool:
        """Whether it is invalid; somebody has to write another one."""
        return self not in (Standing.WAITING, Standing.APPLIED, Standing.REPEATED, Standing.GAP)


@dataclass(frozen=True, kw_only=True)
class Reading:
    """What a marker says, or why it says nothing."""

    standing: Standing = Standing.WAITING
    #: Everything before it has been uploaded, unix seconds; None where the marker does not say.
    instant: int | None = None
    #: The feed that it names.
    feed: str | None = None
    #: What was found, what was expected, what to do; empty for a marker that waits.
    note: str = ""
    #: Its text as it can be shown, cut.
    text: str = ""
    #: The days that a signal lists, ISO; none for a marker.
    days: tuple[str, ...] = ()


def read(data: bytes, now: float) -> Reading:
    """Return what a marker's bytes say; `now`, unix seconds, is held against it.

    Bytes beyond the first `MOST_BYTES` need not be given: one more is enough to know that there are too many.
    """
    if len(data) > MOST_BYTES:
        return _unreadable(f"it is longer than {MOST_BYTES:,} bytes")
    text = _decoded(data)
    if text is None:
        return _unreadable("its bytes are no text")
    text = text.strip("\ufeff \t\r\n\v\f\0")
    if not text:
        return _unreadable("it is empty")
    shown = shortened(printable(text), SHOWN)
    return replace(_from_json(text, now) if text.startswith("{") else _from_text(text, now), text=shown)


def judge(instant: int, watermark: float | None) -> tuple[Standing, str]:
    """Return the verdict on a readable marker whose drops are final, and its note, by the watermark of its scope."""
    if watermark is None or instant > watermark:
        return Standing.APPLIED, f"everything before {told(instant)} is loaded"
    if instant == watermark:
        return Standing.REPEATED, f"the watermark is at {told(instant)} already; nothing was to be done"
    return Standing.REGRESSED, (
        f"found {told(instant)}, expected an instant after the watermark, which is at {told(watermark)} already: "
        f"a watermark never moves back. If rows from before it have come since, see the feed's setting `late`"
    )


def told(instant: float) -> str:
    """Return unix seconds as people read them: "2022-03-22T18:54:43Z"."""
    return datetime.fromtimestamp(instant, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def _decoded(data: bytes) -> str | None:
    encoding = next((name for mark, name in _BOMS if data.startswith(mark)), "utf-8")
    try:
        return data.decode(encoding)
    except UnicodeDecodeError:
        return None


def _from_json(text: str, now: float) -> Reading:
    try:
        said = json.loads(text, object_pairs_hook=_once, parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        return _unreadable(f"it begins like JSON and is none ({error})", text)
    if "timestamp" not in said:
        return _unreadable("its JSON has no timestamp", text)
    feed, value = said.get("type"), said["timestamp"]
    if feed is not None and not isinstance(feed, str):
        return _unreadable("the type in its JSON is no text", text)
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return _unreadable("the timestamp in its JSON is neither a number nor a text", text)
    return replace(_from_text(str(value).strip(), now), feed=feed)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Refuse a key that comes twice: nobody could say which one counts."""
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a key comes twice")
    return found


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is no number")


def _from_text(text: str, now: float) -> Reading:
    if whole := _whole(text):
        sign, digits = whole.groups()
        return _from_digits(sign == "-" and digits != "0", digits, text, now)
    if _number(text):
        return _unreadable("it is no whole number of seconds", text)
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        return _unreadable("it is no instant", text)
    if at.tzinfo is None:
        return _unreadable("it is a time without an offset from UTC, such as Z or -08:00", text)
    return _placed(math.floor((at - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds()), text, now)


def _from_digits(negative: bool, digits: str, text: str, now: float) -> Reading:
    if negative:
        return _refused(Standing.IMPLAUSIBLE, text, "an instant since 2000", f"{AGAIN} with unix seconds")
    for least, unit, per_second in UNITS:
        if least <= len(digits) < least + 3:
            seconds = int(digits) // per_second
            standing = Standing.MILLISECONDS if unit == "milliseconds" else Standing.MICROSECONDS
            return _refused(standing, text, f"unix seconds, and these are {unit}", f"{AGAIN} with {seconds}")
    return _placed(int(digits[:LONGEST_DIGITS]), text, now)


def _placed(instant: int, text: str, now: float) -> Reading:
    if instant > now + AHEAD_SECONDS:
        when = told(instant) if instant <= LATEST else "an instant after the year 9999"
        expected = f"an instant that has come, and now it is {told(now)}"
        return _refused(Standing.FUTURE, text, f"{expected} (that is {when})", f"{AGAIN} once the data is there")
    if instant < EARLIEST:
        expected = "an instant since 2000" + (f", and that is {told(instant)}" if instant >= 0 else "")
        return _refused(Standing.IMPLAUSIBLE, text, expected, f"{AGAIN} with unix seconds")
    return Reading(instant=instant)


def _refused(standing: Standing, text: str, expected: str, remedy: str) -> Reading:
    return Reading(standing=standing, note=f"found {_shown(text)}, expected {expected}; {remedy}")


def _unreadable(what: str, text: str | None = None) -> Reading:
    found = f"{what}: found {_shown(text)}" if text is not None else what
    return Reading(standing=Standing.UNREADABLE, note=f"{found}, {EXPECTED}; {AGAIN}")


def _shown(text: str) -> str:
    return f"'{shortened(printable(text), SHOWN)}'"
