"""How one delimited file really is written: by its name, its byte order mark and, where the feed asks, its contents.

Never decides silently: what is found in the bytes is told in a note, and where it is not clear the file is refused.
"""

from __future__ import annotations

import codecs
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np

from validators.errors import FileProblem
from validators.model import Dialect, Limits
from validators.readers import lines, opening, records
from validators.readers.faults import split, unquoted
from validators.readers.opening import Encoding

#: The columns that a rejected.csv has after those of the file it came from.
RETURNED: Final = ("_line", "_problems")

#: Delimiters that are tried, and how a report calls them.
_DELIMITERS: Final = ((",", "comma"), (";", "semicolon"), ("\t", "tab"), ("|", "bar"))
#: Decompressed bytes in which delimiters are counted.
_SAMPLE_BYTES: Final = 256 * 1024
#: Bytes from the first one beyond ASCII on that decide on the encoding.
_ACCENTED_BYTES: Final = 64 * 1024
#: The share of records with the same number of fields as the first one, above which a delimiter may be the one.
_LEAST_SHARE: Final = 0.5
_PACKINGS: Final = (".gz", ".bz2", ".zst")


@dataclass(frozen=True, kw_only=True)
class Found:
    """How a file is written."""

    #: As declared, with the delimiter and the encoding that this file has.
    dialect: Dialect
    encoding: Encoding
    #: What was found, for the report.
    notes: tuple[str, ...]


def find_dialect(path: Path, *, name: str, dialect: Dialect, limits: Limits) -> Found:
    """Find out how a file is written.

    A name that ends in `.tsv` or `.tab` means tabs, unless the first record has none and is one of the feed's own
    delimiter; and the other way round. A byte order mark means its encoding. With `dialect.auto` the delimiter is
    looked for (comma, semicolon, tab or bar, the one that gives records with the same number of fields, two at least;
    none of them anywhere means one column) and so is the encoding (UTF-8 if that is what the bytes beyond ASCII mostly
    are, else Windows-1252).
    Quotes are never turned off.

    Raises:
        FileProblem: `dialect_unclear`: not just one delimiter fits; and what `opening` raises.
        SetupError: the declared encoding does not exist.
    """
    head = opening.beginning(path, limits=limits, count=_SAMPLE_BYTES if dialect.auto else opening.HEAD_BYTES)
    notes = []
    if dialect.auto:
        encoding = _guessed_encoding(path, head, limits)
        notes.append(f"encoding found: {encoding.name}")
    else:
        encoding = opening.encoding_of(head, dialect.encoding)
        notes += [encoding.note] if encoding.note else []
    delimiter, note = _delimiter(name, head, encoding, dialect, limits)
    dialect = replace(dialect, delimiter=delimiter, encoding=encoding.name)
    return Found(dialect=dialect, encoding=encoding, notes=(*notes, note) if note else tuple(notes))


def returned_delimiter(first: str, dialect: Dialect) -> str:
    """Return the delimiter with which a first record ends in the columns of a rejected.csv; empty if it does not.

    Others than the declared one are tried too: the rejects of a .tsv file come back in a .csv file with tabs.
    """
    if not all(name in first for name in RETURNED):
        return ""
    for delimiter in (dialect.delimiter, *(one for one, _ in _DELIMITERS)):
        last = split(first, delimiter, dialect.quote)[-len(RETURNED) :]
        if tuple(unquoted(field, dialect.quote) for field in last) == RETURNED:
            return delimiter
    return ""


def _delimiter(name: str, head: bytes, encoding: Encoding, dialect: Dialect, limits: Limits) -> tuple[str, str]:
    """Return the delimiter of this file, and what the report should say of it: the name's, the feed's, or another."""
    tabs = _has_tabs(name)
    if tabs or not dialect.auto:
        named, other = ("\t", dialect.delimiter) if tabs else (dialect.delimiter, "\t")
        if not _lies(named, other, head, encoding, dialect, limits):
            return named, ""
        if not dialect.auto:
            return other, f"{'named as TSV' if tabs else 'not named as TSV'}, holds {_words(other)}; read with them"
    delimiter, words = _guessed_delimiter(head, encoding, dialect, limits)
    return delimiter, f"delimiter found: {words}"


def _lies(named: str, other: str, head: bytes, encoding: Encoding, dialect: Dialect, limits: Limits) -> bool:
    """Tell whether a file's name is wrong about its delimiter: one field with it, and several with the other one.

    Where the columns are given, there have to be as many fields as columns.
    """
    first = head[encoding.mark :].lstrip(b"\0\r\n").splitlines()[:1]
    if named == other or not first or named.encode() in first[0] or other.encode() not in first[0]:
        return False  # as nearly always, and without a closer look
    text = lines.closed(b"".join(opening.as_utf8(iter([head]), encoding)))
    fields = [_first_fields(text, replace(dialect, delimiter=each), limits) for each in (named, other)]
    wanted = 0 if dialect.header else len(dialect.columns)
    return fields[0] <= 1 and (fields[1] == wanted if wanted else fields[1] > 1)


def _first_fields(text: bytes, dialect: Dialect, limits: Limits) -> int:
    """Count the fields of the first record; 0 where its quotes are wrong."""
    found = records.scan(text, len(text), records.grammar_of(dialect, limits), final=True)
    return int(found.fields[0]) if len(found) and found.faults[0] == records.Fault.NONE else 0


def _words(delimiter: str) -> str:
    return next((f"{words}s" for each, words in _DELIMITERS if each == delimiter), repr(delimiter))


def _has_tabs(name: str) -> bool:
    bare = name.lower()
    for packing in _PACKINGS:
        bare = bare.removesuffix(packing)
    return bare.endswith((".tsv", ".tab"))


def _guessed_encoding(path: Path, head: bytes, limits: Limits) -> Encoding:
    if wide := opening.looks_wide(head):
        return opening.encoding_of(head, wide)
    encoding = opening.encoding_of(head, "utf-8")
    return encoding if encoding.mark or _is_utf8(path, limits) else Encoding(name="cp1252")


def _is_utf8(path: Path, limits: Limits) -> bool:
    """Tell whether the first bytes beyond ASCII, wherever they are, are more likely UTF-8 than a single-byte codec."""
    decoder = codecs.getincrementaldecoder("utf-8")(opening.UNDECODABLE)
    for block in opening.decompressed(path, limits=limits):
        if block.isascii():
            continue
        first = int(np.argmax(np.frombuffer(block, np.uint8) >= 0x80))  # noqa: PLR2004 - beyond ASCII
        characters = decoder.decode(block[first : first + _ACCENTED_BYTES])
        beyond = np.frombuffer(characters.encode("utf-32-le", "surrogatepass"), np.uint32)
        bad = int(np.count_nonzero((beyond >= 0xDC00) & (beyond <= 0xDCFF)))  # noqa: PLR2004 - see `undecodable`
        good = int(np.count_nonzero(beyond >= 0x80)) - bad  # noqa: PLR2004 - beyond ASCII
        if bad or good:
            return good > bad
    return True


def _guessed_delimiter(head: bytes, encoding: Encoding, dialect: Dialect, limits: Limits) -> tuple[str, str]:
    text = b"".join(opening.as_utf8(iter([head]), encoding))
    whole = len(head) < _SAMPLE_BYTES
    data = lines.closed(text) if whole else text
    end = len(data) if whole else lines.last_line_end(data)
    seen, fitting, single = [], [], True
    for delimiter, words in _DELIMITERS:
        grammar = records.grammar_of(replace(dialect, delimiter=delimiter), limits)
        found = records.scan(data, end, grammar, final=whole)
        if not len(found):
            raise FileProblem("empty_file", "the file has no records", hint=_SET)
        fields, same = _regularity(found)
        seen.append(f"{words}: {fields} in {same:,} of {len(found):,} records")
        if fields > 1 and same > _LEAST_SHARE * len(found):
            fitting.append((delimiter, words))
        single &= bool((found.fields == 1).all())
    if single:
        return dialect.delimiter, "none, for the file has one column"
    if len(fitting) != 1:
        raise _unclear(seen, [words for _, words in fitting])
    return fitting[0]


def _regularity(found: records.Records) -> tuple[int, int]:
    """Return the fields of the first record, and how many sound records have as many."""
    sound = found.faults == records.Fault.NONE
    fields = int(found.fields[0])
    return fields, int(np.count_nonzero(sound & (found.fields == fields)))


_SET: Final = "Set delimiter (and encoding) in the feed's dialect instead of auto."


def _unclear(seen: Sequence[str], fitting: Sequence[str]) -> FileProblem:
    which = f"{' and '.join(fitting)} fit equally well" if fitting else "none of comma, semicolon, tab and bar fits"
    return FileProblem(
        "dialect_unclear",
        f"the delimiter is not clear: {which} (fields found with {'; '.join(seen)})",
        hint=_SET,
    )
