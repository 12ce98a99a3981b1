"""What the archive and the tables tell of watermarks and of closed days, where the ledger is lost."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pyarrow as pa

from daemon.salvage.evidence import closed_days, watermarks
from daemon.sources.folder import FolderSource
from daemon.stores.memory import MemoryStore
from tests.unit.daemon.conftest import METRICS
from tests.unit.daemon.days.test_closing import FIRST

EVENTS = replace(METRICS, name="events", paths=("events/**", "{customer}/events/**"))


def archive(folder: Path, name: str, data: bytes) -> None:
    path = folder / "_archive" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def marks_of(folder: Path) -> dict[tuple[str, str], int]:
    return dict(watermarks(FolderSource(folder, settle_seconds=0.0), (METRICS, EVENTS)))


def test_the_newest_good_marker_of_each_scope_is_its_watermark(tmp_path: Path) -> None:
    archive(tmp_path, "metrics/_READY", str(FIRST).encode())
    archive(tmp_path, "metrics/deep/_READY.txt", str(FIRST - 5).encode())
    archive(tmp_path, "acme/_READY.json", b'{"timestamp": %d, "type": "events"}' % (FIRST + 1))
    for name, data in {"_READY": b"soon", "_READY.txt": b"99999999999", "_READY.json": b'{"timestamp": 1}'}.items():
        archive(tmp_path, f"globex/metrics/{name}", data)
    archive(tmp_path, "globex/_READY", b'{"timestamp": %d, "type": "nothing"}' % FIRST)
    archive(tmp_path, "metrics/a.csv", str(FIRST + 99).encode())
    assert marks_of(tmp_path) == {("metrics", "default"): FIRST, ("events", "acme"): FIRST + 1}


def test_a_marker_that_was_ahead_of_its_time_says_nothing_later_either(tmp_path: Path) -> None:
    archive(tmp_path, "metrics/_READY", str(int(os.stat(tmp_path).st_ctime) + 86_400).encode())  # noqa: PTH116
    assert marks_of(tmp_path) == {}


def test_days_of_feeds_without_metrics_are_closed_up_to_their_watermark(tmp_path: Path) -> None:
    class Store(MemoryStore):
        def days(self, _feed: str, _customer: str) -> dict[str, tuple[str, ...]]:
            return dict.fromkeys(("2026-02-28", "2026-03-01", "2026-03-02"), ())

        def columns(self, feed: str) -> pa.Schema:
            names = ("unit_id", "id_type", "metric_name") if feed == "metrics" else ("event_name",)
            return pa.schema([(name, pa.string()) for name in names])

    marks = {("metrics", "default"): FIRST, ("events", "acme"): FIRST + 1}
    found = closed_days(Store(str(tmp_path)), marks, (METRICS, EVENTS))
    assert [(day.feed, day.customer, day.day, day.version) for day in found] == [
        ("events", "acme", "2026-02-28", 1),
        ("events", "acme", "2026-03-01", 1),
    ]
