"""A container of many known blobs and a large one: `python -m tests.bench.container BLOBS MEGABYTES RUNS`.

In a fresh folder; starts an Azurite of its own. Prints JSON: seconds of listings as the source makes them and of raw
HTTP, of turns of the loop with nothing new, and of downloads as the source and as the SDK makes them.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

from daemon import app, config
from daemon.cloud.address import address
from daemon.cloud.client import Client, Deadlines
from daemon.cloud.credentials import credential
from daemon.model import Found
from daemon.sources import Source
from daemon.sources.azure_listing import PAGE
from tests.azurite.running import Container, azurite, connection_string, new_container

from .turn import know

MB: Final = 1024**2
#: Requests at once, of ours (`source.requests` of the settings) and of the SDK.
AT_ONCE: Final = 8
#: What the source asks for, too.
SAME_PAGES: Final = {
    "restype": "container",
    "comp": "list",
    "maxresults": str(PAGE),
    "include": "uncommittedblobs,copy",
}
#: The known ones below `metrics/`, the large one by itself.
KNOWN, LARGE = "metrics/", "large.bin"


def main(blobs: int, megabytes: int, runs: int) -> None:
    """Prepare, measure in turns, and print what it took."""
    seconds: dict[str, list[float]] = {}
    with azurite(Path("azurite"), keeps=False) as (_, port):
        container = new_container(connection_string(port))
        fill(container, blobs, megabytes)
        environment = {**os.environ, **container.environment}
        with app.daemon(config.load(None, environment), environment, once=True) as daemon:
            know(daemon.source, daemon.ledger)
            daemon.loop.run_once()
            for _ in range(runs):
                for name, work in _contenders(container, daemon).items():
                    seconds.setdefault(name, []).append(_timed(work))
        if daemon.ingest.tallied.done:
            raise SystemExit("blobs that should be known were worked")
        container.client.close()
    print(json.dumps(seconds))


def _contenders(container: Container, daemon: app.Daemon) -> dict[str, Callable[[], object]]:
    place = address(container.url)
    client = Client(place, credential(container.url, place, container.environment), Deadlines(), connections=1)
    (large,) = (found for found in daemon.source.list() if found.name == LARGE)
    return {
        "raw HTTP": lambda: pages(client),
        "listing": lambda: sum(1 for _ in daemon.source.list()),
        "turn": daemon.loop.run_once,
        "download": lambda: fetched(daemon.source, large),
        "SDK": lambda: downloaded(container),
    }


def fill(container: Container, blobs: int, megabytes: int) -> None:
    """Upload small blobs, and a large one of bytes that nobody can pack."""
    with ThreadPoolExecutor(AT_ONCE) as pool:
        list(pool.map(lambda number: container.put(f"{KNOWN}{number:06d}.csv", b"x"), range(blobs)))
    container.client.upload_blob(LARGE, os.urandom(MB) * megabytes, max_concurrency=AT_ONCE)


def pages(client: Client) -> int:
    """Fetch a listing's pages as a program would that looks at nothing but where the next one begins; count them."""
    count, marker = 0, ""
    while marker or not count:
        body = client.send("GET", query={**SAME_PAGES, **({"marker": marker} if marker else {})}).body
        count, marker = count + 1, body.rpartition(b"<NextMarker>")[2].partition(b"</NextMarker>")[0].decode()
        marker = "" if marker.startswith("<") else marker
    return count


def fetched(source: Source, found: Found) -> int:
    """Bring the large blob to the disk as the daemon does; return its size."""
    with source.fetch(found) as path:
        return path.stat().st_size


def downloaded(container: Container) -> int:
    """Bring the large blob to the disk with the SDK's parallel download; return its size."""
    with Path("downloaded").open("wb") as file:
        return container.client.download_blob(LARGE, max_concurrency=AT_ONCE).readinto(file)


def _timed(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
