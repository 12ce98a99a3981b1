"""What may be seen of a daemon from outside while it runs; what that needs is imported only where it is set."""

from __future__ import annotations

import importlib
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Final

from daemon.parts import Parts
from daemon.settings import Settings
from daemon.watching.health import Health
from daemon.watching.standing import Standings

#: Seconds that a stop waits for messages that are being delivered, all together.
STOP_SECONDS: Final = 2.0


@contextmanager
def observed(
    settings: Settings, parts: Parts, health: Health, environ: Mapping[str, str], *, once: bool
) -> Iterator[None]:
    """Answer those who watch, and tell those who want to be told, for the length of a `with`; `once`: at its good end.

    Raises:
        ConfigError: a secret or a command is not there.
        EndpointError: `http.listen` cannot be listened on.
    """
    with ExitStack() as stack:
        if settings.http.listen and not once:
            stack.enter_context(_answering(settings, parts, health))
        stack.enter_context(_telling(settings, parts, environ, once=once))
        yield


@contextmanager
def _answering(settings: Settings, parts: Parts, health: Health) -> Iterator[None]:
    standings = Standings(parts.ledger, parts.store, tuple(parts.feeds))
    exposition = importlib.import_module("daemon.watching.exposition").Exposition(parts.tally, standings, parts.workers)
    answering = importlib.import_module("daemon.watching.endpoint").answering
    with answering(settings.http.place, exposition.page, health) as (host, port):
        parts.log.info("http.listening", address=f"[{host}]:{port}" if ":" in host else f"{host}:{port}")
        yield


@contextmanager
def _telling(settings: Settings, parts: Parts, environ: Mapping[str, str], *, once: bool) -> Iterator[None]:
    if not settings.notify:
        yield
        return
    notifiers = list(importlib.import_module("daemon.notifying.receivers").notifiers(settings, parts, environ))
    try:
        for notifier in () if once else notifiers:
            notifier.start()
        yield
        for notifier in notifiers if once else ():
            notifier.finish()
    finally:
        for notifier in notifiers:
            notifier.stop()
        ends = time.monotonic() + STOP_SECONDS
        for notifier in notifiers:
            notifier.join(max(0.0, ends - time.monotonic()))
