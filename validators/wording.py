"""What a pandera check demands, in plain words made from its statistics, for people who have never seen pandera."""

from __future__ import annotations

import datetime as dt
import decimal
import inspect
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import pandas as pd

from validators.rules import UNTOLD, listed


def builtin_name(check: Any) -> str | None:
    """Return the name of the built-in that a check was made from, whatever `name=` it carries; None for one's own."""
    name = getattr(check._check_fn, "__name__", None)  # noqa: SLF001 - pandera has no public way to ask
    return name if name is not None and type(check).is_builtin_check(name) else None


def expected(check: Any, builtin: str | None, name: str) -> str:
    """Say what a check demands: its author's own `error=`, `description=`, `title=`, or words for a built-in.

    Args:
        check: a pandera check.
        builtin: the built-in that it was made from, if any.
        name: the rule's name, for checks that say nothing of themselves.
    """
    own = check.error if not _written_by_pandera(check.error, builtin) else None
    said = own or check.description or check.title
    if not said and builtin is not None and builtin in WORDS:
        return WORDS[builtin](check.statistics)
    return _paragraph(str(said)) if said else _documented(check) or f"{UNTOLD}{name}' to hold"


def _written_by_pandera(error: str | None, builtin: str | None) -> bool:
    return error is None or (builtin is not None and error.startswith(f"{builtin}("))


def _paragraph(text: str) -> str:
    """Return the first paragraph on one line: pandera takes a docstring as it stands for a description."""
    return " ".join(text.strip().partition("\n\n")[0].split())


def _documented(check: Any) -> str:
    """Return the first paragraph of the docstring of a function that is not a lambda and not pandera's own wrapper."""
    function = check._check_fn  # noqa: SLF001 - as above
    text = inspect.getdoc(function) if inspect.isfunction(function) else None
    return _paragraph(text) if text else ""


def shown(value: object) -> str:
    """Return a limit as people write it: `10`, `0.5`, `2026-03-01`."""
    if isinstance(value, pd.Timestamp | dt.datetime):
        text = value.isoformat(sep=" ")
        return text.removesuffix(" 00:00:00")
    if isinstance(value, float | decimal.Decimal):
        return f"{value:.15g}"
    return value.pattern if isinstance(value, re.Pattern) else str(value)


def _between(said: Mapping[str, Any]) -> str:
    low, high = shown(said["min_value"]), shown(said["max_value"])
    left, right = said.get("include_min", True), said.get("include_max", True)
    if left and right:
        return f"between {low} and {high}"
    return f"{'at least' if left else 'more than'} {low} and {'at most' if right else 'less than'} {high}"


def _length(said: Mapping[str, Any]) -> str:
    exact, low, high = said.get("exact_value"), said.get("min_value"), said.get("max_value")
    if exact is not None or (low is not None and low == high):
        return f"exactly {_characters(exact if exact is not None else low)}"
    if high is None:
        return f"at least {_characters(low)}"
    return f"at most {_characters(high)}" if low is None else f"between {low} and {_characters(high)}"


def _characters(count: Any) -> str:
    return f"{count} character{'' if count == 1 else 's'}"


def _all_of(values: Iterable[Any]) -> str:
    """List values in an order that does not change from process to process: sets have none of their own."""
    ordered = sorted(values, key=repr) if isinstance(values, set | frozenset) else list(values)
    return listed([shown(value) for value in ordered])


#: Words for each of pandera's built-in checks, from its statistics.
WORDS: Mapping[str, Callable[[Mapping[str, Any]], str]] = {
    "equal_to": lambda said: f"exactly {shown(said['value'])}",
    "not_equal_to": lambda said: f"anything but {shown(said['value'])}",
    "greater_than": lambda said: f"more than {shown(said['min_value'])}",
    "greater_than_or_equal_to": lambda said: f"at least {shown(said['min_value'])}",
    "less_than": lambda said: f"less than {shown(said['max_value'])}",
    "less_than_or_equal_to": lambda said: f"at most {shown(said['max_value'])}",
    "in_range": _between,
    "isin": lambda said: f"one of {_all_of(said['allowed_values'])}",
    "notin": lambda said: f"none of {_all_of(said['forbidden_values'])}",
    "str_matches": lambda said: f"text that matches {shown(said['pattern'])}",
    "str_contains": lambda said: f"text that contains {shown(said['pattern'])}",
    "str_startswith": lambda said: f"text that starts with '{said['string']}'",
    "str_endswith": lambda said: f"text that ends with '{said['string']}'",
    "str_length": _length,
    "unique_values_eq": lambda said: f"each of {_all_of(said['values'])} somewhere in the file, and nothing else",
}
