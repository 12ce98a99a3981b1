"""The loop: it works until nothing is left, stops between steps, backs off when the world fails, loses no wake-up."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from daemon.errors import LedgerError, SourceError
from daemon.loop import LONGEST_PAUSE_SECONDS, NOTICE_SECONDS, PATIENCE_SECONDS, Loop, Pace
from daemon.model import Found, Outcome, State
from daemon.sources.memory import MemorySource
from tests.unit.daemon.conftest import Rig, dirty, good, overdue


class Telling(MemorySource):
    """A source that counts its listings, fails while `broken`, and calls `during` when one is nearly over."""

    def __init__(self, *, settle_seconds: float = 0.0) -> None:
        super().__init__(settle_seconds=settle_seconds)
        self.listings = 0
        self.broken = False
        self.during: Callable[[], None] = lambda: None

    def list(self) -> Iterator[Found]:
        self.listings += 1
        if self.broken:
            raise SourceError("the share is gone")
        yield from super().list()
        self.during()


@pytest.fixture
def source() -> Telling:
    return Telling()


@pytest.fixture
def telling(rig_of: Callable[..., Rig], source: Telling) -> Rig:
    return rig_of(source=source)


@contextmanager
def running(loop: Loop) -> Iterator[threading.Thread]:
    """Run the loop in a thread, and stop it in the end."""
    thread = threading.Thread(target=loop.run, daemon=True)
    thread.start()
    try:
        yield thread
    finally:
        loop.stop()
        thread.join(10)
        assert not thread.is_alive()


def wait_for(condition: Callable[[], object]) -> None:
    end = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.005)


# ---------------------------------------------------------------- ONCE


def test_once_works_until_nothing_is_left(telling: Rig) -> None:
    for number in range(5):
        telling.source.put(f"metrics/{number}.csv", good(number + 1, tag=str(number)))
    assert telling.loop.run_once() == 0
    assert sorted(telling.rows().values()) == [1, 2, 3, 4, 5]
    assert len(telling.source.archived) == 5
    assert telling.workers.stopped == 1


def test_once_takes_what_arrives_while_it_works(telling: Rig, source: Telling) -> None:
    def arrive() -> None:
        if source.listings == 1:
            source.put("metrics/b.csv", good(2))

    source.put("metrics/a.csv", good(1))
    source.during = arrive
    telling.loop.run_once()
    assert sorted(telling.rows().values()) == [1, 2]


def test_once_tries_again_what_has_failed_before_it_ends(rig_of: Callable[..., Rig]) -> None:
    rig = rig_of(rules={"retry_seconds": 0.0})
    rig.workers.hold = True
    (drop,) = rig.put(a=good(1))
    rig.ingest.claim([drop])
    rig.ingest.pump()
    rig.workers.lose(overdue())
    rig.workers.hold = False
    rig.loop.run_once()
    assert (rig.state(drop), rig.ledger.drop(drop.id).attempt) == (State.INGESTED, 2)


def test_once_leaves_a_file_that_keeps_changing_when_its_patience_ends(rig_of: Callable[..., Rig]) -> None:
    source = Telling(settle_seconds=5.0)
    rig = rig_of(source=source)

    def write_on() -> None:
        rig.clock.now += 4
        source.put("metrics/a.csv", good(source.listings), modified=rig.clock() + 1)

    began = rig.clock()
    source.put("metrics/a.csv", good(1), modified=rig.clock())
    source.during = write_on
    rig.loop._woken.wait = lambda *_: True  # type: ignore[method-assign] # the clock goes on in each listing
    assert rig.loop.run_once() == 1
    assert PATIENCE_SECONDS < rig.clock() - began < PATIENCE_SECONDS + 10
    assert rig.ledger.drops() == ()


def test_once_ends_with_the_error_of_a_turn_that_failed(telling: Rig, source: Telling) -> None:
    source.broken = True
    with pytest.raises(SourceError, match="the share is gone"):
        telling.loop.run_once()


def test_once_told_to_stop_does_nothing_more(telling: Rig, source: Telling) -> None:
    source.put("metrics/a.csv", good(1))
    telling.loop.stop()
    assert telling.loop.run_once() == 0
    assert (source.listings, telling.ledger.drops()) == (0, ())


# ---------------------------------------------------------------- TURN AFTER TURN


def test_a_drop_is_taken_up_as_soon_as_it_is_told(telling: Rig, source: Telling) -> None:
    """The next listing by itself would be two seconds later."""
    with source.watch(telling.loop.arrived), running(telling.loop):
        wait_for(lambda: source.listings)
        began = time.monotonic()
        source.put("metrics/a.csv", good(3))
        wait_for(lambda: source.archived)
        assert time.monotonic() - began < 1.5
    assert list(telling.rows().values()) == [3]


def test_what_arrives_in_the_middle_of_a_listing_is_listed_in_the_next_turn(telling: Rig, source: Telling) -> None:
    """The listing has passed its folder already, so it must not be the listing that was asked for."""

    def arrive() -> None:
        source.during = lambda: None
        source.put("metrics/late.csv", good(2))

    source.during = arrive
    with source.watch(telling.loop.arrived):
        telling.loop._round()
        telling.loop._round()
    assert source.listings == 2
    assert telling.ingest.busy or telling.rows()


def test_what_a_command_asks_for_is_seen_at_once_however_long_the_loop_may_sleep(telling: Rig, source: Telling) -> None:
    telling.loop._pace = Pace(poll_seconds=3600.0, settle_seconds=0.0)
    telling.rules["attempts"] = 1
    (drop,) = telling.put(a=good(1))
    telling.ledger.claim([drop], telling.clock())
    failed = Outcome(drop_id=drop.id, state=State.FAILED, finished_at=telling.clock())
    telling.ledger.finish([failed], telling.clock())
    telling.loop._round()
    before = source.listings
    telling.clock.now += NOTICE_SECONDS
    telling.loop._round()
    assert source.listings == before, "nobody has asked for anything"

    telling.ledger.retry(drop.id, telling.clock())
    telling.clock.now += NOTICE_SECONDS
    telling.loop._round()
    telling.turn()
    assert telling.rows() == {drop.id: 1}
    telling.clock.now += NOTICE_SECONDS
    telling.loop._round()
    assert source.listings == before + 1, "once for each time"


def test_a_turn_that_is_only_woken_lists_nothing(telling: Rig, source: Telling) -> None:
    telling.loop.arrived()
    telling.loop._round()
    for _ in range(3):
        telling.loop.wake()
        assert telling.loop._round() == NOTICE_SECONDS
    assert source.listings == 1
    telling.clock.now += 2
    telling.loop._round()
    assert source.listings == 2


def test_the_next_listing_is_when_the_first_file_may_be_complete(rig_of: Callable[..., Rig]) -> None:
    source = Telling(settle_seconds=0.5)
    rig = rig_of(source=source)
    source.put("metrics/a.csv", good(1), modified=rig.clock())
    assert rig.loop._round() == 0.5
    source.put("metrics/a.csv", good(1), modified=rig.clock() + 100)
    rig.clock.now += 0.5
    assert rig.loop._round() == 0.5


def test_a_drop_whose_file_was_taken_away_while_it_waited_is_forgotten(telling: Rig) -> None:
    (drop,) = telling.put(a=good(1))
    telling.ledger.claim([drop], telling.clock())
    telling.ledger.give_back([drop.id], telling.clock())
    telling.source.take("metrics/a.csv")
    telling.loop.run_once()
    assert telling.ledger.drops() == ()
    assert telling.kinds(drop)[-1] == "gone"
    assert [event["name"] for event in telling.events("drop.gone")] == ["metrics/a.csv"]


def test_a_file_that_no_feed_wants_is_told_once_and_left(telling: Rig, source: Telling) -> None:
    source.put("other/a.csv", good(1))
    for _ in range(3):
        telling.loop._round()
        telling.clock.now += 10
    (told,) = telling.events("drop.unmatched")
    assert (told["name"], told["log_level"]) == ("other/a.csv", "warning")
    assert [row.state for row in telling.ledger.drops()] == [State.UNMATCHED]
    assert telling.ingest.tallied.drops[State.UNMATCHED] == 1
    assert len(list(source.list())) == 1


def test_each_turn_gives_a_sign_of_life_and_leisure_is_used(rig_of: Callable[..., Rig]) -> None:
    idle: list[int] = []
    beats: list[str] = []
    rig = rig_of(idle=lambda: idle.append(len(beats)))
    rig.loop._beat = beats.append
    rig.loop._round()
    rig.workers.hold = True
    rig.source.put("metrics/a.csv", good(1))
    rig.clock.now += 10
    rig.loop._round()
    assert beats == ["waiting for drops; 0 done since the start", "working, 1 in hand; 0 done since the start"]
    assert idle == [0], "only while there is nothing to do"


def test_a_turn_that_gives_up_says_so_and_one_that_a_mistake_breaks_says_nothing(telling: Rig, source: Telling) -> None:
    said: list[str] = []
    telling.loop._beat = telling.loop._gave_up = said.append
    source.broken = True
    telling.loop._turn()
    assert said == ["trying again in 2 s: the share is gone"]

    source.broken, source.during = False, lambda: 1 / 0  # type: ignore[assignment]
    telling.clock.now += 10
    telling.loop._turn()
    assert len(said) == 1


# ---------------------------------------------------------------- THE WORLD FAILS


def test_failures_slow_the_loop_down_up_to_a_minute_and_it_says_when_it_is_mended(
    telling: Rig, source: Telling
) -> None:
    source.broken = True
    pauses = [telling.loop._turn() for _ in range(8)]
    assert pauses == [2.0, 4.0, 8.0, 16.0, 32.0, LONGEST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS]
    told = telling.events("turn.failed")
    assert [entry["again_in_seconds"] for entry in told] == pauses
    assert {entry["reason"] for entry in told} == {"the share is gone"}
    assert not telling.events("turn.mended")

    source.broken = False
    assert telling.loop._turn() == NOTICE_SECONDS
    assert [entry["after_failures"] for entry in telling.events("turn.mended")] == [8]
    source.broken = True
    telling.loop.arrived()
    assert telling.loop._turn() == 2.0, "the back-off begins anew"


def test_a_disk_that_fails_at_the_end_of_each_go_slows_the_loop_down_too(telling: Rig) -> None:
    """Each second turn only begins the work anew; that it did so well says nothing of the disk."""
    blocked = Path(telling.store.describe("metrics"), "date=2026-03-01")
    blocked.parent.mkdir(parents=True)
    blocked.write_text("a file where the day's folder should be")
    telling.source.put("metrics/a.csv", good(2))
    for _ in range(8):
        telling.clock.now += telling.loop._turn()
    assert [entry["again_in_seconds"] for entry in telling.events("turn.failed")] == [2.0, 4.0, 8.0, 16.0]
    assert not telling.events("turn.mended")

    blocked.unlink()
    for _ in range(4):
        telling.clock.now += telling.loop._turn()
    assert len(telling.events("turn.mended")) == 1
    assert list(telling.rows().values()) == [2]


def test_what_arrives_does_not_have_the_same_fail_over_and_over(telling: Rig, source: Telling) -> None:
    source.broken = True
    telling.loop._pace = Pace(poll_seconds=0.4, settle_seconds=0.0)
    with running(telling.loop):
        wait_for(lambda: source.listings)
        for _ in range(50):
            telling.loop.arrived()
            time.sleep(0.01)

    assert source.listings <= 3, "the first at once, the second after 0.2 s, the third after 0.4 s more"


def test_a_very_long_outage_does_not_end_the_daemon(telling: Rig, source: Telling) -> None:
    """A float holds 2 to the power of 1023 and no more: 1,024 failures are 17 hours."""
    source.broken = True
    telling.loop._failures = 1_100
    assert telling.loop._turn() == LONGEST_PAUSE_SECONDS


def test_an_error_that_nobody_foresaw_is_told_with_its_trace_and_the_daemon_lives_on(telling: Rig) -> None:
    with closing(sqlite3.connect(telling.path, isolation_level=None)) as connection:
        connection.execute("CREATE TRIGGER broken BEFORE INSERT ON drops BEGIN SELECT RAISE(FAIL, 'odd'); END")
    telling.source.put("metrics/a.csv", good(1))
    telling.loop._turn()
    (broken,) = telling.events("turn.broken")
    assert broken["exc_info"]
    telling.mend_ledger()
    telling.loop.arrived()
    telling.loop.run_once()
    assert list(telling.rows().values()) == [1]


def test_a_ledger_that_fails_in_the_middle_of_a_turn_loses_nothing(telling: Rig) -> None:
    telling.break_ledger("UPDATE OF ended_at ON batches")
    for name, data in (("a", good(2)), ("b", dirty())):
        telling.source.put(f"metrics/{name}.csv", data)
    with pytest.raises(LedgerError):
        telling.loop.run_once()
    telling.mend_ledger()
    telling.clock.now += 10
    telling.loop.run_once()
    assert sorted(telling.rows().values()) == [2, 9]
    assert len(telling.source.archived) == 2


# ---------------------------------------------------------------- STOPPING


def test_a_loop_that_sleeps_stops_at_once(telling: Rig, source: Telling) -> None:
    telling.loop._pace = Pace(poll_seconds=3600.0, settle_seconds=0.0)
    with running(telling.loop):
        wait_for(lambda: source.listings)
        began = time.monotonic()
    assert time.monotonic() - began < 1


def test_told_to_stop_in_the_middle_of_a_turn_it_finishes_the_step_and_gives_back_the_rest(
    telling: Rig, source: Telling
) -> None:
    """A signal between the listing and the work: nothing is half done, and the next start does it all."""
    telling.workers.hold = True
    source.put("metrics/a.csv", good(2))
    source.during = telling.loop.stop
    telling.loop.run()
    (row,) = telling.ledger.drops()
    assert (row.state, row.attempt, row.reason) == (State.FOUND, 0, "the daemon stopped")
    assert telling.staged() == set()
    assert source.archived == {}


def test_a_loop_that_fails_over_and_over_stops_when_it_is_told(telling: Rig, source: Telling) -> None:
    source.broken = True
    with running(telling.loop):
        wait_for(lambda: telling.events("turn.failed"))
        began = time.monotonic()
    assert time.monotonic() - began < 1
