"""What is wrong with a record, in words that lead to its place."""

from __future__ import annotations

import pytest

from validators.model import Dialect, Limits
from validators.readers.faults import Describer, split, unquoted
from validators.readers.records import Fault, grammar_of


def describer(width: int = 3, **dialect: str) -> Describer:
    made = Dialect(columns=tuple("abcdef"[:width]), **dialect)  # type: ignore[arg-type]
    grammar = grammar_of(made, Limits())
    return Describer(grammar=type(grammar)(**{**vars(grammar), "width": width}), names=made.columns, encoding="utf-8")


def told(raw: bytes, fault: Fault, fields: int = 0) -> tuple[str, str, str]:
    record = describer().malformed(raw, fault, fields, row=7, line=9)
    assert (record.row, record.line) == (7, 9)
    return record.rule, record.found, record.expected


@pytest.mark.parametrize(("fields", "found"), [(1, "1 field"), (5, "5 fields")])
def test_a_wrong_number_of_fields_is_said_beside_the_right_one(fields: int, found: str) -> None:
    assert told(b"x", Fault.FIELD_COUNT, fields) == ("field_count", found, "3 fields")


def test_a_byte_that_cannot_be_decoded_is_named_with_its_column_and_character() -> None:
    rule, found, expected = told(b'"a,b",x\xffy,c', Fault.ENCODING)
    assert (rule, expected) == ("encoding", "text in utf-8")
    assert found == "byte 0xFF in column 'b', character 8 of the record"


def test_a_nul_byte_is_named_with_its_place() -> None:
    assert told(b"ab\x00c", Fault.NUL_BYTE) == ("nul_byte", "a NUL byte at character 3 of the record", "text")


def test_a_record_is_shown_as_it_came_with_what_cannot_be_decoded_as_escapes() -> None:
    record = describer().malformed("é".encode() + b"\xff,b", Fault.ENCODING, 0, row=1, line=1)
    assert record.raw == "é\\xff,b"


@pytest.mark.parametrize(
    ("record", "fields"),
    [
        ("a,b", ["a", "b"]),
        ('"a,b",c', ['"a,b"', "c"]),
        ('"say ""hi, you""",c', ['"say ""hi, you"""', "c"]),
        ("", [""]),
        (",", ["", ""]),
    ],
)
def test_a_record_is_split_outside_its_quotes(record: str, fields: list[str]) -> None:
    assert split(record, ",", '"') == fields


def test_without_quoting_a_quote_is_a_letter() -> None:
    assert split('"a,b"', ",", "") == ['"a', 'b"']
    assert unquoted('"a"', "") == '"a"'
    assert unquoted('"say ""hi"""', '"') == 'say "hi"'
    assert unquoted("plain", '"') == "plain"
