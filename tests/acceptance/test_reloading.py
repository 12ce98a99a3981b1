"""SIGHUP: the real daemon takes a changed configuration without losing work, and keeps the old one if that is wrong."""

from __future__ import annotations

import signal
import time
from pathlib import Path

from tests.acceptance.conftest import RUNNING, Blobdrop, wait_for
from tests.corpus import text

FEED = """
[[feeds]]
name = "{name}"
paths = ["{name}/**"]
contract = "validators.metrics:precomputed_metrics"
"""


def hang_up(blobdrop: Blobdrop) -> None:
    assert blobdrop.process is not None
    blobdrop.process.send_signal(signal.SIGHUP)


def test_a_changed_configuration_is_taken_and_no_row_is_lost(blobdrop: Blobdrop) -> None:
    blobdrop.configure(FEED.format(name="metrics"))
    blobdrop.start()
    for number in range(40):
        blobdrop.drop(f"{number}.csv", text.good(500, f"n{number}"))
    blobdrop.drop("new.csv", text.good(7, "new"), feed="other")
    wait_for(lambda: blobdrop.states()["ingested"], "work has begun", told=lambda: blobdrop.log)
    blobdrop.configure(FEED.format(name="metrics") + FEED.format(name="other"))
    hang_up(blobdrop)

    wait_for(lambda: blobdrop.log.count(RUNNING) == 2, "it runs again", told=lambda: blobdrop.log)
    wait_for(lambda: blobdrop.states()["ingested"] == 41, "all is worked", told=lambda: blobdrop.log)
    assert "configuration.reloaded" in blobdrop.log
    assert (blobdrop.table().num_rows, blobdrop.table("other").num_rows) == (40 * 500, 7)
    blobdrop.assert_every_row_is_in_one_place()
    assert blobdrop.stop() == 0


def refused(blobdrop: Blobdrop, said: str) -> None:
    """Ask for a reload, and see that it is refused."""
    before = blobdrop.log.count("configuration.refused")
    hang_up(blobdrop)
    wait_for(lambda: blobdrop.log.count("configuration.refused") > before, "it is told", told=lambda: blobdrop.log)
    assert said in blobdrop.log


def test_a_wrong_configuration_is_told_and_the_old_one_stays(blobdrop: Blobdrop) -> None:
    blobdrop.configure(FEED.format(name="metrics"))
    blobdrop.start()
    blobdrop.configure("[sauce]\n")
    refused(blobdrop, "sauce")
    blobdrop.configure(FEED.format(name="x").replace(":pre", ":no_pre"))
    refused(blobdrop, "no_pre")
    blobdrop.drop("a.csv", text.good(3))
    blobdrop.wait_settled(1)
    assert blobdrop.log.count(RUNNING) == 1, "what was under way goes on"
    assert blobdrop.stop() == 0


def test_a_contract_that_was_broken_on_the_disk_is_told_and_the_daemon_goes_on(blobdrop: Blobdrop) -> None:
    contract = blobdrop.folder / "ours.py"
    contract.write_text("from validators.metrics import precomputed_metrics\n")
    blobdrop.configure(FEED.format(name="metrics").replace("validators.metrics", "ours.py"))
    blobdrop.start()
    blobdrop.drop("a.csv", text.good(3))
    blobdrop.wait_settled(1)
    contract.write_text("this is not Python(\n")
    refused(blobdrop, "never closed")
    contract.unlink()
    refused(blobdrop, "ours.py")
    assert blobdrop.stop() == 0


def test_asked_to_reload_while_it_starts_it_runs_all_the_same(blobdrop: Blobdrop) -> None:
    blobdrop.configure(FEED.format(name="metrics"))
    blobdrop.begin()
    assert blobdrop.process is not None
    status = Path(f"/proc/{blobdrop.process.pid}/status")
    wait_for(lambda: is_hup_kept_out(status.read_text()), "it keeps the signal from ending it", every=0.001)
    while RUNNING not in blobdrop.log:
        hang_up(blobdrop)
        time.sleep(0.02)
        assert blobdrop.process.poll() is None
    blobdrop.drop("a.csv", text.good(3))
    blobdrop.wait_settled(1)
    assert blobdrop.stop() == 0


def is_hup_kept_out(status: str) -> bool:
    """Tell whether SIGHUP, signal 1 and thus bit 0, is ignored or caught."""
    masks = [line.split()[1] for line in status.splitlines() if line.startswith(("SigIgn:", "SigCgt:"))]
    return any(int(mask, 16) & 1 for mask in masks)
