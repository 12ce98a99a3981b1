"""A contract: what a feed's rows must be. A pandera schema with a time column, a key, and names for files' columns.

`load_contract` makes one from what a configuration names, `Contract.of` from a schema at hand.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pandera.pandas as pandera
import pyarrow as pa
import pyarrow.compute as pc

from validators.days import days_of
from validators.digest import digest, plain
from validators.errors import ContractError
from validators.kinds import Kind
from validators.loading import Named, called, named
from validators.matching import Match, match
from validators.rules import Column, Rule, Scope, told_apart
from validators.schema import compile_schema, declared_row_wise
from validators.suggest import did_you_mean
from validators.texts import Array, flat

__all__ = ["Column", "Contract", "Match", "load_contract"]

#: Columns that a table has after the contract's own, and that quarantine files end with.
RESERVED = ("_drop", "_row", "_ingested_at", "_waived", "_line", "_problems")
#: The table's own columns that a contract may have too; it keeps them under another name.
SHARED = ("customer", "date")
#: The seconds since 1970 of which no two digits are missing or too many: the years 1 to 5138. Thirteen digits, which
#: milliseconds have since 2001, lie far above.
FIRST_SECOND, LAST_SECOND = -62_135_596_800, 99_999_999_999
UNIX_SECONDS = "unix_seconds"
UNIX_SECONDS_EXPECTED = "unix seconds such as 1647975283"
UNIX_SECONDS_HINT = "looks like milliseconds: divide by 1000 (16 digits are microseconds: divide by 1000000)"
#: The same for milliseconds, of which seconds have too few digits: the years 1973 to 5138.
FIRST_MILLISECOND, LAST_MILLISECOND = 100_000_000_000, 99_999_999_999_999
UNIX_MILLISECONDS = "unix_milliseconds"
#: Units of whole numbers that give a row its day, and how many of each make a second.
TIME_UNITS = {"s": 1, "ms": 1_000}
#: Kinds of column that can give a row its day.
TIME_KINDS = (Kind.DATE, Kind.TIMESTAMP, Kind.INTEGER)


@dataclass(frozen=True, kw_only=True)
class Contract:
    """What a feed's rows must be."""

    name: str
    #: SHA-256 over everything that decides a verdict; the same in every process.
    digest: str
    columns: tuple[Column, ...]
    rules: tuple[Rule, ...] = field(repr=False)
    #: Whether columns that it does not declare reject a file.
    strict: bool = False
    #: Whether a file's columns must come in the contract's order.
    ordered: bool = False
    #: Whether a file may not have two columns of one name, even ones that the contract does not know.
    unique_names: bool = False
    #: Other names under which files bring a column, where they do not bring it under its own.
    aliases: Mapping[str, str] = field(default_factory=dict)
    #: Groups of optional columns of which a file must have at least one.
    any_of: tuple[tuple[str, ...], ...] = ()
    #: The columns that give a row its day: the first of them that has a value.
    time_columns: tuple[str, ...] = ()
    #: The unit of whole numbers in them: s or ms, since 1970.
    time_unit: str = "s"
    #: The columns that make a row one of its kind.
    key: tuple[str, ...] = ()

    @classmethod
    def of(
        cls,
        schema: Any,
        *,
        name: str = "",
        aliases: Mapping[str, str] | None = None,
        any_of: Collection[tuple[str, ...]] = (),
        time_column: str | Sequence[str] | None = None,
        key: Sequence[str] = (),
        row_wise: Collection[str] = (),
        hints: Mapping[str, str] | None = None,
        time_unit: str = "",
        source: bytes = b"",
    ) -> Contract:
        """Make a contract of a pandera schema.

        Args:
            schema: a DataFrameModel or a DataFrameSchema of `pandera.pandas`.
            name: for reports; the schema's own by default.
            aliases: other names of columns -> the schema's names.
            any_of: groups of optional columns of which a file must have at least one.
            time_column: the column that gives a row its day; several where the first of them that has a value does.
            key: the columns that make a row one of its kind.
            row_wise: names of the schema's own checks that look at one row at a time; `*` for all of them. Others
                are judged once, over the whole file.
            hints: names of rules -> what a person should do next.
            time_unit: the unit of whole numbers that give a row its day: s, or ms.
            source: the text that the schema was made from; part of the digest.

        Raises:
            ContractError: the schema cannot be honoured, or a name is none of its columns.
        """
        compiled = compile_schema(_schema(schema))
        contract = cls(
            name=name or compiled.name or "contract",
            digest="",
            columns=compiled.columns,
            rules=tuple(replace(rule, hint=(hints or {}).get(rule.name, "")) for rule in compiled.rules),
            strict=compiled.strict,
            ordered=compiled.ordered,
            unique_names=compiled.unique_names,
            aliases=dict(aliases or {}),
            any_of=tuple(any_of),
        )
        _refuse_reserved(contract)
        return contract.adjusted(
            time_column=time_column, key=key, row_wise=row_wise, time_unit=time_unit, source=source
        )

    def adjusted(
        self,
        *,
        time_column: str | Sequence[str] | None = None,
        key: Sequence[str] = (),
        row_wise: Collection[str] = (),
        time_unit: str = "",
        source: bytes = b"",
    ) -> Contract:
        """Return the contract with what a feed says beside it; what is left empty stays as it is.

        Raises:
            ContractError: a name is none of its columns or rules, or the time column can give no day.
        """
        times = (time_column,) if isinstance(time_column, str) else tuple(time_column or self.time_columns)
        for what, names in (("time_column", times), ("key", key)):
            _refuse_unknown(self, what, names)
        if time_unit and time_unit not in TIME_UNITS:
            raise ContractError(f"time_unit is {time_unit!r}; give s or ms, the unit of whole numbers in {times}")
        unit = time_unit or self.time_unit
        rules = [rule for rule in declared_row_wise(self.rules, row_wise) if not _is_of_other_unit(rule, times, unit)]
        columns = tuple(_as_time(column) if times == (column.name,) else column for column in self.columns)
        changed = replace(
            self,
            columns=columns,
            rules=told_apart([*rules, *_time_rules(columns, rules, times, unit)]),
            time_columns=times,
            time_unit=unit,
            key=tuple(key) or self.key,
        )
        flags = (self.digest, self.strict, self.ordered, self.unique_names)
        units = () if unit == "s" else (unit,)
        others: tuple[object, ...] = (*flags, self.aliases, self.any_of, changed.time_columns, changed.key, *units)
        return replace(changed, digest=digest(changed.columns, changed.rules, others, source))

    @property
    def time_column(self) -> str | None:
        """The column that gives a row its day, the first one of several; None where the day of ingestion does."""
        return self.time_columns[0] if self.time_columns else None

    @property
    def has_whole_drop_rules(self) -> bool:
        """Whether some rule has to see every row of a file before it can judge."""
        return any(rule.scope is not Scope.ROW for rule in self.rules)

    def match(self, names: Sequence[str], *, final: bool = True) -> Match:
        """Resolve a file's column names; see `validators.matching.match`."""
        return match(self, names, final=final)

    def stored_name(self, column: str) -> str:
        """Return the name that a column has in the table: its own, but for names that the table needs itself."""
        if column.lower() not in SHARED or self._is_the_day(column):
            return column
        taken = {each.name for each in self.columns}
        stored = f"{column}_"
        while stored in taken:
            stored += "_"
        return stored

    def days(self, typed: pa.Table, zone: str) -> Array | None:
        """Return the rows' days (date32) in a zone, null where a row has none; None without a time column.

        Args:
            typed: rows as `check_rows` returns them.
            zone: an IANA name. Dates are taken as they are, times without a zone as already in it, whole numbers
                as unix time in the contract's unit.

        Raises:
            ContractError: there is no such zone.
        """
        if not self.time_columns:
            return None
        kinds = {column.name: column.type.kind for column in self.columns}
        first, *others = self.time_columns
        per_second = TIME_UNITS[self.time_unit]
        days = days_of(flat(typed[first]), kinds[first], zone, per_second)
        for name in others:
            if days.null_count and typed[name].null_count < len(typed):
                days = pc.coalesce(days, days_of(flat(typed[name]), kinds[name], zone, per_second))
        return days

    def _is_the_day(self, column: str) -> bool:
        kinds = {each.name: each.type.kind for each in self.columns}
        return column == "date" and column in self.time_columns and kinds[column] is Kind.DATE


def load_contract(
    reference: Any,
    *,
    base: Path | str = ".",
    options: Mapping[str, Any] | None = None,
    time_column: str | None = None,
    key: Sequence[str] = (),
    row_wise: Collection[str] = (),
    time_unit: str = "",
) -> Contract:
    """Load the contract that a configuration names.

    Args:
        reference: `module:name`, `path/to/file.py:name`, or a pandera YAML file; or the thing itself. It is a
            DataFrameModel, a DataFrameSchema, a Contract, or a function of the options that returns one of these.
        base: the folder that relative paths start from.
        options: what the function takes.
        time_column: the column that gives a row its day.
        key: the columns that make a row one of its kind.
        row_wise: names of the contract's own checks that look at one row at a time; `*` for all of them.
        time_unit: the unit of whole numbers that give a row its day: s or ms; empty for the contract's own.

    Raises:
        ContractError: naming the reference, the cause, and what to do.
    """
    own = getattr(reference, "__name__", "")
    where = (
        named(reference, Path(base))
        if isinstance(reference, str)
        else nullcontext(Named(thing=reference, name=own, source=b""))
    )
    with where as found:
        thing, source = found.thing, found.source
        if _is_function(thing):
            thing = called(thing, options or {})
            source += plain(options or {}).encode()
        elif options:
            raise ContractError(f"it takes no options, but the feed sets {', '.join(options)}. Take them away")
        if isinstance(thing, Contract):
            return thing.adjusted(
                time_column=time_column, key=key, row_wise=row_wise, time_unit=time_unit, source=source
            )
        schema = _schema(thing)
        return Contract.of(
            schema,
            name=schema.name or found.name,
            time_column=time_column,
            key=key,
            row_wise=row_wise,
            time_unit=time_unit,
            source=source,
        )


def _is_function(thing: Any) -> bool:
    """Tell whether something is called for its schema. Pandera's own things can be called too, to check a frame."""
    is_panderas = type(thing).__module__.partition(".")[0] in ("pandera", "typing")
    return callable(thing) and not isinstance(thing, type | Contract) and not is_panderas


def _schema(thing: Any) -> pandera.DataFrameSchema:
    """Return the schema for pandas frames that something is; refuse everything else."""
    if isinstance(thing, pandera.DataFrameSchema) and not isinstance(thing, pandera.MultiIndex):
        return thing
    if isinstance(thing, type) and issubclass(thing, pandera.DataFrameModel):
        return thing.to_schema()
    flavour = _flavour(thing)
    if flavour:
        raise ContractError(f"it is a schema for {flavour}. Write it with `import pandera.pandas as pa`")
    kind = f"the class {thing.__name__}" if isinstance(thing, type) else f"a value of type {type(thing).__name__}"
    raise ContractError(
        f"it is {kind}, and not a pandera DataFrameModel, a DataFrameSchema, a Contract, or a function that returns one"
    )


def _flavour(thing: Any) -> str:
    """Return which other library's frames a pandera schema is for; empty where it is none, or one for pandas."""
    for each in (thing if isinstance(thing, type) else type(thing)).__mro__:
        parts = each.__module__.split(".")
        if parts[:2] == ["pandera", "api"] and parts[2] not in ("base", "dataframe", "pandas", "checks", "hypotheses"):
            return parts[2]
    return ""


def _refuse_reserved(contract: Contract) -> None:
    seen: dict[str, str] = {}
    for column in contract.columns:
        lower = column.name.lower()
        if lower in RESERVED:
            raise ContractError(
                f"column '{column.name}' has a name that blobdrop's tables and quarantine files use. Rename it"
            )
        if lower in seen and not column.pattern:
            raise ContractError(
                f"columns '{seen[lower]}' and '{column.name}' differ only in case, which a Delta table cannot keep "
                "apart. Rename one"
            )
        seen[lower] = column.name


def _refuse_unknown(contract: Contract, what: str, names: Sequence[str]) -> None:
    columns = {column.name: column for column in contract.columns if not column.pattern}
    for name in names:
        if name not in columns:
            near = did_you_mean(name, list(columns)) or f"they are {', '.join(columns)}"
            raise ContractError(f"{what} names '{name}', which is none of its columns; {near}")
        if what == "time_column" and columns[name].type.kind not in TIME_KINDS:
            raise ContractError(
                f"time_column names '{name}', which is declared as {columns[name].type.kind}. Declare it as a date, a "
                "timestamp, or an integer of unix seconds, so that it can give a row its day"
            )


def _as_time(column: Column) -> Column:
    """Return the one column that gives rows their day: a row needs a value in it."""
    return replace(column, nullable=False, required=True)


def _is_of_other_unit(rule: Rule, times: Sequence[str], unit: str) -> bool:
    """Tell whether a rule wants unix seconds of a column that has milliseconds."""
    return unit != "s" and rule.name == UNIX_SECONDS and rule.column in times


def _time_rules(columns: Sequence[Column], rules: Sequence[Rule], times: Sequence[str], unit: str) -> list[Rule]:
    """Return the rule that whole numbers in a time column be unix time in its unit, where the schema has none."""
    name, first, last = UNIX_SECONDS, FIRST_SECOND, LAST_SECOND
    expected, hint = UNIX_SECONDS_EXPECTED, UNIX_SECONDS_HINT
    if unit == "ms":
        name, first, last = UNIX_MILLISECONDS, FIRST_MILLISECOND, LAST_MILLISECOND
        expected, hint = "unix milliseconds such as 1647975283000", "seconds have 10 digits: multiply them by 1000"
    have = {rule.column for rule in rules if rule.name == name}
    wanted = [each.name for each in columns if each.name in times and each.type.kind is Kind.INTEGER]
    check = pandera.Check.in_range(first, last, name=name)
    return [
        Rule(name=name, scope=Scope.ROW, column=column, expected=expected, hint=hint, check=check)
        for column in wanted
        if column not in have
    ]
