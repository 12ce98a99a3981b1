"""Metrics that the configuration defines over rows, such as events: what is counted or summed, of which rows. Pure.

After the custom metrics of Statsig's documentation (`metrics/create`): counts, users, sums and means of a value or of
metadata, and ratios of two of these, with filters; each figure is of one business day.
"""

from __future__ import annotations

import enum
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from validators.suggest import did_you_mean

#: The column that names an event.
EVENT_NAME = "event_name"
#: What is summed where nothing else is said.
EVENT_VALUE = "event_value"
#: Columns of rows that are metrics themselves.
PRECOMPUTED = ("unit_id", "id_type", "metric_name")


class Measured(enum.StrEnum):
    """What is made of rows."""

    #: How many there are.
    COUNT = "count"
    #: How many units they are of.
    UNIQUE_USERS = "unique_users"
    #: The sum of their values.
    SUM = "sum"
    #: The mean of their values.
    MEAN = "mean"
    #: One of these divided by another one, of the same units.
    RATIO = "ratio"


class Relation(enum.StrEnum):
    """How a value has to be to what a filter says."""

    IS = "="
    IS_NOT = "!="
    LESS = "<"
    AT_MOST = "<="
    MORE = ">"
    AT_LEAST = ">="
    IN = "in"
    NOT_IN = "not_in"
    CONTAINS = "contains"
    IS_NULL = "is_null"
    NOT_NULL = "not_null"


@dataclass(frozen=True, kw_only=True)
class Filter:
    """A condition on one value of a row."""

    #: A column, or `column.key` for a value in a column of JSON.
    of: str
    relation: Relation
    #: What it is held against: one value, several, or none, as the relation needs.
    values: tuple[str | float, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Part:
    """Some rows, and what is made of them."""

    measured: Measured
    #: The events of this name; empty for all rows.
    event: str = ""
    #: What is summed, as in a filter.
    of: str = EVENT_VALUE
    filters: tuple[Filter, ...] = ()

    @property
    def has_values(self) -> bool:
        """Whether it is made of values, and not of rows."""
        return self.measured in (Measured.SUM, Measured.MEAN)

    def fields(self) -> Iterator[tuple[str, str]]:
        """Yield what it asks rows for: the setting's name, and the column or `column.key`."""
        if self.event:
            yield "event", EVENT_NAME
        if self.has_values:
            yield "of", self.of
        yield from ((f"filters[{number}].of", each.of) for number, each in enumerate(self.filters))


@dataclass(frozen=True, kw_only=True)
class Measure:
    """A metric of rows."""

    name: str
    #: What is measured; of a ratio the numerator.
    part: Part
    #: Of a ratio only.
    denominator: Part | None = None
    #: Kinds of unit, and where a row says which unit it is of.
    units: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_ratio(self) -> bool:
        """Whether it is a ratio of sums: a mean is one too, of values and rows."""
        return self.denominator is not None or self.part.measured is Measured.MEAN

    def fields(self) -> Iterator[tuple[str, str]]:
        """Yield what it asks rows for, as `Part.fields`."""
        yield from ((f"units.{kind}", place) for kind, place in self.units.items())
        if self.denominator is None:
            yield from self.part.fields()
        else:
            yield from ((f"numerator.{name}", of) for name, of in self.part.fields())
            yield from ((f"denominator.{name}", of) for name, of in self.denominator.fields())


def unfit(measures: Sequence[Measure], feed: str, columns: Sequence[str]) -> Iterator[str]:
    """Yield a sentence for each setting of metrics that asks a feed's rows, with these columns, for what they lack."""
    if measures and set(columns).issuperset(PRECOMPUTED):
        names = ", ".join(measure.name for measure in measures)
        yield (
            f"metrics ({names}): feed = {feed!r}: its rows are metrics already, expected a feed of rows such as events"
        )
        return
    for measure in measures:
        for name, place in measure.fields():
            column = place.partition(".")[0]
            if column not in columns:
                hint = did_you_mean(column, columns) or f"they are {', '.join(columns)}"
                asked = name if name.endswith("event") else f"{name} = {place!r}"
                yield (
                    f"metrics ({measure.name}): {asked}: there is no column {column!r}, expected one of the contract "
                    f"of feed {feed!r}; {hint}"
                )
