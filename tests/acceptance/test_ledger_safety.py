"""A ledger that is lost, old, backed up, rebuilt or locked: no file counts twice, and each error says what to do."""

from __future__ import annotations

import json
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.conftest import Blobdrop, environment, wait_for
from tests.corpus import text

BAD = b"x,USERID,revenue,2026-03-01,1\n"


def ledger_of(blobdrop: Blobdrop) -> Path:
    return blobdrop.folder / "var" / "ledger.db"


def lose(blobdrop: Blobdrop) -> None:
    for left in ledger_of(blobdrop).parent.glob("ledger.db*"):
        left.unlink()


def rebuild(blobdrop: Blobdrop, *options: str) -> Any:
    done = blobdrop.run("ledger", "rebuild", "--json", *options)
    assert done.code == 0, done.stderr
    return json.loads(done.stdout)


def units(blobdrop: Blobdrop) -> Counter[str]:
    return Counter(unit.partition("-")[0] for unit in blobdrop.table()["unit_id"].to_pylist())


def make_history(blobdrop: Blobdrop) -> None:
    """Make good, partial and rejected drops, a revision of two of them, and a duplicate."""
    blobdrop.drop("good.csv", text.good(tag="good1-"))
    blobdrop.drop("partial.csv", text.good(tag="partial1-") + BAD)
    blobdrop.drop("rejected.csv", b"no,such,columns\n1,2,3\n")
    blobdrop.drop("other.csv", text.good(tag="other-"), feed="acme/metrics")
    blobdrop.once()
    blobdrop.drop("good.csv", text.good(tag="good2-"))
    blobdrop.drop("partial.csv", text.good(tag="partial2-") + BAD)
    blobdrop.drop("same.csv", text.good(tag="other-"), feed="acme/metrics")
    blobdrop.once()


WHAT_THERE_IS = Counter({"good2": 10, "partial2": 10, "other": 10})


# ---------------------------------------------------------------- REBUILT


@pytest.mark.parametrize("after", ["archive", "keep"])
def test_after_a_rebuild_nothing_is_ingested_twice_and_everything_goes_on(blobdrop: Blobdrop, after: str) -> None:
    blobdrop.settings["BLOBDROP_SOURCE__AFTER"] = after
    make_history(blobdrop)
    before = {drop.id: (drop.found.uri, drop.version, drop.state, drop.superseded_by) for drop in blobdrop.drops()}
    lose(blobdrop)
    blobdrop.drop("new.csv", text.good(tag="new-"))
    told = rebuild(blobdrop)

    known = {drop.id: (drop.found.uri, drop.version, drop.state, drop.superseded_by) for drop in blobdrop.drops()}
    # With `keep` no file is left of what was replaced, and a duplicate has no report: it is one once more.
    lost = [before[drop_id][0].rpartition("/")[2] for drop_id in before if drop_id not in known]
    assert sorted(lost) == ["good.csv", "same.csv"] * (after == "keep")
    assert {drop_id: before[drop_id] for drop_id in known} == known
    assert not any(told["unknown"].values())
    drops = blobdrop.once(code=0)["drops"]
    assert (drops["ingested"], drops["duplicate"]) == (1, int(after == "keep"))
    assert units(blobdrop) == WHAT_THERE_IS + Counter({"new": 10})

    # And new bytes under an old name replace, the same bytes are a duplicate to the same customer
    blobdrop.drop("good.csv", text.good(tag="good3-"))
    blobdrop.drop("partial.csv", text.good(tag="partial3-") + BAD)
    blobdrop.drop("rejected-again.csv", b"no,such,columns\n1,2,3\n")
    blobdrop.drop("again.csv", text.good(tag="other-"), feed="acme/metrics")
    blobdrop.drop("mine.csv", text.good(tag="other-"))
    drops = blobdrop.once(code=1)["drops"]
    assert (drops["ingested"], drops["partial"], drops["duplicate"]) == (2, 1, 2)
    assert units(blobdrop) == {"good3": 10, "partial3": 10, "other": 20, "new": 10}
    blobdrop.assert_every_row_is_in_one_place()


@pytest.mark.slow
def test_without_an_archive_it_says_what_it_cannot_know_and_ingests_nothing_twice(blobdrop: Blobdrop) -> None:
    blobdrop.settings["BLOBDROP_SOURCE__AFTER"] = "delete"
    blobdrop.drop("good.csv", text.good(tag="good-"))
    blobdrop.drop("partial.csv", text.good(tag="partial1-") + BAD)
    blobdrop.once()
    lose(blobdrop)
    done = blobdrop.run("ledger", "rebuild")

    assert done.code == 0
    assert "names and bytes of 1 drop with rows in tables" in done.stdout
    blobdrop.drop("partial.csv", text.good(tag="partial2-") + BAD)
    assert blobdrop.once(code=1)["rows"]["read"] == 11
    assert units(blobdrop) == {"good": 10, "partial2": 10}
    blobdrop.assert_every_row_is_in_one_place()


def test_a_damaged_ledger_says_what_to_do_a_healthy_one_is_not_replaced_and_both_are_kept(blobdrop: Blobdrop) -> None:
    make_history(blobdrop)
    refused = blobdrop.run("ledger", "rebuild")
    assert refused.code == 3
    assert "is healthy, so there is nothing to rebuild" in refused.stderr
    before = {drop.id: drop.state for drop in blobdrop.drops()}
    assert Path(rebuild(blobdrop, "--force")["old_ledger"]).exists()
    assert {drop.id: drop.state for drop in blobdrop.drops()} == before

    ledger = ledger_of(blobdrop)
    whole = ledger.read_bytes()
    for content, command in (
        (b"", ("run", "--once")),
        (b"no database" * 999, ("status",)),
        (whole[:9_999], ("drops",)),
    ):
        ledger.write_bytes(content)
        done = blobdrop.run(*command)
        assert done.code == 3, command
        assert "blobdrop ledger rebuild" in done.stderr, command
        assert "blobdrop ledger backup" in done.stderr, command
    assert Path(rebuild(blobdrop)["old_ledger"]).read_bytes() == whole[:9_999]
    assert blobdrop.once(code=0)["rows"]["read"] == 0
    assert units(blobdrop) == WHAT_THERE_IS


def test_where_there_is_nothing_nothing_is_rebuilt(blobdrop: Blobdrop) -> None:
    done = blobdrop.run("ledger", "rebuild")

    assert done.code == 2
    assert "there is nothing to rebuild" in done.stderr
    assert not ledger_of(blobdrop).exists()


@pytest.mark.slow
def test_what_a_crash_left_is_cleared_away_by_a_rebuild_that_may_be_killed_itself(blobdrop: Blobdrop) -> None:
    blobdrop.start()
    for number in range(30):
        blobdrop.drop(f"many{number}.csv", text.good(2_000, tag=f"many{number}-") + BAD)
    root = blobdrop.store / "metrics"
    wait_for(lambda: list(root.glob("date=*/*.parquet")), "files are staged", every=0.002)
    blobdrop.stop(signal.SIGKILL)
    wait_for(lambda: (root / "_delta_log").exists() or blobdrop.run("run", "--once"), "there is a table")
    for left in ledger_of(blobdrop).parent.glob("ledger.db*"):
        if left.name != "ledger.db.lock":
            left.unlink()
    _kill_rebuilds(blobdrop)
    # On a quick machine the last one came to its end before it was killed.
    rebuild(blobdrop, "--force")

    blobdrop.once()
    assert units(blobdrop) == Counter({f"many{number}": 2_000 for number in range(30)})
    assert blobdrop.leftovers() == []
    assert not list(ledger_of(blobdrop).parent.glob(".ledger.db.rebuild*"))
    blobdrop.assert_every_row_is_in_one_place()


def _kill_rebuilds(blobdrop: Blobdrop) -> None:
    """Begin rebuilds and kill them, later and later."""
    for seconds in (0.3, 0.5, 0.7):
        process = subprocess.Popen(
            [sys.executable, "-m", "daemon", "ledger", "rebuild", "--force"],
            cwd=blobdrop.folder,
            env=environment(blobdrop.settings),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        time.sleep(seconds)
        process.kill()
        process.wait()


# ---------------------------------------------------------------- BACKED UP


def test_a_backup_is_made_while_the_daemon_works_and_is_a_ledger(blobdrop: Blobdrop) -> None:
    blobdrop.start()
    assert blobdrop.process is not None
    refused = blobdrop.run("ledger", "rebuild", "--force")
    assert refused.code == 3
    assert f"process {blobdrop.process.pid}, running since" in refused.stderr
    for number in range(40):
        blobdrop.drop(f"{number}.csv", text.good(100, tag=f"f{number}-"))
    backup = blobdrop.folder / "backup.db"
    done = blobdrop.run("ledger", "backup", str(backup), "--json")
    blobdrop.wait_settled(40)

    assert done.code == 0, done.stderr
    assert json.loads(done.stdout)["bytes"] == backup.stat().st_size
    again = blobdrop.run("ledger", "backup", str(backup))
    assert (again.code, "--force" in again.stderr) == (3, True)
    assert blobdrop.run("ledger", "backup", str(backup), "--force").code == 0
    assert blobdrop.stop() == 0

    lose(blobdrop)
    shutil.copy(backup, ledger_of(blobdrop))
    assert blobdrop.once(code=0)["rows"]["read"] == 0
    assert blobdrop.states() == {"ingested": 40}


@pytest.mark.slow
def test_an_old_backup_under_newer_tables_is_recognised_and_brought_up_to_date(blobdrop: Blobdrop) -> None:
    blobdrop.settings["BLOBDROP_SOURCE__AFTER"] = "delete"
    make_history(blobdrop)
    backup = blobdrop.folder / "backup.db"
    blobdrop.run("ledger", "backup", str(backup))
    blobdrop.drop("later.csv", text.good(tag="later-"))
    blobdrop.drop("good.csv", text.good(tag="good3-"))
    blobdrop.once(code=0)
    now = {"partial2": 10, "other": 10, "later": 10, "good3": 10}
    lose(blobdrop)
    shutil.copy(backup, ledger_of(blobdrop))
    refused = blobdrop.run("run", "--once")

    assert refused.code == 3
    assert re.search(
        r"up to batch \d+, and its table at \S+ holds batch \d+: the ledger is an old backup", refused.stderr
    )
    assert "blobdrop ledger rebuild --force" in refused.stderr
    assert units(blobdrop) == now

    told = rebuild(blobdrop, "--force")
    assert told["found"]["old_ledger"] == 7
    assert len(told["unknown"]["nameless"]) == 2
    # What only the old one knew is still known, as no file is left
    blobdrop.drop("again.csv", text.good(tag="other-"), feed="acme/metrics")
    blobdrop.drop("partial.csv", text.good(tag="partial3-") + BAD)
    drops = blobdrop.once(code=1)["drops"]
    assert (drops["partial"], drops["duplicate"]) == (1, 1)
    assert units(blobdrop) == {"partial3": 10, "other": 10, "later": 10, "good3": 10}
    blobdrop.assert_every_row_is_in_one_place()


def test_a_table_that_was_put_back_is_told_and_the_work_goes_on(blobdrop: Blobdrop) -> None:
    blobdrop.drop("old.csv", text.good(tag="old-"))
    blobdrop.once(code=0)
    shutil.rmtree(blobdrop.store)
    blobdrop.drop("new.csv", text.good(tag="new-"))
    done = blobdrop.run("run", "--once")

    assert done.code == 0
    assert "table.behind" in done.stderr
    assert units(blobdrop) == {"new": 10}


# ---------------------------------------------------------------- LOCKED


def test_a_ledger_that_another_process_locks_is_told_and_the_daemon_goes_on_by_itself(blobdrop: Blobdrop) -> None:
    blobdrop.start()
    blobdrop.drop("first.csv", text.good(tag="first-"))
    blobdrop.wait_settled(1)
    with closing(sqlite3.connect(ledger_of(blobdrop), isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        for number in range(5):
            blobdrop.drop(f"{number}.csv", text.good(tag=f"f{number}-"))
        wait_for(lambda: "turn.failed" in blobdrop.log, "it says so", told=lambda: blobdrop.log)
        other.execute("ROLLBACK")
    blobdrop.wait_settled(6)

    assert blobdrop.stop() == 0
    assert "another process has kept it locked for 10 s" in blobdrop.log
    assert "Traceback" not in blobdrop.log
    assert blobdrop.table().num_rows == 60
    assert blobdrop.states() == {"ingested": 6}
    assert blobdrop.leftovers() == []


@contextmanager
def locked(blobdrop: Blobdrop) -> Iterator[None]:
    """Have another process write to the ledger, for as long as it takes."""
    with closing(sqlite3.connect(ledger_of(blobdrop), isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        yield
        other.execute("ROLLBACK")


@pytest.mark.slow
def test_a_daemon_that_finds_its_ledger_locked_at_its_start_says_so_and_loses_nothing(blobdrop: Blobdrop) -> None:
    blobdrop.start()
    for number in range(30):
        blobdrop.drop(f"{number}.csv", text.good(2_000, tag=f"f{number}-"))
    wait_for(lambda: list(blobdrop.store.glob("metrics/date=*/*.parquet")), "files are staged", every=0.002)
    blobdrop.stop(signal.SIGKILL)
    with locked(blobdrop):
        refused = blobdrop.run("run")
    assert refused.code == 3
    assert "another process has kept it locked for 10 s. Stop that process, then try again" in refused.stderr
    assert "Traceback" not in refused.stderr

    blobdrop.once(code=0)
    assert blobdrop.states() == {"ingested": 30}
    assert units(blobdrop) == Counter({f"f{number}": 2_000 for number in range(30)})
    assert blobdrop.leftovers() == []


@pytest.mark.parametrize("when", ["at its start", "at work"])
def test_a_daemon_that_is_told_to_stop_while_its_ledger_is_locked_does_so_at_once(
    blobdrop: Blobdrop, when: str
) -> None:
    blobdrop.drop("first.csv", text.good(tag="first-"))
    blobdrop.once(code=0)
    if when == "at work":
        blobdrop.start()
    with locked(blobdrop):
        for number in range(5):
            blobdrop.drop(f"{number}.csv", text.good(tag=f"f{number}-"))
        if when == "at its start":
            blobdrop.begin()
        lock = ledger_of(blobdrop).with_name("ledger.db.lock")
        wait_for(lock.read_text, "the daemon holds the ledger", told=lambda: blobdrop.log)
        time.sleep(1.5)  # and waits for it
        assert blobdrop.stop(patience=8) in (0, 3)
    assert "Traceback" not in blobdrop.log

    blobdrop.once(code=0)
    assert blobdrop.states() == {"ingested": 6}
    assert blobdrop.table().num_rows == 60
    assert blobdrop.leftovers() == []
