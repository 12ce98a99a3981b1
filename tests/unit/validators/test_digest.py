"""The digest: another one for everything that decides a verdict, the same for everything that does not."""

from __future__ import annotations

from typing import Any

import pandera.pandas as pandera
import pytest

from validators.contract import load_contract
from validators.digest import plain


def named(value: int) -> Any:
    def check(series: Any) -> Any:
        return series > value

    return check


def digest(*checks: Any, **column: Any) -> str:
    return load_contract(pandera.DataFrameSchema({"n": pandera.Column(int, list(checks), **column)})).digest


def test_the_same_contract_has_the_same_digest() -> None:
    assert digest(pandera.Check.ge(0)) == digest(pandera.Check.ge(0))
    assert digest(pandera.Check(named(1), name="own")) == digest(pandera.Check(named(1), name="own"))


@pytest.mark.parametrize(
    "other",
    [
        digest(pandera.Check.ge(1)),
        digest(pandera.Check.gt(0)),
        digest(),
        digest(pandera.Check.ge(0), nullable=True),
        digest(pandera.Check.ge(0), required=False),
        digest(pandera.Check.ge(0), unique=True),
        digest(pandera.Check.ge(0, error="something else")),
        digest(pandera.Check.ge(0, ignore_na=False)),
    ],
)
def test_what_decides_a_verdict_changes_it(other: str) -> None:
    assert other != digest(pandera.Check.ge(0))


def test_the_code_of_ones_own_check_counts() -> None:
    assert digest(pandera.Check(lambda s: s > 1, name="own")) != digest(pandera.Check(lambda s: s > 2, name="own"))
    assert digest(pandera.Check(lambda s: s > 1, name="own")) != digest(pandera.Check(lambda s: s < 1, name="own"))
    assert digest(pandera.Check(lambda s: [x for x in s if x > 1] != [], name="own")) != digest(
        pandera.Check(lambda s: [x for x in s if x > 2] != [], name="own")
    )


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ({"b": 1, "a": {2, 1}}, "{'a': {1, 2}, 'b': 1}"),
        (["x", (1.5, None)], "['x', [1.5, None]]"),
        (frozenset({"z", "a"}), "{'a', 'z'}"),
        (len, "len"),
        (named, "named"),
    ],
)
def test_values_are_written_the_same_in_every_process(value: Any, text: str) -> None:
    assert plain(value) == text
