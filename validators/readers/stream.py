"""A file's text for one who reads it block by block and leaves a part of each block for the next time."""

from __future__ import annotations

import os
from collections.abc import Generator, Iterator
from contextlib import ExitStack
from io import FileIO
from pathlib import Path
from typing import Protocol

from validators.model import Limits
from validators.readers import opening
from validators.readers.opening import Compression, Encoding


class Stream(Protocol):
    """A file's text in UTF-8, from some place on."""

    def after(self, rest: bytes, more: int) -> tuple[bytes, bool]:
        """Return what was left of the last block with about so many further bytes; tell whether the file ends there.

        Args:
            rest: the end of the bytes that were returned last; empty at first.
            more: how many are wanted; there may be an eighth less, and at the file's end fewer, maybe none.

        Raises:
            FileProblem: what `opening.decompressed` raises.
            OSError: the file cannot be read.
        """

    def close(self) -> None:
        """Let go of the file."""


def stream(path: Path, *, encoding: Encoding, limits: Limits, block_bytes: int, skip: int) -> Stream:
    """Open a file's text without its first `skip` bytes, and without a byte order mark.

    Args:
        path: a local file, compressed or not.
        encoding: how its characters are written.
        limits: what the file may ask for.
        block_bytes: bytes that are unpacked at once.
        skip: counted in UTF-8.

    Raises:
        OSError: the file cannot be read.
    """
    with ExitStack() as stack:
        file = stack.enter_context(path.open("rb", buffering=0))
        if encoding.name == "utf-8" and opening.compression_in(file) is Compression.NONE:
            file.seek(encoding.mark + skip)
            stack.pop_all()
            return _Plain(file, limits)
    blocks = opening.text(path, encoding=encoding, limits=limits, block_bytes=block_bytes)
    return _Unpacked(opening.without(skip, blocks))


def joined(blocks: Iterator[bytes], least: int) -> tuple[bytes, bool]:
    """Join blocks, small as decompressors give them, to `least` bytes; tell whether these are the last, maybe none."""
    parts: list[bytes] = []
    for block in blocks:
        parts.append(block)
        least -= len(block)
        if least <= 0:
            return b"".join(parts), False
    return b"".join(parts), True


class _Plain:
    """A file whose bytes are its text. What was left is read again, which costs less than to put it before the rest."""

    def __init__(self, file: FileIO, limits: Limits) -> None:
        self._file = file
        self._limits = limits

    def after(self, rest: bytes, more: int) -> tuple[bytes, bool]:
        """Go back by what was left, and read on from there."""
        wanted = len(rest) + more
        self._file.seek(-len(rest), os.SEEK_CUR)
        data = self._file.read(wanted)
        while len(data) < wanted and (further := self._file.read(wanted - len(data))):
            data += further
        if self._file.tell() > self._limits.max_decompressed_bytes:
            raise opening.too_large(Compression.NONE, self._limits)
        return data, len(data) < wanted

    def close(self) -> None:
        """Close it."""
        self._file.close()


class _Unpacked:
    """A file that is unpacked, or written in another encoding, as it is read."""

    def __init__(self, blocks: Generator[bytes]) -> None:
        self._blocks = blocks

    def after(self, rest: bytes, more: int) -> tuple[bytes, bool]:
        """Join what was left and the next blocks."""
        # The first block lacks what was skipped, and is not to be joined with the second for that.
        block, final = joined(self._blocks, more - more // 8)
        return rest + block, final

    def close(self) -> None:
        """Unpack no more."""
        self._blocks.close()
