"""Physical lines of a block of text, and whether its bytes are UTF-8. Knows nothing of quotes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from validators.model import Numbers

#: Bytes of a block.
Octets = npt.NDArray[np.uint8]

LF: Final = 10
CR: Final = 13


@dataclass(frozen=True, kw_only=True)
class Lines:
    """Physical lines: `starts` has one more entry than there are lines, `ends` leaves the line ends out."""

    starts: Numbers
    ends: Numbers


def last_line_end(data: bytes) -> int:
    r"""Return where the last complete line of a block ends; a `\r` at the very end may still become `\r\n`."""
    stop = len(data) - data.endswith(b"\r")
    feed = data.rfind(b"\n", 0, stop)
    return max(feed, data.rfind(b"\r", feed + 1, stop)) + 1


def line_after(data: bytes, start: int) -> int:
    r"""Return where the line after the one at `start` begins, the length if there is none; a `\r\n` is one line end."""
    feed, back = data.find(b"\n", start), data.find(b"\r", start)
    if back < 0 or 0 <= feed <= back + 1:
        return feed + 1 if feed >= 0 else len(data)
    return back + 1


def closed(data: bytes) -> bytes:
    """Return the last bytes of a file with a line end at their end; none stay none."""
    return data if not data or data.endswith((b"\n", b"\r")) else data + b"\n"


def line_bounds(data: bytes, end: int) -> Lines:
    """Find the physical lines of `data[:end]`, which ends with a line end."""
    octets = np.frombuffer(data, np.uint8, end)
    at = np.flatnonzero(octets == LF)
    if data.find(b"\r", 0, end) < 0:
        return Lines(starts=_from_zero(at + 1), ends=at)
    returns = np.flatnonzero(octets == CR)
    # The byte after a `\r` at the very end is none, which makes it a line end of its own.
    alone = returns[octets[np.minimum(returns + 1, end - 1)] != LF]
    ends = at - ((octets[at - 1] == CR) & (at > 0))
    if len(alone):
        at, ends = (np.sort(np.concatenate((one, alone))) for one in (at, ends))
    return Lines(starts=_from_zero(at + 1), ends=ends)


def is_utf8(data: bytes, end: int) -> bool:
    """Tell whether `data[:end]` is valid UTF-8."""
    if data.isascii():
        return True
    offsets = pa.py_buffer(np.array([0, end], np.int64).tobytes())
    whole = pa.Array.from_buffers(pa.large_binary(), 1, [None, offsets, pa.py_buffer(data)])
    try:
        whole.cast(pa.large_string())
    except pa.ArrowInvalid:
        return False
    return True


def _from_zero(starts: Numbers) -> Numbers:
    return np.concatenate((np.zeros(1, starts.dtype), starts))
