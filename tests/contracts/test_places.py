"""What every place keeps to, whatever holds its files."""

from __future__ import annotations

import os
import pickle
import time
from pathlib import Path

import pytest

from daemon.cloud.client import Deadlines
from daemon.cloud.writing import BLOCK_BYTES
from daemon.places import Place
from daemon.places.container import ContainerPlace
from daemon.places.folder import FolderPlace
from tests.azurite.faults import BUSY, proxy_to
from tests.azurite.running import Container, connection_string

PATH = "date=2026-03-01/part-1.parquet"


@pytest.fixture(params=["folder", "container"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    if request.param == "folder":
        return FolderPlace(tmp_path / "tables")
    container: Container = request.getfixturevalue("container")
    return container.place("tables")


def keep(place: Place, path: str = PATH, data: bytes = b"data") -> None:
    place.draft(path).write_bytes(data)
    place.keep(path)
    place.flush([path])


def test_a_file_that_is_kept_can_be_looked_at_listed_and_read(place: Place) -> None:
    assert place.look([PATH]) == [None]
    keep(place)
    (file,) = place.list("date=")
    assert (file.path, file.size) == (PATH, 4)
    assert file.modified == pytest.approx(time.time(), abs=60)
    assert [found and found.path for found in place.look([PATH, "date=2026-03-01/gone"])] == [PATH, None]
    assert place.read(PATH) == b"data"
    with pytest.raises(FileNotFoundError):
        place.read("date=2026-03-01/gone")


def test_a_file_of_many_blocks_comes_back_as_it_was(place: Place) -> None:
    data = os.urandom(2 * BLOCK_BYTES + 1)
    keep(place, PATH, data)
    with place.near([PATH]) as (path,):
        assert path.read_bytes() == data
        assert path.as_posix().endswith(PATH)


def test_a_list_is_of_what_begins_so(place: Place) -> None:
    for path in (PATH, "_log/1.json", "_log/2.json", "_log/20.json", "_begun"):
        keep(place, path)
    assert sorted(file.path for file in place.list("_log/2")) == ["_log/2.json", "_log/20.json"]
    assert [file.path for file in place.list("date=")] == [PATH]
    assert list(place.list("elsewhere/")) == []
    assert sorted(place.folders()) == ["_log", "date=2026-03-01"]
    assert place.below("_log").look(["1.json"])[0] is not None


def test_removing_counts_what_was_there_and_takes_drafts_away(place: Place) -> None:
    keep(place)
    draft = place.draft("date=2026-03-01/part-2.parquet")
    draft.write_bytes(b"half")
    assert place.remove([PATH, "date=2026-03-01/gone"]) == 1
    place.remove(["date=2026-03-01/part-2.parquet"])
    assert not draft.exists()
    assert place.look([PATH]) == [None]


def test_only_one_at_a_time_is_alone(place: Place) -> None:
    keep(place)
    with place.alone("_lock") as first:
        with place.alone("_lock") as second:
            assert (first, second) == (True, False)
        with place.alone("_other") as other:
            assert other
    with place.alone("_lock") as again:
        assert again


def test_it_travels_to_workers(place: Place) -> None:
    keep(place)
    assert pickle.loads(pickle.dumps(place)).read(PATH) == b"data"  # noqa: S301 - our own bytes


def test_a_place_that_is_not_there_yet_is_empty(tmp_path: Path) -> None:
    place = FolderPlace(tmp_path / "nowhere")
    assert (list(place.list("date=")), place.folders(), place.remove([PATH])) == ([], (), 0)


def test_a_container_that_is_not_there_yet_is_empty_and_is_made(container: Container) -> None:
    container.client.delete_container()
    place = container.place("tables")
    assert (list(place.list("date=")), place.folders(), place.look([PATH])) == ([], (), [None])
    place.prepare()
    place.prepare()
    keep(place)
    assert place.read(PATH) == b"data"


def test_a_container_that_does_not_answer_is_told_as_a_disk_is(container: Container) -> None:
    port = container.url.rpartition(":")[2].partition("/")[0]
    elsewhere = container.url.replace(f":{port}/", ":9/")
    away = Container(connection_string=connection_string(9), url=elsewhere, client=container.client).place("tables")
    impatient = ContainerPlace(away.address, away.credential, deadlines=_now())
    with pytest.raises(OSError, match="cannot be reached: Connection refused"):
        impatient.look([PATH])


def test_a_place_that_was_stopped_is_left_alone_once_it_fails_until_it_is_prepared_again(container: Container) -> None:
    with proxy_to(container) as proxy:
        url = proxy.environment(container)["BLOBDROP_SOURCE__URL"]
        place = Container(connection_string=container.connection_string, url=url, client=container.client).place("t")
        place.stop()
        keep(place)
        proxy.rule = lambda _method, _path: BUSY
        with pytest.raises(OSError, match="503 ServerBusy"):
            place.look([PATH])
        asked, proxy.rule = len(proxy.asked), lambda _method, _path: None
        with pytest.raises(OSError, match="is not asked any more, as the daemon stops"):
            place.look([PATH])
        assert len(proxy.asked) == asked
        place.prepare()
        assert place.read(PATH) == b"data"


def _now() -> Deadlines:
    return Deadlines(connect_seconds=1, read_seconds=1, patience_seconds=0)
