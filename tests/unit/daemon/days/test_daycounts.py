"""Counts of rows by their days: as many as there are, however batches are cut."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.days.bounds import iso_day
from daemon.days.counts import DayCounts
from daemon.errors import StoreError
from daemon.model import DayRows
from validators.judging import Judged

rows = st.tuples(st.sampled_from([0, 1, 20_514, 20_515, 2_932_000]), st.booleans(), st.booleans())


def judged(batch: list[tuple[int, bool, bool]]) -> Judged:
    """Return rows of these days, of which some are rejected, and some are late."""
    days, rejected, late = zip(*batch, strict=True)
    return Judged(
        typed=pa.table({}),
        days=pa.array(days, pa.int32()).cast(pa.date32()),
        hits=(),
        rejected=np.array(rejected),
        unknown={},
        late=np.array(late) if any(late) else None,
    )


@given(batches=st.lists(st.lists(rows, min_size=1), max_size=4))
def test_each_row_is_counted_once_under_its_day(batches: list[list[tuple[int, bool, bool]]]) -> None:
    counts = DayCounts(0)
    for batch in batches:
        counts.add(judged(batch))
    every = [row for batch in batches for row in batch]
    kept = Counter(day for day, rejected, _ in every if not rejected)
    late = Counter(day for day, rejected, is_late in every if is_late and not rejected)
    aside = Counter(day for day, rejected, is_late in every if is_late and rejected)
    assert counts.told() == tuple(
        DayRows(day=iso_day(day), rows=kept[day], late=late[day], aside=aside[day]) for day in sorted({*kept, *aside})
    )


def test_rows_without_days_are_of_the_day_of_ingestion() -> None:
    counts = DayCounts(20_514)
    rejected = np.array([False, True, False])
    counts.add(Judged(typed=pa.table({}), days=None, hits=(), rejected=rejected, unknown={}))
    assert counts.told() == (DayRows(day="2026-03-02", rows=2),)


def test_a_rejected_row_without_a_day_is_of_none() -> None:
    counts = DayCounts(0)
    days = pa.array([None, 20_514], pa.int32()).cast(pa.date32())
    counts.add(Judged(typed=pa.table({}), days=days, hits=(), rejected=np.array([True, False]), unknown={}))
    assert counts.told() == (DayRows(day="2026-03-02", rows=1),)


def test_a_day_that_no_table_can_hold_is_refused() -> None:
    with pytest.raises(StoreError, match="outside the years 1 to 9999"):
        iso_day(4_000_000)
