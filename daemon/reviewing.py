"""One decision from a quarantine entry to an outcome: its rows are judged again, and those that pass are staged.

Pure but for the files that it stages and the entry that it writes beside the drop's own, both under names derived from
the decision, so that doing it again overwrites. Runs in a worker process; knows neither ledger nor tables.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from daemon.contracts import contract_of, policy_of
from daemon.decisions import Action, Review
from daemon.errors import DecisionError, FileProblem, NotFoundError
from daemon.landing import Landing, Stages, day_of, subject_of
from daemon.model import Feed, Limits, Outcome, Prepared, Rows, Setup, State
from daemon.quarantine import Quarantine, read_report
from daemon.quarantine.setaside import SetAside, kept
from daemon.reports import Report, counted
from validators.contract import Contract
from validators.files import Nowhere, judge, refused
from validators.judging import Policy
from validators.model import Verdict
from validators.rejudging import NEVER_WAIVED, waivable
from validators.suggest import did_you_mean


@dataclass(frozen=True, kw_only=True)
class Findings:
    """What came of judging a drop's rejected rows again."""

    verdict: Verdict
    #: The drop's rows and its state, if that is done.
    rows: Rows
    state: State


def review(what: Review, feed: Feed, setup: Setup) -> Prepared:
    """Judge a drop's rejected rows again, stage those that pass, and write what the drop's entry is to become.

    Raises:
        ContractError: the feed's contract cannot be loaded.
        DecisionError: the entry is gone, or is not as it was written.
        WorkError: disk or table failed; nothing is staged, and a later try may do better.
    """
    place = setup.quarantine.folder(what.drop.customer, what.drop.feed, what.drop.id)
    with setup.quarantine.near(place) as folder:
        return _reviewed(what, feed, setup, place, folder)


def _reviewed(what: Review, feed: Feed, setup: Setup, place: str, folder: Path) -> Prepared:
    stages = Stages(setup.table, what.unit)
    landing = Landing(
        what.drop,
        stages=stages,
        quarantine=setup.quarantine,
        now=setup.now,
        zone_day=day_of(setup.now, feed.timezone),
        declared=feed.dialect.encoding,
        pending=True,
    )
    started = time.time()
    try:
        findings = judge_again(what, feed, folder, setup.limits, landing)
        if not findings.verdict.rows.accepted:
            landing.discard()
            stages.abort()
            return Prepared(unit=what.unit, outcomes=(_unmoved(what, findings),))
        files, schema = stages.finish()
        landing.publish(_report(what, findings, folder, started))
    except BaseException:
        landing.discard()
        stages.abort()
        raise
    outcome = replace(_outcome(what, findings, place, started), days=landing.days())
    return Prepared(unit=what.unit, outcomes=(outcome,), files=files, schema=schema)


def preview(what: Review, feed: Feed, quarantine: Quarantine, limits: Limits) -> Findings:
    """Judge a drop's rejected rows again, and change nothing.

    Raises:
        ContractError: the feed's contract cannot be loaded.
        DecisionError: the entry is gone, or is not as it was written.
        WorkError: the disk failed.
    """
    with quarantine.near(quarantine.folder(what.drop.customer, what.drop.feed, what.drop.id)) as folder:
        return judge_again(what, feed, folder, limits)


def judge_again(what: Review, feed: Feed, folder: Path, limits: Limits, landing: Landing | None = None) -> Findings:
    """Judge what a drop's entry has kept by today's contract, and land all of it, unless there is no landing.

    The feed's budget does not count: a person has looked at the rows.

    Raises:
        ContractError: the feed's contract cannot be loaded.
        DecisionError: the entry is gone, or is not as it was written.
        WorkError: the disk failed.
    """
    contract = contract_of(feed)
    # Whoever wrote the decision: a cell that could not be read has no value that could go into the table.
    waived = waivable(contract).intersection(what.decision.rules)
    policy = replace(policy_of(feed, what.drop), max_rejected_ratio=1.0, waived=waived)
    verdict = _verdict(what, feed, folder, limits, contract, policy, landing)
    moved = verdict.rows.accepted
    if not moved:
        return Findings(verdict=verdict, rows=what.rows, state=what.state)
    rows = verdict.rows
    if what.state is State.PARTIAL:
        _refuse_other(what, verdict, folder)
        rows = replace(what.rows, accepted=what.rows.accepted + moved, rejected=what.rows.rejected - moved)
    return Findings(verdict=verdict, rows=rows, state=State.PARTIAL if rows.rejected else State.INGESTED)


def refuse_unwaivable(rules: Iterable[str], contract: Contract, broken: Iterable[str]) -> None:
    """Refuse rules that cannot be waived, or that nobody knows.

    Args:
        rules: that are to be waived.
        contract: today's.
        broken: the rules that the drop's rows break.

    Raises:
        DecisionError: names the first such rule, and those of the drop that can be waived.
    """
    may, broken = waivable(contract), tuple(dict.fromkeys(broken))
    names = [rule for rule in broken if rule in may]
    can = f"{', '.join(names)} can be waived" if names else "none of this drop's rules can be waived"
    for rule in rules:
        if rule in may:
            continue
        if rule in broken:
            raise DecisionError(
                f"the rule '{rule}' cannot be waived: it says that there is no value that the table could take, or is "
                f"none of today's contract; {can}"
            )
        hint = did_you_mean(rule, sorted({*names, *may})) or can
        raise DecisionError(f"there is no rule '{rule}'; {hint}")


def refuse_unknown(rule: str, contract: Contract, broken: Collection[str]) -> None:
    """Refuse a rule that nobody knows, as it is mistyped.

    Args:
        rule: that drops of a feed are to be chosen by.
        contract: the feed's of today.
        broken: the rules that rows of the feed's drops break, or have broken.

    Raises:
        NotFoundError: names the rule that was probably meant, or those that are broken.
    """
    known = {*broken, *waivable(contract), *NEVER_WAIVED}
    if rule not in known:
        names = ", ".join(sorted(broken))
        hint = did_you_mean(rule, sorted(broken)) or did_you_mean(rule, sorted(known))
        broken_ones = f"the feed's drops have broken {names}" if names else "the feed's drops have broken none"
        raise NotFoundError(
            f"there is no rule {rule!r}: no drop of the feed has broken one of this name, and its contract has none; "
            f"{hint or broken_ones}"
        )


def _refuse_other(what: Review, verdict: Verdict, folder: Path) -> None:
    """Refuse an entry whose rows are not those that the ledger says are set aside: some may be in the table."""
    if verdict.rows.read != what.rows.rejected:
        raise DecisionError(
            f"the quarantine entry {folder} has {counted(verdict.rows.read)}, and the ledger says that "
            f"{what.rows.rejected:,} were set aside, so it is not this drop's newest one; restore that"
        )


def _verdict(
    what: Review,
    feed: Feed,
    folder: Path,
    limits: Limits,
    contract: Contract,
    policy: Policy,
    landing: Landing | None,
) -> Verdict:
    try:
        with kept(folder, what.drop, feed, limits, state=what.state, sha256=what.sha256) as reader:
            if landing is not None:
                landing.reading(reader)
            before = reader.broken if isinstance(reader, SetAside) else ()
            return judge(reader, contract, policy, limits, landing or Nowhere(), before=before)
    except FileProblem as problem:
        return refused(problem, contract, policy)


def _outcome(what: Review, findings: Findings, place: str, started: float) -> Outcome:
    problems = findings.verdict.problems
    return Outcome(
        drop_id=what.drop.id,
        state=findings.state,
        sha256=what.sha256,
        rows=findings.rows,
        rules=tuple((problem.rule, problem.column or "", problem.count) for problem in problems),
        report=place,
        contract=findings.verdict.digest,
        started_at=started,
        finished_at=time.time(),
        decision=what.decision.id,
    )


def _unmoved(what: Review, findings: Findings) -> Outcome:
    """Return the outcome of a decision that moves no row: the drop stays as it was."""
    verdict = findings.verdict
    why = verdict.rejected_because or "; ".join(
        f"{problem.column}: {problem.rule}" if problem.column else problem.rule for problem in verdict.problems
    )
    return Outcome(
        drop_id=what.drop.id,
        state=what.state,
        rows=what.rows,
        reason=f"no row passes ({why})" if why else "there are no rows to judge",
        decision=what.decision.id,
    )


def _report(what: Review, findings: Findings, folder: Path, started: float) -> Report:
    """Return the drop's new report: of the rows that stay, with a note of what was decided."""
    verdict = findings.verdict
    notes = (*_notes(folder), *verdict.notes)
    return Report(
        subject=subject_of(what.drop, what.sha256),
        state=findings.state,
        contract=verdict.contract,
        digest=verdict.digest,
        rows=findings.rows,
        problems=verdict.problems,
        ignored_columns=verdict.ignored_columns,
        notes=(*dict.fromkeys(notes), _told(what, verdict.rows.accepted)),
        started_at=started,
        finished_at=time.time(),
    )


def _notes(folder: Path) -> tuple[str, ...]:
    """Return what the drop's report has said so far; a report that is damaged is written anew."""
    try:
        return read_report(folder).notes
    except NotFoundError:
        return ()


def _told(what: Review, moved: int) -> str:
    decision = what.decision
    did = "waived" if decision.action is Action.WAIVE else "released"
    rules = f" ({decision.rule})" if decision.rules else ""
    day = datetime.fromtimestamp(decision.at, UTC).isoformat(sep=" ", timespec="seconds").replace("+00:00", " UTC")
    why = f": {decision.reason}" if decision.reason else ""
    return f"{counted(moved)} {did}{rules} by {decision.by} on {day}{why}"
