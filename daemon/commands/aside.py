"""`blobdrop quarantine list` and `show`: what was set aside, and why."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from rich.console import Console

from daemon import app, wiring
from daemon.commands.looking import begun, refuse_unknown
from daemon.commands.showing import Cell, Column, local, local_zone, print_json, print_table, say, state_cell
from daemon.decisions import Decision, Standing, plain
from daemon.errors import NotFoundError
from daemon.quarantine import Listed, Quarantine
from daemon.reports import SUPERSEDED, Report, iso, terminal
from daemon.settings import Settings
from validators.sentences import printable


def list_entries(config: Path | None, *, feed: str | None, customer: str | None, limit: int, json: bool) -> int:
    """Print what is in quarantine, the newest first."""
    settings = begun(config).settings
    found = wiring.quarantine_of(settings).list(customer=customer, feed=feed, limit=limit)
    if not found:
        refuse_unknown(feed, settings)
    decided = _decided(settings, [each.drop for each in found])
    if json:
        print_json([_entry_json(each, decided) for each in found])
        return 0
    columns = [
        Column(title="drop"),
        Column(title="state"),
        Column(title="feed", leaves=2),
        Column(title="customer", gives_way=True, leaves=4),
        Column(title="rows", right=True, leaves=1),
        Column(title="set aside", right=True),
        Column(title=f"when ({local_zone()})", leaves=3),
        Column(title="decided", leaves=5),
        Column(title="most often", gives_way=True),
        Column(title="name", gives_way=True),
    ]
    print_table(columns, [_cells(each, decided) for each in found])
    if not found:
        say("", "Nothing is in quarantine.")
    elif len(found) == limit:
        say("", f"These are the newest {limit:,}; for more: --limit {limit * 10}")
    return 0


def show(config: Path | None, *, drop: str, json: bool) -> int:
    """Print the report on one drop."""
    settings = begun(config).settings
    quarantine = wiring.quarantine_of(settings)
    folder = _find(drop, quarantine, settings)
    name = folder.rpartition("/")[2]
    decided = _decided(settings, [name])
    # The ledger knows first: what is in the entry may have been written just before.
    report = replace(quarantine.report(folder), superseded_by=decided.superseded.get(name, ""))
    if json:
        print_json(report.to_json() | _decided_json(decided, name))
    else:
        terminal.show(report, Console(), folder=folder)
        say(*_decided_lines(decided, name))
    return 0


@dataclass(frozen=True, kw_only=True)
class _Decided:
    """What the ledger knows of entries beyond their reports, by drop."""

    #: The oldest first.
    decisions: Mapping[str, Sequence[Decision]] = field(default_factory=dict)
    superseded: Mapping[str, str] = field(default_factory=dict)

    def word(self, drop: str) -> str:
        """Say in a word or two how the drop stands with people."""
        if drop in self.superseded:
            return f"superseded by {self.superseded[drop]}"
        decisions = self.decisions.get(drop)
        if not decisions:
            return ""
        newest = decisions[-1]
        return newest.action.value if newest.state is Standing.DONE else f"{newest.action} {newest.state}"


def _decided(settings: Settings, drops: Sequence[str]) -> _Decided:
    ledger = app.open_for_reading(settings)
    if ledger is None:
        return _Decided()
    with ledger:
        return _Decided(decisions=ledger.decisions.of(drops), superseded=ledger.decisions.superseded(drops))


def _decided_json(decided: _Decided, drop: str) -> dict[str, Any]:
    decisions = [
        plain(each, iso(each.at), iso(each.ended_at) if each.ended_at else None)
        for each in decided.decisions.get(drop, ())
    ]
    return {"decisions": decisions, "superseded_by": decided.superseded.get(drop)}


def _decided_lines(decided: _Decided, drop: str) -> Iterator[str]:
    """Say who has decided what on a drop, and what came of it."""
    for number, each in enumerate(decided.decisions.get(drop, ())):
        if not number:
            yield ""
            yield "Decided:"
        rules = f" ({each.rule})" if each.rules else ""
        why = f": {each.reason}" if each.reason else ""
        came = f"; {each.note}" if each.note else ""
        yield f"  {local(each.at)} {each.action}{rules} by {each.by}{why} [{each.state}{came}]"


def _find(drop: str, quarantine: Quarantine, settings: Settings) -> str:
    """Return where a drop's entry is, by its id or, where the ledger knows it, its name.

    Raises:
        NotFoundError: there is none; the message says what became of the drop instead.
    """
    try:
        return quarantine.find(drop)
    except NotFoundError:
        ledger = app.open_for_reading(settings)
        if ledger is None:
            raise
        with ledger:
            row = ledger.drop(drop)
    folder = quarantine.folder(row.customer, row.feed, row.id)
    if not quarantine.has(folder):
        why = f": {row.reason}" if row.reason else ""
        raise NotFoundError(f"drop {row.id} ({row.name}) has nothing in quarantine; it is {row.state.value}{why}")
    return folder


def _cells(entry: Listed, decided: _Decided) -> Sequence[Cell]:
    report = entry.report
    if report is None:
        return [entry.drop, "damaged", "", "", "", "", "", "", entry.damaged, ""]
    subject, rows = report.subject, report.rows
    state = SUPERSEDED if entry.drop in decided.superseded else state_cell(report.state)
    ids: list[Cell] = [subject.drop_id, state, subject.feed, subject.customer]
    decision = decided.word(entry.drop)
    return [*ids, rows.read, rows.rejected, local(report.finished_at), decision, _commonest(report), subject.name]


def _commonest(report: Report) -> str:
    """Name the rule that was broken most often."""
    if not report.problems:
        return report.rejected_because
    problem = max(report.problems, key=lambda each: (each.whole_file, each.count))
    return f"{problem.column}: {problem.rule}" if problem.column else problem.rule


def _entry_json(entry: Listed, decided: _Decided) -> dict[str, Any]:
    report = entry.report
    folder = {"folder": printable(entry.folder), "damaged": printable(entry.damaged) or None}
    if report is None:
        return {"drop": entry.drop, **folder, **_decided_json(decided, entry.drop)}
    subject, rows, said = report.subject, report.rows, report.to_json()
    return {
        "drop": subject.drop_id,
        "name": printable(subject.name),
        "feed": said["feed"],
        "customer": said["customer"],
        "state": SUPERSEDED if entry.drop in decided.superseded else report.state.value,
        "rows": {"read": rows.read, "accepted": rows.accepted, "rejected": rows.rejected},
        "rules": [{"rule": each.rule, "column": each.column, "count": each.count} for each in report.problems],
        "rejected_because": said["rejected_because"],
        "finished_at": said["finished_at"],
        **folder,
        **_decided_json(decided, entry.drop),
    }
