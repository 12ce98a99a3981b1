"""A soak: drops and markers at a steady pace, the daemon killed every half minute, and in the end every row counted.

`python -m tests.bench.soak --minutes 20`: half of the time over a folder, half over Azurite. In each one's last quarter
nothing is killed, so that memory and open files can be looked at. The exit code is 1 where something does not come out.
"""

from __future__ import annotations

import argparse
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from tests.azurite.running import azurite, connection_string, new_container

from .contenders import BLOBDROP
from .endurance import open_files, resident
from .measure import session_members, start, stop
from .reckoning import reckoned
from .soaking import ContainerPlace, Customers, FolderPlace, Place

MB: Final = 1024**2
#: Share of the time in which the daemon is killed.
KILLED_PART: Final = 0.75
#: Seconds between two looks at the daemon, and between two ticks.
LOOK_SECONDS: Final = 2.0
TICK_SECONDS: Final = 0.1
#: Seconds of the undisturbed part that are left out: what is made once is made in them, such as the process that
#: computes days, with the first marker. Of a short soak it is half of the part.
WARM_SECONDS: Final = 75.0
#: What is called flat, of the undisturbed part: growth of all processes in megabytes, and of their open files.
MOST_GROWTH_MB: Final = 64
MOST_FILES: Final = 24
#: Seconds that `run --once` may take in the end.
LAST_SECONDS: Final = 300.0
SETTINGS: Final = {"BLOBDROP_SOURCE__POLL_SECONDS": "1", "BLOBDROP_SOURCE__SETTLE_SECONDS": "0.5"}


@dataclass(frozen=True, kw_only=True)
class Look:
    """The daemon and its workers at one instant."""

    #: Seconds since the soak began.
    at: float
    bytes: int
    files: int


@dataclass
class Soaked:
    """What was seen."""

    looks: list[Look] = field(default_factory=list)
    kills: int = 0
    deaths: int = 0


def main() -> int:
    """Soak, print figures, return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=20.0, help="all in all")
    parser.add_argument("--over", choices=("both", "folder", "azurite"), default="both")
    parser.add_argument("--files-per-second", type=float, default=20.0)
    parser.add_argument("--marker-seconds", type=float, default=60.0)
    parser.add_argument("--kill-seconds", type=float, default=30.0, help="on average")
    parser.add_argument("--folder", type=Path, help="where to work; kept. Else a temporary folder")
    asked = parser.parse_args()
    places = ("folder", "azurite") if asked.over == "both" else (asked.over,)
    complaints: list[str] = []
    with tempfile.TemporaryDirectory(prefix="blobdrop-soak-") as temporary:
        for name in places:
            folder = (asked.folder or Path(temporary)) / name
            folder.mkdir(parents=True, exist_ok=True)
            seconds = 60 * asked.minutes / len(places)
            with _placed(name, folder) as (place, settings):
                customers = Customers(place, asked.files_per_second, asked.marker_seconds)
                print(f"{name}: {seconds:.0f} s, {asked.files_per_second:g} files/s", flush=True)
                soaked = soak(customers, folder, settings, seconds=seconds, kill_seconds=asked.kill_seconds)
                finish(folder, settings)
            complaints += [f"{name}: {each}" for each in _told(soaked, customers, folder, seconds)]
    print("", *(complaints or ["every row is there, once"]), sep="\n")
    return 1 if complaints else 0


@contextmanager
def _placed(name: str, folder: Path) -> Iterator[tuple[Place, Mapping[str, str]]]:
    """Make the place where files are dropped; yield it with the daemon's settings."""
    if name == "folder":
        yield FolderPlace(folder), SETTINGS
        return
    with ExitStack() as stack:
        _, port = stack.enter_context(azurite(folder / "azurite", keeps=False))
        container = new_container(connection_string(port))
        stack.callback(container.client.close)
        yield ContainerPlace(container), {**SETTINGS, **container.environment}


def soak(
    customers: Customers, folder: Path, settings: Mapping[str, str], *, seconds: float, kill_seconds: float
) -> Soaked:
    """Let customers drop files for so many seconds, and kill the daemon now and then; stop it in the end."""
    soaked, chance = Soaked(), random.Random(customers.seed)  # noqa: S311 - as above
    process = _started(folder, settings)
    began = time.monotonic()
    customers.start()
    next_look, next_kill = 0.0, chance.uniform(0.5, 1.5) * kill_seconds
    while (passed := time.monotonic() - began) < seconds:
        if process.poll() is not None:
            soaked.deaths += 1
            process = _started(folder, settings)
        if passed >= next_kill and passed < KILLED_PART * seconds:
            process.send_signal(signal.SIGKILL)
            process.wait()
            process = _started(folder, settings)
            soaked.kills += 1
            next_kill = passed + chance.uniform(0.5, 1.5) * kill_seconds
        if passed >= next_look:
            soaked.looks.append(_look(process.pid, passed))
            next_look = passed + LOOK_SECONDS
        time.sleep(TICK_SECONDS)
    customers.stop()
    stop(process)
    return soaked


def finish(folder: Path, settings: Mapping[str, str]) -> None:
    """Work what is left."""
    with (folder / "daemon.log").open("ab") as log:
        process = start((*BLOBDROP, "run", "--once"), folder, settings, stdout=log, stderr=log)
        process.wait(LAST_SECONDS)


def _started(folder: Path, settings: Mapping[str, str]) -> subprocess.Popen[bytes]:
    with (folder / "daemon.log").open("ab") as log:
        return start((*BLOBDROP, "run"), folder, settings, stdout=log, stderr=log)


def _look(pid: int, passed: float) -> Look:
    members = session_members(pid)
    return Look(at=passed, bytes=sum(map(resident, members)), files=sum(map(open_files, members)))


def _told(soaked: Soaked, customers: Customers, folder: Path, seconds: float) -> Iterator[str]:
    """Print what was seen, and yield what does not come out."""
    reckoning = reckoned(customers, folder)
    for line in reckoning.says:
        print(f"  {line}")
    warm = min(WARM_SECONDS, (1 - KILLED_PART) * seconds / 2)
    calm = [look for look in soaked.looks if look.at > KILLED_PART * seconds + warm] or soaked.looks[-1:]
    half = len(calm) // 2
    growth = _middle(look.bytes for look in calm[half:]) - _middle(look.bytes for look in calm[:half] or calm)
    files = _middle(look.files for look in calm[half:]) - _middle(look.files for look in calm[:half] or calm)
    most = max(look.bytes for look in soaked.looks)
    handles = max(look.files for look in soaked.looks)
    print(f"  {soaked.kills} kills; all processes: at most {most / MB:,.0f} MB and {handles} open files")
    print(f"  undisturbed, {len(calm) * LOOK_SECONDS:.0f} s: {growth / MB:+.1f} MB, {files:+.0f} open files")
    yield from reckoning.complaints
    yield from customers.errors
    if soaked.deaths:
        yield f"the daemon ended {soaked.deaths} times by itself: see daemon.log"
    if growth > MOST_GROWTH_MB * MB or files > MOST_FILES:
        yield f"memory or open files are not flat: {growth / MB:+.1f} MB, {files:+.0f} files"


def _middle(values: Iterator[int]) -> float:
    return statistics.median(values)


if __name__ == "__main__":
    sys.exit(main())
