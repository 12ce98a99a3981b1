"""What has happened to one object in all its versions, and to the drops that failed last."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

from daemon.commands.showing import Cell, Column, local, local_zone, print_json, print_table, say, state_cell
from daemon.ledger import DropRow, Event, Ledger
from daemon.model import State
from daemon.workers.killable import FATAL
from validators.sentences import printable

#: Failed drops that `status` names, and the lines that it shows of what their workers wrote.
MOST_FAILED: Final = 5
MOST_LINES: Final = 3


def print_history(ledger: Ledger, name: str, *, json: bool) -> None:
    """Print every version of an object, what took whose place, and what has happened to each.

    Raises:
        NotFoundError: there is no such object.
    """
    versions = ledger.history(name) or ledger.history(ledger.drop(name).name)
    events = {row.id: ledger.events(row.id) for row in versions}
    if json:
        print_json([_version_json(row, versions, events[row.id]) for row in versions])
        return
    for row in versions:
        say(f"{row.name}, drop {row.id}: {row.state.value}" + (f", {row.reason}" if row.reason else ""))
        say(*_places(row, versions))
        columns = [
            Column(title=f"when ({local_zone()})"),
            Column(title="event"),
            Column(title="state"),
            Column(title="note"),
        ]
        print_table(columns, [_event_cells(each) for each in events[row.id]])
        say(*_last_words(events[row.id]), *([f"report: {row.report}/report.html"] if row.report else []), "")


def failed_json(ledger: Ledger) -> list[dict[str, Any]]:
    """Return the drops that failed last, with the last lines that their workers wrote, as `status --json` has them."""
    return [
        {
            "drop": row.id,
            "name": row.name,
            "reason": row.reason,
            "log": list(next((each.log for each in reversed(ledger.events(row.id)) if each.state is State.FAILED), ())),
        }
        for row in ledger.drops(State.FAILED, superseded=False, limit=MOST_FAILED)
    ]


def print_failed(failed: Sequence[dict[str, Any]]) -> None:
    """Print the drops that failed last, and what to do."""
    if not failed:
        return
    say("", "Failed last; for another go: blobdrop retry DROP, or --all-failed")
    for each in failed:
        say(f"  {each['drop']}  {each['name']}: {each['reason']}")
        say(*(f"      {line}" for line in _most_telling(each["log"])))
    say("  The whole of what happened: blobdrop drops --history NAME")


def _version_json(row: DropRow, versions: Sequence[DropRow], events: Sequence[Event]) -> dict[str, Any]:
    supersedes = [each.id for each in versions if each.superseded_by == row.id]
    return {**row.to_json(), "supersedes": supersedes, "events": [each.to_json() for each in events]}


def _places(row: DropRow, versions: Sequence[DropRow]) -> Iterator[str]:
    for each in versions:
        if each.superseded_by == row.id:
            yield f"takes the place of drop {each.id}"
    if row.superseded_by:
        yield f"superseded by drop {row.superseded_by}"


def _event_cells(event: Event) -> Sequence[Cell]:
    return [local(event.at), event.kind.value, state_cell(event.state) if event.state else "", event.note]


def _last_words(events: Sequence[Event]) -> Iterator[str]:
    """Yield the last lines that a lost worker of the drop has written, the newest such event's."""
    event = next((each for each in reversed(events) if each.log), None)
    if event is not None:
        yield f"the last lines of the worker that was lost at {local(event.at)}:"
        yield from (f"  {printable(line)}" for line in event.log)


def _most_telling(log: Sequence[str]) -> Sequence[str]:
    """Return the innermost calls of a crash; of anything else, the last lines."""
    crash = next((number for number, line in enumerate(log) if line.startswith(FATAL)), None)
    return log[-MOST_LINES:] if crash is None else log[crash + 2 : crash + 2 + MOST_LINES]
