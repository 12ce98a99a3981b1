"""`blobdrop feeds` and `blobdrop config`: what is set, where each setting came from, what each feed's rows must be."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import redirect_stdout
from dataclasses import dataclass
from json import dumps as json_of
from pathlib import Path
from typing import Any

from daemon import app, logs, wiring
from daemon.cloud.address import address
from daemon.cloud.credentials import credential
from daemon.commands.showing import Column, plural, print_json, print_table, say, shown
from daemon.config import DEFAULT, Configuration, load
from daemon.contracts import describe
from daemon.errors import ConfigError, ContractError
from daemon.feeds import Feeds
from daemon.ledger import FeedSummary
from daemon.measures import unfit
from daemon.model import ContractSummary, Feed
from daemon.settings import LISTS, Settings
from daemon.settings.complaints import HIDDEN, SECRET, masked
from daemon.settings.sections import Section
from validators.sentences import printable


@dataclass(frozen=True, kw_only=True)
class Loaded:
    """A feed with its contract, or with the reason why that cannot be loaded."""

    feed: Feed
    contract: ContractSummary | None
    error: str = ""


def feeds(config: Path | None, *, json: bool) -> int:
    """Print every feed: what is its own, what its rows must be, where they go. 2 when a contract cannot be loaded."""
    configuration = _begun(config)
    loaded = _loaded(configuration)
    figures = _figures(configuration.settings)
    if json:
        print_json([_feed_json(one, configuration, figures.get(one.feed.name)) for one in loaded])
    else:
        for one in loaded:
            say(one.feed.name)
            rows = _feed_lines(one, configuration, figures.get(one.feed.name))
            print_table([Column()] * 3, [["", *line] for line in rows])
            say("")
    return _told(loaded)


def config(config: Path | None, *, json: bool) -> int:
    """Print every setting and where it came from, and try every contract. 2 when one cannot be loaded."""
    configuration = _begun(config)
    loaded = _loaded(configuration)
    lines = list(_settings(configuration))
    if json:
        file = None if configuration.file is None else printable(str(configuration.file))
        settings = [{"name": name, "value": value, "origin": origin} for name, value, origin in lines]
        print_json({"file": file, "settings": settings, "feeds": [_contract_json(one) for one in loaded]})
    else:
        say(f"file: {configuration.file or 'none; built-in settings'}", "")
        columns = [Column(title="setting"), Column(title="value", gives_way=True), Column(title="from")]
        print_table(columns, [[name, _toml(value), origin] for name, value, origin in lines])
        say("")
        columns = [Column(title="feed"), Column(title="contract"), Column()]
        print_table(columns, [[one.feed.name, one.feed.contract, _verdict(one)] for one in loaded])
    return _told(loaded)


def _begun(config: Path | None) -> Configuration:
    logs.configure("text", "warning", sys.stderr)
    return load(config, os.environ)


def _loaded(configuration: Configuration) -> tuple[Loaded, ...]:
    """Load every feed's contract.

    Raises:
        ConfigError: a feed's pattern is wrong.
    """
    feeds = configuration.feeds()
    Feeds(feeds)
    # Whatever a contract's file prints when it is loaded is no part of our answer.
    with redirect_stdout(sys.stderr):
        return tuple(_load(feed) for feed in feeds)


def _load(feed: Feed) -> Loaded:
    try:
        return Loaded(feed=feed, contract=describe(feed))
    except ContractError as error:
        return Loaded(feed=feed, contract=None, error=str(error))


def _told(loaded: tuple[Loaded, ...]) -> int:
    """Name the feeds whose contract cannot be loaded, each with its cause; return the exit code.

    Raises:
        ContractError: there is such a feed.
        ConfigError: a metric asks a feed's rows for what its contract does not have.
    """
    if wrong := [f"feed {one.feed.name!r}: {one.error}" for one in loaded if one.contract is None]:
        sys.stdout.flush()
        raise ContractError("\n".join(wrong))
    if wrong := [each for one in loaded if one.contract for each in _unfit(one.feed, one.contract)]:
        sys.stdout.flush()
        raise ConfigError("\n".join(wrong))
    return 0


def _unfit(feed: Feed, contract: ContractSummary) -> Iterator[str]:
    return unfit(feed.measures, feed.name, contract.columns)


def _verdict(one: Loaded) -> str:
    return "cannot be loaded" if one.contract is None else f"fine, {len(one.contract.columns)} columns"


# -------------------------------------------------------------------- FEEDS


def _figures(settings: Settings) -> dict[str, FeedSummary]:
    ledger = app.open_for_reading(settings)
    if ledger is None:
        return {}
    with ledger:
        return {each.feed: each for each in ledger.feeds()}


def _table_of(feed: str, settings: Settings) -> str:
    return f"{wiring.tables_of(settings)}/{feed}"


def _feed_lines(one: Loaded, configuration: Configuration, figures: FeedSummary | None) -> Iterator[tuple[str, str]]:
    feed, contract = one.feed, one.contract
    yield "paths", ", ".join(feed.paths)
    yield "contract", feed.contract
    if contract is None:
        yield "", f"cannot be loaded: {one.error.splitlines()[0]}"
    else:
        yield "columns", ", ".join(contract.columns)
        yield "key", ", ".join(contract.key) or "none"
        yield "time column", contract.time_column or "none: a row's day is the day of its ingestion"
    if feed.measures:
        yield "metrics", ", ".join(measure.name for measure in feed.measures)
    yield "timezone", feed.timezone
    yield "table", _table_of(feed.name, configuration.settings)
    if figures is None:
        yield "rows", "none yet"
    else:
        yield "rows", f"{shown(figures.rows.accepted)} in the table, {shown(figures.rows.rejected)} set aside"
        drops = plural(sum(figures.drops.values()), "drop")
        yield "drops", f"{drops} from {plural(figures.customers, 'customer')}"


def _feed_json(one: Loaded, configuration: Configuration, figures: FeedSummary | None) -> dict[str, Any]:
    feed, contract = one.feed, one.contract
    rows = figures.rows if figures else None
    return {
        "name": feed.name,
        "paths": list(feed.paths),
        **_contract_json(one),
        "columns": list(contract.columns) if contract else [],
        "key": list(contract.key) if contract else list(feed.key),
        "time_column": contract.time_column if contract else feed.time_column,
        "metrics": [measure.name for measure in feed.measures],
        "timezone": feed.timezone,
        "table": printable(_table_of(feed.name, configuration.settings)),
        "rows": {"accepted": rows.accepted if rows else 0, "rejected": rows.rejected if rows else 0},
        "drops": {state.value: count for state, count in figures.drops.items()} if figures else {},
        "customers": figures.customers if figures else 0,
    }


def _contract_json(one: Loaded) -> dict[str, Any]:
    contract = one.contract
    return {
        "feed": one.feed.name,
        "contract": {
            "reference": one.feed.contract,
            "name": contract.name if contract else None,
            "digest": contract.digest if contract else None,
        },
        "error": printable(one.error) if one.error else None,
    }


# -------------------------------------------------------------------- SETTINGS


def _settings(configuration: Configuration) -> Iterator[tuple[str, Any, str]]:
    """Yield each setting's name, its value with secrets masked, and where it came from."""
    for section in Settings.model_fields:
        if section in LISTS:
            continue
        for key, value in getattr(configuration.settings, section).model_dump(mode="json").items():
            yield f"{section}.{key}", _masked(value), configuration.origin(section, key)
    if configuration.settings.source.is_container:
        url = configuration.settings.source.url
        opens = credential(url, address(url), os.environ)
        yield "source.url is opened by", opens.kind, opens.origin
    for number, feed in enumerate(configuration.settings.feeds):
        yield from _listed("feeds", number, feed, configuration)
    for number, receiver in enumerate(configuration.settings.notify):
        yield from _listed("notify", number, receiver, configuration)
    file = configuration.origins.get("metrics", DEFAULT)
    for number, metric in enumerate(configuration.settings.metrics):
        for key, value in metric.model_dump(mode="json", exclude_defaults=True).items():
            yield f"metrics[{number}].{key}", value, file


def _listed(section: str, number: int, table: Section, configuration: Configuration) -> Iterator[tuple[str, Any, str]]:
    """Yield the settings of one table of a list, such as a feed."""
    file = configuration.origins.get(section, DEFAULT)
    for key, value in table.model_dump(mode="json").items():
        name, origin = f"{section}[{number}].{key}", file if key in table.model_fields_set else DEFAULT
        inner = getattr(table, key)
        if isinstance(inner, Section):
            parts = ((part, file if part in inner.model_fields_set else DEFAULT) for part in value)
            yield from ((f"{name}.{part}", value[part], of) for part, of in parts)
        else:
            yield name, HIDDEN if key in SECRET and value else _masked(value), origin


def _masked(value: Any) -> Any:
    """Hide the passwords of URLs, however deep they stand."""
    if isinstance(value, Mapping):
        return {key: _masked(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_masked(each) for each in value]
    return masked(value) if isinstance(value, str) else value


def _toml(value: Any) -> str:
    """Write a value as it would stand in the TOML file."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{key} = {_toml(each)}" for key, each in value.items()) + " }" if value else "{}"
    if isinstance(value, list):
        return "[" + ", ".join(_toml(each) for each in value) + "]"
    # JSON's strings are TOML's.
    return json_of(value, ensure_ascii=False) if isinstance(value, str) else str(value)
