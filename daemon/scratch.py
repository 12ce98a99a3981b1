"""The folder for temporary files of the daemon and its workers. What a killed daemon leaves, the next one removes.

Workers spill to it, and the socket is in it by which they are asked for. Imports nothing slow.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from multiprocessing import util
from pathlib import Path

#: What the folders' names begin with, in `$TMPDIR` or /tmp.
PREFIX = "blobdrop-run-"
#: A socket's path has at most so many bytes (unix(7)), and so many of them are Python's own below our folder.
SOCKET_BYTES, NAME_BYTES = 107, 32


def use_scratch() -> None:
    """Have this process and those that it starts make their temporary files in a folder of its own, gone at its end.

    A folder is locked while its process lives, so that one which nobody locks is a dead one's. Where a folder cannot
    be made, or its path is too long for a socket, temporary files go where they would go anyway.
    """
    if tempfile.tempdir is not None and Path(tempfile.tempdir).name.startswith(PREFIX):
        return
    around = Path(tempfile.gettempdir())
    with contextlib.suppress(OSError):
        _sweep(around)
        folder = _locked(around)
        if len(os.fsencode(folder)) + NAME_BYTES > SOCKET_BYTES:
            folder.rmdir()
            return
        # After Python's own clearing at exit, which has -100; and not in a process that is forked from this one.
        util.Finalize(None, shutil.rmtree, args=[folder, True], exitpriority=-200)
        tempfile.tempdir = os.environ["TMPDIR"] = str(folder)


def _locked(around: Path) -> Path:
    """Make a folder and lock it; again if somebody took the unlocked one for a dead process's."""
    while True:
        folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=around))
        # Open for as long as this process lives, and not in those that it starts.
        descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
        if _lock(descriptor) and folder.exists():
            return folder
        os.close(descriptor)


def _sweep(around: Path) -> None:
    for folder in list(_ours(around)):
        with contextlib.suppress(FileNotFoundError):
            descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
            try:
                if _lock(descriptor):
                    shutil.rmtree(folder, ignore_errors=True)
            finally:
                os.close(descriptor)


def _ours(around: Path) -> Iterator[str]:
    """Yield the folders of this user's daemons, alive or dead."""
    with os.scandir(around) as entries:
        for entry in entries:
            if entry.name.startswith(PREFIX) and entry.stat(follow_symlinks=False).st_uid == os.geteuid():
                yield entry.path


def _lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
