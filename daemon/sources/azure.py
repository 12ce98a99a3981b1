"""Drops in a blob container, or in a folder of one."""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

import structlog

from daemon.at_once import at_once, in_order
from daemon.cloud.address import Address, address, quoted, signature_of
from daemon.cloud.client import Client, Deadlines, Reply, ahead, client_of
from daemon.cloud.credentials import SAS_TOKEN, Credential, credential
from daemon.errors import MissingRightError, SourceError, UnreachableError
from daemon.model import After, Found
from daemon.settings import MB, SourceSettings
from daemon.sources import Archived, Tried, azure_archived, azure_settling, tried
from daemon.sources.azure_entries import Recalled
from daemon.sources.azure_listing import PAGE, Listing, refusal
from daemon.sources.azure_notes import Notes
from daemon.sources.azure_reading import bring, spool_folder
from daemon.sources.names import in_signals, left_out_path

log = structlog.get_logger()

#: Names that stand in a URI as they are, so that percent-encoding them can be saved.
_plain = re.compile(r"[A-Za-z0-9._~/-]+").fullmatch
KEY_IN_URL: Final = (
    "source.url carries a signature, which whoever reads the settings can use: take it out of there, and put what "
    f"stands behind its ? into {SAS_TOKEN}, or into a file of that name in systemd's LoadCredential="
)


@dataclass(frozen=True, kw_only=True)
class Options:
    """How a container is watched and read."""

    settle_seconds: float
    #: The same, for an append blob that nobody has sealed: more may come.
    append_seconds: float = 30.0
    deadlines: Deadlines = field(default_factory=Deadlines)
    #: Requests at once, of each process.
    connections: int = 8
    #: The largest blob that is read.
    spool_bytes: int = 2**40


def azure_source(
    settings: SourceSettings, environ: Mapping[str, str], *, is_signal: Callable[[str], bool] = in_signals
) -> AzureSource:
    """Return the source that the settings ask for, with the key that the environment has; `is_signal` as for it.

    Raises:
        ConfigError: the key is of no use.
    """
    place = address(settings.url)
    opened = credential(settings.url, place, environ)
    if signature_of(settings.url):
        log.warning("source.url_has_key", note=KEY_IN_URL)
    deadlines = Deadlines(
        connect_seconds=settings.connect_seconds,
        read_seconds=settings.read_seconds,
        patience_seconds=settings.patience_seconds,
    )
    options = Options(
        settle_seconds=settings.settle_seconds,
        append_seconds=settings.append_seconds,
        deadlines=deadlines,
        connections=settings.requests,
        spool_bytes=settings.spool_mb * MB,
    )
    return AzureSource(place, opened, options, is_signal)


class AzureSource:
    """A container, or what is below a folder of it."""

    def __init__(
        self,
        place: Address,
        credential: Credential,
        options: Options,
        is_signal: Callable[[str], bool] = in_signals,
    ) -> None:
        """Connect to nothing yet.

        `is_signal` tells by a blob's name whether it is a signal: like a marker it is listed without bytes too, as
        somebody has to be told that it says nothing, and not that what it brings is still to come.
        """
        self._place, self._credential, self._options = place, credential, options
        self._base = f"{place.url}/{quoted(place.prefix)}"
        self._notes = Notes(is_signal)
        self._recalled = Recalled(len(place.prefix))
        #: The append blobs that nobody has sealed, from the moment that a listing shows them.
        self._growing: set[str] = set()
        self._ahead_seconds = 0.0
        self._listing: Listing | None = None
        self._is_over = False
        #: The most that a listing has shown of our own archive and other folders without drops. As that grows,
        #: it takes fewer requests to list the others one by one.
        self._passed_over = 0
        #: What was brought ahead of being fetched, by drop.
        self._brought: dict[str, Path | SourceError] = {}

    def __getstate__(self) -> dict[str, Any]:
        """Travel to a worker, which neither lists nor settles, with the key and nothing that is open."""
        return AzureSource(self._place, self._credential, self._options).__dict__

    def describe(self) -> str:
        """Return the container's URL, with the folder in it."""
        return str(self._place)

    def prepare(self) -> None:
        """Find out whether the container is there and may be listed."""
        self._client().start()
        client = self._client()
        reply = client.send("GET", query={"restype": "container", "comp": "list", "maxresults": "1"})
        if not reply.ok:
            raise SourceError(refusal(client, reply))
        self._ahead_seconds = ahead(reply)

    def list(self) -> Iterator[Found]:
        """Yield every drop, marker and signal, page by page as they come.

        What is no drop yet, and why, is logged once for as long as it lasts: uploads that are under way, blobs
        without bytes, blobs in the tier Archive.
        """
        self._notes.begin()
        self._recalled.begin()
        growing: set[str] = set()
        most = self._passed_over // PAGE
        self._listing = listing = Listing(self._client(), most_folders=most, recalled=self._recalled)
        if self._is_over:
            listing.leave()
        passed_over = 0
        for blob in listing:
            name = blob.name
            if left_out_path(name):
                passed_over += 1
                continue
            if blob.is_folder or self._notes.takes(blob):
                continue
            uri = self._base + (name if _plain(name) else quoted(name))
            if blob.is_append and not blob.is_sealed:
                growing.add(uri)
                self._growing.add(uri)  # whoever lists asks at once how long it must stay as it is
            elif self._growing:
                self._growing.discard(uri)
            yield Found(uri=uri, name=name, version=blob.etag, size=blob.size, modified=blob.modified)
        self._growing, self._ahead_seconds, self._listing = growing, listing.ahead_seconds, None
        self._passed_over = max(self._passed_over, passed_over)
        self._recalled.end()
        self._notes.tell()

    def seconds_to_complete(self, found: Found, seen_seconds: float, now: float) -> float:
        """Tell how long the blob must still stay as it is; its age is told by the service's clock."""
        wanted = self._options.append_seconds if found.uri in self._growing else self._options.settle_seconds
        return max(0.0, wanted - max(now + self._ahead_seconds - found.modified, seen_seconds))

    @contextmanager
    def ahead(self, founds: Sequence[Found]) -> Iterator[None]:
        """Bring blobs to the local disk, many at once."""
        folder = spool_folder()
        try:
            with ThreadPoolExecutor(self._options.connections, thread_name_prefix="blobs") as pool:
                paths = in_order(pool, lambda found: self._bring(found, folder), founds, ahead=len(founds) + 1)
                try:
                    self._brought = {found.drop_id: path for found, path in zip(founds, paths, strict=True)}
                finally:
                    pool.shutdown(wait=False, cancel_futures=True)
            yield
        finally:
            self._brought = {}
            _remove(folder)

    @contextmanager
    def fetch(self, found: Found) -> Iterator[Path]:
        """Give a copy of the blob on the local disk, removed afterwards.

        A copy is of just the version that was listed, so what becomes of the blob meanwhile makes no difference.
        """
        folder = None
        brought = self._brought.pop(found.drop_id, None)
        if brought is None:
            folder = spool_folder()
        try:
            path = brought or self._bring(found, folder or Path(), connections=self._options.connections)
            if isinstance(path, SourceError):
                raise path
            yield path
            path.unlink(missing_ok=True)
        finally:
            if folder is not None:
                _remove(folder)

    def settle(self, found: Found, after: After) -> None:
        """Leave, delete or archive the blob, which then is below `_archive/` under the same name."""
        if after is After.ARCHIVE:
            azure_settling.archive(self._client(), found)
        elif after is After.DELETE:
            azure_settling.delete(self._client(), found)

    def settle_all(self, founds: Sequence[Found], after: After) -> Iterator[tuple[Found, SourceError | None]]:
        """Settle blobs, many at once; until `stop` at the latest."""
        if after is After.KEEP:
            yield from ((found, None) for found in founds)
            return
        threads = self._options.connections
        settled = at_once(
            lambda found: self._settled(found, after), founds, threads=threads, is_over=lambda: self._is_over
        )
        for found, errors in settled:
            if errors is None:
                yield found, UnreachableError(f"{found.uri} is settled later, as the daemon stops")
            else:
                yield found, next(iter(errors), None)

    def leave(self, letters: Sequence[tuple[str, bytes]]) -> Sequence[SourceError]:
        """Upload the files, many at once."""
        put = at_once(self._put, letters, threads=self._options.connections, is_over=lambda: self._is_over)
        stopped = (UnreachableError("receipts are left later, as the daemon stops"),)
        wrong = [error for _, errors in put for error in (stopped if errors is None else errors)]
        for error in wrong:
            if isinstance(error, UnreachableError):
                raise error
        return wrong

    def flush(self) -> None:
        """Do nothing: what the service has confirmed survives."""

    def expire(self, before: float) -> Iterator[int]:
        """Delete from `_archive/` what came there before then."""
        yield from azure_settling.expire(self._client(), before + self._ahead_seconds)

    def archived(self) -> Iterator[Archived]:
        """Yield what lies in `_archive/`, as the drops that it was."""
        yield from azure_archived.archived(self._client(), connections=self._options.connections)

    @contextmanager
    def watch(self, wake: Callable[[], None]) -> Iterator[None]:
        """Do nothing: a container gives no hints."""
        del wake
        yield

    def probe(self) -> Iterator[Tried]:
        """Try each right. A blob that is missing is as good an answer as one that is there: it was not refused."""
        name = f"{self._place.prefix}_blobdrop/probe-{uuid.uuid4().hex}"
        listed = tried("list", self.prepare, str(self._place))
        yield replace(listed, skew_seconds=self._ahead_seconds)
        if isinstance(listed.error, UnreachableError) and not isinstance(listed.error, MissingRightError):
            return
        client = self._client()
        block = {"x-ms-blob-type": "BlockBlob"}
        yield tried("write", lambda: client.send("PUT", name, headers=block, body=b"probe"), client.url(name))
        yield tried("read", lambda: client.send("GET", name), client.url(name))
        yield tried("delete", lambda: client.send("DELETE", name), client.url(name))

    def stop(self) -> None:
        """Wait for no listing and no settling any longer, and try nothing again."""
        self._is_over = True
        if (listing := self._listing) is not None:
            listing.leave()
        self._client().stop()

    def _settled(self, found: Found, after: After) -> tuple[SourceError, ...]:
        """Settle a blob; return what went wrong, if anything did."""
        try:
            self.settle(found, after)
        except SourceError as error:
            return (error,)
        return ()

    def _put(self, letter: tuple[str, bytes]) -> tuple[SourceError, ...]:
        """Upload a file; return what went wrong, if anything did."""
        name, data = letter
        kind = "text/html" if name.endswith(".html") else "application/json"
        headers = {"x-ms-blob-type": "BlockBlob", "Content-Type": f"{kind}; charset=utf-8"}
        client = self._client()
        try:
            reply = client.send("PUT", self._place.prefix + name, headers=headers, body=data)
        except SourceError as error:
            return (error,)
        if reply.ok:
            return ()
        wrong = f"{client.url(self._place.prefix + name)} cannot be written: {reply.status} {reply.code}".rstrip()
        return (SourceError(wrong) if _is_of_one_blob(reply) else UnreachableError(wrong),)

    def _client(self) -> Client:
        return client_of(self._place, self._credential, self._options.deadlines, self._options.connections)

    def _bring(self, found: Found, folder: Path, *, connections: int = 1) -> Path | SourceError:
        """Bring one blob; return what is wrong with it, as far as others are not concerned."""
        path = folder / found.drop_id
        try:
            self._refuse_huge(found)
            bring(self._client(), found, path, connections=connections)
        except UnreachableError:
            raise
        except SourceError as error:
            return error
        return path

    def _refuse_huge(self, found: Found) -> None:
        if found.size > self._options.spool_bytes:
            raise SourceError(
                f"{found.uri} has {found.size:,} bytes, and the disk is lent to {self._options.spool_bytes:,}: have it "
                "split, or raise source.spool_mb"
            )


def _is_of_one_blob(reply: Reply) -> bool:
    """Tell whether just this blob cannot be written: its name is too long, somebody has a lease or holds it."""
    return reply.status in (400, 409, 412) and not reply.code.startswith(("Container", "Account"))


def _remove(folder: Path) -> None:
    for path in folder.glob("*"):
        path.unlink(missing_ok=True)
    with suppress(OSError):
        folder.rmdir()
