"""Make the container that `source.url` names, unless it is there: for compose.yaml, and for trying things out."""

from __future__ import annotations

import os
import sys
from contextlib import suppress

from azure.core.exceptions import ResourceExistsError
from azure.storage.blob import ContainerClient


def main() -> None:
    """Make it, and say where customers drop files."""
    name = os.environ["BLOBDROP_SOURCE__URL"].rstrip("/").rpartition("/")[2]
    container = ContainerClient.from_connection_string(os.environ["AZURE_STORAGE_CONNECTION_STRING"], name)
    with suppress(ResourceExistsError):
        container.create_container()
    sys.stdout.write(f"{container.url} is ready\n")


if __name__ == "__main__":
    main()
