"""Counts which business days a drop's rows are of, batch by batch: those that go into the table, and late ones."""

from __future__ import annotations

from collections import Counter
from datetime import date, timedelta
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from daemon.model import DayRows
from validators.judging import Judged
from validators.model import Mask, Numbers

_EPOCH: Final = date(1970, 1, 1)
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
        _count(self._rows, numbers, keep)
        if judged.late is not None:
            _count(self._late, numbers, judged.late & ~judged.rejected)
            _count(self._aside, numbers, judged.late & judged.rejected)

    def restart(self) -> None:
        """Forget every batch so far."""
        for counter in (self._rows, self._late, self._aside):
            counter.clear()

    def told(self) -> tuple[DayRows, ...]:
        """Return what was counted, by day."""
        return tuple(
            DayRows(
                day=(_EPOCH + timedelta(days=number)).isoformat(),
                rows=self._rows[number],
                late=self._late[number],
                aside=self._aside[number],
            )
            for number in sorted({*self._rows, *self._aside})
        )


def _count(into: Counter[int], numbers: pa.Array, mask: Mask | None) -> None:
    """Count the days (int32) of the rows that a mask names, None for all; a row without a day is of none."""
    if mask is not None:
        numbers = numbers.filter(pa.array(mask))
    span = pc.min_max(numbers)
    low, high = span["min"].as_py(), span["max"].as_py()
    if low is None:
        return
    if low == high:
        into[low] += len(numbers) - numbers.null_count
        return
    values: Numbers = numbers.drop_null().to_numpy(zero_copy_only=False)
    if high - low < _NEAR_DAYS:
        counts = np.bincount(values - low)
        days = np.flatnonzero(counts)
        into.update(dict(zip((days + low).tolist(), counts[days].tolist(), strict=True)))
    else:
        days, counts = np.unique(values, return_counts=True)
        into.update(dict(zip(days.tolist(), counts.tolist(), strict=True)))
