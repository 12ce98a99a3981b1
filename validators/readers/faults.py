"""What is wrong with a malformed record of delimited text, in words; and its fields, one record at a time."""

from __future__ import annotations

import functools
import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from validators.model import Flaw, Malformed, MalformedRecords, Numbers
from validators.readers.opening import UNDECODABLE
from validators.readers.records import Fault, Grammar

#: The `Fault` of each record.
Faults = npt.NDArray[np.uint8]

#: Of these each record has words of its own.
_TOLD_SINGLY: Final = (Fault.ENCODING, Fault.NUL_BYTE)
_ESCAPED: Final = re.compile("[\udc00-\udcff]")


@dataclass(frozen=True, kw_only=True)
class Describer:
    """Says what is wrong with records of one file."""

    grammar: Grammar
    #: The columns' names, for the place of a byte that cannot be decoded.
    names: Sequence[str]
    #: The codec that the file is written in.
    encoding: str

    def malformed(self, raw: bytes, fault: int, fields: int, *, row: int, line: int) -> Malformed:
        """Describe one record.

        Args:
            raw: the record without its line end, as `opening.text` gives it.
            fault: its `Fault`.
            fields: how many fields were counted, where that is the fault.
            row: its number in the file.
            line: the physical line on which it starts.
        """
        text = self.decoded(raw)
        rule, found, expected = self._words[fault]
        if fault == Fault.FIELD_COUNT:
            found = _fields(fields)
        elif fault == Fault.ENCODING:
            found = self._undecodable(text)
        elif fault == Fault.NUL_BYTE:
            found = f"a NUL byte at character {text.index(chr(0)) + 1} of the record"
        shown = text if text.isascii() else _ESCAPED.sub(_shown, text)
        return Malformed(row=row, line=line, rule=rule, found=found, expected=expected, raw=shown)

    def records(
        self, raw: pa.Array, faults: Faults, fields: Numbers, *, rows: Numbers, lines: Numbers
    ) -> MalformedRecords:
        """Describe records; the arguments are those of `malformed` for each of them, `raw` as `pa.binary()`."""
        if not np.isin(faults, _TOLD_SINGLY).any():
            with suppress(pa.ArrowInvalid):  # a record with another fault may have bytes that cannot be decoded, too
                return self._alike(raw.cast(pa.string()), faults, fields, rows, lines)
        columns = (column.tolist() for column in (faults, fields, rows, lines))
        told = (
            self.malformed(data, fault, count, row=row, line=line)
            for data, fault, count, row, line in zip(raw.to_pylist(), *columns, strict=True)
        )
        return MalformedRecords.of(told)

    def _alike(self, raw: pa.Array, faults: Faults, fields: Numbers, rows: Numbers, lines: Numbers) -> MalformedRecords:
        counts = np.where(faults == Fault.FIELD_COUNT, fields, 0)
        kinds, codes = np.unique(counts * len(Fault) + faults, return_inverse=True)
        flaws = []
        for count, fault in (divmod(kind, len(Fault)) for kind in kinds.tolist()):
            rule, found, expected = self._words[fault]
            flaws.append(Flaw(rule, _fields(count) if fault == Fault.FIELD_COUNT else found, expected))
        return MalformedRecords(rows, lines, raw.cast(pa.large_string()), flaws, codes)

    @functools.cached_property
    def _words(self) -> tuple[tuple[str, str, str], ...]:
        """For each fault: the rule's name in reports, what was found, what was expected."""
        q = self.grammar.quote.decode()
        quoting = f"a field with {q} in it is quoted as a whole and {q} is doubled: {q}say {q}{q}hi{q}{q}{q}"
        return (
            ("", "", ""),
            ("field_count", "", _fields(self.grammar.width)),
            ("encoding", "", f"text in {self.encoding}"),
            ("nul_byte", "", "text"),
            ("quote", f"a {q} in the middle of a field that is not quoted", quoting),
            ("quote", f"text between a closing {q} and the end of the field", quoting),
            ("quote", f"a field that opens with {q} and is not closed", quoting),
        )

    def decoded(self, raw: bytes) -> str:
        """Decode a record; a byte that cannot be decoded is the character U+DC00 + byte."""
        return raw.decode("utf-8", UNDECODABLE if self.encoding == "utf-8" else "surrogatepass")

    def _undecodable(self, text: str) -> str:
        match = _ESCAPED.search(text)
        if match is None:
            return "bytes that cannot be decoded"
        before = text[: match.start()]
        unquoted = before.split(self.grammar.quote.decode())[::2] if self.grammar.quote else [before]
        field = sum(part.count(self.grammar.delimiter.decode()) for part in unquoted)
        column = f" in column {self.names[field]!r}" if field < len(self.names) else ""
        return f"byte 0x{ord(match.group()) - 0xDC00:02X}{column}, character {match.start() + 1} of the record"


def split(record: str, delimiter: str, quote: str) -> list[str]:
    """Split one well-formed record into its fields as they are written, quotes and all."""
    parts = record.split(delimiter)
    if not quote or quote not in record:
        return parts
    fields: list[str] = []
    is_open = False
    for part in parts:
        if is_open:
            fields[-1] += delimiter + part
        else:
            fields.append(part)
        is_open ^= part.count(quote) % 2 == 1
    return fields


def unquoted(field: str, quote: str) -> str:
    """Return the value of a field as it is written."""
    if quote and field.startswith(quote):
        return field[1:-1].replace(quote * 2, quote)
    return field


def _fields(count: int) -> str:
    return f"{count} field" if count == 1 else f"{count} fields"


def _shown(match: re.Match[str]) -> str:
    return f"\\x{ord(match.group()) - 0xDC00:02x}"
