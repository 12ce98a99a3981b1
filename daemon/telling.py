"""What the log says of drops: an event's name and fields; `lines` makes a sentence of them for people. Pure."""

from __future__ import annotations

from daemon.model import Drop, Outcome


def of(drop: Drop) -> dict[str, str]:
    """Return the fields that say which drop it is."""
    return {"drop": drop.id, "name": drop.found.name, "feed": drop.feed, "customer": drop.customer}


def result(outcome: Outcome) -> dict[str, object]:
    """Return the fields that say what became of it."""
    fields: dict[str, object] = {"rows": outcome.rows.read, "accepted": outcome.rows.accepted}
    if outcome.rows.rejected:
        fields["rejected"] = outcome.rows.rejected
    if outcome.reason:
        fields["reason"] = outcome.reason
    if outcome.log:
        fields["log"] = outcome.log
    if outcome.report:
        fields["report"] = outcome.report
    return fields | {"seconds": round(outcome.finished_at - outcome.started_at, 3)}
