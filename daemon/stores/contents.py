"""What a table says of itself, for whoever has lost the ledger: whose rows it holds, and who has written it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from daemon.model import Held
from daemon.places import Place
from daemon.stores.rewriting import Live
from daemon.stores.transactions import LOG

#: What is read of a table's rows.
COLUMNS = ("_drop", "customer", "_ingested_at")


def held_in(place: Place, files: Sequence[Live]) -> tuple[Held, ...]:
    """Count the rows of each drop in these data files. Files are read one by one, and three of their columns."""
    return held_of((file.day, table) for file in files for table in _tables(place, file))


def held_of(tables: Iterable[tuple[str, pa.Table]]) -> tuple[Held, ...]:
    """Count the rows of each drop in these tables, each of one ISO day, by drop id."""
    known: dict[str, Held] = {}
    for day, table in tables:
        for held in _counted(table):
            before = known.get(held.drop_id, replace(held, rows=0))
            rows, at = before.rows + held.rows, min(held.at, before.at)
            days = {**before.days, day: before.days.get(day, 0) + held.rows}
            known[held.drop_id] = replace(held, rows=rows, at=at, days=days)
    return tuple(known[drop_id] for drop_id in sorted(known))


def writers(place: Place) -> list[str]:
    """Return under which names batches were committed to the table, the newest last; nothing without a table.

    Read from the log, since the library tells only of names that it is asked for.
    """
    log = sorted(file.path for file in place.list(f"{LOG}/"))
    checkpoints = [path for path in log if ".checkpoint" in path and path.endswith(".parquet")]
    newest = checkpoints[-1].partition(".")[0] if checkpoints else ""
    names: dict[str, None] = {}
    for name in _names(place, log, newest):
        names.pop(name, None)
        names[name] = None
    return list(names)


def _names(place: Place, log: Sequence[str], checkpoint: str) -> Iterator[str]:
    """Yield who has committed: by the newest checkpoint, whose paths begin so, and the entries after it."""
    for path in (path for path in log if checkpoint and path.startswith(f"{checkpoint}.checkpoint")):
        table = pq.read_table(pa.BufferReader(place.read(path)), columns=["txn"])
        found = table["txn"].drop_null().to_pylist()
        yield from (one["appId"] for one in sorted(found, key=lambda one: one["version"]) if one["appId"])
    for path in (path for path in log if path.endswith(".json") and path.removesuffix(".json") > checkpoint):
        lines = place.read(path).decode().splitlines()
        actions: list[dict[str, Any]] = [json.loads(line) for line in lines if line]
        yield from (action["txn"]["appId"] for action in actions if "txn" in action)


def _tables(place: Place, file: Live) -> Iterator[pa.Table]:
    with place.near([file.place]) as (path,), pq.ParquetFile(path) as opened:
        present = [name for name in COLUMNS if name in opened.schema_arrow.names]
        for group in range(opened.num_row_groups):
            yield opened.read_row_group(group, columns=present)


def _counted(table: pa.Table) -> Iterator[Held]:
    if "_drop" not in table.column_names:  # rows that another program has written
        return
    present = [name for name in COLUMNS[1:] if name in table.column_names]
    grouped = table.group_by("_drop").aggregate([("_drop", "count"), *((name, "min") for name in present)])
    for row in grouped.to_pylist():
        if row["_drop"] is not None:
            at = row.get("_ingested_at_min")
            yield Held(
                drop_id=row["_drop"],
                customer=row.get("customer_min") or "",
                rows=row["_drop_count"],
                at=at.timestamp() if at else 0.0,
            )
