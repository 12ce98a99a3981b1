"""What deploy/README.md has operators type is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from typer.main import get_command

from daemon import cli

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "deploy" / "README.md").read_text(encoding="utf-8")


def commands() -> list[tuple[str, ...]]:
    """Return what stands after `blobdrop`, up to the first argument."""
    found = re.findall(r"(?<![\w/.])blobdrop ((?:[a-z]+ ?)+)((?: *--[a-z-]+)*)", TEXT)
    return sorted({(*words.split(), *options.split()) for words, options in found})


@pytest.mark.parametrize("typed", [each for each in commands() if each[0] in get_command(cli.app).commands])  # type: ignore[attr-defined]
def test_each_command_is_one_of_ours(typed: tuple[str, ...]) -> None:
    command = get_command(cli.app).commands[typed[0]]  # type: ignore[attr-defined]
    if hasattr(command, "commands"):
        assert typed[1] in command.commands


def test_it_has_what_an_operator_looks_for() -> None:
    for title in ("Install", "Upgrade", "Back up", "Restore", "Rebuild the ledger", "Add a feed", "Ten things"):
        assert re.search(rf"(?m)^## {title}", TEXT), title
    rows = TEXT.partition("## Ten things")[2].strip().splitlines()[4:]
    assert len(rows) == 10
    assert all("`" in row for row in rows)
