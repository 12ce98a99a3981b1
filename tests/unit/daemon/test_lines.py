"""What became of a drop, on one line for whoever watches the terminal."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any

import pytest
import structlog

from daemon.lines import drop_line, near
from daemon.logs import configure

DROP = {"drop": "9f3c", "name": "acme/metrics/m.csv", "feed": "metrics", "customer": "acme"}


def line(event: str, **fields: Any) -> str:
    said = drop_line(event, {**DROP, **fields}, "/srv")
    assert said is not None
    return "".join(said)


@pytest.mark.parametrize(
    ("event", "fields", "says"),
    [
        (
            "ingested",
            {"rows": 1200, "accepted": 1200, "seconds": 0.214},
            "ingested  acme/metrics/m.csv  1,200 rows  0.21 s",
        ),
        ("ingested", {"rows": 1, "accepted": 1, "seconds": 2.0}, "ingested  acme/metrics/m.csv  1 row  2.00 s"),
        (
            "partial",
            {"rows": 100, "accepted": 96, "rejected": 4, "seconds": 0.1, "report": "/srv/q/9f"},
            "partial   acme/metrics/m.csv  96 of 100 rows in the table, 4 set aside  0.10 s  report: q/9f/report.html",
        ),
        (
            "rejected",
            {"rows": 0, "accepted": 0, "reason": "the file is empty", "seconds": 0.1, "report": "/q/9f3c"},
            "rejected  acme/metrics/m.csv  set aside: the file is empty  report: /q/9f3c/report.html",
        ),
        (
            "rejected",
            {"rows": 3, "accepted": 0, "rejected": 3, "reason": "no id", "seconds": 0.1},
            "rejected  acme/metrics/m.csv  3 rows set aside: no id  0.10 s",
        ),
        ("duplicate", {"rows": 0, "accepted": 0, "seconds": 0.1}, "the same bytes are here already; nothing was added"),
        (
            "failed",
            {"rows": 0, "accepted": 0, "reason": "it took too long", "seconds": 0.1},
            "failed    acme/metrics/m.csv  it took too long; for another go: blobdrop retry 9f3c",
        ),
        ("retried", {"attempt": 1, "seconds": 30.0, "reason": "killed"}, "killed; it is tried again in 30 s"),
        ("unmatched", {"note": "no feed has a pattern for this name"}, "m.csv  no feed has a pattern for this name"),
        ("unsettled", {"reason": "no right to move it"}, "unsettled acme/metrics/m.csv  no right to move it"),
    ],
)
def test_each_end_of_a_drop_has_a_line(event: str, fields: dict[str, Any], says: str) -> None:
    assert says in line(f"drop.{event}", **fields)


def test_a_name_cannot_break_its_line_or_colour_it() -> None:
    text = line("drop.ingested", name="a\nb\x1b[31m\udcff.csv", rows=1, accepted=1, seconds=0.1)

    assert r"a\nb\x1b[31m\xff.csv" in text
    assert text.isprintable()


@pytest.mark.parametrize(("event", "fields"), [("table.compacted", {"name": "x"}), ("drop.changed", {"drops": 3})])
def test_other_events_have_none(event: str, fields: dict[str, Any]) -> None:
    assert drop_line(event, fields, "/srv") is None


@pytest.mark.parametrize(
    ("path", "folder", "shown"),
    [("/srv/var/q", "/srv", "var/q"), ("/q", "/srv", "/q"), ("/srv2/q", "/srv", "/srv2/q"), ("/srv/q", "/", "/srv/q")],
)
def test_a_path_is_shown_from_where_one_stands(path: str, folder: str, shown: str) -> None:
    assert near(path, folder) == shown


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    yield io.StringIO()
    structlog.reset_defaults()


def test_the_text_log_has_the_line_and_the_json_log_the_fields(stream: io.StringIO) -> None:
    for form in ("text", "json"):
        configure(form, "info", stream, environ={})
        structlog.get_logger().warning("drop.unmatched", name="x.csv", note="no feed takes it")
    text, json = stream.getvalue().splitlines()

    assert text.endswith(" unmatched  x.csv  no feed takes it")
    assert '"event": "drop.unmatched"' in json
    assert '"name": "x.csv"' in json
