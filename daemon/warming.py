"""Starts the warm parent of the workers, so that it imports what is slow to import while others do something else.

Imports nothing slow itself: `blobdrop run` calls it before anything else.
"""

from __future__ import annotations

import multiprocessing
from multiprocessing import forkserver

#: The module that does the work. It imports pandas, pandera and pyarrow: only the warm parent pays for it, once.
WORK = "daemon.prepare"


def warm() -> None:
    """Start the warm parent unless it runs; do not wait for it."""
    multiprocessing.set_forkserver_preload([WORK])
    forkserver.ensure_running()
