"""How a problem is said in one sentence: row, column, what was found, what was expected. And how any text is shown.

Pure. The judging makes its samples' messages here, so that reports, logs and rejected.csv speak alike.
"""

from __future__ import annotations

import re

import pyarrow as pa
import pyarrow.compute as pc

from validators.model import MalformedRecords

#: Characters of a value that a sentence shows; more is cut and marked with an ellipsis.
SHOWN_CHARACTERS = 120

#: Characters that Python's own `str.isprintable` may refuse: everything that is not plain ASCII text.
_MAYBE_HIDDEN = re.compile(r"[^ -~]")
_NAMED = {"\t": r"\t", "\n": r"\n", "\r": r"\r"}
#: Python reads a file name's byte 0xNN that is not UTF-8 as the surrogate U+DCNN (PEP 383).
_ESCAPED_BYTES = range(0xDC80, 0xDD00)
_BYTE, _PLANE = 0x100, 0x10000


def sentence(
    row: int | None, line: int | None, column: str | None, found: str | None, expected: str, hint: str = ""
) -> str:
    """Say one problem: "row 3 (line 4), column id_type: found 'userid', expected one of user_id, stable_id; HINT".

    Args:
        row: the record's number, 1-based; None for a problem of the file as a whole.
        line: the physical line, 1-based; None or 0 where the format has none.
        column: the column's name; None for rules on rows and files.
        found: the cell as it came, shown in quotes; None for nothing. Without a column it is words already
            ("5 fields", "a=1, b=2") and stands without quotes.
        expected: what it must be, in words; may be empty.
        hint: what to do next; may be empty.
    """
    where = place(row, line, column)
    said = _found(found, in_quotes=column is not None) + (f", expected {expected}" if expected else "")
    return printable(f"{where}: {said}" if where else said) + (f"; {printable(hint)}" if hint else "")


def place(row: int | None, line: int | None, column: str | None) -> str:
    """Say where a problem is: "row 3 (line 4), column id_type"; empty for nowhere in particular."""
    in_row = f"row {row}" if row is not None else ""
    if line:
        in_row = f"{in_row} (line {line})" if in_row else f"line {line}"
    if column is None:
        return in_row
    return f"{in_row}, column {printable(column)}" if in_row else f"column {printable(column)}"


def malformed_sentences(records: MalformedRecords) -> pa.Array:
    """Say of each record that has no cells what is wrong with it, as `sentence` does (`pa.string()`)."""
    said = pa.array([sentence(None, None, None, flaw.found, flaw.expected) for flaw in records.flaws], pa.string())
    lines = pc.binary_join_element_wise(" (line ", pa.array(records.lines).cast(pa.string()), ")", "")
    lines = pc.if_else(pa.array(records.lines == 0), "", lines)
    rows = pa.array(records.rows).cast(pa.string())
    return pc.binary_join_element_wise("row ", rows, lines, ": ", said.take(pa.array(records.codes)), "")


def printable(text: str) -> str:
    r"""Return the text with everything that does not show, or that changes what does, as an escape.

    Control characters, marks that turn the direction of writing, blanks other than the space, surrogates and
    unassigned characters become `\t`, `\x1b`, `\u202e`; an undecodable byte of a file name becomes `\xNN`.
    The result is always valid UTF-8, on one line.
    """
    return text if text.isprintable() else _MAYBE_HIDDEN.sub(_escape, text)


def shortened(text: str, limit: int = SHOWN_CHARACTERS) -> str:
    """Return at most `limit` characters of the text, the last of them an ellipsis where something was cut."""
    return text if len(text) <= limit else text[: limit - 1] + "…"


def _found(found: str | None, *, in_quotes: bool) -> str:
    if found is None:
        return "found nothing"
    shown = shortened(found)
    return f"found '{shown}'" if in_quotes else f"found {shown}"


def _escape(match: re.Match[str]) -> str:
    character = match[0]
    if character.isprintable():
        return character
    return _NAMED.get(character) or _numbered(ord(character))


def _numbered(point: int) -> str:
    if point in _ESCAPED_BYTES:
        return f"\\x{point - 0xDC00:02x}"
    if point < _BYTE:
        return f"\\x{point:02x}"
    return f"\\u{point:04x}" if point < _PLANE else f"\\U{point:08x}"
