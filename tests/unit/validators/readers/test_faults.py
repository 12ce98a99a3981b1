"""What is wrong with a record, in words that lead to its place."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
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


def test_many_records_are_described_as_each_by_itself() -> None:
    raw = [b"a", b"b,c", b'x"y,z,z', "é".encode(), b'"open', b"a,b,c,d,e"]
    faults = [
        Fault.FIELD_COUNT,
        Fault.FIELD_COUNT,
        Fault.STRAY_QUOTE,
        Fault.FIELD_COUNT,
        Fault.OPEN_QUOTE,
        Fault.FIELD_COUNT,
    ]
    fields = [1, 2, 0, 1, 0, 5]
    for extra, fault in (
        (b"\xff,b", Fault.ENCODING),
        (b"a\x00,b", Fault.NUL_BYTE),
        (b'\xffx"y', Fault.STRAY_QUOTE),
        (b"z", Fault.FIELD_COUNT),
    ):
        every, all_faults, all_fields = [*raw, extra], [*faults, fault], [*fields, 1]
        numbers = np.arange(10, 10 + len(every))
        together = describer().records(
            pa.array(every, pa.binary()),
            np.array(all_faults, np.uint8),
            np.array(all_fields),
            rows=numbers,
            lines=numbers + 1,
        )
        singly = [
            describer().malformed(each, flaw, count, row=row, line=row + 1)
            for each, flaw, count, row in zip(every, all_faults, all_fields, numbers.tolist(), strict=True)
        ]
        assert list(together) == singly
