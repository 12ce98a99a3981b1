"""A Delta store, and rows for it."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from daemon.model import Batch
from daemon.places.folder import FolderPlace
from daemon.staging import Stage
from daemon.stores.delta import DeltaStore
from daemon.stores.transactions import Change, Mark, Table

FEED = "metrics"


class Tables:
    """A store with short ways to fill it."""

    def __init__(self, url: Path) -> None:
        self.url = url
        self.store = DeltaStore(FolderPlace(url), app="blobdrop")
        self.root = Path(self.store.describe(FEED))
        self.number = self.store.last_batch(FEED)

    def batch(self, *drops: str, count: int = 2, days: Sequence[str] = ("2026-03-01",), **options: Any) -> Batch:
        """Stage `count` rows of each drop in one file a day, as the next batch."""
        self.number += 1
        owners = [drop for drop in drops for _ in range(count)]
        table = pa.table(
            {
                "value": pa.array([0.5] * len(owners), pa.float64()),
                "_drop": pa.array(owners, pa.string()),
                "_row": pa.array(list(range(1, count + 1)) * len(drops), pa.int64()),
            }
        )
        dates = [dt.date.fromisoformat(days[number % len(days)]) for number in range(len(owners))]
        with Stage(self.store.place(FEED), f"unit{self.number}") as stage:
            stage.add(table, pa.array(dates, pa.date32()))
            files = stage.finish()
        return Batch(number=self.number, feed=FEED, outcomes=(), files=files, **options)

    def commit(self, *drops: str, **options: Any) -> Batch:
        """Stage and commit the next batch."""
        batch = self.batch(*drops, **options)
        self.store.commit(batch, self.schema)
        return batch

    def late(self, happens: Callable[[], object]) -> Table:
        """Open the table once more, with `happens` called just before each change by that handle."""
        table = Late.open(self.store.place(FEED))
        assert table is not None
        table.happens = happens
        return table

    @property
    def schema(self) -> pa.Schema:
        fields: list[tuple[str, pa.DataType]] = [
            ("value", pa.float64()),
            ("_drop", pa.string()),
            ("_row", pa.int64()),
        ]
        return pa.schema(fields)

    def drops(self) -> list[str]:
        """Return the drop of every row, in order."""
        return sorted(row["_drop"] for row in self.store.read(FEED).to_pylist())


class Late(Table):
    """A table in which something else happens just before each change."""

    happens: Callable[[], object]

    def change(self, change: Change, mark: Mark | None) -> bool:
        self.happens()
        return super().change(change, mark)


@pytest.fixture
def tables(tmp_path: Path) -> Tables:
    return Tables(tmp_path / "tables")
