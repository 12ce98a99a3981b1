# ruff: noqa: INP001 - Alembic loads migrations by their path, not as a package
"""The ledger's first tables.

A snapshot: what the columns mean is in `daemon/ledger/tables.py`.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Make the tables."""
    _make_ledger()
    _make_batches()
    _make_drops()
    _make_events()


def _make_ledger() -> None:
    op.create_table(
        "ledger",
        sa.Column("identity", sa.Text, primary_key=True),
        sa.Column("created_at", sa.Double, nullable=False),
    )


def _make_batches() -> None:
    op.create_table(
        "batches",
        sa.Column("feed", sa.Text, primary_key=True),
        sa.Column("number", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("drops", sa.BigInteger, nullable=False),
        sa.Column("intended_at", sa.Double, nullable=False),
        sa.Column("ended_at", sa.Double),
        sa.Column("outcomes", sa.JSON(none_as_null=True)),
        sa.Column("files", sa.JSON(none_as_null=True)),
        sa.Column("replaces", sa.JSON(none_as_null=True)),
    )

    op.create_index(
        "batches_open",
        "batches",
        ["feed"],
        unique=True,
        sqlite_where=sa.text("ended_at IS NULL"),
        postgresql_where=sa.text("ended_at IS NULL"),
    )


def _make_drops() -> None:
    op.create_table(
        "drops",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("uri", sa.Text, nullable=False),
        sa.Column("version", sa.Text, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("exact_name", sa.LargeBinary),
        sa.Column("size", sa.BigInteger, nullable=False),
        sa.Column("modified", sa.Double, nullable=False),
        sa.Column("feed", sa.Text, nullable=False),
        sa.Column("customer", sa.Text, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("attempt", sa.Integer, nullable=False, server_default=sa.text("0")),
        sa.Column("not_before", sa.Double, nullable=False, server_default=sa.text("0")),
        sa.Column("found_at", sa.Double, nullable=False),
        sa.Column("changed_at", sa.Double, nullable=False),
        sa.Column("started_at", sa.Double, nullable=False, server_default=sa.text("0")),
        sa.Column("finished_at", sa.Double, nullable=False, server_default=sa.text("0")),
        sa.Column("batch", sa.BigInteger),
        sa.Column("sha256", sa.Text, nullable=False, server_default=sa.text("''")),
        sa.Column("rows_read", sa.BigInteger, nullable=False, server_default=sa.text("0")),
        sa.Column("rows_accepted", sa.BigInteger, nullable=False, server_default=sa.text("0")),
        sa.Column("rows_rejected", sa.BigInteger, nullable=False, server_default=sa.text("0")),
        sa.Column("rules", sa.JSON, nullable=False, server_default=sa.text("'[]'")),
        sa.Column("reason", sa.Text, nullable=False, server_default=sa.text("''")),
        sa.Column("report", sa.Text, nullable=False, server_default=sa.text("''")),
        sa.Column("contract", sa.Text, nullable=False, server_default=sa.text("''")),
        sa.Column("superseded_by", sa.Text),
        sa.Column("settled_at", sa.Double),
        sa.Column("settle_failures", sa.Integer, nullable=False, server_default=sa.text("0")),
        sa.Column("settle_reason", sa.Text, nullable=False, server_default=sa.text("''")),
        sa.Column("settle_not_before", sa.Double, nullable=False, server_default=sa.text("0")),
        sa.ForeignKeyConstraint(["feed", "batch"], ["batches.feed", "batches.number"], name="drops_in_batch"),
    )

    op.create_index("drops_by_uri", "drops", ["uri", "version"], unique=True)
    op.create_index("drops_by_name", "drops", ["name"])
    op.create_index("drops_by_time", "drops", ["found_at"])
    op.create_index("drops_by_state", "drops", ["state", "feed", "found_at"])
    op.create_index("drops_by_size", "drops", ["feed", "customer", "size"])
    op.create_index("drops_by_digest", "drops", ["feed", "customer", "sha256"])
    op.create_index(
        "drops_unsettled",
        "drops",
        ["state"],
        sqlite_where=sa.text("settled_at IS NULL"),
        postgresql_where=sa.text("settled_at IS NULL"),
    )


def _make_events() -> None:
    op.create_table(
        "events",
        sa.Column(
            "id",
            sa.BigInteger().with_variant(sa.Integer, "sqlite"),
            primary_key=True,
        ),
        sa.Column("at", sa.Double, nullable=False),
        sa.Column("drop_id", sa.Text, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("state", sa.Text),
        sa.Column("attempt", sa.Integer, nullable=False),
        sa.Column("batch", sa.BigInteger),
        sa.Column("note", sa.Text, nullable=False),
    )

    op.create_index("events_by_drop", "events", ["drop_id"])
