"""What the log says of drops: an event's name and fields; `lines` makes a sentence of them for people. Pure.

What customers wrote into cells is theirs: it is in reports, in the ledger and in debug lines, and in no other line.
"""

from __future__ import annotations

import re
from collections.abc import Collection

from daemon.model import Drop, Outcome

#: What is quoted, as `repr` does it, but for the names of rules; and what an exception says, which may be anything.
_quoted = re.compile(r"""(?<!\w)(?<!rule )'((?:[^'\\]|\\.)*)'|"((?:[^"\\]|\\.)*)\"""")
_raised = re.compile(r"(raised \w+): .*", re.DOTALL)


def of(drop: Drop) -> dict[str, str]:
    """Return the fields that say which drop it is."""
    return {"drop": drop.id, "name": drop.found.name, "feed": drop.feed, "customer": drop.customer}


def result(outcome: Outcome, batch: int = 0) -> dict[str, object]:
    """Return the fields that say what became of it; `batch` is the one that it came into the table with, if any."""
    fields: dict[str, object] = {"rows": outcome.rows.read, "accepted": outcome.rows.accepted}
    if outcome.rows.rejected:
        fields["rejected"] = outcome.rows.rejected
    if outcome.rows.late:
        fields["late"] = outcome.rows.late
    if outcome.reason:
        fields["reason"] = discreet(outcome.reason, {word for rule in outcome.rules for word in rule[:2]})
    if outcome.report:
        fields["report"] = outcome.report
    if batch:
        fields["batch"] = batch
    return fields | {"seconds": round(outcome.finished_at - outcome.started_at, 3)}


def discreet(reason: str, known: Collection[str] = ()) -> str:
    """Return a reason without what may come from cells: what is quoted and not `known`, and what exceptions say."""

    def shown(match: re.Match[str]) -> str:
        return match[0] if (match[1] or match[2]) in known else "'…'"

    return _quoted.sub(shown, _raised.sub(r"\1", reason))
