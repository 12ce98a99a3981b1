"""Which names are drops, which are markers and which are neither: one rule for every source."""

from __future__ import annotations

import re

#: The folder of what customers are told: below it, under a drop's own name, of that drop.
RECEIPTS = "_receipts"
#: Endings that programs give to files they are still writing: most tools, browsers, WinSCP.
TEMPORARY_ENDINGS = (".tmp", ".part", ".partial", ".crdownload", ".filepart")

#: What the names of markers start with, in any case of letters.
MARKER_START = "_READY"

#: A folder of files that list days, in any case of letters.
_in_signals = re.compile(r"(?:^|/)signals/", re.IGNORECASE).search


def in_signals(name: str) -> bool:
    """Tell whether a path has a folder `signals` in it."""
    return _in_signals(name) is not None


def is_marker(name: str) -> bool:
    """Tell whether a file is a `_READY` marker, by its name (with or without its folders).

    So is a folder with such a name, which sources list with a `/` at its end: somebody has to be told that it is none.
    """
    return name.rstrip("/").rpartition("/")[2][: len(MARKER_START)].upper() == MARKER_START


def left_out(file: str) -> bool:
    """Tell whether a file is neither a drop nor a marker, by its own name without folders.

    So are dot-files (rsync's `.name.XXXXXX` and LibreOffice's `.~lock.name#` among them), the temporary endings in
    any case of letters, Office's `~$name`, and files that start with `_` without being a marker (`_SUCCESS`,
    `_committed_123`: what writers of tables leave beside their data).
    """
    if file[0] in "._~" and (file[0] == "." or file[:2] == "~$" or (file[0] == "_" and not is_marker(file))):
        return True
    return file.lower().endswith(TEMPORARY_ENDINGS)


def left_out_folder(folder: str) -> bool:
    """Tell whether nothing below a folder is a drop, by the folder's own name."""
    return folder[0] in "._"


def left_out_path(name: str) -> bool:
    """Tell whether an object is neither a drop nor a marker, by its path below the source's root, with `/`.

    An empty component (`a//b`, which a container may have) leaves nothing out.
    """
    *folders, file = name.split("/")
    return not file or left_out(file) or any(folder and left_out_folder(folder) for folder in folders)
