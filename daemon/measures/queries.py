"""The metrics of a day's rows, by DuckDB: what each unit comes to, for `days.figures` to sum up.

Names, keys and values of the configuration are parameters of the queries; columns are quoted, and are only such as the
rows have.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Any, Final

from daemon.measures import Filter, Measure, Measured, Part, Relation
from daemon.model import OnDuplicateKey

if TYPE_CHECKING:
    import duckdb

#: What tells that two rows are the same event.
UUID: Final = "timeuuid"
#: A number as people and programs write it, by the rules of `validators.parsing`: no `0x1A`, `1_000`, `inf`.
NUMBER: Final = r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?"
_COMPARED: Final = {Relation.LESS: "<", Relation.AT_MOST: "<=", Relation.MORE: ">", Relation.AT_LEAST: ">="}

#: Which rows later ones with the same uuid have taken the place of.
_DOUBLES: Final = """
    CREATE TEMP TABLE doubles AS
    SELECT lower(timeuuid) AS uuid, max({place}) AS last
    FROM day LEFT JOIN arrival ON drop_id = _drop WHERE timeuuid IS NOT NULL AND NOT test
    GROUP BY 1 HAVING count(*) > 1
"""
_OF_LATER: Final = """
    CREATE TEMP VIEW counted AS
    SELECT day.*, last IS NOT NULL AND {place} < last AS again
    FROM day LEFT JOIN arrival ON drop_id = _drop LEFT JOIN doubles ON uuid = lower(timeuuid) WHERE NOT test
"""
_OF_ALL: Final = "CREATE TEMP VIEW counted AS SELECT *, false AS again FROM day WHERE NOT test"


def measure(
    database: duckdb.DuckDBPyConnection,
    measures: Sequence[Measure],
    columns: Collection[str],
    on_duplicate_key: OnDuplicateKey,
    place: str,
) -> None:
    """Fill the tables `units` and `kinds` with what each unit comes to, and `wanted` with all metrics there are.

    Args:
        database: it has the day's rows as `day`, and the drops in their order as `arrival`.
        measures: the metrics.
        columns: of the rows.
        on_duplicate_key: what is with rows that have one uuid.
        place: SQL for a row's place in the order in which rows came.
    """
    if UUID in columns and on_duplicate_key is not OnDuplicateKey.SUM:
        database.execute(_DOUBLES.format(place=place))
        database.execute(_OF_LATER.format(place=place))
    else:
        database.execute(_OF_ALL)
    database.execute("CREATE TEMP TABLE wanted (metric_name VARCHAR, id_type VARCHAR, ratio BOOLEAN)")
    database.execute(
        "CREATE TEMP TABLE units (metric_name VARCHAR, id_type VARCHAR, known BOOLEAN, n BIGINT, superseded BIGINT, "
        "v DOUBLE, num DOUBLE, den DOUBLE)"
    )
    for each in measures:
        for kind, unit in each.units.items():
            database.execute("INSERT INTO wanted VALUES (?, ?, ?)", [each.name, kind, each.is_ratio])
            query = _Query(columns)
            database.execute(query.of(each, kind, unit), query.parameters)
    database.execute("CREATE TEMP TABLE kinds AS SELECT DISTINCT metric_name, ratio FROM wanted")


class _Query:
    """The query for one metric, and its parameters."""

    def __init__(self, columns: Collection[str]) -> None:
        self._columns = columns
        self.parameters: dict[str, Any] = {}

    def of(self, each: Measure, kind: str, unit: str) -> str:
        """Return the query that adds the units of a metric, of one kind."""
        name, id_type, whose = self._bound(each.name), self._bound(kind), f"nullif(trim({self._text(unit)}), '')"
        below = each.denominator
        rows = [f"{self._rows(part)} AS {own}, {self._value(part)} AS x{own}" for part, own in _halves(each)]
        only_units = "unit IS NOT NULL AND " if below or each.part.measured is Measured.UNIQUE_USERS else ""
        return f"""
            INSERT INTO units
            SELECT {name}, {id_type}, unit IS NOT NULL AND bool_or(NOT again), count(*), count(*) FILTER (again),
                {_made(each)}
            FROM (SELECT {whose} AS unit, again, {", ".join(rows)} FROM counted)
            WHERE {only_units}({" OR ".join(own for _, own in _halves(each))}) GROUP BY unit
        """  # noqa: S608 - columns are quoted, and all else that others wrote is a parameter

    def _rows(self, part: Part) -> str:
        """Return the condition on the rows that a part is made of."""
        conditions = [self._condition(each) for each in part.filters]
        if part.event:
            conditions.append(f"coalesce({self._text('event_name')} = {self._bound(part.event)}, false)")
        if part.has_values:
            conditions.append(f"{self._value(part)} IS NOT NULL")
        return " AND ".join(f"({each})" for each in conditions) or "true"

    def _value(self, part: Part) -> str:
        return self._number(part.of) if part.has_values else "NULL::DOUBLE"

    def _condition(self, each: Filter) -> str:
        """Return a condition that is true or false: where there is no value, nothing is equal to it."""
        if each.relation in (Relation.IS_NULL, Relation.NOT_NULL):
            return f"{self._text(each.of)} IS {'NOT ' * (each.relation is Relation.NOT_NULL)}NULL"
        if each.relation is Relation.CONTAINS:
            return f"coalesce(contains({self._text(each.of)}, {self._bound(str(each.values[0]))}), false)"
        if each.relation in _COMPARED:
            return f"coalesce({self._number(each.of)} {_COMPARED[each.relation]} {self._bound(each.values[0])}, false)"
        equal = " OR ".join(self._equal(each.of, value) for value in each.values)
        return f"{'NOT ' * (each.relation in (Relation.IS_NOT, Relation.NOT_IN))}({equal})"

    def _equal(self, of: str, value: str | float) -> str:
        left = self._text(of) if isinstance(value, str) else self._number(of)
        return f"coalesce({left} = {self._bound(value)}, false)"

    def _number(self, of: str) -> str:
        """Return a value as a number; none where it is no finite one."""
        text = f"trim({self._text(of)})"
        number = f"TRY_CAST({text} AS DOUBLE)"
        return f"CASE WHEN regexp_full_match({text}, '{NUMBER}') AND isfinite({number}) THEN {number} END"

    def _text(self, of: str) -> str:
        """Return a column, or a value in a column of JSON, as text."""
        column, _, key = of.partition(".")
        if column not in self._columns:
            return "NULL::VARCHAR"
        quoted = '"' + column.replace('"', '""') + '"'
        text = f"CAST({quoted} AS VARCHAR)"
        if not key:
            return text
        # A key may have dots in it, as those of metadata do, or be the way through objects.
        ways = dict.fromkeys((_pointer(key), "".join(_pointer(part) for part in key.split("."))))
        found = [f"TRY(json_extract_string({text}, {self._bound(way)}))" for way in ways]
        return found[0] if len(found) == 1 else f"coalesce({', '.join(found)})"

    def _bound(self, value: str | float) -> str:
        name = f"p{len(self.parameters)}"
        self.parameters[name] = value
        return f"${name}"


def _halves(each: Measure) -> Sequence[tuple[Part, str]]:
    """Return the parts of a metric, each with the name of its condition in the query."""
    return [(each.part, "a"), *([(each.denominator, "b")] if each.denominator else [])]


def _made(each: Measure) -> str:
    """Return what is made of a unit's rows: its value, numerator and denominator."""
    if each.denominator is not None:
        return f"NULL, coalesce({_sum(each.part, 'a')}, 0), {_sum(each.denominator, 'b')}"
    if each.part.measured is Measured.MEAN:
        return f"NULL, {_sum(each.part, 'a')}, nullif(count(*) FILTER (NOT again), 0)"
    return f"{_sum(each.part, 'a')}, NULL, NULL"


def _sum(part: Part, own: str) -> str:
    """Return what some rows of a unit come to; NULL where there are none."""
    counted = f"count(*) FILTER ({own} AND NOT again)"
    if part.measured is Measured.COUNT:
        return f"nullif({counted}, 0)"
    if part.measured is Measured.UNIQUE_USERS:
        return f"CASE WHEN {counted} > 0 THEN 1 END"
    return f"fsum(x{own}) FILTER ({own} AND NOT again)"


def _pointer(key: str) -> str:
    """Return a key as a JSON pointer (RFC 6901)."""
    return "/" + key.replace("~", "~0").replace("/", "~1")
