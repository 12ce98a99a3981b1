"""The *limit*: DuckDB, with the rules as SQL, straight into Parquet; no table, no ledger. `limit.py FILE FOLDER`."""

from __future__ import annotations

import sys

import duckdb

COPY = """
COPY (
    SELECT * FROM read_csv(
        $source, header = true, auto_detect = false, delim = ',', quote = '"', escape = '"', store_rejects = true,
        columns = {'unit_id': 'VARCHAR', 'id_type': 'VARCHAR', 'date': 'DATE', 'metric_name': 'VARCHAR',
                   'metric_value': 'DOUBLE'})
    WHERE unit_id <> '' AND id_type IN ('user_id', 'stable_id') AND date IS NOT NULL
      AND length(metric_name) BETWEEN 1 AND 127 AND isfinite(metric_value)
) TO $target (FORMAT parquet, COMPRESSION zstd)
"""

if __name__ == "__main__":
    source, folder = sys.argv[1:]
    found = duckdb.execute(COPY, {"source": source, "target": f"{folder}/good.parquet"}).fetchall()
    duckdb.execute("COPY reject_errors TO $target (HEADER)", {"target": f"{folder}/rejects.csv"})
    print(found[0][0])
