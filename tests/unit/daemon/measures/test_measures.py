"""Metrics of events: what the configuration counts, sums and divides, as `metric_days` has it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from daemon.days.asked import Asked, Figures
from daemon.days.figures import figures
from daemon.measures import unfit
from daemon.model import OnDuplicateKey
from daemon.places.folder import FolderPlace
from daemon.settings.metrics import MetricSettings

COLUMNS = ("timestamp", "event_name", "event_value", "event_metadata", "user", "timeuuid", "is_test")
SCHEMA = pa.schema(
    [
        ("timestamp", pa.int64()),
        ("event_name", pa.string()),
        ("event_value", pa.string()),
        ("event_metadata", pa.string()),
        ("user", pa.string()),
        ("timeuuid", pa.string()),
        ("is_test", pa.bool_()),
        ("customer", pa.string()),
        ("_drop", pa.string()),
        ("_row", pa.int64()),
    ]
)


class Events:
    """Data files of a day of events, and what is computed of them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.paths: list[str] = []

    def write(self, *rows: dict[str, Any], drop: str = "d1", customer: str = "acme") -> None:
        """Write rows as one drop's."""
        own = [{"customer": customer, "_drop": drop, "_row": number, **row} for number, row in enumerate(rows, start=1)]
        path = self.folder / f"{len(self.paths)}.parquet"
        pq.write_table(pa.Table.from_pylist(own, SCHEMA), path)
        self.paths.append(str(path))

    def figures(self, *metrics: dict[str, Any], **asked: Any) -> Figures:
        values: dict[str, Any] = {
            "feed": "events",
            "customer": "acme",
            "day": "2026-03-01",
            "version": 1,
            "drops": ("d1", "d2"),
            "table": FolderPlace(self.folder),
            "files": tuple(self.paths),
            "metrics": FolderPlace(self.folder / "metric_days"),
            "unit": "s-1",
            "measures": tuple(MetricSettings.model_validate(metric).measure() for metric in metrics),
        }
        return figures(Asked(**{**values, **asked}))

    def rows(self, *metrics: dict[str, Any], **asked: Any) -> dict[tuple[str, str], dict[str, Any]]:
        (file,) = self.figures(*metrics, **asked).files
        rows = pq.read_table(self.folder / "metric_days" / file.path, partitioning=None).to_pylist()
        return {(row["metric_name"], row["id_type"]): row for row in rows}

    def one(self, *, kind: str, **metric: Any) -> dict[str, Any]:
        (row,) = self.rows({"name": "m", "kind": kind, **metric}).values()
        return row


@pytest.fixture
def events(tmp_path: Path) -> Events:
    return Events(tmp_path)


def event(user: str | None, name: str = "buy", value: str | None = None, **metadata: str) -> dict[str, Any]:
    whose = {"userID": user} if user is not None else {"customIDs": {"stableID": "s1"}}
    return {
        "event_name": name,
        "event_value": value,
        "event_metadata": json.dumps(metadata),
        "user": json.dumps(whose),
    }


def test_events_are_counted_with_what_each_user_did(events: Events) -> None:
    events.write(event("u1"), event("u1"), event("u1"), event("u2"), event("u2", "look"), event("x"), customer="acme")
    events.write(event("u9"), customer="globex")
    row = events.one(kind="count", event="buy")
    assert (row["kind"], row["rows"], row["units"], row["superseded"]) == ("value", 5, 3, 0)
    assert (row["sum"], row["mean"], row["min"], row["max"], row["p50"]) == (5.0, 5 / 3, 1.0, 3.0, 1.0)
    assert (row["feed"], row["id_type"], row["numerator"], row["ratio"]) == ("events", "user_id", None, None)


def test_users_are_counted_once(events: Events) -> None:
    events.write(event("u1"), event("u1"), event("u2"), event(None), event("  "))
    row = events.one(kind="unique_users", event="buy")
    assert (row["rows"], row["units"], row["sum"], row["mean"]) == (3, 2, 2.0, 1.0)


def test_values_are_summed_where_they_are_numbers(events: Events) -> None:
    values = ("1.5", " 2 ", "-1e1", "+.5", "lots", "", "0x1A", "1_000", "inf", "NaN", "1e999", None)
    events.write(*(event("u1", value=value) for value in values), event("u2", value="10"))
    row = events.one(kind="sum", event="buy")
    assert (row["rows"], row["units"], row["sum"], row["min"], row["max"]) == (5, 2, 4.0, -6.0, 10.0)


def test_a_mean_is_of_events_and_not_of_users(events: Events) -> None:
    events.write(event("u1", value="1"), event("u1", value="2"), event("u2", value="9"), event(None, value="8"))
    row = events.one(kind="mean")
    assert (row["kind"], row["numerator"], row["denominator"], row["ratio"]) == ("ratio", 20.0, 4.0, 5.0)
    assert (row["units"], row["mean"], row["rows"]) == (2, 5.25, 4)


def test_a_ratio_is_of_units_that_have_a_denominator(events: Events) -> None:
    events.write(event("u1", "buy", "6"), event("u1", "look"), event("u1", "look"), event("u2", "look"))
    events.write(event("u3", "buy", "100"), event(None, "look"), drop="d2")
    ratio = {"numerator": {"kind": "sum", "event": "buy"}, "denominator": {"kind": "count", "event": "look"}}
    row = events.one(kind="ratio", **ratio)
    assert (row["numerator"], row["denominator"], row["ratio"], row["units"]) == (6.0, 3.0, 2.0, 2)
    assert (row["mean"], row["max"], row["sum"]) == (1.5, 3.0, None)
    users = {"numerator": {"kind": "unique_users", "event": "buy"}, "denominator": {"kind": "unique_users"}}
    assert events.one(kind="ratio", **users)["ratio"] == 2 / 3


def test_values_of_metadata_are_found_by_their_keys_whatever_these_hold(events: Events) -> None:
    keys = ("amount", "a.b", "a/b", "a~b", "it's", 'quo"te', "$1", "x); DROP TABLE day; --", "é")
    events.write(*(event("u1", **{key: "2"}) for key in keys))
    metrics = ({"name": key, "kind": "sum", "of": f"event_metadata.{key}"} for key in keys)
    assert {key: row["sum"] for (key, _), row in events.rows(*metrics).items()} == dict.fromkeys(keys, 2.0)


def test_values_of_users_are_found_below_their_objects(events: Events) -> None:
    nested = {"userID": 12, "custom": {"plan": "pro"}, "customIDs": {"companyID": "c1"}}
    events.write({**event("u1"), "user": json.dumps(nested)}, event("u2"))
    pro = [{"of": "user.custom.plan", "value": "pro"}]
    rows = events.rows(
        {
            "name": "m",
            "kind": "count",
            "filters": pro,
            "units": {"user_id": "user.userID", "company": "user.customIDs.companyID"},
        }
    )
    assert {id_type: (row["units"], row["sum"]) for (_, id_type), row in rows.items()} == {
        "user_id": (1, 1.0),
        "company": (1, 1.0),
    }


def test_text_that_is_no_json_has_no_values(events: Events) -> None:
    events.write({**event("u1"), "event_metadata": "{broken"}, event("u2", amount="3"))
    assert events.one(kind="sum", of="event_metadata.amount")["sum"] == 3.0


@pytest.mark.parametrize(
    ("condition", "users"),
    [
        ({"value": "DE"}, "a"),
        ({"op": "!=", "value": "DE"}, "bcd"),
        ({"op": "in", "value": ["DE", "FR"]}, "ab"),
        ({"op": "not_in", "value": ["DE", "FR"]}, "cd"),
        ({"op": "contains", "value": "R"}, "b"),
        ({"op": "is_null"}, "d"),
        ({"op": "not_null"}, "abc"),
        ({"op": ">", "value": 5}, "c"),
        ({"op": "<=", "value": 10}, "c"),
        ({"op": "<", "value": 10}, ""),
        ({"op": ">=", "value": 10}, "c"),
        ({"value": 10}, "c"),
        ({"value": "10"}, ""),
        ({"value": "' OR 1=1 --"}, ""),
    ],
)
def test_filters_pick_events(events: Events, condition: dict[str, Any], users: str) -> None:
    events.write(event("a", country="DE"), event("b", country="FR"), event("c", country="10.0"), event("d"))
    mine = [{"of": "event_metadata.country", **condition}]
    metrics = (
        {"name": who, "kind": "count", "filters": [*mine, {"of": "user.userID", "value": who}]} for who in "abcd"
    )
    assert "".join(who for (who, _), row in sorted(events.rows(*metrics).items()) if row["sum"]) == users


def test_an_event_that_came_again_counts_once_as_it_came_last(events: Events) -> None:
    uuid = "123e4567-e89b-42d3-a456-426614174000"
    events.write({**event("u1", value="5"), "timeuuid": uuid}, event("u1", value="1"), drop="d1")
    events.write({**event("u1", value="7"), "timeuuid": uuid.upper()}, drop="d2")
    row = events.one(kind="sum")
    assert (row["rows"], row["superseded"], row["sum"]) == (3, 1, 8.0)
    metric = {"name": "m", "kind": "sum"}
    assert events.figures(metric).superseded_rows == 1
    (row,) = events.rows(metric, drops=("d2", "d1")).values()
    assert row["sum"] == 6.0
    (row,) = events.rows(metric, on_duplicate_key=OnDuplicateKey.SUM).values()
    assert (row["superseded"], row["sum"]) == (0, 13.0)


def test_test_rows_count_for_nothing(events: Events) -> None:
    events.write(event("u1"), {**event("u2"), "is_test": True}, {**event("u3"), "is_test": False})
    row = events.one(kind="count")
    assert (row["rows"], row["units"], row["sum"]) == (2, 2, 2.0)


def test_nothing_is_a_figure_too_but_not_of_a_day_without_rows(events: Events) -> None:
    events.write(event("u1"))
    count, mean = {"name": "c", "kind": "count", "event": "sell"}, {"name": "m", "kind": "mean", "event": "sell"}
    rows = events.rows(count, mean)
    assert (rows["c", "user_id"]["sum"], rows["c", "user_id"]["units"]) == (0.0, 0)
    assert (rows["m", "user_id"]["ratio"], rows["m", "user_id"]["kind"]) == (None, "ratio")
    assert events.figures(count, customer="globex").files == ()
    assert events.figures(count, files=()).files == ()


def test_columns_that_a_days_rows_lack_have_no_values(events: Events) -> None:
    events.write({name: value for name, value in event("u1").items() if name != "event_value"})
    assert events.one(kind="sum")["sum"] == 0.0
    assert events.one(kind="sum", of="elsewhere")["sum"] == 0.0


def test_names_of_metrics_are_just_text(events: Events) -> None:
    events.write(event("u1"))
    name = 'x\'); DROP TABLE units; -- "é" $1 ?'
    rows = events.rows({"name": name, "kind": "count", "units": {"it's": "user.userID"}})
    assert rows[name, "it's"]["sum"] == 1.0


# ---------------------------------------------------------------- WHAT DOES NOT FIT


def unfit_of(**metric: Any) -> list[str]:
    measure = MetricSettings.model_validate({"name": "m", **metric}).measure()
    return list(unfit([measure], "events", COLUMNS))


def test_metrics_fit_what_events_have() -> None:
    assert unfit_of(kind="count", event="buy", filters=[{"of": "event_metadata.x", "value": "1"}]) == []


@pytest.mark.parametrize(
    ("metric", "words"),
    [
        ({"kind": "sum", "of": "event_valu"}, "of = 'event_valu': there is no column 'event_valu'"),
        ({"kind": "sum", "of": "event_metdata.x"}, "did you mean 'event_metadata'?"),
        ({"kind": "count", "filters": [{"of": "country", "value": "DE"}]}, "filters[0].of = 'country'"),
        ({"kind": "count", "units": {"user_id": "usr.userID"}}, "units.user_id = 'usr.userID'"),
        (
            {"kind": "ratio", "numerator": {"kind": "sum", "of": "x"}, "denominator": {"kind": "count"}},
            "metrics (m): numerator.of = 'x'",
        ),
    ],
)
def test_metrics_that_ask_for_what_rows_lack_are_told(metric: dict[str, Any], words: str) -> None:
    (said,) = unfit_of(**metric)
    assert words in said


def test_metrics_are_not_made_of_metrics() -> None:
    measure = MetricSettings.model_validate({"name": "m", "kind": "count"}).measure()
    (said,) = unfit([measure], "metrics", ("unit_id", "id_type", "metric_name"))
    assert said.startswith("metrics (m): feed = 'metrics': its rows are metrics already")
