"""What the daemon says while it works: an event's name and fields, as text for people or as JSON for machines."""

from __future__ import annotations

import logging
import os
import re
import time
from collections.abc import Mapping
from typing import Literal, TextIO

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from daemon.errors import ConfigError

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
    """One line for an event: time, event, fields; the level where it is not `info`; a traceback below."""

    def __init__(self, *, colours: bool, encoding: str) -> None:
        self._colours = colours
        self._encoding = encoding

    def __call__(self, _logger: WrappedLogger, _method: str, event: EventDict) -> str:
        level, name, exception = event.pop("level"), event.pop("event"), event.pop("exception", "")
        words = [time.strftime("%Y-%m-%d %H:%M:%S")]
        words += [self._in(_COLOURS[level], level)] * (level != "info")
        words += [self._in(_COLOURS[level], _printable(str(name)))]
        words += [self._in(_DIM, f"{key}=") + _shown(value) for key, value in event.items()]
        line = " ".join(words) + (f"\n{_printable(exception)}" if exception else "")
        return line.encode(self._encoding, "backslashreplace").decode(self._encoding)

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
