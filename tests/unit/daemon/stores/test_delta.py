"""What DeltaStore promises beyond the contract of all stores."""

from __future__ import annotations

import datetime as dt
import os
import pickle
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import duckdb
import polars as pl
import pyarrow as pa
import pytest
from deltalake import CommitProperties, DeltaTable, Transaction
from deltalake._internal import TableFeatures

from daemon.errors import StoreError
from daemon.places.folder import FolderPlace
from daemon.stores.delta import DeltaStore

if TYPE_CHECKING:
    from tests.unit.daemon.stores.conftest import Tables

FEED = "metrics"
CHECKOUT = Path(__file__).parents[4]

COMPACTS = """
import sys
from pathlib import Path
from daemon.places.folder import FolderPlace
from daemon.stores.delta import DeltaStore
store = DeltaStore(FolderPlace(Path(sys.argv[1])), app="other")
print("ready", flush=True)
import threading
over = threading.Event()
threading.Thread(target=lambda: (sys.stdin.read(), over.set())).start()
merged = 0
while not over.is_set():
    merged += store.compact("metrics", target_bytes=10**9, min_files=2)
print(merged, flush=True)
"""

READS = """
import sys, threading
import duckdb, polars as pl
from deltalake import DeltaTable
root = sys.argv[1]

def by_deltalake():
    return DeltaTable(root).to_pyarrow_table(columns=["_drop"])["_drop"].to_pylist()

def by_duckdb():
    files = DeltaTable(root).file_uris()
    return [drop for drop, in duckdb.sql(f"select _drop from read_parquet({files!r})").fetchall()]

def by_polars():
    return pl.scan_delta(root).select("_drop").collect()["_drop"].to_list()

by_deltalake(), by_duckdb(), by_polars()
print("ready", flush=True)
over = threading.Event()
threading.Thread(target=lambda: (sys.stdin.read(), over.set())).start()
looks = 0
while not over.is_set():
    for read in (by_deltalake, by_duckdb, by_polars):
        drops = read()
        assert len(drops) == 6 and len(set(drops)) == 1, (read.__name__, drops)
        looks += 1
print(looks, flush=True)
"""


def started(code: str, *arguments: str) -> subprocess.Popen[str]:
    """Start another Python process that works until its input ends, and wait until it is ready."""
    process = subprocess.Popen(
        [sys.executable, "-c", code, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": str(CHECKOUT)},
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def said(process: subprocess.Popen[str]) -> str:
    """End the process and return what it has to say."""
    out, _ = process.communicate()
    assert process.returncode == 0
    return out.strip()


def test_other_programs_read_whole_batches_while_they_are_committed(tables: Tables) -> None:
    # Given readers in another process, and batches of which each replaces the one before
    days = ("2026-03-01", "2026-03-02", "2026-03-03")
    tables.commit("drop0", count=6, days=days)
    readers = started(READS, str(tables.root))

    # When batches are committed, and files compacted, as fast as it goes
    for number in range(1, 25):
        tables.commit(f"drop{number}", count=6, days=days, replaces=(f"drop{number - 1}",))
        if number % 10 == 0:
            tables.store.compact(FEED, target_bytes=10**9, min_files=2)

    # Then they never saw part of one
    assert int(said(readers)) >= 3
    assert tables.drops() == ["drop24"] * 6


def test_compaction_in_another_process_neither_loses_nor_doubles_a_revision(tables: Tables) -> None:
    # Given a process that compacts all the time
    tables.commit("a0", "b0")
    compacting = started(COMPACTS, str(tables.url))

    # When drops that share files are revised one by one
    for number in range(1, 25):
        tables.commit(f"a{number}", f"c{number}", replaces=(f"a{number - 1}",))
        tables.commit(f"b{number}", replaces=(f"b{number - 1}", f"c{number}"))

    # Then each is there once
    assert int(said(compacting)) > 0
    assert tables.drops() == ["a24", "a24", "b24", "b24"]


def test_two_processes_that_commit_the_same_batch_add_it_once(tables: Tables) -> None:
    batch = tables.batch("a")
    rival = DeltaStore(FolderPlace(tables.url), app="blobdrop")
    assert (rival.last_batch(FEED), tables.store.last_batch(FEED)) == (0, 0)

    tables.store.commit(batch, tables.schema)
    rival.commit(batch, tables.schema)

    assert tables.drops() == ["a", "a"]


def test_a_rival_that_commits_the_same_batch_just_before_us_has_done_it(tables: Tables) -> None:
    tables.commit("a")
    batch = tables.batch("b")
    rival = DeltaStore(FolderPlace(tables.url), app="blobdrop")
    tables.store._tables[FEED] = tables.late(lambda: rival.commit(batch, tables.schema))

    tables.store.commit(batch, tables.schema)

    assert tables.drops() == ["a", "a", "b", "b"]


def test_the_number_never_goes_back(tables: Tables) -> None:
    for drop in ("a", "b", "c"):
        last = tables.commit(drop)

    tables.store.commit(replace(last, number=1), tables.schema)

    assert DeltaStore(FolderPlace(tables.url), app="blobdrop").last_batch(FEED) == 3


def test_another_application_counts_its_own_batches(tables: Tables) -> None:
    tables.commit("a")
    table = DeltaTable(str(tables.root))
    others = CommitProperties(app_transactions=[Transaction("spark", 77)])
    table.create_write_transaction([], "append", table.schema(), ["date"], commit_properties=others)

    tables.commit("b")

    assert tables.store.last_batch(FEED) == 2
    assert DeltaTable(str(tables.root)).transaction_version("spark") == 77


def test_the_number_survives_checkpoints(tables: Tables) -> None:
    for _ in range(101):
        tables.commit()

    assert list((tables.root / "_delta_log").glob("*.checkpoint*"))
    assert DeltaStore(FolderPlace(tables.url), app="blobdrop").last_batch(FEED) == 101


def test_redoing_a_killed_revision_leaves_no_file_behind(tables: Tables) -> None:
    # Given a process that was killed after it had rewritten a file, before it committed
    tables.commit("a", "b")
    batch = tables.batch("a2", replaces=("a",))
    table = tables.store._table(FEED)
    assert table is not None
    tables.store._change(table, batch, {})
    left = set(tables.root.rglob("*.parquet"))

    # When another process does the batch again
    DeltaStore(FolderPlace(tables.url), app="blobdrop").commit(batch, tables.schema)

    # Then it has used the same file
    assert set(tables.root.rglob("*.parquet")) == left
    assert tables.drops() == ["a2", "a2", "b", "b"]


def test_what_a_killed_revision_has_rewritten_goes_when_its_batch_is_abandoned(tables: Tables) -> None:
    tables.commit("a", "b")
    before = set(tables.root.rglob("*.parquet"))
    batch = tables.batch("a2", replaces=("a",))
    table = tables.store._table(FEED)
    assert table is not None
    tables.store._change(table, batch, {})
    assert len(set(tables.root.rglob("*.parquet")) - before) == 2

    DeltaStore(FolderPlace(tables.url), app="blobdrop").abandon(batch)

    assert set(tables.root.rglob("*.parquet")) == before
    assert tables.drops() == ["a", "a", "b", "b"]


def test_what_a_killed_commit_has_left_in_the_log_is_cleared_away(tables: Tables) -> None:
    log = tables.root / "_delta_log"
    log.mkdir(parents=True)
    left = [log / f"{0:020}.json#1", log / f"{1:020}.checkpoint.parquet#2"]
    for path in left:
        path.touch()
    tables.store.clear(FEED)
    assert list(log.iterdir()) == []

    tables.commit("a")
    left[0].touch()
    tables.store.clear(FEED)

    assert [path.name for path in log.iterdir()] == [f"{0:020}.json"]
    assert tables.drops() == ["a", "a"]


def test_a_failed_revision_removes_the_files_that_it_rewrote(tables: Tables) -> None:
    tables.commit("a", "b")
    batch = tables.batch("a2", replaces=("a",))
    before = set(tables.root.rglob("*.parquet"))
    missing = replace(batch.files[0], path="date=2026-03-01/part-missing-00.parquet")

    with pytest.raises(StoreError, match="gone"):
        tables.store.commit(replace(batch, files=(missing,)), tables.schema)

    assert set(tables.root.rglob("*.parquet")) == before
    assert tables.drops() == ["a", "a", "b", "b"]


def test_replaced_files_stay_for_older_versions_until_they_are_vacuumed(tables: Tables) -> None:
    tables.commit("a", "b")
    tables.commit("a2", replaces=("a",))

    older = DeltaTable(str(tables.root), version=0)
    assert sorted(map(str, older.to_pyarrow_table()["_drop"].to_pylist())) == ["a", "a", "b", "b"]
    DeltaTable(str(tables.root)).vacuum(retention_hours=0, enforce_retention_duration=False, dry_run=False)

    assert len(list(tables.root.rglob("*.parquet"))) == 2
    assert tables.drops() == ["a2", "a2", "b", "b"]


def test_a_store_travels_to_another_process_without_its_open_tables(tables: Tables) -> None:
    tables.commit("a")

    copy = pickle.loads(pickle.dumps(tables.store))  # noqa: S301 - a worker gets it that way

    assert copy.last_batch(FEED) == 1
    assert copy.describe(FEED) == tables.store.describe(FEED)


def test_the_day_is_a_date_for_every_reader(tables: Tables) -> None:
    tables.commit("a", days=("2026-03-01", "2026-03-02"))
    root = str(tables.root)

    found = (
        DeltaTable(root).to_pyarrow_table()["date"].to_pylist(),
        pl.scan_delta(root).collect()["date"].to_list(),
        [
            day
            for (day,) in duckdb.execute("select date from read_parquet(?)", [DeltaTable(root).file_uris()]).fetchall()
        ],
    )

    for days in found:
        assert sorted(map(str, days)) == ["2026-03-01", "2026-03-02"]
        assert {type(day) for day in days} == {dt.date}


def test_readers_may_pass_over_files_by_our_statistics(tables: Tables) -> None:
    for number in range(5):
        tables.commit(f"drop{number}")
    dataset = DeltaTable(str(tables.root)).to_pyarrow_dataset()

    kept = list(dataset.get_fragments(filter=pa.compute.field("_drop") == "drop3"))

    assert len(kept) == 1


@pytest.mark.parametrize("name", ["with blank", "100%", "é", "日本", "a#b", "a?b", "it's", "[x]", "a*b", "~"])
def test_odd_feed_names_work(tables: Tables, name: str) -> None:
    batch = replace(tables.batch("a"), feed=name)
    shutil.copytree(tables.root, tables.store.describe(name))

    tables.store.commit(batch, tables.schema)
    tables.store.commit(replace(tables.batch(replaces=("a",)), feed=name), tables.schema)

    assert tables.store.last_batch(name) == 2
    assert tables.store.read(name).num_rows == 0


@pytest.mark.parametrize("name", ["", ".", "..", "../metrics", "/etc"])
def test_names_that_lead_elsewhere_are_refused(tables: Tables, name: str) -> None:
    with pytest.raises(StoreError, match="cannot name a folder"):
        tables.store.last_batch(name)


@pytest.mark.parametrize("name", ["a%20b", "%2F", "back\\slash", "two\nlines"])
def test_names_that_deltalake_takes_for_others_are_refused(tables: Tables, name: str) -> None:
    with pytest.raises(StoreError, match="cannot hold a table"):
        tables.store.describe(name)


def test_a_broken_log_is_an_error_and_not_an_empty_table(tables: Tables) -> None:
    tables.commit("a")
    (tables.root / "_delta_log" / f"{0:020}.json").write_text("{broken")

    with pytest.raises(StoreError, match="the table cannot be read or written"):
        DeltaStore(FolderPlace(tables.url), app="blobdrop").last_batch(FEED)


def test_a_log_that_is_no_folder_is_an_error(tables: Tables) -> None:
    tables.root.mkdir(parents=True)
    (tables.root / "_delta_log").write_text("")

    with pytest.raises(StoreError, match="_delta_log"):
        tables.store.exists(FEED)


def test_an_empty_log_is_no_table(tables: Tables) -> None:
    (tables.root / "_delta_log").mkdir(parents=True)

    assert tables.store.last_batch(FEED) == 0
    tables.commit("a")
    assert tables.drops() == ["a", "a"]


def test_a_table_that_was_removed_while_open_is_made_anew(tables: Tables) -> None:
    tables.commit("a")
    shutil.rmtree(tables.root)

    assert tables.store.last_batch(FEED) == 0
    tables.commit("b")

    assert tables.drops() == ["b", "b"]


def test_features_that_we_do_not_know_are_left_alone(tables: Tables) -> None:
    tables.commit("a")
    DeltaTable(str(tables.root)).alter.add_feature(TableFeatures.DeletionVectors, allow_protocol_versions_increase=True)

    with pytest.raises(StoreError, match="deletionVectors"):
        tables.commit("b")


@pytest.mark.parametrize("kind", [pa.uint8(), pa.timestamp("ns"), pa.timestamp("us", "Europe/Berlin"), pa.null()])
def test_types_that_a_table_would_change_are_refused(tables: Tables, kind: pa.DataType) -> None:
    with pytest.raises(StoreError, match=r"column 'odd' is .* which a table cannot hold as it is"):
        tables.store.commit(tables.batch("a"), tables.schema.append(pa.field("odd", kind)))

    assert not tables.store.exists(FEED)


def test_a_date_column_that_is_no_day_is_refused(tables: Tables) -> None:
    with pytest.raises(StoreError, match="'date' is string"):
        tables.store.commit(tables.batch("a"), tables.schema.append(pa.field("date", pa.string())))
