"""Metrics of events in the configuration: what is wrong with one is told with its place, its value and the rule."""

from __future__ import annotations

from pathlib import Path

import pytest

from daemon.config import load
from daemon.errors import ConfigError
from daemon.measures import Filter, Measured, Relation

GOOD = """
[[metrics]]
name = "revenue"
kind = "sum"
event = "purchase"
of = "event_metadata.amount"
filters = [{ of = "user.custom.paying", value = true }, { of = "event_value", op = "in", value = ["a", 2] }]

[[metrics]]
name = "conversion"
kind = "ratio"
numerator = { kind = "unique_users", event = "purchase" }
denominator = { kind = "unique_users" }
"""


def wrong(folder: Path, text: str) -> str:
    (folder / "b.toml").write_text(text)
    with pytest.raises(ConfigError) as caught:
        load(folder / "b.toml", {})
    return str(caught.value).removeprefix(f"{folder / 'b.toml'}: ")


def test_metrics_belong_to_their_feeds(tmp_path: Path) -> None:
    (tmp_path / "b.toml").write_text(GOOD)
    metrics, events = load(tmp_path / "b.toml", {}).feeds()
    assert metrics.measures == ()
    revenue, conversion = events.measures
    assert (revenue.name, revenue.part.measured, revenue.part.of, revenue.units) == (
        "revenue",
        Measured.SUM,
        "event_metadata.amount",
        {"user_id": "user.userID"},
    )
    assert revenue.part.filters == (
        Filter(of="user.custom.paying", relation=Relation.IS, values=("true",)),
        Filter(of="event_value", relation=Relation.IN, values=("a", 2.0)),
    )
    assert conversion.is_ratio


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('kind = "count"', "metrics[0]: name: this setting is needed: the metric's name, at most 127 characters"),
        ('name = "m"', "metrics[0] (m): kind: this setting is needed: one of count"),
        ('name = "m"\nkind = "cuont"', "metrics[0] (m): kind = 'cuont': expected one of count, unique_users, sum"),
        ('name = "m"\nkind = "cuont"', "did you mean count?"),
        ('name = "m"\nkind = "count"\nevnt = "x"', "evnt: there is no such setting; did you mean event?"),
        ('name = "m"\nkind = "count"\nfeed = "evnts"', "feed = 'evnts': there is no such feed; did you mean 'events'?"),
        ('name = ""\nkind = "count"', "name = '': it must not be empty"),
        (f'name = "{"x" * 128}"\nkind = "count"', "expected 1 to 127 characters that can be seen"),
        ('name = "a\\nb"\nkind = "count"', "expected 1 to 127 characters that can be seen"),
        ('name = "m"\nkind = "count"\nof = "event_value"', 'of is only of metrics with kind = "sum" or "mean"'),
        (
            'name = "m"\nkind = "count"\ndenominator = { kind = "sum" }',
            'denominator is only of metrics with kind = "rat',
        ),
        ('name = "m"\nkind = "ratio"\nnumerator = { kind = "sum" }', 'kind = "ratio" needs denominator, such as'),
        ('name = "m"\nkind = "ratio"', 'kind = "ratio" needs numerator, such as'),
        (
            'name = "m"\nkind = "ratio"\nnumerator = { kind = "mean" }\ndenominator = { kind = "count" }',
            "metrics[0] (m): numerator.kind = 'mean': expected one of count, unique_users, sum",
        ),
        (
            'name = "m"\nkind = "ratio"\nevent = "x"\nnumerator = { kind = "sum" }\ndenominator = { kind = "count" }',
            "event is not of a ratio itself; put it into its numerator or its denominator",
        ),
        (
            'name = "m"\nkind = "count"\nunits = {}',
            "expected at least one kind of unit",
        ),
        (
            'name = "m"\nkind = "count"\nfilters = [{ of = "x", op = "like", value = 1 }]',
            "metrics[0] (m): filters[0].op = 'like': expected one of =, !=, <",
        ),
        ('name = "m"\nkind = "count"\nfilters = [{ of = "x", oq = "in" }]', "filters[0].oq: there is no such setting"),
        ('name = "m"\nkind = "count"\nfilters = [{ of = "x" }]', 'op = "=" needs value, a text or a number'),
        ('name = "m"\nkind = "count"\nfilters = [{ of = "x", op = "in", value = "DE" }]', "a list such as"),
        ('name = "m"\nkind = "count"\nfilters = [{ of = "x", op = "in", value = [] }]', "a list such as"),
        ('name = "m"\nkind = "count"\nfilters = [{ of = "x", op = ">", value = "1" }]', "needs value, a number"),
        ('name = "m"\nkind = "count"\nfilters = [{ of = "x", op = ">", value = nan }]', "expected a text, a number"),
        ('name = "m"\nkind = "count"\nfilters = [{ of = "x", value = 2026-03-01 }]', "expected a text, a number"),
        ('name = "m"\nkind = "count"\nfilters = [{ of = "x", op = "is_null", value = 1 }]', "takes no value"),
        ('name = "m"\nkind = "count"\n[[metrics]]\nname = "m"\nkind = "sum"', "two metrics are called 'm'"),
    ],
)
def test_a_metric_that_is_wrong_is_told_with_its_place_and_the_rule(tmp_path: Path, text: str, says: str) -> None:
    assert says in wrong(tmp_path, f"[[metrics]]\n{text}\n")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[metrics]\nname = 'm'", "metrics: expected a list of tables: [[metrics]] on a line of its own"),
        ("metrics = ['m']", "metrics[0] = 'm': expected a table: [[metrics]] on a line of its own"),
        ("metrics = 5", "metrics = 5: expected a list of tables: [[metrics]] on a line of its own"),
    ],
)
def test_metrics_are_a_list_of_tables(tmp_path: Path, text: str, says: str) -> None:
    assert says in wrong(tmp_path, text)
