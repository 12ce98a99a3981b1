"""Where a drop's judged rows land: good ones in the stage, the others in its quarantine entry."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa

from daemon.days.counts import DayCounts
from daemon.model import DataFile, DayRows, Drop, Outcome
from daemon.places import Place
from daemon.quarantine import Quarantine
from daemon.quarantine.entries import Entry
from daemon.quarantine.origins import ORIGINS, labels
from daemon.quarantine.rejects import RejectedWriter
from daemon.reports import Report, Subject, judged_state, report
from daemon.staging import Stage
from daemon.staging.statistics import OWN_COLUMNS
from validators.contract import Match
from validators.files import Part
from validators.judging import Judged
from validators.model import Numbers, Verdict
from validators.readers import Reader
from validators.texts import uncoded

MICROSECONDS = 1_000_000


def table_rows(
    match: Match,
    typed: pa.Table,
    days: pa.Array | None,
    *,
    zone_day: int,
    drops: pa.Array,
    customers: pa.Array,
    rows: pa.Array,
    now: float,
    waived: pa.Array | None = None,
) -> tuple[pa.Table, pa.Array]:
    """Return the rows as the table stores them, and the day (date32) of each.

    Args:
        match: the file's columns resolved.
        typed: the contract's columns.
        days: the rows' days; None where the contract has no time column.
        zone_day: the day of ingestion, in days since 1970, for contracts without a time column.
        drops: the rows' drop ids (string).
        customers: the rows' customers (string).
        rows: the rows' record numbers (int64).
        now: unix seconds of ingestion.
        waived: the waived rules that rows break (string, mostly null); None leaves the column out.
    """
    contract = match.contract
    if days is None:
        days = pa.repeat(pa.scalar(zone_day, pa.int32()).cast(pa.date32()), typed.num_rows)
    stored = {contract.stored_name(column.name): typed[column.name] for column in match.columns}
    stored.pop("date", None)
    stored["customer"] = customers
    stored["_drop"] = drops
    stored["_row"] = rows
    stored["_ingested_at"] = _alike(pa.scalar(int(now * MICROSECONDS), pa.timestamp("us", "UTC")), typed.num_rows)
    if waived is not None:
        stored["_waived"] = waived
    table = pa.table(stored)
    # That a column has a value in each row is sooner written of all rows than of each.
    filled = OWN_COLUMNS.union(contract.stored_name(name) for name in match.filled)
    schema = pa.schema([field.with_nullable(field.name not in filled) for field in table.schema])
    return pa.Table.from_arrays(table.columns, schema=schema), days


def rows_together(
    group: Sequence[tuple[Drop, Part, Judged]], *, zone_day: int, now: float
) -> tuple[pa.Table, pa.Array]:
    """Return the good rows of many small drops as one table, and their days; arguments as of `table_rows`."""
    match = group[0][1].match
    assert match is not None  # noqa: S101 - only matched parts have good rows
    keeps = [~judged.rejected for _, _, judged in group]
    counts = pa.array([int(keep.sum()) for keep in keeps])
    good = [judged.typed.filter(pa.array(keep)) for (_, _, judged), keep in zip(group, keeps, strict=True)]
    if any(each.schema != good[0].schema for each in good):  # only some of them hold texts as codes
        good = [uncoded(each) for each in good]
    typed = pa.concat_tables(good)
    days = [j.days.filter(pa.array(k)) for (_, _, j), k in zip(group, keeps, strict=True) if j.days is not None]
    owners = pa.array(np.repeat(np.arange(len(group), dtype=np.int32), counts.to_numpy()))
    return table_rows(
        match,
        typed,
        pa.chunked_array(days).combine_chunks() if days else None,
        zone_day=zone_day,
        drops=pa.DictionaryArray.from_arrays(owners, [drop.id for drop, _, _ in group]),
        customers=pa.DictionaryArray.from_arrays(owners, [drop.customer for drop, _, _ in group]),
        rows=pa.array(np.concatenate([p.chunk.rows[k] for (_, p, _), k in zip(group, keeps, strict=True)])),
        now=now,
    )


def absent_from(match: Match) -> frozenset[str]:
    """Return the table's columns that the file does not have."""
    return frozenset(match.contract.stored_name(name) for name in match.absent)


def _alike(value: Any, count: int) -> pa.Array:
    """Return a column of one value, as codes: it need not be moved with its rows, and is written sooner."""
    return pa.DictionaryArray.from_arrays(pa.array(np.zeros(count, np.int8)), pa.array([value]))


class Stages:
    """The stages of one unit: one for its small drops, one for each large one."""

    def __init__(self, table: Place, unit: str) -> None:
        """Stage where the table is, under names that begin with the unit's."""
        self._table = table
        self._unit = unit
        self._stages: list[Stage] = []
        self._made = 0

    def new(self) -> Stage:
        """Begin another stage."""
        stage = Stage(self._table, f"{self._unit}-{self._made}")
        self._made += 1
        self._stages.append(stage)
        return stage

    def forget(self, stage: Stage) -> None:
        """Abort one stage: its files go. Its name is not given again."""
        stage.abort()
        self._stages.remove(stage)

    def finish(self) -> tuple[tuple[DataFile, ...], pa.Schema | None]:
        """Write what is left and return every file, and the columns of all rows."""
        files = [file for stage in self._stages for file in stage.finish()]
        schemas = [stage.schema for stage in self._stages if stage.schema is not None]
        return tuple(files), pa.unify_schemas(schemas) if schemas else None

    def abort(self) -> None:
        """Leave no staged file behind."""
        for stage in self._stages:
            stage.abort()


class Landing:
    """The sink of one drop: stages what is good, keeps the rest in a quarantine entry that it opens when needed."""

    def __init__(
        self,
        drop: Drop,
        *,
        stages: Stages,
        quarantine: Quarantine,
        now: float,
        zone_day: int,
        declared: str = "utf-8",
        pending: bool = False,
    ) -> None:
        """Open nothing yet.

        Args:
            drop: whose rows these are.
            stages: where good rows go.
            quarantine: where the others go.
            now: unix seconds of ingestion.
            zone_day: the day of ingestion in days since 1970.
            declared: the encoding that the feed's text files are said to have.
            pending: the entry is to wait beside the one that the drop has already.
        """
        self._drop = drop
        self._stages = stages
        self._stage: Stage | None = None
        self._quarantine = quarantine
        self._now = now
        self._zone_day = zone_day
        self._entry: Entry | None = None
        self._writer: RejectedWriter | None = None
        self._reader: Reader | None = None
        self._declared = declared
        self._pending = pending
        self._days = DayCounts(zone_day)

    def reading(self, reader: Reader) -> None:
        """Name the reader whose batches come next."""
        self._reader = reader

    def batch(self, part: Part, judged: Judged, problems: pa.Array) -> None:
        """Stage the batch's good rows and keep the others."""
        if part.match is not None and not judged.rejected.all():
            self._accept(judged, part.chunk.rows, part.match)
        self.reject(part, judged, problems)

    def reject(self, part: Part, judged: Judged, problems: pa.Array) -> None:
        """Keep the batch's rejected rows and malformed records, count its days; its good rows are somebody else's."""
        if part.match is not None:
            self._days.add(judged)
        positions = np.flatnonzero(judged.rejected)
        if len(positions) or part.chunk.malformed:
            whole = labels(judged.forced, positions)
            self._rejects().batch(part.chunk, positions, problems, whole=whole)

    def restart(self) -> None:
        """Forget every batch so far."""
        self._forget_stage()
        self._close_writer()
        self._days.restart()

    def days(self) -> tuple[DayRows, ...]:
        """Return what the batches so far bring to which days."""
        return self._days.told()

    def keep_original(self, path: Path) -> None:
        """Keep the file itself beside the report of a drop that is rejected as a whole."""
        self._opened().keep_original(path, self._drop.found.name)

    def conclude(self, verdict: Verdict, *, sha256: str, started: float, now: float) -> Outcome:
        """Publish the quarantine entry, if there is anything to say, and return what became of the drop.

        Args:
            verdict: the whole file's.
            sha256: of the file's bytes.
            started: unix seconds.
            now: unix seconds.
        """
        self._close_writer()
        state = judged_state(verdict)
        folder = ""
        if verdict.rejected_because:
            # Its original is kept, and is what would be judged again.
            self._opened().rejected_path.with_name(ORIGINS).unlink(missing_ok=True)
        # Rows without problems need no report; a file without rows does, for somebody expected some.
        if not verdict.ok or not verdict.rows.read:
            made = report(subject_of(self._drop, sha256), verdict, state, started_at=started, finished_at=now)
            folder = self._publish(made)
        return Outcome(
            drop_id=self._drop.id,
            state=state,
            sha256=sha256,
            rows=verdict.rows,
            rules=tuple((problem.rule, problem.column or "", problem.count) for problem in verdict.problems),
            reason=verdict.rejected_because,
            report=folder,
            contract=verdict.digest,
            started_at=started,
            finished_at=now,
            days=self.days(),
        )

    def publish(self, made: Report) -> None:
        """Finish rejected.csv, and publish the entry with a report that somebody else has made.

        Raises:
            WorkError: the disk is full or cannot be written.
        """
        self._close_writer()
        self._publish(made)

    def discard(self) -> None:
        """Leave nothing behind: the drop is not to be believed."""
        self._forget_stage()
        self._close_writer()
        if self._entry is not None:
            self._entry.discard()
            self._entry = None

    def _publish(self, made: Report) -> str:
        entry = self._opened()
        entry.write_report(made)
        self._entry = None
        return entry.publish()

    def _accept(self, judged: Judged, rows: Numbers, match: Match) -> None:
        count = judged.typed.num_rows
        table, days = table_rows(
            match,
            judged.typed,
            judged.days,
            zone_day=self._zone_day,
            drops=_alike(self._drop.id, count),
            customers=_alike(self._drop.customer, count),
            rows=pa.array(rows),
            now=self._now,
            waived=judged.waived,
        )
        if self._stage is None:
            self._stage = self._stages.new()
        keep = ~judged.rejected if judged.rejected.any() else None
        self._stage.add(table, days, keep, absent=absent_from(match))

    def _forget_stage(self) -> None:
        if self._stage is not None:
            self._stages.forget(self._stage)
            self._stage = None

    def _opened(self) -> Entry:
        if self._entry is None:
            drop = self._drop
            self._entry = self._quarantine.open(drop.customer, drop.feed, drop.id, pending=self._pending)
        return self._entry

    def _rejects(self) -> RejectedWriter:
        if self._writer is None:
            reader = self._reader
            assert reader is not None  # noqa: S101 - reading() comes before batches
            self._writer = RejectedWriter(
                self._opened().rejected_path,
                reader.header(),
                reader.dialect,
                returned=reader.returned,
                declared=self._declared,
            )
        return self._writer

    def _close_writer(self) -> None:
        if self._writer is not None:
            self._writer.close()
            self._writer = None


def subject_of(drop: Drop, sha256: str) -> Subject:
    """Return what a report says of the drop itself."""
    found = drop.found
    return Subject(
        drop_id=drop.id,
        uri=found.uri,
        name=found.name,
        version=found.version,
        size=found.size,
        sha256=sha256,
        feed=drop.feed,
        customer=drop.customer,
    )


def day_of(seconds: float, zone: str) -> int:
    """Return the day, in days since 1970, that an instant falls on in a zone."""
    return (datetime.fromtimestamp(seconds, ZoneInfo(zone)).date() - date(1970, 1, 1)).days
