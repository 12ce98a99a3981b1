"""What every test can have, and what holds for each: what one does to its own process, no other one sees."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from tests.azurite.running import Container, azurite, connection_string, new_container

# How long an example takes is the machine's affair: a timed one fails on a busy machine.
settings.register_profile("blobdrop", deadline=None)
settings.load_profile("blobdrop")

#: The connection string of a storage account, or of an Azurite, to test with instead of one of our own.
GIVEN = "BLOBDROP_TEST_AZURITE"


@pytest.fixture(scope="session")
def storage() -> Iterator[str]:
    """The connection string of a storage account: the one that was given, else of an Azurite for the tests' length."""
    if given := os.environ.get(GIVEN):
        yield given
        return
    with (
        tempfile.TemporaryDirectory(prefix="azurite-", ignore_cleanup_errors=True) as folder,
        azurite(Path(folder), keeps=False) as (_, port),
    ):
        yield connection_string(port)


@pytest.fixture
def container(storage: str) -> Iterator[Container]:
    """A container of the test's own."""
    made = new_container(storage)
    yield made
    made.client.delete_container()
    made.client.close()


@pytest.fixture
def lake(storage: str) -> Iterator[Container]:
    """A second container of the test's own, beside the first."""
    made = new_container(storage)
    yield made
    made.client.delete_container()
    made.client.close()


@pytest.fixture(autouse=True)
def temporary_files_where_they_were() -> Iterator[None]:
    """Undo that workers, warmed in a test's own process, have temporary files made in the daemon's scratch folder."""
    folder, variable = tempfile.tempdir, os.environ.get("TMPDIR")
    yield
    tempfile.tempdir = folder
    os.environ.pop("TMPDIR", None)
    if variable is not None:
        os.environ["TMPDIR"] = variable
