"""`blobdrop ledger ...`: keep the ledger safe, or make it anew when it is lost."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from daemon.cli.asking import Config, Json, examples, perform

ledger = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,
    help="Keep the ledger safe, or make it anew when it is lost.",
    epilog=examples("blobdrop ledger backup /backup/ledger.db --force", "blobdrop ledger rebuild"),
)


@ledger.command("backup", epilog=examples("blobdrop ledger backup /backup/ledger-$(date +%F).db"))
def ledger_backup(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The file to write.", show_default=False)],
    force: Annotated[bool, typer.Option("--force", help="Replace FILE where it exists.", show_default=False)] = False,
    json: Json = False,
    config: Config = None,
) -> None:
    """Copy the ledger to a file, also while the daemon runs.

    The copy is checked. To restore it, stop the daemon, move the ledger with its -wal and -shm aside, and put it there.
    """
    perform("ledgers.backup", config=config, file=file, force=force, json=json)


@ledger.command("rebuild", epilog=examples("blobdrop ledger rebuild", "blobdrop ledger rebuild --force"))
def ledger_rebuild(
    force: Annotated[
        bool, typer.Option("--force", help="Even where a healthy ledger is; it is kept aside.", show_default=False)
    ] = False,
    json: Json = False,
    config: Config = None,
) -> None:
    """Make a lost ledger anew from tables, quarantine and archive.

    Prints what was found, and what cannot be known. The daemon must not run meanwhile.
    """
    perform("ledgers.rebuild", config=config, force=force, json=json)
