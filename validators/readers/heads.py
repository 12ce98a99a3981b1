"""What stands before the rows of a delimited file: its header, and whether it is a delimited file at all."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import pyarrow as pa

from validators.errors import FileProblem, SetupError
from validators.formulas import unguard
from validators.model import Dialect, Limits
from validators.readers import lines, opening, records
from validators.readers.dialects import Found, returned_delimiter
from validators.readers.faults import Describer, split, unquoted
from validators.readers.records import Fault, Grammar
from validators.readers.stream import joined

#: Characters that no name of a column has.
_CONTROLS: Final = re.compile(rb"[\x00-\x08\x0e-\x1f\x7f]")
#: The share of such bytes from which on a file is no text, whatever its header; and how many bytes are too few to say.
_MOST_CONTROLS: Final = 0.05
_FEW_BYTES: Final = 512


@dataclass(frozen=True, kw_only=True)
class Head:
    """The header of one file."""

    #: As found, with the delimiter and header of a returned file.
    dialect: Dialect
    #: Of all columns, those of a returned file's end included.
    names: tuple[str, ...]
    #: Whether the file is a rejected.csv dropped back.
    returned: bool
    #: Bytes of UTF-8 text and physical lines before the first row.
    length: int
    lines: int
    #: Mean bytes of a line, from the first ones.
    line_bytes: float


@dataclass(frozen=True, kw_only=True)
class _First:
    """The first record of a file."""

    raw: bytes
    fault: Fault
    #: The physical line on which it begins.
    line: int
    #: Bytes and lines up to its end.
    length: int
    lines: int
    line_bytes: float


def read_head(path: Path, found: Found, limits: Limits) -> Head:
    """Read the header.

    Raises:
        FileProblem: `empty_file`, `not_text`, `header` (its quotes are wrong), `encoding`, `too_many_columns`,
            `line_too_long`, and what `opening` raises.
        SetupError: the dialect cannot be used.
    """
    dialect = found.dialect
    if not dialect.header and not dialect.columns:
        raise SetupError("The dialect has header = false and no columns; name the file's columns, in order.")
    grammar = records.grammar_of(dialect, limits)
    blocks = opening.text(path, encoding=found.encoding, limits=limits, block_bytes=opening.HEAD_BYTES)
    first = _first_record(blocks, grammar)
    text = first.raw.decode("utf-8", "replace")
    returned = returned_delimiter(text, dialect) if first.fault == Fault.NONE else ""
    if returned:
        dialect = replace(dialect, delimiter=returned, header=True)
    if not dialect.header:
        names, length, lines = dialect.columns, 0, 0
    else:
        _refuse(first, grammar, found)
        names = tuple(unquoted(name, dialect.quote) for name in split(text, dialect.delimiter, dialect.quote))
        length, lines = first.length, first.lines
        if returned:  # A spreadsheet would run a name like @type, too, so it was guarded.
            names = tuple(unguard(pa.array(names, pa.string())).to_pylist())
    _refuse_width(names, limits)
    return Head(
        dialect=dialect,
        names=names,
        returned=bool(returned),
        length=length,
        lines=lines,
        line_bytes=first.line_bytes,
    )


def _first_record(blocks: Iterator[bytes], grammar: Grammar) -> _First:
    data, final = b"", False
    while not final:
        # As much again as there is, lest a quote that stays open for long be looked at block by block.
        block, final = joined(blocks, max(1, len(data)))
        if not data:
            _refuse_binary(block, grammar)
        data = lines.closed(data + block) if final else data + block
        end = len(data) if final else lines.last_line_end(data)
        if end and (first := _first_of(data, end, grammar, final=final)):
            return first
        if len(data) - end > grammar.max_bytes + 1:
            raise records.line_too_long(1 + len(lines.line_bounds(data, end).ends), grammar)
    raise FileProblem("empty_file", "the file has no header and no rows", hint="Send a file with a header line.")


def _first_of(data: bytes, end: int, grammar: Grammar, *, final: bool) -> _First | None:
    """Return the first record of `data[:end]`; None if there is none, or it needs more bytes to be understood."""
    stop, settled = _window(data, end, grammar, final=final)
    found = records.scan(data, stop, grammar, final=settled)
    if not len(found):
        return None
    length = int(found.after[0])
    return _First(
        raw=data[found.starts[0] : found.ends[0]],
        fault=Fault(found.faults[0]),
        line=int(found.lines[0]) + 1,
        length=length,
        lines=len(lines.line_bounds(data, length).ends),
        line_bytes=end / max(1, data.count(b"\n", 0, end) or data.count(b"\r", 0, end)),
    )


def _window(data: bytes, end: int, grammar: Grammar, *, final: bool) -> tuple[int, bool]:
    """Return up to where the first record can be, and whether what follows is no matter.

    It is one line nearly always; only where a quote is open on it, and another quote comes later, is there more to see.
    """
    start = len(data) - len(data.lstrip(b"\r\n"))
    if start >= end:
        return end, final
    stop = lines.line_after(data, start)
    if not grammar.quote or data.count(grammar.quote, start, stop) % 2 == 0:
        return stop, True
    if data.find(grammar.quote, stop, end) < 0:
        waits = not final and end - start <= grammar.max_bytes
        return (start, False) if waits else (stop, True)
    return end, final


def _refuse_binary(block: bytes, grammar: Grammar) -> None:
    controls = len(_CONTROLS.findall(block)) - block.count(grammar.delimiter) * bool(_CONTROLS.match(grammar.delimiter))
    if len(block) > _FEW_BYTES and controls > _MOST_CONTROLS * len(block):
        raise _not_text("many of its first bytes are control characters" if any(block) else "its first bytes are NULs")


def _refuse(first: _First, grammar: Grammar, found: Found) -> None:
    """Refuse a first record that cannot be a header."""
    bare = first.raw.replace(grammar.delimiter, b"")
    if control := _CONTROLS.search(bare):
        raise _not_text(f"its header (line {first.line}) has the control character 0x{control.group()[0]:02X}")
    if first.fault == Fault.NONE:
        return
    fault = Describer(grammar=grammar, names=(), encoding=found.encoding.name).malformed(
        first.raw, first.fault, 0, row=0, line=first.line
    )
    if first.fault == Fault.ENCODING:
        raise FileProblem(
            "encoding",
            f"the header (line {first.line}) is not {fault.expected}: found {fault.found}",
            hint='Save the file as UTF-8, or set encoding in the feed\'s dialect, such as "windows-1252".',
            line=first.line,
        )
    raise FileProblem(
        "header",
        f"the header (line {first.line}) cannot be read: found {fault.found}; expected {fault.expected}",
        hint="Mend the header line and send the file again.",
        line=first.line,
    )


def _refuse_width(names: Sequence[str], limits: Limits) -> None:
    if len(names) > limits.max_columns:
        raise FileProblem(
            "too_many_columns",
            f"the file has {len(names):,} columns; at most {limits.max_columns:,} are read",
            hint="Is the delimiter right? If the file really is that wide, raise limits.max_columns.",
        )


def _not_text(why: str) -> FileProblem:
    return FileProblem(
        "not_text",
        f"the file is not text: {why}",
        hint="Send CSV or TSV text; if it is UTF-16, set encoding in the feed's dialect.",
    )
