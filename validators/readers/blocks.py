"""One block of delimited text: its records to chunks, quickly where all is tidy, exactly where something is wrong."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pyarrow as pa

from validators.errors import BlobdropError
from validators.model import Chunk, MalformedRecords, Mask, Numbers, none_malformed
from validators.readers.cells import Cells, Ragged
from validators.readers.faults import Describer
from validators.readers.lines import line_bounds
from validators.readers.records import Fault, Records, scan
from validators.readers.tidiness import tidy_lines

#: A block is tidy while at most one record in so many has another number of fields: each of them costs a call of Python
#: from Arrow's parser, and finding positions costs as much for all records together.
_TIDY_EVERY: Final = 20


@dataclass(frozen=True, kw_only=True)
class Block:
    """Some bytes of a file, from the beginning of a record on."""

    data: bytes
    #: Where the last complete line ends.
    end: int
    #: The numbers of the first record and of the first physical line.
    row: int
    line: int
    #: Whether the file ends with it.
    final: bool


@dataclass(frozen=True, kw_only=True)
class Part:
    """The records of a block that are done with."""

    block: Block
    #: The cells of the sound records.
    table: pa.Table
    #: Records, malformed ones included; physical lines; bytes.
    count: int
    lines: int
    used: int
    #: Whether each line is one record, and nearly all are sound.
    tidy: bool
    #: Makes the chunk of the records from one to another, counted from 0.
    chunk: Callable[[Part, int, int], Chunk]

    def chunks(self, batch_rows: int) -> Iterator[Chunk]:
        """Yield chunks of about `batch_rows` records; none if there are no records."""
        if not self.count:
            return
        parts = max(1, round(self.count / batch_rows))
        cuts = np.linspace(0, self.count, parts + 1).astype(np.int64).tolist()
        for start, stop in itertools.pairwise(cuts):
            yield self.chunk(self, start, stop)


def read_tidy(block: Block, cells: Cells, describer: Describer) -> Part | None:
    """Read a block in which every line is one record, and few have another number of fields; None if it is not so tidy.

    Positions are found only where there are such records.
    """
    grammar = describer.grammar
    count = tidy_lines(block.data, block.end, grammar)
    if count is None:
        return None
    whole = pa.py_buffer(block.data).slice(0, block.end)
    try:
        table, ragged = cells.read_lines(whole, count // _TIDY_EVERY, quoted=grammar.quote in block.data)
    except pa.ArrowInvalid:  # too many of another number of fields
        return None
    if table.num_rows + len(ragged) != count:  # blank lines
        return None
    chunk = _ragged_chunk(block, count, ragged, describer) if ragged else _tidy_chunk
    return Part(block=block, table=table, count=count, lines=count, used=block.end, tidy=True, chunk=chunk)


def read_exactly(block: Block, cells: Cells, describer: Describer) -> Part:
    """Find each record of a block and judge it, then read the cells of the sound ones.

    Raises:
        FileProblem: `line_too_long`.
        BlobdropError: two counts of the rows differ; no row may be lost.
    """
    found = scan(block.data, block.end, describer.grammar, final=block.final, line=block.line)
    sound = found.faults == Fault.NONE
    longest = int((found.after - found.starts).max(initial=0))
    quoted = describer.grammar.quote in block.data
    try:
        table = cells.read(_only(block.data, found, sound), quoted=quoted, multiline=found.multiline, longest=longest)
    except pa.ArrowInvalid as error:
        raise _different(block, found, str(error)) from error
    if table.num_rows != np.count_nonzero(sound):
        raise _different(block, found, f"{np.count_nonzero(sound)} records and {table.num_rows} rows")
    return Part(
        block=block,
        table=table,
        count=len(found),
        lines=found.used_lines,
        used=found.used,
        tidy=bool(sound.all()) and len(found) == found.used_lines,
        chunk=_Exact(found=found, sound=sound, describer=describer),
    )


def _tidy_chunk(part: Part, start: int, stop: int) -> Chunk:
    block = part.block

    def raw(positions: Numbers) -> pa.Array[Any]:
        bounds = line_bounds(block.data, part.used)
        return _taken(block.data, bounds.starts[start:stop], bounds.ends[start:stop], positions)

    return Chunk(
        table=part.table.slice(start, stop - start),
        rows=np.arange(block.row + start, block.row + stop),
        lines=np.arange(block.line + start, block.line + stop),
        raw=raw,
    )


def _ragged_chunk(block: Block, count: int, ragged: Sequence[Ragged], describer: Describer) -> _Exact:
    """Tell where the records are in a block that is tidy but for some numbers of fields."""
    bounds = line_bounds(block.data, block.end)
    places, fields = np.array(ragged, np.int64).T
    faults, widths = np.zeros(count, np.uint8), np.full(count, describer.grammar.width)
    faults[places], widths[places] = Fault.FIELD_COUNT, fields
    found = Records(
        starts=bounds.starts[:-1],
        ends=bounds.ends,
        after=bounds.starts[1:],
        lines=np.arange(count),
        faults=faults,
        fields=widths,
        used=block.end,
        used_lines=count,
        multiline=False,
    )
    return _Exact(found=found, sound=faults == Fault.NONE, describer=describer)


@dataclass(frozen=True, kw_only=True)
class _Exact:
    """Makes chunks of records that were looked at one by one."""

    found: Records
    sound: Mask
    describer: Describer

    def __call__(self, part: Part, start: int, stop: int) -> Chunk:
        """Return the chunk of the records from `start` to `stop`."""
        block, found = part.block, self.found
        kept = start + np.flatnonzero(self.sound[start:stop])
        skipped = int(np.count_nonzero(self.sound[:start]))

        def raw(positions: Numbers) -> pa.Array[Any]:
            return _taken(block.data, found.starts[kept], found.ends[kept], positions)

        return Chunk(
            table=part.table.slice(skipped, len(kept)),
            rows=block.row + kept,
            lines=block.line + found.lines[kept],
            malformed=self._malformed(block, start + np.flatnonzero(~self.sound[start:stop])),
            raw=raw,
        )

    def _malformed(self, block: Block, index: Numbers) -> MalformedRecords:
        if not len(index):
            return none_malformed()
        found = self.found
        raw = _taken(block.data, found.starts[index], found.ends[index], np.arange(len(index)))
        rows, lines = block.row + index, block.line + found.lines[index]
        return self.describer.records(raw, found.faults[index], found.fields[index], rows=rows, lines=lines)


def _taken(data: bytes, starts: Numbers, ends: Numbers, positions: Numbers) -> pa.Array[Any]:
    """Return the bytes from starts to ends at these positions, as `pa.binary()`."""
    if not len(starts):
        return pa.array([], pa.binary())
    # Records and what lies between them in turn.
    offsets = np.empty(2 * len(starts), np.int32)
    offsets[0::2], offsets[1::2] = starts, ends
    every = pa.Array.from_buffers(pa.binary(), len(offsets) - 1, [None, pa.py_buffer(offsets.data), pa.py_buffer(data)])
    return every.take(np.asarray(positions, np.int64) * 2)


def _only(data: bytes, found: Records, sound: Mask) -> pa.Buffer:
    """Return the sound records, with as few copies as can be."""
    whole = pa.py_buffer(data)
    if sound.all():
        return whole.slice(0, found.used) if len(found) else whole.slice(0, 0)
    # Runs of sound records are cut out in one piece.
    edges = np.flatnonzero(np.diff(sound, prepend=False, append=False))
    view = memoryview(data)
    starts, ends = found.starts[edges[0::2]], found.after[edges[1::2] - 1]
    return pa.py_buffer(b"".join([view[i:j] for i, j in zip(starts.tolist(), ends.tolist(), strict=True)]))


def _different(block: Block, found: Records, what: str) -> BlobdropError:
    last = block.line + found.used_lines - 1
    return BlobdropError(
        f"Lines {block.line} to {last} were read in two ways that do not agree ({what}), so no row of the file is "
        "taken. This is a mistake in blobdrop: please report it with these lines."
    )
