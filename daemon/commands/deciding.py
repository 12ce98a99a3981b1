"""`blobdrop quarantine release`, `waive` and `discard`: what a person decides is left in the ledger for the daemon."""

from __future__ import annotations

import os
import pwd
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from daemon import app, wiring
from daemon.commands.looking import begun
from daemon.commands.showing import Cell, Column, local, plural, print_json, print_table, say
from daemon.config import Configuration
from daemon.contracts import contract_of
from daemon.decisions import Action, Decision, Review, Standing, plain
from daemon.errors import ConfigError, ContractError, DecisionError, FileProblem, NotFoundError
from daemon.feeds import no_such_feed
from daemon.ledger import DropRow, Ledger
from daemon.model import Drop, Feed, Rows
from daemon.quarantine import Quarantine
from daemon.quarantine.setaside import kept
from daemon.reports import iso
from daemon.reviewing import preview, refuse_unknown, refuse_unwaivable
from validators.model import Problem
from validators.rejudging import waivable

_NOUN: Final = {Action.RELEASE: "released", Action.WAIVE: "waived", Action.DISCARD: "discarded"}


@dataclass(frozen=True, kw_only=True)
class Preview:
    """What a decision on one drop would do."""

    row: DropRow
    #: Of the rows that are judged again: those that would go into the table, and those that would stay.
    rows: Rows
    problems: tuple[Problem, ...] = ()
    #: Why nothing of a rejected file would pass; empty otherwise.
    because: str = ""
    #: Why it cannot be decided so at all; empty when it can.
    refused: str = ""


@dataclass(frozen=True, kw_only=True)
class _Desk:
    """What a person who decides has before them."""

    configuration: Configuration
    ledger: Ledger
    quarantine: Quarantine
    feeds: Mapping[str, Feed] = field(default_factory=dict)

    def feed(self, row: DropRow) -> Feed:
        """Return a drop's feed.

        Raises:
            DecisionError: it is not configured any more.
        """
        if row.feed not in self.feeds:
            raise DecisionError(f"drop {row.id} ({row.name}): there is no feed {row.feed!r} any more")
        return self.feeds[row.feed]


# -------------------------------------------------------------------- THE COMMANDS


def release(
    config: Path | None,
    *,
    drop: str | None,
    feed: str | None,
    rule: str | None,
    customer: str | None,
    reason: str,
    dry_run: bool,
    json: bool,
) -> int:
    """Have rejected rows judged again by today's contract: of one drop, or of all fitting ones of a feed.

    Raises:
        ConfigError: neither a drop nor a feed is named, or both.
        DecisionError: the drop cannot be decided on.
    """
    if (drop is None) == (feed is None):
        raise ConfigError("name one drop, or the feed whose drops are to be judged again: --feed FEED [--rule RULE]")
    if drop is not None and (rule or customer):
        raise ConfigError("--rule and --customer choose among a feed's drops: they go with --feed, not with a drop")
    with _desk(config) as desk:
        rows = [desk.ledger.drop(drop)] if drop is not None else _fitting(desk, str(feed), rule, customer)
        wanted = [_decision(row, Action.RELEASE, reason) for row in rows]
        if drop is not None:
            _must_be_decidable(desk, rows[0], wanted[0])
        return _decide(desk, list(zip(rows, wanted, strict=True)), dry_run=dry_run, json=json)


def waive(config: Path | None, *, drop: str, rules: Sequence[str], reason: str, dry_run: bool, json: bool) -> int:
    """Have rejected rows judged again, with rules that are not held against them; without `rules`, all that may be.

    Raises:
        ConfigError: there is no reason.
        DecisionError: the drop cannot be decided on, or a rule cannot be waived.
    """
    _must_say_why(reason)
    with _desk(config) as desk:
        row = desk.ledger.drop(drop)
        _must_be_decidable(desk, row, _decision(row, Action.WAIVE, reason))
        wanted = _decision(row, Action.WAIVE, reason, _waived(desk, row, rules))
        return _decide(desk, [(row, wanted)], dry_run=dry_run, json=json)


def discard(config: Path | None, *, drop: str, reason: str, dry_run: bool, json: bool) -> int:
    """Mark a drop's rejected rows as not wanted. Nothing is deleted.

    Raises:
        ConfigError: there is no reason.
        DecisionError: the drop cannot be decided on.
    """
    _must_say_why(reason)
    with _desk(config) as desk:
        row = desk.ledger.drop(drop)
        wanted = _decision(row, Action.DISCARD, reason)
        _must_be_decidable(desk, row, wanted)
        return _decide(desk, [(row, wanted)], dry_run=dry_run, json=json)


# -------------------------------------------------------------------- WHAT CAN BE DECIDED


@contextmanager
def _desk(config: Path | None) -> Iterator[_Desk]:
    configuration = begun(config)
    settings = configuration.settings
    ledger = app.open_for_reading(settings)
    if ledger is None:
        raise NotFoundError("nothing was ingested yet, so nothing is in quarantine; start the daemon: blobdrop run")
    quarantine = wiring.quarantine_of(settings)
    feeds = {each.name: each for each in configuration.feeds()}
    with ledger:
        yield _Desk(configuration=configuration, ledger=ledger, quarantine=quarantine, feeds=feeds)


def _must_say_why(reason: str) -> None:
    if not reason.strip():
        raise ConfigError("--reason is empty: say why, for those who look at it later")


def _must_be_decidable(desk: _Desk, row: DropRow, decision: Decision) -> None:
    """Refuse a drop that cannot be decided on.

    Raises:
        DecisionError: says why.
    """
    who, done = f"drop {row.id} ({row.name})", _NOUN[decision.action]
    hindrance = desk.ledger.decisions.hindrance(row, decision.action, desk.feed(row))
    if hindrance:
        raise DecisionError(f"{who} cannot be {done}: {hindrance}")
    for earlier in desk.ledger.decisions.of([row.id]).get(row.id, ()):
        if earlier.state is Standing.PENDING:
            when = local(earlier.at)
            raise DecisionError(
                f"{who} cannot be {done}: it waits for another decision ({earlier.action} by {earlier.by}, {when}); "
                "`blobdrop run --once`, or the running daemon, carries that out first"
            )
    if decision.action is not Action.DISCARD:
        # A file that still cannot be read is for the review to tell.
        with suppress(FileProblem), _kept(desk, row):
            pass


@contextmanager
def _kept(desk: _Desk, row: DropRow) -> Iterator[None]:
    folder = desk.quarantine.folder(row.customer, row.feed, row.id)
    limits = desk.configuration.settings.limits.limits()
    with (
        desk.quarantine.near(folder) as here,
        kept(here, _drop(row), desk.feed(row), limits, state=row.state, sha256=row.sha256),
    ):
        yield


def _waived(desk: _Desk, row: DropRow, rules: Sequence[str]) -> tuple[str, ...]:
    """Return the rules that are waived: those named, or all of the drop's that may be.

    Raises:
        ContractError: the feed's contract cannot be loaded.
        DecisionError: one of them cannot be waived.
    """
    with _quiet(row.feed):
        contract = contract_of(desk.feed(row))
    broken = tuple(dict.fromkeys(rule for rule, _, _ in row.rules))
    refuse_unwaivable(rules, contract, broken)
    chosen = tuple(dict.fromkeys(rules)) or tuple(rule for rule in broken if rule in waivable(contract))
    if not chosen:
        raise DecisionError(
            f"drop {row.id} ({row.name}): none of its rules can be waived ({', '.join(broken) or row.reason}): mend "
            "the file and drop it again"
        )
    return chosen


@contextmanager
def _quiet(feed: str) -> Iterator[None]:
    """Keep what a contract's file prints when it is loaded off our answer, and name the feed in its errors."""
    try:
        with redirect_stdout(sys.stderr):
            yield
    except ContractError as error:
        raise ContractError(f"feed {feed!r}: {error}") from error


def _fitting(desk: _Desk, feed: str, rule: str | None, customer: str | None) -> list[DropRow]:
    """Return the feed's drops that can be released.

    Raises:
        ContractError: the feed's contract cannot be loaded.
        NotFoundError: there is no such feed, or no such rule.
    """
    if feed not in desk.feeds:
        raise no_such_feed(feed, tuple(desk.feeds))
    decisions = desk.ledger.decisions
    rows = decisions.fitting(feed, rule=rule, customer=customer)
    if rule is not None and not rows and rule not in (broken := decisions.rules_of(feed)):
        with _quiet(feed):
            refuse_unknown(rule, contract_of(desk.feeds[feed]), broken)
    return [row for row in rows if not decisions.hindrance(row, Action.RELEASE, desk.feeds[feed])]


def _decision(row: DropRow, action: Action, reason: str, rules: tuple[str, ...] = ()) -> Decision:
    return Decision(drop_id=row.id, action=action, rules=rules, reason=reason.strip(), by=_user(), at=time.time())


def _user() -> str:
    """Return the system's name of the user, whatever the environment says."""
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return f"uid {os.geteuid()}"


def _drop(row: DropRow) -> Drop:
    return Drop(id=row.id, found=row.found, feed=row.feed, customer=row.customer, watermark=row.watermark)


# -------------------------------------------------------------------- DECIDING


def _decide(desk: _Desk, wanted: Sequence[tuple[DropRow, Decision]], *, dry_run: bool, json: bool) -> int:
    if dry_run:
        _print_previews([_preview(desk, row, decision) for row, decision in wanted], json=json)
        return 0
    added = desk.ledger.decisions.add(decision for _, decision in wanted)
    holder = desk.ledger.holder()
    if json:
        daemon = {"running": holder is not None, "pid": holder.pid if holder else None}
        print_json({"decisions": [plain(each, iso(each.at), None) for each in added], "daemon": daemon})
        return 0
    rows = {row.id: row for row, _ in wanted}
    for each in added[:1] if len(wanted) == 1 else ():
        say(_sentence(rows[each.drop_id], each))
    if len(wanted) != 1:
        say(f"The rejected rows of {plural(len(added), 'drop')} will be judged again." if added else "No drop fits.")
    if added:
        say(
            f"The running daemon (process {holder.pid}) carries it out."
            if holder
            else "No daemon is running; this carries it out: blobdrop run --once"
        )
    return 0


def _sentence(row: DropRow, decision: Decision) -> str:
    rows = plural(row.rows_rejected, "rejected row") if row.rows_rejected else "rejected file"
    if decision.action is Action.DISCARD:
        return f"{row.name}: its {rows} will be marked as discarded; nothing is deleted."
    rules = f", without {decision.rule} being held against them" if decision.rules else ""
    return f"{row.name}: its {rows} will be judged again by today's contract{rules}; what passes goes into the table."


def _preview(desk: _Desk, row: DropRow, decision: Decision) -> Preview:
    if decision.action is Action.DISCARD:
        return Preview(row=row, rows=Rows(read=row.rows_rejected, rejected=row.rows_rejected))
    review = Review(unit="", decision=decision, drop=_drop(row), state=row.state, rows=row.rows, sha256=row.sha256)
    limits = desk.configuration.settings.limits.limits()
    try:
        with _quiet(row.feed):
            verdict = preview(review, desk.feed(row), desk.quarantine, limits).verdict
    except DecisionError as error:
        return Preview(row=row, rows=Rows(), refused=str(error))
    return Preview(row=row, rows=verdict.rows, problems=verdict.problems, because=verdict.rejected_because)


def _print_previews(previews: Sequence[Preview], *, json: bool) -> None:
    if json:
        print_json({"dry_run": True, "drops": [_preview_json(each) for each in previews]})
        return
    for each in previews:
        say(f"{each.row.name} (drop {each.row.id}): {_would(each)}")
        counts: list[Sequence[Cell]] = [
            [problem.count, problem.column or "", problem.rule, problem.expected] for problem in each.problems
        ]
        if counts:
            columns = [Column(title="rows", right=True), Column(title="column"), Column(title="rule")]
            print_table([*columns, Column(title="expected", gives_way=True)], counts)
    say("No drop fits." if not previews else "Nothing was changed.")


def _would(each: Preview) -> str:
    if each.refused:
        return f"it cannot be decided on: {each.refused}"
    if each.because:
        return f"none of it would go into the table: {each.because}"
    rows = each.rows
    return f"{rows.accepted:,} of {plural(rows.read, 'row')} would go into the table, {rows.rejected:,} would stay"


def _preview_json(each: Preview) -> dict[str, Any]:
    rows = each.rows
    return {
        "drop": each.row.id,
        "name": each.row.name,
        "rows": {"read": rows.read, "accepted": rows.accepted, "rejected": rows.rejected},
        "rules": [{"rule": one.rule, "column": one.column, "count": one.count} for one in each.problems],
        "rejected_because": each.because,
        "refused": each.refused,
    }
