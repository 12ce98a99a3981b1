"""`blobdrop ready`: drops a marker, as a customer would, and says which days it completes."""

from __future__ import annotations

import json as encoding
import os
import time
from pathlib import Path

from daemon import app, wiring
from daemon.commands.looking import begun
from daemon.commands.showing import print_json, say
from daemon.config import Configuration
from daemon.days.bounds import last_complete
from daemon.errors import ConfigError
from daemon.feeds import CUSTOMER, DEFAULT_CUSTOMER, no_such_feed
from daemon.markers import read, told
from daemon.model import Feed
from daemon.scopes import Scopes
from daemon.sources.names import left_out_path


def ready(config: Path | None, *, feed: str, timestamp: str, customer: str | None, json: bool) -> int:
    """Drop a marker for a feed; the daemon takes it up with its next listing."""
    configuration = begun(config)
    feeds = {each.name: each for each in configuration.feeds()}
    if feed not in feeds:
        raise no_such_feed(feed, list(feeds))
    reading = read(timestamp.encode("utf-8", "surrogateescape"), time.time())
    if reading.instant is None or reading.feed is not None:
        raise ConfigError(f"TIMESTAMP: {reading.note or f'found {reading.text}, expected an instant alone'}")
    name = _place(feeds[feed], customer or DEFAULT_CUSTOMER, reading.instant, Scopes(tuple(feeds.values())))
    text = encoding.dumps({"timestamp": reading.instant, "type": feed})
    for error in wiring.source_of(configuration.settings, os.environ).leave([(name, f"{text}\n".encode())]):
        raise error
    last = last_complete(reading.instant, feeds[feed].timezone).isoformat()
    if json:
        print_json({"marker": name, "timestamp": reading.instant, "complete_until": last})
        return 0
    say(
        f"Dropped {name}: everything of {customer or DEFAULT_CUSTOMER}/{feed} before {told(reading.instant)} is there.",
        f"Days up to {last} are complete then ({feeds[feed].timezone}). What becomes of them: blobdrop days",
    )
    if not _is_running(configuration):
        say("The daemon is not running; start it with: blobdrop run")
    return 0


def _place(feed: Feed, customer: str, instant: int, scopes: Scopes) -> str:
    """Return where a marker speaks for just this customer's drops of the feed."""
    file = f"_READY-{instant}.json"
    for pattern in feed.paths:
        fixed = []
        for part in pattern.split("/")[:-1]:
            if "*" in part or "?" in part:
                break
            fixed.append(part.replace(CUSTOMER, customer))
        name = "/".join([*fixed, file])
        if scopes.named(name, feed.name) == ((feed.name, customer),) and not left_out_path(name):
            return name
    whose = "some customer's, so give --customer" if customer == DEFAULT_CUSTOMER else f"of customer {customer!r}"
    raise ConfigError(
        f"feed {feed.name!r}: its paths {list(feed.paths)} have no folder in which a marker would speak for drops that "
        f"are {whose}"
    )


def _is_running(configuration: Configuration) -> bool:
    ledger = app.open_for_reading(configuration.settings)
    if ledger is None:
        return False
    with ledger:
        return ledger.holder() is not None
