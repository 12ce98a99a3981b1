"""Which drops make a unit, and the order of units: what is suspected of breaking its worker waits for all others."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Collection, Iterable, Iterator, Sequence

from daemon.model import Drop, Turn, Unit

#: Small drops of one unit: at most so many, and so many bytes together. Large enough that a check's fixed cost and a
#: data file's are shared, small enough that both cores have work and a reader waits for one commit only.
UNIT_DROPS = 256
UNIT_BYTES = 16 * 1024**2
#: Units handed to the workers ahead of time, for each worker: one being worked and one waiting keep it busy.
UNITS_PER_WORKER = 2
#: A unit that has broken its worker is taken apart into so many. Two rounds find one drop among 256; each costs the
#: good ones a wait for the bad one, which halving would make eight, and singles at once a few seconds of overhead.
PIECES = 16
#: Seconds that the check of small drops may hold up others at first. Most take less, and it costs little when a slow
#: contract is mistaken for a hanging one: its drops are worked again, and the feed's patience doubles.
PATIENCE_SECONDS = 0.3
#: One by itself may have this many times as long: it holds up nobody but those that wait for a worker.
ALONE_FACTOR = 4


def bundles(drops: Sequence[Drop], processes: int) -> Iterator[Sequence[Drop]]:
    """Yield groups of drops that make a unit each: large ones alone, small ones together, spread over the workers."""
    bundle: list[Drop] = []
    size = 0
    most = max(1, min(UNIT_DROPS, -(-len(drops) // processes)))
    for drop in drops:
        if bundle and (len(bundle) >= most or size + drop.found.size > UNIT_BYTES):
            yield bundle
            bundle, size = [], 0
        bundle.append(drop)
        size += drop.found.size
    if bundle:
        yield bundle


class Lineup:
    """Units that wait for a worker, and which drops have broken one by themselves."""

    def __init__(self, processes: int) -> None:
        """Let so many processes work."""
        self._processes = processes
        self._waiting: dict[Turn, deque[Unit]] = {turn: deque() for turn in Turn}
        self._suspects: set[str] = set()
        self._patience: dict[str, float] = {}

    def __bool__(self) -> bool:
        """Whether any unit waits."""
        return any(self._waiting.values())

    def add(self, units: Iterable[Unit]) -> None:
        """Line units up, each behind those of its turn."""
        for unit in units:
            self._waiting[unit.turn].append(unit)

    def next(self, under_way: Iterable[Unit], without: Collection[str] = ()) -> Unit | None:
        """Take the unit that a worker may be given now, besides those under way; None if it is to wait.

        Units of the feeds `without` are passed over.
        """
        units = (unit for waiting in self._waiting.values() for unit in waiting if unit.feed not in without)
        unit = next(units, None)
        if unit is None or not self._is_free(unit.turn, Counter(unit.turn for unit in under_way)):
            return None
        self._waiting[unit.turn].remove(unit)
        return unit

    def _is_free(self, turn: Turn, under_way: Counter[Turn]) -> bool:
        if turn is not Turn.LAST:
            return under_way.total() < UNITS_PER_WORKER * self._processes
        # Whatever they do, a worker is left for what comes next, if there are two.
        return under_way.total() < self._processes and under_way[Turn.LAST] < max(1, self._processes - 1)

    def clear(self) -> None:
        """Forget every unit."""
        for waiting in self._waiting.values():
            waiting.clear()

    # ---------------------------------------------------------------- SUSPICION

    def apart(self, drops: Sequence[Drop]) -> tuple[Sequence[Drop], Sequence[Drop]]:
        """Return the drops that may be worked together, and those that have broken a worker by themselves."""
        return (
            [drop for drop in drops if drop.id not in self._suspects],
            [drop for drop in drops if drop.id in self._suspects],
        )

    def suspect(self, drop: Drop) -> None:
        """Remember a drop that has broken its worker by itself. So its feed's patience was not too short."""
        self._suspects.add(drop.id)
        self._patience.pop(drop.feed, None)

    def acquit(self, drop_ids: Iterable[str]) -> None:
        """Forget drops that have come to their end."""
        self._suspects.difference_update(drop_ids)

    def patience(self, unit: Unit) -> float | None:
        """Return the seconds that the unit's check may hold up others; None for all that a drop may take."""
        if unit.turn is Turn.LAST:
            return None
        return self._patience.get(unit.feed, PATIENCE_SECONDS) * (ALONE_FACTOR if len(unit.drops) == 1 else 1)

    def double(self, feed: str) -> None:
        """Be more patient with a feed whose unit was put off: perhaps it is only slow."""
        self._patience[feed] = 2 * self._patience.get(feed, PATIENCE_SECONDS)


def pieces(drops: Sequence[Drop]) -> Sequence[Sequence[Drop]]:
    """Return the drops of a unit that has broken its worker in equal parts, in their order."""
    size = -(-len(drops) // PIECES)
    return [drops[start : start + size] for start in range(0, len(drops), size)]
