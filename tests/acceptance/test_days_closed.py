"""Markers and days in real processes: closed once and whole, whatever is killed when."""

from __future__ import annotations

import json
import os
import random
import signal
import time
from collections import Counter
from typing import TYPE_CHECKING, Any

from deltalake import DeltaTable

from tests.corpus.text import HEADER

if TYPE_CHECKING:
    from tests.acceptance.conftest import Blobdrop

#: The end of 2026-03-01 in Etc/GMT+8.
FIRST = 1_772_438_400
DAY = 86_400
KILLS = int(os.environ.get("BLOBDROP_TEST_DAY_KILLS", "3"))


def rows(day: int, count: int = 20, metric: str = "visits") -> bytes:
    lines = (f"u{number},user_id,{metric},2026-03-{day:02},{number}\n".encode() for number in range(count))
    return HEADER + b"".join(lines)


def metric_days(blobdrop: Blobdrop) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = DeltaTable(blobdrop.folder / "var/tables/metric_days").to_pyarrow_table().to_pylist()
    return found


def test_a_marker_closes_a_day_and_commands_tell_of_it(blobdrop: Blobdrop) -> None:
    blobdrop.drop("a.csv", rows(1))
    blobdrop.drop("b.csv", rows(2))
    blobdrop.drop("_READY", str(FIRST).encode())
    blobdrop.drop("_READY.txt", str(FIRST * 1000).encode())
    summary = blobdrop.once(code=1)
    assert summary["markers"] == {"applied": 1, "refused": 1}
    assert summary["days_closed"] == [{"customer": "default", "feed": "metrics", "date": "2026-03-01"}]
    (row,) = metric_days(blobdrop)
    assert (row["date"].isoformat(), row["metric_name"], row["units"], row["sum"]) == ("2026-03-01", "visits", 20, 190)
    assert blobdrop.run("ready", "metrics", "2026-03-03T08:00:00Z").code == 0
    assert blobdrop.once(code=0)["days_closed"] == [{"customer": "default", "feed": "metrics", "date": "2026-03-02"}]
    days = json.loads(blobdrop.run("days", "--json").stdout)["days"]
    assert [(day["date"], day["state"]) for day in days] == [("2026-03-02", "closed"), ("2026-03-01", "closed")]
    (visits,) = json.loads(blobdrop.run("metrics", "--json").stdout)
    assert (visits["metric"], visits["last_value"]) == ("visits", 190)


def test_days_are_closed_exactly_once_though_the_daemon_is_killed_again_and_again(blobdrop: Blobdrop) -> None:
    chance = random.Random(3)  # noqa: S311 - the same each time
    count = 8 * KILLS
    days = [1 + number % 28 for number in range(min(count, 28))]
    for day in days:
        blobdrop.drop(f"{day}.csv", rows(day) + rows(day, metric="clicks").removeprefix(HEADER))
    blobdrop.once(code=0)
    for number in range(KILLS):
        blobdrop.start()
        last = len(days) * (number + 1) // KILLS
        if number % 2:
            blobdrop.drop("signals/s.csv", f"finished_date\n2026-03-{last:02}\n".encode())
        else:
            blobdrop.drop("_READY", str(FIRST + (last - 1) * DAY).encode())
        time.sleep(chance.uniform(0.3, 2.0))
        blobdrop.stop(signal.SIGKILL)
    blobdrop.once(code=0)
    blobdrop.once(code=0)
    found = metric_days(blobdrop)
    assert Counter((row["date"].day, row["metric_name"]) for row in found) == Counter(
        (day, metric) for day in days for metric in ("visits", "clicks")
    )
    assert {(row["version"], row["units"], row["sum"]) for row in found} == {(1, 20, 190.0)}


DEFINED = """
[[metrics]]
name = "buyers"
kind = "unique_users"
event = "purchase"

[[metrics]]
name = "revenue"
kind = "sum"
event = "purchase"
of = "event_metadata.amount"
"""


def test_a_signal_closes_the_days_of_all_feeds_and_metrics_of_events_are_computed(blobdrop: Blobdrop) -> None:
    blobdrop.configure(DEFINED)
    blobdrop.drop("a.csv", rows(1))
    event = '{},purchase,,"{{""amount"": ""{}""}}","{{""userID"": ""u{}""}}"\n'
    events = "".join(event.format(FIRST - 3600, number, number % 4) for number in range(10))
    header = "timestamp,event_name,event_value,event_metadata,user\n"
    blobdrop.drop("b.csv", (header + events).encode(), feed="events")
    blobdrop.drop("s.csv", b"finished_date\n2026-03-01\n", feed="signals")
    blobdrop.drop("bad.csv", b"finished_date\nsoon\n", feed="signals")

    summary = blobdrop.once(code=1)

    assert summary["markers"] == {"applied": 2, "refused": 2}
    assert {day["feed"] for day in summary["days_closed"]} == {"events", "metrics"}
    found = {row["metric_name"]: (row["feed"], row["rows"], row["units"], row["sum"]) for row in metric_days(blobdrop)}
    assert found == {
        "visits": ("metrics", 20, 20, 190.0),
        "buyers": ("events", 10, 4, 4.0),
        "revenue": ("events", 10, 4, 45.0),
    }
    assert blobdrop.once(code=0)["days_closed"] == []
    verdicts = json.loads(blobdrop.run("status", "--json").stdout)["markers"]["verdicts"]
    assert verdicts == {"applied": 2, "unreadable": 2}


def test_a_metric_that_asks_for_a_column_there_is_not_keeps_the_daemon_from_starting(blobdrop: Blobdrop) -> None:
    blobdrop.configure(DEFINED.replace("event_metadata.amount", "event_metdata.amount"))
    for command in (("run", "--once"), ("config",)):
        said = blobdrop.run(*command)
        assert said.code == 2
        assert "metrics (revenue): of = 'event_metdata.amount': there is no column 'event_metdata'" in said.stderr
        assert "did you mean 'event_metadata'?" in said.stderr
