"""A place with drops, tables, quarantine and ledger as a daemon left them, for commands called as functions."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog

from tests.corpus import text
from tests.unit.daemon.conftest import Rig, dirty, good, killed

FILE = """
[source]
url = "drops"
settle_seconds = 0.0
[store]
url = "tables"
[quarantine]
url = "quarantine"
[ledger]
url = "sqlite:///ledger.db"
[[feeds]]
name = "metrics"
paths = ["metrics/**", "{customer}/metrics/**"]
contract = "validators.metrics:precomputed_metrics"
"""


#: What the worker of failed.csv wrote before it was lost.
LAST_WORDS = """Fatal Python error: Aborted
Current thread 0x1 (most recent call first):
  File "orders.py", line 7 in endless
  File "orders.py", line 9 in check
  File "pandera.py", line 1 in call
  File "prepare.py", line 2 in prepare"""


class Place:
    """The folder of one installation, and what its commands print."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.folder = folder
        self.config = folder / "blobdrop.toml"
        self.config.write_text(FILE)
        self._capsys = capsys

    def out(self) -> str:
        """Return what was printed since the last look."""
        return self._capsys.readouterr().out

    def json(self) -> Any:
        return json.loads(self.out())

    def file(self, name: str, data: bytes) -> Path:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        return path


@pytest.fixture
def place(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    """An installation in which nothing has happened yet; the current folder is its own."""
    handlers = list(logging.getLogger().handlers)
    for name in [name for name in os.environ if name.startswith("BLOBDROP_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    yield Place(tmp_path, capsys)
    # A command has logs written to what was stderr in this test.
    structlog.reset_defaults()
    logging.getLogger().handlers[:] = handlers


@pytest.fixture
def worked(place: Place, rig: Rig) -> Place:
    """An installation that has a good drop, a partial one, a rejected one, a failed one and one of no feed."""
    rig.take_in(good=good(5), partial=dirty(), rejected=b"nothing,of,ours\n1,2,3\n" + text.rows(1)[0])
    rig.source.put("elsewhere.csv", b"")
    rig.loop.run_once()
    rig.workers.hold = True
    for _ in range(3):
        rig.ingest.claim(rig.put(failed=good(7, "f")) if not rig.events("drop.retried") else rig.intake.look().drops)
        rig.ingest.pump()
        rig.workers.lose(killed(log=LAST_WORDS))
        rig.ingest.collect()
        rig.clock.now += 1_000
    rig.close()
    place.out()
    return place
