"""CSV and TSV: bytes -> chunks of text columns with record numbers, lines and malformed records.

`records` finds the records and `cells` the cells in them; each counts the rows for itself, and they must agree.
"""

from __future__ import annotations

from collections.abc import Collection, Generator, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Final

import pyarrow as pa

from validators.formulas import unguard
from validators.model import Chunk, Dialect, Limits
from validators.readers import lines, records
from validators.readers.blocks import Block, read_exactly, read_tidy
from validators.readers.cells import Cells
from validators.readers.dialects import RETURNED, find_dialect
from validators.readers.faults import Describer
from validators.readers.heads import read_head
from validators.readers.stream import Stream, stream

#: Blocks have about as many bytes as a chunk's records, within these bounds.
_LEAST_BLOCK: Final = 1024**2
_MOST_BLOCK: Final = 12 * 1024**2


class DelimitedReader:
    """Reads one delimited file. The header is read at once, the rest when chunks are asked for.

    Attributes:
        notes: what the report should say about the file.
        dialect: as found in the file; `encoding` is a codec's normal name.
        typed: False; all columns are text.
        returned: whether the file is a rejected.csv dropped back. Its last two columns are left out (but not of
            `Chunk.raw`), and apostrophes that guard formulas are taken away.
    """

    def __init__(
        self,
        path: Path,
        *,
        name: str,
        dialect: Dialect,
        limits: Limits,
        use_threads: bool = True,
        block_bytes: int | None = None,
    ) -> None:
        """Find the dialect and read the header.

        Args:
            path: a local file with the bytes, compressed or not.
            name: the dropped object's name, for its suffix.
            dialect: as the feed declares it.
            limits: what the file may ask for.
            use_threads: whether cells may be parsed by several threads at once.
            block_bytes: bytes worked on at once; by default as many as a chunk's records should have.

        Raises:
            FileProblem: `empty_file`, `not_text`, `header`, `encoding`, `too_many_columns`, `line_too_long`,
                `dialect_unclear`, and what `opening` raises.
            SetupError: the dialect cannot be used.
        """
        found = find_dialect(path, name=name, dialect=dialect, limits=limits)
        self._head = read_head(path, found, limits)
        self._path = path
        self._limits = limits
        self._encoding = found.encoding
        self._use_threads = use_threads
        self._grammar = records.grammar_of(self._head.dialect, limits).of_width(len(self._head.names))
        wished = int(self._head.line_bytes * limits.batch_rows)
        self._block_bytes = block_bytes or min(max(wished, _LEAST_BLOCK), _MOST_BLOCK)
        self._open: Generator[Chunk] | None = None
        self.notes: tuple[str, ...] = found.notes
        self.dialect = self._head.dialect
        self.typed = False
        self.returned = self._head.returned

    def header(self) -> tuple[str, ...]:
        """Return the columns' names in file order, as they stand there."""
        names = self._head.names
        return names[: -len(RETURNED)] if self.returned else names

    def chunks(self, names: Collection[str] | None = None) -> Iterator[Chunk]:
        """Read from the beginning; may be called again, which ends an earlier reading.

        Args:
            names: only these columns, in file order; names that the file does not have are left out. None for all.

        Raises:
            FileProblem: `line_too_long`, and what `opening` raises.
        """
        self.close()
        wanted = [i for i, name in enumerate(self.header()) if names is None or name in names]
        cells = Cells(self.dialect, self._head.names, wanted, use_threads=self._use_threads)
        self._open = self._read(cells)
        return self._open

    def close(self) -> None:
        """Let go of the file."""
        if self._open is not None:
            self._open.close()
            self._open = None

    def _read(self, cells: Cells) -> Generator[Chunk]:
        encoding, limits, skip = self._encoding, self._limits, self._head.length
        text = stream(self._path, encoding=encoding, limits=limits, block_bytes=self._block_bytes, skip=skip)
        with closing(text):
            yield from self._records(text, cells)

    def _records(self, text: Stream, cells: Cells) -> Iterator[Chunk]:
        grammar = self._grammar
        describer = Describer(grammar=grammar, names=self._head.names, encoding=self._encoding.name)
        rest, row, line, tidy, final, is_open = b"", 1, self._head.lines + 1, True, False, False
        while not final:
            # As much again as is left over, lest a quote that stays open for long be looked at block by block.
            more = min(len(rest), grammar.max_bytes - len(rest))
            data, final = text.after(rest, max(self._block_bytes, more))
            data = lines.closed(data) if final else data
            end = len(data) if final else lines.last_line_end(data)
            start = 0
            for stop in self._stops(data, end, final=final) if is_open else (end,):
                part = data if start == 0 and stop == end else data[start:stop]
                whole = Block(data=part, end=stop - start, row=row, line=line, final=final or stop < end)
                # A file that is not tidy in one block is rarely so in the next: do not look twice at each of them.
                read = (read_tidy(whole, cells, describer) if tidy else None) or read_exactly(whole, cells, describer)
                for chunk in read.chunks(self._limits.batch_rows):
                    yield _unguarded(chunk) if self.returned else chunk
                row, line, tidy = row + read.count, line + read.lines, read.tidy
                start += read.used
            rest, is_open = data[start:], start < end
            self._refuse_long(data, end, start, line)

    def _stops(self, data: bytes, end: int, *, final: bool) -> Iterator[int]:
        """Yield the line ends up to which to read data that begin with a quote left open; none to wait for more.

        Where nothing can close it, the lines behind it are read in small steps: what is known of each line takes far
        more memory than a short line itself.
        """
        longest = self._grammar.max_bytes
        quiet = data.find(self._grammar.quote, lines.line_after(data, 0), end)
        quiet = end if quiet < 0 else quiet
        if quiet == end and end <= longest and not final:
            return
        stop = 0
        if quiet == end or quiet > longest:
            while step := lines.last_line_end(data[stop : min(stop + self._block_bytes, quiet)]):
                stop += step
                yield stop
        if stop < end:
            yield end

    def _refuse_long(self, data: bytes, end: int, used: int, line: int) -> None:
        """Refuse a line before it is held in memory as a whole."""
        if len(data) - data.endswith(b"\r") - end > self._grammar.max_bytes:
            pending = lines.line_bounds(data[used:end], end - used)
            raise records.line_too_long(line + len(pending.ends), self._grammar)


def _unguarded(chunk: Chunk) -> Chunk:
    columns = [unguard(column) for column in chunk.table.columns]
    return replace(chunk, table=pa.table(columns, schema=chunk.table.schema) if columns else chunk.table)
