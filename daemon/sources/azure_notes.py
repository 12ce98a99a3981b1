"""What a container shows that is no drop now, and why: told once for as long as it lasts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import structlog

from daemon.sources.azure_entries import Blob
from daemon.sources.names import in_signals, is_marker

log = structlog.get_logger()

#: Blobs of one kind that are named; further ones are only counted.
NAMED: Final = 20
#: The event, and what it means.
Note = tuple[str, str]
UPLOADING: Final = ("blob_uploading", "blocks of it are uploaded and not yet committed: it is read when they are")
EMPTY: Final = (
    "blob_empty",
    "it has no bytes: its upload is not committed yet, or a tool has made a place for it; it is read when it has some",
)
FROZEN: Final = ("blob_in_archive_tier", "it cannot be read: move it to the tier Hot or Cool, which takes hours")
COPIED: Final = ("blob_being_copied", "the service still copies it, or has given up: it is read when it is whole")
DOTTED: Final = ("blob_name_unusable", "no URL can name it, for a part of it is . or ..: upload it under another name")


class Notes:
    """What one listing after the other has shown."""

    def __init__(self, is_signal: Callable[[str], bool] = in_signals) -> None:
        """Know of nothing yet; `is_signal` tells by a name whether a blob is a signal."""
        self._is_signal = is_signal
        self._told: frozenset[tuple[str, str]] = frozenset()
        self._noted: dict[Note, list[str]] = {}

    def begin(self) -> None:
        """Begin a listing."""
        self._noted = {}

    def takes(self, blob: Blob) -> bool:
        """Tell whether a blob is no drop now, and note why."""
        note = self._why(blob)
        if note is None:
            return False
        self._noted.setdefault(note, []).append(blob.name)
        return True

    def tell(self) -> None:
        """Say at a listing's end what it has shown and the one before had not."""
        for (event, means), names in self._noted.items():
            fresh = [name for name in names if (event, name) not in self._told]
            for name in fresh[:NAMED]:
                log.warning(event, name=name, note=means)
            if len(fresh) > NAMED:
                log.warning(event, more=len(fresh) - NAMED, note=means)
        self._told = frozenset((event, name) for (event, _), names in self._noted.items() for name in names)

    def _why(self, blob: Blob) -> Note | None:
        if not blob.etag:
            return UPLOADING
        if blob.is_frozen:
            return FROZEN
        if blob.copying not in ("", "success"):
            return COPIED
        if not blob.size and not (is_marker(blob.name) or self._is_signal(blob.name)):
            return EMPTY
        if "." in blob.name and not {".", ".."}.isdisjoint(blob.name.split("/")):
            return DOTTED
        return None
