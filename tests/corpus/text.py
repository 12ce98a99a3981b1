"""Delimited text that people and programs really send: each function returns the bytes of one file of metrics."""

from __future__ import annotations

import gzip
from pathlib import Path

HEADER = b"unit_id,id_type,metric_name,date,metric_value\n"
#: Bytes after decompression of a file of 10 MB.
BOMB_BYTES = 10 * 1024**3
#: Bytes that are compressed once and then repeated.
_BLOCK_BYTES = 8 * 1024**2
#: Bytes of the line in `long_line`.
LINE_BYTES = 200 * 1024**2


def rows(count: int, tag: str = "u") -> list[bytes]:
    """Return good records with their line ends; `tag` makes them differ from those of other files."""
    return [b"%s%d,user_id,revenue,2026-03-01,%d.5\n" % (tag.encode(), number, number) for number in range(count)]


def good(count: int = 10, tag: str = "u") -> bytes:
    """A file with nothing wrong."""
    return HEADER + b"".join(rows(count, tag))


def with_record(record: bytes, at: int, tag: str) -> bytes:
    """A file of nine good records, and one of another kind in their midst."""
    records = rows(9, tag)
    return HEADER + b"".join([*records[:at], record, *records[at:]])


def empty_file() -> bytes:
    """Nothing at all."""
    return b""


def only_blanks() -> bytes:
    """Line ends and blanks."""
    return b"\n\n  \n\n"


def header_only() -> bytes:
    """An export of a day on which nothing happened."""
    return HEADER


def header_missing() -> bytes:
    """Rows from the first line on."""
    return b"".join(rows(10, "headless"))


def duplicate_names() -> bytes:
    """The same column name twice."""
    return b"unit_id,id_type,metric_name,date,metric_value,metric_value\n" + b"".join(
        line.rstrip(b"\n") + b",2\n" for line in rows(10, "twice")
    )


def ragged_rows() -> bytes:
    """Ten records, of which one is a field short and one has two too many."""
    records = rows(10, "ragged")
    records[3] = b"short,user_id,revenue,2026-03-01\n"
    records[7] = b"long,user_id,revenue,2026-03-01,1,2,3\n"
    return HEADER + b"".join(records)


def quote_at_the_start() -> bytes:
    """The first record opens a quote that nothing closes."""
    return with_record(b'"start,user_id,revenue,2026-03-01,1\n', 0, "quote-a")


def quote_in_the_middle() -> bytes:
    """A record in the middle opens a quote that nothing closes."""
    return with_record(b'middle,user_id,"revenue,2026-03-01,1\n', 5, "quote-b")


def quote_at_the_end() -> bytes:
    """The last record opens a quote, and the file ends."""
    return with_record(b'end,user_id,revenue,2026-03-01,"1\n', 9, "quote-c")


def nul_bytes() -> bytes:
    """A NUL byte within a cell."""
    return with_record(b"nul\x00,user_id,revenue,2026-03-01,1\n", 4, "nul")


def mixed_line_ends() -> bytes:
    """Line ends of three systems, as when files were glued together."""
    records = [record.rstrip(b"\n") for record in rows(9, "ends")]
    ends = [b"\n", b"\r\n", b"\r"]
    return HEADER + b"".join(record + ends[number % 3] for number, record in enumerate(records))


def wrong_encoding_in_one_row() -> bytes:
    """One cell in Windows-1252 within a file in UTF-8."""
    return with_record("Müller,user_id,revenue,2026-03-01,1\n".encode("cp1252"), 6, "Jürgen")


def truncated_gzip() -> bytes:
    """A compressed file of which the last part did not arrive."""
    packed = gzip.compress(good(20_000, "cut"), mtime=0)
    return packed[: len(packed) * 2 // 3]


def corrupt_gzip() -> bytes:
    """A compressed file with a few bytes changed on the way."""
    packed = bytearray(gzip.compress(good(20_000, "spoilt"), mtime=0))
    packed[len(packed) // 2 : len(packed) // 2 + 8] = b"\xff" * 8
    return bytes(packed)


def many_columns(count: int = 5_000) -> bytes:
    """A table that is as wide as others are long."""
    names = [b"unit_id", b"id_type", b"metric_name", b"date", b"metric_value"]
    extra = [b"c%d" % number for number in range(count - len(names))]
    return b",".join([*names, *extra]) + b"\nu1,user_id,revenue,2026-03-01,1" + b",0" * len(extra) + b"\n"


def impossible_numbers() -> bytes:
    """Numbers beyond int64 and beyond a float, and things that only look like numbers, beside one good record."""
    cells = (
        b"1772323200,1e999",
        b"1772323200,-1e999",
        b"99999999999999999999,1",
        b"9223372036854775808,1",
        b"1772323200,NaN",
        b"1772323200,inf",
        b"1772323200,0x1A",
        b"1772323200,1_000",
        b"1772323200000,1",
        b"12.7,1",
    )
    records = [b"n%d,user_id,revenue,%s\n" % (number, cell) for number, cell in enumerate(cells)]
    fine = [b"fine%d,user_id,revenue,1772323200,1\n" % number for number in range(len(cells))]
    return b"unit_id,id_type,metric_name,timestamp,metric_value\n" + b"".join([*records, *fine])


def long_line(path: Path) -> None:
    """Write a file with one line of 200 MB in its middle; sparse, so that it costs no disk."""
    with path.open("wb") as file:
        file.write(good(5, "line"))
        file.seek(LINE_BYTES, 1)
        file.write(b"\n" + b"".join(rows(5, "after")))


def long_text_line(path: Path) -> None:
    """Write a file with one line of 200 MB of letters in its middle."""
    with path.open("wb") as file:
        file.write(good(5, "line"))
        for _ in range(LINE_BYTES // 1024**2):
            file.write(b"a" * 1024**2)
        file.write(b"\n" + b"".join(rows(5, "after")))


def gzip_bomb(path: Path) -> None:
    """Write 10 GB of zeros in 10 MB: one compressed block again and again, which gzip allows."""
    block = gzip.compress(bytes(_BLOCK_BYTES), mtime=0)
    with path.open("wb") as file:
        file.writelines([block] * (BOMB_BYTES // _BLOCK_BYTES))


def gzip_bomb_of_rows(path: Path, size: int = BOMB_BYTES) -> None:
    """Write `size` bytes of rows that are all good, as far as anyone reads."""
    block = rows(1)[0] * (_BLOCK_BYTES // len(rows(1)[0]))
    packed = gzip.compress(block, mtime=0)
    with path.open("wb") as file:
        file.write(gzip.compress(HEADER, mtime=0))
        file.writelines([packed] * (size // len(block)))
