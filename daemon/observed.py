"""What may be seen of a daemon from outside while it runs; what that needs is imported only where it is set."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from contextlib import contextmanager

from daemon.health import Health
from daemon.parts import Parts
from daemon.settings import Settings
from daemon.standing import Standings


@contextmanager
def observed(settings: Settings, parts: Parts, health: Health) -> Iterator[None]:
    """Answer those who watch at `http.listen`, for the length of a `with`; nothing where that is empty.

    Raises:
        EndpointError: that address cannot be listened on.
    """
    if not settings.http.listen:
        yield
        return
    standings = Standings(parts.ledger, parts.store, tuple(parts.feeds))
    exposition = importlib.import_module("daemon.exposition").Exposition(parts.tally, standings, parts.workers)
    answering = importlib.import_module("daemon.endpoint").answering
    with answering(settings.http.place, exposition.page, health) as (host, port):
        parts.log.info("http.listening", address=f"[{host}]:{port}" if ":" in host else f"{host}:{port}")
        yield
