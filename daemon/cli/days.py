"""`blobdrop days ...`: look at business days, close one that is held, compute a closed one again."""

from __future__ import annotations

from typing import Annotated

import typer

from daemon.cli.asking import Config, Json, examples, perform

days = typer.Typer(
    invoke_without_command=True,
    rich_markup_mode=None,
    help="List business days; close a held one, compute one again.",
    epilog=examples(
        "blobdrop days",
        "blobdrop days --explain 2026-03-01",
        'blobdrop days close 2026-03-01 --scope acme/metrics --reason "they had a holiday"',
        'blobdrop days restate 2026-03-01 --scope acme/metrics --reason "late rows are in the table now"',
    ),
)


@days.callback()
def list_days(
    context: typer.Context,
    explain: Annotated[
        str | None,
        typer.Option("--explain", metavar="DATE", help="The day's bounds in UTC, and why it is open or closed."),
    ] = None,
    json: Json = False,
    config: Config = None,
) -> None:
    """List business days; close a held one, compute one again."""
    if context.invoked_subcommand is None:
        perform("days.days", config=config, explain=explain, json=json)


_Day = Annotated[str, typer.Argument(metavar="DATE", help="The day, such as 2026-03-01.", show_default=False)]
_Scope = Annotated[
    str, typer.Option("--scope", metavar="CUSTOMER/FEED", help="Whose day of which feed.", show_default=False)
]
_Reason = Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why; it is kept.", show_default=False)]


@days.command("close", epilog=examples('blobdrop days close 2026-03-01 --scope acme/metrics --reason "a holiday"'))
def days_close(date: _Day, scope: _Scope, reason: _Reason, json: Json = False, config: Config = None) -> None:
    """Close a day that is held, in spite of what holds it. The daemon carries it out."""
    perform("closing.close", config=config, day=date, scope=scope, reason=reason, json=json)


@days.command("restate", epilog=examples('blobdrop days restate 2026-03-01 --scope acme/metrics --reason "late rows"'))
def days_restate(date: _Day, scope: _Scope, reason: _Reason, json: Json = False, config: Config = None) -> None:
    """Compute a closed day again, as a new version. The daemon carries it out."""
    perform("closing.restate", config=config, day=date, scope=scope, reason=reason, json=json)
