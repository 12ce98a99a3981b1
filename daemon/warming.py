"""Starts the warm parent of the workers, so that it imports what is slow to import while others do something else.

Imports nothing slow itself: `blobdrop run` calls it before anything else.
"""

from __future__ import annotations

import multiprocessing
from multiprocessing import forkserver

from daemon.scratch import use_scratch

#: The module that imports what does the work: pandas, pandera and pyarrow. Only the warm parent pays for it, once.
PRELOADED = "daemon.preloaded"


def warm() -> None:
    """Start the warm parent unless it runs; do not wait for it."""
    use_scratch()
    multiprocessing.set_forkserver_preload([PRELOADED])
    forkserver.ensure_running()
