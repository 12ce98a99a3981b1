"""What an .xlsx file holds, found before it is parsed: its first sheet, how far that reaches, which cells lie.

The parser holds a sheet as one block of memory and gives errors as empty cells, so both are looked for beforehand.
"""

from __future__ import annotations

import errno
import html
import posixpath
import re
import struct
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import BinaryIO, Final

import numpy as np

from validators.errors import FileProblem
from validators.model import Limits

#: What `zipfile` raises on archives that are damaged or use what it does not have.
BROKEN_ZIP: Final = (
    zipfile.BadZipFile,
    zipfile.LargeZipFile,
    zlib.error,
    struct.error,
    EOFError,
    KeyError,
    NotImplementedError,
    OverflowError,
    RuntimeError,
    ValueError,
)
#: Bytes of one cell in the parser's memory.
_CELL_BYTES: Final = 32
#: Times `max_excel_bytes` that the parsed sheet may take.
_PARSED_TIMES: Final = 2
#: Bytes of XML searched at once, so that what is found stays small.
_WINDOW_BYTES: Final = 4 * 1024**2
#: Rows and columns of a sheet, by Excel's specification.
_MOST_ROWS, _MOST_COLUMNS = 1_048_576, 16_384

_PREFIX: Final = re.compile(rb"<(/?)[A-Za-z_][\w.-]*:")
_REF: Final = rb"\br\s*=\s*[\"']([A-Z]{1,3})(\d{1,7})[\"']"
#: A cell as everyone writes it, and any cell. What is empty closes at once.
_TIDY_CELL: Final = re.compile(rb"<c r=\"([A-Z]{1,3})([1-9]\d{0,6})\"[^>]*?(/?)>")
_ANY_CELL: Final = re.compile(rb"<c(?=[\s/>])")
_CELL: Final = re.compile(rb"<c(?=[\s/>])(?:\s[^>]*?" + _REF + rb")?[^>]*?(/?)>")
_BAD_CELL: Final = re.compile(rb"<c\s(?:[^>]*?\s)?r\s*=\s*[\"'](?![A-Z]{1,3}[1-9]\d{0,6}[\"'])")
_BAD_ROW: Final = re.compile(rb"<row\s(?:[^>]*?\s)?r\s*=\s*[\"'](?![1-9]\d{0,6}[\"'])")
_ERROR: Final = re.compile(rb"<c\s(?=[^>]*\bt\s*=\s*[\"']e[\"'])[^>]*?" + _REF + rb"[^>]*(?<!/)>(.*?)</c>", re.DOTALL)
_LONG: Final = re.compile(rb"<v[^>]*>\s*-?\d{16,}\s*<")
_LONG_NUMBER: Final = re.compile(
    rb"<c\s(?![^>]*\bt\s*=\s*[\"'](?!n))[^>]*?"
    + _REF
    + rb"[^>]*>(?:<f[^>]*>[^<]*(?:</f>)?)?\s*<v[^>]*>\s*(-?\d{16,})\s*<"
)
_VALUELESS: Final = re.compile(
    rb"<c\s[^>]*?" + _REF + rb"[^>]*(?<!/)>\s*<f(?:[^>]*/>|[^>]*(?<!/)>[^<]*</f>)\s*"
    rb"(?:<v\s*/>|<v>\s*</v>)?\s*</c>"
)
_VALUE: Final = re.compile(rb"<v[^>]*>([^<]*)<")
_SHEET: Final = re.compile(rb"<sheet\s([^>]*)>")
_RELATION: Final = re.compile(rb"<Relationship\s([^>]*)>")
_ATTRIBUTE: Final = re.compile(r"([\w:]+)\s*=\s*(?:\"([^\"]*)\"|'([^']*)')")
_STRING: Final = re.compile(rb"<si[\s/>]")
_STRING_CELL: Final = re.compile(rb"<c\s[^>]*?\bt\s*=\s*[\"']s[\"'][^>]*>[^/]*?<v[^>]*>\s*(\d+)")

_AGAIN: Final = "Open it in Excel, save it again as .xlsx or as CSV, and drop that file."


@dataclass(frozen=True, kw_only=True)
class Flaw:
    """A cell whose value cannot be trusted."""

    #: 0-based.
    column: int
    #: What stands in it, in the file's own words.
    text: str
    #: Why it is not taken.
    why: str


@dataclass(frozen=True, kw_only=True)
class Sheet:
    """The first sheet of a workbook, as far as it can be known without parsing it."""

    name: str
    #: Cells not to be trusted, by 0-based row.
    flaws: Mapping[int, tuple[Flaw, ...]]
    #: References such as `B7` of formulas that have no value, for their program has never worked them out.
    valueless: tuple[str, ...]


def inspect(file: BinaryIO, limits: Limits) -> Sheet:
    """Look into a workbook without parsing it.

    Raises:
        FileProblem: `not_data` (a ZIP archive of something else), `excel` (broken, protected), or `too_large`.
        OSError: the file cannot be read.
    """
    file.seek(0, 2)
    if file.tell() > limits.max_excel_bytes:
        raise _too_large(f"the file has {file.tell():,} bytes", limits)
    try:
        with zipfile.ZipFile(file) as archive:
            return _inspect(archive, limits)
    except BROKEN_ZIP as error:
        raise broken(str(error) or type(error).__name__) from error
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        raise broken("its parts are not where it says") from error


def broken(words: str) -> FileProblem:
    """Return the refusal of a workbook that cannot be read."""
    return FileProblem("excel", f"the Excel file is broken or cut off: {words}", hint=_AGAIN)


def letters(column: int) -> str:
    """Return the letters of a 0-based column: `A`, `Z`, `AA`."""
    text = ""
    column += 1
    while column:
        column, last = divmod(column - 1, 26)
        text = chr(ord("A") + last) + text
    return text


def _inspect(archive: zipfile.ZipFile, limits: Limits) -> Sheet:
    infos = archive.infolist()
    _refuse_other_archives([info.filename for info in infos])
    if any(info.flag_bits & 1 for info in infos):
        raise FileProblem("excel", "the workbook is protected with a password", hint="Save it without a password.")
    name, part = _first_sheet(archive, limits)
    needed = [info for info in infos if info.filename == part or re.fullmatch(r"xl/(_rels/)?[^/]*", info.filename)]
    _check_size(sum(info.file_size for info in needed), limits)
    for info in needed:
        _read_through(archive, info)
    xml = _xml(archive, part)
    cells = _check_extent(xml, limits)
    _check_strings(archive, xml, cells, limits)
    flaws: dict[int, tuple[Flaw, ...]] = {}
    for row, flaw in _flaws(xml):
        flaws[row] = (*flaws.get(row, ()), flaw)
    return Sheet(name=name, flaws=flaws, valueless=tuple(_valueless(xml)))


def _refuse_other_archives(names: list[str]) -> None:
    if "xl/workbook.xml" in names:
        return
    what = "a ZIP archive"
    for part, kind in (
        ("xl/workbook.bin", "a binary Excel workbook (.xlsb)"),
        ("word/document.xml", "a Word document"),
        ("ppt/presentation.xml", "a PowerPoint presentation"),
        ("content.xml", "an OpenDocument file"),
    ):
        what = kind if part in names else what
    hint = "Take the data file out of it and drop that." if what == "a ZIP archive" else _AGAIN
    raise FileProblem("not_data", f"this is {what}, expected an Excel workbook (.xlsx)", hint=hint)


def _first_sheet(archive: zipfile.ZipFile, limits: Limits) -> tuple[str, str]:
    """Return the name of the first worksheet, and the part of the archive that it is in; chart sheets have no cells."""
    targets = {}
    for relation in _attributes(_RELATION, _part(archive, "xl/_rels/workbook.xml.rels", limits)):
        targets[relation.get("Id", "")] = posixpath.normpath(posixpath.join("/xl", relation.get("Target", "")))[1:]
    for sheet in _attributes(_SHEET, _part(archive, "xl/workbook.xml", limits)):
        identity = next((value for key, value in sheet.items() if key.endswith(":id")), "")
        part = targets.get(identity, "")
        if "chartsheet" not in part and "dialogsheet" not in part:
            return sheet.get("name", ""), part
    raise broken("it has no worksheet")


def _part(archive: zipfile.ZipFile, name: str, limits: Limits) -> bytes:
    _check_size(archive.getinfo(name).file_size, limits)
    return _xml(archive, name)


def _xml(archive: zipfile.ZipFile, name: str) -> bytes:
    """Return a part without the prefixes that its tags may have."""
    xml = archive.read(name)
    if b"\0" in xml[:1024]:
        raise broken(f"{name} is not in UTF-8")
    return _PREFIX.sub(rb"<\1", xml) if _PREFIX.search(xml) else xml


def _attributes(tag: re.Pattern[bytes], xml: bytes) -> Iterator[dict[str, str]]:
    for match in tag.finditer(xml):
        pairs = _ATTRIBUTE.findall(match[1].decode("utf-8", "replace"))
        yield {key: html.unescape(double or single) for key, double, single in pairs}


def _read_through(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> None:
    """Read a part to its end: `zipfile` refuses one that is not of the size and checksum that it declares."""
    with archive.open(info) as part:
        while part.read(_WINDOW_BYTES):
            pass


def _windows(xml: bytes) -> Iterator[tuple[int, int]]:
    """Yield ranges that end before a tag, for patterns that lie within one tag."""
    start = 0
    while start < len(xml):
        end = xml.find(b"<", start + _WINDOW_BYTES)
        end = len(xml) if end < 0 else end
        yield start, end
        start = end


def _check_extent(xml: bytes, limits: Limits) -> int:
    """Refuse a sheet that reaches too far for memory, or whose cells are nowhere; return how many cells are in use."""
    columns, rows, count, unplaced = {b"A"}, {b"1"}, 0, 0
    if bad := _BAD_ROW.search(xml):
        raise _nowhere(xml, bad.end())
    for start, end in _windows(xml):
        used = [cell for cell in _cells(xml, start, end) if not cell[2]]
        columns.update(column for column, _, _ in used if column)
        rows.update(row for _, row, _ in used if row)
        count += len(used)
        unplaced += sum(not column for column, _, _ in used)
    width, height = max(map(_number, columns)) + 1 + unplaced, max(map(int, rows)) + unplaced
    if not unplaced and (width > _MOST_COLUMNS or height > _MOST_ROWS):
        raise broken(f"a cell lies beyond the last one that a sheet has: {letters(width - 1)}{height}")
    if width * height * _CELL_BYTES > _PARSED_TIMES * limits.max_excel_bytes:
        raise _too_large(f"the sheet reaches to {letters(width - 1)}{height}, with {count:,} cells in use", limits)
    return count


def _cells(xml: bytes, start: int, end: int) -> list[tuple[bytes, bytes, bytes]]:
    """Return column, row and `/` if it is empty, of each cell; column and row are empty where it does not say."""
    tidy = _TIDY_CELL.findall(xml, start, end)
    if len(tidy) == len(_ANY_CELL.findall(xml, start, end)):
        return tidy
    if bad := _BAD_CELL.search(xml, start, end):
        raise _nowhere(xml, bad.end())
    return _CELL.findall(xml, start, end)


def _nowhere(xml: bytes, at: int) -> FileProblem:
    return broken(f"a cell's place is not one of a sheet: {xml[at : at + 20]!r}")


def _check_strings(archive: zipfile.ZipFile, xml: bytes, cells: int, limits: Limits) -> None:
    """Refuse a sheet whose cells, each with its own copy of a shared text, would not fit into memory."""
    if "xl/sharedStrings.xml" not in archive.namelist():
        return
    shared = _xml(archive, "xl/sharedStrings.xml")
    starts = [match.start() for match in _STRING.finditer(shared)]
    sizes = np.diff(np.array([*starts, len(shared)], np.int64))
    most = _PARSED_TIMES * limits.max_excel_bytes
    if not len(sizes) or int(sizes.max()) * cells <= most:
        return
    used = np.array(_STRING_CELL.findall(xml), np.bytes_).astype(np.int64)
    if int(sizes[used[used < len(sizes)]].sum()) > most:
        raise _too_large("the texts of its cells come to more than that when each cell has its own", limits)


def _flaws(xml: bytes) -> Iterator[tuple[int, Flaw]]:
    if b'"e"' in xml or b"'e'" in xml:
        for match in _ERROR.finditer(xml):
            value = _VALUE.search(match[3])
            text = html.unescape(value[1].decode("utf-8", "replace")) if value else "an error"
            yield int(match[2]) - 1, Flaw(column=_number(match[1]), text=text, why="an error of its formula")
    for match in _LONG_NUMBER.finditer(xml) if _LONG.search(xml) else ():
        if int(float(match[3])) != int(match[3]):
            why = "a number with more digits than Excel keeps"
            yield int(match[2]) - 1, Flaw(column=_number(match[1]), text=match[3].decode(), why=why)


def _valueless(xml: bytes) -> Iterator[str]:
    for match in _VALUELESS.finditer(xml) if b"<f" in xml else ():
        tag = xml[match.start() : xml.index(b">", match.start())]
        if b't="str"' not in tag and b"t='str'" not in tag:
            yield (match[1] + match[2]).decode()


def _number(column: bytes) -> int:
    """Return the 0-based number of a column's letters."""
    number = 0
    for letter in column:
        number = number * 26 + letter - ord("A") + 1
    return number - 1


def _check_size(size: int, limits: Limits) -> None:
    if size > limits.max_excel_bytes:
        raise _too_large(f"the first sheet and its texts have {size:,} bytes when unpacked", limits)


def _too_large(what: str, limits: Limits) -> FileProblem:
    return FileProblem(
        "too_large",
        f"{what}; the limit for Excel is {limits.max_excel_bytes:,} bytes",
        hint="Save the sheet as CSV, which has no such limit, delete stray cells far from the data, "
        "or raise limits.max_excel_mb.",
    )
