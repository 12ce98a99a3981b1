"""What a table says of itself, for whoever has lost the ledger: whose rows it holds, and who has written it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from daemon.model import Held
from daemon.stores.rewriting import Live

#: What is read of a table's rows.
COLUMNS = ("_drop", "customer", "_ingested_at")


def held_in(root: Path, files: Sequence[Live]) -> tuple[Held, ...]:
    """Count the rows of each drop in these data files. Files are read one by one, and three of their columns."""
    return held_of((file.day, table) for file in files for table in _tables(file.place(root)))


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


def writers(root: Path) -> list[str]:
    """Return under which names batches were committed to the table, the newest last; nothing without a table.

    Read from the log, since the library tells only of names that it is asked for.
    """
    log = root / "_delta_log"
    checkpoints = sorted(log.glob("*.checkpoint*.parquet"))
    newest = checkpoints[-1].name.partition(".")[0] if checkpoints else ""
    names: dict[str, None] = {}
    for name in _names(log, newest):
        names.pop(name, None)
        names[name] = None
    return list(names)


def _names(log: Path, checkpoint: str) -> Iterator[str]:
    for path in sorted(log.glob(f"{checkpoint}.checkpoint*.parquet")) if checkpoint else ():
        found = pq.read_table(path, columns=["txn"])["txn"].drop_null().to_pylist()
        yield from (one["appId"] for one in sorted(found, key=lambda one: one["version"]) if one["appId"])
    for path in sorted(path for path in log.glob("*.json") if path.stem > checkpoint):
        actions: list[dict[str, Any]] = [json.loads(line) for line in path.read_text("utf-8").splitlines() if line]
        yield from (action["txn"]["appId"] for action in actions if "txn" in action)


def _tables(path: Path) -> Iterator[pa.Table]:
    with pq.ParquetFile(path) as file:
        present = [name for name in COLUMNS if name in file.schema_arrow.names]
        for group in range(file.num_row_groups):
            yield file.read_row_group(group, columns=present)


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
