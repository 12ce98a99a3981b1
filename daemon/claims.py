"""The drops that are claimed: each is under way from its claim in the ledger until the ledger has its outcome."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Sequence

from daemon.ledger import Ledger
from daemon.model import Drop
from daemon.quarantine import Quarantine


class Claims:
    """Claims drops in the ledger, and remembers which are claimed. One thread changes it; others may ask.

    A drop that is let go of without an outcome has no quarantine entry, whatever a worker has published of it: the next
    go may come to something else, or there may be none.
    """

    def __init__(self, ledger: Ledger, quarantine: Quarantine, clock: Callable[[], float] = time.time) -> None:
        """Claim nothing yet."""
        self._ledger, self._quarantine, self._clock = ledger, quarantine, clock
        self._drops: dict[str, Drop] = {}
        self._uris: set[str] = set()

    def __len__(self) -> int:
        """Return how many drops are claimed."""
        return len(self._drops)

    def __getitem__(self, drop_id: str) -> Drop:
        """Return a claimed drop."""
        return self._drops[drop_id]

    def of(self, feeds: Collection[str]) -> int:
        """Return how many drops of these feeds are claimed."""
        return sum(drop.feed in feeds for drop in self._drops.values())

    def at_work(self, uri: str) -> bool:
        """Whether a version of this object is claimed."""
        return uri in self._uris

    def claim(self, drops: Sequence[Drop]) -> Sequence[Drop]:
        """Claim drops; return those that nobody has worked before, as attempts of now."""
        claimed = self._ledger.claim(drops, self._clock())
        self._drops.update((drop.id, drop) for drop in claimed)
        self._uris.update(drop.found.uri for drop in claimed)
        return claimed

    def give_back(
        self, ids: Iterable[str], reason: str, *, log: str = "", wait_seconds: float = 0.0, counts: bool = True
    ) -> None:
        """Let go of drops that are to be worked later, `wait_seconds` from now; `counts` as an attempt."""
        ids, now = list(ids), self._clock()
        self.withdraw(ids)
        self._ledger.give_back(ids, now, reason, log=log, not_before=now + wait_seconds, counts=counts)
        self.release(ids)

    def gone(self, ids: Sequence[str]) -> None:
        """Let go of drops whose objects are not there any more in that version."""
        self.withdraw(ids)
        self._ledger.gone(ids, self._clock())
        self.release(ids)

    def withdraw(self, ids: Iterable[str]) -> None:
        """Take back what workers have published of drops.

        Raises:
            WorkError: the quarantine cannot be written.
        """
        drops = (self._drops[drop_id] for drop_id in ids if drop_id in self._drops)
        self._quarantine.remove_all((drop.customer, drop.feed, drop.id) for drop in drops)

    def release(self, ids: Iterable[str]) -> None:
        """Let go of drops about which the ledger knows already."""
        for drop_id in ids:
            drop = self._drops.pop(drop_id, None)
            if drop is not None:
                self._uris.discard(drop.found.uri)

    def give_back_all(self, reason: str) -> None:
        """Let go of every drop; none of them counts as an attempt."""
        self.give_back(list(self._drops), reason, counts=False)

    def clear(self) -> None:
        """Forget every claim; the ledger is brought up to date by recovery."""
        self._drops.clear()
        self._uris.clear()
