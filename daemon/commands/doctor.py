"""`blobdrop doctor`: tries all that the daemon needs; one line each, with what to do where something is wrong."""

from __future__ import annotations

import functools
import importlib
import os
import shutil
import sys
import tempfile
import uuid
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, Literal

from daemon import app, logs, wiring
from daemon.commands.showing import Column, print_json, print_table
from daemon.config import Configuration, load
from daemon.contracts import describe
from daemon.errors import BlobdropError, ConfigError, SetupError
from daemon.feeds import Feeds
from daemon.ledger import Ledger
from daemon.ledger.backup import damage
from daemon.ledger.opening import file_of
from daemon.model import After
from daemon.places import Place
from daemon.sources import Source
from daemon.stores import Store
from validators.sentences import printable

Grade = Literal["fine", "warning", "wrong"]
CLEAR: Final = "name a variable or a credential by secret_from instead; whoever reads the file may sign messages"
#: Free bytes of a disk below which little else can go on.
LITTLE_DISK: Final = 1024**3
#: Seconds by which the container's clock may differ: a signature is good from its start on by that clock, and keys only
#: within 15 minutes (Authorize with Shared Key, Date header).
SKEW_SECONDS: Final = 60.0
#: What a right is for; without the others no drop can be taken.
UNTAKEN: Final = "drops cannot be taken before that is mended"
STAYS: Final = 'drops are taken, but stay where they are: give it that right, or set source.after = "keep"'
UNTOLD: Final = f"customers get no receipts, and {STAYS}"
REMEDIES: Final = MappingProxyType({"write": UNTOLD, "delete": STAYS})
RESTORE: Final = "stop the daemon, then restore a backup, or: blobdrop ledger rebuild"


@dataclass(frozen=True)
class Finding:
    """What one check has found."""

    check: str
    grade: Grade
    says: str
    #: What to do; empty where all is well.
    remedy: str = ""


def doctor(config: Path | None, *, json: bool) -> int:
    """Check everything and print what was found. 0 when the daemon can do its work, 2 for settings, else 3."""
    logs.configure("text", "error", sys.stderr)
    findings = list(_findings(config))
    if json:
        healthy = all(one.grade != "wrong" for one in findings)
        print_json({"healthy": healthy, "checks": [_json(one) for one in findings]})
    else:
        columns = [Column(), Column(), Column()]
        print_table(columns, [[one.grade, one.check, _line(one)] for one in findings])
    wrong = [one.check for one in findings if one.grade == "wrong"]
    return (2 if {"settings", "contracts"} & set(wrong) else 3) if wrong else 0


def _json(one: Finding) -> dict[str, Any]:
    return {key: printable(value) for key, value in asdict(one).items()}


def _line(one: Finding) -> str:
    return printable(f"{one.says}; {one.remedy}" if one.remedy else one.says)


def _findings(config: Path | None) -> Iterator[Finding]:
    try:
        configuration = load(config, os.environ)
        source = wiring.source_of(configuration.settings, os.environ)
        Feeds(configuration.feeds())
        wiring.store_of(configuration.settings, "")
        wiring.quarantine_of(configuration.settings)
    except SetupError as error:
        yield Finding("settings", "wrong", str(error), "see: blobdrop config")
        return
    yield Finding("settings", "fine", f"read from {configuration.file or 'nothing; built in'}")
    yield from _contracts(configuration)
    yield from _receivers(configuration)
    yield from _source(source, configuration)
    yield from _disks(configuration)
    yield from _ledger(configuration)
    yield from _tables(configuration)


def _contracts(configuration: Configuration) -> Iterator[Finding]:
    names = []
    for feed in configuration.feeds():
        try:
            describe(feed)
            names.append(feed.name)
        except BlobdropError as error:
            yield Finding("contracts", "wrong", f"feed {feed.name!r}: {error}", "mend the contract")
    if names:
        yield Finding("contracts", "fine", f"loaded for {', '.join(names)}")


def _receivers(configuration: Configuration) -> Iterator[Finding]:
    """Look whether all is there that messages need; send none."""
    wanted = configuration.settings.notify
    for one in wanted:
        try:
            importlib.import_module("daemon.notifying.receivers").way(one, os.environ)
            by = f"the command {one.command[0]}" if one.command else "a webhook"
            yield Finding(f"notify: {one.name}", "fine", f"tells {', '.join(one.on)} by {by}")
            if one.secret:
                yield Finding(f"notify: {one.name}", "warning", "secret stands in the configuration in clear", CLEAR)
        except ConfigError as error:
            yield Finding("settings", "wrong", str(error), "systemd gives the service its own credentials, and not you")


def _source(source: Source, configuration: Configuration) -> Iterator[Finding]:
    """Try the source's rights on an object of our own; without the first of them there is no sense in the others."""
    optional = () if configuration.settings.source.after is not After.KEEP else ("write", "delete")
    for tried in source.probe():
        check = f"source: {tried.what}"
        if tried.error is None:
            yield Finding(check, "fine", tried.says)
        elif tried.what in optional:
            yield Finding(check, "warning", str(tried.error), 'not needed with after = "keep", except for receipts')
        else:
            yield Finding(check, "wrong", str(tried.error), REMEDIES.get(tried.what, UNTAKEN))
        if tried.what == "list" and tried.error is None and configuration.settings.source.is_container:
            yield _clock(tried.skew_seconds)


def _clock(skew_seconds: float) -> Finding:
    says = f"the container's clock is ahead of this machine's by {skew_seconds:,.0f} s"
    if abs(skew_seconds) > SKEW_SECONDS:
        return Finding("clock", "warning", says, "set this machine's clock, for example with: timedatectl set-ntp true")
    return Finding("clock", "fine", says)


def _disks(configuration: Configuration) -> Iterator[Finding]:
    settings = configuration.settings
    folders = {"ledger": file_of(settings.ledger.url).parent, "temporary files": Path(tempfile.gettempdir())}
    for name, url, field in (
        ("tables", settings.store.url, "store.url"),
        ("quarantine", settings.quarantine.url, "quarantine.url"),
    ):
        place = wiring.place_of(url, field, settings)
        if place.is_local:
            folders[name] = Path(place.url)
        else:
            yield from _remote(name, place)
    for name, folder in folders.items():
        there = next(each for each in (folder, *folder.parents) if each.exists())
        free = shutil.disk_usage(there).free
        says = f"{free / 1024**3:,.1f} GB are free at {there}"
        if not os.access(there, os.W_OK | os.X_OK):
            yield Finding(f"disk: {name}", "wrong", f"{there} cannot be written", "give it to the daemon's user")
        elif free < LITTLE_DISK:
            yield Finding(f"disk: {name}", "warning", says, "make room there")
        else:
            yield Finding(f"disk: {name}", "fine", says)


def _remote(name: str, place: Place) -> Iterator[Finding]:
    """Try what the daemon does to a place in a container, on a blob of our own."""
    probe = f"_blobdrop/probe-{uuid.uuid4().hex}"

    def write() -> None:
        place.prepare()
        place.draft(probe).write_bytes(b"probe")
        place.keep(probe)

    steps: tuple[tuple[str, Callable[[], object]], ...] = (
        ("write", write),
        ("list", lambda: list(place.list("_blobdrop/"))),
        ("read", lambda: place.read(probe)),
        ("delete", lambda: place.remove([probe])),
    )
    for what, attempt in steps:
        try:
            attempt()
        except OSError as error:
            yield Finding(f"{name}: {what}", "wrong", str(error.strerror), "nothing can be kept before that is mended")
            return
        yield Finding(f"{name}: {what}", "fine", place.describe())


def _ledger(configuration: Configuration) -> Iterator[Finding]:
    path = file_of(configuration.settings.ledger.url)

    def look() -> Finding:
        if path.exists() and (found := damage(path)):
            return Finding("ledger", "wrong", f"{path} is damaged: {found}", RESTORE)
        ledger = app.open_for_reading(configuration.settings)
        if ledger is None:
            return Finding("ledger", "fine", f"none yet; the daemon makes {path}")
        with ledger:
            drops = sum(sum(states.values()) for states in ledger.counts().values())
            holder = ledger.holder()
        runs = f"process {holder.pid} runs the daemon" if holder else "no daemon runs"
        return Finding("ledger", "fine", f"{path} knows {drops:,} drops; {runs}")

    yield _guarded("ledger", look, RESTORE)


def _tables(configuration: Configuration) -> Iterator[Finding]:
    """Hold each table against the ledger, which must know all that is in it."""
    try:
        ledger = app.open_for_reading(configuration.settings)
    except BlobdropError:
        return  # said already
    if ledger is None:
        return
    with ledger:
        store = wiring.store_of(configuration.settings, ledger.identity)
        for feed in configuration.feeds():
            yield _guarded(f"table: {feed.name}", functools.partial(_table, store, ledger, feed.name), RESTORE)


def _table(store: Store, ledger: Ledger, name: str) -> Finding:
    check = f"table: {name}"
    if not store.exists(name):
        return Finding(check, "fine", "none yet")
    app.compare(ledger, store, [name])
    held, known = store.last_batch(name), ledger.last_committed(name)
    if held < known:
        says = f"rows are missing: it has batch {held}, and the ledger knows of {known}"
        return Finding(check, "warning", says, "restore the table, or see: blobdrop ledger rebuild")
    return Finding(check, "fine", f"{store.describe(name)} is at batch {held}")


def _guarded(check: str, look: Callable[[], Finding], remedy: str) -> Finding:
    try:
        return look()
    except ConfigError as error:
        return Finding("settings", "wrong", str(error))
    except BlobdropError as error:
        return Finding(check, "wrong", str(error), remedy)
