"""What a day comes to: the last of a key counts, ratios are of the metric, test rows are nothing."""

from __future__ import annotations

import math
import random
import statistics
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from daemon.days.asked import Asked, Figures
from daemon.days.figures import figures
from daemon.model import OnDuplicateKey
from daemon.places.folder import FolderPlace

DAY = "2026-03-01"


class Files:
    """Data files of a day, and what is computed of them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.paths: list[str] = []

    def write(self, *rows: dict[str, Any], drop: str = "d1", customer: str = "acme") -> None:
        """Write rows as one drop's; only the columns that they have."""
        own = [
            {"id_type": "user_id", "customer": customer, "_drop": drop, "_row": number, **row}
            for number, row in enumerate(rows, start=1)
        ]
        path = self.folder / f"{len(self.paths)}.parquet"
        pq.write_table(pa.Table.from_pylist(own), path)
        self.paths.append(path.name)

    def figures(self, **asked: Any) -> Figures:
        values: dict[str, Any] = {
            "feed": "metrics",
            "customer": "acme",
            "day": DAY,
            "version": 1,
            "drops": ("d1", "d2"),
        }
        parts = {"files": tuple(self.paths), "table": FolderPlace(self.folder), "unit": "s-1"}
        parts["metrics"] = FolderPlace(self.folder / "metric_days")
        return figures(Asked(**{**values, **parts, **asked}))

    def metrics(self, **asked: Any) -> dict[tuple[str, str], dict[str, Any]]:
        """Return the day's rows of `metric_days` by metric and id type."""
        (file,) = self.figures(**asked).files
        rows = pq.read_table(self.folder / "metric_days" / file.path, partitioning=None).to_pylist()
        return {(row["metric_name"], row["id_type"]): row for row in rows}


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path)


def value(unit: str, number: float | None, metric: str = "v", **more: Any) -> dict[str, Any]:
    return {"unit_id": unit, "metric_name": metric, "metric_value": number, **more}


def ratio(unit: str, numerator: float | None, denominator: float | None, **more: Any) -> dict[str, Any]:
    return {"unit_id": unit, "metric_name": "r", "numerator": numerator, "denominator": denominator, **more}


def test_a_value_metric_has_its_units_values(files: Files) -> None:
    files.write(value("u1", 1.0), value("u2", 2.0), value("u3", 6.0), value("u4", 7.0))
    (row,) = files.metrics(watermark=1_772_438_400.0, now=1_772_500_000.5, contract="abc").values()
    assert (row["kind"], row["rows"], row["units"], row["superseded"]) == ("value", 4, 4, 0)
    assert (row["sum"], row["mean"], row["min"], row["max"]) == (16.0, 4.0, 1.0, 7.0)
    assert row["stddev"] == pytest.approx(statistics.stdev([1, 2, 6, 7]))
    assert (row["p50"], row["p95"]) == (4.0, pytest.approx(np.quantile([1, 2, 6, 7], 0.95)))
    assert (row["numerator"], row["denominator"], row["ratio"]) == (None, None, None)
    assert (row["feed"], row["customer"], row["version"], row["contract"]) == ("metrics", "acme", 1, "abc")
    assert row["watermark"].isoformat() == "2026-03-02T08:00:00+00:00"
    assert row["closed_at"].isoformat() == "2026-03-03T01:06:40.500000+00:00"


def test_the_last_row_of_a_key_counts_by_when_its_drop_came_and_not_by_its_file(files: Files) -> None:
    files.write(value("u1", 100.0), value("u1", 5.0), drop="d2")
    files.write(value("u1", 7.0), value("u2", 1.0), drop="d1")
    (row,) = files.metrics(drops=("d1", "d2")).values()
    assert (row["rows"], row["units"], row["superseded"], row["sum"]) == (4, 2, 2, 6.0)
    (row,) = files.metrics(drops=("d2", "d1")).values()
    assert row["sum"] == 8.0
    assert files.figures().superseded_rows == 2


def test_rows_of_a_key_may_count_together(files: Files) -> None:
    files.write(value("u1", 1.0), value("u1", 2.0), value("u2", 4.0))
    (row,) = files.metrics(on_duplicate_key=OnDuplicateKey.SUM).values()
    assert (row["rows"], row["units"], row["superseded"], row["sum"], row["max"]) == (3, 2, 0, 7.0, 4.0)


def test_a_metric_is_a_ratio_if_any_record_of_it_is_and_units_without_a_denominator_are_left_out(files: Files) -> None:
    files.write(ratio("u1", 1.0, 4.0), ratio("u2", 3.0, 4.0), ratio("u3", 5.0, None, metric_value=5.0))
    files.write(value("u4", 9.0, metric="r"), drop="d2")
    (row,) = files.metrics().values()
    assert (row["kind"], row["rows"], row["units"]) == ("ratio", 4, 2)
    assert (row["numerator"], row["denominator"], row["ratio"], row["sum"]) == (4.0, 8.0, 0.5, None)
    assert (row["mean"], row["min"], row["max"], row["p50"]) == (0.5, 0.25, 0.75, 0.5)


def test_ratio_takes_priority_over_value(files: Files) -> None:
    files.write(ratio("u1", 1.0, 4.0, metric_value=99.0))
    assert files.metrics()["r", "user_id"]["ratio"] == 0.25


def test_a_ratio_of_kind_is_one_for_every_kind_of_unit(files: Files) -> None:
    files.write(ratio("u1", 1.0, 4.0), value("s1", 3.0, metric="r", id_type="stable_id"))
    rows = files.metrics()
    assert rows["r", "stable_id"]["kind"] == "ratio"
    assert (rows["r", "stable_id"]["units"], rows["r", "stable_id"]["ratio"]) == (0, None)


def test_nothing_is_divided_by_zero(files: Files) -> None:
    files.write(ratio("u1", 1.0, 0.0))
    (row,) = files.metrics().values()
    assert (row["units"], row["ratio"], row["mean"], row["p50"]) == (1, None, None, None)


def test_one_unit_has_no_deviation(files: Files) -> None:
    files.write(value("u1", 2.0))
    (row,) = files.metrics().values()
    assert (row["stddev"], row["p50"], row["p95"]) == (None, 2.0, 2.0)


def test_test_rows_count_for_nothing_and_are_counted(files: Files) -> None:
    files.write(value("u1", 2.0, is_test=None), value("u2", 50.0, is_test=True), value("u3", 3.0, is_test=False))
    files.write(value("u4", 5.0), drop="d2")
    found = files.figures()
    assert (found.rows, found.test_rows, found.drops) == (3, 1, ("d1", "d2"))
    assert files.metrics()["v", "user_id"]["sum"] == 10.0


def test_a_day_of_test_rows_alone_has_no_metrics(files: Files) -> None:
    files.write(value("u1", 2.0, is_test=True))
    found = files.figures()
    assert (found.rows, found.test_rows, found.metrics, found.files) == (0, 1, 0, ())


def test_other_customers_in_the_same_file_are_left_out(files: Files) -> None:
    files.write(value("u1", 2.0), value("u1", 9.0, customer="globex"))
    assert files.metrics()["v", "user_id"]["sum"] == 2.0
    assert files.figures(customer="nobody") == Figures()
    assert files.figures(customer="x' OR '1'='1") == Figures()


def test_a_feed_without_metrics_is_only_counted(files: Files) -> None:
    files.write({"order_id": "1"}, {"order_id": "2"})
    found = files.figures()
    assert (found.rows, found.drops, found.metrics, found.files) == (2, ("d1",), 0, ())


def test_names_may_be_anything(files: Files) -> None:
    name = 'it\'s "odd"; -- ☃'
    files.write(value("u1", 2.0, metric=name), value("u1", 3.0, metric=name.upper()))
    assert {metric for metric, _ in files.metrics()} == {name, name.upper()}


def test_metrics_that_were_there_on_three_of_seven_days_are_expected(files: Files, tmp_path: Path) -> None:
    files.write(value("u1", 2.0))
    earlier = []
    for day, names in (("2026-02-26", "vx"), ("2026-02-27", "vxy"), ("2026-02-28", "xyz")):
        path = tmp_path / "earlier" / f"date={day}" / "a.parquet"
        path.parent.mkdir(parents=True)
        rows = [{"metric_name": name, "customer": "acme", "feed": "metrics", "rows": 1} for name in names]
        pq.write_table(pa.Table.from_pylist([*rows, {**rows[0], "metric_name": "w", "customer": "globex"}]), path)
        earlier.append(str(path))
    found = files.figures(earlier=tuple(earlier))
    assert (found.expected, found.missing) == (1, ("x",))


def test_the_figures_are_those_of_a_slow_obvious_way(files: Files) -> None:
    chance = random.Random(7)  # noqa: S311 - the same each time
    last: dict[tuple[str, str], dict[str, Any]] = {}
    for drop in ("d1", "d2"):
        rows = []
        for _ in range(400):
            name, unit = chance.choice("abc"), f"u{chance.randrange(60)}"
            both = name == "c" and chance.random() < 0.7
            rows.append(
                {
                    "unit_id": unit,
                    "metric_name": name,
                    "metric_value": None if both else chance.gauss(0, 100),
                    "numerator": chance.random() if both else None,
                    "denominator": 1 + chance.random() if both else None,
                }
            )
            last[name, unit] = rows[-1]
        files.write(*rows, drop=drop)
    found = files.metrics()
    for name in "ab":
        values = [row["metric_value"] for (metric, _), row in last.items() if metric == name]
        row = found[name, "user_id"]
        assert row["units"] == len(values)
        assert row["sum"] == pytest.approx(math.fsum(values))
        assert row["stddev"] == pytest.approx(statistics.stdev(values))
        assert row["p50"] == pytest.approx(np.quantile(values, 0.5))
        assert row["p95"] == pytest.approx(np.quantile(values, 0.95))
    pairs = [(row["numerator"], row["denominator"]) for (n, _), row in last.items() if n == "c" and row["denominator"]]
    row = found["c", "user_id"]
    assert (row["kind"], row["units"]) == ("ratio", len(pairs))
    assert row["ratio"] == pytest.approx(math.fsum(n for n, _ in pairs) / math.fsum(d for _, d in pairs))
    assert row["p95"] == pytest.approx(np.quantile([n / d for n, d in pairs], 0.95))
