"""Bytes to UTF-8 blocks: every compression, every encoding, and what is wrong with them."""

from __future__ import annotations

import bz2
import gzip
import time
import tracemalloc
import zlib
from collections import deque
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from validators.errors import FileProblem, SetupError
from validators.model import Limits
from validators.readers import opening

LIMITS = Limits()
TEXT = b"unit_id,value\n" + b"".join(b"u%d,%d\n" % (i, i * i) for i in range(20_000))


def zstd(data: bytes) -> bytes:
    packed: bytes = pa.Codec("zstd").compress(data, asbytes=True)
    return packed


PACK: dict[str, Callable[[bytes], bytes]] = {"gzip": gzip.compress, "bzip2": bz2.compress, "zstd": zstd}
packings = pytest.mark.parametrize("kind", sorted(PACK))


def file(folder: Path, data: bytes) -> Path:
    path = folder / "drop"
    path.write_bytes(data)
    return path


def read(path: Path, **options: int) -> bytes:
    return b"".join(opening.decompressed(path, limits=LIMITS, **options))


def problem(path: Path, limits: Limits = LIMITS) -> FileProblem:
    with pytest.raises(FileProblem) as caught:
        deque(opening.decompressed(path, limits=limits), maxlen=0)
    return caught.value


def as_text(path: Path, declared: str = "utf-8", **options: int) -> bytes:
    encoding = opening.encoding_of(opening.beginning(path, limits=LIMITS), declared)
    return b"".join(opening.text(path, encoding=encoding, limits=LIMITS, **options))


class TestCompression:
    @packings
    @pytest.mark.parametrize("block_bytes", [100, 1 << 20])
    def test_a_packed_file_reads_like_the_plain_one(self, tmp_path: Path, kind: str, block_bytes: int) -> None:
        assert read(file(tmp_path, PACK[kind](TEXT)), block_bytes=block_bytes) == TEXT

    def test_a_plain_file_is_read_as_it_is(self, tmp_path: Path) -> None:
        assert read(file(tmp_path, TEXT), block_bytes=1000) == TEXT

    def test_an_empty_file_has_no_blocks(self, tmp_path: Path) -> None:
        assert list(opening.decompressed(file(tmp_path, b""), limits=LIMITS)) == []

    @packings
    def test_a_packed_empty_file_has_no_blocks(self, tmp_path: Path, kind: str) -> None:
        path = file(tmp_path, PACK[kind](b""))
        assert list(opening.decompressed(path, limits=LIMITS)) == []

    @packings
    def test_several_members_are_one_text(self, tmp_path: Path, kind: str) -> None:
        packed = b"".join(PACK[kind](part) for part in (TEXT[:1000], b"", TEXT[1000:]))
        assert read(file(tmp_path, packed)) == TEXT

    @packings
    @pytest.mark.parametrize("cut", [0.3, 0.9, -1, -4])
    def test_a_truncated_file_is_told(self, tmp_path: Path, kind: str, cut: float) -> None:
        packed = PACK[kind](TEXT)
        end = int(len(packed) * cut) if isinstance(cut, float) else cut
        assert problem(file(tmp_path, packed[:end])).rule == "truncated"

    @packings
    def test_a_file_truncated_in_its_second_member_is_told(self, tmp_path: Path, kind: str) -> None:
        packed = PACK[kind](TEXT)
        assert problem(file(tmp_path, packed + packed[:20])).rule == "truncated"

    @packings
    def test_a_damaged_file_is_told(self, tmp_path: Path, kind: str) -> None:
        packed = bytearray(PACK[kind](TEXT))
        # Arrow writes no checksum into zstd frames, so that only damage to their structure can be told.
        start = 6 if kind == "zstd" else len(packed) // 2
        packed[start : start + 50] = bytes(255 - byte for byte in packed[start : start + 50])
        found = problem(file(tmp_path, bytes(packed)))
        assert found.rule in ("corrupt", "truncated")
        assert kind in found.message

    @packings
    def test_other_bytes_after_the_end_are_told(self, tmp_path: Path, kind: str) -> None:
        assert problem(file(tmp_path, PACK[kind](TEXT) + b"a,b\n1,2\n")).rule == "trailing_bytes"

    @pytest.mark.parametrize("kind", ["gzip", "bzip2"])
    def test_padding_with_nuls_is_fine(self, tmp_path: Path, kind: str) -> None:
        assert read(file(tmp_path, PACK[kind](TEXT) + bytes(1 << 19))) == TEXT

    def test_text_that_begins_like_bzip2_is_text(self, tmp_path: Path) -> None:
        assert read(file(tmp_path, b"BZh9,value\n1,2\n")) == b"BZh9,value\n1,2\n"

    @packings
    def test_a_file_beyond_the_limit_names_the_limit_and_its_setting(self, tmp_path: Path, kind: str) -> None:
        found = problem(file(tmp_path, PACK[kind](TEXT)), Limits(max_decompressed_bytes=1000))
        assert found.rule == "too_large"
        assert "1,000 bytes" in found.message
        assert "limits.max_decompressed_mb" in found.hint

    def test_a_bomb_is_capped_early_in_little_memory(self, tmp_path: Path) -> None:
        path = tmp_path / "bomb.csv.gz"
        pack = zlib.compressobj(9, wbits=31)
        zeros = bytes(1 << 20)
        path.write_bytes(b"".join(pack.compress(zeros) for _ in range(300)) + pack.flush())
        tracemalloc.start()
        start = time.monotonic()
        found = problem(path, Limits(max_decompressed_bytes=64 << 20))
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert found.rule == "too_large"
        assert peak < 40 << 20
        assert time.monotonic() - start < 5

    @given(data=st.binary(max_size=200))
    def test_arbitrary_bytes_after_a_magic_number_never_raise_anything_else(
        self, tmp_path_factory: pytest.TempPathFactory, data: bytes
    ) -> None:
        for magic in (b"\x1f\x8b\x08", b"\x28\xb5\x2f\xfd", b"BZh91AY&SY", b"\x50\x2a\x4d\x18"):
            path = file(tmp_path_factory.getbasetemp(), magic + data)
            try:
                read(path)
            except FileProblem as found:
                assert found.rule in ("corrupt", "truncated", "trailing_bytes")  # noqa: PT017 - either way is fine

    def test_the_beginning_is_as_long_as_asked_for(self, tmp_path: Path) -> None:
        path = file(tmp_path, gzip.compress(TEXT[:500]) + gzip.compress(TEXT[500:]))
        assert opening.beginning(path, limits=LIMITS, count=1000) == TEXT[:1000]
        assert opening.beginning(path, limits=LIMITS, count=1 << 25) == TEXT


class TestEncoding:
    WORDS = "id,name\n1,Zürich €\n2,東京 \U0001f600\n"

    @pytest.mark.parametrize("block_bytes", [1, 3, 1 << 20])
    @pytest.mark.parametrize("codec", ["utf-8-sig", "utf-16", "utf-32"])
    def test_a_byte_order_mark_wins_over_the_declared_encoding(
        self, tmp_path: Path, codec: str, block_bytes: int
    ) -> None:
        path = file(tmp_path, self.WORDS.encode(codec))
        assert as_text(path, "windows-1252", block_bytes=block_bytes) == self.WORDS.encode()

    @pytest.mark.parametrize("codec", ["utf-16-be", "utf-32-be"])
    def test_a_big_endian_mark_is_known(self, tmp_path: Path, codec: str) -> None:
        assert as_text(file(tmp_path, ("\ufeff" + self.WORDS).encode(codec))) == self.WORDS.encode()

    @pytest.mark.parametrize("block_bytes", [1, 3, 1 << 20])
    @pytest.mark.parametrize("codec", ["utf-16-le", "utf-16-be", "utf-32-le", "gb18030", "utf-7"])
    def test_a_declared_encoding_is_turned_into_utf_8(self, tmp_path: Path, codec: str, block_bytes: int) -> None:
        assert as_text(file(tmp_path, self.WORDS.encode(codec)), codec, block_bytes=block_bytes) == self.WORDS.encode()

    @pytest.mark.parametrize("codec", ["utf-16-le", "utf-16-be"])
    def test_utf_16_without_a_mark_and_byte_order_is_told_from_its_nuls(self, tmp_path: Path, codec: str) -> None:
        assert as_text(file(tmp_path, self.WORDS.encode(codec)), "utf-16") == self.WORDS.encode()

    def test_windows_1252_keeps_its_euro_sign(self, tmp_path: Path) -> None:
        words = "id,name\n1,Zürich €\n"
        assert as_text(file(tmp_path, words.encode("cp1252")), "windows-1252", block_bytes=4) == words.encode()

    @pytest.mark.parametrize(
        ("declared", "raw"),
        [
            ("windows-1252", b"a\n\x81\nb\n"),
            ("ascii", b"a\n\xe9\nb\n"),
            ("shift_jis", b"a\n\xfd\xfe\nb\n"),
            ("utf-16-le", "a\n".encode("utf-16-le") + b"\x00\xd8" + "\nb\n".encode("utf-16-le")),
        ],
    )
    def test_what_cannot_be_decoded_spoils_its_own_line_only(self, tmp_path: Path, declared: str, raw: bytes) -> None:
        first, second, third, end = as_text(file(tmp_path, raw), declared).split(b"\n")
        assert (first, third, end) == (b"a", b"b", b"")
        with pytest.raises(UnicodeDecodeError):
            second.decode()

    def test_two_escaped_bytes_never_become_a_valid_character(self, tmp_path: Path) -> None:
        with pytest.raises(UnicodeDecodeError):
            as_text(file(tmp_path, b"\xc3\xa9\n"), "ascii").decode()

    def test_half_a_utf_16_character_at_the_end_is_not_lost(self, tmp_path: Path) -> None:
        assert as_text(file(tmp_path, "a\n".encode("utf-16") + b"x")).startswith(b"a\n\xed")

    def test_undecodable_utf_8_comes_through_as_it_is(self, tmp_path: Path) -> None:
        assert as_text(file(tmp_path, b"a\n\xff\n")) == b"a\n\xff\n"

    @pytest.mark.parametrize(("codec", "hint"), [("utf-16-le", '"utf-16-le"'), ("utf-16-be", '"utf-16-be"')])
    def test_unmarked_utf_16_read_as_utf_8_gets_the_hint(self, codec: str, hint: str) -> None:
        with pytest.raises(FileProblem, match="every second byte is NUL") as caught:
            opening.encoding_of(TEXT[:999].decode().encode(codec), "utf-8")
        assert caught.value.rule == "encoding"
        assert hint in caught.value.hint

    def test_plain_text_where_utf_16_was_declared_is_read_and_noted(self, tmp_path: Path) -> None:
        path = file(tmp_path, b"a,b\n1,2\n")
        assert as_text(path, "utf-16") == b"a,b\n1,2\n"
        assert "none of the first bytes is NUL" in opening.encoding_of(b"a,b\n", "utf-16").note

    def test_a_mark_that_says_something_else_is_noted(self) -> None:
        assert "utf-16-le" in opening.encoding_of("a,b\n".encode("utf-16"), "utf-8").note
        assert opening.encoding_of("a,b\n".encode("utf-16"), "utf-16").note == ""
        assert opening.encoding_of("a,b\n".encode("utf-8-sig"), "UTF8").note == ""

    @pytest.mark.parametrize("declared", ["klingon", "rot13", "base64", "idna", "undefined", "a\0b"])
    def test_an_encoding_that_cannot_be_used_is_a_wrong_set_up(self, declared: str) -> None:
        with pytest.raises(SetupError, match="cannot be used"):
            opening.encoding_of(b"a", declared)
