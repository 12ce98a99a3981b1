"""Files that ask for too much, and what disks and other programs do while the daemon works."""

from __future__ import annotations

import ctypes
import json
import os
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from daemon.ledger import Ledger
from tests.acceptance.conftest import Blobdrop, wait_for
from tests.corpus import text

#: Megabytes that no process of a run may need for bad input, however large it says it is.
MEMORY_MB = 500
#: `prctl`'s option to take a capability away for good (linux/prctl.h), and those with which root reads everything.
PR_CAPBSET_DROP = 24
CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH = 1, 2

# ---------------------------------------------------------------- TOO LARGE


@pytest.mark.parametrize(
    ("make", "rule", "words"),
    [
        (text.long_line, "not_text", "control characters"),
        (text.long_text_line, "line_too_long", "line 7 has more than 16,777,216 bytes"),
    ],
    ids=["of zeros", "of letters"],
)
def test_a_line_of_200_mb_is_refused_in_seconds_and_little_memory(
    blobdrop: Blobdrop, make: Callable[[Path], None], rule: str, words: str
) -> None:
    unfinished = blobdrop.folder / "unfinished"
    make(unfinished)
    blobdrop.drop("good.csv", text.good())
    with bounded(blobdrop, "line.csv", unfinished) as original:
        report = blobdrop.report("line.csv")

        assert blobdrop.found("line.csv").state == "rejected"
        assert report["problems"][0]["rule"] == rule
        assert words in report["rejected_because"]
        assert report["problems"][0]["hint"]
        assert report["rows"]["accepted"] == 0
        assert blobdrop.found("good.csv").state == "ingested"
        (kept,) = blobdrop.originals("line.csv")
        assert kept.stat().st_size == original


def test_a_gzip_bomb_of_10_gb_of_zeros_is_refused_in_seconds_and_little_memory(blobdrop: Blobdrop) -> None:
    unfinished = blobdrop.folder / "unfinished"
    text.gzip_bomb(unfinished)
    assert unfinished.stat().st_size < 11 * 1024**2
    with bounded(blobdrop, "bomb.csv.gz", unfinished):
        drop = blobdrop.found("bomb.csv.gz")

        assert (drop.state, drop.rows_read) == ("rejected", 0)
        assert "not text" in blobdrop.report("bomb.csv.gz")["rejected_because"]
        assert len(blobdrop.originals("bomb.csv.gz")) == 1


def test_a_gzip_bomb_of_good_rows_is_capped_by_a_setting_and_leaves_nothing_in_the_table(blobdrop: Blobdrop) -> None:
    blobdrop.settings["BLOBDROP_LIMITS__MAX_DECOMPRESSED_MB"] = "24"
    unfinished = blobdrop.folder / "unfinished"
    text.gzip_bomb_of_rows(unfinished)
    blobdrop.drop("good.csv", text.good())
    with bounded(blobdrop, "rows.csv.gz", unfinished):
        report = blobdrop.report("rows.csv.gz")

        assert report["problems"][0]["rule"] == "too_large"
        assert "25,165,824 bytes" in report["rejected_because"]
        assert "limits.max_decompressed_mb" in report["problems"][0]["hint"]
        assert report["rows"]["accepted"] == 0
        assert blobdrop.table().num_rows == 10


@contextmanager
def bounded(blobdrop: Blobdrop, name: str, unfinished: Path) -> Iterator[int]:
    """Drop a file, run, and hold time and memory against what a person would wait; yield the file's size."""
    size = unfinished.stat().st_size
    (blobdrop.root / "metrics").mkdir(exist_ok=True)
    unfinished.rename(blobdrop.root / "metrics" / name)
    done = blobdrop.run("run", "--once", "--json")
    assert done.code == 1, done.stderr
    assert done.memory_mb < MEMORY_MB
    yield size
    assert blobdrop.leftovers() == []
    blobdrop.assert_every_row_is_in_one_place()


# ---------------------------------------------------------------- WHAT THE DISK AND OTHERS DO


def without_rights() -> None:
    """Take root's right to read everything from a process that is about to run the command."""
    if os.geteuid() == 0:
        for capability in (CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH):
            if ctypes.CDLL(None, use_errno=True).prctl(PR_CAPBSET_DROP, capability, 0, 0, 0):
                raise OSError(ctypes.get_errno(), "this user cannot give up its rights")


def test_an_unreadable_file_fails_with_the_remedy_and_a_retry_takes_it_when_it_is_readable(blobdrop: Blobdrop) -> None:
    secret = blobdrop.drop("secret.csv", text.good(tag="secret"))
    secret.chmod(0)
    blobdrop.drop("good.csv", text.good())
    summary = blobdrop.once(code=3, before=without_rights)

    drop = blobdrop.found("secret.csv")
    assert (summary["drops"]["failed"], summary["drops"]["ingested"]) == (1, 1)
    assert "permission denied" in drop.reason
    assert "chmod a+r" in drop.reason
    assert secret.exists()
    assert blobdrop.leftovers() == []

    secret.chmod(0o644)
    blobdrop.run("retry", drop.id)
    assert blobdrop.once(before=without_rights)["drops"]["ingested"] == 1
    assert blobdrop.table().num_rows == 20


def test_a_file_that_vanishes_or_changes_while_it_is_read_is_read_again_in_its_new_version(blobdrop: Blobdrop) -> None:
    """Files are replaced, appended to and removed for as long as the daemon runs; at the end every row counts once."""
    blobdrop.settings["BLOBDROP_SOURCE__SETTLE_SECONDS"] = "0"
    blobdrop.start()
    end = time.monotonic() + 4
    writers = [threading.Thread(target=_restless, args=(blobdrop, number, end)) for number in range(3)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    final = {f"restless{number}.csv": blobdrop.drop(f"restless{number}.csv", _last(number)) for number in range(3)}
    for name in final:
        _wait_until_last(blobdrop, name)
    assert blobdrop.stop() == 0

    assert "Traceback" not in blobdrop.log
    assert "failed" not in blobdrop.states()
    blobdrop.assert_every_row_is_in_one_place()
    assert blobdrop.leftovers() == []
    units = blobdrop.table()["unit_id"].to_pylist()
    assert sorted(units) == sorted(f"last{number}-{row}" for number in range(3) for row in range(1_000))


def _last(number: int) -> bytes:
    return text.good(1_000, tag=f"last{number}-")


def _wait_until_last(blobdrop: Blobdrop, name: str) -> None:
    def is_settled() -> bool:
        versions = [drop for drop in blobdrop.drops() if drop.found.name == f"metrics/{name}"]
        return any(drop.rows_accepted == 1_000 and drop.settled_at for drop in versions)

    wait_for(is_settled, f"the last version of {name} is settled", told=lambda: blobdrop.log)


def _restless(blobdrop: Blobdrop, number: int, end: float) -> None:
    """Write, append, replace and remove one file until time is up."""
    path = blobdrop.root / "metrics" / f"restless{number}.csv"
    path.parent.mkdir(exist_ok=True)
    go = 0
    while time.monotonic() < end:
        go += 1
        with path.open("wb") as file:
            file.write(text.HEADER)
            for line in text.rows(3_000, tag=f"go{number}-{go}-"):
                file.write(line)
        if go % 3 == 0:
            path.unlink(missing_ok=True)
        time.sleep(0.02 * (go % 4))


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 6 MB."""
    place = tmp_path / "small"
    place.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=6m", "tmpfs", place], check=False, capture_output=True
    )
    if mounted.returncode:
        pytest.skip(f"a small disk cannot be mounted here: {mounted.stderr.decode().strip()}")
    yield place
    subprocess.run(["umount", "--lazy", place], check=True)


def _many(count: int) -> bytes:
    """Rows that do not compress well."""
    return text.HEADER + b"".join(
        b"%s,user_id,revenue,2026-03-01,%d\n" % (os.urandom(40).hex().encode(), number) for number in range(count)
    )


@pytest.mark.parametrize("where", ["store", "quarantine", "ledger"])
def test_a_full_disk_loses_nothing_and_the_work_is_done_when_there_is_room(
    blobdrop: Blobdrop, small_disk: Path, where: str
) -> None:
    urls = {"store": "tables", "quarantine": "aside", "ledger": "ledger.db"}
    url = f"{'sqlite:///' if where == 'ledger' else ''}{small_disk / urls[where]}"
    blobdrop.settings[f"BLOBDROP_{where.upper()}__URL"] = url
    bad = 0 if where == "store" else 59_000
    blobdrop.once(code=0)
    _fill(small_disk / "ballast", leave=1024**2 if where == "store" else 64 * 1024)
    blobdrop.drop("big.csv", _many(60_000) + b"x,USERID,revenue,2026-03-01,1\n" * bad)
    done = blobdrop.run("run", "--once", "--json")

    assert done.code == 3, (done.stdout, done.stderr)
    assert "Traceback" not in done.stderr
    assert "space" in done.stderr.lower()
    assert (blobdrop.root / "metrics" / "big.csv").exists()
    assert not list(small_disk.rglob("*.parquet"))

    (small_disk / "ballast").unlink()
    subprocess.run(["mount", "-o", "remount,size=64m", small_disk], check=True)
    blobdrop.run("retry", "metrics/big.csv")
    again = blobdrop.run("run", "--once", "--json")
    assert again.code == (1 if bad else 0), again.stderr
    rows = json.loads(again.stdout)["rows"]
    assert rows == {"read": 60_000 + bad, "accepted": 60_000, "rejected": bad}
    assert not (blobdrop.root / "metrics" / "big.csv").exists()
    assert blobdrop.leftovers() == []


@pytest.mark.parametrize("where", ["store", "ledger"])
def test_a_daemon_whose_disk_is_full_says_so_and_goes_on_by_itself_when_there_is_room(
    blobdrop: Blobdrop, small_disk: Path, where: str
) -> None:
    url = {"store": f"{small_disk}/tables", "ledger": f"sqlite:///{small_disk}/ledger.db"}[where]
    blobdrop.settings[f"BLOBDROP_{where.upper()}__URL"] = url
    blobdrop.start()
    _fill(small_disk / "ballast", leave=0)
    for number in range(20):
        blobdrop.drop(f"{number}.csv", text.good(200, tag=f"f{number}-"))
    wait_for(lambda: "turn.failed" in blobdrop.log, "the daemon says what is wrong", told=lambda: blobdrop.log)
    time.sleep(0.5)
    (small_disk / "ballast").unlink()

    wait_for(lambda: not list((blobdrop.root / "metrics").iterdir()), "all is done", told=lambda: blobdrop.log)
    assert blobdrop.stop() == 0
    assert "Traceback" not in blobdrop.log
    assert "full" in blobdrop.log or "space" in blobdrop.log.lower()
    assert blobdrop.table().num_rows == 4_000
    assert blobdrop.states() == {"ingested": 20}
    blobdrop.assert_every_row_is_in_one_place()
    assert blobdrop.leftovers() == []


@pytest.mark.parametrize("where", ["store", "quarantine"])
def test_a_daemon_whose_disk_is_read_only_says_so_and_goes_on_by_itself_when_it_is_mended(
    blobdrop: Blobdrop, small_disk: Path, where: str
) -> None:
    blobdrop.settings[f"BLOBDROP_{where.upper()}__URL"] = str(small_disk / where)
    blobdrop.settings["BLOBDROP_WORKERS__ATTEMPTS"] = "1"
    blobdrop.start()
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    for number in range(20):
        blobdrop.drop(f"{number}.csv", text.good(200, tag=f"f{number}-") + b"x,USERID,revenue,2026-03-01,1\n")
    wait_for(lambda: "turn.failed" in blobdrop.log, "the daemon says what is wrong", told=lambda: blobdrop.log)
    subprocess.run(["mount", "-o", "remount,rw", small_disk], check=True)

    wait_for(lambda: not list((blobdrop.root / "metrics").iterdir()), "all is done", told=lambda: blobdrop.log)
    assert blobdrop.stop() == 0
    assert "read-only" in blobdrop.log.lower()
    assert "Traceback" not in blobdrop.log
    assert blobdrop.table().num_rows == 4_000
    assert blobdrop.states() == {"partial": 20}
    blobdrop.assert_every_row_is_in_one_place()
    assert blobdrop.leftovers() == []


@pytest.mark.slow
def test_a_ledger_on_a_read_only_disk_is_told_and_can_be_looked_into_and_backed_up(
    blobdrop: Blobdrop, small_disk: Path
) -> None:
    blobdrop.settings["BLOBDROP_LEDGER__URL"] = f"sqlite:///{small_disk}/ledger.db"
    blobdrop.drop("first.csv", text.good(tag="first-") + b"x,USERID,revenue,2026-03-01,1\n")
    blobdrop.once(code=1)
    blobdrop.drop("second.csv", text.good(tag="second-"))
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)

    for command in (("run",), ("run", "--once"), ("quarantine", "release", "first.csv"), ("retry", "--all-failed")):
        refused = blobdrop.run(*command)
        assert refused.code == 3, command
        assert f"ledger {small_disk}/ledger.db: its disk is read-only" in refused.stderr, command
        assert "Traceback" not in refused.stderr
    assert (blobdrop.root / "metrics" / "second.csv").exists()
    assert "first.csv" in blobdrop.run("drops").stdout
    assert blobdrop.run("ledger", "backup", "backup.db").code == 0
    with Ledger.open_read(f"sqlite:///{blobdrop.folder}/backup.db") as backup:
        assert [drop.name for drop in backup.drops()] == ["metrics/first.csv"]

    subprocess.run(["mount", "-o", "remount,rw", small_disk], check=True)
    blobdrop.once(code=0)
    assert blobdrop.states() == {"partial": 1, "ingested": 1}
    assert blobdrop.table().num_rows == 20
    blobdrop.assert_every_row_is_in_one_place()


def _fill(path: Path, leave: int) -> None:
    """Take the disk's free space but for so many bytes."""
    free = os.statvfs(path.parent)
    path.write_bytes(bytes(max(0, free.f_bavail * free.f_frsize - leave)))
