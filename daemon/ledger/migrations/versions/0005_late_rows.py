# ruff: noqa: INP001 - Alembic loads migrations by their path, not as a package
"""The watermark that a drop was claimed under, its late rows, and what each batch has brought to each day.

A snapshot: what the columns mean is in `daemon/ledger/tables.py`.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Add the columns and the table; days that are closed count as being as of their feeds' newest batches."""
    op.add_column("drops", sa.Column("watermark", sa.BigInteger))
    op.add_column("drops", sa.Column("rows_late", sa.BigInteger, nullable=False, server_default=sa.text("0")))
    op.add_column("days", sa.Column("as_of", sa.BigInteger))
    op.execute(
        "UPDATE days SET as_of = coalesce((SELECT max(number) FROM batches WHERE batches.feed = days.feed), 0) "
        "WHERE closed_at IS NOT NULL"
    )
    op.create_table(
        "day_rows",
        sa.Column("feed", sa.Text, nullable=False),
        sa.Column("customer", sa.Text, nullable=False),
        sa.Column("day", sa.Text, nullable=False),
        sa.Column("batch", sa.BigInteger, nullable=False),
        sa.Column("drop_id", sa.Text, nullable=False),
        sa.Column("rows", sa.BigInteger, nullable=False),
        sa.Column("late", sa.BigInteger, nullable=False),
        sa.Column("aside", sa.BigInteger, nullable=False),
    )
    op.create_index("day_rows_by_day", "day_rows", ["feed", "customer", "day", "batch"])
    op.create_index("day_rows_by_drop", "day_rows", ["drop_id"])
    some = sa.text("late <> 0 OR aside <> 0")
    op.create_index("day_rows_late", "day_rows", ["feed", "customer", "day"], sqlite_where=some, postgresql_where=some)
