"""Rows that lie before a watermark, where everything before it was said to be there: they have come late.

"We don't guarantee correct behavior if metrics are provided with an earlier timestamp after this API is called"
(Statsig's documentation, `metrics/ingest`, of `mark_data_ready`): here they are told apart, row by row.
"""

from __future__ import annotations

import datetime as dt
import functools
from collections.abc import Collection
from dataclasses import replace
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from validators.contract import TIME_UNITS, Contract
from validators.days import PER_SECOND, SECONDS_PER_DAY, least_clock
from validators.judging import Judged, Policy
from validators.kinds import Kind
from validators.model import LATE, Hit, Mask
from validators.texts import Array, flat

#: Days by which a zone's clock may be ahead of UTC, rounded up.
_AHEAD: Final = 1


def with_lateness(judged: Judged, contract: Contract, policy: Policy, names: Collection[str]) -> Judged:
    """Return rows with those marked that are late, and rejected for it where the feed wants that.

    A moment is late when it lies before the watermark. A date is late when its whole day does: `date` says on which
    day a row counts, and that day is complete then. A time without a zone is late when no clock in the feed's zone
    shows it from the watermark on.

    Args:
        judged: the rows as the contract's rules have judged them.
        contract: says which columns give a row its time; a row without a time, or without a day, is never late.
        policy: has the watermark of the rows' scope.
        names: the contract's columns that the file has.
    """
    if policy.watermark is None or judged.days is None or not len(judged.days):
        return judged
    mask = _late(judged, contract, policy.watermark, policy.zone)
    if mask is None:
        return judged
    if not policy.refuses_late:
        return replace(judged, late=mask)
    hit = Hit(
        rule=LATE,
        column=next((name for name in contract.time_columns if name in names), contract.time_column),
        expected=f"a time from the watermark {_told(policy.watermark)} on, as all before it was said to be there",
        failed=mask,
        hint="to take it in all the same, have the rule late waived, or the feed's setting late changed",
        days=judged.days,
    )
    return replace(judged, late=mask, hits=(*judged.hits, hit), rejected=judged.rejected | mask)


def _late(judged: Judged, contract: Contract, watermark: int, zone: str) -> Mask | None:
    """Return which rows are late; None for none of them."""
    days = judged.days
    assert days is not None  # noqa: S101 - whoever calls has looked
    first = pc.min(days).cast(pa.int32()).as_py()
    if first is None or first > watermark // SECONDS_PER_DAY + _AHEAD:
        return None
    kinds = {column.name: column.type.kind for column in contract.columns}
    late: Array | None = None
    for name in contract.time_columns:
        if late is None or late.null_count:
            before = _before(flat(judged.typed[name]), kinds[name], watermark, zone, TIME_UNITS[contract.time_unit])
            late = before if late is None else pc.coalesce(late, before)
    if days.null_count:
        late = pc.and_(late, pc.is_valid(days))
    mask: Mask = pc.fill_null(late, False).to_numpy(zero_copy_only=False)
    return mask if mask.any() else None


def _before(values: Array, kind: Kind, watermark: int, zone: str, per_second: int) -> Array:
    """Tell of each time whether it lies before the watermark; null where there is none.

    `per_second` of the unit of whole numbers make a second.
    """
    if kind is Kind.DATE:
        day = _least_clock(watermark, zone) // SECONDS_PER_DAY
        return pc.less(values.cast(pa.int32()), np.int32(day))
    if kind is Kind.INTEGER:
        return pc.less(values, watermark * per_second)
    instant = _least_clock(watermark, zone) if values.type.tz is None else watermark
    return pc.less(values.cast(pa.int64()), instant * PER_SECOND[values.type.unit])


@functools.lru_cache(maxsize=64)
def _least_clock(watermark: int, zone: str) -> int:
    return least_clock(watermark, zone)


def _told(watermark: int) -> str:
    return dt.datetime.fromtimestamp(watermark, dt.UTC).isoformat().replace("+00:00", "Z")
