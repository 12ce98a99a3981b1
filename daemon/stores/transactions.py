"""A Delta table and its transactions, each a compare-and-swap on the table's version.

Whoever comes second looks at the table anew. The library's own conflict rules are not relied upon: they let a
transaction remove a file that a compaction has just replaced, and the removed rows would be back.
"""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import pyarrow as pa
from deltalake import CommitProperties, DeltaTable, Schema, Transaction
from deltalake.exceptions import DeltaError, TableNotFoundError
from deltalake.transaction import AddAction, RemoveAction, create_table_with_add_actions

from daemon.errors import StoreError
from daemon.model import DataFile
from daemon.places import REMOTE, File, Place
from daemon.staging.datafile import DATE
from daemon.stores.rewriting import Live, rows_of

#: What another writer may have made of a table without our rewriting of its files going wrong. Deletion vectors and
#: renamed columns, say, are not among it.
FEATURES = frozenset({"timestampNtz"})
#: Statistics of every column that has some are read, not of the first 32 only: `_drop` comes after the contract's.
CONFIGURATION = {"delta.dataSkippingNumIndexedCols": "-1"}

#: The folder of a table's log.
LOG = "_delta_log"
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")


@dataclass(frozen=True, kw_only=True, slots=True)
class Mark:
    """The number of a batch under the name of the one who counts: Delta's application transaction."""

    app: str
    number: int


@dataclass(frozen=True, kw_only=True)
class Change:
    """What one transaction does to the files of a table."""

    added: tuple[DataFile, ...] = ()
    removed: tuple[Live, ...] = ()
    #: Whether the rows change, or only the files that hold them.
    rows: bool = True


class Table:
    """A table as of its newest version when it was last looked at. Not thread-safe."""

    def __init__(self, place: Place, table: DeltaTable) -> None:
        self._place = place
        self._table = table

    @classmethod
    def open(cls, place: Place) -> Self | None:
        """Open the table at a place; None where there is none yet."""
        if not has_log(place):
            return None
        return cls(place, DeltaTable(place.url, storage_options=place.options))

    def refresh(self) -> None:
        """Look at the newest version."""
        self._table.update_incremental()

    def still_there(self) -> bool:
        """Tell whether nobody has removed the table under us: a commit would make half a table then."""
        return self._place.look([_entry(self._table.version())])[0] is not None

    @property
    def schema(self) -> pa.Schema:
        """The table's columns, `date` among them."""
        return pa.schema(self._table.schema().to_arrow())

    def batch(self, app: str) -> int:
        """Return the number of the newest batch that `app` has committed; 0 for none."""
        return self._table.transaction_version(app) or 0

    def live(self) -> list[Live]:
        """Return the table's files."""
        actions = pa.table(self._table.get_add_actions(flatten=True))
        bounds = (actions[name] if name in actions.column_names else None for name in ("min._drop", "max._drop"))
        low, high = (pa.nulls(len(actions)) if column is None else column for column in bounds)
        columns = (column.to_pylist() for column in (actions["path"], actions["size_bytes"], low, high))
        return [Live(path=p, size=s, low=lo, high=hi) for p, s, lo, hi in zip(*columns, strict=True)]

    def having(self, column: str, value: str) -> list[Live]:
        """Return the table's files that may have rows with this text in a column, by their statistics."""
        actions = pa.table(self._table.get_add_actions(flatten=True))
        bounds = (
            actions[name] if name in actions.column_names else None for name in (f"min.{column}", f"max.{column}")
        )
        low, high = (pa.nulls(len(actions)) if each is None else each for each in bounds)
        may = [
            (lo is None or lo <= value) and (hi is None or value <= hi)
            for lo, hi in zip(low.to_pylist(), high.to_pylist(), strict=True)
        ]
        return [file for file, fits in zip(self.live(), may, strict=True) if fits]

    def known(self) -> set[str]:
        """Return the paths of the table's files, and of those that readers of older versions may still need."""
        return {file.path for file in self.live()}.union(self.expired(keep_hours=0))

    def expired(self, keep_hours: int) -> list[str]:
        """Return the paths of files that were taken out of the table longer ago than that; some may be deleted."""
        # A dry run only lists. A real one would write two entries into the log, each time.
        gone = self._table.vacuum(retention_hours=keep_hours, dry_run=True, enforce_retention_duration=False)
        return [path.removeprefix(f"{self._place.url}/") for path in gone]

    def set_up(self, properties: Mapping[str, str]) -> bool:
        """Write properties into the table where they are others; False when another change came first."""
        now = self._table.metadata().configuration
        if all(now.get(name) == value for name, value in properties.items()):
            return True
        wanted = {**properties}
        return self._swap(lambda: self._table.alter.set_table_properties(wanted, commit_properties=_properties(None)))

    def clean_log(self) -> None:
        """Delete log entries that have expired by the table's properties; a checkpoint stands for them."""
        self._table.cleanup_metadata()

    def widen(self, columns: Sequence[pa.Field[Any]]) -> bool:
        """Add columns to the table; False when another change came first."""
        fields = Schema.from_arrow(pa.schema(columns)).fields
        return self._swap(lambda: self._table.alter.add_columns(fields, commit_properties=_properties(None)))

    def change(self, change: Change, mark: Mark | None) -> bool:
        """Commit the change, under the batch's number if it has one; False when another change came first.

        Raises:
            StoreError: a staged file is not there as it was described, or another writer uses unknown features.
        """
        self._refuse_unknown_features()
        actions: list[AddAction | RemoveAction] = [*adding(self._place, change), *_removing(change)]
        schema = self._table.schema()
        return self._swap(
            lambda: self._table.create_write_transaction(
                actions, "append", schema, [DATE], commit_properties=_properties(mark)
            )
        )

    def read(self, day: str | None) -> pa.Table:
        """Read a day, or all."""
        self._refuse_unknown_features()
        return rows_of(self._place, [file for file in self.live() if day in (None, file.day)], self.schema)

    def _swap(self, commit: Callable[[], None]) -> bool:
        before = self._table.version()
        try:
            commit()
        except (DeltaError, OSError):
            self.refresh()
            if self._table.version() == before:
                raise
            # Another change came first, or ours is in and a checkpoint after it failed. To look again tells.
            return False
        self.refresh()
        sync_log(self._place, before + 1)
        return True

    def _refuse_unknown_features(self) -> None:
        unknown = set(self._table.protocol().reader_features or ()) - FEATURES
        if unknown:
            raise StoreError(
                f"{self._place.describe()}: another writer has turned on {', '.join(sorted(unknown))}, which blobdrop "
                "cannot keep right. Turn it off there, or give the feed another name, which starts a new table."
            )


def has_log(place: Place) -> bool:
    """Tell whether there is a table: a log with at least one entry.

    Raises:
        OSError: it cannot be told; a folder that may not be read is not an absent one.
    """
    return any(file.path.endswith((".json", ".parquet")) for file in place.list(f"{LOG}/"))


def create(place: Place, schema: pa.Schema, files: Sequence[DataFile], mark: Mark) -> bool:
    """Create a table with its first batch, in one transaction; False when another one came first."""
    adds = adding(place, Change(added=tuple(files)))
    try:
        create_table_with_add_actions(
            place.url,
            Schema.from_arrow(schema),
            adds,
            mode="error",
            partition_by=[DATE],
            configuration=CONFIGURATION,
            storage_options=place.options,
            commit_properties=_properties(mark),
        )
    except (DeltaError, OSError):
        if not has_log(place):
            raise
        return False
    sync_log(place, 0)
    return True


def _properties(mark: Mark | None) -> CommitProperties:
    """Without retries a commit fails as soon as there is a newer version than the one that was looked at."""
    transactions = [Transaction(mark.app, mark.number)] if mark else None
    return CommitProperties(max_commit_retries=0, app_transactions=transactions)


def adding(place: Place, change: Change) -> list[AddAction]:
    """Return the actions that add the change's files, after a look at each of them."""
    there = place.look([file.path for file in change.added])
    return [_adding(place, file, found, change.rows) for file, found in zip(change.added, there, strict=True)]


def _adding(place: Place, file: DataFile, found: File | None, rows: bool) -> AddAction:
    if found is None:
        raise StoreError(f"{place.describe(file.path)}: this staged file is gone; its drops have to be worked again")
    if found.size != file.size:
        raise StoreError(
            f"{place.describe(file.path)}: this staged file has {found.size} bytes, expected {file.size}; "
            "its drops have to be worked again"
        )
    written = int(found.modified * 1000)
    return AddAction(file.path, file.size, {DATE: file.date}, written, data_change=rows, stats=file.stats)


def _removing(change: Change) -> list[RemoveAction]:
    """Return the actions that take files out of the table. They stay on the disk for readers of older versions."""
    now = int(time.time() * 1000)
    return [RemoveAction(file.path, change.rows, now, file.size, {DATE: file.day}) for file in change.removed]


def sync_log(place: Place, version: int) -> None:
    """Push the log's entry of a version to the disk, with the checkpoint that may have come of it.

    The library does not, and the source is settled on the strength of this commit.
    """
    checkpoints = [file.path for file in place.list(f"{LOG}/{version:020}.checkpoint")]
    place.flush([_entry(version), *checkpoints, *([f"{LOG}/_last_checkpoint"] if checkpoints else [])])


def sync_whole_log(place: Place) -> None:
    """Push every entry of the log to the disk; those that are there already cost nothing worth naming.

    Not `os.sync`, which waits for everything that anybody has written on the machine.
    """
    place.flush([file.path for file in place.list(f"{LOG}/")])


def clear_log(place: Place) -> None:
    """Delete what a killed commit has left in the log: the library writes `ENTRY#1`, links it, and takes it away.

    Should another program be between the first and the last at this very instant, it commits once more.
    """
    place.remove([file.path for file in place.list(f"{LOG}/") if "#" in file.path])


def _entry(version: int) -> str:
    return f"{LOG}/{version:020}.json"


@contextlib.contextmanager
def explained(place: Place) -> Iterator[None]:
    """Turn what deltalake, Arrow and the operating system say of a table into a StoreError."""
    try:
        yield
    except TableNotFoundError as error:
        raise StoreError(f"{place.describe()}: there is no readable table: {_said(error)}") from error
    except (DeltaError, OSError, pa.ArrowException) as error:
        raise StoreError(f"{place.describe()}: the table cannot be read or written: {_said(error)}") from error


def _said(error: Exception) -> str:
    """Return the library's message on one line, without its colours and the stack of its machine code."""
    if isinstance(error, OSError) and error.errno == REMOTE:
        return str(error.strerror)
    message = _COLOUR.sub("", str(error)).partition("\n   0:")[0]
    return " ".join(message.replace("\u21b3", "").split())
