"""`blobdrop days close` and `restate`: what a person wants done with a day; the running daemon does it."""

from __future__ import annotations

import getpass
import time
from collections.abc import Callable
from pathlib import Path

from daemon import app
from daemon.commands.explaining import OPEN, day_of
from daemon.commands.looking import NOTHING_YET, begun
from daemon.commands.showing import print_json, say
from daemon.config import Configuration
from daemon.errors import ConfigError, NotFoundError
from daemon.ledger import Ledger
from daemon.ledger.days import Day, DayRow, Scope


def close(config: Path | None, *, day: str, scope: str, reason: str, json: bool) -> int:
    """Have a held day closed in spite of what holds it."""

    def allow(ledger: Ledger, row: DayRow | None) -> tuple[int, str]:
        if row is None or row.state is not Day.HELD:
            stands = OPEN if row is None else row.state.value
            raise NotFoundError(
                f"day {day} of {scope} is {stands}, and only held days can be closed. "
                f"Why it stands so: blobdrop days --explain {day}"
            )
        ledger.days.allow(row, reason, getpass.getuser())
        return row.version, "closed"

    return _ask(config, day, scope, reason, allow, json=json)


def restate(config: Path | None, *, day: str, scope: str, reason: str, json: bool) -> int:
    """Have a closed day computed again, as a new version."""

    def again(ledger: Ledger, row: DayRow | None) -> tuple[int, str]:
        if row is None:
            raise NotFoundError(f"day {day} of {scope} is open, and only closed days can be restated")
        version = ledger.days.restate(row, reason, getpass.getuser(), time.time())
        return version, f"computed again, as version {version}"

    return _ask(config, day, scope, reason, again, json=json)


def _ask(
    config: Path | None,
    day: str,
    scope: str,
    reason: str,
    write: Callable[[Ledger, DayRow | None], tuple[int, str]],
    *,
    json: bool,
) -> int:
    """Write into the ledger what is wanted of a day; `write` returns the version that it is of, and what will be."""
    configuration = begun(config)
    of, wanted = _scope(scope, configuration), day_of(day).isoformat()
    if not reason.strip():
        raise ConfigError("--reason is empty; say why, for whoever looks at the day later")
    ledger = app.open_for_reading(configuration.settings)
    if ledger is None:
        raise NotFoundError(NOTHING_YET)
    with ledger:
        version, will_be = write(ledger, ledger.days.one(of, wanted))
        running = ledger.holder() is not None
    if json:
        print_json({"day": wanted, "scope": scope, "version": version, "daemon_running": running})
        return 0
    say(f"Day {wanted} of {scope} will be {will_be}.")
    say("The running daemon does it now." if running else "The daemon is not running; start it with: blobdrop run")
    return 0


def _scope(text: str, configuration: Configuration) -> Scope:
    customer, slash, feed = text.rpartition("/")
    if not slash or feed not in [each.name for each in configuration.settings.feeds]:
        raise ConfigError(f"--scope {text!r}: expected CUSTOMER/FEED such as default/metrics")
    return feed, customer
