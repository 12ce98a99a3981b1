"""Matching names to feeds and customers."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.errors import ConfigError
from daemon.feeds import FOLDER_BYTES, Feeds, folder_name
from daemon.model import Feed


def feed(name: str, *paths: str) -> Feed:
    return Feed(name=name, paths=paths, contract="validators.metrics:precomputed_metrics")


BUILT_IN = Feeds(
    [feed("metrics", "metrics/**", "{customer}/metrics/**"), feed("events", "events/**", "{customer}/events/**")]
)


def matched(feeds: Feeds, name: str) -> tuple[str, str] | None:
    found = feeds.match(name)
    return found and (found[0].name, found[1])


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("metrics/a.csv", ("metrics", "default")),
        ("metrics/2026-03-01/part/a.csv", ("metrics", "default")),
        ("acme/metrics/a.csv", ("metrics", "acme")),
        ("acme/events/x/a.csv", ("events", "acme")),
        ("metrics/metrics/a.csv", ("metrics", "default")),
        ("metrics/events/a.csv", ("metrics", "default")),
        ("events/metrics/a.csv", ("metrics", "events")),
        ("acme/x/metrics/a.csv", None),
        ("a.csv", None),
        ("metrics", None),
        ("Metrics/a.csv", None),
        ("metricsx/a.csv", None),
        ("acme corp/metrics/a\nb.csv", ("metrics", "acme corp")),
    ],
)
def test_the_built_in_patterns_find_feed_and_customer(name: str, expected: tuple[str, str] | None) -> None:
    assert matched(BUILT_IN, name) == expected


@pytest.mark.parametrize(
    ("pattern", "name", "fits"),
    [
        ("*.csv", "a.csv", True),
        ("*.csv", "x/a.csv", False),
        ("*.csv", "a.csv\n", False),
        ("*", "a\nb", True),
        ("a?.csv", "ab.csv", True),
        ("a?.csv", "a/.csv", False),
        ("a?.csv", "a.csv", False),
        ("**", "a", True),
        ("**", "a/b/c", True),
        ("**/x.csv", "x.csv", True),
        ("**/x.csv", "a/b/x.csv", True),
        ("**/x.csv", "a/bx.csv", False),
        ("a/**/x.csv", "a/x.csv", True),
        ("a/**/x.csv", "a/b/c/x.csv", True),
        ("a/**/x.csv", "ab/x.csv", False),
        ("a/*/x.csv", "a/b/x.csv", True),
        ("a/*/x.csv", "a/x.csv", False),
        ("a/*/x.csv", "a/b/c/x.csv", False),
        ("a.b+(c)[d]^$|/x", "a.b+(c)[d]^$|/x", True),
        ("a.b", "axb", False),
        ("a|b", "b", False),
        ("é/*", "é/x", True),
        ("dump *.csv", "dump 1.csv", True),
    ],
)
def test_what_a_pattern_means(pattern: str, name: str, fits: bool) -> None:
    assert (Feeds([feed("f", pattern)]).match(name) is not None) is fits


@pytest.mark.parametrize(
    ("pattern", "name", "customer"),
    [
        ("{customer}.csv", "acme.csv", "acme"),
        ("in/{customer}-daily/**", "in/a-b-daily/x.csv", "a-b"),
        ("**/{customer}/x.csv", "a/b/c/x.csv", "c"),
        ("{customer}/**", "ac\N{LATIN SMALL LETTER E WITH ACUTE}/x", "acé"),
        ("{customer}/**", "a\nb/x", "a\nb"),
        ("{customer}/**", "\udcff/x", "\\xff"),
    ],
)
def test_the_customer_is_one_folder_or_a_part_of_its_name(pattern: str, name: str, customer: str) -> None:
    assert matched(Feeds([feed("f", pattern)]), name) == ("f", customer)


def test_the_first_feed_in_order_takes_an_object_that_several_would() -> None:
    feeds = Feeds([feed("narrow", "in/special/*"), feed("wide", "in/**"), feed("wider", "**")])

    assert [matched(feeds, name) for name in ("in/special/a", "in/b", "c")] == [
        ("narrow", "default"),
        ("wide", "default"),
        ("wider", "default"),
    ]


def test_the_first_pattern_of_a_feed_decides_whose_it_is() -> None:
    assert matched(Feeds([feed("f", "shared/**", "{customer}/**")]), "shared/a") == ("f", "default")
    assert matched(Feeds([feed("f", "{customer}/**", "shared/**")]), "shared/a") == ("f", "shared")


def test_without_feeds_nothing_matches() -> None:
    assert Feeds([]).match("a.csv") is None


@pytest.mark.parametrize(
    ("pattern", "says"),
    [
        ("", "must not be empty"),
        ("/srv/drops/*.csv", "must not be empty, start or end with /"),
        ("metrics/", "start or end with /"),
        ("a//b", "have // in it"),
        ("../other/*.csv", "'..': folders that start with . or _"),
        ("a/../b", "'..'"),
        ("a/..", "'..'"),
        ("./a", "'.'"),
        ("_archive/**", "'_archive'"),
        ("{customer}/{customer}/**", "{customer} stands in it twice"),
        ("{client}/**", "'{client}' is not known"),
        ("{customer/**", "'{' is not known"),
        ("a}/**", "'}' is not known"),
        ("metrics**", "** must stand alone"),
        ("a/**.csv", "** must stand alone"),
        ("a/***", "** must stand alone"),
    ],
)
def test_a_pattern_that_cannot_be_meant_is_refused_with_the_feed_and_the_rule(pattern: str, says: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Feeds([feed("good", "**"), feed("bad", pattern)])

    assert str(caught.value).startswith(f"feed 'bad': paths: {pattern!r}: ")
    assert says in str(caught.value)
    assert "{customer} once for the customer's folder" in str(caught.value)


def test_a_feed_without_patterns_is_refused() -> None:
    with pytest.raises(ConfigError, match="feed 'bad': paths is empty"):
        Feeds([feed("bad")])


def test_matching_100_000_names_takes_no_time_to_speak_of() -> None:
    names = [f"customer-{n % 100}/metrics/2026-03-{n % 28:02d}/part-{n}.csv" for n in range(100_000)]

    started = time.process_time()
    assert all(BUILT_IN.match(name) for name in names)

    assert time.process_time() - started < 2.0


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("acme", "acme"),
        ("Acme-Corp_2.0", "Acme-Corp_2.0"),
        ("acme corp", "acme%20corp"),
        ("a/b", "a%2Fb"),
        ("..", "%2E."),
        (".", "%2E"),
        (".hidden", "%2Ehidden"),
        ("", "%00"),
        ("100%", "100%25"),
        ("~root", "%7Eroot"),
        ("é", "%C3%A9"),
        ("a\x00\n\x1b", "a%00%0A%1B"),
        ("\udcff", "%FF"),
    ],
)
def test_a_folder_can_be_made_for_any_customer(text: str, name: str) -> None:
    assert folder_name(text) == name


def test_a_long_customer_keeps_its_start_and_stays_different_from_others() -> None:
    one, other = folder_name("x" * 400 + "1"), folder_name("x" * 400 + "2")

    assert one != other
    assert one.startswith("xxxx")
    assert len(one) == len(other) == FOLDER_BYTES


@given(st.text(max_size=300), st.text(max_size=300))
def test_folder_names_are_safe_and_as_different_as_the_texts(one: str, other: str) -> None:
    name = folder_name(one)

    assert name.isascii()
    assert 0 < len(name) <= FOLDER_BYTES
    assert not name.startswith(".")
    assert not set(name) & set("/\\ \n\0~*?\"'<>|:")
    assert (name == folder_name(other)) == (one == other)
