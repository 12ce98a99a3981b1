"""The README names every setting, command, option and error there is."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from pathlib import Path

import pytest

from daemon import cli, errors
from daemon.cli import days, quarantine
from daemon.config import NAMED
from daemon.settings import LISTS, Settings
from daemon.settings.feeds import DialectSettings, FeedSettings, HoldSettings
from daemon.settings.metrics import FilterSettings, MetricSettings
from daemon.settings.watching import NotifySettings

README = Path(__file__).parents[2] / "README.md"


def settings() -> Iterator[str]:
    for section, field in Settings.model_fields.items():
        if section not in LISTS:
            assert field.annotation is not None
            yield from (f"{section}.{key}" for key in field.annotation.model_fields)
    yield from FeedSettings.model_fields
    yield from NotifySettings.model_fields
    yield from (f"dialect.{key}" for key in DialectSettings.model_fields)
    yield from (f"hold_if.{key}" for key in HoldSettings.model_fields)
    yield from MetricSettings.model_fields
    yield from (f"filters.{key}" for key in FilterSettings.model_fields)


def commands() -> Iterator[str]:
    groups = ((cli.app, ""), (quarantine.quarantine, " quarantine"), (days.days, " days"))
    for group, prefix in ((group, f"blobdrop{name}") for group, name in groups):
        for command in group.registered_commands:
            assert command.callback is not None
            yield f"{prefix} {command.name or command.callback.__name__}"
    yield "blobdrop days"


def options() -> Iterator[str]:
    """Yield the options of every command, each once."""
    found = dict.fromkeys(
        name
        for group in (cli.app, quarantine.quarantine, days.days)
        for command in group.registered_commands
        for parameter in inspect.signature(command.callback or print, eval_str=True).parameters.values()
        for given in getattr(parameter.annotation, "__metadata__", ())
        for name in (getattr(given, "default", None), *(getattr(given, "param_decls", None) or ()))
        if isinstance(name, str) and name.startswith("--")
    )
    assert "--config" in found
    yield from found


def error_classes() -> Iterator[str]:
    yield from errors.__all__


@pytest.fixture(scope="module")
def readme() -> str:
    return README.read_text(encoding="utf-8")


@pytest.mark.parametrize("name", list(settings()))
def test_the_readme_has_every_setting(readme: str, name: str) -> None:
    assert f"`{name}`" in readme


@pytest.mark.parametrize("name", [*commands(), *options()])
def test_the_readme_has_every_command_and_option(readme: str, name: str) -> None:
    assert name in readme


@pytest.mark.parametrize("name", list(error_classes()))
def test_the_readme_has_every_error(readme: str, name: str) -> None:
    assert f"`{name}`" in readme


def test_the_readme_says_how_settings_are_given(readme: str) -> None:
    for word in (NAMED, "BLOBDROP_SOURCE__URL", "blobdrop.toml", "/etc/blobdrop/blobdrop.toml", "--config"):
        assert word in readme
