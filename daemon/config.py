"""The settings: built-in defaults, a TOML file over them, the environment over that.

An error names the field, the value, the rule and where it came from. Relative paths of the file start at the file's
folder, all others at the current one.
"""

from __future__ import annotations

import codecs
import difflib
import os
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import BaseModel, ConfigDict, Field, ValidationError, ValidationInfo, field_validator

from daemon.errors import ConfigError
from daemon.model import After, Dialect, Feed, Late, Limits, OnDuplicate, OnRevision

PREFIX = "BLOBDROP_"
#: Where a configuration is looked for when none is named, in this order.
FILES = (Path("blobdrop.toml"), Path("/etc/blobdrop/blobdrop.toml"))
MB = 1024**2


class _Section(BaseModel):
    """A table of the TOML file: its keys and no others."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class SourceSettings(_Section):
    """Where drops land."""

    url: str = Field("drops", min_length=1, description="the folder that customers drop files into")
    poll_seconds: float = Field(2.0, gt=0, le=3600, description="seconds between two listings when nothing stirs")
    settle_seconds: float = Field(
        1.0, ge=0, le=3600, description="seconds that a file must be unchanged before it is read"
    )
    after: After = Field(After.ARCHIVE, description="what becomes of a file at its drop's end: keep, archive or delete")


class StoreSettings(_Section):
    """Where good rows go."""

    url: str = Field("var/tables", min_length=1, description="the folder of the Delta tables, one for each feed")
    compact_files: int = Field(
        32, ge=0, le=100_000, description="data files of a day that make it worth compacting; 0 for never"
    )
    target_file_mb: int = Field(128, ge=1, le=4096, description="megabytes of a data file that compaction aims at")


class QuarantineSettings(_Section):
    """Where rejected rows and their reports are kept."""

    url: str = Field("var/quarantine", min_length=1, description="the folder of rejected rows and reports")


class LedgerSettings(_Section):
    """What has happened to every drop."""

    url: str = Field("sqlite:///var/ledger.db", min_length=1, description="any SQLAlchemy URL")


class WorkerSettings(_Section):
    """The processes that do the work, and what one of them may ask for."""

    processes: int = Field(2, ge=1, le=256, description="worker processes")
    memory_mb: int = Field(2048, ge=256, le=1_048_576, description="megabytes of memory of one worker")
    timeout_seconds: float = Field(900.0, gt=0, le=86_400, description="seconds that one drop may take")
    attempts: int = Field(3, ge=1, le=100, description="goes at a drop that breaks its worker before it is failed")
    retry_seconds: float = Field(30.0, ge=0, le=86_400, description="seconds before the second go; doubled each time")


class LimitSettings(_Section):
    """What one file may ask for. Beyond it the file is rejected with a clear problem."""

    max_decompressed_mb: int = Field(8192, ge=1, description="megabytes of a file after decompression")
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


class LogSettings(_Section):
    """What the daemon says."""

    format: Literal["auto", "text", "json"] = Field("auto", description="auto: text on a terminal, JSON under systemd")
    level: Literal["debug", "info", "warning", "error"] = Field("info", description="the least level that is shown")


class DialectSettings(_Section):
    """How a feed's delimited files are written."""

    delimiter: str = Field(",", description="one ASCII character between fields")
    quote: str = Field('"', max_length=1, description="one ASCII character around fields; empty for none")
    encoding: str = Field("utf-8", description="the text's encoding; a byte order mark in the file wins")
    header: bool = Field(True, description="whether the first record names the columns")
    columns: tuple[str, ...] = Field((), description="the columns' names where there is no header")
    null_tokens: tuple[str, ...] = Field(("",), description="cells that mean that there is no value")

    @field_validator("delimiter")
    @classmethod
    def _one_character(cls, value: str) -> str:
        if len(value) != 1 or not value.isascii() or value in '\r\n"':
            raise ValueError("one ASCII character such as , or ; is needed")
        return value

    @field_validator("encoding")
    @classmethod
    def _known_codec(cls, value: str) -> str:
        try:
            codecs.lookup(value)
        except LookupError:
            raise ValueError("no such encoding; utf-8, utf-16 and windows-1252 are common ones") from None
        return value


class FeedSettings(_Section):
    """A kind of data."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$", description="also the table's folder")
    paths: tuple[str, ...] = Field(min_length=1, description="patterns: *, **, {customer}")
    contract: str = Field(min_length=1, description="module:name, path/to/file.py:name or a pandera YAML file")
    options: dict[str, Any] = Field(default_factory=dict, description="what the contract's function takes")
    time_column: str | None = Field(None, description="the column that gives a row its day")
    key: tuple[str, ...] = Field((), description="the columns that make a row one of its kind")
    row_wise: tuple[str, ...] = Field((), description="custom rules that look at one row at a time; * for all")
    timezone: str = Field("Etc/GMT+8", description="the zone of the feed's days")
    max_rejected_ratio: float = Field(
        0.5, ge=0, le=1, description="share of rejected rows above which a file is rejected"
    )
    duplicates: OnDuplicate = Field(OnDuplicate.SKIP, description="the same bytes again: skip or ingest")
    revision: OnRevision = Field(
        OnRevision.REPLACE, description="new bytes under an old name: replace, append or reject"
    )
    late: Late = Field(Late.QUARANTINE, description="rows before the watermark: quarantine, accept or restate")
    dialect: Literal["auto"] | DialectSettings = Field(
        default_factory=DialectSettings, description='how delimited files are written; "auto" finds out'
    )

    @field_validator("timezone")
    @classmethod
    def _known_zone(cls, value: str) -> str:
        try:
            ZoneInfo(value)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            raise ValueError("no such time zone; Etc/GMT+8 and Europe/Berlin are examples") from None
        return value

    def feed(self, base: Path) -> Feed:
        """Return the feed; relative contract files start from `base`."""
        dialect = Dialect(auto=True) if self.dialect == "auto" else Dialect(**self.dialect.model_dump())
        return Feed(**{**dict(self), "dialect": dialect, "base": base})


BUILT_IN_FEEDS = (
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


class Settings(_Section):
    """All settings."""

    source: SourceSettings = Field(default_factory=SourceSettings)
    store: StoreSettings = Field(default_factory=StoreSettings)
    quarantine: QuarantineSettings = Field(default_factory=QuarantineSettings)
    ledger: LedgerSettings = Field(default_factory=LedgerSettings)
    workers: WorkerSettings = Field(default_factory=WorkerSettings)
    limits: LimitSettings = Field(default_factory=LimitSettings)
    logs: LogSettings = Field(default_factory=LogSettings)
    feeds: tuple[FeedSettings, ...] = Field(BUILT_IN_FEEDS, min_length=1)

    @field_validator("feeds")
    @classmethod
    def _names_differ(cls, value: tuple[FeedSettings, ...], _info: ValidationInfo) -> tuple[FeedSettings, ...]:
        names = [feed.name for feed in value]
        if len(set(names)) < len(names):
            raise ValueError("two feeds have the same name")
        return value


@dataclass(frozen=True, kw_only=True)
class Configuration:
    """The effective settings, and where each came from."""

    settings: Settings
    #: The TOML file, if there is one.
    file: Path | None
    #: `source.url` -> `default`, the file's path, or the variable's name.
    origins: Mapping[str, str]

    def feeds(self) -> tuple[Feed, ...]:
        """Return the feeds, in the order in which a name is matched."""
        base = self.file.parent if self.file else Path.cwd()
        return tuple(feed.feed(base) for feed in self.settings.feeds)


def load(path: Path | None, environ: Mapping[str, str]) -> Configuration:
    """Read the settings.

    Args:
        path: the TOML file; None to look at `BLOBDROP_CONFIG` and the usual places.
        environ: the environment.

    Raises:
        ConfigError: a file is missing or is not TOML, or a setting is wrong.
    """
    file = _file(path, environ)
    from_file = _read(file) if file else {}
    from_environment = dict(_variables(environ))
    merged = _anchored(from_file, file.parent) if file else {}
    origins = {f"{section}.{key}": str(file) for section, key in _keys(from_file)}
    for (section, key), (variable, value) in from_environment.items():
        merged.setdefault(section, {})[key] = value
        origins[f"{section}.{key}"] = variable
    try:
        settings = Settings.model_validate(merged)
    except ValidationError as error:
        raise ConfigError(_told(error, origins, file)) from None
    return Configuration(settings=settings, file=file, origins=origins)


def _file(path: Path | None, environ: Mapping[str, str]) -> Path | None:
    named = path or (Path(environ[f"{PREFIX}CONFIG"]) if environ.get(f"{PREFIX}CONFIG") else None)
    if named is None:
        return next((file.resolve() for file in FILES if file.is_file()), None)
    if not named.is_file():
        raise ConfigError(f"{named}: there is no such configuration file; create it, or leave out --config")
    return named.resolve()


def _read(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{file}: this is not TOML: {error}") from error
    except OSError as error:
        raise ConfigError(f"{file}: cannot be read: {error.strerror}") from error


def _variables(environ: Mapping[str, str]) -> Iterator[tuple[tuple[str, str], tuple[str, str]]]:
    """Yield the settings of the environment: `BLOBDROP_SOURCE__URL` is `source.url`."""
    for variable, value in environ.items():
        section, separator, key = variable.removeprefix(PREFIX).lower().partition("__")
        if variable.startswith(PREFIX) and separator:
            yield (section, key), (variable, value)


def _keys(data: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for section, values in data.items():
        if isinstance(values, dict):
            yield from ((section, key) for key in values)
        else:
            yield section, ""


def _anchored(data: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Make the file's relative folders start at the file's own."""
    anchored = {name: dict(values) if isinstance(values, dict) else values for name, values in data.items()}
    for section in ("source", "store", "quarantine"):
        values = anchored.get(section)
        if isinstance(values, dict) and isinstance(url := values.get("url"), str) and url and "://" not in url:
            values["url"] = os.path.normpath(folder / Path(url).expanduser())
    ledger = anchored.get("ledger")
    if isinstance(ledger, dict) and isinstance(url := ledger.get("url"), str) and url.startswith("sqlite:///"):
        ledger["url"] = "sqlite:///" + os.path.normpath(folder / url.removeprefix("sqlite:///"))
    return anchored


def _told(error: ValidationError, origins: Mapping[str, str], file: Path | None) -> str:
    return "\n".join(_told_one(one, origins, file) for one in error.errors())


def _told_one(one: Any, origins: Mapping[str, str], file: Path | None) -> str:
    path = [str(part) for part in one["loc"]]
    where = ".".join(path)
    origin = origins.get(".".join(path[:2])) or origins.get(f"{path[0]}.") or (str(file) if file else "settings")
    if one["type"] == "extra_forbidden":
        return f"{origin}: {where}: there is no such setting{_meant(path)}"
    if one["type"] == "missing":
        return f"{origin}: {where}: this setting is needed"
    message = one["msg"].removeprefix("Value error, ")
    return f"{origin}: {where} = {one['input']!r}: {message}"


def _meant(path: list[str]) -> str:
    known = _siblings(path)
    close = difflib.get_close_matches(path[-1], known, n=1, cutoff=0.5)
    return f"; did you mean {close[0]}?" if close else f"; there are {', '.join(known)}"


def _siblings(path: list[str]) -> list[str]:
    """Return the names that may stand where this unknown one does."""
    sections = {name: field.annotation for name, field in Settings.model_fields.items()}
    if len(path) == 1:
        return list(sections)
    model = FeedSettings if path[0] == "feeds" else sections[path[0]]
    if "dialect" in path[1:-1] or "DialectSettings" in path:
        model = DialectSettings
    assert isinstance(model, type)  # noqa: S101 - every section is a model
    assert issubclass(model, BaseModel)  # noqa: S101 - as above
    return list(model.model_fields)
