"""The contract of raw events."""

from __future__ import annotations

import datetime as dt
import json
from typing import Any

import pandas as pd
import pandera.pandas as pandera
import pyarrow as pa
import pytest

from validators.checking import check_rows
from validators.errors import ContractError
from validators.events import METADATA_LIMIT, identified_user, object_of_text, raw_events, raw_events_schema

GOOD = {
    "timestamp": "1647975283",
    "event_name": "add_to_cart",
    "event_value": "12.50",
    "event_metadata": '{"page": "home"}',
    "user": '{"userID": "u1"}',
}


def hits(limit: int = 16_384, **cells: str | None) -> Any:
    row = GOOD | cells
    match = raw_events(limit).match(list(row))
    assert not match.problems
    return check_rows(match, pa.table({name: pa.array([cell], pa.string()) for name, cell in row.items()})).hits


def broken(limit: int = 16_384, **cells: str | None) -> list[tuple[str, str | None]]:
    return [(hit.rule, hit.column) for hit in hits(limit, **cells)]


def test_a_good_row_breaks_no_rule() -> None:
    assert broken() == []
    assert broken(event_value=None, timeuuid=None, event_metadata="{}") == []
    assert broken(timeuuid="123e4567-E89B-42d3-a456-426614174000", event_name="x" * 127, event_value="y" * 127) == []
    assert broken(user='{"customIDs": {"companyID": "c"}, "custom": {"plan": 1}}') == []


@pytest.mark.parametrize(
    ("cells", "rule", "column"),
    [
        ({"timestamp": "1647975283000"}, "unix_seconds", "timestamp"),
        ({"timestamp": "2022-03-22"}, "type", "timestamp"),
        ({"timestamp": None}, "not_nullable", "timestamp"),
        ({"event_name": "x" * 128}, "str_length", "event_name"),
        ({"event_name": None}, "not_nullable", "event_name"),
        *(({"event_name": f"a{mark}b"}, "allowed_characters", "event_name") for mark in "\\[]{}<>#=;&$%|\n\r"),
        ({"event_value": "x" * 128}, "str_length", "event_value"),
        ({"event_metadata": None}, "not_nullable", "event_metadata"),
        ({"event_metadata": "page=home"}, "object_of_text", "event_metadata"),
        ({"event_metadata": "[]"}, "object_of_text", "event_metadata"),
        ({"event_metadata": '{"page": 1}'}, "object_of_text", "event_metadata"),
        ({"event_metadata": '{"page": null}'}, "object_of_text", "event_metadata"),
        ({"event_metadata": '{"page": {"a": "b"}}'}, "object_of_text", "event_metadata"),
        ({"event_metadata": json.dumps({"page": "x" * 16_372})}, "str_length", "event_metadata"),
        ({"user": None}, "not_nullable", "user"),
        ({"user": "u1"}, "identified_user", "user"),
        ({"user": "{}"}, "identified_user", "user"),
        ({"timeuuid": "123e4567"}, "uuid", "timeuuid"),
    ],
)
def test_each_mistake_breaks_the_one_rule_that_says_so(cells: dict[str, str | None], rule: str, column: str) -> None:
    assert broken(METADATA_LIMIT, **cells) == [(rule, column)]


@pytest.mark.parametrize(
    ("text", "holds"),
    [
        ('{"userID": "u"}', True),
        ('{"userID": 12}', True),
        ('{"userID": ""}', False),
        ('{"userID": "  "}', False),
        ('{"userID": null}', False),
        ('{"userID": true}', False),
        ('{"userID": {"a": "b"}}', False),
        ('{"userID": "", "customIDs": {"a": "x"}}', True),
        ('{"customIDs": {"a": "", "b": 7}}', True),
        ('{"customIDs": {"a": ""}}', False),
        ('{"customIDs": {}}', False),
        ('{"customIDs": ["x"]}', False),
        ('{"userid": "u"}', False),
        ('["userID"]', False),
        ('"userID"', False),
        ("{'userID': 'u'}", False),
        ('{"userID": "u"', False),
        ('{"userID": "u"} and more', False),
        ('{"userID": NaN}', False),
        ("[" * 100_000, False),
        ("", False),
    ],
)
def test_a_user_is_named_by_a_user_id_or_a_custom_id(text: str, holds: bool) -> None:
    assert identified_user(pd.Series([text], index=[7])).to_dict() == {7: holds}


def test_missing_texts_name_nobody_and_hold_nothing() -> None:
    assert identified_user(pd.Series([None, '{"userID": "u"}'], dtype="str")).tolist() == [False, True]
    assert object_of_text(pd.Series([], dtype="str")).tolist() == []


def test_the_limit_of_metadata_is_an_option() -> None:
    text = json.dumps({"page": "x" * 115})
    assert (broken(len(text) + 1, event_metadata=text), broken(len(text), event_metadata=text)) == (
        [],
        [("str_length", "event_metadata")],
    )
    for wrong in (0, -1, "128", True, 1.5):
        with pytest.raises(ContractError, match="option metadata_limit is"):
            raw_events(wrong)  # type: ignore[arg-type]


def test_what_is_expected_is_said_in_words_with_what_to_do() -> None:
    (milliseconds,) = hits(timestamp="1647975283000")
    assert "looks like milliseconds" in milliseconds.hint
    (name,) = hits(event_name="a;b")
    assert name.expected == r"none of \ [ ] { } < > # = ; & $ % | and no line breaks"
    (user,) = hits(user="{}")
    assert user.expected == "a JSON object with a userID, or with at least one of customIDs"


def test_the_day_is_that_of_the_timestamp() -> None:
    contract = raw_events()
    table = pa.table({name: [cell] for name, cell in GOOD.items()})
    days = contract.days(check_rows(contract.match(table.column_names), table).typed, "Etc/GMT+8")
    assert days is not None
    assert days.to_pylist() == [dt.date(2022, 3, 22)]
    assert not contract.has_whole_drop_rules


def test_the_schema_is_of_use_in_a_notebook() -> None:
    frame = pd.DataFrame({name: [cell] for name, cell in GOOD.items()}).astype({"timestamp": "int64"})
    assert len(raw_events_schema().validate(frame)) == 1
    with pytest.raises(pandera.errors.SchemaError):
        raw_events_schema().validate(frame.assign(user="{}"))
