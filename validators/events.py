"""The contract of raw events: a row is one thing that one user did at one moment.

After Statsig's public documentation of event ingestion (`integrations/data-imports/azure_upload`,
`metrics/raw-events`).
"""

from __future__ import annotations

import importlib
from typing import Any

import pandas as pd
import pandera.pandas as pandera
import pyarrow as pa

from validators.contract import UNIX_SECONDS, UNIX_SECONDS_HINT, Contract
from validators.errors import ContractError
from validators.metrics import unix_seconds

#: "event_name < 128", "event_value < 128" (azure_upload, data_mapping).
LONGEST_NAME = 127
#: Events whose names have one of these are dropped by the product (raw-events).
FORBIDDEN = r"[\\\[\]{}<>#=;&$%|\x00\n\r]"
#: The documentation contradicts itself: event_metadata has fewer than 128 characters in azure_upload, fewer than
#: 16384 in the warehouse import. The wider one stands; an option narrows it.
METADATA_LIMIT = 16_384
#: How the product's own documents write the flag of test rows, as with precomputed metrics.
ALIASES = {"isTest": "is_test"}
UUID = r"[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}"

#: A JSON value that can be an id: text that is not blank, or a whole number.
_ID = "json_type({0}) IN ('VARCHAR', 'UBIGINT', 'BIGINT') AND trim(json_extract_string({0}, '$')) <> ''"
_ALL_TEXT = "coalesce(list_bool_and(list_transform(json_extract(t, '$.*'), lambda x: json_type(x) = 'VARCHAR')), true)"
_USER_ID = _ID.format("json_extract(t, '$.userID')")
_CUSTOM_ID = f"list_bool_or(list_transform(json_extract(t, '$.customIDs.*'), lambda x: {_ID.format('x')}))"
_ANY_ID = f"coalesce({_USER_ID}, false) OR coalesce({_CUSTOM_ID}, false)"


def raw_events(metadata_limit: int = METADATA_LIMIT) -> Contract:
    """Return the contract of raw events.

    A row has a `timestamp` in unix seconds (UTC), an `event_name`, `event_metadata` as a JSON object of text to text,
    and a `user` as a JSON object with a userID or at least one of customIDs. `event_value`, `timeuuid` and
    `is_test` are optional.

    Args:
        metadata_limit: `event_metadata` must have fewer characters than this.

    Raises:
        ContractError: `metadata_limit` is not a positive whole number.
    """
    own = (allowed_characters, uuid, object_of_text, identified_user)
    return Contract.of(
        raw_events_schema(metadata_limit),
        aliases=ALIASES,
        time_column="timestamp",
        row_wise=[check.__name__ for check in own],
        hints={
            UNIX_SECONDS: UNIX_SECONDS_HINT,
            allowed_characters.__name__: "use _ in place of blanks and of these characters",
        },
    )


def raw_events_schema(metadata_limit: int = METADATA_LIMIT) -> pandera.DataFrameSchema:
    """Return the pandera schema of raw events, for use in a notebook.

    Args:
        metadata_limit: as for `raw_events`.

    Raises:
        ContractError: `metadata_limit` is not a positive whole number.
    """
    if isinstance(metadata_limit, bool) or not isinstance(metadata_limit, int) or metadata_limit < 1:
        raise ContractError(
            f"option metadata_limit is {metadata_limit!r}; give a whole number such as {METADATA_LIMIT}"
        )
    user = "a JSON object with a userID, or with at least one of customIDs"
    return pandera.DataFrameSchema(
        {
            "timestamp": pandera.Column("int64", [pandera.Check.ge(0), unix_seconds()]),
            "event_name": pandera.Column(
                str,
                [
                    pandera.Check.str_length(min_value=1, max_value=LONGEST_NAME),
                    pandera.Check(allowed_characters, error=r"none of \ [ ] { } < > # = ; & $ % | and no line breaks"),
                ],
            ),
            "event_value": _optional(pandera.Check.str_length(max_value=LONGEST_NAME)),
            "event_metadata": pandera.Column(
                str,
                [
                    pandera.Check.str_length(max_value=metadata_limit - 1),
                    pandera.Check(object_of_text, error='a JSON object of text to text, such as {"page": "home"}'),
                ],
            ),
            "user": pandera.Column(str, pandera.Check(identified_user, error=user)),
            "is_test": pandera.Column("boolean", nullable=True, required=False),
            "timeuuid": _optional(pandera.Check(uuid, error="a UUID such as 123e4567-e89b-42d3-a456-426614174000")),
        },
        name="raw_events",
        description="One thing that one user did at one moment.",
    )


def allowed_characters(names: pd.Series[Any]) -> pd.Series[Any]:
    """Tell which names have none of the forbidden characters."""
    return ~names.str.contains(FORBIDDEN, regex=True)


def uuid(texts: pd.Series[Any]) -> pd.Series[Any]:
    """Tell which texts are UUIDs in their usual form."""
    return texts.str.fullmatch(UUID)


def object_of_text(texts: pd.Series[Any]) -> pd.Series[Any]:
    """Tell which texts are JSON objects of which every value is text."""
    return _where(texts, _ALL_TEXT)


def identified_user(texts: pd.Series[Any]) -> pd.Series[Any]:
    """Tell which texts are JSON objects that name a user."""
    return _where(texts, _ANY_ID)


def _where(texts: pd.Series, condition: str) -> pd.Series[Any]:
    """Tell which texts are JSON objects of which a condition in SQL holds; DuckDB reads JSON faster than Python."""
    if texts.empty:  # as when the contract is loaded, which need not wait for DuckDB
        return pd.Series([], index=texts.index, dtype=bool)
    with importlib.import_module("duckdb").connect(config={"threads": 1}) as database:
        database.register("texts", pa.table({"t": pa.array(texts, pa.string())}))
        object_that = f"CASE WHEN json_valid(t) AND json_type(t) = 'OBJECT' THEN {condition} ELSE false END"
        query = f"SELECT {object_that} AS holds FROM texts"  # noqa: S608 - the conditions are our own
        holds = database.execute(query).fetchnumpy()["holds"]
    return pd.Series(holds, index=texts.index, dtype=bool)


def _optional(check: pandera.Check) -> pandera.Column:
    return pandera.Column(str, check, nullable=True, required=False)
