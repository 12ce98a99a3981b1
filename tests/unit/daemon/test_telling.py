"""What a log line says of a drop, and what it keeps to itself."""

from __future__ import annotations

import pytest

from daemon.model import Outcome, Rows, State
from daemon.telling import discreet, result


@pytest.mark.parametrize(
    ("reason", "told"),
    [
        ("it took longer than workers.timeout_seconds = 900", "it took longer than workers.timeout_seconds = 900"),
        ("it begins with 'a secret'", "it begins with '…'"),
        ('it begins with "it\'s"', "it begins with '…'"),
        (r"found 'it\'s' here", "found '…' here"),
        ("the worker's last word", "the worker's last word"),
        ("the column 'unit_id' is missing; there is 'x'", "the column 'unit_id' is missing; there is '…'"),
        ("the rule 'small' raised ValueError: no\n13", "the rule 'small' raised ValueError"),
    ],
)
def test_a_reason_goes_without_what_may_come_from_cells(reason: str, told: str) -> None:
    assert discreet(reason, {"unit_id"}) == told


def test_a_drop_has_its_batch_where_it_came_into_the_table() -> None:
    outcome = Outcome(drop_id="a", state=State.PARTIAL, rows=Rows(read=3, accepted=2, rejected=1), finished_at=0.5)
    assert result(outcome, 7) == {"rows": 3, "accepted": 2, "rejected": 1, "batch": 7, "seconds": 0.5}
    assert "batch" not in result(outcome)


def test_names_of_broken_rules_and_columns_stay() -> None:
    outcome = Outcome(drop_id="a", state=State.REJECTED, reason="no 'day', but 'dya'", rules=(("missing", "day", 1),))
    assert result(outcome)["reason"] == "no 'day', but '…'"
