"""Where settings come from: defaults, the file over them, the environment over that."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from daemon.config import load, variable_of
from daemon.errors import ConfigError
from daemon.settings import LISTS, Settings
from daemon.settings.feeds import BUILT_IN_FEEDS


def wrong(path: Path | None, environ: Mapping[str, str]) -> str:
    with pytest.raises(ConfigError) as caught:
        load(path, environ)
    return str(caught.value)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "site" / "blobdrop.toml"


def written(file: Path, text: str) -> Path:
    file.parent.mkdir(exist_ok=True)
    file.write_text(text, encoding="utf-8")
    return file


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test reads the blobdrop.toml of whoever runs it."""
    monkeypatch.chdir(tmp_path)


def test_without_a_file_everything_is_at_its_default(tmp_path: Path) -> None:
    configuration = load(None, {})

    assert configuration.settings == Settings()
    assert (configuration.file, dict(configuration.origins)) == (None, {})
    assert configuration.origin("source", "url") == "default"
    assert [feed.base for feed in configuration.feeds()] == [tmp_path, tmp_path]


def test_a_file_that_is_named_is_read_and_said_to_be_the_origin(file: Path) -> None:
    configuration = load(written(file, "[workers]\nprocesses = 7\n"), {})

    assert configuration.settings.workers.processes == 7
    assert configuration.origin("workers", "processes") == str(file)
    assert configuration.origin("workers", "attempts") == "default"


def test_the_file_in_the_current_folder_is_found_by_itself(tmp_path: Path) -> None:
    written(tmp_path / "blobdrop.toml", "[workers]\nprocesses = 5\n")

    assert load(None, {}).settings.workers.processes == 5


def test_the_variable_names_the_file_and_the_option_wins_over_it(file: Path, tmp_path: Path) -> None:
    environ = {"BLOBDROP_CONFIG": str(written(tmp_path / "one.toml", "[workers]\nprocesses = 1\n"))}

    assert load(None, environ).settings.workers.processes == 1
    assert load(written(file, "[workers]\nprocesses = 9\n"), environ).settings.workers.processes == 9


def test_a_variable_overrides_the_file(file: Path) -> None:
    written(file, "[source]\nafter = 'keep'\npoll_seconds = 3\n")
    configuration = load(file, {"BLOBDROP_SOURCE__AFTER": "delete", "BLOBDROP_TEST_ANYTHING": "1", "HOME": "/x"})

    assert configuration.settings.source.after.value == "delete"
    assert configuration.settings.source.poll_seconds == 3
    assert configuration.origin("source", "after") == "BLOBDROP_SOURCE__AFTER"


def test_every_setting_but_those_of_lists_has_a_variable() -> None:
    for section, field in Settings.model_fields.items():
        if section not in LISTS:
            assert field.annotation is not None
            for key, value in getattr(Settings(), section):
                variable = variable_of(section, key)
                assert load(None, {variable: str(value)}).origin(section, key) == variable


def test_relative_paths_of_a_file_start_at_its_folder_and_those_of_variables_do_not(file: Path) -> None:
    written(file, "[source]\nurl = '../in'\n[store]\nurl = '/abs'\n[ledger]\nurl = 'sqlite:///l.db'\n")
    settings = load(file, {"BLOBDROP_QUARANTINE__URL": "aside"}).settings

    assert settings.source.url == str(file.parent.parent / "in")
    assert settings.store.url == "/abs"
    assert settings.ledger.url == f"sqlite:///{file.parent / 'l.db'}"
    assert settings.quarantine.url == "aside"


def test_the_home_folder_may_be_written_as_a_tilde(file: Path) -> None:
    assert load(written(file, "[source]\nurl = '~/in'\n"), {}).settings.source.url == str(Path("~/in").expanduser())


def test_feeds_of_a_file_take_the_place_of_the_built_in_ones(file: Path) -> None:
    written(file, '[[feeds]]\nname = "orders"\npaths = ["orders/**"]\ncontract = "orders.py:Orders"\n')
    (feed,) = load(file, {}).feeds()

    assert (feed.name, feed.base, feed.time_column, feed.key) == ("orders", file.parent, None, ())


def test_a_dialect_may_be_a_table_or_found_out(file: Path) -> None:
    text = '[[feeds]]\nname = "f"\npaths = ["**"]\ncontract = "c.py:c"\ndialect = '
    by_hand = load(written(file, text + '{ delimiter = ";", header = false, columns = ["a"] }'), {}).feeds()[0].dialect
    found_out = load(written(file, text + '"auto"'), {}).feeds()[0].dialect

    assert (by_hand.delimiter, by_hand.header, by_hand.columns, by_hand.auto) == (";", False, ("a",), False)
    assert found_out.auto


def test_a_mark_at_the_start_of_the_file_is_not_part_of_it(file: Path) -> None:
    assert load(written(file, "\ufeff[workers]\nprocesses = 3\n"), {}).settings.workers.processes == 3


@pytest.mark.parametrize(
    ("variable", "says"),
    [
        ("BLOBDROP_SOURCE__URI", "BLOBDROP_SOURCE__URI: there is no such setting; did you mean BLOBDROP_SOURCE__URL?"),
        (
            "BLOBDROP_SOURCES__URL",
            "BLOBDROP_SOURCES__URL: there is no such setting; did you mean BLOBDROP_SOURCE__URL?",
        ),
        ("BLOBDROP_WORKERS__PROCESES", "did you mean BLOBDROP_WORKERS__PROCESSES?"),
        ("BLOBDROP_NONSENSE_OF_SOMEBODY_ELSE", "deploy/blobdrop.toml has the settings there are"),
        ("BLOBDROP_FEEDS__0__NAME", "feeds cannot be set by variables; write them as [[feeds]] into a file"),
        ("BLOBDROP_FEEDS", "feeds cannot be set by variables"),
        ("BLOBDROP_METRICS", "metrics cannot be set by variables; write them as [[metrics]] into a file"),
    ],
)
def test_a_variable_that_is_no_setting_is_an_error_that_says_what_was_meant(variable: str, says: str) -> None:
    assert says in wrong(None, {variable: "x"})


def test_a_wrong_value_of_a_variable_names_the_variable() -> None:
    assert wrong(None, {"BLOBDROP_WORKERS__PROCESSES": "many"}) == (
        "BLOBDROP_WORKERS__PROCESSES: workers.processes = 'many': expected a whole number from 1 to 256"
    )


def test_a_file_that_is_missing_is_named_with_what_named_it(tmp_path: Path) -> None:
    assert "--config nowhere.toml: there is no such file; create it, or leave out --config" in wrong(
        Path("nowhere.toml"), {}
    )
    assert "BLOBDROP_CONFIG nowhere.toml: there is no such file" in wrong(None, {"BLOBDROP_CONFIG": "nowhere.toml"})
    assert "this is a folder" in wrong(tmp_path, {})


def test_a_file_that_cannot_even_be_looked_for_is_an_error_of_the_configuration(tmp_path: Path) -> None:
    # As in a folder that only another user may enter, where root can always look.
    assert "this file cannot be looked for: File name too long" in wrong(tmp_path / ("x" * 300), {})


@pytest.mark.parametrize(("text", "says"), [("[source", "at end of document"), ("a = \n", "at line 1, column 5")])
def test_a_file_that_is_not_toml_is_an_error_with_the_place(file: Path, text: str, says: str) -> None:
    message = wrong(written(file, text), {})

    assert message.startswith(f"{file}: this is not TOML: ")
    assert says in message


def test_a_file_that_is_not_text_is_an_error(file: Path) -> None:
    written(file, "").write_bytes(b"\xff\xfe\x00")

    assert "this is not TOML" in wrong(file, {})


def test_everything_that_is_wrong_is_told_at_once(file: Path) -> None:
    written(file, '[source]\nuri = "x"\nafter = "burn"\n[workers]\nprocesses = 0\n')

    assert len(wrong(file, {"BLOBDROP_LOGS__LEVEL": "loud"}).splitlines()) == 4


def test_the_built_in_feeds_are_those_of_the_page_on_metrics() -> None:
    assert [(feed.name, feed.paths, feed.timezone) for feed in BUILT_IN_FEEDS] == [
        ("metrics", ("metrics/**", "{customer}/metrics/**"), "Etc/GMT+8"),
        ("events", ("events/**", "{customer}/events/**"), "Etc/GMT+8"),
    ]
