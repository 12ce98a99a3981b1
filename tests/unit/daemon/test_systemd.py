"""Telling systemd, over real sockets."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from daemon.systemd import Signs, Systemd


@contextmanager
def listening(address: str) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
        channel.bind(address)
        channel.settimeout(2)
        yield channel


def of(**environ: str) -> Systemd:
    return Systemd.of(environ, pid=42)


def test_it_tells_ready_status_signs_of_life_and_the_end(tmp_path: Path) -> None:
    path = str(tmp_path / "notify")
    with listening(path) as channel:
        systemd = of(NOTIFY_SOCKET=path)

        assert systemd.ready("watching /srv/drops")
        assert channel.recv(1000) == b"READY=1\nSTATUS=watching /srv/drops"
        assert systemd.status("3 drops")
        assert channel.recv(1000) == b"STATUS=3 drops"
        assert systemd.alive()
        assert channel.recv(1000) == b"WATCHDOG=1"
        assert systemd.stopping("bye")
        assert channel.recv(1000) == b"STOPPING=1\nSTATUS=bye"


def test_an_abstract_socket_works() -> None:
    name = f"blobdrop-test-{os.getpid()}"
    with listening(f"\0{name}") as channel:
        assert of(NOTIFY_SOCKET=f"@{name}").ready("")
        assert channel.recv(1000) == b"READY=1\nSTATUS="


def test_a_status_cannot_say_anything_but_a_status(tmp_path: Path) -> None:
    path = str(tmp_path / "notify")
    with listening(path) as channel:
        of(NOTIFY_SOCKET=path).status("a\nWATCHDOG=trigger\r\n\udcff \N{PARTY POPPER}.csv")

        assert channel.recv(1000) == "STATUS=a WATCHDOG=trigger \\udcff \N{PARTY POPPER}.csv".encode()


def test_without_systemd_it_is_silent() -> None:
    with capture_logs() as logs:
        assert not of().ready("x")
        assert not of(NOTIFY_SOCKET="").alive()

    assert logs == []


@pytest.mark.parametrize("address", ["/nowhere/notify", "@nobody-listens-here", "x" * 200])
def test_a_listener_that_is_gone_is_logged_and_stops_nothing(address: str) -> None:
    with capture_logs() as logs:
        assert not of(NOTIFY_SOCKET=address).alive()

    assert [(entry["event"], entry["log_level"]) for entry in logs] == [("systemd_not_told", "warning")]


@pytest.mark.parametrize(
    ("environ", "seconds"),
    [
        ({}, None),
        ({"WATCHDOG_USEC": "30000000"}, 30.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "42"}, 30.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "41"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
        ({"WATCHDOG_USEC": ""}, None),
        ({"WATCHDOG_USEC": "-1"}, None),
    ],
)
def test_the_watchdogs_time_is_only_for_the_process_it_names(environ: dict[str, str], seconds: float | None) -> None:
    systemd = Systemd.of(environ, pid=42)

    assert systemd.watchdog_seconds == seconds
    assert systemd.beat_seconds == (seconds and seconds / 3)


def test_the_first_turn_that_was_completed_makes_it_ready_and_a_status_is_told_when_it_changes(tmp_path: Path) -> None:
    path = str(tmp_path / "notify")
    with listening(path) as channel:
        signs = Signs(of(NOTIFY_SOCKET=path))
        signs.gave_up("no ledger")
        signs.completed("waiting")
        signs.completed("waiting")
        signs.completed("working")
        told = [channel.recv(1000).decode() for _ in range(7)]

    assert told == [
        "WATCHDOG=1",
        "STATUS=no ledger",
        "READY=1\nSTATUS=waiting",
        "WATCHDOG=1",
        "WATCHDOG=1",
        "WATCHDOG=1",
        "STATUS=working",
    ]
