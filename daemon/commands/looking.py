"""`blobdrop status` and `blobdrop drops`, which only ask the ledger; `blobdrop retry`, which leaves it a note."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from daemon import app, logs, wiring
from daemon.commands.history import failed_json, print_failed, print_history
from daemon.commands.marked import refused
from daemon.commands.showing import (
    Cell,
    Column,
    local,
    local_zone,
    plural,
    print_json,
    print_table,
    say,
    state_cell,
)
from daemon.config import Configuration, load
from daemon.errors import ConfigError, NotFoundError, StoreError
from daemon.feeds import no_such_feed
from daemon.ledger import DropRow, Holder, Ledger
from daemon.ledger.days import Day
from daemon.ledger.opening import file_of
from daemon.model import State
from daemon.reports import iso
from daemon.settings import SQLITE, Settings
from validators.sentences import printable

#: What every command says before the first run.
NOTHING_YET: Final = "Nothing was ingested yet. Start the daemon with: blobdrop run"
ALWAYS_SHOWN: Final = (State.INGESTED, State.PARTIAL, State.REJECTED)
#: The newest markers that are looked at for refused ones, and those of them that are shown.
MOST_MARKERS: Final = 1_000
MARKERS_SHOWN: Final = 5
#: Drops whose object is not settled are counted up to so many.
MOST_UNSETTLED: Final = 1_000


def begun(config: Path | None) -> Configuration:
    """Read the settings for a command that only looks, with warnings going to stderr."""
    logs.configure("text", "warning", sys.stderr)
    return load(config, os.environ)


def refuse_unknown(feed: str | None, settings: Settings) -> None:
    """Say so where nothing was found for a feed that there is not; one that there was may still have drops.

    Raises:
        NotFoundError: no feed has this name.
    """
    names = [each.name for each in settings.feeds]
    if feed is not None and feed not in names:
        raise no_such_feed(feed, names)


# -------------------------------------------------------------------- STATUS


def status(config: Path | None, *, json: bool) -> int:
    """Print whether the daemon runs, what has become of drops and rows, and where everything is."""
    configuration = begun(config)
    ledger = app.open_for_reading(configuration.settings)
    if ledger is None:
        found = _status(configuration, None)
    else:
        with ledger:
            found = _status(configuration, ledger)
    if json:
        print_json(found)
    else:
        _print_status(found)
    return 0


def _status(configuration: Configuration, ledger: Ledger | None) -> dict[str, Any]:
    settings = configuration.settings
    quarantine = wiring.quarantine_of(settings)
    counts = ledger.counts() if ledger else {}
    totals = ledger.totals() if ledger else {}
    names = [feed.name for feed in settings.feeds] + sorted(name for name in counts if name)
    return {
        "daemon": _daemon(ledger.holder() if ledger else None),
        "places": {
            "config": None if configuration.file is None else printable(str(configuration.file)),
            "drops": printable(wiring.drops_of(settings)),
            "tables": printable(wiring.tables_of(settings)),
            "quarantine": printable(quarantine.describe()),
            "ledger": printable(f"{SQLITE}{file_of(settings.ledger.url)}"),
        },
        "feeds": [
            {
                "feed": name,
                "drops": _by_state(counts.get(name, {})),
                "rows": {"accepted": totals[name].accepted, "rejected": totals[name].rejected}
                if name in totals
                else {"accepted": 0, "rejected": 0},
            }
            for name in dict.fromkeys(names)
        ],
        "ailing": _ailing(settings, ledger),
        "drops": _by_state({state: sum(each.get(state, 0) for each in counts.values()) for state in State}),
        "unsettled": len(ledger.unsettled(limit=MOST_UNSETTLED)) if ledger else 0,
        "decisions": {"pending": ledger.decisions.waiting() if ledger else 0},
        "failed": failed_json(ledger) if ledger else [],
        "markers": _markers(ledger),
        "days": _days(ledger),
        "in_quarantine": quarantine.count(),
        "last_activity": _iso(ledger.last_activity() if ledger else None),
        "begun": ledger is not None,
    }


def _ailing(settings: Settings, ledger: Ledger | None) -> dict[str, str]:
    """Return the feeds whose tables cannot be read, and why."""
    store, found = wiring.store_of(settings, ledger.identity if ledger else ""), dict[str, str]()
    for feed in settings.feeds:
        try:
            store.last_batch(feed.name)
        except StoreError as error:
            found[feed.name] = str(error)
    return found


def _markers(ledger: Ledger | None) -> dict[str, Any]:
    """Return how many markers have which verdict, and those that somebody has to do something about."""
    counts = ledger.markers.counts() if ledger else {}
    return {
        "verdicts": {standing.value: count for standing, count in counts.items()},
        "refused": [marker.to_json() for marker in refused(ledger, MOST_MARKERS)] if ledger else [],
    }


def _days(ledger: Ledger | None) -> dict[str, int]:
    """Count the days that somebody has to look at: held ones, and closed ones that have changed since."""
    unclosed = ledger.days.unclosed() if ledger else ()
    changed = ledger.days.changes() if ledger else ()
    return {"held": sum(1 for row in unclosed if row.state is Day.HELD), "changed": len(changed)}


def _daemon(holder: Holder | None) -> dict[str, Any]:
    if holder is None:
        return {"running": False, "pid": None, "since": None}
    return {"running": True, "pid": holder.pid, "since": iso(holder.since)}


def _by_state(counts: dict[State, int]) -> dict[str, int]:
    return {state.value: counts.get(state, 0) for state in State}


def _iso(at: float | None) -> str | None:
    return iso(at) if at else None


def _print_status(found: dict[str, Any]) -> None:
    if not found["begun"]:
        say(NOTHING_YET, "")
    print_table([Column(), Column(gives_way=True)], list(_status_lines(found)))
    say("")
    # States that nothing is in only make the table wide.
    states = [state for state, count in found["drops"].items() if count or state in ALWAYS_SHOWN]
    columns = [Column(title="feed"), *(Column(title=state, right=True, leaves=1) for state in states)]
    columns += [Column(title="rows in table", right=True), Column(title="set aside", right=True)]
    print_table(columns, [_feed_cells(each, states) for each in found["feeds"]] + _unmatched_cells(found, states))
    for feed, reason in found["ailing"].items():
        say(f"feed {feed} waits until its table is mended or restored: {reason}")
    print_failed(found["failed"])
    for marker in found["markers"]["refused"][:MARKERS_SHOWN]:
        kind = "signal" if marker["days"] else "marker"
        say(f"{kind} {marker['name']} is {marker['verdict']}: {marker['note']}")


def _status_lines(found: dict[str, Any]) -> Iterator[tuple[str, str]]:
    daemon, places = found["daemon"], found["places"]
    if daemon["running"]:
        yield "daemon", f"running as process {daemon['pid']}, since {_wall(daemon['since'])}"
    else:
        yield "daemon", "not running; start it with: blobdrop run"
    yield "settings", places["config"] or "built in"
    yield "drop files into", places["drops"]
    yield "tables", places["tables"]
    aside = plural(found["in_quarantine"], "drop")
    yield "quarantine", f"{places['quarantine']}  ({aside}: blobdrop quarantine list)"
    yield "ledger", places["ledger"]
    yield "newest activity", _wall(found["last_activity"]) or "none"
    waiting = found["drops"][State.FOUND.value] + found["drops"][State.WORKING.value]
    yield "waiting", plural(waiting, "drop")
    if verdicts := found["markers"]["verdicts"]:
        shown = ", ".join(f"{count:,} {verdict}" for verdict, count in verdicts.items())
        yield "markers", f"{shown}  (days: blobdrop days)"
    if told := [f"{count:,} {state}" for state, count in found["days"].items() if count]:
        yield "days", f"{', '.join(told)}  (blobdrop days)"
    if found["decisions"]["pending"]:
        yield "decisions", f"{found['decisions']['pending']:,} to be carried out"
    if found["unsettled"]:
        yield "to be settled", plural(found["unsettled"], "drop")


def _wall(at: str | None) -> str:
    """Return an instant in ISO 8601 by the clock on the wall, with its zone; empty for never."""
    return f"{local(datetime.fromisoformat(at).timestamp())} {local_zone()}" if at else ""


def _feed_cells(feed: dict[str, Any], states: Sequence[str]) -> Sequence[Cell]:
    counts = (feed["drops"][state] for state in states)
    return [feed["feed"], *counts, feed["rows"]["accepted"], feed["rows"]["rejected"]]


def _unmatched_cells(found: dict[str, Any], states: Sequence[str]) -> list[Sequence[Cell]]:
    count = found["drops"][State.UNMATCHED.value]
    cells = (count if state == State.UNMATCHED else "" for state in states)
    return [["(no feed)", *cells, "", ""]] if count else []


# -------------------------------------------------------------------- DROPS


def drops(
    config: Path | None,
    *,
    state: str | None,
    feed: str | None,
    customer: str | None,
    name: str | None,
    history: str | None,
    limit: int,
    json: bool,
) -> int:
    """Print drops, the newest first; or all that has happened to one object."""
    settings = begun(config).settings
    ledger = app.open_for_reading(settings)
    if ledger is None:
        refuse_unknown(feed, settings)
        _print_drops((), json=json)
        return 0
    with ledger:
        if history is not None:
            print_history(ledger, history, json=json)
            return 0
        wanted = State(state) if state else None
        found = ledger.drops(wanted, feed=feed, customer=customer, name=name, limit=limit)
    if not found:
        refuse_unknown(feed, settings)
    _print_drops(found, json=json)
    if not json and len(found) == limit:
        say("", f"These are the newest {limit:,}; for more: --limit {limit * 10}")
    return 0


def _print_drops(found: Sequence[DropRow], *, json: bool) -> None:
    if json:
        print_json([row.to_json() for row in found])
        return
    columns = [
        Column(title="drop"),
        Column(title="state"),
        Column(title="feed", leaves=4),
        Column(title="customer", gives_way=True, leaves=5),
        Column(title="read", right=True, leaves=2),
        Column(title="accepted", right=True, leaves=3),
        Column(title="rejected", right=True),
        Column(title=f"found ({local_zone()})", leaves=1),
        Column(title="name", gives_way=True),
    ]
    print_table(columns, [_drop_cells(row) for row in found])
    if not found:
        say("", "There are no such drops.")


def _drop_cells(row: DropRow) -> Sequence[Cell]:
    counts = [row.rows_read, row.rows_accepted, row.rows_rejected] if row.finished_at else ["", "", ""]
    return [row.id, state_cell(row.state), row.feed, row.customer, *counts, local(row.found_at), row.name]


# -------------------------------------------------------------------- RETRY


def retry(config: Path | None, *, drop: str | None, all_failed: bool, json: bool) -> int:
    """Give a failed drop, or all of them, another go; the daemon takes it up in its next turn."""
    if (drop is None) != all_failed:
        raise ConfigError("name one drop, or give --all-failed: blobdrop drops --state failed shows which there are")
    ledger = app.open_for_reading(begun(config).settings)
    if ledger is None:
        raise NotFoundError("nothing was ingested yet, so nothing has failed; start the daemon with: blobdrop run")
    with ledger:
        ids = ledger.retry(drop, time.time())
        running = ledger.holder() is not None
    if json:
        print_json({"retried": list(ids), "daemon_running": running})
        return 0
    say(f"{plural(len(ids), 'drop')} will be tried again" if ids else "No drop has failed.")
    if ids and not running:
        say("The daemon is not running; start it with: blobdrop run")
    return 0
