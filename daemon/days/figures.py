"""What one business day of one customer comes to: counted and summed by DuckDB over its data files (in a worker).

The rules are those of precomputed metrics (Statsig's `metrics/ingest` and `data_mapping`): the grain is unit, day and
metric; what comes again takes the place of what came before. A metric of which any record has a numerator and a
denominator is a ratio, and a unit without a denominator is left out of it. Test rows count for nothing.
"""

from __future__ import annotations

import importlib
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pyarrow as pa

from daemon.days.asked import Asked, Figures
from daemon.days.restating import changed
from daemon.measures.queries import measure
from daemon.model import DataFile, OnDuplicateKey
from daemon.staging.datafile import Part, encoding_of, path_of, writing

if TYPE_CHECKING:
    import duckdb

#: A feed whose table has these columns has metrics.
KEY: Final = ("unit_id", "id_type", "metric_name")
#: Optional columns of such a feed, and the type that they have where no row of a day has them.
VALUES: Final = {"metric_value": "DOUBLE", "numerator": "DOUBLE", "denominator": "DOUBLE", "is_test": "BOOLEAN"}
#: A metric that was there on so many of the days before is expected.
SEEN_DAYS: Final = 3
#: The part of a worker's memory that the database may hold; beyond it, it writes to a temporary folder.
MEMORY_PART: Final = 0.5
#: A drop has fewer records than this: 2 to the power of 40.
ROW_BITS: Final = 40


def figures(asked: Asked) -> Figures:
    """Compute a day, and stage its rows for `metric_days`.

    Raises:
        StoreError: they cannot be written.
    """
    with writing(asked.table.describe()), _near(asked) as near, _database(near) as database:
        return _computed(database, near)


@contextmanager
def _near(asked: Asked) -> Iterator[Asked]:
    """Have all files on this machine, and named by their paths there."""
    with (
        asked.table.near(asked.files) as files,
        asked.metrics.near(asked.former) as former,
        asked.metrics.near(asked.earlier) as earlier,
    ):
        yield replace(asked, files=_named(files), former=_named(former), earlier=_named(earlier))


def _named(paths: Sequence[Path]) -> tuple[str, ...]:
    return tuple(map(str, paths))


def _computed(database: duckdb.DuckDBPyConnection, asked: Asked) -> Figures:
    columns = _open(database, asked)
    database.register("arriving", pa.table({"drop_id": pa.array(asked.drops, pa.string())}))
    database.execute("CREATE TEMP TABLE arrival AS SELECT drop_id, row_number() OVER () AS place FROM arriving")
    rows, tests = _one(database, "SELECT count(*) FILTER (NOT test), count(*) FILTER (test) FROM day")
    found = database.execute("SELECT DISTINCT _drop FROM day ORDER BY 1").fetchall()
    counted = Figures(rows=rows, test_rows=tests, drops=tuple(drop for (drop,) in found))
    if columns.issuperset(KEY):
        per_unit = _SUM if asked.on_duplicate_key is OnDuplicateKey.SUM else _LAST
        database.execute(f"CREATE TEMP TABLE units AS {per_unit}")
        database.execute(_KINDS)
        return _with_metrics(database, asked, counted, "SELECT coalesce(sum(superseded), 0)::BIGINT FROM metrics")
    if not asked.measures:
        return counted
    measure(database, asked.measures, columns, asked.on_duplicate_key, _PLACE)
    return _with_metrics(database, asked, counted, "SELECT count(*) FILTER (again) FROM counted")


def _with_metrics(database: duckdb.DuckDBPyConnection, asked: Asked, counted: Figures, superseded_rows: str) -> Figures:
    """Return what a day comes to with its metrics; `superseded_rows` is the query for these."""
    _sum(database)
    if asked.measures and counted.rows:
        database.execute(_NOTHING)
    expected, missing = _missing(database, asked)
    (metrics,) = _one(database, "SELECT count(*) FROM metrics")
    former = {"feed": asked.feed, "customer": asked.customer, "version": asked.version - 1}
    changes = changed(database, asked.former, former) if asked.version > 1 else ()
    table = _metric_rows(database, asked)
    file, schema = (None, pa.schema([])) if not table.num_rows else _staged(table, asked)
    (superseded,) = _one(database, superseded_rows)
    return Figures(
        rows=counted.rows,
        test_rows=counted.test_rows,
        superseded_rows=superseded,
        drops=counted.drops,
        metrics=metrics,
        expected=expected,
        missing=missing,
        changes=changes,
        files=(file,) if file else (),
        schema=schema,
    )


#: A day without rows, as if it had rows of each kind.
_NO_ROWS = f"""
    CREATE TEMP VIEW day AS
    SELECT {", ".join(f"NULL::{VALUES.get(name, 'VARCHAR')} AS {name}" for name in (*KEY, *VALUES, "_drop"))},
        NULL::BIGINT AS _row, false AS test WHERE false
"""


def _open(database: duckdb.DuckDBPyConnection, asked: Asked) -> frozenset[str]:
    """Make the day's rows the view `day`; return the columns that they have."""
    if not asked.files:
        database.execute(_NO_ROWS)
        return frozenset((*KEY, *VALUES))
    database.execute("SET VARIABLE files = $1", [list(asked.files)])
    database.execute("SET VARIABLE customer = $1", [asked.customer])
    source = "read_parquet(getvariable('files'), union_by_name = true, hive_partitioning = false)"
    described = database.execute(f"DESCRIBE SELECT * FROM {source}").fetchall()  # noqa: S608 - our own text
    columns = frozenset(name for name, *_ in described)
    absent = [f"NULL::{kind} AS {name}" for name, kind in VALUES.items() if name not in columns]
    test = "coalesce(is_test, false)" if "is_test" in columns else "false"
    database.execute(
        f"CREATE TEMP VIEW day AS SELECT {', '.join(['*', *absent])}, {test} AS test FROM {source} "  # noqa: S608 - as above
        "WHERE customer = getvariable('customer')"
    )
    return columns


#: A row's place in the order in which rows came.
_PLACE: Final = f"(coalesce(place, 0) << {ROW_BITS}) + _row"


def _last_of(column: str) -> str:
    """Return the value of a column in the last row, which may be none."""
    return f"arg_max_null({column}, {_PLACE})"


#: A unit's row of a metric: the last one that came, or all of them together.
_LAST = f"""
    SELECT metric_name, id_type, true AS known, count(*) AS n, count(*) - 1 AS superseded,
        {_last_of("metric_value")} AS v, {_last_of("numerator")} AS num, {_last_of("denominator")} AS den
    FROM day LEFT JOIN arrival ON drop_id = _drop WHERE NOT test
    GROUP BY metric_name, id_type, unit_id
"""  # noqa: S608 - our own text
_SUM = """
    SELECT metric_name, id_type, true AS known, count(*) AS n, 0 AS superseded,
        sum(metric_value) AS v, sum(numerator) AS num, sum(denominator) AS den
    FROM day WHERE NOT test GROUP BY metric_name, id_type, unit_id
"""
#: Kinds are the metrics' own, whatever kind of unit a row is of.
_KINDS = """
    CREATE TEMP TABLE kinds AS
    SELECT metric_name, bool_or(numerator IS NOT NULL AND denominator IS NOT NULL) AS ratio
    FROM day WHERE NOT test GROUP BY metric_name
"""
#: A ratio's figures are of its units' own ratios. What is of no known unit counts for sums, and is none of the units.
_VALUES = """
    CREATE TEMP VIEW valued AS
    SELECT u.metric_name, u.id_type, u.n, u.superseded, u.num, u.den, k.ratio,
        NOT k.ratio OR u.den IS NOT NULL AS counts, u.known AND counts AS is_unit,
        CASE WHEN k.ratio THEN u.num / nullif(u.den, 0) ELSE u.v END AS value
    FROM units u JOIN kinds k USING (metric_name)
"""
_METRICS = """
    CREATE TEMP TABLE metrics AS
    SELECT metric_name, id_type, CASE WHEN any_value(ratio) THEN 'ratio' ELSE 'value' END AS kind,
        sum(n)::BIGINT AS rows,
        (count(*) FILTER (is_unit))::BIGINT AS units,
        sum(superseded)::BIGINT AS superseded,
        CASE WHEN any_value(ratio) THEN NULL ELSE fsum(value) END AS sum,
        avg(value) FILTER (is_unit) AS mean,
        min(value) FILTER (is_unit) AS min,
        max(value) FILTER (is_unit) AS max,
        CASE WHEN count(value) FILTER (is_unit) > 1 THEN stddev_samp(value) FILTER (is_unit) END AS stddev,
        CASE WHEN any_value(ratio) THEN fsum(num) FILTER (counts) END AS numerator,
        CASE WHEN any_value(ratio) THEN fsum(den) FILTER (counts) END AS denominator,
        (count(value) FILTER (is_unit))::BIGINT AS valued
    FROM valued GROUP BY metric_name, id_type
"""
#: All values in their order, so that a row's number is its place: a sort may spill, which a quantile does not.
_SORTED = """
    CREATE TEMP TABLE sorted AS
    SELECT value FROM valued WHERE is_unit AND value IS NOT NULL ORDER BY metric_name, id_type, value
"""
_QUANTILES = """
    CREATE TEMP TABLE quantiles AS
    WITH first AS (
        SELECT metric_name, id_type, valued - 1 AS last,
            sum(valued) OVER (ORDER BY metric_name, id_type) - valued AS first
        FROM metrics WHERE valued > 0
    ), places AS (
        SELECT metric_name, id_type, q, first + floor(last * q)::BIGINT AS low, first + ceil(last * q)::BIGINT AS high,
            last * q - floor(last * q) AS part
        FROM first, (VALUES (0.5), (0.95)) AS wanted(q)
    )
    SELECT metric_name, id_type, q, l.value + (h.value - l.value) * part AS value
    FROM places JOIN sorted l ON l.rowid = low JOIN sorted h ON h.rowid = high
"""
#: A metric that the configuration defines has a row for every day with rows: nothing is a figure, too.
_NOTHING = """
    INSERT INTO metrics BY NAME
    SELECT metric_name, id_type, CASE WHEN ratio THEN 'ratio' ELSE 'value' END AS kind, 0 AS rows, 0 AS units,
        0 AS superseded, CASE WHEN ratio THEN NULL ELSE 0.0 END AS sum, 0 AS valued
    FROM wanted ANTI JOIN metrics USING (metric_name, id_type)
"""


def _sum(database: duckdb.DuckDBPyConnection) -> None:
    database.execute(_VALUES)
    database.execute(_METRICS)
    database.execute("SET preserve_insertion_order = true")
    database.execute(_SORTED)
    database.execute(_QUANTILES)


def _metric_rows(database: duckdb.DuckDBPyConnection, asked: Asked) -> pa.Table:
    """Return the day's rows for `metric_days`, in the order of their names."""
    query = """
        SELECT $feed AS feed, metric_name, id_type, $version::INTEGER AS version,
            * EXCLUDE (metric_name, id_type, numerator, denominator, valued),
            (SELECT value FROM quantiles q WHERE q.metric_name = m.metric_name AND q.id_type = m.id_type AND q = 0.5)
                AS p50,
            (SELECT value FROM quantiles q WHERE q.metric_name = m.metric_name AND q.id_type = m.id_type AND q = 0.95)
                AS p95,
            numerator, denominator, numerator / nullif(denominator, 0) AS ratio
        FROM metrics m ORDER BY metric_name, id_type
    """
    table = database.sql(query, params={"feed": asked.feed, "version": asked.version}).to_arrow_table()
    times = {"watermark": asked.watermark, "closed_at": asked.now}
    for name, seconds in times.items():
        at = pa.scalar(round(seconds * 1_000_000), pa.timestamp("us", "UTC"))
        table = table.append_column(name, pa.repeat(at, table.num_rows))
    for name, text in (("contract", asked.contract), ("customer", asked.customer)):
        table = table.append_column(name, pa.repeat(pa.scalar(text, pa.string()), table.num_rows))
    return table


def _missing(database: duckdb.DuckDBPyConnection, asked: Asked) -> tuple[int, tuple[str, ...]]:
    """Return how many metrics are expected, and which of them are not there."""
    if not asked.earlier:
        return 0, ()
    database.execute("SET VARIABLE earlier = $1", [list(asked.earlier)])
    query = """
        SELECT metric_name, metric_name NOT IN (SELECT metric_name FROM metrics WHERE rows > 0) AS missing
        FROM read_parquet(getvariable('earlier'), union_by_name = true, hive_partitioning = true)
        WHERE customer = $customer AND feed = $feed AND rows > 0
        GROUP BY metric_name HAVING count(DISTINCT date) >= $seen ORDER BY 1
    """
    seen = {"customer": asked.customer, "feed": asked.feed, "seen": SEEN_DAYS}
    found = database.execute(query, seen).fetchall()
    return len(found), tuple(name for name, missing in found if missing)


def _staged(table: pa.Table, asked: Asked) -> tuple[DataFile, pa.Schema]:
    part = Part(asked.metrics, path_of(asked.day, f"part-{asked.unit}-00"), table.schema, encoding_of(table))
    with ExitStack() as undo:
        undo.callback(part.remove)
        part.write(table)
        file = part.close()
        undo.pop_all()
    return file, table.schema


def _one(database: duckdb.DuckDBPyConnection, query: str) -> tuple[int, ...]:
    (row,) = database.execute(query).fetchall()
    return tuple(int(each) for each in row)


@contextmanager
def _database(asked: Asked) -> Iterator[duckdb.DuckDBPyConnection]:
    """Give a database of its own, in bounded memory; what it spills goes with it."""
    folder = tempfile.mkdtemp(prefix="blobdrop-day-")
    settings: Mapping[str, str | bool | int | float | Sequence[str]] = {
        "memory_limit": f"{int(asked.memory_bytes * MEMORY_PART) // 1024**2}MB",
        "temp_directory": folder,
        "preserve_insertion_order": False,
    }
    try:
        with importlib.import_module("duckdb").connect(config=dict(settings)) as database:
            yield database
    finally:
        shutil.rmtree(folder, ignore_errors=True)
