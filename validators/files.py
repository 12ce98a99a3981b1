"""One file from its bytes to its verdict, on its own: what `check_file` does, and what the daemon does to each drop."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pyarrow as pa

from validators.checking import Checked, DropHit, WholeDrop
from validators.clocks import on_the_clock
from validators.contract import Contract, Match, load_contract
from validators.errors import FileProblem
from validators.judging import (
    Forced,
    Judged,
    Judgement,
    Policy,
    contract_names,
    forced_hits,
    judge_rows,
    told,
    unchecked,
)
from validators.lateness import with_lateness
from validators.model import Broken, Chunk, Dialect, Limits, Problem, Verdict
from validators.pipelined import pipelined
from validators.readers import Reader, open_file
from validators.rejudging import still_broken, weighed
from validators.rules import listed


@dataclass(frozen=True, kw_only=True)
class Part:
    """One chunk of a file beside the columns that it shares with the contract, under the contract's names."""

    chunk: Chunk
    source: pa.Table
    #: None where the file is rejected as a whole, so that its rows cannot be judged.
    match: Match | None

    def judge(self, zone: str) -> Judged:
        """Check this chunk's rows by the rules that look at one row at a time."""
        if self.match is None:
            return unchecked(pa.table({"_": pa.nulls(len(self.chunk.rows))}))
        return judge_rows(self.match, self.source, zone)


class Sink(Protocol):
    """Where judged rows go. `check_file` has one that keeps nothing."""

    def batch(self, part: Part, judged: Judged, problems: pa.Array) -> None:
        """Take one batch: `judged.rejected` tells the rows, `problems` has words for each rejected one, in order.

        The part's malformed records are rejected too; they have words of their own.
        """

    def restart(self) -> None:
        """Forget every batch so far: the file is read again from its start."""


class Nowhere:
    """A sink that keeps nothing."""

    def batch(self, part: Part, judged: Judged, problems: pa.Array) -> None:
        """Drop the batch."""

    def restart(self) -> None:
        """Forget nothing, for there is nothing."""


class FileJudging:
    """One reading of one file: resolves its columns, counts what its batches bring, and says what it comes to."""

    def __init__(
        self,
        reader: Reader,
        contract: Contract,
        policy: Policy,
        limits: Limits,
        forced: Forced | None = None,
        *,
        before: Sequence[Broken] = (),
    ) -> None:
        """Start a reading; `forced` is what an earlier reading of the same file has shown.

        `before` is what rules over the whole file said of these records when they stood among others.
        """
        self._reader = reader
        self._contract = contract
        self._policy = policy
        self._limits = limits
        self._forced = forced or Forced()
        self._before = before
        self._last_row = 0
        self._names: dict[str, None] = {}
        self._match: Match | None = None
        self._whole = WholeDrop(contract, limits.max_whole_drop_bytes) if contract.has_whole_drop_rules else None
        self._ignored: dict[str, None] = {}
        self._clocks: dict[str, None] = {}
        self._accepted = 0
        self.judgement = Judgement(contract, policy)

    def parts(self) -> Iterator[Part]:
        """Yield the file's chunks with their columns resolved; a broken file ends them and is noted."""
        try:
            names = self._resolve_header()
            for chunk in self._reader.chunks(names):
                yield self._part(chunk)
        except FileProblem as problem:
            self.judgement.broken(problem)

    def take(self, part: Part, judged: Judged) -> tuple[Judged, pa.Array]:
        """Count a judged part; return it with what is forced upon it, and the words for its rejected rows."""
        judgement = self.judgement
        judgement.malformed(part.chunk.malformed)
        self._last_row = max(self._last_row, *part.chunk.rows[-1:].tolist(), 0)
        forced = forced_hits(self._forced, part.chunk.rows)
        timed = judged
        if part.match is not None and self._policy.watermark is not None:
            timed = with_lateness(judged, self._contract, self._policy, part.source.column_names)
        final = weighed(timed, forced, self._policy.waived, self._contract.time_column)
        judgement.rows(final, part.chunk, part.source)
        if part.match is not None and not self._forced:
            self._add_to_whole(part, judged)
        if part.match is None:
            return final, pa.array([self.judgement.rejected_because] * len(final.rejected), pa.string())
        if self._forced.everything:
            final = replace(final, rejected=np.ones(len(final.rejected), np.bool_))
        self._accepted += len(final.rejected) - int(np.count_nonzero(final.rejected))
        return final, told(final)

    def _add_to_whole(self, part: Part, judged: Judged) -> None:
        """Keep what cross-row rules need of these rows; a file too large for them is noted as broken."""
        if self._whole is None or self.judgement.broken_as_a_whole:
            return
        try:
            self._whole.add(Checked(typed=judged.typed, hits=judged.hits, unknown=judged.unknown), part.chunk.rows)
        except FileProblem as problem:
            self.judgement.broken(problem)

    def judge(self, part: Part) -> tuple[Part, Judged]:
        """Check a part's rows; where a rule itself fails, the file is noted as broken and the part as not judged."""
        try:
            return part, part.judge(self._policy.zone)
        except FileProblem as problem:
            self.judgement.broken(problem)
            unmatched = replace(part, match=None)
            return unmatched, unmatched.judge(self._policy.zone)

    def finish(self) -> Forced:
        """Return what another reading has to heed; nothing, in the common case, where this one stands."""
        broken, absent = self.judgement.broken_as_a_whole, self._absent()
        if self._forced:
            hits, whole = self._forced.hits, self._forced.whole
        else:
            # What broke this reading may not break another one, which asks no rule over the whole file again.
            hits, whole = ((), self.judgement.whole_problems) if broken else self._whole_drop_hits(absent)
        self.judgement.whole(whole)
        everything = bool(self.judgement.rejected_because)
        as_known = everything == self._forced.everything or (everything and self._accepted == 0)
        if as_known and hits == self._forced.hits:
            return Forced()
        return Forced(hits=hits, whole=whole, everything=everything)

    def again(self, forced: Forced) -> FileJudging:
        """Return another reading of the same parts, for a file that is small enough to have been kept in memory."""
        other = FileJudging(self._reader, self._contract, self._policy, self._limits, forced)
        other._names, other._match, other._ignored = self._names, self._match, self._ignored
        other._clocks = self._clocks
        other.judgement.whole(self.judgement.whole_problems)
        return other

    def verdict(self) -> Verdict:
        """Return the verdict of this reading."""
        notes = (*self._reader.notes, *self._clock_notes())
        return self.judgement.verdict(ignored=tuple(self._ignored), notes=notes)

    def _clock_notes(self) -> Iterator[str]:
        if self._clocks:
            columns = f"the times in {listed(self._clocks)} have a zone, which is not expected"
            yield f"{columns}: read as what a clock in the feed's timezone, {self._policy.zone}, shows"

    def _resolve_header(self) -> Collection[str] | None:
        header = self._reader.header()
        if header is None:
            return None
        self._match = self._contract.match(header)
        self._ignored = dict.fromkeys(self._match.ignored)
        self.judgement.whole(self._match.problems)
        if self.judgement.broken_as_a_whole:
            return None if self._reader.typed else ()
        return None if self._reader.typed else tuple(self._match.names)

    def _part(self, chunk: Chunk) -> Part:
        match = self._match if self._reader.header() is not None else self._match_records(chunk)
        if match is None or self.judgement.broken_as_a_whole:
            return Part(chunk=chunk, source=pa.table({}), match=None)
        chunk, clocks = on_the_clock(match, chunk, self._policy.zone)
        self._clocks.update(dict.fromkeys(clocks))
        return Part(chunk=chunk, source=contract_names(match, chunk), match=match)

    def _match_records(self, chunk: Chunk) -> Match:
        """Resolve the names of records that name their own; what no record has is known only at the end."""
        names = chunk.table.column_names
        self._names.update(dict.fromkeys(names))
        match = self._contract.match(names, final=False)
        self._ignored.update(dict.fromkeys(match.ignored))
        self.judgement.whole(match.problems)
        return match

    def _absent(self) -> frozenset[str]:
        """Return the columns that no record has, where each names its own, and note those that one must have."""
        if self._reader.header() is not None:
            return frozenset()
        match = self._contract.match(list(self._names))
        if self._names:
            self.judgement.whole(problem for problem in match.problems if problem.whole_file)
        return match.absent

    def _whole_drop_hits(self, absent: Collection[str]) -> tuple[tuple[DropHit, ...], tuple[Problem, ...]]:
        """Return what cross-row rules say of rows, and what they say of the file."""
        if self._whole is None:
            return (), ()
        hits = tuple(self._without_waived(hit) for hit in self._whole.finish(absent))
        problems = tuple(
            Problem(rule=hit.rule, column=hit.column, count=1, expected=hit.expected, hint=hit.hint, whole_file=True)
            for hit in hits
            if hit.whole_file
        )
        of_rows = tuple(hit for hit in hits if not hit.whole_file)
        if self._before:
            match = self._match or self._contract.match(list(self._names))
            of_rows = still_broken(of_rows, self._before, match.rules)
        return of_rows, problems

    def _without_waived(self, hit: DropHit) -> DropHit:
        """Return what a rule says of the file as what it says of each of its rows, where it is waived."""
        if hit.whole_file and hit.rule in self._policy.waived:
            return replace(hit, whole_file=False, rows=np.arange(1, self._last_row + 1))
        return hit


def judge(
    reader: Reader, contract: Contract, policy: Policy, limits: Limits, sink: Sink, *, before: Sequence[Broken] = ()
) -> Verdict:
    """Read a file and judge it, batch by batch: memory does not grow with the file.

    Where rules over the whole file, its budget, or a break in its middle reject rows that have gone to the sink
    already, the sink is restarted and the file is read a second time with that known.

    Args:
        reader: the file.
        contract: what it must be.
        policy: what its feed wants beyond that.
        limits: what it may ask for.
        sink: where its rows go.
        before: what rules over the whole file said of these records when they stood among others.
    """
    first = _reading(FileJudging(reader, contract, policy, limits, before=before), sink)
    forced = first.finish()
    while forced:
        sink.restart()
        first = _reading(FileJudging(reader, contract, policy, limits, forced), sink)
        forced = first.finish()
    return first.verdict()


def _reading(judging: FileJudging, sink: Sink) -> FileJudging:
    with closing(pipelined(judging.parts())) as parts:
        for part in parts:
            checked, rows = judging.judge(part)
            judged, problems = judging.take(checked, rows)
            sink.batch(checked, judged, problems)
    return judging


def check_file(
    path: str | Path,
    contract: str | Contract | Any,
    *,
    options: Mapping[str, Any] | None = None,
    dialect: Dialect | None = None,
    limits: Limits | None = None,
    policy: Policy | None = None,
) -> Verdict:
    """Judge a file as the daemon would, and change nothing.

    Args:
        path: a CSV, TSV, NDJSON, JSON, Parquet or Excel file; text may be compressed.
        contract: a contract, a pandera schema or model, or a reference to one, such as
            `validators.metrics:precomputed_metrics`.
        options: what the contract's function takes, where it is a function.
        dialect: how a delimited file is written; comma, double quotes, a header and UTF-8 by default.
        limits: what the file may ask of the machine.
        policy: the zone of the days and the budget of rejected rows.

    Returns:
        The verdict: exact counts, and for each broken rule its first samples.

    Raises:
        ContractError: the contract cannot be loaded or honoured.
        OSError: the file cannot be opened.
    """
    loaded = contract if isinstance(contract, Contract) else load_contract(contract, options=options or {})
    limits, policy = limits or Limits(), policy or Policy()
    path = Path(path)
    try:
        reader = open_file(path, name=path.name, dialect=dialect or Dialect(), limits=limits)
    except FileProblem as problem:
        return refused(problem, loaded, policy)
    with closing(reader):
        return judge(reader, loaded, policy, limits, Nowhere())


def refused(problem: FileProblem, contract: Contract, policy: Policy) -> Verdict:
    """Return the verdict on a file that cannot even be opened as one of ours."""
    judgement = Judgement(contract, policy)
    judgement.broken(problem)
    return judgement.verdict()
