"""What every source must do, whatever it is made of."""

from __future__ import annotations

import pickle
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import pytest

from daemon.cloud.address import address
from daemon.cloud.credentials import credential
from daemon.errors import ChangedError, FileProblem
from daemon.model import After, Found
from daemon.sources import Source
from daemon.sources.azure import AzureSource, Options
from daemon.sources.folder import FolderSource
from daemon.sources.memory import MemorySource
from tests.azurite.running import Container

SETTLE_SECONDS = 0.5


class World(Protocol):
    """A source together with the customer who drops into it."""

    source: Source

    def put(self, name: str, data: bytes) -> None: ...
    def take(self, name: str) -> None: ...
    def archived(self) -> set[bytes]: ...
    def left(self, name: str) -> bytes: ...


class FolderWorld:
    def __init__(self, root: Path) -> None:
        self.root = root
        self.source: Source = FolderSource(root, settle_seconds=SETTLE_SECONDS)

    def put(self, name: str, data: bytes) -> None:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)

    def take(self, name: str) -> None:
        (self.root / name).unlink()

    def archived(self) -> set[bytes]:
        return {path.read_bytes() for path in (self.root / "_archive").rglob("*") if path.is_file()}

    def left(self, name: str) -> bytes:
        return (self.root / name).read_bytes()


class MemoryWorld:
    def __init__(self) -> None:
        memory = MemorySource(settle_seconds=SETTLE_SECONDS)
        self.source: Source = memory
        self.put = memory.put
        self.take = memory.take
        self._memory = memory

    def archived(self) -> set[bytes]:
        return set(self._memory.archived.values())

    def left(self, name: str) -> bytes:
        return self._memory.letters[name]


class AzureWorld:
    def __init__(self, container: Container) -> None:
        place = address(container.url)
        opened = credential(container.url, place, container.environment)
        self.source: Source = AzureSource(place, opened, Options(settle_seconds=SETTLE_SECONDS))
        self.put = container.put
        self.left = container.get
        self._container = container

    def take(self, name: str) -> None:
        self._container.client.delete_blob(name)

    def archived(self) -> set[bytes]:
        names = self._container.client.list_blob_names(name_starts_with="_archive/")
        return {self._container.get(name) for name in names}


@pytest.fixture(params=["folder", "memory", "azure"])
def world(request: pytest.FixtureRequest, tmp_path: Path) -> World:
    match request.param:
        case "folder":
            made: World = FolderWorld(tmp_path / "drops")
        case "memory":
            made = MemoryWorld()
        case _:
            made = AzureWorld(request.getfixturevalue("container"))
    made.source.prepare()
    return made


@pytest.fixture(params=["folder", "memory"])
def near_world(request: pytest.FixtureRequest, tmp_path: Path) -> World:
    """Give a source that can look at what it gives while that is read, and hints; a copy from afar needs no look."""
    made: World = FolderWorld(tmp_path / "drops") if request.param == "folder" else MemoryWorld()
    made.source.prepare()
    return made


def is_possible(world: World, name: str) -> bool:
    """Tell whether a container can have such a name: Unicode, no characters that XML lacks, no part `..`."""
    return not isinstance(world, AzureWorld) or (name.isprintable() and ".." not in name.replace("\\", "/").split("/"))


def only(world: World) -> Found:
    (found,) = world.source.list()
    return found


def names(world: World) -> set[str]:
    return {found.name for found in world.source.list()}


def test_an_empty_place_lists_nothing(world: World) -> None:
    assert names(world) == set()


def test_preparing_twice_does_no_harm(world: World) -> None:
    world.put("a.csv", b"1")

    world.source.prepare()

    assert names(world) == {"a.csv"}


def test_a_drop_is_listed_with_its_path_and_size(world: World) -> None:
    world.put("metrics/2026/a.csv", b"12345")

    found = only(world)

    assert (found.name, found.size) == ("metrics/2026/a.csv", 5)
    assert found.uri.endswith("/metrics/2026/a.csv")


def test_a_drop_that_stays_as_it_is_keeps_its_id(world: World) -> None:
    world.put("a.csv", b"1")

    assert only(world).drop_id == only(world).drop_id


def test_new_bytes_under_an_old_name_are_another_version_of_the_same_uri(world: World) -> None:
    world.put("a.csv", b"1")
    first = only(world)

    world.put("a.csv", b"22")
    second = only(world)

    assert second.uri == first.uri
    assert second.version != first.version
    assert second.drop_id != first.drop_id


@pytest.mark.parametrize(
    "name",
    [
        ".hidden.csv",
        ".a.csv.Xy12Zq",
        ".~lock.a.csv#",
        "~$a.xlsx",
        "a.csv.tmp",
        "a.csv.part",
        "a.csv.PARTIAL",
        "a.csv.crdownload",
        "a.csv.filepart",
        "_SUCCESS",
        "_committed_123",
        "_archive/a.csv",
        "metrics/_delta_log/0.json",
        "metrics/.staging/deep/a.csv",
        "_READY/a.csv",
    ],
)
def test_what_is_not_a_drop_is_left_out(world: World, name: str) -> None:
    world.put(name, b"1")

    # A folder that is called like a marker is shown itself, where folders are something, and nothing of what is in it.
    assert names(world) <= {"_READY/"}


@pytest.mark.parametrize("name", ["_READY", "metrics/_READY.json", "metrics/2026/_ready", "_READY_2026-03-01"])
def test_markers_are_listed(world: World, name: str) -> None:
    world.put(name, b"1647975283")

    assert names(world) == {name}


@pytest.mark.parametrize(
    "name",
    ["~a.csv", "a_b.csv", "tmp", "part", "x.tmp.csv", "a~$b.csv", "x..y/a.csv", "-rf", "CON", "a.csv~", "x.csv/a.csv"],
)
def test_names_that_only_look_odd_are_drops(world: World, name: str) -> None:
    world.put(name, b"1")

    assert names(world) == {name}


@pytest.mark.parametrize(
    "name",
    [
        'it\'s "quoted".csv',
        "line\nbreak\t.csv",
        "\N{PARTY POPPER} é.csv",
        "e\N{COMBINING ACUTE ACCENT}.csv",
        "100%25?#&;.csv",
        "\\..\\a.csv",
        "\udcff\udcfe.csv",
        "\x1b[31mred.csv",
        " ",
        "x" * 251 + ".csv",
        "\N{PARTY POPPER}" * 62 + "é.csv",
    ],
)
def test_any_name_can_be_listed_fetched_and_archived(world: World, name: str) -> None:
    if not is_possible(world, name):
        pytest.skip("no container has such a name")
    world.put(name, b"data")
    found = only(world)

    with world.source.fetch(found) as path:
        assert path.read_bytes() == b"data"
    world.source.settle(found, After.ARCHIVE)

    assert found.name == name
    assert found.uri.isascii()
    assert found.uri.isprintable()
    assert " " not in found.uri
    assert names(world) == set()
    assert world.archived() == {b"data"}


def test_different_names_have_different_uris(world: World) -> None:
    given = ("a b", "a%20b", "a+b", "é", "e\N{COMBINING ACUTE ACCENT}", "\udce9", "%C3%A9")
    possible = [name for name in given if is_possible(world, name)]
    for name in possible:
        world.put(name, b"1")

    assert len({found.uri for found in world.source.list()}) == len(possible)


def test_fetching_gives_the_bytes_of_the_version(world: World) -> None:
    world.put("a.csv", b"1,2\n")

    with world.source.fetch(only(world)) as path:
        assert path.read_bytes() == b"1,2\n"


def test_a_drop_that_is_gone_cannot_be_fetched(world: World) -> None:
    world.put("a.csv", b"1")
    found = only(world)
    world.take("a.csv")

    with pytest.raises(ChangedError), world.source.fetch(found):
        pass


def test_a_drop_that_has_another_version_cannot_be_fetched(world: World) -> None:
    world.put("a.csv", b"1")
    found = only(world)
    world.put("a.csv", b"22")

    with pytest.raises(ChangedError), world.source.fetch(found):
        pass


def test_what_was_read_from_a_drop_that_changed_meanwhile_is_not_believed(near_world: World) -> None:
    near_world.put("a.csv", b"1")

    with pytest.raises(ChangedError), near_world.source.fetch(only(near_world)):
        near_world.put("a.csv", b"22")


def test_what_was_read_from_a_drop_that_vanished_meanwhile_is_not_believed(near_world: World) -> None:
    near_world.put("a.csv", b"1")

    with pytest.raises(ChangedError), near_world.source.fetch(only(near_world)):
        near_world.take("a.csv")


def test_a_problem_found_in_a_drop_that_changed_meanwhile_is_not_believed_either(near_world: World) -> None:
    near_world.put("a.csv", b"1")

    def read() -> None:
        with near_world.source.fetch(only(near_world)):
            near_world.put("a.csv", b"22")
            raise FileProblem("truncated", "the file ends in the middle")

    with pytest.raises(ChangedError):
        read()


def test_a_problem_found_in_a_drop_that_did_not_change_passes_through(world: World) -> None:
    world.put("a.csv", b"1")

    with pytest.raises(FileProblem), world.source.fetch(only(world)):
        raise FileProblem("truncated", "the file ends in the middle")


def test_what_is_brought_ahead_is_given_once_in_any_order_and_what_is_gone_is_told(world: World) -> None:
    for name in ("a.csv", "b.csv", "c.csv"):
        world.put(name, name.encode())
    found = {each.name: each for each in world.source.list()}
    world.put("b.csv", b"another version")

    with world.source.ahead(list(found.values())):
        for name in ("c.csv", "a.csv", "a.csv"):
            with world.source.fetch(found[name]) as path:
                assert path.read_bytes() == name.encode()
        with pytest.raises(ChangedError), world.source.fetch(found["b.csv"]):
            pass


def test_all_that_can_be_settled_is_whatever_becomes_of_others(world: World) -> None:
    for name in ("a.csv", "b.csv"):
        world.put(name, name.encode())
    found = list(world.source.list())

    told = dict(world.source.settle_all(found, After.ARCHIVE))

    assert told == dict.fromkeys(found)
    assert names(world) == set()
    assert world.archived() == {b"a.csv", b"b.csv"}


def test_what_is_left_for_customers_is_no_drop_and_takes_the_place_of_what_was_left_before(world: World) -> None:
    world.put("metrics/a.csv", b"1")

    for data in (b"{}", b'{"state": "ingested"}'):
        world.source.leave([("_receipts/metrics/a.csv.json", data), ("_receipts/metrics/a.csv.html", b"<p>")])

    assert names(world) == {"metrics/a.csv"}
    assert world.left("_receipts/metrics/a.csv.json") == b'{"state": "ingested"}'


def test_a_worker_can_fetch_with_a_copy_that_travelled_to_it(world: World) -> None:
    world.put("a.csv", b"1")
    with world.source.watch(lambda: None):
        copy: Source = pickle.loads(pickle.dumps(world.source))  # noqa: S301 - our own bytes

    with copy.fetch(only(world)) as path:
        assert path.read_bytes() == b"1"


def test_a_kept_drop_stays(world: World) -> None:
    world.put("a.csv", b"1")
    found = only(world)

    world.source.settle(found, After.KEEP)

    assert only(world) == found


def test_a_deleted_drop_is_gone(world: World) -> None:
    world.put("a.csv", b"1")

    world.source.settle(only(world), After.DELETE)

    assert names(world) == set()
    assert world.archived() == set()


def test_an_archived_drop_is_kept_but_no_longer_listed(world: World) -> None:
    world.put("metrics/a.csv", b"1")

    world.source.settle(only(world), After.ARCHIVE)

    assert names(world) == set()
    assert world.archived() == {b"1"}


@pytest.mark.parametrize("after", list(After))
def test_settling_again_changes_nothing(world: World, after: After) -> None:
    world.put("a.csv", b"1")
    found = only(world)
    world.source.settle(found, after)
    before = names(world), world.archived()

    world.source.settle(found, after)

    assert (names(world), world.archived()) == before


@pytest.mark.parametrize("after", list(After))
def test_settling_never_touches_another_version(world: World, after: After) -> None:
    world.put("a.csv", b"1")
    first = only(world)
    world.put("a.csv", b"22")
    second = only(world)

    world.source.settle(first, after)

    assert only(world) == second
    assert world.archived() == set()


def test_archiving_never_overwrites_what_is_archived(world: World) -> None:
    for data in (b"1", b"22", b"333"):
        world.put("metrics/a.csv", data)
        world.source.settle(only(world), After.ARCHIVE)

    assert world.archived() == {b"1", b"22", b"333"}


def test_what_was_archived_before_then_goes_and_nothing_else(world: World) -> None:
    world.put("a.csv", b"1")
    world.source.settle(only(world), After.ARCHIVE)
    world.put("a.csv", b"22")

    assert sum(world.source.expire(time.time() - 60)) == 0
    assert world.archived() == {b"1"}
    assert sum(world.source.expire(time.time() + 60)) == 1
    assert world.archived() == set()
    assert names(world) == {"a.csv"}


def test_a_drop_is_complete_when_it_is_old_enough(world: World) -> None:
    world.put("a.csv", b"1")
    found = only(world)

    assert world.source.seconds_to_complete(found, 0.0, found.modified + SETTLE_SECONDS) == 0.0
    assert world.source.seconds_to_complete(found, 0.0, found.modified + 0.1) == pytest.approx(0.4, abs=0.01)


def test_a_drop_from_the_future_is_complete_when_it_was_seen_for_long_enough(world: World) -> None:
    world.put("a.csv", b"1")
    found = only(world)

    def wait(seen: float) -> float:
        return world.source.seconds_to_complete(found, seen, found.modified - 3600)

    assert wait(0.0) == SETTLE_SECONDS
    assert wait(0.2) == pytest.approx(0.3)
    assert wait(0.6) == 0.0


def test_a_new_drop_wakes_whoever_watches(near_world: World) -> None:
    woken = threading.Event()
    with near_world.source.watch(woken.set):
        near_world.put("a.csv", b"1")

        assert woken.wait(5)


def test_nobody_is_woken_after_watching(near_world: World) -> None:
    woken = threading.Event()
    with near_world.source.watch(woken.set):
        pass

    near_world.put("a.csv", b"1")

    assert not woken.wait(0.05)


def test_it_says_where_drops_go(world: World) -> None:
    describe: Callable[[], str] = world.source.describe
    assert describe()
