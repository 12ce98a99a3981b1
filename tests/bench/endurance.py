"""Many small drops through one daemon: what its processes and its state hold as it goes on.

`python -m tests.bench.endurance --drops 50000`: drops arrive as fast as they are taken, and the last lines say by how
much memory and open files have grown since the first fifth, when everything that is made once has been made.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from deltalake import DeltaTable

from .contenders import BLOBDROP
from .generate import metrics
from .measure import CommandFailedError, session_members, start, stop

MB: Final = 1024**2
#: Rows of a drop; one drop of ten has some bad ones.
ROWS: Final = 20
DIRTY_EVERY: Final = 10
#: Drops that wait in the folder at the most: a steady stream, so that the daemon makes many small batches.
WAITING: Final = 200
#: Looks at the daemon over the whole run.
LOOKS: Final = 20
#: Which part of the run is for warming up.
WARM_PART: Final = 0.2
#: Seconds without a drop taken after which the run is given up.
PATIENCE_SECONDS: Final = 120.0


@dataclass(frozen=True, kw_only=True)
class Look:
    """What there is to see of a running daemon at one instant. Memory is resident memory, in bytes."""

    drops: int
    seconds: float
    main_bytes: int
    main_files: int
    workers: int
    workers_bytes: int
    workers_files: int
    ledger_bytes: int
    log_entries: int
    data_files: int


def main() -> None:
    """Run, print each look and the growth."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.endurance", description=__doc__)
    parser.add_argument("--drops", type=int, default=50_000, help="how many")
    parser.add_argument("--folder", type=Path, help="where to work; kept. Else a temporary folder")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the looks as JSON too")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="blobdrop-endurance-") as temporary:
        folder = asked.folder or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        looks = list(endure(folder, asked.drops))
        rows = sum(DeltaTable(folder / "var" / "tables" / "metrics").get_add_actions()["num_records"].to_pylist())
    print(growth(looks))
    print(f"rows in the table: {rows:,}")
    if asked.json:
        asked.json.write_text(json.dumps([asdict(look) for look in looks], indent=1) + "\n", encoding="utf-8")


def endure(folder: Path, drops: int) -> Iterator[Look]:
    """Run a daemon over so many drops, and look at it now and then; the last look is when all are taken.

    Raises:
        CommandFailedError: the daemon ended, or took nothing for two minutes.
    """
    log = folder / "stderr.log"
    with log.open("wb") as errors:
        process = start((*BLOBDROP, "run"), folder, SETTINGS, stdout=subprocess.DEVNULL, stderr=errors)
    try:
        began = time.monotonic()
        for taken in stream(folder, drops, process):
            yield shown(look(folder, process.pid, taken, time.monotonic() - began))
    finally:
        stop(process)


#: The rest of its time the daemon waits for files to settle.
SETTINGS: Final = {"BLOBDROP_SOURCE__SETTLE_SECONDS": "0", "BLOBDROP_SOURCE__POLL_SECONDS": "0.2"}


def stream(folder: Path, drops: int, process: subprocess.Popen[bytes]) -> Iterator[int]:
    """Drop files, never more than some ahead of the daemon; yield how many it has taken, now and then."""
    place = folder / "drops" / "metrics"
    place.mkdir(parents=True, exist_ok=True)
    step = max(1, drops // LOOKS)
    written, looked, moved = 0, 0, time.monotonic()
    while looked < drops:
        waiting = sum(1 for _ in place.iterdir())
        for number in range(written, min(drops, written + WAITING - waiting)):
            drop(folder, place / f"{number:06d}.csv", number)
            written, moved = number + 1, time.monotonic()
        taken = written - waiting
        if taken >= looked + step or (taken == drops and waiting == 0):
            looked = drops if taken == drops else taken
            yield taken
        if process.poll() is not None or time.monotonic() - moved > PATIENCE_SECONDS:
            log = (folder / "stderr.log").read_text(encoding="utf-8", errors="replace")
            raise CommandFailedError(f"the daemon has stopped, or takes nothing any more\n{log[-4000:]}")
        time.sleep(0.05)


def drop(folder: Path, path: Path, number: int) -> None:
    """Put a file in at once."""
    unfinished = folder / "unfinished"
    metrics(unfinished, ROWS, dirty=number % DIRTY_EVERY == 0, seed=number)
    unfinished.rename(path)


def look(folder: Path, pid: int, drops: int, seconds: float) -> Look:
    """Look at the daemon's process, at those it has started, and at what it keeps on the disk."""
    others = [member for member in session_members(pid) if member != pid]
    table = folder / "var" / "tables" / "metrics"
    return Look(
        drops=drops,
        seconds=seconds,
        main_bytes=resident(pid),
        main_files=open_files(pid),
        workers=len(others),
        workers_bytes=sum(map(resident, others)),
        workers_files=sum(map(open_files, others)),
        ledger_bytes=sum(path.stat().st_size for path in (folder / "var").glob("ledger.db*")),
        log_entries=sum(1 for _ in (table / "_delta_log").glob("*.json")),
        data_files=sum(1 for _ in table.glob("date=*/*.parquet")),
    )


def resident(pid: int) -> int:
    """Return a process's resident memory in bytes; 0 when it has ended."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0


def open_files(pid: int) -> int:
    """Return how many files a process has open; 0 when it has ended."""
    try:
        return sum(1 for _ in Path(f"/proc/{pid}/fd").iterdir())
    except OSError:
        return 0


def shown(one: Look) -> Look:
    """Print a look on one line, and return it."""
    print(
        f"{one.drops:>7,} drops  {one.seconds:6.0f} s  daemon {one.main_bytes / MB:5.0f} MB {one.main_files:3} files"
        f"  {one.workers} others {one.workers_bytes / MB:5.0f} MB {one.workers_files:3} files"
        f"  ledger {one.ledger_bytes / MB:5.1f} MB  log {one.log_entries:,}  data files {one.data_files:,}",
        flush=True,
    )
    return one


def growth(looks: list[Look]) -> str:
    """Say by how much memory and open files have grown since the end of the first fifth."""
    warm, last = looks[min(len(looks) - 1, int(len(looks) * WARM_PART))], looks[-1]
    rate = last.drops / last.seconds if last.seconds else 0
    return (
        f"{last.drops:,} drops, {rate:.0f} /s; since drop {warm.drops:,}: "
        f"daemon {(last.main_bytes - warm.main_bytes) / MB:+.1f} MB, {last.main_files - warm.main_files:+} files; "
        f"others {(last.workers_bytes - warm.workers_bytes) / MB:+.1f} MB, "
        f"{last.workers_files - warm.workers_files:+} files"
    )


if __name__ == "__main__":
    main()
