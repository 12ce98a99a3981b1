"""What a table does not need any more: files of versions that nobody reads, log entries, staged files of nobody.

Everything is looked at anew at each go and deleted by name, so that it may be killed at any time.
"""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path

from daemon.datafile import DATE, writing
from daemon.stores.transactions import Table

#: How often the properties are tried again because a batch came first.
TRIES = 20
#: What deltalake's writer leaves in the log when it is killed: a commit, or a checkpoint, under a temporary name.
_UNFINISHED = re.compile(r"_commit_.*\.tmp|.*\.tmp|.*#\d+")


def expire(table: Table | None, root: Path, *, keep_hours: int, stray_seconds: float, spared: Collection[str]) -> int:
    """Delete what the table at `root` does not need; return how many data files that were.

    Args:
        table: None where there is none yet; workers may have staged files all the same.
        root: its folder.
        keep_hours: for how long older versions stay readable.
        stray_seconds: the age from which files that no version of the table has are nobody's.
        spared: paths of files that are staged for a batch.
    """
    known: set[str] = set()
    removed = 0
    if table is not None:
        _set_up(table, keep_hours)
        removed = _remove(root, table.expired(keep_hours))
        table.clean_log()
        _remove(root, _unfinished(root, stray_seconds))
        known = table.known()
    # A file that has left the table, and its tombstone the log, is a stray too: by then it is older than `keep_hours`.
    found = (path.relative_to(root).as_posix() for path in strays(root, max(stray_seconds, keep_hours * 3600)))
    return removed + _remove(root, [path for path in found if path not in known and path not in spared])


def strays(root: Path, seconds: float) -> Iterator[Path]:
    """Yield the data files below `root` that were last written longer ago than that, those of the table among them."""
    before = time.time() - seconds
    for path in root.glob(f"{DATE}=*/part-*.parquet"):
        with contextlib.suppress(FileNotFoundError):  # a compaction has just thrown its file away
            if path.stat().st_mtime < before:
                yield path


def _set_up(table: Table, keep_hours: int) -> None:
    """Have the table's own clean-up, and that of other writers, keep to the same time."""
    interval = f"interval {keep_hours} hours"
    properties = {"delta.logRetentionDuration": interval, "delta.deletedFileRetentionDuration": interval}
    for _ in range(TRIES):
        if table.set_up(properties):
            return


def _unfinished(root: Path, seconds: float) -> list[str]:
    before = time.time() - seconds
    paths = (path for path in (root / "_delta_log").iterdir() if _UNFINISHED.fullmatch(path.name))
    return [path.relative_to(root).as_posix() for path in paths if path.stat().st_mtime < before]


def _remove(root: Path, paths: Iterable[str]) -> int:
    removed = 0
    for path in (root / path for path in paths):
        with writing(path):
            removed += path.exists()
            path.unlink(missing_ok=True)
    return removed
