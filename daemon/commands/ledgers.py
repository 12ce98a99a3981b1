"""`blobdrop ledger`: a backup while the daemon runs; a new ledger from what is left when it is lost."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from daemon import app, wiring
from daemon.commands.looking import begun
from daemon.commands.showing import Column, note, plural, print_json, print_table, say
from daemon.config import Configuration, Settings
from daemon.errors import LedgerError, NotFoundError, WorkerError
from daemon.feeds import Feeds
from daemon.ledger import DropRow, Ledger
from daemon.ledger.backup import back_up, damage, drops_in
from daemon.ledger.database import RESTORE, Database
from daemon.ledger.hold import held
from daemon.ledger.opening import file_of, revision_of
from daemon.ledger.rebuilding import ClosedDay, Heard, put_in_place, write
from daemon.ledger.tables import HEAD
from daemon.markers import Standing
from daemon.model import Found, Held, State
from daemon.salvage import Salvage, salvage
from daemon.salvage.evidence import (
    closed_with_metrics,
    closed_without,
    gather,
    heard,
    identity_of,
    judged,
    newest_batches,
    tellers,
    watermarks,
)
from daemon.signals import Listed
from daemon.sources import Archiving
from daemon.sources.names import is_marker
from daemon.stores import Store

#: More rows than any ledger has: all of them.
EVERY = 2**31 - 1
#: Files that are named; further ones are only counted.
NAMED = 20
#: What it means where something could not be known.
UNLINKED = (
    "in the archive whose rows could not be told, as they were copied and not moved: dropped again they are "
    "duplicates, but a corrected file does not replace their rows"
)
UNWANTED = "in the archive that no feed wants; left out"
DAMAGED = "in quarantine whose report is damaged; left out"
UNHEARD = "in the archive that signal days and have moved no watermark"


@dataclass(frozen=True, kw_only=True)
class _Said:
    """What archived markers and signals say."""

    heard: tuple[Heard, ...]
    #: How many signals there are.
    signals: int
    #: The days that are closed, by what all of them say.
    closed: tuple[ClosedDay, ...]

    @property
    def unheard(self) -> tuple[Heard, ...]:
        """The signals that have no effect: they are not believed, or wait for days before theirs."""
        moot = (Standing.APPLIED, Standing.REPEATED, Standing.REGRESSED)
        return tuple(one for one in self.heard if one.reading.standing not in moot)


def backup(config: Path | None, *, file: Path, force: bool, json: bool) -> int:
    """Copy the ledger to a file, also while the daemon writes."""
    path = file_of(begun(config).settings.ledger.url)
    if not path.exists():
        raise LedgerError(f"there is no ledger at {path}, so there is nothing to back up. {RESTORE}")
    began = time.monotonic()
    size = back_up(path, file, force=force)
    drops = drops_in(file)
    if json:
        seconds = round(time.monotonic() - began, 3)
        print_json({"file": str(file.absolute()), "bytes": size, "drops": drops, "checked": True, "seconds": seconds})
    else:
        say(f"{file}: {plural(drops, 'drop')}, {plural(size, 'byte')}, checked and on the disk")
    return 0


def rebuild(config: Path | None, *, force: bool, json: bool) -> int:
    """Make a lost ledger anew from tables, quarantine, archive and the drop folder."""
    configuration = begun(config)
    path = file_of(configuration.settings.ledger.url)
    path.parent.mkdir(parents=True, exist_ok=True)
    with held(path, time.time()) as hold:
        rows = _old_rows(path, force=force)
        note("Reading tables, quarantine, and every file of the archive.")
        found, said, told = _rebuilt(configuration, path, rows, hold.crashed)
    if json:
        print_json(told)
    else:
        _print(found, said, told)
    return 0


def _old_rows(path: Path, *, force: bool) -> tuple[DropRow, ...]:
    """Return what an old ledger still knows; nothing where there is none, or where it is damaged.

    Raises:
        LedgerError: it is healthy, and `force` is not given.
    """
    if not path.exists() or damage(path):
        return ()
    with closing(Database(path)) as database:
        try:
            revision = revision_of(database)
        except LedgerError as error:
            if not force:
                raise LedgerError(f"{error}. It is not damaged: to put a new one in its place, use --force") from error
            return ()
    if revision is not None and not force:
        raise LedgerError(
            f"ledger {path} is healthy, so there is nothing to rebuild. If it is an old backup, or not that of these "
            "tables, use --force: the old one is moved aside, and what only it knows is taken over"
        )
    if revision != HEAD:
        return ()
    with Ledger.open_read(f"sqlite:///{path}") as ledger:
        return ledger.drops(limit=EVERY)


def _rebuilt(
    configuration: Configuration, path: Path, rows: tuple[DropRow, ...], crashed: tuple[str, ...]
) -> tuple[Salvage, _Said, dict[str, Any]]:
    settings = configuration.settings
    source = wiring.source_of(settings)
    is_there = settings.source.is_container or wiring.folder(settings.source.url, "source.url").exists()
    tables = wiring.store_of(settings, "").tables()
    store = wiring.store_of(settings, identity := identity_of(wiring.store_of(settings, ""), tables))
    quarantine = wiring.quarantine_of(settings)
    quarantine.sweep()
    evidence = gather(
        tables=tables,
        store=store,
        quarantine=quarantine,
        source=source,
        dropped=source.list() if is_there else (),
        feeds=Feeds(configuration.feeds()),
        rows=rows,
    )
    found = salvage(evidence)
    if not found.known:
        raise NotFoundError(
            f"there is nothing to rebuild {path} from: no table, no quarantine and no archive. If they are elsewhere, "
            "set store.url, quarantine.url and source.url; else just start the daemon: blobdrop run"
        )
    for table in tables:
        store.sweep(table, crashed)
    unfinished, now = path.with_name(f".{path.name}.rebuild"), time.time()
    said = _said(configuration, source, store, evidence.tables)
    write(
        unfinished,
        found.known,
        newest_batches(store, tables),
        closed=said.closed,
        heard=said.heard,
        identity=identity,
        now=now,
    )
    aside = put_in_place(unfinished, path, now)
    sources = {
        "tables": sum(map(len, evidence.tables.values())),
        "quarantine": len(evidence.entries) - len(found.damaged),
        "archive": sum(one.archived for one in evidence.objects),
        "drop_folder": sum(not one.archived for one in evidence.objects),
        "signals": said.signals,
        "old_ledger": len(rows),
    }
    return found, said, _told(found, said, path, aside, sources)


def _said(configuration: Configuration, source: Archiving, store: Store, tables: Mapping[str, Sequence[Held]]) -> _Said:
    """Return what archived markers and signals say, and what follows for days."""
    feeds = configuration.feeds()
    told = tellers(source, feeds)
    signals = [one.kept for one in told if not is_marker(one.found.name)]
    listed = dict(zip(signals, _listed(configuration.settings, source, signals), strict=True))
    closed = closed_with_metrics(store)
    said = judged(heard(source, told, listed, feeds), closed, feeds, tables)
    others = closed_without(store, watermarks(said, closed), feeds)
    return _Said(heard=said, closed=(*closed, *others), signals=len(signals))


def _listed(settings: Settings, source: Archiving, signals: Sequence[Found]) -> Iterator[Listed]:
    """Have signals read by workers, as the daemon does: what harmed one of them harms not us."""
    workers = app.workers_of(settings)
    try:
        for future in [workers.signal(one, source) for one in signals]:
            try:
                yield workers.result(future)
            except WorkerError as error:
                yield Listed(trouble=f"it cannot be read: {error}")
    finally:
        workers.stop()


def _told(found: Salvage, said: _Said, path: Path, aside: Path | None, sources: dict[str, int]) -> dict[str, Any]:
    states = Counter(one.outcome.state for one in found.known)
    return {
        "ledger": str(path),
        "old_ledger": str(aside) if aside else None,
        "found": sources,
        "drops": {state.value: states[state] for state in State if state.final},
        "superseded": sum(one.superseded_by is not None for one in found.known),
        "unknown": {
            "nameless": list(found.nameless),
            "unlinked": list(found.unlinked),
            "unwanted": list(found.unwanted),
            "damaged": list(found.damaged),
            "signals": [_unheard(one) for one in said.unheard],
        },
    }


def _unheard(one: Heard) -> dict[str, str]:
    said = one.reading
    feed, customer = one.scope
    return {"name": one.found.name, "feed": feed, "customer": customer, "verdict": said.standing, "note": said.note}


def _print(found: Salvage, said: _Said, told: dict[str, Any]) -> None:
    say(f"The ledger was rebuilt: {told['ledger']}")
    if told["old_ledger"]:
        say(f"The old one is kept as {told['old_ledger']}")
    say("", "What was found")
    names = {"tables": "drops with rows in tables", "quarantine": "entries of the quarantine"}
    names |= {"archive": "files in the archive", "drop_folder": "files in the drop folder"}
    names |= {"signals": "signals in the archive", "old_ledger": "drops that the old ledger knew"}
    print_table([Column(), Column(right=True)], [[names[key], count] for key, count in told["found"].items()])
    say("", "Drops that the ledger knows now")
    counts = [[state, count] for state, count in told["drops"].items() if count]
    print_table([Column(), Column(right=True)], [*counts, ["of these superseded", told["superseded"]]])
    say("", "What could not be known", *_unknown(found, said))


def _unknown(found: Salvage, said: _Said) -> list[str]:
    lines = ["  the events of each drop, its attempts, and decisions of people"]
    if found.nameless:
        lines.append(
            f"  names and bytes of {plural(len(found.nameless), 'drop')} with rows in tables, as no object is left: "
            "the same bytes dropped again are ingested, a corrected file does not replace their rows"
        )
    unheard = [f"{one.found.name} ({one.scope[1]}/{one.scope[0]}): {one.reading.note}" for one in said.unheard]
    several = ((found.unlinked, UNLINKED), (found.unwanted, UNWANTED), (found.damaged, DAMAGED), (unheard, UNHEARD))
    for names, what in several:
        if names:
            lines.append(f"  {len(names):,} {what}:")
            lines += [f"    {name}" for name in names[:NAMED]]
            lines += [f"    and {len(names) - NAMED:,} more"] if len(names) > NAMED else []
    return lines
