"""A stand-in for a frame that notes which columns a check reads, so that a rule is judged over what it speaks of.

It gives the columns that the check is known to read, and stops the check as soon as it reaches for anything else. The
caller then starts it again with more columns, in the end with a plain frame. So nothing is ever guessed: a check has
either seen exactly what it asked for, or it has not been judged.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable
from typing import Any

import pandas as pd


class Unread(Exception):  # noqa: N818 - it is a signal to the caller, not an error
    """The check reads more than it was given.

    Attributes:
        names: the columns that it needs too; empty when it needs the whole frame.
    """

    def __init__(self, *names: str) -> None:
        """Keep what it reached for."""
        super().__init__(*names)
        self.names = frozenset(names)


class UndeclaredError(KeyError):
    """The check reads a column that the contract does not declare: its first argument."""


class _Guard:
    """What may be read: columns that are there, columns that exist but are not there yet."""

    def __init__(self, given: Collection[str], known: Collection[str]) -> None:
        self.given = given
        self.known = known

    def name(self, key: Hashable) -> bool:
        """Tell whether `key` is a column that may be read; stop the check when it exists but is not there."""
        if not isinstance(key, str) or key not in self.known:
            return False
        if key not in self.given:
            raise Unread(key)
        return True

    def names(self, keys: Any) -> bool:
        """Tell whether `keys` is a column, or a list of columns, that may be read."""
        if isinstance(keys, list):
            missing = [key for key in keys if isinstance(key, str) and key in self.known and key not in self.given]
            if missing:
                raise Unread(*missing)
            return bool(keys) and all(self.name(key) for key in keys)
        return self.name(keys)


class _Watched:
    """What stand-ins share: everything that is not a plain reading of columns needs the real thing."""

    def __init__(self, real: Any, guard: _Guard) -> None:
        self._real = real
        self._guard = guard

    def __getattr__(self, name: str) -> Any:
        """Read a column as an attribute; any other attribute may look at all columns."""
        if name.startswith("_") or hasattr(type(self._real), name) or not self._guard.name(name):
            raise Unread
        return self._real[name]

    def __contains__(self, key: object) -> bool:
        return key in self._guard.known

    def _refuse(self, *_: Any, **__: Any) -> Any:
        raise Unread

    # Python would answer some of these by itself, and wrongly; all the other operators it refuses, which is as good.
    __eq__ = __ne__ = __lt__ = __le__ = __gt__ = __ge__ = __bool__ = __iter__ = __array__ = _refuse
    __hash__ = None  # type: ignore[assignment]


class WatchedRow(_Watched):
    """A row, as checks that look at one row at a time see it."""

    @property  # type: ignore[misc]
    def __class__(self) -> type:
        return pd.Series

    def __getitem__(self, key: Any) -> Any:
        if self._guard.names(key):
            return self._real[key]
        if isinstance(key, str):
            raise UndeclaredError(key)
        raise Unread

    def get(self, key: Any, default: Any = None) -> Any:
        """Return a cell, or `default` where the row has no such column."""
        return self._real[key] if self._guard.name(key) else default


class WatchedFrame(_Watched):
    """A frame, as checks on frames see it."""

    @property  # type: ignore[misc]
    def __class__(self) -> type:
        return pd.DataFrame

    def __getitem__(self, key: Any) -> Any:
        if self._guard.names(key):
            return self._real[key]
        if isinstance(key, str):
            raise UndeclaredError(key)
        if isinstance(key, slice) or getattr(getattr(key, "dtype", None), "kind", "") == "b":
            return WatchedFrame(self._real[key], self._guard)
        raise Unread

    def __len__(self) -> int:
        return len(self._real)

    @property
    def index(self) -> pd.Index:
        """The rows' positions in the file or batch."""
        return self._real.index  # type: ignore[no-any-return]

    @property
    def empty(self) -> bool:
        """Whether there are no rows."""
        return len(self._real) == 0

    @property
    def shape(self) -> tuple[int, int]:
        """Rows, and columns of the whole frame."""
        return len(self._real), len(self._guard.known)

    @property
    def loc(self) -> Any:
        """Rows and columns by label."""
        return _WatchedLabels(self._real, self._guard)

    def get(self, key: Any, default: Any = None) -> Any:
        """Return a column, or `default` where the frame has no such column."""
        return self._real[key] if self._guard.name(key) else default

    def groupby(self, by: Any = None, **options: Any) -> Any:
        """Group by columns; what is then read of the groups is watched too."""
        if not self._guard.names(by):
            raise Unread
        return _WatchedGroups(self._real.groupby(by, **options), self._guard)

    def duplicated(self, subset: Any = None, keep: Any = "first") -> Any:
        """Tell which rows share their values in some columns with another."""
        names = list(subset) if isinstance(subset, tuple | set) else subset
        if not self._guard.names(names):
            raise Unread
        return self._real.duplicated(subset, keep=keep)

    def apply(self, function: Callable[..., Any], axis: Any = 0, **options: Any) -> Any:
        """Call a function for each row, and watch what it reads of the row."""
        if axis not in (1, "columns"):
            raise Unread
        if self.empty or self._real.columns.empty:
            # pandas would not call the function for rows without columns, nor learn anything from no rows at all.
            row = WatchedRow(pd.Series(dtype=object), self._guard)
            return pd.Series([function(row) for _ in self.index], index=self.index, dtype=bool)
        return self._real.apply(
            lambda row, *args, **more: function(WatchedRow(row, self._guard), *args, **more), axis=1, **options
        )


class _WatchedLabels(_Watched):
    """What `.loc` of a watched frame gives."""

    def __getitem__(self, key: Any) -> Any:
        rows, columns = key if isinstance(key, tuple) and len(key) == 2 else (key, None)  # noqa: PLR2004 - rows and columns
        if columns is None:
            found = self._real.loc[rows]
            return (
                WatchedFrame(found, self._guard) if isinstance(found, pd.DataFrame) else WatchedRow(found, self._guard)
            )
        if not self._guard.names(columns):
            raise Unread
        return self._real.loc[rows, columns]


class _WatchedGroups(_Watched):
    """What `.groupby` of a watched frame gives."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") or not self._guard.name(name):
            raise Unread
        return self._real[name]

    def __getitem__(self, key: Any) -> Any:
        if not self._guard.names(key):
            raise Unread
        return self._real[key]


def watched(frame: pd.DataFrame, known: Collection[str]) -> WatchedFrame:
    """Return a stand-in that gives the frame's columns, and knows of the others in `known`."""
    return WatchedFrame(frame, _Guard(frozenset(frame.columns), frozenset(known)))


def watched_row(row: pd.Series[Any], known: Collection[str]) -> WatchedRow:
    """Return a stand-in for a row that gives its cells, and knows of the others in `known`."""
    return WatchedRow(row, _Guard(frozenset(row.index), frozenset(known)))
