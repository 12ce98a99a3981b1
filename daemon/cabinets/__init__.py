"""The seam to where quarantine entries lie: small folders of files, each there as a whole or not at all.

An entry's key is `CUSTOMER/FEED/NAME`; names that begin with a dot are of entries that wait for something. Every method
raises OSError, as a disk does. A cabinet is picklable: workers use it too.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

#: The file that every entry has, and that is the last one to come and the first one to go.
REPORT: Final = "report.json"


@dataclass(frozen=True, kw_only=True, slots=True)
class Kept:
    """An entry as it lies there."""

    key: str
    #: When it came, or was changed last; unix seconds.
    at: float
    #: Whether it is whole; where not, its writer is at work, or was killed.
    whole: bool = True

    @property
    def name(self) -> str:
        """The last part of its key."""
        return self.key.rpartition("/")[2]


class Cabinet(Protocol):
    """Where entries lie."""

    def describe(self, key: str = "") -> str:
        """Say where the cabinet is, or an entry, for people."""

    def key(self, described: str) -> str:
        """Return the key of the entry of which `describe` has said so."""

    def prepare(self) -> None:
        """Make the cabinet ready when the daemon starts; find out what cannot work."""

    def blank(self, key: str) -> Path:
        """Return an empty folder of this machine, to write the entry's files to."""

    def put(self, blank: Path, key: str) -> None:
        """Make what was written to the blank the entry, in place of an older one of its key."""

    def give_up(self, blank: Path) -> None:
        """Delete a blank; one that is gone, or was put, is fine."""

    def move(self, key: str, to: str) -> None:
        """Give an entry another key, in place of the one there. Where there is none, it has been moved already."""

    def remove(self, keys: Collection[str]) -> None:
        """Delete entries, whole or not. One that is not there is fine."""

    def has(self, key: str) -> bool:
        """Tell whether there is such an entry."""

    def list(self, customer: str | None = None, feed: str | None = None) -> Iterator[Kept]:
        """Yield the entries, those that wait too, in no order: of one customer's folder, one feed's, or all."""

    def names(self, key: str) -> Sequence[str]:
        """Return the names of an entry's files."""

    def read(self, key: str, name: str) -> bytes:
        """Return the bytes of an entry's file."""

    def write(self, key: str, name: str, data: bytes) -> None:
        """Write a file of an entry anew; whoever reads it meanwhile gets all of the old one or of the new one."""

    def near(self, key: str) -> AbstractContextManager[Path]:
        """Give a folder of this machine with the entry's files, for the length of a `with`: none where it is gone."""

    def flush(self, keys: Sequence[str]) -> None:
        """Make entries survive a power cut.

        Raises:
            FileNotFoundError: one is not there.
        """

    def sweep(self) -> None:
        """Clear away what killed writers have left, but for entries that wait. Only while nobody writes."""

    def clear(self, before: float) -> Iterator[None]:
        """Delete, one at each step, what writers have not finished and not touched since then, unix seconds."""

    def stop(self) -> None:
        """Have whatever waits for the cabinet give up soon. From any thread, or a signal's handler."""
