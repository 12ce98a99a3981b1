"""The daemon for as long as it is wanted: SIGHUP has it wired anew by the changed configuration, if that is right."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

import structlog

from daemon import app
from daemon.config import Configuration
from daemon.errors import BlobdropError
from daemon.systemd import Systemd


class Reload:
    """Whether SIGHUP has asked for the configuration to be read again; the loop that goes round then ends."""

    def __init__(self, systemd: Systemd) -> None:
        self._systemd = systemd
        self._is_asked = False
        self._daemon: app.Daemon | None = None

    @contextmanager
    def heeded(self) -> Iterator[None]:
        """Take SIGHUP for the length of a `with`."""
        before = signal.signal(signal.SIGHUP, self._ask)
        try:
            yield
        finally:
            signal.signal(signal.SIGHUP, before)

    def run(self, daemon: app.Daemon) -> bool:
        """Go round until told to stop or asked to reload; return whether to go on with another configuration."""
        self._daemon = daemon
        if self._is_asked:
            daemon.loop.stop()
        daemon.loop.run()
        self._daemon = None
        was_asked, self._is_asked = self._is_asked, False
        return was_asked and not daemon.told.is_set()

    def _ask(self, _number: int, _frame: FrameType | None) -> None:
        self._is_asked = True
        self._systemd.reloading("taking the changed configuration")
        if self._daemon is not None:
            self._daemon.loop.stop()
            self._daemon.source.stop()


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
    reload, log = Reload(Systemd.of(os.environ, os.getpid())), structlog.get_logger()
    current, wanted, goes_on = first, first, True
    with reload.heeded():
        while goes_on:
            try:
                with app.daemon(wanted, os.environ) as daemon:
                    if wanted is not current:
                        log.info("configuration.reloaded", config=str(wanted.file))
                    current = wanted
                    begun(current)
                    goes_on = reload.run(daemon)
                wanted = _changed(current, read) if goes_on else current
            except BlobdropError as error:
                if wanted is current:
                    raise
                _refuse(error)
                wanted = current


def _changed(current: Configuration, read: Callable[[], Configuration]) -> Configuration:
    """Return the configuration as it is now, or the current one where that is wrong, which is told."""
    try:
        changed = read()
        _try_contracts(changed)
    except BlobdropError as error:
        _refuse(error)
        return current
    return changed


def _try_contracts(configuration: Configuration) -> None:
    """Load every contract of a configuration in workers of its own."""
    workers = app.workers_of(configuration.settings)
    workers.warm()
    try:
        app.describe_feeds({feed.name: feed for feed in configuration.feeds()}, workers)
    finally:
        workers.stop()


def _refuse(error: BlobdropError) -> None:
    note = "the daemon goes on with the configuration that it had; mend it and reload again"
    structlog.get_logger().error("configuration.refused", reason=str(error), note=note)
