"""A quick look at a block of delimited text: whether all is plainly in order, without finding any position.

Most blocks of most files are tidy, and a look at masks and bits costs a small part of what finding positions does.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from validators.model import Mask
from validators.readers.lines import CR, LF, Octets, is_utf8
from validators.readers.records import Grammar

#: One bit for each byte of a block, the first in the lowest bit.
Bits = npt.NDArray[np.uint64]

_ONE: Final = np.uint64(1)
_TOP: Final = np.uint64(63)


def tidy_lines(data: bytes, end: int, grammar: Grammar) -> int | None:
    """Count the lines of `data[:end]` if each of them, blank ones aside, plainly is one sound record; else None.

    A quick look without positions, for most blocks of most files. Fields are not counted. `scan` finds the same
    records, and says what is wrong where this returns None.
    """
    if end > grammar.max_bytes or data.find(b"\0", 0, end) >= 0 or not is_utf8(data, end):
        return None
    octets = np.frombuffer(data, np.uint8, end)
    feeds = octets == LF
    lines = int(np.count_nonzero(feeds))
    returns = octets == CR if data.find(b"\r", 0, end) >= 0 else None
    if returns is not None and not _each_before(returns, feeds):
        return None
    if grammar.quote and data.find(grammar.quote, 0, end) >= 0:
        ends = feeds if returns is None else feeds | returns
        if not _tidy_quotes(octets, ends, grammar):
            return None
    return lines


def _each_before(first: Mask, second: Mask) -> bool:
    """Tell whether the two only ever come side by side."""
    pairs = np.count_nonzero(first[:-1] & second[1:])
    return bool(pairs == np.count_nonzero(first) == np.count_nonzero(second))


def _tidy_quotes(octets: Octets, ends: Mask, grammar: Grammar) -> bool:
    """Tell whether every quote is in its place and no line end is quoted, 64 bytes at a step."""
    quotes, line_ends = _bits(octets == grammar.quote[0]), _bits(ends)
    neighbours = _bits(octets == grammar.delimiter[0]) | line_ends | quotes
    inside = _running_parity(quotes)
    after = neighbours << _ONE
    after[1:] |= neighbours[:-1] >> _TOP
    after[0] |= _ONE
    ahead = neighbours >> _ONE
    ahead[:-1] |= neighbours[1:] << _TOP
    wrong = (quotes & inside & ~after) | (quotes & ~inside & ~ahead) | (line_ends & inside)
    return not wrong.any()


def _bits(flags: Mask) -> Bits:
    packed = np.packbits(flags, bitorder="little")
    padded = np.zeros(-(-len(packed) // 8) * 8, np.uint8)
    padded[: len(packed)] = packed
    return padded.view(np.uint64)


def _running_parity(bits: Bits) -> Bits:
    """Set each bit from an odd set bit up to the next one, that one left out."""
    inside = bits.copy()
    for step in (1, 2, 4, 8, 16, 32):
        inside ^= inside << np.uint64(step)
    odd = np.bitwise_xor.accumulate(inside >> _TOP)
    inside[1:] ^= np.uint64(0) - odd[:-1]
    return inside
