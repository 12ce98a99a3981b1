"""The settings of metrics that are computed of rows, such as events."""

from __future__ import annotations

import sys
from typing import Any, Self

from pydantic import Field, field_validator, model_validator

from daemon.measures import EVENT_VALUE, Filter, Measure, Measured, Part, Relation
from daemon.settings.sections import Section

#: Characters of a metric's name, and of a kind of unit: as those of precomputed metrics.
LONGEST_NAME = 127
#: No number is larger (IEEE 754 binary64); infinite ones and NaN are none.
LARGEST = sys.float_info.max
#: Relations to nothing, and to several values.
ALONE = (Relation.IS_NULL, Relation.NOT_NULL)
OF_SEVERAL = (Relation.IN, Relation.NOT_IN)
#: Relations of numbers.
OF_NUMBERS = (Relation.LESS, Relation.AT_MOST, Relation.MORE, Relation.AT_LEAST)
OF = "a column such as event_value, or column.key for a value in a column of JSON such as event_metadata.amount"


class FilterSettings(Section):
    """A condition on the rows of a metric."""

    of: str = Field(min_length=1, description="what is looked at: a column, or column.key in a column of JSON")
    op: Relation = Field(Relation.IS, description="one of =, !=, <, <=, >, >=, in, not_in, contains, is_null, not_null")
    value: Any = Field(
        None, description="what it is held against; a list for in and not_in, nothing for is_null and not_null"
    )

    @field_validator("value")
    @classmethod
    def _is_value(cls, value: Any) -> Any:
        for each in value if isinstance(value, list) else [] if value is None else [value]:
            if not isinstance(each, str | int | float) or (not isinstance(each, str) and not abs(each) <= LARGEST):
                raise ValueError("expected a text, a number, true or false, or a list of such")
        return value

    @model_validator(mode="after")
    def _fits(self) -> Self:
        several, none = isinstance(self.value, list), self.value is None
        if self.op in ALONE and not none:
            raise ValueError(f'op = "{self.op}" takes no value; leave value out')
        if self.op in OF_SEVERAL and not (several and self.value):
            raise ValueError(f'op = "{self.op}" needs value, a list such as ["DE", "FR"]')
        if self.op not in (*ALONE, *OF_SEVERAL) and (several or none):
            raise ValueError(f'op = "{self.op}" needs value, a text or a number')
        if self.op in OF_NUMBERS and isinstance(self.value, str | bool):
            raise ValueError(f'op = "{self.op}" needs value, a number')
        return self

    def filter(self) -> Filter:
        """Return the condition."""
        given = self.value if isinstance(self.value, list) else [] if self.value is None else [self.value]
        return Filter(of=self.of, relation=self.op, values=tuple(_plain(value) for value in given))


class PartSettings(Section):
    """One half of a ratio."""

    kind: Measured = Field(description="one of count, unique_users, sum")
    event: str = Field("", description="the events of this name; empty for all rows")
    of: str = Field("", description=f"what is summed: {OF}; event_value if empty")
    filters: tuple[FilterSettings, ...] = Field((), description="conditions that rows have to meet, all of them")

    @field_validator("kind")
    @classmethod
    def _is_no_ratio(cls, value: Measured) -> Measured:
        if value in (Measured.MEAN, Measured.RATIO):
            raise ValueError("expected one of count, unique_users, sum: a ratio is of two of these")
        return value

    @model_validator(mode="after")
    def _makes_sense(self) -> Self:
        _refuse_of(self.kind, self.of)
        return self

    def part(self) -> Part:
        """Return the half."""
        filters = tuple(each.filter() for each in self.filters)
        return Part(measured=self.kind, event=self.event, of=self.of or EVENT_VALUE, filters=filters)


class MetricSettings(Section):
    """A metric that is computed of a feed's rows when their day closes."""

    name: str = Field(min_length=1, description="the metric's name, at most 127 characters")
    feed: str = Field("events", description="the feed whose rows it is of")
    kind: Measured = Field(description="one of count, unique_users, sum, mean, ratio")
    event: str = Field("", description="the events of this name; empty for all rows")
    of: str = Field("", description=f"what is summed, or the mean of what: {OF}; event_value if empty")
    filters: tuple[FilterSettings, ...] = Field((), description="conditions that rows have to meet, all of them")
    units: dict[str, str] = Field(
        {"user_id": "user.userID"}, description="kinds of unit (id_type), and where a row says which unit it is of"
    )
    numerator: PartSettings | None = Field(None, description="of a ratio: what is divided, of units with a denominator")
    denominator: PartSettings | None = Field(None, description="of a ratio: by what is divided")

    @field_validator("name")
    @classmethod
    def _is_name(cls, value: str) -> str:
        return _named(value)

    @field_validator("units")
    @classmethod
    def _are_names(cls, value: dict[str, str]) -> dict[str, str]:
        if not value or not all(kind and place for kind, place in value.items()):
            raise ValueError('expected at least one kind of unit, such as { user_id = "user.userID" }')
        for kind in value:
            _named(kind)
        return value

    @model_validator(mode="before")
    @classmethod
    def _is_whole(cls, data: Any) -> Any:
        """Tell what a ratio lacks, or what is none has too much of, before its halves are looked into."""
        if not isinstance(data, dict):
            return data
        halves = [half for half in ("numerator", "denominator") if data.get(half) is not None]
        if data.get("kind") != Measured.RATIO:
            if halves:
                raise ValueError(f'{halves[0]} is only of metrics with kind = "ratio"')
            return data
        for half in ("numerator", "denominator"):
            if half not in halves:
                raise ValueError(f'kind = "ratio" needs {half}, such as {{ kind = "count", event = "checkout" }}')
        for each in ("event", "of", "filters"):
            if data.get(each):
                raise ValueError(f"{each} is not of a ratio itself; put it into its numerator or its denominator")
        return data

    @model_validator(mode="after")
    def _makes_sense(self) -> Self:
        _refuse_of(self.kind, self.of)
        return self

    def measure(self) -> Measure:
        """Return the metric."""
        if self.numerator is not None and self.denominator is not None:
            numerator, denominator = self.numerator.part(), self.denominator.part()
            return Measure(name=self.name, part=numerator, denominator=denominator, units=dict(self.units))
        filters = tuple(each.filter() for each in self.filters)
        part = Part(measured=self.kind, event=self.event, of=self.of or EVENT_VALUE, filters=filters)
        return Measure(name=self.name, part=part, units=dict(self.units))


def _named(value: str) -> str:
    if len(value) > LONGEST_NAME or not value.isprintable() or value != value.strip():
        raise ValueError(
            f"expected 1 to {LONGEST_NAME} characters that can be seen, without blanks around them; found {len(value)}"
        )
    return value


def _refuse_of(kind: Measured, of: str) -> None:
    if of and kind not in (Measured.SUM, Measured.MEAN):
        raise ValueError(f'of is only of metrics with kind = "sum" or "mean", and this one is "{kind}"')


def _plain(value: str | float) -> str | float:
    """Return a value as it is held against those of rows, in which true is a text."""
    return str(value).lower() if isinstance(value, bool) else value if isinstance(value, str) else float(value)
