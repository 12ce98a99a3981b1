"""Did you mean."""

from __future__ import annotations

import pytest

from validators.suggest import did_you_mean, suggest

ALLOWED = ["user_id", "stable_id", "companyID"]


@pytest.mark.parametrize(
    ("value", "meant"),
    [
        ("USER_ID", "user_id"),
        ("userID", "user_id"),
        (" user id ", "user_id"),
        ("user-id", "user_id"),
        ("company_id", "companyID"),
        ("stabel_id", "stable_id"),
        ("user_idd", "user_id"),
        ("user", "user_id"),
        ("zebra", None),
        ("", None),
        ("x" * 10_000, None),
        ("user_id" * 10_000, None),
    ],
)
def test_the_nearest_word_is_suggested_and_none_where_none_is_near(value: str, meant: str | None) -> None:
    assert suggest(value, ALLOWED) == meant


def test_a_word_is_not_suggested_for_itself() -> None:
    assert suggest("user_id", ["user_id"]) is None
    assert suggest("user_id", []) is None


def test_the_suggestion_is_a_question() -> None:
    assert did_you_mean("userid", ALLOWED) == "did you mean 'user_id'?"
    assert did_you_mean("zebra", ALLOWED) == ""
