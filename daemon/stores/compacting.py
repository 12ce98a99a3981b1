"""Compaction: many small files of a day become few large ones, while batches go on being committed.

Only the swap at the end is a transaction. If a batch came first that took away one of the files, the merged file is
thrown away, so a revision's rows neither come back nor go twice.
"""

from __future__ import annotations

import uuid
from typing import Final

from daemon.model import DataFile
from daemon.places import Place
from daemon.staging.datafile import DATE, path_of
from daemon.stores.rewriting import Live, groups, merged
from daemon.stores.transactions import Change, Table

#: The file that is there as long as merged files may be that no table has. Readers pass over names with a `_`.
BEGUN: Final = "_compacting.begun"
#: The file that a compaction locks as long as it lasts.
LOCK: Final = "_compacting.lock"
#: What the names of merged files begin with.
MERGED: Final = "part-compact-"
#: How often the swap is tried again because a batch, which takes nothing of it away, came first.
TRIES: Final = 20


def compact(table: Table, place: Place, *, target_bytes: int, min_files: int) -> int:
    """Merge small files of each day; return how many files were merged into others.

    One compaction of a table runs at a time, over all processes; a second one returns 0.
    """
    chosen = groups(table.live(), target_bytes, min_files)
    if not chosen and not has_begun(place):
        return 0
    with place.alone(LOCK) as is_alone:
        if not is_alone:
            return 0
        _sweep(table, place)
        chosen = groups(table.live(), target_bytes, min_files)
        if not chosen:
            return 0
        place.draft(BEGUN).touch()
        place.keep(BEGUN)
        merged_files = sum(_merge(table, place, files) for files in chosen)
        _finish(place)
    return merged_files


def has_begun(place: Place) -> bool:
    """Tell whether a compaction is under way, or was killed."""
    return place.look([BEGUN])[0] is not None


def clear(table: Table, place: Place) -> None:
    """Delete what a killed compaction has left, unless another one is at work."""
    with place.alone(LOCK) as is_alone:
        if is_alone:
            _sweep(table, place)


def _merge(table: Table, place: Place, files: list[Live]) -> int:
    if not _are_live(table, [file.path for file in files]):
        return 0
    schema = table.schema.remove(table.schema.get_field_index(DATE))
    path = path_of(files[0].day, f"{MERGED}{uuid.uuid4().hex}")
    made = merged(place, files, schema, path)
    try:
        return len(files) if _swapped(table, made, files) else 0
    finally:
        if not _are_live(table, [made.path]):
            place.remove([path])


def _sweep(table: Table, place: Place) -> None:
    """Delete merged files that a killed compaction did not get into the table; nobody else makes any meanwhile.

    What says that there may be something to delete goes last.
    """
    if not has_begun(place):
        return
    found = {file.path for file in place.list(f"{DATE}=") if file.path.rpartition("/")[2].startswith(MERGED)}
    table.refresh()
    place.remove(sorted(found - table.known()))
    _finish(place)


def _finish(place: Place) -> None:
    place.remove([BEGUN])


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
