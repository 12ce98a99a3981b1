"""`blobdrop days --explain DATE`: when a day begins and ends, and every fact that makes it stand as it does."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from daemon.commands.showing import plural, print_json, say
from daemon.days.bounds import FIRST_DAY, LAST_DAY, bounds
from daemon.errors import ConfigError
from daemon.ledger import Ledger
from daemon.ledger.days import Day, DayRow, Scope
from daemon.ledger.markers import Marker, Unfinished
from daemon.markers import told
from daemon.model import Feed, ReadyNeeds, State

#: Facts of one kind that are named; further ones are counted.
NAMED: Final = 20
#: How a day stands that the ledger does not have.
OPEN: Final = "open"


def day_of(text: str) -> dt.date:
    """Read a day.

    Raises:
        ConfigError: it is none, or out of reach.
    """
    try:
        day = dt.date.fromisoformat(text)
    except ValueError as error:
        raise ConfigError(f"{text!r} is not a day; expected one such as 2026-03-01") from error
    if not FIRST_DAY <= day <= LAST_DAY:
        raise ConfigError(f"{text} is out of reach; expected a day from {FIRST_DAY} to {LAST_DAY}")
    return day


def print_explained(ledger: Ledger, feeds: dict[str, Feed], day: dt.date, *, json: bool) -> None:
    """Print a day's bounds in UTC and, for each scope, each fact that makes it stand as it does."""
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
    facts = _why_open(ledger, feed, scope, span.end) if row is None else _facts_of(ledger, row)
    late, aside = ledger.days.late_rows(scope, day.isoformat())
    rows = {"late_rows": late + aside, "late_rows_in_quarantine": aside}
    return {
        "feed": scope[0],
        "customer": scope[1],
        "date": day.isoformat(),
        "state": OPEN if row is None else row.state.value,
        "timezone": feed.timezone,
        "start": told(span.start),
        "end": told(span.end),
        "hours": span.hours,
        "facts": [*facts, *_late_facts(late, aside, feed)],
        **rows,
        "report": {**row.report, **rows} if row is not None and row.report else None,
    }


def _facts_of(ledger: Ledger, row: DayRow) -> Iterator[str]:
    yield f"the watermark {told(row.watermark)} made it ready at {told(row.ready_at)}"
    if row.state is Day.HELD:
        command = f"blobdrop days close {row.day} --scope {row.customer}/{row.feed} --reason ..."
        yield f"it is held: {row.reason}; to close it all the same: {command}"
    elif row.closed_at is not None:
        by = f", by {row.by}: {row.reason}" if row.by else f", as {row.reason}" if row.reason else ""
        empty = ", without rows" if row.state is Day.EMPTY else ""
        yield f"it was closed at {told(row.closed_at)}, version {row.version}{empty}{by}"
        if restates := (row.report or {}).get("restates"):
            yield from _different(restates)
        yield from _changed_facts(ledger, row)
    else:
        yield "the daemon is about to " + ("close it" if row.version == 1 else f"compute it again: {row.reason}")


def _different(restates: Mapping[str, Any]) -> Iterator[str]:
    """Say what a restated day has otherwise than its version before, and because of which drops."""
    because = f", because of {_named(restates['because_of'])}" if restates["because_of"] else ""
    yield f"unlike version {restates['version']}: {said(restates)}{because}"
    for metric in restates["metrics"][:NAMED]:
        before, after = ("none" if metric[when] is None else f"{metric[when]:,.6g}" for when in ("before", "after"))
        yield f"  {metric['metric']} by {metric['id_type']}: {before} before, {after} now ({metric['change']})"
    if len(restates["metrics"]) > NAMED:
        yield f"  and {len(restates['metrics']) - NAMED:,} more: blobdrop metrics NAME --versions"


def _changed_facts(ledger: Ledger, row: DayRow) -> Iterator[str]:
    key = (row.feed, row.customer, row.day)
    for change in ledger.days.changes():
        if change.key == key:
            names = _named(ledger.days.changed_by(row.scope, row.day, row.as_of or 0))
            command = f"blobdrop days restate {row.day} --scope {row.customer}/{row.feed} --reason ..."
            yield f"it has changed since it was closed, and its figures have not: {change.said}, by {names}"
            yield f"to compute it again: {command}"


def _late_facts(late: int, aside: int, feed: Feed) -> Iterator[str]:
    """Say how many late rows there are; they are told apart when their drop is claimed."""
    if late:
        yield f"{plural(late, 'late row')} of it {'is' if late == 1 else 'are'} in the table"
    if aside:
        take = f"blobdrop drops --feed {feed.name}, and then blobdrop quarantine waive DROP --rule late --reason ..."
        yield f"{plural(aside, 'late row')} of it {'is' if aside == 1 else 'are'} in quarantine; to take in: {take}"


def said(restates: Mapping[str, Any]) -> str:
    """Say in short what a restated day has otherwise than its version before."""
    metrics = restates["metrics"]
    gone = sum(1 for metric in metrics if metric.get("change") == "gone")
    before = restates["rows_before"]
    rows = f"{'unknown' if before is None else format(before, ',')} rows before, {restates['rows_after']:,} now"
    changed = f", {plural(len(metrics), 'metric')} changed" if metrics else ", no metric changed"
    return f"{rows}{changed}" + (f" ({gone:,} gone)" if gone else "")


def _named(names: Sequence[str]) -> str:
    more = f" and {len(names) - NAMED:,} more" if len(names) > NAMED else ""
    return f"{', '.join(names[:NAMED])}{more}"


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
