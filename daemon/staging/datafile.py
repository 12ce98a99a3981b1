"""One Parquet data file of a table: how it is named, encoded, written and described.

Knows Parquet, not deltalake: worker processes import it, and a forked process may not use deltalake once its parent
has.
"""

from __future__ import annotations

import contextlib
import errno
import math
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from daemon.errors import StoreError
from daemon.model import DataFile
from daemon.places import REMOTE, Place
from daemon.staging.statistics import plain, statistics

#: The partition column of every table: the row's day. It is in the file's path and never in the file.
DATE = "date"
#: Rows of a row group: one batch of the readers, and small enough for several writers in one worker's memory.
ROW_GROUP_ROWS = 131_072
#: Values that Parquet's encoders take at once; Arrow's own 1,024 cost a fifteenth more.
WRITE_BATCH_ROWS = 65_536
#: Rows that are looked at to decide on a column's encoding.
SAMPLE_ROWS = 16_384
#: A column goes through a dictionary where its values come at least this often in the sample. A dictionary of the other
#: columns would be given up after its first megabyte; not even trying makes writing a third faster (0.48 s became
#: 0.30 s for 2 M metric rows).
REPEATS = 4


@dataclass(frozen=True, kw_only=True)
class Encoding:
    """How the columns of a file are written."""

    #: Columns written through a dictionary.
    dictionary: tuple[str, ...]
    #: Columns with another encoding than plain: name to Parquet's name of it.
    special: tuple[tuple[str, str], ...] = ()


def encoding_of(table: pa.Table) -> Encoding:
    """Choose the encoding of each column by its first rows: a dictionary only where values come again and again."""
    sample = table.slice(0, SAMPLE_ROWS)
    limit = max(1, sample.num_rows // REPEATS)
    names = [name for name in table.column_names if name != "_row"]
    special = (("_row", "DELTA_BINARY_PACKED"),) if "_row" in table.column_names else ()
    return Encoding(dictionary=tuple(name for name in names if _repeats(sample.column(name), limit)), special=special)


def repeating(table: pa.Table) -> tuple[str, ...]:
    """Return the columns whose values come again and again: those held as codes, and texts by their first rows."""
    sample = table.slice(0, SAMPLE_ROWS)
    limit = max(1, sample.num_rows // REPEATS)
    return tuple(
        field.name
        for field, column in zip(table.schema, sample.columns, strict=True)
        if pa.types.is_dictionary(field.type)
        or (pa.types.is_string(field.type) and column.null_count < sample.num_rows and _repeats(column, limit))
    )


def _repeats(column: pa.ChunkedArray[Any], limit: int) -> bool:
    if pa.types.is_boolean(column.type):
        return False
    if pa.types.is_dictionary(column.type):
        return True
    return bool(pc.count_distinct(column, mode="all").as_py() <= limit)


class Part:
    """One Parquet file on its way: row groups in, a `DataFile` out, or nothing left of it. Not thread-safe.

    Dictionary-typed columns are welcome; the file has their values' type.
    """

    def __init__(self, place: Place, path: str, schema: pa.Schema, encoding: Encoding) -> None:
        """Create the draft of the file `path` of a place, replacing what a killed process may have left there.

        Raises:
            StoreError: it cannot be created.
        """
        self.path = path
        self._place = place
        self._schema = schema
        self._nan: set[str] = set()
        with writing(place.describe(path)):
            self._draft = place.draft(path)
            self._sink = pa.OSFile(str(self._draft), "wb")
            self._writer = pq.ParquetWriter(
                self._sink,
                schema,
                compression="zstd",
                use_dictionary=list(encoding.dictionary),
                write_batch_size=WRITE_BATCH_ROWS,
                column_encoding=dict(encoding.special) or None,
                # Without Arrow's own schema in the file every reader, pyarrow too, sees the plain types.
                store_schema=False,
            )

    def write(self, table: pa.Table) -> None:
        """Append the rows, as row groups. The GIL is released while they are encoded.

        Raises:
            StoreError: the disk is full, or fails.
        """
        self._nan.update(name for name in table.column_names if _has_nan(table.column(name)))
        with writing(self._place.describe(self.path)):
            self._writer.write_table(table, row_group_size=2 * ROW_GROUP_ROWS)

    def close(self) -> DataFile:
        """Finish the file, have it kept, and describe it.

        Raises:
            StoreError: the disk is full, or fails.
        """
        with writing(self._place.describe(self.path)):
            self._writer.close()
            self._sink.close()
            size = self._draft.stat().st_size
            self._place.keep(self.path)
        metadata = self._writer.writer.metadata
        stats = statistics(metadata, self._schema, self._nan)
        return DataFile(path=self.path, size=size, rows=metadata.num_rows, date=day_of(self.path), stats=stats)

    def remove(self) -> None:
        """Give the file up and delete it; a full disk does not hinder that.

        Raises:
            StoreError: it is there and cannot be deleted.
        """
        # A writer that failed once would try, and fail, to write its footer when it is closed or collected.
        self._writer.is_open = False
        with contextlib.suppress(OSError):
            self._sink.close()
        with writing(self._place.describe(self.path)):
            self._place.remove([self.path])


def _has_nan(column: pa.ChunkedArray[Any]) -> bool:
    if not pa.types.is_floating(column.type):
        return False
    total = pc.sum(column).as_py()
    # A sum is NaN where a value is, or where there are infinities of both signs.
    return total is not None and math.isnan(total) and bool(pc.any(pc.is_nan(column)).as_py())


def plain_schema(schema: pa.Schema) -> pa.Schema:
    """Return the schema as the file has it: a dictionary is a way of holding values, not a type."""
    return pa.schema([pa.field(column.name, plain(column.type)) for column in schema])


def path_of(day: str, name: str) -> str:
    """Return a data file's path below its table's root. Neither part needs escaping in a URL, so nor does the path."""
    return f"{DATE}={day}/{name}.parquet"


def day_of(path: str) -> str:
    """Return the ISO day that a data file's path names."""
    return path.partition("/")[0].removeprefix(f"{DATE}=")


@contextlib.contextmanager
def writing(path: Path | str) -> Iterator[None]:
    """Turn what a place says of `path` into a StoreError that says what to do."""
    try:
        yield
    except OSError as error:
        if error.errno == REMOTE:
            raise StoreError(error.strerror) from error
        cause = os.strerror(error.errno) if error.errno else str(error)
        raise StoreError(f"{path}: cannot be written: {cause}. {_advice(error.errno)}") from error


def _advice(number: int | None) -> str:
    if number in (errno.ENOSPC, errno.EDQUOT):
        return "Free space on its disk, or point `store.url` at a larger one; the work is done again then."
    if number in (errno.EACCES, errno.EPERM, errno.EROFS):
        return "Let the daemon's user write there, or point `store.url` elsewhere."
    return "Check the disk that `store.url` is on."
