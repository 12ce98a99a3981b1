"""Worker processes, real ones: what becomes of work that is lost, hangs, asks for too much, or raises."""

from __future__ import annotations

import os
import pickle
import signal
import time
from collections.abc import Iterator
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from daemon.cabinets.folder import FolderCabinet
from daemon.errors import BlobdropError, ContractError, FileProblem, StoreError, UndoneError, WorkerError
from daemon.model import Drop, Limits, Setup, State, Unit
from daemon.places.folder import FolderPlace
from daemon.quarantine import Quarantine
from daemon.sources.folder import FolderSource
from daemon.stores.memory import MemoryStore
from daemon.workers.executor import Workers
from daemon.workers.killable import Raised, Say
from daemon.workers.pool import LostError, RaisedError, StartError
from tests.unit.daemon.conftest import METRICS, NOON, good

MEMORY_MB = 768
MEMORY = "it needs more memory than workers.memory_mb = 64"
DIVISION = "the worker raised ZeroDivisionError: division by zero"


def call(_say: Say, function: Any, *arguments: Any) -> Any:
    """Do anything in a worker."""
    return function(*arguments)


@pytest.fixture(scope="module")
def workers() -> Iterator[Workers]:
    """One pool for all tests: a start costs a second or two."""
    made = Workers(processes=1, memory_mb=MEMORY_MB, timeout_seconds=30.0)
    yield made
    made.stop()


def unit(folder: Path) -> tuple[Unit, Setup]:
    (folder / "drops").mkdir()
    (folder / "drops" / "a.csv").write_bytes(good(3))
    source = FolderSource(folder / "drops", settle_seconds=0.0)
    drops = tuple(Drop(id=found.drop_id, found=found, feed="metrics", customer="default") for found in source.list())
    setup = Setup(
        source=source,
        table=FolderPlace(folder / "table"),
        quarantine=Quarantine(FolderCabinet(folder / "quarantine")),
        limits=Limits(),
        now=NOON,
    )
    return Unit(id="u", feed="metrics", drops=drops), setup


def lost(workers: Workers, future: Future[Any]) -> str:
    """Return how it is said that the worker was lost."""
    with suppress(CancelledError):
        future.exception(60)
    with pytest.raises(WorkerError) as caught:
        workers.result(future)
    return str(caught.value)


# ---------------------------------------------------------------- REAL PROCESSES


def test_a_unit_is_worked_in_another_process(workers: Workers, tmp_path: Path) -> None:
    made, setup = unit(tmp_path)
    prepared = workers.result(workers.submit(made, METRICS, setup))
    (outcome,) = prepared.outcomes
    assert (outcome.state, outcome.rows.accepted) == (State.INGESTED, 3)
    assert (tmp_path / "table" / prepared.files[0].path).is_file()
    assert workers.result(workers._schedule(30.0, call, os.getpid)) != os.getpid()


def test_whatever_ends_a_worker_the_next_work_is_done(workers: Workers) -> None:
    assert lost(workers, workers._schedule(30.0, call, os._exit, 3)) == "the worker ended by itself with exit code 3"
    killed = workers._schedule(30.0, call, signal.raise_signal, signal.SIGKILL)
    assert lost(workers, killed) == "the worker was killed by SIGKILL, perhaps for want of memory"
    hung = workers._schedule(0.2, call, time.sleep, 60)
    assert lost(workers, hung) == "it took longer than workers.timeout_seconds = 30"
    assert workers.result(workers._schedule(30.0, call, len, "abc")) == 3


def test_what_asks_for_too_much_memory_is_refused(workers: Workers) -> None:
    large = workers._schedule(30.0, call, bytearray, 2 * MEMORY_MB * 1024**2)
    assert lost(workers, large) == f"it needs more memory than workers.memory_mb = {MEMORY_MB}"
    assert workers.result(workers._schedule(30.0, call, len, "abc")) == 3


def test_a_worker_is_forked_from_a_parent_that_has_everything_already(workers: Workers) -> None:
    lost(workers, workers._schedule(30.0, call, os._exit, 0))
    loaded = "'pandera' in __import__('sys').modules and __import__('gc').get_freeze_count() > 0"
    assert workers.result(workers._schedule(30.0, call, eval, loaded)) is True


def test_a_contract_is_described_where_it_will_be_used(workers: Workers) -> None:
    assert workers.result(workers.describe(METRICS)).time_column == "date"
    wrong = workers.describe(replace(METRICS, contract="validators.metrics:none_such"))
    with pytest.raises(ContractError, match="none_such"):
        workers.result(wrong)


def test_a_pool_that_broke_while_it_was_idle_is_replaced(workers: Workers) -> None:
    workers._schedule(30.0, call, len, "abc").result(30)
    assert workers._pool is not None
    broken = workers._pool
    broken.stop()
    assert workers.result(workers._schedule(30.0, call, len, "abcd")) == 4
    assert workers._pool is not broken


def test_stopping_ends_what_is_under_way_and_what_waits_at_once(workers: Workers) -> None:
    pid = workers._schedule(30.0, call, os.getpid).result(30)
    hung, waiting = workers._schedule(30.0, call, time.sleep, 60), workers._schedule(30.0, call, len, "abc")
    began = time.monotonic()
    workers.stop()
    assert time.monotonic() - began < 5
    assert not Path(f"/proc/{pid}").exists()
    for future in (hung, waiting):
        assert lost(workers, future) == "the workers were stopped"
    workers.stop()


# ---------------------------------------------------------------- WHAT A RESULT SAYS


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (LostError(-6, log="here", at="d1", overdue=True), "it took longer than workers.timeout_seconds = 1.5"),
        (LostError(None, log="here", at="d1", overdue=True), "it took longer than workers.timeout_seconds = 1.5"),
        (LostError(-11, log="here", at="d1", overdue=False), "the worker was killed by SIGSEGV: it crashed"),
        (LostError(-15, log="here", at="d1", overdue=False), "the worker was killed by SIGTERM"),
        (LostError(0, log="here", at="d1", overdue=False), "the worker ended by itself with exit code 0"),
        (RaisedError(Raised("MemoryError", memory=True), log="here", at="d1"), MEMORY),
        (RaisedError(Raised("ZeroDivisionError: division by zero", memory=False), log="here", at="d1"), DIVISION),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else "",
)
def test_a_lost_worker_is_told_in_words(error: BaseException, says: str) -> None:
    idle = Workers(processes=1, memory_mb=64, timeout_seconds=1.5)
    future: Future[object] = Future()
    future.set_exception(error)
    with pytest.raises(WorkerError) as caught:
        idle.result(future)
    assert str(caught.value) == says
    assert (caught.value.log, caught.value.at) == ("here", "d1")
    assert caught.value.__cause__ is error


def test_the_exit_code_of_a_worker_is_told_unless_it_was_we_who_ended_it() -> None:
    idle = Workers(processes=1, memory_mb=64, timeout_seconds=1.5)
    for overdue, exitcode in ((False, 1), (True, None)):
        future: Future[object] = Future()
        future.set_exception(LostError(1, log="", at="", overdue=overdue))
        with pytest.raises(WorkerError) as caught:
            idle.result(future)
        assert caught.value.exitcode == exitcode


def test_that_no_worker_can_be_started_is_nothing_that_a_drop_is_to_blame_for() -> None:
    future: Future[object] = Future()
    future.set_exception(StartError("too many processes"))
    with pytest.raises(UndoneError, match="no worker process can be started: too many processes"):
        Workers(processes=1, memory_mb=64, timeout_seconds=1.0).result(future)


def test_what_the_work_itself_raises_on_purpose_comes_as_it_is() -> None:
    error = StoreError("the disk is full")
    future: Future[object] = Future()
    future.set_exception(error)
    with pytest.raises(BlobdropError) as caught:
        Workers(processes=1, memory_mb=64, timeout_seconds=1.0).result(future)
    assert caught.value is error


@pytest.mark.parametrize("error", [FileProblem("truncated", "cut off", hint="again", line=7), StoreError("full")])
def test_errors_travel_between_processes_with_all_they_say(error: BlobdropError) -> None:
    again = pickle.loads(pickle.dumps(error))  # noqa: S301 - it comes from our own worker
    assert type(again) is type(error)
    assert (str(again), vars(again)) == (str(error), vars(error))


def test_nothing_is_started_before_there_is_work() -> None:
    idle = Workers(processes=2, memory_mb=64, timeout_seconds=1.0)
    idle.stop()
    assert idle._pool is None


def test_a_compaction_may_take_its_time(tmp_path: Path) -> None:
    """Its limit is not that of a drop."""
    asked: list[float] = []

    class Noting(Workers):
        def _schedule(self, seconds: float, work: object, *arguments: object) -> Future[object]:  # type: ignore[override]
            asked.append(seconds)
            with ThreadPoolExecutor(1) as thread:
                return thread.submit(work, lambda _: None, *arguments)  # type: ignore[arg-type]

    noting = Noting(processes=1, memory_mb=64, timeout_seconds=1.0)
    store = MemoryStore(str(tmp_path))
    assert noting.result(noting.compact(store, "metrics", target_bytes=1, min_files=2)) == 0
    noting.describe(METRICS)
    assert asked == [3600.0, 60.0]
