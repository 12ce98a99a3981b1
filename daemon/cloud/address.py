"""What names a blob container: an https URL, in the two forms that there are. Pure; knows no SDK."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from urllib.parse import SplitResult, parse_qsl, quote, unquote, urlsplit

#: "3 to 63 characters, lowercase letters, numbers and dashes, no two dashes in a row" (Naming and Referencing
#: Containers, Azure Storage), and the containers that the service itself has.
_CONTAINER = re.compile(r"(?=.{3,63}$)[a-z0-9](?:-?[a-z0-9])*|\$(?:root|web|logs)")
#: Account of the emulator, which is always named by a path.
EMULATOR = "devstoreaccount1"
#: How a place of the tables or the quarantine begins that is in a container: as deltalake and others have it.
AZ = "az://"
EXAMPLES = "https://ACCOUNT.blob.core.windows.net/CONTAINER, or http://127.0.0.1:10000/devstoreaccount1/CONTAINER"


@dataclass(frozen=True, kw_only=True, slots=True)
class Address:
    """A place in a container."""

    #: `https://ACCOUNT.blob.core.windows.net`, or `http://127.0.0.1:10000/devstoreaccount1`.
    endpoint: str
    #: The account, as far as the URL tells: the first part of the host's name, or of the path.
    account: str
    container: str
    #: Empty, or what the names of all blobs here start with, with a `/` at its end.
    prefix: str = ""

    @property
    def url(self) -> str:
        """The container's URL, without a `/` at its end."""
        return f"{self.endpoint}/{self.container}"

    def __str__(self) -> str:
        """Return the URL of the place, for people: it holds no key."""
        return f"{self.url}/{quoted(self.prefix)}".rstrip("/")


def is_url(value: str) -> bool:
    """Tell whether a setting names a container and not a folder."""
    return value.lower().startswith(("https://", "http://"))


def is_az(value: str) -> bool:
    """Tell whether a setting names a place in a container of the account that the source is in."""
    return value.lower().startswith(AZ)


def inside(url: str, account: Address) -> Address:
    """Return what `az://CONTAINER/PREFIX` names in a storage account, of which any place is given.

    Raises:
        ValueError: it names no container; the message says what was expected.
    """
    if not is_az(url):
        raise ValueError(f"this is no place in a container; expected {AZ}CONTAINER/PREFIX")
    if "?" in url:
        raise ValueError(f"it has a query; expected {AZ}CONTAINER/PREFIX, and a signature in AZURE_STORAGE_SAS_TOKEN")
    try:
        place = address(f"{account.endpoint}/{quote(url[len(AZ) :], safe='/%')}")
    except ValueError as error:
        raise ValueError(f"{str(error).partition('; ')[0]}; expected {AZ}CONTAINER/PREFIX") from None
    return place


def address(url: str) -> Address:
    """Return what a URL names; a signature in it is left out.

    Raises:
        ValueError: it names no container; the message says what was expected.
    """
    parts = _split(url)
    segments = [unquote(segment) for segment in parts.path.split("/")[1:]]
    by_path = _is_by_path(parts.hostname or "", segments)
    account = segments.pop(0) if by_path and segments else (parts.hostname or "").split(".")[0]
    container, *folders = segments or [""]
    if not _CONTAINER.fullmatch(container):
        raise ValueError(
            f"{container!r} is no container's name (3 to 63 small letters, digits and single dashes); "
            f"expected {EXAMPLES}"
        )
    if {".", ".."} & set(folders):
        raise ValueError("the folder in the container has a part . or .., which no blob's name has")
    endpoint = f"{parts.scheme}://{parts.netloc}" + (f"/{account}" if by_path else "")
    prefix = "/".join(folders).strip("/")
    return Address(endpoint=endpoint, account=account, container=container, prefix=f"{prefix}/" if prefix else "")


def signature_of(url: str) -> str:
    """Return the shared access signature that a URL carries, without its `?`; empty when it has none."""
    query = urlsplit(url).query
    return query if any(name == "sig" for name, _ in parse_qsl(query)) else ""


def quoted(name: str) -> str:
    """Percent-encode a blob's name for a URL: all but what RFC 3986 calls unreserved, and `/`."""
    return quote(name, safe="/", errors="surrogateescape")


def _split(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise ValueError(f"this is no URL ({error}); expected {EXAMPLES}") from None
    if not parts.hostname or port == 0:
        raise ValueError(f"this is no URL of a container; expected {EXAMPLES}")
    if parts.username is not None or parts.password is not None:
        raise ValueError("a container's URL has no user and no password")
    if (parts.query and not signature_of(url)) or parts.fragment:
        raise ValueError(f"nothing may stand behind ? or # in it; expected {EXAMPLES}")
    return parts


def _is_by_path(host: str, segments: list[str]) -> bool:
    """Tell whether the account is the first part of the path: so it is where a host's name cannot hold it."""
    if segments[:1] == [EMULATOR] or "." not in host:
        return True
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
