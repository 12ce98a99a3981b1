"""The columns of a table: in which order they stand, which types they may have, and how new ones join them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import pyarrow as pa

from daemon.errors import StoreError
from daemon.staging.datafile import DATE, plain_schema

#: The engine's own columns, after the contract's, in this order.
OWN = ("customer", DATE, "_drop", "_row", "_ingested_at", "_waived")

#: What a Delta table can hold without changing it: no unsigned numbers, no nanoseconds, no zones but UTC.
_HELD: tuple[Callable[[pa.DataType], bool], ...] = (
    pa.types.is_boolean,
    pa.types.is_signed_integer,
    pa.types.is_float32,
    pa.types.is_float64,
    pa.types.is_string,
    pa.types.is_binary,
    pa.types.is_date32,
    pa.types.is_decimal128,
    lambda kind: kind in (pa.timestamp("us"), pa.timestamp("us", "UTC")),
)


def arranged(schema: pa.Schema) -> pa.Schema:
    """Return the columns as the table has them: the contract's, then the engine's own with `date`; all nullable.

    Raises:
        StoreError: a column has a type that tables cannot hold, or two names differ in nothing but case.
    """
    columns = {column.name: _held(column) for column in plain_schema(schema)}
    columns.setdefault(DATE, pa.field(DATE, pa.date32()))
    if columns[DATE].type != pa.date32():
        raise StoreError(f"column {DATE!r} is {columns[DATE].type}; a table's column of that name is the row's day")
    _refuse_twins(list(columns))
    theirs = [column for name, column in columns.items() if name not in OWN]
    return pa.schema(theirs + [columns[name] for name in OWN if name in columns])


def added(table: pa.Schema, schema: pa.Schema) -> tuple[pa.Field[Any], ...]:
    """Return the columns of `schema` that the table has not got yet.

    Raises:
        StoreError: a column has another type in the table, or another case in its name.
    """
    new = tuple(column for column in schema if column.name not in table.names)
    _refuse_twins([*table.names, *(column.name for column in new)])
    for column in schema:
        if column.name in table.names and table.field(column.name).type != column.type:
            raise StoreError(
                f"column {column.name!r} is {column.type} in the file, as the contract has it, and "
                f"{table.field(column.name).type} in the table, where a column keeps its type. Give the column its "
                "earlier type or another name in the contract, or give the feed another name, which starts a new table."
            )
    return new


def misfits(table: pa.Schema, brought: Iterable[pa.Schema | None]) -> Iterator[str]:
    """Yield for each of the schemas why its rows cannot go into the table; empty where they can.

    They go one after the other: what one adds is there for the next. None stands for no rows.
    """
    for schema in brought:
        reason = ""
        if schema is not None:
            try:
                table = pa.schema([*table, *added(table, arranged(schema))])
            except StoreError as error:
                reason = str(error)
        yield reason


def widened(rows: pa.Table, schema: pa.Schema) -> pa.Table:
    """Return the rows with all columns of the schema, in its order; null where they have none."""
    columns = [
        rows[column.name] if column.name in rows.column_names else pa.nulls(rows.num_rows, column.type)
        for column in schema
    ]
    return pa.table(columns, schema=schema)


def _held(column: pa.Field[Any]) -> pa.Field[Any]:
    kind = pa.string() if pa.types.is_large_string(column.type) else column.type
    if not any(holds(kind) for holds in _HELD):
        raise StoreError(f"column {column.name!r} is {kind}, which a table cannot hold as it is")
    return pa.field(column.name, kind)


def _refuse_twins(names: list[str]) -> None:
    twins = [lower for lower, count in Counter(name.lower() for name in names).items() if count > 1]
    if twins:
        named = ", ".join(repr(name) for name in names if name.lower() in twins)
        raise StoreError(f"columns {named} differ in nothing but case, which a table cannot tell apart. Rename one.")
