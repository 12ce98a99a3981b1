"""What the README shows is what really comes out: its commands are run, word by word, and its code too."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from typing import TYPE_CHECKING

from tests.acceptance.conftest import CHECKOUT

if TYPE_CHECKING:
    from pathlib import Path

    from tests.acceptance.conftest import Blobdrop

#: Fenced blocks of the README: their language, empty for output, and their text.
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```$", (CHECKOUT / "README.md").read_text(), re.MULTILINE | re.DOTALL)
#: What is another one on every machine and in every run.
VARYING = re.compile(r"[0-9a-f]{16}|/\S*/var/|\d+\.\d+ s|\d{4}-\d\d-\d\d \d\d:\d\d:\d\d")


def block(language: str, words: str) -> str:
    """Return the one block with these words in it."""
    (found,) = [text for kind, text in BLOCKS if kind == language and words in text]
    return str(found)


def settled(text: str) -> str:
    return VARYING.sub("_", text).strip()


def run(folder: Path, *command: str) -> str:
    environ = {**os.environ, "PYTHONPATH": str(CHECKOUT)}
    done = subprocess.run(command, cwd=folder, env=environ, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_session_goes_as_it_is_shown(blobdrop: Blobdrop) -> None:
    run(blobdrop.folder, "sh", "-c", block("sh", "cat > drops"))
    first = blobdrop.run("run", "--once")
    assert settled(block("", "2 set aside  0.02 s")) == settled(first.stderr)

    command, _, report = block("", "quarantine show").partition("\n")
    shown = blobdrop.run(*command.removeprefix("$ .venv/bin/blobdrop ").split()).stdout
    assert settled(report) == settled(shown)

    run(blobdrop.folder, "sh", "-c", block("sh", "sed "))
    second = blobdrop.run("run", "--once")
    assert settled(block("", "visits-corrected.csv  2 rows")) == settled(second.stderr)

    rows = run(blobdrop.folder, sys.executable, "-c", block("python", "duckdb.sql"))
    assert sorted(rows.splitlines()) == sorted(block("", "0     u-1").splitlines())


def test_the_feed_of_ones_own_works(blobdrop: Blobdrop) -> None:
    blobdrop.configure(block("toml", 'name = "orders"'))
    (blobdrop.folder / "orders.py").write_text(block("python", "class Orders"))
    header = b"order_id,ordered_at,country,quantity\n"
    blobdrop.drop("a.csv", header + b"A,2026-03-01T10:00:00,US,100\nB,2026-03-02T10:00:00,DE,100\n", feed="orders")

    assert blobdrop.once()["rows"] == {"read": 2, "accepted": 1, "rejected": 1}
    assert blobdrop.report("a.csv", feed="orders")["problems"][0]["rule"] == "us_orders_are_small"


def test_metrics_of_events_are_as_they_are_shown(blobdrop: Blobdrop) -> None:
    blobdrop.configure(block("toml", 'name = "buyers"'))
    blobdrop.drop("shop.csv", block("", "timestamp,event_name").encode(), feed="events")
    ready, catalog = block("", "ready events").removeprefix("$ ").split("\n$ ")
    assert blobdrop.run(*ready.split()[1:]).code == 0
    blobdrop.once(code=0)
    command, _, shown = catalog.partition("\n")
    assert blobdrop.run(*command.split()[1:]).stdout.strip() == shown.strip()


def test_the_contract_works_without_the_daemon(blobdrop: Blobdrop) -> None:
    rows = block("sh", "cat > drops").partition("<<'CSV'\n")[2].removesuffix("CSV\n")
    (blobdrop.folder / "march.csv").write_text(rows)

    said = run(blobdrop.folder, sys.executable, "-c", block("python", "check_file"))
    assert said == "Rows(read=5, accepted=3, rejected=2) ['isin', 'type']\n"
