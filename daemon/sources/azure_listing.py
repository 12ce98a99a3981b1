"""Lists a container: page after page, each looked at while the next ones travel."""

from __future__ import annotations

import queue
import re
import threading
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Final
from xml.etree import ElementTree as ET

from daemon.cloud.client import Client, Reply, ahead
from daemon.errors import SourceError, UnreachableError, WorkError
from daemon.sources.azure_entries import Blob, Recalled, blobs, parsed, text_of
from daemon.sources.names import left_out_folder

#: "If the request does not specify maxresults, or specifies a value greater than 5000, the server will return up to
#: 5000 items" (List Blobs).
PAGE: Final = 5000
#: Pages that are fetched ahead of those that are being looked at.
PAGES_AHEAD: Final = 2
#: Bytes at a page's end among which the marker of the next one is.
TAIL: Final = 16_384
_MARKER: Final = re.compile(rb"<NextMarker>[^<]*</NextMarker>")
#: Seconds between two looks whether anybody still wants the listing.
LOOK_SECONDS: Final = 0.2


class Listing:
    """One listing under way. Pages come from a thread of its own, so that they are looked at while others travel."""

    def __init__(
        self,
        client: Client,
        folder: str = "",
        *,
        most_folders: int = 0,
        may_be_missing: bool = False,
        recalled: Recalled | None = None,
    ) -> None:
        """Begin to list what is below the client's place, or what begins with a folder of it.

        With no more than `most_folders` folders at its top, what is below those that hold no drops is not asked for.
        Where the container `may_be_missing`, nothing is in it. What is `recalled` need not be read again.
        """
        self._recalled = recalled
        self._may_be_missing = may_be_missing
        self._client, self._prefix, self._most_folders = client, client.place.prefix + folder, most_folders
        #: Seconds by which the service's clock is ahead of ours; 0.0 where that cannot be told from the way.
        self.ahead_seconds = 0.0
        self._pages: queue.Queue[bytes | WorkError | None] = queue.Queue(PAGES_AHEAD)
        self._left = False
        self._thread = threading.Thread(target=self._fetch, name="listing", daemon=True)

    def __iter__(self) -> Iterator[Blob]:
        """Yield every blob.

        Raises:
            SourceError: the container cannot be listed now.
        """
        self._thread.start()
        try:
            while (page := self._next()) is not None:
                yield from self._blobs(page)
        except ET.ParseError as error:
            raise self._no_xml(error) from None
        finally:
            self._left = True

    def folders(self) -> list[str]:
        """Return the names of the folders at its top, in place of a listing.

        Raises:
            SourceError: the container cannot be listed now.
        """
        pages = self._pages_of(self._prefix, {"delimiter": "/"})
        names = (element for page in pages for element in self._parsed(page).iterfind("Blobs/BlobPrefix/Name"))
        return [text_of(name)[len(self._prefix) :].rstrip("/") for name in names]

    def leave(self) -> None:
        """Have whoever waits for a page stop waiting. From any thread, or a signal's handler: it takes no lock."""
        self._left = True

    def _next(self) -> bytes | None:
        while not self._left:
            try:
                page = self._pages.get(timeout=LOOK_SECONDS)
            except queue.Empty:
                if self._thread.is_alive() or not self._pages.empty():
                    continue
                raise UnreachableError(f"{self._client.place}: the listing broke off") from None
            if isinstance(page, WorkError):
                raise page
            return page
        raise UnreachableError(f"{self._client.place}: the listing was broken off, as the daemon stops")

    def _blobs(self, page: bytes) -> Iterator[Blob]:
        return self._recalled.blobs(page) if self._recalled else blobs(page, len(self._client.place.prefix))

    def _parsed(self, page: bytes) -> ET.Element:
        try:
            return parsed(page)
        except ET.ParseError as error:
            raise self._no_xml(error) from None

    def _no_xml(self, error: ET.ParseError) -> UnreachableError:
        return UnreachableError(f"{self._client.place}: its listing is no XML ({error}); see that the URL is right")

    # ---------------------------------------------------------------- IN THE THREAD

    def _fetch(self) -> None:
        """Ask for the next page as soon as it is known which one that is: the one before is looked at meanwhile."""
        try:
            for prefix in self._prefixes() or (self._prefix,):
                for page in self._pages_of(prefix):
                    self._put(page)
            self._put(None)
        except WorkError as error:
            self._put(error)

    def _prefixes(self) -> list[str]:
        """Return the folders to list one by one, with what lies beside them put already; none to list all at once."""
        if not self._most_folders:
            return []
        beside = list(self._pages_of(self._prefix, {"delimiter": "/"}))
        folders = [name for page in beside for name in self._folders(page)]
        if len(folders) > self._most_folders:
            return []
        for page in beside:
            self._put(page)
        return folders

    def _folders(self, page: bytes) -> Iterator[str]:
        for element in self._parsed(page).iterfind("Blobs/BlobPrefix/Name"):
            name = text_of(element)
            if not left_out_folder(name[len(self._prefix) :] or "/"):
                yield name

    def _pages_of(self, prefix: str, query: Mapping[str, str] = MappingProxyType({})) -> Iterator[bytes]:
        marker = ""
        while not self._left:
            page = self._page({**query, **({"prefix": prefix} if prefix else {})}, marker)
            yield page
            marker = _next_marker(page)
            if not marker:
                return

    def _put(self, page: bytes | WorkError | None) -> None:
        while not self._left:
            try:
                self._pages.put(page, timeout=LOOK_SECONDS)
            except queue.Full:
                continue
            return

    def _page(self, query: Mapping[str, str], marker: str) -> bytes:
        asked = {"restype": "container", "comp": "list", "maxresults": str(PAGE), "include": "uncommittedblobs,copy"}
        reply = self._client.send("GET", query={**asked, **query, **({"marker": marker} if marker else {})})
        if reply.status == 404 and self._may_be_missing:  # noqa: PLR2004 - not found
            return b"<EnumerationResults/>"
        if not reply.ok:
            raise SourceError(refusal(self._client, reply))
        self.ahead_seconds = ahead(reply)
        return reply.body


def _next_marker(page: bytes) -> str:
    """Return what to ask the next page with, without reading the whole of this one; empty after the last."""
    found = _MARKER.search(page, max(0, len(page) - TAIL))
    return parsed(found[0]).text or "" if found else ""


def refusal(client: Client, reply: Reply) -> str:
    """Say why a container cannot be listed."""
    if reply.status == 404:  # noqa: PLR2004 - not found
        return (
            f"{client.place.url}: there is no such container; make it (az storage container create), or mend source.url"
        )
    return f"{client.place.url} cannot be listed: {reply.status} {reply.code}".rstrip()
