"""The real command in a real process, on a folder of its own."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from deltalake import DeltaTable

from daemon.errors import LedgerError
from daemon.ledger import Ledger
from daemon.ledger.rows import DropRow
from daemon.model import State
from tests.bench.measure import session_members
from validators.readers.dialects import RETURNED

CHECKOUT = Path(__file__).resolve().parents[2]
#: Small, so that no test waits for the daemon's usual patience.
QUICK = {
    "BLOBDROP_SOURCE__SETTLE_SECONDS": "0.2",
    "BLOBDROP_SOURCE__POLL_SECONDS": "0.2",
    "BLOBDROP_WORKERS__RETRY_SECONDS": "0.2",
}
#: Seconds after which a command that should have ended is killed, and its test fails.
PATIENCE = 90.0
#: What the daemon says when it has begun.
RUNNING = " is running, configured by "
#: `run --once` when everything was worked and some of the data has problems.
PROBLEMS = 1


@dataclass(frozen=True)
class Run:
    """A command that has ended."""

    code: int
    stdout: str
    stderr: str
    seconds: float
    #: Megabytes of the largest of its processes.
    memory_mb: float

    @property
    def summary(self) -> Any:
        """What `run --once --json` printed."""
        return json.loads(self.stdout)


@dataclass
class Blobdrop:
    """A folder with drops, tables, quarantine and ledger, and the command that works on it."""

    folder: Path
    settings: dict[str, str] = field(default_factory=dict)
    process: subprocess.Popen[bytes] | None = None

    def __post_init__(self) -> None:
        self.root.mkdir(parents=True, exist_ok=True)

    # ---------------------------------------------------------------- DROPPING

    @property
    def root(self) -> Path:
        """Where drops land."""
        return self.folder / "drops"

    def drop(self, name: str, data: bytes, *, feed: str = "metrics") -> Path:
        """Put a whole file into the feed's folder at once, as `mv` does."""
        path = self.root / feed / name
        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished = self.folder / "written"
        unfinished.write_bytes(data)
        return unfinished.rename(path)

    def configure(self, text: str) -> None:
        """Write the settings file."""
        (self.folder / "blobdrop.toml").write_text(text, encoding="utf-8")

    # ---------------------------------------------------------------- RUNNING

    def run(self, *arguments: str, before: Callable[[], None] | None = None, patience: float = PATIENCE) -> Run:
        """Run a command to its end."""
        began = time.monotonic()
        out, err = self.folder / "stdout.txt", self.folder / "stderr.txt"
        with out.open("wb") as stdout, err.open("wb") as stderr:
            started = self._started([*arguments], stdout, stderr, before)
            code, memory = _waited(started, patience)
        said = out.read_text(), err.read_text()
        return Run(code, *said, time.monotonic() - began, memory)

    def once(self, *, code: int | tuple[int, ...] = (0, PROBLEMS), before: Callable[[], None] | None = None) -> Any:
        """Work until nothing is left; return the summary."""
        done = self.run("run", "--once", "--json", before=before)
        expected = (code,) if isinstance(code, int) else code
        assert done.code in expected, done.stderr
        return done.summary if done.stdout else done

    def start(self, *, before: Callable[[], None] | None = None) -> None:
        """Start the daemon, and wait until it works."""
        log = self.folder / "daemon.log"
        before_it = self.log.count(RUNNING) if log.exists() else 0
        with log.open("ab") as stderr:
            self.process = self._started(["run"], stderr, stderr, before)
        wait_for(lambda: self.log.count(RUNNING) > before_it, "the daemon is running", told=lambda: self.log)

    def stop(self, number: int = signal.SIGTERM, *, patience: float = 10.0) -> int:
        """Send a signal to the daemon and wait until it has ended; return its exit code."""
        assert self.process is not None
        process, self.process = self.process, None
        if process.poll() is None:
            process.send_signal(number)
        try:
            return process.wait(patience)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            pytest.fail(f"the daemon did not stop within {patience:g} s: {self.log}")

    @property
    def log(self) -> str:
        """What the daemon has said so far."""
        return (self.folder / "daemon.log").read_text()

    def wait_settled(self, count: int, *, seconds: float = 30.0, every: float = 0.05) -> None:
        """Wait until so many drops have ended and their objects are settled, looking `every` so many seconds."""

        def settled() -> bool:
            done = [drop for drop in self.drops() if drop.state.final and (drop.settled_at or not _is_settled(drop))]
            return len(done) >= count

        wait_for(
            settled,
            f"{count} drops are settled",
            seconds=seconds,
            every=every,
            told=lambda: f"{self.states()} {self.log}",
        )

    def _started(self, arguments: list[str], stdout: Any, stderr: Any, before: Callable[[], None] | None) -> Any:
        return subprocess.Popen(
            [sys.executable, "-m", "daemon", *arguments],
            cwd=self.folder,
            env=environment(self.settings),
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=stderr,
            start_new_session=True,
            preexec_fn=before,  # noqa: PLW1509 - no thread runs here
        )

    # ---------------------------------------------------------------- WHAT CAME OF IT

    def ledger(self) -> Ledger:
        """Open the ledger, to ask it."""
        return Ledger.open_read(self._url("ledger", f"sqlite:///{self.folder}/var/ledger.db"))

    def drops(self) -> tuple[DropRow, ...]:
        """Return what the ledger knows, the oldest drop first."""
        try:
            with self.ledger() as ledger:
                return ledger.drops(limit=100_000)[::-1]
        except LedgerError:
            return ()  # the daemon has just begun to make it

    def states(self) -> Counter[str]:
        """Return how many drops are in each state."""
        return Counter(drop.state.value for drop in self.drops())

    def found(self, name: str, *, feed: str = "metrics") -> DropRow:
        """Return the newest version of a drop, by its name below the feed's folder."""
        wanted = f"{feed}/{name}"
        versions = [drop for drop in self.drops() if drop.found.name == wanted]
        assert versions, f"{wanted!r} is not in the ledger, which has {[drop.name for drop in self.drops()]}"
        return versions[-1]

    def entry(self, name: str, *, feed: str = "metrics") -> Path:
        """Return the folder of a drop's quarantine entry."""
        drop = self.found(name, feed=feed)
        assert drop.report, f"{name!r} is {drop.state} and has no report"
        return Path(drop.report)

    def report(self, name: str, *, feed: str = "metrics") -> dict[str, Any]:
        """Return a drop's report.json."""
        read: dict[str, Any] = json.loads((self.entry(name, feed=feed) / "report.json").read_bytes())
        return read

    def rejected(self, name: str, *, feed: str = "metrics") -> list[dict[str, str]]:
        """Return the records of a drop's rejected.csv; none where there is no such file."""
        return self.rejected_in(self.entry(name, feed=feed))

    def rejected_in(self, entry: Path) -> list[dict[str, str]]:
        """Return the records of an entry's rejected.csv; none where there is no such file."""
        path = entry / "rejected.csv"
        if not path.exists():
            return []
        csv.field_size_limit(10**7)
        with path.open(encoding="utf-8-sig", newline="") as file:
            names, *records = csv.reader(file)
        assert tuple(names[-2:]) == RETURNED
        # A record whose fields were too few or too many has its own number of cells before the two at the end.
        return [
            dict(zip(names, record[:-2], strict=False)) | dict(zip(RETURNED, record[-2:], strict=True))
            for record in records
        ]

    def originals(self, name: str, *, feed: str = "metrics") -> list[Path]:
        """Return the files that were kept of a drop beside its report."""
        ours = {"rejected.csv", "origins.parquet", "report.json", "report.html"}
        return [path for path in self.entry(name, feed=feed).iterdir() if path.name not in ours]

    def table(self, feed: str = "metrics") -> pa.Table:
        """Return a feed's table as `deltalake` reads it; without columns while there is none."""
        root = self.store / feed
        return DeltaTable(str(root)).to_pyarrow_table() if DeltaTable.is_deltatable(str(root)) else pa.table({})

    def rows_of(self, drop_id: str, *, feed: str = "metrics") -> int:
        """Return how many rows of the table a drop has brought."""
        table = self.table(feed)
        return table["_drop"].to_pylist().count(drop_id) if table.num_rows else 0

    def assert_every_row_is_in_one_place(self) -> None:
        """Hold invariant 1 against the ledger, the tables and the rejected.csv files."""
        counts = {feed.name: Counter(self.table(feed.name)["_drop"].to_pylist()) for feed in self._tables()}
        for drop in self.drops():
            rows = drop.rows
            assert rows.read == rows.accepted + rows.rejected, drop
            superseded = drop.superseded_by is not None
            in_table = counts.get(drop.feed, Counter())[drop.id]
            assert in_table == (0 if superseded else rows.accepted), drop
            if drop.state is State.PARTIAL:
                assert len(self.rejected_in(Path(drop.report))) == rows.rejected, drop

    def _tables(self) -> list[Path]:
        return [log.parent for log in self.store.glob("*/_delta_log")]

    def leftovers(self) -> list[str]:
        """Return what nobody should find when the daemon has ended: temporary files, and data files of no table."""
        left = [str(path) for path in (self.folder / "var" / "quarantine").glob("*/*/.*")]
        for root in self._stores():
            known = _known_files(root)
            files = (path for path in root.rglob("*") if path.is_file() and path.relative_to(root).parts[0][0] != "_")
            left += [str(path) for path in files if str(path.relative_to(root)) not in known]
        left += [str(path) for path in self.root.rglob(".*")] if self.root.exists() else []
        return left

    def _stores(self) -> list[Path]:
        return [path for path in self.store.iterdir() if path.is_dir()] if self.store.exists() else []

    @property
    def store(self) -> Path:
        """Where the tables are."""
        return Path(self._url("store", str(self.folder / "var" / "tables")))

    def _url(self, section: str, default: str) -> str:
        return self.settings.get(f"BLOBDROP_{section.upper()}__URL", default)


def environment(settings: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of a command: ours without its settings, and the test's."""
    ours = {key: value for key, value in os.environ.items() if not key.startswith(("BLOBDROP_", "NOTIFY_"))}
    return {**ours, "PYTHONPATH": str(CHECKOUT), "PYTHONUNBUFFERED": "1", **QUICK, **settings}


def wait_for(
    condition: Callable[[], Any],
    what: str,
    *,
    seconds: float = 30.0,
    every: float = 0.05,
    told: Callable[[], str] = lambda: "",
) -> None:
    """Wait until something is so, looking `every` so many seconds, and fail when that takes too long."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            pytest.fail(f"waited {seconds:g} s until {what}. {told()}")
        time.sleep(every)


def _waited(process: subprocess.Popen[bytes], patience: float) -> tuple[int, float]:
    """Wait for a process; return its exit code and the most megabytes that one of its session's processes has held.

    The kernel's own account at the end would begin with what this process, which it was forked from, has held.
    """
    end = time.monotonic() + patience
    most = 0.0
    while process.poll() is None:
        most = max([most, *map(_most_mb, session_members(process.pid))])
        if time.monotonic() > end:
            process.kill()
            process.wait()
            pytest.fail(f"the command did not end within {patience:g} s")
        time.sleep(0.02)
    return process.returncode, most


def _most_mb(process: int) -> float:
    """Return the most megabytes that a process has held since its program began; 0 when it has ended."""
    with suppress(OSError):
        for line in Path(f"/proc/{process}/status").read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 1024
    return 0.0


def _is_settled(drop: DropRow) -> bool:
    """Tell whether a drop in this state is settled at all; unmatched and failed ones stay where they are."""
    return drop.state not in (State.UNMATCHED, State.FAILED)


def _known_files(root: Path) -> set[str]:
    """Return every data file that the table has ever had; removed ones stay for readers of older versions."""
    lines = (line for log in (root / "_delta_log").glob("*.json") for line in log.read_text().splitlines())
    return {action["add"]["path"] for action in map(json.loads, lines) if "add" in action}


@pytest.fixture
def blobdrop(tmp_path: Path) -> Iterator[Blobdrop]:
    """A fresh folder and the command to work on it; a daemon that the test leaves behind is killed."""
    made = Blobdrop(tmp_path)
    yield made
    if made.process is not None:
        with suppress(ProcessLookupError):
            made.process.kill()
        made.process.wait()
