"""The daemon for as long as it is wanted: SIGHUP has it wired anew by the changed configuration, if that is right."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from queue import SimpleQueue
from types import FrameType
from typing import Final

import structlog

from daemon import app
from daemon.config import Configuration
from daemon.errors import BlobdropError
from daemon.systemd import Systemd
from daemon.workers.executor import Workers

#: Seconds that the end waits for a configuration which is being tried: its workers are killed by then.
END_SECONDS: Final = 2.0


class Reload:
    """Reads the configuration again after SIGHUP, and tries it beside the daemon, which goes on meanwhile."""

    def __init__(self, read: Callable[[], Configuration], systemd: Systemd) -> None:
        """Ask nothing yet; `read` reads the configuration."""
        self._read, self._systemd = read, systemd
        #: True for each SIGHUP, False at the end. A handler may put into it, whatever it has interrupted.
        self._asked: SimpleQueue[bool] = SimpleQueue()
        self._is_over = False
        self._daemon: app.Daemon | None = None
        #: What is right, and not taken yet.
        self._changed: Configuration | None = None
        #: Those that load a changed configuration's contracts.
        self._workers: Workers | None = None

    @contextmanager
    def heeded(self) -> Iterator[None]:
        """Take SIGHUP for the length of a `with`."""
        before = signal.signal(signal.SIGHUP, self._ask)
        thread = threading.Thread(target=self._answer, name="reload", daemon=True)
        thread.start()
        try:
            yield
        finally:
            signal.signal(signal.SIGHUP, before)
            self._is_over = True
            self._asked.put(False)
            if self._workers is not None:
                self._workers.stop()
            thread.join(END_SECONDS)

    def run(self, daemon: app.Daemon) -> Configuration | None:
        """Go round until told to stop, or until there is another configuration to go on with, which is returned."""
        self._daemon = daemon
        if self._changed is not None:
            daemon.loop.stop()
        daemon.loop.run()
        self._daemon = None
        changed, self._changed = self._changed, None
        return None if daemon.told.is_set() else changed

    def _ask(self, _number: int, _frame: FrameType | None) -> None:
        self._asked.put(True)

    def _answer(self) -> None:
        """Try the configuration each time that this is asked for."""
        while self._asked.get():
            self._systemd.reloading("taking the changed configuration")
            try:
                changed = self._read()
                self._try_contracts(changed)
            except BlobdropError as error:
                if not self._is_over:
                    refuse(error)
                    self._go_on()
            else:
                self._take(changed)

    def _try_contracts(self, configuration: Configuration) -> None:
        """Load every contract of a configuration in workers of its own."""
        self._workers = workers = app.workers_of(configuration.settings)
        try:
            app.describe_feeds({feed.name: feed for feed in configuration.feeds()}, workers)
        finally:
            self._workers = None
            workers.stop()

    def _go_on(self) -> None:
        """Have the daemon say that it is ready again, by its next turn."""
        if (daemon := self._daemon) is not None:
            daemon.signs.again()
            daemon.loop.wake()

    def _take(self, changed: Configuration) -> None:
        """End the loop that goes round: another daemon follows."""
        self._changed = changed
        if (daemon := self._daemon) is not None:
            daemon.loop.stop()
            daemon.source.stop()


def serve(first: Configuration, read: Callable[[], Configuration], begun: Callable[[Configuration], None]) -> None:
    """Run the daemon until it is told to stop.

    What was under way at a reload is given back and taken up by the daemon that follows; nothing is lost.

    Args:
        first: the configuration to begin with.
        read: reads it again, after SIGHUP.
        begun: called when a daemon is wired.

    Raises:
        BlobdropError: the first configuration is wrong, or the work cannot be done.
    """
    reload, log = Reload(read, Systemd.of(os.environ, os.getpid())), structlog.get_logger()
    current, wanted = first, first
    with reload.heeded():
        while True:
            try:
                with app.daemon(wanted, os.environ) as daemon:
                    if wanted is not current:
                        log.info("configuration.reloaded", config=str(wanted.file))
                    current = wanted
                    begun(current)
                    following = reload.run(daemon)
            except BlobdropError as error:
                if wanted is current:
                    raise
                refuse(error)
                wanted = current
                continue
            if following is None:
                return
            wanted = following


def refuse(error: BlobdropError) -> None:
    """Say that a changed configuration is wrong, and is not taken."""
    note = "the daemon goes on with the configuration that it had; mend it and reload again"
    structlog.get_logger().error("configuration.refused", reason=str(error), note=note)
