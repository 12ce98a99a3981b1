"""Every setting with its default, bounds and meaning: one class for each table of the TOML file.

A description is what people read in `deploy/blobdrop.toml`; a rule that a type cannot say is a validator with a
sentence. Where values come from is `config`'s business, how an error is told that of `complaints`.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path, PurePath
from typing import Annotated, Any, Final, Literal, Self
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import (
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    ValidationInfo,
    field_validator,
    model_validator,
)

from daemon.cloud.address import EXAMPLES, address, is_url
from daemon.model import (
    METRIC_DAYS,
    After,
    Dialect,
    Feed,
    HoldIf,
    Late,
    Limits,
    OnDuplicate,
    OnDuplicateKey,
    OnRevision,
    ReadyNeeds,
)

MB: Final = 1024**2
SQLITE: Final = "sqlite:///"


class Section(BaseModel):
    """A table of the TOML file: its keys and no others."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    @field_validator("*", mode="before")
    @classmethod
    def _flags_are_no_numbers(cls, value: Any, info: ValidationInfo) -> Any:
        """Refuse what pydantic would take: `true` for the number 1."""
        if isinstance(value, bool) and cls.model_fields[info.field_name or ""].annotation in (int, float):
            raise ValueError("expected a number")
        return value


def _folder(value: str) -> str:
    if "://" in value and not value.startswith("file://"):
        raise ValueError("only folders are supported; expected a path such as ./drops")
    if "\0" in value:
        raise ValueError("a path has no NUL character")
    return value


def _folder_or_container(value: str) -> str:
    if not is_url(value):
        if "://" in value and not value.startswith("file://"):
            raise ValueError(f"expected a folder such as ./drops, or a container: {EXAMPLES}")
        return _folder(value)
    address(value)
    return value


def _absolute(url: str) -> PurePath:
    return PurePath(os.path.abspath(Path(url.removeprefix("file://")).expanduser()))  # noqa: PTH100 - keeps symlinks


def _is_listed(drops: PurePath, folder: PurePath) -> bool:
    """Tell whether the drop folder's listing would come to a folder."""
    return folder.is_relative_to(drops) and not any(part[0] in "._" for part in folder.relative_to(drops).parts)


def _twice(names: Iterable[str]) -> str | None:
    """Return the first name that comes again."""
    seen: set[str] = set()
    for name in names:
        if name in seen:
            return name
        seen.add(name)
    return None


class SourceSettings(Section):
    """Where drops land."""

    url: str = Field("drops", min_length=1, description="the folder or blob container that customers drop files into")
    poll_seconds: float = Field(2.0, gt=0, le=3600, description="seconds between two listings when nothing stirs")
    settle_seconds: float = Field(
        1.0, ge=0, le=3600, description="seconds that a file must be unchanged before it is read"
    )
    after: After = Field(After.ARCHIVE, description="what becomes of a file at its drop's end: keep, archive or delete")
    receipts: Literal["auto"] | bool = Field(
        "auto", description="whether customers are told of each drop in _receipts/: true, false, or auto: in containers"
    )
    append_seconds: float = Field(
        30.0,
        ge=0,
        le=86_400,
        description="seconds that an append blob which is not sealed must be unchanged, as more may come",
    )
    connect_seconds: float = Field(5.0, gt=0, le=300, description="seconds until a connection to a container stands")
    read_seconds: float = Field(20.0, gt=0, le=600, description="seconds between two bytes of a container's answer")
    patience_seconds: float = Field(
        30.0, ge=0, le=3600, description="seconds that a request to a container is tried again"
    )
    requests: int = Field(8, ge=1, le=256, description="requests to a container at once, of each process")
    spool_mb: int = Field(
        16_384, ge=1, le=1_048_576, description="megabytes of a blob, which is read from a copy on the local disk"
    )

    _is_place = field_validator("url")(_folder_or_container)

    @field_validator("receipts", mode="before")
    @classmethod
    def _is_flag_or_auto(cls, value: Any) -> Any:
        flag = {"true": True, "false": False}.get(value.lower(), value) if isinstance(value, str) else value
        if flag is not True and flag is not False and flag != "auto":
            raise ValueError('expected true, false or "auto"')
        return flag

    @property
    def leaves_receipts(self) -> bool:
        """Whether customers get receipts."""
        return self.is_container if self.receipts == "auto" else self.receipts

    @property
    def is_container(self) -> bool:
        """Whether drops come from a blob container."""
        return is_url(self.url)


class StoreSettings(Section):
    """Where good rows go."""

    url: str = Field("var/tables", min_length=1, description="the folder of the Delta tables, one for each feed")
    compact_files: int = Field(
        32, ge=0, le=100_000, description="data files of a day that make it worth compacting; 0 for never"
    )
    target_file_mb: int = Field(128, ge=1, le=4096, description="megabytes of a data file that compaction aims at")

    _is_folder = field_validator("url")(_folder)


class QuarantineSettings(Section):
    """Where rejected rows and their reports are kept."""

    url: str = Field("var/quarantine", min_length=1, description="the folder of rejected rows and reports")

    _is_folder = field_validator("url")(_folder)


class LedgerSettings(Section):
    """What has happened to every drop."""

    url: str = Field(
        "sqlite:///var/ledger.db", min_length=1, description="the ledger's SQLite file, as a URL: sqlite:///PATH"
    )

    @field_validator("url")
    @classmethod
    def _is_sqlite_file(cls, value: str) -> str:
        path = value.removeprefix(SQLITE)
        if path == value or not path or path.startswith((":memory:", "file:")) or "\0" in path:
            raise ValueError("expected an SQLite file such as sqlite:///var/ledger.db, or sqlite:////srv/ledger.db")
        return value


class WorkerSettings(Section):
    """The processes that do the work, and what one of them may ask for."""

    processes: int = Field(2, ge=1, le=256, description="worker processes")
    memory_mb: int = Field(2048, ge=256, le=1_048_576, description="megabytes of memory of one worker")
    timeout_seconds: float = Field(900.0, gt=0, le=86_400, description="seconds that one drop may take")
    attempts: int = Field(3, ge=1, le=100, description="goes at a drop that breaks its worker before it is failed")
    retry_seconds: float = Field(30.0, ge=0, le=86_400, description="seconds before the second go; doubled each time")


class LimitSettings(Section):
    """What one file may ask for. Beyond it the file is rejected with a clear problem."""

    max_decompressed_mb: int = Field(8192, ge=1, le=1_048_576, description="megabytes of a file after decompression")
    max_line_mb: float = Field(16, gt=0, le=1024, description="megabytes of one record of a text file")
    max_columns: int = Field(2000, ge=1, le=100_000, description="columns of a file")
    max_excel_mb: int = Field(256, ge=1, le=65_536, description="megabytes of an Excel sheet after decompression")
    max_whole_drop_mb: int = Field(512, ge=1, le=65_536, description="megabytes that rules over a whole file may hold")

    def limits(self) -> Limits:
        """Return the limits in bytes."""
        return Limits(
            max_decompressed_bytes=self.max_decompressed_mb * MB,
            max_line_bytes=int(self.max_line_mb * MB),
            max_columns=self.max_columns,
            max_excel_bytes=self.max_excel_mb * MB,
            max_whole_drop_bytes=self.max_whole_drop_mb * MB,
        )


class RetentionSettings(Section):
    """For how long what is kept. What drops are known is never forgotten, nor that their bytes were here before."""

    archive_days: float = Field(
        0.0, ge=0, le=36_500, description="days that a settled file stays in the archive; 0 for ever"
    )
    quarantine_days: float = Field(
        0.0, ge=0, le=36_500, description="days that rejected rows and reports stay, decided on or not; 0 for ever"
    )
    history_days: float = Field(
        400.0, ge=0, le=36_500, description="days that the events of drops stay in the ledger; 0 for ever"
    )
    table_days: float = Field(
        7.0,
        ge=0.042,
        le=36_500,
        description="days that earlier versions of a table stay readable, an hour (0.042) or more",
    )


class LogSettings(Section):
    """What the daemon says."""

    format: Literal["auto", "text", "json"] = Field(
        "auto",
        description="how log lines are written: text, json, or auto, which is json under systemd and text elsewhere",
    )
    level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="the least level that is written: debug, info, warning or error"
    )


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
        if twice := _twice(self.columns):
            raise ValueError(f"columns has {twice!r} twice")
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
        Late.QUARANTINE, description="rows before the watermark: quarantine, accept or restate; heeded with markers"
    )
    ready_needs: ReadyNeeds = Field(
        ReadyNeeds.FINAL, description="drops that a marker waits for must be final, or settled, which takes failed ones"
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


class Settings(Section):
    """All settings."""

    source: SourceSettings = Field(default_factory=SourceSettings)
    store: StoreSettings = Field(default_factory=StoreSettings)
    quarantine: QuarantineSettings = Field(default_factory=QuarantineSettings)
    ledger: LedgerSettings = Field(default_factory=LedgerSettings)
    workers: WorkerSettings = Field(default_factory=WorkerSettings)
    limits: LimitSettings = Field(default_factory=LimitSettings)
    retention: RetentionSettings = Field(default_factory=RetentionSettings)
    logs: LogSettings = Field(default_factory=LogSettings)
    feeds: tuple[FeedSettings, ...] = Field(BUILT_IN_FEEDS)

    @field_validator("feeds")
    @classmethod
    def _names_differ(cls, value: tuple[FeedSettings, ...]) -> tuple[FeedSettings, ...]:
        if not value:
            raise ValueError("expected at least one feed; leave feeds out for the built-in ones")
        # Also in case: a table is a folder, and some file systems see no difference.
        if twice := _twice(feed.name.casefold() for feed in value):
            raise ValueError(f"two feeds are called {twice!r}; each needs a name of its own")
        return value

    @model_validator(mode="after")
    def _folders_apart(self) -> Self:
        """Refuse to write where drops are looked for: what is written would be taken for a drop."""
        apart = () if self.source.is_container else (("store", self.store.url), ("quarantine", self.quarantine.url))
        drops = _absolute(self.source.url)
        for name, url in apart:
            if _is_listed(drops, _absolute(url)):
                raise ValueError(
                    f"{name}.url = {url!r} lies in the drop folder, source.url = {self.source.url!r}: "
                    "what is written there would be taken for drops; choose a folder beside it"
                )
        if _absolute(self.store.url) == _absolute(self.quarantine.url):
            raise ValueError(
                f"store.url and quarantine.url are both {self.store.url!r}; each needs a folder of its own"
            )
        return self
