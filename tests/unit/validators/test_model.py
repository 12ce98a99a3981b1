"""Malformed records as columns are the same as one by one."""

from __future__ import annotations

import pytest

from validators.model import Malformed, MalformedRecords, none_malformed

RECORDS = [
    Malformed(row=2, line=3, rule="quote", found="a quote", expected="none", raw='"a'),
    Malformed(row=5, line=7, rule="field_count", found="1 field", expected="2 fields", raw=""),
    Malformed(row=9, line=0, rule="quote", found="a quote", expected="none", raw="é"),
]


def test_records_come_back_as_they_were_put_in() -> None:
    made = MalformedRecords.of(RECORDS)
    assert list(made) == RECORDS
    assert (made[-1], list(made[1:]), len(made)) == (RECORDS[-1], RECORDS[1:], 3)
    assert len(made.flaws) == 2


def test_half_a_character_becomes_an_escape() -> None:
    (made,) = MalformedRecords.of([Malformed(row=1, line=1, rule="r", found="f", expected="e", raw="a\ud800")])
    assert made.raw == "a\\ud800"


def test_the_records_that_break_a_rule_are_told() -> None:
    made = MalformedRecords.of(RECORDS)
    assert made.with_rule("quote").tolist() == [True, False, True]
    assert not made.with_rule("encoding").any()


def test_no_records_are_none_and_false() -> None:
    assert not none_malformed()
    assert list(none_malformed()) == []
    with pytest.raises(IndexError):
        none_malformed()[0]
