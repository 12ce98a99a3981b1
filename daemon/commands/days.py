"""`blobdrop days`: every scope's days, and why one is open; `blobdrop days close` leaves the daemon a note."""

from __future__ import annotations

import datetime as dt
import getpass
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from daemon import app
from daemon.commands.looking import NOTHING_YET, begun
from daemon.commands.showing import Column, plural, print_json, print_table, say
from daemon.config import Configuration
from daemon.daybounds import FIRST_DAY, LAST_DAY, bounds, last_complete
from daemon.errors import ConfigError, NotFoundError
from daemon.ledger import Ledger
from daemon.ledger.days import Day, DayRow, Scope
from daemon.ledger.markers import Marker, Unfinished
from daemon.markers import told
from daemon.model import Feed, ReadyNeeds, State
from daemon.stores import Store

#: Facts of one kind that are named; further ones are counted.
NAMED: Final = 20
OPEN: Final = "open"


def days(config: Path | None, *, explain: str | None, json: bool) -> int:
    """Print the days of every scope; or one day's bounds in UTC and, for each scope, why it stands as it does."""
    configuration = begun(config)
    day = None if explain is None else _day(explain)
    ledger = app.open_for_reading(configuration.settings)
    if ledger is None:
        _print_nothing(json=json)
        return 0
    with ledger:
        store = app.store_of(configuration.settings, ledger.identity)
        feeds = {feed.name: feed for feed in configuration.feeds()}
        if day is not None:
            _explain(ledger, feeds, day, json=json)
        else:
            _list(ledger, store, feeds, json=json)
    return 0


def close(config: Path | None, *, day: str, scope: str, reason: str, json: bool) -> int:
    """Have a held day closed in spite of what holds it; the daemon does it in its next turn."""
    configuration = begun(config)
    of, wanted = _scope(scope, configuration), _day(day).isoformat()
    if not reason.strip():
        raise ConfigError("--reason is empty; say why the day may be closed")
    ledger = app.open_for_reading(configuration.settings)
    if ledger is None:
        raise NotFoundError(NOTHING_YET)
    with ledger:
        row = ledger.days.one(of, wanted)
        if row is None or row.state is not Day.HELD:
            stands = OPEN if row is None else row.state.value
            raise NotFoundError(
                f"day {wanted} of {scope} is {stands}, and only held days can be closed. "
                f"Why it stands so: blobdrop days --explain {wanted}"
            )
        ledger.days.allow(row, reason, getpass.getuser())
        running = ledger.holder() is not None
    if json:
        print_json({"day": wanted, "scope": scope, "daemon_running": running})
        return 0
    say(f"Day {wanted} of {scope} will be closed.")
    if not running:
        say("The daemon is not running; start it with: blobdrop run")
    return 0


def restate(config: Path | None, *, day: str, scope: str, reason: str, json: bool) -> int:
    """Have a closed day computed again; the daemon does it in its next turn."""
    configuration = begun(config)
    of, wanted = _scope(scope, configuration), _day(day).isoformat()
    if not reason.strip():
        raise ConfigError("--reason is empty; say why the day is restated")
    ledger = app.open_for_reading(configuration.settings)
    if ledger is None:
        raise NotFoundError(NOTHING_YET)
    with ledger:
        row = ledger.days.one(of, wanted)
        if row is None:
            raise NotFoundError(f"day {wanted} of {scope} is open, and only closed days can be restated")
        version = ledger.days.restate(row, reason, getpass.getuser(), time.time())
        running = ledger.holder() is not None
    if json:
        print_json({"day": wanted, "scope": scope, "version": version, "daemon_running": running})
        return 0
    say(f"Day {wanted} of {scope} will be computed again, as version {version}.")
    if not running:
        say("The daemon is not running; start it with: blobdrop run")
    return 0


def _print_nothing(*, json: bool) -> None:
    if json:
        print_json({"scopes": [], "days": []})
    else:
        say(NOTHING_YET)


def _day(text: str) -> dt.date:
    try:
        day = dt.date.fromisoformat(text)
    except ValueError as error:
        raise ConfigError(f"{text!r} is not a day; expected one such as 2026-03-01") from error
    if not FIRST_DAY <= day <= LAST_DAY:
        raise ConfigError(f"{text} is out of reach; expected a day from {FIRST_DAY} to {LAST_DAY}")
    return day


def _scope(text: str, configuration: Configuration) -> Scope:
    customer, slash, feed = text.rpartition("/")
    if not slash or feed not in [each.name for each in configuration.settings.feeds]:
        raise ConfigError(f"--scope {text!r}: expected CUSTOMER/FEED such as default/metrics")
    return feed, customer


# -------------------------------------------------------------------- THE LIST


def _list(ledger: Ledger, store: Store, feeds: dict[str, Feed], *, json: bool) -> None:
    marks, waiting = ledger.markers.watermarks(), ledger.markers.waiting()
    scopes = [_scope_json(scope, feeds, marks.get(scope), waiting) for scope in ledger.days.scopes()]
    rows = [row.to_json() for row in ledger.days.newest()]
    known = {(row["feed"], row["customer"], row["date"]) for row in rows}
    rows += [
        {"feed": feed, "customer": customer, "date": day, "state": OPEN}
        for feed, customer in ledger.days.scopes()
        if feed in feeds
        for day in store.days(feed, customer)
        if (feed, customer, day) not in known
    ]
    rows.sort(key=lambda row: (row["date"], row.get("version", 0)), reverse=True)
    if json:
        print_json({"scopes": scopes, "days": rows})
        return
    columns = [Column(title=title) for title in ("scope", "watermark", "complete until", "markers that wait")]
    print_table(columns, [_scope_cells(scope) for scope in scopes])
    say("")
    columns = [Column(title="day"), Column(title="scope"), Column(title="state"), Column(title="version", right=True)]
    columns += [Column(title="rows", right=True), Column(title="metrics", right=True)]
    print_table([*columns, Column(title="why", gives_way=True)], [_day_cells(row) for row in rows])
    say("", "Why one stands as it does: blobdrop days --explain DATE")


def _scope_json(
    scope: Scope, feeds: dict[str, Feed], watermark: int | None, waiting: Sequence[Marker]
) -> dict[str, Any]:
    zone = feeds[scope[0]].timezone if scope[0] in feeds else None
    complete = last_complete(watermark, zone).isoformat() if watermark is not None and zone else None
    return {
        "feed": scope[0],
        "customer": scope[1],
        "timezone": zone,
        "watermark": None if watermark is None else told(watermark),
        "complete_until": complete,
        "markers_waiting": sum(1 for marker in waiting if marker.scope == scope),
    }


def _scope_cells(scope: dict[str, Any]) -> Sequence[str]:
    waiting = plural(scope["markers_waiting"], "marker") if scope["markers_waiting"] else ""
    name = f"{scope['customer']}/{scope['feed']}"
    return [name, scope["watermark"] or "none yet", scope["complete_until"] or "", waiting]


def _day_cells(row: dict[str, Any]) -> Sequence[str | int]:
    report = row.get("report") or {}
    figures = [report.get("rows", ""), report.get("metrics", "")]
    scope = f"{row['customer']}/{row['feed']}"
    return [row["date"], scope, row["state"], row.get("version", ""), *figures, row.get("reason", "")]


# -------------------------------------------------------------------- WHY


def _explain(ledger: Ledger, feeds: dict[str, Feed], day: dt.date, *, json: bool) -> None:
    told_of = [_explained(ledger, feeds[scope[0]], scope, day) for scope in ledger.days.scopes() if scope[0] in feeds]
    if json:
        print_json(told_of)
        return
    if not told_of:
        say("No feed has rows or markers yet.")
    for each in told_of:
        say(f"{each['customer']}/{each['feed']}, day {each['date']}: {each['state']}")
        say(f"  from {each['start']} until {each['end']}, {each['hours']:g} hours ({each['timezone']})")
        say(*(f"  {fact}" for fact in each["facts"]), "")


def _explained(ledger: Ledger, feed: Feed, scope: Scope, day: dt.date) -> dict[str, Any]:
    span, row = bounds(day, feed.timezone), ledger.days.one(scope, day.isoformat())
    if row is not None and row.state is Day.EMPTY and row.report is None:
        row = None
    facts = _why_open(ledger, feed, scope, span.end) if row is None else _facts_of(row)
    return {
        "feed": scope[0],
        "customer": scope[1],
        "date": day.isoformat(),
        "state": OPEN if row is None else row.state.value,
        "timezone": feed.timezone,
        "start": told(span.start),
        "end": told(span.end),
        "hours": span.hours,
        "facts": list(facts),
        "report": None if row is None else row.report,
    }


def _facts_of(row: DayRow) -> Iterator[str]:
    yield f"the watermark {told(row.watermark)} made it ready at {told(row.ready_at)}"
    if row.state is Day.HELD:
        command = f"blobdrop days close {row.day} --scope {row.customer}/{row.feed} --reason ..."
        yield f"it is held: {row.reason}; to close it all the same: {command}"
    elif row.closed_at is not None:
        empty = ", without rows" if row.state is Day.EMPTY else ""
        by = f", by {row.by}: {row.reason}" if row.by else ""
        yield f"it was closed at {told(row.closed_at)}, version {row.version}{empty}{by}"
    else:
        yield "the daemon is about to close it"


def _why_open(ledger: Ledger, feed: Feed, scope: Scope, end: int) -> Iterator[str]:
    watermark = ledger.markers.watermark(*scope)
    if watermark is not None and watermark >= end:
        yield f"the watermark {told(watermark)} is past its end, and it has no rows"
        return
    yield "there is no watermark yet" if watermark is None else f"the watermark {told(watermark)} is before its end"
    waiting = [each for each in ledger.markers.waiting() if each.scope == scope]
    for marker in waiting:
        kind = "signal" if marker.days else "marker"
        yield f"{kind} {marker.found.name} says {told(marker.instant or 0)}, and waits for drops that were there before"
    yield from (f"signal {each.found.name}: {each.note}" for each in ledger.markers.gaps(scope))
    failed = feed.ready_needs is ReadyNeeds.FINAL
    unfinished = ledger.markers.unfinished(failed=failed, scope=scope) if waiting else ()
    holders = [each for each in unfinished if any(_holds(ledger, marker, each) for marker in waiting)]
    yield from (_blocking(each) for each in holders[:NAMED])
    if len(holders) > NAMED:
        yield f"and {plural(len(holders) - NAMED, 'more drop')}"
    if not any((marker.instant or 0) >= end for marker in waiting):
        customer = "" if scope[1] == "default" else f" --customer {scope[1]}"
        yield f"it takes a marker for {told(end)} or later: blobdrop ready {scope[0]} {end}{customer}"


def _holds(ledger: Ledger, marker: Marker, each: Unfinished) -> bool:
    older = each.drop.found.modified <= marker.found.modified
    return older or each.drop.found.uri in ledger.markers.awaited(marker)


def _blocking(each: Unfinished) -> str:
    name = f"drop {each.drop.id} ({each.drop.found.name})"
    if each.state is not State.FAILED:
        return f"{name} is {each.state.value}"
    return (
        f"{name} has failed: {each.reason or 'no reason is known'}; try it again, or, once its file is gone, let it go "
        f"so: blobdrop retry {each.drop.id}"
    )
