"""Markers, signals and days of a real container: verdicts, receipts, the archive, and each day closed once."""

from __future__ import annotations

import json
import signal
from typing import Any

import pytest

from tests.acceptance.conftest import Blobdrop, wait_for
from tests.acceptance.test_days_closed import DAY, FIRST, metric_days, rows
from tests.azurite.running import Container


@pytest.fixture
def site(blobdrop: Blobdrop, container: Container) -> Blobdrop:
    """The command, with the container as its source."""
    blobdrop.settings.update(container.environment)
    return blobdrop


def receipt(container: Container, name: str) -> list[tuple[str, str]]:
    """Return what a customer is told of a marker: for each feed the verdict."""
    told: dict[str, Any] = json.loads(container.get(f"_receipts/{name}.json"))
    return [(each["feed"], each["verdict"]) for each in told["verdicts"]]


def test_markers_and_signals_of_a_container_close_days_and_their_verdicts_are_told(
    site: Blobdrop, container: Container
) -> None:
    for day in (1, 2, 3):
        container.put(f"acme/metrics/{day}.csv", rows(day))
    container.put("acme/metrics/_READY", str(FIRST).encode())
    container.put("acme/metrics/_READY.txt", b"")
    container.put("globex/metrics/_READY.json", json.dumps({"timestamp": FIRST * 1000}).encode())
    container.put("acme/signals/march.csv", b"finished_date\n2026-03-02\n")
    container.put("acme/signals/bad.csv", b"finish\n2026-03-02\n")
    container.put("acme/metrics/signals/empty.csv", b"")

    summary = site.once(code=1)

    assert [day["date"] for day in summary["days_closed"]] == ["2026-03-01", "2026-03-02"]
    assert summary["markers"] == {"applied": 3, "refused": 5}
    assert receipt(container, "acme/metrics/_READY") == [("metrics", "applied")]
    assert receipt(container, "acme/metrics/_READY.txt") == [("metrics", "unreadable")]
    assert receipt(container, "globex/metrics/_READY.json") == [("metrics", "milliseconds")]
    assert receipt(container, "acme/signals/march.csv") == [("events", "applied"), ("metrics", "applied")]
    assert receipt(container, "acme/signals/bad.csv") == [("events", "unreadable"), ("metrics", "unreadable")]
    assert receipt(container, "acme/metrics/signals/empty.csv") == [("metrics", "unreadable")]
    assert {name for name in container.names() if not name.startswith(("_receipts/", "_archive/"))} == set()
    assert {(row["customer"], row["date"].day, row["sum"]) for row in metric_days(site)} == {
        ("acme", 1, 190.0),
        ("acme", 2, 190.0),
    }
    assert site.once(code=0)["markers"] == {"applied": 0, "refused": 0}


def test_a_marker_that_is_rewritten_while_the_daemon_is_killed_closes_each_day_once(
    site: Blobdrop, container: Container
) -> None:
    for day in range(1, 6):
        container.put(f"metrics/{day}.csv", rows(day))
    site.start()
    for day in range(5):
        container.put("metrics/_READY", str(FIRST + day * DAY).encode())
    site.wait_settled(5)
    wait_for(lambda: "day.closed" in site.log or " closed " in site.log, "a day is closed", told=lambda: site.log)
    site.stop(signal.SIGKILL)
    site.once(code=0)

    found = metric_days(site)
    assert sorted(row["date"].day for row in found) == [1, 2, 3, 4, 5]
    assert {(row["version"], row["sum"]) for row in found} == {(1, 190.0)}
    assert "metrics/_READY" not in container.names()
