"""The archive: which drop each file was, and what goes in time."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from daemon.errors import SourceError
from daemon.model import After, Found
from daemon.sources.archived import STEP, expire
from daemon.sources.folder import FolderSource


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "drops"


@pytest.fixture
def source(root: Path) -> FolderSource:
    source = FolderSource(root, settle_seconds=0.0)
    source.prepare()
    return source


def settle(source: FolderSource, path: Path, content: bytes = b"x") -> Found:
    """Drop a file and archive it; return what its listing showed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    (found,) = source.list()
    source.settle(found, After.ARCHIVE)
    return found


@pytest.mark.parametrize("name", ["a.csv", "acme/metrics/a b%.csv.gz", "no-suffix", "dots.in.name.csv", "ünï.csv"])
def test_an_archived_file_is_the_drop_that_its_listing_showed(source: FolderSource, root: Path, name: str) -> None:
    found = settle(source, root / name)
    (one,) = source.archived()

    assert (one.found.uri, one.found.version, one.found.name) == (found.uri, found.version, found.name)
    assert one.found.drop_id == found.drop_id


@pytest.mark.parametrize("name", ["a.csv", "acme/a.csv.gz", "no-suffix", "dots.in.name.csv", "a.tar.zst"])
def test_one_under_a_name_that_was_taken_is_known_by_the_id_in_it(source: FolderSource, root: Path, name: str) -> None:
    versions = [settle(source, root / name, content) for content in (b"1", b"22", b"333")]

    assert {one.found.drop_id for one in source.archived()} == {found.drop_id for found in versions}
    assert {one.found.name for one in source.archived()} == {name}


def test_a_name_that_only_looks_like_one_with_an_id_is_left_as_it_is(source: FolderSource, root: Path) -> None:
    found = settle(source, root / "a.0123456789abcdef.csv")

    assert [one.found for one in source.archived()] == [
        Found(
            uri=found.uri,
            name=found.name,
            version=found.version,
            size=1,
            modified=next((root / "_archive").iterdir()).stat().st_mtime,
        )
    ]


def test_a_name_of_any_bytes_is_known(source: FolderSource, root: Path) -> None:
    found = settle(source, Path(os.fsdecode(os.fsencode(root) + b"/\xff\n.csv")))

    assert [one.found.drop_id for one in source.archived()] == [found.drop_id]


def test_no_archive_has_no_files(source: FolderSource) -> None:
    assert list(source.archived()) == []
    assert sum(source.expire(time.time())) == 0


def test_only_what_came_before_then_goes_with_folders_that_are_empty_then(source: FolderSource, root: Path) -> None:
    settle(source, root / "acme/old/a.csv")
    time.sleep(0.02)
    border = time.time()
    time.sleep(0.02)
    settle(source, root / "acme/new/b.csv")

    assert sum(source.expire(border)) == 1
    archive = root / "_archive"
    left = [str(path.relative_to(archive)) for path in sorted(archive.rglob("*"))]
    assert left == ["acme", "acme/new", "acme/new/b.csv"]


def test_a_file_whose_own_time_is_old_has_come_only_now(source: FolderSource, root: Path) -> None:
    """`cp -p` and rsync keep the time of a file that may be years old."""
    root.joinpath("a.csv").write_bytes(b"x")
    os.utime(root / "a.csv", (1.0, 1.0))
    (found,) = source.list()
    source.settle(found, After.ARCHIVE)

    assert sum(source.expire(time.time() - 60)) == 0
    assert len(list(source.archived())) == 1


def test_drops_and_what_else_lies_in_the_folder_stay(source: FolderSource, root: Path) -> None:
    (root / "a.csv").write_bytes(b"x")
    (root / "_mine").mkdir()
    (root / "_mine" / "b.csv").write_bytes(b"x")

    assert sum(source.expire(time.time() + 60)) == 0
    assert (root / "a.csv").exists()
    assert (root / "_mine" / "b.csv").exists()


def test_a_link_out_of_the_archive_is_not_followed(source: FolderSource, root: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "precious.csv").write_bytes(b"x")
    (root / "_archive").mkdir()
    (root / "_archive" / "link").symlink_to(outside)

    assert sum(source.expire(time.time() + 60)) == 0
    assert (outside / "precious.csv").exists()


def test_it_goes_in_steps_and_may_break_off_anywhere(root: Path) -> None:
    folder = root / "_archive"
    folder.mkdir(parents=True)
    for number in range(2 * STEP + 1):
        (folder / f"{number}.csv").touch()
    steps = expire(str(root), time.time() + 60)

    assert next(steps) == STEP
    assert len(list(folder.iterdir())) == STEP + 1
    del steps
    assert sum(expire(str(root), time.time() + 60)) == STEP + 1


def test_an_archive_that_cannot_be_changed_is_an_error(root: Path) -> None:
    root.mkdir()
    (root / "_archive").write_text("a file")

    with pytest.raises(SourceError, match="_archive"):
        list(FolderSource(root, settle_seconds=0.0).expire(time.time()))
