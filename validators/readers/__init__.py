"""Readers: bytes -> chunks of columns with record numbers. One module a format, one registry, one way in: `open_file`.

`Reader` is what every one of them promises; `tests/contracts/test_readers.py` holds them to it.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import BinaryIO, Final, Protocol, cast

from validators.model import Chunk, Dialect, Limits
from validators.readers.delimited import DelimitedReader
from validators.readers.excel import ExcelReader
from validators.readers.formats import SNIFF_BYTES, Format, decide
from validators.readers.jsondocument import JsonDocumentReader
from validators.readers.jsonlines import JsonLinesReader
from validators.readers.opening import Compression, beginning, compression_in, decompressed
from validators.readers.parquet import ParquetReader

__all__ = ["Format", "Reader", "open_file"]


class Reader(Protocol):
    """Reads the records of one file, from its beginning to its end, as often as it is asked to.

    What every reader promises:

    * A record is counted once: as a row of a chunk's table, or as one of its malformed records. Record numbers begin
      at 1, go up by 1, and do not depend on `limits.batch_rows` or on the columns asked for.
    * No value changes: text is the text of the file, typed columns have the file's own values.
    * Memory does not grow with the file (an Excel sheet is held as a whole, under a limit).
    * Whatever the bytes are, only `FileProblem` (the file is wrong), `SetupError` (the dialect is) and `OSError` (it
      cannot be read) are raised, on opening or while chunks are taken. Chunks before a `FileProblem` are as good as
      any, and the file is rejected all the same.
    """

    @property
    def notes(self) -> tuple[str, ...]:
        """What the report should say of the file, in sentences; grows while reading, so look at the end."""

    @property
    def dialect(self) -> Dialect:
        """How rejected.csv should be written so that it may be dropped back; for text, as it was found."""

    @property
    def typed(self) -> bool:
        """Whether columns have types or names of their own (Parquet, Excel, JSON), not just places in a line."""

    @property
    def returned(self) -> bool:
        """Whether the file is a rejected.csv dropped back; its `_line` and `_problems` are left out."""

    def header(self) -> tuple[str, ...] | None:
        """Return the columns' names in file order, as they stand there; None where each record names its own (JSON).

        A name that comes twice stands there twice; in tables it has the first one's cells.
        """

    def chunks(self, names: Collection[str] | None = None) -> Iterator[Chunk]:
        """Return an iterator over the file from its beginning; a chunk has about `limits.batch_rows` records or fewer.

        May be called again for a second reading, which ends the first.

        Args:
            names: read only these columns; names that the file does not have are left out. None for all.
        """

    def close(self) -> None:
        """Let go of the file; twice does no harm."""


def open_file(path: Path, *, name: str, dialect: Dialect, limits: Limits) -> Reader:
    """Return the reader for a file, by its first bytes and its name; the caller closes it.

    Args:
        path: a local file with the bytes, compressed with gzip, bzip2 or zstd or not at all.
        name: the dropped object's name, for its suffix.
        dialect: how the feed's delimited files are written.
        limits: what the file may ask for.

    Raises:
        FileProblem: the file is none of ours (`not_data`), empty (`empty_file`), broken, or beyond the limits.
        SetupError: the dialect cannot be used.
        OSError: the file cannot be read.
    """
    head = beginning(path, limits=limits, count=SNIFF_BYTES)
    kind, notes = decide(name, head, whole=len(head) < SNIFF_BYTES)
    return _READERS[kind](path, name, dialect, limits, notes)


def _delimited(path: Path, name: str, dialect: Dialect, limits: Limits, notes: tuple[str, ...]) -> Reader:
    reader = DelimitedReader(path, name=name, dialect=dialect, limits=limits)
    reader.notes = (*notes, *reader.notes)
    return reader


def _json_lines(path: Path, _: str, dialect: Dialect, limits: Limits, notes: tuple[str, ...]) -> Reader:
    return JsonLinesReader(path, dialect=dialect, limits=limits, notes=notes)


def _json_document(path: Path, _: str, dialect: Dialect, limits: Limits, notes: tuple[str, ...]) -> Reader:
    return JsonDocumentReader(path, dialect=dialect, limits=limits, notes=notes)


def _parquet(path: Path, _: str, dialect: Dialect, limits: Limits, notes: tuple[str, ...]) -> Reader:
    with ExitStack() as stack:
        file = stack.enter_context(_unpacked(path, limits))
        reader = ParquetReader(file, dialect=dialect, limits=limits, notes=notes)
        stack.pop_all()
        return reader


def _excel(path: Path, _: str, dialect: Dialect, limits: Limits, notes: tuple[str, ...]) -> Reader:
    with ExitStack() as stack:
        file = stack.enter_context(_unpacked(path, replace(limits, max_decompressed_bytes=limits.max_excel_bytes)))
        reader = ExcelReader(file, dialect=dialect, limits=limits, notes=notes)
        stack.pop_all()
        return reader


#: How a file of each format is opened.
_READERS: Final[Mapping[Format, Callable[[Path, str, Dialect, Limits, tuple[str, ...]], Reader]]] = MappingProxyType(
    {
        Format.DELIMITED: _delimited,
        Format.NDJSON: _json_lines,
        Format.JSON: _json_document,
        Format.PARQUET: _parquet,
        Format.EXCEL: _excel,
    }
)


def _unpacked(path: Path, limits: Limits) -> BinaryIO:
    """Open a file for jumping about in it; a compressed one goes into a temporary file, which nobody else sees."""
    with ExitStack() as stack:
        file: BinaryIO = stack.enter_context(path.open("rb"))
        if compression_in(file) is Compression.NONE:
            stack.pop_all()
            return file
    with ExitStack() as stack:
        whole = stack.enter_context(tempfile.TemporaryFile())
        whole.writelines(decompressed(path, limits=limits))
        whole.seek(0)
        stack.pop_all()
        return cast("BinaryIO", whole)
