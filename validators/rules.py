"""Columns and rules: what a contract says, in values that checking can run. Nothing here reads or judges."""

from __future__ import annotations

import enum
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
import pandas as pd

from validators.casting import Type

#: Rules of the engine itself, beside those that a contract names.
TYPE, NOT_NULLABLE, UNIQUE, CHECK_ERROR = "type", "not_nullable", "unique", "check_error"

#: How the words for a rule begin that says nothing of itself.
UNTOLD = "the rule '"

#: Grows when the engine judges the same rows by the same contract in another way; part of every contract's digest.
RULES_VERSION = 1

#: Which rows of a group of equal ones are to blame, in the words of `pandas.DataFrame.duplicated`.
Keep = Literal["first", "last", False]


class Scope(enum.StrEnum):
    """What a rule has to see before it can judge."""

    #: One row at a time; judged batch by batch.
    ROW = "row"
    #: Perhaps other rows too; judged once, over all rows of the file.
    DROP = "drop"
    #: Whether other rows have the same values; judged over all rows of the file, however many.
    UNIQUE = "unique"


@dataclass(frozen=True, kw_only=True)
class Column:
    """One column that a contract declares."""

    #: The contract's name, or a regular expression over names.
    name: str
    type: Type
    #: Whether a file without it is rejected.
    required: bool = True
    #: Whether its cells may be empty.
    nullable: bool = False
    #: What a cell must be, in words, for people.
    expected: str = ""
    title: str = ""
    description: str = ""
    #: Whether `name` is a regular expression, matched at the start of a file's names as `re.match` does.
    pattern: bool = False

    @property
    def holds_nulls(self) -> bool:
        """Whether the declared dtype has a value for an empty cell; NumPy's integers and booleans have none."""
        dtype = pd.api.types.pandas_dtype(self.type.pandas)
        return not (isinstance(dtype, np.dtype) and dtype.kind in "iub")


@dataclass(frozen=True, kw_only=True)
class Rule:
    """One thing that rows must satisfy, compiled from a pandera check or from a uniqueness setting."""

    #: Stable, and unique beside the column: the check's own name where it has one.
    name: str
    scope: Scope
    #: The column that it judges; a regular expression until a file's names are known; None for whole rows.
    column: str | None = None
    #: What must hold, in words: "one of user_id, stable_id".
    expected: str = ""
    hint: str = ""
    #: The words that are allowed, for a did-you-mean.
    allowed: tuple[str, ...] = ()
    #: The pandera check; None for uniqueness.
    check: Any = field(default=None, repr=False)
    #: Whether `column` is a regular expression.
    pattern: bool = False
    #: Columns that must be unique together, or the columns that a check on rows is known to read; None: all.
    columns: tuple[str, ...] | None = None
    #: Whether the check is given exactly `columns` as a frame: it groups rows, or tests a hypothesis.
    given: bool = False
    #: Which of the rows that share their values are to blame.
    keep: Keep = False

    def on(self, column: str) -> Rule:
        """Return the rule for one of the columns that its pattern matches."""
        return replace(self, column=column, pattern=False, columns=(column,) if self.scope is Scope.UNIQUE else None)

    @property
    def shows(self) -> tuple[str, ...]:
        """Columns whose cells a report shows; none where the rule has a column of its own."""
        return () if self.column else tuple(self.columns or ())


def told_apart(rules: Sequence[Rule]) -> tuple[Rule, ...]:
    """Number rules that share their name and column: `in_range`, `in_range_2`."""
    seen: dict[tuple[str, str | None], int] = {}
    named = []
    for rule in rules:
        count = seen[rule.name, rule.column] = seen.get((rule.name, rule.column), 0) + 1
        named.append(rule if count == 1 else replace(rule, name=f"{rule.name}_{count}"))
    return tuple(named)


def listed(words: Collection[object], limit: int = 20) -> str:
    """Join words with commas, the first of them where there are many."""
    shown = [str(word) for word in words]
    more = len(shown) - limit
    return ", ".join(shown) if more <= 0 else f"{', '.join(shown[:limit])} and {more:,} more"
