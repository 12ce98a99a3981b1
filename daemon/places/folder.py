"""Files in a folder of this machine."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from daemon.durable import make_folder, sync
from daemon.places import File


@dataclass(frozen=True)
class FolderPlace:
    """A folder; it need not exist before something is kept in it."""

    root: Path

    @property
    def url(self) -> str:
        """Return the folder's path."""
        return str(self.root)

    @property
    def options(self) -> dict[str, str]:
        """Return nothing: who may open the folder may."""
        return {}

    @property
    def is_local(self) -> bool:
        """Return that they do."""
        return True

    def describe(self, path: str = "") -> str:
        """Return the folder's path, or a file's."""
        return str(self.root / path)

    def prepare(self) -> None:
        """Do nothing: the folder is made when something is kept in it."""

    def below(self, folder: str) -> FolderPlace:
        """Return a folder of this one."""
        return FolderPlace(self.root / folder)

    def folders(self) -> Sequence[str]:
        """Return the names of its folders."""
        return tuple(sorted(_scanned(self.root, is_folder=True)))

    def list(self, start: str) -> Iterator[File]:
        """Yield the files in its folders whose paths begin so."""
        folder, slash, begun = start.partition("/")
        for name in [folder] if slash else _scanned(self.root, is_folder=True):
            if name.startswith(folder):
                files = (file for file in _scanned(self.root / name, is_folder=False) if file.startswith(begun))
                yield from (found for file in files if (found := self._look(f"{name}/{file}")) is not None)

    def look(self, paths: Sequence[str]) -> Sequence[File | None]:
        """Return what lies under each of these paths now."""
        return [self._look(path) for path in paths]

    def read(self, path: str) -> bytes:
        """Return a file's bytes."""
        return (self.root / path).read_bytes()

    @contextmanager
    def near(self, paths: Sequence[str]) -> Iterator[Sequence[Path]]:
        """Give the files themselves."""
        yield [self.root / path for path in paths]

    def draft(self, path: str) -> Path:
        """Return the file's own path: nobody reads a data file before it is part of a table."""
        make_folder((self.root / path).parent)
        return self.root / path

    def keep(self, path: str) -> None:
        """Push the file's bytes to the disk."""
        sync(self.root / path)

    def flush(self, paths: Sequence[str]) -> None:
        """Push the files and the folders that lead to them to the disk."""
        folders = {(self.root / path).parent: None for path in paths}
        for path in (*(self.root / path for path in paths), *folders, self.root, self.root.parent):
            with contextlib.suppress(FileNotFoundError):
                sync(path)

    def remove(self, paths: Sequence[str]) -> int:
        """Delete files; return how many there were."""
        removed = 0
        for path in paths:
            with contextlib.suppress(FileNotFoundError):
                (self.root / path).unlink()
                removed += 1
        return removed

    @contextmanager
    def alone(self, path: str) -> Iterator[bool]:
        """Lock the file as long as it lasts."""
        with (self.root / path).open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield False
                return
            try:
                yield True
            finally:
                # Unlocked by name: a worker forked meanwhile has the file open too, and would keep it locked.
                fcntl.flock(lock, fcntl.LOCK_UN)

    def stop(self) -> None:
        """Do nothing: a disk lets nobody wait."""

    def _look(self, path: str) -> File | None:
        try:
            found = (self.root / path).stat()
        except FileNotFoundError:
            return None
        return File(path=path, size=found.st_size, modified=found.st_mtime)


def _scanned(folder: Path, *, is_folder: bool) -> Iterator[str]:
    """Yield the names in a folder of what is a folder, or what is none; nothing where it does not exist."""
    try:
        with os.scandir(folder) as entries:
            found = [entry.name for entry in entries if entry.is_dir() == is_folder]
    except FileNotFoundError:
        return
    yield from found
