"""How a message gets to people: posted to a webhook, or handed to a command. Slow to import: only where one is set."""

from __future__ import annotations

import hashlib
import hmac
import os
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from contextlib import suppress
from typing import Final, Protocol
from urllib.parse import urlsplit

import requests

from daemon import __version__
from daemon.errors import UndeliveredError
from validators.sentences import printable

#: The header that signs a message: `sha256=` and the HMAC-SHA-256 of the body's bytes in hexadecimal digits.
SIGNATURE: Final = "X-Blobdrop-Signature"
#: The header with the message's id: the same one may come twice.
ID: Final = "X-Blobdrop-Id"
#: What a command sees of the environment: no key of ours.
PASSED_ON: Final = ("PATH", "HOME", "USER", "LANG", "LC_ALL", "TZ", "TMPDIR", "SSL_CERT_FILE")
#: Characters that are told of what a command wrote.
SHOWN: Final = 200
#: How often is looked whether a command has ended, seconds.
LOOK_SECONDS: Final = 0.05


class Way(Protocol):
    """A way to people."""

    def deliver(self, body: bytes, id_: str) -> None:
        """Deliver a message.

        Raises:
            UndeliveredError: it may not have come; it is to be delivered again, under the same id.
        """

    def stop(self) -> None:
        """Give up what is under way. From any thread."""


class Webhook:
    """Posts messages to a URL."""

    def __init__(self, url: str, *, secret: str, timeout_seconds: float) -> None:
        """Post nothing yet; a `secret` signs what is posted."""
        self._url, self._secret, self._timeout_seconds = url, secret.encode(), timeout_seconds
        # The URL may be a secret itself: only its host is told.
        self._host = urlsplit(url).hostname
        self._asking: threading.Thread | None = None

    def deliver(self, body: bytes, id_: str) -> None:
        """Post a message; whatever answers 200 to 299 in time has it.

        In a thread of its own: the library bounds each byte's time, and neither that of a whole answer nor of a look-up
        of the host's name. Whoever has not ended an answer by then is not asked again until it has.
        """
        if self._asking is not None and self._asking.is_alive():
            raise UndeliveredError(f"{self._host} has not ended its answer to the last message")
        answer: Future[int] = Future()
        self._asking = threading.Thread(target=self._ask, args=(body, id_, answer), name="webhook", daemon=True)
        self._asking.start()
        # Not for the answer, after which the thread still lets go of the connection: the next message may come at once.
        self._asking.join(self._timeout_seconds)
        if not answer.done():
            raise UndeliveredError(f"{self._host} did not answer within {self._timeout_seconds:g} s")
        try:
            status = answer.result()
        except (requests.RequestException, OSError) as error:
            raise UndeliveredError(f"{self._host} could not be asked: {type(error).__name__}") from None
        if status // 100 != 2:  # noqa: PLR2004 - "2xx: successful"
            raise UndeliveredError(f"{self._host} answered {status}, expected 200 to 299")

    def stop(self) -> None:
        """Let it be: it ends with its time."""

    def _ask(self, body: bytes, id_: str, answer: Future[int]) -> None:
        headers = {"Content-Type": "application/json", "User-Agent": f"blobdrop/{__version__}", ID: id_}
        if self._secret:
            headers[SIGNATURE] = f"sha256={hmac.new(self._secret, body, hashlib.sha256).hexdigest()}"
        try:
            # Nobody's redirection is followed with a URL that may be secret.
            with requests.post(
                self._url, data=body, headers=headers, timeout=self._timeout_seconds, allow_redirects=False, stream=True
            ) as said:
                answer.set_result(said.status_code)
        except (requests.RequestException, OSError) as error:
            answer.set_exception(error)


class Command:
    """Hands messages to a program on its standard input."""

    def __init__(self, argv: Sequence[str], *, timeout_seconds: float, environ: Mapping[str, str]) -> None:
        """Start nothing yet."""
        self._argv, self._timeout_seconds = list(argv), timeout_seconds
        self._environ = {name: environ[name] for name in PASSED_ON if name in environ}
        self._is_stopped = threading.Event()

    def deliver(self, body: bytes, id_: str) -> None:
        """Start the program with a message; whatever ends with 0 in time has it."""
        environ = {**self._environ, "BLOBDROP_MESSAGE_ID": id_}
        # Files and not pipes: a program that reads nothing, or writes much, holds up nobody.
        with tempfile.TemporaryFile() as given, tempfile.TemporaryFile() as written:
            given.write(body)
            given.seek(0)
            try:
                process = subprocess.Popen(  # noqa: S603 - the operator's own program
                    self._argv, stdin=given, stdout=written, stderr=written, env=environ, start_new_session=True
                )
            except OSError as error:
                raise UndeliveredError(f"{self._argv[0]} cannot be started: {error.strerror}") from error
            code = self._wait(process)
            if code:
                written.seek(0)
                said = printable(written.read(1 << 16).decode(errors="replace").strip())[-SHOWN:]
                raise UndeliveredError(f"{self._argv[0]} ended with {code}, expected 0" + (f": {said}" if said else ""))

    def stop(self) -> None:
        """End the program that runs."""
        self._is_stopped.set()

    def _wait(self, process: subprocess.Popen[bytes]) -> int:
        ends = time.monotonic() + self._timeout_seconds
        while process.poll() is None:
            if time.monotonic() >= ends or self._is_stopped.wait(LOOK_SECONDS):
                _kill(process)
                why = "the daemon stopped" if self._is_stopped.is_set() else f"it took {self._timeout_seconds:g} s"
                raise UndeliveredError(f"{self._argv[0]} was ended: {why}")
        return process.returncode


def _kill(process: subprocess.Popen[bytes]) -> None:
    """End a program with all that it has started."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
