"""Many small blobs of a container, beside a plain loop of the SDK, each in a container of its own on one Azurite."""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from tests.azurite.running import Container, azurite, connection_string, new_container

from .contenders import BLOBDROP, DONE, OURS
from .measure import CommandFailedError, Figures, run
from .report import Result, faster

LOOP: Final = "loop of the SDK"
ARCHIVING: Final = f"{OURS}, archiving"
MOVING_LOOP: Final = f"{LOOP}, archiving"
NAMES: Final = (OURS, LOOP, ARCHIVING, MOVING_LOOP)
ROWS_EACH: Final = 100
#: Blobs uploaded at once while the ground is laid.
AT_ONCE: Final = 8


def blobs(folder: Path, count: int, runs: int) -> Result:
    """Blobs of 100 rows, from the start of the process to the end, in turns; ours leaves receipts besides.

    First all leave the blobs where they are; then all move them into an archive. Azurite takes some milliseconds for
    each blob that is deleted, the more the more it has, which nobody can do anything about.
    """
    found = {name: Figures() for name in NAMES}
    with tempfile.TemporaryDirectory(dir=folder) as data, azurite(Path(data), keeps=False) as (_, port):
        for turn in range(runs):
            for name in NAMES:
                with _filled(connection_string(port), count) as container:
                    seconds, rows = _timed(name, container, folder / f"blobs-{turn}-{NAMES.index(name)}")
                    found[name].seconds.append(seconds)
                if rows != count * ROWS_EACH:
                    raise CommandFailedError(f"{name} has {rows:,} rows of {count * ROWS_EACH:,}")
    work = f"{count:,} blobs of {ROWS_EACH} rows on Azurite"
    figures = [faster(LOOP, found, OURS, at_least=3.0), faster(MOVING_LOOP, found, ARCHIVING)]
    return Result(name="blobs", work=work, figures=figures, contenders=found)


@contextmanager
def _filled(opened: str, count: int) -> Iterator[Container]:
    container = new_container(opened)
    with ThreadPoolExecutor(AT_ONCE) as pool:
        list(pool.map(lambda number: container.put(f"metrics/{number:06d}.csv", _rows(number)), range(count)))
    yield container
    container.client.delete_container()
    container.client.close()


def _rows(number: int) -> bytes:
    rows = (b"u-%d-%d,user_id,visits,2026-03-01,%d\n" % (number, row, row) for row in range(ROWS_EACH))
    return b"unit_id,id_type,metric_name,date,metric_value\n" + b"".join(rows)


def _timed(name: str, container: Container, folder: Path) -> tuple[float, int]:
    """Return how long it took, and how many good rows it found."""
    folder.mkdir()
    is_archiving = name in (ARCHIVING, MOVING_LOOP)
    after = "archive" if is_archiving else "keep"
    settings = {
        **container.environment,
        "BLOBDROP_SOURCE__SETTLE_SECONDS": "0",
        "BLOBDROP_SOURCE__AFTER": after,
    }
    if name in (OURS, ARCHIVING):
        done = run((*BLOBDROP, "run", "--once", "--json"), folder, settings, fine=DONE)
        return done.seconds, int(json.loads(done.printed)["rows"]["accepted"])
    loop, archive = str(Path(__file__).parent / "peers" / "blob_loop.py"), ("--archive",) if is_archiving else ()
    done = run((sys.executable, loop, str(container.client.container_name), *archive), folder, settings)
    return done.seconds, int(done.printed)
