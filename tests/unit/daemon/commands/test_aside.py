"""`quarantine list` and `show`: what was set aside, found by id or by name."""

from __future__ import annotations

from typing import Any

import pytest

from daemon.commands import aside
from daemon.errors import NotFoundError
from tests.unit.daemon.commands.conftest import Place


def listed(place: Place, **options: Any) -> Any:
    values = {"feed": None, "customer": None, "limit": 100, "json": True, **options}
    assert aside.list_entries(place.config, **values) == 0
    return place.json() if values["json"] else place.out()


def test_an_empty_quarantine_says_so(place: Place) -> None:
    assert listed(place) == []
    assert "Nothing is in quarantine." in listed(place, json=False)


def test_entries_are_listed_with_their_commonest_problem(worked: Place) -> None:
    found = {entry["name"]: entry for entry in listed(worked)}
    assert set(found) == {"metrics/partial.csv", "metrics/rejected.csv"}
    partial = found["metrics/partial.csv"]
    assert (partial["state"], partial["rows"]["rejected"]) == ("partial", 1)
    assert partial["rules"] == [{"rule": "type", "column": "metric_value", "count": 1}]
    assert "metric_value: type" in listed(worked, json=False)
    assert listed(worked, customer="nobody") == []
    assert "These are the newest 1; for more: --limit 10" in listed(worked, limit=1, json=False)


def test_a_damaged_entry_is_listed_with_what_is_wrong(worked: Place) -> None:
    entry = next((worked.folder / "quarantine").glob("*/*/*"))
    (entry / "report.json").write_text("{")
    (damaged,) = [each for each in listed(worked) if each["damaged"]]
    assert (damaged["drop"], damaged["folder"]) == (entry.name, str(entry))
    assert "is damaged" in damaged["damaged"]


@pytest.mark.parametrize("key", ["id", "beginning", "name", "last"])
def test_one_is_shown_by_its_id_or_its_name(worked: Place, key: str) -> None:
    (entry,) = [each for each in listed(worked) if each["state"] == "partial"]
    drop = {"id": entry["drop"], "beginning": entry["drop"][:6], "name": entry["name"], "last": "partial.csv"}[key]
    assert aside.show(worked.config, drop=drop, json=True) == 0
    assert worked.json()["drop"]["id"] == entry["drop"]
    assert aside.show(worked.config, drop=drop, json=False) == 0
    assert "1 of 10 rows was set aside; the other 9 are in the table." in worked.out()


def test_what_is_not_in_quarantine_is_told_with_what_became_of_it(worked: Place) -> None:
    with pytest.raises(NotFoundError, match="has nothing in quarantine; it is ingested"):
        aside.show(worked.config, drop="metrics/good.csv", json=False)
    with pytest.raises(NotFoundError, match="has nothing in quarantine; it is failed: the worker was killed by"):
        aside.show(worked.config, drop="failed.csv", json=False)
    with pytest.raises(NotFoundError, match="no drop has the id or name 'nothing at all'"):
        aside.show(worked.config, drop="nothing at all", json=False)
