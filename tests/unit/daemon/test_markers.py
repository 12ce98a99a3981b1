"""What a marker's bytes say: an instant, or a verdict that says what was found, what was expected and what to do."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from daemon.markers import AHEAD_SECONDS, MOST_BYTES, Standing, judge, read

#: 2026-03-02T08:00:00Z.
NOW = 1_772_438_400.0
AT = 1_647_975_283


@pytest.mark.parametrize(
    "data",
    [
        b"1647975283",
        b"  1647975283 \r\n\n",
        b"\xef\xbb\xbf1647975283\n",
        "1647975283\r\n".encode("utf-16"),
        "\ufeff1647975283".encode("utf-16-be"),
        b"001647975283",
        b"+1647975283",
        b"2022-03-22T18:54:43Z",
        b"2022-03-22 18:54:43+00:00",
        b"2022-03-22T10:54:43-08:00\n",
        b"20220322T185443Z",
        b"2022-03-22T18:54:43.999Z",
        b'{"timestamp": 1647975283}',
        b'\xef\xbb\xbf{"timestamp": "1647975283", "sender": "a job"}\n',
        b'{"timestamp": "2022-03-22T18:54:43Z", "type": null}',
    ],
)
def test_an_instant_is_read_in_every_form_that_a_marker_may_have(data: bytes) -> None:
    reading = read(data, NOW)
    assert (reading.standing, reading.instant, reading.feed) == (Standing.WAITING, AT, None)
    assert reading.note == ""


def test_a_marker_may_name_its_feed() -> None:
    reading = read(b'{\n  "timestamp": 1647975283,\n  "type": "metrics"\n}\n', NOW)
    assert (reading.instant, reading.feed) == (AT, "metrics")


@pytest.mark.parametrize(
    ("data", "standing", "words"),
    [
        (b"", "unreadable", "it is empty"),
        (b" \r\n\t", "unreadable", "it is empty"),
        (b"x" * 1024**2, "unreadable", "longer than 4,096 bytes"),
        (b"\x89PNG\r\n\xff\x00", "unreadable", "its bytes are no text"),
        (b"\x00\x01\x02", "unreadable", "it is no instant"),
        (b"-1", "implausible", "found '-1', expected an instant since 2000"),
        (b"0", "implausible", "1970-01-01T00:00:00Z"),
        (b"-0", "implausible", "1970-01-01T00:00:00Z"),
        (b"1970-06-01T00:00:00Z", "implausible", "expected an instant since 2000"),
        (b"0001-01-01T00:00:00+14:00", "implausible", "expected an instant since 2000"),
        (b"20260301", "implausible", "1970-08-23"),
        (b"253402300799", "future", "9999-12-31T23:59:59Z"),
        (b"9999-12-31T23:59:59Z", "future", "write the marker again once the data is there"),
        (b"9" * 4000, "future", "after the year 9999"),
        (b"1647975283000", "milliseconds", "write the marker again with 1647975283"),
        (b'{"timestamp": 1647975283000}', "milliseconds", "write the marker again with 1647975283"),
        (b"1647975283000000", "microseconds", "write the marker again with 1647975283"),
        (b"1647975283000000000", "microseconds", "these are nanoseconds"),
        (b"1647975283.0", "unreadable", "no whole number of seconds"),
        (b'{"timestamp": 1647975283.5}', "unreadable", "no whole number of seconds"),
        (b"1.6e9", "unreadable", "no whole number of seconds"),
        (b"2022-03-22", "unreadable", "without an offset from UTC"),
        (b"2022-03-22T18:54:43", "unreadable", "without an offset from UTC"),
        (b"2022-02-30T00:00:00Z", "unreadable", "it is no instant"),
        (b"yesterday", "unreadable", "it is no instant: found 'yesterday'"),
        ("\uff11\uff16\uff14\uff17".encode(), "unreadable", "it is no instant"),
        (b"1647975283 1647975284", "unreadable", "it is no instant"),
        (b"{}", "unreadable", "its JSON has no timestamp"),
        (b'{"type": "metrics"}', "unreadable", "its JSON has no timestamp"),
        (b'{"timestamp": null}', "unreadable", "neither a number nor a text"),
        (b'{"timestamp": true}', "unreadable", "neither a number nor a text"),
        (b'{"timestamp": NaN}', "unreadable", "NaN is no number"),
        (b'{"timestamp": [1647975283]}', "unreadable", "neither a number nor a text"),
        (b'{"timestamp": 1647975283, "timestamp": 1}', "unreadable", "a key comes twice"),
        (b'{"timestamp": 1647975283, "type": 5}', "unreadable", "the type in its JSON is no text"),
        (b'{"timestamp": 1647975283', "unreadable", "begins like JSON and is none"),
        (b'{"a":' + b"[" * 4000, "unreadable", "begins like JSON and is none"),
        (b"[1647975283]", "unreadable", "it is no instant"),
    ],
)
def test_what_is_no_instant_gets_a_verdict_that_says_why(data: bytes, standing: str, words: str) -> None:
    reading = read(data, NOW)
    assert (reading.standing.value, reading.instant) == (standing, None)
    assert reading.standing.refused
    assert words in reading.note
    assert "expected" in reading.note
    assert "write the marker again" in reading.note


def test_clocks_may_differ_by_a_minute() -> None:
    assert read(str(int(NOW + AHEAD_SECONDS)).encode(), NOW).standing is Standing.WAITING
    assert read(str(int(NOW + AHEAD_SECONDS) + 1).encode(), NOW).standing is Standing.FUTURE


def test_a_time_is_rounded_down_so_that_nothing_later_counts_as_loaded() -> None:
    assert read(b"2022-03-22T18:54:43.999999Z", NOW).instant == AT


def test_a_watermark_moves_forward_only() -> None:
    assert judge(AT, None)[0] is Standing.APPLIED
    assert judge(AT, AT - 1.0)[0] is Standing.APPLIED
    assert judge(AT, float(AT)) == (
        Standing.REPEATED,
        "the watermark is at 2022-03-22T18:54:43Z already; nothing was to be done",
    )
    standing, note = judge(AT, AT + 60.0)
    assert standing is Standing.REGRESSED
    assert note.startswith(
        "found 2022-03-22T18:54:43Z, expected an instant after the watermark, which is at 2022-03-22T18"
    )


@settings(deadline=None)
@given(st.binary(max_size=MOST_BYTES + 8))
def test_any_bytes_get_a_verdict(data: bytes) -> None:
    reading = read(data, NOW)
    assert (reading.instant is not None) == (reading.standing is Standing.WAITING)
    assert bool(reading.note) == reading.standing.refused
    assert reading.note.isprintable()
    assert reading.text.isprintable()


@settings(deadline=None)
@given(st.recursive(st.none() | st.booleans() | st.floats() | st.integers() | st.text(), st.lists, max_leaves=5))
def test_any_timestamp_in_json_gets_a_verdict(value: object) -> None:
    reading = read(json.dumps({"timestamp": value, "type": "metrics"}).encode(), NOW)
    assert (reading.instant is not None) == (reading.standing is Standing.WAITING)


@settings(deadline=None)
@given(st.integers(946_684_800, int(NOW)))
def test_every_instant_comes_back(instant: int) -> None:
    assert read(str(instant).encode(), NOW).instant == instant
