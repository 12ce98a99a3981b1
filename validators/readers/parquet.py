"""Parquet, read in steps whose memory is known beforehand: a small file may claim, and even hold, gigabytes."""

from __future__ import annotations

import io
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from itertools import groupby
from typing import Any, BinaryIO, Final, cast

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from validators.errors import FileProblem
from validators.model import Chunk, Dialect, Limits
from validators.readers.footer import broken, read_footer

#: Bytes that one step of reading may make in memory, at the worst; fewer rows are read at once where it could be more.
_STEP_BYTES: Final = 256 * 1024**2
#: Column chunks are read through a buffer of this size, instead of as a whole.
_BUFFER_BYTES: Final = 1024**2
#: Thrift's own defaults in Arrow: bytes of a string and elements of a list in the footer.
_MOST_STRING_BYTES: Final = 100_000_000
_MOST_ELEMENTS: Final = 1_000_000

_AGAIN: Final = "Write the file again, and send the whole of it."


class ParquetReader:
    """Reads a Parquet file's columns with the types they have there; strings are proven to be UTF-8.

    Dictionary-encoded columns come as their values, UUIDs as their text, other extension types as what they are stored
    as. `lines` are zeros.
    """

    typed = True
    returned = False

    def __init__(self, file: BinaryIO, *, dialect: Dialect, limits: Limits, notes: tuple[str, ...] = ()) -> None:
        """Read the footer and hold its claims against the limits.

        Args:
            file: the file; the reader closes it.
            dialect: as the feed declares it; it is only handed on.
            limits: what the file may ask for.
            notes: what the report should say already.

        Raises:
            FileProblem: `parquet` for a file that is broken, cut off or encrypted; `too_large`, `too_many_columns`.
            OSError: the file cannot be read.
        """
        self.dialect = dialect
        self.notes = notes
        self._limits = limits
        self._file = file
        self._groups = read_footer(file)
        self._open = _opener(file)
        with _as_problems():
            self._parquet = self._open()
            schema = self._parquet.schema_arrow
        self._names = tuple(schema.names)
        # One value in a dictionary may stand in every row, and here each has the full width.
        self._fixed_bytes = sum(kind.byte_width for kind in schema.types if pa.types.is_fixed_size_binary(kind))
        self._check_claims()

    def header(self) -> tuple[str, ...] | None:
        """Return the names of the file's columns; a name that comes twice stands there twice."""
        return self._names

    def chunks(self, names: Collection[str] | None = None) -> Iterator[Chunk]:
        """Yield the rows in order; only the columns in `names` are read.

        Raises:
            FileProblem: `parquet` where a page is damaged, `encoding` where text is not UTF-8, `too_large`.
            OSError: the file cannot be read.
        """
        wanted = [name for name in dict.fromkeys(self._names) if names is None or name in names]
        read, total = 0, 0
        for table in self._tables(wanted):
            total += table.nbytes
            if total > self._limits.max_decompressed_bytes:
                raise _too_large(total, self._limits)
            rows = np.arange(read + 1, read + 1 + table.num_rows, dtype=np.int64)
            read += table.num_rows
            yield Chunk(table=table, rows=rows, lines=np.zeros(len(rows), np.int64))
        claimed = sum(group.rows for group in self._groups)
        if read != claimed:
            raise broken(f"its footer claims {claimed:,} rows, its pages have {read:,}")

    def close(self) -> None:
        """Close the file."""
        self._parquet.close()
        self._file.close()

    def _check_claims(self) -> None:
        most = max(self._parquet.metadata.num_columns, len(self._names))
        if most > self._limits.max_columns:
            raise FileProblem(
                "too_many_columns",
                f"the file has {most:,} columns; a file may have {self._limits.max_columns:,}",
                hint="Write only the columns that are needed, or raise limits.max_columns.",
            )
        for claimed in (
            sum(column.size for group in self._groups for column in group.columns),
            sum(column.value_bytes for group in self._groups for column in group.columns)
            + sum(group.rows for group in self._groups) * self._fixed_bytes,
        ):
            if claimed > self._limits.max_decompressed_bytes:
                raise _too_large(claimed, self._limits)

    def _tables(self, wanted: list[str]) -> Iterator[pa.Table]:
        """Read row groups one after another; neighbours that allow the same step are read in one go."""
        with _as_problems():
            for rows, groups in groupby(range(len(self._groups)), self._step):
                batches = self._parquet.iter_batches(rows, row_groups=list(groups), columns=wanted)
                for batch in batches:
                    yield self._plain(batch, wanted)

    def _step(self, number: int) -> int:
        """Return how many rows of a row group may be read at once."""
        group = self._groups[number]
        rows = max(1, min(self._limits.batch_rows, group.rows))
        width = sum(column.value_bytes for column in group.columns) / max(1, group.rows) + self._fixed_bytes
        suspects = [column.path for column in group.columns if column.looked_up and rows * column.size > _STEP_BYTES]
        width += self._longest(number, suspects)
        return self._limits.batch_rows if width * rows <= _STEP_BYTES else max(1, int(_STEP_BYTES / width))

    def _longest(self, group: int, paths: Sequence[str]) -> int:
        """Return the bytes of the longest values in the dictionaries of some columns, added up.

        A dictionary has a value once that may stand in every row: that is how a few bytes become gigabytes.
        """
        if not paths:
            return 0
        parquet = self._open(read_dictionary=list(paths))
        first = next(parquet.iter_batches(1, row_groups=[group], columns=list(paths), use_threads=False), None)
        return 0 if first is None else sum(_longest_value(column) for column in first.columns)

    def _plain(self, batch: pa.RecordBatch, wanted: list[str]) -> pa.Table:
        batch.validate(full=True)
        found = {name: batch.column(index) for index, name in reversed(list(enumerate(batch.schema.names)))}
        columns = [_stored(found[name]) for name in wanted]
        table = pa.Table.from_batches([batch]).select([])
        for name, column in zip(wanted, columns, strict=True):
            table = table.append_column(name, column)
        return table


def _opener(file: BinaryIO) -> Callable[..., pq.ParquetFile]:
    """Return what opens the file: nothing in its footer may claim to be larger than the file itself is."""
    size = file.seek(0, 2)
    source = pa.PythonFile(cast("io.IOBase", file), mode="r")

    def opened(read_dictionary: list[str] | None = None) -> pq.ParquetFile:
        return pq.ParquetFile(
            source,
            pre_buffer=False,
            buffer_size=_BUFFER_BYTES,
            read_dictionary=read_dictionary,
            thrift_string_size_limit=max(1, min(size, _MOST_STRING_BYTES)),
            thrift_container_size_limit=max(1, min(size, _MOST_ELEMENTS)),
            page_checksum_verification=True,
            arrow_extensions_enabled=True,
        )

    return opened


@contextmanager
def _as_problems() -> Iterator[None]:
    """Turn what Arrow says of a broken file into a problem of the file. The disk's own errors stay what they are."""
    try:
        yield
    except UnicodeDecodeError as error:
        raise broken(str(error)) from error
    except pa.ArrowMemoryError as error:
        raise FileProblem("too_large", f"reading the file needs too much memory: {error}", hint=_AGAIN) from error
    except (pa.ArrowException, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise _problem(str(error)) from error


def _problem(words: str) -> FileProblem:
    if "UTF8" in words:
        return FileProblem("encoding", f"a text column of the file is not UTF-8: {words}", hint=_AGAIN)
    if "decrypt" in words.lower() or "encrypt" in words.lower():
        return FileProblem("parquet", f"the Parquet file is encrypted: {words}", hint="Send it without encryption.")
    return broken(words)


def _too_large(claimed: int, limits: Limits) -> FileProblem:
    return FileProblem(
        "too_large",
        f"the Parquet file comes to {claimed:,} bytes in memory; the limit is {limits.max_decompressed_bytes:,}",
        hint="Send it in parts, or raise limits.max_decompressed_mb.",
    )


def _longest_value(column: Any) -> int:
    if not pa.types.is_dictionary(column.type):
        return 0
    lengths: Any = pc.binary_length(column.dictionary)
    return int(pc.max(lengths).as_py() or 0)


def _stored(column: Any) -> Any:
    """Return a column's values as they are stored: without an extension type, a dictionary looked up."""
    if isinstance(column.type, pa.UuidType):
        return _uuid_text(column.storage)
    if isinstance(column, pa.ExtensionArray):
        column = column.storage
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    return column


def _uuid_text(column: Any) -> Any:
    """Write UUIDs as RFC 9562 does: 32 hexadecimal digits in groups of 8, 4, 4, 4 and 12."""
    filled = pc.fill_null(column, bytes(16))
    digits = filled.buffers()[1].to_pybytes().hex().encode()
    wide = np.frombuffer(digits, "S1", len(filled) * 32, filled.offset * 32).reshape(-1, 32)
    text = np.insert(wide, (8, 12, 16, 20), b"-", axis=1)
    plain = pa.FixedSizeBinaryArray.from_buffers(pa.binary(36), len(filled), [None, pa.py_buffer(text.tobytes())])
    return pc.if_else(column.is_valid(), plain.cast(pa.binary()).cast(pa.string()), None)
