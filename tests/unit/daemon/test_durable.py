"""Files and folders that survive a power cut."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from daemon.durable import make_folder, sync


@pytest.fixture
def synced(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The paths that are pushed to the disk, in their order."""
    paths: list[str] = []
    monkeypatch.setattr(os, "fsync", lambda number: paths.append(str(Path(f"/proc/self/fd/{number}").readlink())))
    return paths


def test_the_names_of_folders_that_are_made_on_the_way_are_pushed_to_the_disk(
    tmp_path: Path, synced: list[str]
) -> None:
    make_folder(tmp_path / "a" / "b" / "c")

    assert (tmp_path / "a" / "b" / "c").is_dir()
    assert synced == [str(tmp_path), str(tmp_path / "a")]


def test_a_folder_that_is_there_already_is_fine(tmp_path: Path, synced: list[str]) -> None:
    make_folder(tmp_path)

    assert synced == []


def test_a_file_in_the_way_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(FileExistsError):
        make_folder(tmp_path / "file")


def test_what_is_not_there_cannot_be_synced(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        sync(tmp_path / "nothing")
