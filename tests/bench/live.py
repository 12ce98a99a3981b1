"""A daemon that runs, warm, and the time from a file in its folder to the file's rows in its table."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from deltalake import DeltaTable

from .contenders import BLOBDROP
from .generate import metrics
from .measure import CommandFailedError, start, stop

#: Seconds that a daemon waits for a file to change no more; its default.
SETTLE_SECONDS: Final = 1.0
#: Seconds between two looks at the table's log.
LOOK_SECONDS: Final = 0.002
#: Seconds after which a drop is given up.
PATIENCE_SECONDS: Final = 600.0
#: Seconds in which a daemon has nothing more to do after a drop was settled.
IDLE_SECONDS: Final = 0.5


class Live:
    """`blobdrop run` on a folder of its own."""

    def __init__(self, folder: Path) -> None:
        """Start nothing yet; everything is below `folder`."""
        self._folder = folder
        self._drops = folder / "drops" / "metrics"
        self._log = folder / "var" / "tables" / "metrics" / "_delta_log"
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        """Start the daemon, and warm it by a first small drop."""
        self._drops.mkdir(parents=True)
        with (self._folder / "stderr.log").open("wb") as errors:
            self._process = start((*BLOBDROP, "run"), self._folder, {}, stdout=subprocess.DEVNULL, stderr=errors)
        first = self._folder / "first.csv"
        metrics(first, 100, dirty=True, seed=99)
        self.moved_in(first)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process is not None:
            stop(self._process)
        shutil.rmtree(self._folder, ignore_errors=True)

    def moved_in(self, path: Path) -> float:
        """Move a file in; return the seconds until its rows are in the table."""
        os.utime(path)
        versions = self._versions()
        began = time.perf_counter()
        path.rename(self._drops / path.name)
        return self._wait(began, versions, path.name)

    def written(self, name: str, content: bytes) -> float:
        """Write a file in place; return the seconds from its end until its rows are in the table."""
        versions = self._versions()
        (self._drops / name).write_bytes(content)
        return self._wait(time.perf_counter(), versions, name)

    def rows(self) -> int:
        """Count the rows that the table has now."""
        actions = DeltaTable(self._log.parent).get_add_actions()
        return sum(actions["num_records"].to_pylist())

    def _versions(self) -> int:
        return len(list(self._log.glob("*.json")))

    def _wait(self, began: float, versions: int, name: str) -> float:
        while self._versions() == versions:
            self._must_live(time.perf_counter() - began)
            time.sleep(LOOK_SECONDS)
        seconds = time.perf_counter() - began
        while (self._drops / name).exists():
            time.sleep(LOOK_SECONDS)
        time.sleep(IDLE_SECONDS)
        return seconds

    def _must_live(self, seconds: float) -> None:
        assert self._process is not None
        if self._process.poll() is not None or seconds > PATIENCE_SECONDS:
            log = (self._folder / "stderr.log").read_text(encoding="utf-8", errors="replace")
            raise CommandFailedError(f"the daemon took nothing in {seconds:.0f} s\n{log[-4000:]}")
