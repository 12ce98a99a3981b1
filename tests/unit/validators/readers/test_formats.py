"""Which format a file has: suffixes, first bytes, and what wins when they disagree."""

from __future__ import annotations

import codecs
import io
import zipfile

import pytest

from validators.errors import FileProblem
from validators.readers.formats import SIGNATURES, Format, decide, format_of_name, suffix_of

BINARY = b"\x00\x01\x02\x00"


@pytest.mark.parametrize(
    ("name", "format_"),
    [
        ("a.csv", Format.DELIMITED),
        ("in/b/a.CSV.GZ", Format.DELIMITED),
        ("a.txt", Format.DELIMITED),
        ("a.tsv.bz2", Format.DELIMITED),
        ("a.tab", Format.DELIMITED),
        ("a.ndjson", Format.NDJSON),
        ("a.jsonl.zst", Format.NDJSON),
        ("a.json", Format.JSON),
        ("a.b.parquet", Format.PARQUET),
        ("a.pq", Format.PARQUET),
        ("a.xlsx", Format.EXCEL),
        ("a.xls", None),
        ("csv", None),
        ("a.csv/part-0001", None),
        ("a.gz", None),
        ("a.", None),
        ("", None),
    ],
)
def test_the_suffix_promises_a_format(name: str, format_: Format | None) -> None:
    assert format_of_name(name) == format_


def test_the_suffix_is_what_is_left_without_its_packing() -> None:
    assert suffix_of("x/Daily.Report.CSV.gz") == ".csv"
    assert suffix_of("x.d/part-1") == ""


@pytest.mark.parametrize(
    ("head", "format_"),
    [
        (b'{"a": 1}\n{"a": 2}\n', Format.NDJSON),
        (b'{"a": 1}\r\n\r\n{"a": 2}\r\n', Format.NDJSON),
        (b'{"a": 1}\noops\n', Format.NDJSON),
        (b'oops{"a": 1}\n', Format.DELIMITED),
        (b'{"a": oops}\n{"a": 2}\n{"a": 3}\n', Format.NDJSON),
        (b'{"a": 1,\n "b": 2}\n', Format.JSON),
        (b'{"isTest": true, "metrics": [{"a": 1}]}', Format.JSON),
        (b'[{"a": 1},\n {"a": 2}]\n', Format.JSON),
        (b' \n [ { "a" : 1 } ]', Format.JSON),
        (codecs.BOM_UTF8 + b'[{"a": 1}]', Format.JSON),
        (codecs.BOM_UTF16_LE + '[{"a": 1}]'.encode("utf-16-le"), Format.JSON),
        (b'[{"a": 1}, {"a": ', Format.JSON),
        (b"[1,2]\n[3,4]\n", Format.DELIMITED),
        (b"{a},b\n1,2\n", Format.DELIMITED),
        (b"[note] a,b\n1,2\n", Format.DELIMITED),
        (b"a,b\n1,2\n", Format.DELIMITED),
        (b"PAR1" + BINARY, Format.PARQUET),
        (b"PK\x03\x04" + BINARY + b"xl/workbook.xml", Format.EXCEL),
    ],
)
def test_without_a_suffix_the_bytes_tell(head: bytes, format_: Format) -> None:
    assert decide("drop", head, whole=True) == (format_, ())


@pytest.mark.parametrize(
    ("name", "head", "format_", "note"),
    [
        ("a.csv", b"PAR1" + BINARY, Format.PARQUET, "named .csv, holds Parquet; read as Parquet"),
        ("a.csv", b"PK\x03\x04xl/" + BINARY, Format.EXCEL, "named .csv, holds Excel; read as Excel"),
        ("a.json", b'{"a":1}\n{"a":2}\n', Format.NDJSON, "named .json, holds NDJSON; read as NDJSON"),
        ("a.ndjson", b'[\n{"a":1}\n]', Format.JSON, "named .ndjson, holds JSON; read as JSON"),
        ("a.tsv.gz", b'{"a":1}\n{"a":2}\n', Format.NDJSON, "named .tsv, holds NDJSON; read as NDJSON"),
        ("a.parquet", b'[{"a":1}]', Format.JSON, "named .parquet, holds JSON; read as JSON"),
        (
            "a.dat",
            b"a,b\n",
            Format.DELIMITED,
            "the name ends in .dat, which says nothing of its format; read as delimited text",
        ),
    ],
)
def test_unmistakable_bytes_win_over_the_suffix_and_a_note_says_so(
    name: str, head: bytes, format_: Format, note: str
) -> None:
    assert decide(name, head, whole=True) == (format_, (note,))


@pytest.mark.parametrize(
    ("name", "head", "format_"),
    [
        ("a.csv", b'{"a":1},b\n1,2\n', Format.DELIMITED),
        ("a.csv", b"[1,2]\n3,4\n", Format.DELIMITED),
        ("a.csv", b"[1,2]", Format.DELIMITED),
        ("a.csv", b"{}x,y\n", Format.DELIMITED),
        ("a.csv", b"[" * 5000, Format.DELIMITED),
        ("a.csv", b"PAR1,PAR2\n1,2\n", Format.DELIMITED),
        ("a.csv", b"ORC,BM\n1,2\n", Format.DELIMITED),
        ("a.ndjson", b'oops\n{"a":1}\n', Format.NDJSON),
        ("a.ndjson", b'{"metrics":[{"a":1}]}\n', Format.NDJSON),
        ("a.json", b"unit_id,value\n", Format.JSON),
        ("a.ndjson", b'oops, broken\nand, again\n{"a":1}\n', Format.NDJSON),
        ("a.json", b'"a": 1,\n"b": 2}\n[', Format.JSON),
        ("a.json", b'{"a":1}', Format.JSON),
        ("a.json", b"[" * 5000, Format.JSON),
    ],
)
def test_what_could_be_either_stays_what_the_suffix_says(name: str, head: bytes, format_: Format) -> None:
    assert decide(name, head, whole=True) == (format_, ())


def test_a_document_longer_than_the_bytes_looked_at_is_told_by_its_beginning() -> None:
    assert decide("a", b'{"isTest": true,\n"metrics": [{"a": 1}, {"b": "xy', whole=False)[0] is Format.JSON
    assert decide("a.ndjson", b'{"a": "' + b"x" * 500, whole=False)[0] is Format.NDJSON
    assert decide("a", b'{"a": 1}\n{"a": "xx', whole=False)[0] is Format.NDJSON


@pytest.mark.parametrize("signature", SIGNATURES, ids=lambda signature: signature.what)
def test_files_of_other_kinds_are_refused_by_name(signature: object) -> None:
    magic, offset, what = signature.magic, signature.offset, signature.what  # type: ignore[attr-defined]
    head = b"x" * offset + magic + BINARY * 20
    with pytest.raises(FileProblem) as caught:
        decide("a.csv", head, whole=True)
    assert caught.value.rule == "not_data"
    assert caught.value.message == f"this is {what}, expected CSV, TSV, NDJSON, JSON, Parquet or Excel (.xlsx)"
    assert "drop" in caught.value.hint


@pytest.mark.parametrize(
    ("head", "what"),
    [
        (b"<!DOCTYPE html><html>", "an HTML page"),
        (b"\n <HTML><body>Sign in</body>", "an HTML page"),
        (codecs.BOM_UTF8 + b"<html>", "an HTML page"),
        (b'<?xml version="1.0"?><rows/>', "an XML document"),
    ],
)
def test_markup_is_refused(head: bytes, what: str) -> None:
    with pytest.raises(FileProblem, match=f"this is {what}"):
        decide("a.csv", head, whole=True)


def test_a_zip_archive_is_refused_and_a_workbook_is_not() -> None:
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w") as archive:
        archive.writestr("data.csv", "a,b\n1,2\n")
    with pytest.raises(FileProblem, match="this is a ZIP archive"):
        decide("a.csv", sink.getvalue(), whole=True)


def test_a_protected_workbook_is_named_as_such() -> None:
    head = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\0" * 500 + "EncryptedPackage".encode("utf-16-le")
    with pytest.raises(FileProblem, match="protected with a password") as caught:
        decide("a.xlsx", head, whole=True)
    assert caught.value.rule == "excel"


@pytest.mark.parametrize("head", [b"", b" \n\t\r\n", codecs.BOM_UTF8, codecs.BOM_UTF16_LE, codecs.BOM_UTF8 + b"\n"])
@pytest.mark.parametrize("name", ["a.csv", "a.json", "a.ndjson", "a.parquet", "a.xlsx", "a"])
def test_an_empty_file_is_said_to_be_empty(name: str, head: bytes) -> None:
    with pytest.raises(FileProblem) as caught:
        decide(name, head, whole=True)
    assert caught.value.rule == "empty_file"


@pytest.mark.parametrize("name", ["a.parquet", "a.xlsx.gz", "a.json", "a.ndjson"])
@pytest.mark.parametrize("head", [b"unit_id,value\nu1,2\n", b'\n"unit_id";"value"\r\n"u1";2', b"a\tb\r1\t2\r"])
def test_a_table_is_read_as_one_whatever_its_suffix(name: str, head: bytes) -> None:
    label = name.removesuffix(".gz")[1:]
    note = f"named {label}, holds delimited text; read as delimited text"
    assert decide(name, head, whole=True) == (Format.DELIMITED, (note,))
    assert decide(name, codecs.BOM_UTF16_LE + head.decode().encode("utf-16-le"), whole=True)[0] is Format.DELIMITED


@pytest.mark.parametrize("name", ["a.parquet", "a.xlsx"])
@pytest.mark.parametrize("head", [b"unit_id,value\n", b"unit_id,value says\nthe server", b"unit_id,value\n\0\0,\n"])
def test_other_text_with_a_binary_suffix_is_refused_with_what_it_begins_with(name: str, head: bytes) -> None:
    with pytest.raises(FileProblem, match="it begins with 'unit_id,value") as caught:
        decide(name, head, whole=True)
    assert caught.value.rule == "not_data"
    assert "give it that suffix" in caught.value.hint
