"""The versions of an object that stand: no newer one has taken their place. And which of them have the same bytes."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Any, Final

import sqlalchemy as sa

from daemon.ledger.database import Database
from daemon.ledger.queries import IN_TABLE, LEFT_OUT, chunked
from daemon.ledger.rows import storable
from daemon.ledger.tables import drops
from daemon.model import Drop, State

#: States of a version for whose bytes its name stands: their rows are in the table, by this drop or by another one.
#: A duplicate of a rejected drop has this state too, but nobody holds rows of its bytes.
STANDING: Final = (*IN_TABLE, State.DUPLICATE)
_COLUMNS: Final = (drops.c.id, drops.c.uri, drops.c.state, drops.c.sha256, drops.c.found_at)


@dataclass(frozen=True)
class Version:
    """One version of an object, as the ledger has it."""

    drop_id: str
    uri: str
    state: State
    sha256: str
    found_at: float


class Versions:
    """Asks the ledger for versions that stand. Each method raises LedgerError when it cannot be read."""

    def __init__(self, database: Database) -> None:
        """Ask this database."""
        self._database = database

    def before(self, arriving: Iterable[Drop]) -> dict[str, tuple[Version, ...]]:
        """Return for each drop's id the final versions of its object in its scope that came before it, oldest first."""
        mine = {(drop.found.uri, drop.feed, storable(drop.customer)): drop.id for drop in arriving}
        found: dict[str, list[Version]] = {drop_id: [] for drop_id in mine.values()}
        came: dict[str, float] = {}
        for scope, version in self._of_objects({uri for uri, _, _ in mine}):
            if scope in mine and version.drop_id == mine[scope]:
                came[version.drop_id] = version.found_at
            elif scope in mine and version.state in (*STANDING, *LEFT_OUT):
                found[mine[scope]].append(version)
        return {
            drop_id: tuple(each for each in versions if each.found_at <= came.get(drop_id, each.found_at))
            for drop_id, versions in found.items()
        }

    def of_objects(self, feed: str, customer: str, uris: Collection[str]) -> tuple[Version, ...]:
        """Return the versions of these objects in the scope whose rows, or whose bytes, are known, oldest first."""
        scope = (feed, storable(customer))
        found = self._of_objects(uris)
        return tuple(each for (_, *theirs), each in found if (*theirs,) == scope and each.state in STANDING)

    def with_bytes(self, feed: str, customer: str, sha256s: Collection[str]) -> tuple[Version, ...]:
        """Return the scope's versions with these digests that hold rows in the table, or copy such, oldest first."""
        query = sa.select(*_COLUMNS).where(
            drops.c.feed == feed, drops.c.customer == storable(customer), drops.c.superseded_by.is_(None)
        )
        found: list[Version] = []
        with self._database.reading() as connection:
            for chunk in chunked(sha256s):
                rows = connection.execute(query.where(drops.c.sha256.in_(chunk)).order_by(drops.c.changed_at))
                found += (version for version in map(_version, rows) if version.state in STANDING)
        return tuple(found)

    def _of_objects(self, uris: Collection[str]) -> list[tuple[tuple[str, str, str], Version]]:
        """Return the versions of these objects with their scopes, oldest first."""
        # The state is looked at by the caller: as a condition it would tempt SQLite to go through all drops of a state.
        query = sa.select(*_COLUMNS, drops.c.feed, drops.c.customer).where(drops.c.superseded_by.is_(None))
        found: list[tuple[tuple[str, str, str], Version]] = []
        with self._database.reading() as connection:
            for chunk in chunked(uris):
                rows = connection.execute(query.where(drops.c.uri.in_(chunk)).order_by(*_BY_AGE))
                found += (((row.uri, row.feed, row.customer), _version(row)) for row in rows)
        return found


_BY_AGE: Final = (drops.c.found_at, drops.c.changed_at)


def _version(row: Any) -> Version:
    return Version(row.id, row.uri, State(row.state), row.sha256, row.found_at)
