"""The real command on a real container: drops become rows, reports and an archive, whatever the network does."""

from __future__ import annotations

import itertools
import json
import signal
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from daemon.cloud.credentials import EMULATOR_KEY
from tests.acceptance.conftest import Blobdrop, wait_for
from tests.azurite.faults import BROKEN, BUSY, DENIED, Fault, Proxy, proxy_to
from tests.azurite.running import Container, azurite, connection_string, new_container
from tests.unit.daemon.sources.test_azure import signature

HEAD = b"unit_id,id_type,metric_name,date,metric_value\n"
#: So that no test waits for the usual patience.
HASTE = {
    "BLOBDROP_SOURCE__CONNECT_SECONDS": "1",
    "BLOBDROP_SOURCE__READ_SECONDS": "2",
    "BLOBDROP_SOURCE__PATIENCE_SECONDS": "3",
}


def rows(start: int, count: int = 3) -> bytes:
    """Return a file of good rows that no other start gives."""
    return HEAD + b"".join(
        b"u-%d,user_id,visits,2026-03-01,%d\n" % (number, number) for number in range(start, start + count)
    )


@pytest.fixture
def site(blobdrop: Blobdrop, container: Container) -> Blobdrop:
    """The command, with the container as its source."""
    blobdrop.settings.update({**container.environment, **HASTE})
    return blobdrop


@pytest.fixture
def proxy(site: Blobdrop, container: Container) -> Iterator[Proxy]:
    """What is between the command and the container."""
    with proxy_to(container) as made:
        site.settings.update(made.environment(container))
        yield made


def left(container: Container) -> set[str]:
    """Return the names of the blobs that are there, the receipts left out."""
    return {name for name in container.names() if not name.startswith("_receipts/")}


def units(site: Blobdrop) -> Counter[str]:
    """Return how often each unit is in the table."""
    table = site.table()
    return Counter(table["unit_id"].to_pylist()) if table.num_rows else Counter()


def assert_each_once(site: Blobdrop, count: int) -> None:
    assert units(site) == {f"u-{number}": 1 for number in range(count)}
    site.assert_every_row_is_in_one_place()
    assert site.leftovers() == []


def test_a_drop_becomes_rows_a_report_and_a_blob_in_the_archive(site: Blobdrop, container: Container) -> None:
    container.put("acme/metrics/a.csv", rows(0, 4) + b"u-9,userid,visits,2026-03-01,1\n")
    container.put("metrics/b.csv", rows(4))
    container.put("elsewhere/c.csv", b"1")

    summary = site.once(code=1)

    assert summary["drops"] | {"failed": 0} == {
        "ingested": 1,
        "partial": 1,
        "rejected": 0,
        "duplicate": 0,
        "failed": 0,
        "unmatched": 1,
    }
    assert left(container) == {"_archive/acme/metrics/a.csv", "_archive/metrics/b.csv", "elsewhere/c.csv"}
    (partial,) = [drop for drop in site.drops() if drop.state == "partial"]
    assert partial.found.uri == f"{container.url}/acme/metrics/a.csv"
    (rejected,) = site.rejected_in(Path(partial.report))
    assert rejected["unit_id"] == "u-9"
    told = {name: json.loads(container.get(f"_receipts/{name}.json")) for name in ("metrics/b.csv", "elsewhere/c.csv")}
    assert {name: receipt["state"] for name, receipt in told.items()} == {
        "metrics/b.csv": "ingested",
        "elsewhere/c.csv": "unmatched",
    }
    receipt = json.loads(container.get("_receipts/acme/metrics/a.csv.json"))
    assert (receipt["state"], receipt["rows"]["rejected"]) == ("partial", 1)
    assert b"userid" in container.get(receipt["report"])
    assert_each_once(site, 7)


def test_the_second_run_finds_nothing_new_and_a_corrected_blob_replaces_the_first(
    site: Blobdrop, container: Container
) -> None:
    site.settings["BLOBDROP_SOURCE__AFTER"] = "keep"
    container.put("metrics/a.csv", rows(100))
    assert site.once()["drops"]["ingested"] == 1
    assert site.once()["drops"]["ingested"] == 0
    container.put("metrics/a.csv", rows(0))
    corrected = site.once()["drops"]
    container.put("metrics/again.csv", rows(0))
    again = site.once()["drops"]

    assert (corrected["ingested"], corrected["duplicate"]) == (1, 0)
    assert (again["ingested"], again["duplicate"]) == (0, 1)
    assert_each_once(site, 3)


def test_small_and_large_blobs_of_many_customers_all_come_once(site: Blobdrop, container: Container) -> None:
    for number in range(40):
        container.put(f"c{number % 7}/metrics/{number}.csv", rows(3 * number))
    container.put("big/metrics/big.csv", rows(120, 300_000))

    assert site.once()["rows"] == {"read": 300_120, "accepted": 300_120, "rejected": 0}
    assert site.table().num_rows == 300_120
    assert len(units(site)) == 300_120
    assert all(name.startswith("_archive/") for name in left(container))


def test_no_key_is_in_anything_that_is_written_or_said(site: Blobdrop, container: Container) -> None:
    container.put("metrics/a.csv", rows(0) + b"x\n")
    said = [site.run(*words.split()) for words in ("run --once --log-format json", "config", "status --json")]
    site.settings["AZURE_STORAGE_CONNECTION_STRING"] = connection_string(9)
    site.settings["BLOBDROP_SOURCE__URL"] = "http://127.0.0.1:9/devstoreaccount1/drops"
    failed = site.run("run", "--once")

    assert failed.code == 3
    assert "cannot be reached: Connection refused" in failed.stderr
    for run in (*said, failed):
        assert EMULATOR_KEY not in run.stdout + run.stderr
    for path in (path for path in site.folder.rglob("*") if path.is_file()):
        assert EMULATOR_KEY.encode() not in path.read_bytes(), path


# -------------------------------------------------------------------- FAULTS


FAULTS = (BUSY, BROKEN, Fault(cut=20, reset=True), Fault(cut=20), Fault(lost=True))


@pytest.mark.slow
def test_a_fault_at_every_third_request_in_five_ways_loses_and_doubles_nothing(
    site: Blobdrop, proxy: Proxy, container: Container
) -> None:
    site.settings["BLOBDROP_SOURCE__PATIENCE_SECONDS"] = "20"
    for number in range(10):
        container.put(f"metrics/{number}.csv", rows(3 * number))
    faults = itertools.cycle(FAULTS)
    proxy.rule = lambda _method, _path: next(faults) if len(proxy.asked) % 3 == 0 else None

    site.once(code=0)

    assert_each_once(site, 30)
    assert left(container) == {f"_archive/metrics/{number}.csv" for number in range(10)}
    assert len(proxy.asked) < 200


def test_a_storm_is_waited_out_and_then_everything_is_caught_up(
    site: Blobdrop, proxy: Proxy, container: Container
) -> None:
    site.start()
    proxy.rule = lambda _method, _path: BUSY
    container.put("metrics/a.csv", rows(0))
    before = len(proxy.asked)
    time.sleep(5)
    asked = len(proxy.asked) - before
    proxy.rule = lambda _method, _path: None
    wait_for(lambda: "turn.mended" in site.log, "it is said that all is well", told=lambda: site.log)
    code = site.stop()

    assert code == 0
    assert asked < 25, "Retry-After asks for one second between two requests"
    assert "answers 503 ServerBusy; it is tried again" in site.log
    assert "as the daemon stops" not in site.log
    assert_each_once(site, 3)


@pytest.mark.slow
def test_a_stall_is_given_up_and_the_blob_is_read_later(site: Blobdrop, proxy: Proxy, container: Container) -> None:
    container.put("metrics/a.csv", rows(0))
    stalls = iter([Fault(stall_seconds=60)] * 3)
    proxy.rule = lambda method, path: next(stalls, None) if "metrics/a.csv" in path and method == "GET" else None

    site.start()
    site.wait_settled(1)
    site.stop()

    assert_each_once(site, 3)


def test_a_right_that_is_missing_is_said_once_and_nothing_comes_again(
    site: Blobdrop, proxy: Proxy, container: Container
) -> None:
    proxy.rule = lambda method, _path: DENIED if method in ("PUT", "DELETE") else None
    for number in range(5):
        container.put(f"metrics/{number}.csv", rows(3 * number))

    site.start()
    site.wait_settled(5)
    container.put("metrics/5.csv", rows(15))
    site.wait_settled(6)
    site.stop()
    again = site.once()

    assert site.log.count("settle.refused") == 1
    assert "give it the rights read, write, delete and list" in site.log
    assert again["drops"]["ingested"] == 0
    assert len(left(container)) == 6
    assert_each_once(site, 18)


def test_a_blob_that_is_overwritten_while_it_is_read_is_found_again(
    site: Blobdrop, proxy: Proxy, container: Container
) -> None:
    container.put("metrics/a.csv", rows(1000, 400_000))
    overwritten = threading.Event()

    def rule(method: str, path: str) -> Fault | None:
        if method == "GET" and "metrics/a.csv" in path and not overwritten.is_set():
            overwritten.set()
            container.put("metrics/a.csv", rows(0))
        return None

    proxy.rule = rule
    site.start()
    wait_for(lambda: units(site), "the new version is in the table", told=lambda: site.log)
    site.wait_settled(1)
    site.stop()

    assert "drop.changed" in site.log or "read again in its new version" in site.log
    assert_each_once(site, 3)


@pytest.mark.slow
def test_a_service_that_is_killed_and_started_again_is_caught_up_with(blobdrop: Blobdrop, tmp_path: Path) -> None:
    with azurite(tmp_path / "azurite") as (process, port):
        container = new_container(connection_string(port))
        blobdrop.settings.update({**container.environment, **HASTE})
        container.put("metrics/a.csv", rows(0))
        blobdrop.start()
        blobdrop.wait_settled(1)
        process.terminate()
        process.wait()
        wait_for(lambda: "Connection refused" in blobdrop.log, "the fault is said", told=lambda: blobdrop.log)
        # Started again, it has what it had, and a drop that came meanwhile.
        with azurite(tmp_path / "azurite", port):
            container.put("metrics/b.csv", rows(3))
            blobdrop.wait_settled(2)
            blobdrop.stop()
            names = left(container)

    assert names == {"_archive/metrics/a.csv", "_archive/metrics/b.csv"}
    assert_each_once(blobdrop, 6)


@pytest.mark.parametrize("while_", ["refused", "stalled"])
def test_the_daemon_stops_at_once_though_nobody_answers(
    site: Blobdrop, proxy: Proxy, container: Container, while_: str
) -> None:
    for name in ("CONNECT", "READ", "PATIENCE"):
        site.settings[f"BLOBDROP_SOURCE__{name}_SECONDS"] = "60"
    container.put("metrics/a.csv", rows(0))
    site.start()
    site.wait_settled(1)
    proxy.rule = lambda _method, _path: Fault(stall_seconds=60) if while_ == "stalled" else Fault(lost=True)
    before = len(proxy.asked)
    wait_for(lambda: len(proxy.asked) > before, "something is asked")
    began = time.monotonic()

    code = site.stop(signal.SIGTERM)

    assert code == 0
    assert time.monotonic() - began < 5


@pytest.mark.slow
@pytest.mark.parametrize("code", ["AuthenticationFailed", "AuthorizationFailure"])
def test_while_every_request_is_refused_nothing_loops_hot_and_afterwards_all_is_caught_up(
    site: Blobdrop, proxy: Proxy, container: Container, code: str
) -> None:
    site.start()
    wait_for(lambda: proxy.count("GET") > 1, "it lists")
    proxy.rule = lambda _method, _path: Fault(status=403, code=code)
    container.put("metrics/a.csv", rows(0))
    wait_for(lambda: f"403 {code}" in site.log, "it is said", told=lambda: site.log)
    before = len(proxy.asked)
    time.sleep(4)
    asked = len(proxy.asked) - before
    proxy.rule = lambda _method, _path: None
    site.wait_settled(1)

    assert site.stop() == 0
    assert asked < 10
    assert ("this machine's clock is right" in site.log) == (code == "AuthenticationFailed")
    assert_each_once(site, 3)


@pytest.mark.slow
def test_a_signature_that_ends_while_the_daemon_runs_is_said_and_another_one_goes_on(
    site: Blobdrop, container: Container
) -> None:
    del site.settings["AZURE_STORAGE_CONNECTION_STRING"]
    site.settings["AZURE_STORAGE_SAS_TOKEN"] = signature(container, "rwdl", ends=15.0)
    container.put("metrics/a.csv", rows(0))
    site.start()
    site.wait_settled(1)
    wait_for(lambda: "the signature was over at" in site.log, "it is said", seconds=40, told=lambda: site.log)
    container.put("metrics/b.csv", rows(3))
    assert site.stop() == 0
    site.settings["AZURE_STORAGE_SAS_TOKEN"] = signature(container, "rwdl")

    assert site.once()["drops"]["ingested"] == 1
    assert "sig=" not in site.log
    assert_each_once(site, 6)
