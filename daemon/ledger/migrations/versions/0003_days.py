# ruff: noqa: INP001 - Alembic loads migrations by their path, not as a package
"""Markers, what they wait for, and the days that they close.

A snapshot: what the columns mean is in `daemon/ledger/daytables.py`.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Make the tables."""
    _make_markers()
    _make_days()


def _make_markers() -> None:
    op.create_table(
        "markers",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True),
        sa.Column("uri", sa.Text, nullable=False),
        sa.Column("version", sa.Text, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("exact_name", sa.LargeBinary),
        sa.Column("size", sa.BigInteger, nullable=False),
        sa.Column("modified", sa.Double, nullable=False),
        sa.Column("feed", sa.Text, nullable=False),
        sa.Column("customer", sa.Text, nullable=False),
        sa.Column("instant", sa.BigInteger),
        sa.Column("text", sa.Text, nullable=False),
        sa.Column("standing", sa.Text, nullable=False),
        sa.Column("note", sa.Text, nullable=False),
        sa.Column("seen_at", sa.Double, nullable=False),
        sa.Column("judged_at", sa.Double),
        sa.Column("settled_at", sa.Double),
        sa.Column("settle_not_before", sa.Double, nullable=False, server_default=sa.text("0")),
    )
    op.create_index("markers_by_uri", "markers", ["uri", "version", "feed", "customer"], unique=True)
    op.create_index("markers_by_scope", "markers", ["feed", "customer", "standing", "instant"])
    op.create_index(
        "markers_unsettled",
        "markers",
        ["id"],
        sqlite_where=sa.text("settled_at IS NULL"),
        postgresql_where=sa.text("settled_at IS NULL"),
    )
    op.create_table(
        "awaited",
        sa.Column("marker", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("uri", sa.Text, primary_key=True),
    )


def _make_days() -> None:
    op.create_table(
        "days",
        sa.Column("feed", sa.Text, primary_key=True),
        sa.Column("customer", sa.Text, primary_key=True),
        sa.Column("day", sa.Text, primary_key=True),
        sa.Column("version", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("watermark", sa.Double, nullable=False),
        sa.Column("ready_at", sa.Double, nullable=False),
        sa.Column("closed_at", sa.Double),
        sa.Column("report", sa.JSON(none_as_null=True)),
        sa.Column("reason", sa.Text, nullable=False, server_default=sa.text("''")),
        sa.Column("by", sa.Text, nullable=False, server_default=sa.text("''")),
        sa.Column("batch", sa.BigInteger),
    )
    op.create_index(
        "days_unclosed",
        "days",
        ["state"],
        sqlite_where=sa.text("closed_at IS NULL"),
        postgresql_where=sa.text("closed_at IS NULL"),
    )
