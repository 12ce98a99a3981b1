"""One unit of work from bytes to outcomes: one large drop, or many small ones of a feed checked in one go.

Pure but for the files that it stages and the quarantine entries that it writes, both under names derived from the
drops, so that doing it again overwrites. Runs in a worker process; knows neither ledger nor tables.
"""

from __future__ import annotations

import itertools
import resource
import time
import traceback
from collections.abc import Callable
from contextlib import closing, nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path

import pyarrow as pa

from daemon.contracts import contract_of, policy_of
from daemon.digesting import digest, digesting
from daemon.errors import ChangedError, FileProblem, SourceError, UnreachableError, WorkError
from daemon.landing import Landing, Stages, absent_from, day_of, rows_together
from daemon.model import Drop, Feed, OnDuplicate, OnRevision, Outcome, Prepared, Setup, State, Unit
from daemon.revisions import REVISION, noted, reasoned, refusal
from daemon.workers.killable import told
from daemon.workers.patience import Patience
from validators.files import FileJudging, Part, judge, refused
from validators.judging import Judged, Policy, judge_rows
from validators.model import Verdict
from validators.readers import Reader, open_file

#: A drop of at most so many bytes may be read as a whole and judged together with others.
SMALL_BYTES = 8 * 1024**2
#: What a check may raise that tells nothing of the rows.
BLAMELESS = (MemoryError, SystemExit)


def prepare(unit: Unit, feed: Feed, setup: Setup, say: Callable[[str], None] = lambda _: None) -> Prepared:
    """Judge the unit's drops, stage their good rows, and put the others into quarantine.

    `say` is told which drop is worked now, by its id; nothing while several are.

    Raises:
        ContractError: the feed's contract cannot be loaded.
        WorkError: source, disk or table failed; nothing is staged, and a later try may do better.
    """
    work = _Work(unit, feed, setup, say)
    try:
        return work.run()
    except BaseException:
        work.abort()
        raise


@dataclass
class _Small:
    """A small drop that was read as a whole: its parts wait to be judged together with others'."""

    drop: Drop
    sha256: str
    started: float
    reader: Reader
    judging: FileJudging
    parts: list[Part]
    judged: list[Judged] = field(default_factory=list)


@dataclass(frozen=True)
class _Large:
    """A drop whose verdict is known already: a large one, or one that could not be opened."""

    drop: Drop
    sha256: str
    started: float
    landing: Landing
    verdict: Verdict


#: A small drop's judging at its end, and its parts with the rows and problems of each.
_Decided = tuple[FileJudging, list[tuple[Part, Judged, pa.Array]]]


class _Work:
    """One unit on its way."""

    def __init__(self, unit: Unit, feed: Feed, setup: Setup, say: Callable[[str], None]) -> None:
        self._unit, self._feed, self._setup, self._say = unit, feed, setup, say
        self._patience = Patience(setup.patience_seconds)
        self._contract = contract_of(feed)
        self._quarantine = setup.quarantine
        self._zone_day = day_of(setup.now, feed.timezone)
        #: Which drop has brought bytes, and whose bytes a drop has brought; "" for a drop before this unit.
        self._digests = dict.fromkeys(unit.known, "")
        self._owners: dict[str, str] = {}
        self._stages = Stages(setup.table, unit.id)
        self._outcomes: list[Outcome] = []
        self._changed: list[str] = []
        self._broken: set[str] = set()

    def run(self) -> Prepared:
        """Read each drop, judge the small ones together, and finish the stages."""
        near = [drop.found for drop in self._unit.drops if drop.found.size <= SMALL_BYTES]
        with self._setup.source.ahead(near):
            small = [held for drop in self._unit.drops if (held := self._hurried(drop)) is not None]
        if small:
            self._say(small[0].drop.id if len(small) == 1 else "")
            with self._patience.checking():
                self._judge_together(small)
            self._land_together([held for held in small if held.drop.id not in self._broken])
        self._say("")
        files, schema = self._stages.finish()
        self._refuse_difference(sum(file.rows for file in files))
        return Prepared(
            unit=self._unit.id,
            outcomes=tuple(self._outcomes),
            files=files,
            schema=schema,
            changed=tuple(self._changed),
        )

    def _refuse_difference(self, staged: int) -> None:
        """Hold what is staged against what the outcomes say: no row may be lost or doubled quietly."""
        accepted = sum(outcome.rows.accepted for outcome in self._outcomes)
        if staged != accepted:
            raise WorkError(f"{staged:,} rows are staged where {accepted:,} were accepted: this is a fault of blobdrop")

    def abort(self) -> None:
        """Leave no staged file behind."""
        self._stages.abort()

    def _hurried(self, drop: Drop) -> _Small | None:
        self._say(drop.id)
        with self._patience.reading() if drop.found.size <= SMALL_BYTES else nullcontext():
            return self._open(drop)

    def _open(self, drop: Drop) -> _Small | None:
        """Read a drop; conclude it at once unless it is small enough to be judged together with others."""
        read: _Small | _Large | None = None
        try:
            with self._setup.source.fetch(drop.found) as path:
                read = self._read(drop, path)
        except ChangedError:
            self._changed += self._disbelieve(drop, read)
            return None
        except UnreachableError:
            raise
        except SourceError as error:
            self._disbelieve(drop, read)
            self._outcomes.append(_failed(drop, str(error)))
            return None
        if isinstance(read, _Large):
            self._conclude(read.landing, read)
            return None
        return read

    def _disbelieve(self, drop: Drop, read: _Small | _Large | None) -> set[str]:
        """Take back what was read of a drop; return it and those that were duplicates of it, which have no outcome."""
        if isinstance(read, _Large):
            read.landing.discard()
        lost = {drop.id, *(each for each, owner in self._owners.items() if owner == drop.id)}
        self._outcomes = [each for each in self._outcomes if each.drop_id not in lost]
        self._digests = {brought: owner for brought, owner in self._digests.items() if owner != drop.id}
        return lost

    def _read(self, drop: Drop, path: Path) -> _Small | _Large | None:
        started = time.time()
        if drop.found.size > SMALL_BYTES and len(self._unit.drops) == 1 and not self._unit.known:
            return self._read_unknown(drop, path, started)
        sha256 = digest(path)
        if self._is_known(drop, sha256):
            self._outcomes.append(_duplicate(drop, sha256, started))
            return None
        return self._judge(drop, path, sha256, started)

    def _read_unknown(self, drop: Drop, path: Path, started: float) -> _Small | _Large:
        """Take the digest of a large drop while it is judged: nothing is known that it might be a duplicate of."""
        with digesting(path) as sha256:
            return replace(self._judge(drop, path, "", started), sha256=sha256.result())

    def _judge(self, drop: Drop, path: Path, sha256: str, started: float) -> _Small | _Large:
        policy = policy_of(self._feed, drop)
        try:
            if self._feed.revision is OnRevision.REJECT and drop.id in self._unit.earlier:
                raise refusal()
            reader = open_file(path, name=drop.found.name, dialect=self._feed.dialect, limits=self._setup.limits)
        except FileProblem as problem:
            landing = self._landing(drop)
            landing.keep_original(path)
            verdict = refused(problem, self._contract, policy)
            if problem.rule == REVISION:
                # It is not for the contract that these bytes are refused: under another name they are welcome.
                verdict = replace(verdict, contract="", digest="")
            return _Large(drop, sha256, started, landing, verdict)
        with closing(reader):
            judging = FileJudging(reader, self._contract, policy, self._setup.limits)
            if drop.found.size <= SMALL_BYTES:
                parts = list(itertools.islice(judging.parts(), 2))
                if len(parts) < 2:  # noqa: PLR2004 - one part is the whole of a small file
                    return _Small(drop, sha256, started, reader, judging, parts)
            return self._stream(drop, reader, path, policy, (sha256, started))

    def _is_known(self, drop: Drop, sha256: str) -> bool:
        if self._feed.duplicates is OnDuplicate.INGEST:
            return False
        self._owners[drop.id] = self._digests.setdefault((drop.customer, sha256), drop.id)
        return self._owners[drop.id] != drop.id

    def _stream(self, drop: Drop, reader: Reader, path: Path, policy: Policy, known: tuple[str, float]) -> _Large:
        """Judge a large drop by itself, batch by batch, into a stage of its own."""
        landing = self._landing(drop)
        landing.reading(reader)
        try:
            verdict = judge(reader, self._contract, policy, self._setup.limits, landing)
            if verdict.rejected_because:
                landing.keep_original(path)
        except BaseException:
            landing.discard()
            raise
        return _Large(drop, *known, landing, verdict)

    def _judge_together(self, small: list[_Small]) -> None:
        """Check the parts of many files in as few calls as their columns allow."""
        groups: dict[object, list[tuple[_Small, Part]]] = {}
        for held in small:
            for part in held.parts:
                known = part.match and (part.match.columns, part.match.named_by_record)
                groups.setdefault((known, tuple(part.source.schema)), []).append((held, part))
        for group in groups.values():
            for (held, _), (part, judged) in zip(group, self._judge_group(group), strict=True):
                if judged is not None:
                    held.parts = [part]
                    held.judged.append(judged)

    def _judge_group(self, group: list[tuple[_Small, Part]]) -> list[tuple[Part, Judged | None]]:
        parts = [part for _, part in group]
        match = parts[0].match
        # Arrow forgets how many rows there are when tables without a column are put together.
        if len(parts) == 1 or match is None or not parts[0].source.num_columns:
            return [self._judge_alone(held, part) for held, part in group]
        try:
            together = judge_rows(match, pa.concat_tables([part.source for part in parts]), self._feed.timezone)
        except (FileProblem, *BLAMELESS):
            # What fails on one file's rows must not be held against the others'.
            return [self._judge_alone(held, part) for held, part in group]
        lengths = [len(part.chunk.rows) for part in parts]
        starts = itertools.accumulate(lengths, initial=0)
        pieces = [together.part(start, length) for start, length in zip(starts, lengths, strict=False)]
        return list(zip(parts, pieces, strict=True))

    def _judge_alone(self, held: _Small, part: Part) -> tuple[Part, Judged | None]:
        self._say(held.drop.id)
        try:
            return held.judging.judge(part)
        except BLAMELESS as error:
            self._break(held.drop, error)
            return part, None

    def _break(self, drop: Drop, error: BaseException) -> None:
        """Conclude a drop whose check broke off, for no fault of its rows; its duplicates are not any."""
        self._broken.add(drop.id)
        self._changed += self._disbelieve(drop, None) - {drop.id}
        limit = resource.getrlimit(resource.RLIMIT_DATA)[0] // 1024**2
        reason = f"it needs more memory than workers.memory_mb = {limit}"
        if not isinstance(error, MemoryError):
            reason = f"the contract raised {type(error).__name__}: {error}"
        self._outcomes.append(_failed(drop, reason, told("".join(traceback.format_exception(error)))))

    def _land_together(self, small: list[_Small]) -> None:
        """Decide on each file by itself, conclude its drop, and stage all good rows together."""
        good: dict[object, list[tuple[Drop, Part, Judged]]] = {}
        for held in small:
            self._say(held.drop.id)
            decided = self._decide(held)
            if decided is None:
                continue
            judging, taken = decided
            landing = self._landing(held.drop)
            landing.reading(held.reader)
            for part, judged, problems in taken:
                landing.reject(part, judged, problems)
            read = _Large(held.drop, held.sha256, held.started, landing, judging.verdict())
            if not self._kept(read):
                continue
            self._conclude(landing, read)
            for part, judged, _ in taken:
                if part.match is not None and not judged.rejected.all():
                    kind = (part.match.schema.to_string(), part.match.filled)
                    good.setdefault(kind, []).append((held.drop, part, judged))
        for group in good.values():
            rows, days = rows_together(group, zone_day=self._zone_day, now=self._setup.now)
            match = group[0][1].match
            self._stages.new().add(rows, days, absent=absent_from(match) if match else ())

    def _decide(self, held: _Small) -> _Decided | None:
        """Count a file's parts, again with what that shows where its rows as a whole, or its budget, ask for it."""
        judging = held.judging
        try:
            with self._patience.checking():
                while True:
                    pairs = zip(held.parts, held.judged, strict=True)
                    taken = [(part, *judging.take(part, judged)) for part, judged in pairs]
                    forced = judging.finish()
                    if not forced:
                        return judging, taken
                    judging = judging.again(forced)
        except BLAMELESS as error:
            self._break(held.drop, error)
            return None

    def _kept(self, read: _Large) -> bool:
        """Keep the original of a rejected small file, which has to be fetched again; False if it has changed."""
        if not read.verdict.rejected_because:
            return True
        try:
            with self._setup.source.fetch(read.drop.found) as path:
                read.landing.keep_original(path)
        except ChangedError:
            self._changed += self._disbelieve(read.drop, read)
            return False
        return True

    def _conclude(self, landing: Landing, read: _Large) -> None:
        earlier = self._unit.earlier.get(read.drop.id) if read.verdict.rejected_because else None
        verdict = noted(read.verdict, earlier) if earlier else read.verdict
        outcome = landing.conclude(verdict, sha256=read.sha256, started=read.started, now=time.time())
        self._outcomes.append(reasoned(outcome, earlier) if earlier else outcome)

    def _landing(self, drop: Drop) -> Landing:
        return Landing(
            drop,
            stages=self._stages,
            quarantine=self._quarantine,
            now=self._setup.now,
            zone_day=self._zone_day,
            declared=self._feed.dialect.encoding,
        )


def _duplicate(drop: Drop, sha256: str, started: float) -> Outcome:
    return Outcome(drop_id=drop.id, state=State.DUPLICATE, sha256=sha256, started_at=started, finished_at=time.time())


def _failed(drop: Drop, reason: str, log: str = "") -> Outcome:
    return Outcome(drop_id=drop.id, state=State.FAILED, reason=reason, log=log, finished_at=time.time())
