"""Requests to one container, signed by azure-storage-blob, with deadlines and patience of our own.

The SDK is asked for signatures alone: its pipeline takes three times as long as the wire does, its models of what comes
back even longer, and what it tries again by itself nothing can stop.
"""

from __future__ import annotations

import email.utils
import functools
import importlib
import logging
import os
import random
import re
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import parse_qsl, quote, urlsplit

import certifi
import urllib3
from azure.core.credentials import AzureNamedKeyCredential, AzureSasCredential
from azure.core.exceptions import AzureError, ClientAuthenticationError
from azure.core.pipeline import PipelineContext, PipelineRequest
from azure.core.rest import HttpRequest
from azure.storage.blob import ContainerClient

from daemon.at_once import at_once
from daemon.cloud.address import Address, quoted
from daemon.cloud.credentials import CONNECTION_STRING, KEY, SAS_TOKEN, Credential
from daemon.errors import MissingRightError, NotPermittedError, UnreachableError

#: New enough for names that XML cannot hold (2021-02-12) and for directories to be told (2021-06-08); old enough for
#: every Azure and for Azurite since 2022.
API_VERSION: Final = "2021-12-02"
#: "The service is busy" and its kin, which pass (Common REST API error codes); 408 and 429 mean the same.
PASSING: Final = frozenset({408, 429, 500, 502, 503, 504})
#: Seconds before a request is tried again for the first time; doubled each time, and then anything from half of it on.
FIRST_WAIT_SECONDS: Final = 0.2
LONGEST_WAIT_SECONDS: Final = 10.0
#: Seconds that an answer may still take once told to stop, where the daemon's own thread waits for it.
GRACE_SECONDS: Final = 2.0
#: The refusals that another key or signature, or a right one clock, does not end (Blob service error codes).
MISSING_RIGHTS: Final = frozenset(
    {
        "AuthorizationPermissionMismatch",
        "AuthorizationResourceTypeMismatch",
        "AuthorizationServiceMismatch",
        "UnauthorizedBlobOverwrite",
    }
)
#: Seconds by which two clocks may differ unnoticed: a `Date` has whole seconds, and travels.
CLOCKS_SECONDS: Final = 2.0
#: Seconds of difference that a request is refused for: 15 minutes (Authorize with Shared Key, Date header); for a
#: signature that has just begun, or is about to end, any.
SKEW_SECONDS: Final = 60.0
#: What these log of a failed request is told by the error that comes of it.
LIBRARIES: Final = ("azure", "urllib3", "msal")
#: Errors of the wire: of the SDK, of what it uses, of the system.
WIRE_ERRORS: Final = (AzureError, urllib3.exceptions.HTTPError, OSError)


@dataclass(frozen=True, kw_only=True, slots=True)
class Deadlines:
    """How long what may take."""

    #: Until a connection stands, and between two bytes of an answer.
    connect_seconds: float = 5.0
    read_seconds: float = 20.0
    #: How long a request that fails is tried again.
    patience_seconds: float = 30.0


@dataclass(frozen=True, kw_only=True)
class Reply:
    """What came back."""

    status: int
    headers: Mapping[str, str]
    body: bytes = field(default=b"", repr=False)

    @property
    def ok(self) -> bool:
        """Whether it was done."""
        return self.status < 300  # noqa: PLR2004 - what HTTP calls successful

    @property
    def code(self) -> str:
        """The error's name, `BlobNotFound`; empty where there is none."""
        return self.headers.get("x-ms-error-code", "")


@functools.cache
def client_of(place: Address, credential: Credential, deadlines: Deadlines, connections: int) -> Client:
    """Return this process's client of a container: its connections outlive a unit of work."""
    for library in LIBRARIES:
        logging.getLogger(library).setLevel(logging.CRITICAL)
    return Client(place, credential, deadlines, connections)


class Client:
    """Requests to one container. Any thread may use it."""

    def __init__(self, place: Address, credential: Credential, deadlines: Deadlines, connections: int) -> None:
        """Connect to nothing yet; at most so many connections are kept."""
        self.place = place
        self._deadlines, self._credential = deadlines, credential
        #: Of the SDK: puts a signature or a token into a request.
        self._signing: Any = _container(place, credential)._credential_policy  # noqa: SLF001 - says why above
        self._pool = _pool(place.endpoint, deadlines, connections)
        self._stopped = threading.Event()
        #: Whether it was told to stop, and has had no answer since.
        self._is_gone = False

    def stop(self) -> None:
        """Try nothing again from now on: what fails, fails at once, and what comes after that is not even sent."""
        self._stopped.set()

    def start(self) -> None:
        """Try again as patience lasts: a daemon follows one that was told to stop, in the same process."""
        self._stopped.clear()
        self._is_gone = False

    def url(self, name: str) -> str:
        """Return a blob's URL without any key."""
        return f"{self.place.url}/{quoted(name)}"

    def signed_url(self, name: str) -> str:
        """Return a blob's URL as the service can read it for a copy: with the signature, where that opens it."""
        sas = self._credential.sas
        return f"{self.url(name)}?{sas}" if sas else self.url(name)

    def send(
        self,
        method: str,
        name: str = "",
        *,
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
        patience_seconds: float | None = None,
    ) -> Reply:
        """Send a request about a blob, or about the container where `name` is empty; again while that may help.

        A refusal (404, 409, 412, ...) is a reply like any other, but for those that concern every request.

        Raises:
            NotPermittedError: 401 or 403: a key, a signature or a right is wrong.
            UnreachableError: no reply, or none that tells anything, for as long as patience lasts.
        """
        asked = "&".join(f"{key}={quote(value, safe='')}" for key, value in (query or {}).items())
        url = (self.url(name) if name else self.place.url) + (f"?{asked}" if asked else "")
        patience = self._deadlines.patience_seconds if patience_seconds is None else patience_seconds
        if self._is_gone:
            raise UnreachableError(f"{self.place} is not asked any more, as the daemon stops")
        end = time.monotonic() + patience
        for wait in _waits():
            reply = self._awaited(functools.partial(self._tried, method, url, headers or {}, body))
            if isinstance(reply, Reply) and reply.status not in PASSING:
                return self._permitted(reply, method, name)
            pause = max(wait, _asked_wait(reply)) if isinstance(reply, Reply) else wait
            if time.monotonic() + pause > end or self._stopped.wait(pause):
                self._is_gone = self._stopped.is_set()
                raise self._unreachable(reply)
        raise AssertionError("waits never end")

    def _awaited(self, tried: Callable[[], Reply | Exception]) -> Reply | Exception:
        """Return what comes of a request. The daemon's own thread leaves it to its fate when it is to stop."""
        if threading.current_thread() is not threading.main_thread():
            return tried()
        ((_, reply),) = at_once(lambda _: tried(), (None,), threads=1, is_over=self._grace())
        return TimeoutError() if reply is None else reply

    def _grace(self) -> Callable[[], bool]:
        """Return what tells whether an answer has had its time since the daemon was told to stop."""
        ends: list[float] = []

        def is_over() -> bool:
            if self._stopped.is_set() and not ends:
                ends.append(time.monotonic() + GRACE_SECONDS)
            return bool(ends) and time.monotonic() > ends[0]

        return is_over

    def _tried(self, method: str, url: str, headers: Mapping[str, str], body: bytes | None) -> Reply | Exception:
        """Send a request once; return what came back, or what went wrong on the wire."""
        dated = {**_HEADERS, "x-ms-date": email.utils.formatdate(usegmt=True), **headers}
        request = HttpRequest(method, url, headers=dated, content=body)
        try:
            self._signing.on_request(PipelineRequest(request, PipelineContext(None)))
            response = self._pool.request(
                method,
                request.url,
                body=body,
                headers=dict(request.headers),
                decode_content=False,
                redirect=False,
                retries=False,
            )
            return Reply(status=response.status, headers=response.headers, body=response.data)
        except ClientAuthenticationError as error:
            raise NotPermittedError(f"{self.place}: {_SIGN_IN}. {reason(error)}") from None
        except WIRE_ERRORS as error:
            return error

    def _permitted(self, reply: Reply, method: str, name: str) -> Reply:
        if reply.status not in (401, 403):
            return reply
        kind = MissingRightError if reply.code in MISSING_RIGHTS else NotPermittedError
        raise kind(
            f"{self.url(name) if name else self.place.url}: {method} was refused with {reply.status} "
            f"{reply.code or 'and no reason'}, opened by the {self._credential.kind} from {self._credential.origin}; "
            f"{_remedy(reply, self._credential.sas)}"
        )

    def _unreachable(self, reply: Reply | Exception) -> UnreachableError:
        if isinstance(reply, Reply):
            return UnreachableError(
                f"{self.place} answers {reply.status} {reply.code}".rstrip() + "; it is tried again"
            )
        return UnreachableError(
            f"{self.place} cannot be reached: {reason(reply)}; see that its name, the network and a proxy are "
            "right. It is tried again"
        )


#: Without the second, a body could come compressed, whose blocks nobody unpacks.
_HEADERS: Final = {"x-ms-version": API_VERSION, "Accept-Encoding": "identity", "User-Agent": "blobdrop"}
_SIGNATURE: Final = re.compile(r"sig=[^&\s'\")]+")
_SIGN_IN: Final = (
    "no identity could be had from Entra ID: give the machine a managed identity with the role Storage Blob Data "
    "Contributor, or set AZURE_STORAGE_SAS_TOKEN"
)


def _pool(endpoint: str, deadlines: Deadlines, connections: int) -> urllib3.PoolManager:
    """Return what keeps connections, through the proxy that the environment names for the endpoint."""
    parts = urlsplit(endpoint)
    timeout = urllib3.Timeout(connect=deadlines.connect_seconds, read=deadlines.read_seconds)
    authorities = os.environ.get("REQUESTS_CA_BUNDLE") or os.environ.get("SSL_CERT_FILE") or certifi.where()
    options: dict[str, Any] = {"maxsize": connections, "timeout": timeout, "ca_certs": authorities}
    proxy = urllib.request.getproxies().get(parts.scheme, "")
    if proxy and not urllib.request.proxy_bypass(parts.netloc):
        return urllib3.ProxyManager(proxy, **options)
    return urllib3.PoolManager(**options)


def _container(place: Address, credential: Credential) -> ContainerClient:
    opened: Any
    if credential.key:
        opened = AzureNamedKeyCredential(credential.account, credential.key)
    elif credential.sas:
        opened = AzureSasCredential(credential.sas)
    else:
        if not place.endpoint.lower().startswith("https:"):
            raise NotPermittedError(
                f"{place}: no key or signature was found, and the identity of this machine opens https:// alone: set "
                f"{CONNECTION_STRING}, {SAS_TOKEN} or {KEY}"
            )
        # A fifth of a second that those with a key need not wait.
        opened = importlib.import_module("azure.identity").DefaultAzureCredential()
    try:
        return ContainerClient(place.endpoint, place.container, credential=opened)
    except ValueError as error:
        raise NotPermittedError(f"{place}: {error}") from error


def _waits() -> Iterator[float]:
    """Yield seconds to wait, longer each time, and never the same for all who wait."""
    wait = FIRST_WAIT_SECONDS
    while True:
        yield wait * random.uniform(0.5, 1.0)  # noqa: S311 - spreads load, guards nothing
        wait = min(2 * wait, LONGEST_WAIT_SECONDS)


def _asked_wait(reply: Reply) -> float:
    """Return the seconds that the service asks to wait; 0.0 where it asks for none, or for a date."""
    asked = reply.headers.get("Retry-After", "")
    return float(asked) if asked.isdecimal() else 0.0


def reason(error: BaseException) -> str:
    """Say in a line what went wrong on the wire: what the system says, where it says so. Holds no signature."""
    for one in _chain(error):
        if isinstance(one, OSError) and one.strerror:
            return one.strerror
        if isinstance(one, TimeoutError):
            return "it did not answer in time"
    return _SIGNATURE.sub("sig=***", (str(error) or type(error).__name__).splitlines()[0])


def _chain(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and those that it comes of: the causes are hidden in arguments, too."""
    waiting, seen = [error], set[int]()
    while waiting:
        one = waiting.pop(0)
        if id(one) in seen:
            continue
        seen.add(id(one))
        yield one
        named = (getattr(one, name, None) for name in ("inner_exception", "reason"))
        inner = (one.__cause__, one.__context__, *named, *one.args)
        waiting += [each for each in inner if isinstance(each, BaseException)]


def ahead(reply: Reply) -> float:
    """Return by how many seconds the service's clock is ahead of ours; 0.0 for what the way may account for."""
    date = reply.headers.get("Date", "")
    try:
        seconds = email.utils.parsedate_to_datetime(date).timestamp() - time.time()
    except ValueError:
        return 0.0
    return seconds if abs(seconds) > CLOCKS_SECONDS else 0.0


def _remedy(reply: Reply, sas: str) -> str:
    """Say what to do about a refusal, by its name (Blob service error codes)."""
    if reply.code not in MISSING_RIGHTS and abs(skew := ahead(reply)) > SKEW_SECONDS:
        return f"its clock is ahead of this machine's by {skew:,.0f} s: set this machine's clock"
    end = dict(parse_qsl(sas)).get("se", "")
    if end and end < time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()):
        return f"the signature was over at {end}: have another one made"
    if reply.code in MISSING_RIGHTS:
        return "give it the rights read, write, delete and list of this container"
    if reply.code == "AuthorizationFailure":
        return "see that the account's firewall lets this machine in"
    return "see that it is for this account and container, that it is not over, and that this machine's clock is right"
