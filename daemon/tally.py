"""What has come of drops since the daemon started: counted, and the first of those with problems by name."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Final

from daemon import decisions
from daemon.markers import Standing
from daemon.model import Drop, Found, Outcome, Rows, State

#: Drops with problems that are named; further ones are only counted, and the ledger has them all.
NAMED: Final = 100
#: States in which nobody has anything to do.
FINE: Final = (State.INGESTED, State.DUPLICATE)
#: States in which the drop's rows were read.
READ: Final = (State.INGESTED, State.PARTIAL, State.REJECTED)


@dataclass(frozen=True, kw_only=True)
class Troubled:
    """A drop that is not wholly fine, as a summary names it."""

    drop_id: str
    #: As it was found; may hold anything that a file name may.
    name: str
    state: State
    #: Why it was rejected or failed; may be empty.
    reason: str = ""
    #: The folder of its report; empty when there is none.
    report: str = ""


@dataclass
class Tally:
    """Grows as drops end. One thread adds; others may read a figure at any time."""

    drops: Counter[State] = field(default_factory=Counter)
    rows: Rows = field(default_factory=Rows)
    #: How many drops have ended, the unmatched ones included.
    done: int = 0
    troubled: list[Troubled] = field(default_factory=list)
    #: Verdicts on markers.
    markers: Counter[Standing] = field(default_factory=Counter)
    #: Decisions that have come to their end, and rows that they have brought into tables.
    decisions: Counter[decisions.Standing] = field(default_factory=Counter)
    released: int = 0
    #: (customer, feed, ISO day) of the days that were closed.
    days_closed: list[tuple[str, str, str]] = field(default_factory=list)
    #: Feeds whose table got rows.
    feeds: set[str] = field(default_factory=set)

    def ended(self, drop: Drop, outcome: Outcome) -> None:
        """Count a drop that has come to its end."""
        if outcome.state in READ:
            self.rows += outcome.rows
        if outcome.rows.accepted:
            self.feeds.add(drop.feed)
        trouble = Troubled(
            drop_id=drop.id, name=drop.found.name, state=outcome.state, reason=outcome.reason, report=outcome.report
        )
        self._count(trouble)

    def released_rows(self, feed: str, rows: int) -> None:
        """Count a decision that was carried out and has brought rows into a feed's table."""
        self.decisions[decisions.Standing.DONE] += 1
        self.released += rows
        self.feeds.add(feed)

    def unmatched(self, found: Found) -> None:
        """Count an object that no feed takes."""
        self._count(Troubled(drop_id=found.drop_id, name=found.name, state=State.UNMATCHED))

    def _count(self, drop: Troubled) -> None:
        self.drops[drop.state] += 1
        self.done += 1
        if drop.state not in FINE and len(self.troubled) < NAMED:
            self.troubled.append(drop)
