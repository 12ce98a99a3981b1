"""The seam to where drops land. An implementation is picklable: workers fetch by themselves."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from daemon.errors import SourceError
from daemon.model import After, Found


@dataclass(frozen=True, kw_only=True, slots=True)
class Tried:
    """What came of trying one thing that the daemon does to a place."""

    #: list, read, write or delete.
    what: str
    says: str = ""
    error: SourceError | None = None
    #: By how much the place's clock is ahead of ours, where that shows.
    skew_seconds: float = 0.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Archived:
    """An object of the archive, as the drop that it most probably was."""

    #: The object as its listing showed it then, as far as that can be told.
    found: Found
    #: As it lies in the archive now, to be fetched.
    kept: Found
    #: When it came there; unix seconds.
    at: float


class Source(Protocol):
    """A place where customers drop files."""

    def describe(self) -> str:
        """Say in a few words where drops go: the folder or the container, for people."""

    def prepare(self) -> None:
        """Make the place ready when the daemon starts: create what is missing, find out what cannot work.

        Raises:
            SourceError: it cannot be reached or created now.
        """

    def list(self) -> Iterator[Found]:
        """Yield every object that may be a drop, and every `_READY` marker, complete or not, in no order.

        Left out: temporary names and everything below folders that start with `_` or `.` (see `sources.names`),
        folders themselves, but for one that is called like a marker: its name and uri end in `/`. Does not open files.
        What cannot be looked into is logged once, and the listing goes on.

        Raises:
            SourceError: the place cannot be listed now; nothing is known about what is missing.
        """

    def seconds_to_complete(self, found: Found, seen_seconds: float, now: float) -> float:
        """Tell how long it takes until the object counts as complete if nothing changes it; 0.0: it is complete.

        `seen_seconds`: for how long the caller's listings have shown this very version; 0.0 at first sight.
        `now`: unix seconds when the listing began. Never touches the object.
        """

    def ahead(self, founds: Sequence[Found]) -> AbstractContextManager[None]:
        """Bring objects that are fetched soon, for the length of a `with`; where they are near, do nothing.

        What is wrong with one of them is told when it is fetched.

        Raises:
            UnreachableError: the place does not answer, whatever the object.
            DiskError: they do not fit onto the disk.
        """

    def fetch(self, found: Found) -> AbstractContextManager[Path]:
        """Give a local file with the bytes of just this version, for the length of a `with`.

        Where that is not a copy, the version is looked at again on leaving, also by an error: what was read from a file
        that changed meanwhile, and what is wrong with it, is not believed.

        Raises:
            ChangedError: the object is gone or another version, on entering or on leaving.
            UnreachableError: the place does not answer, whatever the object.
            SourceError: it cannot be read (a right that is missing, a disk), which a later try may mend.
        """

    def settle(self, found: Found, after: After) -> None:
        """Do to the object what its drop's end asks for. Never touches another version of the object.

        Idempotent: an object that is gone is done. A power cut may undo it as long as `flush` was not called.

        Raises:
            SourceError: it could not be done now; it is tried again.
        """

    def settle_all(self, founds: Sequence[Found], after: After) -> Iterator[tuple[Found, SourceError | None]]:
        """Settle each of many, perhaps at once, in any order; yield each with what went wrong, None for nothing."""

    def leave(self, letters: Sequence[tuple[str, bytes]]) -> Sequence[SourceError]:
        """Put small files beside the drops, each whole or not at all, in place of older ones of their names.

        Returns:
            Why some could not be put, and could not be later, though the others are there: a name is too long, or
            somebody keeps what lies under it.

        Raises:
            MissingRightError: a right is missing.
            SourceError: not all of them could be put now.
        """

    def flush(self) -> None:
        """Make what was settled so far survive a power cut. To be called before the ledger says that it is settled.

        Raises:
            SourceError: nothing may be believed to be settled for good.
        """

    def expire(self, before: float) -> Iterator[int]:
        """Remove what settling has archived before then, unix seconds; never an object that was not archived.

        In small steps: yields after each how many objects it has removed since the one before, so that the caller may
        stop or do something else. Idempotent.

        Raises:
            SourceError: something cannot be removed now; it is tried again.
        """

    def watch(self, wake: Callable[[], None]) -> AbstractContextManager[None]:
        """Call `wake` (from any thread, often) when something may have arrived, for the length of a `with`.

        A hint that makes the loop quick, never needed: a listing is the truth. May do nothing.
        """

    def probe(self) -> Iterator[Tried]:
        """Try what the daemon does, on an object of our own below `_blobdrop/` that is gone afterwards."""

    def stop(self) -> None:
        """Have whatever waits for the place give up soon, with an error. From any thread, or a signal's handler."""


class Archiving(Source, Protocol):
    """A source whose archive can be looked into when the ledger is lost."""

    def archived(self) -> Iterator[Archived]:
        """Yield what lies in the archive, as the drops that it was.

        Raises:
            SourceError: it cannot be looked into.
        """


def one_by_one(
    settle: Callable[[Found, After], None], founds: Sequence[Found], after: After
) -> Iterator[tuple[Found, SourceError | None]]:
    """Settle objects one after the other, for sources that have no better way of `settle_all`."""
    for found in founds:
        try:
            settle(found, after)
        except SourceError as error:
            yield found, error
        else:
            yield found, None


def tried(what: str, call: Callable[[], object], says: str) -> Tried:
    """Try one thing, for `probe`."""
    try:
        call()
    except SourceError as error:
        return Tried(what=what, error=error)
    return Tried(what=what, says=says)
