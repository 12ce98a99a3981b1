"""`blobdrop metrics`: the catalog of metrics, and one metric's days, as `metric_days` has them."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import pyarrow.compute as pc

from daemon import app, wiring
from daemon.commands.looking import begun
from daemon.commands.showing import Column, print_json, print_table, say
from daemon.days.restating import GONE
from daemon.errors import NotFoundError
from daemon.model import METRIC_DAYS
from daemon.stores import Store
from validators.suggest import did_you_mean

#: Days of a metric that its line in the catalog shows.
SERIES_DAYS: Final = 14
#: Eighths of a line's height.
BARS: Final = "▁▂▃▄▅▆▇█"
NONE_YET: Final = "No day with metrics was closed yet. What days wait for: blobdrop days"

#: The columns of `metric_days` that the catalog asks for: a Python object of each cell is not for nothing.
CATALOG: Final = ("feed", "customer", "metric_name", "id_type", "kind", "date", "version", "sum", "ratio")

#: A row of `metric_days`.
Row = Mapping[str, Any]
#: Feed, customer, metric, id type.
Name = tuple[str, str, str, str]


def metrics(config: Path | None, *, name: str | None, customer: str | None, versions: bool, json: bool) -> int:
    """Print every metric with its newest days; or all days of one, with `versions` each version of them."""
    settings = begun(config).settings
    ledger = app.open_for_reading(settings)
    rows: Sequence[Row] = ()
    if ledger is not None:
        with ledger:
            columns = CATALOG if name is None else None
            rows = _rows(wiring.store_of(settings, ledger.identity), customer, columns)
    if name is None:
        _print_catalog(_by_name(_newest(rows)), json=json)
        defined = [metric.name for metric in settings.metrics]
        if not json and (waiting := sorted(set(defined).difference(row["metric_name"] for row in rows))):
            say("", f"Defined, and of no closed day yet: {', '.join(waiting)}")
    else:
        _print_one(
            [row for row in (rows if versions else _newest(rows)) if row["metric_name"] == name], name, rows, json
        )
    return 0


def _rows(store: Store, customer: str | None, columns: Sequence[str] | None) -> Sequence[Row]:
    """Return the rows of one customer or of all, by their days and versions; of some columns, or of all."""
    if not store.exists(METRIC_DAYS):
        return ()
    table = store.read(METRIC_DAYS)
    if customer is not None:
        table = table.filter(pc.equal(table["customer"], customer))
    found = (table if columns is None else table.select(columns)).to_pylist()
    return sorted(found, key=lambda row: (_name(row), row["date"], row["version"]))


def _name(row: Row) -> Name:
    return row["feed"], row["customer"], row["metric_name"], row["id_type"]


def _newest(rows: Sequence[Row]) -> Sequence[Row]:
    """Return the rows of each day's newest version, but for those that stand for metrics that are gone."""
    version: dict[tuple[str, str, dt.date], int] = {}
    for row in rows:
        day = (row["feed"], row["customer"], row["date"])
        version[day] = max(row["version"], version.get(day, 0))
    newest = (row for row in rows if row["version"] == version[row["feed"], row["customer"], row["date"]])
    return [row for row in newest if row["kind"] != GONE]


def _by_name(rows: Sequence[Row]) -> Mapping[Name, Sequence[Row]]:
    found: dict[Name, list[Row]] = {}
    for row in rows:
        found.setdefault(_name(row), []).append(row)
    return found


def _value(row: Row) -> float | None:
    """Return what a metric was on a day: its units' sum, or the ratio."""
    value: float | None = row["ratio"] if row["kind"] == "ratio" else row["sum"]
    return value


def _series(rows: Sequence[Row]) -> list[float | None]:
    """Return the values of the 14 days up to the metric's last one."""
    last = rows[-1]["date"]
    values = {row["date"]: _value(row) for row in rows}
    return [values.get(last - dt.timedelta(days=ago)) for ago in reversed(range(SERIES_DAYS))]


def sparkline(values: Sequence[float | None]) -> str:
    """Return values as a line of bars, from the least to the greatest; a blank where there is none."""
    known = [value for value in values if value is not None]
    low, high = min(known, default=0.0), max(known, default=0.0)
    steps = len(BARS) - 1
    height = (high - low) or 1.0
    return "".join(" " if value is None else BARS[round((value - low) / height * steps)] for value in values)


def _print_catalog(found: Mapping[Name, Sequence[Row]], *, json: bool) -> None:
    kinds: dict[tuple[str, str, str], list[str]] = {}
    for feed, customer, metric, id_type in found:
        kinds.setdefault((feed, customer, metric), []).append(id_type)
    lines = [
        {
            "metric": metric,
            "feed": feed,
            "customer": customer,
            "id_type": id_type,
            "id_types": kinds[feed, customer, metric],
            "kind": rows[-1]["kind"],
            "first_day": rows[0]["date"].isoformat(),
            "last_day": rows[-1]["date"].isoformat(),
            "last_value": _value(rows[-1]),
            "series": _series(rows),
        }
        for (feed, customer, metric, id_type), rows in found.items()
    ]
    if json:
        print_json(lines)
        return
    titles = ("metric", "kind", "id type", "customer", "first day", "last day")
    columns = [Column(title=title) for title in titles]
    columns += [Column(title="last value", right=True), Column(title=f"{SERIES_DAYS} days")]
    print_table(columns, [_catalog_cells(line) for line in lines])
    if not lines:
        say("", NONE_YET)


def _catalog_cells(line: Mapping[str, Any]) -> Sequence[str]:
    names = ("metric", "kind", "id_type", "customer", "first_day", "last_day")
    return [*(line[name] for name in names), _figure(line["last_value"]), sparkline(line["series"])]


def _figure(value: float | None) -> str:
    return "" if value is None else f"{value:,.6g}" if abs(value) < 1e6 else f"{value:,.0f}"  # noqa: PLR2004


def _print_one(found: Sequence[Row], name: str, rows: Sequence[Row], json: bool) -> None:
    if not found:
        names = {row["metric_name"] for row in _newest(rows)}
        hint = did_you_mean(name, sorted(names)) or "blobdrop metrics lists what there is"
        if any(row["metric_name"] == name for row in rows):
            hint = f"it is gone; its former versions: blobdrop metrics {name!r} --versions"
        raise NotFoundError(f"no closed day has a metric {name!r}: {hint}")
    if json:
        print_json([{key: _plain(value) for key, value in row.items()} for row in found])
        return
    for (feed, customer, metric, id_type), days in _by_name(found).items():
        kind = next((row["kind"] for row in reversed(days) if row["kind"] != GONE), GONE)
        say(f"{metric}: {kind} metric by {id_type}, {customer}/{feed}  {sparkline(_series(days))}")
        figures = ("rows", "units", "sum", "mean", "min", "max", "stddev", "p50", "p95", "ratio")
        columns = [Column(title="day"), *(Column(title=title, right=True) for title in ("version", *figures))]
        print_table(columns, [_day_cells(row, figures) for row in days])
        say("")


def _day_cells(row: Row, figures: Sequence[str]) -> Sequence[str | int]:
    cells = (row[figure] for figure in figures)
    shown = [cell if isinstance(cell, int) else _figure(cell) for cell in cells]
    if row["kind"] == GONE:
        shown = [GONE, *[""] * (len(figures) - 1)]
    return [row["date"].isoformat(), row["version"], *shown]


def _plain(value: Any) -> Any:
    return value.isoformat() if isinstance(value, dt.date) else value
