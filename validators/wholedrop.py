"""Rules that speak of a whole file: they see its batches as they come, and judge when there are no more.

Uniqueness takes no more memory for a larger file. Other rules see one frame of the columns that they need, up to a cap.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from validators.errors import FileProblem
from validators.evaluating import Cells, Found, evaluate
from validators.matching import ABSENT, columns_on, rules_on
from validators.model import Mask, Numbers
from validators.rules import CHECK_ERROR, TYPE, UNTOLD, Rule, Scope, listed
from validators.texts import uncoded
from validators.uniqueness import Uniqueness

if TYPE_CHECKING:
    from validators.checking import Checked
    from validators.contract import Contract

MEGABYTE = 1024**2
TOO_LARGE = "too_large_for_rule"


@dataclass(frozen=True, kw_only=True)
class DropHit:
    """One rule that a file breaks as a whole, or that some of its rows break because of others."""

    rule: str
    column: str | None
    #: What must hold, in words; for the whole file a sentence.
    expected: str
    hint: str = ""
    #: Numbers of the records that break it, ascending; empty when it speaks of the whole file.
    rows: Numbers
    whole_file: bool = False
    allowed: tuple[str, ...] = ()
    #: Columns whose cells a report shows; the column itself when empty.
    shows: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Part:
    """One batch of a file, as far as some rule over the whole file needs it."""

    typed: pa.Table
    unknown: Mapping[str, Mask]
    rows: Numbers


class WholeDrop:
    """The rules over one whole file."""

    def __init__(self, contract: Contract, max_bytes: int) -> None:
        """Start with no rows.

        Args:
            contract: the file's contract.
            max_bytes: what the typed columns may take that rules other than uniqueness need.
        """
        self._contract = contract
        self._max_bytes = max_bytes
        self._rules = [rule for rule in contract.rules if rule.scope is Scope.DROP]
        self._uniques: dict[tuple[str, ...], Uniqueness] = {}
        self._unique_rules: dict[tuple[str, ...], Rule] = {}
        self._parts: list[_Part] = []
        self._absent: set[str] = set()
        self._bytes = 0

    def add(self, checked: Checked, rows: Numbers) -> None:
        """Take a batch.

        Args:
            checked: the batch after `check_rows`.
            rows: the record number of each of its rows, ascending.

        Raises:
            FileProblem: the file is too large for a rule that has to see all of it.
        """
        checked = replace(checked, typed=uncoded(checked.typed))
        absent = {field.name for field in checked.typed.schema if field.metadata == ABSENT}
        self._absent |= absent
        present = [name for name in checked.typed.column_names if name not in absent]
        self._add_unique(checked, present, rows)
        if self._rules:
            self._add_part(checked, present, rows)

    def finish(self, absent: Collection[str] = ()) -> tuple[DropHit, ...]:
        """Judge, and forget the rows. A check of the contract's own that fails is told as a rule on the file.

        Args:
            absent: columns that no record of the file has, where each record names its own. Rules on them say nothing.
        """
        self._absent.update(absent)
        found = [hit for key, rule in self._unique_rules.items() for hit in self._not_unique(rule, self._uniques[key])]
        self._uniques.clear()
        if self._rules:
            cells, rows = self._cells()
            names = list(cells.columns)
            found += [hit for rule in rules_on(self._rules, names) for hit in _judged(rule, cells, rows)]
        self._parts.clear()
        return tuple(found)

    def _add_unique(self, checked: Checked, present: list[str], rows: Numbers) -> None:
        for rule in rules_on(self._contract.rules, present):
            if rule.scope is not Scope.UNIQUE or rule.columns is None:
                continue
            key = (rule.name, rule.column or "", *rule.columns)
            if key not in self._uniques:
                self._uniques[key], self._unique_rules[key] = Uniqueness(), rule
            masks = _not_compared(checked, rule)
            keys = checked.typed.select(list(rule.columns))
            if masks:
                known = ~np.logical_or.reduce(masks)
                self._uniques[key].add(keys.filter(pa.array(known)), rows[known])
            else:
                self._uniques[key].add(keys, rows)

    def _not_unique(self, rule: Rule, uniqueness: Uniqueness) -> Iterator[DropHit]:
        rows = uniqueness.finish(rule.keep)
        if len(rows) and not self._absent.issuperset(rule.columns or ()):
            yield DropHit(
                rule=rule.name, column=rule.column, expected=rule.expected, hint=rule.hint, rows=rows, shows=rule.shows
            )

    def _add_part(self, checked: Checked, present: list[str], rows: Numbers) -> None:
        needed = self._needed(present)
        part = _Part(
            checked.typed.select(needed),
            {name: checked.unknown[name] for name in needed if name in checked.unknown},
            rows,
        )
        self._bytes += part.typed.nbytes
        if self._bytes > self._max_bytes:
            raise self._too_large()
        self._parts.append(part)

    def _needed(self, present: list[str]) -> list[str]:
        """Return the columns that some rule looks at: all of them for checks on rows, which may read any."""
        rules = rules_on(self._rules, present)
        if any(rule.column is None and not (rule.given and rule.columns) for rule in rules):
            return present
        if any(rule.given and rule.columns is None for rule in rules):
            return present
        needed = {name for rule in rules for name in (rule.column, *(rule.columns or ())) if name is not None}
        return [name for name in present if name in needed]

    def _too_large(self) -> FileProblem:
        names = listed(list(dict.fromkeys(f"'{rule.name}'" for rule in self._rules)))
        return FileProblem(
            TOO_LARGE,
            f"the file is too large for {names}: a rule that may compare rows needs all of them in memory at once, "
            f"at most {self._max_bytes / MEGABYTE:,.0f} MB",
            hint="name the rules in the feed's `row_wise` if each looks at one row at a time; or drop smaller files; "
            "or raise limits.max_whole_drop_bytes",
        )

    def _cells(self) -> tuple[Cells, Numbers]:
        parts = self._parts or [self._nothing()]
        found = dict.fromkeys(name for part in parts for name in part.typed.column_names)
        names = [name for name in found if name not in self._absent]
        unknown: dict[str, Mask] = {}
        for name in names:
            masks = [_unknown(part, name) for part in parts]
            if any(mask is not None for mask in masks):
                lengths = [part.typed.num_rows for part in parts]
                filled = [
                    np.zeros(each, np.bool_) if mask is None else mask
                    for mask, each in zip(masks, lengths, strict=True)
                ]
                unknown[name] = np.concatenate(filled)
        typed = pa.concat_tables([part.typed for part in parts], promote_options="default").select(names)
        cells = Cells(columns_on(self._contract.columns, names), typed, unknown, self._absent)
        return cells, np.concatenate([part.rows for part in parts])

    def _nothing(self) -> _Part:
        columns = [column for column in self._contract.columns if not column.pattern]
        typed = pa.table({column.name: pa.array([], column.type.arrow) for column in columns})
        return _Part(typed, {}, np.empty(0, np.int64))


def _not_compared(checked: Checked, rule: Rule) -> list[Mask]:
    """Return the rows whose values in a rule's columns cannot be compared with those of others.

    Of several columns some may be empty: rows with the same values and the same gaps are the same.
    """
    columns = rule.columns or ()
    if len(columns) > 1:
        return [hit.failed for hit in checked.hits if hit.rule == TYPE and hit.column in columns]
    return [checked.unknown[name] for name in columns if name in checked.unknown]


def _unknown(part: _Part, name: str) -> Mask | None:
    """Return the cells of a batch that no rule can judge: all of a column that its records do not have."""
    if name not in part.typed.column_names:
        return np.ones(part.typed.num_rows, np.bool_)
    return part.unknown.get(name)


def _judged(rule: Rule, cells: Cells, rows: Numbers) -> Iterator[DropHit]:
    try:
        for found in evaluate(rule, cells):
            yield _hit(rule, found, rows)
    except FileProblem as problem:
        yield DropHit(
            rule=CHECK_ERROR,
            column=rule.column,
            expected=problem.message,
            hint=problem.hint,
            rows=rows[:0],
            whole_file=True,
        )


def _hit(rule: Rule, found: Found, rows: Numbers) -> DropHit:
    of = f" of column {found.column}" if found.column else ""
    whole = found.positions is None
    # A rule that says nothing of itself is told by its name, which stands in the sentence already.
    asked = "" if rule.expected.startswith(UNTOLD) else f": expected {rule.expected}"
    return DropHit(
        rule=rule.name,
        column=found.column,
        expected=f"the rule '{rule.name}'{of} does not hold over the whole file{asked}" if whole else rule.expected,
        hint=rule.hint,
        rows=rows[:0] if found.positions is None else rows[found.positions],
        whole_file=whole,
        allowed=rule.allowed,
        shows=rule.shows if found.column is None else (),
    )
