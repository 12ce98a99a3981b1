"""What customers are told where they see only their container or folder: a small JSON file for each drop, in words.

Receipts follow the ledger's events, so that whatever is killed when, each is written in the end, and again when a
decision has changed what it says. How far they have come is in a file beside the ledger.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from structlog.typing import FilteringBoundLogger

from daemon.cloud.address import quoted
from daemon.durable import sync
from daemon.errors import DiskError, MissingRightError, NotFoundError, SourceError, WorkError
from daemon.ledger import DropRow, Ledger
from daemon.model import State
from daemon.quarantine import Quarantine
from daemon.quarantine.entries import PAGE
from daemon.reports import Report, iso, summary
from daemon.sources import Source
from daemon.sources.names import RECEIPTS
from validators.model import Problem
from validators.sentences import printable

#: Events that are looked at in one turn.
AT_ONCE: Final = 500
#: Problems that are said in words; the page has more.
SAID: Final = 5
UNWANTED: Final = "No feed wants a file of this name; ask where yours belong. Nothing of it was taken."


class Receipts:
    """Leaves receipts for what has happened since it last did."""

    def __init__(
        self, ledger: Ledger, source: Source, quarantine: Quarantine, file: Path, *, log: FilteringBoundLogger
    ) -> None:
        """Begin where the last run ended; without its file, with what happens from now on."""
        self._ledger, self._source, self._quarantine, self._file, self._log = ledger, source, quarantine, file, log
        begun, newest = _read(file), ledger.decisions.newest()[0]
        # A backup of the ledger that was restored knows less than receipts were left for.
        self._since = newest if begun is None else min(begun, newest)
        if begun is None:
            self._write(self._since)
        self._told = ""

    def catch_up(self) -> None:
        """Leave all receipts that are due, or as many as can be left now."""
        while self.turn():
            pass

    def turn(self) -> bool:
        """Leave some of the receipts that are due; return whether there may be more.

        Where that fails it is said once, and tried again in the next turn; without the right to, it is left at that.
        """
        newest, rows = self._ledger.news(self._since, AT_ONCE)
        if newest == self._since:
            return False
        where, newest_rows = self._source.describe(), _newest_versions(rows)
        letters = [letter for row in newest_rows for letter in letters_of(row, self._quarantine, where)]
        try:
            for refused in self._source.leave(letters):
                self._log.warning("receipts.refused", reason=str(refused), note="the others are there; this is left")
        except SourceError as error:
            self._complain(error)
            if not isinstance(error, MissingRightError):
                return False
        if letters:
            self._write(newest)
        self._since = newest
        return True

    def _complain(self, error: SourceError) -> None:
        # What is not permitted for one receipt is for none.
        told = type(error).__name__ if isinstance(error, MissingRightError) else str(error)
        if told != self._told:
            self._log.warning("receipts.failed", reason=str(error), note="drops go on; set source.receipts = false")
        self._told = told

    def _write(self, to: int) -> None:
        unfinished = self._file.with_name(f".{self._file.name}.tmp")
        try:
            unfinished.write_text(f"{to}\n")
            sync(unfinished)
            os.replace(unfinished, self._file)  # noqa: PTH105 - says that it replaces
        except OSError as error:
            raise WorkError(f"{self._file} cannot be written: {error.strerror}; give this user the right to") from error


def letters_of(row: DropRow, quarantine: Quarantine, where: str) -> Iterator[tuple[str, bytes]]:
    """Yield the files that tell of a drop, as (name below the source, bytes): none while it is under way.

    `where` is the source's own name, as of `Source.describe`.
    """
    if not row.state.final:
        return
    report, page = _reported(row, quarantine)
    name = f"{RECEIPTS}/{row.found.name}"
    told = _told(row, report, f"{name}.html" if page else None, where)
    yield f"{name}.json", (json.dumps(told, indent=1) + "\n").encode()
    if page:
        yield f"{name}.html", page


def _told(row: DropRow, report: Report | None, page: str | None, where: str) -> dict[str, Any]:
    problems = report.problems if report else ()
    return {
        "name": printable(row.name),
        "drop": row.id,
        "version": row.found.version,
        "bytes": row.found.size,
        "sha256": row.sha256 or None,
        "state": row.state.value,
        "says": _says(row, report),
        "rows": {"read": row.rows.read, "accepted": row.rows.accepted, "rejected": row.rows.rejected},
        "late_rows": row.rows.late,
        "problems": [_in_words(problem) for problem in problems[:SAID]],
        "more_problems": max(0, len(problems) - SAID),
        "report": printable(page) if page else None,
        "report_url": f"{where}/{quoted(page)}" if page else None,
        "quarantine_url": f"{row.report}/{PAGE}" if page and "://" in row.report else None,
        "found_at": iso(row.found_at),
        "finished_at": iso(row.finished_at or row.changed_at),
    }


def _says(row: DropRow, report: Report | None) -> str:
    """Say in one sentence what became of the drop."""
    if report is not None:
        because = "" if report.superseded_by else report.rejected_because
        return f"{summary(report).rstrip('.')}: {printable(because)}." if because else summary(report)
    match row.state:
        case State.UNMATCHED:
            return UNWANTED
        case State.INGESTED | State.PARTIAL:
            return f"{row.rows.accepted:,} of {row.rows.read:,} rows are in the table."
        case State.DUPLICATE:
            return printable(row.reason or "The same bytes were here before; they count once.")
        case _:
            return printable(row.reason)


def _in_words(problem: Problem) -> str:
    """Say what is wrong with the first of its rows, or with the file."""
    return problem.sample[0].message if problem.sample else printable(problem.expected)


def _reported(row: DropRow, quarantine: Quarantine) -> tuple[Report | None, bytes]:
    """Return the drop's report and its page; None and nothing where it has none, or none that can be read."""
    if not row.report:
        return None, b""
    try:
        return quarantine.report(row.report), quarantine.page(row.report)
    except DiskError:
        raise  # it is told later
    except (NotFoundError, WorkError):
        return None, b""


def _newest_versions(rows: Sequence[DropRow]) -> Iterator[DropRow]:
    """Yield the drops whose receipts count: of several versions under one name the newest."""
    standing = (row for row in rows if row.superseded_by is None)
    yield from {row.uri: row for row in sorted(standing, key=lambda row: row.found_at)}.values()


def _read(file: Path) -> int | None:
    try:
        return int(file.read_text())
    except (FileNotFoundError, ValueError):
        return None
