"""The benches: each measures one row of the table in the design's section on speed, against what is wanted there."""

from __future__ import annotations

import json
import statistics
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from .blobs import blobs as small_blobs
from .contenders import AT_ONCE, BLOBDROP, DLT, DONE, LIMIT, OURS, SCRIPT, dlt, limit, ours, script
from .generate import Written, metrics, small_files
from .live import SETTLE_SECONDS, Live
from .measure import CommandFailedError, Figures, race, run
from .report import MB, Figure, Result, Unit, faster, time_of

#: The script writes a table version for each file, so it does a part of many files only. That is in its favour: each
#: version takes longer than the one before.
SCRIPT_SHARE: Final = 0.1
#: dlt makes Python objects of each row; it gets a small part of the rows.
DLT_PART: Final = 20
#: Of the small files so many are also worked as blobs: 2,000 of 10,000.
BLOBS_PART: Final = 5
#: Of the known files so many are also known blobs: 20,000 of 100,000.
KNOWN_PART: Final = 5
#: The blob that is downloaded.
LARGE_MB: Final = 200
ROWS_EACH: Final = 100
LATENCY_DROPS: Final = 5


@dataclass
class Ground:
    """Where benches take place, how large they are, and the inputs that were made already."""

    folder: Path
    rows: int
    files: int
    known: int
    runs: int
    days: int
    _made: dict[str, tuple[Path, Written]] = field(default_factory=dict)

    def metrics(self, rows: int, *, dirty: bool, seed: int = 0) -> tuple[Path, Written]:
        """Return a file of metric rows, in a folder of its own, and what is in it."""
        key = f"{'dirty' if dirty else 'clean'}-{rows}-{seed}"
        if key not in self._made:
            path = self.folder / "input" / key / f"{key}.csv"
            path.parent.mkdir(parents=True)
            self._made[key] = (path, metrics(path, rows, dirty=dirty, days=self.days, seed=seed))
        return self._made[key]

    def small_files(self) -> tuple[Path, Written]:
        """Return a folder of small files and what is in them."""
        folder = self.folder / "input" / "files"
        return folder, small_files(folder, self.files, rows_each=ROWS_EACH, days=self.days)

    def fresh(self, name: str) -> Path:
        """Return a fresh folder."""
        return Path(tempfile.mkdtemp(prefix=f"{name}-", dir=self.folder))


def clean(ground: Ground) -> Result:
    """All rows are good."""
    path, written = ground.metrics(ground.rows, dirty=False)
    found = race([ours(path), script(path), limit(path)], ground.folder, ground.runs, rows=written.good)
    figures = [faster(SCRIPT, found, OURS, 2.2, 4), time_of(LIMIT, found, OURS, 1.1, 0.6)]
    return Result(name="clean", work=_said(written), figures=figures, contenders=found)


def dirty(ground: Ground) -> Result:
    """A twentieth of the rows is bad."""
    path, written = ground.metrics(ground.rows, dirty=True)
    found = race([ours(path), script(path), limit(path)], ground.folder, ground.runs, rows=written.good)
    figures = [faster(SCRIPT, found, OURS, 6, 12), time_of(LIMIT, found, OURS, 1.2, 0.7)]
    return Result(name="dirty", work=_said(written), figures=figures, contenders=found)


def warm(ground: Ground) -> Result:
    """A daemon that runs takes a dirty file that is moved in."""
    size = max(1, ground.rows // 5)
    path, written = ground.metrics(size, dirty=True)
    found = race([limit(path)], ground.folder, ground.runs, rows=written.good)
    found[OURS] = Figures()
    with Live(ground.fresh("warm")) as live:
        for seed in range(1, 1 + ground.runs):
            path, written = ground.metrics(size, dirty=True, seed=seed)
            before = live.rows()
            found[OURS].seconds.append(max(0.0, live.moved_in(path) - SETTLE_SECONDS))
            _must_be(live.rows() - before, written.good)
    figures = [time_of(LIMIT, found, OURS, 1.1, 0.7)]
    return Result(name="warm", work=f"{_said(written)}, less settle_seconds", figures=figures, contenders=found)


def files(ground: Ground) -> Result:
    """Many small files, two of ten with bad rows."""
    folder, written = ground.small_files()
    contenders = [ours(folder), script(folder, SCRIPT_SHARE)]
    found = race(contenders, ground.folder, ground.runs, rows=written.good)
    rate = Figure(
        what="files", value=written.files / found[OURS].median, unit=Unit.PER_SECOND, at_least=150, aim=500, more=True
    )
    figures = [faster(SCRIPT, found, OURS, 4, 10), rate]
    work = f"{written.files:,} files of {ROWS_EACH} rows, two of ten dirty"
    return Result(name="files", work=work, figures=figures, contenders=found)


def memory(ground: Ground) -> Result:
    """Peak memory of all processes must not depend on the file's size."""
    figures, contenders = [], {}
    for size in (max(1, ground.rows // 5), 2 * ground.rows):
        path, written = ground.metrics(size, dirty=True)
        (found,) = race([ours(path)], ground.folder, 1, rows=written.good).values()
        what = f"peak, {written.bytes / MB:,.0f} MB of CSV"
        figures.append(Figure(what=what, value=found.peak_bytes / MB, unit=Unit.MEGABYTES, at_least=800, aim=500))
        contenders[f"{OURS}, {size:,} rows"] = found
    return Result(name="memory", work="a dirty file, all processes", figures=figures, contenders=contenders)


def idle(ground: Ground) -> Result:
    """`run --once` where an earlier one has left nothing to do."""
    folder, command = ground.fresh("idle"), (*BLOBDROP, "run", "--once", "--json")
    metrics(_drops(folder) / "first.csv", ROWS_EACH, dirty=True)
    run(command, folder, AT_ONCE, fine=DONE)
    seconds = [run(command, folder, AT_ONCE, fine=DONE).seconds for _ in range(ground.runs)]
    return _alone("idle", "run --once with nothing to do", seconds, at_least=1.8, aim=0.8)


def turn(ground: Ground) -> Result:
    """A turn of the loop with many known files and nothing new."""
    command = (sys.executable, "-m", "tests.bench.turn", str(ground.known))
    settings = {"BLOBDROP_SOURCE__AFTER": "keep", "BLOBDROP_SOURCE__POLL_SECONDS": "0.001"}
    first, later = map(float, run(command, ground.fresh("turn"), AT_ONCE | settings).printed.split())
    wanted = Figure(what="wall time", value=later, unit=Unit.SECONDS, at_least=1.5, aim=0.5)
    figures = [wanted, Figure(what="the first after a start", value=first, unit=Unit.SECONDS)]
    return Result(name="turn", work=f"a turn over {ground.known:,} known files", figures=figures)


def latency(ground: Ground) -> Result:
    """From the end of writing a small file to its rows in the table of a warm daemon."""
    source = ground.fresh("input")
    small_files(source, LATENCY_DROPS, rows_each=ROWS_EACH, days=ground.days)
    with Live(ground.fresh("latency")) as live:
        seconds = [live.written(path.name, path.read_bytes()) for path in sorted(source.iterdir())]
    work = f"written to readable, settle_seconds = {SETTLE_SECONDS:g}"
    return _alone("latency", work, seconds, at_least=SETTLE_SECONDS + 1.5, aim=SETTLE_SECONDS + 0.3)


def blobs(ground: Ground) -> Result:
    """Small blobs of a container, beside a plain loop of the SDK."""
    return small_blobs(ground.fresh("blobs"), ground.files // BLOBS_PART, ground.runs)


def container(ground: Ground) -> Result:
    """A container of many known blobs: its listing and a turn beside raw HTTP, a large one beside the SDK."""
    known, megabytes = ground.known // KNOWN_PART, max(1, min(LARGE_MB, ground.rows // 10_000))
    command = (sys.executable, "-m", "tests.bench.container", *map(str, (known, megabytes, ground.runs)))
    settings = {"BLOBDROP_SOURCE__AFTER": "keep", "BLOBDROP_SOURCE__POLL_SECONDS": "0.001"}
    printed = json.loads(run(command, ground.fresh("container"), AT_ONCE | settings).printed)
    found = {name: Figures(seconds=seconds) for name, seconds in printed.items()}
    beside = found["turn"].median - found["listing"].median
    figures = [
        time_of("raw HTTP", found, "listing", 1.5, 1.1),
        Figure(what="a turn, less the listing", value=beside, unit=Unit.SECONDS, at_least=0.3),
        faster("SDK", found, "download", 0.9),
    ]
    return Result(name="container", work=f"{known:,} known blobs; {megabytes} MB", figures=figures, contenders=found)


def help_text(ground: Ground) -> Result:
    """`blobdrop --help`."""
    folder = ground.fresh("help")
    seconds = [run((*BLOBDROP, "--help"), folder).seconds for _ in range(max(5, ground.runs))]
    return _alone("help", "blobdrop --help", seconds, at_least=0.4, aim=0.15)


def dlt_load(ground: Ground) -> Result:
    """The pipeline library that users would try first, on a small part of the rows."""
    path, written = ground.metrics(max(1, ground.rows // DLT_PART), dirty=True)
    found = race([ours(path.parent), dlt(path.parent)], ground.folder, ground.runs, rows=written.good)
    speed = Figure(what="dlt's speed", value=found[DLT].median / found[OURS].median, unit=Unit.TIMES)
    return Result(name="dlt", work=_said(written), figures=[speed], contenders=found)


#: In the order of the design's table.
BENCHES: Final[Mapping[str, Callable[[Ground], Result]]] = {
    "clean": clean,
    "dirty": dirty,
    "warm": warm,
    "files": files,
    "memory": memory,
    "idle": idle,
    "turn": turn,
    "latency": latency,
    "blobs": blobs,
    "container": container,
    "help": help_text,
    "dlt": dlt_load,
}


def _alone(name: str, work: str, seconds: list[float], *, at_least: float, aim: float) -> Result:
    figure = Figure(what="wall time", value=statistics.median(seconds), unit=Unit.SECONDS, at_least=at_least, aim=aim)
    return Result(name=name, work=work, figures=[figure], contenders={OURS: Figures(seconds=seconds)})


def _drops(folder: Path) -> Path:
    drops = folder / "drops" / "metrics"
    drops.mkdir(parents=True)
    return drops


def _said(written: Written) -> str:
    bad = f"{written.bad / written.rows:.0%} bad" if written.bad else "all good"
    return f"{written.rows:,} rows, {written.bytes / MB:,.0f} MB, {bad}"


def _must_be(found: int, wanted: int) -> None:
    if found != wanted:
        raise CommandFailedError(f"the table got {found:,} rows of {wanted:,} good ones")
