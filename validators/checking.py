"""Typed cells and a contract -> which rows break which rules, batch by batch.

Rules that must see the whole file are judged by `WholeDrop`, from the same batches.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa

from validators.casting import Cast, Kind, cast
from validators.evaluating import Cells, evaluate
from validators.matching import Match
from validators.model import Hit, Mask
from validators.rules import NOT_NULLABLE, TYPE, Column, Rule, Scope
from validators.texts import Array, coded
from validators.wholedrop import DropHit, WholeDrop

__all__ = ["Checked", "DropHit", "WholeDrop", "check_rows"]


@dataclass(frozen=True, kw_only=True)
class Checked:
    """A batch of rows after casting and checking."""

    #: The cells in the contract's types, null where there is no value or none that could be read. Text that comes again
    #: and again is held as codes.
    typed: pa.Table
    #: The rules that some rows break.
    hits: tuple[Hit, ...]
    #: For columns with such cells: which could not be read, or cannot be held by the dtype that checks see.
    unknown: Mapping[str, Mask]


def check_rows(match: Match, table: pa.Table) -> Checked:
    """Cast rows and judge them by every rule that looks at one row at a time.

    The result for a row does not depend on which rows are checked together with it.

    Args:
        match: the file's columns resolved against the contract.
        table: the file's columns under the contract's names, as text or typed; absent ones are left out.

    Raises:
        FileProblem: one of the contract's own checks raised an exception, or gave no answer for each row.
    """
    typed: list[Array] = []
    hits: list[Hit] = []
    unknown: dict[str, Mask] = {}
    for column in match.columns:
        values = _cast(column, table)
        typed.append(values.values)
        if column.name not in match.absent:
            may_lack = match.named_by_record and not column.required
            hits.extend(_cell_hits(column, values, unknown, may_lack=may_lack))
    fields = [field.with_type(column.type) for field, column in zip(match.schema, typed, strict=True)]
    result = pa.Table.from_arrays(typed, schema=pa.schema(fields))
    if table.num_rows:
        columns = {column.name: column for column in match.columns if column.name not in match.absent}
        cells = Cells(columns, result, unknown, match.absent)
        hits.extend(hit for rule in match.rules if rule.scope is Scope.ROW for hit in _rule_hits(rule, cells))
    return Checked(typed=result, hits=tuple(hits), unknown=unknown)


def _cast(column: Column, table: pa.Table) -> Cast:
    if column.name not in table.column_names:
        arrow: Any = column.type.arrow
        return Cast(values=pa.nulls(table.num_rows, arrow), bad=None)
    found = cast(table[column.name], column.type)
    return replace(found, values=coded(found.values)) if column.type.kind is Kind.STRING else found


def _cell_hits(column: Column, cells: Cast, unknown: dict[str, Mask], *, may_lack: bool) -> Iterator[Hit]:
    """Yield what is wrong with single cells, and note those that no rule can judge.

    With `may_lack` a record may leave the column out, and then no rule is held against it.
    """
    if not cells.values.null_count:
        return
    empty = cells.values.is_null().to_numpy(zero_copy_only=False)
    if cells.bad is not None and cells.bad.any():
        empty = empty & ~cells.bad
        unknown[column.name] = cells.bad
        yield Hit(
            rule=TYPE,
            column=column.name,
            expected=column.type.expected,
            failed=cells.bad,
            allowed=column.type.categories,
        )
    if not empty.any():
        return
    if may_lack or not column.holds_nulls:
        unknown[column.name] = empty | unknown[column.name] if column.name in unknown else empty
    if not column.nullable and not may_lack:
        yield Hit(rule=NOT_NULLABLE, column=column.name, expected="a value", failed=empty)


def _rule_hits(rule: Rule, cells: Cells) -> Iterator[Hit]:
    for found in evaluate(rule, cells):
        failed = np.zeros(cells.rows, np.bool_)
        failed[found.positions] = True
        yield Hit(
            rule=rule.name,
            column=found.column,
            expected=rule.expected,
            failed=failed,
            hint=rule.hint,
            shows=rule.shows if found.column is None else (),
            allowed=rule.allowed,
        )
