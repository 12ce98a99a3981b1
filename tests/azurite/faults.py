"""A small HTTP proxy before Azurite that does what networks and busy services do, when a test says so."""

from __future__ import annotations

import http.client
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final
from urllib.parse import urlsplit

from tests.azurite.running import Container

#: Headers that are of one connection only, or that the proxy writes itself.
_OWN: Final = ("connection", "keep-alive", "transfer-encoding", "content-length", "date", "server")


@dataclass(frozen=True, kw_only=True)
class Fault:
    """What becomes of one request."""

    #: Answered with this status and error code instead of being passed on; 0 to pass it on.
    status: int = 0
    code: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    #: Seconds before the answer.
    stall_seconds: float = 0.0
    #: The answer's body ends after so many bytes; None for all.
    cut: int | None = None
    #: Whether the connection is then reset, or just closed.
    reset: bool = False
    #: Whether the answer is lost, though the service has done what was asked.
    lost: bool = False


BUSY: Final = Fault(status=503, code="ServerBusy", headers={"Retry-After": "1"})
BROKEN: Final = Fault(status=500, code="InternalError")
DENIED: Final = Fault(status=403, code="AuthorizationPermissionMismatch")
#: Is told of a request (method, path with query) and says what becomes of it; None for nothing.
Rule = Callable[[str, str], Fault | None]


class Proxy:
    """A proxy that runs, and what has gone through it."""

    def __init__(self, target: int) -> None:
        """Pass everything on to a port of this machine, until `rule` says otherwise."""
        self.target = target
        self.rule: Rule = lambda _method, _path: None
        self.asked: list[tuple[str, str]] = []
        #: By how much its clock is ahead of ours.
        self.ahead_seconds = 0.0
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), type("Bound", (_Passing,), {"proxy": self}))
        self._server.daemon_threads = True

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self._server.server_address[1])

    def environment(self, container: Container) -> dict[str, str]:
        """Return the variables that make blobdrop drop from a container through this proxy."""
        straight = f"127.0.0.1:{self.target}"
        return {
            name: value.replace(straight, f"127.0.0.1:{self.port}") for name, value in container.environment.items()
        }

    def count(self, method: str = "", part: str = "") -> int:
        """Return how many requests there were so far with this method and this in their path."""
        return sum(method in one and part in path for one, path in list(self.asked))

    def serve(self) -> None:
        """Pass on until closed."""
        self._server.serve_forever(poll_interval=0.05)

    def close(self) -> None:
        """Listen no longer."""
        self._server.shutdown()
        self._server.server_close()


@contextmanager
def proxy_to(container: Container) -> Iterator[Proxy]:
    """Run a proxy before the service of a container, for the length of a `with`."""
    port = urlsplit(container.url).port
    assert port is not None
    made = Proxy(port)
    thread = threading.Thread(target=made.serve, daemon=True)
    thread.start()
    try:
        yield made
    finally:
        made.close()
        thread.join()


class _Passing(BaseHTTPRequestHandler):
    proxy: Proxy
    protocol_version = "HTTP/1.1"

    def handle(self) -> None:
        with suppress(ConnectionError, TimeoutError):
            super().handle()

    def do_any(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(length) if length else b""
        self.proxy.asked.append((self.command, self.path))
        fault = self.proxy.rule(self.command, self.path) or Fault()
        time.sleep(fault.stall_seconds)
        if fault.status:
            self._answer(fault.status, {"x-ms-error-code": fault.code, **fault.headers}, b"")
            return
        status, headers, answer = self._passed_on(body)
        if fault.lost:
            self._end(reset=True)
            return
        self._answer(status, headers, answer, fault)

    do_GET = do_PUT = do_HEAD = do_DELETE = do_POST = do_any  # noqa: N815 - the names that http.server looks for

    def _passed_on(self, body: bytes) -> tuple[int, dict[str, str], bytes]:
        try:
            connection = http.client.HTTPConnection("127.0.0.1", self.proxy.target, timeout=30)
            connection.request(self.command, self.path, body=body, headers=dict(self.headers))
            response = connection.getresponse()
            answer = response.read()
            connection.close()
        except OSError:
            self._end(reset=True)
            raise ConnectionResetError from None
        headers = {name: value for name, value in response.getheaders() if name.lower() not in _OWN}
        if self.command == "HEAD":
            headers["Content-Length"] = response.getheader("Content-Length", "0")
        return response.status, headers, answer

    def _answer(self, status: int, headers: dict[str, str], body: bytes, fault: Fault | None = None) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        if fault is None or fault.cut is None or len(body) <= fault.cut:
            self.wfile.write(body)
            return
        self.wfile.write(body[: fault.cut])
        self.wfile.flush()
        self._end(reset=fault.reset)

    def _end(self, *, reset: bool) -> None:
        """Close the connection; with a reset, so that the other side gets an error and no end."""
        if reset:
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close_connection = True
        with suppress(OSError):
            self.connection.shutdown(socket.SHUT_RDWR) if not reset else self.connection.close()

    def date_time_string(self, timestamp: float | None = None) -> str:
        """Return what the header Date says."""
        return super().date_time_string((time.time() if timestamp is None else timestamp) + self.proxy.ahead_seconds)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - as http.server calls it
        """Say nothing."""
