"""Which rows of a file share their values with another: exact, and in bounded memory however many rows there are.

Values are compared as `pandas.DataFrame.duplicated` does: no value equals no value, and 0.0 equals -0.0.
"""

from __future__ import annotations

import importlib
import shutil
import tempfile
import weakref
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from validators.model import Numbers
from validators.rules import Keep
from validators.texts import Array

if TYPE_CHECKING:
    import duckdb

#: Bytes of values held in memory; more of them go to a database in a temporary folder.
SPILL_BYTES = 48 * 1024**2
#: What that database may hold in memory; below about 100 MB it thrashes on ten million rows.
DATABASE_MEMORY = "192MB"

_WHICH = {False: "", "first": "AND keys.n <> twice.low", "last": "AND keys.n <> twice.high"}


class Uniqueness:
    """The values of some columns of one file, batch by batch."""

    def __init__(self, spill_bytes: int = SPILL_BYTES) -> None:
        """Start with no rows; beyond `spill_bytes` they are kept on disk."""
        self._spill_bytes = spill_bytes
        self._pieces: list[pa.Table] = []
        self._bytes = 0
        self._database: duckdb.DuckDBPyConnection | None = None

    def add(self, keys: pa.Table, rows: Numbers) -> None:
        """Take a batch: the columns that must be unique together, and the record number of each row, ascending."""
        plain = {f"k{place}": _comparable(column) for place, column in enumerate(keys.columns)}
        piece = pa.table({**plain, "n": pa.array(rows, pa.int64())})
        self._pieces.append(piece)
        self._bytes += piece.nbytes
        if self._bytes > self._spill_bytes:
            self._spill()

    def finish(self, keep: Keep) -> Numbers:
        """Return the numbers of the rows that share their values, ascending, and forget them all.

        Args:
            keep: which row of each group is not to blame: `first`, `last`, or none (False).
        """
        if self._database is not None:
            self._spill()
            return self._from_database(self._database, keep)
        if not self._pieces:
            return np.empty(0, np.int64)
        table = pa.concat_tables(self._pieces)
        self._pieces.clear()
        codes = {name: _codes(table[name]) for name in table.column_names if name != "n"}
        found = pd.DataFrame(codes).duplicated(keep=keep).to_numpy()
        return table["n"].to_numpy()[found]  # type: ignore[no-any-return]

    def _spill(self) -> None:
        if self._database is None:
            self._database = _database(self, self._pieces[0])
        for piece in self._pieces:
            self._database.register("piece", piece)
            self._database.execute("INSERT INTO keys SELECT * FROM piece")
            self._database.unregister("piece")
        self._pieces.clear()
        self._bytes = 0

    def _from_database(self, database: duckdb.DuckDBPyConnection, keep: Keep) -> Numbers:
        names = [row[0] for row in database.execute("DESCRIBE keys").fetchall()][:-1]
        same = " AND ".join(f"keys.{name} IS NOT DISTINCT FROM twice.{name}" for name in names)
        database.execute(
            f"CREATE TABLE twice AS SELECT {', '.join(names)}, min(n) AS low, max(n) AS high FROM keys "  # noqa: S608 - names are our own
            f"GROUP BY {', '.join(names)} HAVING count(*) > 1"
        )
        query = f"SELECT keys.n FROM keys JOIN twice ON {same} {_WHICH[keep]} ORDER BY 1"  # noqa: S608 - as above
        found = database.execute(query).fetchnumpy()["n"]
        database.close()
        return np.asarray(found, np.int64)


def _database(owner: object, like: pa.Table) -> duckdb.DuckDBPyConnection:
    """Open a database in a temporary folder that goes with its owner."""
    folder = tempfile.mkdtemp(prefix="blobdrop-unique-")
    weakref.finalize(owner, shutil.rmtree, folder, ignore_errors=True)
    settings: dict[str, str | bool | int | float | list[str]] = {
        "memory_limit": DATABASE_MEMORY,
        "threads": 1,
        "preserve_insertion_order": False,
    }
    # Few files spill, and importing it takes a tenth of a start.
    database: duckdb.DuckDBPyConnection = importlib.import_module("duckdb").connect(
        str(Path(folder) / "keys.duckdb"), config=settings
    )
    database.register("piece", like.slice(0, 0))
    database.execute("CREATE TABLE keys AS SELECT * FROM piece")
    database.unregister("piece")
    return database


def _comparable(column: Array) -> Array:
    """Return values of which equal ones have equal bits."""
    if pa.types.is_floating(column.type):
        number = pc.if_else(pc.is_nan(column), None, column.cast(pa.float64()))
        return pc.add(number, 0.0)
    if pa.types.is_timestamp(column.type):
        return column.cast(pa.int64())
    return column.cast(pa.int32()) if pa.types.is_date32(column.type) else column


def _codes(column: Array) -> Numbers:
    """Number the distinct values of a column; -1 where there is none."""
    indices = column.combine_chunks().dictionary_encode().indices
    return np.asarray(indices.fill_null(-1).to_numpy(zero_copy_only=False), np.int64)
