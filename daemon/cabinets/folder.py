"""Entries as folders of this machine: written beside their places and renamed into them.

So whoever looks finds a whole entry or none. `put` alone survives a killed process, not a power cut: `flush` does.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import shutil
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from daemon.cabinets import Kept
from daemon.durable import make_folder, sync

#: Folders are synced one by one up to so many; beyond it one sync of everything is quicker. (An fsync of a small file
#: takes 1 to 5 ms on an SSD, and an entry has three and a folder.)
SYNC_ONE_BY_ONE: Final = 16

_TEMPORARY: Final = re.compile(r"\.(?P<name>.+)\.(?:tmp|old)")


@dataclass(frozen=True)
class FolderCabinet:
    """All entries below one folder, which is made when the first one is kept."""

    root: Path

    def describe(self, key: str = "") -> str:
        """Return the folder's path, or an entry's."""
        return str(self.root / key)

    def key(self, described: str) -> str:
        """Return the entry's path below the folder; one from elsewhere, of older settings, stays as it is."""
        return described.removeprefix(f"{self.root}/")

    def prepare(self) -> None:
        """Do nothing: folders are made when they are needed."""

    def blank(self, key: str) -> Path:
        """Return an empty folder beside the entry's place."""
        blank = _temporary(self.root / key)
        _delete(blank)
        make_folder(blank)
        return blank

    def put(self, blank: Path, key: str) -> None:
        """Rename the blank into its place."""
        folder = self.root / key
        try:
            blank.rename(folder)
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR):
                raise
            _swap(blank, folder)

    def give_up(self, blank: Path) -> None:
        """Delete the blank."""
        _delete(blank)

    def move(self, key: str, to: str) -> None:
        """Rename an entry."""
        if (self.root / key).exists():
            _swap(self.root / key, self.root / to)

    def remove(self, keys: Collection[str]) -> None:
        """Delete entries and their blanks; each is taken out of sight first."""
        for folder in (self.root / key for key in keys):
            blank = _temporary(folder)
            _delete(blank)
            with contextlib.suppress(FileNotFoundError):
                folder.rename(blank)
            _delete(blank)
            _delete(_replaced(folder))

    def has(self, key: str) -> bool:
        """Tell whether there is such a folder."""
        return (self.root / key).is_dir()

    def list(self, customer: str | None = None, feed: str | None = None) -> Iterator[Kept]:
        """Yield the folders two below the root, but for what is being written."""
        for entry in self._entries(customer, feed):
            if not _TEMPORARY.fullmatch(entry.name):
                yield Kept(key=os.path.relpath(entry.path, self.root), at=_changed(entry))

    def names(self, key: str) -> Sequence[str]:
        """Return the names of an entry's files."""
        return sorted(path.name for path in (self.root / key).iterdir() if path.name[0] != ".")

    def read(self, key: str, name: str) -> bytes:
        """Return a file's bytes."""
        return (self.root / key / name).read_bytes()

    def write(self, key: str, name: str, data: bytes) -> None:
        """Write a file beside its place, and rename it."""
        unfinished = self.root / key / f".{name}.tmp"
        unfinished.write_bytes(data)
        unfinished.replace(self.root / key / name)

    @contextmanager
    def near(self, key: str) -> Iterator[Path]:
        """Give the entry itself."""
        yield self.root / key

    def flush(self, keys: Sequence[str]) -> None:
        """Bring entries to the disk: their files, their folders and the names that lead to them."""
        if len(keys) > SYNC_ONE_BY_ONE:
            os.sync()
            return
        for folder in (self.root / key for key in keys):
            for path in (*folder.iterdir(), folder, *list(folder.parents)[:3]):
                sync(path)

    def sweep(self) -> None:
        """Delete blanks, and put back what a crash within a replacement has left aside."""
        for path in [Path(entry.path) for entry in self._entries(None, None)]:
            left = _TEMPORARY.fullmatch(path.name)
            if left is None:
                continue
            place = path.with_name(left["name"])
            if path.suffix == ".old" and not place.exists():
                path.rename(place)
            else:
                _delete(path)

    def clear(self, before: float) -> Iterator[None]:
        """Delete old blanks."""
        for entry in self._entries(None, None):
            if entry.name.startswith(".") and entry.name.endswith(".tmp") and entry.stat().st_mtime < before:
                shutil.rmtree(entry.path)
                yield

    def stop(self) -> None:
        """Do nothing: a disk lets nobody wait."""

    def _entries(self, customer: str | None, feed: str | None) -> Iterator[os.DirEntry[str]]:
        for owner in _scanned(self.root):
            for one in _scanned(owner.path) if customer in (None, owner.name) else ():
                if feed in (None, one.name):
                    yield from _scanned(one.path)


def _temporary(folder: Path) -> Path:
    return folder.with_name(f".{folder.name}.tmp")


def _replaced(folder: Path) -> Path:
    return folder.with_name(f".{folder.name}.old")


def _delete(folder: Path) -> None:
    with contextlib.suppress(FileNotFoundError):
        shutil.rmtree(folder)


def _swap(fresh: Path, folder: Path) -> None:
    """Replace a folder in two renames. A crash between them leaves the older one aside, which a sweep puts back."""
    old = _replaced(folder)
    _delete(old)
    if folder.exists():
        folder.rename(old)
    fresh.rename(folder)
    _delete(old)


def _changed(entry: os.DirEntry[str]) -> float:
    try:
        return entry.stat(follow_symlinks=False).st_mtime_ns / 1e9
    except FileNotFoundError:  # It was replaced or removed since it was listed.
        return 0.0


def _scanned(path: Path | str) -> Iterator[os.DirEntry[str]]:
    """Yield the folders in a folder; none where it does not exist."""
    with contextlib.suppress(FileNotFoundError), os.scandir(path) as entries:
        yield from [entry for entry in entries if entry.is_dir(follow_symlinks=False)]
