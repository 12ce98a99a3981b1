"""Gathers what is left of drops where the ledger is lost: from tables, quarantine, archive and the drop folder."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import Final

from daemon.days.bounds import last_complete
from daemon.digesting import digest
from daemon.errors import SourceError
from daemon.feeds import Feeds
from daemon.ledger import DropRow
from daemon.ledger.rebuilding import ClosedDay, Scope
from daemon.markers import MOST_BYTES, read
from daemon.model import METRIC_DAYS, Feed, Found
from daemon.quarantine import Quarantine
from daemon.salvage import Evidence, Object
from daemon.scopes import Scopes
from daemon.sources import Archived, Archiving
from daemon.sources.names import is_marker
from daemon.stores import Store
from daemon.stores.contents import writers

#: Columns of rows that are metrics by themselves.
KEY: Final = {"unit_id", "id_type", "metric_name"}
#: Objects of the archive that are fetched together, where they are far away.
AHEAD: Final = 64


def gather(
    *,
    tables: Sequence[str],
    store: Store,
    quarantine: Quarantine,
    source: Archiving,
    dropped: Iterable[Found],
    feeds: Feeds,
    rows: Sequence[DropRow] = (),
) -> Evidence:
    """Look everywhere. Every file that was ingested and is still there is read, for its digest.

    Args:
        tables: the names of all tables, also of feeds that are no more.
        store: where they are.
        quarantine: has reports.
        source: has an archive.
        dropped: what its listing shows: drops that were not settled.
        feeds: say whose a name is.
        rows: what an old ledger still knows.

    Raises:
        WorkError: something is there and cannot be read.
    """
    held = {name: store.drops(name) for name in tables if name != METRIC_DAYS}
    rows_of = {one.drop_id: one.rows for several in held.values() for one in several}
    # The batch of such an entry is in the table, and the daemon was killed before it put the entry in its place.
    quarantine.promote_where(lambda report: rows_of.get(report.subject.drop_id) == report.rows.accepted)
    objects = chain(_archived(source, feeds), _dropped(source, dropped, feeds, rows_of))
    return Evidence(tables=held, entries=quarantine.list(), objects=tuple(objects), rows=rows)


def identity_of(store: Store, tables: Iterable[str]) -> str:
    """Return the identity of the ledger under which the tables were written last; empty where none has a batch.

    Under the same identity the tables go on counting, and an old copy of the lost ledger is known for one.
    """
    newest = Counter(names[-1] for table in tables if (names := writers(store.place(table))))
    return newest.most_common(1)[0][0] if newest else ""


def newest_batches(store: Store, tables: Iterable[str]) -> Mapping[str, int]:
    """Return the number of each table's newest batch under the store's own name."""
    return {table: store.last_batch(table) for table in tables}


def watermarks(source: Archiving, feeds: Collection[Feed]) -> Mapping[Scope, int]:
    """Return for each scope the newest instant that its archived markers say, by the verdicts of when they came there.

    A marker is archived when it has its verdict; one that waited is where it was dropped. Signals are not asked.
    """
    scopes, names = Scopes(tuple(feeds)), {feed.name for feed in feeds}
    found: dict[Scope, int] = {}
    for one in source.archived():
        if not is_marker(one.found.name):
            continue
        said = read(_start(source, one.kept), one.at)
        name = one.found.name
        theirs = scopes.of(name) if said.feed is None else scopes.named(name, said.feed) if said.feed in names else ()
        if said.instant is not None and not said.standing.refused:
            found.update({scope: max(said.instant, found.get(scope, 0)) for scope in theirs})
    return found


def closed_days(store: Store, marks: Mapping[Scope, float], feeds: Iterable[Feed]) -> tuple[ClosedDay, ...]:
    """Return the days that are closed, so that they are not closed again.

    Those of feeds with metrics are those with a row in `metric_days`; of other feeds, all that have rows and were over
    at the watermark.
    """
    closed = list(_with_metrics(store)) if store.exists(METRIC_DAYS) else []
    for feed in feeds:
        if not feed.measures and not set(store.columns(feed.name).names) >= KEY:
            for scope in (scope for scope in marks if scope[0] == feed.name):
                closed += _over(store, scope, marks[scope], feed.timezone)
    return tuple(closed)


def _over(store: Store, scope: Scope, watermark: float, zone: str) -> Iterator[ClosedDay]:
    last = last_complete(watermark, zone).isoformat()
    for day in store.days(*scope):
        if day <= last:
            yield ClosedDay(feed=scope[0], customer=scope[1], day=day, version=1, watermark=watermark, at=watermark)


def _with_metrics(store: Store) -> Iterator[ClosedDay]:
    names = ("feed", "customer", "date", "version", "watermark", "closed_at")
    for row in store.read(METRIC_DAYS).select(names).group_by(list(names)).aggregate([]).to_pylist():
        yield ClosedDay(
            feed=row["feed"],
            customer=row["customer"],
            day=row["date"].isoformat(),
            version=row["version"],
            watermark=row["watermark"].timestamp(),
            at=row["closed_at"].timestamp(),
        )


def _archived(source: Archiving, feeds: Feeds) -> Iterator[Object]:
    found = (one for one in source.archived() if not _is_told(feeds, one.found.name))
    for several in _chunks(found):
        with source.ahead([one.kept for one in several]):
            for one in several:
                scope = _scope(feeds, one.found.name)
                yield Object(found=one.found, sha256=_digest(source, one.kept), scope=scope, at=one.at, archived=True)


def _is_told(feeds: Feeds, name: str) -> bool:
    """Tell whether an object says something of drops and is none: a marker or a signal."""
    return is_marker(name) or feeds.is_signal(name)


def _chunks(found: Iterator[Archived]) -> Iterator[Sequence[Archived]]:
    while several := list(itertools.islice(found, AHEAD)):
        yield several


def _dropped(source: Archiving, dropped: Iterable[Found], feeds: Feeds, ids: Collection[str]) -> Iterator[Object]:
    for found in dropped:
        if not _is_told(feeds, found.name):
            # Only what stays here after its drop's end is read: the others are worked, as they have not come to it.
            sha256 = _digest(source, found) if found.drop_id in ids else ""
            scope = _scope(feeds, found.name)
            yield Object(found=found, sha256=sha256, scope=scope, at=found.modified, archived=False)


def _scope(feeds: Feeds, name: str) -> tuple[str, str] | None:
    match = feeds.match(name)
    return (match[0].name, match[1]) if match else None


def _digest(source: Archiving, found: Found) -> str:
    with _fetched(source, found) as path:
        return digest(path)


def _start(source: Archiving, found: Found) -> bytes:
    with _fetched(source, found) as path, path.open("rb") as file:
        return file.read(MOST_BYTES + 1)


@contextmanager
def _fetched(source: Archiving, found: Found) -> Iterator[Path]:
    try:
        with source.fetch(found) as path:
            yield path
    except OSError as error:
        raise SourceError(
            f"{found.uri} cannot be read: {error.strerror or error}; let this user read the archive"
        ) from error
