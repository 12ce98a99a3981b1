"""A daemon with a feed of orders whose contract can be mended, and short ways to decide on its drops."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

from daemon.decisions import Action, Decision
from daemon.ledger import DropRow
from daemon.model import Drop
from daemon.quarantine.entries import REJECTED
from tests.acceptance.orders import BAD, CONTRACT, GOOD, HEADER
from tests.unit.daemon.conftest import METRICS, Rig

STRICT = '"DE", "FR"'
MENDED = '"DE", "FR", "US"'
MIXED = (HEADER + GOOD + BAD).encode()


def orders(*records: str) -> bytes:
    """Return a file with these records."""
    return (HEADER + "".join(f"{record}\n" for record in records)).encode()


class Desk:
    """A daemon, and a person who decides."""

    def __init__(self, folder: Path, **feed: Any) -> None:
        self._folder, self._contracts = folder, 0
        made = replace(METRICS, contract="", base=folder, **feed)
        self.rig = Rig(folder, feed=replace(made, contract=self._contract(STRICT)))

    def _contract(self, countries: str) -> str:
        # Under a new name each time: contracts are loaded once in a process.
        self._contracts += 1
        name = f"orders{self._contracts}.py"
        (self._folder / name).write_text(CONTRACT.format(countries=countries))
        return f"{name}:Orders"

    def judge_by(self, countries: str = MENDED, **feed: Any) -> None:
        """Start again with another contract."""
        self.rig.close()
        self.rig.feed = replace(self.rig.feed, contract=self._contract(countries), **feed)
        self.rig.start()
        self.rig.ingest.recover()

    def restart_after_crash(self) -> None:
        """Start again as after a kill."""
        self.rig.crash()
        self.rig.start()
        self.rig.ingest.recover()

    def take_in(self, name: str, data: bytes) -> Drop:
        """Drop a file and have it worked to its end."""
        drop = self.put(name, data)
        self.rig.ingest.claim([drop])
        self.rig.turn()
        return drop

    def put(self, name: str, data: bytes) -> Drop:
        """Drop a file; return what intake finds."""
        self.rig.source.put(f"metrics/{name}", data, modified=self.rig.clock.now)
        self.rig.clock.now += 1.0
        (drop,) = self.rig.intake.look().drops
        return drop

    def leave(self, drop: Drop, action: Action = Action.RELEASE, *rules: str, reason: str = "") -> None:
        """Leave a decision in the ledger, as a command does."""
        decision = Decision(
            drop_id=drop.id, action=action, rules=rules, reason=reason, by="tester", at=self.rig.clock.now
        )
        assert len(self.rig.ledger.decisions.add([decision])) == 1

    def carry_out(self, turns: int = 1) -> None:
        """Have the loop take up what was decided, and bring it to its end."""
        for _ in range(turns):
            self.rig.ingest.decide()
            self.rig.turn()

    def decide(self, drop: Drop, action: Action = Action.RELEASE, *rules: str) -> Decision:
        """Leave a decision and have it carried out; return it at its end."""
        self.leave(drop, action, *rules)
        self.carry_out()
        return self.decisions(drop)[-1]

    def decisions(self, drop: Drop) -> tuple[Decision, ...]:
        return self.rig.ledger.decisions.of([drop.id]).get(drop.id, ())

    def row(self, drop: Drop) -> DropRow:
        return self.rig.ledger.drop(drop.id)

    def counts(self, drop: Drop) -> tuple[str, int, int, int]:
        """Return a drop's state and rows, after a look at whether all of them are where they are said to be."""
        row = self.row(drop)
        in_table = self.rig.rows().get(drop.id, 0)
        assert in_table == (0 if row.superseded_by else row.rows.accepted)
        if row.state == "partial":
            assert len(self.kept(drop)) == row.rows.rejected
        return str(row.state), row.rows.read, row.rows.accepted, row.rows.rejected

    def entry(self, drop: Drop) -> Path:
        return Path(self.rig.quarantine.folder(drop.customer, drop.feed, drop.id))

    def kept(self, drop: Drop) -> list[str]:
        """Return the lines of a drop's rejected.csv below its header."""
        path = self.entry(drop) / REJECTED
        return path.read_text(encoding="utf-8-sig").splitlines()[1:] if path.exists() else []

    def table(self, *columns: str) -> list[tuple[Any, ...]]:
        """Return these columns of the table's rows, in the order of the first."""
        if not self.rig.store.exists("metrics"):
            return []
        rows: Iterable[dict[str, Any]] = self.rig.store.read("metrics").to_pylist()
        return sorted((tuple(row.get(name) for name in columns) for row in rows), key=lambda row: str(row[0]))

    def names(self) -> list[str]:
        """Return the orders in the table whose names are no numbers."""
        return [name for (name,) in self.table("order_id") if not name.isdigit()]
