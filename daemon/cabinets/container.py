"""Entries as blobs of a container: their report comes last and goes first, so whoever looks finds all or none."""

from __future__ import annotations

import shutil
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import unquote

from daemon.cabinets import REPORT, Kept
from daemon.places.container import ContainerPlace
from daemon.sources.azure_reading import spool_folder

#: From so many entries on it takes fewer requests to list all than to look for each.
LIST_ALL: Final = 16
#: Parts of a key.
PARTS: Final = 3


@dataclass(frozen=True)
class ContainerCabinet:
    """All entries below a prefix of a container."""

    place: ContainerPlace

    def describe(self, key: str = "") -> str:
        """Return the URL of the cabinet, or of an entry."""
        return self.place.describe(key)

    def key(self, described: str) -> str:
        """Return what stands in an entry's URL behind the cabinet's; one from elsewhere is nowhere here."""
        return unquote(described.removeprefix(f"{self.place.describe()}/"))

    def prepare(self) -> None:
        """Make the container unless it is there."""
        self.place.prepare()

    def blank(self, key: str) -> Path:
        """Return a folder for temporary files."""
        blank = spool_folder() / key.rpartition("/")[2]
        blank.mkdir()
        return blank

    def put(self, blank: Path, key: str) -> None:
        """Upload the files, the report last; an older entry is taken away first."""
        if self.has(key):
            self._take_away(key)
        files = {f"{key}/{path.name}": path for path in blank.iterdir()}
        report = files.pop(f"{key}/{REPORT}", None)
        self.place.upload(files)
        if report is not None:
            self.place.upload({f"{key}/{REPORT}": report})
        self.give_up(blank)

    def give_up(self, blank: Path) -> None:
        """Delete the temporary files."""
        shutil.rmtree(blank.parent, ignore_errors=True)

    def move(self, key: str, to: str) -> None:
        """Have the service copy the files, and delete the first ones; broken off anywhere, it can be done again."""
        names = [name for name in self.names(key) if name != REPORT]
        if self.has(key):
            self._take_away(to)
            self.place.copy({f"{key}/{name}": f"{to}/{name}" for name in names})
            self.place.copy({f"{key}/{REPORT}": f"{to}/{REPORT}"})
        self._take_away(key)

    def remove(self, keys: Collection[str]) -> None:
        """Delete entries, the reports first."""
        there = {one.key for one in self.list()}.intersection(keys) if len(keys) > LIST_ALL else keys
        for key in there:
            self._take_away(key)

    def has(self, key: str) -> bool:
        """Tell whether there is a report."""
        return self.place.look([f"{key}/{REPORT}"])[0] is not None

    def list(self, customer: str | None = None, feed: str | None = None) -> Iterator[Kept]:
        """Yield the entries, by all of their blobs: those of one follow each other."""
        start = "" if customer is None else f"{customer}/" if feed is None else f"{customer}/{feed}/"
        one: Kept | None = None
        for file in self.place.list(start):
            *parts, name = file.path.split("/")
            key = "/".join(parts)
            if len(parts) != PARTS or feed not in (None, parts[1]):
                continue
            if one is None or one.key != key:
                if one is not None:
                    yield one
                one = Kept(key=key, at=0.0, whole=False)
            one = Kept(key=key, at=max(one.at, file.modified), whole=one.whole or name == REPORT)
        if one is not None:
            yield one

    def names(self, key: str) -> Sequence[str]:
        """Return the names of an entry's blobs."""
        return [file.path.removeprefix(f"{key}/") for file in self.place.list(f"{key}/")]

    def read(self, key: str, name: str) -> bytes:
        """Return a blob's bytes."""
        return self.place.read(f"{key}/{name}")

    def write(self, key: str, name: str, data: bytes) -> None:
        """Put a blob."""
        self.place.draft(f"{key}/{name}").write_bytes(data)
        self.place.keep(f"{key}/{name}")

    @contextmanager
    def near(self, key: str) -> Iterator[Path]:
        """Give a copy, removed afterwards."""
        names = self.names(key)
        with self.place.near([f"{key}/{name}" for name in names]) as paths:
            yield paths[0].parent if REPORT in names else Path(key)

    def flush(self, keys: Sequence[str]) -> None:
        """Do nothing: what the service has confirmed survives."""

    def sweep(self) -> None:
        """Do nothing: what has no report is no entry, and a drop's next go replaces it."""

    def clear(self, before: float) -> Iterator[None]:
        """Delete what has no report, and has grown old."""
        for one in self.list():
            if not one.whole and one.at < before:
                self.remove([one.key])
                yield

    def stop(self) -> None:
        """Try nothing again from now on."""
        self.place.stop()

    def _take_away(self, key: str) -> None:
        names = self.names(key)
        if REPORT in names:
            self.place.remove([f"{key}/{REPORT}"])
        self.place.remove([f"{key}/{name}" for name in names if name != REPORT])
