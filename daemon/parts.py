"""What the stages of ingesting work with: where things are kept, who does the work, and what the operator wants."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from structlog.typing import FilteringBoundLogger

from daemon.ailing import Ailing
from daemon.ledger import Hold, Ledger
from daemon.model import After, Feed, Limits
from daemon.quarantine import Quarantine
from daemon.sources import Source
from daemon.stores import Store
from daemon.tally import Tally
from daemon.workers.executor import Workers


@dataclass(frozen=True, kw_only=True)
class Rules:
    """The settings that ingesting needs."""

    after: After
    attempts: int
    retry_seconds: float
    limits: Limits


@dataclass(frozen=True, kw_only=True)
class Parts:
    """What is wired once and then shared by all stages; each of them takes what it needs."""

    ledger: Ledger
    hold: Hold
    store: Store
    source: Source
    workers: Workers
    #: Where rejected rows and reports go.
    quarantine: Quarantine
    feeds: Mapping[str, Feed]
    #: Each feed's contract's digest.
    contracts: Mapping[str, str]
    rules: Rules
    #: Called, from any thread, when a worker is done.
    wake: Callable[[], None]
    #: Which feeds wait as their tables cannot be used.
    ailing: Ailing
    log: FilteringBoundLogger
    clock: Callable[[], float] = time.time
    #: Where all of them count what they do.
    tally: Tally = field(default_factory=Tally)
