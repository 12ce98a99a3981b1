"""The command line: `blobdrop run`, `check`, `status`, ... Thin: what a command does is in `commands`.

`commands` imports what is slow to import, so it is loaded when a command begins and not for `--help`.
"""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)
quarantine = typer.Typer(no_args_is_help=True, help="Look at what was set aside.")
app.add_typer(quarantine, name="quarantine")

Config = Annotated[Path | None, typer.Option("--config", help="the TOML file of settings", show_default=False)]
Json = Annotated[bool, typer.Option("--json", help="print JSON instead of text")]


def _commands() -> Any:
    return importlib.import_module("daemon.commands")


@app.command()
def run(
    once: Annotated[bool, typer.Option("--once", help="work until nothing is left, print a summary, stop")] = False,
    json: Json = False,
    config: Config = None,
) -> None:
    """Run the daemon."""
    raise typer.Exit(_commands().run(config, once=once, json=json))


def main() -> None:
    """Run the command line; exit codes: 0 fine, 1 the data has problems, 2 usage or configuration, 3 cannot work."""
    try:
        app()
    except BrokenPipeError:
        sys.exit(141)
