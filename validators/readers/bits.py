"""Flags of a block's bytes as bits, 64 at a step."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from validators.model import Mask

#: One bit for each byte of a block, the first in the lowest bit.
Bits = npt.NDArray[np.uint64]

_ONE: Final = np.uint64(1)
_TOP: Final = np.uint64(63)
_WORD_BYTES: Final = 8


def packed(flags: Mask) -> Bits:
    """Return flags as bits, filled up with zeros."""
    octets = np.packbits(flags, bitorder="little")
    words = np.zeros(-(-len(octets) // _WORD_BYTES), np.uint64)
    words.view(np.uint8)[: len(octets)] = octets
    return words


def unpacked(bits: Bits, count: int) -> Mask:
    """Return the first `count` bits as flags."""
    return np.unpackbits(bits.view(np.uint8), count=count, bitorder="little").view(np.bool_)


def running_parity(bits: Bits) -> Bits:
    """Set each bit from an odd set bit up to the next one, that one left out."""
    inside = bits.copy()
    for step in (1, 2, 4, 8, 16, 32):
        inside ^= inside << np.uint64(step)
    odd = np.bitwise_xor.accumulate(inside >> _TOP)
    inside[1:] ^= np.uint64(0) - odd[:-1]
    return inside


def one_later(bits: Bits) -> Bits:
    """Move each bit one place on; the first place is set."""
    moved = bits << _ONE
    moved[1:] |= bits[:-1] >> _TOP
    moved[0] |= _ONE
    return moved


def one_earlier(bits: Bits) -> Bits:
    """Move each bit one place back."""
    moved = bits >> _ONE
    moved[:-1] |= bits[1:] << _TOP
    return moved
