"""The inputs: metric rows by fixed seeds, made in whole columns, good ones and ones with bad rows among them."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

HEADER: Final = b"unit_id,id_type,date,metric_name,metric_value\n"
#: One row in so many of a dirty file is bad.
BAD_EVERY: Final = 20
#: The ways in which rows are bad, as often each.
BAD_WAYS: Final = ("value not a number", "wrong id_type", "empty unit_id", "impossible date", "too few fields")
#: Of ten small files these are dirty.
DIRTY_OF_TEN: Final = (3, 7)

_SEED: Final = 20_220_322
#: Rows made at once. Part of what a seed means: another number makes other rows.
_CHUNK: Final = 250_000
_FIRST_DAY: Final = date(2026, 3, 1)
_UNITS: Final = 5_000_000
_ID_TYPES: Final = ("user_id", "stable_id")
_SUBJECTS: Final = ("checkout", "search", "session", "feed", "signup", "video", "basket", "invite")
_MEASURES: Final = ("revenue", "count", "duration_ms", "latency_p50", "errors", "conversion")
_NUMBER, _ID_TYPE, _UNIT, _DATE, _SHORT = range(1, len(BAD_WAYS) + 1)

#: For each row 0, or the number of the way in which it is bad.
_Ways = npt.NDArray[np.int8]


@dataclass(frozen=True, kw_only=True)
class Written:
    """What was written, all files together."""

    rows: int
    bad: int
    bytes: int
    files: int = 1

    @property
    def good(self) -> int:
        """The rows that every contender should accept."""
        return self.rows - self.bad


def metrics(path: Path, rows: int, *, dirty: bool, days: int = 7, seed: int = 0) -> Written:
    """Write one CSV file of about 60 bytes a row; of a dirty one, a twentieth of the rows is bad, in five ways.

    Args:
        path: the file to write.
        rows: how many, without the header.
        dirty: whether some are bad.
        days: how many days the rows are spread over, in no order.
        seed: other seeds make other rows.
    """
    bad = 0
    with path.open("wb") as file:
        file.write(HEADER)
        for number, start in enumerate(range(0, rows, _CHUNK)):
            random = np.random.default_rng([_SEED, seed, number])
            count = min(_CHUNK, rows - start)
            ways = _some_bad(random, count) if dirty else np.zeros(count, np.int8)
            bad += int(np.count_nonzero(ways))
            file.write(_bytes(_lines(random, ways, days)))
    return Written(rows=rows, bad=bad, bytes=path.stat().st_size)


def small_files(folder: Path, files: int, *, rows_each: int = 100, days: int = 7) -> Written:
    """Write many small CSV files; two of ten are dirty, with a twentieth of their rows bad."""
    folder.mkdir(parents=True, exist_ok=True)
    bad = size = 0
    together = max(1, _CHUNK // rows_each)
    for number, start in enumerate(range(0, files, together)):
        random = np.random.default_rng([_SEED, rows_each, number, 1])
        some = range(start, min(start + together, files))
        ways = np.concatenate([_of_file(random, each, rows_each) for each in some])
        bad += int(np.count_nonzero(ways))
        for each, body in zip(some, _cut(_lines(random, ways, days), rows_each), strict=True):
            size += (folder / f"part-{each:06d}.csv").write_bytes(HEADER + body)
    return Written(rows=files * rows_each, bad=bad, bytes=size, files=files)


def _of_file(random: np.random.Generator, number: int, rows: int) -> _Ways:
    return _some_bad(random, rows) if number % 10 in DIRTY_OF_TEN else np.zeros(rows, np.int8)


def _some_bad(random: np.random.Generator, rows: int) -> _Ways:
    ways = np.zeros(rows, np.int8)
    bad = random.permutation(rows)[: rows // BAD_EVERY]
    ways[bad] = 1 + np.arange(len(bad)) % len(BAD_WAYS)
    return ways


def _lines(random: np.random.Generator, ways: _Ways, days: int) -> pa.Array[Any]:
    """Return the rows as lines, each with its line end."""
    rows = len(ways)
    names = [f"{subject}_{measure}" for subject in _SUBJECTS for measure in _MEASURES]
    dates = [(_FIRST_DAY + timedelta(days=day)).isoformat() for day in range(days)]
    units = pc.utf8_lpad(pa.array(random.integers(_UNITS, size=rows)).cast(pa.string()), 12, "0")
    value = pa.array(np.round(random.lognormal(3.0, 1.5, rows), 3)).cast(pa.string())
    unit = _spoilt(pc.binary_join_element_wise("u", units, ""), ways, _UNIT, "")
    id_type = _spoilt(_some_of(random, _ID_TYPES, rows), ways, _ID_TYPE, "userid")
    day = _spoilt(_some_of(random, dates, rows), ways, _DATE, "2026-02-30")
    ended = pc.binary_join_element_wise(_spoilt(value, ways, _NUMBER, "12.5kg"), "\n", "")
    lines = pc.binary_join_element_wise(unit, id_type, day, _some_of(random, names, rows), ended, ",")
    short = pc.binary_join_element_wise(unit, id_type, pc.binary_join_element_wise(day, "\n", ""), ",")
    return pc.if_else(pa.array(ways == _SHORT), short, lines)


def _some_of(random: np.random.Generator, words: tuple[str, ...] | list[str], rows: int) -> pa.Array[Any]:
    return pa.array(words).take(pa.array(random.integers(len(words), size=rows)))


def _spoilt(cells: pa.Array[Any], ways: _Ways, way: int, cell: str) -> pa.Array[Any]:
    return pc.if_else(pa.array(ways == way), cell, cells) if (ways == way).any() else cells


def _bytes(lines: pa.Array[Any]) -> memoryview:
    return next(_cut(lines, len(lines)))


def _cut(lines: pa.Array[Any], rows: int) -> Iterator[memoryview]:
    """Yield the bytes of so many lines at a time."""
    _, offsets, data = lines.buffers()
    ends = np.frombuffer(offsets, np.int32)[lines.offset : lines.offset + len(lines) + 1][::rows].tolist()
    for start, stop in itertools.pairwise(ends):
        yield memoryview(data)[start:stop]
