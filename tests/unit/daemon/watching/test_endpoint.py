"""The endpoint answers programs on this machine, says how the daemon is, and never lets them hold it up."""

from __future__ import annotations

import json
import os
import signal
import socket
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from daemon import app
from daemon.config import load
from daemon.errors import ConfigError, EndpointError
from daemon.places.folder import FolderPlace
from daemon.watching.endpoint import MOST_AT_ONCE, answering
from daemon.watching.health import HANGS_SECONDS, LISTING_SECONDS, Health
from tests.unit.daemon.conftest import Rig


@pytest.fixture
def health(rig: Rig, tmp_path: Path) -> Health:
    return Health(
        ledger=rig.ledger,
        tally=rig.parts.tally,
        tables=FolderPlace(tmp_path / "tables"),
        poll_seconds=2.0,
        clock=rig.clock,
    )


@contextmanager
def served(health: Health) -> Iterator[str]:
    def page(accept: str) -> tuple[str, bytes]:
        return "text/plain", f"page for {accept}".encode()

    with answering(("127.0.0.1", 0), page, health) as (host, port):
        yield f"http://{host}:{port}"


def get(url: str, **headers: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=5) as answer:  # noqa: S310
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def turned(rig: Rig, health: Health) -> None:
    """Have a turn of the loop come to its good end."""
    with rig.parts.tally.timing("list"):
        pass
    timing = rig.parts.tally.stages["list"]
    timing.last = rig.clock()
    health.completed("waiting for drops")


# ---------------------------------------------------------------- HTTP


def test_pages_are_served_as_they_are_asked_for(health: Health) -> None:
    with served(health) as url:
        assert get(f"{url}/metrics", Accept="text/x") == (200, "page for text/x")
        status, body = get(f"{url}/healthz?verbose")
        assert (status, json.loads(body)["ok"]) == (200, True)
        assert get(f"{url}/../etc/passwd")[0] == 404
        assert get(f"{url}/readyz")[0] == 503
        with urllib.request.urlopen(urllib.request.Request(f"{url}/metrics", method="HEAD"), timeout=5) as head:  # noqa: S310
            assert (head.read(), head.headers["Content-Length"]) == (b"", str(len("page for ")))


def test_nothing_can_be_sent_to_it(health: Health) -> None:
    with served(health) as url, pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(f"{url}/metrics", data=b"x", timeout=5)  # noqa: S310
    caught.value.close()
    assert caught.value.code == 501


def test_watchers_that_say_nothing_keep_no_other_one_out_for_long(
    health: Health, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("daemon.watching.endpoint._Requests.timeout", 0.2)
    with served(health) as url:
        host, _, port = url.removeprefix("http://").partition(":")
        silent = [socket.create_connection((host, int(port))) for _ in range(MOST_AT_ONCE)]
        assert all(each.recv(1) == b"" for each in silent), "each is sent away when its time is up"
        assert get(f"{url}/healthz")[0] == 200
        for each in silent:
            each.close()


def test_an_address_in_use_is_an_error_that_names_it(health: Health) -> None:
    with served(health) as url:
        port = int(url.rpartition(":")[2])
        expected = rf"http.listen = 127.0.0.1:{port}: Address already in use. Stop what listens there, or choose"
        with pytest.raises(EndpointError, match=expected), answering(("127.0.0.1", port), lambda _: ("", b""), health):
            pytest.fail("it listens twice")
    with answering(("127.0.0.1", port), lambda _: ("", b""), health) as place:
        assert place == ("127.0.0.1", port), "it can be had again at once, as a reload needs it"


# ---------------------------------------------------------------- HEALTH


def test_it_is_ready_when_all_that_it_needs_has_answered(rig: Rig, health: Health) -> None:
    assert health.alive().well
    assert not health.ready().well
    assert health.ready().says["loop"] == "the first turn is not over"
    turned(rig, health)
    assert health.ready().well
    assert set(health.ready().says.values()) == {"answers"}


def test_an_outage_is_told_and_does_not_make_it_dead(rig: Rig, health: Health) -> None:
    turned(rig, health)
    health.gave_up("trying again in 2 s: the share is gone")
    assert health.alive().well
    assert health.ready().says["loop"] == "trying again in 2 s: the share is gone"
    turned(rig, health)
    assert health.ready().well


def test_a_place_that_was_not_listed_for_long_is_no_place_that_answers(rig: Rig, health: Health) -> None:
    turned(rig, health)
    rig.clock.now += 2 * 2.0 + LISTING_SECONDS
    health.completed("waiting for drops")
    assert health.ready().says["source"].startswith("listed last 64 s ago")
    assert not health.ready().well


def test_a_loop_that_hangs_is_not_alive(rig: Rig, health: Health) -> None:
    turned(rig, health)
    rig.clock.now += HANGS_SECONDS
    assert not health.alive().well
    assert "the last turn ended 300 s ago" in health.alive().says["loop"]


def test_a_ledger_that_is_gone_is_told(rig: Rig, health: Health) -> None:
    turned(rig, health)
    rig.path.unlink()
    rig.ledger.close()
    assert "cannot be opened" in health.ready().says["ledger"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_tables_that_cannot_be_written_are_told(rig: Rig, health: Health, tmp_path: Path) -> None:
    turned(rig, health)
    (tmp_path / "tables").mkdir(mode=0o500, exist_ok=True)
    assert "cannot be written" in health.ready().says["store"]


# ---------------------------------------------------------------- THE SETTING


@pytest.mark.parametrize(
    "listen", ["9464", "127.0.0.1", "example.org:80", "127.0.0.1:70000", "[::1:80", "::1:80", "127.0.0.1:-1"]
)
def test_what_is_no_address_and_port_is_refused(listen: str) -> None:
    with pytest.raises(ConfigError, match=r"expected ADDRESS:PORT such as 127\.0\.0\.1:9464"):
        load(None, {"BLOBDROP_HTTP__LISTEN": listen})


@pytest.mark.parametrize("listen", ["0.0.0.0:9464", "[::]:9464", "10.0.0.1:80"])
def test_an_address_that_others_reach_has_to_be_allowed(listen: str) -> None:
    with pytest.raises(ConfigError, match="can be reached by other machines, and nobody is asked for a password"):
        load(None, {"BLOBDROP_HTTP__LISTEN": listen})
    assert load(None, {"BLOBDROP_HTTP__LISTEN": listen, "BLOBDROP_HTTP__ALLOW_REMOTE": "true"}).settings.http.place


@pytest.mark.parametrize(("listen", "place"), [("localhost:1", ("127.0.0.1", 1)), ("[::1]:65535", ("::1", 65_535))])
def test_addresses_of_this_machine_are_fine(listen: str, place: tuple[str, int]) -> None:
    assert load(None, {"BLOBDROP_HTTP__LISTEN": listen}).settings.http.place == place


# ---------------------------------------------------------------- THE WHOLE


def test_a_daemon_serves_its_figures_while_it_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    configuration = load(None, {"BLOBDROP_HTTP__LISTEN": "127.0.0.1:0", "BLOBDROP_SOURCE__POLL_SECONDS": "0.1"})
    seen: dict[str, Any] = {}

    def look(*_: object) -> None:
        (address,) = (one["address"] for one in said if one["event"] == "http.listening")
        seen["metrics"] = get(f"http://{address}/metrics")[1]
        seen["ready"] = get(f"http://{address}/readyz")
        signal.raise_signal(signal.SIGTERM)

    with capture_logs() as said, app.daemon(configuration, {}) as wired:
        monkeypatch.setattr(wired.loop, "_pause", look)
        wired.loop.run()
    assert "blobdrop_queue_age_seconds 0.0" in seen["metrics"]
    assert seen["ready"][0] == 200, seen["ready"]
