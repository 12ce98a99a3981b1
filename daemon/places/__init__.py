"""The seam to where tables keep their files: a folder, or the blobs of a container below a prefix.

Paths are below the place, with `/` between their parts. Every method raises OSError, as a disk does: FileNotFoundError
for what is not there, any other with a `strerror` that says what is wrong. Workers use places too: they are picklable.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

#: The number of errors of places that are no disk: "Remote I/O error". Their text says all.
REMOTE: Final = errno.EREMOTEIO


@dataclass(frozen=True, kw_only=True, slots=True)
class File:
    """A file as it lies there."""

    path: str
    #: Bytes.
    size: int
    #: Unix seconds.
    modified: float


class Place(Protocol):
    """Where files lie. Any thread may use it."""

    @property
    def url(self) -> str:
        """What deltalake calls the place."""

    @property
    def options(self) -> dict[str, str]:
        """What deltalake needs to open it; nothing for a folder."""

    @property
    def is_local(self) -> bool:
        """Whether its files lie on this machine."""

    def describe(self, path: str = "") -> str:
        """Say where the place is, or a file of it, for people."""

    def prepare(self) -> None:
        """Make the place ready when the daemon starts; find out what cannot work."""

    def below(self, folder: str) -> Place:
        """Return the place that is a folder of this one."""

    def folders(self) -> Sequence[str]:
        """Return the names of the folders directly in it; none where there is no such place yet."""

    def list(self, start: str) -> Iterator[File]:
        """Yield the files that lie in a folder of the place and whose paths begin so, `date=` or `logs/7`, say."""

    def look(self, paths: Sequence[str]) -> Sequence[File | None]:
        """Return what lies under each of these paths now; None for nothing."""

    def read(self, path: str) -> bytes:
        """Return the bytes of a small file."""

    def near(self, paths: Sequence[str]) -> AbstractContextManager[Sequence[Path]]:
        """Give files with their bytes on this machine, for the length of a `with`: each at the end of a like path."""

    def draft(self, path: str) -> Path:
        """Return where to write, on this machine, the file that `keep` puts under the path."""

    def keep(self, path: str) -> None:
        """Put a finished draft under its path, as a whole; its bytes survive a power cut then."""

    def flush(self, paths: Sequence[str]) -> None:
        """Make files, and the names that lead to them, survive a power cut; those that are gone are passed over."""

    def remove(self, paths: Sequence[str]) -> int:
        """Delete files and their drafts; return how many files were there. One that is not there is fine."""

    def alone(self, path: str) -> AbstractContextManager[bool]:
        """Tell for the length of a `with` whether nobody else has asked for the same path: the file locks something."""

    def stop(self) -> None:
        """Have whatever waits for the place give up soon, with an error. From any thread, or a signal's handler."""
