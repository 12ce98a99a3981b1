"""Did you mean: the allowed word nearest to the one that was found."""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence

#: How alike two words must be, from 0 to 1, before one is suggested for the other; below it suggestions mislead.
LIKENESS = 0.6
#: Longer words are not compared: nobody mistypes an essay, and comparing takes quadratic time.
LONGEST_WORD = 100
#: Blanks and separators, in which column names and ids differ most often.
_SEPARATORS = re.compile(r"[\s_\-.]+")


def suggest(value: str, allowed: Sequence[str]) -> str | None:
    """Return the one of `allowed` that was probably meant by `value`, or None.

    Words that differ only in case, blanks and separators (`userID` for `user_id`) come first, then the most alike.
    """
    if len(value) > LONGEST_WORD:
        return None
    plain = _plain(value)
    for word in allowed:
        if word != value and _plain(word) == plain:
            return word
    by_plain = {_plain(word): word for word in reversed(allowed) if len(word) <= LONGEST_WORD and word != value}
    close = difflib.get_close_matches(plain, list(by_plain), n=1, cutoff=LIKENESS)
    return by_plain[close[0]] if close else None


def did_you_mean(value: str, allowed: Sequence[str]) -> str:
    """Return `did you mean 'user_id'?`, or nothing where no word is near."""
    word = suggest(value, allowed)
    return f"did you mean '{word}'?" if word else ""


def _plain(word: str) -> str:
    return _SEPARATORS.sub("", word).casefold()
