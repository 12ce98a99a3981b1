"""The pool of worker processes: what becomes of a task whose worker sleeps, dies, raises, writes or grows."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import CancelledError, Future
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

import pytest

from daemon.errors import StoreError
from daemon.warming import warm
from daemon.workers.killable import TOLD_LINES, Say, told
from daemon.workers.pool import LostError, Pool, RaisedError, StartError

#: Longer than any task here takes.
LONG = 60.0


def nothing() -> None:
    """Begin without doing anything."""


def echo(_say: Say, value: Any) -> Any:
    return value


def pid(_say: Say) -> int:
    return os.getpid()


def sleep(_say: Say, seconds: float) -> None:
    time.sleep(seconds)


def meet(_say: Say, mine: str, other: str) -> None:
    """Wait for somebody who does the same at the same time."""
    Path(mine).touch()
    while not Path(other).exists():
        time.sleep(0.01)


def end(_say: Say, exitcode: int) -> NoReturn:
    os._exit(exitcode)


def killed(say: Say) -> None:
    say("the second half")
    os.kill(os.getpid(), signal.SIGKILL)


def raising(_say: Say, error: BaseException) -> NoReturn:
    raise error


def writing(_say: Say, lines: int) -> NoReturn:
    for number in range(lines):
        print(f"line {number}")  # noqa: T201 - what a contract might do
    os._exit(3)


def starting(_say: Say, told_to: str) -> None:
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(1000)"])
    Path(told_to).write_text(str(child.pid))
    os._exit(1)


def stubborn(_say: Say) -> None:
    signal.signal(signal.SIGABRT, signal.SIG_IGN)
    time.sleep(1000)


@pytest.fixture(autouse=True, scope="module")
def parent() -> None:
    """Have the warm parent started first, as the daemon does: a test run has one for all its tests."""
    warm()


@pytest.fixture
def pool() -> Iterator[Pool]:
    made = Pool(2, nothing)
    yield made
    made.stop()


def lost(future: Future[Any]) -> LostError:
    with pytest.raises(LostError) as caught:
        future.result(LONG)
    return caught.value


def is_running(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] not in "XZ"
    except FileNotFoundError:
        return False


def test_calls_are_made_in_processes_that_stay(pool: Pool) -> None:
    assert [pool.schedule(LONG, echo, number).result() for number in range(5)] == [0, 1, 2, 3, 4]

    found = {pool.schedule(LONG, pid).result() for _ in range(5)}

    assert os.getpid() not in found
    assert len(found) == 1, "one is enough while nothing waits"


def test_as_many_work_at_once_as_the_pool_has(pool: Pool, tmp_path: Path) -> None:
    a, b = str(tmp_path / "a"), str(tmp_path / "b")

    for future in [pool.schedule(LONG, meet, a, b), pool.schedule(LONG, meet, b, a)]:
        future.result(LONG)


def test_a_large_result_arrives_whole(pool: Pool) -> None:
    assert len(pool.schedule(LONG, echo, b"x" * 10_000_000).result()) == 10_000_000


@pytest.mark.parametrize("exitcode", [0, 1, 7])
def test_a_task_whose_worker_leaves_is_lost_at_once_whatever_its_exit_code(pool: Pool, exitcode: int) -> None:
    found = lost(pool.schedule(LONG, end, exitcode))

    assert (found.exitcode, found.overdue) == (exitcode, False)


def test_a_worker_that_is_killed_takes_only_its_own_task_with_it(pool: Pool) -> None:
    before = [pool.schedule(LONG, sleep, 0.3)]
    bad = pool.schedule(LONG, killed)
    after = [pool.schedule(LONG, echo, number) for number in range(20)]

    found = lost(bad)
    assert (found.exitcode, found.at) == (-signal.SIGKILL, "the second half")
    assert [future.result(LONG) for future in before + after] == [None, *range(20)]


def test_an_idle_worker_that_is_killed_is_replaced_and_no_task_is_lost(pool: Pool) -> None:
    first = pool.schedule(LONG, pid).result()
    os.kill(first, signal.SIGKILL)

    assert pool.schedule(LONG, pid).result(LONG) != first


def test_a_task_that_takes_too_long_is_ended_and_says_where_it_was(pool: Pool) -> None:
    began = time.monotonic()
    found = lost(pool.schedule(0.3, sleep, 1000))

    assert found.overdue
    assert time.monotonic() - began < 5
    assert "Aborted" in found.log
    assert "in sleep" in found.log


def test_a_worker_that_will_not_give_up_is_killed(pool: Pool) -> None:
    found = lost(pool.schedule(0.3, stubborn))

    assert (found.exitcode, found.overdue) == (-signal.SIGKILL, True)
    assert pool.schedule(LONG, echo, 1).result(LONG) == 1


def test_errors_of_ours_come_through_and_the_worker_goes_on(pool: Pool) -> None:
    first = pool.schedule(LONG, pid).result()
    with pytest.raises(StoreError, match="the disk is full"):
        pool.schedule(LONG, raising, StoreError("the disk is full")).result(LONG)

    assert pool.schedule(LONG, pid).result(LONG) == first


@pytest.mark.parametrize("error", [ValueError("boom"), SystemExit(3), KeyboardInterrupt(), MemoryError()])
def test_anything_else_that_is_raised_ends_the_worker_and_comes_with_its_traceback(
    pool: Pool, error: BaseException
) -> None:
    first = pool.schedule(LONG, pid).result()
    with pytest.raises(RaisedError) as caught:
        pool.schedule(LONG, raising, error).result(LONG)

    assert caught.value.raised.said.startswith(type(error).__name__)
    assert caught.value.raised.memory == isinstance(error, MemoryError)
    assert "raise error" in caught.value.log
    assert pool.schedule(LONG, pid).result(LONG) != first


def test_what_a_worker_has_written_is_told_by_its_last_lines_and_mixes_with_nothing_of_ours(
    pool: Pool, capfd: pytest.CaptureFixture[str]
) -> None:
    found = lost(pool.schedule(LONG, writing, 100_000))

    assert found.log.splitlines() == [f"line {number}" for number in range(100_000 - TOLD_LINES, 100_000)]
    assert capfd.readouterr() == ("", "")


def test_a_log_is_of_one_task_only(pool: Pool) -> None:
    pool.schedule(LONG, raising, StoreError("x")).exception(LONG)
    assert lost(pool.schedule(LONG, end, 1)).log == ""


def test_what_a_task_has_started_is_killed_with_its_worker(pool: Pool, tmp_path: Path) -> None:
    told_to = tmp_path / "pid"
    lost(pool.schedule(LONG, starting, str(told_to)))
    child = int(told_to.read_text())

    end_at = time.monotonic() + 5
    while is_running(child) and time.monotonic() < end_at:
        time.sleep(0.02)
    assert not is_running(child)


def test_stopping_kills_what_is_under_way_and_cancels_what_waits() -> None:
    pool = Pool(1, nothing)
    process = pool.schedule(LONG, pid).result()
    futures = [pool.schedule(LONG, sleep, 1000) for _ in range(3)]
    began = time.monotonic()
    pool.stop()

    assert time.monotonic() - began < 2
    assert not is_running(process)
    assert not pool.works
    for future in futures:
        with pytest.raises(CancelledError):
            future.result(0)


def test_workers_that_cannot_begin_fail_their_tasks_and_are_not_started_for_ever() -> None:
    pool = Pool(2, partial(os._exit, 9))
    futures = [pool.schedule(LONG, echo, 1) for _ in range(3)]
    for future in futures:
        with pytest.raises(StartError, match="exit code 9"):
            future.result(LONG)
    pool.stop()


def test_of_a_crash_the_innermost_calls_are_told_and_of_anything_else_the_last_lines() -> None:
    frames = [f'  File "x.py", line {number} in call' for number in range(100)]
    crash = "\n".join(["said before", "Fatal Python error: Aborted", "", "Current thread 0x1:", *frames])

    assert told(crash).splitlines()[:2] == ["said before", "Fatal Python error: Aborted"]
    assert told(crash).splitlines()[2:4] == ["Current thread 0x1:", frames[0]]
    assert len(told(crash).splitlines()) == TOLD_LINES
    assert told("a\n\nb\n") == "a\nb"
    assert told("") == ""
