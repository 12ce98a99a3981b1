"""Writes rejected.csv: the rejected records as they came, with `_line` and `_problems` at their ends.

Batch by batch, in the order of the records, in memory that does not grow with the file. Beside it goes a file that
says where each of them came from (`origins`). Judges nothing.
"""

from __future__ import annotations

import codecs
import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from daemon.errors import DiskError
from daemon.quarantine.origins import ORIGINS, OriginsWriter
from daemon.quarantine.quoting import quoting
from validators.model import Chunk, Dialect, MalformedRecords, Numbers
from validators.sentences import malformed_sentences
from validators.texts import to_text

#: The two columns that a rejected.csv has after those of the file; a reader leaves them out again.
LINE, PROBLEMS = "_line", "_problems"
#: The rule whose records have well-formed fields, though too few or too many; others are kept as one quoted cell.
FIELD_COUNT = "field_count"


@dataclass(frozen=True)
class _Rejects:
    """Rejected records of one batch, in order, before they are written."""

    #: Each record's cells as one text with delimiters (`pa.large_binary()`).
    records: pa.Array
    lines: Numbers
    problems: pa.Array


class RejectedWriter:
    """Writes one drop's rejected.csv. Give it every batch in order, then close it; no batch leaves no file."""

    def __init__(
        self,
        path: Path,
        names: Sequence[str] | None,
        dialect: Dialect,
        *,
        returned: bool = False,
        declared: str = "utf-8",
    ) -> None:
        """Write nothing yet.

        Args:
            path: the file to write; one that is there is replaced.
            names: the file's column names; None where each record names its own (JSON). Then the records are kept
                in a temporary file beside `path` until the union of their names is known.
            dialect: the file's delimiter and quote, and the encoding that it was read with.
            returned: the file itself is a rejected.csv dropped back, whose last two columns are left out.
            declared: the encoding that the feed declares, with which the file would be read when it is dropped back.
        """
        self._path = path
        self._names = names
        self._dialect = dialect
        self._returned = returned
        self._quoting = quoting(dialect)
        self._encodings = (dialect.encoding, declared)
        self._spool = _Spool(path.with_name(f".{path.name}.spool")) if names is None else None
        self._origins = OriginsWriter(path.with_name(ORIGINS), dialect, named_by_record=names is None)
        self._file: BinaryIO | None = None
        self.rows = 0

    def batch(self, chunk: Chunk, positions: Numbers, problems: pa.Array, *, whole: pa.Array | None = None) -> None:
        """Write a batch's rejected records, the malformed ones among them, in the order of the file.

        Args:
            chunk: the batch as its reader gave it.
            positions: which rows of `chunk.table` are rejected, ascending.
            problems: in words, for each of these (`pa.string()`).
            whole: for each of these the rules over the whole file that it breaks (`origins.labels`); None for none.

        Raises:
            WorkError: the disk is full or cannot be written.
        """
        self.rows += len(positions) + len(chunk.malformed)
        whole = pa.nulls(len(positions), pa.string()) if whole is None else whole
        with _disk(self._path):
            self._origins.add(chunk, positions, whole)
            if self._spool is not None:
                self._spool.keep(chunk, positions, problems)
            elif len(positions) or chunk.malformed:
                self._write(self._batch(chunk, positions, problems))

    def close(self) -> None:
        """Finish the file.

        Raises:
            WorkError: the disk is full or cannot be written.
        """
        with _disk(self._path):
            if self._spool is not None:
                self._write_spooled(self._spool)
                self._spool = None
            if self._file is not None:
                self._file.close()
                self._file = None
            self._origins.close(self._path)

    def __enter__(self) -> Self:
        """Return the writer itself."""
        return self

    def __exit__(self, kind: type[BaseException] | None, _: BaseException | None, __: TracebackType | None) -> None:
        """Finish the file; after an error only let go of it."""
        if kind is None:
            self.close()
            return
        self._origins.abandon()
        if self._spool is not None:
            self._spool.remove()
        if self._file is not None:
            self._file.close()

    def _batch(self, chunk: Chunk, positions: Numbers, problems: pa.Array) -> _Rejects:
        records = self._records(chunk, positions)
        good = _Rejects(records, chunk.lines[positions], problems)
        return self._merged(good, chunk.rows[positions], chunk.malformed) if chunk.malformed else good

    def _records(self, chunk: Chunk, positions: Numbers) -> pa.Array:
        if not len(positions):
            return pa.array([], pa.large_binary())
        if chunk.raw is None:
            return self._joined(chunk.table.take(pa.array(positions)), self._names or ())
        records = chunk.raw(positions).cast(pa.large_binary())
        if self._returned:
            records = self._quoting.without_last(records, 2)
        return self._quoting.guarded(records, returned=self._returned)

    def _joined(self, table: pa.Table, names: Sequence[str]) -> pa.Array:
        """Write the rows of a typed table as records with these columns, a missing one as empty cells."""
        if not names:
            return pa.array([b""] * table.num_rows, pa.large_binary())
        if list(table.column_names) == list(names):  # Names may stand twice, so go by position where that is sure.
            columns = list(table.columns)
        else:
            empty = pa.nulls(table.num_rows, pa.string())
            columns = [table[name] if name in table.column_names else empty for name in names]
        cells = [self._quoting.cells(to_text(column)) for column in columns]
        return pc.binary_join_element_wise(*cells, self._delimiter)

    def _merged(self, good: _Rejects, rows: Numbers, malformed: MalformedRecords) -> _Rejects:
        bad = self._malformed(malformed)
        order = np.argsort(np.concatenate([rows, malformed.rows]), kind="stable")
        return _Rejects(
            pa.concat_arrays([good.records, bad.records]).take(order),
            np.concatenate([good.lines, bad.lines])[order],
            pa.concat_arrays([good.problems, bad.problems]).take(order),
        )

    def _malformed(self, malformed: MalformedRecords) -> _Rejects:
        raw = malformed.raw.cast(pa.large_binary())
        whole = self._whole(malformed.raw.cast(pa.string()), self._names or ())
        fields = pa.array(malformed.with_rule(FIELD_COUNT))
        split = self._quoting.without_words(raw) if self._returned else raw
        return _Rejects(
            pc.if_else(fields, self._quoting.guarded(split, returned=self._returned), whole),
            malformed.lines,
            malformed_sentences(malformed),
        )

    def _whole(self, raw: pa.Array, names: Sequence[str]) -> pa.Array:
        """Write records that have no cells as one cell each, and never as one that fits when it is dropped back."""
        cell = self._quoting.always(raw)
        return pc.binary_join_element_wise(cell, _binary(""), self._delimiter) if len(names) == 1 else cell

    def _write(self, rejects: _Rejects) -> None:
        file = self._file or self._open(self._names or ())
        lines = pa.array(rejects.lines).cast(pa.string())
        if not rejects.lines.all():
            lines = pc.if_else(pa.array(rejects.lines == 0), "", lines)
        problems = self._quoting.always(rejects.problems)
        ends = pc.binary_join_element_wise(problems, _binary("\n"), _binary(""))
        written = pc.binary_join_element_wise(rejects.records, lines.cast(pa.large_binary()), ends, self._delimiter)
        file.write(_payload(written))

    def _open(self, names: Sequence[str]) -> BinaryIO:
        """Open the file and write its header; with the mark of UTF-8 where a reader would expect anything else."""
        self._file = self._path.open("wb")
        if not {codecs.lookup(encoding).name for encoding in self._encodings} <= {"utf-8", "ascii"}:
            self._file.write(codecs.BOM_UTF8)
        shown = pa.array([_utf8(name) for name in (*names, LINE, PROBLEMS)], pa.binary()).cast(pa.string())
        cells = self._quoting.cells(shown).to_pylist()
        self._file.write(self._dialect.delimiter.encode().join(cells) + b"\n")
        return self._file

    def _write_spooled(self, spool: _Spool) -> None:
        if not spool.empty:
            self._open(spool.names)
            for table, lines, problems, whole in spool.read():
                records = self._joined(table, spool.names)
                broken = self._whole(pc.fill_null(whole, ""), spool.names)
                records = pc.if_else(pc.is_valid(whole), broken, records)
                self._write(_Rejects(records, lines.to_numpy(), problems))
        spool.remove()

    @property
    def _delimiter(self) -> pa.Scalar:
        return _binary(self._dialect.delimiter)


class _Spool:
    """Rejected records that name their own columns, kept in a file until all names are known."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._starts: list[int] = []
        self._names: dict[str, None] = {}

    @property
    def names(self) -> tuple[str, ...]:
        """The columns of all records so far, in the order in which they first came."""
        return tuple(self._names)

    @property
    def empty(self) -> bool:
        """Whether nothing was kept."""
        return not self._starts

    def keep(self, chunk: Chunk, positions: Numbers, problems: pa.Array) -> None:
        """Append a batch's rejected records and malformed ones, in the order of the file."""
        if not len(positions) and not chunk.malformed:
            return
        taken = chunk.table.take(pa.array(positions))
        self._names.update(dict.fromkeys(taken.column_names))
        cells = pa.table([to_text(column) for column in taken.columns], names=taken.column_names)
        malformed = chunk.malformed
        extra = _spooled(chunk.lines[positions], problems, pa.nulls(len(positions), pa.string()))
        broken = _spooled(
            malformed.lines,
            malformed_sentences(malformed),
            malformed.raw.cast(pa.string()),
        )
        nothing = pa.table([pa.nulls(len(malformed), pa.string())] * cells.num_columns, names=cells.column_names)
        order = np.argsort(np.concatenate([chunk.rows[positions], malformed.rows]), kind="stable")
        self._append(_beside(cells, extra, nothing, broken).take(pa.array(order)))

    def read(self) -> Iterator[tuple[pa.Table, pa.Array, pa.Array, pa.Array]]:
        """Yield batches: their cells as text, lines, problems, and malformed records as they came (else null)."""
        with pa.OSFile(str(self._path), "rb") as file:
            for start in self._starts:
                file.seek(start)
                kept = pa.ipc.open_stream(file).read_all()
                lines, problems, whole = (column.combine_chunks() for column in kept.columns[-3:])
                yield kept.select(list(range(kept.num_columns - 3))), lines, problems, whole

    def remove(self) -> None:
        """Delete the file."""
        self._path.unlink(missing_ok=True)

    def _append(self, table: pa.Table) -> None:
        with self._path.open("ab" if self._starts else "wb") as file:
            self._starts.append(file.tell())
            with pa.ipc.new_stream(file, table.schema, options=pa.ipc.IpcWriteOptions(compression="lz4")) as stream:
                stream.write_table(table)


def _spooled(lines: Numbers, problems: pa.Array, whole: pa.Array) -> pa.Table:
    return pa.table([pa.array(lines), problems, whole], names=[LINE, PROBLEMS, "raw"])


def _beside(cells: pa.Table, extra: pa.Table, nothing: pa.Table, broken: pa.Table) -> pa.Table:
    """Put two tables beside two others and these above each other; by position, for names may be the same."""
    names = [*cells.column_names, *extra.column_names]
    upper, lower = [*cells.columns, *extra.columns], [*nothing.columns, *broken.columns]
    columns = [
        pa.chunked_array([*above.chunks, *below.chunks], above.type) for above, below in zip(upper, lower, strict=True)
    ]
    return pa.table(columns, names=names)


def _payload(values: pa.Array) -> memoryview:
    """Return the bytes of an array of `pa.large_binary()`, one value after the other, without a copy."""
    _, offsets, data = values.buffers()
    if data is None or not len(values):
        return memoryview(b"")
    ends = np.frombuffer(offsets, np.int64)[values.offset : values.offset + len(values) + 1]
    return memoryview(data)[ends[0] : ends[-1]]


def _binary(text: str) -> pa.Scalar:
    return pa.scalar(text.encode(), pa.large_binary())


def _utf8(text: str) -> bytes:
    """Return text in UTF-8 whatever is in it: a lone surrogate as an escape."""
    return text.encode("utf-8", "backslashreplace")


@contextlib.contextmanager
def _disk(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise DiskError.kind(error)(
            f"Cannot write {path}: {error.strerror or error}. Free some space; the drop is tried again."
        ) from error
