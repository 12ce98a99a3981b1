"""Files that are not delimited text, whatever their names say: each function returns the bytes of one file."""

from __future__ import annotations

import io
import json
import struct
import zipfile
import zlib
from collections.abc import Mapping
from datetime import date, datetime
from typing import Any

import openpyxl
import pyarrow as pa
import pyarrow.parquet as pq

NAMES = ("unit_id", "id_type", "metric_name", "date", "metric_value")


def row(unit: str, **other: Any) -> dict[str, Any]:
    """One good row as JSON has it."""
    return {
        "unit_id": unit,
        "id_type": "user_id",
        "metric_name": "revenue",
        "date": "2026-03-01",
        "metric_value": 1.5,
    } | other


# ---------------------------------------------------------------- THINGS WITH THE WRONG NAME


def pdf() -> bytes:
    """A report somebody printed into a file."""
    return b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n1 0 obj\n<< /Type /Catalog >>\nendobj\ntrailer << /Root 1 0 R >>\n%%EOF\n"


def archive() -> bytes:
    """A ZIP archive with a table in it."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as into:
        into.writestr(zipfile.ZipInfo("metrics.csv"), "unit_id,id_type\nu1,user_id\n")
    return packed.getvalue()


def png() -> bytes:
    """A picture of a table: one pixel of it."""

    def part(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    size = struct.pack(">IIBBBBB", 1, 1, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + part(b"IHDR", size) + part(b"IDAT", zlib.compress(b"\0\0")) + part(b"IEND", b"")


def html() -> bytes:
    """What a portal sends when nobody is logged in."""
    return b"<!DOCTYPE html>\n<html><head><title>Sign in</title></head><body><p>Please, sign in.</p></body></html>\n"


# ---------------------------------------------------------------- JSON


def ndjson(*records: Mapping[str, Any] | str) -> bytes:
    """Records one to a line; text goes in as it is."""
    return "".join(one + "\n" if isinstance(one, str) else json.dumps(one) + "\n" for one in records).encode()


def invalid_line() -> bytes:
    """Ten lines, one of which was cut."""
    records = [row(f"json{number}") for number in range(9)]
    return ndjson(*records[:4], '{"unit_id": "cut", "id_type": "us', *records[4:])


def deep_line(levels: int = 100_000) -> bytes:
    """Ten lines, one of them with brackets in brackets in brackets."""
    deep = '{"unit_id": ' + "[" * levels + "]" * levels + "}"
    return ndjson(*(row(f"deep{number}") for number in range(9)), deep)


def deep_document(levels: int = 100_000) -> bytes:
    """One array of rows, one of which goes deeper than anyone looks."""
    rows = [json.dumps(row(f"deepdoc{number}")) for number in range(9)]
    return ("[" + ",".join([*rows, '{"unit_id": ' + "[" * levels + "]" * levels + "}"]) + "]").encode()


def impossible_json_numbers() -> bytes:
    """Numbers beyond int64 and beyond a float, beside as many good rows."""
    plain = {name: value for name, value in row("n").items() if name != "date"}
    wrong = ('"timestamp": 99999999999999999999', '"timestamp": 1e999', '"timestamp": 12.5')
    lines = [json.dumps(plain | {"unit_id": f"n{n}"})[:-1] + f", {text}}}" for n, text in enumerate(wrong)]
    lines.append(
        '{"unit_id": "n9", "id_type": "user_id", "metric_name": "m", "date": "2026-03-01", "metric_value": 1e999}'
    )
    lines.append(
        '{"unit_id": "n8", "id_type": "user_id", "metric_name": "m", "date": "2026-03-01", "metric_value": NaN}'
    )
    return ndjson(*lines, *(row(f"fine{number}") for number in range(5)))


# ---------------------------------------------------------------- PARQUET


def parquet(table: pa.Table) -> bytes:
    """A table as a Parquet file."""
    into = io.BytesIO()
    pq.write_table(table, into)
    return into.getvalue()


def metrics_table(count: int = 10, tag: str = "p") -> pa.Table:
    """Good rows."""
    return pa.table(
        {
            "unit_id": [f"{tag}{number}" for number in range(count)],
            "id_type": ["user_id"] * count,
            "metric_name": ["revenue"] * count,
            "date": pa.array([date(2026, 3, 1)] * count, pa.date32()),
            "metric_value": [float(number) for number in range(count)],
        }
    )


def broken_footer() -> bytes:
    """A Parquet file whose last part has other bytes."""
    whole = bytearray(parquet(metrics_table(tag="footer")))
    whole[-60:-20] = b"\xff" * 40
    return bytes(whole)


def cut_parquet() -> bytes:
    """A Parquet file without its end."""
    return parquet(metrics_table(tag="cut"))[:-30]


def nested_columns() -> bytes:
    """Good rows, with a struct and a list beside them that the contract does not know."""
    nested = metrics_table(tag="nested")
    nested = nested.append_column("tags", pa.array([["a", "b"]] * 10))
    return parquet(nested.append_column("place", pa.array([{"x": 1, "y": 2}] * 10)))


def nested_value() -> bytes:
    """A struct where a number was agreed."""
    table = metrics_table(tag="struct")
    at = table.column_names.index("metric_value")
    return parquet(table.set_column(at, "metric_value", pa.array([{"v": 1.5}] * 10)))


def lying_parquet(claimed: int = 2_000_000_000) -> bytes:
    """Some 300 bytes that hold two thousand million rows, every cell of them null: one run of levels says so."""
    levels = _varint(claimed << 1) + b"\0"
    body = struct.pack("<I", len(levels)) + levels
    page = _struct({1: 0, 2: len(body), 3: len(body), 5: {1: claimed, 2: 0, 3: 3, 4: 3}}) + body
    into = bytearray(b"PAR1")
    columns = []
    for name in NAMES[:3]:
        size = _Long(len(page))
        meta = {1: 6, 2: [0], 3: [name.encode()], 4: 0, 5: _Long(claimed), 6: size, 7: size, 9: _Long(len(into))}
        columns.append({2: _Long(len(into)), 3: meta})
        into += page
    schema = [{4: b"s", 5: len(columns)}, *({1: 6, 3: 1, 4: name.encode(), 6: 0} for name in NAMES[:3])]
    group = {1: columns, 2: _Long(1), 3: _Long(claimed)}
    footer = _struct({1: 1, 2: schema, 3: _Long(claimed), 4: [group]})
    return bytes(into) + footer + struct.pack("<I", len(footer)) + b"PAR1"


class _Long(int):
    """A whole number of 64 bits; others have 32."""


def _struct(fields: Mapping[int, Any]) -> bytes:
    """Write a structure in Thrift's compact protocol; as much of it as a footer needs."""
    into, before = bytearray(), 0
    for number, value in fields.items():
        kind, data = _value(value)
        into.append((number - before) << 4 | kind)
        into += data
        before = number
    return bytes(into) + b"\0"


def _value(value: Any) -> tuple[int, bytes]:
    """Return the number of the value's type, and its bytes."""
    if isinstance(value, Mapping):
        return 12, _struct(value)
    if isinstance(value, bytes):
        return 8, _varint(len(value)) + value
    if isinstance(value, list):
        written = [_value(one) for one in value]
        return 9, bytes([len(value) << 4 | written[0][0]]) + b"".join(data for _, data in written)
    return (6 if isinstance(value, _Long) else 5), _varint(value << 1)


def _varint(number: int) -> bytes:
    into = bytearray()
    while number > 0x7F:
        into.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*into, number])


# ---------------------------------------------------------------- EXCEL


def workbook(*rows: tuple[Any, ...], merge: str = "") -> bytes:
    """A workbook with these rows in its first sheet."""
    book = openpyxl.Workbook()
    sheet = book.active
    assert sheet is not None
    for cells in rows:
        sheet.append(cells)
    if merge:
        sheet.merge_cells(merge)
    into = io.BytesIO()
    book.save(into)
    return into.getvalue()


def excel_dates() -> bytes:
    """Dates as Excel has them: days, instants and text."""
    days = (date(2026, 3, 1), datetime(2026, 3, 2), "2026-03-03")  # noqa: DTZ001 - Excel knows no zones
    return workbook(NAMES, *((f"x{n}", "user_id", "revenue", day, n + 1) for n, day in enumerate(days)))


def excel_formulas() -> bytes:
    """Formulas that were never calculated: nobody knows what they come to."""
    fine = [(f"f{n}", "user_id", "revenue", date(2026, 3, 1), n) for n in range(3)]
    return workbook(NAMES, *fine, ("f9", "user_id", "revenue", date(2026, 3, 1), "=1+1"))


def merged_cells() -> bytes:
    """One name over two rows, the second of which has none."""
    rows = [(f"m{n}" if n != 2 else None, "user_id", "revenue", date(2026, 3, 1), n) for n in range(4)]
    return workbook(NAMES, *rows, merge="A3:A4")
