"""Parquet: types as they are, broken files refused, and no file may claim or hold more than the limits."""

from __future__ import annotations

import datetime as dt
import io
import resource
import subprocess
import sys
import uuid
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from validators.errors import FileProblem
from validators.model import Chunk, Dialect, Limits
from validators.readers.footer import read_footer
from validators.readers.parquet import ParquetReader


def written(table: pa.Table, **options: Any) -> bytes:
    sink = io.BytesIO()
    pq.write_table(table, sink, **options)
    return sink.getvalue()


def opened(data: bytes, **limits: int) -> ParquetReader:
    return ParquetReader(io.BytesIO(data), dialect=Dialect(), limits=Limits(**limits))


def read(data: bytes, **limits: int) -> list[Chunk]:
    return list(opened(data, **limits).chunks())


TABLE = pa.table(
    {
        "id": pa.array(range(10), pa.int64()),
        "name": [f"n{number}" if number % 3 else None for number in range(10)],
        "nested": [{"a": [number]} for number in range(10)],
    }
)


def test_types_are_those_of_the_file() -> None:
    table = pa.table(
        {
            "i8": pa.array([1, None], pa.int8()),
            "u64": pa.array([2**64 - 1, 0], pa.uint64()),
            "dec": pa.array([None, 1], pa.decimal128(10, 2)),
            "day": pa.array([dt.date(2026, 3, 1), None]),
            "at": pa.array([1, None], pa.timestamp("us", "UTC")),
            "flag": pa.array([True, None]),
            "text": pa.array(["é", None]),
            "bytes": pa.array([b"\xff", None]),
            "nothing": pa.nulls(2),
            "list": pa.array([[1, None], None]),
            "map": pa.array([[("k", 1)], None], pa.map_(pa.string(), pa.int64())),
        }
    )
    (chunk,) = read(written(table))
    assert chunk.table.schema.types == table.schema.types
    assert chunk.table.to_pydict() == table.to_pydict()
    assert chunk.lines.tolist() == [0, 0]


def test_dictionaries_are_looked_up_and_uuids_are_text() -> None:
    ids = [uuid.uuid4(), None, uuid.uuid4()]
    raw = pa.array([None if value is None else value.bytes for value in ids], pa.uuid())
    table = pa.table({"kind": pa.array(["x", None, "x"]).dictionary_encode(), "uuid": raw})
    (chunk,) = read(written(table))
    assert chunk.table.schema.types == [pa.string(), pa.string()]
    assert chunk.table["kind"].to_pylist() == ["x", None, "x"]
    assert chunk.table["uuid"].to_pylist() == [None if value is None else str(value) for value in ids]


@pytest.mark.parametrize("batch_rows", [1, 3, 4, 100])
def test_row_groups_do_not_show(batch_rows: int) -> None:
    chunks = read(written(TABLE, row_group_size=4), batch_rows=batch_rows)
    assert pa.concat_tables([chunk.table for chunk in chunks]).to_pydict() == TABLE.to_pydict()
    assert [row for chunk in chunks for row in chunk.rows.tolist()] == list(range(1, 11))


def test_rows_are_counted_even_when_no_column_is_asked_for() -> None:
    assert sum(chunk.read for chunk in opened(written(TABLE, row_group_size=4)).chunks(())) == 10


def test_a_name_with_a_dot_is_not_taken_for_a_nested_column() -> None:
    data = written(pa.table({"a": [{"b": 1}], "a.b": [2]}))
    assert [chunk.table.to_pydict() for chunk in opened(data).chunks(("a.b",))] == [{"a.b": [2]}]
    assert [chunk.table.to_pydict() for chunk in opened(data).chunks(("a",))] == [{"a": [{"b": 1}]}]


def test_a_name_that_comes_twice_stands_twice_in_the_header_and_has_the_first_cells() -> None:
    reader = opened(written(pa.Table.from_arrays([pa.array([1]), pa.array([2])], names=["x", "x"])))
    assert reader.header() == ("x", "x")
    assert [chunk.table.to_pydict() for chunk in reader.chunks()] == [{"x": [1]}]


@pytest.mark.parametrize("table", [pa.table({"a": pa.array([], pa.int64())}), pa.table({})])
def test_a_file_without_rows_has_none(table: pa.Table) -> None:
    reader = opened(written(table))
    assert reader.header() == tuple(table.column_names)
    assert list(reader.chunks()) == []


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: data[:-1],
        lambda data: data[: len(data) // 2],
        lambda data: data[:4] + data[-8:],
        lambda data: data[:-8] + b"\xff\xff\xff\x7fPAR1",
        lambda data: data[:-8] + b"\x00\x00\x00\x00PAR1",
        lambda data: data[:-60] + b"\xff" * 52 + data[-8:],
        lambda _: b"PAR1" + bytes(300),
        lambda _: b"PAR1" + b"\xff" * 300 + (300).to_bytes(4, "little") + b"PAR1",
    ],
)
def test_a_broken_footer_refuses_the_file(damage: Any) -> None:
    with pytest.raises(FileProblem, match="broken or cut off") as caught:
        read(damage(written(TABLE)))
    assert caught.value.rule == "parquet"
    assert caught.value.hint


def test_a_damaged_page_refuses_the_file_after_the_rows_before_it() -> None:
    data = bytearray(written(TABLE, row_group_size=5, compression="zstd", use_dictionary=False))
    footer = pq.ParquetFile(io.BytesIO(data)).metadata
    start = footer.row_group(1).column(0).data_page_offset
    data[start : start + 30] = b"\xff" * 30
    seen: list[int] = []
    with pytest.raises(FileProblem) as caught:
        seen.extend(row for chunk in opened(bytes(data), batch_rows=5).chunks() for row in chunk.rows.tolist())
    assert caught.value.rule == "parquet"
    assert seen == [1, 2, 3, 4, 5]


def test_an_encrypted_file_is_named_as_such() -> None:
    with pytest.raises(FileProblem, match="the Parquet file is encrypted"):
        read(b"PARE" + bytes(60) + b"\x20\x00\x00\x00PARE")


def test_text_that_is_not_utf_8_refuses_the_file() -> None:
    offsets = pa.array([0, 1, 2], pa.int32()).buffers()[1]
    text = pa.StringArray.from_buffers(2, offsets, pa.py_buffer(b"\xff\xfe"))
    with pytest.raises(FileProblem) as caught:
        read(written(pa.table({"s": text})))
    assert caught.value.rule == "encoding"


def test_too_many_columns_refuse_the_file() -> None:
    table = pa.table({f"c{number}": [1] for number in range(20)})
    with pytest.raises(FileProblem) as caught:
        opened(written(table), max_columns=19)
    assert caught.value.rule == "too_many_columns"
    assert len(opened(written(table), max_columns=20).header() or ()) == 20


def test_a_small_file_that_claims_gigabytes_is_refused_at_once() -> None:
    data = written(pa.table({"n": pa.nulls(10_000_000, pa.int64())}), compression="zstd")
    assert len(data) < 200_000
    before = pa.total_allocated_bytes()
    with pytest.raises(FileProblem, match="comes to 80,000,000 bytes in memory") as caught:
        opened(data, max_decompressed_bytes=20_000_000)
    assert caught.value.rule == "too_large"
    assert pa.total_allocated_bytes() - before < 1_000_000


def varint(number: int) -> bytes:
    out = b""
    while number > 127:
        out, number = out + bytes([number & 127 | 128]), number >> 7
    return out + bytes([number])


@pytest.mark.parametrize("claim", [b"\x19\xfc" + varint(2**31 - 1), b"\x28" + varint(2**31 - 1)])
def test_a_footer_that_claims_huge_lists_and_texts_is_refused_at_once(claim: bytes) -> None:
    # Field 2 of the footer is its schema, a list; as a text it is as wrong as a list of two billion elements is.
    footer = b"\x15\x02" + claim + bytes(200)
    with pytest.raises(FileProblem):
        read(b"PAR1" + footer + len(footer).to_bytes(4, "little") + b"PAR1")


def test_one_long_value_in_every_row_is_read_in_small_steps_up_to_the_limit() -> None:
    value = "y" * 4_000_000
    column = pa.DictionaryArray.from_arrays(pa.array([0] * 5000, pa.int32()), pa.array([value]))
    data = written(pa.table({"s": column}), compression="zstd")
    assert len(data) < 2_000
    seen: list[tuple[int, int]] = []
    with pytest.raises(FileProblem) as caught:
        seen.extend(
            (chunk.table.nbytes, chunk.read) for chunk in opened(data, max_decompressed_bytes=400_000_000).chunks()
        )
    assert caught.value.rule == "too_large"
    assert max(size for size, _ in seen) < 300_000_000
    assert 20 < sum(rows for _, rows in seen) < 100


def test_the_footer_says_what_arrow_says() -> None:
    data = written(TABLE, row_group_size=4)
    metadata = pq.ParquetFile(io.BytesIO(data)).metadata
    groups = read_footer(io.BytesIO(data))
    assert [group.rows for group in groups] == [4, 4, 2]
    for index, group in enumerate(groups):
        for at, column in enumerate(group.columns):
            other = metadata.row_group(index).column(at)
            assert column.path == other.path_in_schema
            assert (column.values, column.size) == (other.num_values, other.total_uncompressed_size)
    assert [column.looked_up for column in groups[0].columns] == [False, True, False]


MUTATE = """
import io, random, sys
sys.path.insert(0, sys.argv[1])
from pathlib import Path
from validators.errors import FileProblem
from validators.model import Dialect, Limits
from validators.readers.parquet import ParquetReader
whole = Path(sys.argv[2]).read_bytes()
chance = random.Random(7)
for _ in range(800):
    data = bytearray(whole)
    for _ in range(chance.choice((1, 1, 2, 8))):
        data[chance.randrange(len(data) // 3, len(data))] = chance.randrange(256)
    try:
        reader = ParquetReader(io.BytesIO(data), dialect=Dialect(), limits=Limits(max_decompressed_bytes=10**8))
        for chunk in reader.chunks():
            chunk.table.validate(full=True)
    except FileProblem:
        pass
print("alive")
"""


def test_no_damaged_file_ends_the_process(tmp_path: Path) -> None:
    """Arrow's own look at a damaged column's metadata did: this runs in a process of its own."""
    (tmp_path / "whole").write_bytes(written(TABLE, row_group_size=4))
    root = Path(__file__).parents[4]
    done = subprocess.run(
        [sys.executable, "-c", MUTATE, str(root), str(tmp_path / "whole")],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_CORE, (0, 0)),
    )
    assert (done.returncode, done.stdout.strip()) == (0, "alive"), done.stderr[-2000:]
