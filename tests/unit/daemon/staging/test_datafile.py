"""A data file: its name, its encoding, its bytes on the disk, and what is said when the disk fails."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from daemon.durable import sync
from daemon.errors import StoreError
from daemon.places.folder import FolderPlace
from daemon.staging.datafile import (
    REPEATS,
    ROW_GROUP_ROWS,
    Encoding,
    Part,
    day_of,
    encoding_of,
    path_of,
    plain_schema,
    writing,
)

PLAIN = Encoding(dictionary=())


def part(root: Path, table: pa.Table, encoding: Encoding = PLAIN) -> Part:
    return Part(FolderPlace(root), path_of("2026-03-01", "part-u"), table.schema, encoding)


def test_a_path_names_its_day() -> None:
    assert path_of("2026-03-01", "part-u") == "date=2026-03-01/part-u.parquet"
    assert day_of(path_of("2026-03-01", "part-u")) == "2026-03-01"


def test_values_that_repeat_go_through_a_dictionary_and_others_do_not() -> None:
    count = 4 * REPEATS
    table = pa.table(
        {
            "alike": ["a", "b"] * (count // 2),
            "all_different": [f"u{number}" for number in range(count)],
            "flag": [True, False] * (count // 2),
            "coded": pa.array([f"c{number}" for number in range(count)]).dictionary_encode(),
            "_row": list(range(count)),
        }
    )
    found = encoding_of(table)
    assert found.dictionary == ("alike", "coded")
    assert found.special == (("_row", "DELTA_BINARY_PACKED"),)


def test_a_file_is_described_as_it_is_on_the_disk(tmp_path: Path) -> None:
    table = pa.table({"x": [1, 2, None], "_row": [1, 2, 3]})
    writer = part(tmp_path, table, encoding_of(table))
    writer.write(table)
    writer.write(table)
    file = writer.close()
    assert (file.rows, file.date, file.size) == (6, "2026-03-01", (tmp_path / file.path).stat().st_size)
    assert json.loads(file.stats)["nullCount"] == {"x": 2, "_row": 0}
    assert pq.read_table(tmp_path / file.path, partitioning=None)["x"].to_pylist() == [1, 2, None] * 2


def test_a_column_with_nan_has_no_bounds_that_could_hide_it(tmp_path: Path) -> None:
    """A reader that skips files by their bounds would pass over the row: nothing compares with NaN."""
    table = pa.table({"x": [1.0, float("nan")], "y": [1.0, 2.0]})
    writer = part(tmp_path, table)
    writer.write(table)
    stats = json.loads(writer.close().stats)
    assert "x" not in stats["minValues"]
    assert "x" not in stats["maxValues"]
    assert stats["maxValues"]["y"] == 2.0


def test_dictionaries_are_a_way_of_holding_values_and_no_type(tmp_path: Path) -> None:
    table = pa.table({"kind": pa.array(["x", "y"]).dictionary_encode()})
    assert plain_schema(table.schema) == pa.schema([("kind", pa.string())])
    writer = part(tmp_path, table)
    writer.write(table)
    with pq.ParquetFile(tmp_path / writer.close().path) as opened:
        assert opened.schema_arrow == pa.schema([("kind", pa.string())])


def test_large_tables_are_cut_into_row_groups(tmp_path: Path) -> None:
    table = pa.table({"_row": np.arange(5 * ROW_GROUP_ROWS)})
    writer = part(tmp_path, table)
    writer.write(table)
    with pq.ParquetFile(tmp_path / writer.close().path) as opened:
        assert opened.metadata.num_row_groups > 1


def test_a_file_that_a_killed_worker_left_is_replaced(tmp_path: Path) -> None:
    left = tmp_path / path_of("2026-03-01", "part-u")
    left.parent.mkdir(parents=True)
    left.write_bytes(b"half of something" * 1000)
    table = pa.table({"x": [1]})
    writer = part(tmp_path, table)
    writer.write(table)
    assert writer.close().size == left.stat().st_size
    assert pq.ParquetFile(left).metadata.num_rows == 1


@pytest.mark.parametrize("rows", [0, 1, ROW_GROUP_ROWS])
def test_a_file_that_is_given_up_is_gone(tmp_path: Path, rows: int) -> None:
    table = pa.table({"x": np.arange(rows)})
    writer = part(tmp_path, table)
    if rows:
        writer.write(table)
    writer.remove()
    writer.remove()
    assert list(tmp_path.rglob("*.parquet")) == []


def test_a_full_disk_says_so() -> None:
    """/dev/full is a disk without room."""
    with pytest.raises(StoreError, match=r"/dev/full: cannot be written: No space left on device\. Free space"):
        Part(FolderPlace(Path("/dev")), "full", pa.schema([("x", pa.int64())]), PLAIN)


@pytest.mark.parametrize(
    ("number", "advice"),
    [
        (errno.ENOSPC, "Free space on its disk"),
        (errno.EDQUOT, "Free space on its disk"),
        (errno.EACCES, "Let the daemon's user write there"),
        (errno.EROFS, "Let the daemon's user write there"),
        (errno.EIO, "Check the disk that `store.url` is on"),
    ],
)
def test_each_failure_of_the_disk_comes_with_what_to_do(number: int, advice: str) -> None:
    with pytest.raises(StoreError) as caught, writing(Path("/t/x.parquet")):
        raise OSError(number, "as Arrow words it")
    assert str(caught.value).startswith(f"/t/x.parquet: cannot be written: {os.strerror(number)}. {advice}")


def test_an_error_without_a_number_keeps_its_words() -> None:
    with pytest.raises(StoreError, match="cannot be written: something odd"), writing(Path("/t")):
        raise OSError("something odd")


def test_what_cannot_be_opened_cannot_be_pushed_to_the_disk(tmp_path: Path) -> None:
    sync(tmp_path)
    with pytest.raises(FileNotFoundError):
        sync(tmp_path / "gone")
