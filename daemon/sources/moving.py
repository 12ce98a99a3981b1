"""Moving and removing just one version of a file, overwriting nothing, whatever happens to its name meanwhile."""

# A path may be any bytes, and a Path for each of 10,000 files costs more than the rename.
# ruff: noqa: PTH104, PTH108, PTH112, PTH114, PTH116, PTH118, PTH120, PTH122
from __future__ import annotations

import ctypes
import errno
import filecmp
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, suppress
from pathlib import Path

from daemon.durable import make_folder, sync
from daemon.errors import ChangedError, SourceError
from daemon.model import Found

#: The folder beside the drops that settled files go to; like every `_` folder it is never listed.
ARCHIVE = "_archive"
#: Bytes that the usual file systems allow in one name.
NAME_BYTES = 255
#: Bytes of a suffix; what follows a dot and is longer is part of a sentence.
SUFFIX_BYTES = 32
#: Suffixes that stand behind the one that names the format.
COMPRESSIONS = (".gz", ".zst", ".bz2")

#: `AT_FDCWD` of fcntl.h: a relative path starts from the working folder.
AT_FDCWD = -100
#: `RENAME_NOREPLACE` of renameat2(2).
RENAME_NOREPLACE = 1
#: What renameat2 says where the kernel or the file system does not know the flag.
UNSUPPORTED = (errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP)

Fetch = Callable[[Found], AbstractContextManager[Path]]


def version_of(status: os.stat_result) -> str:
    """Return what changes when a file changes: mtime in nanoseconds, size and inode, in hexadecimal."""
    return f"{status.st_mtime_ns:x}-{status.st_size:x}-{status.st_ino:x}"


def remove(path: str, found: Found) -> None:
    """Delete the file if it is still the version that was found; one that is gone is fine.

    It gets a hidden name first: what the customer may put under the old name at that very instant is another version,
    and gets its name back instead of being deleted unread.
    """
    hidden = f"{os.path.dirname(path)}/.{found.drop_id}.done"
    with suppress(FileNotFoundError, NotADirectoryError):
        os.unlink(hidden)  # of a run that was killed in between
    if _take(path, hidden, found):
        os.unlink(hidden)


def archive(root: str, found: Found, fetch: Fetch) -> str | None:
    """Move the file below `_archive/`, if it is still the version that was found; one that is gone is fine.

    The same relative path where that is free, else with the drop's id before the suffix; nothing is overwritten.
    A file that cannot be renamed there (another file system, a symlink) is copied, synced, and then removed.
    Returns the folder that it is in now, or would be; None for another version. The move itself is not synced.

    Raises:
        SourceError: every place is taken by something else.
        OSError: it could not be moved.
    """
    path = f"{root}/{found.name}"
    move = _copy if os.path.islink(path) else _rename
    for place in _places(f"{root}/{ARCHIVE}", found):
        try:
            move(path, place, found, fetch)
        except (FileExistsError, NotADirectoryError):
            if not _is_copy(path, place):
                continue
            remove(path, found)
        except ChangedError:
            return None  # another version now, which is another drop
        return os.path.dirname(place)
    raise SourceError(
        f"{path} cannot be archived: {root}/{ARCHIVE} has other files in all of its places; move them away"
    )


def rename_new(source: str, target: str) -> None:
    """Rename a file within its file system, or fail when the target's name is taken; both happen in one step.

    File systems without `RENAME_NOREPLACE` (NFS, some FUSE) get a look and then a rename: in our own archive nobody
    else takes a name between the two.

    Raises:
        FileExistsError: something has the target's name; nothing was done.
        OSError: as of `os.rename`; EXDEV when the two are on different file systems.
    """
    number = _renameat2(os.fsencode(source), os.fsencode(target))
    if number == 0:
        return
    if number not in UNSUPPORTED:
        raise OSError(number, os.strerror(number), source, None, target)
    if os.path.lexists(target):
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), source, None, target)
    os.rename(source, target)


def _renameat2(source: bytes, target: bytes) -> int:
    """Return 0, or the number of the error; Python has no call for this."""
    call = getattr(_LIBC, "renameat2", None)
    if call is None:
        return errno.ENOSYS
    failed: int = call(AT_FDCWD, source, AT_FDCWD, target, RENAME_NOREPLACE)
    return ctypes.get_errno() if failed else 0


_LIBC = ctypes.CDLL(None, use_errno=True)


def _take(path: str, target: str, found: Found) -> bool:
    """Move just this version to `target`; False when it is gone, or is another version, which keeps its name."""
    if not _is_version(path, found):
        return False
    rename_new(path, target)
    if _is_version(target, found):
        return True
    # Another version came between the look and the move. Where yet another one has its name, the customer overwrote it.
    with suppress(FileExistsError):
        rename_new(target, path)
    return False


def _is_version(path: str, found: Found) -> bool:
    try:
        return version_of(os.stat(path)) == found.version
    except (FileNotFoundError, NotADirectoryError):
        return False


def _places(folder: str, found: Found) -> Iterator[str]:
    """Yield where the file may go, best first; the last one is nobody else's, folders included."""
    parent, _, file = found.name.rpartition("/")
    yield f"{folder}/{found.name}"
    yield os.path.join(folder, parent, with_id(file, found.drop_id))
    yield f"{folder}/{found.drop_id}/{file}"


def with_id(file: str, drop_id: str) -> str:
    """Put the id before the suffix: `a.csv.gz` -> `a.ID.csv.gz`; a name that gets too long loses its stem's end."""
    stem, suffix = os.path.splitext(file)
    if suffix.lower() in COMPRESSIONS:
        stem, inner = os.path.splitext(stem)
        suffix = inner + suffix
    if len(os.fsencode(suffix)) > SUFFIX_BYTES:
        stem, suffix = file, ""
    while len(os.fsencode(f"{stem}.{drop_id}{suffix}")) > NAME_BYTES:
        stem = stem[:-1]
    return f"{stem}.{drop_id}{suffix}"


def _rename(path: str, place: str, found: Found, fetch: Fetch) -> None:
    folder = os.path.dirname(place)
    if not os.path.isdir(folder):
        make_folder(Path(folder))
    try:
        _take(path, place, found)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        _copy(path, place, found, fetch)


def _copy(path: str, place: str, found: Found, fetch: Fetch) -> None:
    """Copy the file and remove it only when the copy is on the disk under its name."""
    folder = os.path.dirname(place)
    make_folder(Path(folder))
    if os.path.lexists(place):
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), path, None, place)
    unfinished = f"{folder}/.{found.drop_id}.part"
    try:
        with fetch(found) as source:
            shutil.copyfile(source, unfinished)
            shutil.copystat(source, unfinished)
        sync(unfinished)
        rename_new(unfinished, place)
    finally:
        with suppress(FileNotFoundError):
            os.unlink(unfinished)
    sync(folder)
    remove(path, found)


def _is_copy(path: str, place: str) -> bool:
    """Tell whether a run that was killed had copied the file there already: same mtime, size and bytes."""
    try:
        ours, theirs = os.stat(path), os.stat(place)
        same = (ours.st_mtime_ns, ours.st_size) == (theirs.st_mtime_ns, theirs.st_size)
        return same and filecmp.cmp(path, place, shallow=False)
    except OSError:
        return False
