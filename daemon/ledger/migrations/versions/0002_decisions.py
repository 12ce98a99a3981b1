# ruff: noqa: INP001 - Alembic loads migrations by their path, not as a package
"""What people decide of drops in quarantine.

A snapshot: what the columns mean is in `daemon/ledger/tables.py`.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "decisions",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True),
        sa.Column("drop_id", sa.Text, nullable=False),
        sa.Column("action", sa.Text, nullable=False),
        sa.Column("rules", sa.JSON, nullable=False, server_default=sa.text("'[]'")),
        sa.Column("reason", sa.Text, nullable=False, server_default=sa.text("''")),
        sa.Column("by", sa.Text, nullable=False),
        sa.Column("at", sa.Double, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("attempt", sa.Integer, nullable=False, server_default=sa.text("0")),
        sa.Column("ended_at", sa.Double),
        sa.Column("note", sa.Text, nullable=False, server_default=sa.text("''")),
        sa.Column("rows_accepted", sa.BigInteger, nullable=False, server_default=sa.text("0")),
        sa.Column("feed", sa.Text),
        sa.Column("batch", sa.BigInteger),
        sa.ForeignKeyConstraint(["feed", "batch"], ["batches.feed", "batches.number"], name="decisions_in_batch"),
    )
    op.create_index("decisions_by_drop", "decisions", ["drop_id"])
    op.create_index(
        "decisions_pending",
        "decisions",
        ["drop_id"],
        unique=True,
        sqlite_where=sa.text("state = 'pending'"),
        postgresql_where=sa.text("state = 'pending'"),
    )
