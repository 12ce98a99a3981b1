"""A quick look at a block of delimited text: whether all is plainly in order, without finding any position.

Most blocks of most files are tidy, and a look at masks and bits costs a small part of what finding positions does.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np

from validators.model import Mask
from validators.readers.bits import one_earlier, one_later, packed, running_parity
from validators.readers.lines import CR, LF, Octets, is_utf8
from validators.readers.records import Grammar

#: Bytes looked at together: few enough that all masks of them stay in a core's cache (measured: half the time).
_PIECE_BYTES: Final = 256 * 1024


def tidy_lines(data: bytes, end: int, grammar: Grammar) -> int | None:
    """Count the lines of `data[:end]` if each of them, blank ones aside, plainly is one sound record; else None.

    Fields are not counted. `records.scan` finds the same records, and says what is wrong where this returns None.
    """
    if end > grammar.max_bytes:
        return None
    total = 0
    for start, stop in _pieces(data, end):
        count = _tidy_piece(data, start, stop, grammar)
        if count is None:
            return None
        total += count
    return total if is_utf8(data, end) else None


def _pieces(data: bytes, end: int) -> Iterator[tuple[int, int]]:
    start = 0
    while start < end:
        stop = data.find(b"\n", min(start + _PIECE_BYTES, end) - 1, end) + 1 or end
        yield start, stop
        start = stop


def _tidy_piece(data: bytes, start: int, stop: int, grammar: Grammar) -> int | None:
    if data.find(b"\0", start, stop) >= 0:
        return None
    octets = np.frombuffer(data, np.uint8, stop - start, start)
    feeds = octets == LF
    returns = octets == CR if data.find(b"\r", start, stop) >= 0 else None
    if returns is not None and not _each_before(returns, feeds):
        return None
    if grammar.quote and data.find(grammar.quote, start, stop) >= 0:
        ends = feeds if returns is None else feeds | returns
        if not _tidy_quotes(octets, ends, grammar):
            return None
    return int(np.count_nonzero(feeds))


def _each_before(first: Mask, second: Mask) -> bool:
    """Tell whether the two only ever come side by side."""
    pairs = np.count_nonzero(first[:-1] & second[1:])
    return bool(pairs == np.count_nonzero(first) == np.count_nonzero(second))


def _tidy_quotes(octets: Octets, ends: Mask, grammar: Grammar) -> bool:
    """Tell whether every quote is in its place and no line end is quoted.

    Counted from the beginning, quotes open and close in turn (a doubled quote closes and opens again). One that opens
    must stand behind a delimiter, a line end or a quote; one that closes, before such.
    """
    quotes, line_ends = packed(octets == grammar.quote[0]), packed(ends)
    neighbours = packed(octets == grammar.delimiter[0]) | line_ends | quotes
    inside = running_parity(quotes)
    wrong = line_ends & inside
    opens = quotes & inside
    wrong |= opens & ~one_later(neighbours)
    wrong |= (quotes ^ opens) & ~one_earlier(neighbours)
    return not wrong.any()
