"""Files and folders that survive a power cut: their bytes, and the names that lead to them."""

from __future__ import annotations

import os
from pathlib import Path


def sync(path: str | Path) -> None:
    """Push a file's bytes, or the names in a folder, to the disk.

    Raises:
        OSError: it is not there, or the disk failed.
    """
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def make_folder(path: Path) -> None:
    """Make a folder unless it is there. Missing ones above it are made too, and their names pushed to the disk.

    Its own name is left to the caller, who may have many to push at once: `sync(path.parent)`.

    Raises:
        OSError: it cannot be made.
    """
    try:
        path.mkdir(exist_ok=True)
    except FileNotFoundError:
        make_folder(path.parent)
        sync(path.parent.parent)
        path.mkdir(exist_ok=True)
