"""What becomes of a blob at its drop's end: copied into the archive by the service itself, verified, then deleted.

Each step speaks of just the version that was listed, and can be done again after a crash at any instant.
"""

from __future__ import annotations

import email.utils
import time
from collections.abc import Iterator
from typing import Final
from urllib.parse import urlsplit

from daemon.cloud.client import Client, Reply
from daemon.errors import SourceError
from daemon.model import Found
from daemon.sources.azure_entries import Blob
from daemon.sources.azure_listing import Listing
from daemon.sources.moving import ARCHIVE, with_id

#: Seconds that a copy which the service makes by and by is waited for; later it is found done.
COPY_SECONDS: Final = 20.0
#: Seconds between two looks at it.
LOOK_SECONDS: Final = 0.2
#: Deleted blobs between two chances to do something else.
STEP: Final = 64
_DONE: Final = (404, 412)


def archive(client: Client, found: Found) -> None:
    """Move just this version of a blob below `_archive/`; one that is gone, or another version, is left alone.

    Raises:
        SourceError: it could not be done now.
    """
    name = client.place.prefix + found.name
    for place in _places(client.place.prefix + ARCHIVE, found):
        reply = client.send("PUT", place, headers=_copy_of(client, name, found))
        if reply.status in _DONE and reply.code != "LeaseIdMissing":
            return  # gone, or another version, which is another drop
        if reply.status == 409 and not _is_copy(client, place, name, found):  # noqa: PLR2004 - there is a blob already
            continue
        if not reply.ok and reply.status != 409:  # noqa: PLR2004
            raise SourceError(f"{found.uri} cannot be copied to {place}: {reply.status} {reply.code}".rstrip())
        _verify(client, place, found)
        delete(client, found)
        return
    raise SourceError(
        f"{found.uri} cannot be archived: {ARCHIVE}/ has other blobs in all of its places; move them away"
    )


def delete(client: Client, found: Found) -> None:
    """Delete just this version of a blob.

    Raises:
        SourceError: it could not be done now.
    """
    reply = client.send("DELETE", client.place.prefix + found.name, headers={"If-Match": f'"{found.version}"'})
    if reply.ok or (reply.status in _DONE and reply.code != "LeaseIdMissing"):
        return
    if reply.code == "LeaseIdMissing":
        raise SourceError(f"{found.uri} is under a lease, which keeps it where it is: end the lease")
    if reply.code == "SnapshotsPresent":
        raise SourceError(f"{found.uri} has snapshots, which keep it where it is: delete them, or set after = keep")
    raise SourceError(f"{found.uri} cannot be deleted: {reply.status} {reply.code}".rstrip())


def expire(client: Client, before: float) -> Iterator[int]:
    """Delete what came into the archive before then, by the service's clock; yield now and then how many it were.

    Raises:
        SourceError: the archive cannot be listed, or a blob of it not be deleted, now.
    """
    removed = 0
    for looked, blob in enumerate(Listing(client, f"{ARCHIVE}/"), start=1):
        if blob.modified < before and not blob.is_folder and blob.copying != "pending":
            removed += _expired(client, blob)
        if looked % STEP == 0:
            yield removed
            removed = 0
    yield removed


def _expired(client: Client, blob: Blob) -> bool:
    name = client.place.prefix + blob.name
    reply = client.send("DELETE", name, headers={"If-Match": f'"{blob.etag}"'})
    if not reply.ok and reply.status not in _DONE:
        raise SourceError(f"{client.url(name)} cannot be deleted: {reply.status} {reply.code}".rstrip())
    return reply.ok


def _places(folder: str, found: Found) -> Iterator[str]:
    """Yield where the blob may go, best first; what has its id in its name is nobody else's."""
    parent, slash, file = found.name.rpartition("/")
    yield f"{folder}/{found.name}"
    yield f"{folder}/{parent}{slash}{with_id(file, found.drop_id)}"


def _copy_of(client: Client, name: str, found: Found) -> dict[str, str]:
    """Return the headers that ask for a copy of just this version, to where nothing is yet."""
    return {
        "x-ms-copy-source": client.signed_url(name),
        "x-ms-source-if-match": f'"{found.version}"',
        "If-None-Match": "*",
        "Content-Length": "0",
    }


def _is_copy(client: Client, place: str, name: str, found: Found) -> bool:
    """Tell whether the blob in a place of the archive is a copy of this very version, of a run that was killed."""
    if found.drop_id in place:
        return True
    there = client.send("HEAD", place)
    if not there.ok or int(there.headers.get("Content-Length", -1)) != found.size:
        return False
    # Between when this version came and now there was no other one: a copy made then is one of it.
    copied = _when(there.headers.get("x-ms-copy-completion-time", ""))
    if _path(there.headers.get("x-ms-copy-source", "")) == _path(client.url(name)) and copied > found.modified:
        return True
    here = client.send("HEAD", name, headers={"If-Match": f'"{found.version}"'})
    return here.ok and bool(here.headers.get("Content-MD5")) and _same_md5(here, there)


def _same_md5(one: Reply, other: Reply) -> bool:
    return one.headers.get("Content-MD5") == other.headers.get("Content-MD5")


def _verify(client: Client, place: str, found: Found) -> None:
    """Look at the copy: nothing is deleted before it is whole.

    Raises:
        SourceError: it is not, or not yet.
    """
    end = time.monotonic() + COPY_SECONDS
    while True:
        copy = client.send("HEAD", place)
        state, size = copy.headers.get("x-ms-copy-status", "success"), int(copy.headers.get("Content-Length", -1))
        if copy.ok and state == "success" and size == found.size:
            return
        if not copy.ok or state != "pending" or time.monotonic() > end:
            break
        time.sleep(LOOK_SECONDS)
    told = f"{copy.status} {copy.code}".rstrip() if not copy.ok else f"{state}, {size:,} of {found.size:,} bytes"
    raise SourceError(f"{found.uri} stays where it is: its copy {place} is not whole ({told}); it is tried again")


def _when(date: str) -> float:
    return email.utils.parsedate_to_datetime(date).timestamp() if date else 0.0


def _path(url: str) -> str:
    return urlsplit(url).path
