"""Which feed a dropped object belongs to, by its name alone, and whose it is."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Sequence
from urllib.parse import quote_from_bytes

from daemon.errors import ConfigError, NotFoundError
from daemon.model import Feed
from daemon.sources.names import in_signals, left_out_folder
from validators.suggest import did_you_mean

#: Whose a drop is when the pattern binds no customer.
DEFAULT_CUSTOMER = "default"
#: Bytes of a folder made from a text: below the 255 of a name, with room for what others put around it.
FOLDER_BYTES = 200

_RULE = (
    "a pattern is a path below the source, with / between folders: * and ? stand for anything within one name, "
    "** alone for any folders, {customer} once for the customer's folder"
)
#: What binds the customer in a pattern.
CUSTOMER = "{customer}"
#: What a component of a pattern is made of.
_TOKENS = re.compile(r"\{[^{}]*\}|[{}]|\*+|\?|[^{}*?]+")
_MEANS = {"*": "[^/]*", "?": "[^/]"}


def no_such_feed(feed: str, names: Sequence[str]) -> NotFoundError:
    """Return the error of a name that is no feed's, with the one that was probably meant."""
    hint = did_you_mean(feed, names) or f"there {'is only' if len(names) == 1 else 'are'} {', '.join(names)}"
    return NotFoundError(f"there is no feed {feed!r}; {hint}")


class Feeds:
    """The feeds in the order of the configuration: the first pattern of the first feed that fits takes the object."""

    def __init__(self, feeds: Sequence[Feed]) -> None:
        """Compile all patterns.

        Raises:
            ConfigError: a pattern cannot be understood, or could never fit; the message names the feed.
        """
        self._feeds = {f"p{number}": feed for number, (feed, _) in enumerate(_patterns(feeds))}
        # One expression tries all patterns in their order; the name of the group that closed last tells which one fits.
        texts = (expression(feed, pattern, number) for number, (feed, pattern) in enumerate(_patterns(feeds)))
        self._match = re.compile("|".join(texts) or "(?!)", re.DOTALL).fullmatch
        #: The groups of patterns that name a folder `signals` themselves: what they take are drops.
        self._signals = {f"p{number}" for number, (_, pattern) in enumerate(_patterns(feeds)) if in_signals(pattern)}

    def match(self, name: str) -> tuple[Feed, str] | None:
        r"""Return the feed and the customer of an object, by its path below the source's root; None: no feed fits.

        The customer is the folder as it is called. It becomes a value in tables: bytes that are not UTF-8 stand as
        `\xNN`.
        """
        found = self._match(name)
        if found is None or found.lastgroup is None:
            return None
        return self._feeds[found.lastgroup], customer_in(found, found.lastgroup)

    def is_signal(self, name: str) -> bool:
        """Tell whether an object lists days that are loaded: it lies in a `signals` folder that is no feed's own."""
        if not in_signals(name):
            return False
        found = self._match(name)
        return found is None or found.lastgroup not in self._signals


def customer_in(found: re.Match[str], group: str) -> str:
    """Return the customer that a pattern's group of an expression has bound, `default` where it binds none."""
    customer = found.groupdict().get(f"customer_{group}") or DEFAULT_CUSTOMER
    return _bytes(customer).decode("utf-8", "backslashreplace")


def folder_name(text: str) -> str:
    """Return a name for a folder or blob that stands for a text, such as a customer: different for different texts.

    Everything but ASCII letters, digits, `.`, `_` and `-` is percent-encoded, so is a leading dot; a long one keeps
    its start and ends in its digest. Never `.`, `..` or empty, at most 200 bytes.
    """
    name = quote_from_bytes(_bytes(text), safe="").replace("~", "%7E") or "%00"
    if name.startswith("."):
        name = f"%2E{name[1:]}"
    if len(name) <= FOLDER_BYTES:
        return name
    digest = hashlib.sha256(_bytes(text)).hexdigest()[:16]
    return f"{name[: FOLDER_BYTES - len(digest) - 1]}-{digest}"


def _patterns(feeds: Sequence[Feed]) -> Iterator[tuple[Feed, str]]:
    for feed in feeds:
        if not feed.paths:
            raise ConfigError(f"feed {feed.name!r}: paths is empty, so nothing would ever belong to it; {_RULE}")
        for pattern in feed.paths:
            yield feed, pattern


def expression(feed: Feed, pattern: str, number: int) -> str:
    """Return a feed's pattern as a regular expression, in the group `pN`, with the customer in `customer_pN`.

    Raises:
        ConfigError: it cannot be understood, or could never fit.
    """
    *folders, last = pattern.split("/")
    why = _wrong(folders, last, pattern)
    if why:
        raise ConfigError(f"feed {feed.name!r}: paths: {pattern!r}: {why}; {_RULE}")
    text = "".join("(?:.+/)?" if part == "**" else f"{_component(part)}/" for part in folders)
    text += ".+" if last == "**" else _component(last)
    return f"(?P<p{number}>{text.replace(CUSTOMER, f'(?P<customer_p{number}>[^/]+)')})"


def _wrong(folders: Sequence[str], last: str, pattern: str) -> str:
    """Say what is wrong with a pattern; empty when nothing is."""
    parts = [*folders, last]
    if not all(parts):
        return "it must not be empty, start or end with / or have // in it"
    hidden = [part for part in folders if left_out_folder(part)] + [last] * (last in (".", ".."))
    if hidden:
        return f"{hidden[0]!r}: folders that start with . or _ are never looked into"
    if pattern.count(CUSTOMER) > 1:
        return f"{CUSTOMER} stands in it twice"
    for token in (token for part in parts for token in _TOKENS.findall(part) if part != "**"):
        if token.startswith("**"):
            return "** must stand alone between slashes"
        if token[0] in "{}" and token != CUSTOMER:
            return f"{token!r} is not known"
    return ""


def _component(part: str) -> str:
    return "".join(
        _MEANS.get(token, token if token == CUSTOMER else re.escape(token)) for token in _TOKENS.findall(part)
    )


def _bytes(text: str) -> bytes:
    """Return the bytes of a file's name that is not UTF-8, or just UTF-8."""
    return text.encode("utf-8", "surrogateescape")
