"""Drops in the memory of this process: for tests, and for trying a pipeline without a disk."""

from __future__ import annotations

import itertools
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from daemon.errors import ChangedError, SourceError
from daemon.model import After, Found
from daemon.sources import Tried, one_by_one
from daemon.sources.names import left_out_path


@dataclass(frozen=True, kw_only=True, slots=True)
class _Object:
    data: bytes
    version: str
    modified: float


class MemorySource:
    """A source that is filled by calling `put`. A copy that travels to a worker has the objects of that moment."""

    def __init__(self, *, settle_seconds: float = 0.0) -> None:
        """Start empty."""
        #: What was settled with `archive`: (name, version) -> bytes.
        self.archived: dict[tuple[str, str], bytes] = {}
        #: What was left for customers.
        self.letters: dict[str, bytes] = {}
        self._archived_at: dict[tuple[str, str], float] = {}
        self._settle_seconds = settle_seconds
        self._objects: dict[str, _Object] = {}
        self._versions = itertools.count(1)
        self._wakes: tuple[Callable[[], None], ...] = ()

    def __getstate__(self) -> dict[str, object]:
        """Travel without whom to wake."""
        return {**self.__dict__, "_wakes": ()}

    def put(self, name: str, data: bytes, *, modified: float = 0.0) -> None:
        """Drop an object, or another version of it, at unix second `modified`."""
        self._objects[name] = _Object(data=data, version=str(next(self._versions)), modified=modified)
        for wake in self._wakes:
            wake()

    def take(self, name: str) -> None:
        """Remove an object, as its customer might."""
        del self._objects[name]

    def describe(self) -> str:
        """Say that it is the memory."""
        return "memory"

    def prepare(self) -> None:
        """Do nothing: the memory is there."""

    def list(self) -> Iterator[Found]:
        """Yield the objects of now."""
        for name, it in tuple(self._objects.items()):
            if not left_out_path(name):
                uri = "memory:///" + quote(name, errors="surrogateescape")
                yield Found(uri=uri, name=name, version=it.version, size=len(it.data), modified=it.modified)

    def seconds_to_complete(self, found: Found, seen_seconds: float, now: float) -> float:
        """Tell what is left of the settling time."""
        return max(0.0, self._settle_seconds - max(now - found.modified, seen_seconds))

    def ahead(self, founds: Sequence[Found]) -> AbstractContextManager[None]:
        """Do nothing: nothing is nearer."""
        del founds
        return nullcontext()

    @contextmanager
    def fetch(self, found: Found) -> Iterator[Path]:
        """Write the bytes into a file that lives as long as the `with`."""
        data = self._current(found).data
        with tempfile.TemporaryDirectory(prefix="blobdrop-") as folder:
            path = Path(folder, "drop")
            path.write_bytes(data)
            try:
                yield path
            finally:
                self._current(found)

    def settle(self, found: Found, after: After) -> None:
        """Leave, forget or archive the object."""
        it = self._objects.get(found.name)
        if after is After.KEEP or it is None or it.version != found.version:
            return
        if after is After.ARCHIVE:
            self.archived[found.name, found.version] = it.data
            self._archived_at[found.name, found.version] = time.time()
        del self._objects[found.name]

    def settle_all(self, founds: Sequence[Found], after: After) -> Iterator[tuple[Found, SourceError | None]]:
        """Settle objects one after the other."""
        return one_by_one(self.settle, founds, after)

    def leave(self, letters: Sequence[tuple[str, bytes]]) -> Sequence[SourceError]:
        """Put the files, as of now; they are in `letters` too."""
        self.letters.update(letters)
        for name, data in letters:
            self.put(name, data, modified=time.time())
        return ()

    def flush(self) -> None:
        """Do nothing: no memory survives a power cut."""

    def expire(self, before: float) -> Iterator[int]:
        """Forget what was archived before then, one at each step."""
        for key in [key for key, at in self._archived_at.items() if at < before]:
            del self.archived[key], self._archived_at[key]
            yield 1

    @contextmanager
    def watch(self, wake: Callable[[], None]) -> Iterator[None]:
        """Wake at every `put`."""
        self._wakes = (*self._wakes, wake)
        try:
            yield
        finally:
            self._wakes = tuple(each for each in self._wakes if each is not wake)

    def probe(self) -> Iterator[Tried]:
        """Say that all can be done."""
        yield from (Tried(what=what, says="memory") for what in ("list", "write", "read", "delete"))

    def stop(self) -> None:
        """Do nothing: nothing is waited for."""

    def _current(self, found: Found) -> _Object:
        it = self._objects.get(found.name)
        if it is None or it.version != found.version:
            raise ChangedError(f"{found.uri} changed or vanished; it is found again in its new version")
        return it
