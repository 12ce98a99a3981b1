"""Notes in the log what is odd about a source: only the daemon's own process does."""

from __future__ import annotations

import importlib


def note(event: str, **fields: object) -> None:
    """Log a warning: the event's name, and what is known of it."""
    # Workers are given the source and never come here: structlog would cost each of them 60 ms.
    importlib.import_module("structlog").get_logger().warning(event, **fields)
