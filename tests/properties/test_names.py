"""Names and bytes by chance: copied, corrected or swapped, the table has the rows of all that names stand for, once."""

from __future__ import annotations

import os
import random
import tempfile
from collections import Counter
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from daemon.ingest import LINGER_SECONDS
from daemon.stores.memory import MemoryStore
from tests.corpus import text
from tests.unit.daemon.conftest import Rig

#: More of them find rarer faults: PROPERTY_EXAMPLES=2000 python -m pytest tests/properties
EXAMPLES = int(os.environ.get("PROPERTY_EXAMPLES", "10"))
NAMES = ("a", "b", "c", "d")
#: What a file may hold: rows that no other one has. Of the third a row is set aside, of the last all of them.
CONTENTS = {
    "k": text.good(2, "k"),
    "l": text.good(3, "l"),
    "m": text.with_record(b"x,user_id,revenue,2026-03-01,lots\n", 4, "m"),
    "rejected": text.HEADER + b"x,user_id,revenue,2026-03-01,lots\n",
}
ROWS = {"k": 2, "l": 3, "m": 9}

#: Files that are dropped before the next listing, and which of them are worked apart from the others.
turns = st.lists(
    st.tuples(
        st.dictionaries(st.sampled_from(NAMES), st.sampled_from(sorted(CONTENTS)), min_size=1), st.integers(0, 2**32)
    ),
    min_size=1,
    max_size=6,
)


@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(turns)
def test_the_table_has_what_names_stand_for_each_once(turns: list[tuple[dict[str, str], int]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        rig = Rig(Path(folder), store_of=lambda place, _app: MemoryStore(place.url))
        stands: dict[str, str] = {}
        for files, seed in turns:
            dropped(rig, files, random.Random(seed))  # noqa: S311 - an order, no secret
            stands |= {name: content for name, content in files.items() if content != "rejected"}
            assert brought(rig) == {content: ROWS[content] for content in stands.values()}
            assert not rig.ingest.busy
        rig.close()


def dropped(rig: Rig, files: dict[str, str], chance: random.Random) -> None:
    """Have files dropped at once and worked to their end, in an order that chance chooses."""
    rig.workers.hold = True
    drops = list(rig.put(**{name: CONTENTS[content] for name, content in files.items()}))
    chance.shuffle(drops)
    while drops:
        count = chance.randint(1, len(drops))
        rig.ingest.claim(drops[:count])
        rig.ingest.pump()
        del drops[:count]
        if chance.random() < 0.5:
            settle(rig, 1)
    while rig.ingest.busy:
        settle(rig, chance.randint(1, 3))


def settle(rig: Rig, units: int) -> None:
    rig.workers.work(units)
    rig.clock.now += LINGER_SECONDS
    rig.ingest.collect()
    rig.ingest.pump()


def brought(rig: Rig) -> dict[str, int]:
    """Return how many rows of each content are in the table."""
    if not rig.store.exists("metrics"):
        return {}
    return Counter(unit[0] for unit in rig.store.read("metrics")["unit_id"].to_pylist())
