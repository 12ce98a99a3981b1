"""The hold: one daemon at a time, freed however its holder ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from daemon.errors import LedgerBusyError, LedgerError
from daemon.ledger.hold import held

if TYPE_CHECKING:
    from tests.unit.daemon.ledger.conftest import World

ROOT = Path(__file__).parents[4]

HOLDER = """
import os, sys, time
from pathlib import Path
from daemon.ledger.hold import held
with held(Path(sys.argv[1]), 1772366400.0):
    # A child speaks for itself, when it has come so far.
    if "fork" not in sys.argv or not os.fork():
        print(os.getpid(), flush=True)
    time.sleep(60)
"""


@contextmanager
def holder(path: Path, *how: str) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """Give a process that holds the ledger, and the pid of the child that it has forked, or its own."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(path), *how], stdout=subprocess.PIPE, text=True, cwd=ROOT
    ) as process:
        assert process.stdout is not None
        child = int(process.stdout.readline())
        try:
            yield process, child
        finally:
            process.kill()


def test_a_second_daemon_is_told_who_holds_the_ledger_and_since_when(world: World) -> None:
    second = world.ledger.hold(world.now())

    with holder(world.path) as (process, _), pytest.raises(LedgerBusyError) as caught, second:
        pass

    assert f"process {process.pid}, running since 2026-03-01 12:00:00+00:00, holds this ledger" in str(caught.value)
    assert "Stop it first" in str(caught.value)


def test_a_holder_that_is_killed_frees_the_ledger(world: World) -> None:
    with holder(world.path) as (process, _):
        process.send_signal(signal.SIGKILL)
        process.wait(10)

        with world.ledger.hold(world.now()):
            pass


def test_a_worker_that_outlives_a_killed_daemon_does_not_keep_the_hold(world: World) -> None:
    with holder(world.path, "fork") as (process, child):
        process.send_signal(signal.SIGKILL)
        process.wait(10)
        try:
            os.kill(child, 0)
            with world.ledger.hold(world.now()):
                pass
        finally:
            os.kill(child, signal.SIGKILL)


def test_the_hold_ends_with_its_block_also_by_an_error(world: World) -> None:
    with pytest.raises(ZeroDivisionError), world.ledger.hold(world.now()):
        raise ZeroDivisionError

    with world.ledger.hold(world.now()):
        pass


def test_the_next_holder_learns_of_those_before_it_that_crashed_and_of_no_other(world: World) -> None:
    with world.ledger.hold(world.now()) as first:
        assert first.crashed == ()
    with pytest.raises(ZeroDivisionError), world.ledger.hold(world.now()) as second:
        _ = 1 / 0
    with holder(world.path):
        pass
    with world.ledger.hold(world.now()) as fourth:
        before, killed = fourth.crashed
        assert before == second.session
    with world.ledger.hold(world.now()) as fifth:
        assert fifth.crashed == ()
    assert len({first.session, second.session, killed, fourth.session, fifth.session}) == 5


def test_a_holder_with_many_crashes_behind_it_is_still_told_by_name(world: World) -> None:
    for _ in range(100):
        with pytest.raises(ZeroDivisionError), world.ledger.hold(world.now()):
            _ = 1 / 0
    with world.ledger.hold(world.now()) as hold:
        assert len(hold.crashed) == 32
        assert world.ledger.holder() is not None


def test_the_same_process_cannot_hold_it_twice(world: World) -> None:
    first, second = world.ledger.hold(world.now()), world.ledger.hold(world.now())

    with first, pytest.raises(LedgerBusyError, match=f"process {os.getpid()}"), second:
        pass


def test_a_holder_that_has_not_written_its_name_yet_is_another_process(world: World) -> None:
    lock = world.path.with_name("ledger.db.lock")
    with world.ledger.hold(world.now()):
        lock.write_text("nonsense")

        with pytest.raises(LedgerBusyError, match="another process holds this ledger"), world.ledger.hold(world.now()):
            pass


def test_a_ledger_tells_who_holds_it_and_that_nobody_does_once_its_holder_is_gone(world: World) -> None:
    assert world.ledger.holder() is None

    with holder(world.path) as (process, _):
        found = world.ledger.holder()
        assert found is not None
        assert (found.pid, found.since) == (process.pid, 1772366400.0)
        process.send_signal(signal.SIGKILL)
        process.wait(10)

        assert world.ledger.holder() is None


def test_asking_who_holds_a_ledger_takes_nothing_from_its_holder(world: World) -> None:
    with world.ledger.hold(world.now()):
        found = world.ledger.holder()

        assert found is not None
        assert found.pid == os.getpid()
        with pytest.raises(LedgerBusyError), world.ledger.hold(world.now()):
            pass


def test_a_lock_file_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    with (
        pytest.raises(LedgerError, match=r"none/ledger\.db\.lock cannot be opened"),
        held(tmp_path / "none/ledger.db", 1.0),
    ):
        pass
