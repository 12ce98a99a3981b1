"""The settings of those who watch: what the HTTP endpoint tells programs, and which messages people get."""

from __future__ import annotations

import enum
import ipaddress
import re
from typing import Final, Self
from urllib.parse import urlsplit

from pydantic import Field, field_validator, model_validator

from daemon.settings.sections import Section, twice

#: HOST:PORT; an IPv6 address stands in brackets.
_PLACE: Final = re.compile(r"(?:\[(?P<six>[0-9A-Fa-f:.]+)\]|(?P<host>[^:\[\]]+)):(?P<port>\d{1,5})")
MOST_PORT: Final = 65_535

#: Hours and minutes of a day.
_TIME: Final = re.compile(r"([01]\d|2[0-3]):[0-5]\d")
#: A variable's name; those of settings are no secrets' names.
_VARIABLE: Final = re.compile(r"(?!BLOBDROP_)[A-Z_][A-Z0-9_]*")


class On(enum.StrEnum):
    """What people can be told of."""

    #: A drop was rejected as a whole.
    DROP_REJECTED = "drop_rejected"
    #: More of a drop's rows were rejected than `reject_ratio_above`; a rejected one counts where the above is not told.
    REJECT_RATIO = "reject_ratio"
    #: A drop could not be worked, whatever its data.
    DROP_FAILED = "drop_failed"
    #: A `_READY` marker was refused.
    MARKER_REFUSED = "marker_refused"
    #: A day is ready and waits for somebody to say that it may be closed.
    DAY_HELD = "day_held"
    #: A day was closed, or closed again.
    DAY_CLOSED = "day_closed"
    #: No drop of a feed came since its day began, by `arrive_by`.
    NOTHING_ARRIVED = "nothing_arrived"


class HttpSettings(Section):
    """What programs that watch the daemon are told: /metrics for Prometheus, /healthz and /readyz."""

    listen: str = Field(
        "", description="the address of the endpoint, such as 127.0.0.1:9464 or [::1]:9464; empty for no endpoint"
    )
    allow_remote: bool = Field(
        False, description="whether that may be an address which other machines reach: there is no password"
    )

    @field_validator("listen")
    @classmethod
    def _is_place(cls, value: str) -> str:
        if value:
            _place(value)
        return value

    @model_validator(mode="after")
    def _is_ours(self) -> Self:
        if self.listen and not self.allow_remote and not ipaddress.ip_address(self.place[0]).is_loopback:
            raise ValueError(
                f"listen = {self.listen!r} can be reached by other machines, and nobody is asked for a password; "
                "expected an address such as 127.0.0.1:9464, or allow_remote = true beside it"
            )
        return self

    @property
    def place(self) -> tuple[str, int]:
        """The address and the port to listen on."""
        return _place(self.listen)


def _place(value: str) -> tuple[str, int]:
    found = _PLACE.fullmatch(value)
    host = found and (found["six"] or {"localhost": "127.0.0.1"}.get(found["host"], found["host"]))
    try:
        address = str(ipaddress.ip_address(host or ""))
        port = int(found["port"]) if found else -1
    except ValueError:
        address, port = "", -1
    if not address or not 0 <= port <= MOST_PORT:
        raise ValueError("expected ADDRESS:PORT such as 127.0.0.1:9464 or [::1]:9464; a name but localhost is none")
    return address, port


class NotifySettings(Section):
    """Whom to tell of what, and how: by a webhook, or by a command."""

    name: str = Field(
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$",
        description="what logs call it, and the file beside the ledger that says how far it has come",
    )
    on: tuple[On, ...] = Field(
        description="drop_rejected, reject_ratio, drop_failed, marker_refused, day_held, day_closed, nothing_arrived"
    )
    feeds: tuple[str, ...] = Field((), description="the feeds that it is about; empty for all")
    webhook: str = Field("", repr=False, description="the URL that a message is posted to, as JSON")
    webhook_from: str = Field(
        "", description="the variable, or the credential's file, with the URL where that is secret"
    )
    command: tuple[str, ...] = Field(
        (), description="instead of a webhook: a program and its arguments, which gets a message as JSON on its input"
    )
    secret_from: str = Field(
        "",
        description="the variable, or the credential's file, with the key that signs messages",
    )
    secret: str = Field("", repr=False, description="the key itself, where this file is secret; better secret_from")
    window_seconds: float = Field(
        60.0,
        ge=1,
        le=86_400,
        description="seconds from the first thing to its message, which has all until then",
    )
    timeout_seconds: float = Field(10.0, gt=0, le=300, description="seconds that a webhook or a command may take")
    reject_ratio_above: float = Field(
        0.1, ge=0, le=1, description="share of a drop's rows rejected above which reject_ratio is told"
    )
    arrive_by: str = Field(
        "", description="the time of day, such as 09:00 in the feed's timezone, for nothing_arrived; each day"
    )

    @field_validator("on")
    @classmethod
    def _some(cls, value: tuple[On, ...]) -> tuple[On, ...]:
        if not value:
            raise ValueError(f"expected at least one of {', '.join(On)}")
        if again := twice(value):
            raise ValueError(f"{again} stands there twice")
        return value

    @field_validator("webhook")
    @classmethod
    def _is_url(cls, value: str) -> str:
        if value:
            checked_webhook(value)
        return value

    @field_validator("webhook_from", "secret_from")
    @classmethod
    def _is_name(cls, value: str) -> str:
        if value and not _VARIABLE.fullmatch(value):
            raise ValueError("expected the name of a variable such as NOTIFY_SECRET; those with BLOBDROP_ are settings")
        return value

    @field_validator("arrive_by")
    @classmethod
    def _is_time(cls, value: str) -> str:
        if value and not _TIME.fullmatch(value):
            raise ValueError("expected a time of day from 00:00 to 23:59")
        return value

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        ways = [name for name in ("webhook", "webhook_from", "command") if getattr(self, name)]
        if len(ways) != 1:
            found = f"found {' and '.join(ways)}" if ways else "found none of them"
            raise ValueError(f"expected one of webhook, webhook_from and command; {found}")
        if self.command and not self.command[0].strip():
            raise ValueError("command: expected a program, such as /usr/local/bin/page")
        if self.command and (self.secret or self.secret_from):
            raise ValueError("secret and secret_from sign what a webhook gets; a command needs neither")
        if self.secret and self.secret_from:
            raise ValueError("secret and secret_from are both set; expected one of them")
        if (On.NOTHING_ARRIVED in self.on) != bool(self.arrive_by):
            raise ValueError('nothing_arrived in on and arrive_by go together, such as arrive_by = "09:00"')
        return self


def checked_webhook(url: str) -> str:
    """Return a webhook's URL.

    Raises:
        ValueError: it is none; the message does not show it, as it may be secret.
    """
    try:
        parts = urlsplit(url)
        fine = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        fine = False
    if not fine or not url.isprintable() or " " in url:
        raise ValueError("expected a URL such as https://hooks.example.org/blobdrop")
    return url
