"""`blobdrop doctor` says what is wrong and what to do, and leaves nothing behind."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from daemon.commands.doctor import doctor
from daemon.errors import SourceError
from tests.azurite.faults import proxy_to
from tests.azurite.running import Container
from tests.unit.daemon.commands.conftest import Place
from tests.unit.daemon.sources.test_azure import signature


def checks(place: Place, *, code: int = 0) -> dict[str, str]:
    """Return each check's grade."""
    assert doctor(place.config, json=True) == code
    found = place.json()
    assert found["healthy"] is (code == 0)
    return {one["check"]: one["grade"] for one in found["checks"]}


def test_before_the_first_run_all_is_well_but_for_the_folder_which_the_daemon_makes(place: Place) -> None:
    assert doctor(place.config, json=False) == 3
    assert "make it again with: mkdir -p" in place.out()
    (place.folder / "drops").mkdir()
    assert set(checks(place).values()) == {"fine"}
    assert list((place.folder / "drops").iterdir()) == []


def test_what_a_daemon_has_left_is_looked_at(worked: Place) -> None:
    (worked.folder / "drops").mkdir(exist_ok=True)
    found = checks(worked)
    assert {"ledger", "table: metrics", "source: delete"} <= set(found)
    (worked.folder / "ledger.db").write_bytes(b"SQLite format 3\0" + os.urandom(5000))
    assert checks(worked, code=3)["ledger"] == "wrong"


def test_a_setting_or_a_contract_that_is_wrong_is_the_first_thing_that_is_said(place: Place) -> None:
    text = place.config.read_text()
    place.config.write_text(text.replace("precomputed_metrics", "nothing"))
    assert checks(place, code=2)["contracts"] == "wrong"
    place.config.write_text(text.replace("settle_seconds", "settle_second"))
    assert checks(place, code=2) == {"settings": "wrong"}


def test_each_right_on_a_container_is_tried_on_a_blob_of_its_own(
    place: Place, container: Container, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BLOBDROP_SOURCE__URL", container.url)
    for rights, missing in (("rwdl", set()), ("rl", {"write", "delete"}), ("cwd", {"list", "read"})):
        monkeypatch.setenv("AZURE_STORAGE_SAS_TOKEN", signature(container, rights))
        found = checks(place, code=3 if missing else 0)
        assert {check for check, grade in found.items() if grade == "wrong"} == {f"source: {one}" for one in missing}
    assert container.names() == set()
    monkeypatch.setenv("BLOBDROP_SOURCE__AFTER", "keep")
    monkeypatch.setenv("AZURE_STORAGE_SAS_TOKEN", signature(container, "rl"))
    assert checks(place)["source: write"] == "warning"


def test_a_clock_that_is_far_off_is_said(place: Place, container: Container, monkeypatch: pytest.MonkeyPatch) -> None:
    with proxy_to(container) as proxy:
        for name, value in proxy.environment(container).items():
            monkeypatch.setenv(name, value)
        assert checks(place)["clock"] == "fine"
        proxy.ahead_seconds = -3600.0
        assert checks(place)["clock"] == "warning"
        assert doctor(place.config, json=False) == 0
    assert "the container's clock is ahead of this machine's by -3,6" in place.out()


def test_tables_and_quarantine_in_containers_are_tried_too(
    place: Place, container: Container, monkeypatch: pytest.MonkeyPatch
) -> None:
    (place.folder / "drops").mkdir()
    name = container.client.container_name
    monkeypatch.setenv("BLOBDROP_STORE__URL", f"az://{name}/tables")
    monkeypatch.setenv("BLOBDROP_QUARANTINE__URL", f"az://{name}/quarantine")
    assert checks(place, code=2) == {"settings": "wrong"}
    monkeypatch.setenv("AZURE_STORAGE_CONNECTION_STRING", container.connection_string)
    found = checks(place)
    assert {
        f"{where}: {what}" for where in ("tables", "quarantine") for what in ("write", "list", "read", "delete")
    } <= set(found)
    assert container.names() == set()
    monkeypatch.delenv("AZURE_STORAGE_CONNECTION_STRING")
    monkeypatch.setenv("BLOBDROP_SOURCE__URL", f"{container.url}/drops")
    monkeypatch.setenv("AZURE_STORAGE_SAS_TOKEN", signature(container, "rl"))
    assert checks(place, code=3)["tables: write"] == "wrong"


def test_a_container_that_does_not_answer_is_said_once(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BLOBDROP_SOURCE__URL", "http://127.0.0.1:9/devstoreaccount1/drops")
    monkeypatch.setenv("BLOBDROP_SOURCE__PATIENCE_SECONDS", "0")
    monkeypatch.setenv("AZURE_STORAGE_CONNECTION_STRING", "UseDevelopmentStorage=true")
    found = checks(place, code=3)
    assert [check for check, grade in found.items() if grade == "wrong"] == ["source: list"]


def test_a_folder_that_cannot_be_written_is_told(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    (place.folder / "drops").mkdir()

    def refused(_path: Path, _data: bytes) -> int:
        raise SourceError("no")

    monkeypatch.setattr(Path, "write_bytes", refused)
    assert checks(place, code=3)["source: write"] == "wrong"
