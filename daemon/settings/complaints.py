"""What is wrong with the settings, in words: the field, the value, the rule, and where the value came from. Pure."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import Any, Final

from annotated_types import Ge, Gt, Le, Lt
from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from daemon.settings import LISTS, Settings
from daemon.settings.feeds import DialectSettings, FeedSettings, HoldSettings
from daemon.settings.metrics import FilterSettings, MetricSettings, PartSettings
from daemon.settings.watching import NotifySettings

#: Characters of a value that a message shows.
SHOWN: Final = 80
#: Settings whose values are secrets, or may be; and what is shown instead.
SECRET: Final = ("secret", "webhook")
HIDDEN: Final = "***"
#: How alike two names must be, from 0 to 1, before one is suggested for the other.
LIKENESS: Final = 0.6

#: A password, as in `postgresql://user:secret@host`; and what opens a storage account: the signature in a URL that
#: carries its own key, the key or signature in a connection string.
_PASSWORD: Final = re.compile(r"(://[^/\s:@]*:)[^/\s@]+(@)")
_SIGNATURE: Final = re.compile(r"(\b(?:sig|AccountKey)=)[^&;\s'\"]+", re.IGNORECASE)
#: What pydantic says, by the start of the error's type, and what a person is told instead.
_TYPES: Final = (
    ("string", "text in quotes"),
    ("bool", "true or false"),
    ("tuple", 'a list, such as ["a", "b"]'),
    ("dict", "a table, such as { a = 1 }"),
    ("model", "a table, such as { a = 1 }"),
)
_SENTENCES: Final = {
    "string_pattern_mismatch": "expected 1 to 64 letters, digits, '.', '_' or '-', beginning with a letter or digit",
    "string_too_short": "it must not be empty",
}

#: The tables within lists of tables, by the keys above them; [] stands for the number of one in a list.
_TABLES: Final[Mapping[tuple[str, ...], type[BaseModel]]] = MappingProxyType(
    {
        ("feeds", "[]"): FeedSettings,
        ("feeds", "[]", "dialect"): DialectSettings,
        ("feeds", "[]", "hold_if"): HoldSettings,
        ("metrics", "[]"): MetricSettings,
        ("notify", "[]"): NotifySettings,
        ("metrics", "[]", "filters", "[]"): FilterSettings,
        **{("metrics", "[]", half): PartSettings for half in ("numerator", "denominator")},
        **{("metrics", "[]", half, "filters", "[]"): FilterSettings for half in ("numerator", "denominator")},
    }
)

Place = tuple[str | int, ...]


def complaints(error: ValidationError, data: Mapping[str, Any], origin: Callable[[Place], str]) -> tuple[str, ...]:
    """Return one sentence for each setting that is wrong.

    Args:
        error: what pydantic has found.
        data: the settings as they were given.
        origin: tells where the setting at a path came from: a file, a variable.
    """
    found = [(_path(one["loc"]), one) for one in error.errors()]
    # An error of something that holds a wrong thing only follows from that.
    first = [(path, one) for path, one in found if not any(_holds(path, other) for other, _ in found)]
    return tuple(f"{origin(path)}: {_said(path, one, data)}" for path, one in first)


def masked(text: str) -> str:
    """Return a text without the passwords of URLs in it, and without what opens a storage account."""
    return _SIGNATURE.sub(r"\1***", _PASSWORD.sub(r"\1***\2", text))


def rule(field: FieldInfo) -> str:
    """Say which values a number may have: "a whole number from 1 to 256"; empty for what is no number."""
    if field.annotation not in (int, float):
        return ""
    return " ".join(["a whole number" if field.annotation is int else "a number", *_bounds(field)])


def nearest(name: str, known: list[str]) -> str:
    """Return the known name that was probably meant, or nothing."""
    close = difflib.get_close_matches(name.lower(), known, n=1, cutoff=LIKENESS)
    return close[0] if close else ""


def _path(place: Place) -> Place:
    """Leave out the tags by which pydantic tells the forms of a dialect apart."""
    is_dialect = place[:1] == ("feeds",) and place[2:3] == ("dialect",)
    return (*place[:3], *place[4:]) if is_dialect else place


def _holds(path: Place, other: Place) -> bool:
    return len(path) < len(other) and other[: len(path)] == path


def _said(path: Place, one: ErrorDetails, data: Mapping[str, Any]) -> str:
    where, kind = _shown(path, data), one["type"]
    if kind == "extra_forbidden":
        return f"{where}: there is no such {_kind_of(path, one['input'])}{_meant(path)}"
    if kind == "missing":
        return f"{where}: this setting is needed: {_described(path)}"
    expected = _expected(path, one)
    return (
        f"{where} = {_value(one['input'], path)}: {expected}"
        if where and _is_leaf(one["input"])
        else _join(where, expected)
    )


def _join(where: str, expected: str) -> str:
    return f"{where}: {expected}" if where else expected


def _shown(path: Place, data: Mapping[str, Any]) -> str:
    """Write a path: "feeds[0] (orders): dialect.quote"."""
    if path[0:1] not in [(section,) for section in LISTS] or len(path) == 1:
        return ".".join(str(part) for part in path)
    section, number = str(path[0]), int(path[1])
    name = _named(data, section, number)
    one = f"{section}[{number}]" + (f" ({name})" if name else "")
    rest = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path[2:]).removeprefix(".")
    return f"{one}: {rest}" if rest else one


def _named(data: Mapping[str, Any], section: str, number: int) -> str:
    try:
        name = data[section][number]["name"]
    except (KeyError, IndexError, TypeError):
        return ""
    return name if isinstance(name, str) and name.isprintable() and len(name) <= SHOWN else ""


def _is_leaf(value: Any) -> bool:
    return not isinstance(value, dict | BaseModel) and not (isinstance(value, list) and _holds_tables(value))


def _holds_tables(values: list[Any]) -> bool:
    return any(isinstance(value, dict) for value in values)


def _value(value: Any, path: Place) -> str:
    if path[-1] in SECRET:
        return HIDDEN
    if isinstance(value, bool):
        return str(value).lower()
    text = masked(repr(value))
    return text if len(text) <= SHOWN else f"{text[: SHOWN - 1]}…"


def _expected(path: Place, one: ErrorDetails) -> str:
    """Say the rule that was broken. A sentence of our own validators comes first, pydantic's words last."""
    kind, context, field = one["type"], one.get("ctx", {}), _field(path)
    number = rule(field) if field is not None else ""
    if kind == "value_error" and not (number and str(context["error"]) == "expected a number"):
        return str(context["error"])
    if number:
        return f"expected {number}"
    if path[2:] == ("dialect",):
        return 'expected "auto", or a table such as { delimiter = ";" }'
    if kind in ("enum", "literal_error"):
        return _one_of(one["input"], re.findall(r"'([^']*)'", context["expected"]))
    return _SENTENCES.get(kind) or _expected_kind(path, kind) or one["msg"]


def _expected_kind(path: Place, kind: str) -> str:
    """Say which kind of value is needed; nothing for kinds that no setting has."""
    line = f"[[{path[0]}]]" if path[0] in LISTS else f"[{path[0]}]"
    if kind.startswith("model") and len(path) <= 2:  # noqa: PLR2004 - a section, or a feed
        return f"expected a table: {line} on a line of its own"
    if kind == "tuple_type" and len(path) == 1:
        return f"expected a list of tables: {line} on a line of its own"
    return next((f"expected {words}" for start, words in _TYPES if kind.startswith(start)), "")


def _one_of(value: Any, allowed: list[str]) -> str:
    near = nearest(value, allowed) if isinstance(value, str) else ""
    return f"expected one of {', '.join(allowed)}" + (f"; did you mean {near}?" if near else "")


def _bounds(field: FieldInfo) -> Iterator[str]:
    """Say from where to where a number may go: "above 0", "from 1", "to 256"."""
    words = {Gt: "above", Ge: "from", Lt: "below", Le: "to"}
    for each in field.metadata:
        if isinstance(each, Gt | Ge | Lt | Le):
            limit = next(getattr(each, name) for name in ("gt", "ge", "lt", "le") if hasattr(each, name))
            between = "up to" if isinstance(each, Le) and any(isinstance(one, Gt) for one in field.metadata) else ""
            yield f"{between or words[type(each)]} {limit:,}"


def _field(path: Place) -> FieldInfo | None:
    """Return the setting at a path, if there is one."""
    model = _model(path)
    return model.model_fields.get(str(path[-1])) if model is not None and path else None


def _described(path: Place) -> str:
    field = _field(path)
    return (field.description or "") if field is not None else ""


def _model(path: Place) -> type[BaseModel] | None:
    """Return the table in which the last part of a path is a key; None inside of values."""
    above = tuple("[]" if isinstance(part, int) else part for part in path[:-1])
    if not above:
        return Settings
    if above in _TABLES:
        return _TABLES[above]
    model = (
        Settings.model_fields[above[0]].annotation if len(above) == 1 and above[0] in Settings.model_fields else None
    )
    return model if isinstance(model, type) and issubclass(model, BaseModel) else None


def _kind_of(path: Place, value: Any) -> str:
    return "section" if len(path) == 1 and isinstance(value, dict) else "setting"


def _meant(path: Place) -> str:
    model, name = _model(path), str(path[-1])
    if model is None:
        return ""
    if model is Settings and (homes := _sections_with(name)):
        return f"; did you mean {name} in {' or '.join(f'[{home}]' for home in homes)}?"
    known = list(model.model_fields)
    near = nearest(name, known)
    return f"; did you mean {near}?" if near else f"; there are {', '.join(known)}"


def _sections_with(name: str) -> list[str]:
    """Return the sections that have a setting of this name."""
    return [section for section in Settings.model_fields if _field((section, name)) is not None]
