r"""Where records of delimited text begin and end: strict RFC 4180, found with NumPy in whole blocks of bytes.

A field is bare (no quote in it) or quoted as a whole (quotes inside it doubled). A record ends at `\n`, `\r\n` or a
lone `\r` outside quotes. A blank line is no record. Where the quotes of a record go wrong, only its first physical
line is malformed and reading goes on with the next line, so that one broken quote never swallows good rows.
"""

from __future__ import annotations

import enum
import functools
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from validators.errors import FileProblem, SetupError
from validators.model import Dialect, Limits, Mask, Numbers
from validators.readers.bits import packed, running_parity, unpacked
from validators.readers.lines import CR, LF, Lines, Octets, is_utf8, line_bounds


class Fault(enum.IntEnum):
    """What is wrong with a record; the largest number wins where several things are."""

    NONE = 0
    FIELD_COUNT = 1
    ENCODING = 2
    NUL_BYTE = 3
    #: A quote in the middle of a bare field.
    STRAY_QUOTE = 4
    #: Text between a closing quote and the next delimiter.
    TEXT_AFTER_QUOTE = 5
    #: A quote that is not closed, or only in a record that cannot be one.
    OPEN_QUOTE = 6


@dataclass(frozen=True, kw_only=True)
class Grammar:
    """What delimits fields and records."""

    #: One byte.
    delimiter: bytes
    #: One byte, or none where nothing is quoted.
    quote: bytes
    #: Bytes of the longest record that is read.
    max_bytes: int
    #: Fields that a record has; 0 where any number will do.
    width: int = 0

    def of_width(self, width: int) -> Grammar:
        """Return the same grammar for records with `width` fields."""
        return replace(self, width=width)


@dataclass(frozen=True, kw_only=True)
class Records:
    """The records of one block; positions are bytes from its beginning, lines are counted from 0."""

    #: Where each record begins, where it ends (its line end left out), where the line after it begins.
    starts: Numbers
    ends: Numbers
    after: Numbers
    #: The physical line on which each record begins.
    lines: Numbers
    #: A `Fault` for each record.
    faults: npt.NDArray[np.uint8]
    #: Fields of each record; means nothing where quotes are wrong.
    fields: Numbers
    #: Bytes and physical lines that are done with; what follows needs more bytes to be understood.
    used: int
    used_lines: int
    #: Whether a good record has a line end in a quoted field.
    multiline: bool

    def __len__(self) -> int:
        """Count the records, malformed ones included."""
        return len(self.starts)


def grammar_of(dialect: Dialect, limits: Limits) -> Grammar:
    """Return the grammar of a dialect, for any number of fields.

    Raises:
        SetupError: delimiter or quote is not one ASCII character, or they are not told apart.
    """
    delimiter, quote = dialect.delimiter, dialect.quote
    if len(delimiter) != 1 or not delimiter.isascii() or delimiter in "\r\n\0":
        raise SetupError(f"The dialect's delimiter is {delimiter!r}; it must be one ASCII character, such as ','.")
    if quote and (len(quote) != 1 or not quote.isascii() or quote in "\r\n\0" or quote == delimiter):
        raise SetupError(
            f"The dialect's quote is {quote!r}; it must be one ASCII character other than the delimiter, or empty."
        )
    return Grammar(delimiter=delimiter.encode(), quote=quote.encode(), max_bytes=limits.max_line_bytes)


def scan(data: bytes, end: int, grammar: Grammar, *, final: bool, line: int = 1) -> Records:
    """Find the records of `data[:end]`, which ends with a line end, and what is wrong with each.

    Args:
        data: the block; its first byte begins a record.
        end: where its last complete line ends.
        grammar: what delimits fields and records.
        final: whether nothing comes after `end`. If not, a record that may go on is left for the next block.
        line: the number of the first physical line, for the error.

    Raises:
        FileProblem: `line_too_long`: a physical line has more than `grammar.max_bytes` bytes.
    """
    lines = line_bounds(data, end)
    sizes = lines.ends - lines.starts[:-1]
    if len(sizes) and sizes.max() > grammar.max_bytes:
        raise line_too_long(line + int(np.argmax(sizes > grammar.max_bytes)), grammar)
    quotes = _Quotes.of(data, end, grammar, lines)
    grouped = quotes.group(final=final)
    records = grouped.records(sizes, quotes)
    _mark_bytes(data, records)
    if grammar.width:
        _mark(records.faults, np.flatnonzero(records.fields != grammar.width), Fault.FIELD_COUNT)
    return records


def line_too_long(line: int, grammar: Grammar) -> FileProblem:
    """Return the problem of a file with a physical line beyond the limit."""
    return FileProblem(
        "line_too_long",
        f"line {line:,} has more than {grammar.max_bytes:,} bytes, which is the limit",
        hint="Is a line end missing? If lines really are that long, raise limits.max_line_mb.",
        line=line,
    )


@dataclass(frozen=True, kw_only=True)
class _Grouped:
    """Physical lines put together to records."""

    bounds: Lines
    #: For each line: the last line of the record that begins there.
    last: Numbers
    #: For each line: whether it belongs to a record that begins on an earlier line.
    inner: Mask
    #: For each line: the quotes before it, modulo 2. A byte of its record is outside quotes when it has the same.
    parity: Numbers
    faults: npt.NDArray[np.uint8]
    #: Lines that are understood.
    used: int

    def records(self, sizes: Numbers, quotes: _Quotes) -> Records:
        """Leave blank lines and inner lines out."""
        first = np.flatnonzero((~self.inner & (sizes > 0))[: self.used])
        last = self.last[first]
        starts, done = self.bounds.starts[first], int(self.bounds.starts[self.used])
        return Records(
            starts=starts,
            ends=self.bounds.ends[last],
            after=self.bounds.starts[last + 1],
            lines=first,
            faults=self.faults[first],
            fields=quotes.fields(starts, np.append(starts[1:], done), self.parity[first]),
            used=done,
            used_lines=self.used,
            multiline=bool((last > first).any()),
        )


@dataclass(frozen=True, kw_only=True)
class _Quotes:
    """The quotes of a block, judged for both cases: that quotes before them are even in number, and odd.

    Counted from the beginning of a record, quotes open and close in turn (a doubled quote closes and opens again).
    One that opens must stand behind a delimiter, a line end or a quote; one that closes, before such.
    """

    octets: Octets
    grammar: Grammar
    bounds: Lines
    #: Positions of the quotes.
    at: Numbers
    #: For each line start: the quotes before it.
    before: Numbers
    #: Positions in `at` of quotes that are wrong if quotes with even numbers open, and if those with odd ones do.
    wrong: tuple[Numbers, Numbers]

    @classmethod
    def of(cls, data: bytes, end: int, grammar: Grammar, bounds: Lines) -> _Quotes:
        """Find the quotes and those that cannot be."""
        octets = np.frombuffer(data, np.uint8, end)
        some = grammar.quote and data.find(grammar.quote, 0, end) >= 0
        at = np.flatnonzero(octets == grammar.quote[0]) if some else np.zeros(0, np.int64)
        neighbour = np.zeros(256, np.bool_)
        neighbour[[LF, CR, *grammar.quote, *grammar.delimiter]] = True
        # Before the first byte stands, so to say, the last one, which is a line end.
        opens_wrong, closes_wrong = ~neighbour[octets[at - 1]], ~neighbour[octets[at + 1]]
        even = np.arange(len(at)) % 2 == 0
        wrong = (
            np.flatnonzero(np.where(even, opens_wrong, closes_wrong)),
            np.flatnonzero(np.where(even, closes_wrong, opens_wrong)),
        )
        before = np.searchsorted(at, bounds.starts)
        return cls(octets=octets, grammar=grammar, bounds=bounds, at=at, before=before, wrong=wrong)

    def group(self, *, final: bool) -> _Grouped:
        """Put lines together where a quoted field has line ends, and find the lines whose quotes are wrong.

        What a line is when a record begins on it does not depend on the lines before it: sound (quotes balanced),
        broken, or open. So only open lines have to be looked at together with what follows, and each of them can end
        only on the next line with an odd number of quotes.
        """
        count = len(self.bounds.ends)
        parity = self.before[:-1] % 2
        odd = np.flatnonzero(np.diff(self.before) % 2)
        heads, tails = self._pairs(odd, parity)
        last = np.arange(count)
        last[heads] = tails
        depth = np.zeros(count + 1, np.int64)
        np.add.at(depth, heads + 1, 1)
        np.add.at(depth, tails + 1, -1)
        inner = np.cumsum(depth[:-1]) > 0
        faults = np.zeros(count, np.uint8)
        faults[odd] = Fault.OPEN_QUOTE
        faults[heads] = Fault.NONE
        self._mark_broken(faults, parity)
        used = count if final or not len(odd) or inner[odd[-1]] else self._settled(int(odd[-1]))
        return _Grouped(bounds=self.bounds, last=last, inner=inner, parity=parity, faults=faults, used=used)

    def fields(self, starts: Numbers, ends: Numbers, parity: Numbers) -> Numbers:
        """Count the fields of records, given the parity of the quotes before each."""
        even, odd = self._delimiters
        counts = np.searchsorted(even, ends) - np.searchsorted(even, starts)
        if parity.any():
            counts = np.where(parity == 0, counts, np.searchsorted(odd, ends) - np.searchsorted(odd, starts))
        return counts + 1

    @functools.cached_property
    def _delimiters(self) -> tuple[Numbers, Numbers]:
        """Positions of the delimiters with an even number of quotes before them, and of the others."""
        flags = self.octets == self.grammar.delimiter[0]
        if not len(self.at):
            return np.flatnonzero(flags), self.at
        inside = unpacked(running_parity(packed(self.octets == self.grammar.quote[0])), len(flags))
        return np.flatnonzero(flags & ~inside), np.flatnonzero(flags & inside)

    def _pairs(self, odd: Numbers, parity: Numbers) -> tuple[Numbers, Numbers]:
        """Return first and last lines of the records that span lines."""
        heads, tails = odd[:-1], odd[1:]
        starts, ends = self.bounds.starts[heads], self.bounds.ends[tails]
        sound = self._sound(self.before[heads], self.before[tails + 1], parity[heads])
        sound &= ends - starts <= self.grammar.max_bytes
        if self.grammar.width and sound.any():
            sound &= self.fields(starts, ends, parity[heads]) == self.grammar.width
        chosen = _every_other(sound)
        return heads[chosen], tails[chosen]

    def _sound(self, first: Numbers, stop: Numbers, parity: Numbers) -> Mask:
        """Tell whether no quote from `first` to `stop` is wrong, given the parity that opens."""
        none = [np.searchsorted(wrong, first) == np.searchsorted(wrong, stop) for wrong in self.wrong]
        sound: Mask = np.where(parity == 0, none[0], none[1])
        return sound

    def _mark_broken(self, faults: npt.NDArray[np.uint8], parity: Numbers) -> None:
        """Mark lines with a wrong quote, by the first one."""
        first, stop = self.before[:-1], self.before[1:]
        for side, wrong in enumerate(self.wrong):
            if not len(wrong):
                continue
            next_wrong = np.searchsorted(wrong, first)
            position = wrong[np.minimum(next_wrong, len(wrong) - 1)]
            broken = np.flatnonzero((parity == side) & (position >= first) & (position < stop))
            closes = (position[broken] - first[broken]) % 2
            faults[broken] = np.where(closes, Fault.TEXT_AFTER_QUOTE, Fault.STRAY_QUOTE)

    def _settled(self, head: int) -> int:
        """Return how many lines are understood when the last open line is `head`, and more bytes may come."""
        count = len(self.bounds.ends)
        first, stop = self.before[head : head + 1], self.before[count : count + 1]
        goes_on = bool(self._sound(first, stop, first % 2)[0])
        fits = self.bounds.starts[count] - self.bounds.starts[head] <= self.grammar.max_bytes
        return head if goes_on and fits else count


def _every_other(flags: Mask) -> Mask:
    """Of each run of set flags keep the first, third, fifth, ...: what begins in one pair cannot begin the next."""
    index = np.arange(len(flags))
    before = np.maximum.accumulate(np.where(flags, -1, index)) if len(flags) else index
    chosen: Mask = flags & ((index - before) % 2 == 1)
    return chosen


def _mark(faults: npt.NDArray[np.uint8], index: Numbers, fault: Fault) -> None:
    faults[index] = np.maximum(faults[index], fault)


def _mark_bytes(data: bytes, records: Records) -> None:
    """Mark records with NUL bytes and with bytes that are not UTF-8."""
    octets = np.frombuffer(data, np.uint8, records.used)
    if data.find(b"\0", 0, records.used) >= 0:
        _mark(records.faults, _holders(octets == 0, records), Fault.NUL_BYTE)
    if not is_utf8(data, records.used):
        suspects = _holders(octets >= 0x80, records)  # noqa: PLR2004 - beyond ASCII
        bad = [i for i in suspects if not _decodes(data[records.starts[i] : records.ends[i]])]
        _mark(records.faults, np.array(bad, np.int64), Fault.ENCODING)


def _decodes(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


def _holders(flags: Mask, records: Records) -> Numbers:
    """Return the records in which the flagged bytes are."""
    return np.unique(np.searchsorted(records.starts, np.flatnonzero(flags), "right") - 1)
