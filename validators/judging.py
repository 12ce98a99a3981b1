"""Batches of records -> rows accepted and rejected, and the running tally of a file's problems.

Knows nothing of files and tables: `files.py` feeds it one file, the daemon's `prepare.py` many small ones at once.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from validators.checking import DropHit, check_rows
from validators.contract import Contract, Match
from validators.errors import FileProblem
from validators.model import (
    LATE,
    SAMPLES_PER_RULE,
    Chunk,
    Hit,
    MalformedRecords,
    Mask,
    Numbers,
    Problem,
    Rows,
    Sample,
    Verdict,
)
from validators.sampling import of_record, of_rows

MALFORMED_HINTS = {
    "field_count": "check for a missing or extra delimiter, and for text that needs quotes",
    "quote": 'put quotes around the whole cell and double those inside it: "say ""hi"""',
    "encoding": "save the file as UTF-8, or have the feed's encoding set to the file's",
    "nul_byte": "text has no NUL bytes: write the record again where it came from",
    "invalid_json": "a record is one object, with double quotes around keys and texts, and no comma at its end",
    "excel_error": "mend the cell's formula, or leave the cell empty",
}


@dataclass(frozen=True, kw_only=True)
class Policy:
    """What a feed wants of a verdict beyond its contract."""

    #: The zone in which rows have their day.
    zone: str = "Etc/GMT+8"
    #: Above this share of rejected rows the whole file is rejected.
    max_rejected_ratio: float = 0.5
    #: Rules that are not held against rows.
    waived: frozenset[str] = frozenset()
    #: Everything before it had been said to be there, unix seconds; None where nothing had.
    watermark: int | None = None
    #: Whether rows before the watermark are rejected for that.
    refuses_late: bool = True


@dataclass(frozen=True, kw_only=True)
class Forced:
    """What a first reading of a file has shown that a second one has to heed."""

    hits: tuple[DropHit, ...] = ()
    #: What rules over the whole file say of the file: they have seen its rows, and are not asked again.
    whole: tuple[Problem, ...] = ()
    #: Reject every row: the file is over its budget or has a problem as a whole.
    everything: bool = False

    def __bool__(self) -> bool:
        """Whether anything is forced."""
        return self.everything or bool(self.hits)


@dataclass(frozen=True, kw_only=True)
class Judged:
    """A batch after checking: typed rows, their days, and which of them are rejected for what."""

    typed: pa.Table
    #: The rows' days (date32), null where a row has none; None where the contract has no time column.
    days: pa.Array | None
    hits: tuple[Hit, ...]
    rejected: Mask
    unknown: dict[str, Mask]
    #: What rules over the whole file say of these rows.
    forced: tuple[Hit, ...] = ()
    #: For each row the waived rules that it breaks and nothing else (`pa.string()`, mostly null); None: there is none.
    waived: pa.Array | None = None
    #: Which rows lie before the watermark; None for none of them.
    late: Mask | None = None

    def part(self, start: int, length: int) -> Judged:
        """Return the rows of one of the files that were judged together."""
        if start == 0 and length == len(self.rejected):
            return self
        rows = slice(start, start + length)
        hits = (Hit(**{**vars(hit), "failed": hit.failed[rows]}) for hit in self.hits)
        return Judged(
            typed=self.typed.slice(start, length),
            days=None if self.days is None else self.days.slice(start, length),
            hits=tuple(hit for hit in hits if hit.failed.any()),
            rejected=self.rejected[rows],
            unknown={name: mask[rows] for name, mask in self.unknown.items() if mask[rows].any()},
        )


def judge_rows(match: Match, table: pa.Table, zone: str) -> Judged:
    """Check rows by the rules that look at one row at a time.

    Args:
        match: the file's columns resolved against the contract.
        table: the columns that `match` names, under the contract's names.
        zone: the feed's zone, for the rows' days.
    """
    checked = check_rows(match, table)
    days = match.contract.days(checked.typed, zone)
    hits = list(checked.hits)
    rejected = np.zeros(table.num_rows, dtype=np.bool_)
    for hit in hits:
        rejected |= hit.failed
    if days is not None and days.null_count:
        for hit in dayless(match.contract.time_column, days, rejected):
            hits.append(hit)
            rejected |= hit.failed
    return Judged(typed=checked.typed, days=days, hits=tuple(hits), rejected=rejected, unknown=dict(checked.unknown))


def unchecked(table: pa.Table) -> Judged:
    """Return rows that cannot be judged, because their file is rejected as a whole."""
    return Judged(typed=table, days=None, hits=(), rejected=np.ones(table.num_rows, np.bool_), unknown={})


def dayless(time_column: str | None, days: pa.Array, rejected: Mask) -> Iterator[Hit]:
    """Yield the rows that no rule rejects and that have no day: they could not be put anywhere."""
    without = pc.is_null(days).to_numpy(zero_copy_only=False) & ~rejected
    if without.any():
        yield Hit(
            rule="no_day",
            column=time_column,
            expected="a date or a time, which gives the row its day",
            failed=without,
        )


def contract_names(match: Match, chunk: Chunk) -> pa.Table:
    """Return the chunk's known columns under the contract's names."""
    return match.renamed(chunk.table)


def told(judged: Judged) -> pa.Array:
    """Return, for each rejected row in order, its problems in words, joined by `; ` (string, empty for none)."""
    positions = np.flatnonzero(judged.rejected)
    # The empty text in front keeps Arrow from losing the rows for which nothing else is said.
    words = [pa.array([""] * len(positions), pa.string())]
    for hit in (*judged.hits, *judged.forced):
        failed = hit.failed[positions]
        if failed.any():
            said = _told_hit(hit) if hit.days is None else _told_of_days(hit, positions)
            words.append(pc.if_else(pa.array(failed), said, pa.scalar(None, pa.string())))
    return pc.utf8_ltrim(pc.binary_join_element_wise(*words, "; ", null_handling="skip"), characters="; ")


def _told_hit(hit: Hit) -> str:
    where = f"{hit.column}: " if hit.column else ""
    said = f"{where}expected {hit.expected}" if hit.expected else f"{where}{hit.rule}"
    return f"{said} ({hit.hint})" if hit.hint else said


def _told_of_days(hit: Hit, positions: Numbers) -> pa.Array:
    assert hit.days is not None  # noqa: S101 - whoever calls has looked
    days = hit.days.take(pa.array(positions)).cast(pa.string())
    return pc.binary_join_element_wise(f"{_told_hit(hit)}, of day ", pc.fill_null(days, ""), "")


@dataclass
class _Tally:
    """One rule in one column, counted as batches come."""

    expected: str
    hint: str = ""
    count: int = 0
    sample: list[Sample] = field(default_factory=list)

    @property
    def room(self) -> int:
        """How many samples may still come."""
        return SAMPLES_PER_RULE - len(self.sample)


class Judgement:
    """What is known of one file while its batches come: counts, samples, and at the end its verdict."""

    def __init__(self, contract: Contract, policy: Policy) -> None:
        """Start with nothing read."""
        self._contract = contract
        self._policy = policy
        self._tallies: dict[tuple[str, str | None], _Tally] = {}
        self._whole: list[Problem] = []
        self.read = 0
        self.rejected = 0
        self.late = 0
        #: Rows that are rejected because they are late, and for nothing else.
        self._only_late = 0

    def malformed(self, records: MalformedRecords) -> None:
        """Count records that have no cells."""
        self.read += len(records)
        self.rejected += len(records)
        for rule in dict.fromkeys(flaw.rule for flaw in records.flaws):
            positions = np.flatnonzero(records.with_rule(rule))
            tally = self._tally(rule, None, records[positions[0]].expected, MALFORMED_HINTS.get(rule, ""))
            tally.count += len(positions)
            tally.sample.extend(of_record(records[position]) for position in positions[: max(0, tally.room)])

    def rows(self, judged: Judged, chunk: Chunk, source: pa.Table) -> None:
        """Count a batch of this file's rows; `source` has the cells as they came, under the contract's names."""
        self.read += len(judged.rejected)
        self.rejected += int(np.count_nonzero(judged.rejected))
        if judged.late is not None:
            self._count_late(judged, judged.late)
        for hit in (*judged.hits, *judged.forced):
            positions = np.flatnonzero(hit.failed)
            if not len(positions):
                continue
            tally = self._tally(hit.rule, hit.column, hit.expected, hit.hint)
            tally.count += len(positions)
            if tally.room > 0:
                tally.sample.extend(of_rows(hit, positions[: tally.room], chunk, source))

    def _count_late(self, judged: Judged, late: Mask) -> None:
        self.late += int(np.count_nonzero(late))
        only = judged.rejected & late
        for hit in (*judged.hits, *judged.forced):
            if hit.rule != LATE:
                only &= ~hit.failed
        self._only_late += int(np.count_nonzero(only))

    def whole(self, problems: Iterable[Problem]) -> None:
        """Note problems of the file as a whole, each once."""
        for problem in problems:
            if problem not in self._whole:
                self._whole.append(problem)

    def broken(self, problem: FileProblem) -> None:
        """Note why the file cannot be read, or not to its end."""
        where = Sample(row=None, line=problem.line, value=None, message=str(problem))
        self.whole(
            [
                Problem(
                    rule=problem.rule,
                    column=None,
                    count=1,
                    expected=str(problem),
                    sample=(where,) if problem.line else (),
                    hint=problem.hint,
                    whole_file=True,
                )
            ]
        )

    @property
    def whole_problems(self) -> tuple[Problem, ...]:
        """What is wrong with the file as a whole."""
        return tuple(self._whole)

    @property
    def broken_as_a_whole(self) -> bool:
        """Whether the file has a problem that no row is to blame for."""
        return bool(self._whole)

    @property
    def rejected_because(self) -> str:
        """Why the file is rejected as a whole, in one sentence; empty when its good rows are accepted."""
        if self._whole:
            return self._whole[0].expected
        # A late row is not a broken one: it says nothing against the others.
        broken = self.rejected - self._only_late
        if self.read and broken / self.read > self._policy.max_rejected_ratio:
            limit = f"{self._policy.max_rejected_ratio:.0%}"
            return f"{broken:,} of {self.read:,} rows have problems, more than the {limit} that the feed allows"
        if self._only_late and self.rejected == self.read:
            others = f", {broken:,} broke other rules" if broken else ""
            late = f"{self._only_late:,} lie before the watermark"
            return f"none of {self.read:,} rows is left: {late}{others}; late rows can be waived"
        return ""

    def verdict(self, *, ignored: Sequence[str] = (), notes: Sequence[str] = ()) -> Verdict:
        """Return the verdict on everything counted so far."""
        because = self.rejected_because
        rejected = self.read if because else self.rejected
        problems = (*self._whole, *(_problem(key, tally) for key, tally in self._ordered()))
        return Verdict(
            rows=Rows(read=self.read, accepted=self.read - rejected, rejected=rejected, late=self.late),
            problems=problems,
            rejected_because=because,
            ignored_columns=tuple(ignored),
            notes=tuple(notes),
            contract=self._contract.name,
            digest=self._contract.digest,
        )

    def _ordered(self) -> list[tuple[tuple[str, str | None], _Tally]]:
        """Return the tallies, the commonest first; ties by name, so that no order of batches shows."""
        return sorted(self._tallies.items(), key=lambda item: (-item[1].count, item[0][0], item[0][1] or ""))

    def _tally(self, rule: str, column: str | None, expected: str, hint: str) -> _Tally:
        return self._tallies.setdefault((rule, column), _Tally(expected, hint))


def _problem(key: tuple[str, str | None], tally: _Tally) -> Problem:
    return Problem(
        rule=key[0],
        column=key[1],
        count=tally.count,
        expected=tally.expected,
        sample=tuple(tally.sample),
        hint=tally.hint,
    )


def forced_hits(forced: Forced, rows: Numbers) -> tuple[Hit, ...]:
    """Return what whole-drop rules say of the rows with these record numbers."""
    found = []
    for hit in forced.hits:
        failed = np.isin(rows, hit.rows)
        if failed.any():
            found.append(
                Hit(
                    rule=hit.rule,
                    column=hit.column,
                    expected=hit.expected,
                    failed=failed,
                    hint=hit.hint,
                    allowed=hit.allowed,
                    shows=hit.shows,
                )
            )
    return tuple(found)
