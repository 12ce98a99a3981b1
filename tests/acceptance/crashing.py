"""Worlds in which the daemon is killed at a named step, and what has come of one, in a form that can be compared.

The steps are named by the tests, `module:Class.method`, and a `sitecustomize` on the daemon's path wraps the one that
is wanted. So the daemon under test is the real one, in its own processes, and no line of it knows of tests; a kill hits
the same instant each time, also in a worker; and a step that is renamed fails its test, for it is never reached. Kills
at random times, from outside, are the other half: they hit what lies between the steps, where nobody would look.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import signal
import subprocess
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from daemon.ledger import Ledger
from daemon.ledger.rows import DropRow
from tests.acceptance.conftest import CHECKOUT, PROBLEMS, Blobdrop, wait_for
from tests.bench.measure import session_members
from tests.corpus import text

#: The folder whose `sitecustomize` kills and records.
KILLING = Path(__file__).parent / "killing"
#: Seconds in which the daemon has to reach the step where it is killed.
REACH_SECONDS = 60.0
#: Seconds in which every process of a killed daemon has to be gone.
GONE_SECONDS = 10.0
#: What of a report differs from run to run.
_VARIES = ("started_at", "finished_at")
#: The names of a table's log; the other files in its folder are somebody's leftovers.
_LOGGED = re.compile(r"\d{20}\.(json|checkpoint(\.\d+)*\.parquet)|_last_checkpoint|\d{20}\.crc")


@dataclass(frozen=True)
class Point:
    """A step at which the daemon is killed: at first before it, then, started again, after it."""

    name: str
    #: `module:Class.method` or `module:function`.
    step: str
    #: At which call of the step, over all processes.
    number: int = 1
    #: What is done with settled files.
    after: str = "archive"
    #: The step after which the daemon was killed before: this one lies in what it does about that.
    once_killed_after: str = ""


# ---------------------------------------------------------------- WORLDS


@dataclass
class World(Blobdrop):
    """A folder at a place of its own, the daemon that works on it, and its temporary files."""

    #: Where the daemon and its workers make temporary files. Short: it is part of a socket's path.
    scratch: Path = field(default=Path())

    def __post_init__(self) -> None:
        super().__post_init__()
        self.scratch.mkdir(exist_ok=True)
        self.settings |= {"TMPDIR": str(self.scratch), "BLOBDROP_SOURCE__SETTLE_SECONDS": "0"}

    def kill_at(self, point: Point, moment: str, *, once: bool = True) -> None:
        """Run the daemon until it dies at the point, and see that it was there, and that nobody outlives it."""
        reached = self.folder / "reached"
        for path in (reached, self.folder / "calls"):
            path.unlink(missing_ok=True)
        before = dict(self.settings)
        self.settings |= {
            "PYTHONPATH": f"{KILLING}:{CHECKOUT}",
            "KILLING_AT": f"{point.step} {moment} {point.number}",
            "KILLING_CALLS": str(self.folder / "calls"),
            "KILLING_REACHED": str(reached),
        }
        process = self._begun(["run", "--once"] if once else ["run"])
        self.settings = before
        try:
            code = process.wait(REACH_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            raise
        assert reached.exists(), f"{moment} {point.step} was never reached; the daemon ended with {code}: {self.log}"
        assert reached.read_text() == f"{moment} {point.step}"
        assert code == -signal.SIGKILL, self.log
        assert_gone(process.pid)

    def _begun(self, arguments: list[str]) -> subprocess.Popen[bytes]:
        with (self.folder / "daemon.log").open("ab") as log:
            started: subprocess.Popen[bytes] = self._started(arguments, log, log, None)
            return started

    def record(self, steps: Sequence[str], *arguments: str) -> list[str]:
        """Run a command; return what it did at these steps and to the disk, line by line."""
        record, before = self.folder / "record", dict(self.settings)
        record.unlink(missing_ok=True)
        self.settings |= {
            "PYTHONPATH": f"{KILLING}:{CHECKOUT}",
            "KILLING_RECORD": str(record),
            "KILLING_STEPS": ";".join(steps),
        }
        done = self.run(*arguments)
        self.settings = before
        assert done.code in (0, PROBLEMS), done.stderr
        return record.read_text().splitlines()

    def kill_around(self, point: Point, *, once: bool = True) -> None:
        """Kill the daemon before the point, and when it was started again, after it."""
        self.settings["BLOBDROP_SOURCE__AFTER"] = point.after
        if point.once_killed_after:
            self.kill_at(Point("before", point.once_killed_after), "after", once=once)
        for moment in ("before", "after"):
            self.kill_at(point, moment, once=once)

    def copy_to(self, folder: Path) -> None:
        """Keep everything as it is now."""
        shutil.copytree(self.folder, folder, symlinks=True)

    def restore(self, folder: Path) -> None:
        """Make everything as it was kept there. The place stays the same, for the ledger knows drops by their paths."""
        shutil.rmtree(self.folder)
        shutil.copytree(folder, self.folder, symlinks=True)
        shutil.rmtree(self.scratch)
        self.scratch.mkdir()

    def outcome(self) -> Outcome:
        """Return what has come of the drops, in words that do not depend on the run."""
        return _Looking(self).outcome()

    def leftovers(self) -> list[str]:
        """Return what nobody should find when the daemon has ended, in tables, their logs, quarantine and scratch."""
        reports = {Path(drop.report) for drop in self.drops()}
        entries = (path.parent for path in (self.folder / "var" / "quarantine").glob("*/*/*/report.json"))
        logs = [path for root in self._stores() for path in root.glob("_delta_log/*")]
        return [
            *super().leftovers(),
            *(str(entry) for entry in entries if entry not in reports),
            *(str(path) for path in logs if not _LOGGED.fullmatch(path.name)),
            *(str(path) for root in self._stores() for path in root.glob("_compacting.begun")),
            *(str(path) for path in self.scratch.iterdir()),
        ]


def assert_gone(session: int) -> None:
    """Wait until no process of a killed daemon is left."""
    wait_for(
        lambda: not list(_living(session)),
        "every process of the daemon is gone",
        seconds=GONE_SECONDS,
        told=lambda: f"left are {list(_living(session))}",
    )


def _living(session: int) -> Iterator[str]:
    """Yield the command lines of a session's processes; one that has ended and waits to be reaped has none."""
    for pid in session_members(session):
        try:
            command = Path(f"/proc/{pid}/cmdline").read_bytes()
        except OSError:
            continue
        if command:
            yield f"{pid}: {command.decode(errors='replace')}"


# ---------------------------------------------------------------- WHAT CAME OF IT


@dataclass(frozen=True)
class Outcome:
    """What has come of all drops. Drops go by their names, and the number of the version of that name."""

    #: For each feed: (drop, row, values), each as often as it is there.
    tables: dict[str, Counter[tuple[Any, ...]]]
    #: For each drop: the files of its entry; reports without their times.
    quarantine: dict[str, dict[str, Any]]
    #: For each drop: state, rows, rules, and so on.
    ledger: list[tuple[Any, ...]]
    #: The files below the drop folder, the archive too, with a digest of their bytes.
    source: dict[str, str]
    #: Batches that were intended and have come to no end.
    open_batches: int


class _Looking:
    """Looks at one world."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._drops = world.drops()
        self._labels: dict[str, str] = {}
        versions: Counter[str] = Counter()
        for drop in sorted(self._drops, key=lambda drop: drop.found_at):
            versions[drop.name] += 1
            self._labels[drop.id] = f"{_twin(drop.name)}#{versions[drop.name]}"

    def outcome(self) -> Outcome:
        """Look at everything."""
        return Outcome(
            tables={root.name: self._rows(root.name) for root in self._world._tables()},
            quarantine=dict(self._entries()),
            ledger=sorted(map(self._drop, self._drops)),
            source=dict(self._files()),
            open_batches=self._open_batches(),
        )

    def _rows(self, feed: str) -> Counter[tuple[Any, ...]]:
        table = self._world.table(feed).drop_columns(["_ingested_at"])
        names = sorted(table.column_names)
        return Counter(
            tuple((name, self._labelled(row[name]) if name == "_drop" else row[name]) for name in names)
            for row in table.to_pylist()
        )

    def _entries(self) -> Iterator[tuple[str, dict[str, Any]]]:
        for report in sorted((self._world.folder / "var" / "quarantine").glob("*/*/*/report.json")):
            yield (
                self._labelled(str(report.parent.relative_to(self._world.folder))),
                {path.name: self._content(path) for path in report.parent.iterdir()},
            )

    def _content(self, path: Path) -> Any:
        if path.name == "report.html":
            return path.stat().st_size > 0
        if path.name != "report.json":
            return path.read_bytes()
        report = json.loads(path.read_bytes())
        report["drop"] |= {"id": self._labelled(report["drop"]["id"]), "version": ""}
        if "superseded_by" in report:
            report["superseded_by"] = self._labelled(report["superseded_by"])
        return {key: value for key, value in report.items() if key not in _VARIES}

    def _drop(self, drop: DropRow) -> tuple[Any, ...]:
        return (
            self._labelled(drop.id),
            drop.state.value,
            (drop.rows_read, drop.rows_accepted, drop.rows_rejected),
            str(drop.rules),
            (drop.feed, drop.customer, drop.reason, drop.contract, drop.sha256),
            self._labelled(drop.report),
            self._labelled(drop.superseded_by or ""),
            drop.settled_at is not None,
        )

    def _files(self) -> Iterator[tuple[str, str]]:
        for path in self._world.root.rglob("*"):
            if path.is_file():
                name = self._labelled(_twin(str(path.relative_to(self._world.root))))
                yield name, hashlib.sha256(path.read_bytes()).hexdigest()

    def _open_batches(self) -> int:
        with Ledger.open_read(f"sqlite:///{self._world.folder}/var/ledger.db") as ledger:
            return len(ledger.open_batches())

    def _labelled(self, words: str) -> str:
        for drop_id, label in self._labels.items():
            words = words.replace(drop_id, label)
        return words


def _twin(name: str) -> str:
    """Return the one name of two files with the same bytes: which of them counts is a matter of luck."""
    return re.sub(r"twin-\w", "twin", name)


# ---------------------------------------------------------------- DROPS


def drop_first(world: World) -> None:
    """Drop what is there before the crash: files that are revised later, each in a data file with one that is not.

    Two workers take two of them each, in the order of their times and names.
    """
    world.drop("day.csv", text.good(6, tag="day"))
    world.drop("other.csv", text.good(2, tag="others"))
    world.drop("partly.csv", text.good(4, tag="partly") + b"bad,USERID,revenue,2026-03-01,1\n")
    world.drop("seen.csv", text.good(3, tag="seen"))


def drop_second(world: World) -> None:
    """Drop clean, dirty, broken, duplicate and revised files, of two customers and two feeds, and one nobody wants."""
    other_day = text.good(3, tag="other").replace(b"2026-03-01", b"2026-03-02").removeprefix(text.HEADER)
    world.drop("clean.csv", text.good(4, tag="clean") + other_day)
    world.drop(
        "dirty.csv", text.good(5, tag="dirty") + b"x,USERID,revenue,2026-03-01,1\ny,user_id,revenue,2026-03-01,?\n"
    )
    world.drop("dirty.csv", text.good(2, tag="acme") + b"z,user_id,,2026-03-01,1\n", feed="acme/metrics")
    world.drop("broken.csv", text.header_missing())
    world.drop("again.csv", text.good(3, tag="seen"))
    world.drop("twin-a.csv", text.good(3, tag="twin"))
    world.drop("twin-b.csv", text.good(3, tag="twin"))
    world.drop("day.csv", text.good(5, tag="days"))
    world.drop("partly.csv", text.good(5, tag="partlies"))
    world.drop("broken.ndjson", b"this is no JSON\n", feed="events")
    world.drop("nobody.csv", text.good(), feed="unknown")
    (world.root / "metrics" / "linked.csv").symlink_to(world.folder / "elsewhere.csv")
    (world.folder / "elsewhere.csv").write_bytes(text.good(2, tag="linked"))
