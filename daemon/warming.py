"""Starts the warm parent of the workers, so that it imports what is slow to import while others do something else.

Imports nothing slow itself: `blobdrop run` has it begin before anything else.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
from multiprocessing import forkserver, resource_tracker

from daemon.scratch import use_scratch

#: The module that imports what does the work: pandas, pandera and pyarrow. Only the warm parent pays for it, once.
PRELOADED = "daemon.workers.preloaded"
_CTRL_C = (signal.SIGINT,)
#: Threads of numpy's linear algebra, which nothing here uses. More of them are started with numpy and spin for a while,
#: on the cores that import meanwhile: a twentieth of the time of a start.
_ALGEBRA = ("OPENBLAS_NUM_THREADS", "1")


def begin() -> None:
    """Begin to run the daemon, before anything else is imported. Doing so twice changes nothing."""
    # It asks for what is about to be read anyway; by default it would end the process, before it is heeded.
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    # Pandas takes most of the start; a process of its own imports it while this one imports the rest.
    warm()


def warm() -> None:
    """Start the warm parent unless it runs; do not wait for it."""
    os.environ.setdefault(*_ALGEBRA)
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
