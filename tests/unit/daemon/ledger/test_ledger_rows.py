"""Values become columns and come back with nothing lost."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.ledger.rows import iso, outcome_from, packed, printable, storable
from daemon.model import Outcome, Rows, State

if TYPE_CHECKING:
    from tests.unit.daemon.ledger.conftest import World

ANY_TEXT = st.text(st.characters())


@given(ANY_TEXT)
def test_any_name_becomes_one_line_that_can_be_stored(name: str) -> None:
    assert printable(name).isprintable()
    assert printable(name).encode().decode() == printable(name)
    assert "\0" not in storable(name)
    assert storable(name).encode().decode() == storable(name)


@given(
    st.builds(
        Outcome,
        drop_id=st.text("0123456789abcdef", min_size=16, max_size=16),
        state=st.sampled_from(State),
        rows=st.builds(Rows, read=st.integers(0, 2**62), accepted=st.integers(0), rejected=st.integers(0)),
        rules=st.lists(st.tuples(ANY_TEXT, ANY_TEXT, st.integers(0))).map(tuple),
        reason=ANY_TEXT,
        report=ANY_TEXT,
        started_at=st.floats(0, 1e11),
    )
)
def test_an_outcome_survives_json(outcome: Outcome) -> None:
    assert outcome_from(json.loads(json.dumps(packed(outcome)))) == outcome


@pytest.mark.parametrize(
    "name",
    ["a b.csv", "ümlaut/😀.csv", "not-utf8-\udcff.csv", "two\nlines\t.csv", 'quo"te\\s.csv', "nul\0.csv", "\x1b[2J"],
)
def test_a_name_comes_back_exactly_and_is_shown_in_one_line(world: World, name: str) -> None:
    (drop,) = world.claim(name)
    world.ledger.give_back([drop.id], world.now())

    (waiting,) = world.ledger.waiting()
    row = world.ledger.drop(drop.id)

    assert waiting.drop.found == drop.found == row.found
    assert row.name.isprintable()
    assert world.ledger.drop(name).id == drop.id
    assert [found.id for found in world.ledger.history(name)] == [drop.id]
    json.dumps(row.to_json()).encode()


def test_reasons_reports_and_customers_with_undecodable_bytes_are_kept_readable(world: World) -> None:
    drop = world.finish("a.csv", customer="a\udcff", reason="cannot read \udcff\0", report="/q/\udcff")

    row = world.ledger.drop(drop.id)

    assert (row.customer, row.reason, row.report) == ("a\\udcff", "cannot read \\udcff\\x00", "/q/\\udcff")


def test_a_row_as_json_has_times_in_utc_and_rows_and_rules_by_name(world: World) -> None:
    drop = world.ingest("a.csv", state=State.PARTIAL, rules=(("range", "value", 1),), started_at=1_772_366_400.25)

    shown = json.loads(json.dumps(world.ledger.drop(drop.id).to_json()))

    assert shown["state"] == "partial"
    assert shown["rows"] == {"read": 10, "accepted": 9, "rejected": 1}
    assert shown["rules"] == [{"rule": "range", "column": "value", "count": 1}]
    assert shown["started_at"] == "2026-03-01T12:00:00.250+00:00"
    assert shown["settled_at"] is None
    assert shown["batch"] == 1


def test_an_event_as_json_says_what_happened(world: World) -> None:
    (drop,) = world.claim("a.csv")

    (event,) = world.ledger.events(drop.id)

    shown = json.loads(json.dumps(event.to_json()))
    assert shown["at"] == iso(world.clock)
    assert (shown["kind"], shown["state"], shown["attempt"]) == ("claimed", "working", 1)
