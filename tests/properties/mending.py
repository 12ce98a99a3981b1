"""What a careful person does to a rejected.csv: puts good values where bad ones were, and leaves the rest alone."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from typing import Final

from tests.properties import reading
from tests.properties.generating import COLORS
from tests.properties.reference import Column, Contract, Expected, File, Record, judge

#: Values that many contracts are content with, by kind of column.
CANDIDATES: Final[Mapping[str, tuple[str, ...]]] = {
    "integer": tuple(str(number) for number in (0, 2, 12, 1, 7, 4, 6, 8, 10, 14, 16, 18, 20, 22, 24, 26)),
    "float": tuple(str(number) for number in (0, 2, 12, 1, 7, 4, 6, 8, 10, 14, 16, 18, 20, 22, 24, 26)),
    "decimal": tuple(f"{number}.0" for number in range(0, 40, 2)),
    "boolean": ("true", "false"),
    "date": tuple(f"2026-01-{day}" for day in range(15, 31)),
    "timestamp": tuple(f"2026-01-14T12:{minute}:00" for minute in range(10, 26)),
    "text": ("a", "b", "00123", *(f"a{number}" for number in range(16))),
    "category": COLORS,
}


def mended(contract: Contract, rejected: str, delimiter: str, quote: str) -> str | None:
    """Mend a rejected.csv; None where nobody could, by changing cells."""
    (_, header), *rows = reading.fields_of(rejected, delimiter, quote)
    names = [reading.unguarded(name) for name in header[:-2]]
    columns = {column.name: column for column in contract.columns}
    taken: list[dict[str, str | None]] = []
    text = io.StringIO()
    writer = csv.writer(text, delimiter=delimiter, quotechar=quote, lineterminator="\r\n", quoting=csv.QUOTE_ALL)
    writer.writerow(header)
    for _, fields in rows:
        cells = [reading.unguarded(cell) for cell in fields[:-2]] if len(fields) == len(header) else [""] * len(names)
        given = dict(zip(names, cells, strict=True))
        found = _row(contract, names, given, columns, taken)
        if found is None:
            return None
        taken.append({name: cell or None for name, cell in found.items()})
        writer.writerow([*(reading.guarded(cell) for cell in found.values()), *fields[-2:]])
    return text.getvalue()


def _row(
    contract: Contract,
    names: Sequence[str],
    given: Mapping[str, str],
    columns: Mapping[str, Column],
    taken: Sequence[Mapping[str, str | None]],
) -> dict[str, str] | None:
    """Return a row that goes with those before it: first as it is, then with one after the other value tried."""
    for place in range(-1, 16):
        cells = {
            name: given[name]
            if place < 0 or _may_stay(contract, columns, name)
            else _value(columns[name], place, shift)
            for shift, name in enumerate(names)
        }
        if not _faults(contract, names, [*taken, {name: cell or None for name, cell in cells.items()}]):
            return cells
    return None


def _may_stay(contract: Contract, columns: Mapping[str, Column], name: str) -> bool:
    """Tell whether nothing a column says could be wrong: text without checks, or what no contract knows."""
    column = columns.get(name)
    if column is None:
        return True
    free = not (column.checks or column.unique or name in contract.together)
    return free and column.kind.name == "text" and column.nullable


def _value(column: Column, place: int, shift: int) -> str:
    pool = CANDIDATES[column.kind.name]
    offset = "Z" if column.kind.zoned else ""
    return pool[(place + (shift if column.kind.name == "boolean" else 0)) % len(pool)] + offset


def _faults(contract: Contract, names: Sequence[str], rows: Sequence[Mapping[str, str | None]]) -> bool:
    records = tuple(Record(row=row, line=None, cells=cells) for row, cells in enumerate(rows, 1))
    expected: Expected = judge(contract, File(records=records, names=tuple(names)))
    return bool(expected.faults or expected.whole)
