"""The frozen values that the ledger gives out, and how values of the model become columns and come back."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from typing import Any

from daemon.model import Batch, DataFile, DayRows, Drop, Found, Outcome, Rows, State


class Kind(enum.StrEnum):
    """What happened to a drop, in the words of `events.kind`."""

    #: (new), found, unmatched -> working: a go begins.
    CLAIMED = "claimed"
    #: (new), found -> unmatched: no feed has a pattern for it.
    UNMATCHED = "unmatched"
    #: working -> found: the go was broken off; the note says why.
    GIVEN_BACK = "given_back"
    #: working -> found: the daemon started and found it left behind by one that died.
    RECOVERED = "recovered"
    #: working -> found: its batch was intended, and the table does not hold it.
    FORGOTTEN = "forgotten"
    #: working -> (no row): the object vanished before it was read; the note has its name.
    GONE = "gone"
    #: working -> ingested, partial, rejected, duplicate, failed: with its batch.
    RECORDED = "recorded"
    #: working -> rejected, duplicate, failed: without a batch.
    FINISHED = "finished"
    #: Its rows were replaced in the table; the note has the drop that replaced them.
    SUPERSEDED = "superseded"
    #: failed -> found: a person asked for another go.
    RETRIED = "retried"
    #: rejected, partial -> partial, ingested: rows of it that a person has released or waived went into the table.
    RELEASED = "released"
    #: A person has decided on it, and the decision moved no row; the note says why.
    DECIDED = "decided"
    #: Its object was kept, archived or deleted.
    SETTLED = "settled"
    #: Its object could not be settled now; the note says why.
    SETTLE_FAILED = "settle_failed"
    #: The ledger was lost, and knows of the drop from tables, quarantine or archive.
    REBUILT = "rebuilt"


@dataclass(frozen=True, kw_only=True, slots=True)
class DropRow:
    """Everything that the ledger knows of one drop. Times are unix seconds, UTC."""

    id: str
    uri: str
    version: str
    #: Printable: what cannot be printed is escaped. `found.name` is the exact one.
    name: str
    #: The exact name in UTF-8 with surrogates; None where `name` is exact.
    exact_name: bytes | None
    size: int
    modified: float
    #: Empty when unmatched, as the customer.
    feed: str
    customer: str
    state: State
    #: How many goes were begun.
    attempt: int
    #: found: not to be claimed before then.
    not_before: float
    found_at: float
    changed_at: float
    #: 0.0 before it has an outcome, as `finished_at`.
    started_at: float
    finished_at: float
    batch: int | None
    sha256: str
    rows_read: int
    rows_accepted: int
    rows_rejected: int
    #: ((rule, column), count) as in `Outcome.rules`.
    rules: tuple[tuple[str, str, int], ...]
    reason: str
    report: str
    contract: str
    #: The drop whose rows replaced its rows in the table.
    superseded_by: str | None
    settled_at: float | None
    settle_failures: int
    settle_reason: str
    settle_not_before: float
    #: Its scope's when it was claimed first.
    watermark: int | None
    rows_late: int

    @property
    def found(self) -> Found:
        """The object's version as its listing showed it, with its exact name."""
        return found_from(self)

    @property
    def rows(self) -> Rows:
        """How many records went where."""
        return Rows(read=self.rows_read, accepted=self.rows_accepted, rejected=self.rows_rejected, late=self.rows_late)

    def to_json(self) -> dict[str, Any]:
        """Return what a machine may read, ready for `json.dumps`; times are ISO 8601 in UTC, None for never."""
        plain = ("id", "uri", "name", "version", "size", "feed", "customer", "state", "attempt", "batch", "sha256")
        texts = ("reason", "report", "contract", "superseded_by", "settle_failures", "settle_reason")
        times = ("modified", "found_at", "changed_at", "started_at", "finished_at", "not_before", "settled_at")
        return {
            **{key: getattr(self, key) for key in plain},
            "rows": {"read": self.rows_read, "accepted": self.rows_accepted, "rejected": self.rows_rejected},
            "late_rows": self.rows_late,
            "watermark": iso(self.watermark),
            "rules": [{"rule": rule, "column": column, "count": count} for rule, column, count in self.rules],
            **{key: getattr(self, key) for key in texts},
            **{key: iso(getattr(self, key)) for key in times},
        }


@dataclass(frozen=True, kw_only=True, slots=True)
class Event:
    """One line of a drop's history."""

    at: float
    drop_id: str
    kind: Kind
    #: The drop's state after it; None when its row is gone.
    state: State | None
    attempt: int
    batch: int | None
    #: A reason, a name, another drop; may be empty.
    note: str
    #: The last lines that a lost worker wrote; mostly none.
    log: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return what a machine may read, ready for `json.dumps`; the time is ISO 8601 in UTC."""
        columns = {field.name: getattr(self, field.name) for field in fields(self)}
        return {**columns, "at": iso(self.at), "log": list(self.log)}


@dataclass(frozen=True, kw_only=True, slots=True)
class Waiting:
    """A drop that is found and not claimed: its next go, and when that may begin (unix seconds; 0.0 for at once)."""

    drop: Drop
    not_before: float


@dataclass(frozen=True, kw_only=True, slots=True)
class FeedSummary:
    """One feed in figures. Rows of replaced drops are left out, so `rows.accepted` is what the table holds."""

    feed: str
    customers: int
    drops: Mapping[State, int]
    rows: Rows
    #: When its newest drop was found, unix seconds.
    last_found_at: float


def iso(at: float | None) -> str | None:
    """Return unix seconds as ISO 8601 in UTC with milliseconds; None for None and for 0.0, which mean never."""
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds") if at else None


def printable(name: str) -> str:
    """Return the name with each character that cannot be printed, such as a line break, as Python's escape of it."""
    if name.isprintable():
        return name
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in name)


def storable(text: str) -> str:
    """Return the text as a database can hold it: surrogates and NUL as their Python escapes."""
    return text.encode("utf-8", "backslashreplace").decode().replace("\0", "\\x00")


def noted(reason: str, log: str) -> str:
    """Return an event's note: the reason on its first line, and what a worker has written below it."""
    return f"{' '.join(reason.split())}\n{log}" if log else reason


def event_from(columns: Mapping[str, Any]) -> Event:
    """Return a row of `events` as a value."""
    state = None if columns["state"] is None else State(columns["state"])
    note, *log = columns["note"].split("\n") if "\n" in columns["note"] else (columns["note"],)
    return Event(**{**columns, "kind": Kind(columns["kind"]), "state": state, "note": note, "log": tuple(log)})


def found_columns(found: Found) -> dict[str, Any]:
    """Return the columns of `drops` that a listing fills, but for the id."""
    name = printable(found.name)
    return {
        "uri": found.uri,
        "version": found.version,
        "name": name,
        "exact_name": None if name == found.name else found.name.encode("utf-8", "surrogatepass"),
        "size": found.size,
        "modified": found.modified,
    }


def found_from(row: Any) -> Found:
    """Return the listing's value from a row with the columns of `found_columns`."""
    name = row.name if row.exact_name is None else row.exact_name.decode("utf-8", "surrogatepass")
    return Found(uri=row.uri, name=name, version=row.version, size=row.size, modified=row.modified)


def outcome_columns(outcome: Outcome) -> dict[str, Any]:
    """Return the columns of `drops` that an outcome fills."""
    return {
        "state": outcome.state.value,
        "sha256": outcome.sha256,
        "rows_read": outcome.rows.read,
        "rows_accepted": outcome.rows.accepted,
        "rows_rejected": outcome.rows.rejected,
        "rows_late": outcome.rows.late,
        "rules": [[storable(rule), storable(column), count] for rule, column, count in outcome.rules],
        "reason": storable(outcome.reason),
        "report": storable(outcome.report),
        "contract": storable(outcome.contract),
        "started_at": outcome.started_at,
        "finished_at": outcome.finished_at,
    }


def drop_row(columns: Mapping[str, Any]) -> DropRow:
    """Return a row of `drops` as a value."""
    rules = tuple((rule, column, count) for rule, column, count in columns["rules"])
    return DropRow(**{**columns, "state": State(columns["state"]), "rules": rules})


def packed(value: Outcome | DataFile) -> dict[str, Any]:
    """Return a value as JSON can hold it, with nothing lost."""
    columns = {field.name: getattr(value, field.name) for field in fields(value)}
    if isinstance(value, Outcome):
        columns["rows"] = [value.rows.read, value.rows.accepted, value.rows.rejected, value.rows.late]
        columns["days"] = [[each.day, each.rows, each.late, each.aside] for each in value.days]
    return columns


def outcome_from(columns: Mapping[str, Any]) -> Outcome:
    """Return the outcome that `packed` took apart, maybe in an earlier version of this program."""
    read, accepted, rejected, *late = columns["rows"]
    dated = (DayRows(day=day, rows=rows, late=late, aside=aside) for day, rows, late, aside in columns.get("days", ()))
    exact = {
        "state": State(columns["state"]),
        "rows": Rows(read=read, accepted=accepted, rejected=rejected, late=late[0] if late else 0),
        "rules": tuple((rule, column, count) for rule, column, count in columns["rules"]),
        "supersedes": tuple(columns.get("supersedes", ())),
        "days": tuple(dated),
    }
    return Outcome(**{**columns, **exact})


def batch_from(row: Any) -> Batch:
    """Return the batch of a row of the table `batches`, as its intent has it."""
    return Batch(
        number=row.number,
        feed=row.feed,
        outcomes=tuple(outcome_from(columns) for columns in row.outcomes),
        files=tuple(DataFile(**columns) for columns in row.files),
        replaces=tuple(row.replaces),
    )
