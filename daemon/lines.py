"""What became of a drop, on one line for people: what `logs` writes instead of an event's fields. Pure."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import PurePath
from typing import Any, Final

from daemon.markers import Standing
from validators.sentences import printable

#: The daemon's last event.
STOPPED: Final = "daemon.stopped"
#: Wide enough for every word, so that names stand below each other.
WORD_WIDTH: Final = 10

Fields = Mapping[str, Any]


def drop_line(event: str, fields: Fields, folder: str) -> tuple[str, str] | None:
    """Return a word and a sentence for `drop.partial` and its like, `decision.done`, or the end; None for other events.

    Args:
        event: its name.
        fields: what it carries.
        folder: the current folder; paths below it are shown from there.
    """
    kind, _, word = event.partition(".")
    if event == STOPPED:
        return word.ljust(WORD_WIDTH), _said(fields)
    says = _KINDS.get(kind, {}).get(word)
    if says is None or "name" not in fields:
        return None
    parts = [printable(str(fields["name"])), printable(says(fields)), _took(fields), _report(fields, folder)]
    return word.ljust(WORD_WIDTH), "  ".join(part for part in parts if part)


def near(path: str, folder: str) -> str:
    """Return a path as it is shortest to type in a folder: from there where it is below it."""
    inside = folder != "/" and PurePath(path).is_relative_to(folder)
    return os.path.relpath(path, folder) if inside else path


def rows(count: int) -> str:
    """Return "1 row", "2,000 rows"."""
    return f"{count:,} row" if count == 1 else f"{count:,} rows"


def _ingested(fields: Fields) -> str:
    return rows(fields["accepted"])


def _partial(fields: Fields) -> str:
    aside = fields.get("rejected", 0)
    return f"{fields['accepted']:,} of {rows(fields['rows'])} in the table, {aside:,} set aside"


def _rejected(fields: Fields) -> str:
    aside = f"{rows(fields['rows'])} set aside" if fields.get("rows") else "set aside"
    return f"{aside}: {fields['reason']}" if fields.get("reason") else aside


def _duplicate(_fields: Fields) -> str:
    return "the same bytes are here already; nothing was added"


def _failed(fields: Fields) -> str:
    return f"{fields.get('reason', '')}; for another go: blobdrop retry {fields.get('drop', '')}"


def _retried(fields: Fields) -> str:
    return f"{fields.get('reason', '')}; it is tried again in {fields.get('seconds', 0):g} s"


def _done(fields: Fields) -> str:
    return f"{fields['action']} by {fields['by']}: {fields['note']}"


def _marked(fields: Fields) -> str:
    scope = f"{fields.get('customer')}/{fields.get('feed')}: " if fields.get("feed") else ""
    return f"{scope}{fields.get('note') or fields.get('reason', '')}"


def _closed(fields: Fields) -> str:
    count = fields.get("metrics", 0)
    metrics = f", {count:,} metric{'s' * (count != 1)}" if count else ""
    version = f", version {fields['version']}" if fields.get("version", 1) > 1 else ""
    return f"{fields['customer']}/{fields['feed']}: {rows(fields['rows'])}{metrics}{version}"


def _empty(fields: Fields) -> str:
    return f"{fields['customer']}/{fields['feed']}: the day is over, and has no rows"


def _held(fields: Fields) -> str:
    return f"{fields['customer']}/{fields['feed']}: {fields['reason']}; to close it: {fields['remedy']}"


def _changed(fields: Fields) -> str:
    return f"{fields['customer']}/{fields['feed']}: {fields['note']}; {fields['remedy']}"


def _said(fields: Fields) -> str:
    return str(fields.get("reason") or fields.get("note") or "")


#: The events that have a line of their own, by their second word.
_SAYS: Final[Mapping[str, Callable[[Fields], str]]] = {
    "ingested": _ingested,
    "partial": _partial,
    "rejected": _rejected,
    "duplicate": _duplicate,
    "failed": _failed,
    "unmatched": _said,
    "retried": _retried,
    "unsettled": _said,
}
_KINDS: Final[Mapping[str, Mapping[str, Callable[[Fields], str]]]] = {
    "drop": _SAYS,
    "marker": dict.fromkeys((*Standing, "unread", "unsettled"), _marked),
    "signal": dict.fromkeys((*Standing, "unread", "unsettled"), _marked),
    "day": {"closed": _closed, "empty": _empty, "held": _held, "changed": _changed},
    "decision": {"done": _done, "refused": _done, "failed": _done, "retried": _retried},
}


def _took(fields: Fields) -> str:
    """Say how long the work on a drop took, where it was worked."""
    return f"{fields['seconds']:.2f} s" if "accepted" in fields and fields.get("rows") else ""


def _report(fields: Fields, folder: str) -> str:
    return f"report: {printable(near(fields['report'], folder))}/report.html" if fields.get("report") else ""
