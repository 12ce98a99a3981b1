"""A report on a terminal: the same sentence, rules and samples as on its page, in colours or as plain lines. Pure."""

from __future__ import annotations

import io
from collections.abc import Iterator

from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from daemon.model import State
from daemon.reports import Report, counted, sampled, summary
from validators.model import Problem
from validators.sentences import printable, shortened

#: Wide enough that no line of a report in a pipe is ever broken: lines are for grep.
_UNBROKEN = 1_000_000
#: Characters of one text from outside.
_TEXT = 400
#: Ignored columns that are named.
_NAMED_COLUMNS = 20
_MOODS = {State.INGESTED: "green", State.PARTIAL: "yellow", State.REJECTED: "red", State.FAILED: "red"}


def render(report: Report, *, checked_only: bool = False, folder: str = "") -> RenderableType:
    """Return the report for a terminal.

    Args:
        report: the report.
        checked_only: the file was only checked and nothing was changed; say what would happen.
        folder: where rejected.csv and the page are; empty when nothing was kept.
    """
    return Group(*_parts(report, checked_only=checked_only, folder=folder))


def plain(report: Report, *, checked_only: bool = False, folder: str = "") -> str:
    """Return the report as plain text for a pipe: no colours, no line broken, no blanks at line ends."""
    console = Console(file=io.StringIO(), width=_UNBROKEN, color_system=None, force_terminal=False, highlight=False)
    with console.capture() as captured:
        console.print(render(report, checked_only=checked_only, folder=folder))
    return "\n".join(line.rstrip() for line in captured.get().splitlines()) + "\n"


def show(report: Report, console: Console, *, checked_only: bool = False, folder: str = "") -> None:
    """Print the report in the form that suits the console: colours on a terminal, plain lines in a pipe."""
    if console.is_terminal:
        # Paths are never broken, so that they can be copied; everything else fits.
        console.print(render(report, checked_only=checked_only, folder=folder), crop=False)
    else:
        console.file.write(plain(report, checked_only=checked_only, folder=folder))


def _parts(report: Report, *, checked_only: bool, folder: str) -> Iterator[RenderableType]:
    mood = _MOODS.get(report.state, "yellow")
    subject = report.subject
    yield Text(_shown(subject.name), style="bold")
    yield Text(_shown(f"feed {subject.feed}, customer {subject.customer}, drop {subject.drop_id}"), style="dim")
    yield Text()
    yield Text(summary(report, checked_only=checked_only), style=f"bold {mood}")
    if report.rejected_because:
        yield Text(f"Because: {_shown(report.rejected_because)}")
    if report.problems:
        yield from (Text(), _table(report, mood))
        yield from _samples(report, mood)
    yield from _remarks(report)
    yield from _advice(report, checked_only=checked_only, folder=folder)


def _table(report: Report, mood: str) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 3, 0, 0), header_style="dim", show_edge=False)
    table.add_column("rows", justify="right", style=f"bold {mood}", no_wrap=True)
    table.add_column("column", style="bold", overflow="fold")
    table.add_column("expected", overflow="fold", ratio=1)
    table.add_column("rule", style="dim", overflow="fold")
    for problem in report.problems:
        count = "all" if problem.whole_file else f"{problem.count:,}"
        column = "" if problem.column is None else _shown(problem.column)
        # As Text: square brackets in a name are no markup.
        table.add_row(*(Text(cell) for cell in (count, column, _shown(problem.expected), _shown(problem.rule))))
    return table


def _samples(report: Report, mood: str) -> Iterator[RenderableType]:
    for problem in report.problems:
        messages = [sample.message for sample in problem.sample if sample.message != problem.expected]
        if not messages and not problem.hint:
            continue
        yield Text()
        yield Text.assemble((_heading(problem), "bold"), " ", (_how_many(problem), mood))
        if problem.hint:
            yield _indented(_capital(problem.hint), "italic")
        for message in messages:
            yield _indented(message)


def _heading(problem: Problem) -> str:
    return _shown(problem.rule if problem.column is None else f"{problem.column}, {problem.rule}")


def _how_many(problem: Problem) -> str:
    if problem.whole_file:
        return "(the whole file)"
    shown = f", the first {len(problem.sample)} of them" if sampled(problem) else ""
    return f"({counted(problem.count)}{shown})"


def _remarks(report: Report) -> Iterator[RenderableType]:
    if report.ignored_columns or report.notes:
        yield Text()
    if report.ignored_columns:
        names = ", ".join(report.ignored_columns[:_NAMED_COLUMNS])
        more = len(report.ignored_columns) - _NAMED_COLUMNS
        yield Text(f"Columns left out: {_shown(names)}" + (f", and {more:,} more" if more > 0 else ""))
    for note in report.notes:
        yield Text(f"Note: {_shown(note)}")


def _advice(report: Report, *, checked_only: bool, folder: str) -> Iterator[RenderableType]:
    if report.state not in (State.PARTIAL, State.REJECTED) or report.superseded_by:
        return
    yield Text()
    if checked_only:
        yield Text("What to do: mend the file before you drop it. It was only checked; nothing was changed.")
    elif report.is_only_late:
        yield Text("What to do: nothing is to be mended, and dropped again these rows are as late. To take them in:")
        waive = f"blobdrop quarantine waive {report.subject.drop_id} --rule late --reason ..."
        yield _unbroken(waive)
    elif report.state is State.REJECTED:
        yield Text("What to do: mend the file and drop it again; nothing of it was taken in.")
    else:
        what = "its rejected.csv" if folder else "the rows listed above"
        yield Text(f"What to do: mend {what} and drop that into the same folder under a new name, as CSV in UTF-8.")
    if folder and report.state is State.PARTIAL:
        yield _unbroken(f"Rows:   {printable(folder)}/rejected.csv")
    if folder:
        yield _unbroken(f"Report: {printable(folder)}/report.html")


def _unbroken(line: str) -> Text:
    return Text(line, no_wrap=True, overflow="ignore")


def _indented(text: str, style: str = "") -> Padding:
    return Padding(Text(_shown(text), style=style), (0, 0, 0, 2), expand=False)


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _shown(text: str) -> str:
    return printable(shortened(text, _TEXT))
