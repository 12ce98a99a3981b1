"""A signal's file becomes the days that it lists (in a worker, as a file may be hostile): all of them, or none."""

from __future__ import annotations

import datetime as dt
from contextlib import closing

from daemon.model import Found
from daemon.signals import Listed
from daemon.sources import Source
from validators.errors import FileProblem
from validators.files import Part, judge
from validators.judging import Judged, Policy
from validators.model import Dialect, Limits, Verdict
from validators.readers import open_file
from validators.signals import COLUMN, finished_dates

#: Bytes of a signal, packed and unpacked: ten thousand days take 110,000.
MOST_BYTES = 16 * 1024**2
LIMITS = Limits(
    max_decompressed_bytes=MOST_BYTES, max_line_bytes=64 * 1024, max_columns=100, max_excel_bytes=MOST_BYTES
)
#: A file that has a zone beside its dates has midnights of UTC, as Spark writes them.
POLICY = Policy(zone="UTC", max_rejected_ratio=0.0)


class _Days:
    """Takes the days of judged rows."""

    def __init__(self) -> None:
        self.days: set[dt.date] = set()

    def batch(self, part: Part, judged: Judged, problems: object) -> None:  # noqa: ARG002 - as the sink has it
        """Keep the days of rows that are good; one row that is not spoils the whole signal anyway."""
        if part.match is not None:
            self.days.update(judged.typed[COLUMN].drop_null().unique().to_pylist())

    def restart(self) -> None:
        """Forget every day."""
        self.days.clear()


def read_days(found: Found, source: Source) -> Listed:
    """Return the days that a signal lists, or what is wrong with it.

    Raises:
        SourceError: it cannot be fetched; a ChangedError if it is another version by now.
    """
    if found.size > MOST_BYTES:
        return Listed(trouble=f"found {found.size:,} bytes, expected a signal of at most {MOST_BYTES:,}")
    with source.fetch(found) as path:
        try:
            reader = open_file(path, name=found.name, dialect=Dialect(), limits=LIMITS)
        except FileProblem as problem:
            return Listed(trouble=problem.message)
        sink = _Days()
        with closing(reader):
            verdict = judge(reader, finished_dates(), POLICY, LIMITS, sink)
    return Listed(trouble=_trouble(verdict)) if not verdict.ok else Listed(days=tuple(sorted(sink.days)))


def _trouble(verdict: Verdict) -> str:
    """Say what is wrong with a signal: its first problem. Hints are about drops, but for those on columns."""
    for problem in verdict.problems:
        said = problem.sample[0].message if problem.sample else problem.expected
        return f"{said}; {problem.hint}" if problem.hint and problem.column is not None else said
    return verdict.rejected_because
