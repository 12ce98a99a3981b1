"""How cells of a rejected.csv are written, so that they read back the same and no spreadsheet runs one as a formula."""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from validators.formulas import guard
from validators.model import Dialect

#: What starts a formula in one spreadsheet or another (OWASP, "CSV Injection"); `+` and `-` are looked at apart.
_SIGNS = "=@\t\r\n"
#: Their full-width forms (U+FF1D, FF0B, FF0D, FF20) in UTF-8: East Asian spreadsheets take them for the plain ones.
_WIDE_SIGNS = rb"\xef\xbc[\x8b\x8d\x9d\xa0]"
_FORMULA = re.compile(rb"'*(?:[=@\t\r\n+\-]|" + _WIDE_SIGNS + rb")")
_NUMBER = re.compile(rb"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")

#: How the words on a record without cells begin (`validators.sentences.malformed_sentences`).
_WORDS = re.compile(rb"row [0-9]+ \(line [0-9]+\): ")


@dataclass(frozen=True)
class Quoting:
    """One dialect's way to write cells. Made once for a dialect by `quoting`.

    All arrays are `pa.large_binary()` on the way out: a batch of long records may pass 2 GiB.
    """

    delimiter: str
    quote: str
    #: Cells that mean that there is no value; a text that happens to be the same is quoted.
    null_tokens: tuple[str, ...]

    def cells(self, column: pa.Array) -> pa.Array:
        """Write a column's cells: guarded, quoted where needed; null is the empty cell and the empty text is `""`.

        Args:
            column: text (`pa.string()`), null where there is no value.
        """
        guarded = guard(column)
        if not self.quote:
            return pc.fill_null(guarded, "").cast(pa.large_binary())
        needs = pc.or_(
            pc.match_substring_regex(guarded, self._needs_quotes),
            pc.is_in(guarded, pa.array(["", *self.null_tokens], guarded.type)),
        )
        if pc.any(needs).as_py():
            guarded = pc.if_else(needs, self._quoted(guarded), guarded)
        return pc.fill_null(guarded, "").cast(pa.large_binary())

    def always(self, column: pa.Array) -> pa.Array:
        """Write a column's cells (`pa.string()`, no nulls) in quotes, all of them but the empty ones.

        Without a quote character delimiters and line breaks become blanks: these are words, not values.
        """
        guarded = guard(column)
        if not self.quote:
            pattern = f"(?:[\r\n]|{_literal(self.delimiter)})+"
            return pc.replace_substring_regex(guarded, pattern, " ").cast(pa.large_binary())
        return pc.if_else(pc.equal(guarded, ""), "", self._quoted(guarded)).cast(pa.large_binary())

    def guarded(self, records: pa.Array, *, returned: bool = False) -> pa.Array:
        """Return whole records as they came, with an apostrophe put before each cell that would come alive.

        Args:
            records: `pa.large_binary()`, as their file has them.
            returned: the records come from a rejected.csv, so cells with an apostrophe are guarded already.
        """
        suspicious = pc.match_substring_regex(records, self._suspicious)
        if not pc.any(suspicious).as_py():
            return records
        cell, write = self._cell, functools.partial(self._written, returned=returned)
        mended = [cell.sub(write, record) for record in records.filter(suspicious).to_pylist()]
        return pc.replace_with_mask(records, suspicious, pa.array(mended, pa.large_binary()))

    def without_last(self, records: pa.Array, count: int) -> pa.Array:
        """Return whole records (`pa.large_binary()`) without their last `count` cells."""
        delimiter = self.delimiter.encode()
        cut = [delimiter.join(self._split(record)[:-count]) for record in records.to_pylist()]
        return pa.array(cut, pa.large_binary())

    def without_words(self, records: pa.Array) -> pa.Array:
        """Return records that had too few or too many cells without the line and words that were put behind them.

        Else these would count as cells when the file is dropped back once more, and make a short record a whole one.
        """
        kept = [self._without_words(record) for record in records.to_pylist()]
        return pa.array(kept, pa.large_binary())

    def _without_words(self, record: bytes) -> bytes:
        *cells, line, words = [b"", b"", *self._split(record)]
        told = line.isdigit() and _WORDS.match(words.removeprefix(self.quote.encode()))
        return self.delimiter.encode().join(cells[2:]) if told else record

    def _split(self, record: bytes) -> list[bytes]:
        cells = [match["cell"] for match in self._any_cell.finditer(record)]
        # An empty match follows a last cell that does not end in a delimiter.
        return cells if record.endswith(self.delimiter.encode()) or not record else cells[:-1] or cells

    def _quoted(self, column: pa.Array) -> pa.Array:
        doubled = pc.replace_substring(column, self.quote, self.quote * 2)
        return pc.binary_join_element_wise(self.quote, doubled, self.quote, "")

    def _written(self, match: re.Match[bytes], *, returned: bool) -> bytes:
        quoted, cell = match["quoted"], match[0]
        text = cell if quoted is None else quoted
        if not _FORMULA.match(text) or _NUMBER.fullmatch(text) or (returned and text.startswith(b"'")):
            return cell
        if self.quote == "'":
            return b"'''" + text + b"'"
        quote = b"" if quoted is None else self.quote.encode()
        return quote + b"'" + text + quote

    @functools.cached_property
    def _needs_quotes(self) -> str:
        return f"^[ ]|[ ]$|[\r\n]|{_literal(self.delimiter)}|{_literal(self.quote)}"

    @functools.cached_property
    def _suspicious(self) -> str:
        """A quick pattern (RE2, Latin-1) that misses no record with a formula in it; few others match."""
        delimiter, quote = _literal(self.delimiter), _literal(self.quote)
        unquoted = "".join(sign for sign in _SIGNS if sign != self.delimiter)
        wide = _WIDE_SIGNS.decode("ascii", "backslashreplace")
        starts = [rf"'*(?:[{unquoted}]|{wide})", r"'+[+\-]", rf"[+\-](?:{_not_a_number(f'$|{delimiter}', delimiter)})"]
        if quote:
            inside = _not_a_number(f"{quote}(?:$|{delimiter})", quote)
            starts.append(rf"{quote}(?:'*(?:[{_SIGNS}]|{wide})|'+[+\-]|[+\-](?:{inside}|[0-9.eE+\-]*{quote}{quote}))")
        return f"(?:^|{delimiter})(?:{'|'.join(starts)})"

    @functools.cached_property
    def _cell(self) -> re.Pattern[bytes]:
        """Match quoted cells, and of the others those that may be formulas."""
        delimiter = re.escape(self.delimiter.encode())
        unquoted = rb"(?=%s)(?!%s)[^%s]+" % (_FORMULA.pattern, delimiter, delimiter)
        return re.compile(rb"(?<![^%s])(?:%s%s)" % (delimiter, self._quoted_cell(b"|"), unquoted))

    @functools.cached_property
    def _any_cell(self) -> re.Pattern[bytes]:
        delimiter = re.escape(self.delimiter.encode())
        return re.compile(rb"(?P<cell>%s[^%s]*)(?:%s|\Z)" % (self._quoted_cell(b"|"), delimiter, delimiter))

    def _quoted_cell(self, then: bytes) -> bytes:
        if not self.quote:
            return b"(?P<quoted>(?!))" + then
        quote, delimiter = re.escape(self.quote.encode()), re.escape(self.delimiter.encode())
        inside = rb"(?P<quoted>(?:[^%s]|%s%s)*)" % (quote, quote, quote)
        return rb"%s%s%s(?=%s|\Z)" % (quote, inside, quote, delimiter) + then


@functools.lru_cache(maxsize=64)
def quoting(dialect: Dialect) -> Quoting:
    """Return the dialect's way to write cells."""
    return Quoting(dialect.delimiter, dialect.quote, dialect.null_tokens)


def _literal(character: str) -> str:
    """Return an ASCII character as both RE2 and Python's patterns have it, inside and outside of a class."""
    return f"\\x{ord(character):02x}" if character else ""


def _not_a_number(ends: str, other: str) -> str:
    """Return a pattern for what follows a sign unless that is a plain number and nothing else.

    Args:
        ends: a pattern for the end of the cell.
        other: the character that ends the cell, which is no part of it.
    """
    return (
        rf"\.?(?:{ends}|[eE])|[0-9]*\.[0-9]*\.|[0-9]*\.?[0-9]*(?:[^0-9.eE{other}]"
        rf"|[eE](?:[+\-]?(?:{ends})|[+\-]?[0-9]*[^0-9+\-{other}]|[+\-][+\-]|[+\-]?[0-9]+[+\-]))"
    )
