"""`blobdrop quarantine ...`: look at what was set aside, and decide what becomes of it."""

from __future__ import annotations

from typing import Annotated

import typer

from daemon.cli.asking import Config, Customer, FeedName, Json, Limit, examples, perform

quarantine = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,
    help="Look at what was set aside; decide what becomes of it.",
    epilog=examples(
        "blobdrop quarantine list --feed metrics",
        "blobdrop quarantine show 9f3c",
        "blobdrop quarantine release 9f3c --dry-run",
    ),
)

Drop = Annotated[
    str, typer.Argument(metavar="DROP", help="Its id, the start of its id, or its name.", show_default=False)
]
Reason = Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why; it is kept.", show_default=False)]
DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Say what would happen, and change nothing.", show_default=False)
]


@quarantine.command("list", epilog=examples("blobdrop quarantine list", "blobdrop quarantine list --customer acme"))
def quarantine_list(
    feed: FeedName = None, customer: Customer = None, limit: Limit = 50, json: Json = False, config: Config = None
) -> None:
    """List what was set aside, the newest first."""
    perform("aside.list_entries", config=config, feed=feed, customer=customer, limit=limit, json=json)


@quarantine.command("show", epilog=examples("blobdrop quarantine show 9f3c", "blobdrop quarantine show march.csv"))
def quarantine_show(
    drop: Annotated[
        str, typer.Argument(metavar="DROP", help="Its id, the start of its id, or its name.", show_default=False)
    ],
    json: Json = False,
    config: Config = None,
) -> None:
    """Show the report on a drop."""
    perform("aside.show", config=config, drop=drop, json=json)


@quarantine.command(
    "release",
    epilog=examples(
        "blobdrop quarantine release 9f3c --dry-run",
        "blobdrop quarantine release 9f3c",
        "blobdrop quarantine release --feed metrics --rule isin   every drop with rows that break it",
    ),
)
def quarantine_release(
    drop: Annotated[
        str | None, typer.Argument(metavar="DROP", help="Its id, the start of its id, or its name.", show_default=False)
    ] = None,
    feed: Annotated[
        str | None, typer.Option("--feed", metavar="FEED", help="Every drop of this feed that waits for a decision.")
    ] = None,
    rule: Annotated[
        str | None, typer.Option("--rule", metavar="RULE", help="With --feed: only drops with rows that break it.")
    ] = None,
    customer: Annotated[
        str | None, typer.Option("--customer", metavar="NAME", help="With --feed: only this customer's.")
    ] = None,
    reason: Reason = "",
    dry_run: DryRun = False,
    json: Json = False,
    config: Config = None,
) -> None:
    """Judge rejected rows again by today's contract.

    Those that pass go into the table, the others stay. The daemon carries it out.
    """
    chosen = {"drop": drop, "feed": feed, "rule": rule, "customer": customer}
    perform("deciding.release", config=config, **chosen, reason=reason, dry_run=dry_run, json=json)


@quarantine.command(
    "waive",
    epilog=examples('blobdrop quarantine waive 9f3c --rule in_range --reason "the machine was recalibrated"'),
)
def quarantine_waive(
    drop: Drop,
    reason: Reason,
    rule: Annotated[
        list[str] | None,
        typer.Option("--rule", metavar="RULE", help="A rule to waive; may be repeated. All that may be, without it."),
    ] = None,
    dry_run: DryRun = False,
    json: Json = False,
    config: Config = None,
) -> None:
    """Accept rejected rows in spite of some rules.

    Rows that break nothing else go into the table, where `_waived` names the rules. A cell that could not be read, or a
    record that is not well-formed, cannot be waived. The daemon carries it out.
    """
    perform("deciding.waive", config=config, drop=drop, rules=rule or (), reason=reason, dry_run=dry_run, json=json)


@quarantine.command("discard", epilog=examples('blobdrop quarantine discard 9f3c --reason "a test of theirs"'))
def quarantine_discard(
    drop: Drop, reason: Reason, dry_run: DryRun = False, json: Json = False, config: Config = None
) -> None:
    """Mark rejected rows as not wanted; delete nothing.

    The daemon carries it out.
    """
    perform("deciding.discard", config=config, drop=drop, reason=reason, dry_run=dry_run, json=json)
