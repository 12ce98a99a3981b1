"""The inputs are what they say, and all who are measured accept the same rows of them."""

from __future__ import annotations

import csv
import datetime as dt
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from .contenders import LIMIT, OURS, SCRIPT, limit, ours, script
from .generate import BAD_WAYS, metrics, small_files
from .measure import CommandFailedError, Contender, race

ID_TYPES = {"user_id", "stable_id"}


def _way(cells: list[str]) -> str:
    """Tell the slow and obvious way in which a row is bad; empty for a good one."""
    if len(cells) < 5:
        return "too few fields"
    if cells[0] == "":
        return "empty unit_id"
    if cells[1] not in ID_TYPES:
        return "wrong id_type"
    try:
        dt.date.fromisoformat(cells[2])
    except ValueError:
        return "impossible date"
    return "" if cells[4].replace(".", "", 1).isdigit() else "value not a number"


def _ways(path: Path) -> Counter[str]:
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.reader(file))
    assert rows[0] == ["unit_id", "id_type", "date", "metric_name", "metric_value"]
    return Counter(_way(cells) for cells in rows[1:])


def test_a_clean_file_has_no_bad_row(tmp_path: Path) -> None:
    written = metrics(tmp_path / "clean.csv", 1_000, dirty=False)
    assert _ways(tmp_path / "clean.csv") == {"": 1_000}
    assert (written.rows, written.bad, written.good) == (1_000, 0, 1_000)


def test_a_twentieth_of_a_dirty_file_is_bad_in_five_ways_as_often_each(tmp_path: Path) -> None:
    written = metrics(tmp_path / "dirty.csv", 2_000, dirty=True)
    assert _ways(tmp_path / "dirty.csv") == {"": 1_900} | dict.fromkeys(BAD_WAYS, 20)
    assert written.bad == 100
    assert written.bytes == (tmp_path / "dirty.csv").stat().st_size


def test_rows_beyond_one_chunk_are_other_rows(tmp_path: Path) -> None:
    metrics(tmp_path / "large.csv", 500_000, dirty=True)
    lines = (tmp_path / "large.csv").read_bytes().splitlines()
    assert len(lines) == 500_001
    assert lines[1:1001] != lines[250_001:251_001]


def test_the_same_seed_makes_the_same_bytes_and_another_makes_others(tmp_path: Path) -> None:
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        metrics(tmp_path / name, 1_000, dirty=True, seed=seed)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    assert (tmp_path / "a").read_bytes() != (tmp_path / "c").read_bytes()


def test_days_are_as_many_as_asked_for(tmp_path: Path) -> None:
    metrics(tmp_path / "days.csv", 1_000, dirty=False, days=3)
    days = {line.split(",")[2] for line in (tmp_path / "days.csv").read_text().splitlines()[1:]}
    assert days == {"2026-03-01", "2026-03-02", "2026-03-03"}


def test_two_of_ten_small_files_are_dirty_and_no_two_are_the_same(tmp_path: Path) -> None:
    written = small_files(tmp_path / "files", 20)
    ways = [_ways(path) for path in sorted((tmp_path / "files").iterdir())]
    assert [each[""] for each in ways] == [95 if number % 10 in (3, 7) else 100 for number in range(20)]
    assert ways[3] == {"": 95} | dict.fromkeys(BAD_WAYS, 1)
    assert (written.rows, written.bad, written.files) == (2_000, 20, 20)
    assert len({path.read_bytes() for path in (tmp_path / "files").iterdir()}) == 20


@pytest.mark.parametrize("contender", [ours, script, limit], ids=[OURS, SCRIPT, LIMIT])
def test_who_is_measured_accepts_exactly_the_good_rows(tmp_path: Path, contender: Callable[[Path], Contender]) -> None:
    """Otherwise somebody would do less work than the others."""
    source = tmp_path / "source" / "dirty.csv"
    source.parent.mkdir()
    written = metrics(source, 5_000, dirty=True)
    (figures,) = race([contender(source)], tmp_path, 1, rows=written.good).values()
    assert len(figures.seconds) == 1


def test_who_accepts_too_few_rows_is_found_out(tmp_path: Path) -> None:
    lazy = Contender("lazy", lambda _: ("echo", "7"), int)
    with pytest.raises(CommandFailedError, match="lazy accepted 7 rows of 8 good ones"):
        race([lazy], tmp_path, 1, rows=8)
