"""The contract of precomputed metrics."""

from __future__ import annotations

import datetime as dt
from typing import Any

import numpy as np
import pandas as pd
import pandera.pandas as pandera
import pyarrow as pa
import pytest

from validators.checking import check_rows
from validators.contract import Contract
from validators.errors import ContractError
from validators.metrics import precomputed_metrics, precomputed_metrics_schema

GOOD = {"unit_id": "u1", "id_type": "user_id", "metric_name": "sales", "date": "2026-03-01", "metric_value": "1.5"}


def broken(contract: Contract | None = None, **cells: str | None) -> list[tuple[str, str | None]]:
    """Return the rules that a good row breaks after some of its cells are changed."""
    row = GOOD | cells
    table = pa.table({name: pa.array([cell], pa.string()) for name, cell in row.items()})
    match = (contract or precomputed_metrics()).match(table.column_names)
    assert not match.problems
    return [(hit.rule, hit.column) for hit in check_rows(match, match.renamed(table)).hits]


def test_a_good_row_breaks_no_rule() -> None:
    assert broken() == []
    assert broken(metric_value=None, numerator="3", denominator="0") == []
    assert broken(timeuuid="any text", is_test="true", metric_value="-1e3", numerator=None) == []
    assert broken(date=None, timestamp="1647975283") == []
    assert broken(timestamp="1647975283", metric_name="x" * 127) == []


@pytest.mark.parametrize(
    ("cells", "rule", "column"),
    [
        ({"unit_id": None}, "not_nullable", "unit_id"),
        ({"unit_id": ""}, "str_length", "unit_id"),
        ({"id_type": "User_ID"}, "isin", "id_type"),
        ({"id_type": None}, "not_nullable", "id_type"),
        ({"metric_name": "x" * 128}, "str_length", "metric_name"),
        ({"metric_name": ""}, "str_length", "metric_name"),
        ({"date": "2026-02-30"}, "type", "date"),
        ({"date": "01.03.2026"}, "type", "date"),
        ({"date": None}, "date_or_timestamp", None),
        ({"date": None, "timestamp": "1647975283000"}, "unix_seconds", "timestamp"),
        ({"date": None, "timestamp": "-1"}, "greater_than_or_equal_to", "timestamp"),
        ({"date": None, "timestamp": "2026-03-01"}, "type", "timestamp"),
        ({"metric_value": None}, "value_or_ratio", None),
        ({"metric_value": None, "numerator": "1"}, "value_or_ratio", None),
        ({"metric_value": None, "denominator": "1"}, "value_or_ratio", None),
        ({"metric_value": None, "numerator": "1", "denominator": None}, "value_or_ratio", None),
        ({"metric_value": "NaN"}, "type", "metric_value"),
        ({"metric_value": "inf"}, "type", "metric_value"),
        ({"metric_value": "1e999"}, "type", "metric_value"),
        ({"metric_value": "1,5"}, "type", "metric_value"),
        ({"metric_value": None, "numerator": "x", "denominator": "1"}, "type", "numerator"),
        ({"is_test": "maybe"}, "type", "is_test"),
    ],
)
def test_each_mistake_breaks_the_one_rule_that_says_so(
    cells: dict[str, str | None], rule: str, column: str | None
) -> None:
    assert broken(None, **cells) == [(rule, column)]


def hit_of(**cells: str | None) -> Any:
    row = GOOD | cells
    match = precomputed_metrics().match(list(row))
    (hit,) = check_rows(match, pa.table({name: pa.array([cell], pa.string()) for name, cell in row.items()})).hits
    return hit


def test_what_is_expected_is_said_in_words_with_what_to_do() -> None:
    wrong_type = hit_of(id_type="userid")
    assert (wrong_type.expected, wrong_type.allowed) == ("one of user_id, stable_id", ("user_id", "stable_id"))
    assert hit_of(metric_name="x" * 128).expected == "between 1 and 127 characters"
    milliseconds = hit_of(date=None, timestamp="1647975283000")
    assert milliseconds.expected == "unix seconds such as 1647975283"
    assert "looks like milliseconds" in milliseconds.hint
    assert hit_of(metric_value=None).expected == "a metric_value, or both numerator and denominator"
    assert hit_of(date=None).expected == "a date, or a timestamp in unix seconds"


def test_the_names_seen_in_the_wild_are_understood() -> None:
    names = ["user_id", "unit_type", "metric_name", "dateid", "metric_value", "isTest"]
    match = precomputed_metrics().match(names)
    assert match.problems == ()
    assert [match.names[name] for name in names] == [
        "unit_id",
        "id_type",
        "metric_name",
        "date",
        "metric_value",
        "is_test",
    ]
    beside = precomputed_metrics().match([*names, "unit_id"])
    assert (beside.problems, beside.ignored) == ((), ("user_id",))


@pytest.mark.parametrize(
    ("names", "missing"),
    [
        (
            ["unit_id", "id_type", "metric_name", "metric_value"],
            ["one of the columns 'date' or 'timestamp' is missing"],
        ),
        (
            ["unit_id", "id_type", "metric_name", "date", "value"],
            ["'metric_value' is missing, and so are 'numerator' and 'denominator', which would do instead"],
        ),
        (["unit_id", "id_type", "metric_name", "date", "numerator"], ["'metric_value' or 'denominator'"]),
        (["Unit_ID", "id_type", "metric_name", "date", "metric_value"], ["the column 'unit_id' is missing"]),
    ],
)
def test_a_file_without_a_column_that_it_needs_is_rejected_as_a_whole(names: list[str], missing: list[str]) -> None:
    problems = precomputed_metrics().match(names).problems
    assert len(problems) == len(missing)
    assert all(words in problem.expected for words, problem in zip(missing, problems, strict=True))


def test_the_projects_own_id_types_are_an_option() -> None:
    assert broken(precomputed_metrics(["company_id"]), id_type="company_id") == []
    assert broken(precomputed_metrics(["company_id"])) == [("isin", "id_type")]
    for wrong in ("user_id", [], [1], [""]):
        with pytest.raises(ContractError, match="option id_types is"):
            precomputed_metrics(wrong)  # type: ignore[arg-type]


def test_an_id_that_comes_as_a_number_becomes_its_text() -> None:
    table = pa.table({name: [cell] for name, cell in GOOD.items()}).set_column(0, "unit_id", pa.array([4711]))
    checked = check_rows(precomputed_metrics().match(table.column_names), table)
    assert (checked.hits, checked.typed["unit_id"].to_pylist()) == ((), ["4711"])


def test_the_day_is_the_date_and_else_that_of_the_timestamp() -> None:
    contract = precomputed_metrics()
    cells = {name: [cell] * 3 for name, cell in GOOD.items()} | {
        "date": ["2026-03-01", None, "x"],
        "timestamp": ["0", "1647935999", "0"],
    }
    table = pa.table({name: pa.array(column, pa.string()) for name, column in cells.items()})
    days = contract.days(check_rows(contract.match(table.column_names), table).typed, "Etc/GMT+8")
    assert days is not None
    assert days.to_pylist()[:2] == [dt.date(2026, 3, 1), dt.date(2022, 3, 21)]
    assert (contract.time_column, contract.stored_name("date")) == ("date", "date")
    assert contract.key == ("unit_id", "id_type", "metric_name", "date")


def test_nothing_has_to_see_the_whole_file() -> None:
    assert not precomputed_metrics().has_whole_drop_rules


def test_the_schema_is_of_use_in_a_notebook() -> None:
    good = {"unit_id": ["u"], "id_type": ["user_id"], "metric_name": ["sales"], "metric_value": [1.5]}
    dates = pd.Series([dt.date(2026, 3, 1)], dtype=pd.ArrowDtype(pa.date32()))
    frame = pd.DataFrame(good).assign(date=dates)
    assert len(precomputed_metrics_schema().validate(frame)) == 1
    with pytest.raises(pandera.errors.SchemaError):
        precomputed_metrics_schema().validate(frame.assign(metric_value=np.inf))
    with pytest.raises(pandera.errors.SchemaError):
        precomputed_metrics_schema().validate(frame.assign(metric_value=np.nan))
