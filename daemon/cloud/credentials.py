"""What opens a container: looked for in the environment, then in a folder of credentials; never shown."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from daemon.cloud.address import EMULATOR, Address, signature_of
from daemon.errors import ConfigError

CONNECTION_STRING: Final = "AZURE_STORAGE_CONNECTION_STRING"
SAS_TOKEN: Final = "AZURE_STORAGE_SAS_TOKEN"  # noqa: S105 - a variable's name
KEY: Final = "AZURE_STORAGE_KEY"
#: In this order; each in the environment, then all again as files of the folder.
NAMES: Final = (CONNECTION_STRING, SAS_TOKEN, KEY)
#: Where systemd's `LoadCredential=` puts files (systemd.exec(5)).
FOLDER: Final = "CREDENTIALS_DIRECTORY"
#: Where the emulator listens, and what follows an account's name and `blob.` in public Azure (connection strings).
EMULATOR_ENDPOINT: Final = "http://127.0.0.1:10000/devstoreaccount1"
SUFFIX: Final = "core.windows.net"
#: "The account name for Azurite is devstoreaccount1", and its key is the same everywhere (Azurite, README).
EMULATOR_KEY: Final = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="


@dataclass(frozen=True, kw_only=True, slots=True)
class Credential:
    """A key or a signature, or neither: then Entra ID decides, by the identity that the machine has."""

    #: Where it came from, for people: a variable, a file, `source.url`.
    origin: str
    #: Whose key it is.
    account: str = ""
    key: str = field(default="", repr=False)
    #: A shared access signature: the part of a URL after its `?`.
    sas: str = field(default="", repr=False)

    @property
    def kind(self) -> str:
        """What it is, in words."""
        return "account key" if self.key else "shared access signature" if self.sas else "identity of this machine"


IDENTITY: Final = Credential(origin="DefaultAzureCredential of azure-identity")


def credential(url: str, place: Address, environ: Mapping[str, str]) -> Credential:
    """Return what opens a container.

    Args:
        url: the container's URL as it was set; a signature in it counts where nothing else is found.
        place: what the URL names.
        environ: the environment.

    Raises:
        ConfigError: what was found cannot be of use; the message never shows it.
    """
    for name, value, origin in _given(environ):
        if name == CONNECTION_STRING:
            return _from_string(value, place, origin)
        if name == SAS_TOKEN:
            return _from_sas(value, origin)
        return Credential(origin=origin, account=place.account, key=_checked_key(value, origin))
    if sas := signature_of(url):
        return Credential(origin="source.url", sas=sas)
    return IDENTITY


def endpoint_of(environ: Mapping[str, str]) -> str:
    """Return the endpoint that a connection string names, `https://ACCOUNT.blob.core.windows.net`; empty for none."""
    for name, value, _ in _given(environ):
        if name != CONNECTION_STRING:
            continue
        parts = _parts(value)
        if parts.get("usedevelopmentstorage", "").lower() == "true":
            return EMULATOR_ENDPOINT
        if endpoint := parts.get("blobendpoint", "").rstrip("/"):
            return endpoint
        if account := parts.get("accountname", ""):
            protocol, suffix = parts.get("defaultendpointsprotocol", "https"), parts.get("endpointsuffix", SUFFIX)
            return f"{protocol}://{account}.blob.{suffix}"
    return ""


def is_connection_string(value: str) -> bool:
    """Tell whether a text is, or begins to be, what opens a storage account; somebody may put it in a wrong place."""
    return not {"accountkey", "sharedaccesssignature"}.isdisjoint(_parts(value))


def _parts(value: str) -> dict[str, str]:
    pairs = [part.partition("=") for part in value.split(";") if part.strip()]
    return {name.strip().lower(): text.strip() for name, _, text in pairs}


def _given(environ: Mapping[str, str]) -> Iterator[tuple[str, str, str]]:
    """Yield what is set as (name, value, origin), best first."""
    for name in NAMES:
        if value := environ.get(name, "").strip():
            yield name, value, name
    folder = environ.get(FOLDER, "")
    for name in NAMES if folder else ():
        path = Path(folder, name)
        try:
            value = path.read_text(encoding="utf-8").strip()
        except FileNotFoundError:
            continue
        except (OSError, UnicodeDecodeError) as error:
            why = error.strerror if isinstance(error, OSError) else "it is not text"
            raise ConfigError(f"{path}: this credential cannot be read: {why}") from None
        if value:
            yield name, value, str(path)


def _from_string(value: str, place: Address, origin: str) -> Credential:
    """Take a connection string apart: `AccountName=...;AccountKey=...`, or with `SharedAccessSignature=...`."""
    parts = _parts(value)
    if parts.get("usedevelopmentstorage", "").lower() == "true":
        return Credential(origin=origin, account=EMULATOR, key=EMULATOR_KEY)
    account = parts.get("accountname", "")
    if account and account != place.account and not _is_at(parts.get("blobendpoint", ""), place):
        raise ConfigError(
            f"{origin} is for account {account!r}, and source.url names {place.account!r}: "
            "give the connection string of that account, or the URL of this one"
        )
    if key := parts.get("accountkey", ""):
        return Credential(origin=origin, account=account or place.account, key=_checked_key(key, origin))
    if sas := parts.get("sharedaccesssignature", ""):
        return _from_sas(sas, origin)
    raise ConfigError(
        f"{origin} has neither an AccountKey nor a SharedAccessSignature; copy the whole connection string "
        "from the account's page on access keys"
    )


def _is_at(endpoint: str, place: Address) -> bool:
    """Tell whether a connection string speaks of the place's endpoint, whatever the host is called."""
    return bool(endpoint) and place.endpoint.casefold() == endpoint.rstrip("/").casefold()


def _from_sas(value: str, origin: str) -> Credential:
    sas = value.rpartition("?")[2]
    if not signature_of(f"https://host/?{sas}"):
        raise ConfigError(
            f"{origin} is no shared access signature: it has no sig=; copy the part of its URL after the ?"
        )
    return Credential(origin=origin, sas=sas)


def _checked_key(value: str, origin: str) -> str:
    try:
        base64.b64decode(value, validate=True)
    except binascii.Error:
        raise ConfigError(f"{origin} is no account key: it is not base64; copy the key as a whole") from None
    return value
