"""Excel (.xlsx): the cells of the first sheet as text. The sheet is held in memory as a whole, under a limit."""

from __future__ import annotations

import csv
import datetime as dt
import io
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from decimal import Decimal
from types import MappingProxyType
from typing import Any, BinaryIO, Final

import numpy as np
import pyarrow as pa
import python_calamine as calamine

from validators.errors import FileProblem
from validators.model import Chunk, Dialect, Limits, Malformed, MalformedRecords
from validators.readers.workbook import Flaw, Sheet, broken, inspect, letters

#: Whole numbers up to here are written in full; larger ones come with an exponent.
_MOST_WHOLE: Final = 1e21
#: Names and places that a note spells out.
_SHOWN: Final = 5


class ExcelReader:
    """Reads the first sheet: its first row that is not empty names the columns, empty rows are no rows.

    12.0 becomes `12`, other numbers the shortest text that means the same; dates `2026-03-01`, also where they come
    as midnight; times of day and other instants ISO 8601; durations `30:00:00`; true and false as words; formulas what
    they last came to. A row with an error such as `#DIV/0!` in a column that is wanted is malformed. `lines` are the
    sheet's row numbers.
    """

    typed = True
    returned = False

    def __init__(self, file: BinaryIO, *, dialect: Dialect, limits: Limits, notes: tuple[str, ...] = ()) -> None:
        """Look into the workbook, then parse its first sheet.

        Args:
            file: the file; the reader closes it.
            dialect: as the feed declares it; it is only handed on.
            limits: what the file may ask for.
            notes: what the report should say already.

        Raises:
            FileProblem: `excel` (broken, protected), `not_data`, `too_large`, `empty_file`, `too_many_columns`.
            OSError: the file cannot be read.
        """
        self.dialect = dialect
        self._file = file
        self._limits = limits
        self._found = inspect(file, limits)
        file.seek(0)
        with _as_problems(), calamine.load_workbook(file) as workbook:
            self._sheet = workbook.get_sheet_by_index(_index(workbook, self._found))
            names = workbook.sheet_names
        self._left = (self._sheet.start or (0, 0))[1]
        self._header_row, header = self._find_header()
        self._columns = _columns(header)
        self._unnamed: set[int] = set()
        if len(self._columns) > limits.max_columns:
            raise FileProblem(
                "too_many_columns",
                f"the sheet has {len(self._columns):,} columns; a file may have {limits.max_columns:,}",
                hint="Delete the columns that are not needed, or raise limits.max_columns.",
            )
        self._notes = (*notes, *_notes(names, self._sheet, self._found, self._header_row))

    @property
    def notes(self) -> tuple[str, ...]:
        """What the report should say: which sheet was read, merged cells, formulas without values."""
        if not self._unnamed:
            return self._notes
        named = ", ".join(letters(column) for column in sorted(self._unnamed)[:_SHOWN])
        return (
            *self._notes,
            f"columns with cells but without a name in row {self._header_row + 1}: {named}; left out",
        )

    def header(self) -> tuple[str, ...] | None:
        """Return the names of the columns, in order; columns without a name are left out."""
        return tuple(name for name, _ in self._columns)

    def chunks(self, names: Collection[str] | None = None) -> Iterator[Chunk]:
        """Yield the rows in order; an error in a column that is not in `names` does not count.

        Raises:
            FileProblem: `excel` where the parser gives up.
        """
        wanted = {name: at for name, at in reversed(self._columns) if names is None or name in names}
        wanted = {name: wanted[name] for name, _ in self._columns if name in wanted}
        batch = _Batch(wanted, self._left)
        for read, (number, cells) in enumerate(self._rows(), 1):
            flaws = [flaw for flaw in self._found.flaws.get(number, ()) if flaw.column in wanted.values()]
            batch.add(read, number, cells, flaws)
            if len(batch) >= self._limits.batch_rows:
                yield self._chunk(batch)
                batch = _Batch(wanted, self._left)
        if len(batch):
            yield self._chunk(batch)

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _find_header(self) -> tuple[int, list[tuple[int, str | None]]]:
        with _as_problems():
            for number, cells in enumerate(self._sheet.iter_rows()):
                if _filled(cells):
                    return number, [(self._left + at, text_of(cell)) for at, cell in enumerate(cells)]
        raise FileProblem(
            "empty_file",
            f"the first sheet, {self._found.name!r}, has no cells",
            hint="Put the data into the first sheet, its column names in the first row.",
        )

    def _rows(self) -> Iterator[tuple[int, list[Any]]]:
        """Yield the rows below the header that are not empty, with their 0-based numbers."""
        # A row that looks empty may have a formula whose value the parser does not give.
        full = set(self._found.flaws) | {int(place.lstrip(_LETTERS)) - 1 for place in self._found.valueless}
        number, width = self._header_row, 0
        with _as_problems():
            for number, cells in enumerate(self._sheet.iter_rows()):
                width = len(cells)
                if number > self._header_row and (_filled(cells) or number in full):
                    yield number, cells
        for beyond in sorted(row for row in full if row > number):
            yield beyond, [""] * width

    def _chunk(self, batch: _Batch) -> Chunk:
        named = {at for _, at in self._columns}
        self._unnamed.update(at for at in batch.used() if at not in named)
        return batch.chunk()


class _Batch:
    """Rows on their way to a chunk."""

    def __init__(self, wanted: Mapping[str, int], left: int) -> None:
        self._wanted = wanted
        self._left = left
        self._cells: list[list[Any]] = []
        self._rows: list[int] = []
        self._lines: list[int] = []
        self._malformed: list[Malformed] = []

    def __len__(self) -> int:
        return len(self._rows) + len(self._malformed)

    def add(self, row: int, number: int, cells: list[Any], flaws: list[Flaw]) -> None:
        """Take one row of the sheet; with a flaw it is malformed."""
        if not flaws:
            self._cells.append(cells)
            self._rows.append(row)
            self._lines.append(number + 1)
            return
        found = "; ".join(f"{flaw.text} in {letters(flaw.column)}{number + 1}, {flaw.why}" for flaw in flaws)
        raw = _as_csv(cells, {flaw.column - self._left: flaw.text for flaw in flaws})
        malformed = Malformed(
            row=row, line=number + 1, rule="excel_error", found=found, expected="a value in every cell", raw=raw
        )
        self._malformed.append(malformed)

    def used(self) -> Iterator[int]:
        """Yield the columns that have a cell with something in it."""
        for at, column in enumerate(zip(*self._cells, strict=True)):
            if any(cell != "" for cell in column):
                yield self._left + at

    def chunk(self) -> Chunk:
        """Turn the rows into columns of text."""
        columns = list(zip(*self._cells, strict=True))
        rows = len(self._rows)
        table = pa.table({"": pa.nulls(rows)}).select([])
        for name, at in self._wanted.items():
            cells = columns[at - self._left] if at - self._left < len(columns) else ()
            table = table.append_column(name, pa.array([text_of(cell) for cell in cells], pa.string()))
        return Chunk(
            table=table,
            rows=np.array(self._rows, np.int64),
            lines=np.array(self._lines, np.int64),
            malformed=MalformedRecords.of(self._malformed),
        )


def text_of(cell: Any) -> str | None:
    """Return the text that stands for a cell; None for an empty one."""
    return _TEXTS[type(cell)](cell)


def _number_text(number: float) -> str:
    text = repr(number)
    if "e" in text and abs(number) < _MOST_WHOLE and number.is_integer():
        return f"{Decimal(text):f}"
    return str(int(number)) if text.endswith(".0") else text


def _instant_text(instant: dt.datetime) -> str:
    return instant.date().isoformat() if instant.time() == dt.time() else instant.isoformat()


def _duration_text(duration: dt.timedelta) -> str:
    seconds, micros = divmod(abs(duration) // dt.timedelta(microseconds=1), 1_000_000)
    sign = "-" if duration < dt.timedelta() else ""
    fraction = f".{micros:06}" if micros else ""
    return f"{sign}{seconds // 3600}:{seconds // 60 % 60:02}:{seconds % 60:02}{fraction}"


#: How the parser's kinds of cells are written.
_TEXTS: Final[Mapping[type, Callable[[Any], str | None]]] = MappingProxyType(
    {
        str: lambda text: text or None,
        bool: lambda flag: "true" if flag else "false",
        int: str,
        float: _number_text,
        dt.datetime: _instant_text,
        dt.date: dt.date.isoformat,
        dt.time: dt.time.isoformat,
        dt.timedelta: _duration_text,
    }
)
_LETTERS: Final = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


def _filled(cells: list[Any]) -> bool:
    return cells.count("") != len(cells)


def _columns(header: list[tuple[int, str | None]]) -> list[tuple[str, int]]:
    return [(name, at) for at, name in header if name is not None]


def _as_csv(cells: list[Any], flaws: Mapping[int, str]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="").writerow(flaws.get(at, text_of(cell)) for at, cell in enumerate(cells))
    return text.getvalue()


def _index(workbook: Any, found: Sheet) -> int:
    """Return the number of the first worksheet, which has to be the one that was looked into."""
    for index, sheet in enumerate(workbook.sheets_metadata):
        if sheet.typ == calamine.SheetTypeEnum.WorkSheet:
            if sheet.name == found.name:
                return index
            break
    raise broken("its parts contradict each other")


def _notes(names: list[str], sheet: Any, found: Sheet, header_row: int) -> Iterator[str]:
    others = [name for name in names if name != found.name]
    if others:
        yield f"read the first sheet, {found.name!r}; not read: {_some([repr(name) for name in others])}"
    if header_row:
        yield f"the column names are in row {header_row + 1} of the sheet, the first that is not empty"
    merged = [
        f"{letters(left)}{top + 1}:{letters(right)}{bottom + 1}"
        for (top, left), (bottom, right) in sheet.merged_cell_ranges or ()
    ]
    if merged:
        yield f"merged cells: {_some(merged)}; only the first cell of each has its value, the others are empty"
    if found.valueless:
        places = _some(list(found.valueless))
        yield f"formulas without a value, read as empty: {places}; opening and saving the file in Excel works them out"


def _some(names: list[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more


@contextmanager
def _as_problems() -> Iterator[None]:
    """Turn what the parser says of a broken file into a problem of the file."""
    try:
        yield
    except calamine.PasswordError as error:
        raise FileProblem("excel", "the workbook is protected with a password", hint="Save it without one.") from error
    except (calamine.CalamineError, ValueError, OverflowError) as error:
        raise broken(str(error)) from error
    except BaseException as error:
        # A panic in the parser, which is written in Rust, comes as an exception that nobody can import.
        if type(error).__name__ != "PanicException":
            raise
        raise broken(f"the parser gave up ({error})") from error
