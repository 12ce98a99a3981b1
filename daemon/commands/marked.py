"""Markers that somebody has to do something about."""

from __future__ import annotations

from collections.abc import Sequence

from daemon.ledger import Ledger
from daemon.ledger.markers import Marker
from daemon.markers import Standing


def refused(ledger: Ledger, limit: int) -> Sequence[Marker]:
    """Return the newest markers that were refused, or wait for days, and that no later one has made up for."""
    marks = ledger.markers.newest(limit)
    good = {marker.scope: marker.id for marker in reversed(marks) if marker.standing is Standing.APPLIED}
    asking = (marker for marker in marks if marker.standing.refused or marker.standing is Standing.GAP)
    return [marker for marker in asking if good.get(marker.scope, 0) < marker.id]
