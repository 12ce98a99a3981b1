"""Hangs whoever lists a folder while a file is there; no line of this is in `daemon`.

Python imports a module of this name at every start, so whoever has this folder on PYTHONPATH gets it. Without the
variables below it does nothing.
"""

from __future__ import annotations

import os
import sys
import time
from typing import Any

#: The folder whose listing hangs, and the file for as long as which it does.
AT, WHILE = "HANGING_AT", "HANGING_WHILE"


def hang(event: str, arguments: tuple[Any, ...]) -> None:
    """Wait in a listing that is about to begin, and let signals through, as a network share that is away does."""
    if event == "os.scandir" and str(arguments[0]).rstrip("/") == os.environ[AT]:
        while os.path.exists(os.environ[WHILE]):  # noqa: PTH110
            time.sleep(0.05)


if AT in os.environ:
    sys.addaudithook(hang)
