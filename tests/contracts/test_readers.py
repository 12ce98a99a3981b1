"""What every reader keeps to, whatever the format: the same rows give the same cells and the same record numbers."""

from __future__ import annotations

import bz2
import csv
import functools
import gzip
import io
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from pathlib import Path

import openpyxl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from validators.errors import FileProblem, SetupError
from validators.model import Chunk, Dialect, Limits
from validators.readers import Reader, open_file

Row = Sequence[str | None]
Write = Callable[[Sequence[str], Sequence[Row]], bytes]

NAMES = ("unit_id", "metric_name", "note")
ROWS: tuple[Row, ...] = (
    ("u1", "clicks", "plain"),
    ("00123", "1_000", None),
    ("u,3", 'say "hi"', "tab\there"),
    ("é😀", "=cmd|x", "12.0"),
    ("NaN", "null", "  blanks  "),
    (None, "True", "1e999"),
    ("12345678901234567890123", "-0.0", "{}"),
)
#: Small enough that no mutated file can make a test run slow.
LIMITS = Limits(max_decompressed_bytes=64 * 1024**2, max_excel_bytes=8 * 1024**2)


def delimited(names: Sequence[str], rows: Sequence[Row], delimiter: str = ",") -> bytes:
    text = io.StringIO()
    csv.writer(text, delimiter=delimiter).writerows([names, *rows])
    return text.getvalue().encode()


def tsv(names: Sequence[str], rows: Sequence[Row]) -> bytes:
    return delimited(names, rows, "\t")


def records(names: Sequence[str], rows: Sequence[Row]) -> list[dict[str, str | None]]:
    return [dict(zip(names, row, strict=True)) for row in rows]


def ndjson(names: Sequence[str], rows: Sequence[Row]) -> bytes:
    return "".join(json.dumps(record) + "\n" for record in records(names, rows)).encode()


def json_array(names: Sequence[str], rows: Sequence[Row]) -> bytes:
    return json.dumps(records(names, rows), indent=1).encode()


def json_envelope(names: Sequence[str], rows: Sequence[Row]) -> bytes:
    return json.dumps({"metrics": records(names, rows)}, ensure_ascii=False).encode()


def parquet(names: Sequence[str], rows: Sequence[Row]) -> bytes:
    columns = [pa.array([row[at] for row in rows], pa.string()) for at in range(len(names))]
    table = pa.table(columns, names=list(names))
    sink = io.BytesIO()
    pq.write_table(table, sink, row_group_size=3)
    return sink.getvalue()


def xlsx(names: Sequence[str], rows: Sequence[Row]) -> bytes:
    book = openpyxl.Workbook()
    for number, row in enumerate([names, *rows], 1):
        for column, text in enumerate(row, 1):
            cell = book.active.cell(number, column)
            cell.value, cell.data_type = text, "n" if text is None else "s"
    sink = io.BytesIO()
    book.save(sink)
    return sink.getvalue()


def zstd(data: bytes) -> bytes:
    packed: bytes = pa.Codec("zstd").compress(data, asbytes=True)
    return packed


def packed(write: Write, pack: Callable[[bytes], bytes]) -> Write:
    return lambda names, rows: pack(write(names, rows))


FORMATS: dict[str, Write] = {
    ".csv": delimited,
    ".tsv": tsv,
    ".csv.gz": packed(delimited, gzip.compress),
    ".csv.zst": packed(delimited, zstd),
    ".tsv.bz2": packed(tsv, bz2.compress),
    ".ndjson": ndjson,
    ".ndjson.gz": packed(ndjson, gzip.compress),
    ".json": json_array,
    ".envelope.json": json_envelope,
    ".json.zst": packed(json_array, zstd),
    ".parquet": parquet,
    ".parquet.gz": packed(parquet, gzip.compress),
    ".xlsx": xlsx,
    ".xlsx.bz2": packed(xlsx, bz2.compress),
}

Opened = Callable[..., Reader]


@pytest.fixture(params=list(FORMATS))
def suffix(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def opened(suffix: str, tmp_path: Path) -> Iterator[Opened]:
    """Write rows in the format and open them; everything is closed at the end."""
    readers: list[Reader] = []

    def opened(rows: Sequence[Row] = ROWS, *, names: Sequence[str] = NAMES, batch_rows: int = 1000) -> Reader:
        path = tmp_path / f"drop{len(readers)}"
        path.write_bytes(FORMATS[suffix](names, rows))
        limits = Limits(batch_rows=batch_rows)
        readers.append(open_file(path, name=f"in/drop{suffix}", dialect=Dialect(), limits=limits))
        return readers[-1]

    yield opened
    for reader in readers:
        reader.close()


@functools.cache
def whole_file(suffix: str) -> bytes:
    """The same bytes each time: some formats have the time in them."""
    return FORMATS[suffix](NAMES, ROWS)


def open_files(folder: Path) -> list[str]:
    """Name the open files in a folder, and those that have no name; a library may open what it likes elsewhere."""
    links = [link for link in Path("/proc/self/fd").iterdir() if link.is_symlink()]
    targets = [str(link.readlink()) for link in links]
    return [target for target in targets if target.startswith(str(folder)) or target.endswith("(deleted)")]


def cells(chunks: Sequence[Chunk], names: Sequence[str] = NAMES) -> list[tuple[str | None, ...]]:
    found = []
    for chunk in chunks:
        columns = [chunk.table[name].to_pylist() if name in chunk.table.column_names else None for name in names]
        assert all(column is None or len(column) == len(chunk.rows) for column in columns)
        found += [
            tuple(None if column is None else column[row] for column in columns) for row in range(len(chunk.rows))
        ]
    return found


def test_the_same_rows_give_the_same_cells(opened: Opened) -> None:
    chunks = list(opened().chunks())
    assert cells(chunks) == [tuple(row) for row in ROWS]
    assert all(not chunk.malformed for chunk in chunks)


def test_record_numbers_begin_at_one_and_go_up_by_one(opened: Opened) -> None:
    chunks = list(opened(batch_rows=2).chunks())
    assert [number for chunk in chunks for number in chunk.rows.tolist()] == list(range(1, len(ROWS) + 1))


def test_lines_go_up_or_are_all_zero(opened: Opened, suffix: str) -> None:
    lines = [line for chunk in opened().chunks() for line in chunk.lines.tolist()]
    assert len(lines) == len(ROWS)
    assert lines == sorted(lines)
    assert any(lines) == ("parquet" not in suffix)


def test_the_header_has_the_names_in_order_unless_records_name_their_own(opened: Opened, suffix: str) -> None:
    assert opened().header() == (None if "json" in suffix else NAMES)


def test_a_second_reading_gives_the_same(opened: Opened) -> None:
    reader = opened(batch_rows=3)
    first = list(reader.chunks())
    abandoned = reader.chunks()
    next(abandoned)
    assert cells(list(reader.chunks())) == cells(first)


@pytest.mark.parametrize("names", [("note",), ("note", "unit_id"), ("metric_name", "nobody_has_this"), ()])
def test_only_the_columns_asked_for_are_in_the_tables(opened: Opened, names: tuple[str, ...]) -> None:
    chunks = list(opened(batch_rows=3).chunks(names))
    assert all(set(chunk.table.column_names) == set(names) & set(NAMES) for chunk in chunks)
    assert cells(chunks, names) == [tuple(dict(zip(NAMES, row, strict=True)).get(n) for n in names) for row in ROWS]
    assert sum(chunk.read for chunk in chunks) == len(ROWS)


@pytest.mark.parametrize("batch_rows", [1, 2, 3, 7, 1000])
def test_cells_and_numbers_do_not_depend_on_the_batch(opened: Opened, batch_rows: int) -> None:
    chunks = list(opened(batch_rows=batch_rows).chunks())
    assert cells(chunks) == [tuple(row) for row in ROWS]
    assert [row for chunk in chunks for row in chunk.rows.tolist()] == list(range(1, len(ROWS) + 1))
    assert all(0 < chunk.read <= 2 * batch_rows for chunk in chunks)


def test_a_file_without_rows_has_no_rows(opened: Opened, suffix: str) -> None:
    if "ndjson" in suffix:
        with pytest.raises(FileProblem, match="empty"):
            opened(())
        return
    reader = opened(())
    assert sum(chunk.read for chunk in reader.chunks()) == 0
    assert reader.header() == (None if "json" in suffix else NAMES)


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".parquet", ".xlsx"])
def test_a_name_that_comes_twice_stands_twice_in_the_header(opened: Opened) -> None:
    reader = opened([("1", "2")], names=("a", "a"))
    assert reader.header() == ("a", "a")


def test_closing_twice_and_in_the_middle_of_a_reading_leaves_no_file_open(opened: Opened, tmp_path: Path) -> None:
    before = open_files(tmp_path)
    reader = opened(batch_rows=2)
    chunks = reader.chunks()
    next(chunks)
    del chunks
    reader.close()
    reader.close()
    assert open_files(tmp_path) == before


def test_a_file_that_is_not_there_is_an_error_of_the_system(suffix: str, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        open_file(tmp_path / "gone", name=f"gone{suffix}", dialect=Dialect(), limits=Limits())


def test_a_file_cut_off_anywhere_never_gives_rows_it_does_not_have(suffix: str, tmp_path: Path) -> None:
    whole = whole_file(suffix)
    allowed = {tuple(row) for row in ROWS}
    path = tmp_path / "cut"
    for length in range(0, len(whole), max(1, len(whole) // 40)):
        path.write_bytes(whole[:length])
        rows = read_or_refuse(path, f"cut{suffix}")
        # The last record of delimited text has no end of its own, so its last cell may be cut.
        assert set(rows[:-1]) <= allowed


@pytest.mark.parametrize("suffix", [s for s in FORMATS if not s.endswith((".bz2", ".zst"))])
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_whatever_the_bytes_are_only_the_errors_that_are_promised_leave_a_reader(
    suffix: str, tmp_path: Path, data: st.DataObject
) -> None:
    mutated = bytearray(whole_file(suffix))
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(mutated)))
        cut = data.draw(st.integers(0, 4))
        mutated[at : at + cut] = data.draw(st.binary(max_size=4))
    path = tmp_path / "mutated"
    path.write_bytes(mutated)
    read_or_refuse(path, f"mutated{suffix}")


def read_or_refuse(path: Path, name: str) -> list[tuple[str | None, ...]]:
    """Read as much as there is; a promised error ends it, any other one fails the test."""
    chunks: list[Chunk] = []
    try:
        with closing(open_file(path, name=name, dialect=Dialect(), limits=LIMITS)) as reader:
            for chunk in reader.chunks():
                chunk.table.validate(full=True)
                assert len(chunk.rows) == len(chunk.lines) == chunk.table.num_rows
                chunks.append(chunk)
    except (FileProblem, SetupError):
        pass
    return cells([chunk for chunk in chunks if set(NAMES) <= set(chunk.table.column_names)])
