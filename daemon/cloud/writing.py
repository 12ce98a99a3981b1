"""Writes blobs: uploaded, or copied by the service, each is there as a whole or not at all, whatever breaks off."""

from __future__ import annotations

import base64
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final
from xml.sax.saxutils import escape

from daemon.cloud.client import Client, Reply
from daemon.errors import UnreachableError

#: Bytes of a block; a file of no more is uploaded with one request.
BLOCK_BYTES: Final = 8 * 1024**2
#: Seconds that a copy which the service makes by and by is waited for, and between two looks at it.
COPY_SECONDS: Final = 600.0
LOOK_SECONDS: Final = 0.2
TYPES: Final = {".json": "application/json; charset=utf-8", ".html": "text/html; charset=utf-8", ".csv": "text/csv"}


def put(client: Client, name: str, data: bytes) -> None:
    """Put a blob, in place of an older one of its name.

    Raises:
        UnreachableError: it could not be put now, or may not be.
    """
    headers = {"x-ms-blob-type": "BlockBlob", "Content-Type": _type(name)}
    _done(client, name, client.send("PUT", name, headers=headers, body=data))


def upload(client: Client, name: str, path: Path, *, connections: int = 4) -> None:
    """Put a file of this machine as a blob, in place of an older one of its name; a large one in blocks, some at once.

    Raises:
        UnreachableError: it could not be put now, or may not be.
        OSError: the file cannot be read.
    """
    size = path.stat().st_size
    if size <= BLOCK_BYTES:
        put(client, name, path.read_bytes())
        return
    starts = range(0, size, BLOCK_BYTES)

    def block(start: int) -> None:
        with path.open("rb") as file:
            file.seek(start)
            data = file.read(BLOCK_BYTES)
        query = {"comp": "block", "blockid": _id(start)}
        _done(client, name, client.send("PUT", name, query=query, body=data))

    with ThreadPoolExecutor(connections, thread_name_prefix="blocks") as pool:
        try:
            list(pool.map(block, starts))
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
    ids = "".join(f"<Latest>{escape(_id(start))}</Latest>" for start in starts)
    body = f'<?xml version="1.0" encoding="utf-8"?><BlockList>{ids}</BlockList>'.encode()
    headers = {"x-ms-blob-content-type": _type(name), "Content-Type": "application/xml"}
    _done(client, name, client.send("PUT", name, query={"comp": "blocklist"}, headers=headers, body=body))


def copy(client: Client, name: str, to: str) -> None:
    """Have the service copy a blob, in place of an older one, and wait until it is whole.

    Raises:
        UnreachableError: it could not be copied now, or may not be.
    """
    reply = client.send("PUT", to, headers={"x-ms-copy-source": client.signed_url(name), "Content-Length": "0"})
    _done(client, to, reply)
    end = time.monotonic() + COPY_SECONDS
    state = reply.headers.get("x-ms-copy-status", "success")
    while state == "pending" and time.monotonic() < end:
        time.sleep(LOOK_SECONDS)
        state = client.send("HEAD", to).headers.get("x-ms-copy-status", "success")
    if state != "success":
        raise UnreachableError(f"{client.url(to)} is not whole: its copy is {state}; it is made again")


def _done(client: Client, name: str, reply: Reply) -> None:
    if not reply.ok:
        raise UnreachableError(f"{client.url(name)} cannot be written: {reply.status} {reply.code}".rstrip())


def _id(start: int) -> str:
    """Return a block's id: all of a blob's have the same length (Put Block)."""
    return base64.b64encode(f"{start:020}".encode()).decode()


def _type(name: str) -> str:
    return TYPES.get(Path(name).suffix, "application/octet-stream")
