"""The ledger's tables of markers, signals and days, each column with its meaning, as `tables` has the others.

A marker, or a signal: (new) -> waiting, or a verdict at once, by add; waiting -> a verdict by judge; gap -> applied by
judge, of a later one.

A day: (new) -> ready by open; ready -> held, or closing by intend; closing -> closed by record, closing -> ready by
forget; held -> ready by a person.
"""

from __future__ import annotations

from typing import Final

import sqlalchemy as sa

from daemon.ledger.tables import EMPTY, ZERO, metadata

#: One row for each version of each `_READY` object or signal and scope that it speaks for: what it says, the verdict.
markers = sa.Table(
    "markers",
    metadata,
    sa.Column("id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True, comment="Grows with time"),
    sa.Column("uri", sa.Text, nullable=False, comment="Where the object is, as of drops"),
    sa.Column("version", sa.Text, nullable=False, comment="Changes with the object, as of drops"),
    sa.Column("name", sa.Text, nullable=False, comment="Path below the source's root; unprintable characters escaped"),
    sa.Column("exact_name", sa.LargeBinary, comment="The name in UTF-8 with surrogates, where `name` is not exact"),
    sa.Column("size", sa.BigInteger, nullable=False, comment="Bytes"),
    sa.Column("modified", sa.Double, nullable=False, comment="Unix seconds by the source's clock"),
    sa.Column("feed", sa.Text, nullable=False, comment="The feed it speaks for; empty for none"),
    sa.Column("customer", sa.Text, nullable=False, comment="The customer it speaks for; empty for none"),
    sa.Column("instant", sa.BigInteger, comment="What it says, unix seconds; null where it says nothing"),
    sa.Column("text", sa.Text, nullable=False, comment="Its text, cut"),
    sa.Column("standing", sa.Text, nullable=False, comment="A value of daemon.markers.Standing"),
    sa.Column("note", sa.Text, nullable=False, comment="Why, in words; what to do"),
    sa.Column("seen_at", sa.Double, nullable=False, comment="When the ledger first heard of it, unix seconds"),
    sa.Column("judged_at", sa.Double, comment="When the verdict was given, unix seconds; null while it waits"),
    sa.Column("settled_at", sa.Double, comment="When its object was kept, archived or deleted; null: not yet"),
    sa.Column("settle_not_before", sa.Double, nullable=False, server_default=ZERO, comment="As of drops"),
    sa.Column("days", sa.JSON(none_as_null=True), comment="The days that a signal lists, ISO; null for a marker"),
)

sa.Index("markers_by_uri", markers.c.uri, markers.c.version, markers.c.feed, markers.c.customer, unique=True)
sa.Index("markers_by_scope", markers.c.feed, markers.c.customer, markers.c.standing, markers.c.instant)
sa.Index(
    "markers_unsettled",
    markers.c.id,
    sqlite_where=sa.text("settled_at IS NULL"),
)

#: The objects that a marker waits for: they were there before it, and are not final.
awaited = sa.Table(
    "awaited",
    metadata,
    sa.Column("marker", sa.BigInteger, primary_key=True, autoincrement=False, comment="The marker's id"),
    sa.Column("uri", sa.Text, primary_key=True, comment="Where the object is"),
)

#: One row for each version of each business day of a scope that is ready, or was.
days = sa.Table(
    "days",
    metadata,
    sa.Column("feed", sa.Text, primary_key=True, comment="The feed"),
    sa.Column("customer", sa.Text, primary_key=True, comment="The customer"),
    sa.Column("day", sa.Text, primary_key=True, comment="The day in the feed's zone, ISO"),
    sa.Column(
        "version", sa.Integer, primary_key=True, autoincrement=False, comment="1 for the first, more by restating"
    ),
    sa.Column("state", sa.Text, nullable=False, comment="A value of daemon.ledger.days.Day"),
    sa.Column("watermark", sa.Double, nullable=False, comment="The watermark that made it ready, unix seconds"),
    sa.Column("ready_at", sa.Double, nullable=False, comment="When it became ready, unix seconds"),
    sa.Column("closed_at", sa.Double, comment="When it was closed, unix seconds; null: not yet"),
    sa.Column("report", sa.JSON(none_as_null=True), comment="What it holds, as of its last computation; null before"),
    sa.Column(
        "reason", sa.Text, nullable=False, server_default=EMPTY, comment="Why it is held, or was closed or restated"
    ),
    sa.Column(
        "by", sa.Text, nullable=False, server_default=EMPTY, comment="Who had it closed or restated; empty: nobody"
    ),
    sa.Column("batch", sa.BigInteger, comment="The batch of `metric_days` that holds its metrics; null for none"),
    sa.Column("as_of", sa.BigInteger, comment="The feed's newest batch that it was computed from; null before"),
)

#: What each batch has brought to each business day, and taken from it: negative for drops that others have replaced.
day_rows = sa.Table(
    "day_rows",
    metadata,
    sa.Column("feed", sa.Text, nullable=False, comment="The feed"),
    sa.Column("customer", sa.Text, nullable=False, comment="The customer"),
    sa.Column("day", sa.Text, nullable=False, comment="The day in the feed's zone, ISO"),
    sa.Column("batch", sa.BigInteger, nullable=False, comment="The feed's batch; 0 for a drop that was in none"),
    sa.Column("drop_id", sa.Text, nullable=False, comment="Whose rows they are"),
    sa.Column("rows", sa.BigInteger, nullable=False, comment="Rows of the day that came into the table"),
    sa.Column("late", sa.BigInteger, nullable=False, comment="How many of them were late"),
    sa.Column("aside", sa.BigInteger, nullable=False, comment="Late rows of the day that went into quarantine"),
)

sa.Index("day_rows_by_day", day_rows.c.feed, day_rows.c.customer, day_rows.c.day, day_rows.c.batch)
sa.Index("day_rows_by_drop", day_rows.c.drop_id)
#: Of few rows a day's figures of late ones are made.
SOME_LATE: Final = sa.text("late <> 0 OR aside <> 0")
sa.Index(
    "day_rows_late",
    day_rows.c.feed,
    day_rows.c.customer,
    day_rows.c.day,
    sqlite_where=SOME_LATE,
)

sa.Index(
    "days_unclosed",
    days.c.state,
    sqlite_where=sa.text("closed_at IS NULL"),
)
