"""Keeps rejected rows and their reports in entries, one for each drop, and lists them. Never judges.

`CUSTOMER/FEED/DROP/` holds rejected.csv, report.json, report.html, and for a rejected file the original: in a folder or
in a container, which a cabinet makes no difference. What stands for an entry elsewhere is where it is, in words.

Power cuts: a published entry survives a killed process. Before the ledger says that a drop is done, one `flush` over a
batch's entries brings all of them to the disk: thousands of small entries cost one pass, not thousands.
"""

from __future__ import annotations

import difflib
import json
import math
import re
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from daemon.cabinets import Cabinet, Kept
from daemon.errors import DecisionError, NotFoundError, WorkError
from daemon.feeds import folder_name
from daemon.quarantine.entries import PAGE, REPORT, Entry, coming, disk, rewrite
from daemon.reports import Report, parsed
from validators.sentences import printable

#: Ids that an error suggests.
SUGGESTIONS = 3

_COMING = re.compile(r"\..+\.next")


@dataclass(frozen=True, kw_only=True)
class Listed:
    """One entry as a list shows it."""

    #: The drop's id, as the entry is named.
    drop: str
    #: Where it is.
    folder: str
    #: None when it cannot be read.
    report: Report | None
    #: Why the report cannot be read; empty when it can.
    damaged: str = ""


class Quarantine:
    """All entries of one cabinet. Picklable: workers open entries too."""

    def __init__(self, cabinet: Cabinet) -> None:
        """Look at nothing yet."""
        self._cabinet = cabinet

    def describe(self) -> str:
        """Say where the quarantine is, for people."""
        return self._cabinet.describe()

    def prepare(self) -> None:
        """Make the quarantine ready when the daemon starts.

        Raises:
            WorkError: it cannot be used.
        """
        with self._disk():
            self._cabinet.prepare()

    def stop(self) -> None:
        """Have whatever waits for the quarantine give up soon. From any thread, or a signal's handler."""
        self._cabinet.stop()

    # ---------------------------------------------------------------- ONE ENTRY

    def open(self, customer: str, feed: str, drop_id: str, *, pending: bool = False) -> Entry:
        """Start the drop's entry anew; nothing shows until it is published.

        With `pending` it is published as one that waits beside the drop's entry until `promote` puts it there.

        Raises:
            WorkError: it cannot be written.
        """
        key = _key(customer, feed, drop_id)
        return Entry(self._cabinet, coming(key) if pending else key)

    def folder(self, customer: str, feed: str, drop_id: str) -> str:
        """Return where the drop's entry is, or would be."""
        return self._cabinet.describe(_key(customer, feed, drop_id))

    def has(self, folder: str) -> bool:
        """Tell whether there is an entry.

        Raises:
            WorkError: it cannot be told.
        """
        with self._disk():
            return self._cabinet.has(self._cabinet.key(folder))

    def report(self, folder: str) -> Report:
        """Return an entry's report.

        Raises:
            NotFoundError: there is none.
            WorkError: it cannot be read, or is damaged.
        """
        key = self._cabinet.key(folder)
        return _report(lambda: self._cabinet.read(key, REPORT), folder)

    def page(self, folder: str) -> bytes:
        """Return an entry's report as a page.

        Raises:
            WorkError: it cannot be read, or is not there.
        """
        with self._disk():
            return self._cabinet.read(self._cabinet.key(folder), PAGE)

    @contextmanager
    def near(self, folder: str) -> Iterator[Path]:
        """Give a folder of this machine with an entry's files; what goes wrong with them is said of the entry.

        Raises:
            WorkError: they cannot be had.
        """
        with self._disk(), self._cabinet.near(self._cabinet.key(folder)) as here:
            try:
                yield here
            except (DecisionError, WorkError) as error:
                if str(here) == folder:
                    raise
                raise type(error)(str(error).replace(str(here), folder)) from error

    def supersede(self, folder: str, later: str) -> None:
        """Have an entry's report say that the drop `later` has taken its drop's place. Repeating it changes nothing.

        An entry that is gone, or cannot be read, is left as it is: the ledger knows.

        Raises:
            WorkError: the quarantine cannot be written.
        """
        report = self._listed(self._cabinet.key(folder)).report
        if report is not None and report.superseded_by != later:
            rewrite(self._cabinet, self._cabinet.key(folder), replace(report, superseded_by=later))

    def promote(self, folder: str) -> None:
        """Put the entry that waits for the place of another into it. Where none waits it is there already.

        Raises:
            WorkError: it cannot be put there.
        """
        key = self._cabinet.key(folder)
        with self._disk():
            self._cabinet.move(coming(key), key)

    def give_up(self, folder: str) -> None:
        """Delete the entry that waits for the place of another.

        Raises:
            WorkError: it cannot be deleted.
        """
        with self._disk():
            self._cabinet.remove([coming(self._cabinet.key(folder))])

    def remove(self, customer: str, feed: str, drop_id: str) -> None:
        """Delete the drop's entry, published or not. One that is not there is fine.

        Raises:
            WorkError: it cannot be deleted.
        """
        self.remove_all([(customer, feed, drop_id)])

    # ---------------------------------------------------------------- SEVERAL

    def remove_all(self, drops: Iterable[tuple[str, str, str]]) -> None:
        """Delete the entries of drops (customer, feed, id), published or not.

        Raises:
            WorkError: one cannot be deleted.
        """
        keys = [_key(*drop) for drop in drops]
        if keys:
            with self._disk():
                self._cabinet.remove([*keys, *map(coming, keys)])

    def flush(self, folders: Iterable[str], *, pending: bool = False) -> None:
        """Bring published entries to the disk, so that they survive a power cut.

        Call it once for a batch, before the ledger says that its drops are done.

        Raises:
            WorkError: the disk failed; nothing may be believed to be kept.
        """
        keys = [self._cabinet.key(folder) for folder in folders]
        with self._disk():
            self._cabinet.flush([coming(key) if pending else key for key in keys])

    def list(
        self, *, customer: str | None = None, feed: str | None = None, limit: int | None = None
    ) -> tuple[Listed, ...]:
        """Return the entries, the newest first. One that cannot be read is listed too, with the reason.

        Args:
            customer: only this one's; None for all.
            feed: only this one's; None for all.
            limit: only so many of the newest; the reports of the others are not even read.

        Raises:
            WorkError: the quarantine cannot be looked into.
        """
        found = sorted(self._kept(customer, feed), key=lambda one: one.at, reverse=True)
        listed = [self._listed(one.key) for one in found[:limit]]
        return tuple(sorted(listed, key=lambda one: one.report.finished_at if one.report else 0.0, reverse=True))

    def count(self) -> int:
        """Return how many entries there are, without reading their reports; raises WorkError as `list` does."""
        return len(self._kept())

    def find(self, drop: str) -> str:
        """Return where the entry with this drop id is, or the only one whose id begins so.

        Raises:
            NotFoundError: there is none, or more than one; the message names those that were probably meant.
            WorkError: the quarantine cannot be looked into.
        """
        folders = {one.name: self._cabinet.describe(one.key) for one in self._kept()}
        wanted = folder_name(drop.strip())
        fitting = [wanted] if wanted in folders else sorted(name for name in folders if name.startswith(wanted))
        if len(fitting) == 1 and drop.strip():
            return folders[fitting[0]]
        raise NotFoundError(_not_found(drop, fitting, list(folders)))

    # ---------------------------------------------------------------- CLEARING AWAY

    def sweep(self) -> None:
        """Clear away what killed workers have left. Only while no worker is at work: at the daemon's start.

        Raises:
            WorkError: something cannot be cleared away.
        """
        with self._disk():
            self._cabinet.sweep()

    def sweep_pending(self) -> None:
        """Delete the entries that wait for a batch which was not committed. Only while no batch is open.

        Raises:
            WorkError: one cannot be deleted.
        """
        with self._disk():
            self._cabinet.remove([one.key for one in self._cabinet.list() if _COMING.fullmatch(one.name)])

    def promote_where(self, is_committed: Callable[[Report], bool]) -> None:
        """Put the entries that wait for a batch in their places, where that was committed. Only while no batch is open.

        Raises:
            WorkError: one cannot be read or put there.
        """
        with self._disk():
            waiting = [one.key for one in self._cabinet.list() if _COMING.fullmatch(one.name) and one.whole]
        for key in waiting:
            if is_committed(self.report(self._cabinet.describe(key))):
                self.promote(self._cabinet.describe(_coming_to(key)))

    def finished(self, before: float) -> Iterator[Listed | None]:
        """Yield the entries whose drops ended before then, unix seconds; None for each of the others.

        Raises:
            WorkError: the quarantine cannot be looked into.
        """
        for one in self._kept():
            listed = self._listed(one.key)
            ended = listed.report.finished_at if listed.report else one.at or math.inf  # damaged: as old as it looks
            yield listed if ended < before else None

    def left_behind(self, before: float) -> Iterator[None]:
        """Delete, one at each step, entries that a killed worker has not finished before then.

        Raises:
            WorkError: one cannot be deleted.
        """
        with self._disk():
            yield from self._cabinet.clear(before)

    def let_go(self, entry: Listed) -> None:
        """Delete an entry for good; raises WorkError as `remove` does."""
        with self._disk():
            self._cabinet.remove([self._cabinet.key(entry.folder)])

    def _kept(self, customer: str | None = None, feed: str | None = None) -> Collection[Kept]:
        names = (None if name is None else folder_name(name) for name in (customer, feed))
        with self._disk():
            return [one for one in self._cabinet.list(*names) if one.whole and not one.name.startswith(".")]

    def _listed(self, key: str) -> Listed:
        folder, name = self._cabinet.describe(key), key.rpartition("/")[2]
        try:
            return Listed(drop=name, folder=folder, report=self.report(folder))
        except (NotFoundError, WorkError) as error:
            return Listed(drop=name, folder=folder, report=None, damaged=str(error))

    @contextmanager
    def _disk(self) -> Iterator[None]:
        with disk(self._cabinet.describe()):
            yield


def read_report(folder: Path) -> Report:
    """Return the report in an entry's folder on this machine.

    Raises:
        NotFoundError: there is no report in the folder.
        WorkError: it cannot be read, or is damaged.
    """
    return _report((folder / REPORT).read_bytes, str(folder))


def _report(read: Callable[[], bytes], folder: str) -> Report:
    path = f"{folder}/{REPORT}"
    try:
        return parsed(json.loads(read()))
    except FileNotFoundError as error:
        raise NotFoundError(f"There is no {REPORT} in {folder}.") from error
    except OSError as error:
        raise WorkError(f"Cannot read {path}: {error.strerror or error}.") from error
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        drop = folder.rpartition("/")[2]
        raise WorkError(
            f"{path} is damaged ({type(error).__name__}: {error}). `blobdrop retry {drop}` makes it anew."
        ) from error


def _key(customer: str, feed: str, drop_id: str) -> str:
    return "/".join(map(folder_name, (customer, feed, drop_id)))


def _coming_to(key: str) -> str:
    """Return the key in whose place an entry waits to be."""
    above, _, name = key.rpartition("/")
    return f"{above}/{name.removeprefix('.').removesuffix('.next')}"


def _not_found(drop: str, fitting: list[str], known: list[str]) -> str:
    if fitting:
        some = ", ".join(fitting[:SUGGESTIONS]) + (", ..." if len(fitting) > SUGGESTIONS else "")
        return f"{len(fitting)} drops in quarantine begin with '{printable(drop)}': {some}. Give more of the id."
    near = difflib.get_close_matches(drop, known, n=SUGGESTIONS)
    hint = f" Did you mean {' or '.join(near)}?" if near else ""
    return f"There is no drop '{printable(drop)}' in quarantine.{hint} `blobdrop quarantine list` shows what there is."
