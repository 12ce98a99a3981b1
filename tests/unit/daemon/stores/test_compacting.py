"""What happens when batches are committed while files are being merged."""

from __future__ import annotations

import fcntl
from typing import TYPE_CHECKING

from daemon.stores.compacting import BEGUN, LOCK, compact
from daemon.stores.transactions import Table

if TYPE_CHECKING:
    from tests.unit.daemon.stores.conftest import Tables

FEED = "metrics"


def merge(table: Table, tables: Tables) -> int:
    return compact(table, tables.store.place(FEED), target_bytes=10**9, min_files=2)


def test_a_revision_that_comes_first_wins_and_the_merged_file_goes(tables: Tables) -> None:
    # Given a revision of a drop whose file is just being merged with another
    tables.commit("a")
    tables.commit("b")
    revision = tables.batch("a2", replaces=("a",))
    late = tables.late(lambda: tables.store.commit(revision, tables.schema))

    # When the merge comes second
    merged = merge(late, tables)

    # Then it gives up, and leaves nothing behind
    assert merged == 0
    assert tables.drops() == ["a2", "a2", "b", "b"]
    assert not list(tables.root.rglob("*compact-*"))


def test_batches_that_take_nothing_away_do_not_stop_a_merge(tables: Tables) -> None:
    tables.commit("a")
    tables.commit("b")
    more = iter(["c", "d", "e"])

    def append() -> None:
        for drop in more:
            tables.commit(drop)
            return

    assert merge(tables.late(append), tables) == 2
    assert tables.drops() == ["a", "a", "b", "b", "c", "c", "d", "d", "e", "e"]


def test_a_merge_gives_up_when_batches_come_first_all_the_time(tables: Tables) -> None:
    tables.commit("a")
    tables.commit("b")

    assert merge(tables.late(lambda: tables.commit("more")), tables) == 0
    assert not list(tables.root.rglob("*compact-*"))
    assert tables.drops()[:4] == ["a", "a", "b", "b"]


def test_a_revision_that_comes_second_finds_the_merged_file(tables: Tables) -> None:
    # Given a revision that has found the file it replaces rows of
    tables.commit("a")
    tables.commit("b")
    revision = tables.batch("a2", replaces=("a",))

    def merged() -> None:
        merge(tables.late(lambda: None), tables)

    # When that file is merged with another just before the revision is committed
    tables.store._tables[FEED] = tables.late(merged)
    tables.store.commit(revision, tables.schema)

    # Then the rows are gone all the same
    assert tables.drops() == ["a2", "a2", "b", "b"]


def test_only_one_compaction_of_a_table_runs_at_a_time(tables: Tables) -> None:
    tables.commit("a")
    tables.commit("b")

    with (tables.root / LOCK).open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert tables.store.compact(FEED, target_bytes=10**9, min_files=2) == 0

    assert tables.store.compact(FEED, target_bytes=10**9, min_files=2) == 2


def test_what_a_killed_compaction_left_is_removed_by_the_next(tables: Tables) -> None:
    tables.commit("a")
    tables.commit("b")
    (tables.root / BEGUN).touch()
    left = tables.root / "date=2026-03-01" / "part-compact-0.parquet"
    left.write_bytes(b"PAR1")

    tables.store.compact(FEED, target_bytes=10**9, min_files=2)

    assert not left.exists()
    assert not (tables.root / BEGUN).exists()
    assert tables.drops() == ["a", "a", "b", "b"]


def test_what_a_killed_compaction_left_can_be_cleared_away(tables: Tables) -> None:
    tables.commit("a")
    tables.commit("b")
    staged = tables.batch("c").files[0]
    (tables.root / BEGUN).touch()
    orphan = tables.root / "date=2026-03-01" / "part-compact-0.parquet"
    orphan.write_bytes(b"PAR1")

    with (tables.root / LOCK).open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        tables.store.clear(FEED)
        assert orphan.exists()  # which is somebody's who is at work
    tables.store.clear(FEED)

    assert not orphan.exists()
    assert not (tables.root / BEGUN).exists()
    assert (tables.root / staged.path).exists()
    assert tables.drops() == ["a", "a", "b", "b"]


def test_merging_changes_files_and_not_rows_for_those_who_follow_the_table(tables: Tables) -> None:
    tables.commit("a")
    tables.commit("b")
    tables.store.compact(FEED, target_bytes=10**9, min_files=2)

    entry = (tables.root / "_delta_log" / f"{2:020}.json").read_text()

    assert '"dataChange":false' in entry
    assert '"dataChange":true' not in entry
