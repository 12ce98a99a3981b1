"""Compaction: many small files of a day become few large ones, while batches go on being committed.

Only the swap at the end is a transaction. If a batch came first that took away one of the files, the merged file is
thrown away, so a revision's rows neither come back nor go twice.
"""

from __future__ import annotations

import contextlib
import fcntl
import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path

from daemon.datafile import DATE, path_of
from daemon.durable import sync
from daemon.model import DataFile
from daemon.stores.rewriting import Live, groups, merged
from daemon.stores.transactions import Change, Table

#: The folder for files that are being merged. Readers pass over names with a `_`.
SCRATCH = "_compacting"
#: The file that a compaction locks as long as it lasts.
LOCK = "_compacting.lock"
#: What the names of merged files begin with.
MERGED = "part-compact-"
#: How often the swap is tried again because a batch, which takes nothing of it away, came first.
TRIES = 20


def compact(table: Table, root: Path, *, target_bytes: int, min_files: int) -> int:
    """Merge small files of each day; return how many files were merged into others.

    One compaction of a table runs at a time, over all processes; a second one returns 0.
    """
    with _alone(root) as scratch:
        if scratch is None:
            return 0
        _sweep(table, root, scratch)
        chosen = groups(table.live(), target_bytes, min_files)
        merged_files = sum(_merge(table, root, scratch, files) for files in chosen)
        _remove(scratch)
    return merged_files


def clear(table: Table, root: Path) -> None:
    """Delete what a killed compaction has left, unless another one is at work."""
    with _alone(root) as scratch:
        if scratch is not None:
            _sweep(table, root, scratch)


def _merge(table: Table, root: Path, scratch: Path, files: list[Live]) -> int:
    if not _are_live(table, [file.path for file in files]):
        return 0
    schema = table.schema.remove(table.schema.get_field_index(DATE))
    path = path_of(files[0].day, f"{MERGED}{uuid.uuid4().hex}")
    made = merged(root, files, schema, scratch, path)
    (scratch / path).replace(root / path)
    sync((root / path).parent)
    try:
        return len(files) if _swapped(table, made, files) else 0
    finally:
        if not _are_live(table, [made.path]):
            (root / path).unlink()


def _sweep(table: Table, root: Path, scratch: Path) -> None:
    """Delete merged files that a killed compaction did not get into the table; nobody else makes any meanwhile.

    The scratch folder goes last: that it is there says that there may be something to delete.
    """
    found = {path.relative_to(root).as_posix() for path in root.glob(f"{DATE}=*/{MERGED}*")}
    if found and (orphans := found - {file.path for file in table.live()}):
        for path in orphans - table.known():
            (root / path).unlink()
    _remove(scratch)


def _swapped(table: Table, made: DataFile, files: list[Live]) -> bool:
    change = Change(added=(made,), removed=tuple(files), rows=False)
    for _ in range(TRIES):
        # A commit may fail after it is in, so our own file is looked for before the files it stands for.
        if _are_live(table, [made.path]):
            return True
        if not _are_live(table, [file.path for file in files]):
            return False
        if table.change(change, None):
            return True
    return _are_live(table, [made.path])


def _are_live(table: Table, paths: list[str]) -> bool:
    table.refresh()
    return {file.path for file in table.live()}.issuperset(paths)


@contextlib.contextmanager
def _alone(root: Path) -> Iterator[Path | None]:
    """Give a scratch folder that nobody else writes to; None while somebody else compacts this table."""
    with (root / LOCK).open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield None
            return
        try:
            yield root / SCRATCH
        finally:
            # Unlocked by name: a worker forked meanwhile has the file open too, and would keep it locked.
            fcntl.flock(lock, fcntl.LOCK_UN)


def _remove(folder: Path) -> None:
    if folder.exists():
        shutil.rmtree(folder)
