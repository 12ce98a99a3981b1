"""The real thing on real files: source, prepare, a commit to a Delta table, quarantine. And what came of each drop."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pyarrow as pa

from daemon.cabinets.folder import FolderCabinet
from daemon.contracts import contract_of, policy_of
from daemon.model import Batch, Drop, Feed, Late, Limits, OnDuplicate, Outcome, Prepared, Setup, Unit
from daemon.places.folder import FolderPlace
from daemon.prepare import prepare
from daemon.quarantine import Quarantine
from daemon.sources.folder import FolderSource
from daemon.stores.delta import DeltaStore
from tests.properties.generating import source_of
from tests.properties.reference import Contract as Spec
from validators.contract import Contract
from validators.judging import Policy
from validators.model import Dialect

FEED = "rows"
NOW = 1_770_000_000.0


@dataclass(frozen=True, kw_only=True)
class Came:
    """What came of one drop."""

    outcome: Outcome
    #: Row number -> the row as the table has it.
    rows: Mapping[int, Mapping[str, Any]]
    #: report.json; None where there is none.
    report: dict[str, Any] | None
    #: Text of rejected.csv; None where there is none.
    rejected: str | None


@dataclass
class World:
    """A feed with its folders; prepared units wait for one commit."""

    root: Path
    spec: Spec
    dialect: Dialect
    prepared: list[Prepared] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Write the contract as a file of its author's."""
        (self.root / "contract.py").write_text(source_of(self.spec), encoding="utf-8")
        self.feed = Feed(
            name=FEED,
            paths=("**",),
            contract="contract.py:schema",
            base=self.root,
            time_column=self.spec.time_column or None,
            timezone=self.spec.zone,
            max_rejected_ratio=self.spec.max_rejected_ratio,
            late=Late.QUARANTINE if self.spec.refuses_late else Late.ACCEPT,
            duplicates=OnDuplicate.INGEST,
            dialect=self.dialect,
        )
        self.source = FolderSource(self.root / "drops", settle_seconds=0.0)
        self.store = DeltaStore(FolderPlace(self.root / "tables"), app="test")

    @property
    def contract(self) -> Contract:
        """The contract as the program has it."""
        return contract_of(self.feed)

    @property
    def policy(self) -> Policy:
        """What the feed wants of a verdict."""
        return replace(policy_of(self.feed), watermark=self.watermark)

    @property
    def watermark(self) -> int | None:
        """Of the scope of all drops, unix seconds."""
        return None if self.spec.watermark is None else int(self.spec.watermark.timestamp())

    def drop(self, name: str, content: bytes) -> Path:
        """Drop a file."""
        path = self.root / "drops" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        return path

    def work(self, units: Iterable[Sequence[str]], limits: Limits) -> dict[str, str]:
        """Work dropped files, unit by unit; return their drops' ids by name."""
        found = {each.name: each for each in self.source.list()}
        setup = Setup(
            source=self.source,
            table=self.store.place(FEED),
            quarantine=Quarantine(FolderCabinet(self.root / "quarantine")),
            limits=limits,
            now=NOW,
        )
        ids = {}
        for names in units:
            drops = [
                Drop(
                    id=found[name].drop_id,
                    found=found[name],
                    feed=FEED,
                    customer=name.split("/")[0],
                    watermark=self.watermark,
                )
                for name in names
            ]
            ids.update({drop.found.name: drop.id for drop in drops})
            unit = Unit(id=f"u{len(self.prepared)}", feed=FEED, drops=tuple(drops))
            self.prepared.append(prepare(unit, self.feed, setup))
        return ids

    def commit(self) -> dict[str, Came]:
        """Make all that was prepared part of the table, in one transaction, and read everything back."""
        outcomes = [outcome for each in self.prepared for outcome in each.outcomes]
        files = tuple(file for each in self.prepared for file in each.files)
        schemas = [each.schema for each in self.prepared if each.schema is not None]
        number = self.store.last_batch(FEED) + 1 if files else 0
        if files:
            batch = Batch(number=number, feed=FEED, outcomes=tuple(outcomes), files=files)
            self.store.commit(batch, pa.unify_schemas(schemas))
        self.prepared.clear()
        rows = self.store.read(FEED).to_pylist() if self.store.exists(FEED) else []
        return {outcome.drop_id: _came(outcome, rows) for outcome in outcomes}


def _came(outcome: Outcome, rows: Sequence[Mapping[str, Any]]) -> Came:
    own = [row for row in rows if row["_drop"] == outcome.drop_id]
    numbered = {row["_row"]: row for row in own}
    assert len(numbered) == len(own), "a row is in the table twice"
    folder = Path(outcome.report) if outcome.report else None
    report = json.loads((folder / "report.json").read_bytes()) if folder else None
    path = folder / "rejected.csv" if folder else None
    rejected = path.read_bytes().decode("utf-8-sig") if path and path.exists() else None
    return Came(outcome=outcome, rows=numbered, report=report, rejected=rejected)


def limits(batch_rows: int) -> Limits:
    """Return limits with batches of so many rows."""
    return replace(Limits(), batch_rows=batch_rows)
