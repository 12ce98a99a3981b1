"""`blobdrop run`: the daemon, telling whoever started it where everything is; or once, with progress and a summary."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from shutil import which
from typing import Any, Final

import structlog
from rich.console import Console
from rich.live import Live
from rich.spinner import Spinner
from rich.text import Text

from daemon import __version__, app, decisions, logs, wiring
from daemon.commands.serving import serve
from daemon.commands.showing import Column, note, plural, print_json, print_table, say, state_cell
from daemon.config import Configuration, load
from daemon.errors import ConfigError
from daemon.ingest import Ingest
from daemon.lines import STOPPED, near
from daemon.markers import Standing
from daemon.model import State
from daemon.tally import NAMED, Tally, Troubled
from validators.sentences import printable

#: The command, where it is installed.
NAME: Final = "blobdrop"
#: How often a second the progress line is drawn anew.
FRAMES: Final = 8
#: How decisions end.
ENDED: Final = (decisions.Standing.DONE, decisions.Standing.REFUSED, decisions.Standing.FAILED)
#: States whose drops have bad data: exit code 1.
DATA_PROBLEMS: Final = (State.PARTIAL, State.REJECTED, State.UNMATCHED)


def run(config: Path | None, *, once: bool, json: bool, log_format: str | None, log_level: str | None) -> int:
    """Run the daemon until it is told to stop, or with `once` until nothing is left."""
    if json and not once:
        raise ConfigError("--json is for the summary of run --once; for log lines in JSON use --log-format json")
    configuration = load(config, os.environ)
    tell = _telling(configuration, log_format, log_level)
    if once:
        return _run_once(configuration, tell, json=json)

    def begun(by: Configuration) -> None:
        _welcome(by, is_text=_telling(by, log_format, log_level)() == "text")

    serve(configuration, lambda: load(config, os.environ), begun)
    structlog.get_logger().info(STOPPED, note="nothing is half done")
    return 0


def _telling(configuration: Configuration, log_format: str | None, log_level: str | None) -> Callable[[], str]:
    """Have logs written; return what does so again, for a stderr that was replaced, and tells their format."""
    settings = configuration.settings.logs
    chosen, level = log_format or settings.format, log_level or settings.level

    def tell() -> str:
        logs.configure(chosen, level, sys.stderr)
        return logs.format_for(sys.stderr, os.environ) if chosen == "auto" else chosen

    tell()
    return tell


# -------------------------------------------------------------------- THE DAEMON


def _welcome(configuration: Configuration, *, is_text: bool) -> None:
    """Say where everything is: in words to a person, as an event to a machine."""
    settings = configuration.settings
    drops = wiring.drops_of(settings)
    tables = wiring.tables_of(settings)
    quarantine = wiring.quarantine_of(settings).describe()
    if not is_text:
        fields = {"drops": drops, "tables": tables, "quarantine": quarantine}
        structlog.get_logger().info("daemon.started", version=__version__, config=str(configuration.file), **fields)
        return
    lines = [
        f"blobdrop {__version__} is running, configured by {configuration.file or 'its built-in settings'}.",
        "",
        f"  Drop files into   {drops}",
        *_patterns(configuration),
        f"  Rows appear in    {tables}/FEED",
        f"  Reports appear in {quarantine}/CUSTOMER/FEED/DROP/report.html",
        f"  Files then are    {_settled(configuration, drops)}",
        f"  Look around with  {_called()} status",
        "",
        "Press Ctrl-C to stop; nothing is left half done. What becomes of each file is told here.",
    ]
    note(*lines)


def _patterns(configuration: Configuration) -> Iterator[str]:
    width = max(len(feed.name) for feed in configuration.settings.feeds)
    for feed in configuration.settings.feeds:
        yield f"                      {feed.name.ljust(width)}  {'  or  '.join(feed.paths)}"


def _called() -> str:
    """Return how this command is called from the current folder: by its name only where that is on the PATH."""
    program = Path(sys.argv[0])
    if program.name != NAME:
        return f"{near(sys.executable, str(Path.cwd()))} -m daemon"
    found = which(NAME)
    return NAME if found and Path(found).samefile(program) else near(str(program.absolute()), str(Path.cwd()))


def _settled(configuration: Configuration, drops: str) -> str:
    after = configuration.settings.source.after.value
    return {"archive": f"moved into {drops}/_archive", "delete": "deleted"}.get(after, "left where they are")


# -------------------------------------------------------------------- ONCE


def _run_once(configuration: Configuration, tell: Callable[[], str], *, json: bool) -> int:
    began = time.monotonic()
    is_text = tell() == "text"
    with (
        _progress(tell, is_shown=is_text and sys.stderr.isatty()) as watch,
        app.daemon(configuration, os.environ, once=True) as daemon,
    ):
        watch(daemon.ingest)
        pending = daemon.loop.run_once()
        tables = {feed: daemon.store.describe(feed) for feed in sorted(daemon.ingest.tallied.feeds)}
    tally = daemon.ingest.tallied
    if json:
        print_json(_summary(tally, pending, tables))
    else:
        _print_summary(tally, pending, tables, time.monotonic() - began)
    return _exit_code(tally)


def _exit_code(tally: Tally) -> int:
    if tally.drops[State.FAILED]:
        return 3
    return 1 if any(tally.drops[state] for state in DATA_PROBLEMS) or _refused(tally) else 0


def _refused(tally: Tally) -> int:
    return sum(count for standing, count in tally.markers.items() if standing.refused)


def _summary(tally: Tally, pending: int, tables: dict[str, str]) -> dict[str, Any]:
    rows = tally.rows
    return {
        "drops": {state.value: tally.drops[state] for state in State if state.final},
        "rows": {"read": rows.read, "accepted": rows.accepted, "rejected": rows.rejected},
        "late_rows": rows.late,
        "decisions": {**{state.value: tally.decisions[state] for state in ENDED}, "rows_accepted": tally.released},
        "markers": {"applied": tally.markers[Standing.APPLIED], "refused": _refused(tally)},
        "days_closed": [{"customer": customer, "feed": feed, "date": day} for customer, feed, day in tally.days_closed],
        "pending": pending,
        "tables": {feed: printable(path) for feed, path in tables.items()},
        "problems": [
            {
                "drop": one.drop_id,
                "name": printable(one.name),
                "state": one.state.value,
                "reason": printable(one.reason),
                "report": printable(one.report),
            }
            for one in tally.troubled
        ],
    }


def _print_summary(tally: Tally, pending: int, tables: dict[str, str], seconds: float) -> None:
    rows = tally.rows
    say(f"{plural(tally.done, 'drop')} in {seconds:.1f} s", "")
    _print_counts("drops", [(state.value, tally.drops[state]) for state in State if state.final])
    say("")
    _print_counts("rows", [("read", rows.read), ("accepted", rows.accepted), ("rejected", rows.rejected)])
    if tally.decisions:
        ended = [(state.value, tally.decisions[state]) for state in ENDED]
        say("")
        _print_counts("decisions", [*ended, ("rows into tables", tally.released)])
    if tally.markers:
        say("")
        _print_counts("markers", [(standing.value, count) for standing, count in sorted(tally.markers.items())])
    if tally.days_closed:
        days = [f"{day} of {customer}/{feed}" for customer, feed, day in tally.days_closed[:NAMED]]
        more = len(tally.days_closed) - len(days)
        say("", f"Days closed: {', '.join(days)}" + (f" and {more:,} more" if more else ""))
    if pending:
        say("", f"{plural(pending, 'file')} left for another time: still being written")
    if tables:
        say("", "Tables with new rows")
        print_table([Column()] * 2, list(tables.items()))
    if tally.troubled:
        _print_troubled(tally)


def _print_counts(title: str, counts: list[tuple[str, int]]) -> None:
    columns = [Column(title=" " * len(title)), *(Column(title=name, right=True) for name, _ in counts)]
    print_table(columns, [[title, *(count for _, count in counts)]])


def _print_troubled(tally: Tally) -> None:
    say("", "Drops with problems")
    columns = [Column(), Column(gives_way=True), Column()]
    print_table(columns, [[state_cell(one.state), one.name, _where_next(one)] for one in tally.troubled])
    more = sum(tally.drops[state] for state in (*DATA_PROBLEMS, State.FAILED)) - NAMED
    if more > 0:
        say(f"and {more:,} more: blobdrop drops --state partial (or rejected, failed, unmatched)")


def _where_next(one: Troubled) -> str:
    """Say where a drop's report is, or what to do without one."""
    if one.report:
        return f"{near(one.report, str(Path.cwd()))}/report.html"
    if one.state is State.UNMATCHED:
        return "no feed has a pattern for this name: blobdrop feeds"
    return f"{one.reason}; for another go: blobdrop retry {one.drop_id}"


# -------------------------------------------------------------------- PROGRESS


class _Line:
    """The progress line: what there is to see now."""

    def __init__(self) -> None:
        self.ingest: Ingest | None = None
        self._began = time.monotonic()
        self._spinner = Spinner("dots")

    def __rich__(self) -> Spinner:
        self._spinner.update(text=Text(self._words()))
        return self._spinner

    def _words(self) -> str:
        seconds = f"{time.monotonic() - self._began:.1f} s"
        if self.ingest is None:
            return f"starting  {seconds}"
        tally = self.ingest.tallied
        found = tally.done + self.ingest.claimed
        return f"{tally.done:,} of {found:,} drops done  {tally.rows.read:,} rows  {seconds}"


@contextmanager
def _progress(tell: Callable[[], str], *, is_shown: bool) -> Iterator[Callable[[Ingest], None]]:
    """Show a line that grows, below the log lines, for the length of a `with`; yield what it is to watch."""
    line = _Line()

    def watch(ingest: Ingest) -> None:
        line.ingest = ingest

    if not is_shown:
        yield watch
        return
    try:
        with Live(line, console=Console(stderr=True), refresh_per_second=FRAMES, transient=True):
            tell()  # stderr now writes above the line
            yield watch
    finally:
        tell()
