"""The cells of well-formed records, by Arrow's CSV parser. Finds no records and judges none: `records` does."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import pyarrow as pa
from pyarrow import csv

from validators.model import Dialect

#: Bytes that one of Arrow's threads parses at once.
_THREAD_BYTES: Final = 1024**2


class Ragged(NamedTuple):
    """A record that has another number of fields than there are columns."""

    #: Counted from 0.
    place: int
    fields: int


class Cells:
    """Reads some columns of one file as text."""

    def __init__(self, dialect: Dialect, names: Sequence[str], wanted: Sequence[int], *, use_threads: bool) -> None:
        """Prepare the reading of the columns at the positions `wanted` of all `names`, in this order.

        Columns go by their position inside, so that names that come twice are no matter.
        """
        self._names = [names[i] for i in wanted]
        self._labels = [str(i) for i in range(len(names))]
        self._use_threads = use_threads
        self._dialect = dialect
        labels = [self._labels[i] for i in wanted] or self._labels[:1]
        self._convert = csv.ConvertOptions(
            check_utf8=False,  # the scanner has seen to it
            column_types=dict.fromkeys(labels, pa.string()),
            include_columns=labels,
            null_values=list(dialect.null_tokens),
            strings_can_be_null=True,
            quoted_strings_can_be_null=True,
        )

    @property
    def none(self) -> pa.Table:
        """No rows of these columns."""
        return pa.table([pa.array([], pa.string())] * len(self._names), names=self._names)

    def read_lines(self, data: pa.Buffer, most_ragged: int, *, quoted: bool) -> tuple[pa.Table, list[Ragged]]:
        """Read records that are known to be valid UTF-8, soundly quoted, and on one line each.

        Args:
            data: the records, each with its line end; no blank lines.
            most_ragged: how many records may have another number of fields than there are columns.
            quoted: whether there may be quotes in them.

        Returns:
            The cells of the records with as many fields as there are columns, and which the others are.

        Raises:
            pyarrow.ArrowInvalid: more records than `most_ragged` have another number of fields.
        """
        ragged: list[Ragged] = []

        def keep(row: csv.InvalidRow) -> str:
            ragged.append(Ragged(place=row.number - 1, fields=row.actual_columns))
            return "skip" if len(ragged) <= most_ragged else "error"

        # Several threads would not number the records.
        reading = csv.ReadOptions(use_threads=False, column_names=self._labels, block_size=data.size + 1)
        table = self._read(data, reading, self._parsing(quoted=quoted, invalid_row_handler=keep))
        return table, ragged

    def read(self, data: pa.Buffer, *, quoted: bool, multiline: bool = False, longest: int = 0) -> pa.Table:
        """Read records that are known to be valid UTF-8 and soundly quoted.

        Args:
            data: the records, each with its line end.
            quoted: whether there may be quotes in them.
            multiline: whether quoted fields may have line ends in them.
            longest: bytes of the longest record; 0 if it is known to be no longer than usual.

        Raises:
            pyarrow.ArrowInvalid: a record has another number of fields, or is longer than expected.
        """
        threads = self._use_threads and data.size > 2 * _THREAD_BYTES
        reading = csv.ReadOptions(
            use_threads=threads,
            column_names=self._labels,
            block_size=max(_THREAD_BYTES, 2 * longest) if threads else data.size + 1,
        )
        return self._read(data, reading, self._parsing(quoted=quoted, newlines_in_values=multiline))

    def _parsing(self, *, quoted: bool, **options: Any) -> csv.ParseOptions:
        quote = self._dialect.quote if quoted and self._dialect.quote else False
        return csv.ParseOptions(
            delimiter=self._dialect.delimiter, quote_char=quote, double_quote=True, ignore_empty_lines=True, **options
        )

    def _read(self, data: pa.Buffer, reading: csv.ReadOptions, parsing: csv.ParseOptions) -> pa.Table:
        if not data.size:
            return self.none
        table = csv.read_csv(pa.BufferReader(data), reading, parsing, self._convert)
        return table.rename_columns(self._names) if self._names else table.select([])
