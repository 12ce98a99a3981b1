"""`feeds` and `config`: what is set, and whether every contract can be loaded."""

from __future__ import annotations

import base64
import os

import pytest

from daemon.commands import contracts, doctor
from daemon.config import load
from daemon.errors import ConfigError, ContractError
from tests.unit.daemon.commands.conftest import Place


def test_a_feed_is_shown_with_what_its_rows_must_be_and_what_it_has_brought(worked: Place) -> None:
    assert contracts.feeds(worked.config, json=True) == 0
    (feed,) = worked.json()
    assert feed["time_column"] == "date"
    assert (feed["rows"], feed["customers"]) == ({"accepted": 14, "rejected": 3}, 1)
    assert contracts.feeds(worked.config, json=False) == 0
    said = worked.out()
    assert "14 in the table, 3 set aside" in said
    assert "metrics/**, {customer}/metrics/**" in said


def test_every_setting_is_shown_with_where_it_came_from(place: Place) -> None:
    assert contracts.config(place.config, json=True) == 0
    settings = {each["name"]: each for each in place.json()["settings"]}
    assert settings["source.settle_seconds"]["value"] == 0.0
    assert settings["source.settle_seconds"]["origin"] == str(place.config)
    assert settings["source.poll_seconds"]["origin"] == "default"
    assert settings["feeds[0].name"]["origin"] == str(place.config)


def test_a_contract_that_cannot_be_loaded_is_shown_and_then_told_with_its_feed(place: Place) -> None:
    place.config.write_text(place.config.read_text().replace("precomputed_metrics", "precomputed"))
    for command in (contracts.feeds, contracts.config):
        with pytest.raises(ContractError, match="feed 'metrics': "):
            command(place.config, json=False)
        assert "cannot be loaded" in place.out()


def test_what_a_contracts_file_prints_is_no_part_of_the_answer(place: Place) -> None:
    place.file(
        "loud.py", b"import pandera.pandas as pa\nprint('loud')\ncontract = pa.DataFrameSchema({'n': pa.Column(int)})\n"
    )
    text = place.config.read_text().replace("validators.metrics:precomputed_metrics", "loud.py:contract")
    place.config.write_text(text)
    assert contracts.config(place.config, json=True) == 0
    assert place.json()["feeds"][0]["error"] is None


EVENTS = """
[[feeds]]
name = "events"
paths = ["events/**"]
contract = "validators.events:raw_events"

[[metrics]]
name = "buyers"
kind = "unique_users"
event = "purchase"
"""


def test_metrics_of_events_are_shown_and_tried_against_the_contract(place: Place) -> None:
    text = place.config.read_text()
    place.config.write_text(text + EVENTS)
    assert contracts.feeds(place.config, json=True) == 0
    assert [feed["metrics"] for feed in place.json()] == [[], ["buyers"]]
    assert contracts.config(place.config, json=True) == 0
    settings = {each["name"]: each["value"] for each in place.json()["settings"]}
    assert settings["metrics[0].kind"] == "unique_users"
    place.config.write_text(f'{text}{EVENTS}units = {{ user_id = "usr.userID" }}\n')
    with pytest.raises(ConfigError, match=r"units.user_id = 'usr.userID': there is no column 'usr'.*mean 'user'"):
        contracts.config(place.config, json=False)
    place.config.write_text(f'{text}{EVENTS}feed = "metrics"\n')
    with pytest.raises(ConfigError, match="its rows are metrics already"):
        contracts.config(place.config, json=False)


#: A secret for each place that may hold one.
KEY = base64.b64encode(b"k3y" * 20).decode()
HOOK = """
[[notify]]
name = "ops"
on = ["day_held"]
webhook = "https://me:pa55@hooks.example/s3rvice/t0ken?key=qu3ry"
secret = "hm4c"
[[notify]]
name = "others"
on = ["day_held"]
webhook_from = "HOOK"
secret_from = "SIGNS"
"""
SECRETS = {
    "AZURE_STORAGE_KEY": KEY,
    "AZURE_STORAGE_SAS_TOKEN": "sv=1&sig=s4s",
    "AZURE_STORAGE_CONNECTION_STRING": f"AccountName=devstoreaccount1;AccountKey={KEY}",
    "HOOK": "https://hooks.example/h00k",
    "SIGNS": "s1gns",
}
SHOWN_NOWHERE = (KEY, "s4s", "pa55", "t0ken", "qu3ry", "hm4c", "h00k", "s1gns", "1nurl", "pgs3cret")


@pytest.mark.parametrize("variable", [*SECRETS, ""])
@pytest.mark.parametrize("json", [True, False])
def test_no_secret_is_shown_wherever_it_stands(
    place: Place, monkeypatch: pytest.MonkeyPatch, variable: str, *, json: bool
) -> None:
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value) if name in (variable, "HOOK", "SIGNS") else monkeypatch.delenv(name, False)
    url = "http://127.0.0.1:1/devstoreaccount1/drops?sv=1&sig=1nurl"
    text = place.config.read_text().replace('url = "drops"', f'url = "{url}"')
    place.config.write_text(text.replace("[[feeds]]", f"{HOOK}\n[[feeds]]"))
    contracts.config(place.config, json=json)
    said = place.out()
    opened = {"": "source.url", "HOOK": "source.url", "SIGNS": "source.url"}.get(variable, variable)
    assert "source.url is opened by" in said
    assert opened in said
    assert not [secret for secret in SHOWN_NOWHERE if secret in said]
    assert not [secret for secret in SHOWN_NOWHERE if secret in repr(load(place.config, os.environ).settings.notify)]


@pytest.mark.parametrize(
    "wrong",
    [
        'source.url = "https://me:pgs3cret@account.blob.core.windows.net/c"',
        'ledger.url = "postgresql://me:pgs3cret@host/db"',
        'source.url = "https://account.blob.core.windows.net/c?sv=1&Sig=1nurl"',
        f'source.url = "DefaultEndpointsProtocol=https;AccountName=account;AccountKey={KEY}"',
        'source.url = "BlobEndpoint=https://account.blob.core.windows.net;SharedAccessSignature=sv=1&sig=1nurl"',
        f'store.url = "AccountName=account;AccountKey={KEY}"',
        f'quarantine.url = "BlobEndpoint=https://account.blob.core.windows.net/;AccountKey={KEY}"',
        'store.url = "az://c?sig=1nurl"',
        'notify = [{ name = "a", on = ["day_held"], webhook = "t0ken", secret = "hm4c" }]',
        'notify = [{ name = "a", on = ["day_hold"], webhook = "https://h/t0ken", secret = "hm4c" }]',
        'notify = [{ name = "a", on = ["day_held"], webhook = "https://h/t0ken", command = ["x"], secret = ["hm4c"] }]',
    ],
)
def test_a_wrong_setting_is_told_without_the_secret_in_it(place: Place, wrong: str) -> None:
    place.config.write_text(wrong)
    with pytest.raises(ConfigError) as caught:
        contracts.config(place.config, json=False)
    assert doctor.doctor(place.config, json=True) == 2
    assert not [secret for secret in SHOWN_NOWHERE if secret in f"{caught.value}{place.out()}"]
