"""A tidy block and one that is looked at record by record are read alike."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from validators.model import Chunk, Dialect, Limits
from validators.readers.blocks import Block, Part, read_exactly, read_tidy
from validators.readers.cells import Cells
from validators.readers.faults import Describer
from validators.readers.records import grammar_of

NAMES = ("a", "b", "c")
GRAMMAR = grammar_of(Dialect(), Limits()).of_width(len(NAMES))
DESCRIBER = Describer(grammar=GRAMMAR, names=NAMES, encoding="utf-8")

CELL = st.sampled_from(["", "x", "12", "é", '"q"', '"a,b"', '"say ""hi"""'])
SOUND = st.lists(CELL, min_size=3, max_size=3)
RAGGED = st.one_of(st.lists(CELL, min_size=2, max_size=2), st.lists(CELL, min_size=4, max_size=6))


def _cells() -> Cells:
    return Cells(Dialect(), NAMES, range(len(NAMES)), use_threads=False)


def _block(records: list[list[str]], end: str = "\n") -> Block:
    data = "".join(",".join(cells) + end for cells in records).encode()
    return Block(data=data, end=len(data), row=5, line=8, final=True)


def _told(part: Part, batch_rows: int) -> list[object]:
    return [_chunk(chunk) for chunk in part.chunks(batch_rows)]


def _chunk(chunk: Chunk) -> object:
    assert chunk.raw is not None
    raw = chunk.raw(range(len(chunk.rows)))  # type: ignore[arg-type]  # positions of any kind
    return (chunk.table.to_pydict(), chunk.rows.tolist(), chunk.lines.tolist(), list(chunk.malformed), raw.to_pylist())


@given(
    st.lists(SOUND, min_size=60, max_size=90),
    st.lists(st.tuples(st.integers(0, 60), RAGGED), max_size=3),
    st.sampled_from(["\n", "\r\n"]),
    st.sampled_from([1_000, 20]),
)
def test_ragged_records_are_found_either_way(
    records: list[list[str]], ragged: list[tuple[int, list[str]]], end: str, batch_rows: int
) -> None:
    for place, cells in ragged:
        records.insert(place, cells)
    block = _block(records, end)
    tidy = read_tidy(block, _cells(), DESCRIBER)
    assert tidy is not None
    assert _told(tidy, batch_rows) == _told(read_exactly(block, _cells(), DESCRIBER), batch_rows)


def test_a_block_with_many_ragged_records_is_not_tidy() -> None:
    """Each of them costs a call from Arrow's parser; looking at all records costs less."""
    records = [["1", "2"] if number % 10 == 0 else ["1", "2", "3"] for number in range(100)]
    assert read_tidy(_block(records), _cells(), DESCRIBER) is None


def test_a_block_with_blank_lines_is_not_tidy() -> None:
    block = _block([["1", "2", "3"]] * 30 + [[""]] + [["1", "2"]])
    assert read_tidy(block, _cells(), DESCRIBER) is None
    assert read_exactly(block, _cells(), DESCRIBER).count == 31
