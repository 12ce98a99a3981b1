"""The SHA-256 of a drop's bytes: at once, or in the gaps that other work on the drop leaves."""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

#: By how much a digest in the background gives way to other threads: with two cores there are gaps enough for it.
NICENESS = 19


def digest(path: Path) -> str:
    """Return the SHA-256 of a file's bytes, in hexadecimal.

    Raises:
        OSError: the file cannot be read.
    """
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def digesting(path: Path) -> Iterator[Future[str]]:
    """Take the digest while the body of a `with` does something else with the file."""
    with ThreadPoolExecutor(1, thread_name_prefix="digest", initializer=_stand_back) as thread:
        yield thread.submit(digest, path)


def _stand_back() -> None:
    os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICENESS)
