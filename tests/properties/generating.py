"""Contracts and dirty files: mostly right, often nearly right, sometimes quite wrong."""

from __future__ import annotations

import csv
import datetime as dt
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any, Final
from zoneinfo import ZoneInfo

import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import strategies as st

from tests.properties import reading
from tests.properties.reference import NANOSECONDS, Check, Column, Contract, File, Given, Kind

# ---------------------------------------------------------------- WHAT A CONTRACT MAY DECLARE


def _integer(bits: int, *, signed: bool = True, holds_nothing: bool = False) -> Kind:
    low, high = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if signed else (0, 2**bits - 1)
    return Kind(name="integer", low=low, high=high, holds_nothing=holds_nothing)


COLORS: Final = ("red", "green", "blue")
#: Dtypes as contracts' authors write them.
KINDS: Final[Mapping[str, Kind]] = {
    "'int64'": _integer(64),
    "int": _integer(64),
    "'int8'": _integer(8),
    "'uint8'": _integer(8, signed=False),
    "'uint64'": _integer(64, signed=False),
    "'Int64'": _integer(64, holds_nothing=True),
    "pd.ArrowDtype(pyarrow.int32())": _integer(32, holds_nothing=True),
    "float": Kind(name="float"),
    "'float32'": Kind(name="float", bits=32),
    "'Float64'": Kind(name="float"),
    "pandas_engine.Decimal(10, 2)": Kind(name="decimal", precision=10, scale=2),
    "pandas_engine.Decimal(38, 0)": Kind(name="decimal", precision=38, scale=0),
    "bool": Kind(name="boolean", holds_nothing=False),
    "'boolean'": Kind(name="boolean"),
    "pandas_engine.Date": Kind(name="date"),
    "pd.ArrowDtype(pyarrow.date32())": Kind(name="date"),
    "'datetime64[ns]'": Kind(name="timestamp", farthest=NANOSECONDS),
    "pd.ArrowDtype(pyarrow.timestamp('s'))": Kind(name="timestamp", step=1_000_000),
    "pd.DatetimeTZDtype('us', 'UTC')": Kind(name="timestamp", zoned=True),
    "pd.DatetimeTZDtype('ms', 'Europe/Berlin')": Kind(name="timestamp", zoned=True, step=1_000),
    "str": Kind(name="text"),
    "'string'": Kind(name="text"),
    "object": Kind(name="text"),
    "None": Kind(name="text"),
    f"pd.CategoricalDtype({list(COLORS)!r})": Kind(name="category", categories=COLORS),
}
DAY: Final = dt.date(2026, 1, 15)
NOON: Final = dt.datetime(2026, 1, 15, 12)  # noqa: DTZ001 - the zone comes with the column


def _number_checks() -> tuple[Check, ...]:
    return (
        Check(rule="greater_than_or_equal_to", holds=lambda v: v >= 0, source="pa.Check.ge(0)"),
        Check(rule="less_than_or_equal_to", holds=lambda v: v <= 100, source="pa.Check.le(100)"),
        Check(rule="greater_than", holds=lambda v: v > -3, source="pa.Check.gt(-3)"),
        Check(rule="less_than", holds=lambda v: v < 42, source="pa.Check.lt(42)"),
        Check(rule="in_range", holds=lambda v: 0 <= v <= 127, source="pa.Check.in_range(0, 127)"),
        Check(rule="isin", holds=lambda v: v in (0, 1, 2, 7, 12), source="pa.Check.isin([0, 1, 2, 7, 12])"),
        Check(rule="notin", holds=lambda v: v != 12, source="pa.Check.notin([12])"),
        Check(rule="below_50", holds=lambda v: v < 50, source="pa.Check(lambda s: s < 50, name='below_50')"),
        Check(
            rule="even",
            holds=lambda v: v % 2 == 0,
            source="pa.Check(lambda v: v % 2 == 0, name='even', element_wise=True)",
        ),
        Check(
            rule="none_above_50",
            holds=lambda v: v <= 50,
            whole=True,
            source="pa.Check(lambda s: not (s > 50).any(), name='none_above_50')",
        ),
    )


def _text_checks() -> tuple[Check, ...]:
    return (
        Check(rule="str_length", holds=lambda v: 1 <= len(v) <= 5, source="pa.Check.str_length(1, 5)"),
        Check(
            rule="str_matches",
            holds=lambda v: v[:1].isascii() and v[:1].isalnum(),
            source="pa.Check.str_matches('[a-zA-Z0-9]')",
        ),
        Check(rule="str_startswith", holds=lambda v: v.startswith("a"), source="pa.Check.str_startswith('a')"),
        Check(rule="isin", holds=lambda v: v in ("a", "b", "00123"), source="pa.Check.isin(['a', 'b', '00123'])"),
        Check(
            rule="no_blank",
            holds=lambda v: " " not in v,
            source="pa.Check(lambda v: ' ' not in v, name='no_blank', element_wise=True)",
        ),
        Check(rule="short", holds=lambda v: len(v) < 20, source="pa.Check(lambda s: s.str.len() < 20, name='short')"),
    )


def checks_on(kind: Kind) -> tuple[Check, ...]:  # noqa: PLR0911 - a table of kinds
    """Return checks that fit a kind of column."""
    if kind.name in ("integer", "float"):
        return _number_checks()
    if kind.name == "decimal":
        return tuple(check for check in _number_checks() if check.rule not in ("isin", "notin"))
    if kind.name == "boolean":
        return (Check(rule="isin", holds=bool, source="pa.Check.isin([True])"),)
    if kind.name == "date":
        return (Check(rule="greater_than_or_equal_to", holds=lambda v: v >= DAY, source=f"pa.Check.ge({DAY!r})"),)
    if kind.name == "timestamp":
        noon = NOON.replace(tzinfo=dt.UTC) if kind.zoned else NOON
        return (
            Check(
                rule="less_than", holds=lambda v: v < noon, source=f"pa.Check.lt(pd.Timestamp('{noon.isoformat()}'))"
            ),
        )
    if kind.name == "category":
        return (Check(rule="isin", holds=lambda v: v != "blue", source="pa.Check.isin(['red', 'green'])"),)
    return _text_checks()


#: Dtypes whose columns can be compared with each other, cell by cell and row by row.
COMPARED: Final = (("'int64'", "int", "'int8'", "'uint8'"), ("float", "'float32'"))
NAMES: Final = ("id", "value", "n\u00e4me", "unit id", "@type", "a.b")


@st.composite
def columns(draw: st.DrawFn, name: str) -> Column:
    """Draw one column of a contract."""
    source = draw(st.sampled_from(list(KINDS)))
    kind = KINDS[source]
    options = checks_on(kind)
    taken = draw(st.lists(st.integers(0, len(options) - 1), max_size=2, unique=True))
    return Column(
        name=name,
        kind=kind,
        source=source,
        nullable=draw(st.booleans()),
        required=draw(st.integers(0, 3)) > 0,
        unique=draw(st.sampled_from(("", "", "", "", "all", "exclude_first", "exclude_last"))),
        checks=tuple(options[place] for place in taken),
    )


@st.composite
def contracts(draw: st.DrawFn) -> Contract:
    """Draw a contract."""
    names = draw(st.lists(st.sampled_from(NAMES), min_size=1, max_size=4, unique=True))
    found = tuple(draw(columns(name)) for name in names)
    times = [""] * 3 + [each.name for each in found if each.kind.name in ("date", "timestamp")]
    together = draw(st.lists(st.sampled_from(names), max_size=2, unique=True)) if draw(st.booleans()) else []
    return Contract(
        columns=found,
        together=tuple(together) if len(together) > 1 else (),
        blame=draw(st.sampled_from(("all", "exclude_first", "exclude_last"))),
        checks=draw(checks_on_rows(found)),
        time_column=draw(st.sampled_from(times)),
        zone=draw(st.sampled_from(("Etc/GMT+8", "Europe/Berlin", "UTC"))),
        max_rejected_ratio=draw(st.sampled_from((1.0, 1.0, 1.0, 0.5, 0.0))),
    )


@st.composite
def watermarked(draw: st.DrawFn, contract: Contract) -> Contract:
    """Draw what a contract's scope has said to be there, mostly nothing, and what its feed does with late rows."""
    times = [NOON.replace(tzinfo=dt.UTC) + dt.timedelta(hours=hours) for hours in (-36, -12, -4, 0, 20, 24 * 400)]
    watermark = draw(st.sampled_from([None, None, *times]))
    return replace(contract, watermark=watermark, refuses_late=draw(st.booleans()))


@st.composite
def checks_on_rows(draw: st.DrawFn, found: Sequence[Column]) -> tuple[Check, ...]:
    """Draw a check on rows, if two columns can be compared."""
    for group in COMPARED:
        pair = [each.name for each in found if each.source in group][:2]
        if len(pair) == 2:
            a, b = pair
            options = (
                Check(
                    rule="ordered",
                    holds=lambda a, b: a <= b,
                    columns=(a, b),
                    source=f"pa.Check(lambda rows: rows[{a!r}] <= rows[{b!r}], name='ordered')",
                ),
                Check(
                    rule="different",
                    holds=lambda a, b: a != b,
                    columns=(a, b),
                    needs_values=False,
                    source=f"pa.Check(lambda row: row[{a!r}] != row[{b!r}], name='different', element_wise=True)",
                ),
                Check(
                    rule="together_small",
                    holds=lambda a: a <= 50,
                    columns=(a,),
                    needs_values=False,
                    whole=True,
                    source=f"pa.Check(lambda rows: not (rows[{a!r}] > 50).any(), name='together_small')",
                ),
            )
            # Where a row has floats of several dtypes, pandas decides by itself whether nothing is NaN or NA.
            fitting = [each for each in options if each.rule != "different" or group is COMPARED[0]]
            return tuple(draw(st.lists(st.sampled_from(fitting), max_size=2, unique_by=lambda each: each.rule)))
    return ()


def source_of(contract: Contract) -> str:
    """Write a contract as its author would."""
    lines = [
        "import datetime",
        "import pandas as pd",
        "import pandera.pandas as pa",
        "import pyarrow",
        "from pandera.engines import pandas_engine",
        "schema = pa.DataFrameSchema({",
    ]
    for each in contract.columns:
        options = f"nullable={each.nullable}, required={each.required}, unique={bool(each.unique)}"
        blame = f", report_duplicates={each.unique!r}" if each.unique else ""
        checks = ", ".join(check.source for check in each.checks)
        lines.append(f"    {each.name!r}: pa.Column({each.source}, [{checks}], {options}{blame}),")
    checks = ", ".join(check.source for check in contract.checks)
    together = (
        f"unique={list(contract.together)!r}, report_duplicates={contract.blame!r}, " if contract.together else ""
    )
    return "\n".join([*lines, f"}}, {together}checks=[{checks}])", ""])


# ---------------------------------------------------------------- CELLS OF TEXT

#: Cells that are near to something, or that break a reader that is not careful.
NASTY: Final = (
    "12.0", "12.7", "12.", ".5", "1_000", "1,000", "0x1A", " 12", "12\t", "+5", "1e3", "1E-2", "NaN", "nan", "inf",
    "-Infinity", "1e999", "00123", "-0", "-0.0", "128", "256", "-129", "9223372036854775807", "9223372036854775808",
    "-9223372036854775808", "18446744073709551615", "18446744073709551616", "1e-400", "3.4028236e38", "16777217",
    "0.1", "1.005", "123456789.12", "99999999.99", "\uff11\uff12", "1001",
    "TRUE", "True", "yes", "1", "0", "t", "null", "None", "NA", "-", "+", ".", " ", "\t",
    "2026-02-30", "2026-2-3", "2026-03-01", "01.03.2026", "20260301", "2026-03-01T00:00:00", "2026-03-01 00:00",
    "2026-03-01T12:30", "2026-03-01T12:30:15.123456", "2026-03-01T12:30:15.1234567", "2026-03-01T12:30:15.1234560",
    "2026-03-01T12:30:00Z", "2026-03-01T12:30:00+01:00", "2026-03-01 23:59:59-0800", "2026-03-01T12:30:00+01",
    "2026-03-01T24:00:00Z", "2026-03-01T12:60:00", "2026-03-01T12:30:60", "2026-03-01T12Z", "1600-01-01T00:00:00",
    "2262-04-11T23:47:16.854775", "2262-04-11T23:47:16.854776", "0001-01-01T00:30:00+01:00", "9999-12-31T23:30:00Z",
    "0000-01-01", "10000-01-01", "2024-02-29", "2023-02-29", "1647975283",
    "=1+1", "=cmd|' /C calc'!A0", "@SUM(1)", "+49 123", "-5-3", "'=1", "''x", "'", "a b", "abcdef", "x" * 300,
    "\u00e9\u4e2d\U0001f600", "e\u0301", "\u00a012", "\u200b12", 'say "hi"', '"', '""', "a,b;c|d", "a\tb",
    "a\nb", "a\r\nb",
    "\n",
    "\r", "[1,2]", '{"a":1}', "Red", "red ", "_line", "a\n",
)  # fmt: skip
GOOD: Final[Mapping[str, tuple[str, ...]]] = {
    "integer": ("0", "1", "2", "7", "12", "42", "100", "5", "-2"),
    "float": ("0", "1.5", "2.25", "12.0", "1e1", "-2.5", "7", "0.1"),
    "decimal": ("0", "1", "2", "12", "42", "7.00", "-2", "100.0"),
    "boolean": ("true", "false", "1", "True"),
    "date": ("2026-01-14", "2026-01-15", "2026-03-01", "2024-02-29"),
    "timestamp": ("2026-01-14T12:30:00", "2026-01-15 11:59:59", "2026-03-01T00:00:00", "1999-12-31T23:30"),
    "text": ("a", "b", "ab", "00123", "x y", "\u00e9", "a=b"),
    "category": COLORS,
}


def text_cells(kind: Kind | None) -> st.SearchStrategy[str]:
    """Return cells of text for a column, or for one that no contract knows."""
    if kind is None:
        return st.sampled_from((*GOOD["text"], "", "=1+1"))
    good = [f"{cell}Z" for cell in GOOD[kind.name]] if kind.zoned else GOOD[kind.name]
    anything = st.text(st.characters(codec="utf-8", exclude_characters="\0\ufeff"), max_size=6)
    return st.integers(0, 19).flatmap(
        lambda n: (
            st.sampled_from(good) if n < 15 else (st.sampled_from(NASTY), st.just(""), anything)[(n - 14) // 2 % 3]
        )
    )


# ---------------------------------------------------------------- FILES


@dataclass(frozen=True, kw_only=True)
class Dropped:
    """One file, and the records that are in it."""

    suffix: str
    content: bytes
    file: File

    @property
    def shown(self) -> object:
        """What a failing test shows of it."""
        return [record.cells for record in self.file.records] if self.suffix == ".parquet" else self.content


@st.composite
def headers(draw: st.DrawFn, contract: Contract) -> list[tuple[str, Column | None]]:
    """Draw which columns a file has, in which order."""
    found: list[tuple[str, Column | None]] = [
        (each.name, each) for each in contract.columns if draw(st.integers(0, 19 if each.required else 2)) > 0
    ]
    if draw(st.integers(0, 4)) == 0 or not found:
        found.append(("note", None))
    return draw(st.permutations(found))


@st.composite
def csv_files(draw: st.DrawFn, contract: Contract, delimiter: str, quote: str) -> Dropped:
    """Draw a CSV file."""
    header = draw(headers(contract))
    cells = [text_cells(column.kind if column else None) for _, column in header]
    records = [[name for name, _ in header]]
    for _ in range(draw(st.integers(0, 8))):
        record = [draw(each) for each in cells]
        ragged = draw(st.integers(0, 19))
        if ragged < 2:  # With a line break in it, nobody can tell it from one whose quotes are broken.
            cut = record[: -draw(st.integers(1, 2))] if len(record) > 2 else record[:-1]
            record = [" ".join(cell.split()) for cell in (cut if ragged else [*record, "more"])]
        records.append(record)
    text = written(
        [record for record in records if record],
        delimiter,
        quote,
        everything=draw(st.booleans()),
        line_end=draw(st.sampled_from(("\n", "\r\n"))),
        blank=draw(st.booleans()),
    )
    return Dropped(suffix=".csv", content=text.encode(), file=reading.delimited(text, delimiter, quote))


def written(
    records: Sequence[Sequence[str]], delimiter: str, quote: str, *, everything: bool, line_end: str, blank: bool
) -> str:
    """Write CSV as some program would, with a blank line behind the header if wanted."""
    text = io.StringIO()
    for place, record in enumerate(records):
        # A blank line is no record, so a record of one empty cell needs its quotes.
        quoted = everything or list(record) == [""]
        writer = csv.writer(
            text,
            delimiter=delimiter,
            quotechar=quote,
            lineterminator=line_end,
            quoting=csv.QUOTE_ALL if quoted else csv.QUOTE_MINIMAL,
        )
        writer.writerow(record)
        if blank and place == 0:
            text.write(line_end)
    return text.getvalue()


@st.composite
def json_files(draw: st.DrawFn, contract: Contract) -> Dropped:
    """Draw an NDJSON file: numbers as numbers and as text, keys that are left out, lines that are no objects."""
    header = draw(headers(contract))
    lines = []
    for _ in range(draw(st.integers(1, 8))):
        if draw(st.integers(0, 29)) == 0:
            lines.append(draw(st.sampled_from(('{"a": 1', "[1]", "NaN", '{"id": NaN}', "{} {}"))))
            continue
        members = []
        for name, column in header:
            cell = draw(json_cells(column))
            if cell is not None:
                members.append(f"{json.dumps(name)}: {cell}")
        lines.append("{" + ", ".join(draw(st.permutations(members))) + "}")
    text = "\n".join(lines) + draw(st.sampled_from(("", "\n", "\n\n")))
    return Dropped(suffix=".ndjson", content=text.encode(), file=reading.json_lines(text))


@st.composite
def json_cells(draw: st.DrawFn, column: Column | None) -> str | None:
    """Draw a value as JSON has it; None to leave it out."""
    kind = column.kind if column else Kind(name="text")
    text = draw(text_cells(kind))
    how = draw(st.integers(0, 9))
    if how < 2:
        return (
            None
            if how == 0 and not (column and column.required)
            else draw(st.sampled_from(("null", '""', "true", "12", "12.0", "1e3")))
        )
    try:
        is_json = json.loads(text, parse_constant=lambda _: []) not in ([], {}, "") and how > 4
    except ValueError:
        is_json = False
    return text.strip() if is_json and "[" not in text and "{" not in text else json.dumps(text, ensure_ascii=how > 6)


#: Types that a Parquet file's column may have, with values of them.
STORED: Final[Mapping[str, tuple[Any, tuple[Given, ...]]]] = {
    "int64": (pa.int64(), (0, 1, 2, 12, 42, -2, 127, 128, 2**53 + 1, 2**63 - 1, -(2**63))),
    "uint8": (pa.uint8(), (0, 1, 2, 12, 255)),
    "uint64": (pa.uint64(), (0, 1, 12, 2**63, 2**64 - 1)),
    "float64": (
        pa.float64(),
        (0.0, -0.0, 1.5, 12.0, 12.5, 2.25, 0.1, float("nan"), float("inf"), 1e300, 2.0**63, 2.0**53, 1e3),
    ),
    "float32": (pa.float32(), (0.0, 1.5, 12.0, 12.5, -2.25, float("nan"), 1000.0)),
    "decimal": (
        pa.decimal128(12, 3),
        tuple(map(Decimal, ("0.000", "1.500", "12.000", "12.345", "-2.000", "123456789.010"))),
    ),
    "bool": (pa.bool_(), (True, False)),
    "date32": (pa.date32(), (DAY, dt.date(2026, 3, 1), dt.date(1, 1, 1), dt.date(9999, 12, 31))),
    "timestamp": (
        pa.timestamp("us"),
        (NOON, dt.datetime(2026, 1, 14), dt.datetime(2026, 3, 1, 1, 2, 3, 456789), dt.datetime(1600, 1, 1)),  # noqa: DTZ001
    ),
    "timestamp with offset": (
        pa.timestamp("ms", "UTC"),
        (
            NOON.replace(tzinfo=dt.UTC),
            dt.datetime(2026, 3, 1, 1, 2, 3, 456000, dt.UTC),
            dt.datetime(2026, 1, 14, tzinfo=dt.UTC),
        ),
    ),
}
FITTING: Final[Mapping[str, tuple[str, ...]]] = {
    "integer": ("int64", "int64", "uint8", "uint64", "float64", "float32", "decimal", "bool"),
    "float": ("float64", "float64", "float32", "int64", "decimal", "bool"),
    "decimal": ("decimal", "decimal", "int64", "float64", "uint64"),
    "boolean": ("bool", "bool", "uint8", "float32"),
    "date": ("date32", "date32", "timestamp", "timestamp with offset", "int64"),
    "timestamp": ("timestamp", "timestamp with offset", "timestamp with offset", "date32", "int64"),
    "text": tuple(STORED),
    "category": ("bool", "int64"),
}


@st.composite
def parquet_files(draw: st.DrawFn, contract: Contract) -> Dropped:
    """Draw a Parquet file."""
    header = draw(headers(contract))
    count = draw(st.integers(0, 8))
    arrays: list[Any] = []
    values: list[list[Given]] = []
    for _, column in header:
        stored = draw(st.sampled_from(("text", "text", *FITTING[column.kind.name] * 2))) if column else "text"
        kind, pool = STORED.get(stored, (draw(st.sampled_from((pa.string(), pa.large_string()))), ()))
        cells = st.sampled_from(pool) if pool else text_cells(column.kind if column else None)
        cells = st.integers(0, 9).flatmap(lambda n, cells=cells: st.none() if n == 0 else cells)  # type: ignore[misc]
        values.append([draw(cells) for _ in range(count)])
        arrays.append(pa.array(values[-1], kind, from_pandas=False))
        if stored == "text" and draw(st.booleans()):
            arrays[-1] = arrays[-1].dictionary_encode()
    names = [name for name, _ in header]
    sink = io.BytesIO()
    pq.write_table(pa.table(arrays, names=names), sink, row_group_size=max(1, count // 2), coerce_timestamps=None)
    for (_, column), given in zip(header, values, strict=True):
        if column and column.kind.name in ("timestamp", "date") and not column.kind.zoned:
            given[:] = [by_the_clock(cell, column.kind, contract.zone) for cell in given]
    rows = list(zip(*values, strict=True))
    return Dropped(suffix=".parquet", content=sink.getvalue(), file=reading.table(names, rows))


def by_the_clock(given: Given, kind: Kind, zone: str) -> Given:
    """Return what a clock in the feed's zone shows at a moment; a date only where that is midnight."""
    if not isinstance(given, dt.datetime) or given.tzinfo is None:
        return given
    shown = given.astimezone(ZoneInfo(zone)).replace(tzinfo=None)
    return given if kind.name == "date" and shown.time() != dt.time() else shown
