"""Reads what a quarantine entry has kept, so that it can be judged again: a rejected.csv, or a rejected file itself.

Rows of a rejected.csv get back the numbers and lines that they had in the dropped file. Judges nothing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Final

import pyarrow as pa

from daemon.errors import DecisionError, WorkError
from daemon.model import Drop, Feed, State
from daemon.quarantine.entries import REJECTED, safe_name
from daemon.quarantine.origins import ORIGINS, Origins, read_origins
from validators.errors import FileProblem
from validators.model import Broken, Chunk, Dialect, Limits, Malformed, MalformedRecords, Mask
from validators.readers import Reader, open_file

#: What two more columns and the words in them may add to a record and to a file, as a factor and in bytes.
_WORDS_FACTOR: Final = 64
_WORDS_BYTES: Final = 16 * 1024**2
_EDITED: Final = "has been edited; drop it as a file instead"


class SetAside:
    """A Reader of the records of one rejected.csv, under the numbers and lines that they had in the dropped file."""

    notes: tuple[str, ...] = ()
    typed = False
    returned = True

    def __init__(self, path: Path, origins: Origins, limits: Limits) -> None:
        """Open the file.

        Args:
            path: the rejected.csv.
            origins: where its records came from.
            limits: of the dropped file.

        Raises:
            FileProblem: it is no delimited text.
            OSError: it cannot be read.
        """
        roomy = replace(
            limits,
            max_decompressed_bytes=limits.max_decompressed_bytes * _WORDS_FACTOR,
            max_line_bytes=limits.max_line_bytes + _WORDS_BYTES,
            max_columns=limits.max_columns + 2,
        )
        self._reader = open_file(path, name=path.name, dialect=origins.dialect, limits=roomy)
        self._path, self._origins = path, origins

    @property
    def dialect(self) -> Dialect:
        """How rejected.csv should be written again."""
        return self._reader.dialect

    @property
    def broken(self) -> tuple[Broken, ...]:
        """The rules over the whole file that its rows have broken, when they stood among all others."""
        return self._origins.whole

    def header(self) -> tuple[str, ...] | None:
        """Return the columns' names; None where each record of the dropped file named its own."""
        return None if self._origins.named_by_record else self._reader.header()

    def chunks(self, names: Collection[str] | None = None) -> Iterator[Chunk]:
        """Read from the beginning, only these columns.

        Raises:
            DecisionError: its records are not those that were written.
        """
        read = 0
        for chunk in self._reader.chunks(names):
            read += chunk.read
            yield self._placed(chunk)
        if read != len(self._origins):
            raise self._unlike()

    def close(self) -> None:
        """Let go of the file."""
        self._reader.close()

    def _placed(self, chunk: Chunk) -> Chunk:
        """Return the chunk with its records' own numbers and lines."""
        origins = self._origins
        numbers = [*chunk.rows[-1:].tolist(), *chunk.malformed.rows.tolist()]
        if max(numbers, default=0) > len(origins) or not _sound(origins, chunk).all():
            raise self._unlike()
        positions = chunk.rows - 1
        return replace(
            chunk,
            rows=origins.rows[positions],
            lines=origins.lines[positions],
            malformed=MalformedRecords.of(self._malformed(record) for record in chunk.malformed),
        )

    def _malformed(self, record: Malformed) -> Malformed:
        position = record.row - 1
        row, line = int(self._origins.rows[position]), int(self._origins.lines[position])
        return self._origins.malformed_at(position) or replace(record, row=row, line=line)

    def _unlike(self) -> DecisionError:
        return DecisionError(f"{self._path} is not as it was written: it {_EDITED}")


def _sound(origins: Origins, chunk: Chunk) -> Mask:
    """Tell of each row of the chunk's table whether it had cells in the dropped file too."""
    sound: Mask = origins.malformed.take(pa.array(chunk.rows - 1)).is_null().to_numpy(zero_copy_only=False)
    return sound


@contextmanager
def kept(folder: Path, drop: Drop, feed: Feed, limits: Limits, *, state: State, sha256: str) -> Iterator[Reader]:
    """Open what a quarantined drop's entry has kept: a rejected file as it came, else the rejected records.

    Args:
        folder: the drop's entry.
        drop: the drop.
        feed: its feed, as it is today.
        limits: what a file may ask for.
        state: rejected or partial.
        sha256: of the bytes that were dropped.

    Raises:
        DecisionError: the entry is gone or incomplete, or has been changed since it was written.
        FileProblem: a rejected file still cannot be read.
        WorkError: the disk failed.
    """
    if not folder.is_dir():
        raise DecisionError(
            f"the quarantine entry {folder} is gone, so there are no rows to judge; drop the file again"
        )
    with _readable(folder):
        if state is State.REJECTED:
            path = _original(folder / safe_name(drop.found.name), sha256)
            reader = open_file(path, name=drop.found.name, dialect=feed.dialect, limits=limits)
        else:
            reader = _rejected(folder, limits)
    with closing(reader):
        yield reader


@contextmanager
def _readable(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise WorkError(f"the quarantine entry {folder} cannot be read: {error.strerror or error}") from error


def _require(path: Path, instead: str) -> None:
    if not path.is_file():
        raise DecisionError(f"the quarantine entry {path.parent} has no {path.name}, so it cannot be judged; {instead}")


def _original(path: Path, sha256: str) -> Path:
    _require(path, "drop the file again")
    with path.open("rb") as file:
        if hashlib.file_digest(file, "sha256").hexdigest() != sha256:
            raise DecisionError(f"{path} {_EDITED}")
    return path


def _rejected(folder: Path, limits: Limits) -> Reader:
    path = folder / REJECTED
    _require(path, "drop the file again")
    _require(folder / ORIGINS, f"drop {path} as a file instead")
    try:
        origins = read_origins(folder / ORIGINS, path)
    except (ValueError, KeyError, TypeError) as error:
        raise DecisionError(f"{folder / ORIGINS} is damaged ({error}); drop {path} as a file instead") from error
    if origins.edited:
        raise DecisionError(f"{path} {_EDITED}")
    try:
        return SetAside(path, origins, limits)
    except FileProblem as problem:
        raise DecisionError(f"{path} cannot be read: {problem}") from problem
