"""How commands show what they found: the same on a terminal and in a pipe, but for colours and width."""

from __future__ import annotations

import io
import json
import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import pytest

from daemon.commands.showing import Column, local, note, plural, print_json, print_table, say

ROOT = Path(__file__).parents[4]
NAME = "acme/metrics/" + "a long name " * 20 + ".csv"
COLUMNS = (
    Column(title="drop"),
    Column(title="rows", right=True),
    Column(title="feed", leaves=1),
    Column(title="name", gives_way=True),
)
SCRIPT = f"""
from daemon.commands.showing import Column, print_table
columns = [Column(title="drop"), Column(title="rows", right=True), Column(title="feed", leaves=1),
           Column(title="name", gives_way=True)]
print_table(columns, [["9f3c", 1200, "metrics", {NAME!r}], ["77", 3, "orders", "東京"]])
"""


def on_a_terminal(width: int) -> list[str]:
    """Print the table on a pseudo terminal of that width; return its lines without colours."""
    parent, child = pty.openpty()
    with os.fdopen(child, "w") as terminal:
        environ = {**os.environ, "TERM": "xterm", "COLUMNS": str(width)}
        subprocess.run([sys.executable, "-c", SCRIPT], stdout=terminal, check=True, cwd=ROOT, env=environ)
        shown = os.read(parent, 100_000).decode()
    os.close(parent)
    return [re.sub(r"\x1b\[[0-9;]*m", "", line).rstrip() for line in shown.splitlines()]


def test_a_pipe_gets_everything_on_unbroken_lines_without_blanks_at_their_ends(
    capsys: pytest.CaptureFixture[str],
) -> None:
    print_table(COLUMNS, [["9f3c", 1200, "metrics", NAME], ["77", 3, "orders", "[bold]x"]])
    head, first, second = capsys.readouterr().out.splitlines()

    assert head == "drop   rows  feed     name"
    assert first == f"9f3c  1,200  metrics  {NAME}"
    assert second == "77        3  orders   [bold]x"


def test_a_terminal_gets_each_row_on_one_line_and_long_names_cut() -> None:
    head, first, second = on_a_terminal(60)

    assert head.split() == ["drop", "rows", "feed", "name"]
    assert len(first) <= 60
    assert first.endswith("…")
    assert second.endswith("東京")


def test_a_narrow_terminal_leaves_columns_out_before_names_become_too_short() -> None:
    head, first, _ = on_a_terminal(36)

    assert head.split() == ["drop", "rows", "name"]
    assert first.startswith("9f3c  1,200  acme/metrics/a long")


def test_names_stay_on_their_line_and_set_no_colours(capsys: pytest.CaptureFixture[str]) -> None:
    print_table([Column()], [["a\nb\x1b[31m"]])
    say("c\x1b[1m")
    note("d\nd")
    captured = capsys.readouterr()

    assert captured.out == "a\\nb\\x1b[31m\nc\\x1b[1m\n"
    assert captured.err == "d\\nd\n"


def test_json_for_a_program_is_one_line() -> None:
    out = io.StringIO()
    print_json({"name": "é\n", "rows": [1, 2]}, out)

    assert out.getvalue() == '{"name": "é\\n", "rows": [1, 2]}\n'


def test_json_that_the_stream_cannot_hold_is_escaped_and_stays_the_same() -> None:
    raw = io.BytesIO()
    out = io.TextIOWrapper(raw, encoding="ascii", write_through=True)
    print_json({"name": "é\N{PARTY POPPER}"}, out)

    assert json.loads(raw.getvalue()) == {"name": "é\N{PARTY POPPER}"}


def test_an_empty_table_is_its_heading(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(COLUMNS, [])

    assert capsys.readouterr().out == "drop  rows  feed  name\n"


def test_never_is_empty_and_one_is_singular() -> None:
    assert local(0.0) == local(None) == ""
    assert re.fullmatch(r"20\d\d-\d\d-\d\d \d\d:\d\d:\d\d", local(1_772_366_400.0))
    assert (plural(1, "drop"), plural(2000, "drop")) == ("1 drop", "2,000 drops")
