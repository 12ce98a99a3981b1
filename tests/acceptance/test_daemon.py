"""The daemon as a process: stopped, killed, doubled, read from while it writes; every row in one place throughout."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path

import duckdb
import polars as pl
import pytest
from deltalake import DeltaTable

from tests.acceptance.conftest import Blobdrop, wait_for
from tests.corpus import text

#: Rows of a file that takes a worker a second at least.
BIG = 4_000_000


def big_file(tag: str = "big", rows: int = BIG) -> bytes:
    """A file of good rows with numbered units, made quickly."""
    line = b"%s%%d,user_id,revenue,2026-03-01,1.5\n" % tag.encode()
    return text.HEADER + b"".join([line % number for number in range(rows)])


def descendants(pid: int) -> set[int]:
    """Return the processes that a process has started, and those that these have."""
    parents: dict[int, list[int]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        parents.setdefault(int(fields[1]), []).append(int(stat.parent.name))
    found, new = set[int](), {pid}
    while new:
        new = {child for parent in new for child in parents.get(parent, ())} - found
        found |= new
    return found


def is_running(pid: int) -> bool:
    """Tell whether a process lives; one that has ended and was not waited for does not."""
    return _stat(pid)[0] not in "XZ"


def staged(blobdrop: Blobdrop) -> list[Path]:
    """Return the data files below the tables, whether a table has them or not."""
    return list((blobdrop.folder / "var" / "tables").rglob("*.parquet"))


# ---------------------------------------------------------------- STOPPING


def test_sigterm_stops_an_idle_daemon_at_once(blobdrop: Blobdrop) -> None:
    blobdrop.settings["BLOBDROP_SOURCE__POLL_SECONDS"] = "3600"
    blobdrop.start()
    began = time.monotonic()

    assert blobdrop.stop() == 0
    assert time.monotonic() - began < 3


def test_sigint_stops_it_too(blobdrop: Blobdrop) -> None:
    blobdrop.start()

    assert blobdrop.stop(signal.SIGINT) == 0


# ---------------------------------------------------------------- KILLING


def test_no_worker_outlives_a_daemon_that_was_killed(blobdrop: Blobdrop) -> None:
    blobdrop.start()
    blobdrop.drop("big.csv", big_file())
    wait_for(lambda: blobdrop.states()["working"], "the big file is worked")
    assert blobdrop.process is not None
    children = descendants(blobdrop.process.pid)
    assert len(children) >= 2
    blobdrop.stop(signal.SIGKILL)

    wait_for(lambda: not any(map(is_running, children)), "all of its processes are gone", seconds=5)


@pytest.mark.parametrize("victim", ["worker", "the workers' parent", "idle worker"])
def test_a_process_that_is_killed_takes_only_its_own_drop_with_it_which_is_tried_again(
    blobdrop: Blobdrop, victim: str
) -> None:
    blobdrop.start()
    assert blobdrop.process is not None
    daemon = blobdrop.process.pid
    if victim == "idle worker":
        blobdrop.drop("first.csv", text.good(tag="first"))
        blobdrop.wait_settled(1)
        os.kill(max(workers_of(daemon)), signal.SIGKILL)
        time.sleep(0.5)
    blobdrop.drop("big.csv", big_file())
    wait_for(lambda: blobdrop.states()["working"], "the big file is worked")
    time.sleep(0.2)
    if victim == "worker":
        os.kill(max(workers_of(daemon), key=_cpu), signal.SIGKILL)
    elif victim == "the workers' parent":
        os.kill(_parent(max(workers_of(daemon), key=_cpu)), signal.SIGKILL)
    blobdrop.drop("small.csv", text.good())
    wait_for(
        lambda: blobdrop.states()["ingested"] >= 2 + (victim == "idle worker"), "all is done", told=lambda: blobdrop.log
    )
    assert blobdrop.stop() == 0

    assert "Traceback" not in blobdrop.log
    assert blobdrop.found("big.csv").attempt == (1 if victim == "idle worker" else 2)
    assert blobdrop.rows_of(blobdrop.found("big.csv").id) == BIG
    blobdrop.assert_every_row_is_in_one_place()
    assert blobdrop.leftovers() == []


def workers_of(daemon: int) -> set[int]:
    """Return the processes that were forked by the daemon's child."""
    return {pid for pid in descendants(daemon) if _parent(pid) != daemon}


def _parent(pid: int) -> int:
    return int(_stat(pid)[1])


def _cpu(pid: int) -> int:
    """Return the time that a process has had, in ticks."""
    return sum(map(int, _stat(pid)[11:13]))


def _stat(pid: int) -> list[str]:
    """Return the fields of proc(5) after the name: state, parent, ...; zeros when the process is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return ["X", *["0"] * 50]


# ---------------------------------------------------------------- THE LEDGER


def test_a_second_daemon_says_who_holds_the_ledger_and_ends(blobdrop: Blobdrop) -> None:
    blobdrop.start()
    assert blobdrop.process is not None
    second = blobdrop.run("run", "--once")

    assert second.code == 3
    assert f"process {blobdrop.process.pid}, running since" in second.stderr
    assert "Stop it first" in second.stderr
    assert "Traceback" not in second.stderr
    blobdrop.drop("a.csv", text.good())
    blobdrop.wait_settled(1)


def test_a_lost_ledger_is_an_error_and_no_file_is_ingested_again(blobdrop: Blobdrop) -> None:
    blobdrop.settings["BLOBDROP_SOURCE__AFTER"] = "keep"
    blobdrop.drop("a.csv", text.good())
    blobdrop.once(code=0)
    ledger = blobdrop.folder / "var" / "ledger.db"
    kept = ledger.rename(blobdrop.folder / "backup.db")
    lost = blobdrop.run("run", "--once")

    assert lost.code == 3
    assert "ledger" in lost.stderr
    assert "backup" in lost.stderr
    assert not ledger.exists()
    kept.rename(ledger)
    assert blobdrop.once(code=0)["rows"]["read"] == 0
    assert blobdrop.table().num_rows == 10


# ---------------------------------------------------------------- THE TABLE


@pytest.mark.slow
def test_readers_of_three_kinds_see_whole_files_only_while_it_writes_and_compacts(blobdrop: Blobdrop) -> None:
    blobdrop.settings |= {"BLOBDROP_SOURCE__SETTLE_SECONDS": "0", "BLOBDROP_STORE__COMPACT_FILES": "4"}
    root = str(blobdrop.folder / "var" / "tables" / "metrics")
    blobdrop.start()
    blobdrop.drop("0.csv", text.good(100, tag="f0-"))
    blobdrop.wait_settled(1)
    seen = []
    for number in range(1, 16):
        blobdrop.drop(f"{number}.csv", text.good(100, tag=f"f{number}-"))
        uris = DeltaTable(root).file_uris()
        with duckdb.connect() as database:
            counted = database.execute("SELECT count(*) FROM read_parquet(?)", [uris]).fetchone()
        assert counted is not None
        seen += [counted[0], DeltaTable(root).to_pyarrow_table().num_rows, pl.read_delta(root).height]
        time.sleep(0.15)
    blobdrop.wait_settled(16)
    wait_for(lambda: len(DeltaTable(root).file_uris()) < 4, "small data files are made into one")

    assert all(count % 100 == 0 for count in seen)
    assert seen == sorted(seen)
    assert blobdrop.stop() == 0
    assert "Traceback" not in blobdrop.log
    assert pl.read_delta(root)["unit_id"].n_unique() == 1_600
    assert blobdrop.leftovers() == []


def test_the_same_bytes_again_are_a_duplicate_under_any_name_but_not_of_another_customer(blobdrop: Blobdrop) -> None:
    blobdrop.drop("a.csv", text.good())
    blobdrop.once(code=0)
    blobdrop.drop("renamed.csv", text.good())
    blobdrop.drop("a.csv", text.good())
    blobdrop.drop("a.csv", text.good(), feed="acme/metrics")
    summary = blobdrop.once(code=0)

    assert summary["drops"] | {"duplicate": 2, "ingested": 1} == summary["drops"]
    assert blobdrop.table().num_rows == 20
    assert sorted(set(blobdrop.table()["customer"].to_pylist())) == ["acme", "default"]
    assert not (blobdrop.root / "metrics" / "renamed.csv").exists()
    blobdrop.assert_every_row_is_in_one_place()


def test_two_feeds_and_several_customers_are_worked_at_once(blobdrop: Blobdrop) -> None:
    event = {"timestamp": 1772323200, "event_name": "click", "event_metadata": "{}", "user": '{"userID": "u1"}'}
    lines = "".join(json.dumps(event | {"event_value": str(number)}) + "\n" for number in range(50))
    blobdrop.start()
    for customer in ("", "acme/", "globex/"):
        blobdrop.drop("m.csv", text.good(20, tag=f"{customer}u"), feed=f"{customer}metrics")
        blobdrop.drop("e.ndjson", lines.encode(), feed=f"{customer}events")
    blobdrop.drop("what is this.csv", text.good(), feed="unknown")
    blobdrop.wait_settled(7)
    assert blobdrop.stop() == 0

    assert blobdrop.states() == {"ingested": 6, "unmatched": 1}
    assert (blobdrop.table().num_rows, blobdrop.table("events").num_rows) == (60, 150)
    assert "no feed has a pattern for this name" in blobdrop.log
    assert (blobdrop.root / "unknown" / "what is this.csv").exists()
    blobdrop.assert_every_row_is_in_one_place()


@pytest.mark.parametrize("policy", ["append", "reject"])
def test_a_feed_may_treat_new_bytes_under_an_old_name_in_another_way(blobdrop: Blobdrop, policy: str) -> None:
    blobdrop.configure(
        f'[[feeds]]\nname = "metrics"\npaths = ["metrics/**"]\n'
        f'contract = "validators.metrics:precomputed_metrics"\nrevision = "{policy}"\n'
    )
    blobdrop.drop("day.csv", text.good(10, tag="first"))
    blobdrop.once(code=0)
    blobdrop.drop("day.csv", text.good(7, tag="second"))
    blobdrop.once()

    assert blobdrop.table().num_rows == {"append": 17, "reject": 10}[policy]
    if policy == "reject":
        assert blobdrop.found("day.csv").state == "rejected"
        assert blobdrop.report("day.csv")["rejected_because"]
        assert len(blobdrop.originals("day.csv")) == 1
