"""Which files are worth merging, and which hold a drop's rows."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from daemon.errors import StoreError
from daemon.stores import rewriting
from daemon.stores.rewriting import Live, groups, holding, without

if TYPE_CHECKING:
    from tests.unit.daemon.stores.conftest import Tables

FEED = "metrics"
MB = 1024**2


def live(*sizes: int, day: str = "2026-03-01") -> list[Live]:
    return [
        Live(path=f"date={day}/{index}.parquet", size=size, low=None, high=None) for index, size in enumerate(sizes)
    ]


def sizes(chosen: list[list[Live]]) -> list[list[int]]:
    return [[file.size for file in group] for group in chosen]


def test_small_files_of_a_day_are_merged() -> None:
    assert sizes(groups(live(1, 2, 3), 128 * MB, 3)) == [[1, 2, 3]]


def test_days_are_merged_apart_and_few_files_are_left_alone() -> None:
    files = [*live(1, 1), *live(2, 2, 2, day="2026-03-02")]

    assert sizes(groups(files, 128 * MB, 3)) == [[2, 2, 2]]


def test_a_single_file_is_never_merged() -> None:
    assert groups(live(1), 128 * MB, 1) == []


def test_large_files_are_left_alone() -> None:
    assert sizes(groups(live(100 * MB, 1, 1, 65 * MB), 128 * MB, 2)) == [[1, 1]]


def test_a_file_that_outweighs_the_others_is_not_written_anew_for_them() -> None:
    assert sizes(groups(live(50 * MB, 1, 2, 3), 128 * MB, 2)) == [[1, 2, 3]]


def test_groups_are_about_as_large_as_wanted() -> None:
    chosen = sizes(groups(live(*[30 * MB] * 10), 100 * MB, 2))

    assert [sum(group) // MB for group in chosen] == [120, 120, 60]


def test_thousands_of_files_are_grouped_quickly() -> None:
    assert len(groups(live(*[1] * 20_000), 128 * MB, 2)) == 1


def test_files_are_ruled_out_by_their_statistics_and_found_by_their_rows(tables: Tables) -> None:
    for drops in (("a", "c"), ("b",), ("c",), ("x",)):
        tables.commit(*drops)
    table = tables.store._table(FEED)
    assert table is not None

    held = holding(tables.store.place(FEED), table.live(), {"b", "c", "never"})

    assert sorted((each.file.low, each.found, each.rows) for each in held) == [("a", 2, 4), ("b", 2, 2), ("c", 2, 2)]


def test_files_without_statistics_are_looked_into(tables: Tables) -> None:
    batch = tables.commit("a")
    unknown = Live(path=batch.files[0].path, size=batch.files[0].size, low=None, high=None)

    assert [each.found for each in holding(tables.store.place(FEED), [unknown], {"a"})] == [2]
    assert holding(tables.store.place(FEED), [unknown], {"b"}) == []


def test_rows_that_do_not_add_up_are_an_error_and_leave_no_file(tables: Tables) -> None:
    batch = tables.commit("a", "b")
    file = Live(path=batch.files[0].path, size=batch.files[0].size, low=None, high=None)
    wrong = rewriting.Holding(file=file, found=1, rows=4)

    with pytest.raises(StoreError, match="2 rows were written, expected 3"):
        without(tables.store.place(FEED), wrong, {"a"}, "date=2026-03-01/part-new.parquet")

    assert not (tables.root / "date=2026-03-01/part-new.parquet").exists()
