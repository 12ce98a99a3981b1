"""The command line: `blobdrop run`, `check`, `status`, ... Thin: what a command does is in `daemon.commands`.

What those import is slow to import, so they are loaded when a command begins and not for `--help`.
"""

from __future__ import annotations

import importlib
import os
import sys
from pathlib import Path
from typing import Annotated, Final, Literal

import typer

from daemon import __version__
from daemon.cli import days, ledger, quarantine
from daemon.cli.asking import Config, Customer, FeedName, Json, Limit
from daemon.cli.asking import examples as _examples
from daemon.cli.asking import perform as _do

EXIT_CODES: Final = "Exit codes: 0 fine, 1 the data has problems, 2 usage or configuration, 3 could not do the work."


app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help=(
        "Customers drop files into a folder; blobdrop checks every row, puts the good ones into Delta tables and the "
        "others aside, with a report that people can act on."
    ),
    epilog=_examples(
        "blobdrop run                        the daemon on ./drops, everything else below ./var",
        "blobdrop check march.csv            what would become of a file, before it is dropped",
        "blobdrop quarantine list            what was set aside",
        "blobdrop status --config site.toml  another configuration",
    )
    + f"\n\n{EXIT_CODES}",
)
app.add_typer(quarantine.quarantine, name="quarantine")
app.add_typer(ledger.ledger, name="ledger")
app.add_typer(days.days, name="days")

State = Literal["found", "working", "ingested", "partial", "rejected", "duplicate", "failed", "unmatched"]
Format = Literal["auto", "text", "json"]
Level = Literal["debug", "info", "warning", "error"]


@app.callback(invoke_without_command=True)
def top(
    version: Annotated[bool, typer.Option("--version", help="Print the version.", show_default=False)] = False,
    config: Config = None,
) -> None:
    """Take what stands before the command."""
    if version:
        sys.stdout.write(f"blobdrop {__version__}\n")
        raise typer.Exit
    if config is not None:
        # As if the caller had set it, so that a command's own --config wins.
        os.environ["BLOBDROP_CONFIG"] = str(config)


@app.command(
    epilog=_examples(
        "blobdrop run                      until Ctrl-C or SIGTERM",
        "blobdrop run --once               work what is there, print a summary, stop",
        "blobdrop run --once --json        the summary for a program",
        "blobdrop run --log-format json    log lines for a program",
    )
)
def run(
    once: Annotated[
        bool, typer.Option("--once", help="Work until nothing is left, print a summary, stop.", show_default=False)
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="With --once: the summary as JSON.", show_default=False)] = False,
    log_format: Annotated[
        Format | None, typer.Option("--log-format", help="How log lines are written; else logs.format.")
    ] = None,
    log_level: Annotated[
        Level | None, typer.Option("--log-level", help="The least level that is logged; else logs.level.")
    ] = None,
    config: Config = None,
) -> None:
    """Run the daemon: take what is dropped, until told to stop.

    With --once the exit code is 1 when a drop is partial, rejected or unmatched, and 3 when one has failed.
    """
    # It has begun already unless an option stands before the command.
    importlib.import_module("daemon.warming").begin()
    _do("running.run", config=config, once=once, json=json, log_format=log_format, log_level=log_level)


@app.command(epilog=_examples("blobdrop init            into the current folder", "blobdrop init /srv/site"))
def init(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Where to; made where it is missing.")] = Path(),
) -> None:
    """Write a first configuration; overwrite nothing.

    It has a feed with a contract of its own, to be changed into yours.
    """
    _do("starting.init", folder=folder)


@app.command(
    epilog=_examples(
        "blobdrop check drops/metrics/march.csv    the feed is known by the path",
        "blobdrop check march.csv --feed metrics   or by its name",
        "blobdrop check march.csv --json           the report as report.json has it",
    )
)
def check(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The file to judge.", show_default=False)],
    feed: Annotated[
        str | None, typer.Option("--feed", metavar="FEED", help="The feed whose contract judges; else by the path.")
    ] = None,
    customer: Annotated[
        str | None, typer.Option("--customer", metavar="NAME", help="Whose file it is, for the report.")
    ] = None,
    json: Json = False,
    config: Config = None,
) -> None:
    """Judge a file as the daemon would, and change nothing.

    Prints the report. The exit code is 0 when every row would go into the table, else 1.
    """
    _do("checking.check", config=config, file=file, feed=feed, customer=customer, json=json)


@app.command(epilog=_examples("blobdrop status", "blobdrop status --json"))
def status(json: Json = False, config: Config = None) -> None:
    """Tell how the daemon, drops and rows are, and where they are."""
    _do("looking.status", config=config, json=json)


@app.command(epilog=_examples("blobdrop feeds", "blobdrop feeds --json"))
def feeds(json: Json = False, config: Config = None) -> None:
    """List the feeds: their names, contracts and tables.

    The exit code is 2 when a contract cannot be loaded.
    """
    _do("contracts.feeds", config=config, json=json)


@app.command(
    epilog=_examples(
        "blobdrop drops                             the newest",
        "blobdrop drops --state failed",
        "blobdrop drops --feed metrics --name march",
        "blobdrop drops --history metrics/march.csv all that has happened to one file",
    )
)
def drops(
    state: Annotated[State | None, typer.Option("--state", help="Only drops in this state.")] = None,
    feed: FeedName = None,
    customer: Customer = None,
    name: Annotated[
        str | None, typer.Option("--name", metavar="TEXT", help="Only names with this in them, in any case.")
    ] = None,
    history: Annotated[
        str | None,
        typer.Option("--history", metavar="NAME", help="Every version of this file and what happened to it."),
    ] = None,
    limit: Limit = 100,
    json: Json = False,
    config: Config = None,
) -> None:
    """List drops, the newest first."""
    choice = {"state": state, "feed": feed, "customer": customer, "name": name}
    _do("looking.drops", config=config, **choice, history=history, limit=limit, json=json)


@app.command(
    epilog=_examples("blobdrop config", "BLOBDROP_SOURCE__URL=/srv/drops blobdrop config", "blobdrop config --json")
)
def config(json: Json = False, config: Config = None) -> None:
    """Show every setting and its origin; try every contract.

    The exit code is 2 when a setting is wrong or a contract cannot be loaded.
    """
    _do("contracts.config", config=config, json=json)


@app.command(epilog=_examples("blobdrop doctor", "blobdrop doctor --json"))
def doctor(json: Json = False, config: Config = None) -> None:
    """Try all that the daemon needs; say what to mend.

    Settings, contracts, the source's rights (on an object of its own), clock, disks, ledger and tables. The exit code
    is 2 for settings and contracts that are wrong, 3 for anything else.
    """
    _do("doctor.doctor", config=config, json=json)


@app.command(epilog=_examples("blobdrop retry 9f3c", "blobdrop retry metrics/march.csv", "blobdrop retry --all-failed"))
def retry(
    drop: Annotated[
        str | None, typer.Argument(metavar="DROP", help="Its id, the start of its id, or its name.", show_default=False)
    ] = None,
    all_failed: Annotated[
        bool, typer.Option("--all-failed", help="Every drop that has failed.", show_default=False)
    ] = False,
    json: Json = False,
    config: Config = None,
) -> None:
    """Give a failed drop another go."""
    _do("looking.retry", config=config, drop=drop, all_failed=all_failed, json=json)


@app.command(
    epilog=_examples(
        "blobdrop ready metrics 1772438400",
        "blobdrop ready metrics 2026-03-02T08:00:00Z --customer acme",
    )
)
def ready(
    feed: Annotated[str, typer.Argument(metavar="FEED", help="Whose drops are complete.", show_default=False)],
    timestamp: Annotated[
        str,
        typer.Argument(metavar="TIMESTAMP", help="Unix seconds, or ISO 8601 with an offset.", show_default=False),
    ],
    customer: Annotated[
        str | None, typer.Option("--customer", metavar="NAME", help="Whose drops; without it nobody's in particular.")
    ] = None,
    json: Json = False,
    config: Config = None,
) -> None:
    """Drop a marker: everything before TIMESTAMP has been uploaded."""
    _do("marking.ready", config=config, feed=feed, timestamp=timestamp, customer=customer, json=json)


@app.command(
    epilog=_examples("blobdrop metrics", "blobdrop metrics visits", "blobdrop metrics visits --versions --json")
)
def metrics(
    name: Annotated[
        str | None, typer.Argument(metavar="NAME", help="Only this metric, day by day.", show_default=False)
    ] = None,
    customer: Customer = None,
    versions: Annotated[
        bool, typer.Option("--versions", help="With NAME: every version of each day.", show_default=False)
    ] = False,
    json: Json = False,
    config: Config = None,
) -> None:
    """List metrics of closed days, or one metric's days."""
    _do("metrics.metrics", config=config, name=name, customer=customer, versions=versions, json=json)


@app.command(epilog=_examples("blobdrop compact", "blobdrop compact metrics"))
def compact(
    feed: Annotated[
        str | None, typer.Argument(metavar="FEED", help="Only this feed's table.", show_default=False)
    ] = None,
    json: Json = False,
    config: Config = None,
) -> None:
    """Merge small data files of tables into large ones.

    The daemon may go on meanwhile; it compacts by itself too.
    """
    _do("compacting.compact", config=config, feed=feed, json=json)


def main() -> None:
    """Run the command line; exit codes: 0 fine, 1 the data has problems, 2 usage or configuration, 3 cannot work."""
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    app(prog_name="blobdrop")
