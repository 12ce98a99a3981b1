"""The frozen values that travel from stage to stage, and the states as enums. No behaviour beyond small questions."""

from __future__ import annotations

import enum
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa

from daemon.measures import Measure
from validators.model import Dialect, Limits, Rows

if TYPE_CHECKING:  # the seam speaks of these values, so at run time it imports them and not the other way round
    from daemon.places import Place
    from daemon.quarantine import Quarantine
    from daemon.sources import Source

#: The table of the days' metrics, beside those of the feeds.
METRIC_DAYS: Final = "metric_days"


class State(enum.StrEnum):
    """Where a drop stands in its life."""

    #: Listed, complete, and waiting for its turn.
    FOUND = "found"
    #: found -> working: claimed, in a worker or in a batch that is not yet committed.
    WORKING = "working"
    #: working -> ingested: every row is in the table.
    INGESTED = "ingested"
    #: working -> partial: good rows are in the table, the others in quarantine.
    PARTIAL = "partial"
    #: working -> rejected: nothing of it is in the table, all of it is in quarantine.
    REJECTED = "rejected"
    #: working -> duplicate: the same bytes are already known in this scope.
    DUPLICATE = "duplicate"
    #: working -> failed: it could not be worked, whatever its data; retried by rule or by `blobdrop retry`.
    FAILED = "failed"
    #: found -> unmatched: no feed has a pattern for its name.
    UNMATCHED = "unmatched"

    @property
    def final(self) -> bool:
        """Whether nothing more happens to the drop by itself."""
        return self not in (State.FOUND, State.WORKING)


class After(enum.StrEnum):
    """What settling does to the dropped object."""

    KEEP = "keep"
    ARCHIVE = "archive"
    DELETE = "delete"


class OnDuplicate(enum.StrEnum):
    """What happens to the same bytes dropped again in the same scope."""

    SKIP = "skip"
    INGEST = "ingest"


class OnRevision(enum.StrEnum):
    """What happens to new bytes under an old name."""

    REPLACE = "replace"
    APPEND = "append"
    REJECT = "reject"


class Turn(enum.IntEnum):
    """When a unit is worked: it waits for those of every earlier turn."""

    #: It has not been tried yet.
    FIRST = enum.auto()
    #: Part of one that has broken its worker; most of its drops are innocent.
    NEXT = enum.auto()
    #: One drop that has broken its worker by itself, or has held up others.
    LAST = enum.auto()


class Late(enum.StrEnum):
    """What happens to rows whose time lies before the watermark."""

    QUARANTINE = "quarantine"
    ACCEPT = "accept"
    RESTATE = "restate"


class OnDuplicateKey(enum.StrEnum):
    """What happens to rows of one unit, day and metric when the day is computed."""

    #: The last one counts.
    LAST = "last"
    #: All of them count together.
    SUM = "sum"
    #: The day is held until a person has looked at it.
    REJECT = "reject"


class ReadyNeeds(enum.StrEnum):
    """What must have become of the drops that were there before a marker, so that it takes effect."""

    #: None of them is under way, and none has failed.
    FINAL = "final"
    #: None of them is under way.
    SETTLED = "settled"


class SignalGaps(enum.StrEnum):
    """What is with days before one that a signal lists and that none lists itself."""

    #: They are taken as loaded.
    INFER = "infer"
    #: They are waited for.
    WAIT = "wait"


@dataclass(frozen=True, kw_only=True, slots=True)
class Found:
    """One version of one object, as a listing shows it."""

    #: Where it is, percent-encoded ASCII, unique: `file:///srv/drops/a%20b.csv`.
    uri: str
    #: Its path below the source's root, with `/`; may hold surrogates where a file name is not UTF-8.
    name: str
    #: What changes when the object changes: an etag, or mtime, size and inode.
    version: str
    #: Bytes.
    size: int
    #: Seconds since 1970, by the source's clock.
    modified: float

    @property
    def drop_id(self) -> str:
        """The drop's id: the same for the same uri and version, always; 16 hexadecimal digits."""
        return hashlib.sha256(f"{self.uri}\n{self.version}".encode()).hexdigest()[:16]


@dataclass(frozen=True, kw_only=True)
class HoldIf:
    """What keeps a day that is ready from closing until a person says so."""

    #: More than this share of the rows of its drops were rejected.
    rejected_ratio_above: float = 1.0
    #: It has less than this share of the rows that the days before it usually have.
    rows_below: float = 0.0
    #: A metric is missing that was there on most days before it.
    metrics_missing: bool = False


@dataclass(frozen=True, kw_only=True)
class Feed:
    """A kind of data: which names are its own, what its rows must be, and what is done with them."""

    name: str
    #: Patterns over `Found.name`: `*` within a folder, `**` across folders, `{customer}` binds one folder.
    paths: tuple[str, ...]
    #: `module:name`, `path/to/file.py:name`, or a pandera YAML file.
    contract: str
    options: Mapping[str, Any] = field(default_factory=dict)
    #: The column whose value gives a row its day; None for what the contract says itself.
    time_column: str | None = None
    #: The unit of whole numbers in it: s or ms since 1970; empty for what the contract says itself.
    time_unit: str = ""
    #: The columns that make a row one of its kind; empty for what the contract says itself.
    key: tuple[str, ...] = ()
    #: Rules of the user's own, by name, that look at one row at a time; `*` for all.
    row_wise: tuple[str, ...] = ()
    timezone: str = "Etc/GMT+8"
    max_rejected_ratio: float = 0.5
    duplicates: OnDuplicate = OnDuplicate.SKIP
    revision: OnRevision = OnRevision.REPLACE
    late: Late = Late.QUARANTINE
    ready_needs: ReadyNeeds = ReadyNeeds.FINAL
    signal_gaps: SignalGaps = SignalGaps.INFER
    on_duplicate_key: OnDuplicateKey = OnDuplicateKey.LAST
    hold_if: HoldIf = field(default_factory=HoldIf)
    #: Metrics that are computed of its rows, where these are none themselves.
    measures: tuple[Measure, ...] = ()
    dialect: Dialect = field(default_factory=Dialect)
    #: The folder that relative contract files start from: the configuration file's.
    base: Path = Path()


@dataclass(frozen=True, kw_only=True, slots=True)
class Drop:
    """One version of one dropped object, on its way."""

    id: str
    found: Found
    feed: str
    customer: str
    #: 1 for the first go.
    attempt: int = 1
    #: Its scope's when it was claimed first, unix seconds: rows before it are late, in every go. None for none.
    watermark: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class DataFile:
    """A staged Parquet file below a table's root, not yet part of the table."""

    #: Relative to the table's root, percent-encoded as Delta wants it: `date=2026-03-01/part-….parquet`.
    path: str
    size: int
    rows: int
    #: The one day all of its rows belong to, ISO.
    date: str
    #: Delta's statistics of the file: JSON with numRecords, minValues, maxValues, nullCount.
    stats: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Held:
    """What a table holds of one drop."""

    drop_id: str
    customer: str
    rows: int
    #: When its rows were ingested, unix seconds.
    at: float
    #: How many of them are of which ISO day.
    days: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class DayRows:
    """What a drop, or a decision on it, brings to one business day."""

    #: ISO.
    day: str
    #: Rows that go into the table, and how many of them are late.
    rows: int
    late: int = 0
    #: Late rows that are in quarantine.
    aside: int = 0


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What became of one drop: small, picklable, and enough for the ledger and the log."""

    drop_id: str
    state: State
    sha256: str = ""
    rows: Rows = field(default_factory=Rows)
    #: Broken rules with their exact counts, the commonest first: ((rule, column), count).
    rules: tuple[tuple[str, str, int], ...] = ()
    #: Why it was rejected or failed, in one sentence.
    reason: str = ""
    #: The last lines that its worker wrote, of a failed drop.
    log: str = ""
    #: Where its report is; empty when there is none.
    report: str = ""
    contract: str = ""
    #: Earlier versions of the object whose place it takes, in the table or in quarantine.
    supersedes: tuple[str, ...] = ()
    #: Unix seconds.
    started_at: float = 0.0
    finished_at: float = 0.0
    #: The decision that it comes of; 0 for the drop's own work.
    decision: int = 0
    #: What it brings to which days, in their order.
    days: tuple[DayRows, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Unit:
    """What one worker does at once: one large drop, or many small ones of one feed."""

    id: str
    feed: str
    drops: tuple[Drop, ...]
    #: (customer, SHA-256) of known drops of the feed, to tell a duplicate before it is read.
    known: frozenset[tuple[str, str]] = frozenset()
    #: Ids of drops that are new versions of an object, and the earlier version whose rows are in the table.
    earlier: Mapping[str, str] = field(default_factory=dict)
    turn: Turn = Turn.FIRST


@dataclass(frozen=True, kw_only=True)
class Setup:
    """What every unit of a feed needs to know beside the feed; picklable."""

    source: Source
    #: Where data files are staged, and where rejected rows and reports go.
    table: Place
    quarantine: Quarantine
    limits: Limits
    #: Unix seconds; the time at which the unit's rows are said to be ingested.
    now: float
    #: Seconds that a small drop, or a check of several, may hold up others before its worker gives up; None: for ever.
    patience_seconds: float | None = None


@dataclass(frozen=True, kw_only=True)
class ContractSummary:
    """What people are told of a feed's contract."""

    name: str
    digest: str
    columns: tuple[str, ...]
    time_column: str | None
    key: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """A unit's work done: an outcome for each of its drops, and the data files that hold their good rows."""

    unit: str
    outcomes: tuple[Outcome, ...]
    files: tuple[DataFile, ...] = ()
    #: What the data files hold, the partition column left out; None without files.
    schema: pa.Schema | None = None
    #: Drops that changed or vanished while they were read: nothing of them is kept, they are found again.
    changed: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Batch:
    """Several drops of one feed that go into its table in one transaction."""

    #: Grows by one with each batch of the feed's table, from 1; the transaction's version in the table.
    number: int
    feed: str
    outcomes: tuple[Outcome, ...]
    files: tuple[DataFile, ...] = ()
    #: Ids of earlier drops whose rows this batch replaces.
    replaces: tuple[str, ...] = ()

    @property
    def decided(self) -> bool:
        """Whether it brings what people have decided on, and not drops' own work; never both."""
        return any(outcome.decision for outcome in self.outcomes)


#: What is the validators' and travels with these values.
__all__ = ["Dialect", "Limits", "Rows"]
