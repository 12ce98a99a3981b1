"""A world in the cloud: drops, tables and quarantine are in containers, and looked at in a copy of them."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import unquote

from daemon.ledger.rows import DropRow
from daemon.model import METRIC_DAYS
from tests.acceptance.crashing import World
from tests.azurite.running import Container

#: What is below the second container.
TABLES, QUARANTINE = "tables", "set aside"


@dataclass(kw_only=True)
class Cloud(World):
    """A world whose drops are in one container, and tables and quarantine in another."""

    source: Container
    lake: Container

    def __post_init__(self) -> None:
        super().__post_init__()
        name = self.lake.client.container_name
        self.settings |= self.source.environment | {
            "BLOBDROP_STORE__URL": f"az://{name}/{TABLES}",
            "BLOBDROP_QUARANTINE__URL": f"az://{name}/{QUARANTINE}",
        }

    @property
    def copy(self) -> Path:
        """Where tables and quarantine are copied to."""
        return self.folder / "var"

    @property
    def store(self) -> Path:
        return self.copy / TABLES

    def look(self) -> None:
        """Copy tables and quarantine as they are now."""
        for name in (TABLES, "quarantine"):
            shutil.rmtree(self.copy / name, ignore_errors=True)
        for name in self.lake.names():
            path = self.copy / name.replace(QUARANTINE, "quarantine")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(self.lake.get(name))

    def drops(self) -> tuple[DropRow, ...]:
        return tuple(
            replace(drop, report=str(self.copy_of(drop.report))) if drop.report else drop for drop in super().drops()
        )

    def _tables(self) -> list[Path]:
        return [root for root in super()._tables() if root.name != METRIC_DAYS]

    def copy_of(self, report: str) -> Path:
        """Return where the copy of an entry is whose URL the ledger has."""
        return Path(self.copy, "quarantine", *map(unquote, report.rsplit("/", 3)[1:]))
