"""One drop's entry in the quarantine: written to a blank on this machine, then put in its place as a whole.

One that is to replace another waits beside it (`.DROP.next`) until the rows that it leaves out are in the table.
"""

from __future__ import annotations

import contextlib
import errno
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

from daemon.cabinets import REPORT, Cabinet
from daemon.errors import DiskError
from daemon.quarantine.origins import ORIGINS
from daemon.reports import Report, encoded, pages

__all__ = ["NAME_BYTES", "PAGE", "REJECTED", "REPORT", "Entry", "coming", "disk", "rewrite", "safe_name"]

REJECTED, PAGE = "rejected.csv", "report.html"

#: Bytes of the original's name in an entry; names may have 255 at most.
NAME_BYTES = 200

#: Separators of other systems, what their shells expand, and what a terminal must not be sent.
_UNSAFE = re.compile(r'[\\/:*?"<>|]')


class Entry:
    """One drop's entry while it is written. Ends by `publish` or `discard`; a `with` discards what is not published."""

    def __init__(self, cabinet: Cabinet, key: str) -> None:
        """Start in an empty blank.

        Raises:
            WorkError: it cannot be made.
        """
        self._cabinet, self._key = cabinet, key
        self._original = ""
        with disk(cabinet.describe(key)):
            self._temporary = cabinet.blank(key)

    @property
    def rejected_path(self) -> Path:
        """Where to write rejected.csv, for as long as the entry is not published."""
        return self._temporary / REJECTED

    def keep_original(self, path: Path, name: str) -> Path:
        """Copy the file as it came into the entry, under its own name made safe; return where it is.

        A copy, never a link: whoever changes the dropped file must not change what was kept of it.

        Args:
            path: a local file with the bytes.
            name: the dropped object's path below the source's root.

        Raises:
            WorkError: it cannot be read, or the disk is full.
        """
        self._original = safe_name(name)
        with disk(self._temporary):
            return Path(shutil.copyfile(path, self._temporary / self._original))

    def write_report(self, report: Report) -> None:
        """Write report.json and report.html. Call it last: the page speaks of the files that are there.

        Raises:
            WorkError: the disk is full or cannot be written.
        """
        beside = pages.Beside(rejected=self.rejected_path.exists(), original=self._original)
        with disk(self._temporary):
            (self._temporary / REPORT).write_bytes(encoded(report))
            (self._temporary / PAGE).write_bytes(pages.html(report, beside))

    def publish(self) -> str:
        """Put the entry in its place, instead of an older one of the same drop; return where that is.

        Raises:
            WorkError: it cannot be put there.
        """
        where = self._cabinet.describe(self._key)
        with disk(where):
            self._cabinet.put(self._temporary, self._key)
        return where

    def discard(self) -> None:
        """Delete what was written so far.

        Raises:
            WorkError: it cannot be deleted.
        """
        with disk(self._cabinet.describe(self._key)):
            self._cabinet.give_up(self._temporary)

    def __enter__(self) -> Self:
        """Return the entry itself."""
        return self

    def __exit__(self, kind: type[BaseException] | None, _: BaseException | None, __: TracebackType | None) -> None:
        """Discard the entry unless it was published."""
        self.discard()


def coming(key: str) -> str:
    """Return the key of the entry that waits to replace another. It is an entry as any other."""
    above, slash, name = key.rpartition("/")
    return f"{above}{slash}.{name}.next"


def rewrite(cabinet: Cabinet, key: str, report: Report) -> None:
    """Write the report of a published entry anew; whoever reads meanwhile finds the old one or the new one, whole.

    Raises:
        WorkError: the quarantine cannot be written.
    """
    with disk(cabinet.describe(key)):
        names = cabinet.names(key)
        originals = [name for name in names if name not in {REJECTED, REPORT, PAGE, ORIGINS}]
        beside = pages.Beside(rejected=REJECTED in names, original="".join(originals[:1]))
        # The one for machines last: it is what tells that both are done.
        for name, data in ((PAGE, pages.html(report, beside)), (REPORT, encoded(report))):
            cabinet.write(key, name, data)


def safe_name(name: str) -> str:
    """Return the last part of a dropped object's path as a file name that every system and terminal bears.

    At most 200 bytes with its suffix kept, no control characters or separators, and never a name of our own files.
    """
    last = "".join(c if c.isprintable() else "_" for c in _UNSAFE.sub("_", name.rsplit("/", 1)[-1]))
    last = last.lstrip(". ") or "original"
    last = f"original-{last}" if last in (REJECTED, REPORT, PAGE, ORIGINS) else last
    suffix = last[last.rfind(".") :] if "." in last[-10:] else ""
    room = NAME_BYTES - len(suffix.encode())
    return last if len(last.encode()) <= NAME_BYTES else last.encode()[:room].decode("utf-8", "ignore") + suffix


@contextlib.contextmanager
def disk(path: Path | str) -> Iterator[None]:
    """Explain what the operating system says of the quarantine.

    Raises:
        WorkError: in place of an OSError, with the place and what to do.
    """
    try:
        yield
    except OSError as error:
        if error.errno == errno.EREMOTEIO:
            raise DiskError(f"The quarantine cannot be used: {error.strerror}") from error
        advice = "Mend its disk, or free some space there; the drop is tried again."
        raise DiskError.kind(error)(f"The quarantine at {path} cannot be used: {error.strerror}. {advice}") from error
