"""What a table does not need any more: files of versions that nobody reads, log entries, staged files of nobody.

Everything is looked at anew at each go and deleted by name, so that it may be killed at any time.
"""

from __future__ import annotations

import re
import time
from collections.abc import Collection, Iterator

from daemon.places import Place
from daemon.staging.datafile import DATE
from daemon.stores.transactions import LOG, Table

#: How often the properties are tried again because a batch came first.
TRIES = 20
#: What deltalake's writer leaves in the log when it is killed: a commit, or a checkpoint, under a temporary name.
_UNFINISHED = re.compile(r"_commit_.*\.tmp|.*\.tmp|.*#\d+")
#: A data file's name.
_DATA = re.compile(r"part-.*\.parquet")


def expire(table: Table | None, place: Place, *, keep_hours: int, stray_seconds: float, spared: Collection[str]) -> int:
    """Delete what the table at a place does not need; return how many data files that were.

    Args:
        table: None where there is none yet; workers may have staged files all the same.
        place: where it is.
        keep_hours: for how long older versions stay readable.
        stray_seconds: the age from which files that no version of the table has are nobody's.
        spared: paths of files that are staged for a batch.
    """
    known: set[str] = set()
    removed = 0
    if table is not None:
        _set_up(table, keep_hours)
        removed = place.remove(table.expired(keep_hours))
        table.clean_log()
        place.remove(_unfinished(place, stray_seconds))
        known = table.known()
    # A file that has left the table, and its tombstone the log, is a stray too: by then it is older than `keep_hours`.
    found = strays(place, max(stray_seconds, keep_hours * 3600))
    return removed + place.remove([path for path in found if path not in known and path not in spared])


def strays(place: Place, seconds: float) -> Iterator[str]:
    """Yield the data files that were last written longer ago than that, those of the table among them."""
    before = time.time() - seconds
    for file in place.list(f"{DATE}="):
        if file.modified < before and _DATA.fullmatch(file.path.rpartition("/")[2]):
            yield file.path


def _set_up(table: Table, keep_hours: int) -> None:
    """Have the table's own clean-up, and that of other writers, keep to the same time."""
    interval = f"interval {keep_hours} hours"
    properties = {"delta.logRetentionDuration": interval, "delta.deletedFileRetentionDuration": interval}
    for _ in range(TRIES):
        if table.set_up(properties):
            return


def _unfinished(place: Place, seconds: float) -> list[str]:
    before = time.time() - seconds
    found = (file for file in place.list(f"{LOG}/") if _UNFINISHED.fullmatch(file.path.rpartition("/")[2]))
    return [file.path for file in found if file.modified < before]
