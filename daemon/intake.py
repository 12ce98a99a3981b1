"""What a listing brings: which objects are new, which are complete, which nobody wants."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from daemon.feeds import Feeds
from daemon.ledger import Ledger
from daemon.model import Drop, Found, State
from daemon.sources import Source
from daemon.sources.names import is_marker


@dataclass(frozen=True, kw_only=True)
class Arrivals:
    """What one listing brought."""

    #: New versions that are complete and that a feed wants, oldest first.
    drops: tuple[Drop, ...] = ()
    #: New versions that no feed has a pattern for.
    unmatched: tuple[Found, ...] = ()
    #: Drops that wait for another go which can never be: their objects are gone, or are other versions by now.
    gone: tuple[Drop, ...] = ()
    #: Seconds until the first of the others may be complete; None when there is none.
    due_seconds: float | None = None
    #: Objects that are not complete yet, or whose next go is not due.
    pending: int = 0
    #: New versions of markers and signals that are complete, oldest first.
    markers: tuple[Found, ...] = ()
    #: New versions of such that are not complete yet.
    nascent: tuple[Found, ...] = ()
    #: Other objects that are not complete yet, or of which a version is being worked.
    incomplete: tuple[Found, ...] = ()


@dataclass
class _Seen:
    """An object as earlier listings have shown it."""

    version: str
    since: float


@dataclass
class _Sorting:
    """The new objects of one listing while they are told apart."""

    complete: list[Found] = field(default_factory=list)
    markers: list[Found] = field(default_factory=list)
    nascent: list[Found] = field(default_factory=list)
    incomplete: list[Found] = field(default_factory=list)
    due: list[float] = field(default_factory=list)


class Intake:
    """Compares listings with what is known. The ledger is asked only about what the last listing did not show."""

    def __init__(
        self,
        source: Source,
        ledger: Ledger,
        feeds: Feeds,
        *,
        at_work: Callable[[str], bool],
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Know nothing yet. `at_work` tells whether a version of an object (its uri) is being worked."""
        self._source, self._ledger, self._feeds, self._at_work, self._clock = source, ledger, feeds, at_work, clock
        self._done: dict[str, str] = {}
        self._fresh: dict[str, _Seen] = {}
        #: Drops that have come back: id -> their next attempt, and the time before which it may not begin.
        self._waiting: dict[str, tuple[int, float]] = {}

    def look(self) -> Arrivals:
        """List the source once.

        Raises:
            SourceError: the source cannot be listed now.
            LedgerError: the ledger cannot be read now.
        """
        now = self._clock()
        done, fresh, sorting = {}, {}, _Sorting()
        known = self._done
        waiting = self._came_back()
        for drop in waiting:
            known.pop(drop.found.uri, None)
        for found in self._source.list():
            if known.get(found.uri) == found.version:
                done[found.uri] = found.version
            else:
                fresh[found.uri] = self._sort(found, now, sorting)
        self._done, self._fresh = done, fresh
        gone = tuple(drop for drop in waiting if not _is_listed(drop, fresh))
        return self._arrivals(sorting, now, gone)

    def _sort(self, found: Found, now: float, sorting: _Sorting) -> _Seen:
        seen = self._fresh.get(found.uri)
        if seen is None or seen.version != found.version:
            seen = _Seen(found.version, now)
        wait = self._source.seconds_to_complete(found, now - seen.since, now)
        marks = is_marker(found.name) or self._feeds.is_signal(found.name)
        if wait > 0:
            sorting.due.append(wait)
            (sorting.nascent if marks else sorting.incomplete).append(found)
        elif marks:
            sorting.markers.append(found)
        elif self._at_work(found.uri):
            sorting.incomplete.append(found)
        else:
            sorting.complete.append(found)
        return seen

    def _arrivals(self, sorting: _Sorting, now: float, gone: tuple[Drop, ...]) -> Arrivals:
        states = self._ledger.known_versions({(found.uri, found.version) for found in sorting.complete})
        waiting = self._waiting
        drops, unmatched = [], []
        for found in sorting.complete:
            state = states.get((found.uri, found.version))
            if state is not None and (state.final and not self._wanted_now(found, state)):
                self._done[found.uri] = found.version
                continue
            attempt, not_before = waiting.get(found.drop_id, (1, 0.0))
            if not_before > now:
                sorting.due.append(not_before - now)
            elif (match := self._feeds.match(found.name)) is None:
                unmatched.append(found)
                self._done[found.uri] = found.version
            else:
                feed, customer = match
                drops.append(Drop(id=found.drop_id, found=found, feed=feed.name, customer=customer, attempt=attempt))
        drops.sort(key=lambda drop: (drop.found.modified, drop.found.name))
        return Arrivals(
            drops=tuple(drops),
            unmatched=tuple(unmatched),
            gone=gone,
            due_seconds=min(sorting.due, default=None),
            pending=len(sorting.due),
            markers=self._new_markers(sorting.markers),
            nascent=tuple(sorting.nascent),
            incomplete=tuple(sorting.incomplete),
        )

    def _new_markers(self, markers: Sequence[Found]) -> tuple[Found, ...]:
        """Return the markers that the ledger has not got, oldest first; the others are not asked about any more."""
        if not markers:
            return ()
        known = self._ledger.markers.known({(found.uri, found.version) for found in markers})
        self._done.update(known)
        new = (found for found in markers if (found.uri, found.version) not in known)
        return tuple(sorted(new, key=lambda found: (found.modified, found.name)))

    def _wanted_now(self, found: Found, state: State) -> bool:
        """Tell whether an object that no feed wanted earlier is wanted under today's configuration."""
        return state is State.UNMATCHED and self._feeds.match(found.name) is not None

    def _came_back(self) -> tuple[Drop, ...]:
        """Return the drops that wait for another go: given back, or wanted again by a person's `retry`."""
        waiting = self._ledger.waiting()
        self._waiting = {each.drop.id: (each.drop.attempt, each.not_before) for each in waiting}
        return tuple(each.drop for each in waiting)


def _is_listed(drop: Drop, fresh: Mapping[str, _Seen]) -> bool:
    seen = fresh.get(drop.found.uri)
    return seen is not None and seen.version == drop.found.version
