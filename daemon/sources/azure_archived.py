"""The archive of a container: which drop each blob was, as its receipt says.

A copy has an etag of its own, so that it does not tell of which version it is; the receipt beside the drops does.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

from daemon.at_once import in_order
from daemon.cloud.address import quoted
from daemon.cloud.client import Client
from daemon.errors import SourceError
from daemon.model import Found
from daemon.sources import Archived
from daemon.sources.azure_entries import Blob
from daemon.sources.azure_listing import Listing
from daemon.sources.moving import ARCHIVE, with_id
from daemon.sources.names import RECEIPTS


@dataclass(frozen=True, kw_only=True)
class _Receipt:
    """What a receipt says of the newest version of a name."""

    name: str
    drop: str
    version: str
    size: int


def archived(client: Client, *, connections: int) -> Iterator[Archived]:
    """Yield every blob of the archive: under its own version where a receipt tells it, else under its copy's.

    Raises:
        SourceError: archive or receipts cannot be listed or read now.
    """
    blobs = {blob.name.removeprefix(f"{ARCHIVE}/"): blob for blob in _files(client, ARCHIVE)}
    known = _by_place(_receipts(client, connections), blobs)
    for name, blob in blobs.items():
        found = _found(client, name, blob)
        if (receipt := known.get(name)) is not None:
            found = replace(_found(client, receipt.name, blob), version=receipt.version)
        yield Archived(found=found, kept=_found(client, blob.name, blob), at=blob.modified)


def _files(client: Client, folder: str) -> Iterator[Blob]:
    for blob in Listing(client, f"{folder}/"):
        if not blob.is_folder and blob.etag and blob.size:
            yield blob


def _found(client: Client, name: str, blob: Blob) -> Found:
    uri = f"{client.place.url}/{quoted(client.place.prefix + name)}"
    return Found(uri=uri, name=name, version=blob.etag, size=blob.size, modified=blob.modified)


def _by_place(receipts: Iterator[_Receipt], blobs: Mapping[str, Blob]) -> Mapping[str, _Receipt]:
    """Return what is told of blobs of the archive, by their names there: with its id, a name is nobody else's."""
    known: dict[str, _Receipt] = {}
    for receipt in receipts:
        folder, slash, file = receipt.name.rpartition("/")
        places = (f"{folder}{slash}{with_id(file, receipt.drop)}", receipt.name)
        place = next((place for place in places if place in blobs), None)
        if place is not None and blobs[place].size == receipt.size:
            known[place] = receipt
    return known


def _receipts(client: Client, connections: int) -> Iterator[_Receipt]:
    names = [blob.name for blob in _files(client, RECEIPTS) if blob.name.endswith(".json")]
    with ThreadPoolExecutor(connections, thread_name_prefix="receipts") as pool:
        try:
            told = in_order(pool, lambda name: _receipt(client, name), names, ahead=2 * connections)
            yield from (receipt for receipt in told if receipt is not None)
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def _receipt(client: Client, name: str) -> _Receipt | None:
    """Return what a receipt says; None where it is of a marker, or somebody else's file."""
    reply = client.send("GET", client.place.prefix + name)
    if not reply.ok:
        raise SourceError(f"{client.url(client.place.prefix + name)} cannot be read: {reply.status} {reply.code}")
    drop = name.removeprefix(f"{RECEIPTS}/").removesuffix(".json")
    try:
        told: dict[str, Any] = json.loads(reply.body)
        receipt = _Receipt(name=drop, drop=str(told["drop"]), version=str(told["version"]), size=int(told["bytes"]))
    except (ValueError, KeyError, TypeError):
        return None
    return receipt
