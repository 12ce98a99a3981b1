"""Verdicts on markers and signals, given within the transaction that asks for the watermark and moves it."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from daemon.ledger.daytables import markers
from daemon.ledger.rows import storable
from daemon.markers import Standing, judge
from daemon.signals import Waits, Weighed, loaded_since, weigh

#: A feed's name and a customer's.
Scope = tuple[str, str]


def watermarks(connection: sa.Connection) -> dict[tuple[str, str], int]:
    """Return the watermark of every scope that has one, unix seconds."""
    query = (
        sa.select(markers.c.feed, markers.c.customer, sa.func.max(markers.c.instant))
        .where(markers.c.standing == Standing.APPLIED)
        .group_by(markers.c.feed, markers.c.customer)
    )
    return {(feed, customer): instant for feed, customer, instant in connection.execute(query)}


def watermark_of(connection: sa.Connection, scope: Scope) -> int | None:
    """Return the newest instant that was applied in a scope, unix seconds; None before the first."""
    applied = (markers.c.feed == scope[0], markers.c.customer == scope[1], markers.c.standing == Standing.APPLIED)
    return connection.execute(sa.select(sa.func.max(markers.c.instant)).where(*applied)).scalar()


def verdict_on(connection: sa.Connection, row: Any, waits: Waits | None) -> Weighed:
    """Return the verdict on a waiting marker or signal, its row, by the watermark of its scope."""
    scope = (row.feed, row.customer)
    watermark = watermark_of(connection, scope)
    if row.days and waits is not None:
        return weigh(row.days, _listed(connection, scope), watermark, waits)
    standing, note = judge(row.instant, watermark)
    return Weighed(standing=standing, note=note)


def _listed(connection: sa.Connection, scope: Scope) -> set[str]:
    """Return the days that signals of a scope have listed, whether they have taken effect or not."""
    noted = (Standing.APPLIED, Standing.GAP, Standing.REPEATED)
    query = sa.select(markers.c.days).where(markers.c.feed == scope[0], markers.c.customer == scope[1])
    query = query.where(markers.c.standing.in_(noted), markers.c.days.is_not(None))
    return {day for days in connection.execute(query).scalars() for day in days}


def give(connection: sa.Connection, number: int, verdict: Weighed, now: float) -> None:
    """Note the verdict on the marker of this number.

    One that was settled with another verdict is to be settled again, which changes nothing but its receipt.
    """
    told = {"standing": verdict.standing.value, "note": storable(verdict.note), "judged_at": now}
    values: dict[str, Any] = {**told, "settled_at": None}
    if verdict.instant is not None:
        values["instant"] = verdict.instant
    connection.execute(markers.update().where(markers.c.id == number).values(**values))


def close_gaps(connection: sa.Connection, scope: Scope, waits: Waits, now: float) -> None:
    """Have signals take effect whose days waited for days that are loaded now."""
    watermark, listed = watermark_of(connection, scope), _listed(connection, scope)
    query = sa.select(markers.c.id, markers.c.days, markers.c.standing, markers.c.instant).where(
        markers.c.feed == scope[0],
        markers.c.customer == scope[1],
        markers.c.standing.in_((Standing.GAP, Standing.APPLIED)),
        markers.c.days.is_not(None),
    )
    for number, days, standing, instant in connection.execute(query).all():
        verdict = loaded_since(days, listed, watermark or 0, waits)
        if verdict is not None and (standing == Standing.GAP or (verdict.instant or 0) > instant):
            give(connection, number, verdict, now)
