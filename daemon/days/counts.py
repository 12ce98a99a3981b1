"""Counts which business days a drop's rows are of, batch by batch: those that go into the table, and late ones."""

from __future__ import annotations

from collections import Counter
from typing import Final

import numpy as np
import pyarrow as pa

from daemon.days.bounds import iso_day
from daemon.model import DayRows
from validators.judging import Judged
from validators.model import Numbers

#: Days of a batch lie within so many days nearly always; then they are counted by their places.
_NEAR_DAYS: Final = 2**16


class DayCounts:
    """Grows with a drop's batches."""

    def __init__(self, zone_day: int) -> None:
        """Count nothing yet; rows without a time of their own are of `zone_day`, in days since 1970."""
        self._zone_day = zone_day
        self._rows: Counter[int] = Counter()
        self._late: Counter[int] = Counter()
        self._aside: Counter[int] = Counter()

    def add(self, judged: Judged) -> None:
        """Count a batch."""
        keep = ~judged.rejected if judged.rejected.any() else None
        if judged.days is None:
            kept = len(judged.rejected) if keep is None else int(np.count_nonzero(keep))
            self._rows.update({self._zone_day: kept} if kept else {})
            return
        numbers = judged.days.cast(pa.int32())
        if numbers.null_count:  # only of rows that are rejected
            numbers = numbers.fill_null(0)
        days: Numbers = numbers.to_numpy(zero_copy_only=False)
        _count(self._rows, days if keep is None else days[keep])
        if judged.late is not None:
            _count(self._late, days[judged.late & ~judged.rejected])
            _count(self._aside, days[judged.late & judged.rejected])

    def restart(self) -> None:
        """Forget every batch so far."""
        for counter in (self._rows, self._late, self._aside):
            counter.clear()

    def told(self) -> tuple[DayRows, ...]:
        """Return what was counted, by day."""
        return tuple(
            DayRows(
                day=iso_day(number),
                rows=self._rows[number],
                late=self._late[number],
                aside=self._aside[number],
            )
            for number in sorted({*self._rows, *self._aside})
        )


def _count(into: Counter[int], days: Numbers) -> None:
    """Count these days, in days since 1970."""
    if not len(days):
        return
    low, high = int(days.min()), int(days.max())
    if low == high:
        into[low] += len(days)
    elif high - low < _NEAR_DAYS:
        counts = np.bincount(days - low)
        found = np.flatnonzero(counts)
        into.update(dict(zip((found + low).tolist(), counts[found].tolist(), strict=True)))
    else:
        found, counts = np.unique(days, return_counts=True)
        into.update(dict(zip(found.tolist(), counts.tolist(), strict=True)))
