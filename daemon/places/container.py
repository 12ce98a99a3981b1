"""Files as blobs of a container, below a prefix. What is written or read as a file goes through a local copy."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Final, TypeVar

from daemon.cloud.address import Address
from daemon.cloud.client import Client, Deadlines, Reply, client_of
from daemon.cloud.credentials import Credential
from daemon.cloud.writing import copy, upload
from daemon.errors import SourceError
from daemon.model import Found
from daemon.places import REMOTE, File
from daemon.settings import SourceSettings
from daemon.sources.azure_listing import Listing
from daemon.sources.azure_reading import bring, spool_folder

T = TypeVar("T")
Given = TypeVar("Given")

#: "A lock duration of 15 to 60 seconds" (Lease Blob): a killed compaction keeps others out for no longer.
LEASE_SECONDS: Final = 15
RENEW_SECONDS: Final = 5.0
#: Seconds until an answer goes on, at most: the daemon's own thread waits for it, and is to stop within ten.
LONGEST_SECONDS: Final = 5.0
#: Seconds after which deltalake tries a request again, at most: nothing can stop it meanwhile.
AGAIN_SECONDS: Final = 2.0
NOT_FOUND: Final = 404


@dataclass(frozen=True)
class ContainerPlace:
    """What is below a prefix of a container; both need not exist before something is kept there."""

    #: Where it is, with a `/` at the prefix's end.
    address: Address
    credential: Credential
    deadlines: Deadlines = field(default_factory=Deadlines)
    #: Requests at once, of each process.
    connections: int = 8
    #: Where files are written before they are kept, by their paths: each in a folder of its own.
    drafts: dict[str, Path] = field(default_factory=dict, compare=False, repr=False)

    @property
    def url(self) -> str:
        """Return what deltalake calls the place."""
        return f"az://{self.address.container}/{self.address.prefix}".rstrip("/")

    @property
    def options(self) -> dict[str, str]:
        """Return endpoint, key and deadlines for deltalake; without a key it asks for the machine's identity."""
        place, opened, deadlines = self.address, self.credential, self.deadlines
        keys = {"account_key": opened.key, "sas_token": opened.sas}
        return {
            "account_name": opened.account or place.account,
            **{name: value for name, value in keys.items() if value},
            "azure_endpoint": place.endpoint,
            "allow_http": str(place.endpoint.startswith("http:")).lower(),
            "connect_timeout": f"{deadlines.connect_seconds:g}s",
            "timeout": f"{deadlines.read_seconds:g}s",
            "retry_timeout": f"{min(deadlines.patience_seconds, AGAIN_SECONDS):g}s",
        }

    @property
    def is_local(self) -> bool:
        """Return that they do not."""
        return False

    def describe(self, path: str = "") -> str:
        """Return the URL of the place, or of a file in it."""
        return self._client.url(self.address.prefix + path) if path else str(self.address)

    def prepare(self) -> None:
        """Make the container unless it is there."""
        self._client.start()
        # A signature of the container alone may list it, and not ask for its properties.
        first = {"restype": "container", "comp": "list", "maxresults": "1"}
        with _as_disk():
            if self._client.send("GET", query=first).status == NOT_FOUND:
                made = self._client.send("PUT", query={"restype": "container"})
                if not made.ok and made.status != 409:  # noqa: PLR2004 - somebody else has made it meanwhile
                    raise SourceError(f"{self.address.url} cannot be made: {made.status} {made.code}".rstrip())

    def below(self, folder: str) -> ContainerPlace:
        """Return the place below a further part of the prefix."""
        address = replace(self.address, prefix=f"{self.address.prefix}{folder}/")
        return ContainerPlace(address, self.credential, self.deadlines, self.connections)

    def folders(self) -> Sequence[str]:
        """Return what stands behind the prefix and before the next `/`."""
        with _as_disk():
            return tuple(Listing(self._client, self.address.prefix, may_be_missing=True).folders())

    def list(self, start: str) -> Iterator[File]:
        """Yield the blobs whose names begin so, behind the prefix."""
        strip = len(self.address.prefix)
        with _as_disk():
            for blob in Listing(self._client, self.address.prefix + start, may_be_missing=True):
                if not blob.is_folder and blob.etag:
                    yield File(path=blob.name[strip:], size=blob.size, modified=blob.modified)

    def look(self, paths: Sequence[str]) -> Sequence[File | None]:
        """Return what lies under each of these paths now."""
        with _as_disk():
            found = self._together(lambda path: self._client.send("HEAD", self._name(path)), paths)
            return [self._file(path, reply) for path, reply in zip(paths, found, strict=True)]

    def read(self, path: str) -> bytes:
        """Return a blob's bytes."""
        with _as_disk():
            reply = self._client.send("GET", self._name(path))
            if reply.status == NOT_FOUND:
                raise FileNotFoundError(2, "there is no such blob", self.describe(path))
            self._refuse(path, reply)
            return reply.body

    @contextmanager
    def near(self, paths: Sequence[str]) -> Iterator[Sequence[Path]]:
        """Give copies, removed afterwards."""
        folder = spool_folder()
        try:
            with _as_disk():
                copies = self._together(lambda path: self._bring(path, folder / path), paths)
            yield copies
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def draft(self, path: str) -> Path:
        """Return where it is written on the local disk until it is kept."""
        self._forget(path)
        self.drafts[path] = spool_folder() / path.rpartition("/")[2]
        return self.drafts[path]

    def keep(self, path: str) -> None:
        """Upload the draft and remove it."""
        with _as_disk():
            upload(self._client, self._name(path), self.drafts[path], connections=self.connections)
        self._forget(path)

    def upload(self, files: Mapping[str, Path]) -> None:
        """Upload files of this machine, some at once, in place of older ones under their paths."""
        with _as_disk():
            self._together(lambda each: upload(self._client, self._name(each[0]), each[1]), list(files.items()))

    def copy(self, paths: Mapping[str, str]) -> None:
        """Have the service copy blobs, some at once, in place of older ones; each is whole then."""
        with _as_disk():
            self._together(
                lambda each: copy(self._client, self._name(each[0]), self._name(each[1])), list(paths.items())
            )

    def flush(self, paths: Sequence[str]) -> None:
        """Do nothing: what the service has confirmed survives."""

    def remove(self, paths: Sequence[str]) -> int:
        """Delete blobs and drafts; return how many blobs there were."""
        for path in paths:
            self._forget(path)
        with _as_disk():
            return sum(self._together(self._delete, paths))

    @contextmanager
    def alone(self, path: str) -> Iterator[bool]:
        """Hold a lease of the blob as long as it lasts."""
        with _as_disk():
            lease = self._lease(path)
        if not lease:
            yield False
            return
        over = threading.Event()
        thread = threading.Thread(target=self._renew, args=(path, lease, over), name="lease", daemon=True)
        thread.start()
        try:
            yield True
        finally:
            over.set()
            thread.join()
            with _as_disk():
                self._about_lease(path, "release", {"x-ms-lease-id": lease})

    def stop(self) -> None:
        """Try nothing again from now on."""
        self._client.stop()

    @property
    def _client(self) -> Client:
        """The client of the whole container: all of its places share connections."""
        whole = replace(self.address, prefix="")
        return client_of(whole, self.credential, self.deadlines, self.connections)

    def _name(self, path: str) -> str:
        return self.address.prefix + path

    def _forget(self, path: str) -> None:
        if (draft := self.drafts.pop(path, None)) is not None:
            shutil.rmtree(draft.parent, ignore_errors=True)

    def _together(self, work: Callable[[Given], T], given: Sequence[Given]) -> Sequence[T]:
        if len(given) < 2:  # noqa: PLR2004 - a thread for one would only cost
            return [work(each) for each in given]
        with ThreadPoolExecutor(min(self.connections, len(given)), thread_name_prefix="blobs") as pool:
            try:
                return list(pool.map(work, given))
            finally:
                pool.shutdown(wait=False, cancel_futures=True)

    def _file(self, path: str, reply: Reply) -> File | None:
        if reply.status == NOT_FOUND:
            return None
        self._refuse(path, reply)
        modified = parsedate_to_datetime(reply.headers["Last-Modified"]).timestamp()
        return File(path=path, size=int(reply.headers["Content-Length"]), modified=modified)

    def _bring(self, path: str, to: Path) -> Path:
        there = self._client.send("HEAD", self._name(path))
        file = self._file(path, there)
        if file is None:
            raise FileNotFoundError(2, "there is no such blob", self.describe(path))
        to.parent.mkdir(parents=True, exist_ok=True)
        etag = there.headers["ETag"].strip('"')
        uri = self.describe(path)
        found = Found(uri=uri, name=self._name(path), version=etag, size=file.size, modified=file.modified)
        bring(self._client, found, to, connections=self.connections)
        return to

    def _delete(self, path: str) -> bool:
        reply = self._client.send("DELETE", self._name(path))
        if reply.status != NOT_FOUND:
            self._refuse(path, reply)
        return reply.ok

    def _refuse(self, path: str, reply: Reply) -> None:
        if not reply.ok:
            raise SourceError(f"{self.describe(path)} cannot be used: {reply.status} {reply.code}".rstrip())

    def _lease(self, path: str) -> str:
        """Return the id of a lease of the blob; empty where somebody else has one."""
        headers = {"x-ms-blob-type": "BlockBlob", "If-None-Match": "*"}
        self._client.send("PUT", self._name(path), headers=headers, body=b"")  # unless it is there already
        reply = self._about_lease(path, "acquire", {"x-ms-lease-duration": str(LEASE_SECONDS)})
        if reply.code == "LeaseAlreadyPresent":
            return ""
        self._refuse(path, reply)
        return reply.headers["x-ms-lease-id"]

    def _renew(self, path: str, lease: str, over: threading.Event) -> None:
        while not over.wait(RENEW_SECONDS):
            try:
                self._about_lease(path, "renew", {"x-ms-lease-id": lease})
            except SourceError:
                continue  # whoever works under the lease will be told soon enough

    def _about_lease(self, path: str, action: str, headers: dict[str, str]) -> Reply:
        headers = {"x-ms-lease-action": action, "Content-Length": "0", **headers}
        return self._client.send("PUT", self._name(path), query={"comp": "lease"}, headers=headers)


def container_place(address: Address, credential: Credential, settings: SourceSettings) -> ContainerPlace:
    """Return a place in a container, with the deadlines that the settings give to all requests."""
    deadlines = Deadlines(
        connect_seconds=min(settings.connect_seconds, LONGEST_SECONDS),
        read_seconds=min(settings.read_seconds, LONGEST_SECONDS),
        patience_seconds=settings.patience_seconds,
    )
    return ContainerPlace(address, credential, deadlines, settings.requests)


@contextmanager
def _as_disk() -> Iterator[None]:
    """Have what the container says told as what a disk says."""
    try:
        yield
    except SourceError as error:
        raise OSError(REMOTE, str(error)) from error
