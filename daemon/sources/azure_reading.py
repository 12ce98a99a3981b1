"""Brings blobs to the local disk: just the version that was listed, in parts at once, with their MD5 checked."""

from __future__ import annotations

import base64
import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

from daemon.at_once import in_order
from daemon.cloud.client import Client, Reply
from daemon.errors import ChangedError, DiskError, SourceError, UnreachableError
from daemon.model import Found

#: Bytes that are asked for at once; with half as many, each costs the service as much and takes twice the time. As many
#: parts as there are connections, and two more, are in memory.
PART: Final = 8 * 1024**2
#: What the names of a process's spool folders begin with.
SPOOL: Final = "blobdrop-spool-"


def spool_folder() -> Path:
    """Make a folder for blobs on the local disk; remove those that dead processes of this daemon have left."""
    around = Path(tempfile.gettempdir())
    for folder in around.glob(f"{SPOOL}*"):
        _, _, process = folder.name.removeprefix(SPOOL).rpartition("-")
        if process.isdecimal() and not _is_alive(int(process)):
            shutil.rmtree(folder, ignore_errors=True)
    return Path(tempfile.mkdtemp(prefix=SPOOL, suffix=f"-{os.getpid()}"))


def bring(client: Client, found: Found, path: Path, *, connections: int) -> None:
    """Write the bytes of just this version of a blob to a file.

    Raises:
        ChangedError: it is gone, or another version.
        UnreachableError: the container does not answer.
        DiskError: they do not fit onto the disk.
        SourceError: it cannot be read, or its bytes are not those that its MD5 speaks of.
    """
    name = client.place.prefix + found.name
    md5, said, size = hashlib.md5(usedforsecurity=False), "", 0
    try:
        with path.open("wb") as file:
            for reply in _parts(client, name, found, connections):
                # The SDK gives no MD5 to what it uploads in blocks: then there is nothing to compare with.
                said = said or (_md5_of(reply) if not size else "")
                size += file.write(reply.body)
                if said:
                    md5.update(reply.body)
    except OSError as error:
        raise DiskError.kind(error)(
            f"{found.uri} cannot be brought to {path}: {error.strerror}; free some space there, or set TMPDIR to "
            "a folder on a larger disk"
        ) from error
    if size != found.size:
        raise UnreachableError(f"{found.uri}: {size:,} bytes came of {found.size:,}; it is tried again")
    if said and said != (ours := base64.b64encode(md5.digest()).decode()):
        raise SourceError(
            f"{found.uri}: its bytes have the MD5 {ours} and not {said}, which it says itself: they were damaged when "
            "they were uploaded, or on the way; have it uploaded again"
        )


def _parts(client: Client, name: str, found: Found, connections: int) -> Iterator[Reply]:
    """Yield the blob's bytes in order, while later ones are on their way."""
    if found.size <= PART:
        yield _part(client, name, found, None)
        return
    starts = range(0, found.size, PART)
    with ThreadPoolExecutor(connections, thread_name_prefix="parts") as pool:
        try:
            yield from in_order(pool, lambda start: _part(client, name, found, start), starts, ahead=connections + 2)
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def _part(client: Client, name: str, found: Found, start: int | None) -> Reply:
    headers = {"If-Match": f'"{found.version}"'}
    if start is not None:
        headers["x-ms-range"] = f"bytes={start}-{min(start + PART, found.size) - 1}"
    reply = client.send("GET", name, headers=headers)
    if reply.ok:
        return reply
    if reply.status in (404, 412, 416):
        raise ChangedError(f"{found.uri} changed or vanished; it is found again in its new version")
    if reply.code in ("BlobArchived", "BlobBeingRehydrated"):
        raise ChangedError(f"{found.uri} was moved to the tier Archive; it is found again when it is back")
    raise SourceError(f"{found.uri} cannot be read: {reply.status} {reply.code}".rstrip())


def _md5_of(reply: Reply) -> str:
    """Return the MD5 that the blob says it has: of a part, the whole blob's has a name of its own (Get Blob)."""
    whole = reply.headers.get("x-ms-blob-content-md5")
    return whole or (reply.headers.get("Content-MD5", "") if reply.status == 200 else "")  # noqa: PLR2004 - all of it


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
