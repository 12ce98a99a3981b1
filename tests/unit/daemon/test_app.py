"""The composition root: settings become a wired daemon, and a wrong set-up ends it early; a signal stops it cleanly."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from daemon import app, wiring
from daemon.config import Configuration, load
from daemon.errors import ConfigError, ContractError, LedgerBusyError, LedgerError, LedgerMissingError
from daemon.ledger import Ledger
from daemon.model import After, State
from daemon.sources.folder import FolderSource
from daemon.stopping import handling, leave
from tests.unit.daemon.conftest import METRICS, Here, dirty, good

FILE = """
[source]
url = "drops"
settle_seconds = 0.0
poll_seconds = 0.1
[workers]
processes = 1
"""


@pytest.fixture
def configuration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Configuration:
    monkeypatch.chdir(tmp_path)  # what is not set is below the current folder
    (tmp_path / "blobdrop.toml").write_text(FILE)
    return load(tmp_path / "blobdrop.toml", {})


def drop(folder: Path, name: str, data: bytes) -> None:
    path = folder / "drops" / "metrics" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


# ---------------------------------------------------------------- PARTS


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("/srv/drops", Path("/srv/drops")),
        ("file:///srv/drops", Path("/srv/drops")),
        ("drops", Path.cwd() / "drops"),
        ("~/drops", Path.home() / "drops"),
    ],
)
def test_a_setting_names_a_folder(url: str, path: Path) -> None:
    assert wiring.folder(url, "source.url") == path


def test_a_place_that_is_no_folder_is_refused_with_the_setting_and_the_value() -> None:
    with pytest.raises(ConfigError) as caught:
        wiring.folder("s3://bucket/drops", "source.url")
    assert str(caught.value) == (
        "source.url = 's3://bucket/drops': only folders are supported; give a path such as ./drops"
    )


def test_the_source_and_the_store_are_where_the_settings_say(configuration: Configuration, tmp_path: Path) -> None:
    source = wiring.source_of(configuration.settings, {})
    assert isinstance(source, FolderSource)
    assert source.describe() == str(tmp_path / "drops")
    assert wiring.store_of(configuration.settings, "x").describe("metrics") == str(
        tmp_path / "var" / "tables" / "metrics"
    )


def test_a_table_is_one_that_has_a_log(configuration: Configuration) -> None:
    settings = configuration.settings
    assert not app.tables_exist(settings)
    staged = Path(settings.store.url, "metrics", "date=2026-03-01")
    staged.mkdir(parents=True)
    assert not app.tables_exist(settings), "staged files alone are no table"
    log = Path(settings.store.url, "metrics", "_delta_log")
    log.mkdir()
    (log / f"{0:020}.json").write_text("{}")
    assert app.tables_exist(settings)


def test_before_the_first_run_there_is_no_ledger_and_a_command_makes_none(
    configuration: Configuration, tmp_path: Path
) -> None:
    assert app.open_for_reading(configuration.settings) is None
    assert not (tmp_path / "var").exists()


def test_a_ledger_that_is_missed_is_an_error_with_what_to_do(configuration: Configuration) -> None:
    log = Path(configuration.settings.store.url, "metrics", "_delta_log")
    log.mkdir(parents=True)
    (log / f"{0:020}.json").write_text("{}")
    advice = r"there are tables in .*Restore it from a backup.*blobdrop ledger rebuild"
    with pytest.raises(LedgerMissingError, match=advice):
        app.open_for_reading(configuration.settings)
    with pytest.raises(LedgerMissingError), app.daemon(configuration, {}):
        pytest.fail("it started")


def test_a_ledger_of_another_kind_is_an_error(configuration: Configuration, tmp_path: Path) -> None:
    (tmp_path / "var").mkdir()
    (tmp_path / "var" / "ledger.db").write_bytes(b"no database at all, and long enough to be looked at" * 50)
    with pytest.raises(LedgerError, match="not an SQLite database"):
        app.open_for_reading(configuration.settings)


def test_every_feed_whose_contract_cannot_be_loaded_is_named_with_its_cause() -> None:
    contracts = {"good": METRICS.contract, "gone": "nowhere:at_all", "other": "validators.metrics:typo"}
    feeds = {name: _feed(name, contract) for name, contract in contracts.items()}
    with pytest.raises(ContractError) as caught:
        app.describe_feeds(feeds, Here())
    first, second = str(caught.value).splitlines()
    assert first.startswith("feed 'gone': ")
    assert second.startswith("feed 'other': ")
    assert set(app.describe_feeds({"good": feeds["good"]}, Here())) == {"good"}


def _feed(name: str, contract: str) -> Any:
    return type(METRICS)(name=name, paths=("*",), contract=contract)


def test_once_waits_for_no_retry(configuration: Configuration) -> None:
    assert app._rules(configuration.settings, once=True).retry_seconds == 0.0
    rules = app._rules(configuration.settings, once=False)
    assert rules.retry_seconds == configuration.settings.workers.retry_seconds > 0
    assert rules.after is After.ARCHIVE


# ---------------------------------------------------------------- SIGNALS


def handlers() -> list[Any]:
    return [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)]


def test_handlers_are_those_from_before_in_the_end() -> None:
    before = handlers()
    with handling(leave):
        assert handlers() == [leave] * 2
    assert handlers() == before


def test_told_to_stop_before_anything_has_begun_it_just_ends() -> None:
    with pytest.raises(SystemExit) as caught, handling(leave):
        signal.raise_signal(signal.SIGTERM)
    assert caught.value.code == 0


def test_the_first_signal_stops_the_loop_and_a_second_one_ends_the_process(configuration: Configuration) -> None:
    drop(configuration.file.parent if configuration.file else Path(), "a.csv", good(1))
    with app.daemon(configuration, {}) as daemon:
        signal.raise_signal(signal.SIGTERM)
        assert daemon.told.is_set()
        assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
        assert signal.getsignal(signal.SIGINT) is not signal.SIG_DFL
        daemon.loop.run()
        assert daemon.ledger.drops() == ()


# ---------------------------------------------------------------- THE WHOLE


def told(configuration: Configuration, act: Callable[[app.Daemon], None], **options: Any) -> None:
    with app.daemon(configuration, {}, **options) as wired:
        act(wired)


def test_a_real_daemon_is_wired_works_and_stops_on_a_signal(configuration: Configuration, tmp_path: Path) -> None:
    """With its own processes: once until nothing is left, then as a daemon until it is told to stop."""
    drop(tmp_path, "a.csv", good(3))
    drop(tmp_path, "b.csv", dirty())

    def work(wired: app.Daemon) -> None:
        assert wired.loop.run_once() == 0
        assert [row.state for row in sorted(wired.ledger.drops(), key=lambda row: row.name)] == [
            State.INGESTED,
            State.PARTIAL,
        ]
        assert wired.store.read("metrics").num_rows == 3 + 9
        with pytest.raises(LedgerBusyError, match=f"process {os.getpid()}"), app.daemon(configuration, {}, once=True):
            pytest.fail("a second one started")

    told(configuration, work, once=True)
    before = handlers()

    def live(wired: app.Daemon) -> None:
        stopper = threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGTERM))
        stopper.start()
        wired.loop.run()
        stopper.join()

    told(configuration, live)
    assert handlers() == before
    with Ledger.open_read(configuration.settings.ledger.url) as ledger:
        assert ledger.holder() is None
        assert {row.settled_at is not None for row in ledger.drops()} == {True}
