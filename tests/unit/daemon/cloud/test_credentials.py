"""What opens a container: where it is looked for, in which order, and that it is never shown."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest

from daemon.cloud.address import address
from daemon.cloud.credentials import (
    CONNECTION_STRING,
    EMULATOR_KEY,
    FOLDER,
    IDENTITY,
    KEY,
    SAS_TOKEN,
    Credential,
    credential,
)
from daemon.errors import ConfigError

URL = "https://acme.blob.core.windows.net/drops"
SECRET = "c2VjcmV0"  # noqa: S105 - base64 of "secret"
STRING = f"DefaultEndpointsProtocol=https;AccountName=acme;AccountKey={SECRET};EndpointSuffix=core.windows.net"
SAS = f"sv=2021-12-02&sp=rwdl&sig={SECRET}"


def found(environ: dict[str, str], url: str = URL) -> Credential:
    return credential(url, address(url), environ)


def test_the_environment_is_looked_at_in_the_order_that_is_documented(tmp_path: Path) -> None:
    environ = {CONNECTION_STRING: STRING, SAS_TOKEN: SAS, KEY: SECRET, FOLDER: str(tmp_path)}
    for name, value in ((CONNECTION_STRING, STRING), (SAS_TOKEN, SAS), (KEY, SECRET)):
        (tmp_path / name).write_text(f"{value}\n")

    origins = []
    for name in (CONNECTION_STRING, SAS_TOKEN, KEY):
        origins.append(found(environ).origin)
        environ.pop(name)
    for name in (CONNECTION_STRING, SAS_TOKEN, KEY):
        origins.append(found(environ).origin)
        (tmp_path / name).unlink()

    files = [str(tmp_path / name) for name in (CONNECTION_STRING, SAS_TOKEN, KEY)]
    assert origins == [CONNECTION_STRING, SAS_TOKEN, KEY, *files]
    assert found(environ) == IDENTITY
    assert found(environ, f"{URL}?{SAS}") == Credential(origin="source.url", sas=SAS)


def test_what_is_empty_is_not_there(tmp_path: Path) -> None:
    (tmp_path / KEY).write_text(" \n")
    assert found({CONNECTION_STRING: "", SAS_TOKEN: "  ", FOLDER: str(tmp_path)}) == IDENTITY


@pytest.mark.parametrize("sas", [SAS, f"?{SAS}", f"{URL}?{SAS}"])
def test_a_signature_may_have_its_question_mark_or_its_whole_url(sas: str) -> None:
    assert found({SAS_TOKEN: sas}).sas == SAS


def test_a_connection_string_may_carry_a_signature() -> None:
    opened = found({CONNECTION_STRING: f"BlobEndpoint=https://acme.blob.core.windows.net;SharedAccessSignature={SAS}"})
    assert (opened.sas, opened.key) == (SAS, "")


def test_the_emulators_own_string_is_known() -> None:
    opened = found({CONNECTION_STRING: "UseDevelopmentStorage=true"}, "http://127.0.0.1:10000/devstoreaccount1/drops")
    assert (opened.account, opened.key) == ("devstoreaccount1", EMULATOR_KEY)


def test_an_account_behind_a_name_of_its_own_is_known_by_its_endpoint() -> None:
    url = "https://files.acme.example/drops"
    string = f"AccountName=acme;AccountKey={SECRET};BlobEndpoint=https://files.acme.example/"
    assert found({CONNECTION_STRING: string}, url).account == "acme"


@pytest.mark.parametrize(
    ("environ", "said"),
    [
        (
            {CONNECTION_STRING: STRING.replace("=acme;", "=other;")},
            "is for account 'other', and source.url names 'acme'",
        ),
        ({CONNECTION_STRING: f"AccountName=acme;secret={SECRET}"}, "has neither an AccountKey nor a"),
        ({CONNECTION_STRING: SECRET}, "has neither an AccountKey nor a"),
        ({SAS_TOKEN: f"sv=1&{SECRET}"}, "is no shared access signature: it has no sig="),
        ({KEY: f"{SECRET}!"}, "is no account key: it is not base64"),
    ],
)
def test_what_is_of_no_use_is_refused_without_being_shown(environ: dict[str, str], said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        found(environ)
    assert said in str(caught.value)
    assert next(iter(environ)) in str(caught.value)
    assert SECRET not in str(caught.value)


def test_a_credential_that_is_no_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / KEY).write_bytes(b"\xff\xfe\xff")
    with pytest.raises(ConfigError, match="cannot be read: it is not text"):
        found({FOLDER: str(tmp_path)})


def test_it_is_never_shown_and_travels_to_workers() -> None:
    for environ in ({KEY: SECRET}, {SAS_TOKEN: SAS}, {CONNECTION_STRING: STRING}):
        opened = found(environ)
        assert SECRET not in f"{opened} {opened!r}"
        assert pickle.loads(pickle.dumps(opened)) == opened  # noqa: S301 - our own bytes
