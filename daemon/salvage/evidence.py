"""Gathers what is left of drops where the ledger is lost: from tables, quarantine, archive and the drop folder."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import chain
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from daemon.days.bounds import last_complete
from daemon.digesting import digest
from daemon.errors import SourceError
from daemon.feeds import Feeds
from daemon.ledger import DropRow, Ledger
from daemon.ledger.markers import Marker, Markers
from daemon.ledger.rebuilding import ClosedDay, Heard, Scope, up_to
from daemon.markers import MOST_BYTES, Reading, Standing, read
from daemon.model import METRIC_DAYS, Feed, Found, Held
from daemon.quarantine import Quarantine
from daemon.salvage import Evidence, Object
from daemon.scopes import Scopes
from daemon.signals import Listed, understood, waits_of
from daemon.sources import Archived, Archiving
from daemon.sources.names import is_marker
from daemon.stores import Store
from daemon.stores.contents import writers

#: An archived marker or signal, and what it says to each of its scopes.
Said = tuple[Archived, Mapping[Scope, Reading]]

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


def tellers(source: Archiving, feeds: Sequence[Feed]) -> tuple[Archived, ...]:
    """Return the archived markers and signals, in the order in which they came there, each once.

    One is archived when it has its verdict; one that waited is where it was dropped.
    """
    known = Feeds(feeds)
    found = (one for one in source.archived() if _is_told(known, one.found.name))
    each_once = {(one.found.uri, one.found.version): one for one in found}
    return tuple(sorted(each_once.values(), key=lambda one: (one.at, one.found.modified, one.found.name)))


def heard(
    source: Archiving,
    told: Iterable[Archived],
    listed: Mapping[Found, Listed],
    feeds: Sequence[Feed],
) -> Iterator[Said]:
    """Yield archived markers and signals with what each says to its scopes, as of when it came there.

    Args:
        source: has the archive.
        told: these markers and signals, in the order in which they came.
        listed: the days that each signal lists, by the object as it lies in the archive.
        feeds: whose scopes they may be.
    """
    scopes, zones = Scopes(tuple(feeds)), {feed.name: feed.timezone for feed in feeds}
    for one in told:
        if is_marker(one.found.name):
            yield one, _marked(source, one, scopes)
        else:
            theirs = scopes.signalled(one.found.name)
            yield one, {scope: understood(listed[one.kept], zones[scope[0]], one.at) for scope in theirs}


def _marked(source: Archiving, one: Archived, scopes: Scopes) -> Mapping[Scope, Reading]:
    """Return what a marker says to its scopes; one that is refused says nothing."""
    reading, name = read(_start(source, one.kept), one.at), one.found.name
    if reading.standing.refused or (reading.feed is not None and reading.feed not in scopes):
        return {}
    return dict.fromkeys(scopes.of(name) if reading.feed is None else scopes.named(name, reading.feed), reading)


def judged(
    said: Iterable[Said],
    closed: Iterable[ClosedDay],
    feeds: Iterable[Feed],
    tables: Mapping[str, Sequence[Held]],
) -> tuple[Heard, ...]:
    """Return archived markers and signals with their verdicts, which are lost: a ledger of their own gives them anew.

    Args:
        said: what they say, in the order in which they came.
        closed: days that are closed, so that the watermarks have come to where they were then.
        feeds: some of which wait for each day.
        tables: what each feed's table holds: the first day that has rows of a scope is waited for.
    """
    by_name, said = {feed.name: feed for feed in feeds}, tuple(said)

    def give(markers: Markers, found: Found, readings: Mapping[Scope, Reading], at: float) -> None:
        markers.add(found, readings, {}, 0.0)
        for marker in markers.waiting():
            feed, customer = marker.scope
            days = partial(_days_then, tables.get(feed, ()), customer, at)
            markers.judge(marker, 0.0, waits_of(by_name[feed], days))

    with TemporaryDirectory() as folder, _scratch(Path(folder)) as ledger:
        for one, readings in said:
            give(ledger.markers, one.found, readings, one.at)
        for scope, watermark in up_to(closed).items():
            if scope[0] in by_name:
                floor = Found(uri="closed days", name="", version=repr(scope), size=0, modified=0.0)
                give(ledger.markers, floor, {scope: Reading(instant=int(watermark))}, math.inf)
        return tuple(_heard(marker) for one, _ in said for marker in ledger.markers.of(one.found))


def _scratch(folder: Path) -> Ledger:
    return Ledger.open(f"sqlite:///{folder / 'ledger.db'}", tables_exist=lambda: False, now=0.0)


def _heard(marker: Marker) -> Heard:
    said = Reading(
        standing=marker.standing, instant=marker.instant, note=marker.note, text=marker.text, days=marker.days
    )
    return Heard(found=marker.found, scope=marker.scope, reading=said)


def _days_then(held: Iterable[Held], customer: str, at: float) -> Iterator[str]:
    """Yield the days that had rows of a customer at an instant, unix seconds."""
    for one in held:
        if one.customer == customer and one.at <= at:
            yield from one.days


def watermarks(said: Iterable[Heard], closed: Iterable[ClosedDay]) -> Mapping[Scope, float]:
    """Return the watermarks by markers, signals and days that are closed, unix seconds."""
    found = up_to(closed)
    for one in said:
        if one.reading.standing is Standing.APPLIED and one.reading.instant is not None:
            found[one.scope] = max(one.reading.instant, found.get(one.scope, 0.0))
    return found


def closed_with_metrics(store: Store) -> tuple[ClosedDay, ...]:
    """Return the closed days of feeds with metrics: those with a row in `metric_days`."""
    return tuple(_with_metrics(store)) if store.exists(METRIC_DAYS) else ()


def closed_without(store: Store, marks: Mapping[Scope, float], feeds: Iterable[Feed]) -> tuple[ClosedDay, ...]:
    """Return the closed days of other feeds: all that have rows and were over at the watermark."""
    closed: list[ClosedDay] = []
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
