"""What the real daemon tells a service manager, over a real socket: ready, at work, alive, stopping."""

from __future__ import annotations

import os
import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance.conftest import CHECKOUT, Blobdrop, wait_for
from tests.corpus import text

HANGING = CHECKOUT / "tests" / "acceptance" / "hanging"
#: Seconds without a sign of life after which a service manager of these tests would lose its patience.
PATIENCE = 3.0


class Manager:
    """The socket that systemd would listen on, and what came in."""

    def __init__(self, path: Path) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(path))
        self._socket.setblocking(False)
        self._told: list[str] = []

    def told(self) -> list[str]:
        """Return the lines that came so far, in their order."""
        while True:
            try:
                self._told += self._socket.recv(65536).decode().splitlines()
            except BlockingIOError:
                return self._told

    def wait(self, start: str, *, after: int = 0) -> str:
        """Wait until a line that begins so has come, and return it."""
        wait_for(lambda: self._lines(start)[after:], f"{start!r} was told", told=lambda: str(self.told()[-20:]))
        return self._lines(start)[after]

    def count(self, line: str) -> int:
        return len(self._lines(line))

    def close(self) -> None:
        self._socket.close()

    def _lines(self, start: str) -> list[str]:
        return [line for line in self.told() if line.startswith(start)]


@pytest.fixture
def manager(blobdrop: Blobdrop) -> Iterator[Manager]:
    """A service manager that the daemon is started by; its socket's path is short, as it has to be."""
    path = Path(f"/tmp/blobdrop-notify-{os.getpid()}")  # noqa: S108
    listening = Manager(path)
    blobdrop.settings |= {
        "NOTIFY_SOCKET": str(path),
        "WATCHDOG_USEC": str(int(PATIENCE * 1e6)),
        "PYTHONPATH": f"{HANGING}{os.pathsep}{CHECKOUT}",
        "HANGING_AT": str(blobdrop.root),
        "HANGING_WHILE": str(blobdrop.folder / "hang"),
    }
    yield listening
    listening.close()
    path.unlink()


def test_it_is_ready_works_gives_signs_of_life_and_stops(blobdrop: Blobdrop, manager: Manager) -> None:
    blobdrop.begin()
    manager.wait("READY=1")
    assert manager.told()[:2] == ["READY=1", "STATUS=waiting for drops; 0 done since the start"]
    before = manager.count("WATCHDOG=1")

    blobdrop.drop("a.csv", text.good(3))
    manager.wait("STATUS=working, 1 in hand; ")
    manager.wait("STATUS=waiting for drops; 1 done since the start")
    wait_for(lambda: manager.count("WATCHDOG=1") > before + 2, "it gives signs of life")

    assert blobdrop.stop() == 0
    stopping = manager.told().index("STOPPING=1")
    assert manager.told()[stopping + 1] == "STATUS=ending the step that is under way"
    assert manager.count("READY=1") == 1


def test_it_is_not_ready_before_the_source_has_answered(blobdrop: Blobdrop, manager: Manager) -> None:
    hang = blobdrop.folder / "hang"
    hang.touch()
    blobdrop.start()
    time.sleep(1)
    assert manager.told() == []

    hang.unlink()
    manager.wait("READY=1")


def test_it_is_never_ready_without_its_ledger(blobdrop: Blobdrop, manager: Manager) -> None:
    (blobdrop.folder / "var").mkdir()
    (blobdrop.folder / "var" / "ledger.db").write_bytes(b"no database at all, and long enough to be looked at" * 50)
    assert blobdrop.run("run").code == 3
    assert manager.told() == []


def test_a_turn_that_hangs_gives_no_sign_of_life(blobdrop: Blobdrop, manager: Manager) -> None:
    blobdrop.begin()
    manager.wait("READY=1")

    (blobdrop.folder / "hang").touch()
    time.sleep(1.5)  # by then the next listing has begun
    heard = manager.count("WATCHDOG=1")
    time.sleep(PATIENCE)
    assert manager.count("WATCHDOG=1") == heard

    (blobdrop.folder / "hang").unlink()
    manager.wait("WATCHDOG=1", after=heard)


def test_an_outage_is_told_and_does_not_look_like_a_hang(blobdrop: Blobdrop, manager: Manager) -> None:
    blobdrop.begin()
    manager.wait("READY=1")
    blobdrop.root.rename(blobdrop.folder / "away")
    blobdrop.root.write_bytes(b"no folder any more")

    assert "drops" in manager.wait("STATUS=trying again in ")
    heard = manager.count("WATCHDOG=1")
    wait_for(lambda: manager.count("WATCHDOG=1") >= heard + 3, "signs of life go on", seconds=3 * PATIENCE)

    blobdrop.root.unlink()
    (blobdrop.folder / "away").rename(blobdrop.root)
    manager.wait("STATUS=waiting for drops", after=1)
    assert blobdrop.stop(signal.SIGTERM) == 0


def test_a_reload_is_told_with_its_time_and_over_when_a_turn_has_been_completed(
    blobdrop: Blobdrop, manager: Manager
) -> None:
    blobdrop.start()
    manager.wait("READY=1")
    assert blobdrop.process is not None
    before = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
    blobdrop.process.send_signal(signal.SIGHUP)
    manager.wait("RELOADING=1")
    asked = int(manager.wait("MONOTONIC_USEC=").partition("=")[2])
    assert before <= asked <= time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
    manager.wait("READY=1", after=1)
    told = manager.told()
    assert told.index("RELOADING=1") < len(told) - told[::-1].index("READY=1")
    assert blobdrop.stop() == 0
