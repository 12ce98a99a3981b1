"""A JSON document: an array of objects, or an object around one, whose other members hold for every record."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from validators.errors import FileProblem
from validators.model import Chunk, Dialect, Limits
from validators.readers.jsonrecords import (
    DECODER,
    ENCODER,
    PIECE_ROWS,
    Fault,
    Piece,
    Records,
    cell,
    chunks_of,
    excerpt,
    flaw,
    to_piece,
    too_many_columns,
)
from validators.readers.jsontext import JsonText, decoded
from validators.readers.opening import beginning, encoding_of, text

#: Bytes parsed at once. Their Python objects fit into a core's cache.
_BLOCK_BYTES = 256 * 1024
#: Members that hold the rows even when there are none: `{"metrics": []}`.
_ROWS_MEMBERS = ("metrics", "events")


@dataclass(slots=True)
class Outline:
    """What a document is, as one pass over it tells."""

    #: The member that is the array of rows; None for an array, or where the object itself is the one record.
    member: str | None = None
    #: Members that hold for every record, as text.
    constants: dict[str, str | None] = field(default_factory=dict)
    #: Members that are neither rows nor hold for every record.
    left_out: list[str] = field(default_factory=list)
    #: The object itself, where it is the one record.
    record: dict[str, str] | None = None


class JsonDocumentReader:
    """Reads the rows of a JSON document, in bounded memory, as `JsonLinesReader` reads lines.

    `{"isTest": true, "metrics": [{...}, ...]}` gives a column `isTest` to every row that has none itself. The array is
    the member `metrics` or `events`, or any single member that is an array of objects. An object without one is itself
    the only row. Record numbers count elements; lines are those on which elements start.
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
        self._outline: Outline | None = None
        self.notes = (*notes, self._encoding.note) if self._encoding.note else notes

    def header(self) -> tuple[str, ...] | None:
        """Return None: each record names its own columns."""
        return None

    def chunks(self, names: Collection[str] | None = None) -> Iterator[Chunk]:
        """Yield the records in order; a key that no record of a chunk has is not in its table.

        Raises:
            FileProblem: `invalid_json` where nothing after a place can be trusted, `line_too_long` for a record over
                the limit, `too_many_columns`, `empty_file`, and whatever decompression finds.
            OSError: the file cannot be read.
        """
        return chunks_of(self._pieces(), self._limits.batch_rows, None if names is None else set(names))

    def close(self) -> None:
        """Hold nothing: each reading opens and closes the file itself."""

    def _text(self) -> JsonText:
        blocks = text(self._path, encoding=self._encoding, limits=self._limits, block_bytes=_BLOCK_BYTES)
        return JsonText(decoded(blocks), self._limits.max_line_bytes)

    def _pieces(self) -> Iterator[Piece]:
        document = self._text()
        start = document.peek()
        if not start:
            raise FileProblem("empty_file", "the file has nothing but blanks", hint="Drop it again with its data.")
        if start not in ("{", "["):
            document.take("[", "{")
        if start == "[":
            yield from self._rows(document.elements(), {})
            document.end()
            return
        outline = self._outlined()
        if outline.record is not None:
            yield _single(outline.record, self._limits.max_columns)
            return
        for key in document.members():
            if key == outline.member:
                yield from self._rows(document.elements(), outline.constants)
                return
            document.value()

    def _outlined(self) -> Outline:
        if self._outline is None:
            self._outline = outline_of(self._text(), self._limits)
            if self._outline.left_out:
                named = ", ".join(self._outline.left_out)
                self.notes += (f"beside the rows, these members are not single values and were left out: {named}",)
        return self._outline

    def _rows(self, elements: Iterator[tuple[Any, str, int]], constants: Mapping[str, str | None]) -> Iterator[Piece]:
        records, row, keys = Records(), 0, set[str]()
        most = min(PIECE_ROWS, self._limits.batch_rows)
        for row, (value, raw, line) in enumerate(elements, 1):
            if value.__class__ is dict:
                records.add(value, raw, row, line)
            else:
                fault = flaw(value) or Fault(found=f"an element that is not an object: {excerpt(raw, 0)}")
                records.refuse(fault, raw, row, line)
            if len(records) >= most:
                yield self._piece(records, constants, keys)
                records = Records()
        if len(records):
            yield self._piece(records, constants, keys)

    def _piece(self, records: Records, constants: Mapping[str, str | None], keys: set[str]) -> Piece:
        piece = to_piece(records, self._limits.max_columns, constants)
        keys.update(piece.table.column_names)
        if len(keys) > self._limits.max_columns:
            raise too_many_columns(len(keys), self._limits.max_columns)
        return piece


def outline_of(document: JsonText, limits: Limits) -> Outline:
    """Go over an object and its end, and tell where its rows are and what holds for all of them.

    Raises:
        FileProblem: `invalid_json`: the text does not parse, or has several arrays of rows, or a member twice.
    """
    outline = Outline()
    members: dict[str, tuple[Any, str]] = {}
    arrays: list[str] = []
    size = 0
    for key in document.members():
        if key in members or key in arrays:
            raise _ambiguous(f"the member {key!r} comes twice", "Keep one of them.")
        if document.array_of_objects():
            arrays.append(key)
            for _ in document.elements():
                pass
        else:
            members[key] = document.value()
            size += len(members[key][1])
        if size > limits.max_line_bytes:
            raise document.too_long()
        if len(members) + len(arrays) > limits.max_columns:
            raise too_many_columns(len(members) + len(arrays), limits.max_columns)
    document.end()
    outline.member = _rows_member(arrays, members)
    _sort_members(outline, members)
    return outline


def _rows_member(arrays: list[str], members: Mapping[str, tuple[Any, str]]) -> str | None:
    if len(arrays) > 1:
        raise _ambiguous(f"several members are arrays of objects: {', '.join(arrays)}", "Drop them as separate files.")
    empty = [key for key in _ROWS_MEMBERS if key in members and members[key][0] == []]
    return next(iter([*arrays, *empty]), None)


def _sort_members(outline: Outline, members: Mapping[str, tuple[Any, str]]) -> None:
    if outline.member is None:
        outline.record = {key: raw for key, (_, raw) in members.items()}
        return
    for key, (value, _) in members.items():
        fault = flaw(value) or flaw(key)
        if fault is not None:
            raise _ambiguous(f"the member {excerpt(key, 0)} has {fault.found}", f"Expected {fault.expected}.")
        if isinstance(value, dict | list):
            if key != outline.member:
                outline.left_out.append(key)
        else:
            outline.constants[key] = cell(value)


def _single(members: Mapping[str, str], limit: int) -> Piece:
    """Return the one record that the document itself is."""
    raw = "{" + ",".join(f"{ENCODER.encode(key)}:{text_}" for key, text_ in members.items()) + "}"
    records = Records()
    records.add(DECODER.decode(raw), raw, 1, 1)
    return to_piece(records, limit)


def _ambiguous(what: str, hint: str) -> FileProblem:
    return FileProblem("invalid_json", f"{what}; expected one array of objects, and single values beside it", hint=hint)
