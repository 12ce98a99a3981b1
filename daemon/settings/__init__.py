"""Every setting with its default, bounds and meaning: one class for each table of the TOML file.

A description is what people read in `deploy/blobdrop.toml`; a rule that a type cannot say is a validator with a
sentence. Where values come from is `config`'s business, how an error is told that of `complaints`.
"""

from __future__ import annotations

import os
from pathlib import Path, PurePath
from typing import Any, Final, Literal, Self

from pydantic import (
    Field,
    field_validator,
    model_validator,
)

from daemon.cloud.address import EXAMPLES, address, inside, is_az, is_url
from daemon.cloud.credentials import CONNECTION_STRING, is_connection_string
from daemon.model import (
    After,
    Limits,
)
from daemon.settings.feeds import BUILT_IN_FEEDS, FeedSettings
from daemon.settings.metrics import MetricSettings
from daemon.settings.sections import Section, twice
from daemon.settings.watching import HttpSettings, NotifySettings
from validators.suggest import did_you_mean

MB: Final = 1024**2
#: Stands for the account of a place in a container while nothing but its form is looked at.
ANY_ACCOUNT: Final = "https://any.blob.core.windows.net/any"
SQLITE: Final = "sqlite:///"
#: Settings that are lists of tables.
LISTS: Final = ("feeds", "metrics", "notify")


def _folder(value: str) -> str:
    _refuse_key(value)
    if _is_foreign(value):
        raise ValueError("only folders are supported; expected a path such as ./drops")
    if "\0" in value:
        raise ValueError("a path has no NUL character")
    return value


def _folder_or_container(value: str) -> str:
    if is_url(value):
        address(value)
        return value
    _refuse_key(value)
    if _is_foreign(value):
        raise ValueError(f"expected a folder such as ./drops, or a container: {EXAMPLES}")
    return _folder(value)


def _folder_or_az(value: str) -> str:
    if is_az(value):
        inside(value, address(ANY_ACCOUNT))
        return value
    _refuse_key(value)
    if _is_foreign(value):
        raise ValueError("expected a folder such as ./var/tables, or a place in a container: az://CONTAINER/PREFIX")
    return _folder(value)


def _is_foreign(value: str) -> bool:
    """Tell whether a text is the URL of something else than a folder."""
    return "://" in value and not value.startswith("file://")


def _refuse_key(value: str) -> None:
    if is_connection_string(value):
        raise ValueError(f"this opens a storage account: put it into {CONNECTION_STRING}, and the container's URL here")


def _placed(url: str) -> PurePath:
    """Return a path that tells which place is within which: a container's begins with no `/`."""
    if is_az(url) or is_url(url):
        place = inside(url, address(ANY_ACCOUNT)) if is_az(url) else address(url)
        return PurePath(place.container, place.prefix)
    return PurePath(os.path.abspath(Path(url.removeprefix("file://")).expanduser()))  # noqa: PTH100 - keeps symlinks


def _is_listed(drops: PurePath, folder: PurePath) -> bool:
    """Tell whether the drop folder's listing would come to a folder."""
    return folder.is_relative_to(drops) and not any(part[0] in "._" for part in folder.relative_to(drops).parts)


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

    url: str = Field(
        "var/tables",
        min_length=1,
        description="the folder of the Delta tables, one for each feed; or az://CONTAINER/PREFIX",
    )
    compact_files: int = Field(
        32, ge=0, le=100_000, description="data files of a day that make it worth compacting; 0 for never"
    )
    target_file_mb: int = Field(128, ge=1, le=4096, description="megabytes of a data file that compaction aims at")

    _is_place = field_validator("url")(_folder_or_az)


class QuarantineSettings(Section):
    """Where rejected rows and their reports are kept."""

    url: str = Field(
        "var/quarantine", min_length=1, description="the folder of rejected rows and reports; or az://CONTAINER/PREFIX"
    )

    _is_place = field_validator("url")(_folder_or_az)


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
    http: HttpSettings = Field(default_factory=HttpSettings)
    notify: tuple[NotifySettings, ...] = ()
    feeds: tuple[FeedSettings, ...] = Field(BUILT_IN_FEEDS)
    metrics: tuple[MetricSettings, ...] = Field(())

    @field_validator("metrics")
    @classmethod
    def _metrics_differ(cls, value: tuple[MetricSettings, ...]) -> tuple[MetricSettings, ...]:
        if again := twice(metric.name for metric in value):
            raise ValueError(f"two metrics are called {again!r}; each needs a name of its own")
        return value

    @field_validator("feeds")
    @classmethod
    def _names_differ(cls, value: tuple[FeedSettings, ...]) -> tuple[FeedSettings, ...]:
        if not value:
            raise ValueError("expected at least one feed; leave feeds out for the built-in ones")
        # Also in case: a table is a folder, and some file systems see no difference.
        if again := twice(feed.name.casefold() for feed in value):
            raise ValueError(f"two feeds are called {again!r}; each needs a name of its own")
        return value

    @field_validator("notify")
    @classmethod
    def _receivers_differ(cls, value: tuple[NotifySettings, ...]) -> tuple[NotifySettings, ...]:
        if again := twice(one.name.casefold() for one in value):
            raise ValueError(f"two of them are called {again!r}; each needs a name of its own")
        return value

    @model_validator(mode="after")
    def _receivers_know_feeds(self) -> Self:
        known = {feed.name for feed in self.feeds}
        for one in self.notify:
            if wrong := [name for name in one.feeds if name not in known]:
                hint = did_you_mean(wrong[0], sorted(known)) or f"the feeds are {', '.join(sorted(known))}"
                raise ValueError(f"notify ({one.name}): feeds has {wrong[0]!r}, and no feed is called so; {hint}")
        return self

    @model_validator(mode="after")
    def _metrics_have_feeds(self) -> Self:
        names = [feed.name for feed in self.feeds]
        for number, metric in enumerate(self.metrics):
            if metric.feed not in names:
                hint = did_you_mean(metric.feed, names) or f"the feeds are {', '.join(names)}"
                raise ValueError(
                    f"metrics[{number}] ({metric.name}): feed = {metric.feed!r}: there is no such feed; {hint}"
                )
        return self

    @model_validator(mode="after")
    def _places_apart(self) -> Self:
        """Refuse to write where drops are looked for: what is written would be taken for a drop."""
        drops = _placed(self.source.url)
        for name, url in (("store", self.store.url), ("quarantine", self.quarantine.url)):
            if _is_listed(drops, _placed(url)):
                raise ValueError(
                    f"{name}.url = {url!r} lies in the drop folder, source.url = {self.source.url!r}: "
                    "what is written there would be taken for drops; choose a folder beside it, or one whose name "
                    "begins with _"
                )
        if _placed(self.store.url) == _placed(self.quarantine.url):
            raise ValueError(
                f"store.url and quarantine.url are both {self.store.url!r}; each needs a folder of its own"
            )
        return self
