"""The settings of a feed, with its dialect and what holds its days; and the built-in feeds."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import Discriminator, Field, Tag, field_validator, model_validator

from daemon.model import (
    METRIC_DAYS,
    Dialect,
    Feed,
    HoldIf,
    Late,
    OnDuplicate,
    OnDuplicateKey,
    OnRevision,
    ReadyNeeds,
    SignalGaps,
)
from daemon.settings.sections import Section, twice


class DialectSettings(Section):
    """How a feed's delimited files are written."""

    delimiter: str = Field(",", description="one ASCII character between fields")
    quote: str = Field('"', description="one ASCII character around fields; empty for none")
    encoding: str = Field("utf-8", description="the text's encoding; a byte order mark in the file wins")
    header: bool = Field(True, description="whether the first record names the columns")
    columns: tuple[str, ...] = Field((), description="the columns' names where there is no header")
    null_tokens: tuple[str, ...] = Field(
        ("",), description="cells, as they stand in the file, that mean that there is no value"
    )

    @field_validator("delimiter")
    @classmethod
    def _one_character(cls, value: str) -> str:
        if len(value) != 1 or not value.isascii() or value in '\r\n"\0':
            raise ValueError("expected one ASCII character such as , or ;")
        return value

    @field_validator("quote")
    @classmethod
    def _one_or_none(cls, value: str) -> str:
        if len(value) > 1 or not value.isascii() or value in ("\r", "\n", "\0"):
            raise ValueError('expected one ASCII character such as ", or nothing for files without quotes')
        return value

    @field_validator("encoding")
    @classmethod
    def _known_codec(cls, value: str) -> str:
        try:
            "".encode(value)
        except (LookupError, ValueError):
            raise ValueError("there is no such encoding; utf-8, utf-16 and windows-1252 are common ones") from None
        return value

    @model_validator(mode="after")
    def _makes_sense(self) -> Self:
        if self.quote == self.delimiter:
            raise ValueError("delimiter and quote must be different characters")
        if not self.header and not self.columns:
            raise ValueError("header = false needs columns, the names in the order of the file")
        if self.header and self.columns:
            raise ValueError("columns are only for files without a header; set header = false, or leave columns out")
        if again := twice(self.columns):
            raise ValueError(f"columns has {again!r} twice")
        return self


class HoldSettings(Section):
    """What keeps a day that is ready from closing, until a person says so: blobdrop days close."""

    rejected_ratio_above: float = Field(
        1.0, ge=0, le=1, description="share of rejected rows of its drops above which a day is held"
    )
    rows_below: float = Field(
        0.0, ge=0, le=1, description="share of the usual rows, the median of 7 days, below which a day is held"
    )
    metrics_missing: bool = Field(
        False, description="whether a day is held that lacks a metric which was there on 3 of the 7 days before"
    )


def _kind_of_dialect(value: Any) -> str:
    return "auto" if isinstance(value, str) else "table"


class FeedSettings(Section):
    """A kind of data."""

    name: str = Field(
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$", description="the feed's name, also that of its table's folder"
    )
    paths: tuple[str, ...] = Field(
        description="the names that are its own, as patterns below the drop folder: *, **, {customer}"
    )
    contract: str = Field(
        min_length=1, description="what its rows must be: module:name, path/to/file.py:name or a pandera YAML file"
    )
    options: dict[str, Any] = Field(
        default_factory=dict, description="what the contract's function takes, where it is one"
    )
    time_column: str = Field("", description="the column that gives a row its day; empty for the contract's own")
    time_unit: Literal["", "s", "ms"] = Field(
        "", description="unit of whole numbers there, since 1970: s or ms; empty for the contract's own, or s"
    )
    key: tuple[str, ...] = Field(
        (), description="the columns that make a row one of its kind; empty for the contract's own"
    )
    row_wise: tuple[str, ...] = Field((), description="custom rules that look at one row at a time; * for all")
    timezone: str = Field("Etc/GMT+8", description="the zone of its days, an IANA name; Etc/GMT+8 is PST all the year")
    max_rejected_ratio: float = Field(
        0.5, ge=0, le=1, description="share of rejected rows above which a file is rejected"
    )
    duplicates: OnDuplicate = Field(OnDuplicate.SKIP, description="the same bytes again: skip or ingest")
    revision: OnRevision = Field(
        OnRevision.REPLACE, description="new bytes under an old name: replace, append or reject"
    )
    late: Late = Field(
        Late.QUARANTINE, description="rows before the watermark: quarantine, accept, or restate their closed days"
    )
    ready_needs: ReadyNeeds = Field(
        ReadyNeeds.FINAL, description="drops that a marker waits for must be final, or settled, which takes failed ones"
    )
    signal_gaps: SignalGaps = Field(
        SignalGaps.INFER,
        description="days that no signal lists, before one that is listed: infer that they are loaded, or wait",
    )
    on_duplicate_key: OnDuplicateKey = Field(
        OnDuplicateKey.LAST,
        description="rows of one unit, day and metric: last or sum counts; reject holds the day",
    )
    hold_if: HoldSettings = Field(
        default_factory=HoldSettings, description="what keeps a day that is ready from closing"
    )
    dialect: Annotated[
        Annotated[Literal["auto"], Tag("auto")] | Annotated[DialectSettings, Tag("table")],
        Discriminator(_kind_of_dialect),
    ] = Field(default_factory=DialectSettings, description='how delimited files are written; "auto" finds out')

    @field_validator("name")
    @classmethod
    def _no_other_table(cls, value: str) -> str:
        if value.casefold() == METRIC_DAYS:
            raise ValueError(f"{METRIC_DAYS} is the name of the table of the days' metrics; expected another one")
        return value

    @field_validator("paths")
    @classmethod
    def _some_paths(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if not value:
            raise ValueError('expected at least one pattern, such as "orders/**"')
        return value

    @field_validator("timezone")
    @classmethod
    def _known_zone(cls, value: str) -> str:
        try:
            ZoneInfo(value)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            raise ValueError("there is no such time zone; Etc/GMT+8 and Europe/Berlin are examples") from None
        return value

    def feed(self, base: Path) -> Feed:
        """Return the feed; relative contract files start from `base`."""
        dialect = Dialect(auto=True) if self.dialect == "auto" else Dialect(**self.dialect.model_dump())
        return Feed(
            **{
                **dict(self),
                "dialect": dialect,
                "hold_if": HoldIf(**self.hold_if.model_dump()),
                "base": base,
                "time_column": self.time_column or None,
            }
        )


BUILT_IN_FEEDS: Final = (
    FeedSettings(
        name="metrics",
        paths=("metrics/**", "{customer}/metrics/**"),
        contract="validators.metrics:precomputed_metrics",
    ),
    FeedSettings(
        name="events",
        paths=("events/**", "{customer}/events/**"),
        contract="validators.events:raw_events",
    ),
)
