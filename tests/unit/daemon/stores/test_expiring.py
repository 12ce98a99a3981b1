"""What a table lets go in time, and what it never does."""

from __future__ import annotations

import os
import time
from pathlib import Path

from deltalake import CommitProperties, DeltaTable
from deltalake.transaction import RemoveAction

from daemon.places.folder import FolderPlace
from daemon.staging.datafile import DATE, day_of
from daemon.stores.delta import DeltaStore
from tests.unit.daemon.stores.conftest import FEED, Tables

DAY = 86_400.0


def age(path: Path, days: float) -> None:
    at = time.time() - days * DAY
    os.utime(path, (at, at))


def data_files(tables: Tables) -> set[str]:
    return {
        path.relative_to(tables.root).as_posix()
        for path in tables.root.rglob("*.parquet")
        if "_" not in path.parent.name
    }


def take_out(tables: Tables, path: str, days: float) -> None:
    """Take a file out of the table as if it had happened so long ago."""
    table = DeltaTable(str(tables.root))
    size, day = (tables.root / path).stat().st_size, day_of(path)
    at = int((time.time() - days * DAY) * 1000)
    table.create_write_transaction(
        [RemoveAction(path, True, at, size, {DATE: day})],
        "append",
        table.schema(),
        [DATE],
        commit_properties=CommitProperties(max_commit_retries=0),
    )


def expire(tables: Tables, *, keep_hours: int = 168, stray_seconds: float = DAY, spared: tuple[str, ...] = ()) -> int:
    return tables.store.expire(FEED, keep_hours=keep_hours, stray_seconds=stray_seconds, spared=spared)


def test_a_file_goes_when_it_has_left_the_table_long_enough_ago(tables: Tables) -> None:
    long_ago, lately, live = (tables.commit(drop).files[0].path for drop in "abc")
    take_out(tables, long_ago, 8)
    take_out(tables, lately, 6)

    assert expire(tables) == 1
    assert data_files(tables) == {lately, live}
    assert tables.drops() == ["c", "c"]
    assert expire(tables) == 0


def test_live_files_stay_whatever_their_age(tables: Tables) -> None:
    path = tables.commit("a").files[0].path
    age(tables.root / path, 1000)

    assert expire(tables, keep_hours=1) == 0
    assert tables.drops() == ["a", "a"]


def test_staged_files_of_nobody_go_after_a_day_and_others_stay(tables: Tables) -> None:
    tables.commit("a")
    forgotten, fresh, spared = (tables.batch(drop).files[0].path for drop in "bcd")
    age(tables.root / forgotten, 9)
    age(tables.root / spared, 9)

    assert expire(tables, spared=(spared,)) == 1
    assert not (tables.root / forgotten).exists()
    assert (tables.root / fresh).exists()
    assert (tables.root / spared).exists()


def test_staged_files_of_nobody_go_where_there_is_no_table_yet(tables: Tables) -> None:
    path = tables.batch("a").files[0].path
    age(tables.root / path, 9)

    assert expire(tables) == 1
    assert not tables.store.exists(FEED)


def test_a_file_that_the_log_has_forgotten_goes_too(tables: Tables) -> None:
    """A tombstone leaves the log when it is old enough, with a checkpoint; the file would stay for ever."""
    path = tables.commit("a").files[0].path
    tables.commit("b")
    expire(tables)
    take_out(tables, path, 30)
    DeltaTable(str(tables.root)).create_checkpoint()
    age(tables.root / path, 31)
    again = DeltaStore(FolderPlace(tables.url), app="blobdrop")

    assert again.expire(FEED, keep_hours=168, stray_seconds=DAY) == 1
    assert tables.drops() == ["b", "b"]


def test_the_table_says_to_others_how_long_older_versions_are_kept(tables: Tables) -> None:
    tables.commit("a")
    expire(tables, keep_hours=48)
    version = DeltaTable(str(tables.root)).version()
    expire(tables, keep_hours=48)

    told = DeltaTable(str(tables.root))
    assert told.version() == version
    assert told.metadata().configuration["delta.deletedFileRetentionDuration"] == "interval 48 hours"
    assert told.metadata().configuration["delta.logRetentionDuration"] == "interval 48 hours"


def test_old_log_entries_go_and_the_number_of_the_newest_batch_stays(tables: Tables) -> None:
    for _ in range(10):
        tables.commit("a", count=1)
    log = tables.root / "_delta_log"
    DeltaTable(str(tables.root)).create_checkpoint()
    for path in log.iterdir():
        age(path, 10)
    tables.commit("b", count=1)
    expire(tables)

    assert sorted(int(path.stem) for path in log.glob("*.json")) == [9, 10, 11]
    assert DeltaStore(FolderPlace(tables.url), app="blobdrop").last_batch(FEED) == 11
    assert len(tables.drops()) == 11
    assert tables.commit("c").number == 12


def test_what_a_killed_writer_left_in_the_log_goes_after_a_day(tables: Tables) -> None:
    tables.commit("a")
    log = tables.root / "_delta_log"
    for name in ("_commit_1.json.tmp", "00000000000000000009.checkpoint.parquet#1"):
        (log / name).touch()
        age(log / name, 2)
    (log / "_commit_2.json.tmp").touch()

    expire(tables)
    assert {path.name for path in log.iterdir() if not path.name.startswith("0000000000000000000")} == {
        "_commit_2.json.tmp"
    }


def test_batches_go_on_through_a_handle_that_was_open_before(tables: Tables) -> None:
    first = tables.commit("a").files[0].path
    other = DeltaStore(FolderPlace(tables.url), app="somebody else")
    take_out(tables, first, 8)

    assert other.expire(FEED, keep_hours=168, stray_seconds=DAY) == 1
    tables.commit("b")
    assert tables.drops() == ["b", "b"]
