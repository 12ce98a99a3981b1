"""What the daemon says while it works: an event's name and fields, as text for people or as JSON for machines."""

from __future__ import annotations

import logging
import os
import re
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Literal, TextIO

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from daemon.errors import ConfigError
from daemon.lines import drop_line

FORMATS = ("auto", "text", "json")
LEVELS = ("debug", "info", "warning", "error")

#: Escape sequences of a terminal: how a line's level colours its event, and fields their names.
_COLOURS = {
    "debug": "\x1b[2m",
    "info": "\x1b[1m",
    "warning": "\x1b[1;33m",
    "error": "\x1b[1;31m",
    "critical": "\x1b[1;31m",
}
#: Of the words for what became of a drop; the others are warnings.
_STATES = {
    "ingested": "\x1b[32m",
    "duplicate": "\x1b[36m",
    "stopped": "\x1b[1m",
    "rejected": "\x1b[31m",
    "failed": "\x1b[1;31m",
}
_DIM, _PLAIN = "\x1b[2m", "\x1b[0m"
#: A value that needs no quotes to be told from its neighbours.
_bare = re.compile(r"[^\s\"'=]+").fullmatch


def configure(format: str, level: str, stream: TextIO, *, environ: Mapping[str, str] = os.environ) -> None:  # noqa: A002
    """Send all events of `level` and above to `stream`, and the warnings of libraries as the event `library`.

    Args:
        format: `text`, `json`, or `auto`: JSON under systemd (it sets `INVOCATION_ID` and `JOURNAL_STREAM`), else text.
        level: `debug`, `info`, `warning` or `error`.
        stream: where lines go; a terminal gets colours unless `NO_COLOR` is set.
        environ: the environment.

    Raises:
        ConfigError: there is no such format or level.
    """
    _known("log format", format, FORMATS)
    _known("log level", level, LEVELS)
    kind = format_for(stream, environ) if format == "auto" else format
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            *(_json() if kind == "json" else _text(stream, environ)),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        logger_factory=structlog.WriteLoggerFactory(stream),
        cache_logger_on_first_use=False,
    )
    root = logging.getLogger()
    for old in [each for each in root.handlers if isinstance(each, _Libraries)]:
        root.removeHandler(old)
    root.addHandler(_Libraries(logging.WARNING))


def format_for(stream: TextIO, environ: Mapping[str, str]) -> Literal["text", "json"]:
    """Choose for `auto`. Terminals get text even where a desktop's service manager has left its variables."""
    under_systemd = "INVOCATION_ID" in environ or "JOURNAL_STREAM" in environ
    return "json" if under_systemd and not stream.isatty() else "text"


def _known(what: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise ConfigError(f"{what} is {value!r}; it must be one of {', '.join(allowed)}")


def _json() -> tuple[Processor, ...]:
    return (
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="time"),
        structlog.processors.format_exc_info,
        structlog.processors.JSONRenderer(default=str),
    )


def _text(stream: TextIO, environ: Mapping[str, str]) -> tuple[Processor, ...]:
    colours = stream.isatty() and not environ.get("NO_COLOR") and environ.get("TERM") != "dumb"
    return structlog.processors.format_exc_info, _Text(colours=colours, encoding=stream.encoding or "utf-8")


class _Text:
    """One line for an event: time, event, fields; the level where it is not `info`; a traceback below.

    What becomes of a drop is said in words instead: it is what people watch a terminal for.
    """

    def __init__(self, *, colours: bool, encoding: str) -> None:
        self._colours = colours
        self._encoding = encoding
        self._folder = str(Path.cwd())

    def __call__(self, _logger: WrappedLogger, _method: str, event: EventDict) -> str:
        level, name, exception = event.pop("level"), str(event.pop("event")), event.pop("exception", "")
        said = drop_line(name, event, self._folder)
        words = self._sentence(*said) if said else self._fields(level, name, event)
        line = " ".join([time.strftime("%Y-%m-%d %H:%M:%S"), *words])
        line += f"\n{_printable(exception)}" if exception else ""
        return line.encode(self._encoding, "backslashreplace").decode(self._encoding)

    def _sentence(self, word: str, sentence: str) -> list[str]:
        return [self._in(_STATES.get(word.strip(), _COLOURS["warning"]), word), sentence]

    def _fields(self, level: str, name: str, event: EventDict) -> list[str]:
        words = [self._in(_COLOURS[level], level)] * (level != "info")
        words += [self._in(_COLOURS[level], _printable(name))]
        return words + [self._in(_DIM, f"{key}=") + _shown(value) for key, value in event.items()]

    def _in(self, colour: str, text: str) -> str:
        return f"{colour}{text}{_PLAIN}" if self._colours else text


class _Libraries(logging.Handler):
    """Says what libraries say through `logging` in our own form."""

    def emit(self, record: logging.LogRecord) -> None:
        """Pass the record on as one event."""
        level = min(record.levelno, logging.ERROR)
        event = structlog.get_logger()
        event.log(level, "library", name=record.name, message=record.getMessage(), exc_info=record.exc_info or None)


def _shown(value: object) -> str:
    """Write a value so that it stays on its line and sets no colours, whatever a file is called."""
    text = str(value)
    return text if text.isprintable() and _bare(text) else repr(text)


def _printable(text: str) -> str:
    return "".join(each if each.isprintable() or each in "\n\t" else repr(each)[1:-1] for each in text)
