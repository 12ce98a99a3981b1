"""Typed times with a zone, for columns that a contract has without one: as the clock in the feed's zone shows them.

Spark, for one, writes every time as UTC. A time without a zone is read as the feed's own anyway, so the moment stays.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from validators.days import FIRST_DAY, LAST_DAY, PER_SECOND, SECONDS_PER_DAY, offsets_of, zone_of
from validators.kinds import Kind, Type
from validators.matching import Match
from validators.model import Chunk, Mask
from validators.texts import Array, flat, to_text

_Moments = npt.NDArray[np.int64]


def on_the_clock(match: Match, chunk: Chunk, zone: str) -> tuple[Chunk, tuple[str, ...]]:
    """Return the chunk with such columns as the clock in `zone` shows them, and the names of these columns.

    Raises:
        ContractError: there is no such zone.
    """
    types = {column.name: column.type for column in match.columns}
    table, names = chunk.table, []
    for at, field in enumerate(table.schema):
        if _zoned(field.type) and (to := types.get(match.names.get(field.name, ""))) and _has_no_zone(to):
            shown = wall_clock(flat(table.column(at)), zone, whole_days=to.kind is Kind.DATE)
            table = table.set_column(at, field.name, shown)
            names.append(field.name)
    return (replace(chunk, table=table), tuple(names)) if names else (chunk, ())


def wall_clock(values: Array, zone: str, *, whole_days: bool = False) -> Array:
    """Return times with a zone as times without, which a clock in `zone` shows.

    What has no such time becomes text, as does the column then: moments that the clock shows twice, when summer time
    ends; moments before year 1 or after 9999; with `whole_days`, what is no midnight. That text is in UTC and ends in
    `Z`, so that it can be told from the others.

    Raises:
        ContractError: there is no such zone.
    """
    unit = PER_SECOND[values.type.unit]
    moments = values.cast(pa.int64()).fill_null(0).to_numpy(zero_copy_only=False)
    seconds = moments // unit
    days = seconds // SECONDS_PER_DAY
    odd = (days <= FIRST_DAY) | (days >= LAST_DAY)
    seconds = np.where(odd, 0, seconds)
    local = seconds + offsets_of(seconds, zone_of(zone))
    odd |= _twice(seconds, local, zone)
    if whole_days:
        odd |= (local % SECONDS_PER_DAY != 0) | (moments % unit != 0)
    missing = values.is_null().to_numpy(zero_copy_only=False)
    clock = pa.array(moments + (local - seconds) * unit, mask=missing | odd).cast(pa.timestamp(values.type.unit))
    odd &= ~missing
    return pc.if_else(pa.array(odd), to_text(values), to_text(clock)) if odd.any() else clock


def _twice(seconds: _Moments, local: _Moments, zone: str) -> Mask:
    """Find the moments at which a clock shows what it shows at another moment too."""
    found = np.zeros(len(seconds), np.bool_)
    for nearby in (-SECONDS_PER_DAY, SECONDS_PER_DAY):
        other = local - offsets_of(seconds + nearby, zone_of(zone))
        found |= (other != seconds) & (other + offsets_of(other, zone_of(zone)) == local)
    return found


def _zoned(kind: pa.DataType) -> bool:
    return pa.types.is_timestamp(kind) and kind.tz is not None


def _has_no_zone(to: Type) -> bool:
    return to.kind is Kind.DATE or (to.kind is Kind.TIMESTAMP and to.zone is None)
