"""What became of every drop, put together from what is left when the ledger is lost. Pure: reads and writes nothing.

The tables are the truth about rows, the quarantine about reports; files in the archive say which object a drop was; an
old ledger, where there is one, fills in what none of these know.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Any, Final

from daemon.ledger import DropRow
from daemon.ledger.rebuilding import Known
from daemon.model import DayRows, Found, Held, Outcome, Rows, State
from daemon.quarantine import Listed
from daemon.reports import Report

#: Stands for the drop that has replaced another, where nobody knows which one it was.
SOMEBODY: Final = "unknown"
#: Stands for the name of an object that is not there any more.
NAMELESS: Final = "(name unknown)"
#: States of an old ledger that are worth keeping; drops in the others are found again.
KEPT: Final = (State.INGESTED, State.PARTIAL, State.REJECTED, State.DUPLICATE)
IN_TABLE: Final = (State.INGESTED, State.PARTIAL)


@dataclass(frozen=True, kw_only=True)
class Object:
    """An object that is still there, in the archive or where it was dropped."""

    found: Found
    #: Of its bytes.
    sha256: str
    #: Its feed and customer; None where no feed wants its name.
    scope: tuple[str, str] | None
    #: When it was archived, or else dropped; unix seconds.
    at: float
    archived: bool


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """Everything that is left."""

    #: What each feed's table holds.
    tables: Mapping[str, Sequence[Held]]
    #: The quarantine's entries, damaged ones among them.
    entries: Sequence[Listed]
    objects: Sequence[Object]
    #: Of the old ledger, where it could be read.
    rows: Sequence[DropRow] = ()


@dataclass(frozen=True, kw_only=True)
class Salvage:
    """What could be found out, and what could not."""

    known: tuple[Known, ...]
    #: Ids in tables whose object nobody knows: its bytes dropped again are no duplicate, new ones no revision.
    nameless: tuple[str, ...] = ()
    #: Archived files whose rows nobody knows: their bytes are a duplicate, a new version does not replace their rows.
    unlinked: tuple[str, ...] = ()
    #: Archived files that no feed wants, and that are left out.
    unwanted: tuple[str, ...] = ()
    #: Folders of the quarantine whose report cannot be read.
    damaged: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class _Trace:
    """All that is left of one drop."""

    drop_id: str
    feed: str = ""
    held: Held | None = None
    folder: str = ""
    report: Report | None = None
    object: Object | None = None
    row: DropRow | None = None

    @property
    def is_bare(self) -> bool:
        """Whether there is an object and nothing else, so that what became of it has to be concluded."""
        return self.held is None and self.report is None and self.row is None

    @property
    def found(self) -> Found:
        """The object's version, as well as it is known."""
        if self.object:
            return self.object.found
        if self.row:
            return self.row.found
        if self.report:
            of, at = self.report.subject, self.report.finished_at
            return Found(uri=of.uri, name=of.name, version=of.version, size=of.size, modified=at)
        return Found(uri=f"unknown:{self.drop_id}", name=NAMELESS, version=self.drop_id, size=0, modified=0.0)

    @property
    def scope(self) -> tuple[str, str] | None:
        """Its feed and customer; None where no feed wants it."""
        if self.held:
            return self.feed, self.held.customer
        if self.row:
            return self.row.feed, self.row.customer
        if self.report:
            return self.report.subject.feed, self.report.subject.customer
        return self.object.scope if self.object else None

    @property
    def sha256(self) -> str:
        """The digest of its bytes; empty where nobody knows."""
        tries = (self.report and self.report.subject.sha256, self.row and self.row.sha256)
        return next((digest for digest in tries if digest), self.object.sha256 if self.object else "")

    @property
    def at(self) -> float:
        """When it came to its end, or nearly; unix seconds."""
        if self.report:
            return self.report.finished_at
        if self.row:
            return self.row.finished_at
        return self.held.at if self.held else self.object.at if self.object else 0.0

    @property
    def has_left(self) -> bool:
        """Whether it had rows in the table, and has none there now."""
        return self.held is None and not self.is_bare and self.told.accepted > 0

    @property
    def told(self) -> Rows:
        """How many rows went where, as was told when it came to its end."""
        return self.report.rows if self.report else self.row.rows if self.row else Rows()

    @property
    def rows(self) -> Rows:
        """How many rows went where, as the table has it."""
        if self.held is None:
            return self.told
        rejected = self.told.rejected
        return Rows(read=self.held.rows + rejected, accepted=self.held.rows, rejected=rejected)

    @property
    def state(self) -> State | None:
        """What became of it; None where it has not come to an end, so that it is to be found again."""
        if self.object and not self.object.archived and (self.has_left or self.is_bare):
            return None  # its report was written, and its rows were never committed
        if self.held:
            return State.PARTIAL if self.told.rejected else State.INGESTED
        if self.report:
            return self.report.state
        return self.row.state if self.row else State.INGESTED


def salvage(evidence: Evidence) -> Salvage:
    """Put the evidence together."""
    traces = sorted(_linked(_traces(evidence)), key=lambda trace: trace.at)
    known = [one for trace in traces if (one := _known(trace)) is not None]
    bare = {trace.drop_id for trace in traces if trace.is_bare}
    known = list(_with_successors(_with_duplicates(known, bare), bare))
    return Salvage(
        known=tuple(known),
        nameless=tuple(one.outcome.drop_id for one in known if one.found.name == NAMELESS),
        unlinked=tuple(one.found.name for one in known if _is_unlinked(one, bare)),
        unwanted=tuple(trace.found.name for trace in traces if trace.scope is None),
        damaged=tuple(entry.folder for entry in evidence.entries if entry.report is None),
    )


def _traces(evidence: Evidence) -> dict[str, _Trace]:
    """Return what is left of each drop, by its id."""
    traces: dict[str, _Trace] = {}

    def add(drop_id: str, **what: Any) -> None:
        traces[drop_id] = replace(traces.get(drop_id, _Trace(drop_id=drop_id)), **what)

    for feed, several in evidence.tables.items():
        for held in several:
            add(held.drop_id, feed=feed, held=held)
    for entry in evidence.entries:
        if entry.report is not None:
            add(entry.report.subject.drop_id, report=entry.report, folder=entry.folder)
    for row in evidence.rows:
        if row.state in KEPT:
            add(row.id, row=row)
    for one in evidence.objects:
        add(one.found.drop_id, object=one)
    return traces


def _linked(traces: Mapping[str, _Trace]) -> Iterable[_Trace]:
    """Leave out copies of objects whose drops are known: a copy has another inode, so another version and id."""
    known = {(one.found.uri, one.sha256) for one in traces.values() if not one.is_bare and one.object is None}
    for trace in traces.values():
        is_copy = trace.is_bare and trace.object is not None and trace.object.archived
        if not is_copy or (trace.found.uri, trace.sha256) not in known or trace.scope is None:
            yield trace


def _known(trace: _Trace) -> Known | None:
    state, scope = trace.state, trace.scope
    if state is None or scope is None:
        return None
    report, row = trace.report, trace.row
    outcome = Outcome(
        drop_id=trace.drop_id,
        state=state,
        sha256=trace.sha256,
        rows=trace.rows,
        rules=tuple((each.rule, each.column or "", each.count) for each in report.problems) if report else (),
        reason=report.rejected_because if report else row.reason if row else "",
        report=trace.folder,
        contract=report.digest if report else row.contract if row else "",
        started_at=report.started_at if report else trace.at,
        finished_at=trace.at,
        days=tuple(DayRows(day=day, rows=rows) for day, rows in sorted(trace.held.days.items())) if trace.held else (),
    )
    earlier = row.superseded_by if row and not trace.held else None
    return Known(
        found=trace.found,
        feed=scope[0],
        customer=scope[1],
        outcome=outcome,
        at=trace.at,
        superseded_by=earlier or (SOMEBODY if trace.has_left else None),
        settled=trace.object is None or trace.object.archived,
    )


def _with_duplicates(known: Iterable[Known], bare: set[str]) -> Iterable[Known]:
    """Conclude of objects with nothing else, whose bytes came before, that they were duplicates."""
    brought: set[tuple[str, str, str]] = set()
    for one in known:
        bytes_of = (one.feed, one.customer, one.outcome.sha256)
        if one.outcome.drop_id in bare and bytes_of in brought:
            yield replace(one, outcome=replace(one.outcome, state=State.DUPLICATE))
            continue
        if one.outcome.sha256:
            brought.add(bytes_of)
        yield one


def _with_successors(known: Iterable[Known], bare: set[str]) -> Iterable[Known]:
    """Name for each drop whose rows have left the table the next version of its object, which replaced them."""

    def object_of(one: Known) -> tuple[str, str, str]:
        return one.found.uri, one.feed, one.customer

    # The order by time stays within each object: sorting is stable.
    for _, several in groupby(sorted(known, key=object_of), key=object_of):
        versions = list(several)
        for number, one in enumerate(versions):
            later = (each.outcome.drop_id for each in versions[number + 1 :] if each.outcome.state in IN_TABLE)
            is_gone = one.superseded_by == SOMEBODY or (one.outcome.drop_id in bare and one.outcome.state in IN_TABLE)
            successor = next(later, None) if is_gone else None
            yield replace(one, superseded_by=successor) if successor else one


def _is_unlinked(one: Known, bare: set[str]) -> bool:
    return one.outcome.drop_id in bare and one.outcome.state is State.INGESTED and one.superseded_by is None
