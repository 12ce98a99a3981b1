"""`blobdrop compact`: what it merged, feed by feed."""

from __future__ import annotations

from pathlib import Path

import pytest

from daemon.commands import compacting
from daemon.errors import NotFoundError
from tests.unit.daemon.commands.conftest import Place
from tests.unit.daemon.conftest import Rig, good


def test_small_files_are_merged_and_the_rows_stay(place: Place, rig: Rig) -> None:
    for name in ("a", "b"):
        rig.take_in(**{name: good(3, name)})
    before = rig.rows()
    assert compacting.compact(place.config, feed=None, json=True) == 0
    (found,) = place.json()
    assert (found["feed"], found["merged"], Path(found["table"])) == ("metrics", 2, place.folder / "tables" / "metrics")
    assert rig.rows() == before
    compacting.compact(place.config, feed="metrics", json=True)
    assert place.json()[0]["merged"] == 0


def test_a_feed_without_a_table_has_nothing_to_merge(place: Place) -> None:
    assert compacting.compact(place.config, feed=None, json=True) == 0
    assert place.json()[0]["merged"] is None
    assert compacting.compact(place.config, feed=None, json=False) == 0
    assert not (place.folder / "tables").exists()


def test_a_feed_that_is_not_there_is_told_with_what_was_meant(place: Place) -> None:
    with pytest.raises(NotFoundError, match="did you mean 'metrics'"):
        compacting.compact(place.config, feed="metrisc", json=False)
