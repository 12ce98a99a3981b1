"""What holds for every test: what one does to its own process, no other one sees."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True)
def temporary_files_where_they_were() -> Iterator[None]:
    """Undo that workers, warmed in a test's own process, have temporary files made in the daemon's scratch folder."""
    folder, variable = tempfile.tempdir, os.environ.get("TMPDIR")
    yield
    tempfile.tempdir = folder
    os.environ.pop("TMPDIR", None)
    if variable is not None:
        os.environ["TMPDIR"] = variable
