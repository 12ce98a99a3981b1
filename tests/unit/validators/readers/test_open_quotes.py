"""Quotes that are left open: what follows is read the same in steps of any size, and in little memory."""

from __future__ import annotations

import tracemalloc
from collections import deque
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from validators.errors import FileProblem
from validators.model import Dialect, Limits
from validators.readers.delimited import DelimitedReader

LIMITS = Limits(max_line_bytes=12)
#: Bytes that traced memory may take; each short line held as numbers takes some hundred.
MOST_MEMORY = 100 * 1024**2


def found(path: Path, block_bytes: int, limits: Limits) -> list[tuple[object, ...]] | str:
    try:
        reader = DelimitedReader(path, name="a.csv", dialect=Dialect(), limits=limits, block_bytes=block_bytes)
        chunks = list(reader.chunks())
    except FileProblem as problem:
        return problem.rule
    rows: list[tuple[object, ...]] = []
    for chunk in chunks:
        cells = chunk.table.to_pylist()
        rows += zip(chunk.rows.tolist(), chunk.lines.tolist(), map(str, cells), strict=True)
        rows += [(bad.row, bad.line, bad.rule + bad.raw) for bad in chunk.malformed]
    return sorted(rows, key=str)


@settings(max_examples=150, deadline=None)
@given(text=st.text('x,"\n', max_size=60) | st.text('x,"\r\n', max_size=40), block_bytes=st.integers(1, 30))
def test_the_records_do_not_depend_on_the_size_of_the_steps(
    tmp_path_factory: pytest.TempPathFactory, text: str, block_bytes: int
) -> None:
    path = tmp_path_factory.getbasetemp() / "open.csv"
    path.write_bytes(b"a,b\n" + text.encode())
    assert found(path, block_bytes, LIMITS) == found(path, 1 << 20, LIMITS)


@pytest.mark.parametrize("data", [b'a\n"x\n', b'"a\n'], ids=["row", "header"])
def test_millions_of_short_lines_behind_an_open_quote_take_little_memory(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "open.csv"
    path.write_bytes(data + b"1\n" * 2_000_000)
    tracemalloc.start()
    try:
        reader = DelimitedReader(path, name="a.csv", dialect=Dialect(), limits=Limits(), block_bytes=1 << 18)
        deque(reader.chunks(), maxlen=0)
    except FileProblem as problem:
        assert problem.rule == "header"  # noqa: PT017 - only one of the two files is refused
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < MOST_MEMORY
