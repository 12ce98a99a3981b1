"""What `run --once` counts."""

from __future__ import annotations

from daemon.model import Drop, Found, Outcome, Rows, State
from daemon.tally import NAMED, Tally

FOUND = Found(uri="file:///d/a.csv", name="a.csv", version="1", size=3, modified=1.0)
DROP = Drop(id=FOUND.drop_id, found=FOUND, feed="metrics", customer="acme")


def outcome(state: State, rows: Rows | None = None, reason: str = "") -> Outcome:
    return Outcome(drop_id=DROP.id, state=state, rows=rows or Rows(), reason=reason, report="/q" if reason else "")


def test_drops_are_counted_by_state_and_rows_by_where_they_went() -> None:
    tally = Tally()
    tally.ended(DROP, outcome(State.INGESTED, Rows(read=3, accepted=3)))
    tally.ended(DROP, outcome(State.PARTIAL, Rows(read=5, accepted=4, rejected=1)))
    tally.ended(DROP, outcome(State.DUPLICATE))
    tally.unmatched(FOUND)

    assert tally.drops == {State.INGESTED: 1, State.PARTIAL: 1, State.DUPLICATE: 1, State.UNMATCHED: 1}
    assert tally.rows == Rows(read=8, accepted=7, rejected=1)
    assert tally.done == 4
    assert tally.feeds == {"metrics"}


def test_what_somebody_has_to_look_at_is_named_with_its_reason() -> None:
    tally = Tally()
    tally.ended(DROP, outcome(State.INGESTED, Rows(read=1, accepted=1)))
    tally.ended(DROP, outcome(State.REJECTED, reason="it is empty"))
    tally.unmatched(FOUND)

    assert [(one.state, one.reason, one.report) for one in tally.troubled] == [
        (State.REJECTED, "it is empty", "/q"),
        (State.UNMATCHED, "", ""),
    ]


def test_only_the_first_are_named_and_all_are_counted() -> None:
    tally = Tally()
    for _ in range(NAMED + 5):
        tally.ended(DROP, outcome(State.FAILED, reason="no"))

    assert len(tally.troubled) == NAMED
    assert tally.drops[State.FAILED] == NAMED + 5
