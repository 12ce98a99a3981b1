"""The archive of a folder: which drop each file was, and the removal of those that have been there long enough."""

# Names may be any bytes, and a Path for each of 100,000 files costs more than its stat.
# ruff: noqa: PTH106, PTH108
from __future__ import annotations

import contextlib
import os
import re
import stat
from collections.abc import Callable, Iterator
from typing import Final

from daemon.model import Found
from daemon.sources import Archived
from daemon.sources.moving import ARCHIVE, COMPRESSIONS, version_of

#: A drop's id as `moving.archive` puts it into a name that was taken, or over it as a folder.
_ID: Final = re.compile(r"[0-9a-f]{16}")
#: Files looked at between two chances to do something else.
STEP: Final = 256


def archived(root: str, uri_of: Callable[[str], str]) -> Iterator[Archived]:
    """Yield every file of the archive below `root`; `uri_of` gives the uri of a name below the root."""
    for name, status in _files(f"{root}/{ARCHIVE}"):
        yield Archived(
            # A rename keeps what the version is made of, a copy does not.
            found=_found(name, status, uri_of),
            kept=_object(f"{ARCHIVE}/{name}", status, uri_of),
            # Nobody can set the ctime back, as `cp -p` and rsync do with the mtime.
            at=max(status.st_ctime, 0.0),
        )


def expire(root: str, before: float) -> Iterator[int]:
    """Remove the files that came into the archive before then, unix seconds, and folders that are empty then.

    Yields now and then how many it has removed since; whoever asks for the next may do something else meanwhile.
    """
    removed = 0
    for looked, (name, status) in enumerate(_files(f"{root}/{ARCHIVE}"), start=1):
        if status.st_ctime < before:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(f"{root}/{ARCHIVE}/{name}")
                removed += 1
            _remove_empty(f"{root}/{ARCHIVE}", os.path.dirname(name))  # noqa: PTH120
        if looked % STEP == 0:
            yield removed
            removed = 0
    yield removed


def _files(folder: str) -> Iterator[tuple[str, os.stat_result]]:
    """Yield every regular file below a folder, by its path in it."""
    prefixes = [""]
    while prefixes:
        prefix = prefixes.pop()
        with contextlib.suppress(FileNotFoundError), os.scandir(f"{folder}/{prefix}") as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    prefixes.append(f"{prefix}{entry.name}/")
                elif not entry.name.startswith("."):  # a copy that is still being made
                    status = entry.stat(follow_symlinks=False)
                    if stat.S_ISREG(status.st_mode):
                        yield prefix + entry.name, status


def _remove_empty(folder: str, prefix: str) -> None:
    """Remove a folder of the archive and those above it, as long as they are empty."""
    with contextlib.suppress(OSError):
        while prefix:
            os.rmdir(f"{folder}/{prefix}")
            prefix = os.path.dirname(prefix)  # noqa: PTH120


def _found(name: str, status: os.stat_result, uri_of: Callable[[str], str]) -> Found:
    """Return the object that the file was: under a name with an id in it where that id proves it, else as it is."""
    as_it_is = _object(name, status, uri_of)
    for drop_id, earlier in _earlier_names(name):
        found = _object(earlier, status, uri_of)
        if found.drop_id == drop_id:
            return found
    return as_it_is


def _object(name: str, status: os.stat_result, uri_of: Callable[[str], str]) -> Found:
    version = version_of(status)
    return Found(uri=uri_of(name), name=name, version=version, size=status.st_size, modified=status.st_mtime)


def _earlier_names(name: str) -> Iterator[tuple[str, str]]:
    """Yield (id, name) for names that the archive has made: `x/a.ID.csv.gz` of `x/a.csv.gz`, `ID/a.csv` of `a.csv`.

    In the last case the folders are lost, and where a name was too long its end: those are not found.
    """
    folder, _, file = name.rpartition("/")
    stem, suffix = os.path.splitext(file)  # noqa: PTH122
    if suffix.lower() in COMPRESSIONS:
        stem, inner = os.path.splitext(stem)  # noqa: PTH122
        suffix = inner + suffix
    for before, drop_id, after in ((*os.path.splitext(stem), suffix), (*os.path.splitext(file), "")):  # noqa: PTH122
        if _ID.fullmatch(drop_id[1:]):
            yield drop_id[1:], f"{folder}/{before}{after}".lstrip("/")
    if _ID.fullmatch(folder):
        yield folder, file
