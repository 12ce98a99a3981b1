"""What was measured, beside what is wanted: as a table, and as JSON with the machine and the date."""

from __future__ import annotations

import enum
import os
import platform
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from .measure import Figures

MB: Final = 1024**2


class Unit(enum.StrEnum):
    """What a figure counts, as it is written behind it."""

    TIMES = "x"
    SECONDS = " s"
    MEGABYTES = " MB"
    PER_SECOND = " /s"


@dataclass(frozen=True, kw_only=True)
class Figure:
    """One thing measured, and how good it has to be (design 10)."""

    what: str
    value: float
    unit: Unit
    at_least: float | None = None
    aim: float | None = None
    #: Whether a larger figure is the better one.
    more: bool = False

    @property
    def reached(self) -> str:
        """How far it is: `aim`, `enough`, `short`; nothing where nothing is wanted."""
        for word, wanted in (("aim", self.aim), ("enough", self.at_least)):
            if wanted is not None and (self.value >= wanted if self.more else self.value <= wanted):
                return word
        return "" if self.at_least is None else "short"


@dataclass(frozen=True, kw_only=True)
class Result:
    """What came of one bench."""

    name: str
    work: str
    figures: Sequence[Figure]
    contenders: Mapping[str, Figures] = field(default_factory=dict)


def faster(
    others: str, figures: Mapping[str, Figures], ours: str, at_least: float | None = None, aim: float | None = None
) -> Figure:
    """Return how many times the speed of others we have."""
    value = figures[others].median / figures[ours].median
    what = f"the {others}'s speed"
    return Figure(what=what, value=value, unit=Unit.TIMES, more=True, at_least=at_least, aim=aim)


def time_of(others: str, figures: Mapping[str, Figures], ours: str, at_least: float, aim: float) -> Figure:
    """Return how many times as long as others we take."""
    value = figures[ours].median / figures[others].median
    return Figure(what=f"the {others}'s time", value=value, unit=Unit.TIMES, at_least=at_least, aim=aim)


def table(results: Iterable[Result]) -> str:
    """Write results as two tables: what is wanted, then every contender's times and memory."""
    head = ("bench", "work", "figure", "measured", "at least", "aim", "")
    rows = [
        (result.name if not number else "", result.work if not number else "", *_cells(figure))
        for result in results
        for number, figure in enumerate(result.figures)
    ]
    more = [
        (result.name, name, f"{figures.median:.2f} s", _peak(figures), _all(figures))
        for result in results
        for name, figures in result.contenders.items()
    ]
    below = ("bench", "contender", "median", "peak memory", "runs")
    return _aligned([head, *rows], right={3, 4, 5}) + "\n\n" + _aligned([below, *more], right={2, 3})


def as_json(results: Iterable[Result], sizes: Mapping[str, Any]) -> dict[str, Any]:
    """Return everything that was measured, with the machine and the date."""
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": machine(),
        "sizes": dict(sizes),
        "results": [asdict(result) for result in results],
    }


def machine() -> dict[str, Any]:
    """Say what it was measured on."""
    page, pages = os.sysconf("SC_PAGE_SIZE"), os.sysconf("SC_PHYS_PAGES")
    models = [line.partition(":")[2].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name")]
    return {
        "cpus": len(os.sched_getaffinity(0)),
        "processor": models[0] if models else platform.processor(),
        "memory_mb": page * pages // MB,
        "system": platform.platform(),
        "python": platform.python_version(),
        "load": round(os.getloadavg()[0], 2),
    }


def _lines(path: str) -> list[str]:
    return Path(path).read_text(encoding="utf-8", errors="replace").splitlines()


def _cells(figure: Figure) -> tuple[str, ...]:
    wanted = [_written(each, figure.unit) for each in (figure.at_least, figure.aim)]
    return (figure.what, _written(figure.value, figure.unit), *wanted, figure.reached)


def _written(value: float | None, unit: Unit) -> str:
    if value is None:
        return ""
    digits = 0 if unit in (Unit.MEGABYTES, Unit.PER_SECOND) else 2
    return f"{value:,.{digits}f}{unit}"


def _peak(figures: Figures) -> str:
    return _written(figures.peak_bytes / MB, Unit.MEGABYTES)


def _all(figures: Figures) -> str:
    part = f"   ({figures.share:.0%} of the work, scaled up)" if figures.share < 1 else ""
    return " ".join(f"{seconds:.2f}" for seconds in figures.seconds) + part


def _aligned(rows: Sequence[Sequence[str]], *, right: set[int]) -> str:
    columns = []
    for number, cells in enumerate(zip(*rows, strict=True)):
        width = max(map(len, cells))
        columns.append([cell.rjust(width) if number in right else cell.ljust(width) for cell in cells])
    lines = ["  ".join(cells).rstrip() for cells in zip(*columns, strict=True)]
    return "\n".join([lines[0], "-" * max(map(len, lines)), *lines[1:]])
