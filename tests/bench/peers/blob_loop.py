"""The plain loop over a container that a user would write with the SDK, pandas and pandera. Prints the good rows.

Each blob is listed, downloaded, checked, and its good rows uploaded as Parquet. It forgets nothing and keeps nothing:
run again it would do it all again, unless `--archive` has it move each blob out of the way.
"""

from __future__ import annotations

import io
import os
import sys

import pandas as pd
import pandera.pandas as pa
from azure.storage.blob import ContainerClient

SCHEMA = pa.DataFrameSchema(
    {
        "unit_id": pa.Column(str),
        "id_type": pa.Column(str, pa.Check.isin(["user_id", "stable_id"])),
        "metric_name": pa.Column(str, pa.Check.str_length(1, 127)),
        "date": pa.Column("datetime64[us]", coerce=True),
        "metric_value": pa.Column(float, coerce=True),
    }
)


def main(name: str, *options: str) -> None:
    """Work every blob below `metrics/` once; with `--archive` copy each below `_archive/` then, and delete it."""
    container = ContainerClient.from_connection_string(os.environ["AZURE_STORAGE_CONNECTION_STRING"], name)
    rows = 0
    for blob in container.list_blobs(name_starts_with="metrics/"):
        frame = pd.read_csv(io.BytesIO(container.download_blob(blob.name).readall()))
        good, file = SCHEMA.validate(frame, lazy=True), io.BytesIO()
        good.to_parquet(file)
        container.upload_blob(f"tables/{blob.name}.parquet", file.getvalue(), overwrite=True)
        if "--archive" in options:
            dropped = container.get_blob_client(blob.name)
            container.get_blob_client(f"_archive/{blob.name}").start_copy_from_url(dropped.url)
            dropped.delete_blob()
        rows += len(good)
    print(rows)


if __name__ == "__main__":
    main(*sys.argv[1:])
