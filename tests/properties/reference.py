"""What must come of a file, said as plainly as possible: one row, one cell at a time, in plain Python.

Shares no code with the program, uses neither pandas nor Arrow, and knows nothing of batches.
"""

from __future__ import annotations

import datetime as dt
import math
import re
import struct
import zoneinfo
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from fractions import Fraction
from typing import Any, Final

#: A cell as its file has it: text, or a value of a typed file; None for nothing.
Given = str | bool | int | float | Decimal | dt.date | dt.datetime | None
#: A cell as the table has it.
Value = Given
#: A rule, and the column that breaks it.
Fault = tuple[str, str | None]

EPOCH: Final = dt.datetime(1970, 1, 1)  # noqa: DTZ001 - times without an offset are counted from it too
#: Microseconds since 1970 that 64 bits of nanoseconds can hold.
NANOSECONDS: Final = 9_223_372_036_854_775
NUMBER: Final = r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)"


class Unreadable(Exception):  # noqa: N818 - no error: the cell is bad
    """A cell cannot be read as what its column declares."""


@dataclass(frozen=True, kw_only=True)
class Kind:
    """What the cells of a column are."""

    #: integer, float, decimal, boolean, date, timestamp, text, category
    name: str
    #: Bounds of an integer.
    low: int = 0
    high: int = 0
    #: Bits of a float.
    bits: int = 64
    #: Digits of a decimal: all of them, and those after the point.
    precision: int = 0
    scale: int = 0
    #: Whether a time has an offset, microseconds that it is a multiple of, and how far from 1970 it may be.
    zoned: bool = False
    step: int = 1
    farthest: int | None = None
    categories: tuple[str, ...] = ()
    #: Whether what checks see can hold an empty cell.
    holds_nothing: bool = True


@dataclass(frozen=True, kw_only=True)
class Check:
    """One thing that each value, each row, or all values together must satisfy."""

    rule: str
    holds: Callable[..., bool] = field(compare=False)
    #: Columns that a check on rows reads, in order.
    columns: tuple[str, ...] = ()
    #: Whether it has one answer for the whole file: one value that breaks it rejects everything.
    whole: bool = False
    #: Of a check on rows: whether an empty cell breaks it. Comparing with nothing is no; asking to differ is yes.
    needs_values: bool = True
    #: The check as a contract's author writes it.
    source: str = ""


@dataclass(frozen=True, kw_only=True)
class Column:
    """One column of a contract."""

    name: str
    kind: Kind
    nullable: bool = False
    required: bool = True
    #: `all`, `exclude_first`, `exclude_last`: which rows of a group of equal ones are to blame; empty for none.
    unique: str = ""
    checks: tuple[Check, ...] = ()
    #: Its dtype as a contract's author writes it.
    source: str = ""


@dataclass(frozen=True, kw_only=True)
class Contract:
    """What a file must be."""

    columns: tuple[Column, ...]
    #: Columns that are unique together.
    together: tuple[str, ...] = ()
    blame: str = "all"
    checks: tuple[Check, ...] = ()
    time_column: str = ""
    zone: str = "Etc/GMT+8"
    max_rejected_ratio: float = 1.0
    #: Everything before it was said to be there; None where nothing was. Whether rows before it are rejected.
    watermark: dt.datetime | None = None
    refuses_late: bool = True


@dataclass(frozen=True, kw_only=True)
class Record:
    """One record of a file."""

    row: int
    #: The physical line on which it starts; None where there are none.
    line: int | None
    cells: Mapping[str, Given]
    #: All of its cells as rejected.csv must show them.
    shown: tuple[str, ...] | None = None
    #: The rule that it breaks as a record; it then has no cells to judge.
    wrong: str = ""


@dataclass(frozen=True, kw_only=True)
class File:
    """One file's records."""

    records: tuple[Record, ...]
    #: The columns of its header; None where each record names its own.
    names: tuple[str, ...] | None


@dataclass(kw_only=True)
class Expected:
    """What must come of a file."""

    #: Row -> the rules it breaks. A row that breaks none is not in it.
    faults: dict[int, set[Fault]] = field(default_factory=dict)
    #: The rules that the file breaks as a whole.
    whole: set[Fault] = field(default_factory=set)
    #: Row -> column -> value, of rows whose every cell could be read.
    values: dict[int, dict[str, Value]] = field(default_factory=dict)
    #: Row -> the day it belongs to; None where nothing says so.
    days: dict[int, dt.date | None] = field(default_factory=dict)
    rejected: set[int] = field(default_factory=set)
    #: Cells without a value: row and column.
    empty: set[tuple[int, str]] = field(default_factory=set)
    #: Whether so many rows are rejected that all of them are.
    over_budget: bool = False
    #: Rows before the watermark, and whether nothing is left without them.
    late: set[int] = field(default_factory=set)
    none_left: bool = False

    def blame(self, row: int, rule: str, column: str | None) -> None:
        """Note that a row breaks a rule."""
        self.faults.setdefault(row, set()).add((rule, column))


#: The rule that rows before the watermark break.
LATE: Final = "late"

# ---------------------------------------------------------------- ONE CELL


def text_of(given: Given) -> str:
    """Write a value of a typed file as text."""
    if isinstance(given, bool):
        return "true" if given else "false"
    if isinstance(given, float):
        return str(int(given)) if given.is_integer() and abs(given) < 2**63 else repr(given)
    if isinstance(given, Decimal):
        return format(given, "f")
    if isinstance(given, dt.datetime):
        return given.astimezone(dt.UTC).isoformat().replace("+00:00", "Z") if given.tzinfo else given.isoformat()
    return given.isoformat() if isinstance(given, dt.date) else str(given)


def is_nothing(given: Given) -> bool:
    """Tell whether a cell has no value; pandas writes NaN for that."""
    return given is None or (isinstance(given, float) and math.isnan(given))


def read(given: Given, kind: Kind) -> Value:
    """Read a cell as its column declares.

    Raises:
        Unreadable: it is not what the column declares, however near.
    """
    if kind.name == "integer" and isinstance(given, float) and given.is_integer():
        return _within(int(given), kind.low, kind.high)
    if kind.name == "float" and isinstance(given, float):
        return _finite(given, Fraction(given) if math.isfinite(given) else None, kind.bits)
    text = given if isinstance(given, str) else text_of(given)
    return _READ[kind.name](text if kind.name in ("text", "category") else text.strip(" \t"), kind)


def _within(number: int, low: int, high: int) -> int:
    if not low <= number <= high:
        raise Unreadable
    return number


def _matched(pattern: str, text: str) -> re.Match[str]:
    found = re.fullmatch(pattern, text)
    if found is None:
        raise Unreadable
    return found


def _read_integer(text: str, kind: Kind) -> int:
    return _within(int(_matched(r"([+-]?[0-9]+)(\.0*)?", text)[1]), kind.low, kind.high)


def _read_float(text: str, kind: Kind) -> float:
    _matched(NUMBER + r"([eE][+-]?[0-9]+)?", text)
    nearest = float(text)
    small = not math.isfinite(nearest) or abs(nearest) < 1e-60
    return _finite(nearest, None if small else Fraction(Decimal(text)), kind.bits)


def _finite(nearest: float, exact: Fraction | None, bits: int) -> float:
    if not math.isfinite(nearest):
        raise Unreadable
    if bits == 64 or nearest == 0:
        return nearest
    return math.copysign(0.0, nearest) if exact is None else _single(nearest, exact)


def _single(near: float, exact: Fraction) -> float:
    """Return the float of 32 bits nearest to a number (IEEE 754: of two, the even one)."""
    if abs(exact) >= 2**128 - 2**103:
        raise Unreadable
    (bits,) = struct.unpack("<I", struct.pack("<f", abs(near)))
    around = range(max(0, bits - 1), min(bits + 2, 0x7F800000))
    distances = [(abs(Fraction(_of_bits(each)) - abs(exact)), each % 2, each) for each in around]
    return math.copysign(_of_bits(min(distances)[2]), near)


def _of_bits(bits: int) -> float:
    return float(struct.unpack("<f", struct.pack("<I", bits))[0])


def _read_decimal(text: str, kind: Kind) -> Decimal:
    _matched(NUMBER + r"([eE][+-]?[0-9]{1,6})?", text)
    if abs(Decimal(text).adjusted()) > 100 and Decimal(text):
        raise Unreadable
    scaled = Fraction(Decimal(text) or Decimal(0)) * 10**kind.scale
    if scaled.denominator != 1 or abs(scaled) >= 10**kind.precision:
        raise Unreadable
    return Decimal(int(scaled)).scaleb(-kind.scale)


def _read_boolean(text: str, _: Kind) -> bool:
    return _matched("true|1|false|0", text.lower())[0] in ("true", "1")


def _read_date(text: str, _: Kind) -> dt.date:
    return _day(_matched(r"([0-9]{4}-[0-9]{2}-[0-9]{2})([T ]00:00(:00(\.0+)?)?)?", text)[1])


def _day(text: str) -> dt.date:
    try:
        return dt.date(*map(int, text.split("-")))
    except ValueError:
        raise Unreadable from None


def _read_time(text: str, kind: Kind) -> dt.datetime:
    clock = r"[T ]([0-9]{2}):([0-9]{2})(?::([0-9]{2})(?:\.([0-9]{1,6})0*)?)?"
    offset = "(?:Z|([+-])([0-9]{2})(?::?([0-9]{2}))?)"
    pattern = rf"([0-9]{{4}}-[0-9]{{2}}-[0-9]{{2}})(?:{clock}{offset})" if kind.zoned else None
    found = _matched(pattern or rf"([0-9]{{4}}-[0-9]{{2}}-[0-9]{{2}})(?:{clock})?", text)
    day = _day(found[1])
    hour, minute, second = (_within(int(found[i] or 0), 0, most) for i, most in ((2, 23), (3, 59), (4, 59)))
    time = dt.datetime(day.year, day.month, day.day, hour, minute, second)  # noqa: DTZ001 - see EPOCH
    micros = (time - EPOCH) // dt.timedelta(microseconds=1) + int((found[5] or "").ljust(6, "0"))
    if kind.zoned and found[6]:
        away = _within(int(found[7]), 0, 23) * 60 + _within(int(found[8] or 0), 0, 59)
        micros -= away * 60_000_000 * (1 if found[6] == "+" else -1)
    if micros % kind.step or (kind.farthest and abs(micros) > kind.farthest):
        raise Unreadable
    try:
        time = EPOCH + dt.timedelta(microseconds=micros)
    except OverflowError:
        raise Unreadable from None
    return time.replace(tzinfo=dt.UTC) if kind.zoned else time


def _read_category(text: str, kind: Kind) -> str:
    if text not in kind.categories:
        raise Unreadable
    return text


_READ: Final[Mapping[str, Callable[[str, Kind], Value]]] = {
    "integer": _read_integer,
    "float": _read_float,
    "decimal": _read_decimal,
    "boolean": _read_boolean,
    "date": _read_date,
    "timestamp": _read_time,
    "text": lambda text, _: text,
    "category": _read_category,
}

# ---------------------------------------------------------------- ONE FILE


def judge(contract: Contract, file: File) -> Expected:
    """Say what must come of a file."""
    expected = Expected()
    for record in file.records:
        if record.wrong:
            expected.blame(record.row, record.wrong, None)
    good = [record for record in file.records if not record.wrong]
    names = file.names if file.names is not None else {name for record in good for name in record.cells}
    needed = [column.name for column in contract.columns if column.required or column.name == contract.time_column]
    if file.names is not None or names:  # Where no record has a name, nobody can say which ones are missing.
        expected.whole = {("missing_column", name) for name in needed if name not in names}
    if not expected.whole or file.names is None:
        _judge_rows(contract, names, good, expected, lenient=file.names is None)
    rows = {record.row for record in file.records}
    broken = [row for row, faults in expected.faults.items() if any(rule != LATE for rule, _ in faults)]
    expected.over_budget = bool(rows) and len(broken) / len(rows) > contract.max_rejected_ratio
    expected.none_left = len(broken) < len(rows) == len(expected.faults)
    expected.rejected = rows if expected.whole or expected.over_budget else set(expected.faults)
    return expected


def _judge_rows(
    contract: Contract, names: Collection[str], records: Sequence[Record], expected: Expected, *, lenient: bool
) -> None:
    """Judge well-formed records; `lenient`: a record that names its own columns may leave optional ones out.

    Such a record has nothing where a column is missing, even where all records have nothing there.
    """
    must = [column for column in contract.columns if column.required or column.name == contract.time_column]
    present = [column for column in contract.columns if column.name in names or (lenient and column in must)]
    known: dict[int, dict[str, Value]] = {}
    for record in records:
        known[record.row] = {}
        for column in present:
            _judge_cell(contract, column, record, known[record.row], expected, lenient=lenient)
        expected.values[record.row] = {each.name: known[record.row].get(each.name) for each in contract.columns}
    _judge_together(contract, [column for column in present if column.name in names], known, expected)
    for row, values in known.items():
        expected.days[row] = day_of(values.get(contract.time_column), contract.zone)
        if contract.time_column and expected.days[row] is None and row not in expected.faults:
            expected.blame(row, "no_day", contract.time_column)
        value = values.get(contract.time_column)
        if expected.days[row] is not None and contract.watermark and is_late(value, contract.watermark, contract.zone):
            expected.late.add(row)
    for row in expected.late if contract.refuses_late else ():
        expected.blame(row, LATE, contract.time_column)


def _judge_together(
    contract: Contract, present: Sequence[Column], known: Mapping[int, Mapping[str, Value]], expected: Expected
) -> None:
    names = [column.name for column in present]
    for column in present:
        if column.unique:
            _judge_unique((column.name,), column.unique, column.name, known, expected)
    together = tuple(name for name in contract.together if name in names)
    if together:
        _judge_unique(together, contract.blame, None, known, expected)
    for check in contract.checks:
        if all(name in names for name in check.columns):  # Else it needs a column that the file may leave out.
            _judge_check_on_rows(check, known, expected)


def _judge_cell(
    contract: Contract, column: Column, record: Record, known: dict[str, Value], expected: Expected, *, lenient: bool
) -> None:
    """Judge one cell by itself; what checks may see of it goes into `known`."""
    given, is_time = record.cells.get(column.name), column.name == contract.time_column
    if is_nothing(given):
        may_lack = lenient and not column.required and not is_time
        expected.empty.add((record.row, column.name))
        if (is_time or not column.nullable) and not may_lack:
            expected.blame(record.row, "not_nullable", column.name)
        if column.kind.holds_nothing and not may_lack:
            known[column.name] = None
        return
    try:
        value = read(given, column.kind)
    except Unreadable:
        expected.blame(record.row, "type", column.name)
        return
    known[column.name] = value
    for check in column.checks:
        if not check.holds(value) and check.whole:
            expected.whole.add((check.rule, column.name))
        elif not check.holds(value):
            expected.blame(record.row, check.rule, column.name)


def _judge_unique(
    names: tuple[str, ...], blame: str, column: str | None, known: Mapping[int, Mapping[str, Value]], expected: Expected
) -> None:
    """Blame rows with the same values; unreadable ones are not compared.

    Two empty cells are the same; in a column by itself, only where what checks see can hold them.
    """
    groups: dict[tuple[Value, ...], list[int]] = {}
    for row, values in known.items():
        if all(name in values or (len(names) > 1 and (row, name) in expected.empty) for name in names):
            groups.setdefault(tuple(values.get(name) for name in names), []).append(row)
    for rows in groups.values():
        blamed = {"all": rows if len(rows) > 1 else [], "exclude_first": rows[1:], "exclude_last": rows[:-1]}[blame]
        for row in blamed:
            expected.blame(row, "unique", column)


def _judge_check_on_rows(check: Check, known: Mapping[int, Mapping[str, Value]], expected: Expected) -> None:
    for row, values in known.items():
        if not all(name in values for name in check.columns):
            continue  # It needs a cell that cannot be read: it is not held against it.
        cells = [values[name] for name in check.columns]
        empty = any(cell is None for cell in cells)
        blank = all(value is None for value in values.values())
        broken = (check.needs_values and not blank) if empty else not check.holds(*cells)
        if broken and check.whole:
            expected.whole.add((check.rule, None))
        elif broken:
            expected.blame(row, check.rule, None)


def day_of(value: Any, zone: str) -> dt.date | None:
    """Return the day of a date or a time in a zone; times without an offset are taken as already in it."""
    if not isinstance(value, dt.datetime):
        return value if isinstance(value, dt.date) else None
    if value.tzinfo is None:
        return value.date()
    if not dt.date(1, 1, 2) <= value.date() <= dt.date(9999, 12, 30):
        return None  # In some zone it is a day that no calendar has.
    return value.astimezone(zoneinfo.ZoneInfo(zone)).date()


def is_late(value: Any, watermark: dt.datetime, zone: str) -> bool:
    """Tell whether a moment, all moments that a time on the zone's clock may mean, or a whole day lie before."""
    if not isinstance(value, dt.datetime):
        if value.year == dt.MAXYEAR:
            return False
        value = dt.datetime.combine(value + dt.timedelta(days=1), dt.time()) - dt.timedelta(microseconds=1)
    if value.tzinfo is not None:
        return bool(value < watermark)
    if value.year in (dt.MINYEAR, dt.MAXYEAR):
        return bool(value.year == dt.MINYEAR)
    clock = zoneinfo.ZoneInfo(zone)
    return all(value.replace(tzinfo=clock, fold=fold).astimezone(dt.UTC) < watermark for fold in (0, 1))
