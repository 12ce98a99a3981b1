"""The settings of those who watch: what the HTTP endpoint tells programs."""

from __future__ import annotations

import ipaddress
import re
from typing import Final, Self

from pydantic import Field, field_validator, model_validator

from daemon.sections import Section

#: HOST:PORT; an IPv6 address stands in brackets.
_PLACE: Final = re.compile(r"(?:\[(?P<six>[0-9A-Fa-f:.]+)\]|(?P<host>[^:\[\]]+)):(?P<port>\d{1,5})")
MOST_PORT: Final = 65_535


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
