"""Staging keeps every row, by day, in bounded memory, and leaves nothing behind when it fails."""

from __future__ import annotations

import datetime as dt
import gc
import json
import pickle
from collections import Counter
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from daemon.errors import StoreError
from daemon.model import DataFile
from daemon.places.folder import FolderPlace
from daemon.staging import Stage, staged
from daemon.staging.datafile import ROW_GROUP_ROWS

FIRST = dt.date(2026, 3, 1)


def days_of(numbers: list[int]) -> pa.Array[Any]:
    return pa.array([FIRST + dt.timedelta(days=number) for number in numbers], pa.date32())


def rows(count: int, start: int = 1, **columns: Any) -> pa.Table:
    ordinary: dict[str, Any] = {"_drop": ["d"] * count, "_row": np.arange(start, start + count)}
    return pa.table(columns | ordinary)


def stage_all(root: Path, table: pa.Table, days: pa.Array[Any], **options: Any) -> tuple[DataFile, ...]:
    with Stage(FolderPlace(root), "u", **options) as stage:
        stage.add(table, days)
        return stage.finish()


def read(root: Path, file: DataFile) -> pa.Table:
    with pq.ParquetFile(root / file.path) as opened:
        return opened.read()


def test_rows_land_in_the_file_of_their_day_in_their_order(tmp_path: Path) -> None:
    files = stage_all(tmp_path, rows(6), days_of([2, 0, 2, 0, 1, 0]))

    assert [(file.path, file.date, file.rows) for file in files] == [
        ("date=2026-03-01/part-u-00.parquet", "2026-03-01", 3),
        ("date=2026-03-02/part-u-00.parquet", "2026-03-02", 1),
        ("date=2026-03-03/part-u-00.parquet", "2026-03-03", 2),
    ]
    assert [read(tmp_path, file)["_row"].to_pylist() for file in files] == [[2, 4, 6], [5], [1, 3]]


def test_files_are_described_as_they_are(tmp_path: Path) -> None:
    (file,) = stage_all(tmp_path, rows(3, x=[1.5, None, -2.0]), days_of([0, 0, 0]))

    assert file.size == (tmp_path / file.path).stat().st_size
    assert json.loads(file.stats) == {
        "numRecords": 3,
        "minValues": {"x": -2.0, "_drop": "d", "_row": 1},
        "maxValues": {"x": 1.5, "_drop": "d", "_row": 3},
        "nullCount": {"x": 1, "_drop": 0, "_row": 0},
    }
    assert pickle.loads(pickle.dumps(file)) == file  # noqa: S301 - it travels from a worker


def test_batches_of_a_day_share_a_file(tmp_path: Path) -> None:
    with Stage(FolderPlace(tmp_path), "u") as stage:
        for start in range(1, 31, 3):
            stage.add(rows(3, start), days_of([0, 1, 0]))
        files = stage.finish()

    assert [file.rows for file in files] == [20, 10]
    assert sorted(row["_row"] for file in files for row in read(tmp_path, file).to_pylist()) == list(range(1, 31))


def test_the_row_groups_are_full(tmp_path: Path) -> None:
    with Stage(FolderPlace(tmp_path), "u") as stage:
        for start in range(1, 4 * ROW_GROUP_ROWS, ROW_GROUP_ROWS // 2):
            stage.add(rows(ROW_GROUP_ROWS // 2, start), days_of([0]).take(np.zeros(ROW_GROUP_ROWS // 2, np.int64)))
        (file,) = stage.finish()

    metadata = pq.read_metadata(tmp_path / file.path)
    assert [metadata.row_group(group).num_rows for group in range(metadata.num_row_groups)] == [ROW_GROUP_ROWS] * 4


def test_waiting_rows_are_written_early_when_they_need_too_much_memory(tmp_path: Path) -> None:
    with Stage(FolderPlace(tmp_path), "u", buffer_bytes=10_000) as stage:
        for start in range(1, 2001, 100):
            stage.add(rows(100, start, text=[f"{n:050}" for n in range(100)]), days_of([0] * 70 + [1] * 30))
            assert stage._days._bytes <= 10_000
        files = stage.finish()

    assert [file.rows for file in files] == [1400, 600]
    assert pq.read_metadata(tmp_path / files[0].path).num_row_groups > 5


def test_days_that_grow_alike_are_written_in_turns_in_full_row_groups(tmp_path: Path) -> None:
    size, days = ROW_GROUP_ROWS, 4
    with Stage(FolderPlace(tmp_path), "u") as stage:
        for start in range(1, 12 * size, size):
            table = rows(size, start, text=["a", "b"] * (size // 2), other=np.arange(size).astype(str))
            stage.add(table, days_of(list(range(days))).take(np.arange(size) % days))
        files = stage.finish()

    groups = [read_groups(tmp_path / file.path) for file in files]
    assert [sum(each) for each in groups] == [3 * size] * days
    assert all(size <= rows <= 2 * size for each in groups for rows in each[:-1])
    assert sorted(row for file in files for row in read(tmp_path, file)["_row"].to_pylist()) == list(
        range(1, 12 * size + 1)
    )


def read_groups(path: Path) -> list[int]:
    """Return how many rows each row group has."""
    metadata = pq.read_metadata(path)
    return [metadata.row_group(group).num_rows for group in range(metadata.num_row_groups)]


def test_texts_that_come_again_are_the_same_whatever_their_codes_in_each_batch(tmp_path: Path) -> None:
    batches: list[list[str | None]] = [["a", "b", None, "a"], ["c", "a", "d", None], [None] * 4, ["e"] * 4]
    with Stage(FolderPlace(tmp_path), "u") as stage:
        for number, texts in enumerate(batches):
            table = rows(40, 40 * number, text=pa.array(texts * 10, pa.string()))
            stage.add(table, days_of([0, 1] * 20))
        files = stage.finish()
        schema = stage.schema

    assert schema is not None
    assert schema.field("text").type == pa.string()
    found = {row["_row"]: row["text"] for file in files for row in read(tmp_path, file).to_pylist()}
    assert [found[row] for row in range(160)] == [text for texts in batches for text in texts * 10]


def test_many_mixed_days_keep_few_files_open_and_every_row(tmp_path: Path) -> None:
    days = [number * 7 % 20 for number in range(400)]
    with Stage(FolderPlace(tmp_path), "u", buffer_bytes=500, open_files=3) as stage:
        for start in range(0, 400, 50):
            stage.add(rows(50, start), days_of(days[start : start + 50]))
            stage._wait(0)
            assert len(stage._files._open) <= 3
        files = stage.finish()

    assert Counter(file.date for file in files)["2026-03-01"] > 1
    assert len({file.path for file in files}) == len(files)
    found = [(file.date, row) for file in files for row in read(tmp_path, file)["_row"].to_pylist()]
    assert sorted(found) == sorted(((FIRST + dt.timedelta(days=day)).isoformat(), row) for row, day in enumerate(days))


def test_only_kept_rows_are_taken_and_the_others_need_no_day(tmp_path: Path) -> None:
    with Stage(FolderPlace(tmp_path), "u") as stage:
        stage.add(
            rows(5),
            pa.array([FIRST, None, FIRST, None, FIRST + dt.timedelta(1)]),
            np.array([True, False, False, False, True]),
        )
        stage.add(rows(2, 6), pa.array([None, FIRST]), np.array([False, True]))
        stage.add(rows(2, 8), pa.array([None, None], pa.date32()), np.array([False, False]))
        files = stage.finish()

    found = {file.date: [row["_row"] for row in read(tmp_path, file).to_pylist()] for file in files}
    assert found == {FIRST.isoformat(): [1, 7], "2026-03-02": [5]}


def test_days_centuries_apart_are_told_apart(tmp_path: Path) -> None:
    days = pa.array([dt.date(9999, 12, 31), dt.date(1, 1, 1), dt.date(9999, 12, 31)])

    files = stage_all(tmp_path, rows(3), days)

    assert [(file.date, file.rows) for file in files] == [("0001-01-01", 1), ("9999-12-31", 2)]


def test_a_day_that_no_table_can_hold_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="years 1 to 9999"):
        stage_all(tmp_path, rows(1), pa.array([4_000_000], pa.int32()).cast(pa.date32()))


@pytest.mark.parametrize("days", [pa.array([FIRST, None]), pa.array([FIRST])])
def test_every_row_needs_a_day(tmp_path: Path, days: pa.Array[Any]) -> None:
    with pytest.raises(ValueError, match=r"2 rows need as many days, and (got 1|1 have none)"):
        stage_all(tmp_path, rows(2), days)


@pytest.mark.parametrize("unit", ["", "a/b", "a b", "a%b", "é"])
def test_a_units_name_must_be_fit_for_a_path(tmp_path: Path, unit: str) -> None:
    with pytest.raises(ValueError, match="names files"):
        Stage(FolderPlace(tmp_path), unit)


def test_a_stage_without_rows_leaves_no_trace(tmp_path: Path) -> None:
    root = tmp_path / "tables" / "metrics"

    assert stage_all(root, rows(0), days_of([])) == ()
    assert Stage(FolderPlace(root), "u").finish() == ()
    assert Stage(FolderPlace(root), "u").schema is None
    assert not root.exists()


def test_a_contracts_own_date_is_left_out_where_it_is_the_day(tmp_path: Path) -> None:
    days = days_of([0, 1])

    files = stage_all(tmp_path, rows(2, date=days), days)

    assert "date" not in read(tmp_path, files[0]).column_names


@pytest.mark.parametrize("dates", [["2026-03-01", "2026-03-02"], days_of([0, 2])])
def test_another_date_is_never_dropped_quietly(tmp_path: Path, dates: Any) -> None:
    with pytest.raises(StoreError, match="is not the row's day"):
        stage_all(tmp_path, rows(2, date=dates), days_of([0, 1]))


def test_batches_with_other_columns_get_files_of_their_own(tmp_path: Path) -> None:
    with Stage(FolderPlace(tmp_path), "u") as stage:
        stage.add(rows(1, a=[1]), days_of([0]))
        stage.add(rows(1, 2, b=["x"]), days_of([0]))
        stage.add(rows(1, 3, a=[2]), days_of([0]))
        files = stage.finish()

    assert [read(tmp_path, file).column_names for file in files] == [["a", "_drop", "_row"], ["b", "_drop", "_row"]]
    assert stage.schema is not None
    assert set(stage.schema.names) == {"a", "b", "_drop", "_row"}


def test_one_name_with_two_types_is_an_error(tmp_path: Path) -> None:
    with Stage(FolderPlace(tmp_path), "u") as stage:
        stage.add(rows(1, a=[1]), days_of([0]))
        stage.add(rows(1, a=["x"]), days_of([0]))
        stage.finish()

    with pytest.raises(StoreError, match="differ in a column's type"):
        assert stage.schema


def test_dictionaries_may_differ_from_batch_to_batch(tmp_path: Path) -> None:
    with Stage(FolderPlace(tmp_path), "u") as stage:
        for value in ("x", "y", "x", None):
            stage.add(rows(1, kind=pa.array([value], pa.string()).dictionary_encode()), days_of([0]))
        (file,) = stage.finish()

    column = read(tmp_path, file)["kind"]
    assert column.type == pa.string()
    assert column.to_pylist() == ["x", "y", "x", None]
    assert stage.schema is not None
    assert stage.schema.field("kind").type == pa.string()


def test_a_column_is_held_one_way_though_batches_bring_it_as_codes_or_not(tmp_path: Path) -> None:
    texts = pa.array([f"t{number % 7}" for number in range(2000)])
    with Stage(FolderPlace(tmp_path), "u") as stage:
        stage.add(rows(2000, kind=texts.dictionary_encode()), days_of([0] * 2000))
        stage.add(rows(2000, 2001, kind=texts), days_of([0] * 2000))
        stage.add(rows(2000, 4001, kind=texts.dictionary_encode()), days_of([0] * 2000))
        (file,) = stage.finish()

    table = read(tmp_path, file)
    assert table["_row"].to_pylist() == list(range(1, 6001))
    assert table["kind"].to_pylist() == texts.to_pylist() * 3


def test_a_column_of_one_value_stays_with_its_rows(tmp_path: Path) -> None:
    moment = pa.array([dt.datetime(2026, 3, 1, 12, tzinfo=dt.UTC)], pa.timestamp("us", "UTC"))
    at = pa.DictionaryArray.from_arrays(pa.array(np.zeros(6, np.int32)), moment)
    keep = np.array([True, False, True, True, True, False])
    with Stage(FolderPlace(tmp_path), "u") as stage:
        stage.add(rows(6, at=at), days_of([1, 0, 0, 1, 0, 1]), keep)
        files = stage.finish()

    assert [read(tmp_path, file)["_row"].to_pylist() for file in files] == [[3, 5], [1, 4]]
    for file in files:
        assert read(tmp_path, file)["at"].to_pylist() == moment.to_pylist() * 2
        assert json.loads(file.stats)["minValues"]["at"] == "2026-03-01T12:00:00.000000Z"


def test_absent_columns_are_the_tables_and_stand_in_no_file(tmp_path: Path) -> None:
    with Stage(FolderPlace(tmp_path), "u") as stage:
        stage.add(rows(2, a=pa.nulls(2, pa.int64()), b=["x", "y"]), days_of([0, 0]), absent={"a", "other"})
        (file,) = stage.finish()

    assert read(tmp_path, file).column_names == ["b", "_drop", "_row"]
    assert "a" not in json.loads(file.stats)["nullCount"]
    assert stage.schema is not None
    assert stage.schema.field("a").type == pa.int64()


def test_many_days_left_at_the_end_are_all_written(tmp_path: Path) -> None:
    with Stage(FolderPlace(tmp_path), "u", open_files=3) as stage:
        for start in range(1, 100, 10):
            stage.add(rows(10, start), days_of(list(range(10))))
        files = stage.finish()

    assert len(files) == 10
    assert sorted(row for file in files for row in read(tmp_path, file)["_row"].to_pylist()) == list(range(1, 101))


def test_columns_are_encoded_by_how_often_their_values_come(tmp_path: Path) -> None:
    count = 1000
    table = rows(count, unit=[f"u{number}" for number in range(count)], kind=["a", "b"] * (count // 2))

    (file,) = stage_all(tmp_path, table, days_of([0] * count))

    group = pq.read_metadata(tmp_path / file.path).row_group(0)
    encodings = {group.column(index).path_in_schema: group.column(index).encodings for index in range(4)}
    assert "RLE_DICTIONARY" not in encodings["unit"]
    assert "RLE_DICTIONARY" in encodings["kind"]
    assert "RLE_DICTIONARY" in encodings["_drop"]
    assert "DELTA_BINARY_PACKED" in encodings["_row"]
    assert group.column(0).compression == "ZSTD"


def test_a_column_with_a_nan_has_no_bounds(tmp_path: Path) -> None:
    (file,) = stage_all(tmp_path, rows(3, x=[1.0, float("nan"), 2.0]), days_of([0, 0, 0]))

    assert "x" not in json.loads(file.stats)["minValues"]
    assert "x" not in json.loads(file.stats)["maxValues"]


def test_other_programs_read_the_day_from_the_path(tmp_path: Path) -> None:
    stage_all(tmp_path, rows(3), days_of([0, 1, 1]))
    pattern = str(tmp_path / "**" / "*.parquet")

    expected = [FIRST, FIRST + dt.timedelta(days=1), FIRST + dt.timedelta(days=1)]
    assert pl.scan_parquet(pattern, hive_partitioning=True).sort("_row").collect()["date"].to_list() == expected
    found = duckdb.read_parquet(pattern, hive_partitioning=True).order("_row").to_arrow_table()
    assert found["date"].to_pylist() == expected


def test_what_a_killed_process_left_is_overwritten(tmp_path: Path) -> None:
    left = tmp_path / "date=2026-03-01" / "part-u-00.parquet"
    left.parent.mkdir()
    left.write_bytes(b"PAR1 half a file")

    (file,) = stage_all(tmp_path, rows(1), days_of([0]))

    assert read(tmp_path, file).num_rows == 1


def test_the_files_of_a_unit_are_found_by_its_name(tmp_path: Path) -> None:
    for unit in ("ab", "ab-1", "abc", "ab-c", "a"):
        with Stage(FolderPlace(tmp_path), unit) as stage:
            stage.add(rows(2), days_of([0, 1]))
            stage.finish()

    found = staged(FolderPlace(tmp_path), ["ab", "missing"])

    assert sorted(found) == [
        "date=2026-03-01/part-ab-00.parquet",
        "date=2026-03-01/part-ab-1-00.parquet",
        "date=2026-03-02/part-ab-00.parquet",
        "date=2026-03-02/part-ab-1-00.parquet",
    ]


def test_an_exception_in_the_block_removes_every_file(tmp_path: Path) -> None:
    def fail() -> None:
        with Stage(FolderPlace(tmp_path), "u", buffer_bytes=1) as stage:
            stage.add(rows(10), days_of([0, 1] * 5))
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()

    assert not list(tmp_path.rglob("*.parquet"))


def test_a_finished_stage_can_still_be_aborted(tmp_path: Path) -> None:
    stage = Stage(FolderPlace(tmp_path), "u")
    stage.add(rows(2), days_of([0, 1]))
    stage.finish()

    stage.abort()
    stage.abort()

    assert not list(tmp_path.rglob("*.parquet"))


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
@pytest.mark.parametrize("day", [0, 1])
def test_a_full_disk_is_a_store_error_and_leaves_nothing_behind(tmp_path: Path, day: int) -> None:
    # Given a full disk under the file of one of two days
    full = tmp_path / f"date=2026-03-0{day + 1}" / "part-u-00.parquet"
    full.parent.mkdir()
    full.symlink_to("/dev/full")

    # When rows of both are staged
    with pytest.raises(StoreError) as caught:
        stage_much(tmp_path)

    # Then the error says what to do, and nothing is left, nor said when the writers are collected
    assert str(caught.value).endswith(
        "cannot be written: No space left on device. "
        "Free space on its disk, or point `store.url` at a larger one; the work is done again then."
    )
    assert isinstance(caught.value.__cause__, OSError)
    del caught
    gc.collect()
    assert not list(tmp_path.rglob("*.parquet"))


def stage_much(root: Path) -> None:
    with Stage(FolderPlace(root), "u", buffer_bytes=1) as stage:
        for start in range(10):
            stage.add(rows(1000, start), days_of([0, 1] * 500))
        stage.finish()


def test_a_place_that_is_no_folder_is_a_store_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    with pytest.raises(StoreError, match="cannot be written: Not a directory"):
        stage_all(tmp_path / "file", rows(1), days_of([0]))
