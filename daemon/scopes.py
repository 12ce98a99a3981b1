"""Whom a marker or a signal speaks for: by the folder that it lies in, or by the feed that it names."""

from __future__ import annotations

import re
from collections.abc import Sequence

from daemon.feeds import CUSTOMER, DEFAULT_CUSTOMER, customer_in, expression
from daemon.model import Feed

#: A feed's name and a customer's.
Scope = tuple[str, str]
#: Last parts of patterns that take every file of a folder.
EVERY_FILE = ("**", "*")
#: The folder of signals, in any case of letters.
SIGNALS = "signals"

#: The group of a pattern's expression.
GROUP = "p0"


class Scopes:
    """The folders of the feeds' scopes, in the order in which patterns are tried."""

    def __init__(self, feeds: Sequence[Feed]) -> None:
        """Compile all patterns.

        Raises:
            ConfigError: a pattern cannot be understood.
        """
        patterns = [(feed, *_parted(pattern)) for feed in feeds for pattern in feed.paths]
        self._names = frozenset(feed.name for feed in feeds)
        #: For each pattern whose folder tells the customer: the feed, what fits, whether it takes every file there.
        self._folders = tuple(
            (feed.name, _fitting(feed, f"{folder}{last if last == '**' else '*'}"), last in EVERY_FILE)
            for feed, folder, last in patterns
            if CUSTOMER not in last
        )
        self._customers = tuple(
            (feed.name, _fitting(feed, f"{folder[: folder.index('/', folder.index(CUSTOMER))]}/**"))
            for feed, folder, _ in patterns
            if CUSTOMER in folder
        )
        #: Feeds some of whose drops are nobody's in particular.
        self._default = frozenset(feed.name for feed in feeds if any(CUSTOMER not in path for path in feed.paths))

    def __contains__(self, feed: object) -> bool:
        """Tell whether there is a feed of this name."""
        return feed in self._names

    def of(self, name: str) -> tuple[Scope, ...]:
        """Return the scopes of which a drop might lie in the same folder as the marker with this path.

        Most often it is one. A folder that only holds folders of scopes is nobody's: then there is none.
        """
        found: dict[Scope, None] = {}
        for feed, fit, every in self._folders:
            if fits := fit.fullmatch(name):
                found[feed, customer_in(fits, GROUP)] = None
                if every:  # no later pattern is asked about anything in this folder
                    break
        return tuple(found)

    def named(self, name: str, feed: str) -> tuple[Scope, ...]:
        """Return the scope of a feed that a marker with this path names: its customer's, wherever it lies below."""
        if lying := self.of(name):
            return ((feed, lying[0][1]),)
        for theirs, fit in self._customers:
            if theirs == feed and (fits := fit.fullmatch(name)):
                return ((feed, customer_in(fits, GROUP)),)
        return ((feed, DEFAULT_CUSTOMER),) if feed in self._default and "/" not in name else ()

    def signalled(self, name: str) -> tuple[Scope, ...]:
        """Return the scopes that a signal with this path speaks for, by the folder that its `signals` folder lies in.

        In a feed's folder it is that feed's; beside feeds' folders it is all of the customer's feeds', or just one's
        in a folder of its name below `signals`.
        """
        *folders, _ = name.split("/")
        at = next(number for number, folder in enumerate(folders) if folder.casefold() == SIGNALS)
        beside = "/".join([*folders[:at], "_"])
        if lying := self.of(beside):
            return lying
        named = [folder for folder in folders[at + 1 : at + 2] if folder in self._names]
        if at == 0:
            return tuple((feed, DEFAULT_CUSTOMER) for feed in named or sorted(self._default) if feed in self._default)
        found = {(feed, customer_in(fits, GROUP)) for feed, fit in self._customers if (fits := fit.fullmatch(beside))}
        return tuple(sorted(scope for scope in found if scope[0] in (named or self._names)))


def _parted(pattern: str) -> tuple[str, str]:
    folder, slash, last = pattern.rpartition("/")
    return folder + slash, last


def _fitting(feed: Feed, pattern: str) -> re.Pattern[str]:
    return re.compile(expression(feed, pattern, 0), re.DOTALL)
