"""A verdict on one drop as a report: the value, its JSON, and what happened in one sentence. Pure.

`pages` makes it a page, `terminal` text; the daemon and `blobdrop check` make the very same report here.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

from daemon.model import State
from validators.model import LATE, Problem, Rows, Sample, Verdict
from validators.sentences import printable

#: How an entry stands whose drop's place a newer version of the file has taken.
SUPERSEDED: Final = "superseded"


@dataclass(frozen=True, kw_only=True)
class Subject:
    """The file that a report speaks of: what is known of it without judging it."""

    drop_id: str
    #: Where it is, percent-encoded ASCII.
    uri: str
    #: Its path below the source's root, for people; may hold anything that a file name may.
    name: str
    version: str = ""
    #: Bytes.
    size: int = 0
    sha256: str = ""
    feed: str
    customer: str


@dataclass(frozen=True, kw_only=True)
class Report:
    """What became of a drop, and why: all that any form of the report shows."""

    subject: Subject
    state: State
    #: The contract's name and digest.
    contract: str = ""
    digest: str = ""
    rows: Rows = field(default_factory=Rows)
    problems: tuple[Problem, ...] = ()
    #: Why the whole file was set aside, or why its work failed; empty otherwise.
    rejected_because: str = ""
    ignored_columns: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    #: The drop of a newer version of the file that has taken its place; empty mostly.
    superseded_by: str = ""
    #: Seconds since 1970.
    started_at: float = 0.0
    finished_at: float = 0.0

    @property
    def sampled(self) -> bool:
        """Whether some rule shows fewer samples than it counts."""
        return any(sampled(problem) for problem in self.problems)

    @property
    def is_only_late(self) -> bool:
        """Whether rows were set aside because they are late and for nothing else: nothing in them is to be mended."""
        return bool(self.problems) and all(problem.rule == LATE for problem in self.problems)

    def to_json(self) -> dict[str, Any]:
        """Return the report as `report.json` has it: plain values, times in ISO 8601 and UTC, names printable."""
        superseded = {"state": SUPERSEDED, "judged": str(self.state), "superseded_by": self.superseded_by}
        return {
            "drop": _drop(self.subject),
            "feed": printable(self.subject.feed),
            "customer": printable(self.subject.customer),
            "contract": {"name": self.contract, "digest": self.digest},
            "state": str(self.state),
            "rows": {"read": self.rows.read, "accepted": self.rows.accepted, "rejected": self.rows.rejected},
            "late_rows": self.rows.late,
            "problems": [_problem(problem) for problem in self.problems],
            "sampled": self.sampled,
            "rejected_because": printable(self.rejected_because),
            "ignored_columns": [printable(name) for name in self.ignored_columns],
            "notes": [printable(note) for note in self.notes],
            "started_at": iso(self.started_at),
            "finished_at": iso(self.finished_at),
            **(superseded if self.superseded_by else {}),
        }


def report(subject: Subject, verdict: Verdict, state: State, *, started_at: float, finished_at: float) -> Report:
    """Make the report of a verdict.

    Args:
        subject: the file.
        verdict: what the check found.
        state: the drop's state; `judged_state` gives it for a file that is only checked.
        started_at: seconds since 1970.
        finished_at: seconds since 1970.
    """
    return Report(
        subject=subject,
        state=state,
        contract=verdict.contract,
        digest=verdict.digest,
        rows=verdict.rows,
        problems=verdict.problems,
        rejected_because=verdict.rejected_because,
        ignored_columns=verdict.ignored_columns,
        notes=verdict.notes,
        started_at=started_at,
        finished_at=finished_at,
    )


def judged_state(verdict: Verdict) -> State:
    """Return the state that a verdict alone gives a drop: ingested, partial or rejected."""
    if verdict.rejected_because:
        return State.REJECTED
    return State.PARTIAL if verdict.rows.rejected else State.INGESTED


def encoded(made: Report) -> bytes:
    """Return `report.json`: one line of JSON, always valid UTF-8."""
    text = json.dumps(made.to_json(), ensure_ascii=False) + "\n"
    try:
        return text.encode()
    except UnicodeEncodeError:
        # A lone surrogate slipped into a value: shown as an escape it can be read by every JSON reader.
        return (json.dumps(_without_surrogates(made.to_json()), ensure_ascii=False) + "\n").encode()


def parsed(data: Mapping[str, Any]) -> Report:
    """Return the report that `to_json` wrote.

    Raises:
        KeyError, TypeError, ValueError: it is not a report's JSON.
    """
    drop = data["drop"]
    return Report(
        subject=Subject(
            drop_id=drop["id"],
            uri=drop["uri"],
            name=drop["name"],
            version=drop["version"],
            size=drop["size"],
            sha256=drop["sha256"],
            feed=data["feed"],
            customer=data["customer"],
        ),
        state=State(data.get("judged", data["state"])),
        contract=data["contract"]["name"],
        digest=data["contract"]["digest"],
        rows=Rows(**data["rows"], late=data.get("late_rows", 0)),
        problems=tuple(_parsed_problem(problem) for problem in data["problems"]),
        rejected_because=data["rejected_because"],
        ignored_columns=tuple(data["ignored_columns"]),
        notes=tuple(data["notes"]),
        superseded_by=data.get("superseded_by", ""),
        started_at=datetime.fromisoformat(data["started_at"]).timestamp(),
        finished_at=datetime.fromisoformat(data["finished_at"]).timestamp(),
    )


def summary(made: Report, *, checked_only: bool = False) -> str:
    """Say in one sentence what happened.

    "4 of 120 rows were set aside; the other 116 are in the table."

    Args:
        made: the report.
        checked_only: the file was checked and nothing was changed, so say what would happen.
    """
    if made.superseded_by:
        return f"A newer version of the file, drop {made.superseded_by}, has taken its place; nothing is left to do."
    if made.state is State.REJECTED:
        aside = "would be set aside" if checked_only else "was set aside"
        return f"The whole file {aside}; nothing of it {'would be' if checked_only else 'is'} in the table."
    if made.state is State.PARTIAL:
        return _partial(made.rows, checked_only=checked_only)
    if made.state is State.INGESTED:
        return _ingested(made.rows.accepted, checked_only=checked_only)
    return _UNJUDGED[made.state]


def sampled(problem: Problem) -> bool:
    """Tell whether the rule shows fewer samples than it counts; a rule on the file needs none."""
    return not problem.whole_file and problem.count > len(problem.sample)


def counted(count: int, noun: str = "row") -> str:
    """Return "1 row", "2,000,000 rows"."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def iso(seconds: float) -> str:
    """Return an instant in ISO 8601, UTC, to the millisecond: "2026-03-01T12:00:05.250Z"."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


_UNJUDGED = {
    State.DUPLICATE: "The same bytes are here already; nothing was added to the table.",
    State.FAILED: "The file could not be worked; nothing of it is in the table.",
    State.UNMATCHED: "No feed takes a file of this name; it was left where it is.",
    State.FOUND: "The file waits for its turn.",
    State.WORKING: "The file is being worked.",
}


def _partial(rows: Rows, *, checked_only: bool) -> str:
    was = "would be" if checked_only else ("was" if rows.rejected == 1 else "were")
    if not rows.accepted:
        left = "nothing is left" if checked_only else "nothing was left"
        return f"{_all_of_them(rows.rejected)} {was} set aside; {left} for the table."
    aside = f"{rows.rejected:,} of {counted(rows.read)} {was} set aside"
    one = rows.accepted == 1
    others = "the other one" if one else f"the other {rows.accepted:,}"
    if checked_only:
        return f"{aside}; {others} would go into the table."
    return f"{aside}; {others} {'is' if one else 'are'} in the table."


def _ingested(accepted: int, *, checked_only: bool) -> str:
    if not accepted:
        return "The file has no rows, so nothing was added to the table."
    if checked_only:
        return f"{_all_of_them(accepted)} would go into the table."
    return f"{_all_of_them(accepted)} {'is' if accepted == 1 else 'are'} in the table."


def _all_of_them(rows: int) -> str:
    return {1: "The one row", 2: "Both rows"}.get(rows, f"All {rows:,} rows")


def _drop(subject: Subject) -> dict[str, Any]:
    return {
        "id": subject.drop_id,
        "uri": printable(subject.uri),
        "name": printable(subject.name),
        "version": printable(subject.version),
        "size": subject.size,
        "sha256": subject.sha256,
    }


def _problem(problem: Problem) -> dict[str, Any]:
    return {
        "rule": problem.rule,
        "column": problem.column,
        "count": problem.count,
        "expected": problem.expected,
        "hint": problem.hint,
        "sample": [
            {"row": sample.row, "line": sample.line, "value": sample.value, "message": sample.message}
            for sample in problem.sample
        ],
    }


def _parsed_problem(data: Mapping[str, Any]) -> Problem:
    sample = tuple(Sample(**place) for place in data["sample"])
    # A rule on rows always shows at least one of them; a rule on the file has no row to show.
    whole = not any(place.row for place in sample)
    return Problem(**{**data, "sample": sample, "whole_file": whole})


def _without_surrogates(value: Any) -> Any:
    """Return plain JSON data in which every text that is not valid UTF-8 is printable."""
    if isinstance(value, dict):
        return {_without_surrogates(name): _without_surrogates(part) for name, part in value.items()}
    if isinstance(value, list):
        return [_without_surrogates(part) for part in value]
    if isinstance(value, str):
        return value if value.isascii() else "".join(printable(c) if "\ud800" <= c <= "\udfff" else c for c in value)
    return value
