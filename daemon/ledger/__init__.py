"""The ledger: what has happened to every drop. State and history in one small database beside the tables."""

from __future__ import annotations

from daemon.ledger.decisions import Decisions
from daemon.ledger.hold import Hold, Holder
from daemon.ledger.records import Ledger
from daemon.ledger.rows import DropRow, Event, FeedSummary, Kind, Waiting

__all__ = ["Decisions", "DropRow", "Event", "FeedSummary", "Hold", "Holder", "Kind", "Ledger", "Waiting"]
