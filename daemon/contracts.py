"""A feed's contract, loaded once in each process, and what the feed wants of a verdict beyond it."""

from __future__ import annotations

import functools
import json
from pathlib import Path

from daemon.model import ContractSummary, Drop, Feed, Late
from validators.contract import Contract, load_contract
from validators.judging import Policy


@functools.cache
def _loaded(
    reference: str,
    base: Path,
    options: str,
    time: tuple[str | None, str],
    key: tuple[str, ...],
    row_wise: tuple[str, ...],
) -> Contract:
    return load_contract(
        reference,
        base=base,
        options=json.loads(options),
        time_column=time[0],
        time_unit=time[1],
        key=key,
        row_wise=row_wise,
    )


def contract_of(feed: Feed) -> Contract:
    """Load the feed's contract, once in each process.

    Raises:
        ContractError: it cannot be loaded or honoured.
    """
    options = json.dumps(dict(feed.options), default=str)
    return _loaded(feed.contract, feed.base, options, (feed.time_column, feed.time_unit), feed.key, feed.row_wise)


def policy_of(feed: Feed, drop: Drop | None = None) -> Policy:
    """Return what the feed wants of a verdict beyond its contract, on a drop with its watermark if one is given."""
    return Policy(
        zone=feed.timezone,
        max_rejected_ratio=feed.max_rejected_ratio,
        watermark=None if drop is None else drop.watermark,
        refuses_late=feed.late is Late.QUARANTINE,
    )


def describe(feed: Feed) -> ContractSummary:
    """Load the feed's contract and say what it is.

    Raises:
        ContractError: it cannot be loaded or honoured.
    """
    contract = contract_of(feed)
    return ContractSummary(
        name=contract.name,
        digest=contract.digest,
        columns=tuple(column.name for column in contract.columns),
        time_column=contract.time_column,
        key=contract.key,
    )
