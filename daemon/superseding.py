"""Whose place arriving drops take, and whose rows leave the table with that.

Rows stay for as long as a name stands for their bytes: a copy that was no more than a duplicate of a file keeps the
file's rows in the table when the file itself gets other content. That is the same in whatever order drops are worked.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from itertools import chain, groupby

from daemon.ledger.queries import IN_TABLE, LEFT_OUT
from daemon.ledger.versions import Version, Versions
from daemon.model import Drop, OnRevision, State


@dataclass(frozen=True)
class Arriving:
    """A drop that reaches its outcome."""

    drop: Drop
    sha256: str
    #: Whether it is a duplicate; else it brings rows.
    is_copy: bool = False


@dataclass(frozen=True)
class Superseded:
    """What arriving drops leave of those before them."""

    #: Ids of drops whose rows leave the table.
    replaces: tuple[str, ...]
    #: For an arriving drop's id, those whose place it takes: of theirs, rows that a copy still stands for stay.
    places: dict[str, tuple[str, ...]]


def superseded(versions: Versions, policy: OnRevision, arriving: Sequence[Arriving]) -> Superseded:
    """Return what drops of one feed leave of those before them. A feed that appends takes versions for other files.

    Raises:
        LedgerError: the ledger cannot be read.
    """
    if policy is OnRevision.APPEND:
        return Superseded((), {})
    replaces: list[str] = []
    places: dict[str, tuple[str, ...]] = {}
    for customer, several in groupby(sorted(arriving, key=_customer), key=_customer):
        theirs = _with_rows(versions, customer, list(several))
        stale = _stale(versions, theirs)
        leaving = _leaving(versions, customer, theirs, stale) if policy is OnRevision.REPLACE else ()
        replaces += leaving
        for drop_id, earlier in stale.items():
            ends = (each.drop_id for each in earlier if _ends(each, leaving, policy))
            places[drop_id] = tuple(ends)
    return Superseded(tuple(replaces), {drop_id: ids for drop_id, ids in places.items() if ids})


def _customer(arriving: Arriving) -> str:
    return arriving.drop.customer


def _ends(version: Version, leaving: Collection[str], policy: OnRevision) -> bool:
    if version.state in LEFT_OUT:
        return True
    if version.state is State.DUPLICATE:
        return policy is OnRevision.REPLACE
    return version.drop_id in leaving


def _with_rows(versions: Versions, customer: str, arriving: list[Arriving]) -> list[Arriving]:
    """Leave out duplicates of what was rejected: none of their rows are in the table, so nothing changes there."""
    copied = {each.sha256 for each in arriving if each.is_copy}
    held = {each.sha256 for each in arriving if not each.is_copy}
    held |= _held(versions, arriving[0].drop.feed, customer, copied)
    return [each for each in arriving if not each.is_copy or each.sha256 in held]


def _held(versions: Versions, feed: str, customer: str, sha256s: Collection[str]) -> set[str]:
    found = versions.with_bytes(feed, customer, sha256s) if sha256s else ()
    return {version.sha256 for version in found if version.state in IN_TABLE}


def _stale(versions: Versions, arriving: Iterable[Arriving]) -> dict[str, tuple[Version, ...]]:
    """Return for each drop the versions of its object before it, except those of which it is a mere copy."""
    arriving = list(arriving)
    before = versions.before([each.drop for each in arriving])
    return {
        each.drop.id: tuple(
            version
            for version in before[each.drop.id]
            if version.state in LEFT_OUT or not (each.is_copy and version.sha256 == each.sha256)
        )
        for each in arriving
    }


def _leaving(
    versions: Versions, customer: str, arriving: Collection[Arriving], stale: dict[str, tuple[Version, ...]]
) -> tuple[str, ...]:
    """Return the drops whose rows nobody stands for any more, now that these versions are stale."""
    over = [version for version in chain.from_iterable(stale.values()) if version.state not in LEFT_OUT]
    if not over:
        return ()
    feed = next(iter(arriving)).drop.feed
    gone = {version.drop_id for version in over}
    standing = versions.with_bytes(feed, customer, {version.sha256 for version in over})
    holders = [version for version in standing if version.state in IN_TABLE]
    newest = _newest(versions, feed, customer, {version.uri for version in holders})
    outdated = [each for each in holders if each.drop_id in gone or newest[each.uri] != each.drop_id]
    current = {each.sha256 for each in holders if each not in outdated}
    current.update(each.sha256 for each in arriving if not each.is_copy)
    copies = {each.sha256 for each in standing if each.state is State.DUPLICATE and each.drop_id not in gone}
    copies.update(each.sha256 for each in arriving if each.is_copy)
    kept = {each.sha256: each.drop_id for each in reversed(outdated) if each.sha256 in copies - current}
    return tuple(each.drop_id for each in outdated if kept.get(each.sha256) != each.drop_id)


def _newest(versions: Versions, feed: str, customer: str, uris: Collection[str]) -> dict[str, str]:
    """Return for each object the newest of its versions that have rows in the table, or are copies of such."""
    found = versions.of_objects(feed, customer, uris)
    held = _held(versions, feed, customer, {each.sha256 for each in found if each.state is State.DUPLICATE})
    return {each.uri: each.drop_id for each in found if each.state in IN_TABLE or each.sha256 in held}
