"""`metrics`: the catalog, and one metric's days."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from daemon.commands import metrics
from daemon.errors import NotFoundError
from daemon.model import Late
from tests.corpus.text import HEADER
from tests.unit.daemon.commands.conftest import Place
from tests.unit.daemon.conftest import Rig
from tests.unit.daemon.days.test_closing import LATER, drop, mark, rows, run

EVERY = {"name": None, "customer": None, "versions": False, "json": True}


def asked(place: Place, **options: Any) -> Any:
    assert metrics.metrics(place.config, **{**EVERY, **options}) == 0
    return place.json() if options.get("json", True) else place.out()


@pytest.fixture
def closed(place: Place, rig: Rig) -> Place:
    rig.clock.now = float(LATER)
    drop(rig, "1", rows(1) + rows(1, 1, "clicks").removeprefix(HEADER))
    drop(rig, "2", rows(2, value=4.0))
    mark(rig, 2)
    run(rig, 10)
    place.out()
    return place


def test_before_any_day_is_closed_it_says_so(place: Place) -> None:
    assert asked(place) == []
    assert "No day with metrics was closed yet" in asked(place, json=False)
    with pytest.raises(NotFoundError, match="no closed day has a metric 'visits'"):
        asked(place, name="visits")


def test_the_catalog_has_each_metric_with_its_days(closed: Place) -> None:
    clicks, visits = asked(closed)
    assert (clicks["metric"], clicks["first_day"], clicks["last_day"], clicks["last_value"]) == (
        "clicks",
        "2026-03-01",
        "2026-03-01",
        2.0,
    )
    assert (visits["kind"], visits["id_types"], visits["last_value"]) == ("value", ["user_id"], 12.0)
    assert visits["series"] == [None] * 12 + [6.0, 12.0]
    said = asked(closed, json=False)
    assert "visits  value  user_id  default   2026-03-01  2026-03-02          12" in said
    assert said.rstrip().endswith("▁█")
    assert asked(closed, customer="nobody") == []


def test_one_metric_is_shown_day_by_day(closed: Place) -> None:
    days = asked(closed, name="visits")
    assert [(day["date"], day["version"], day["sum"], day["units"]) for day in days] == [
        ("2026-03-01", 1, 6.0, 3),
        ("2026-03-02", 1, 12.0, 3),
    ]
    assert "visits: value metric by user_id, default/metrics" in asked(closed, name="visits", json=False)
    with pytest.raises(NotFoundError, match="did you mean 'visits'"):
        asked(closed, name="visit")


def test_a_metric_that_is_gone_is_in_its_versions_only(closed: Place, rig: Rig) -> None:
    rig.close()
    rig.feed = replace(rig.feed, late=Late.RESTATE)
    rig.start()
    rig.clock.now += 10
    drop(rig, "1", rows(1))
    run(rig, 10)
    closed.out()
    assert [line["metric"] for line in asked(closed)] == ["visits"]
    with pytest.raises(NotFoundError, match="no closed day has a metric 'clicks': it is gone; its former versions"):
        asked(closed, name="clicks")
    assert [(row["version"], row["kind"], row["rows"]) for row in asked(closed, name="clicks", versions=True)] == [
        (1, "value", 1),
        (2, "gone", 0),
    ]
    said = asked(closed, name="clicks", versions=True, json=False)
    assert "clicks: value metric by user_id" in said
    assert "2026-03-01        2  gone" in said


def test_a_sparkline_spans_from_the_least_to_the_greatest() -> None:
    assert metrics.sparkline([1.0, None, 2.0, 3.0]) == "▁ ▅█"
    assert metrics.sparkline([5.0, 5.0]) == "▁▁"
    assert metrics.sparkline([None]) == " "
