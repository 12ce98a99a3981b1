"""The settings: built-in defaults, a TOML file over them, the environment over that.

An error names the field, the value, the rule and where it came from. Relative paths of the file start at the file's
folder, all others at the current one.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError

from daemon.errors import ConfigError
from daemon.measures import Measure
from daemon.model import Feed
from daemon.settings import LISTS, SQLITE, Settings
from daemon.settings.complaints import Place, complaints, nearest
from daemon.settings.sections import FromVariable

__all__ = ["Configuration", "Settings", "load", "variable_of"]

PREFIX: Final = "BLOBDROP_"
#: Variables that are no settings: which file to read, and whatever tests need.
NAMED: Final = f"{PREFIX}CONFIG"
FOR_TESTS: Final = f"{PREFIX}TEST_"
#: Where a configuration is looked for when none is named, in this order.
FILES: Final = (Path("blobdrop.toml"), Path("/etc/blobdrop/blobdrop.toml"))
DEFAULT: Final = "default"


@dataclass(frozen=True, kw_only=True)
class Configuration:
    """The effective settings, and where each came from."""

    settings: Settings
    #: The TOML file, if there is one.
    file: Path | None
    #: `source.url` -> the file's path, or the variable's name; `feeds` as a whole. Defaults are left out.
    origins: Mapping[str, str]

    def feeds(self) -> tuple[Feed, ...]:
        """Return the feeds, in the order in which a name is matched."""
        base = self.file.parent if self.file else Path.cwd()
        return tuple(replace(feed.feed(base), measures=self._measures(feed.name)) for feed in self.settings.feeds)

    def _measures(self, feed: str) -> tuple[Measure, ...]:
        return tuple(metric.measure() for metric in self.settings.metrics if metric.feed == feed)

    def origin(self, section: str, key: str) -> str:
        """Return where a setting came from: `default`, the file's path, or the variable's name."""
        return self.origins.get(f"{section}.{key}", DEFAULT)


def load(path: Path | None, environ: Mapping[str, str]) -> Configuration:
    """Read the settings.

    Args:
        path: the TOML file; None to look at `BLOBDROP_CONFIG` and the usual places.
        environ: the environment.

    Raises:
        ConfigError: a file is missing or is not TOML, or a setting is wrong; the message has a line for each.
    """
    try:
        file = _file(path, environ)
    except OSError as error:
        why = f"{error.filename}: this file cannot be looked for: {error.strerror}; give this user the right to"
        raise ConfigError(why) from error
    from_file = _read(file) if file else {}
    merged = _anchored(from_file, file.parent) if file else {}
    origins = {name: str(file) for name in _names(from_file)}
    for section, key, variable in _variables(environ):
        values = merged.setdefault(section, {})
        if isinstance(values, dict):
            values[key] = FromVariable(environ[variable])
            origins[f"{section}.{key}"] = variable
    try:
        settings = Settings.model_validate(merged)
    except ValidationError as error:
        raise ConfigError(_told(error, merged, origins, file)) from None
    return Configuration(settings=settings, file=file, origins=origins)


def variable_of(section: str, key: str) -> str:
    """Return the environment's variable for a setting: `BLOBDROP_SOURCE__URL`."""
    return f"{PREFIX}{section}__{key}".upper()


def _file(path: Path | None, environ: Mapping[str, str]) -> Path | None:
    variable = environ.get(NAMED, "")
    named = path or (Path(variable) if variable else None)
    if named is None:
        return next((file.resolve() for file in FILES if file.is_file()), None)
    by = "--config" if path else NAMED
    if named.is_dir():
        raise ConfigError(f"{by} {named}: this is a folder; name the TOML file in it")
    if not named.exists():
        raise ConfigError(
            f"{by} {named}: there is no such file; create it, or leave out {by} for the built-in settings"
        )
    return named.resolve()


def _read(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text(encoding="utf-8-sig"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"{file}: this is not TOML: {error}; see deploy/blobdrop.toml for how it is written"
        ) from error
    except OSError as error:
        raise ConfigError(f"{file}: this file cannot be read: {error.strerror}; give this user the right to") from error


def _names(data: Mapping[str, Any]) -> Iterator[str]:
    """Yield what a file sets: `source.url`; `feeds`, and whatever else is not a table, as a whole."""
    for section, values in data.items():
        yield section
        if isinstance(values, dict):
            yield from (f"{section}.{key}" for key in values)


def _variables(environ: Mapping[str, str]) -> Iterator[tuple[str, str, str]]:
    """Yield the settings of the environment as (section, key, variable).

    Raises:
        ConfigError: a variable is no setting; the message has a line for each.
    """
    settings = {variable_of(section, key): (section, key) for section, key in _settable()}
    wanted = [name for name in environ if name.startswith(PREFIX) and name != NAMED and not name.startswith(FOR_TESTS)]
    if wrong := [_unknown(name, list(settings)) for name in sorted(wanted) if name.upper() not in settings]:
        raise ConfigError("\n".join(wrong))
    yield from ((*settings[name.upper()], name) for name in wanted)


def _settable() -> Iterator[tuple[str, str]]:
    """Yield the section and key of every setting that a variable can give: all but feeds' and metrics'."""
    for section, field in Settings.model_fields.items():
        if section not in LISTS and field.annotation is not None:
            yield from ((section, key) for key in field.annotation.model_fields)


def _unknown(name: str, known: list[str]) -> str:
    for section in LISTS:
        if name.upper().startswith(f"{PREFIX}{section.upper()}"):
            written = f"write them as [[{section}]] into a file and name it in {NAMED}"
            return f"{name}: {section} cannot be set by variables; {written}"
    near = nearest(name.removeprefix(PREFIX).lower(), [each.removeprefix(PREFIX).lower() for each in known])
    meant = f"did you mean {PREFIX}{near.upper()}?" if near else "deploy/blobdrop.toml has the settings there are"
    return f"{name}: there is no such setting; {meant}"


def _anchored(data: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Make the file's relative folders start at the file's own."""
    anchored = {name: dict(values) if isinstance(values, dict) else values for name, values in data.items()}
    for section in ("source", "store", "quarantine", "ledger"):
        values = anchored.get(section)
        if isinstance(values, dict) and isinstance(url := values.get("url"), str):
            values["url"] = _anchored_url(url, folder)
    return anchored


def _anchored_url(url: str, folder: Path) -> str:
    if url.startswith(SQLITE) and url != SQLITE and not url.startswith(f"{SQLITE}:"):
        return SQLITE + os.path.normpath(folder / url.removeprefix(SQLITE))
    if not url or "://" in url or "\0" in url:
        return url
    return os.path.normpath(folder / Path(url).expanduser())


def _told(error: ValidationError, data: Mapping[str, Any], origins: Mapping[str, str], file: Path | None) -> str:
    def origin(place: Place) -> str:
        parts = [str(part) for part in place[:2]]
        return origins.get(".".join(parts)) or origins.get(parts[0] if parts else "") or str(file or "settings")

    return "\n".join(complaints(error, data, origin))
