"""Drops in a local folder and its sub-folders."""

# Names may be any bytes, and a Path for each of 100,000 files costs more than its stat.
# ruff: noqa: PTH100, PTH103, PTH120
from __future__ import annotations

import errno
import os
import re
import shlex
import stat
from collections.abc import Callable, Iterator, MutableSet, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.parse import quote_from_bytes

from daemon.durable import sync
from daemon.errors import ChangedError, SourceError
from daemon.model import After, Found
from daemon.sources import Archived, Tried, one_by_one, tried
from daemon.sources.archived import archived, expire
from daemon.sources.moving import archive, remove, version_of
from daemon.sources.names import is_marker, left_out, left_out_folder
from daemon.sources.noting import note
from daemon.sources.watching import Watching

#: Names that stand in a URI as they are, so that percent-encoding them can be saved (RFC 3986, unreserved).
_plain = re.compile(r"[A-Za-z0-9._~-]+").fullmatch

#: Folders are synced one by one up to so many; beyond it one sync of everything is quicker.
SYNC_ONE_BY_ONE = 16
#: Characters of a name that its hidden form keeps.
HIDDEN_NAME = 60
#: What the system says where just this name cannot be written: it is too long, or a folder, or below a file.
OF_ONE_NAME = frozenset({errno.ENAMETOOLONG, errno.EISDIR, errno.ENOTDIR, errno.EEXIST, errno.ELOOP})
#: What a listing could not look into: event, name, reason. Each is logged once for as long as it lasts.
Note = tuple[str, str, str]


class FolderSource:
    """A local folder. Its name is what counts: it may be a symlink, and may be removed and made again."""

    def __init__(self, root: Path, *, settle_seconds: float) -> None:
        """Look at nothing yet. A relative root is below the working folder of now."""
        self._root = os.path.abspath(root)  # the symlink's own name stays in the uri
        self._settle_seconds = settle_seconds
        self._told: frozenset[Note] = frozenset()
        self._watching: Watching | None = None
        #: Folders whose entries have been changed and not yet synced.
        self._changed: set[str] = set()

    def __getstate__(self) -> dict[str, Any]:
        """Travel to a worker, which settles nothing, without the threads that watch."""
        return {**self.__dict__, "_watching": None, "_changed": set()}

    def describe(self) -> str:
        """Return the folder's path."""
        return self._root

    def prepare(self) -> None:
        """Create the folder, with its parents, where it is missing."""
        try:
            os.makedirs(self._root, exist_ok=True)
        except OSError as error:
            raise SourceError(
                f"the drop folder {self._root} cannot be created: {error.strerror}; "
                "create it and give it to the daemon's user"
            ) from error

    def list(self) -> Iterator[Found]:
        """Yield every drop and marker: one `stat` for each file, nothing opened, names of any bytes.

        A symlink to a file is a drop, one to a folder is not followed (it may lead in a circle). Pipes, sockets and
        devices are left out. `Found.modified` is the newer of mtime and ctime: tools set the mtime back (`cp -p`,
        rsync), nobody can set the ctime.
        """
        if self._watching is not None:
            self._watching.renew()
        notes: set[Note] = set()
        yield from _walk(self._root, notes)
        for event, name, why in notes - self._told:
            note(event, name=name, why=why)
        self._told = frozenset(notes)

    def seconds_to_complete(self, found: Found, seen_seconds: float, now: float) -> float:
        """Tell how long the file must still stay as it is: `settle_seconds` less its age or less what we have seen.

        The age is enough, so that a file needs no second listing. Where clocks disagree and it lies in the future, the
        listings that showed the same version decide.
        """
        return max(0.0, self._settle_seconds - max(now - found.modified, seen_seconds))

    def ahead(self, founds: Sequence[Found]) -> AbstractContextManager[None]:
        """Do nothing: files are near."""
        del founds
        return nullcontext()

    def fetch(self, found: Found) -> AbstractContextManager[Path]:
        """Give the file itself, not a copy."""
        return _Reading(self._path(found), found)

    def settle(self, found: Found, after: After) -> None:
        """Leave, remove or archive the file, which then is in `_archive/` of the root under the same relative path."""
        path = self._path(found)
        with _explained(path, "see that the daemon's user may write to this folder and to _archive"):
            if after is After.DELETE:
                remove(path, found)
                self._changed.add(os.path.dirname(path))
            elif after is After.ARCHIVE and (folder := archive(self._root, found, self.fetch)):
                self._changed.update((os.path.dirname(path), folder, os.path.dirname(folder)))

    def settle_all(self, founds: Sequence[Found], after: After) -> Iterator[tuple[Found, SourceError | None]]:
        """Settle files one after the other."""
        return one_by_one(self.settle, founds, after)

    def leave(self, letters: Sequence[tuple[str, bytes]]) -> Sequence[SourceError]:
        """Write the files, each under a hidden name first."""
        wrong: list[SourceError] = []
        for name, data in letters:
            path = f"{self._root}/{name}"
            try:
                with _explained(path, "see that the daemon's user may write there"):
                    _write(path, data)
            except SourceError as error:
                if not isinstance(error.__cause__, OSError) or error.__cause__.errno not in OF_ONE_NAME:
                    raise
                wrong.append(error)
        return wrong

    def flush(self) -> None:
        """Sync the folders that files have left and those that they have come to."""
        with _explained(self._root, "check its disk"):
            if len(self._changed) > SYNC_ONE_BY_ONE:
                os.sync()
            else:
                for folder in self._changed:
                    with suppress(FileNotFoundError):  # somebody has removed it since
                        sync(folder)
        self._changed.clear()

    def expire(self, before: float) -> Iterator[int]:
        """Remove from `_archive/` what came there before then."""
        with _explained(self._root, "see that the daemon's user may delete in _archive"):
            yield from expire(self._root, before)

    def archived(self) -> Iterator[Archived]:
        """Yield what lies in `_archive/`, as the drops that it was.

        Raises:
            SourceError: it cannot be looked into.
        """
        with _explained(self._root, "see that this user may read _archive"):
            yield from archived(
                self._root, lambda name: _folder_uri(self._root) + "/".join(map(_quoted, name.split("/")))
            )

    @contextmanager
    def watch(self, wake: Callable[[], None]) -> Iterator[None]:
        """Watch with inotify; without it (limits that are used up), say so once and leave it to the listings."""
        self._watching = Watching(self._root, wake)
        self._watching.renew()
        try:
            yield
        finally:
            self._watching.stop()
            self._watching = None

    def probe(self) -> Iterator[Tried]:
        """Try to list the folder, and to write, read and delete a file of our own."""
        folder = Path(self._root, "_blobdrop")
        path = folder / f"probe-{os.getpid()}"
        yield tried("list", lambda: next(self.list(), None), self._root)

        def attempt(what: str, call: Callable[[], object]) -> Tried:
            def explained() -> None:
                with _explained(str(path), "give this folder to the daemon's user"):
                    call()

            return tried(what, explained, str(path))

        def write() -> None:
            folder.mkdir(exist_ok=True)
            path.write_bytes(b"probe")

        yield attempt("write", write)
        if path.exists():
            yield attempt("read", path.read_bytes)
            yield attempt("delete", path.unlink)
        with suppress(OSError):
            folder.rmdir()

    def stop(self) -> None:
        """Do nothing: nothing of a folder is waited for."""

    def _path(self, found: Found) -> str:
        """Return the file's path, which is always below the root, whatever the name says."""
        if not {"", ".", ".."}.isdisjoint(found.name.split("/")):
            raise SourceError(
                f"{found.name!r} is not a path below {self._root}: it comes from no listing of this folder"
            )
        return f"{self._root}/{found.name}"


class _Reading(AbstractContextManager[Path]):
    """The file while it is read; it believes nobody who read it while it changed."""

    def __init__(self, path: str, found: Found) -> None:
        self._path = path
        self._found = found
        self._state = ("", 0)

    def __enter__(self) -> Path:
        with _explained(self._path, "let the daemon's user read it, for example with: chmod a+r"):
            self._state = self._look(_opened)
        if self._state[0] != self._found.version:
            raise ChangedError(f"{self._path} changed or vanished before it was read; its new version is found again")
        return Path(self._path)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Look again, also after an error: a file that is cut off while it is read looks damaged, and is not."""
        if error is None or isinstance(error, Exception):
            with _explained(self._path, "give the daemon's user its rights back"):
                changed = self._look(os.stat) != self._state
            if changed:
                raise ChangedError(
                    f"{self._path} changed or vanished while it was read; its new version is found again"
                ) from error

    def _look(self, how: Callable[[str], os.stat_result]) -> tuple[str, int]:
        """Return the version, and the ctime: `cp -p` of the same file over itself gives the mtime back, never that."""
        try:
            status = how(self._path)
        except (FileNotFoundError, NotADirectoryError):
            return "", 0
        return version_of(status), status.st_ctime_ns


def _opened(path: str) -> os.stat_result:
    """Prove that the file can be read. O_NONBLOCK: it may have become a pipe, which would wait for a writer."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        return os.fstat(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def _explained(path: str, remedy: str) -> Iterator[None]:
    """Turn what the system says into what an operator can act on."""
    try:
        yield
    except PermissionError as error:
        raise SourceError(f"{path}: permission denied for user {os.geteuid()}; {remedy}") from error
    except OSError as error:
        raise SourceError(f"{path}: {error.strerror or error}; it is tried again") from error


def _write(path: str, data: bytes) -> None:
    folder, _, file = path.rpartition("/")
    hidden = f"{folder}/.{file[:HIDDEN_NAME]}.tmp"
    os.makedirs(folder, exist_ok=True)
    # A link that somebody laid there would have us write elsewhere.
    with suppress(FileNotFoundError):
        os.unlink(hidden)  # noqa: PTH108 - the name may be any bytes
    with open(hidden, "xb") as unfinished:  # noqa: PTH123 - as above
        unfinished.write(data)
    os.replace(hidden, path)  # noqa: PTH105


def _walk(root: str, notes: MutableSet[Note]) -> Iterator[Found]:
    folders = [("", _folder_uri(root))]
    while folders:
        prefix, uri = folders.pop()
        try:
            with os.scandir(f"{root}/{prefix}") as entries:
                for entry in entries:
                    name = entry.name
                    if entry.is_dir(follow_symlinks=False):
                        if not left_out_folder(name):
                            folders.append((f"{prefix}{name}/", f"{uri}{_quoted(name)}/"))
                        elif is_marker(name):
                            yield _marker_folder(entry, prefix, uri)
                    elif not left_out(name) and (found := _found(entry, prefix, uri, notes)):
                        yield found
        except OSError as error:
            if not prefix:
                raise _unlisted(root, error) from error
            if not isinstance(error, FileNotFoundError):  # which has just been moved away
                notes.add(("folder_unreadable", prefix, str(error.strerror)))


def _found(entry: os.DirEntry[str], prefix: str, uri: str, notes: MutableSet[Note]) -> Found | None:
    name = entry.name
    try:
        status = entry.stat()
    except OSError as error:
        if entry.is_symlink():
            notes.add(("link_broken", prefix + name, str(error.strerror)))
        elif not isinstance(error, FileNotFoundError):
            notes.add(("folder_unreadable", prefix, str(error.strerror)))
        return None
    if not stat.S_ISREG(status.st_mode):
        event = "folder_link_not_followed" if stat.S_ISDIR(status.st_mode) else "not_a_file"
        notes.add((event, prefix + name, stat.filemode(status.st_mode)))
        return None
    return Found(
        uri=uri + (name if _plain(name) else _quoted(name)),
        name=prefix + name,
        version=version_of(status),
        size=status.st_size,
        modified=max(status.st_mtime, status.st_ctime),
    )


def _marker_folder(entry: os.DirEntry[str], prefix: str, uri: str) -> Found:
    status = entry.stat(follow_symlinks=False)
    return Found(
        uri=f"{uri}{_quoted(entry.name)}/",
        name=f"{prefix}{entry.name}/",
        version=version_of(status),
        size=0,
        modified=max(status.st_mtime, status.st_ctime),
    )


def _quoted(name: str) -> str:
    """Percent-encode the bytes of one component of a path."""
    return quote_from_bytes(os.fsencode(name), safe="")


def _folder_uri(path: str) -> str:
    return "file://" + "".join(f"{_quoted(part)}/" for part in path.rstrip("/").split("/"))


def _unlisted(root: str, error: OSError) -> SourceError:
    if isinstance(error, FileNotFoundError):
        return SourceError(f"the drop folder {root} is missing; make it again with: mkdir -p {shlex.quote(root)}")
    return SourceError(f"the drop folder {root} cannot be listed: {error.strerror}")
