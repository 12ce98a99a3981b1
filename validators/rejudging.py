"""Rows judged once more after somebody has looked at them, with rules waived, apart from those that were in order.

What rules over the whole file have said of them, when they stood among all others, is held against them still.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from validators.contract import Contract
from validators.judging import Judged, dayless
from validators.model import LATE, Broken, Hit, Mask
from validators.rules import CHECK_ERROR, NOT_NULLABLE, TYPE, Rule, Scope
from validators.wholedrop import DropHit

#: Rules that nobody can waive: there is no value that could go into the table, or no rule that could be judged.
NEVER_WAIVED = frozenset({TYPE, CHECK_ERROR})


def waivable(contract: Contract) -> frozenset[str]:
    """Return the rules that may be waived: that rows are late, and the contract's but for those on unreadable cells.

    Rules on a file's structure are no rules of a contract, and are not among them.
    """
    return frozenset({rule.name for rule in contract.rules} | {NOT_NULLABLE, LATE}) - NEVER_WAIVED


def weighed(judged: Judged, forced: tuple[Hit, ...], waived: Collection[str], time_column: str | None) -> Judged:
    """Return rows with what rules over the whole file say of them, and without what waived rules do.

    A row that only waived rules reject is accepted, and named in `Judged.waived`. One that stays rejected is told all
    of its problems, the waived ones too.

    Args:
        judged: the rows by the rules that look at one row at a time.
        forced: what rules over the whole file say of them.
        waived: rules that are not held against rows.
        time_column: the column that gives a row its day; without a day it could not be put anywhere.
    """
    hits = (*judged.hits, *forced)
    if not waived:
        return replace(judged, rejected=_any(hits, judged.rejected), forced=forced)
    held = [hit for hit in hits if hit.rule not in waived]
    rejected = _any(held, np.zeros_like(judged.rejected))
    if judged.days is not None:
        without = tuple(dayless(time_column, judged.days, rejected))
        judged, rejected = replace(judged, hits=(*judged.hits, *without)), _any(without, rejected)
    return replace(
        judged,
        hits=tuple(_weighed(hit, waived, rejected) for hit in judged.hits),
        forced=tuple(_weighed(hit, waived, rejected) for hit in forced),
        rejected=rejected,
        waived=_names([hit for hit in hits if hit.rule in waived], ~rejected),
    )


def still_broken(found: Sequence[DropHit], before: Iterable[Broken], rules: Sequence[Rule]) -> tuple[DropHit, ...]:
    """Return what rules over the whole file say of some of its rows, and what they said of them among all others.

    Those others are in the table already, so that what was said holds for as long as the contract has the rule.

    Args:
        found: what they say of these rows by themselves.
        before: what they said in the whole file.
        rules: of today's contract, on the file's columns.
    """
    hits = {(hit.rule, hit.column): hit for hit in found}
    for hit in _again(before, rules):
        same = hits.get((hit.rule, hit.column), hit)
        hits[hit.rule, hit.column] = replace(same, rows=np.union1d(same.rows, hit.rows))
    return tuple(hits.values())


def _again(before: Iterable[Broken], rules: Sequence[Rule]) -> Iterator[DropHit]:
    for name, column, rows in before:
        fitting = (rule for rule in rules if rule.name == name and rule.column in (None, column))
        rule = next((rule for rule in fitting if rule.scope is not Scope.ROW), None)
        if rule is not None:
            yield DropHit(
                rule=name,
                column=column,
                expected=rule.expected,
                hint=rule.hint,
                rows=rows,
                allowed=rule.allowed,
                shows=rule.shows if column is None else (),
            )


def _any(hits: Iterable[Hit], start: Mask) -> Mask:
    rejected = start.copy()
    for hit in hits:
        rejected |= hit.failed
    return rejected


def _weighed(hit: Hit, waived: Collection[str], rejected: Mask) -> Hit:
    return replace(hit, failed=hit.failed & rejected) if hit.rule in waived else hit


def _names(hits: Sequence[Hit], accepted: Mask) -> pa.Array | None:
    """Return for each row the waived rules that it breaks, joined by `, `; None where no accepted row breaks one."""
    broken: dict[str, Mask] = {}
    for hit in hits:
        broken[hit.rule] = broken.get(hit.rule, False) | (hit.failed & accepted)
    if not any(mask.any() for mask in broken.values()):
        return None
    nothing = pa.nulls(len(accepted), pa.string())
    words = [pc.if_else(pa.array(broken[name]), name, nothing) for name in sorted(broken)]
    joined = pc.binary_join_element_wise(pc.fill_null(nothing, ""), *words, ", ", null_handling="skip")
    joined = pc.utf8_slice_codeunits(joined, 2)
    return pc.if_else(pc.equal(joined, ""), nothing, joined)
