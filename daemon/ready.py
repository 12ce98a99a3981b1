"""Markers, signals and watermarks: what they say is taken from the source, and takes effect when all before is final.

A marker waits for the drops of its scope that were there before it: those that the listing which showed it first, or an
earlier one, showed and that were not final then, and those that are older by the source's clock (a tie counts as
before). What comes later does not hold it up. A signal is a marker that lists days.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Final

from daemon.errors import ChangedError, MissingRightError, SourceError
from daemon.feeds import Feeds
from daemon.intake import Arrivals
from daemon.ledger.markers import NO_SCOPE, Marker, Scope
from daemon.markers import AGAIN, MOST_BYTES, Reading, Standing, read
from daemon.model import Feed, Found, ReadyNeeds
from daemon.parts import Parts
from daemon.scopes import Scopes
from daemon.signals import Waits, understood, waits_of
from daemon.signals.reading import Signalling
from daemon.sources.names import RECEIPTS, is_marker
from daemon.tally import Tally
from daemon.telling import discreet
from validators.sentences import printable
from validators.suggest import did_you_mean

#: Seconds before a marker that could not be settled is tried again.
RETRY_SECONDS = 60.0
#: What log lines may quote of signals.
NAMES = ("finished_date", "wait")
#: Why a signal has no scope.
NOWHERE = (
    "it lies neither in a feed's folder nor beside those of a customer, so that nobody knows for which rows it speaks; "
    "drop it into CUSTOMER/signals/, or into signals/ within the feed's folder"
)
#: What it means that a right is missing.
STAYS: Final = "markers and signals stay where they are from now on, and speak once; this is not said again"
JUDGED: Final = "the marker has its verdict all the same"


class Ready:
    """Takes markers in, and gives the verdicts on them. Its methods are called by one thread, listing after listing."""

    def __init__(self, parts: Parts, tally: Tally, *, receipts: bool = False) -> None:
        """Know nothing of what was listed before; with `receipts` customers are told of each verdict."""
        self._receipts = receipts
        self._markers, self._source, self._after, self._tally = (
            parts.ledger.markers,
            parts.source,
            parts.rules.after,
            tally,
        )
        self._log, self._clock, self._feeds = parts.log, parts.clock, parts.feeds
        feeds = tuple(parts.feeds.values())
        self._match, self._scopes = Feeds(feeds).match, Scopes(feeds)
        self._signalling, self._store, self._ailing = Signalling(parts), parts.store, parts.ailing
        #: What was under way when a version of a marker was listed first: (uri, version) -> uri -> scope.
        self._before: dict[tuple[str, str], Mapping[str, Scope]] = {}
        #: Versions of markers of which was told that they cannot be read now.
        self._told: set[tuple[str, str]] = set()
        #: What is not permitted, as far as it was told.
        self._said_once: set[str] = set()
        #: Whether a marker was taken in since the last listing: it takes effect after the next one at the earliest,
        #: as this one may have passed a folder before the drops that came there before the marker.
        self.restless = False

    @property
    def busy(self) -> bool:
        """Whether a signal is being read."""
        return self._signalling.busy

    @property
    def answered(self) -> bool:
        """Whether one was read that the next listing takes in."""
        return self._signalling.answered

    def turn(self, arrivals: Arrivals) -> bool:
        """Do what a listing asks for; the drops that it brought are claimed already. Tell whether a watermark moved.

        Raises:
            LedgerError: the ledger cannot be used now; nothing is lost.
        """
        self.restless = False
        self._settle()
        self._sight(arrivals)
        applied = self._tally.markers[Standing.APPLIED]
        if waiting := self._markers.waiting():
            self._judge(waiting, self._by_scope(arrivals.incomplete))
        unread: set[Scope] = set()
        for found in arrivals.markers:
            self._take(found, unread)
        if self.restless or arrivals.markers:
            self._settle()
        return self._tally.markers[Standing.APPLIED] > applied

    # ---------------------------------------------------------------- TAKING IN

    def _sight(self, arrivals: Arrivals) -> None:
        """Remember for each marker that is listed for the first time what was under way then."""
        shown = {(found.uri, found.version) for found in (*arrivals.nascent, *arrivals.markers)}
        self._before = {key: before for key, before in self._before.items() if key in shown}
        self._told &= shown
        self._signalling.forget(shown)
        if new := shown - self._before.keys():
            before = self._markers.under_way()
            for scope, founds in self._by_scope(arrivals.incomplete).items():
                before.update((found.uri, scope) for found in founds)
            self._before.update(dict.fromkeys(new, before))

    def _by_scope(self, incomplete: Sequence[Found]) -> Mapping[Scope, Sequence[Found]]:
        by_scope: dict[Scope, list[Found]] = {}
        for found in incomplete:
            if match := self._match(found.name):
                by_scope.setdefault((match[0].name, match[1]), []).append(found)
        return by_scope

    def _take(self, found: Found, unread: set[Scope]) -> None:
        """Take in a marker or signal, but not before those of its scopes that were there earlier and are `unread`."""
        key = (found.uri, found.version)
        try:
            readings = self._said(found) if is_marker(found.name) else self._signalled(found, unread)
        except ChangedError:
            return  # its new version is found again, and is another marker
        except SourceError as error:
            if key not in self._told:
                self._told.add(key)
                self._log.warning(f"{_kind(found)}.unread", name=found.name, reason=str(error))
            return
        if not unread.isdisjoint(readings) or not readings:
            return
        self._markers.add(found, readings, self._before[key], self._clock())
        for scope, reading in readings.items():
            self.restless |= reading.standing is Standing.WAITING
            self._tell(found, scope, reading.standing, reading.note or f"it says {reading.text}")

    def _said(self, found: Found) -> Mapping[Scope, Reading]:
        """Return what a marker says, for each of its scopes; for none where it has none."""
        reading, scopes = self._placed(found, self._read(found))
        return dict.fromkeys(scopes or (NO_SCOPE,), reading)

    def _signalled(self, found: Found, unread: set[Scope]) -> Mapping[Scope, Reading]:
        """Return what a signal says, for each of its scopes by their zones; nothing while it is being read."""
        scopes = self._scopes.signalled(found.name)
        if not scopes:
            return {NO_SCOPE: Reading(standing=Standing.UNMATCHED, note=NOWHERE)}
        listed = self._signalling.listed(found)
        if listed is None:
            unread.update(scopes)
            return {}
        return {scope: understood(listed, self._feeds[scope[0]].timezone, self._clock()) for scope in scopes}

    def _read(self, found: Found) -> Reading:
        if found.name.endswith("/"):
            note = f"it is a folder, expected a file; remove it and drop a file {found.name.rstrip('/')}"
            return Reading(standing=Standing.UNREADABLE, note=note)
        if found.size > MOST_BYTES:
            return read(bytes(MOST_BYTES + 1), self._clock())
        with self._source.fetch(found) as path, path.open("rb") as file:
            return read(file.read(MOST_BYTES + 1), self._clock())

    def _placed(self, found: Found, reading: Reading) -> tuple[Reading, Collection[Scope]]:
        """Return the scopes that a marker speaks for, and what it says: nothing where there is none."""
        name = found.name.rstrip("/")
        if reading.feed is not None and reading.feed not in self._scopes:
            names = list(self._feeds)
            hint = did_you_mean(reading.feed, names) or f"the feeds are {', '.join(names)}"
            note = f"found the type {reading.feed!r}, expected a feed's name: {hint}; {AGAIN}"
            scopes: Collection[Scope] = ()
            standing = Standing.UNKNOWN_FEED
        else:
            scopes = self._scopes.of(name) if reading.feed is None else self._scopes.named(name, reading.feed)
            standing = Standing.UNMATCHED
            note = (
                "it lies in no feed's folder, so that nobody knows for which rows it speaks; "
                'drop it into the feed\'s folder, or as {"timestamp": ..., "type": FEED} into the customer\'s'
            )
        if scopes or reading.standing.refused:
            return reading, scopes
        return replace(reading, standing=standing, note=note), ()

    # ---------------------------------------------------------------- THE BARRIER

    def _judge(self, waiting: Sequence[Marker], incomplete: Mapping[Scope, Sequence[Found]]) -> None:
        """Give the verdicts that are due, in each scope in the order in which its markers came."""
        held: set[Scope] = set()
        for marker in waiting:
            is_held = self._is_held(marker, incomplete.get(marker.scope, ())) or not self._ailing.usable(marker.feed)
            if is_held or marker.scope in held:
                held.add(marker.scope)
                continue
            standing, note = self._markers.judge(marker, self._clock(), self._waits(marker.scope))
            self._tell(marker.found, marker.scope, standing, note)
        if len(held) < len(waiting):
            self._settle()

    def _is_held(self, marker: Marker, incomplete: Sequence[Found]) -> bool:
        feed = self._feeds.get(marker.feed)
        failed = feed is None or feed.ready_needs is ReadyNeeds.FINAL
        self._markers.release(marker, {found.uri for found in incomplete}, failed=failed)
        awaited = self._markers.awaited(marker) if incomplete else ()
        unread = (found.modified <= marker.found.modified or found.uri in awaited for found in incomplete)
        return any(unread) or self._markers.is_held(marker, failed=failed)

    def _waits(self, scope: Scope) -> Waits | None:
        """Return what a feed needs that waits for days which no signal lists; None for one that does not."""
        feed: Feed | None = self._feeds.get(scope[0])
        return waits_of(feed, partial(self._store.days, *scope)) if feed is not None else None

    # ---------------------------------------------------------------- THE END

    def _settle(self) -> None:
        """Settle the markers whose verdicts are in the ledger. One that fails is tried again later."""
        now, done = self._clock(), []
        for found in self._markers.unsettled(now):
            if self._receipts and self._markers.is_newest(found):
                self._leave_receipt(found)
            try:
                if not found.name.endswith("/"):
                    self._source.settle(found, self._after)
                done.append(found)
            except MissingRightError as error:
                done.append(found)
                self._refused(f"{_kind(found)}.unsettled", error, STAYS)
            except SourceError as error:
                self._markers.settle_later(found, now + RETRY_SECONDS)
                self._log.warning(f"{_kind(found)}.unsettled", name=found.name, reason=str(error))
        if done:
            self._source.flush()
            self._markers.settled(done, now)

    def _leave_receipt(self, found: Found) -> None:
        """Tell the customer of the verdicts on a marker; where that cannot be done now, it is said and left at that."""
        verdicts = [marker.to_json() for marker in self._markers.of(found)]
        text = json.dumps({"name": printable(found.name), "verdicts": verdicts}, indent=1)
        try:
            wrong = self._source.leave([(f"{RECEIPTS}/{found.name.rstrip('/')}.json", f"{text}\n".encode())])
        except MissingRightError as error:
            self._refused("receipts.failed", error, JUDGED)
            return
        except SourceError as error:
            wrong = (error,)
        for each in wrong:
            self._log.warning("receipts.failed", reason=str(each), note=JUDGED)

    def _refused(self, event: str, error: MissingRightError, note: str) -> None:
        """Say once that a right is missing."""
        if event not in self._said_once:
            self._log.warning(event, reason=str(error), note=note)
        self._said_once.add(event)

    def _tell(self, found: Found, scope: Scope, standing: Standing, note: str) -> None:
        if standing is not Standing.WAITING:
            self._tally.markers[standing] += 1
        level = self._log.warning if standing.refused or standing is Standing.GAP else self._log.info
        said = note if is_marker(found.name) else discreet(note, NAMES)
        level(f"{_kind(found)}.{standing}", name=found.name, feed=scope[0], customer=scope[1], note=said)


def _kind(found: Found) -> str:
    """Return what the log calls it."""
    return "marker" if is_marker(found.name) else "signal"
