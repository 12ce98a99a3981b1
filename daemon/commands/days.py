"""`blobdrop days`: every scope's days, each version of them, and what has changed in them since they were closed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from daemon import app, wiring
from daemon.commands.explaining import OPEN, day_of, print_explained, said
from daemon.commands.looking import NOTHING_YET, begun
from daemon.commands.showing import Column, plural, print_json, print_table, say
from daemon.days.bounds import last_complete
from daemon.ledger import Ledger
from daemon.ledger.dayrows import Change
from daemon.ledger.days import Scope
from daemon.ledger.markers import Marker
from daemon.markers import told
from daemon.model import Feed
from daemon.stores import Store


def days(config: Path | None, *, explain: str | None, json: bool) -> int:
    """Print the days of every scope; or one day's bounds in UTC and, for each scope, why it stands as it does."""
    configuration = begun(config)
    day = None if explain is None else day_of(explain)
    ledger = app.open_for_reading(configuration.settings)
    if ledger is None:
        _print_nothing(json=json)
        return 0
    with ledger:
        store = wiring.store_of(configuration.settings, ledger.identity)
        feeds = {feed.name: feed for feed in configuration.feeds()}
        if day is not None:
            print_explained(ledger, feeds, day, json=json)
        else:
            _list(ledger, store, feeds, json=json)
    return 0


def _print_nothing(*, json: bool) -> None:
    if json:
        print_json({"scopes": [], "days": []})
    else:
        say(NOTHING_YET)


# -------------------------------------------------------------------- THE LIST


def _list(ledger: Ledger, store: Store, feeds: dict[str, Feed], *, json: bool) -> None:
    marks, waiting = ledger.markers.watermarks(), ledger.markers.waiting()
    scopes = [_scope_json(scope, feeds, marks.get(scope), waiting) for scope in ledger.days.scopes()]
    rows = _day_rows(ledger, store, feeds)
    rows.sort(key=lambda row: (row["date"], row.get("version", 0)), reverse=True)
    if json:
        print_json({"scopes": scopes, "days": rows})
        return
    columns = [Column(title=title) for title in ("scope", "watermark", "complete until", "markers that wait")]
    print_table(columns, [_scope_cells(scope) for scope in scopes])
    say("")
    columns = [Column(title="day"), Column(title="scope"), Column(title="state"), Column(title="version", right=True)]
    columns += [Column(title="rows", right=True), Column(title="metrics", right=True), Column(title="late", right=True)]
    print_table([*columns, Column(title="why", gives_way=True)], [_day_cells(row) for row in rows])
    say("", "Why one stands as it does: blobdrop days --explain DATE")


def _day_rows(ledger: Ledger, store: Store, feeds: dict[str, Feed]) -> list[dict[str, Any]]:
    """Return every version of every day that was ready, and the open days; the newest versions as they stand now."""
    late, changes = ledger.days.late_by_day(), {change.key: change for change in ledger.days.changes()}
    rows, known = [], set()
    for row in ledger.days.newest():  # of each day the newest version first
        key = (row.feed, row.customer, row.day)
        told_of = row.to_json()
        if key not in known:
            told_of |= _since(told_of, changes.get(key), late.get(key, (0, 0)))
        known.add(key)
        rows.append(told_of)
    for feed, customer in ledger.days.scopes():
        for day in store.days(feed, customer) if feed in feeds else ():
            if (feed, customer, day) not in known:
                none = {"feed": feed, "customer": customer, "date": day, "state": OPEN}
                rows.append(none | _since(none, None, late.get((feed, customer, day), (0, 0))))
    return rows


def _since(row: dict[str, Any], change: Change | None, late: tuple[int, int]) -> dict[str, Any]:
    """Return what is to be added to a day's newest version: its late rows by now, and what has changed since."""
    report, rows = row.get("report"), {"late_rows": sum(late), "late_rows_in_quarantine": late[1]}
    report = {"report": {**report, **rows}} if report else {}
    return {**rows, "changed": change.to_json() if change else None, **report}


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
    figures = [report.get("rows", ""), report.get("metrics", ""), row.get("late_rows", "")]
    scope = f"{row['customer']}/{row['feed']}"
    return [row["date"], scope, row["state"], row.get("version", ""), *figures, "; ".join(_notes(row))]


def _notes(row: dict[str, Any]) -> Iterator[str]:
    if row.get("reason"):
        yield row["reason"]
    if row.get("changed"):
        yield f"changed since: {row['changed']['says']}"
    if restates := (row.get("report") or {}).get("restates"):
        yield said(restates)
    if row.get("late_rows_in_quarantine"):
        yield f"{plural(row['late_rows_in_quarantine'], 'late row')} in quarantine"
