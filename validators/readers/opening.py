"""A local file's bytes, decompressed and in UTF-8, block by block, under limits. Knows nothing of records or cells.

Compression is told from the first bytes, whatever the file's name says. A byte that cannot be decoded stays invalid
UTF-8, so that it spoils the record it stands in and no other.
"""

from __future__ import annotations

import bz2
import codecs
import enum
import zlib
from collections.abc import Callable, Generator, Iterator, Mapping
from dataclasses import dataclass
from io import FileIO
from pathlib import Path
from types import MappingProxyType
from typing import BinaryIO, Final

import pyarrow as pa

from validators.errors import FileProblem, SetupError
from validators.model import Limits

#: Bytes handed on at once: large enough that the work for each block does not count, small enough for caches.
BLOCK_BYTES: Final = 8 * 1024**2
#: Bytes that are looked at to tell what a file is.
HEAD_BYTES: Final = 64 * 1024

#: Compressed bytes read at once.
_INPUT_BYTES: Final = 256 * 1024
#: Bytes that are enough to tell the compression.
_MAGIC_BYTES: Final = 16
#: bzip2: "BZh", a digit, then the first block's mark or, in an empty stream, the end's mark.
_BZIP2_MARKS: Final = (b"\x31\x41\x59\x26\x53\x59", b"\x17\x72\x45\x38\x50\x90")
#: Byte order marks, the longer ones first: that of UTF-32 LE begins with that of UTF-16 LE.
_ORDER_MARKS: Final = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
#: Codecs in which every byte is one character and ASCII is itself: such blocks of pure ASCII are UTF-8 already.
_SINGLE_BYTE: Final = ("cp125", "iso8859-", "koi8-", "mac-", "ascii")
#: Codecs of two or four bytes a character, in which commas and line ends have NULs.
_WIDE: Final = ("utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le", "utf-32-be")
#: The share of NULs at every second byte from which on a text is taken for UTF-16.
_WIDE_SHARE: Final = 0.4


class Compression(enum.StrEnum):
    """How a file's bytes are packed."""

    NONE = "none"
    GZIP = "gzip"
    BZIP2 = "bzip2"
    ZSTD = "zstd"


@dataclass(frozen=True, kw_only=True)
class Encoding:
    """How a file's characters are written."""

    #: A Python codec name in its normal form; `utf-8` is passed through as it is.
    name: str
    #: Bytes of the byte order mark, which are left out.
    mark: int = 0
    #: What the sender should know; empty when the file is as declared.
    note: str = ""


def undecodable(error: UnicodeError) -> tuple[str, int]:
    """Stand in for bytes that cannot be decoded: the character U+DC00 + byte for each, which UTF-8 does not allow.

    Python's own `surrogateescape` does not do: two escaped bytes may make one valid UTF-8 character, and it refuses
    bytes below 128, which UTF-16 has.
    """
    if not isinstance(error, UnicodeDecodeError):
        raise error
    return "".join(chr(0xDC00 + byte) for byte in error.object[error.start : error.end]), error.end


#: The name under which codecs find `undecodable`.
UNDECODABLE: Final = "blobdrop.undecodable"
codecs.register_error(UNDECODABLE, undecodable)


def compression_of(head: bytes) -> Compression:
    """Tell the compression from a file's first 16 bytes."""
    if head.startswith(b"\x1f\x8b"):
        return Compression.GZIP
    if head.startswith(b"\x28\xb5\x2f\xfd") or (head[1:4] == b"\x2a\x4d\x18" and head[0] in range(0x50, 0x60)):
        return Compression.ZSTD
    if head.startswith(b"BZh") and head[3:4].isdigit() and head[4:10] in _BZIP2_MARKS:
        return Compression.BZIP2
    return Compression.NONE


def compression_in(file: BinaryIO) -> Compression:
    """Tell the compression of a file that is at its beginning, and leave it there."""
    compression = compression_of(file.read(_MAGIC_BYTES))
    file.seek(0)
    return compression


def decompressed(path: Path, *, limits: Limits, block_bytes: int = BLOCK_BYTES) -> Iterator[bytes]:
    """Yield the file's bytes, decompressed, in blocks of at most `block_bytes` bytes, never an empty one.

    Raises:
        FileProblem: `truncated`, `corrupt`, `trailing_bytes`, or `too_large` beyond `limits.max_decompressed_bytes`.
        OSError: the file cannot be read.
    """
    with path.open("rb", buffering=0) as file:
        compression = compression_in(file)
        total = 0
        for block in _unpacked(file, compression, block_bytes):
            total += len(block)
            if total > limits.max_decompressed_bytes:
                raise too_large(compression, limits)
            if block:
                yield block


def beginning(path: Path, *, limits: Limits, count: int = HEAD_BYTES) -> bytes:
    """Return the first `count` decompressed bytes, or all when there are fewer. Raises as `decompressed` does."""
    parts: list[bytes] = []
    missing = count
    for block in decompressed(path, limits=limits, block_bytes=count):
        parts.append(block[:missing])
        missing -= len(parts[-1])
        if not missing:
            break
    return b"".join(parts)


def codec_name(declared: str) -> str:
    """Return a codec's name in its normal form: `Windows-1252` is `cp1252`.

    Raises:
        SetupError: Python has no such text codec, or it cannot go on after a byte that it cannot decode.
    """
    try:
        b"aa,\n".decode(declared, UNDECODABLE)
        name = codecs.lookup(declared).name
    except (LookupError, UnicodeError, ValueError) as error:
        raise SetupError(
            f"The dialect's encoding {declared!r} cannot be used ({error}). Use the name of one of Python's text "
            "codecs, such as utf-8, utf-16 or windows-1252."
        ) from error
    return "utf-8" if name == "utf-8-sig" else name


def encoding_of(head: bytes, declared: str) -> Encoding:
    """Tell how the characters are written, from the file's first (decompressed) bytes and the declared codec.

    A byte order mark wins over what is declared.

    Raises:
        FileProblem: `encoding`: the bytes are plainly UTF-16, which is neither declared nor marked.
        SetupError: the declared codec does not exist.
    """
    name = codec_name(declared)
    for mark, marked in _ORDER_MARKS:
        if head.startswith(mark):
            note = "" if marked.startswith(name) else f"read as {marked}, not {name}: the file begins with its mark"
            return Encoding(name=marked, mark=len(mark), note=note)
    if name in _WIDE:
        return _unmarked_wide(head, name)
    if wide := looks_wide(head):
        raise FileProblem(
            "encoding",
            f"every second byte is NUL, as in UTF-16; {name} was expected",
            hint=f'It looks like UTF-16: set encoding = "{wide}" in the feed\'s dialect, or save it as UTF-8.',
            line=1,
        )
    return Encoding(name=name)


def text(path: Path, *, encoding: Encoding, limits: Limits, block_bytes: int = BLOCK_BYTES) -> Iterator[bytes]:
    """Yield the file's text in UTF-8 without its byte order mark, in blocks that are cut anywhere.

    What cannot be decoded is invalid UTF-8 in these blocks: as it came where the file is in UTF-8 itself, else three
    bytes (U+DC00 + byte, as `surrogatepass` writes it) for each. Raises as `decompressed` does.
    """
    return as_utf8(decompressed(path, limits=limits, block_bytes=block_bytes), encoding)


def as_utf8(blocks: Iterator[bytes], encoding: Encoding) -> Iterator[bytes]:
    """Yield blocks of decompressed bytes, from the file's beginning, as `text` does."""
    rest = without(encoding.mark, blocks)
    return rest if encoding.name == "utf-8" else _transcoded(rest, encoding.name)


def without(count: int, blocks: Iterator[bytes]) -> Generator[bytes]:
    """Leave the first `count` bytes out."""
    for block in blocks:
        rest = block[count:]
        count -= len(block) - len(rest)
        if rest:
            yield rest


def _unmarked_wide(head: bytes, name: str) -> Encoding:
    if head and 0 not in head:
        # A table in such a codec has NULs. A corrected rejected.csv may well come back as UTF-8.
        return Encoding(name="utf-8", note=f"read as utf-8: {name} was expected, but none of the first bytes is NUL")
    if name in ("utf-16", "utf-32"):
        # Without a mark, Python would take the byte order of this machine.
        return Encoding(name=f"{name}-be" if head.startswith(b"\0") else f"{name}-le")
    return Encoding(name=name)


def looks_wide(head: bytes) -> str:
    """Return the codec that bytes without a mark are plainly written in: `utf-16-le`, `utf-16-be` or none (empty)."""
    pairs = max(1, len(head) // 2)
    even, odd = head[0::2].count(0) / pairs, head[1::2].count(0) / pairs
    if head[1:2] == b"\0" and odd > _WIDE_SHARE and even < odd / 2:
        return "utf-16-le"
    if head[:1] == b"\0" and even > _WIDE_SHARE and odd < even / 2:
        return "utf-16-be"
    return ""


def _transcoded(blocks: Iterator[bytes], name: str) -> Iterator[bytes]:
    single = name.startswith(_SINGLE_BYTE)
    decoder = codecs.getincrementaldecoder(name)(UNDECODABLE)
    for block in blocks:
        done = block if single and block.isascii() else decoder.decode(block).encode("utf-8", "surrogatepass")
        if done:
            yield done
    if rest := decoder.decode(b"", final=True):
        yield rest.encode("utf-8", "surrogatepass")


def _plain(file: FileIO, block_bytes: int) -> Iterator[bytes]:
    while block := file.read(block_bytes):
        yield block


def _gunzip(file: FileIO, block_bytes: int) -> Iterator[bytes]:
    packed = file.read(_INPUT_BYTES)
    while packed:
        member = zlib.decompressobj(wbits=31)
        while not member.eof:
            packed = packed or file.read(_INPUT_BYTES)
            if not packed:
                raise _truncated(Compression.GZIP)
            yield member.decompress(packed, block_bytes)
            packed = member.unconsumed_tail
        packed = _next_part(member.unused_data, file, b"\x1f\x8b", Compression.GZIP)


def _bunzip(file: FileIO, block_bytes: int) -> Iterator[bytes]:
    packed = file.read(_INPUT_BYTES)
    while packed:
        stream = bz2.BZ2Decompressor()
        while not stream.eof:
            packed = packed or (file.read(_INPUT_BYTES) if stream.needs_input else b"")
            if not packed and stream.needs_input:
                raise _truncated(Compression.BZIP2)
            yield stream.decompress(packed, block_bytes)
            packed = b""
        packed = _next_part(stream.unused_data, file, b"BZh", Compression.BZIP2)


def _unzstd(file: FileIO, block_bytes: int) -> Iterator[bytes]:
    try:
        with pa.CompressedInputStream(pa.PythonFile(file, mode="r"), "zstd") as stream:
            while block := stream.read(block_bytes):
                yield block
    except OSError as error:
        # Arrow tells the cases apart only in words. The first frame is known, or this would not be zstd.
        if "Truncated" in str(error):
            raise _truncated(Compression.ZSTD) from error
        if "Unknown frame" in str(error):
            raise _trailing(Compression.ZSTD) from error
        raise


def _next_part(packed: bytes, file: FileIO, magic: bytes, compression: Compression) -> bytes:
    """Return the packed bytes after one complete part: empty at the end, else those of the next part.

    NULs are padding, which the gzip and bzip2 programs skip too.
    """
    packed = (packed or file.read(_INPUT_BYTES)).lstrip(b"\0")
    while not packed and (more := file.read(_INPUT_BYTES)):
        packed = more.lstrip(b"\0")
    if not packed.startswith(magic[: len(packed)]):
        raise _trailing(compression)
    return packed


#: How each kind is unpacked.
_UNPACK: Final[Mapping[Compression, Callable[[FileIO, int], Iterator[bytes]]]] = MappingProxyType(
    {
        Compression.NONE: _plain,
        Compression.GZIP: _gunzip,
        Compression.BZIP2: _bunzip,
        Compression.ZSTD: _unzstd,
    }
)


def _unpacked(file: FileIO, compression: Compression, block_bytes: int) -> Iterator[bytes]:
    try:
        yield from _UNPACK[compression](file, block_bytes)
    except (zlib.error, OSError) as error:
        if getattr(error, "errno", None) is not None or compression is Compression.NONE:
            raise  # the disk's word, not the decompressor's
        raise FileProblem(
            "corrupt",
            f"the {compression} data is damaged ({error})",
            hint="Send the whole file again.",
        ) from error


def too_large(compression: Compression, limits: Limits) -> FileProblem:
    """Return the problem of a file that has more bytes than it may have."""
    packed = "" if compression is Compression.NONE else f" after unpacking ({compression})"
    return FileProblem(
        "too_large",
        f"the file has more than {limits.max_decompressed_bytes:,} bytes{packed}, which is the limit",
        hint="Send it in parts, or raise limits.max_decompressed_mb.",
    )


def _truncated(compression: Compression) -> FileProblem:
    return FileProblem(
        "truncated",
        f"the {compression} data ends before its end mark: a part of the file is missing",
        hint="Send the whole file again.",
    )


def _trailing(compression: Compression) -> FileProblem:
    return FileProblem(
        "trailing_bytes",
        f"there are other bytes after the end of the {compression} data; nothing was expected there",
        hint="The file may be two files in one, or damaged: send it again.",
    )
