"""What every cabinet keeps to, whatever holds its entries."""

from __future__ import annotations

import pickle
import time
from pathlib import Path

import pytest

from daemon.cabinets import REPORT, Cabinet
from daemon.cabinets.container import LIST_ALL, ContainerCabinet
from daemon.cabinets.folder import FolderCabinet
from tests.azurite.running import Container

KEY = "acme/metrics/ab12"


@pytest.fixture(params=["folder", "container"])
def cabinet(request: pytest.FixtureRequest, tmp_path: Path) -> Cabinet:
    if request.param == "folder":
        return FolderCabinet(tmp_path / "quarantine")
    container: Container = request.getfixturevalue("container")
    return ContainerCabinet(container.place("set aside"))


def keep(cabinet: Cabinet, key: str = KEY, **files: bytes) -> None:
    """Put an entry of a report and these files."""
    blank = cabinet.blank(key)
    for name, data in ({"report": b"{}", **files}).items():
        (blank / (REPORT if name == "report" else f"{name}.csv")).write_bytes(data)
    cabinet.put(blank, key)
    assert not blank.exists()


def keys(cabinet: Cabinet, *of: str) -> list[str]:
    return sorted(one.key for one in cabinet.list(*of) if one.whole)


def test_an_entry_is_there_when_it_was_put(cabinet: Cabinet) -> None:
    blank = cabinet.blank(KEY)
    (blank / REPORT).write_bytes(b"{}")
    assert not cabinet.has(KEY)
    assert keys(cabinet) == []

    cabinet.put(blank, KEY)

    assert cabinet.has(KEY)
    assert keys(cabinet) == [KEY]
    assert cabinet.read(KEY, REPORT) == b"{}"
    assert cabinet.key(cabinet.describe(KEY)) == KEY
    assert next(cabinet.list()).at == pytest.approx(time.time(), abs=60)


def test_what_is_given_up_was_never_there(cabinet: Cabinet) -> None:
    blank = cabinet.blank(KEY)
    (blank / REPORT).write_bytes(b"{}")
    cabinet.give_up(blank)
    cabinet.give_up(blank)
    assert (keys(cabinet), blank.exists()) == ([], False)


def test_an_entry_takes_the_place_of_an_older_one_as_a_whole(cabinet: Cabinet) -> None:
    keep(cabinet, rejected=b"1", original=b"2")
    keep(cabinet, rejected=b"3")
    assert sorted(cabinet.names(KEY)) == ["rejected.csv", REPORT]
    assert cabinet.read(KEY, "rejected.csv") == b"3"


def test_an_entry_moves_to_the_place_of_another_and_moving_it_again_changes_nothing(cabinet: Cabinet) -> None:
    keep(cabinet, rejected=b"old", original=b"old")
    keep(cabinet, "acme/metrics/.ab12.next", rejected=b"new")
    for _ in range(2):
        cabinet.move("acme/metrics/.ab12.next", KEY)
        assert keys(cabinet) == [KEY]
        assert sorted(cabinet.names(KEY)) == ["rejected.csv", REPORT]
        assert cabinet.read(KEY, "rejected.csv") == b"new"


def test_entries_are_listed_by_customer_and_feed_those_that_wait_too(cabinet: Cabinet) -> None:
    for key in (KEY, "acme/events/cd34", "b%20c/metrics/ef56", "acme/metrics/.ab12.next"):
        keep(cabinet, key, rejected=b"1")
    assert keys(cabinet, "acme") == ["acme/events/cd34", "acme/metrics/.ab12.next", KEY]
    assert keys(cabinet, "acme", "metrics") == ["acme/metrics/.ab12.next", KEY]
    assert [one.key for one in cabinet.list(None, "events")] == ["acme/events/cd34"]
    assert keys(cabinet, "b%20c") == ["b%20c/metrics/ef56"]
    assert cabinet.key(cabinet.describe("b%20c/metrics/ef56")) == "b%20c/metrics/ef56"


@pytest.mark.parametrize("more", [0, LIST_ALL])
def test_removed_entries_are_gone_and_the_others_stay(cabinet: Cabinet, more: int) -> None:
    keep(cabinet, rejected=b"1")
    keep(cabinet, "acme/metrics/cd34")
    gone = [KEY, *(f"acme/metrics/{number}" for number in range(more))]
    cabinet.remove(gone)
    cabinet.remove(gone)
    assert keys(cabinet) == ["acme/metrics/cd34"]
    assert not cabinet.has(KEY)


def test_a_file_is_written_anew(cabinet: Cabinet) -> None:
    keep(cabinet)
    cabinet.write(KEY, REPORT, b"[]")
    assert cabinet.read(KEY, REPORT) == b"[]"
    assert cabinet.names(KEY) == [REPORT]


def test_an_entrys_files_can_be_had_in_a_folder(cabinet: Cabinet) -> None:
    keep(cabinet, rejected=b"rows")
    with cabinet.near(KEY) as folder:
        assert {path.name: path.read_bytes() for path in folder.iterdir()} == {REPORT: b"{}", "rejected.csv": b"rows"}
    with cabinet.near("acme/metrics/gone") as folder:
        assert not folder.is_dir()


def test_an_entry_that_is_not_there_cannot_be_read(cabinet: Cabinet) -> None:
    with pytest.raises(FileNotFoundError):
        cabinet.read(KEY, REPORT)


def test_what_was_not_finished_goes_when_it_is_old(cabinet: Cabinet) -> None:
    keep(cabinet)
    blank = cabinet.blank("acme/metrics/cd34")
    (blank / "rejected.csv").write_bytes(b"half")
    if isinstance(cabinet, ContainerCabinet):
        cabinet.place.upload({"acme/metrics/cd34/rejected.csv": blank / "rejected.csv"})
    assert list(cabinet.clear(time.time() - 60)) == []
    assert list(cabinet.clear(time.time() + 60)) == [None]
    assert [one.key for one in cabinet.list()] == [KEY]
    cabinet.give_up(blank)


def test_it_travels_to_workers(cabinet: Cabinet) -> None:
    keep(cabinet)
    assert pickle.loads(pickle.dumps(cabinet)).has(KEY)  # noqa: S301 - our own bytes
