"""The data files of one unit below its table's root: one for each day and set of columns, if memory allows."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import pyarrow as pa

from daemon.model import DataFile
from daemon.places import Place
from daemon.staging.datafile import Encoding, Part, encoding_of, path_of, writing

#: Files finished at once, when reading and judging are done and nobody else is at work.
FINISHED_TOGETHER = 2


@dataclass(frozen=True)
class Key:
    """What may share a file: rows of one day with the same columns."""

    day: str
    schema: pa.Schema


class DayFiles:
    """The unit's files. Belongs to the writing thread until that has ended."""

    def __init__(self, place: Place, unit: str, open_files: int) -> None:
        """Create nothing yet: files of at most so many keys are open at once in the place, named after the unit."""
        self._place = place
        self._unit = unit
        self._open_files = open_files
        #: Least used first.
        self._open: OrderedDict[Key, Part] = OrderedDict()
        self._done: list[DataFile] = []
        self._encodings: dict[pa.Schema, Encoding] = {}
        #: The paths of each day, also those of files that could not be created.
        self._paths: dict[str, list[str]] = {}

    def write(self, key: Key, tables: list[pa.Table]) -> None:
        """Write one row group, or a few.

        Raises:
            StoreError: the disk is full, or fails.
        """
        table = _together(tables)
        self._part(key, table).write(table)

    def finish(self, left: Mapping[Key, list[pa.Table]]) -> tuple[DataFile, ...]:
        """Write what is left of each key, finish every file and make their names safe.

        Raises:
            StoreError: the disk is full, or fails; `remove` then removes what there is.
        """
        keys, together = list(left), min(FINISHED_TOGETHER, self._open_files)
        with ThreadPoolExecutor(together, thread_name_prefix="finishing") as threads:
            for start in range(0, len(keys), together):
                tables = {key: _together(left[key]) for key in keys[start : start + together]}
                parts = [(self._part(key, table), table) for key, table in tables.items()]
                self._done += threads.map(_write_last, parts)
                for key in tables:
                    del self._open[key]
        for key in tuple(self._open):
            self._close(key)
        with writing(self._place.describe()):
            self._place.flush([file.path for file in self._done])
        return tuple(sorted(self._done, key=lambda file: file.path))

    def remove(self) -> None:
        """Delete every file, finished or not.

        Raises:
            StoreError: a file is there and cannot be removed.
        """
        while self._open:
            self._open.popitem()[1].remove()
        with writing(self._place.describe()):
            self._place.remove([path for paths in self._paths.values() for path in paths])
        self._paths.clear()

    def _part(self, key: Key, table: pa.Table) -> Part:
        if key in self._open:
            self._open.move_to_end(key)
            return self._open[key]
        if len(self._open) >= self._open_files:
            self._close(next(iter(self._open)))
        if key.schema not in self._encodings:
            self._encodings[key.schema] = encoding_of(table)
        part = Part(self._place, self._new_path(key.day), key.schema, self._encodings[key.schema])
        self._open[key] = part
        return part

    def _new_path(self, day: str) -> str:
        paths = self._paths.setdefault(day, [])
        paths.append(path_of(day, f"part-{self._unit}-{len(paths):02d}"))
        return paths[-1]

    def _close(self, key: Key) -> None:
        self._done.append(self._open[key].close())
        del self._open[key]


def _together(tables: list[pa.Table]) -> pa.Table:
    # Codes of one dictionary are written as they are; of several, Arrow would write texts again.
    return pa.concat_tables(tables).unify_dictionaries()


def _write_last(last: tuple[Part, pa.Table]) -> DataFile:
    part, table = last
    part.write(table)
    return part.close()
