"""How drops are bundled into units of work. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from daemon.model import Drop

#: Small drops of one unit: at most so many, and so many bytes together. Large enough that a check's fixed cost and a
#: data file's are shared, small enough that both cores have work and a reader waits for one commit only.
UNIT_DROPS = 256
UNIT_BYTES = 16 * 1024**2


def bundles(drops: Sequence[Drop], processes: int) -> Iterator[Sequence[Drop]]:
    """Yield groups of drops that make a unit each: large ones alone, small ones together, spread over the workers."""
    bundle: list[Drop] = []
    size = 0
    most = max(1, min(UNIT_DROPS, -(-len(drops) // processes)))
    for drop in drops:
        if bundle and (len(bundle) >= most or size + drop.found.size > UNIT_BYTES):
            yield bundle
            bundle, size = [], 0
        bundle.append(drop)
        size += drop.found.size
    if bundle:
        yield bundle
