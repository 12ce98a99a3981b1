"""NDJSON: every line that is not blank is a record of its own, so a broken one spoils no other."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

from validators.errors import FileProblem
from validators.model import Chunk, Dialect, Limits
from validators.readers.jsonrecords import (
    BLANKS,
    DECODER,
    PIECE_ROWS,
    Fault,
    Piece,
    Records,
    chunks_of,
    excerpt,
    flaw,
    syntax_fault,
    to_piece,
    too_many_columns,
)
from validators.readers.opening import beginning, encoding_of, text

#: Bytes parsed at once. Their Python objects fit into a core's cache: 2 MiB take 1.7 times as long (measured).
_BLOCK_BYTES = 256 * 1024


class JsonLinesReader:
    """Reads NDJSON as text: numbers as written, true and false as words, what is nested as compact JSON.

    Only JSON's null is null; `""` is an empty string, and the dialect's null tokens are not looked for.
    """

    typed = True
    returned = False

    def __init__(self, path: Path, *, dialect: Dialect, limits: Limits, notes: tuple[str, ...] = ()) -> None:
        """Look at the encoding; a byte order mark is heeded, else the file is in UTF-8.

        Args:
            path: a local file with the bytes, compressed or not.
            dialect: as the feed declares it; it is only handed on.
            limits: what the file may ask for.
            notes: what the report should say already.

        Raises:
            FileProblem: the file is not in UTF-8, or cannot be decompressed.
            OSError: the file cannot be read.
        """
        self.dialect = dialect
        self._path = path
        self._limits = limits
        self._encoding = encoding_of(beginning(path, limits=limits), "utf-8")
        self.notes = (*notes, self._encoding.note) if self._encoding.note else notes

    def header(self) -> tuple[str, ...] | None:
        """Return None: each record names its own columns."""
        return None

    def chunks(self, names: Collection[str] | None = None) -> Iterator[Chunk]:
        """Yield the records in order; a key that no record of a chunk has is not in its table.

        Raises:
            FileProblem: `line_too_long`, `too_many_columns`, `empty_file`, and whatever decompression finds.
            OSError: the file cannot be read.
        """
        return chunks_of(self._pieces(), self._limits.batch_rows, None if names is None else set(names))

    def close(self) -> None:
        """Hold nothing: each reading opens and closes the file itself."""

    def _pieces(self) -> Iterator[Piece]:
        row, line, keys, most = 0, 0, set[str](), min(PIECE_ROWS, self._limits.batch_rows)
        for block in self._blocks():
            lines = block.decode("utf-8", "surrogateescape").split("\n")
            for start in range(0, len(lines), most):
                part = lines[start : start + most]
                records = parse_lines(part, row, line)
                row, line = row + len(records), line + len(part)
                piece = to_piece(records, self._limits.max_columns)
                keys.update(piece.table.column_names)
                if len(keys) > self._limits.max_columns:
                    raise too_many_columns(len(keys), self._limits.max_columns)
                yield piece
        if not row:
            raise FileProblem("empty_file", "the file has nothing but blank lines", hint="Drop it again with its data.")

    def _blocks(self) -> Iterator[bytes]:
        """Yield blocks that end where a line ends, without that line's end."""
        rest: list[bytes] = []
        waiting, line = 0, 1
        for block in text(self._path, encoding=self._encoding, limits=self._limits, block_bytes=_BLOCK_BYTES):
            body, end, tail = block.rpartition(b"\n")
            if end:
                whole = b"".join((*rest, body))
                self._measure(whole, line)
                line += whole.count(b"\n") + 1
                yield whole
                rest, waiting = [], 0
            rest.append(tail)
            waiting += len(tail)
            if waiting > self._limits.max_line_bytes:
                raise self._too_long(line)
        if waiting:
            yield b"".join(rest)

    def _measure(self, block: bytes, line: int) -> None:
        """Refuse a line over the limit; only a block as large as the limit can have one."""
        if len(block) <= self._limits.max_line_bytes:
            return
        for number, one in enumerate(block.split(b"\n"), line):
            if len(one) > self._limits.max_line_bytes:
                raise self._too_long(number)

    def _too_long(self, line: int) -> FileProblem:
        return FileProblem(
            "line_too_long",
            f"line {line:,} has more than {self._limits.max_line_bytes:,} bytes, which is the limit",
            hint="Each line has to be one record. If the file is one JSON document, give it the suffix .json.",
            line=line,
        )


def parse_lines(lines: list[str], row: int, line: int) -> Records:
    """Parse lines that follow after `row` records and `line` lines; blank ones are not records."""
    return _all_good(lines, row, line) or _one_by_one(lines, row, line)


def _all_good(lines: list[str], row: int, line: int) -> Records | None:
    """Parse lines that are a record each; None when only one of them is not."""
    texts = [one.strip(BLANKS) for one in lines]
    try:
        parsed = list(map(DECODER.raw_decode, texts))
    except (ValueError, RecursionError):
        return None
    values = [value for value, _ in parsed]
    if [end for _, end in parsed] != list(map(len, texts)) or set(map(type, values)) != {dict}:
        return None
    count = len(texts)
    return Records(values, texts, list(range(row + 1, row + count + 1)), list(range(line + 1, line + count + 1)))


def _one_by_one(lines: list[str], row: int, line: int) -> Records:
    records = Records()
    for number, one in enumerate(lines, line + 1):
        text_ = one.strip(BLANKS)
        if not text_:
            continue
        row += 1
        parsed = _parsed(text_)
        if isinstance(parsed, Fault):
            records.refuse(parsed, one.rstrip("\r"), row, number)
        else:
            records.add(parsed, text_, row, number)
    return records


def _parsed(line: str) -> dict[str, Any] | Fault:
    try:
        value, end = DECODER.raw_decode(line)
    except (ValueError, RecursionError) as error:
        return syntax_fault(error, line)
    if end < len(line):
        return Fault(found=f"more text after the value, from character {end + 1} on: {excerpt(line, end)}")
    if value.__class__ is dict:
        return value
    return flaw(value) or Fault(found=f"a value that is not an object: {excerpt(line, 0)}")
