# ruff: noqa: INP001 - Alembic loads migrations by their path, not as a package
"""Signals: the days that they list, beside what markers say.

A snapshot: what the columns mean is in `daemon/ledger/daytables.py`.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Add the column."""
    op.add_column("markers", sa.Column("days", sa.JSON(none_as_null=True)))
