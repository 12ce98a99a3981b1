"""Files -> records for the reference: Python's own csv and json, one record at a time."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterator, Sequence
from typing import Any

from tests.properties.reference import File, Given, Record, is_nothing, text_of

#: What a rejected.csv has after the file's own columns.
LINE, PROBLEMS = "_line", "_problems"
#: What a spreadsheet would run, apostrophes before it included.
RUNS = re.compile("'*[=+\\-@\t\r\n\uff1d\uff0b\uff0d\uff20]")
#: What stands at the end of a record that was no good in an earlier rejected.csv.
SAID = re.compile(r"[0-9]+,row [0-9]+ \(line [0-9]+\): .*", re.DOTALL)
PLAIN_NUMBER = re.compile(r"[+-]([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")


def delimited(text: str, delimiter: str, quote: str) -> File:
    """Read CSV; the first record names the columns. A rejected.csv dropped back loses what it has after its own."""
    (_, header), *rest = list(fields_of(text, delimiter, quote))
    returned = tuple(header[-2:]) == (LINE, PROBLEMS)
    names = tuple(unguarded(name) for name in header[:-2]) if returned else tuple(header)
    records = []
    for row, (line, fields) in enumerate(rest, 1):
        wrong = "" if len(fields) == len(header) else "field_count"
        kept = fields[:-2] if returned and (not wrong or SAID.fullmatch(",".join(fields[-2:]))) else fields
        kept = [unguarded(cell) for cell in kept] if returned else kept
        cells = {} if wrong else {name: cell or None for name, cell in zip(names, kept, strict=True)}
        records.append(Record(row=row, line=line, cells=cells, shown=tuple(kept), wrong=wrong))
    return File(records=tuple(records), names=names)


def fields_of(text: str, delimiter: str, quote: str) -> Iterator[tuple[int, list[str]]]:
    """Yield each record that is no blank line: the line on which it starts, and its fields."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, quotechar=quote, strict=True)
    line = 1
    for fields in reader:
        if fields:
            yield line, fields
        line = reader.line_num + 1


def json_lines(text: str) -> File:
    """Read NDJSON: numbers keep their digits; a line that is no object breaks a rule of its own."""
    records: list[Record] = []
    for line, one in enumerate(text.split("\n"), 1):
        if not one.strip():
            continue
        value = _parsed(one)
        if isinstance(value, dict):
            cells = {name: _text(cell) for name, cell in value.items()}
            records.append(Record(row=len(records) + 1, line=line, cells=cells))
        else:
            records.append(Record(row=len(records) + 1, line=line, cells={}, shown=(one,), wrong="invalid_json"))
    return File(records=tuple(records), names=None)


def table(names: Sequence[str], rows: Sequence[Sequence[Given]]) -> File:
    """Take the rows of a typed file."""
    records = [
        Record(row=row, line=None, cells=dict(zip(names, cells, strict=True))) for row, cells in enumerate(rows, 1)
    ]
    return File(records=tuple(records), names=tuple(names))


def shown(record: Record, names: Sequence[str]) -> list[str]:
    """Return a record's cells as rejected.csv must show them, under these columns."""
    if record.shown is not None:
        # What has no cells is one cell, and one more where it would else be taken for a row when it is dropped back.
        return [*record.shown, *([""] if record.wrong == "invalid_json" and len(names) == 1 else [])]
    cells = [record.cells.get(name) for name in names]
    return ["" if is_nothing(cell) else text_of(cell) for cell in cells] or [""]


def guarded(cell: str) -> str:
    """Put an apostrophe before what a spreadsheet would run."""
    return f"'{cell}" if RUNS.match(cell) and not PLAIN_NUMBER.fullmatch(cell) else cell


def unguarded(cell: str) -> str:
    """Take that apostrophe away."""
    return cell[1:] if cell.startswith("'") and RUNS.match(cell) else cell


def _parsed(line: str) -> Any:
    def refuse(constant: str) -> Any:
        raise ValueError(constant)

    try:
        return json.loads(line, parse_int=str, parse_float=str, parse_constant=refuse)
    except ValueError:
        return None


def _text(value: Any) -> Given:
    return text_of(value) if isinstance(value, bool) else value
