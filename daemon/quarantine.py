"""Keeps rejected rows and their reports in folders, one for each drop, and lists them. Never judges.

`ROOT/CUSTOMER/FEED/DROP/` holds rejected.csv, report.json, report.html, and for a rejected file the original. An entry
is written in a folder beside it and renamed into its place, so that whoever looks finds a whole one or none.

Power cuts: `publish` alone survives a killed process, not a power cut. Before the ledger says that a drop is done, one
`flush` over a batch's folders brings all of them to the disk: thousands of small entries cost one pass, not thousands.
"""

from __future__ import annotations

import contextlib
import difflib
import json
import os
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from daemon.durable import sync
from daemon.entries import REPORT, Entry, coming, delete, disk, promote, replaced, rewrite, temporary
from daemon.errors import NotFoundError, WorkError
from daemon.feeds import folder_name
from daemon.reports import Report, parsed
from validators.sentences import printable

#: Folders are synced one by one up to so many; beyond it one sync of everything is quicker. (An fsync of a small file
#: takes 1 to 5 ms on an SSD, and an entry has three and a folder.)
SYNC_ONE_BY_ONE = 16
#: Ids that an error suggests.
SUGGESTIONS = 3

_TEMPORARY = re.compile(r"\.(?P<drop>.+)\.(?:tmp|old)")
_COMING = re.compile(r"\..+\.next")


@dataclass(frozen=True, kw_only=True)
class Listed:
    """One entry as a list shows it."""

    folder: Path
    #: None when it cannot be read.
    report: Report | None
    #: Why the report cannot be read; empty when it can.
    damaged: str = ""


class Quarantine:
    """All entries below one folder, which is made when the first one is kept."""

    def __init__(self, root: Path) -> None:
        """Look at nothing yet."""
        self._root = root

    def open(self, customer: str, feed: str, drop_id: str, *, pending: bool = False) -> Entry:
        """Start the drop's entry anew; nothing shows until it is published.

        With `pending` it is published as one that waits beside the drop's entry until `entries.promote` puts it there.

        Raises:
            WorkError: the folder cannot be made.
        """
        folder = self.folder(customer, feed, drop_id)
        return Entry(coming(folder) if pending else folder)

    def folder(self, customer: str, feed: str, drop_id: str) -> Path:
        """Return where the drop's entry is, or would be."""
        return self._root / folder_name(customer) / folder_name(feed) / folder_name(drop_id)

    def remove(self, customer: str, feed: str, drop_id: str) -> None:
        """Delete the drop's entry, published or not. One that is not there is fine.

        Raises:
            WorkError: it cannot be deleted.
        """
        folder = self.folder(customer, feed, drop_id)
        with disk(folder):
            for path in (folder, temporary(folder), replaced(folder), coming(folder)):
                delete(path)

    def list(
        self, *, customer: str | None = None, feed: str | None = None, limit: int | None = None
    ) -> tuple[Listed, ...]:
        """Return the entries, the newest first. One that cannot be read is listed too, with the reason.

        Args:
            customer: only this one's; None for all.
            feed: only this one's; None for all.
            limit: only so many of the newest; the reports of the others are not even read.

        Raises:
            WorkError: the quarantine cannot be looked into.
        """
        with disk(self._root):
            found = sorted(self._folders(customer, feed), key=_published, reverse=True)
        listed = [_listed(Path(entry.path)) for entry in found[:limit]]
        return tuple(sorted(listed, key=lambda one: one.report.finished_at if one.report else 0.0, reverse=True))

    def find(self, drop: str) -> Path:
        """Return the folder of the entry with this drop id, or the only one whose id begins so.

        Raises:
            NotFoundError: there is none, or more than one; the message names those that were probably meant.
            WorkError: the quarantine cannot be looked into.
        """
        with disk(self._root):
            folders = {entry.name: Path(entry.path) for entry in self._folders(None, None)}
        wanted = folder_name(drop.strip())
        fitting = [wanted] if wanted in folders else sorted(name for name in folders if name.startswith(wanted))
        if len(fitting) == 1 and drop.strip():
            return folders[fitting[0]]
        raise NotFoundError(_not_found(drop, fitting, list(folders)))

    def supersede(self, folder: Path, later: str) -> None:
        """Have an entry's report say that the drop `later` has taken its drop's place. Repeating it changes nothing.

        An entry that is gone, or cannot be read, is left as it is: the ledger knows.

        Raises:
            WorkError: the disk failed.
        """
        listed = _listed(folder)
        if listed.report is not None and listed.report.superseded_by != later:
            rewrite(folder, replace(listed.report, superseded_by=later))

    def sweep(self) -> None:
        """Clear away what killed workers have left. Only while no worker is at work: at the daemon's start.

        Raises:
            WorkError: something cannot be cleared away.
        """
        with disk(self._root):
            for feed in self._feeds(None, None):
                for entry in list(_scanned(feed)):
                    _sweep(Path(entry.path))

    def sweep_pending(self) -> None:
        """Delete the entries that wait for a batch which was not committed. Only while no batch is open.

        Raises:
            WorkError: one cannot be deleted.
        """
        with disk(self._root):
            for feed in self._feeds(None, None):
                for entry in [one for one in _scanned(feed) if _COMING.fullmatch(one.name)]:
                    delete(Path(entry.path))

    def promote_where(self, is_committed: Callable[[Report], bool]) -> None:
        """Put the entries that wait for a batch in their places, where that was committed. Only while no batch is open.

        Raises:
            WorkError: one cannot be read or renamed.
        """
        for feed in self._feeds(None, None):
            for entry in [Path(one.path) for one in _scanned(feed) if _COMING.fullmatch(one.name)]:
                if is_committed(read_report(entry)):
                    promote(entry.with_name(entry.name.removeprefix(".").removesuffix(".next")))

    def flush(self, folders: Iterable[Path]) -> None:
        """Bring published entries to the disk, so that they survive a power cut.

        Call it once for a batch, before the ledger says that its drops are done.

        Raises:
            WorkError: the disk failed; nothing may be believed to be kept.
        """
        several = tuple(folders)
        if len(several) > SYNC_ONE_BY_ONE:
            os.sync()
            return
        for folder in several:
            with disk(folder):
                _sync_entry(folder)

    def _folders(self, customer: str | None, feed: str | None) -> Iterator[os.DirEntry[str]]:
        for path in self._feeds(customer, feed):
            yield from (entry for entry in _scanned(path) if not entry.name.startswith("."))

    def _feeds(self, customer: str | None, feed: str | None) -> Iterator[str]:
        for owner in _scanned(self._root):
            if customer is None or owner.name == folder_name(customer):
                wanted = None if feed is None else folder_name(feed)
                yield from (one.path for one in _scanned(owner.path) if wanted in (None, one.name))


def read_report(folder: Path) -> Report:
    """Return the report in an entry's folder.

    Raises:
        NotFoundError: there is no report in the folder.
        WorkError: it cannot be read, or is damaged.
    """
    path = folder / REPORT
    try:
        return parsed(json.loads(path.read_bytes()))
    except FileNotFoundError as error:
        raise NotFoundError(f"There is no {REPORT} in {folder}.") from error
    except OSError as error:
        raise WorkError(f"Cannot read {path}: {error.strerror or error}.") from error
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise WorkError(
            f"{path} is damaged ({type(error).__name__}: {error}). `blobdrop retry {folder.name}` makes it anew."
        ) from error


def _not_found(drop: str, fitting: list[str], known: list[str]) -> str:
    if fitting:
        some = ", ".join(fitting[:SUGGESTIONS]) + (", ..." if len(fitting) > SUGGESTIONS else "")
        return f"{len(fitting)} drops in quarantine begin with '{printable(drop)}': {some}. Give more of the id."
    near = difflib.get_close_matches(drop, known, n=SUGGESTIONS)
    hint = f" Did you mean {' or '.join(near)}?" if near else ""
    return f"There is no drop '{printable(drop)}' in quarantine.{hint} `blobdrop quarantine list` shows what there is."


def _listed(folder: Path) -> Listed:
    try:
        return Listed(folder=folder, report=read_report(folder))
    except (NotFoundError, WorkError) as error:
        return Listed(folder=folder, report=None, damaged=str(error))


def _published(entry: os.DirEntry[str]) -> int:
    try:
        return entry.stat(follow_symlinks=False).st_mtime_ns
    except FileNotFoundError:  # It was replaced or removed since it was listed.
        return 0


def _scanned(path: Path | str) -> Iterator[os.DirEntry[str]]:
    """Yield the folders in a folder; none where it does not exist."""
    with contextlib.suppress(FileNotFoundError), os.scandir(path) as entries:
        yield from (entry for entry in entries if entry.is_dir(follow_symlinks=False))


def _sweep(path: Path) -> None:
    left = _TEMPORARY.fullmatch(path.name)
    if left is None:
        return
    place = path.with_name(left["drop"])
    if path.suffix == ".old" and not place.exists():
        path.rename(place)
    else:
        delete(path)


def _sync_entry(folder: Path) -> None:
    """Bring an entry's files, its folder and the names that lead to it to the disk."""
    for path in (*folder.iterdir(), folder, *list(folder.parents)[:3]):
        sync(path)
