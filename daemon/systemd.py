"""Tell systemd how the daemon is: sd_notify(3) without a library. Silent where nobody listens."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Mapping
from dataclasses import dataclass

import structlog

log = structlog.get_logger()

#: A datagram that systemd does not take within this time is dropped: telling must never stop the work.
SEND_SECONDS = 1.0
#: How many signs of life fit into the watchdog's time, so that one may come late.
BEATS_PER_WATCHDOG = 3


@dataclass(frozen=True, kw_only=True)
class Systemd:
    """The service manager, as the environment names it."""

    #: `$NOTIFY_SOCKET`: a path, or `@name` in the abstract namespace; empty when the daemon was not started by systemd.
    address: str = ""
    #: Within which time a sign of life is wanted; None: nobody waits for one.
    watchdog_seconds: float | None = None

    @classmethod
    def of(cls, environ: Mapping[str, str], pid: int) -> Systemd:
        """Read `NOTIFY_SOCKET`, `WATCHDOG_USEC` and `WATCHDOG_PID`, for the process `pid`."""
        micros = environ.get("WATCHDOG_USEC", "")
        wanted = micros.isdecimal() and int(micros) > 0 and environ.get("WATCHDOG_PID", str(pid)) == str(pid)
        return cls(
            address=environ.get("NOTIFY_SOCKET", ""),
            watchdog_seconds=int(micros) / 1e6 if wanted else None,
        )

    @property
    def beat_seconds(self) -> float | None:
        """How often to call `alive`; None: not at all."""
        return None if self.watchdog_seconds is None else self.watchdog_seconds / BEATS_PER_WATCHDOG

    def ready(self, status: str) -> bool:
        """Say that the start is over and work begins, and what `systemctl status` shows."""
        return self._send(f"READY=1\nSTATUS={_line(status)}")

    def status(self, status: str) -> bool:
        """Say what `systemctl status` shows from now on."""
        return self._send(f"STATUS={_line(status)}")

    def alive(self) -> bool:
        """Give a sign of life. Call it when work gets done, not from a timer: a loop that hangs is to be restarted."""
        return self._send("WATCHDOG=1")

    def reloading(self, status: str) -> bool:
        """Say that a changed configuration is being taken; `ready` ends that."""
        now = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
        return self._send(f"RELOADING=1\nMONOTONIC_USEC={now}\nSTATUS={_line(status)}")

    def stopping(self, status: str) -> bool:
        """Say that the daemon was told to stop and is about to."""
        return self._send(f"STOPPING=1\nSTATUS={_line(status)}")

    def _send(self, message: str) -> bool:
        """Send one datagram; tell whether it went. Never raises: the work does not depend on it."""
        if not self.address:
            return False
        target = os.fsencode(self.address)
        if target.startswith(b"@"):
            target = b"\0" + target[1:]
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as channel:
                channel.settimeout(SEND_SECONDS)
                channel.sendto(message.encode("utf-8", "backslashreplace"), target)
        except OSError as error:
            log.warning("systemd_not_told", address=self.address, why=str(error))
            return False
        return True


class Signs:
    """What the service manager is told while the loop goes round."""

    def __init__(self, systemd: Systemd) -> None:
        self._systemd = systemd
        self._is_ready = False
        self._status = ""

    def completed(self, status: str) -> None:
        """Tell of a turn that was completed; the first one makes the daemon ready: all that it needs has answered."""
        if not self._is_ready:
            self._is_ready, self._status = True, status
            self._systemd.ready(status)
        self.gave_up(status)

    def again(self) -> None:
        """Have the next turn that is completed say once more that the daemon is ready. From any thread."""
        self._is_ready = False

    def gave_up(self, status: str) -> None:
        """Tell of a turn that ended as something does not answer: to start anew would not mend that.

        It makes nothing ready, but is a sign of life: an outage is not to have the daemon aborted.
        """
        self._systemd.alive()
        if status != self._status:
            self._status = status
            self._systemd.status(status)


def _line(status: str) -> str:
    """Keep a status on its line: what follows a line break would be another assignment, and file names may have one."""
    return " ".join(status.split())
