"""One long JSON text, value by value, in bounded memory: a window slides over it. Knows nothing of records."""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Iterable, Iterator
from typing import Any, Final

from validators.errors import FileProblem
from validators.readers.formats import cut_short
from validators.readers.jsonrecords import BLANKS, DECODER, MAX_DEPTH, excerpt

_BLANKS: Final = re.compile(f"[{BLANKS}]*")


def decoded(blocks: Iterable[bytes]) -> Iterator[str]:
    """Decode blocks of UTF-8 that are cut anywhere; bytes that are not UTF-8 become lone surrogates."""
    decoder = codecs.getincrementaldecoder("utf-8")("surrogateescape")
    for block in blocks:
        yield decoder.decode(block)
    yield decoder.decode(b"", final=True)


class JsonText:
    """A position in a JSON text. Every method starts there, skips blanks, and moves on."""

    def __init__(self, blocks: Iterator[str], max_chars: int) -> None:
        """Start at the beginning of `blocks`; no value on its own may be longer than `max_chars`."""
        self._blocks = blocks
        self._max_chars = max_chars
        self._window = ""
        self._at = 0
        self._ended = False
        #: Where the window begins: line ends before it, and characters before it on its line.
        self._lines = 0
        self._columns = 0
        #: How far into the window lines have been counted, and how many there are up to there.
        self._counted = 0
        self._count = 0

    def peek(self) -> str:
        """Return the next character that is not blank; empty at the end."""
        while True:
            match = _BLANKS.match(self._window, self._at)
            assert match is not None  # noqa: S101 - it matches nothing, if need be
            self._at = match.end()
            if self._at < len(self._window) or self._ended:
                return self._window[self._at : self._at + 1]
            self._slide(1)

    def take(self, *characters: str) -> str:
        """Step over one of `characters`, and return it; any other one is a syntax error."""
        found = self.peek()
        if found not in characters or not found:
            wanted = " or ".join(map(repr, characters))
            raise self._problem(self._at, f"expected {wanted}, found {repr(found) if found else 'the end of the file'}")
        self._at += 1
        return found

    def value(self) -> tuple[Any, str]:
        """Step over one value, and return it parsed, and as it stands."""
        self.peek()
        while True:
            try:
                value, end = DECODER.raw_decode(self._window, self._at)
            except json.JSONDecodeError as error:
                if self._ended or not cut_short(error):
                    raise self._problem(error.pos, error.msg) from error
            except RecursionError as error:
                raise self._problem(self._at, f"values nested more than {MAX_DEPTH} levels deep") from error
            else:
                # A number at the window's end may go on behind it, as `1` does in `1.5` or `1e+5`.
                if end + 2 < len(self._window) or self._ended:
                    return value, self._step(end)
            self._slide(len(self._window) - self._at)

    def array_of_objects(self) -> bool:
        """Tell whether an array whose first element is an object begins here; moves only over blanks."""
        if self.peek() != "[":
            return False
        while True:
            match = _BLANKS.match(self._window, self._at + 1)
            assert match is not None  # noqa: S101 - it matches nothing, if need be
            if match.end() < len(self._window) or self._ended:
                return self._window[match.end() : match.end() + 1] == "{"
            self._slide(len(self._window) - self._at)

    def elements(self) -> Iterator[tuple[Any, str, int]]:
        """Step through an array: each element parsed, as it stands, and the line that it starts on."""
        self.take("[")
        if self.peek() == "]":
            self.take("]")
            return
        while True:
            self.peek()
            line = self.line
            yield (*self.value(), line)
            if self.take(",", "]") == "]":
                return

    def members(self) -> Iterator[str]:
        """Step through an object: yield each key; the caller steps over its value before it asks for the next one."""
        self.take("{")
        if self.peek() == "}":
            self.take("}")
            return
        while True:
            if self.peek() != '"':
                self.take('"')
            key, _ = self.value()
            self.take(":")
            yield key
            if self.take(",", "}") == "}":
                return

    def end(self) -> None:
        """Refuse anything but blanks."""
        if self.peek():
            found = excerpt(self._window[self._at :], 0)
            raise self._problem(self._at, f"expected the end of the file, found {found}")

    def too_long(self) -> FileProblem:
        """Return the refusal of a record over the limit."""
        return FileProblem(
            "line_too_long",
            f"the record at line {self.line:,} has more than {self._max_chars:,} characters, which is the limit",
            hint="Write the rows as an array of objects, or as NDJSON, one object on a line.",
            line=self.line,
        )

    @property
    def line(self) -> int:
        """The 1-based line of the position."""
        self._count += self._window.count("\n", self._counted, self._at)
        self._counted = self._at
        return self._lines + self._count + 1

    def _step(self, end: int) -> str:
        if end - self._at > self._max_chars:
            raise self.too_long()
        text, self._at = self._window[self._at : end], end
        return text

    def _slide(self, wanted: int) -> None:
        """Drop what lies behind the position, and add at least `wanted` characters if there are as many.

        A value that does not fit is parsed again in a window that is twice as long, so that it costs its length.
        """
        if len(self._window) - self._at > self._max_chars:
            raise self.too_long()
        parts, size = [self._window[self._at :]], 0
        while size < max(1, wanted) and not self._ended:
            block = next(self._blocks, None)
            self._ended = block is None
            parts.append(block or "")
            size += len(parts[-1])
        self._pass_over(self._at)
        self._window = "".join(parts)
        self._at = 0

    def _pass_over(self, count: int) -> None:
        """Note the lines and columns of the first characters of the window, which are dropped."""
        self._lines = self.line - 1
        self._count = self._counted = 0
        last = self._window.rfind("\n", 0, count)
        self._columns = count - last - 1 if last >= 0 else self._columns + count

    def _problem(self, at: int, what: str) -> FileProblem:
        line = self._lines + self._window.count("\n", 0, at) + 1
        last = self._window.rfind("\n", 0, at)
        column = at - last if last >= 0 else self._columns + at + 1
        return FileProblem(
            "invalid_json",
            f"line {line:,}, column {column:,} is not JSON: {what}; nothing after it can be trusted",
            hint="Mend it there; written as NDJSON (.ndjson, one object on a line), a broken record spoils no other.",
            line=line,
        )
