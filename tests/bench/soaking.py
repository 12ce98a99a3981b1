"""Who drops files during a soak, at a steady pace, and keeps a book of what has to come of each."""

from __future__ import annotations

import datetime as dt
import gzip
import io
import json
import random
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Protocol

import pyarrow as pa
import pyarrow.parquet as pq

from tests.azurite.running import Container

CUSTOMERS: Final = ("acme", "globex", "initech")
#: The first business day; each interval between two markers is another one.
FIRST_DAY: Final = dt.date(2026, 1, 1)
#: A day of the feed's zone, Etc/GMT+8, ends at this hour of the next one in UTC.
ENDS_AT: Final = dt.time(8, tzinfo=dt.UTC)
#: One file in so many has bad rows; and of these, one in so many is rejected as a whole.
DIRTY_EVERY: Final = 10
BROKEN_EVERY: Final = 5
#: One file in so many is large, and works a while.
LARGE_EVERY: Final = 100
ROWS: Final = (5, 60)
MANY_ROWS: Final = 5_000
HEADER: Final = "unit_id,id_type,metric_name,date,metric_value\n"
#: Uploads at once.
UPLOADS: Final = 4


@dataclass(frozen=True, kw_only=True)
class Dropped:
    """A file, and what has to come of it."""

    name: str
    customer: str
    day: str
    good: int
    bad: int
    #: Whether all of it is to be rejected.
    broken: bool
    at: float


@dataclass(frozen=True, kw_only=True)
class Marked:
    """A marker: its customer's files of days that end by `instant`, unix seconds, were all dropped before it."""

    customer: str
    instant: int
    at: float


class Place(Protocol):
    """Where files are dropped."""

    def put(self, name: str, data: bytes) -> None:
        """Drop a file as a whole."""


class FolderPlace:
    """A folder; files are moved in."""

    def __init__(self, folder: Path) -> None:
        """Make nothing yet."""
        self._folder = folder

    def put(self, name: str, data: bytes) -> None:
        """Drop a file as `mv` does."""
        path = self._folder / "drops" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished = self._folder / f"unfinished-{threading.get_ident()}"
        unfinished.write_bytes(data)
        unfinished.rename(path)


class ContainerPlace:
    """A container."""

    def __init__(self, container: Container) -> None:
        """Take it."""
        self._container = container

    def put(self, name: str, data: bytes) -> None:
        """Upload a blob."""
        self._container.put(name, data)


@dataclass
class Customers:
    """Drop files of all kinds at a steady pace, and a marker for each customer when a day is over."""

    place: Place
    per_second: float
    day_seconds: float
    seed: int = 20_260_301
    files: dict[str, Dropped] = field(default_factory=dict)
    markers: list[Marked] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._chance = random.Random(self.seed)  # noqa: S311 - so that a failure may come again
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="customers", daemon=True)
        self._number = 0

    def start(self) -> None:
        """Begin with the first day."""
        self._thread.start()

    def stop(self) -> None:
        """End with the markers of the day that is under way, so that all that was dropped is in a day that is over."""
        self._stopped.set()
        self._thread.join()

    def _run(self) -> None:
        began, day = time.monotonic(), 0
        with ThreadPoolExecutor(UPLOADS) as pool:
            pending: list[Future[None]] = []
            while not self._stopped.is_set():
                passed = time.monotonic() - began
                if passed >= (day + 1) * self.day_seconds:
                    pending = self._end_day(day, pending)
                    day += 1
                if self._number < passed * self.per_second:
                    pending.append(pool.submit(self._drop, *self._made(day)))
                else:
                    self._stopped.wait(0.005)
            self._end_day(day, pending)

    def _end_day(self, day: int, pending: Sequence[Future[None]]) -> list[Future[None]]:
        """Drop each customer's marker when all files of the day are there."""
        wait(pending)
        self.errors += [repr(future.exception()) for future in pending if future.exception()]
        over = FIRST_DAY + dt.timedelta(days=day + 1)
        instant = int(dt.datetime.combine(over, ENDS_AT).timestamp())
        for customer in CUSTOMERS:
            self.place.put(f"{customer}/metrics/_READY", f"{instant}\n".encode())
            self.markers.append(Marked(customer=customer, instant=instant, at=time.time()))
        return []

    def _made(self, day: int) -> tuple[Dropped, bytes]:
        number = self._number = self._number + 1
        customer, date = self._chance.choice(CUSTOMERS), (FIRST_DAY + dt.timedelta(days=day)).isoformat()
        dirty = number % DIRTY_EVERY == 0
        broken = dirty and number % (DIRTY_EVERY * BROKEN_EVERY) == 0
        large = number % LARGE_EVERY == LARGE_EVERY // 2 + 1
        good = MANY_ROWS if large else self._chance.randint(*ROWS)
        bad = self._chance.randint(1, 3) if dirty and not broken else 0
        ending, write = _WAYS[0] if dirty else self._chance.choices(_WAYS, _SHARES)[0]
        rows = [(f"{number}-{row}", "user_id", date, "12.5") for row in range(good)]
        rows += [(f"{number}-bad-{row}", "user_id", date, "lots") for row in range(bad)]
        data = _broken(number) if broken else write(rows)
        name = f"{customer}/metrics/f{number:07d}.{ending}"
        of = {"customer": customer, "day": date, "good": 0 if broken else good, "bad": bad, "broken": broken}
        return Dropped(name=name, at=time.time(), **of), data  # type: ignore[arg-type]

    def _drop(self, dropped: Dropped, data: bytes) -> None:
        # In the book before it is there: an upload that breaks off may have come all the same.
        self.files[dropped.name] = dropped
        self.place.put(dropped.name, data)


Rows = Sequence[tuple[str, str, str, str]]


def _csv(rows: Rows) -> bytes:
    return (HEADER + "".join(f"{unit},{kind},visits,{day},{value}\n" for unit, kind, day, value in rows)).encode()


def _gzipped(rows: Rows) -> bytes:
    return gzip.compress(_csv(rows), compresslevel=1)


def _ndjson(rows: Rows) -> bytes:
    lines = (
        {"unit_id": unit, "id_type": kind, "metric_name": "visits", "date": day, "metric_value": float(value)}
        for unit, kind, day, value in rows
    )
    return "".join(json.dumps(line) + "\n" for line in lines).encode()


def _parquet(rows: Rows) -> bytes:
    units, kinds, days, values = zip(*rows, strict=True)
    columns = {"unit_id": units, "id_type": kinds, "metric_name": ["visits"] * len(rows), "date": days}
    table = pa.table({**columns, "metric_value": [float(value) for value in values]})
    file = io.BytesIO()
    pq.write_table(table, file)
    return file.getvalue()


def _broken(number: int) -> bytes:
    return f"{number},1\n{number},2\n".encode()


#: Endings, who writes such files, and how often.
_WAYS: Final[Sequence[tuple[str, Callable[[Rows], bytes]]]] = (
    ("csv", _csv),
    ("csv.gz", _gzipped),
    ("ndjson", _ndjson),
    ("parquet", _parquet),
)
_SHARES: Final = (6, 2, 1, 1)
