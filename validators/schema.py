"""A pandera schema, compiled into typed columns and rules. What cannot be honoured is refused, with what to do.

Only `validators.kinds` knows how a dtype is read, and only `validators.evaluating` runs a check.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pyarrow as pa
from pandera.api.hypotheses import Hypothesis

from validators.errors import ContractError
from validators.evaluating import Cells, reads
from validators.kinds import type_of
from validators.rules import UNIQUE, Column, Keep, Rule, Scope, told_apart
from validators.suggest import did_you_mean
from validators.trials import refuse_broken
from validators.wording import builtin_name, expected

#: A name in `row_wise` that stands for every rule of the user's own.
EVERY_RULE = "*"
#: pandera's built-in checks that look at all values together.
AGGREGATES = ("unique_values_eq",)
#: pandera's `report_duplicates` in pandas' words.
KEEP: Mapping[str, Keep] = {"all": False, "exclude_first": "first", "exclude_last": "last"}


@dataclass(frozen=True, kw_only=True)
class Compiled:
    """What a schema says, in values that checking can run."""

    name: str
    columns: tuple[Column, ...]
    rules: tuple[Rule, ...]
    #: Whether columns that it does not declare are a problem.
    strict: bool
    #: Whether the columns must come in its order.
    ordered: bool
    #: Whether no two columns may share a name, even ones that it does not declare.
    unique_names: bool


def compile_schema(schema: Any) -> Compiled:
    """Turn a pandera DataFrameSchema into columns and rules.

    Args:
        schema: a `pandera.pandas.DataFrameSchema`.

    Raises:
        ContractError: the schema says something that cannot be honoured for files.
    """
    _refuse(schema)
    columns = tuple(_column(schema, name, column) for name, column in schema.columns.items())
    by_name = {column.name: column for column in columns if not column.pattern}
    compiler = _Compiler(columns, by_name)
    rules = told_apart([*compiler.column_rules(schema, columns), *compiler.frame_rules(schema, columns)])
    return Compiled(
        name=schema.name or "",
        columns=columns,
        rules=rules,
        strict=schema.strict is True,
        ordered=bool(schema.ordered),
        unique_names=bool(schema.unique_column_names),
    )


def _refuse(schema: Any) -> None:
    """Refuse what has no meaning for files, or would change values without a trace."""
    if not schema.columns:
        raise ContractError("it declares no columns. Declare each column that a file has, or a regex column '.*'")
    if schema.parsers:
        raise ContractError(_PARSERS.format(where="the schema"))
    if schema.index is not None:
        raise ContractError("it declares an index, and files have none. Declare a column in its place")
    if schema.add_missing_columns:
        raise ContractError(
            "add_missing_columns would put values into the table that no file has. "
            "Declare the columns as required=False, or Optional in a model, and take the option away"
        )
    for name, column in schema.columns.items():
        _refuse_column(name, column)


_PARSERS = (
    "{where} has a parser, which would change values before they are checked, and no value may change silently. "
    "Take it away; text is read as the declared dtype anyway, and what cannot be read is reported"
)


def _refuse_column(name: Any, column: Any) -> None:
    if not isinstance(name, str) or not name:
        raise ContractError(f"column {name!r}: a file's columns are named by text. Give it a name that is one text")
    if column.parsers:
        raise ContractError(_PARSERS.format(where=f"column '{name}'"))
    if column.default is not None:
        raise ContractError(
            f"column '{name}' has default={column.default!r}, which would put values into the table that no file has. "
            "Take it away, and declare the column nullable or required=False if it may be empty or missing"
        )
    if column.regex:
        _refuse_pattern(name)


def _refuse_pattern(name: str) -> None:
    try:
        re.compile(name)
    except re.error as error:
        raise ContractError(
            f"column '{name}' is not a regular expression: {error}. Mend it, or take regex=True away"
        ) from error


def _column(schema: Any, name: str, column: Any) -> Column:
    try:
        found = type_of(column.dtype if schema.dtype is None else schema.dtype)
    except ContractError as error:
        raise ContractError(f"column '{name}': {error}") from error
    return Column(
        name=name,
        type=found,
        required=bool(column.required),
        nullable=bool(column.nullable),
        expected=found.expected,
        title=column.title or "",
        description=column.description or "",
        pattern=bool(column.regex),
    )


@dataclass(frozen=True)
class _Compiler:
    """What compiling a check depends on beside the check."""

    columns: Sequence[Column]
    #: Those of them that are no patterns.
    by_name: Mapping[str, Column]

    def column_rules(self, schema: Any, columns: Sequence[Column]) -> Iterator[Rule]:
        """Yield each column's own rules, in the schema's order."""
        for column in columns:
            declared = schema.columns[column.name]
            if declared.unique:
                yield _unique_rule(column, KEEP[declared.report_duplicates])
            for check in declared.checks:
                yield from self.rules(check, column)

    def frame_rules(self, schema: Any, columns: Sequence[Column]) -> Iterator[Rule]:
        """Yield the rules on rows; a built-in on the whole schema speaks of each of its cells, so of each column."""
        for check in schema.checks:
            built_in = builtin_name(check)
            if built_in and built_in not in AGGREGATES and not check.groupby:
                for column in columns:
                    yield from self.rules(check, column)
            else:
                yield from self.rules(check, None)
        yield from self.joint_rules(schema)

    def joint_rules(self, schema: Any) -> Iterator[Rule]:
        """Yield the rules that some columns be unique together."""
        unique = schema.unique or []
        groups = [unique] if all(isinstance(name, str) for name in unique) else unique
        for group in groups:
            unknown = [name for name in group if name not in self.by_name]
            if unknown:
                near = did_you_mean(str(unknown[0]), list(self.by_name))
                raise ContractError(
                    f"unique names '{unknown[0]}', which is none of its columns; {near or 'declare it'}"
                )
            if group:
                said = f"{', '.join(group)} that no other row of the file has" + " together" * (len(group) > 1)
                keep = KEEP[schema.report_duplicates]
                yield Rule(name=UNIQUE, scope=Scope.UNIQUE, expected=said, columns=tuple(group), keep=keep)

    def rules(self, check: Any, column: Column | None) -> Iterator[Rule]:
        """Yield the rule of a check; none where its author wants a warning at most, for it rejects nothing."""
        if check.raise_warning:
            return
        built_in = builtin_name(check)
        name = check.name if check.name and check.name != "<lambda>" else "check"
        given = bool(check.groupby) or isinstance(check, Hypothesis) or built_in in AGGREGATES
        refuse_broken(check, name, column, self.columns, built_in=bool(built_in))
        yield Rule(
            name=name,
            scope=Scope.ROW if not given and (built_in or check.element_wise) else Scope.DROP,
            column=column.name if column else None,
            pattern=bool(column and column.pattern),
            expected=expected(check, built_in, name),
            allowed=_allowed(check) if built_in == "isin" else (),
            check=check,
            columns=self.reads(check, column, given=given),
            given=given,
        )

    def reads(self, check: Any, column: Column | None, *, given: bool) -> tuple[str, ...] | None:
        """Return the columns that a check is given, or is seen to read; None for all."""
        if given:
            return _given_columns(check, column)
        if column is not None or check.element_wise:
            return None
        nothing = pa.table({name: pa.array([], each.type.arrow) for name, each in self.by_name.items()})
        return reads(check, Cells(self.by_name, nothing, {}))


def _given_columns(check: Any, column: Column | None) -> tuple[str, ...] | None:
    """Return the columns that a grouping or a test of a hypothesis names; None where a function chooses them."""
    groups = check.groupby or []
    samples = getattr(check, "samples", None) or [] if column is None else []
    if callable(groups) or (column is None and not samples):
        return None
    names = [*([column.name] if column else []), *groups, *([samples] if isinstance(samples, str) else samples)]
    return tuple(dict.fromkeys(names))


def declared_row_wise(rules: Sequence[Rule], names: Collection[str]) -> tuple[Rule, ...]:
    """Return the rules with some of the author's own declared to look at one row at a time.

    Args:
        rules: a contract's rules.
        names: names of rules; `*` for all that can be declared.

    Raises:
        ContractError: a name is no rule's, or one of a rule that looks at other rows by its nature.
    """
    own = {rule.name for rule in rules if rule.check is not None and not rule.given}
    for name in names:
        if name != EVERY_RULE and name not in own:
            near = did_you_mean(name, sorted(own))
            have = f"such rules are {', '.join(sorted(own))}" if own else "it has none"
            raise ContractError(f"row_wise names '{name}', which is no rule on single rows; {near or have}")
    every = EVERY_RULE in names
    return tuple(
        replace(rule, scope=Scope.ROW)
        if rule.name in own and not rule.given and (every or rule.name in names)
        else rule
        for rule in rules
    )


def _unique_rule(column: Column, keep: Keep) -> Rule:
    return Rule(
        name=UNIQUE,
        scope=Scope.UNIQUE,
        column=column.name,
        pattern=column.pattern,
        expected="a value that no other row of the file has",
        columns=(column.name,),
        keep=keep,
    )


def _allowed(check: Any) -> tuple[str, ...]:
    values = check.statistics["allowed_values"]
    return tuple(sorted(map(str, values)) if isinstance(values, set | frozenset) else map(str, values))
