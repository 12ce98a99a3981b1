"""The contract of precomputed metrics: a row is what one metric was for one unit on one day.

After Statsig's public documentation of metric ingestion (`metrics/ingest`, `integrations/data-imports/azure_upload`).
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import pandas as pd
import pandera.pandas as pandera
import pyarrow as pa

from validators.contract import LAST_SECOND, UNIX_SECONDS, UNIX_SECONDS_EXPECTED, UNIX_SECONDS_HINT, Contract
from validators.errors import ContractError

#: "metric_name: not null, < 128 characters" (azure_upload).
LONGEST_NAME = 127
#: The ids that every project has; a project's own are given as an option.
ID_TYPES = ("user_id", "stable_id")
#: Names under which the documentation's own samples and mappings bring the columns.
ALIASES = {"unit_type": "id_type", "dateid": "date", "user_id": "unit_id", "isTest": "is_test"}
KEY = ("unit_id", "id_type", "metric_name", "date")


def precomputed_metrics(id_types: Sequence[str] = ID_TYPES) -> Contract:
    """Return the contract of precomputed metrics.

    A row has `unit_id`, `id_type` and `metric_name`; a `date` or a `timestamp`, of which `date` decides; and a
    `metric_value`, or both `numerator` and `denominator`. `timeuuid` and `is_test` are optional.

    Args:
        id_types: the kinds of unit that the project knows, as they are written: case matters.

    Raises:
        ContractError: `id_types` is not a list of names.
    """
    return Contract.of(
        precomputed_metrics_schema(id_types),
        aliases=ALIASES,
        any_of=[("date", "timestamp"), ("metric_value", "numerator"), ("metric_value", "denominator")],
        time_column=("date", "timestamp"),
        key=KEY,
        row_wise=[date_or_timestamp.__name__, value_or_ratio.__name__],
        hints={
            UNIX_SECONDS: UNIX_SECONDS_HINT,
            "isin": "capital and small letters count. If it is right, have it added to the option id_types of the feed",
        },
    )


def precomputed_metrics_schema(id_types: Sequence[str] = ID_TYPES) -> pandera.DataFrameSchema:
    """Return the pandera schema of precomputed metrics, for use in a notebook.

    Args:
        id_types: as for `precomputed_metrics`.

    Raises:
        ContractError: `id_types` is not a list of names.
    """
    if isinstance(id_types, str) or not id_types or not all(isinstance(each, str) and each for each in id_types):
        raise ContractError(f"option id_types is {id_types!r}; give a list of names such as {list(ID_TYPES)}")
    return pandera.DataFrameSchema(
        {
            "unit_id": pandera.Column(str, pandera.Check.str_length(min_value=1)),
            "id_type": pandera.Column(str, pandera.Check.isin(list(id_types))),
            "metric_name": pandera.Column(str, pandera.Check.str_length(min_value=1, max_value=LONGEST_NAME)),
            # Arrow's dates, because Python's cost an object for each row.
            "date": _optional(pd.ArrowDtype(pa.date32())),
            "timestamp": _optional("Int64", pandera.Check.ge(0), unix_seconds()),
            "metric_value": _optional(float, finite()),
            "numerator": _optional(float, finite()),
            "denominator": _optional(float, finite()),
            "timeuuid": _optional(str),
            "is_test": _optional("boolean"),
        },
        checks=[
            pandera.Check(date_or_timestamp, ignore_na=False, error="a date, or a timestamp in unix seconds"),
            pandera.Check(value_or_ratio, ignore_na=False, error="a metric_value, or both numerator and denominator"),
        ],
        name="precomputed_metrics",
        description="What one metric was for one unit on one day.",
    )


def unix_seconds() -> pandera.Check:
    """Return the check that whole numbers are unix seconds, and not milliseconds, which have 13 digits since 2001."""
    return pandera.Check.le(LAST_SECOND, name=UNIX_SECONDS, error=UNIX_SECONDS_EXPECTED)


def finite() -> pandera.Check:
    """Return the check that numbers are neither infinite nor NaN."""
    most = sys.float_info.max
    return pandera.Check.in_range(-most, most, name="finite", error="a finite number")


def date_or_timestamp(frame: pd.DataFrame) -> pd.Series[Any]:
    """Tell which rows say on which day they belong."""
    return _given(frame, "date") | _given(frame, "timestamp")


def value_or_ratio(frame: pd.DataFrame) -> pd.Series[Any]:
    """Tell which rows say what the metric was: a value, or the two halves of a ratio."""
    return _given(frame, "metric_value") | (_given(frame, "numerator") & _given(frame, "denominator"))


def _given(frame: pd.DataFrame, name: str) -> pd.Series[Any]:
    return frame[name].notna() if name in frame else pd.Series(False, index=frame.index)


def _optional(dtype: object, *checks: pandera.Check) -> pandera.Column:
    return pandera.Column(dtype, list(checks), nullable=True, required=False)
