"""What a day that is computed again has otherwise than its version before, metric by metric (in a worker)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    import duckdb

#: Changed metrics that are named.
MOST: Final = 1_000
#: The kind of a row that stands for a metric which is not there any more.
GONE: Final = "gone"

#: A metric's name and id type, its value before and now, and whether it is new, gone, or there in both.
Changed = tuple[str, str, float | None, float | None, str]

#: What there was in the version before.
_FORMER = """
    CREATE TEMP TABLE former AS
    SELECT metric_name, id_type, kind, coalesce(ratio, sum) AS value
    FROM read_parquet(getvariable('former'), union_by_name = true, hive_partitioning = false)
    WHERE customer = $customer AND feed = $feed AND kind <> 'gone' AND version = $version
"""
#: A day that was empty had no metrics.
_NO_FORMER = "CREATE TEMP TABLE former (metric_name VARCHAR, id_type VARCHAR, kind VARCHAR, value DOUBLE)"
#: A row of this kind stands for a metric that is gone, so that nobody takes its former version for the newest.
_GONE = """
    INSERT INTO metrics BY NAME
    SELECT metric_name, id_type, 'gone' AS kind, 0 AS rows, 0 AS units, 0 AS superseded, 0 AS valued
    FROM former ANTI JOIN metrics USING (metric_name, id_type)
"""
_CHANGED = """
    SELECT metric_name, id_type, former.value, now.value,
        CASE WHEN former.kind IS NULL THEN 'new' WHEN now.kind = 'gone' THEN 'gone' ELSE 'changed' END
    FROM former FULL JOIN (
        SELECT metric_name, id_type, kind, coalesce(numerator / nullif(denominator, 0), sum) AS value FROM metrics
    ) AS now USING (metric_name, id_type)
    WHERE former.value IS DISTINCT FROM now.value OR former.kind IS NULL OR now.kind = 'gone'
    ORDER BY 1, 2 LIMIT $most
"""


def changed(
    database: duckdb.DuckDBPyConnection, former: Sequence[str], version: Mapping[str, Any]
) -> tuple[Changed, ...]:
    """Return the metrics whose sum, or ratio, is another one than before; rows for those that are gone join `metrics`.

    Args:
        database: its table `metrics` has the day's metrics as they are now.
        former: data files of `metric_days` that may have the version before; none where that was empty.
        version: which one that is: feed, customer, version.
    """
    if former:
        database.execute("SET VARIABLE former = $1", [list(former)])
        database.execute(_FORMER, dict(version))
    else:
        database.execute(_NO_FORMER)
    database.execute(_GONE)
    return tuple(database.execute(_CHANGED, {"most": MOST}).fetchall())
