"""The folder source against what people and tools really do to a folder."""

from __future__ import annotations

import os
import pickle
import resource
import shutil
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import unquote_to_bytes

import pytest
from structlog.testing import capture_logs

from daemon.errors import ChangedError, SourceError
from daemon.model import After, Found
from daemon.sources import moving
from daemon.sources.folder import FolderSource

SETTLE_SECONDS = 0.25
NOBODY = 65534


@pytest.fixture
def root(tmp_path: Path) -> Path:
    path = tmp_path / "drops"
    path.mkdir()
    return path


@pytest.fixture
def source(root: Path) -> FolderSource:
    return FolderSource(root, settle_seconds=SETTLE_SECONDS)


@pytest.fixture
def open_root() -> Iterator[Path]:
    """A folder that other users can reach, which pytest's own temporary folders are not."""
    with tempfile.TemporaryDirectory(prefix="blobdrop-test-", dir="/var/tmp") as name:
        path = Path(name)
        path.chmod(0o755)
        yield path


def only(source: FolderSource) -> Found:
    (found,) = source.list()
    return found


def names(source: FolderSource) -> set[str]:
    return {found.name for found in source.list()}


def complete(source: FolderSource) -> set[str]:
    now = time.time()
    return {found.name for found in source.list() if source.seconds_to_complete(found, 0.0, now) == 0.0}


def in_a_child(work: Callable[[], str]) -> str:
    """Do the work in a process of its own, and return what it says."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.write(write, pickle.dumps(work()))
        finally:
            os._exit(0)
    os.close(write)
    with os.fdopen(read, "rb") as pipe:
        said = pipe.read()
    os.waitpid(child, 0)
    return str(pickle.loads(said))  # noqa: S301 - our own bytes


def as_nobody(work: Callable[[], str]) -> str:
    """Do the work without root's right to read everything."""
    if os.geteuid() != 0:
        return work()

    def without_rights() -> str:
        os.setgroups([])
        os.setuid(NOBODY)
        return work()

    return in_a_child(without_rights)


# ---------------------------------------------------------------- listing


def test_the_uri_names_the_file_by_its_bytes(source: FolderSource, root: Path) -> None:
    for name in ("plain.csv", "a b%20\n.csv", "é.csv", "\udcff.csv"):
        (root / name).touch()

    for found in source.list():
        assert unquote_to_bytes(found.uri.removeprefix("file://")) == os.fsencode(root / found.name)


def test_the_uri_of_an_ordinary_file_is_the_one_that_everyone_writes(source: FolderSource, root: Path) -> None:
    (root / "a b.csv").touch()

    assert only(source).uri == (root / "a b.csv").as_uri()


def test_the_version_is_mtime_size_and_inode(source: FolderSource, root: Path) -> None:
    (root / "a.csv").write_bytes(b"12345")
    os.utime(root / "a.csv", ns=(0, 255))

    assert only(source).version == f"ff-5-{(root / 'a.csv').stat().st_ino:x}"


def test_a_folder_with_a_name_like_a_file_is_a_folder(source: FolderSource, root: Path) -> None:
    (root / "x.csv").mkdir()
    (root / "x.csv" / "a.csv").touch()
    (root / "x.tmp").mkdir()
    (root / "x.tmp" / "b.csv").touch()

    assert names(source) == {"x.csv/a.csv", "x.tmp/b.csv"}


def test_a_symlink_to_a_file_is_a_drop_with_the_files_own_version(
    source: FolderSource, root: Path, tmp_path: Path
) -> None:
    (tmp_path / "elsewhere.csv").write_bytes(b"123")
    (root / "a.csv").symlink_to(tmp_path / "elsewhere.csv")
    found = only(source)

    with source.fetch(found) as path:
        assert path.read_bytes() == b"123"
    (tmp_path / "elsewhere.csv").write_bytes(b"1234")

    assert (found.size, only(source).size) == (3, 4)


def test_pipes_sockets_broken_links_and_linked_folders_are_left_out_and_named_once(
    source: FolderSource, root: Path
) -> None:
    os.mkfifo(root / "pipe.csv")
    (root / "broken.csv").symlink_to("nowhere")
    (root / "loop.csv").symlink_to("loop.csv")
    (root / "circle").symlink_to(root)
    (root / "good.csv").touch()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(root / "socket.csv"))

        with capture_logs() as logs:
            assert names(source) == {"good.csv"}
            assert names(source) == {"good.csv"}

    assert sorted((entry["event"], entry["name"]) for entry in logs) == [
        ("folder_link_not_followed", "circle"),
        ("link_broken", "broken.csv"),
        ("link_broken", "loop.csv"),
        ("not_a_file", "pipe.csv"),
        ("not_a_file", "socket.csv"),
    ]


def test_a_folder_that_cannot_be_read_stops_nothing_and_is_named_once_for_as_long_as_it_lasts(open_root: Path) -> None:
    source = FolderSource(open_root, settle_seconds=0)
    for folder in ("closed", "open"):
        (open_root / folder).mkdir()
        (open_root / folder / "a.csv").touch()
    (open_root / "closed").chmod(0)

    def listed() -> str:
        with capture_logs() as logs:
            found = names(source) | names(source)
        return f"{sorted(found)} {[(entry['event'], entry['name'], entry['why']) for entry in logs]}"

    assert as_nobody(listed) == "['open/a.csv'] [('folder_unreadable', 'closed/', 'Permission denied')]"
    (open_root / "closed").chmod(0o755)
    assert as_nobody(listed) == "['closed/a.csv', 'open/a.csv'] []"


def test_a_symlinked_root_works_and_its_own_name_is_in_the_uri(root: Path, tmp_path: Path) -> None:
    (root / "a.csv").write_bytes(b"1")
    link = tmp_path / "link"
    link.symlink_to(root)
    source = FolderSource(link, settle_seconds=0)
    found = only(source)

    with source.fetch(found) as path:
        assert path.read_bytes() == b"1"
    source.settle(found, After.ARCHIVE)

    assert found.uri == (link / "a.csv").as_uri()
    assert (root / "_archive" / "a.csv").read_bytes() == b"1"


def test_a_symlinked_root_may_point_elsewhere_later(tmp_path: Path) -> None:
    link = tmp_path / "link"
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / f"{name}.csv").touch()
    link.symlink_to("one")
    source = FolderSource(link, settle_seconds=0)
    before = names(source)

    link.unlink()
    link.symlink_to("two")

    assert (before, names(source)) == ({"one.csv"}, {"two.csv"})


def test_a_missing_root_is_an_error_that_says_so_until_it_is_made_again(source: FolderSource, root: Path) -> None:
    root.rmdir()
    with pytest.raises(SourceError, match=rf"the drop folder {root} is missing; make it again with: mkdir -p {root}"):
        names(source)

    source.prepare()
    (root / "a.csv").touch()

    assert names(source) == {"a.csv"}


def test_a_root_that_is_a_file_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "drops").touch()
    source = FolderSource(tmp_path / "drops", settle_seconds=0)

    with pytest.raises(SourceError, match="cannot be created: File exists; create it"):
        source.prepare()
    with pytest.raises(SourceError, match="cannot be listed: Not a directory"):
        names(source)


def test_a_relative_root_stays_where_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    source = FolderSource(Path("drops"), settle_seconds=0)
    source.prepare()
    (tmp_path / "drops" / "a.csv").touch()
    monkeypatch.chdir("/")

    assert names(source) == {"a.csv"}
    assert source.describe() == str(tmp_path / "drops")


@pytest.mark.parametrize("name", ["../secret", "a/../../secret", "/etc/passwd", "", "a//b", "./a", "a/.."])
def test_a_name_that_leads_out_of_the_root_is_never_touched(source: FolderSource, root: Path, name: str) -> None:
    (root.parent / "secret").touch()
    found = Found(uri="file:///x", name=name, version="0-0-0", size=0, modified=0.0)

    with pytest.raises(SourceError, match="is not a path below"), source.fetch(found):
        pass
    with pytest.raises(SourceError, match="is not a path below"):
        source.settle(found, After.DELETE)


# ---------------------------------------------------------------- complete or not


def test_a_file_that_is_written_slowly_is_complete_only_after_its_last_write(source: FolderSource, root: Path) -> None:
    with (root / "slow.csv").open("wb", buffering=0) as file:
        for _ in range(6):
            file.write(b"1,2\n")
            time.sleep(SETTLE_SECONDS / 3)
            assert complete(source) == set()
    written = time.time()

    while not complete(source):
        time.sleep(0.01)

    assert SETTLE_SECONDS * 0.5 < time.time() - written < SETTLE_SECONDS + 0.5


def test_an_old_mtime_does_not_make_a_fresh_file_complete(source: FolderSource, root: Path, tmp_path: Path) -> None:
    (tmp_path / "old.csv").write_bytes(b"1")
    os.utime(tmp_path / "old.csv", (0, 0))
    shutil.copy2(tmp_path / "old.csv", root / "copied.csv")
    time.sleep(0.01)
    (tmp_path / "old.csv").rename(root / "moved.csv")

    assert complete(source) == set()
    time.sleep(SETTLE_SECONDS + 0.05)
    assert complete(source) == {"copied.csv", "moved.csv"}


def test_a_hard_link_is_complete_when_nobody_writes_through_its_other_name(
    source: FolderSource, root: Path, tmp_path: Path
) -> None:
    with (tmp_path / "upload.csv").open("wb", buffering=0) as file:
        file.write(b"1\n")
        os.link(tmp_path / "upload.csv", root / "a.csv")
        for _ in range(4):
            time.sleep(SETTLE_SECONDS / 3)
            file.write(b"2\n")
            assert complete(source) == set()

    time.sleep(SETTLE_SECONDS + 0.05)
    assert complete(source) == {"a.csv"}


def test_a_tree_that_is_copied_in_is_found_whole(source: FolderSource, root: Path, tmp_path: Path) -> None:
    for n in range(30):
        (tmp_path / f"tree/a/{n % 5}/b").mkdir(parents=True, exist_ok=True)
        (tmp_path / f"tree/a/{n % 5}/b/{n}.csv").write_bytes(b"1")

    subprocess.run(["cp", "-r", tmp_path / "tree", root], check=True)

    assert names(source) == {f"tree/a/{n % 5}/b/{n}.csv" for n in range(30)}


# ---------------------------------------------------------------- fetching


def replace_by_rename(path: Path) -> None:
    path.with_suffix(".new").write_bytes(b"12345678")
    os.utime(path.with_suffix(".new"), ns=(path.stat().st_atime_ns, path.stat().st_mtime_ns))
    path.with_suffix(".new").replace(path)


def truncate(path: Path) -> None:
    os.truncate(path, 3)


def write_through_another_name(path: Path) -> None:
    os.link(path, path.with_name("other"))
    with path.with_name("other").open("r+b") as file:
        file.write(b"x")


def copy_over_itself_keeping_the_time(path: Path) -> None:
    before = path.stat()
    path.write_bytes(b"12345678")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def become_a_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def become_a_pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def lose_its_folder(path: Path) -> None:
    shutil.rmtree(path.parent)
    path.parent.touch()


CHANGES = [
    replace_by_rename,
    truncate,
    write_through_another_name,
    copy_over_itself_keeping_the_time,
    become_a_folder,
    become_a_pipe,
    lose_its_folder,
    Path.unlink,
]


@pytest.mark.parametrize("change", CHANGES)
def test_a_file_that_changes_while_it_is_read_is_not_believed(
    source: FolderSource, root: Path, change: Callable[[Path], None]
) -> None:
    (root / "day").mkdir()
    (root / "day" / "a.csv").write_bytes(b"12345678")

    with pytest.raises(ChangedError, match="changed or vanished while it was read"), source.fetch(only(source)) as path:
        change(path)


@pytest.mark.parametrize("change", [each for each in CHANGES if each is not copy_over_itself_keeping_the_time])
def test_a_file_that_changed_since_the_listing_is_not_read(
    source: FolderSource, root: Path, change: Callable[[Path], None]
) -> None:
    (root / "day").mkdir()
    (root / "day" / "a.csv").write_bytes(b"12345678")
    found = only(source)
    change(root / "day" / "a.csv")

    with pytest.raises(ChangedError, match="changed or vanished before it was read"), source.fetch(found):
        pass


def test_an_unreadable_file_is_an_error_that_names_the_remedy(open_root: Path) -> None:
    source = FolderSource(open_root, settle_seconds=0)
    (open_root / "a.csv").touch()
    (open_root / "a.csv").chmod(0)

    def fetched() -> str:
        try:
            with source.fetch(only(source)):
                return "read"
        except ChangedError:
            return "changed"
        except SourceError as error:
            return str(error)

    said = as_nobody(fetched)

    assert said.startswith(f"{open_root}/a.csv: permission denied for user ")
    assert said.endswith("let the daemon's user read it, for example with: chmod a+r")


def test_an_interrupt_passes_through_even_when_the_file_changed(source: FolderSource, root: Path) -> None:
    (root / "a.csv").touch()

    def read() -> None:
        with source.fetch(only(source)) as path:
            path.unlink()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        read()


# ---------------------------------------------------------------- settling


def archived(root: Path) -> dict[str, bytes]:
    folder = root / "_archive"
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def settled(source: FolderSource, path: Path, data: bytes, after: After = After.ARCHIVE) -> Found:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    found = only(source)
    source.settle(found, after)
    return found


def test_the_archive_has_the_same_paths_and_ids_where_they_are_taken(source: FolderSource, root: Path) -> None:
    settled(source, root / "metrics" / "a.csv.gz", b"1")
    second = settled(source, root / "metrics" / "a.csv.gz", b"22")
    third = settled(source, root / "metrics" / "a.csv.gz", b"333")

    assert archived(root) == {
        "metrics/a.csv.gz": b"1",
        f"metrics/a.{second.drop_id}.csv.gz": b"22",
        f"metrics/a.{third.drop_id}.csv.gz": b"333",
    }


@pytest.mark.parametrize(
    "name",
    ["x" * 251 + ".csv", "\N{PARTY POPPER}" * 63, "a." + "y" * 253, "\udcff" * 251 + ".csv", "a.csv" + " " * 250],
)
def test_the_longest_names_can_be_archived_twice(source: FolderSource, root: Path, name: str) -> None:
    settled(source, root / name, b"1")
    second = settled(source, root / name, b"22")

    assert sorted(archived(root).values()) == [b"1", b"22"]
    assert any(second.drop_id in each for each in archived(root))


def test_a_folder_and_a_file_of_the_same_name_can_both_be_archived(source: FolderSource, root: Path) -> None:
    first = settled(source, root / "a", b"file")
    settled(source, root / "a" / "b.csv", b"in a folder")
    shutil.rmtree(root / "a")
    settled(source, root / "x" / "b.csv", b"in a folder x")
    shutil.rmtree(root / "x")
    settled(source, root / "x", b"file x")

    assert first.name == "a"
    assert sorted(archived(root).values()) == [b"file", b"file x", b"in a folder", b"in a folder x"]
    assert names(source) == set()


def test_the_archive_keeps_the_files_time_and_rights(source: FolderSource, root: Path) -> None:
    (root / "a.csv").write_bytes(b"1")
    (root / "a.csv").chmod(0o640)
    os.utime(root / "a.csv", ns=(1, 2))
    source.settle(only(source), After.ARCHIVE)

    status = (root / "_archive" / "a.csv").stat()
    assert (status.st_mtime_ns, status.st_mode & 0o777) == (2, 0o640)


@contextmanager
def archive_on_another_disk(root: Path) -> Iterator[None]:
    if not os.access("/dev/shm", os.W_OK) or Path("/dev/shm").stat().st_dev == root.stat().st_dev:  # noqa: S108
        pytest.skip("needs a second file system")
    with tempfile.TemporaryDirectory(dir="/dev/shm") as other:
        (root / "_archive").symlink_to(other)
        yield


def test_an_archive_on_another_disk_gets_copies(source: FolderSource, root: Path) -> None:
    with archive_on_another_disk(root):
        settled(source, root / "m" / "a.csv", b"1")
        second = settled(source, root / "m" / "a.csv", b"22")

        assert archived(root) == {"m/a.csv": b"1", f"m/a.{second.drop_id}.csv": b"22"}
        assert names(source) == set()


def test_a_copy_that_does_not_fit_leaves_everything_as_it_was(source: FolderSource, root: Path) -> None:
    (root / "a.csv").write_bytes(b"x" * 100_000)
    found = only(source)

    def settled() -> str:
        resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))
        try:
            source.settle(found, After.ARCHIVE)
        except SourceError as error:
            return str(error)
        return "settled"

    with archive_on_another_disk(root):
        assert in_a_child(settled) == f"{root}/a.csv: File too large; it is tried again"
        assert archived(root) == {}
        assert only(source) == found


def test_a_file_system_that_cannot_rename_without_overwriting_overwrites_nothing_either(
    source: FolderSource, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("daemon.sources.moving._LIBC", object())  # a C library without renameat2

    settled(source, root / "a.csv", b"1")
    second = settled(source, root / "a.csv", b"22")
    settled(source, root / "b.csv", b"333", After.DELETE)

    assert archived(root) == {"a.csv": b"1", f"a.{second.drop_id}.csv": b"22"}
    assert names(source) == set()


def test_a_copy_that_a_killed_run_had_finished_is_not_made_again(source: FolderSource, root: Path) -> None:
    (root / "a.csv").write_bytes(b"1")
    found = only(source)
    (root / "_archive").mkdir()
    shutil.copy2(root / "a.csv", root / "_archive" / "a.csv")

    source.settle(found, After.ARCHIVE)

    assert archived(root) == {"a.csv": b"1"}
    assert names(source) == set()


def test_archiving_a_symlink_keeps_its_bytes_and_leaves_what_it_points_to(
    source: FolderSource, root: Path, tmp_path: Path
) -> None:
    (tmp_path / "elsewhere.csv").write_bytes(b"1")
    (root / "a.csv").symlink_to("../elsewhere.csv")

    source.settle(only(source), After.ARCHIVE)

    assert archived(root) == {"a.csv": b"1"}
    assert not (root / "_archive" / "a.csv").is_symlink()
    assert (tmp_path / "elsewhere.csv").exists()
    assert not (root / "a.csv").is_symlink()


def test_deleting_a_symlink_leaves_what_it_points_to(source: FolderSource, root: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere.csv").write_bytes(b"1")
    (root / "a.csv").symlink_to("../elsewhere.csv")

    source.settle(only(source), After.DELETE)

    assert (tmp_path / "elsewhere.csv").exists()
    assert os.listdir(root) == []  # noqa: PTH208


def test_a_delete_that_was_killed_half_way_is_finished(source: FolderSource, root: Path) -> None:
    (root / "a.csv").write_bytes(b"1")
    found = only(source)
    (root / "a.csv").rename(root / f".{found.drop_id}.done")

    source.settle(found, After.DELETE)

    assert os.listdir(root) == []  # noqa: PTH208


@pytest.mark.parametrize("after", [After.ARCHIVE, After.DELETE])
def test_a_folder_that_may_not_be_written_to_is_an_error_that_names_the_remedy(open_root: Path, after: After) -> None:
    source = FolderSource(open_root, settle_seconds=0)
    (open_root / "a.csv").touch()

    def settled() -> str:
        try:
            source.settle(only(source), after)
        except SourceError as error:
            return str(error)
        return "settled"

    if os.geteuid() != 0:
        open_root.chmod(0o555)
    assert "see that the daemon's user may write to this folder and to _archive" in as_nobody(settled)
    assert names(source) == {"a.csv"}


@pytest.mark.parametrize("after", [After.ARCHIVE, After.DELETE])
def test_no_version_is_lost_when_the_customer_replaces_files_while_they_are_settled(
    source: FolderSource, root: Path, after: After
) -> None:
    # Given a customer who replaces a file again and again, as fast as the machine can
    stop, put = threading.Event(), 0

    def customer() -> None:
        nonlocal put
        while not stop.is_set():
            (root / ".new").write_bytes(b"%d" % put)
            with suppress(FileExistsError):
                os.link(root / ".new", root / "a.csv")  # only where the last one was taken
                put += 1
            (root / ".new").unlink()

    thread = threading.Thread(target=customer)
    thread.start()
    # When we list, read and settle as fast as we can
    read: set[bytes] = set()
    least, most = time.monotonic() + 0.5, time.monotonic() + 30
    while time.monotonic() < (least if put > 10 else most):
        for found in source.list():
            with suppress(ChangedError):
                with source.fetch(found) as path:
                    data = path.read_bytes()
                read.add(data)
                source.settle(found, after)
    stop.set()
    thread.join()
    for found in source.list():
        with source.fetch(found) as path:
            read.add(path.read_bytes())

    # Then every version that was there was read
    assert read >= {b"%d" % n for n in range(put)}
    assert put > 10


@pytest.mark.parametrize("after", [After.ARCHIVE, After.DELETE])
def test_a_version_that_comes_at_the_very_instant_of_settling_keeps_its_name(
    source: FolderSource, root: Path, after: After, monkeypatch: pytest.MonkeyPatch
) -> None:
    (root / "a.csv").write_bytes(b"1")
    found = only(source)

    def after_the_customer(path: str, target: str) -> None:
        monkeypatch.undo()
        (root / ".new").write_bytes(b"22")
        (root / ".new").replace(root / "a.csv")
        moving.rename_new(path, target)

    monkeypatch.setattr(moving, "rename_new", after_the_customer)
    source.settle(found, after)

    assert (root / "a.csv").read_bytes() == b"22"
    assert archived(root) == {}
    assert only(source).version != found.version


# ---------------------------------------------------------------- watching


@contextmanager
def woken(source: FolderSource) -> Iterator[threading.Event]:
    event = threading.Event()
    with source.watch(event.set):
        yield event


def written(root: Path, _outside: Path) -> None:
    (root / "a.csv").write_bytes(b"1")


def moved_in(root: Path, outside: Path) -> None:
    (outside / "a.csv").rename(root / "a.csv")


def hard_linked(root: Path, outside: Path) -> None:
    os.link(outside / "a.csv", root / "a.csv")


def symlinked(root: Path, outside: Path) -> None:
    (root / "a.csv").symlink_to(outside / "a.csv")


def renamed_from_a_temporary_name(root: Path, _outside: Path) -> None:
    (root / "old.tmp").rename(root / "a.csv")


def replaced(root: Path, outside: Path) -> None:
    (outside / "a.csv").replace(root / "old.csv")


def copied_as_a_tree(root: Path, outside: Path) -> None:
    subprocess.run(["cp", "-r", outside, root / "day"], check=True)


def moved_in_as_a_tree(root: Path, outside: Path) -> None:
    outside.rename(root / "day")


ARRIVALS = [
    written,
    moved_in,
    hard_linked,
    symlinked,
    renamed_from_a_temporary_name,
    replaced,
    copied_as_a_tree,
    moved_in_as_a_tree,
]


@pytest.mark.parametrize("how", ARRIVALS)
def test_whatever_way_a_file_arrives_it_wakes(
    source: FolderSource, root: Path, tmp_path: Path, how: Callable[[Path, Path], None]
) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    for path in (outside / "a.csv", root / "old.tmp", root / "old.csv"):
        path.touch()

    with woken(source) as event:
        how(root, outside)

        assert event.wait(5)


def test_our_own_archive_reading_and_temporary_files_do_not_wake(source: FolderSource, root: Path) -> None:
    (root / "a.csv").write_bytes(b"1")
    found = only(source)

    with woken(source) as event:
        with source.fetch(found) as path:
            path.read_bytes()
        source.settle(found, After.ARCHIVE)
        (root / "b.csv.part").write_bytes(b"1")

        assert not event.wait(0.3)


def test_a_file_in_a_folder_that_was_copied_in_wakes(source: FolderSource, root: Path, tmp_path: Path) -> None:
    (tmp_path / "tree" / "deep").mkdir(parents=True)
    with woken(source) as event:
        shutil.copytree(tmp_path / "tree", root / "tree")
        assert event.wait(5)
        time.sleep(0.2)
        event.clear()

        (root / "tree" / "deep" / "a.csv").touch()

        assert event.wait(5)


def test_a_root_that_is_removed_and_made_again_wakes_after_the_next_listing(source: FolderSource, root: Path) -> None:
    with woken(source) as event:
        for _ in range(3):
            root.rmdir()
            with pytest.raises(SourceError):
                names(source)
            root.mkdir()
            names(source)
            event.clear()

            (root / "a.csv").touch()

            assert event.wait(5)
            (root / "a.csv").unlink()


def test_a_root_that_is_moved_away_and_made_again_wakes(source: FolderSource, root: Path, tmp_path: Path) -> None:
    with woken(source) as event:
        root.rename(tmp_path / "old")
        root.mkdir()
        names(source)

        (root / "a.csv").touch()

        assert event.wait(5)


def test_a_symlinked_root_wakes(root: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(root)
    with woken(FolderSource(tmp_path / "link", settle_seconds=0)) as event:
        (root / "a.csv").touch()

        assert event.wait(5)


def test_a_root_that_is_missing_at_first_is_watched_once_it_is_there(source: FolderSource, root: Path) -> None:
    root.rmdir()
    with woken(source) as event:
        root.mkdir()
        names(source)

        (root / "a.csv").touch()

        assert event.wait(5)


def test_watching_leaves_no_thread_behind(source: FolderSource) -> None:
    before = set(threading.enumerate())
    for _ in range(3):
        with woken(source):
            names(source)

    assert set(threading.enumerate()) <= before


def test_without_inotify_it_says_so_once_and_still_lists(source: FolderSource, root: Path) -> None:
    (root / "a.csv").touch()

    def listed() -> str:
        # Two more files can be opened: inotify needs three, a listing one.
        resource.setrlimit(resource.RLIMIT_NOFILE, (256, 256))
        taken = []
        with suppress(OSError):
            while True:
                taken.append(os.open("/dev/null", os.O_RDONLY))
        for descriptor in taken[-2:]:
            os.close(descriptor)
        with capture_logs() as logs, source.watch(lambda: None):
            found = names(source) | names(source)
        return f"{sorted(found)} {[(entry['event'], entry['why']) for entry in logs]}"

    assert in_a_child(listed).startswith("['a.csv'] [('hints_unavailable', '[Errno 24]")


def test_20_000_files_at_once_lose_hints_but_no_files_and_are_listed_quickly(source: FolderSource, root: Path) -> None:
    for folder in range(20):
        (root / f"day-{folder}").mkdir()
    with woken(source) as event:
        for n in range(20_000):
            os.close(os.open(f"{root}/day-{n % 20}/{n}.csv", os.O_CREAT))
        assert event.wait(5)

    started = time.thread_time()
    uris = {found.uri for found in source.list()}

    assert len(uris) == 20_000
    assert time.thread_time() - started < 0.5


def test_a_receipt_that_no_name_or_place_is_left_for_is_told_and_holds_up_no_other(
    source: FolderSource, root: Path
) -> None:
    names = [f"_receipts/{'x' * 255}.json", "_receipts/folder/a.json", "_receipts/file/a.json", "_receipts/b.json"]
    (root / names[1] / "mine").mkdir(parents=True)
    (root / "_receipts/file").touch()

    wrong = source.leave([(name, b"{}") for name in names])

    reasons = ("File name too long", "Is a directory", "File exists")
    assert [reason in str(error) for reason, error in zip(reasons, wrong, strict=True)] == [True] * 3
    assert (root / names[3]).read_bytes() == b"{}"
