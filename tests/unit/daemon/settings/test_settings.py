"""`deploy/blobdrop.toml` is the page on settings: it has every one, at its default, with its meaning and bounds."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic.fields import FieldInfo

from daemon.config import load
from daemon.settings import LISTS, Settings
from daemon.settings.complaints import rule
from daemon.settings.feeds import DialectSettings, FeedSettings, HoldSettings
from daemon.settings.metrics import FilterSettings, MetricSettings
from daemon.settings.watching import NotifySettings

FILE = Path(__file__).parents[4] / "deploy" / "blobdrop.toml"
#: Settings that stand in the file as comments: a # with nothing behind it.
COMMENTED = re.compile(r"^#(?=[a-z\[])", re.MULTILINE)


def fields() -> Iterator[tuple[str, FieldInfo]]:
    """Yield every setting's name and what the code knows of it."""
    for section, field in Settings.model_fields.items():
        if section not in LISTS:
            assert field.annotation is not None
            yield from field.annotation.model_fields.items()
    yield from FeedSettings.model_fields.items()
    yield from DialectSettings.model_fields.items()
    yield from HoldSettings.model_fields.items()
    yield from NotifySettings.model_fields.items()
    yield from MetricSettings.model_fields.items()
    yield from FilterSettings.model_fields.items()


@pytest.fixture
def text() -> str:
    return FILE.read_text(encoding="utf-8")


def test_the_file_as_it_is_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "blobdrop.toml").write_text(text, encoding="utf-8")

    assert load(None, {}).settings == Settings()


def test_with_every_comment_taken_away_it_has_every_setting_at_its_default(text: str) -> None:
    everything = tomllib.loads(COMMENTED.sub("", text))

    receivers, metrics = everything.pop("notify"), everything.pop("metrics")
    assert Settings.model_validate(everything) == Settings()
    assert [list(one) for one in receivers] == [list(NotifySettings.model_fields)]
    given = NotifySettings.model_validate(receivers[0])
    assert given == NotifySettings(name=given.name, on=given.on, webhook=given.webhook)
    for section, field in Settings.model_fields.items():
        if section not in LISTS:
            assert field.annotation is not None
            assert list(everything[section]) == list(field.annotation.model_fields)
    assert list(everything["feeds"][0]) == list(FeedSettings.model_fields)
    assert list(everything["feeds"][0]["dialect"]) == list(DialectSettings.model_fields)
    assert {*metrics[0], *metrics[1]} == set(MetricSettings.model_fields)
    assert list(metrics[0]["filters"][0]) == list(FilterSettings.model_fields)
    assert len(Settings.model_validate({"metrics": metrics}).metrics) == 2


@pytest.mark.parametrize(("name", "field"), list(fields()))
def test_each_setting_is_explained_with_its_unit_and_bounds(text: str, name: str, field: FieldInfo) -> None:
    comments = " ".join(line.removeprefix("# ") for line in text.splitlines() if line.startswith("# "))
    assert field.description is not None
    explained = field.description[0].upper() + field.description[1:] + (f": {rule(field)}." if rule(field) else ".")

    assert explained in comments, name


def test_a_number_has_both_bounds_and_says_its_unit() -> None:
    units = (
        "seconds",
        "mb",
        "processes",
        "files",
        "attempts",
        "columns",
        "ratio",
        "days",
        "requests",
        "_above",
        "_below",
    )
    for name, field in fields():
        if field.annotation in (int, float):
            assert re.search(r"(from|above) [\d,.]+ (up )?to [\d,.]+$", rule(field)), name
            assert name.endswith(units), name
