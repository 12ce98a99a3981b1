"""`quarantine release --feed --rule`: a rule that nobody knows is refused, one that nothing waits for is not."""

from __future__ import annotations

from typing import Any

import pytest

from daemon.commands import deciding
from daemon.errors import ContractError, NotFoundError
from tests.unit.daemon.commands.conftest import Place


def release(place: Place, rule: str, **options: Any) -> Any:
    """Release by a rule; return the drops that were decided on."""
    values = {"drop": None, "feed": "metrics", "customer": None, "reason": "", "dry_run": False, "json": True}
    assert deciding.release(place.config, rule=rule, **{**values, **options}) == 0
    return [each["drop"] for each in place.json()["decisions"]]


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        ("tpye", r"did you mean 'type'\?"),
        ("isn", r"did you mean 'isin'\?"),
        ("Late", r"did you mean 'late'\?"),
        ("zzzz", "the feed's drops have broken "),
        ("", "there is no rule ''"),
    ],
)
def test_a_rule_that_neither_drops_nor_contract_know_is_refused(worked: Place, rule: str, words: str) -> None:
    with pytest.raises(NotFoundError, match=words):
        release(worked, rule)


@pytest.mark.parametrize("rule", ["isin", "late", "not_nullable", "check_error"])
def test_a_rule_of_the_contract_that_no_drop_has_broken_fits_nothing(worked: Place, rule: str) -> None:
    assert release(worked, rule) == []


def test_a_rule_that_was_decided_on_already_is_known_still(worked: Place) -> None:
    assert len(release(worked, "type")) == 1
    assert release(worked, "type") == []
    assert release(worked, "type", customer="nobody") == []


def test_without_its_contract_only_a_rule_that_drops_have_broken_is_known(worked: Place) -> None:
    text = worked.config.read_text().replace(":precomputed_metrics", ":no_such_function")
    worked.config.write_text(text)
    assert release(worked, "type", customer="nobody") == []
    with pytest.raises(ContractError, match="feed 'metrics': "):
        release(worked, "tpye")
