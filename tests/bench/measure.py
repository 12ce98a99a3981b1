"""A command as its own process: the wall time of all of it, and the memory of all the processes that it starts."""

from __future__ import annotations

import os
import shutil
import signal
import statistics
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Self

ROOT: Final = Path(__file__).resolve().parents[2]

#: Seconds between two looks at the memory of a group of processes.
SAMPLE_SECONDS: Final = 0.03
#: Seconds that a process has to end by itself; the daemon promises ten.
STOP_SECONDS: Final = 15.0


class CommandFailedError(Exception):
    """Raised when a measured command fails: its figures would mean nothing."""


@dataclass(frozen=True, kw_only=True)
class Run:
    """One run of a command."""

    seconds: float
    #: The most memory that all its processes held at one time, in bytes; shared pages count once. 0: not looked at.
    peak_bytes: int
    printed: str


@dataclass(frozen=True)
class Contender:
    """Somebody who does a piece of work."""

    name: str
    #: Prepares a fresh folder and returns the command that does the work there.
    command: Callable[[Path], Sequence[str]]
    #: Finds the number of rows that were accepted in what the command printed.
    accepted: Callable[[str], int]
    environment: Mapping[str, str] = field(default_factory=dict)
    #: How much of the work it does: the script takes too long for all of many files, and does a part of them.
    share: float = 1.0
    #: Exit codes of work that was done.
    fine: tuple[int, ...] = (0,)


@dataclass
class Figures:
    """What came of one contender's runs."""

    seconds: list[float] = field(default_factory=list)
    peak_bytes: int = 0
    share: float = 1.0

    @property
    def median(self) -> float:
        """The median wall time of the whole work in seconds, its part scaled up where it did a part."""
        return statistics.median(self.seconds) / self.share


class Memory:
    """Looks at a session of processes again and again, until told to stop.

    Proportional set sizes are added up, so that pages which a fork shares with its parent count once.
    """

    def __init__(self, session: int) -> None:
        """Begin at once; `session` is the leader's process id."""
        self.peak_bytes = 0
        self._session = session
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="memory", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._stop.wait(SAMPLE_SECONDS):
            self.peak_bytes = max(self.peak_bytes, sum(map(_proportional_bytes, session_members(self._session))))


def session_members(session: int) -> list[int]:
    """Return the processes of a session: whoever a command started, whatever became of those in between."""
    found = []
    for entry in os.scandir("/proc"):
        # The fields after the name, which is in brackets and may hold anything: state, parent, group, session.
        fields = _read(f"/proc/{entry.name}/stat").rpartition(")")[2].split() if entry.name.isdigit() else []
        if len(fields) > 3 and int(fields[3]) == session:
            found.append(int(entry.name))
    return found


def _proportional_bytes(process: int) -> int:
    for line in _read(f"/proc/{process}/smaps_rollup").splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) * 1024
    return 0


def _read(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace")
    except OSError:  # it has ended
        return ""


def start(
    command: Sequence[str], folder: Path, environment: Mapping[str, str], **streams: Any
) -> subprocess.Popen[bytes]:
    """Start a command in a folder, in a session of its own, with this checkout's packages and no settings of ours."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("BLOBDROP_", "NOTIFY_"))}
    paths = os.pathsep.join([str(ROOT), *filter(None, [kept.get("PYTHONPATH")])])
    variables = {**kept, "PYTHONPATH": paths, **environment}
    return subprocess.Popen(command, cwd=folder, env=variables, start_new_session=True, **streams)


def stop(process: subprocess.Popen[bytes]) -> None:
    """End a process and whatever it has started."""
    process.terminate()
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        for member in session_members(process.pid):
            os.kill(member, signal.SIGKILL)
        process.wait()


def run(
    command: Sequence[str],
    folder: Path,
    environment: Mapping[str, str] | None = None,
    *,
    fine: Sequence[int] = (0,),
    memory: bool = False,
) -> Run:
    """Run a command in a folder to its end.

    Args:
        command: what to run.
        folder: where.
        environment: variables of its own.
        fine: exit codes of work that was done.
        memory: whether to look at its memory meanwhile, which takes a few hundredths of a core.

    Raises:
        CommandFailedError: it ended with an error.
    """
    log = folder / "stderr.log"
    with log.open("wb") as errors:
        began = time.perf_counter()
        process = start(command, folder, environment or {}, stdout=subprocess.PIPE, stderr=errors)
        with Memory(process.pid) if memory else nullcontext() as watched:
            printed, _ = process.communicate()
            seconds = time.perf_counter() - began
    if process.returncode not in fine:
        raise CommandFailedError(f"{' '.join(command)}: exit code {process.returncode}\n{_read(str(log))[-4000:]}")
    return Run(seconds=seconds, peak_bytes=watched.peak_bytes if watched else 0, printed=printed.decode())


def race(contenders: Sequence[Contender], folder: Path, runs: int, *, rows: int) -> dict[str, Figures]:
    """Run contenders in turn, each time in a fresh folder, and hold what they accepted against what they should.

    Memory is looked at in a first round that warms the caches and whose times do not count; where there is one round
    only, in that.

    Raises:
        CommandFailedError: one failed, or accepted another number of rows.
    """
    figures = {contender.name: Figures(share=contender.share) for contender in contenders}
    for number in range(runs + (runs > 1)):
        for contender in contenders:
            once = _once(contender, folder, memory=number == 0, rows=rows)
            mine = figures[contender.name]
            mine.peak_bytes = max(mine.peak_bytes, once.peak_bytes)
            if number or runs == 1:
                mine.seconds.append(once.seconds)
    return figures


def _once(contender: Contender, folder: Path, *, memory: bool, rows: int) -> Run:
    fresh = Path(tempfile.mkdtemp(prefix=f"{contender.name}-", dir=folder))
    command = contender.command(fresh)
    os.sync()  # nobody waits for what others have written
    done = run(command, fresh, contender.environment, fine=contender.fine, memory=memory)
    accepted = contender.accepted(done.printed)
    if accepted != rows * contender.share:
        raise CommandFailedError(
            f"{contender.name} accepted {accepted:,} rows of {rows * contender.share:,.0f} good ones"
        )
    shutil.rmtree(fresh)
    return done
