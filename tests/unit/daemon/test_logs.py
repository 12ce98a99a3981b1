"""What log lines look like, for people and for machines."""

from __future__ import annotations

import io
import json
import logging
import os
import pty
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog

from daemon.errors import ConfigError
from daemon.logs import configure, format_for

ROOT = Path(__file__).parents[3]


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    handlers = list(logging.getLogger().handlers)
    yield
    structlog.reset_defaults()
    logging.getLogger().handlers[:] = handlers


def text_of(event: str, *, level: str = "info", encoding: str = "utf-8", **fields: Any) -> str:
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding=encoding, write_through=True)
    configure("text", "debug", stream, environ={})
    getattr(structlog.get_logger(), level)(event, **fields)
    return raw.getvalue().decode(encoding)


def json_of(event: str, *, level: str = "info", **fields: Any) -> dict[str, Any]:
    stream = io.StringIO()
    configure("json", "debug", stream, environ={})
    getattr(structlog.get_logger(), level)(event, **fields)
    (line,) = stream.getvalue().splitlines()
    return dict(json.loads(line))


def test_a_line_for_people_has_time_event_and_fields() -> None:
    assert re.fullmatch(
        r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d settled drop=ab12 rows=3\n", text_of("settled", drop="ab12", rows=3)
    )


def test_a_line_names_its_level_where_it_is_not_the_usual_one() -> None:
    assert " warning hints_unavailable" in text_of("hints_unavailable", level="warning")
    assert " critical lost" in text_of("lost", level="critical")


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("plain", "plain"),
        ("a b", "'a b'"),
        ("", "''"),
        ("a=b", "'a=b'"),
        ("a\nb", "'a\\nb'"),
        ("\x1b[31m", "'\\x1b[31m'"),
        ("it's", '"it\'s"'),
        ("\udcff", "'\\udcff'"),
        ("\N{PARTY POPPER}é", "\N{PARTY POPPER}é"),
        (None, "None"),
        (1.5, "1.5"),
        (Path("/srv/a b"), "'/srv/a b'"),
    ],
)
def test_a_value_stays_on_its_line_and_sets_no_colours(value: object, shown: str) -> None:
    assert text_of("e", value=value).endswith(f" value={shown}\n")


def test_what_a_terminal_cannot_show_is_escaped() -> None:
    assert text_of("e", name="é", encoding="ascii").endswith(" name=\\xe9\n")


def broken() -> None:
    raise ValueError("red \x1b[31m")


def test_an_exception_stands_below_its_line_without_control_characters() -> None:
    try:
        broken()
    except ValueError:
        text = text_of("failed", level="exception", drop="a")

    assert re.search(r" error failed drop=a\nTraceback \(most recent call last\):\n", text)
    assert text.endswith("ValueError: red \\x1b[31m\n")


def test_json_has_event_level_utc_time_and_fields() -> None:
    entry = json_of("settled", level="warning", drop="a\nb\udcff", path=Path("/x"), rows=3, none=None)

    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", entry.pop("time"))
    assert entry == {
        "event": "settled",
        "level": "warning",
        "drop": "a\nb\udcff",
        "path": "/x",
        "rows": 3,
        "none": None,
    }


def test_json_has_an_exception_as_text() -> None:
    try:
        broken()
    except ValueError:
        entry = json_of("failed", level="exception")

    assert entry["exception"].startswith("Traceback")


def test_what_is_below_the_level_is_left_out() -> None:
    stream = io.StringIO()
    configure("json", "warning", stream, environ={})

    structlog.get_logger().info("quiet")
    structlog.get_logger().warning("loud")

    assert [json.loads(line)["event"] for line in stream.getvalue().splitlines()] == ["loud"]


def test_warnings_of_libraries_come_in_the_same_form_and_once() -> None:
    stream = io.StringIO()
    configure("json", "info", stream, environ={})
    configure("json", "info", stream, environ={})

    logging.getLogger("watchdog.x").warning("queue %s", "full")
    logging.getLogger("watchdog.x").info("chatter")

    (entry,) = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert (entry["event"], entry["name"], entry["message"]) == ("library", "watchdog.x", "queue full")


@pytest.mark.parametrize(
    ("environ", "chosen"),
    [({}, "text"), ({"INVOCATION_ID": "1"}, "json"), ({"JOURNAL_STREAM": "8:1"}, "json"), ({"TERM": "dumb"}, "text")],
)
def test_auto_is_json_only_under_systemd(environ: dict[str, str], chosen: str) -> None:
    assert format_for(io.StringIO(), environ) == chosen


@pytest.mark.parametrize(
    ("format", "level", "says"), [("xml", "info", "log format is 'xml'"), ("text", "loud", "'loud'")]
)
def test_an_unknown_format_or_level_is_refused_with_the_ones_there_are(format: str, level: str, says: str) -> None:  # noqa: A002
    with pytest.raises(ConfigError, match=says) as caught:
        configure(format, level, io.StringIO())

    assert "must be one of" in str(caught.value)


SCRIPT = """
import sys, structlog
from daemon.logs import configure
configure("auto", "info", sys.stdout)
structlog.get_logger().warning("seen", drop="a")
"""


def on_a_terminal(**environ: str) -> str:
    """Run the script on a pseudo terminal and return what appears there."""
    parent, child = pty.openpty()
    with os.fdopen(child, "w") as terminal:
        subprocess.run(
            [sys.executable, "-c", SCRIPT],
            stdout=terminal,
            check=True,
            cwd=ROOT,
            env={key: value for key, value in os.environ.items() if key != "NO_COLOR"} | {"TERM": "xterm"} | environ,
        )
        shown = os.read(parent, 10_000).decode()
    os.close(parent)
    return shown


def test_a_terminal_gets_colours_even_where_a_desktop_left_variables_of_systemd() -> None:
    assert "\x1b[1;33mseen\x1b[0m \x1b[2mdrop=\x1b[0ma" in on_a_terminal(INVOCATION_ID="1")


@pytest.mark.parametrize("environ", [{"NO_COLOR": "1"}, {"TERM": "dumb"}])
def test_a_terminal_that_wants_no_colours_gets_none(environ: dict[str, str]) -> None:
    shown = on_a_terminal(**environ)

    assert "warning seen drop=a" in shown
    assert "\x1b" not in shown
