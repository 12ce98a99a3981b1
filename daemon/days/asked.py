"""What is asked of a worker for one business day of one customer, and what it answers."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

import pyarrow as pa

from daemon.days.restating import Changed
from daemon.measures import Measure
from daemon.model import DataFile, OnDuplicateKey
from daemon.places import Place

#: Days before a day whose metrics are looked at, to know which are expected.
OF_DAYS: Final = 7


@dataclass(frozen=True, kw_only=True)
class Asked:
    """A day of a customer that is to be computed; picklable."""

    feed: str
    customer: str
    day: str
    version: int
    #: Where the feed's table is, the data files in it that may have rows of the day, and the newest batch in them.
    table: Place
    files: tuple[str, ...]
    as_of: int = 0
    #: Drops of the scope in the order in which they came: of two rows with one key the later drop's counts.
    drops: tuple[str, ...] = ()
    #: Where `metric_days` is.
    metrics: Place
    #: Data files of `metric_days` that may have an earlier version of the day.
    former: tuple[str, ...] = ()
    #: Data files of `metric_days` that may have metrics of the days before.
    earlier: tuple[str, ...] = ()
    on_duplicate_key: OnDuplicateKey = OnDuplicateKey.LAST
    #: The metrics of a feed whose rows are none themselves.
    measures: tuple[Measure, ...] = ()
    #: The name of what is staged for `metric_days`.
    unit: str = ""
    memory_bytes: int = 1024**3
    #: What every row of its metrics says: the watermark and the time of closing, unix seconds, and the contract.
    watermark: float = 0.0
    now: float = 0.0
    contract: str = ""


@dataclass(frozen=True, kw_only=True)
class Figures:
    """What a day comes to."""

    #: Rows that count, and test rows.
    rows: int = 0
    test_rows: int = 0
    #: Rows in whose place a later one with the same key counts.
    superseded_rows: int = 0
    #: Drops that have rows of the day.
    drops: tuple[str, ...] = ()
    #: How many metrics it has, by name and kind of unit.
    metrics: int = 0
    #: Names of metrics that are expected, and of those that are not there.
    expected: int = 0
    missing: tuple[str, ...] = ()
    #: What has changed since the version before, the first of it.
    changes: tuple[Changed, ...] = ()
    #: Its rows for `metric_days`, staged; none where the feed has no metrics.
    files: tuple[DataFile, ...] = ()
    schema: pa.Schema = field(default_factory=lambda: pa.schema([]))
