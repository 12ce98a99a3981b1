"""What a table says of itself when the ledger is lost."""

from __future__ import annotations

from pathlib import Path

from deltalake import DeltaTable

from daemon.places.folder import FolderPlace
from daemon.stores.contents import writers
from daemon.stores.delta import DeltaStore
from tests.unit.daemon.stores.conftest import FEED, Tables


def test_rows_are_counted_by_drop_over_all_files_also_merged_ones(tables: Tables) -> None:
    tables.commit("a", "b", count=3)
    tables.commit("a2", replaces=("a",))
    tables.commit("b", days=("2026-03-02",))
    tables.store.compact(FEED, target_bytes=10**9, min_files=2)

    assert {held.drop_id: held.rows for held in tables.store.drops(FEED)} == {"a2": 2, "b": 5}


def test_rows_of_other_programs_without_a_drop_are_nobodys(tables: Tables) -> None:
    tables.commit("a")
    table = DeltaTable(str(tables.root))
    table.update(updates={"_drop": "NULL"}, predicate="_row = 1")

    assert [(held.drop_id, held.rows) for held in tables.store.drops(FEED)] == [("a", 1)]


def test_whoever_committed_batches_is_known_the_newest_last(tables: Tables) -> None:
    tables.commit("a")
    other = DeltaStore(FolderPlace(tables.url), app="another")
    other.commit(tables.batch("b"), tables.schema)

    assert writers(FolderPlace(tables.root)) == ["blobdrop", "another"]
    tables.commit("c")
    assert writers(FolderPlace(tables.root)) == ["another", "blobdrop"]


def test_whoever_committed_is_known_from_a_checkpoint_too(tables: Tables) -> None:
    for _ in range(3):
        tables.commit("a", count=1)
    DeltaTable(str(tables.root)).create_checkpoint()
    for path in sorted((tables.root / "_delta_log").glob("*.json"))[:-1]:
        path.unlink()

    assert writers(FolderPlace(tables.root)) == ["blobdrop"]


def test_a_folder_without_a_table_has_no_writer(tmp_path: Path) -> None:
    assert writers(FolderPlace(tmp_path)) == []
