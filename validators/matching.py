"""A file's column names resolved against a contract: what is there, what is missing, what was probably meant."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from validators.model import Problem
from validators.rules import Column, Rule, Scope, listed
from validators.sentences import printable, shortened
from validators.suggest import suggest
from validators.texts import Array, to_text

if TYPE_CHECKING:
    from validators.contract import Contract

#: Marks, in the metadata of a typed table's field, a column that the file does not have.
ABSENT = {b"blobdrop": b"absent"}
#: What a cell looks like and the name of a column does not: a number, or a day with or without its time.
_VALUE = re.compile(r"[+-]?[0-9]+(?:[.,][0-9]+)*|[0-9]{4}-[0-9]{2}-[0-9]{2}.*", re.DOTALL)
#: What separates the names in a header that was read as one name, and how a hint writes it.
_SEPARATORS = ((";", ";"), ("\t", "\\t"), ("|", "|"), (",", ","))


@dataclass(frozen=True, kw_only=True)
class Match:
    """One file's columns, resolved against its contract."""

    contract: Contract
    #: All columns of the typed table, in its order; regex columns by their real names, absent optional ones too.
    columns: tuple[Column, ...]
    #: The file's names -> the contract's. Records that name their own columns may have two names for one.
    names: Mapping[str, str]
    #: The file's names that the contract does not know; they are left out.
    ignored: tuple[str, ...]
    #: What is wrong with the file as a whole.
    problems: tuple[Problem, ...]
    #: Optional columns that the file does not have.
    absent: frozenset[str]
    #: The rules on these columns.
    rules: tuple[Rule, ...]
    #: Of the typed table.
    schema: pa.Schema
    #: Whether each record names its own columns: then one that leaves an optional column out breaks no rule.
    named_by_record: bool = False

    @property
    def filled(self) -> frozenset[str]:
        """The columns that have a value in each row that is accepted."""
        lacking = {each.name for each in self.columns if each.nullable or (self.named_by_record and not each.required)}
        return frozenset(each.name for each in self.columns) - lacking - self.absent

    def renamed(self, table: pa.Table) -> pa.Table:
        """Return the columns that the contract knows under its own names.

        Where records use two names for one column, a record's own name for it wins over an alias.
        """
        found: dict[str, list[Array]] = {}
        for name in sorted(table.column_names, key=lambda name: self.names.get(name) != name):
            if name in self.names:
                found.setdefault(self.names[name], []).append(table[name])
        # Records that name their own columns may do so in any order, and a report is not to depend on which came first.
        names = [each.name for each in self.columns if each.name in found] if self.named_by_record else found
        renamed = table.select([])  # It still knows how many rows there are.
        for name in names:
            renamed = renamed.append_column(name, _first_given(found[name]))
        return renamed


def match(contract: Contract, names: Sequence[str], *, final: bool = True) -> Match:
    """Resolve a file's column names.

    Args:
        contract: what the file must be.
        names: in the file's order, as they stand in it.
        final: whether these are all names that the file has; False for some records of a file in which each record
            names its own. Only then can a column be missing or unknown.
    """
    by_name = {column.name: column for column in contract.columns if not column.pattern}
    patterns = [(re.compile(column.name), column) for column in contract.columns if column.pattern]
    resolved: dict[str, str] = {}
    real: dict[str, list[Column]] = {column.name: [] for _, column in patterns}
    for name in dict.fromkeys(names):
        target = contract.aliases.get(name)
        if name in by_name:
            resolved[name] = name
        elif target is not None and (target not in names or not final):
            resolved[name] = target
        elif column := next((column for pattern, column in patterns if pattern.match(name)), None):
            resolved[name] = name
            real[column.name].append(replace(column, name=name, pattern=False))
    columns = tuple(each for column in contract.columns for each in (real[column.name] if column.pattern else [column]))
    absent = frozenset(by_name) - frozenset(resolved.values()) if final else frozenset()
    ignored = tuple(name for name in dict.fromkeys(names) if name not in resolved)
    return Match(
        contract=contract,
        columns=columns,
        names=resolved,
        ignored=ignored,
        problems=tuple(_problems(contract, names, resolved, ignored)) if final else (),
        absent=absent,
        rules=rules_on(contract.rules, [column.name for column in columns if column.name not in absent]),
        schema=pa.schema(
            [pa.field(each.name, each.type.arrow, metadata=ABSENT if each.name in absent else None) for each in columns]
        ),
        named_by_record=not final,
    )


def columns_on(columns: Sequence[Column], names: Collection[str]) -> dict[str, Column]:
    """Return the columns with these real names: each as it is declared, or by the first pattern that it matches."""
    exact = {column.name: column for column in columns if not column.pattern}
    patterns = [column for column in columns if column.pattern]
    found = {name: exact.get(name) or next(each for each in patterns if re.match(each.name, name)) for name in names}
    return {name: replace(column, name=name, pattern=False) for name, column in found.items()}


def rules_on(rules: Sequence[Rule], present: Collection[str]) -> tuple[Rule, ...]:
    """Return the rules that apply to a file with these columns, those on regex columns once for each real name."""
    return tuple(found for rule in rules for found in _applied(rule, present))


def _applied(rule: Rule, present: Collection[str]) -> Iterator[Rule]:
    if rule.pattern:
        yield from (rule.on(name) for name in present if re.match(rule.column or "", name))
    elif rule.column is not None:
        needed = (rule.column, *(rule.columns or ()))
        if all(name in present for name in needed):
            yield rule
    elif rule.scope is Scope.UNIQUE:
        columns = tuple(name for name in rule.columns or () if name in present)
        if columns:
            yield replace(rule, columns=columns)
    elif not rule.given or all(name in present for name in rule.columns or ()):
        yield rule


def _first_given(columns: Sequence[Array]) -> Array:
    """Return for each row the first of its values in several columns."""
    if len(columns) == 1:
        return columns[0]
    if len({column.type for column in columns}) > 1:
        columns = [pa.chunked_array([to_text(column)], pa.string()) for column in columns]
    return pc.coalesce(*columns)


def _problems(
    contract: Contract, names: Sequence[str], resolved: Mapping[str, str], ignored: Sequence[str]
) -> Iterator[Problem]:
    yield from _duplicates(contract, names, resolved)
    yield from _missing(contract, names, resolved, ignored)
    if contract.strict:
        have = [column.name for column in contract.columns]
        for name in ignored:
            meant = suggest(name, have)
            hint = f"did you mean '{meant}'?" if meant else f"its columns are {listed(have)}"
            yield _problem("unknown_column", None, f"the contract knows no column '{name}'", hint)
    if contract.ordered:
        yield from _misplaced(contract, resolved)


def _duplicates(contract: Contract, names: Sequence[str], resolved: Mapping[str, str]) -> Iterator[Problem]:
    targets = Counter(resolved[name] for name in names if name in resolved)
    for target, count in targets.items():
        if count > 1:
            twice = [name for name in dict.fromkeys(names) if resolved.get(name) == target]
            said = f"the column '{target}' is there {count} times" + (f", as {listed(twice)}" if len(twice) > 1 else "")
            yield _problem("duplicate_column", target, said, "leave one of them out, or rename it")
    if contract.unique_names:
        for name, count in Counter(name for name in names if name not in resolved).items():
            if count > 1:
                yield _problem("duplicate_column", None, f"the column '{name}' is there {count} times", "rename it")


def _missing(
    contract: Contract, names: Sequence[str], resolved: Mapping[str, str], ignored: Sequence[str]
) -> Iterator[Problem]:
    """Yield what is missing; which columns there are instead is said with the first one only."""
    wanted = [*_unmatched(contract, resolved), *_alternatives(contract, frozenset(resolved.values()))]
    separated = _separated(names)
    header = separated or _header(names, resolved)
    ignored = () if separated else ignored
    for columns, said in wanted:
        near = next(((name, meant) for name in columns if (meant := suggest(name, ignored))), None)
        hint = f"the file has '{near[1]}': did you mean '{near[0]}'?" if near else header
        header = header if near else ""
        yield _problem("missing_column", columns[0] if columns else None, said, hint)


def _unmatched(contract: Contract, resolved: Mapping[str, str]) -> Iterator[tuple[tuple[str, ...], str]]:
    """Yield the required columns that are missing, and how that is said."""
    have = frozenset(resolved.values())
    for column in contract.columns:
        if column.pattern and column.required and not any(re.match(column.name, name) for name in resolved):
            yield (), f"no column has a name that matches {column.name}"
        elif not column.pattern and column.required and column.name not in have:
            yield (column.name,), f"the column '{column.name}' is missing"


def _alternatives(contract: Contract, have: Collection[str]) -> Iterator[tuple[tuple[str, ...], str]]:
    """Yield the groups of which a file needs one column and has none; those that share their first one are one."""
    missing: dict[str, list[str]] = {}
    for group in contract.any_of:
        if not any(name in have for name in group):
            missing.setdefault(group[0], []).extend(group[1:])
    for first, instead in missing.items():
        wanted = (first, *instead)
        if wanted in contract.any_of:
            yield wanted, f"one of the columns {' or '.join(map(_quoted, wanted))} is missing"
        else:
            others = " and ".join(map(_quoted, instead))
            yield wanted, f"the column '{first}' is missing, and so are {others}, which would do instead"


def _quoted(name: str) -> str:
    return f"'{name}'"


def _separated(names: Sequence[str]) -> str:
    """Say that a header was read as one name though it has others, which the delimiter does not separate."""
    written = next((shown for each, shown in _SEPARATORS if len(names) == 1 and each in names[0]), None)
    if written is None:
        return ""
    only = f"the file's only column is '{printable(shortened(names[0]))}'"
    return f'{only}: are its fields separated by {written}? Then set delimiter = "{written}" in the feed\'s dialect'


def _header(names: Sequence[str], resolved: Mapping[str, str]) -> str:
    """Say which columns the file has, and whether its first line looks like a row."""
    if not names:
        return "the file names no columns"
    have = f"the file's columns are {listed(names)}"
    if any(_VALUE.fullmatch(name) for name in names):
        return f"{have}: is its header line missing?"
    return have if resolved else f"{have}; none of them is known here: is the file for another feed?"


def _misplaced(contract: Contract, resolved: Mapping[str, str]) -> Iterator[Problem]:
    order = {column.name: place for place, column in enumerate(contract.columns) if not column.pattern}
    found = [name for name in resolved.values() if name in order]
    wanted = sorted(found, key=order.__getitem__)
    if found != wanted:
        said = f"the columns must come in the order {listed(wanted)}"
        yield _problem("column_order", None, said, f"in the file they come as {listed(found)}")


def _problem(rule: str, column: str | None, said: str, hint: str) -> Problem:
    return Problem(rule=rule, column=column, count=1, expected=said, hint=hint, whole_file=True)
