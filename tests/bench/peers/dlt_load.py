"""The peer *dlt*: its filesystem source, a model as contract that discards bad rows. `dlt_load.py FOLDER TARGET`."""

from __future__ import annotations

import datetime as dt
import sys
from typing import Annotated, Literal

import dlt
from dlt.common.schema.typing import TSchemaContract
from dlt.sources.filesystem import filesystem, read_csv
from pydantic import BaseModel, Field


class Metric(BaseModel):
    """What a row must be."""

    unit_id: Annotated[str, Field(min_length=1)]
    id_type: Literal["user_id", "stable_id"]
    date: dt.date
    metric_name: Annotated[str, Field(min_length=1, max_length=127)]
    metric_value: Annotated[float, Field(allow_inf_nan=False)]


if __name__ == "__main__":
    folder, target = sys.argv[1:]
    rows = filesystem(bucket_url=folder, file_glob="*.csv") | read_csv(on_bad_lines="skip")
    contract: TSchemaContract = {"tables": "evolve", "columns": "discard_row", "data_type": "discard_row"}
    rows.apply_hints(columns=Metric, schema_contract=contract, table_format="delta")
    pipeline = dlt.pipeline(
        "bench", destination=dlt.destinations.filesystem(f"{target}/table"), pipelines_dir=f"{target}/state"
    )
    pipeline.extract(rows.with_name("metrics"))
    counts = pipeline.normalize().row_counts
    pipeline.load()
    print(counts["metrics"])
