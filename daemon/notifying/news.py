"""What has happened since a mark that people want to be told of: read from the ledger, by feed and customer.

The ledger is what messages follow, so that none is lost, whatever is killed when. What customers wrote into cells is
theirs: it is in no message.
"""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from zoneinfo import ZoneInfo

from daemon import telling
from daemon.ledger import Ledger
from daemon.ledger.days import CLOSED, Day
from daemon.ledger.watched import DayKey, DayNow, Ending
from daemon.model import Feed, Rows, State
from daemon.settings.watching import NotifySettings, On
from validators.sentences import printable

#: Things of one kind that a message names; further ones are counted.
NAMED: Final = 10
#: Groups, and rules of a group, in a message: the largest.
MOST_GROUPS: Final = 50
MOST_RULES: Final = 5
#: Closed days are looked for so far back, as a clock may have been set back; those that were told are remembered.
OVERLAP_SECONDS: Final = 3600.0
#: Days on which nothing arrived that are told at once, after an outage of the receiver or of the daemon.
MOST_DAYS: Final = 7
ONE_DAY: Final = dt.timedelta(days=1)

Group = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Mark:
    """How far the ledger was read, as JSON holds it."""

    #: Numbers in the ledger, and the markers that had no verdict then.
    event: int = 0
    marker: int = 0
    waiting: tuple[int, ...] = ()
    #: When the newest closed day was closed, unix seconds; the days closed shortly before that; and those held then.
    closed_at: float = 0.0
    closed: frozenset[DayKey] = frozenset()
    held: frozenset[DayKey] = frozenset()
    #: Feed -> the day, ISO, of which is known whether anything came.
    arrivals: Mapping[str, str] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Return it for `json.dumps`."""
        days = {name: sorted(map(list, getattr(self, name))) for name in ("closed", "held")}
        return {**self.__dict__, **days, "waiting": list(self.waiting), "arrivals": dict(self.arrivals)}

    @classmethod
    def of_json(cls, data: Mapping[str, Any]) -> Mark:
        """Return what `to_json` made.

        Raises:
            ValueError, KeyError, TypeError: it is something else.
        """
        days = {name: frozenset(_key(each) for each in data[name]) for name in ("closed", "held")}
        return cls(
            event=int(data["event"]),
            marker=int(data["marker"]),
            waiting=tuple(map(int, data["waiting"])),
            closed_at=float(data["closed_at"]),
            arrivals={str(feed): str(day) for feed, day in data["arrivals"].items()},
            **days,
        )


def beginning(ledger: Ledger, now: float) -> Mark:
    """Return the mark of now: what was before is no news.

    Raises:
        LedgerError: the ledger cannot be read.
    """
    event, marker = ledger.watched.newest()
    days = ledger.watched.days(now - OVERLAP_SECONDS)
    return Mark(
        event=event,
        marker=marker,
        waiting=ledger.watched.waiting(),
        closed_at=now,
        closed=frozenset(day.key for day in days if day.state in CLOSED),
        held=frozenset(day.key for day in days if day.state is Day.HELD),
    )


class News:
    """What has happened, as one receiver's settings ask for it."""

    def __init__(self, ledger: Ledger, feeds: Mapping[str, Feed], wanted: NotifySettings) -> None:
        """Look at nothing yet."""
        self._watched, self._wanted = ledger.watched, wanted
        self._feeds = {name: feed for name, feed in feeds.items() if not wanted.feeds or name in wanted.feeds}

    def since(self, mark: Mark, now: float) -> tuple[Mark, list[Group]]:
        """Return the mark of now, and what has happened between the two, the largest groups first.

        Raises:
            LedgerError: the ledger cannot be read.
        """
        event, marker = self._watched.newest()
        waiting = self._watched.waiting()
        days = self._watched.days(mark.closed_at - OVERLAP_SECONDS)
        groups = _Groups(self._wanted)
        for ending in self._watched.endings(mark.event, event):
            groups.ended(ending)
        for verdict in self._watched.refused(mark.marker, marker, waited=mark.waiting, waiting=waiting):
            shown = {"name": verdict.name, "verdict": verdict.standing.value, "note": printable(verdict.note)}
            groups.add(On.MARKER_REFUSED, verdict.feed, verdict.customer, shown)
        for day in days:
            groups.day(day, mark)
        arrivals = dict(self._arrivals(mark, now, groups))
        after = Mark(
            event=event,
            marker=marker,
            waiting=waiting,
            closed_at=max([mark.closed_at, *(day.closed_at for day in days if day.closed_at)]),
            closed=frozenset(day.key for day in days if day.state in CLOSED),
            held=frozenset(day.key for day in days if day.state is Day.HELD),
            arrivals=arrivals,
        )
        return after, groups.largest()

    def _arrivals(self, mark: Mark, now: float, groups: _Groups) -> Iterator[tuple[str, str]]:
        """Yield for each feed the newest day of which is known whether anything came by the time that was set."""
        for name, feed in self._feeds.items():
            local = dt.datetime.fromtimestamp(now, ZoneInfo(feed.timezone))
            known, due = mark.arrivals.get(name, ""), _due(local, self._wanted.arrive_by)
            if not self._wanted.arrive_by or known >= due.isoformat():
                yield name, known
                continue
            # What was due before a receiver was set up is no news to it.
            known = known or (local.date() - ONE_DAY).isoformat()
            for day in _days_after(known, due):
                if not self._watched.has_come(name, *_span(day, local.tzinfo)):
                    shown = {"date": day.isoformat(), "by": self._wanted.arrive_by, "timezone": feed.timezone}
                    groups.add(On.NOTHING_ARRIVED, name, "", shown)
            yield name, due.isoformat()


def _due(local: dt.datetime, arrive_by: str) -> dt.date:
    """Return the newest day whose time of day is past: a message may be made, or delivered at last, after midnight."""
    return local.date() if f"{local:%H:%M}" >= arrive_by else local.date() - ONE_DAY


def _days_after(known: str, due: dt.date) -> Iterator[dt.date]:
    """Yield the days after one up to another, but no more than the last few of them."""
    first = max(dt.date.fromisoformat(known) + ONE_DAY, due - (MOST_DAYS - 1) * ONE_DAY)
    for number in range((due - first).days + 1):
        yield first + number * ONE_DAY


def _span(day: dt.date, zone: dt.tzinfo | None) -> tuple[float, float]:
    """Return when a day begins and ends, unix seconds."""
    begins, ends = (dt.datetime.combine(each, dt.time(), zone).timestamp() for each in (day, day + ONE_DAY))
    return begins, ends


class _Groups:
    """What belongs together: what happened, in which feed, of which customer."""

    def __init__(self, wanted: NotifySettings) -> None:
        self._wanted = wanted
        self._groups: dict[tuple[On, str, str], Group] = {}
        self._rules: dict[tuple[On, str, str], Counter[tuple[str, str]]] = {}

    def add(self, on: On, feed: str, customer: str, shown: Mapping[str, Any], rows: Rows | None = None) -> None:
        """Add one thing to its group, if it is asked for."""
        if on not in self._wanted.on or (self._wanted.feeds and feed not in self._wanted.feeds):
            return
        new: Group = {"on": on.value, "feed": feed, "customer": printable(customer), "count": 0, "first": []}
        group = self._groups.setdefault((on, feed, customer), new)
        group["count"] += 1
        if len(group["first"]) < NAMED:
            group["first"].append(dict(shown))
        if rows is not None:
            total = group.setdefault("rows", {"read": 0, "rejected": 0})
            total["read"] += rows.read
            total["rejected"] += rows.rejected

    def ended(self, ending: Ending) -> None:
        """Add a drop to what its end is told as, if it is."""
        on = self._kind(ending)
        if on is None:
            return
        known = {word for rule in ending.rules for word in rule[:2]}
        shown = {
            "drop": ending.drop_id,
            "name": ending.name,
            "reason": printable(telling.discreet(ending.reason, known)),
            "report": printable(ending.report),
        }
        self.add(on, ending.feed, ending.customer, shown, ending.rows)
        rules = self._rules.setdefault((on, ending.feed, ending.customer), Counter())
        for rule, column, count in ending.rules:
            rules[rule, column] += count

    def day(self, day: DayNow, mark: Mark) -> None:
        """Add a day that was not known as such at the mark."""
        feed, customer, date, version = day.key
        if day.state is Day.HELD and day.key not in mark.held:
            self.add(On.DAY_HELD, feed, customer, {"date": date, "reason": printable(telling.discreet(day.reason))})
        if day.state in CLOSED and day.key not in mark.closed:
            self.add(On.DAY_CLOSED, feed, customer, {"date": date, "version": version, "rows": day.rows})

    def largest(self) -> list[Group]:
        """Return the groups with their rules, the largest first."""
        for key, rules in self._rules.items():
            if key in self._groups:
                most = rules.most_common(MOST_RULES)
                named = [{"rule": rule, "column": column, "count": count} for (rule, column), count in most]
                self._groups[key]["rules"] = named
        return sorted(self._groups.values(), key=lambda group: -group["count"])

    def _kind(self, ending: Ending) -> On | None:
        if ending.state is State.FAILED:
            return On.DROP_FAILED
        if ending.state is State.REJECTED and On.DROP_REJECTED in self._wanted.on:
            return On.DROP_REJECTED
        share = ending.rows.rejected / ending.rows.read if ending.rows.read else 0.0
        return On.REJECT_RATIO if share > self._wanted.reject_ratio_above else None


def _key(values: Any) -> DayKey:
    feed, customer, day, version = values
    return str(feed), str(customer), str(day), int(version)
