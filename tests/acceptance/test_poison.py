"""Drops that hang, kill, crash or bloat the process that works them: each takes only itself down, and is told why."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from tests.acceptance.conftest import Blobdrop, wait_for

CONTRACT = """
import ctypes, os, signal, sys, time
from pathlib import Path

import pandera.pandas as pa
from pandera.typing import Series


def act(word):
    if word == "hang":
        time.sleep(1_000_000)
    if word == "loop":
        while True:
            pass
    if word == "leave":
        print("leaving on purpose")
        os._exit(0)
    if word == "exit":
        sys.exit(3)
    if word == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    if word == "crash":
        ctypes.string_at(0)
    if word == "bloat":
        held = []
        while True:
            held.append(bytearray(64 * 1024**2))
    if word == "start":
        import subprocess
        child = subprocess.Popen(["sleep", "1000"])
        Path(__file__).with_name("child").write_text(str(child.pid))
        os._exit(1)
    if word.startswith("needs ") and not Path(word[6:]).exists():
        os._exit(9)


class Orders(pa.DataFrameModel):
    order_id: Series[str]
    quantity: Series[int] = pa.Field(ge=1)
    word: Series[str]

    @pa.check("word")
    def behaves(cls, series):
        for word in series.unique():
            act(word)
        return series != "bad"
"""
SETTINGS = """
[workers]
timeout_seconds = 2
attempts = 2
memory_mb = 640
[[feeds]]
name = "orders"
paths = ["orders/**"]
contract = "poison.py:Orders"
row_wise = [{row_wise}]
[[feeds]]
name = "metrics"
paths = ["metrics/**"]
contract = "validators.metrics:precomputed_metrics"
"""
#: What a drop's rows say -> why it fails, and what its worker wrote last.
POISONS = {
    "hang": ("it took longer than workers.timeout_seconds = 2", 'poison.py", line '),
    "leave": ("the worker ended by itself with exit code 0", "leaving on purpose"),
    "exit": ("the contract raised SystemExit: 3", "SystemExit: 3"),
    "kill": ("the worker was killed by SIGKILL, perhaps for want of memory", ""),
    "crash": ("the worker was killed by SIGSEGV: it crashed", "Fatal Python error: Segmentation fault"),
    "bloat": ("it needs more memory than workers.memory_mb = 640", "MemoryError"),
}


def configure(blobdrop: Blobdrop, *, row_wise: str = "", **settings: str) -> None:
    (blobdrop.folder / "poison.py").write_text(CONTRACT)
    blobdrop.configure(SETTINGS.format(row_wise=row_wise))
    blobdrop.settings |= {f"BLOBDROP_{name.upper()}": value for name, value in settings.items()}


def orders(word: str, tag: str) -> bytes:
    return f"order_id,quantity,word\n{tag}-1,1,fine\n{tag}-2,2,{word}\n".encode()


def test_each_poisonous_drop_fails_with_its_reason_and_no_other_drop_loses_an_attempt(blobdrop: Blobdrop) -> None:
    """Judged together with the good ones, in the same unit."""
    configure(blobdrop, row_wise='"behaves"')
    for number in range(60):
        blobdrop.drop(f"{number:02}.csv", orders("fine", f"g{number}"), feed="orders")
    for place, word in enumerate(POISONS):
        blobdrop.drop(f"{place * 10:02}-{word}.csv", orders(word, word), feed="orders")
    summary = blobdrop.once(code=3)

    assert summary["drops"] | {"ingested": 60, "failed": len(POISONS)} == summary["drops"]
    for word, (reason, last_words) in POISONS.items():
        drop = blobdrop.found(f"{list(POISONS).index(word) * 10:02}-{word}.csv", feed="orders")
        assert (drop.reason, drop.attempt) == (reason, 2)
        (version,) = json.loads(blobdrop.run("drops", "--history", drop.name, "--json").stdout)
        lost = [event for event in version["events"] if event["kind"] in ("given_back", "finished")]
        assert [event["note"] for event in lost] == [reason] * 2
        assert all(last_words in "\n".join(event["log"]) for event in lost), (word, lost)
    assert {drop.attempt for drop in blobdrop.drops() if drop.state == "ingested"} == {1}
    assert blobdrop.table("orders").num_rows == 120
    assert blobdrop.leftovers() == []
    # They stay where they are, for another go.
    assert len(list((blobdrop.root / "orders").iterdir())) == len(POISONS)
    said = blobdrop.run("status").stdout
    assert "Failed last; for another go: blobdrop retry DROP, or --all-failed" in said
    # It shows the last five, with the last lines of each.
    assert sum(reason in said for reason, _ in POISONS.values()) == 5
    assert "leaving on purpose" in said or "MemoryError" in said


@pytest.mark.slow
def test_good_drops_are_in_the_table_long_before_poisonous_ones_have_failed(blobdrop: Blobdrop) -> None:
    """In the same feed and in another one; rules over whole files, which are judged one by one, hang too."""
    configure(blobdrop, workers__retry_seconds="0.5")
    blobdrop.start()
    for place, word in enumerate(("hang", "loop", "kill")):
        blobdrop.drop(f"{place}-{word}.csv", orders(word, word), feed="orders")
    for number in range(100):
        blobdrop.drop(f"{number:03}.csv", orders("fine", f"g{number}"), feed="orders")
        rows = f"u{number},user_id,revenue,2026-03-01,1\n"
        blobdrop.drop(f"{number:03}.csv", f"unit_id,id_type,metric_name,date,metric_value\n{rows}".encode())
    wait_for(lambda: blobdrop.states()["failed"] == 3, "all have failed", seconds=60, told=lambda: blobdrop.log)
    drops = blobdrop.drops()

    good = [drop.changed_at for drop in drops if drop.state == "ingested"]
    assert len(good) == 200
    assert max(good) < min(drop.changed_at for drop in drops if "hang" in drop.name or "loop" in drop.name)
    assert {drop.attempt for drop in drops if drop.state == "ingested"} == {1}
    assert blobdrop.stop() == 0
    assert "Traceback" not in blobdrop.log


def test_a_retry_is_taken_up_at_once_though_the_daemon_sleeps(blobdrop: Blobdrop) -> None:
    cure = blobdrop.folder / "cure"
    configure(blobdrop, source__poll_seconds="3600", workers__attempts="1")
    blobdrop.start()
    for number in range(3):
        blobdrop.drop(f"{number}.csv", orders(f"needs {cure}", str(number)), feed="orders")
    wait_for(lambda: blobdrop.states()["failed"] == 3, "all have failed", told=lambda: blobdrop.log)
    time.sleep(1.5)
    assert blobdrop.states() == {"failed": 3}, "nobody has asked for another go"
    cure.touch()

    assert blobdrop.run("retry", "1.csv").code == 0
    wait_for(lambda: blobdrop.states()["ingested"] == 1, "one is ingested", seconds=15, told=lambda: blobdrop.log)
    assert json.loads(blobdrop.run("retry", "--all-failed", "--json").stdout)["daemon_running"]
    wait_for(lambda: blobdrop.states()["ingested"] == 3, "all are ingested", seconds=15, told=lambda: blobdrop.log)
    assert {drop.attempt for drop in blobdrop.drops()} == {2}
    assert blobdrop.stop() == 0


def test_what_a_contract_starts_ends_with_its_worker(blobdrop: Blobdrop) -> None:
    """A process of its own, which would hold the worker's memory, files and pipes."""
    configure(blobdrop, workers__attempts="1")
    blobdrop.drop("a.csv", orders("start", "a"), feed="orders")
    blobdrop.once(code=3)
    child = int((blobdrop.folder / "child").read_text())

    # Whoever has inherited it may take a moment to notice that it is dead.
    wait_for(lambda: not Path(f"/proc/{child}").exists(), "the process that the contract started is gone", seconds=5)
