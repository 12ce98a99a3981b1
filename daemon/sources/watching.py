"""Hints from the kernel that something arrived in a folder: quick, and not to be relied on.

A moved-in or linked file has no close event, a full queue loses events without an error, files that come over a
network file system have none. So a hint only wakes the loop; the listing tells what is there.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable

from watchdog.events import (
    DirCreatedEvent,
    DirMovedEvent,
    FileClosedEvent,
    FileCreatedEvent,
    FileMovedEvent,
    FileSystemEvent,
    FileSystemEventHandler,
)
from watchdog.observers import Observer
from watchdog.observers.api import BaseObserver

from daemon.sources.names import left_out_path
from daemon.sources.noting import note

#: What can bring a drop. Not each write: a file that is still written is not complete, and 10,000 files would cost
#: 30,000 more events. Not reads and deletes: our own would wake us.
EVENTS: tuple[type[FileSystemEvent], ...] = (
    FileCreatedEvent,
    FileClosedEvent,
    FileMovedEvent,
    DirCreatedEvent,
    DirMovedEvent,
)


class Watching:
    """Calls `wake` when something may have arrived below a folder, from `renew` until `stop`."""

    def __init__(self, root: str, wake: Callable[[], None]) -> None:
        """Remember what to watch; nothing happens before `renew`."""
        self._root = root
        self._wake = wake
        self._observer: BaseObserver | None = None
        self._place: tuple[int, int] | None = None

    @property
    def alive(self) -> bool:
        """Whether hints come."""
        return self._observer is not None and all(emitter.is_alive() for emitter in self._observer.emitters)

    def renew(self) -> None:
        """Watch the folder that has the root's name now, if that is not so already. Cheap; called at every listing.

        A root that is removed ends its watch without a word, and one that is made again, or a symlink that points
        elsewhere, is another folder.
        """
        place = _place(self._root)
        if place == self._place and (self.alive or self._observer is None):
            return
        self.stop()
        self._place = place
        if place is not None:
            self._start()

    def stop(self) -> None:
        """Watch no longer. Idempotent."""
        observer, self._observer = self._observer, None
        if observer is not None:
            observer.stop()
            observer.join()

    def _start(self) -> None:
        # watchdog 7.1 warns whenever it meets a new folder twice, which a tree that is copied in makes it do.
        warnings.filterwarnings("ignore", message="Callback with id", category=RuntimeWarning)
        observer: BaseObserver | None = None
        try:
            observer = Observer()
            root = os.path.realpath(self._root)
            observer.schedule(_Arrivals(root, self._wake), root, recursive=True, event_filter=list(EVENTS))
            observer.start()
        except OSError as error:
            note("hints_unavailable", folder=self._root, why=str(error), meaning="drops are found by polling")
            if observer is not None:
                observer.stop()
            return
        self._observer = observer


class _Arrivals(FileSystemEventHandler):
    """Wakes for everything but what can never be a drop, such as our own archive."""

    def __init__(self, root: str, wake: Callable[[], None]) -> None:
        self._start = len(root.rstrip("/")) + 1
        self._wake = wake

    def on_any_event(self, event: FileSystemEvent) -> None:
        """Wake, unless the name that appeared is left out anyway."""
        if not left_out_path(os.fsdecode(event.dest_path or event.src_path)[self._start :]):
            self._wake()


def _place(root: str) -> tuple[int, int] | None:
    """Tell which folder has this name now: device and inode, or None."""
    try:
        status = os.stat(root)  # noqa: PTH116 - the root may be any bytes
    except OSError:
        return None
    return status.st_dev, status.st_ino
