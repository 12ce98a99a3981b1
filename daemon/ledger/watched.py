"""What those who watch from outside ask the ledger, again and again: each question is cheap, however much there is."""

from __future__ import annotations

import sqlalchemy as sa

from daemon.ledger.database import Database
from daemon.ledger.tables import drops
from daemon.model import State


class Watched:
    """Each method raises LedgerError when the ledger cannot be read."""

    def __init__(self, database: Database) -> None:
        """Ask this database."""
        self._database = database

    def under_way(self) -> tuple[int, float | None]:
        """Return how many drops are found or being worked, and when the oldest was found, unix seconds; None: none."""
        query = sa.select(sa.func.count(), sa.func.min(drops.c.found_at))
        with self._database.reading() as connection:
            count, oldest = connection.execute(query.where(drops.c.state.in_((State.FOUND, State.WORKING)))).one()
        return int(count), oldest
