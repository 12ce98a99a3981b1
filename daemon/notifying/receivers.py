"""Wires those who are told by messages: each `[[notify]]` becomes a way to people, and what is told on it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path

import structlog

from daemon.errors import ConfigError
from daemon.keys import secret
from daemon.ledger.opening import file_of
from daemon.notifying import Notifier
from daemon.notifying.news import News
from daemon.notifying.ways import Command, Way, Webhook
from daemon.parts import Parts
from daemon.settings import Settings
from daemon.settings.watching import NotifySettings, checked_webhook

IN_CLEAR = "whoever may read the configuration may sign messages; name a variable or credential by secret_from instead"


def notifiers(settings: Settings, parts: Parts, environ: Mapping[str, str]) -> Iterator[Notifier]:
    """Yield one for each `[[notify]]`, not yet started.

    Raises:
        ConfigError: a secret or a command is not there.
        WorkError: the ledger cannot be read.
    """
    ledger = file_of(settings.ledger.url)
    for wanted in settings.notify:
        yield Notifier(
            wanted.name,
            parts.ledger,
            News(parts.ledger, parts.feeds, wanted),
            way(wanted, environ),
            file=ledger.with_name(f"{ledger.name}.notify.{wanted.name}"),
            window_seconds=wanted.window_seconds,
            log=parts.log,
            clock=parts.clock,
        )


def way(wanted: NotifySettings, environ: Mapping[str, str]) -> Way:
    """Return the way to people that is set.

    Raises:
        ConfigError: a secret or a command is not there.
    """
    if wanted.command:
        return _command(wanted, environ)
    setting = f"notify ({wanted.name}): "
    url = wanted.webhook
    if wanted.webhook_from:
        try:
            url = checked_webhook(secret(wanted.webhook_from, environ, f"{setting}webhook_from"))
        except ValueError as error:
            raise ConfigError(f"{setting}webhook_from = {wanted.webhook_from!r}: {error}") from None
    key = secret(wanted.secret_from, environ, f"{setting}secret_from") if wanted.secret_from else wanted.secret
    if wanted.secret:
        structlog.get_logger().warning("notify.secret_in_clear", notify=wanted.name, note=IN_CLEAR)
    return Webhook(url, secret=key, timeout_seconds=wanted.timeout_seconds)


def _command(wanted: NotifySettings, environ: Mapping[str, str]) -> Way:
    program = wanted.command[0]
    found = shutil.which(program, path=environ.get("PATH"))
    if found is None:
        raise ConfigError(
            f"notify ({wanted.name}): command = {program!r}: there is no such program, or it may not be run; "
            "expected one such as /usr/local/bin/page"
        )
    argv = (str(Path(found).absolute()), *wanted.command[1:])
    return Command(argv, timeout_seconds=wanted.timeout_seconds, environ=environ)
