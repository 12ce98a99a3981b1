"""How commands show what they have found: JSON, tables that fit the terminal or a pipe, times, names."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final, TextIO

from rich.console import Console
from rich.table import Table
from rich.text import Text

from daemon.model import State
from validators.sentences import printable

#: Wide enough that no line in a pipe is ever broken: lines are for grep.
UNBROKEN: Final = 1_000_000
STYLES: Final = {
    State.INGESTED: "green",
    State.PARTIAL: "yellow",
    State.REJECTED: "red",
    State.FAILED: "bold red",
    State.DUPLICATE: "cyan",
    State.UNMATCHED: "yellow",
}

Cell = str | int | Text


@dataclass(frozen=True, kw_only=True)
class Column:
    """A column of a table."""

    title: str
    #: Figures stand at the right.
    right: bool = False
    #: Whether it gives way, and is cut, where the terminal is narrow.
    gives_way: bool = False


def print_json(value: Any, out: TextIO | None = None) -> None:
    """Print a value as JSON: on several lines for a person at a terminal, on one for a program."""
    out = out or sys.stdout
    indent = 2 if out.isatty() else None
    text = json.dumps(value, ensure_ascii=False, indent=indent)
    try:
        text.encode(out.encoding or "utf-8")
    except UnicodeEncodeError:
        # Escapes are the same JSON to every reader.
        text = json.dumps(value, indent=indent)
    print(text, file=out)


def print_table(columns: Sequence[Column], rows: Iterable[Sequence[Cell]]) -> None:
    """Print a table on stdout. Only a terminal's is cut to its width."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim", show_edge=False)
    for column in columns:
        table.add_column(
            column.title,
            justify="right" if column.right else "left",
            no_wrap=not column.gives_way,
            overflow="ellipsis",
        )
    for row in rows:
        # As Text: square brackets in a name are no markup.
        table.add_row(*(cell if isinstance(cell, Text) else Text(shown(cell)) for cell in row))
    print_rich(table)


def print_rich(*things: Any) -> None:
    """Print what Rich can render on stdout: coloured on a terminal, plain and with no line broken in a pipe."""
    console = Console()
    if console.is_terminal:
        console.print(*things, sep="\n")
        return
    plain = Console(file=sys.stdout, width=UNBROKEN, color_system=None, highlight=False)
    with plain.capture() as captured:
        plain.print(*things, sep="\n")
    sys.stdout.write("".join(f"{line.rstrip()}\n" for line in captured.get().splitlines()))


def shown(value: str | int) -> str:
    """Return a text that stays on its line and sets no colours; figures get separators."""
    return f"{value:,}" if isinstance(value, int) else printable(value)


def state_cell(state: State) -> Text:
    """Return a state in its colour."""
    return Text(state.value, style=STYLES.get(state, ""))


def local(seconds: float | None) -> str:
    """Return an instant by the clock on the wall, "2026-03-01 12:00:05"; empty for None and 0.0, which mean never."""
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(seconds)) if seconds else ""


def local_zone() -> str:
    """Return the name of the wall clock's zone, for a heading."""
    return time.strftime("%Z")
