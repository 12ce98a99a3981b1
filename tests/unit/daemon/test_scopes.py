"""Whom a marker speaks for."""

from __future__ import annotations

import pytest

from daemon.model import Feed
from daemon.scopes import Scopes


def feed(name: str, *paths: str) -> Feed:
    return Feed(name=name, paths=paths, contract="validators.metrics:precomputed_metrics")


BUILT_IN = Scopes(
    [feed("metrics", "metrics/**", "{customer}/metrics/**"), feed("events", "events/**", "{customer}/events/**")]
)


@pytest.mark.parametrize(
    ("name", "scopes"),
    [
        ("metrics/_READY", [("metrics", "default")]),
        ("metrics/2026/03/_READY.json", [("metrics", "default")]),
        ("acme/metrics/_READY", [("metrics", "acme")]),
        ("acme/metrics/2026/_READY", [("metrics", "acme")]),
        ("acme/events/_READY", [("events", "acme")]),
        ("acme/_READY", []),
        ("_READY", []),
        ("acme/elsewhere/_READY", []),
        ("a/b/metrics/_READY", []),
        ("caf\udce9/metrics/_READY", [("metrics", "caf\\xe9")]),
    ],
)
def test_a_marker_speaks_for_the_scope_in_whose_folder_it_lies(name: str, scopes: list[tuple[str, str]]) -> None:
    assert list(BUILT_IN.of(name)) == scopes


@pytest.mark.parametrize(
    ("name", "named", "scopes"),
    [
        ("metrics/_READY", "metrics", [("metrics", "default")]),
        ("metrics/_READY", "events", [("events", "default")]),
        ("_READY", "events", [("events", "default")]),
        ("acme/_READY", "events", [("events", "acme")]),
        ("acme/any/where/_READY", "events", [("events", "acme")]),
        ("acme/metrics/_READY", "events", [("events", "acme")]),
    ],
)
def test_a_marker_that_names_a_feed_speaks_for_it_wherever_its_customer_puts_it(
    name: str, named: str, scopes: list[tuple[str, str]]
) -> None:
    assert list(BUILT_IN.named(name, named)) == scopes


def test_a_folder_of_several_feeds_has_several_scopes() -> None:
    scopes = Scopes([feed("a", "{customer}/in/a*.csv"), feed("b", "{customer}/in/b*.csv"), feed("rest", "**")])
    assert scopes.of("acme/in/_READY") == (("a", "acme"), ("b", "acme"), ("rest", "default"))
    assert scopes.of("acme/in/deeper/_READY") == (("rest", "default"),)
    assert scopes.of("acme/_READY") == (("rest", "default"),)


def test_a_feed_whose_folder_another_one_takes_wholly_is_not_spoken_for() -> None:
    scopes = Scopes([feed("metrics", "metrics/**"), feed("rest", "**")])
    assert scopes.of("metrics/_READY") == (("metrics", "default"),)
    assert scopes.of("other/_READY") == (("rest", "default"),)


def test_a_customer_in_the_middle_of_a_path_is_found() -> None:
    scopes = Scopes([feed("m", "in/of-{customer}/daily/*.csv")])
    assert scopes.of("in/of-acme/daily/_READY") == (("m", "acme"),)
    assert scopes.of("in/of-acme/_READY") == ()
    assert scopes.named("in/of-acme/_READY", "m") == (("m", "acme"),)
    assert scopes.named("in/_READY", "m") == ()


def test_a_customer_that_only_file_names_tell_is_not_guessed() -> None:
    scopes = Scopes([feed("m", "in/{customer}.csv")])
    assert scopes.of("in/_READY") == ()
    assert scopes.named("in/_READY", "m") == ()


def test_names_of_feeds_are_known() -> None:
    assert "metrics" in BUILT_IN
    assert "Metrics" not in BUILT_IN


@pytest.mark.parametrize(
    ("name", "scopes"),
    [
        ("signals/s.csv", [("events", "default"), ("metrics", "default")]),
        ("signals/2026-03-01/part-0.parquet", [("events", "default"), ("metrics", "default")]),
        ("signals/events/s.csv", [("events", "default")]),
        ("SIGNALS/s.csv", [("events", "default"), ("metrics", "default")]),
        ("acme/signals/s.csv", [("events", "acme"), ("metrics", "acme")]),
        ("acme/signals/metrics/s.csv", [("metrics", "acme")]),
        ("acme/inbox/signals/s.csv", [("events", "acme"), ("metrics", "acme")]),
        ("metrics/signals/s.csv", [("metrics", "default")]),
        ("acme/events/2026/signals/s.csv", [("events", "acme")]),
        ("acme/events/signals/metrics/s.csv", [("events", "acme")]),
    ],
)
def test_a_signal_speaks_for_the_folder_that_its_own_lies_in(name: str, scopes: list[tuple[str, str]]) -> None:
    assert list(BUILT_IN.signalled(name)) == scopes


def test_a_signal_speaks_for_nobody_where_drops_are_always_a_customers() -> None:
    scopes = Scopes([feed("orders", "{customer}/orders/**"), feed("items", "items/**")])
    assert list(scopes.signalled("signals/s.csv")) == [("items", "default")]
    assert scopes.signalled("signals/orders/s.csv") == ()
    assert list(scopes.signalled("acme/signals/s.csv")) == [("orders", "acme")]
    assert list(scopes.signalled("items/signals/s.csv")) == [("items", "default")]
