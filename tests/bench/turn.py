"""Turns of the loop over many known files with nothing new. `python -m tests.bench.turn FILES`, in a fresh folder.

Prints two figures: seconds of the first turn, which asks the ledger for every file, and of one after it.
"""

from __future__ import annotations

import os
import statistics
import sys
import time
from pathlib import Path
from typing import Final

from daemon import app, config, wiring
from daemon.ledger import Ledger
from daemon.model import Drop, Outcome, State
from daemon.sources import Source

FILES_PER_FOLDER: Final = 1_000
FILES_AT_ONCE: Final = 10_000
TURNS: Final = 5


def make_files(root: Path, files: int) -> None:
    """Write many small files below the root, a thousand in a folder."""
    for number in range(files):
        folder = root / "metrics" / f"{number // FILES_PER_FOLDER:04d}"
        if number % FILES_PER_FOLDER == 0:
            folder.mkdir(parents=True)
        (folder / f"{number:06d}.csv").touch()


def know(source: Source, ledger: Ledger) -> None:
    """Have the ledger know every file as one that has come to its end."""
    every, now = list(source.list()), time.time()
    for start in range(0, len(every), FILES_AT_ONCE):
        some = every[start : start + FILES_AT_ONCE]
        drops = [Drop(id=found.drop_id, found=found, feed="metrics", customer="default") for found in some]
        ledger.claim(drops, now)
        ledger.finish([Outcome(drop_id=drop.id, state=State.REJECTED) for drop in drops], now)
        ledger.settled([drop.id for drop in drops], now)


def main(files: int) -> None:
    """Prepare, go round, and print what it took."""
    configuration = config.load(None, os.environ)
    make_files(wiring.folder(configuration.settings.source.url, "source.url"), files)
    with app.daemon(configuration, os.environ, once=True) as daemon:
        know(daemon.source, daemon.ledger)
        seconds = [_timed(daemon) for _ in range(1 + TURNS)]
    if daemon.ingest.tallied.done:
        raise SystemExit("files that should be known were worked")
    print(seconds[0], statistics.median(seconds[1:]))


def _timed(daemon: app.Daemon) -> float:
    began = time.perf_counter()
    daemon.loop.run_once()
    return time.perf_counter() - began


if __name__ == "__main__":
    main(int(sys.argv[1]))
