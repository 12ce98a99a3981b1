"""Blocks that begin where the last one was left: the same bytes from a plain file as from one that is unpacked."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from validators.errors import FileProblem
from validators.model import Limits
from validators.readers.opening import Encoding
from validators.readers.stream import Stream, stream

#: How a text may be kept in a file: as it is, behind a mark, packed, or in another encoding.
KEPT: dict[str, tuple[Callable[[str], bytes], Encoding]] = {
    "plain": (str.encode, Encoding(name="utf-8")),
    "marked": (lambda text: text.encode("utf-8-sig"), Encoding(name="utf-8", mark=3)),
    "packed": (lambda text: gzip.compress(text.encode()), Encoding(name="utf-8")),
    "wide": (lambda text: text.encode("utf-16-le"), Encoding(name="utf-16-le")),
}


def opened(path: Path, kind: str, text: str, *, skip: int = 0, limits: Limits | None = None) -> Stream:
    write, encoding = KEPT[kind]
    path.write_bytes(write(text))
    return stream(path, encoding=encoding, limits=limits or Limits(), block_bytes=16, skip=skip)


@pytest.mark.parametrize("kind", KEPT)
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    text=st.text("aé,\n", min_size=1, max_size=200),
    skip=st.integers(0, 9),
    steps=st.lists(st.tuples(st.integers(1, 40), st.integers(0, 30)), min_size=1, max_size=5),
)
def test_what_is_left_comes_again_before_what_follows(
    tmp_path: Path, kind: str, text: str, skip: int, steps: list[tuple[int, int]]
) -> None:
    expected, taken, rest, final = text.encode()[skip:], b"", b"", False
    with closing(opened(tmp_path / "file", kind, text, skip=skip)) as blocks:
        while not final:
            more, left = steps[len(taken) % len(steps)]
            data, final = blocks.after(rest, more)
            assert data.startswith(rest)
            assert final or len(data) >= len(rest) + more - more // 8
            used = len(data) if final else max(len(data) - left, 0)
            taken, rest = taken + data[:used], data[used:]
    assert taken == expected


@pytest.mark.parametrize("kind", KEPT)
def test_a_file_of_as_many_bytes_as_are_asked_for_ends_with_none(tmp_path: Path, kind: str) -> None:
    with closing(opened(tmp_path / "file", kind, "a" * 16)) as blocks:
        data, final = blocks.after(b"", 16)
        if not final:
            data, final = blocks.after(data, 16)
        assert (data, final) == (b"a" * 16, True)


@pytest.mark.parametrize("kind", ["plain", "packed", "wide"])
def test_a_file_beyond_the_limit_is_refused_when_it_gets_there(tmp_path: Path, kind: str) -> None:
    with closing(opened(tmp_path / "file", kind, "a" * 100, limits=Limits(max_decompressed_bytes=64))) as blocks:
        blocks.after(b"", 16)
        with pytest.raises(FileProblem, match="the file has more than 64 bytes") as raised:
            blocks.after(b"", 84)
    assert raised.value.rule == "too_large"


def test_a_file_that_is_not_there_cannot_be_opened(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        stream(tmp_path / "none", encoding=Encoding(name="utf-8"), limits=Limits(), block_bytes=16, skip=0)
