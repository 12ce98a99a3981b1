"""Who is measured: blobdrop, and its peers below `peers/`, each as a process of its own."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from .measure import Contender

PEERS: Final = Path(__file__).parent / "peers"
BLOBDROP: Final = (sys.executable, "-m", "daemon")
#: The files are complete, and who uses a script does not wait either.
AT_ONCE: Final = {"BLOBDROP_SOURCE__SETTLE_SECONDS": "0"}
#: Exit codes of `run --once` over good data, and over data with problems.
DONE: Final = (0, 1)
OURS, SCRIPT, LIMIT, DLT = "blobdrop", "script", "limit", "dlt"


def ours(source: Path) -> Contender:
    """Return blobdrop: `run --once` over a fresh folder, from the start of the process to committed rows.

    Args:
        source: a file, or a folder of files; they are linked into the drop folder.
    """

    def command(folder: Path) -> Sequence[str]:
        drops = folder / "drops" / "metrics"
        drops.mkdir(parents=True)
        for path in files_of(source):
            os.link(path, drops / path.name)
        return (*BLOBDROP, "run", "--once", "--json")

    return Contender(OURS, command, _accepted_by_us, AT_ONCE, fine=DONE)


def script(source: Path, share: float = 1.0) -> Contender:
    """Return the script that a user would write; of a folder it may do a share of the files only."""

    def command(folder: Path) -> Sequence[str]:
        files = files_of(source)
        some = files[: round(len(files) * share)]
        return (sys.executable, str(PEERS / "script.py"), *map(str, some), str(folder / "table"))

    return Contender(SCRIPT, command, int, share=share)


def limit(source: Path) -> Contender:
    """Return DuckDB on its own: about as fast as this can be done at all."""
    return Contender(LIMIT, _peer("limit.py", source), int)


def dlt(source: Path) -> Contender:
    """Return dlt, which reads the files of a folder."""
    return Contender(DLT, _peer("dlt_load.py", source), _last_number, {"RUNTIME__DLTHUB_TELEMETRY": "false"})


def files_of(source: Path) -> list[Path]:
    """Return the file itself, or the folder's files in order."""
    return sorted(source.iterdir()) if source.is_dir() else [source]


def _peer(name: str, source: Path) -> Callable[[Path], Sequence[str]]:
    return lambda folder: (sys.executable, str(PEERS / name), str(source), str(folder))


def _accepted_by_us(printed: str) -> int:
    return int(json.loads(printed)["rows"]["accepted"])


def _last_number(printed: str) -> int:
    return int(printed.rsplit(maxsplit=1)[-1])
