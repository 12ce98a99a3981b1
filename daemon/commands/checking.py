"""`blobdrop check`: judge one file as the daemon would, by the same code, and change nothing."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, redirect_stdout
from dataclasses import replace
from pathlib import Path
from typing import Final, TextIO

import pyarrow as pa
from rich.console import Console
from rich.live import Live
from rich.spinner import Spinner
from rich.text import Text

from daemon import logs, wiring
from daemon.commands.showing import note, print_json
from daemon.config import Configuration, load
from daemon.contracts import contract_of, policy_of
from daemon.digesting import digest
from daemon.errors import ContractError, FileProblem, NotFoundError, WorkError
from daemon.feeds import DEFAULT_CUSTOMER, Feeds, no_such_feed
from daemon.landing import subject_of
from daemon.model import Drop, Feed, Found
from daemon.reports import Report, judged_state, report, terminal
from daemon.sources.folder import FolderSource
from daemon.sources.moving import ARCHIVE, version_of
from daemon.sources.names import left_out_path
from validators.contract import Contract
from validators.files import Nowhere, Part, judge, refused
from validators.judging import Judged
from validators.model import Limits, Verdict
from validators.readers import open_file
from validators.sentences import printable

#: What judges signals, as if they were a feed's files.
SIGNALS: Final = Feed(
    name="signals", paths=("signals/**",), contract="validators.signals:finished_dates", max_rejected_ratio=0.0
)
#: How often a second the progress line is drawn anew.
FRAMES: Final = 8


def check(file: Path, *, feed: str | None, customer: str | None, json: bool, config: Path | None) -> int:
    """Judge a file and print its report: 0 when every row would go into the table, else 1."""
    configuration = load(config, os.environ)
    logs.configure("text", "warning", sys.stderr)
    _must_be_file(file)
    drop, owner = _placed(file, configuration, feed, customer)
    made = _report(file, drop, owner, configuration.settings.limits.limits())
    if json:
        print_json(made.to_json())
    else:
        terminal.show(made, Console(), checked_only=True)
    return 1 if made.problems or made.rejected_because else 0


def _must_be_file(file: Path) -> None:
    try:
        if file.is_file():
            return
        what = "this is a folder; name one file in it" if file.is_dir() else "this is not a file"
        raise NotFoundError(f"{printable(str(file))}: {what if file.exists() else 'there is no such file'}")
    except OSError as error:
        raise WorkError(f"{printable(str(file))}: {error.strerror}; give this user the right to read it") from error


# -------------------------------------------------------------------- WHOSE FILE IT IS


def _placed(file: Path, configuration: Configuration, feed: str | None, customer: str | None) -> tuple[Drop, Feed]:
    """Return the file as a drop, as if it had been found, and the feed that judges it."""
    feeds = {each.name: each for each in configuration.feeds()}
    path = Path(os.path.abspath(file))  # noqa: PTH100 - keeps symlinks, as the source does
    below = _below(path, configuration)
    # An archived file is judged under the name that it was dropped with.
    name = below.removeprefix(f"{ARCHIVE}/")
    is_signal = bool(name) and feed is None and Feeds(tuple(feeds.values())).is_signal(name)
    matched = (SIGNALS, DEFAULT_CUSTOMER, name) if is_signal else _matched(name, path, feeds, only=feed)
    owner, found_customer, found_name = matched or (_only(feeds, feed, file), DEFAULT_CUSTOMER, path.name)
    if name and name == below and not is_signal:
        _note_untaken(name, tuple(feeds.values()))
    found = _found(path, name or found_name)
    drop = Drop(id=found.drop_id, found=found, feed=owner.name, customer=customer or found_customer)
    return drop, owner


def _below(path: Path, configuration: Configuration) -> str:
    """Return the file's path below the drop folder; empty for one elsewhere, or where drops are in a container."""
    settings = configuration.settings
    if settings.source.is_container:
        return ""
    root = wiring.folder(settings.source.url, "source.url")
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else ""


def _note_untaken(name: str, feeds: Sequence[Feed]) -> None:
    """Say so where the daemon would never come to judge a file of the drop folder."""
    why = ""
    if left_out_path(name):
        why = "names like this one are taken for temporary files"
    elif Feeds(feeds).match(name) is None:
        why = "no feed has a pattern for its name"
    if why:
        note(f"blobdrop: note: the daemon will leave {name} where it is: {why}")


def _matched(name: str, path: Path, feeds: Mapping[str, Feed], *, only: str | None) -> tuple[Feed, str, str] | None:
    """Return feed, customer and name by the patterns; None where none fits.

    By its path below the drop folder if it is there and a feed takes it; else by the last parts of its path, as if it
    lay in a drop folder somewhere above: the feed that stands first in the configuration, the shortest path.
    """
    wanted = [feed for feed in feeds.values() if only in (None, feed.name)]
    names = ([name] if name else []) + ["/".join(path.parts[-count:]) for count in range(1, len(path.parts))]
    if name and (match := Feeds(wanted).match(name)):
        return (*match, name)
    for feed in wanted:
        patterns = Feeds([feed])
        for tail in names:
            if match := patterns.match(tail):
                return (*match, tail)
    return None


def _only(feeds: Mapping[str, Feed], feed: str | None, file: Path) -> Feed:
    """Return the feed that was asked for, or the only one there is.

    Raises:
        NotFoundError: there is no such feed, or none was named and there are several.
    """
    names = ", ".join(feeds)
    if feed is not None:
        if feed in feeds:
            return feeds[feed]
        raise no_such_feed(feed, tuple(feeds))
    if len(feeds) == 1:
        return next(iter(feeds.values()))
    raise NotFoundError(f"{printable(str(file))}: no feed's pattern fits this path; name the feed with --feed: {names}")


def _found(path: Path, name: str) -> Found:
    """Return the file as a listing of its folder would show it, so that its report has the daemon's very ids."""
    status = path.stat()
    return Found(
        uri=path.as_uri(),
        name=name,
        version=version_of(status),
        size=status.st_size,
        modified=max(status.st_mtime, status.st_ctime),
    )


# -------------------------------------------------------------------- ITS VERDICT


def _report(file: Path, drop: Drop, feed: Feed, limits: Limits) -> Report:
    started = time.time()
    contract = _contract(feed)
    source = FolderSource(file.parent, settle_seconds=0.0)
    with _progress(sys.stderr) as sink, source.fetch(replace(drop.found, name=file.name)) as path:
        sha256 = digest(path)
        verdict = _verdict(path, feed, contract, limits, sink)
    return report(subject_of(drop, sha256), verdict, judged_state(verdict), started_at=started, finished_at=time.time())


def _contract(feed: Feed) -> Contract:
    try:
        # Whatever a contract's file prints when it is loaded is no part of our answer.
        with redirect_stdout(sys.stderr):
            return contract_of(feed)
    except ContractError as error:
        raise ContractError(f"feed {feed.name!r}: {error}") from error


def _verdict(path: Path, feed: Feed, contract: Contract, limits: Limits, sink: _Counting) -> Verdict:
    try:
        reader = open_file(path, name=path.name, dialect=feed.dialect, limits=limits)
    except FileProblem as problem:
        return refused(problem, contract, policy_of(feed))
    with closing(reader):
        return judge(reader, contract, policy_of(feed), limits, sink)


class _Counting(Nowhere):
    """A sink that counts what it is given, and is the progress line that shows it."""

    def __init__(self) -> None:
        self._rows = self._rejected = 0
        self._again = False
        self._began = time.monotonic()
        self._spinner = Spinner("dots")

    def batch(self, part: Part, judged: Judged, problems: pa.Array) -> None:  # noqa: ARG002 - as the sink has it
        """Count the batch."""
        self._rows += part.chunk.read
        self._rejected += len(problems) + len(part.chunk.malformed)

    def restart(self) -> None:
        """Start again from nothing."""
        self._rows = self._rejected = 0
        self._again = True

    def __rich__(self) -> Spinner:
        """Return the line as it is now."""
        again = "  (read again: a rule looks at the file as a whole)" if self._again else ""
        seconds = time.monotonic() - self._began
        self._spinner.update(
            text=Text(f"{self._rows:,} rows, {self._rejected:,} with problems  {seconds:.1f} s{again}")
        )
        return self._spinner


@contextmanager
def _progress(stream: TextIO) -> Iterator[_Counting]:
    """Yield a sink that shows on a terminal how far it is."""
    sink = _Counting()
    if not stream.isatty():
        yield sink
        return
    with Live(sink, console=Console(file=stream), refresh_per_second=FRAMES, transient=True):
        yield sink
