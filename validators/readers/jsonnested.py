"""Nested JSON values as compact JSON text, their numbers as written: the quick way, for values without any flaw."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Final

#: Stands around the digits of a number while it is a string; a text that has it itself is done the slow way.
_MARK: Final = "\ue000"
_MARKED: Final = f"{_MARK}%s{_MARK}"
#: Levels that a text may have is bounded by its brackets; where there are more than that, the slow way counts levels.
_MOST_BRACKETS: Final = 64

_ENCODER: Final = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))


class NotQuickError(ValueError):
    """A text may have a flaw, or cannot be told from the marks; the slow way finds out."""


def _refuse(_: str) -> str:
    raise NotQuickError


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise NotQuickError
    return found


_DECODER: Final = json.JSONDecoder(
    parse_int=_MARKED.__mod__, parse_float=_MARKED.__mod__, parse_constant=_refuse, object_pairs_hook=_object
)


class Nested:
    """What is nested in records, by the texts that they were parsed from."""

    def __init__(self, texts: Sequence[str]) -> None:
        """Keep the records' texts; each is parsed when one of its values is asked for."""
        self._texts = texts
        self._parsed: dict[int, dict[str, Any]] = {}

    def text(self, record: int, key: str) -> str:
        """Return the compact text of one value.

        Raises:
            NotQuickError: the record may have a flaw.
        """
        found = self._parsed.get(record)
        if found is None:
            found = self._parsed[record] = self._parse(self._texts[record])
        return _ENCODER.encode(found[key]).replace(f'"{_MARK}', "").replace(f'{_MARK}"', "")

    def _parse(self, text: str) -> dict[str, Any]:
        if text.count("[") + text.count("{") > _MOST_BRACKETS or _MARK in text or "\\ue000" in text.lower():
            raise NotQuickError
        found: dict[str, Any] = _DECODER.decode(text)
        return found
