"""What every store keeps to, whatever holds its tables."""

from __future__ import annotations

import datetime as dt
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pytest

from daemon.errors import StoreError
from daemon.model import Batch, DataFile, Held
from daemon.places.folder import FolderPlace
from daemon.staging import Stage
from daemon.stores import Store, expiring
from daemon.stores.delta import DeltaStore
from daemon.stores.memory import MemoryStore
from tests.azurite.running import Container

FEED = "metrics"
LARGE = 10**9


@pytest.fixture(params=["folder", "container", "memory"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    if request.param == "memory":
        return MemoryStore(str(tmp_path / "tables"))
    if request.param == "folder":
        return DeltaStore(FolderPlace(tmp_path / "tables"), app="blobdrop")
    container: Container = request.getfixturevalue("container")
    return DeltaStore(container.place("tables"), app="blobdrop")


def names(store: Store) -> set[str]:
    """Return the paths of all data files, staged ones among them."""
    return {file.path for file in store.place(FEED).list("date=")}


def rows(drop: str, count: int, **columns: Any) -> pa.Table:
    """Return rows as a worker stages them; `columns` replace or join the ordinary ones."""
    ordinary: dict[str, Any] = {
        "unit_id": [f"u{number}" for number in range(count)],
        "metric_value": [float(number) for number in range(count)],
        "customer": ["acme"] * count,
        "_drop": [drop] * count,
        "_row": list(range(1, count + 1)),
        "_ingested_at": pa.array([0] * count, pa.timestamp("us", "UTC")),
    }
    return pa.table(ordinary | columns)


def staged(
    store: Store, unit: str, table: pa.Table, days: Sequence[str] = ("2026-03-01",)
) -> tuple[tuple[DataFile, ...], pa.Schema]:
    """Stage the rows, over the days in turn."""
    dates = [dt.date.fromisoformat(days[number % len(days)]) for number in range(table.num_rows)]
    with Stage(store.place(FEED), unit) as stage:
        stage.add(table, pa.array(dates))
        files = stage.finish()
    assert stage.schema is not None
    return files, stage.schema


def commit(store: Store, number: int, *tables: pa.Table, replaces: Sequence[str] = (), **options: Any) -> Batch:
    """Stage and commit tables as one batch."""
    done = [staged(store, f"unit{number}x{index}", table, **options) for index, table in enumerate(tables)]
    files = tuple(file for files, _ in done for file in files)
    batch = Batch(number=number, feed=FEED, outcomes=(), files=files, replaces=tuple(replaces))
    store.commit(batch, pa.unify_schemas([schema for _, schema in done]) if done else pa.schema([]))
    return batch


def drops(store: Store, **options: Any) -> list[tuple[str, int]]:
    """Return the drop and record number of every row, in order."""
    table = store.read(FEED, **options)
    return sorted((row["_drop"], row["_row"]) for row in table.to_pylist())


def test_a_feed_without_a_table_has_no_batch_and_cannot_be_read(store: Store) -> None:
    assert not store.exists(FEED)
    assert store.last_batch(FEED) == 0
    assert store.compact(FEED, target_bytes=LARGE, min_files=2) == 0
    with pytest.raises(StoreError, match="no table yet"):
        store.read(FEED)


def test_a_batch_is_readable_with_its_number_once_it_is_committed(store: Store) -> None:
    commit(store, 1, rows("a", 2), rows("b", 1))

    assert store.exists(FEED)
    assert store.last_batch(FEED) == 1
    assert drops(store) == [("a", 1), ("a", 2), ("b", 1)]


def test_the_columns_stand_in_the_order_that_is_promised(store: Store) -> None:
    commit(store, 1, rows("a", 1, note=["n"]))

    assert store.read(FEED).schema.names == [
        "unit_id", "metric_value", "note", "customer", "date", "_drop", "_row", "_ingested_at",
    ]  # fmt: skip


def test_every_type_comes_back_as_it_went_in(store: Store) -> None:
    values: dict[str, pa.Array[Any]] = {
        "flag": pa.array([True, None]),
        "small": pa.array([-128, 127], pa.int8()),
        "number": pa.array([-(2**63), 2**63 - 1]),
        "ratio": pa.array([0.1, None], pa.float64()),
        "single": pa.array([0.5, -0.0], pa.float32()),
        "exact": pa.array([None, 18446744073709551615], pa.decimal128(20, 0)),
        "money": pa.array(["1.10", "-0.01"]).cast(pa.decimal128(38, 2)),
        "born": pa.array([dt.date(1969, 12, 31), dt.date(9999, 12, 31)]),
        "seen": pa.array([1, -1], pa.timestamp("us", "UTC")),
        "local": pa.array([1, -1], pa.timestamp("us")),
        "text": pa.array(["", "naïve 🙂\n\0"]),
        "raw": pa.array([b"\x00\xff", None]),
        "odd, {name}; (x)=\t%20": pa.array(["a", "b"]),
    }
    commit(store, 1, rows("a", 2, **values))

    read = store.read(FEED).sort_by("_row")
    for name, column in values.items():
        assert read[name].combine_chunks().equals(column), name
        assert read[name].type == column.type


def test_dictionary_columns_are_stored_as_their_values(store: Store) -> None:
    commit(store, 1, rows("a", 3, kind=pa.array(["x", "y", "x"]).dictionary_encode()))

    column = store.read(FEED)["kind"]
    assert column.type == pa.string()
    assert sorted(map(str, column.to_pylist())) == ["x", "x", "y"]


def test_a_day_is_read_by_itself(store: Store) -> None:
    commit(store, 1, rows("a", 4), days=("2026-03-01", "2026-03-02"))

    assert drops(store, date="2026-03-02") == [("a", 2), ("a", 4)]
    assert store.read(FEED, date="2026-03-02")["date"].to_pylist() == [dt.date(2026, 3, 2)] * 2
    assert drops(store, date="2026-03-03") == []


def test_a_batch_that_the_table_holds_changes_nothing(store: Store) -> None:
    first = commit(store, 1, rows("a", 2))
    commit(store, 2, rows("b", 2))
    schema = store.read(FEED).schema

    store.commit(first, schema)

    assert store.last_batch(FEED) == 2
    assert drops(store) == [("a", 1), ("a", 2), ("b", 1), ("b", 2)]


def test_a_batch_that_the_table_holds_may_have_lost_its_staged_files(store: Store) -> None:
    first = commit(store, 1, rows("a", 2))
    gone = DataFile(path="date=2026-03-01/part-gone-00.parquet", size=1, rows=1, date="2026-03-01", stats="{}")
    redone = Batch(number=1, feed=FEED, outcomes=(), files=(*first.files, gone))

    store.commit(redone, store.read(FEED).schema)

    assert drops(store) == [("a", 1), ("a", 2)]


def test_a_batch_without_files_is_counted(store: Store) -> None:
    commit(store, 1, rows("a", 1))
    commit(store, 2)

    assert store.last_batch(FEED) == 2
    assert drops(store) == [("a", 1)]


def test_a_first_batch_without_files_makes_an_empty_table(store: Store) -> None:
    commit(store, 1)

    assert store.last_batch(FEED) == 1
    assert store.read(FEED).num_rows == 0

    commit(store, 2, rows("a", 1))

    assert drops(store) == [("a", 1)]


def test_a_missing_staged_file_commits_nothing(store: Store) -> None:
    commit(store, 1, rows("a", 1))
    files, schema = staged(store, "b", rows("b", 2), ("2026-03-01", "2026-03-02"))
    store.place(FEED).remove([files[1].path])

    with pytest.raises(StoreError, match="staged file"):
        store.commit(Batch(number=2, feed=FEED, outcomes=(), files=files), schema)

    assert store.last_batch(FEED) == 1
    assert drops(store) == [("a", 1)]


def test_new_columns_join_the_table_and_are_null_in_older_rows(store: Store) -> None:
    commit(store, 1, rows("a", 1))
    commit(store, 2, rows("b", 1, extra=pa.array([7]), local=pa.array([5], pa.timestamp("us"))))
    commit(store, 3, rows("c", 1))

    read = store.read(FEED).sort_by("_drop")
    assert read["extra"].to_pylist() == [None, 7, None]
    assert read["local"].cast(pa.int64()).to_pylist() == [None, 5, None]


def test_files_of_one_batch_may_have_different_columns(store: Store) -> None:
    commit(store, 1, rows("a", 1, left=["l"]), rows("b", 1, right=["r"]))

    read = store.read(FEED).sort_by("_drop")
    assert read["left"].to_pylist() == ["l", None]
    assert read["right"].to_pylist() == [None, "r"]


def test_a_column_of_another_type_is_refused_by_name(store: Store) -> None:
    commit(store, 1, rows("a", 1))

    with pytest.raises(StoreError) as caught:
        commit(store, 2, rows("b", 1, metric_value=["1.5"]))

    assert str(caught.value) == (
        "column 'metric_value' is string in the file, as the contract has it, and double in the table, where a column "
        "keeps its type. Give the column its earlier type or another name in the contract, or give the feed another "
        "name, which starts a new table."
    )
    assert store.last_batch(FEED) == 1
    assert drops(store) == [("a", 1)]


def test_a_table_tells_its_columns(store: Store) -> None:
    assert store.columns(FEED) == pa.schema([])
    commit(store, 1, rows("a", 1))
    assert store.columns(FEED) == store.read(FEED).schema
    assert store.columns(FEED).field("metric_value").type == pa.float64()


def test_columns_that_differ_in_case_are_refused(store: Store) -> None:
    commit(store, 1, rows("a", 1))

    with pytest.raises(StoreError, match="'metric_value', 'Metric_Value' differ in nothing but case"):
        commit(store, 2, rows("b", 1, Metric_Value=[1.0]))


def test_replaced_drops_leave_in_the_transaction_that_brings_their_successor(store: Store) -> None:
    commit(store, 1, rows("a", 2), days=("2026-03-01", "2026-03-02"))
    commit(store, 2, rows("b", 1))
    commit(store, 3, rows("a2", 1), replaces=["a"])

    assert drops(store) == [("a2", 1), ("b", 1)]


def test_rows_that_share_a_file_with_a_replaced_drop_stay(store: Store) -> None:
    bundle = pa.concat_tables([rows("a", 3), rows("b", 2), rows("c", 1)])
    commit(store, 1, bundle)
    commit(store, 2, rows("d", 1), replaces=["a", "c", "never seen"])
    commit(store, 3, replaces=["b"])

    assert drops(store) == [("d", 1)]


def test_replacing_every_row_leaves_an_empty_table(store: Store) -> None:
    commit(store, 1, rows("a", 3))
    commit(store, 2, replaces=["a"])

    assert drops(store) == []
    assert store.last_batch(FEED) == 2


def test_compaction_keeps_every_row_and_counts_the_files_it_merged(store: Store) -> None:
    for number in range(1, 6):
        commit(store, number, rows(f"drop{number}", 3), days=("2026-03-01", "2026-03-02"))
    commit(store, 6, rows("wider", 1, extra=[1]))
    before = store.read(FEED)

    merged = store.compact(FEED, target_bytes=LARGE, min_files=6)

    assert merged == 6
    after = store.read(FEED)
    ordered = [table.take(pa.compute.sort_indices(table, [("_drop", "ascending"), ("_row", "ascending")]))
               for table in (before, after)]  # fmt: skip
    assert ordered[1].equals(ordered[0])
    assert store.last_batch(FEED) == 6


def test_a_day_with_few_files_is_not_compacted(store: Store) -> None:
    commit(store, 1, rows("a", 1))
    commit(store, 2, rows("b", 1))

    assert store.compact(FEED, target_bytes=LARGE, min_files=3) == 0


def test_a_drop_is_replaced_in_a_compacted_file_too(store: Store) -> None:
    for number in range(1, 5):
        commit(store, number, rows(f"drop{number}", 2))
    store.compact(FEED, target_bytes=LARGE, min_files=2)

    commit(store, 5, rows("new", 1), replaces=["drop2"])

    assert drops(store) == [("drop1", 1), ("drop1", 2), ("drop3", 1), ("drop3", 2), ("drop4", 1), ("drop4", 2),
                            ("new", 1)]  # fmt: skip


def test_discarding_deletes_staged_files_and_does_not_mind_missing_ones(store: Store) -> None:
    files, _ = staged(store, "a", rows("a", 2), ("2026-03-01", "2026-03-02"))
    store.place(FEED).remove([files[0].path])

    store.discard(FEED, files)

    assert not names(store)


def test_committed_files_cannot_be_discarded_nor_swept(store: Store) -> None:
    batch = commit(store, 1, rows("a", 2))
    commit(store, 2, rows("b", 1))
    store.compact(FEED, target_bytes=LARGE, min_files=2)

    store.discard(FEED, batch.files)

    assert store.sweep(FEED, ["unit1x0", "unit2x0"]) == 0
    assert names(store) >= {file.path for file in batch.files}
    assert drops(store) == [("a", 1), ("a", 2), ("b", 1)]


def test_sweeping_deletes_what_a_killed_worker_left_and_nothing_else(store: Store) -> None:
    commit(store, 1, rows("a", 1))
    staged(store, "killed", rows("b", 2), ("2026-03-01", "2026-03-02"))
    staged(store, "killed-1", rows("b", 1))
    other, _ = staged(store, "alive", rows("c", 1))

    assert store.sweep(FEED, ["killed", "never-started"]) == 3
    assert other[0].path in names(store)
    assert drops(store) == [("a", 1)]


def test_a_batch_is_held_from_its_commit_on(store: Store) -> None:
    files, _ = staged(store, "later", rows("b", 2))
    later = Batch(number=2, feed=FEED, outcomes=(), files=files)
    assert not store.holds(later)
    first = commit(store, 1, rows("a", 1))

    assert store.holds(first)
    assert not store.holds(later)


def test_an_abandoned_batch_leaves_no_file_and_changes_no_row(store: Store) -> None:
    commit(store, 1, rows("a", 1))
    files, _ = staged(store, "later", rows("b", 2))

    store.abandon(Batch(number=2, feed=FEED, outcomes=(), files=files, replaces=("a",)))

    assert not [name for name in names(store) if "part-later" in name]
    assert drops(store) == [("a", 1)]


def test_clearing_away_what_was_left_keeps_what_is_staged_and_every_row(store: Store) -> None:
    store.clear(FEED)
    commit(store, 1, rows("a", 1))
    commit(store, 2, rows("b", 1))
    store.compact(FEED, target_bytes=LARGE, min_files=2)
    files, _ = staged(store, "alive", rows("c", 2))

    store.clear(FEED)

    assert files[0].path in names(store)
    assert drops(store) == [("a", 1), ("b", 1)]


def test_it_tells_whose_rows_it_holds(store: Store) -> None:
    assert store.drops(FEED) == ()
    at = pa.array([1_000_000, 3_000_000], pa.timestamp("us", "UTC"))
    commit(store, 1, rows("a", 2, _ingested_at=at), rows("b", 3))
    commit(store, 2, rows("a2", 1, customer=["globex"]), replaces=["a"])
    assert store.drops(FEED) == (
        Held(drop_id="a2", customer="globex", rows=1, at=0.0, days={"2026-03-01": 1}),
        Held(drop_id="b", customer="acme", rows=3, at=0.0, days={"2026-03-01": 3}),
    )
    commit(store, 3, rows("c", 2, _ingested_at=at))
    assert store.drops(FEED)[-1].at == 1.0


def test_staged_files_of_nobody_are_deleted_when_they_are_old_enough(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch = commit(store, 1, rows("a", 1))
    files, _ = staged(store, "forgotten", rows("b", 1))
    paths = {file.path for file in (*batch.files, *files)}
    assert store.expire(FEED, keep_hours=1, stray_seconds=3600) == 0
    monkeypatch.setattr(expiring, "time", SimpleNamespace(time=lambda: time.time() + 4000))

    assert store.expire(FEED, keep_hours=1, stray_seconds=3600, spared=[files[0].path]) == 0
    assert names(store) >= paths
    assert store.expire(FEED, keep_hours=1, stray_seconds=3600) == 1
    assert names(store) & paths == {file.path for file in batch.files}
    assert drops(store) == [("a", 1)]


def test_feeds_have_tables_of_their_own(store: Store) -> None:
    commit(store, 1, rows("a", 1))

    assert not store.exists("events")
    assert store.last_batch("events") == 0
    assert store.place("events").describe() != store.place(FEED).describe()


def test_readers_never_see_part_of_a_batch(store: Store) -> None:
    # Given a table of which every batch replaces the one before, over three days
    commit(store, 1, rows("drop1", 6), days=("2026-03-01", "2026-03-02", "2026-03-03"))
    seen: list[list[str]] = []
    over = threading.Event()

    def look() -> None:
        while not over.is_set():
            seen.append([drop for drop, _ in drops(store)])

    reader = threading.Thread(target=look)
    reader.start()
    for number in range(2, 12):
        commit(store, number, rows(f"drop{number}", 6), days=("2026-03-01", "2026-03-02", "2026-03-03"),
               replaces=[f"drop{number - 1}"])  # fmt: skip
    over.set()
    reader.join()

    # Then every look shows one batch, whole
    assert seen
    assert all(len(look) == 6 and len(set(look)) == 1 for look in seen)
