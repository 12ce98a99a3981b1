"""What has come of drops since the daemon started: counted and timed, and the first of those with problems by name."""

from __future__ import annotations

import time
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
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
#: Pairs of feed and rule that are counted apart; a contract may make up names of rules as it goes.
MOST_RULES: Final = 1_000
#: The rule under which all others are counted.
OTHER_RULES: Final = "(others)"
#: Seconds: from a small file's work to a whole night's.
BOUNDS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0)


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
class Timing:
    """How long a stage took, each time that it came to its end."""

    #: How many took at most so many seconds as each of `BOUNDS`, but more than the one before; the last: more than all.
    counts: list[int] = field(default_factory=lambda: [0] * (len(BOUNDS) + 1))
    seconds: float = 0.0
    #: When it ended last, by the clock `time.monotonic`.
    last: float | None = None

    def took(self, seconds: float) -> None:
        """Count one."""
        self.counts[bisect_left(BOUNDS, seconds)] += 1
        self.seconds += seconds
        self.last = time.monotonic()


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

    #: Drops that have ended, by feed and state.
    ended_in: Counter[tuple[str, State]] = field(default_factory=Counter)
    #: Rows of these, by feed.
    accepted: Counter[str] = field(default_factory=Counter)
    rejected: Counter[str] = field(default_factory=Counter)
    #: Bytes of these as dropped, by feed.
    bytes_read: Counter[str] = field(default_factory=Counter)
    #: Rows that broke a rule, by feed and rule: one row may break several.
    rejects: Counter[tuple[str, str]] = field(default_factory=Counter)
    #: Goes that broke off and are begun again, by feed.
    retries: Counter[str] = field(default_factory=Counter)
    #: Batches that came into a feed's table.
    commits: Counter[str] = field(default_factory=Counter)
    #: Turns of the loop that failed.
    failed_turns: int = 0
    #: list, work, commit, settle.
    stages: dict[str, Timing] = field(default_factory=dict)

    def ended(self, drop: Drop, outcome: Outcome) -> None:
        """Count a drop that has come to its end."""
        if outcome.state in READ:
            self.rows += outcome.rows
            self.accepted[drop.feed] += outcome.rows.accepted
            self.rejected[drop.feed] += outcome.rows.rejected
        if outcome.rows.accepted:
            self.feeds.add(drop.feed)
        for rule, _, count in outcome.rules:
            self._broken(drop.feed, rule, count)
        self.bytes_read[drop.feed] += drop.found.size
        if outcome.finished_at > outcome.started_at:
            self._timing("work").took(outcome.finished_at - outcome.started_at)
        trouble = Troubled(
            drop_id=drop.id, name=drop.found.name, state=outcome.state, reason=outcome.reason, report=outcome.report
        )
        self._count(trouble, drop.feed)

    def released_rows(self, feed: str, rows: int) -> None:
        """Count a decision that was carried out and has brought rows into a feed's table."""
        self.decisions[decisions.Standing.DONE] += 1
        self.released += rows
        self.feeds.add(feed)

    def unmatched(self, found: Found) -> None:
        """Count an object that no feed takes."""
        self._count(Troubled(drop_id=found.drop_id, name=found.name, state=State.UNMATCHED), "")

    @contextmanager
    def timing(self, stage: str) -> Iterator[None]:
        """Time a stage for the length of a `with`; one that fails is not counted."""
        began = time.perf_counter()
        yield
        self._timing(stage).took(time.perf_counter() - began)

    def answered(self, stage: str) -> float | None:
        """Return when a stage came to its end last, by the clock `time.monotonic`; None where it never did."""
        timing = self.stages.get(stage)
        return timing.last if timing else None

    def _timing(self, stage: str) -> Timing:
        return self.stages.setdefault(stage, Timing())

    def _broken(self, feed: str, rule: str, count: int) -> None:
        known = (feed, rule) in self.rejects or len(self.rejects) < MOST_RULES
        self.rejects[feed, rule if known else OTHER_RULES] += count

    def _count(self, drop: Troubled, feed: str) -> None:
        self.drops[drop.state] += 1
        self.ended_in[feed, drop.state] += 1
        self.done += 1
        if drop.state not in FINE and len(self.troubled) < NAMED:
            self.troubled.append(drop)
