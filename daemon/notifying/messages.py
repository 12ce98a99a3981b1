"""A message to people: what has happened, as JSON for a program and in a few words for a chat. Pure."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

from daemon.notifying.news import MOST_GROUPS, Group, Mark
from daemon.reports import iso
from daemon.settings.watching import On

#: Lines of the words; the rest is in the JSON beside them.
SAID: Final = 10


def message(name: str, ledger: str, marks: tuple[Mark, Mark], groups: Sequence[Group], now: float) -> dict[str, Any]:
    """Return a message, ready for JSON.

    Args:
        name: of the settings that ask for it.
        ledger: the ledger's identity. The same news of the same ledger have the same id, however often they are sent.
        marks: what lies between them is told.
        groups: what has happened, the largest first.
        now: unix seconds.
    """
    span = json.dumps([ledger, name, *(mark.to_json() for mark in marks)], sort_keys=True)
    lines = [sentence(group) for group in groups[:SAID]]
    more = len(groups) - SAID
    return {
        "id": hashlib.sha256(span.encode()).hexdigest()[:32],
        "sent_at": iso(now),
        "from": "blobdrop",
        "notify": name,
        "text": "\n".join([*lines, f"and {more} more"] if more > 0 else lines),
        "events": list(groups[:MOST_GROUPS]),
        "more_events": max(0, len(groups) - MOST_GROUPS),
    }


def sentence(group: Mapping[str, Any]) -> str:
    """Say one group: "orders of acme: 500 drops rejected, the first bad.csv (2 of 3 rows have problems)"."""
    whose = f"{group['feed'] or '(no feed)'}" + (f" of {group['customer']}" if group["customer"] else "")
    count, first = group["count"], group["first"][0]
    match On(group["on"]):
        case On.DROP_REJECTED:
            said = f"{_many(count, 'drop')} rejected, the first {first['name']}{_because(first)}"
        case On.REJECT_RATIO:
            rows = group["rows"]
            said = f"{rows['rejected']:,} of {rows['read']:,} rows of {_many(count, 'drop')} set aside, the first of "
            said += f"{first['name']}"
        case On.DROP_FAILED:
            said = f"{_many(count, 'drop')} failed, the first {first['name']}{_because(first)}"
        case On.MARKER_REFUSED:
            said = f"{_many(count, 'marker')} refused, the first {first['name']}: {first['verdict']}, {first['note']}"
        case On.DAY_HELD:
            said = f"{_many(count, 'day')} held, the first {first['date']}{_because(first)}"
        case On.DAY_CLOSED:
            said = f"{_many(count, 'day')} closed, the first {first['date']} with {_many(first['rows'], 'row')}"
        case On.NOTHING_ARRIVED:
            when = first["date"] if count == 1 else f"{_many(count, 'day')}, the first {first['date']},"
            said = f"nothing arrived on {when} by {first['by']} {first['timezone']}"
    return f"{whose}: {said}"


def _many(count: int, what: str) -> str:
    return f"{count:,} {what}" if count == 1 else f"{count:,} {what}s"


def _because(first: Mapping[str, Any]) -> str:
    return f" ({first['reason']})" if first["reason"] else ""
