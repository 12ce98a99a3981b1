"""A folder as people and tools use it, watched by the real daemon: whatever way a file arrives, it counts once."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance.conftest import Blobdrop, wait_for
from tests.corpus import text

#: Seconds between what a slow writer writes: less than the `settle_seconds` of its test, which is a second.
PAUSE = 0.4


@pytest.fixture
def running(blobdrop: Blobdrop) -> Iterator[Blobdrop]:
    """A daemon at work on an empty folder; after the test every row is in one place."""
    (blobdrop.root / "metrics").mkdir()
    blobdrop.start()
    yield blobdrop
    if blobdrop.process is not None:
        assert blobdrop.stop() == 0
    assert "Traceback" not in blobdrop.log
    blobdrop.assert_every_row_is_in_one_place()
    assert blobdrop.leftovers() == []


@pytest.fixture
def elsewhere(tmp_path: Path) -> Path:
    """A folder beside the drops, on the same disk."""
    path = tmp_path / "elsewhere"
    path.mkdir()
    return path


def archived(blobdrop: Blobdrop) -> set[str]:
    """Return the archived files, below `_archive`."""
    archive = blobdrop.root / "_archive"
    return {str(path.relative_to(archive)) for path in archive.rglob("*") if path.is_file()}


# ---------------------------------------------------------------- HOW FILES ARRIVE


def test_files_arrive_in_every_way_that_people_and_tools_have(running: Blobdrop, elsewhere: Path) -> None:
    metrics = running.root / "metrics"
    for name in ("moved", "linked", "replacing"):
        (elsewhere / f"{name}.csv").write_bytes(text.good(tag=name))
    tree = elsewhere / "tree"
    for name in ("a.csv", "b/c.csv", "b/d/e.csv"):
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).write_bytes(text.good(tag=name.replace("/", "-")))
    os.utime(elsewhere / "moved.csv", (0, 0))

    (elsewhere / "moved.csv").rename(metrics / "moved.csv")
    (metrics / "linked.csv").hardlink_to(elsewhere / "linked.csv")
    subprocess.run(["cp", "-r", tree, metrics / "tree"], check=True)
    (metrics / "written.csv").write_bytes(text.good(tag="written"))
    (metrics / "soft.csv").symlink_to(elsewhere / "linked-elsewhere.csv")
    (elsewhere / "linked-elsewhere.csv").write_bytes(text.good(tag="soft"))
    (metrics / "replaced.csv.tmp").write_bytes(text.good(tag="replaced"))
    (metrics / "replaced.csv.tmp").rename(metrics / "replaced.csv")

    running.wait_settled(8)
    assert running.states() == {"ingested": 8}
    assert running.table().num_rows == 80
    assert archived(running) == {
        f"metrics/{name}"
        for name in (
            *("moved.csv", "linked.csv", "tree/a.csv", "tree/b/c.csv", "tree/b/d/e.csv"),
            *("written.csv", "soft.csv", "replaced.csv"),
        )
    }
    assert (elsewhere / "linked.csv").exists()
    assert (elsewhere / "linked-elsewhere.csv").exists()


def test_a_file_that_is_written_slowly_is_read_once_and_whole(blobdrop: Blobdrop) -> None:
    blobdrop.settings["BLOBDROP_SOURCE__SETTLE_SECONDS"] = "1"
    (blobdrop.root / "metrics").mkdir()
    blobdrop.start()
    with (blobdrop.root / "metrics" / "slow.csv").open("wb") as file:
        file.write(text.HEADER)
        for line in text.rows(8, "slow"):
            file.write(line[:9])
            file.flush()
            time.sleep(PAUSE / 2)
            file.write(line[9:])
            file.flush()
            time.sleep(PAUSE / 2)
        assert blobdrop.drops() == ()
    blobdrop.wait_settled(1)
    assert blobdrop.stop() == 0

    assert blobdrop.states() == {"ingested": 1}
    assert blobdrop.found("slow.csv").rows_read == 8


def test_a_file_replaced_by_rename_is_a_revision_whose_rows_take_the_place_of_the_first(
    running: Blobdrop, elsewhere: Path
) -> None:
    running.drop("day.csv", text.good(10, tag="first"))
    running.wait_settled(1)
    (elsewhere / "day.csv").write_bytes(text.good(7, tag="second"))
    (elsewhere / "day.csv").rename(running.root / "metrics" / "day.csv")
    running.wait_settled(2)

    assert sorted(running.table()["unit_id"].to_pylist()) == [f"second{n}" for n in range(7)]
    assert len(archived(running)) == 2


def test_what_was_dropped_while_the_daemon_was_down_is_found_at_its_start(running: Blobdrop) -> None:
    running.drop("before.csv", text.good(tag="before"))
    running.wait_settled(1)
    assert running.stop() == 0
    running.drop("meanwhile.csv", text.good(tag="meanwhile"))
    running.drop("new folder/deep/meanwhile.csv", text.good(tag="deep"))
    running.start()

    running.wait_settled(3)
    assert running.states() == {"ingested": 3}


def test_temporary_names_and_hidden_folders_are_left_alone_until_they_get_their_own_name(running: Blobdrop) -> None:
    names = (
        *(".hidden.csv", "a.csv.tmp", "b.csv.part", "c.csv.crdownload", "d.csv.filepart", "~$e.csv"),
        *("_SUCCESS", ".f.csv.X1yZ", "_private/g.csv", ".git/h.csv", "G.CSV.TMP"),
    )
    for name in names:
        running.drop(name, text.good(tag=name.replace("/", "-")))
    running.drop("real.csv", text.good(tag="real"))
    running.wait_settled(1)
    time.sleep(1)

    assert [drop.name for drop in running.drops()] == ["metrics/real.csv"]
    for name in names:
        assert (running.root / "metrics" / name).exists()
    (running.root / "metrics" / "b.csv.part").rename(running.root / "metrics" / "b.csv")
    running.wait_settled(2)
    for name in names:
        (running.root / "metrics" / name).unlink(missing_ok=True)
    for folder in (".git", "_private"):
        (running.root / "metrics" / folder).rmdir()


# ---------------------------------------------------------------- THE ROOT


def test_a_symlinked_root_works(blobdrop: Blobdrop, elsewhere: Path) -> None:
    blobdrop.root.rmdir()
    blobdrop.root.symlink_to(elsewhere)
    blobdrop.start()
    (elsewhere / "metrics").mkdir()
    (elsewhere / "metrics" / "there.csv").write_bytes(text.good(tag="there"))
    blobdrop.wait_settled(1)
    blobdrop.drop("here.csv", text.good(tag="here"))
    blobdrop.wait_settled(2)
    assert blobdrop.stop() == 0

    assert blobdrop.states() == {"ingested": 2}
    assert archived(blobdrop) == {"metrics/there.csv", "metrics/here.csv"}


def test_a_root_that_is_removed_and_made_again_is_watched_again(running: Blobdrop) -> None:
    running.drop("a.csv", text.good(tag="a"))
    running.wait_settled(1)
    shutil.rmtree(running.root)
    wait_for(lambda: "is missing; make it again with" in running.log, "the daemon says what is wrong")
    running.root.mkdir()
    running.drop("b.csv", text.good(tag="b"))

    running.wait_settled(2)
    assert running.states() == {"ingested": 2}


@pytest.mark.slow
def test_20_000_files_at_once_are_all_ingested(blobdrop: Blobdrop) -> None:
    blobdrop.settings["BLOBDROP_SOURCE__AFTER"] = "delete"
    (blobdrop.root / "metrics").mkdir()
    blobdrop.start()
    for number in range(20_000):
        name = f"{number % 50}/{number}.csv"
        path = blobdrop.root / "metrics" / name
        if number < 50:
            path.parent.mkdir()
        path.write_bytes(text.good(1, tag=f"f{number}-"))
    blobdrop.wait_settled(20_000, seconds=90, every=1.0)
    assert blobdrop.stop() == 0

    assert blobdrop.states() == {"ingested": 20_000}
    assert blobdrop.table().num_rows == 20_000
    assert len(set(blobdrop.table()["unit_id"].to_pylist())) == 20_000
    assert not [path for path in blobdrop.root.rglob("*") if path.is_file()]
    assert blobdrop.leftovers() == []


# ---------------------------------------------------------------- AFTERWARDS


def test_a_file_may_be_kept_where_it_is_and_is_not_worked_again(blobdrop: Blobdrop) -> None:
    blobdrop.settings["BLOBDROP_SOURCE__AFTER"] = "keep"
    kept = blobdrop.drop("a.csv", text.good(tag="a"))
    blobdrop.once(code=0)
    again = blobdrop.once(code=0)

    assert kept.read_bytes() == text.good(tag="a")
    assert again["rows"]["read"] == 0
    assert not (blobdrop.root / "_archive").exists()


def test_a_file_may_be_deleted_once_its_rows_are_in_the_table(blobdrop: Blobdrop) -> None:
    blobdrop.settings["BLOBDROP_SOURCE__AFTER"] = "delete"
    gone = blobdrop.drop("a.csv", text.good(tag="a"))
    refused = blobdrop.drop("b.csv", text.empty_file())
    blobdrop.once(code=1)

    assert not gone.exists()
    assert not refused.exists()
    assert blobdrop.table().num_rows == 10
    assert len(blobdrop.originals("b.csv")) == 1


def test_the_archive_never_overwrites_another_version(blobdrop: Blobdrop) -> None:
    versions = [text.good(10, tag="one"), text.good(5, tag="two"), text.header_missing()]
    for version in versions:
        blobdrop.drop("sub/a.csv", version)
        blobdrop.once()

    kept = [path.read_bytes() for path in (blobdrop.root / "_archive" / "metrics" / "sub").iterdir()]
    assert sorted(kept) == sorted(versions)
    assert blobdrop.states() == {"ingested": 2, "rejected": 1}
    assert blobdrop.table().num_rows == 5
    blobdrop.assert_every_row_is_in_one_place()
