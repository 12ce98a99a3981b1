"""What has come of a soak: every row of every file counted, and how long files and markers had to wait."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pyarrow as pa
from deltalake import DeltaTable

from daemon.ledger import DropRow, Ledger
from daemon.ledger.days import Day
from daemon.markers import Standing
from daemon.model import METRIC_DAYS, State

from .soaking import Customers, Dropped

#: Seconds that a marker may wait for its verdict: it waits for files, and for a daemon that was killed.
MOST_LAG_SECONDS: Final = 180.0
#: Complaints of one kind that are named.
NAMED: Final = 5


@dataclass(frozen=True)
class Reckoning:
    """Figures in words, and what does not come out."""

    says: tuple[str, ...]
    complaints: tuple[str, ...]


def reckoned(customers: Customers, folder: Path) -> Reckoning:
    """Hold ledger, tables and quarantine against what was dropped."""
    table = _read(folder, "metrics", ["unit_id", "_drop"])
    with Ledger.open_read(f"sqlite:///{folder}/var/ledger.db") as ledger:
        rows = {row.name: row for row in ledger.drops(limit=10_000_000)}
        lags = _marker_lags(customers, ledger)
        closed = sum(row.state is Day.CLOSED for row in ledger.days.newest(limit=1_000_000))
    waits = sorted(row.finished_at - customers.files[name].at for name, row in rows.items() if name in customers.files)
    complaints = (
        *_missing(customers, rows),
        *_wrong(customers, rows, Counter(table["_drop"].to_pylist())),
        *_repeated(table),
        *_days(customers, folder, closed),
        *_late(lags, len(customers.markers)),
    )
    return Reckoning((*_counted(customers, len(rows)), *_waited(waits, lags, closed)), complaints)


def _counted(customers: Customers, drops: int) -> Iterator[str]:
    files = customers.files.values()
    good, bad, broken = sum(one.good for one in files), sum(one.bad for one in files), sum(one.broken for one in files)
    yield f"{drops:,} drops, {good:,} good rows, {bad:,} bad ones, {broken:,} files rejected as a whole"


def _waited(waits: list[float], lags: list[float], closed: int) -> Iterator[str]:
    middle, most, longest = (_share(waits, share) for share in (0.5, 0.95, 1))
    yield f"from a drop to its end: median {middle:.1f} s, 95 of 100 within {most:.1f} s, all within {longest:.1f} s"
    middle, longest = _share(lags, 0.5), _share(lags, 1)
    yield f"from a marker to its verdict: median {middle:.1f} s, all within {longest:.1f} s; {closed} days closed"


def _late(lags: list[float], markers: int) -> Iterator[str]:
    if len(lags) < markers:
        yield f"{markers - len(lags)} markers have no verdict"
    if lags and lags[-1] > MOST_LAG_SECONDS:
        yield f"a marker waited {lags[-1]:.0f} s, expected {MOST_LAG_SECONDS:.0f} s at most"


def _missing(customers: Customers, rows: dict[str, DropRow]) -> Iterator[str]:
    if gone := customers.files.keys() - rows.keys():
        yield f"{len(gone)} files are not in the ledger: {sorted(gone)[:NAMED]}"
    if strange := rows.keys() - customers.files.keys():
        yield f"{len(strange)} drops that nobody dropped: {sorted(strange)[:NAMED]}"


def _wrong(customers: Customers, rows: dict[str, DropRow], in_table: Counter[str]) -> Iterator[str]:
    """Yield the drops that did not come to what they had to, or whose rows are elsewhere than the ledger says."""
    wrong = [
        f"{name}: {row.state}, {row.rows}, {in_table[row.id]} in the table, {_aside(row)} aside: {row.reason}"
        for name, row in rows.items()
        if name in customers.files and not _is_right(customers.files[name], row, in_table[row.id])
    ]
    if wrong:
        yield f"{len(wrong)} drops did not come to what they should: {wrong[:NAMED]}"


def _is_right(dropped: Dropped, row: DropRow, in_table: int) -> bool:
    if dropped.broken:
        return row.state is State.REJECTED and in_table == 0 and bool(row.report)
    state = State.PARTIAL if dropped.bad else State.INGESTED
    right = (row.state, row.rows.accepted, row.rows.rejected) == (state, dropped.good, dropped.bad)
    return right and in_table == dropped.good and _aside(row) == dropped.bad


def _aside(row: DropRow) -> int:
    """Count the records of a drop's rejected.csv."""
    path = Path(row.report, "rejected.csv")
    if not row.report or not path.is_file():
        return 0
    with path.open(newline="", encoding="utf-8") as file:
        return sum(1 for _ in csv.DictReader(file))


def _repeated(table: pa.Table) -> Iterator[str]:
    double = table.num_rows - len(table["unit_id"].unique())
    if double:
        yield f"{double} rows are in the table twice"


def _days(customers: Customers, folder: Path, closed: int) -> Iterator[str]:
    """Yield the days whose metrics have not all rows that were dropped before their marker."""
    expected = Counter[tuple[str, str]]()
    for dropped in customers.files.values():
        expected[dropped.customer, dropped.day] += dropped.good
    expected += Counter()
    table = _read(folder, METRIC_DAYS, ["customer", "date", "rows"])
    cells = zip(*(table[name].to_pylist() for name in ("customer", "date", "rows")), strict=True)
    found = {(customer, str(date)): rows for customer, date, rows in cells}
    if found != dict(expected):
        wrong = {key: (found.get(key), rows) for key, rows in expected.items() if found.get(key) != rows}
        yield f"{len(wrong)} days of {len(expected)} have other rows than were dropped: {list(wrong.items())[:NAMED]}"
    if closed != len(expected):
        yield f"{closed} days are closed, expected {len(expected)}"


def _marker_lags(customers: Customers, ledger: Ledger) -> list[float]:
    """Return for each marker the seconds until a watermark was at its instant or later, ascending."""
    applied = [each for each in ledger.markers.newest(1_000_000) if each.standing is Standing.APPLIED]
    lags = []
    for marked in customers.markers:
        at = (
            each.judged_at
            for each in applied
            if each.customer == marked.customer and (each.instant or 0) >= marked.instant and each.judged_at
        )
        if (first := min(at, default=None)) is not None:
            lags.append(first - marked.at)
    return sorted(lags)


def _read(folder: Path, name: str, columns: list[str]) -> pa.Table:
    return DeltaTable(folder / "var" / "tables" / name).to_pyarrow_dataset().to_table(columns=columns)


def _share(ascending: list[float], share: float) -> float:
    return ascending[min(len(ascending) - 1, int(share * len(ascending)))] if ascending else 0.0
