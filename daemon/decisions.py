"""What a person decides of a quarantined drop, as frozen values that travel from a command by the ledger to a worker.

A command never calls the pipeline: it writes a decision into the ledger, and the loop carries it out.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Any

from daemon.model import Drop, Rows, State


class Action(enum.StrEnum):
    """What is to be done with a drop's rejected rows."""

    #: They are judged again by today's contract; those that pass go into the table.
    RELEASE = "release"
    #: The same, and some rules are not held against them.
    WAIVE = "waive"
    #: They are not wanted: nothing moves, and nothing is deleted.
    DISCARD = "discard"


class Standing(enum.StrEnum):
    """Where a decision stands."""

    #: Written by a command, waiting for the daemon.
    PENDING = "pending"
    #: pending -> done: carried out; the note says what came of it, which may be nothing.
    DONE = "done"
    #: pending -> refused: by the time it could be carried out it could not be any more.
    REFUSED = "refused"
    #: pending -> failed: it has broken its worker too often; the rows are where they were.
    FAILED = "failed"


@dataclass(frozen=True, kw_only=True, slots=True)
class Decision:
    """One decision of one person on one drop. Times are unix seconds, UTC."""

    #: Grows with time; 0 before the ledger has it.
    id: int = 0
    drop_id: str
    action: Action
    #: The rules that are waived.
    rules: tuple[str, ...] = ()
    #: Why, in the person's words.
    reason: str = ""
    #: The operating system's name of the user.
    by: str
    at: float
    state: Standing = Standing.PENDING
    #: How many goes have broken their worker.
    attempt: int = 0
    ended_at: float | None = None
    #: What came of it, in words.
    note: str = ""
    #: Rows that it has brought into the table.
    rows_accepted: int = 0
    #: The batch that brought them.
    feed: str | None = None
    batch: int | None = None

    @property
    def rule(self) -> str:
        """The waived rules as one text."""
        return ", ".join(self.rules)


@dataclass(frozen=True, kw_only=True)
class Review:
    """A decision as a worker carries it out: on which drop, and how that stands."""

    #: Never the same for two; names what it stages.
    unit: str
    decision: Decision
    drop: Drop
    #: The drop's: partial or rejected.
    state: State
    rows: Rows
    #: Of the bytes that were dropped.
    sha256: str


def plain(decision: Decision, at: str, ended_at: str | None) -> dict[str, Any]:
    """Return a decision as JSON has it; the instants in ISO 8601."""
    return {
        "id": decision.id,
        "drop": decision.drop_id,
        "action": decision.action.value,
        "rule": decision.rule or None,
        "reason": decision.reason,
        "by": decision.by,
        "at": at,
        "state": decision.state.value,
        "ended_at": ended_at,
        "note": decision.note,
        "rows_accepted": decision.rows_accepted,
    }
