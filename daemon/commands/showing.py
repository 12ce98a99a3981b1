"""How commands show what they have found: JSON, tables that fit the terminal or a pipe, times, names."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, TextIO

from rich.cells import cell_len
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

#: Blanks between columns.
GAP: Final = 2
#: What a column that gives way keeps before others are left out for it.
LEAST: Final = 20

Cell = str | int | Text


@dataclass(frozen=True, kw_only=True)
class Column:
    """A column of a table."""

    title: str = ""
    #: Figures stand at the right.
    right: bool = False
    #: Whether it is cut where the terminal is narrow; the others never are.
    gives_way: bool = False
    #: On a narrow terminal columns are left out, the highest number first; 0 stays.
    leaves: int = 0


def say(*lines: str) -> None:
    """Print lines for people on stdout."""
    sys.stdout.write("".join(f"{printable(line)}\n" for line in lines))


def note(*lines: str) -> None:
    """Print lines on stderr, where they are no part of an answer."""
    sys.stderr.write("".join(f"{printable(line)}\n" for line in lines))
    sys.stderr.flush()


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
    out.write(f"{text}\n")


def print_table(columns: Sequence[Column], rows: Iterable[Sequence[Cell]]) -> None:
    """Print a table on stdout. A terminal's fits its width; in a pipe everything stands in full, on unbroken lines."""
    # As Text: square brackets in a name are no markup.
    cells = [[cell if isinstance(cell, Text) else Text(shown(cell)) for cell in row] for row in rows]
    widths = [max(cell_len(each) for each in column) for column in _texts(columns, cells)]
    console = Console()
    kept, most = _fitted(columns, widths, console.width if console.is_terminal else UNBROKEN)
    table = Table(box=None, pad_edge=False, padding=(0, GAP, 0, 0), header_style="dim")
    table.show_header = any(column.title for column in columns)
    for number in kept:
        column = columns[number]
        table.add_column(
            column.title,
            justify="right" if column.right else "left",
            no_wrap=True,
            overflow="ellipsis",
            max_width=most if column.gives_way else None,
        )
    for row in cells:
        table.add_row(*(row[number] for number in kept))
    print_rich(table)


def _texts(columns: Sequence[Column], cells: Sequence[Sequence[Text]]) -> Iterator[list[str]]:
    for number, column in enumerate(columns):
        yield [column.title, *(row[number].plain for row in cells)]


def _fitted(columns: Sequence[Column], widths: Sequence[int], room: int) -> tuple[list[int], int]:
    """Return the numbers of the columns that fit, and how wide those that give way may be."""
    kept = list(range(len(columns)))
    while True:
        giving = [number for number in kept if columns[number].gives_way]
        fixed = sum(widths[number] for number in kept if number not in giving) + GAP * (len(kept) - 1)
        left = room - fixed - sum(min(widths[number], LEAST) for number in giving)
        leaving = max(kept, key=lambda number: columns[number].leaves, default=0)
        if left >= 0 or not kept or not columns[leaving].leaves:
            break
        kept.remove(leaving)
    return kept, _share([widths[number] for number in giving], room - fixed)


def _share(widths: Sequence[int], room: int) -> int:
    """Return the greatest width that columns may have so that together they fit; narrower ones leave theirs over."""
    for place, width in enumerate(ordered := sorted(widths)):
        share = (room - sum(ordered[:place])) // (len(ordered) - place)
        if width > share:
            return max(share, 1)
    return max(widths, default=1)


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


def plural(count: int, noun: str) -> str:
    """Return "1 drop", "2,000 drops"."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def local(seconds: float | None) -> str:
    """Return an instant by the clock on the wall, "2026-03-01 12:00:05"; empty for None and 0.0, which mean never."""
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(seconds)) if seconds else ""


def local_zone() -> str:
    """Return the name of the wall clock's zone, for a heading."""
    return time.strftime("%Z")
