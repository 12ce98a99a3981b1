"""The *script*: what a user would write instead, with pandas, pandera and deltalake. `script.py FILE... TABLE`.

Dates are checked as text, in whole columns: had the schema coerced them to `datetime64`, one impossible date would
make pandera parse every date by itself, and the script would take a minute for 150,000 rows.
"""

from __future__ import annotations

import sys
from typing import Any

import pandas as pd
import pandera.pandas as pa
from deltalake import write_deltalake


def is_date(column: pd.Series[Any]) -> pd.Series[bool]:
    """Tell which texts are ISO dates."""
    return pd.to_datetime(column, format="%Y-%m-%d", errors="coerce").notna()


SCHEMA = pa.DataFrameSchema(
    {
        "unit_id": pa.Column(str, pa.Check.str_length(min_value=1)),
        "id_type": pa.Column(str, pa.Check.isin(["user_id", "stable_id"])),
        "date": pa.Column(str, pa.Check(is_date, error="an ISO date")),
        "metric_name": pa.Column(str, pa.Check.str_length(min_value=1, max_value=127)),
        "metric_value": pa.Column(
            float, pa.Check.in_range(-sys.float_info.max, sys.float_info.max, error="a finite number")
        ),
    },
    coerce=True,
)


def load(path: str, table: str) -> int:
    """Append a file's good rows to the table; return how many there are."""
    frame = pd.read_csv(path, on_bad_lines="skip")
    try:
        good = SCHEMA.validate(frame, lazy=True)
    except pa.errors.SchemaErrors as errors:
        bad = errors.failure_cases["index"].dropna().unique()
        good = frame.drop(index=bad).reset_index(drop=True).astype({"metric_value": float})
    write_deltalake(table, good.assign(date=pd.to_datetime(good["date"])), mode="append")
    return len(good)


if __name__ == "__main__":
    *files, target = sys.argv[1:]
    print(sum(load(file, target) for file in files))
