"""Has signals read by workers, so that a hostile file harms nobody, and keeps what they say until it is asked for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from concurrent.futures import CancelledError, Future

from daemon.errors import UndoneError, WorkerError
from daemon.model import Found
from daemon.parts import Parts
from daemon.signals import Listed

#: A version of an object: its uri and version.
Key = tuple[str, str]


class Signalling:
    """Reads signals. Its methods are called by one thread, listing after listing."""

    def __init__(self, parts: Parts) -> None:
        """Read nothing yet."""
        self._workers, self._source, self._wake = parts.workers, parts.source, parts.wake
        self._attempts = parts.rules.attempts
        self._reading: dict[Key, Future[Listed]] = {}
        self._read: dict[Key, Listed] = {}
        #: How many workers were lost over a signal.
        self._lost: Counter[Key] = Counter()

    @property
    def busy(self) -> bool:
        """Whether a signal is being read, or was, and nobody has asked."""
        return bool(self._reading)

    @property
    def answered(self) -> bool:
        """Whether something was read that nobody has asked for yet."""
        return any(future.done() for future in self._reading.values())

    def forget(self, shown: Collection[Key]) -> None:
        """Forget all but these versions: the others are not there any more."""
        self._reading = {key: future for key, future in self._reading.items() if key in shown}
        self._read = {key: listed for key, listed in self._read.items() if key in shown}
        self._lost = Counter({key: count for key, count in self._lost.items() if key in shown})

    def listed(self, found: Found) -> Listed | None:
        """Return the days that a signal lists; None while they are being read.

        Raises:
            SourceError: it cannot be fetched; a ChangedError if it is another version by now.
            UndoneError: no worker could be started.
        """
        key = (found.uri, found.version)
        if key not in self._read:
            if key not in self._reading:
                self._begin(key, found)
            if self._reading[key].done():
                self._end(key, found)
        return self._read.get(key)

    def _begin(self, key: Key, found: Found) -> None:
        self._reading[key] = self._workers.signal(found, self._source)
        self._reading[key].add_done_callback(lambda _: self._wake())

    def _end(self, key: Key, found: Found) -> None:
        """Keep what was read. Where a worker was lost, have it read again; after some goes the signal is to blame."""
        try:
            self._read[key] = self._workers.result(self._reading.pop(key))
        except UndoneError:
            raise
        except WorkerError as error:
            self._lost[key] += not isinstance(error.__cause__, CancelledError)
            if self._lost[key] < self._attempts:
                self._begin(key, found)
            else:
                self._read[key] = Listed(trouble=f"it cannot be read: {error}")
