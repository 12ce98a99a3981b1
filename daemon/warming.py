"""Starts the warm parent of the workers, so that it imports what is slow to import while others do something else.

Imports nothing slow itself: `blobdrop run` calls it before anything else.
"""

from __future__ import annotations

import multiprocessing
import signal
from multiprocessing import forkserver, resource_tracker

from daemon.scratch import use_scratch

#: The module that imports what does the work: pandas, pandera and pyarrow. Only the warm parent pays for it, once.
PRELOADED = "daemon.workers.preloaded"
_CTRL_C = (signal.SIGINT,)


def warm() -> None:
    """Start the warm parent unless it runs; do not wait for it."""
    use_scratch()
    multiprocessing.set_forkserver_preload([PRELOADED])
    # It begins before the parent, and would let through what is held back below.
    resource_tracker.ensure_running()
    # A Ctrl-C in the terminal reaches every process of it: the one that was started stops the others, in good order.
    signal.pthread_sigmask(signal.SIG_BLOCK, _CTRL_C)
    try:
        forkserver.ensure_running()
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _CTRL_C)
