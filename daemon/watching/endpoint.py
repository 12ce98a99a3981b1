"""The HTTP endpoint for programs that watch the daemon: /metrics, /healthz and /readyz, read-only, in threads apart."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final
from urllib.parse import urlsplit

from daemon import __version__
from daemon.errors import EndpointError
from daemon.watching.health import Answer, Health

#: Seconds that a request, and a connection that is kept open, may take to say something.
REQUEST_SECONDS: Final = 5.0
#: Requests at once; further ones are told to come again.
MOST_AT_ONCE: Final = 16
#: Given the header Accept: the page's content type and its bytes.
Page = Callable[[str], tuple[str, bytes]]
NO_PAGE: Final = "there is /metrics, /healthz and /readyz"


class _Server(ThreadingHTTPServer):
    """Answers with what the daemon has; a request is a thread that ends with the process."""

    daemon_threads = True
    request_queue_size = MOST_AT_ONCE

    def __init__(self, address: tuple[str, int], metrics: Page, health: Health) -> None:
        self.metrics, self.health = metrics, health
        self.free = threading.BoundedSemaphore(MOST_AT_ONCE)
        self.address_family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        super().__init__(address, _Requests)

    def server_bind(self) -> None:
        """Bind without looking the machine's name up, which may take long where names do not work."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(self.server_address)
        self.server_address = self.socket.getsockname()

    def process_request(self, request: Any, client_address: Any) -> None:
        """Answer in a thread, unless too many are at work."""
        if not self.free.acquire(blocking=False):
            self.shutdown_request(request)
            return
        super().process_request(request, client_address)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Answer, and make room for another one."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self.free.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of a watcher that went away."""


class _Requests(BaseHTTPRequestHandler):
    """One connection's requests."""

    server: _Server
    server_version = f"blobdrop/{__version__}"
    sys_version = ""
    timeout = REQUEST_SECONDS

    def do_GET(self) -> None:
        """Answer one of the three pages, or that there is no such page."""
        match urlsplit(self.path).path:
            case "/metrics":
                self._say(HTTPStatus.OK, *self.server.metrics(self.headers.get("Accept", "")))
            case "/healthz":
                self._judge(self.server.health.alive())
            case "/readyz":
                self._judge(self.server.health.ready())
            case _:
                self._say(HTTPStatus.NOT_FOUND, "text/plain; charset=utf-8", f"{NO_PAGE}\n".encode())

    do_HEAD = do_GET  # noqa: N815 - as above

    def _judge(self, answer: Answer) -> None:
        status = HTTPStatus.OK if answer.well else HTTPStatus.SERVICE_UNAVAILABLE
        body = json.dumps({"ok": answer.well, **answer.says}, indent=1) + "\n"
        self._say(status, "application/json", body.encode())

    def _say(self, status: HTTPStatus, kind: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - as http.server names it
        """Say nothing: who watches does so several times a minute."""


@contextmanager
def answering(address: tuple[str, int], metrics: Page, health: Health) -> Iterator[tuple[str, int]]:
    """Answer for the length of a `with`; yield where: the port is a free one where 0 was asked for.

    Raises:
        EndpointError: the address cannot be listened on.
    """
    try:
        server = _Server(address, metrics, health)
    except OSError as error:
        host, port = address
        raise EndpointError(
            f"http.listen = {host}:{port}: {error.strerror}. Stop what listens there, or choose another address"
        ) from error
    thread = threading.Thread(target=server.serve_forever, name="endpoint", daemon=True, kwargs={"poll_interval": 0.2})
    thread.start()
    try:
        yield str(server.server_address[0]), int(server.server_address[1])
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
