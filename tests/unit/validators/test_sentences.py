"""The sentences of a report, word for word."""

from __future__ import annotations

import pytest

from validators.model import Malformed, MalformedRecords
from validators.sentences import SHOWN_CHARACTERS, malformed_sentences, place, printable, sentence, shortened


def test_a_sentence_has_row_column_what_was_found_what_was_expected_and_the_hint_in_this_order() -> None:
    said = sentence(3, 4, "id_type", "userid", "one of user_id, stable_id", "did you mean 'user_id'?")
    assert said == (
        "row 3 (line 4), column id_type: found 'userid', expected one of user_id, stable_id; did you mean 'user_id'?"
    )


@pytest.mark.parametrize(
    ("row", "line", "column", "found", "expected", "said"),
    [
        (3, 4, "value", None, "a number", "row 3 (line 4), column value: found nothing, expected a number"),
        (3, 4, "value", "", "a number", "row 3 (line 4), column value: found '', expected a number"),
        (3, None, "value", "x", "a number", "row 3, column value: found 'x', expected a number"),
        (3, 0, "value", "x", "a number", "row 3, column value: found 'x', expected a number"),
        (3, 4, None, "5 fields", "4 fields", "row 3 (line 4): found 5 fields, expected 4 fields"),
        (None, 9, None, "an end of file", "a quote", "line 9: found an end of file, expected a quote"),
        (None, None, "day", None, "this column", "column day: found nothing, expected this column"),
        (None, None, None, "0 bytes", "", "found 0 bytes"),
    ],
)
def test_a_part_that_is_not_known_is_left_out(
    row: int | None, line: int | None, column: str | None, found: str | None, expected: str, said: str
) -> None:
    assert sentence(row, line, column, found, expected) == said


def test_a_malformed_record_is_said_like_any_other_problem() -> None:
    record = Malformed(row=7, line=9, rule="field_count", found="5 fields", expected="4 fields", raw="a,b,c,d,e")
    assert malformed_sentences(MalformedRecords.of([record])).to_pylist() == [
        "row 7 (line 9): found 5 fields, expected 4 fields"
    ]


def test_a_long_value_is_cut_and_marked() -> None:
    said = sentence(1, 2, "note", "x" * 5000, "at most 127 characters")
    assert (
        said == f"row 1 (line 2), column note: found '{'x' * (SHOWN_CHARACTERS - 1)}…', expected at most 127 characters"
    )


def test_hidden_characters_in_a_value_are_shown_and_keep_the_sentence_on_one_line() -> None:
    said = sentence(1, 2, "a\nb", "\x1b[31mred\tand\u202egnp.exe\xa0", "a name", "look\r")
    assert said == r"row 1 (line 2), column a\nb: found '\x1b[31mred\tand\u202egnp.exe\xa0', expected a name; look\r"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain", "plain"),
        ("Zoë 🎉 日本", "Zoë 🎉 日本"),
        ("a\x00b", r"a\x00b"),
        (b"caf\xe9.csv".decode("utf-8", "surrogateescape"), r"caf\xe9.csv"),
        ("\ud83d", r"\ud83d"),
        ("\u200b\u2028\ufeff", r"\u200b\u2028\ufeff"),
        ("\U000e0041", r"\U000e0041"),
    ],
)
def test_printable_text_shows_every_character_and_is_valid_utf8(text: str, shown: str) -> None:
    assert printable(text) == shown
    assert printable(text).encode("utf-8")


def test_text_of_just_the_limit_is_not_cut() -> None:
    assert shortened("abc", 3) == "abc"
    assert shortened("abcd", 3) == "ab…"


def test_a_place_may_be_nowhere_in_particular() -> None:
    assert place(None, None, None) == ""
    assert place(3, None, "a") == "row 3, column a"
