"""One drop's entry in the quarantine: a folder that is written beside its place and renamed into it.

So whoever looks finds a whole entry or none. One that is to replace another waits beside it (`.DROP.next`) until the
rows that it leaves out are in the table.
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

from daemon import pages
from daemon.durable import make_folder
from daemon.errors import DiskError
from daemon.origins import ORIGINS
from daemon.reports import Report, encoded

REJECTED, REPORT, PAGE = "rejected.csv", "report.json", "report.html"

#: Bytes of the original's name in an entry; names may have 255 at most.
NAME_BYTES = 200

#: Separators of other systems, what their shells expand, and what a terminal must not be sent.
_UNSAFE = re.compile(r'[\\/:*?"<>|]')


class Entry:
    """One drop's entry while it is written. Ends by `publish` or `discard`; a `with` discards what is not published."""

    def __init__(self, folder: Path) -> None:
        """Start in an empty temporary folder beside `folder`.

        Raises:
            WorkError: the folder cannot be made.
        """
        self._folder = folder
        self._temporary = temporary(folder)
        self._original = ""
        with disk(self._temporary):
            delete(self._temporary)
            make_folder(self._temporary)

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

    def publish(self) -> Path:
        """Put the entry in its place, instead of an older one of the same drop; return its folder.

        Raises:
            WorkError: it cannot be renamed.
        """
        with disk(self._folder):
            try:
                self._temporary.rename(self._folder)
            except OSError as error:
                if error.errno not in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR):
                    raise
                _swap(self._temporary, self._folder)
        return self._folder

    def discard(self) -> None:
        """Delete what was written so far.

        Raises:
            WorkError: it cannot be deleted.
        """
        with disk(self._temporary):
            delete(self._temporary)

    def __enter__(self) -> Self:
        """Return the entry itself."""
        return self

    def __exit__(self, kind: type[BaseException] | None, _: BaseException | None, __: TracebackType | None) -> None:
        """Discard the entry unless it was published."""
        self.discard()


def coming(folder: Path) -> Path:
    """Return where the entry waits that is to replace the one in this folder. It is an entry as any other."""
    return folder.with_name(f".{folder.name}.next")


def promote(folder: Path) -> None:
    """Put the entry that waits beside `folder` in its place. Where none waits it is there already.

    Raises:
        WorkError: it cannot be renamed.
    """
    waiting = coming(folder)
    with disk(folder):
        if waiting.exists():
            _swap(waiting, folder)


def rewrite(folder: Path, report: Report) -> None:
    """Write the report of a published entry anew; whoever reads meanwhile finds the old one or the new one, whole.

    Raises:
        WorkError: the disk is full or cannot be written.
    """
    with disk(folder):
        ours = {REJECTED, REPORT, PAGE, ORIGINS}
        originals = [path.name for path in folder.iterdir() if path.name not in ours and path.name[0] != "."]
        beside = pages.Beside(rejected=(folder / REJECTED).exists(), original="".join(originals[:1]))
        # The one for machines last: it is what tells that both are done.
        for name, data in ((PAGE, pages.html(report, beside)), (REPORT, encoded(report))):
            unfinished = folder / f".{name}.tmp"
            unfinished.write_bytes(data)
            unfinished.replace(folder / name)


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


def temporary(folder: Path) -> Path:
    """Return where an entry is written before it is published."""
    return folder.with_name(f".{folder.name}.tmp")


def replaced(folder: Path) -> Path:
    """Return where an entry lies aside while another one takes its place."""
    return folder.with_name(f".{folder.name}.old")


def delete(folder: Path) -> None:
    """Delete a folder and all in it; one that is not there is fine.

    Raises:
        OSError: it cannot be deleted.
    """
    with contextlib.suppress(FileNotFoundError):
        shutil.rmtree(folder)


@contextlib.contextmanager
def disk(path: Path) -> Iterator[None]:
    """Explain what the operating system says of the quarantine.

    Raises:
        WorkError: in place of an OSError, with the place and what to do.
    """
    try:
        yield
    except OSError as error:
        advice = "Mend its disk, or free some space there; the drop is tried again."
        raise DiskError.kind(error)(f"The quarantine at {path} cannot be used: {error.strerror}. {advice}") from error


def _swap(fresh: Path, folder: Path) -> None:
    """Replace a folder in two renames. A crash between them leaves the older one aside, which a sweep puts back."""
    old = replaced(folder)
    delete(old)
    if folder.exists():
        folder.rename(old)
    fresh.rename(folder)
    delete(old)
