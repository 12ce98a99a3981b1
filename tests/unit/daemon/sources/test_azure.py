"""What a container has that a folder has not: uploads in progress, kinds of blobs, leases, copies, keys."""

from __future__ import annotations

import base64
import hashlib
import os
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from azure.storage.blob import (
    BlobBlock,
    ContainerSasPermissions,
    ContentSettings,
    StandardBlobTier,
    generate_container_sas,
)
from structlog.testing import capture_logs

from daemon import wiring
from daemon.cloud.address import address
from daemon.cloud.client import Deadlines
from daemon.cloud.credentials import CONNECTION_STRING, EMULATOR_KEY, SAS_TOKEN, credential
from daemon.errors import ChangedError, NotPermittedError, SourceError, UnreachableError
from daemon.model import After, Found
from daemon.settings import Settings, SourceSettings
from daemon.settings.feeds import FeedSettings
from daemon.sources.azure import AzureSource, Options, azure_source
from daemon.sources.azure_reading import PART, SPOOL
from tests.azurite.faults import Fault, proxy_to
from tests.azurite.running import Container

QUICK = Deadlines(connect_seconds=1.0, read_seconds=2.0, patience_seconds=0.5)


def opened(container: Container, url: str = "", sas: str = "", options: Options | None = None) -> AzureSource:
    url = url or container.url
    environ = {SAS_TOKEN: sas} if sas else {CONNECTION_STRING: container.connection_string}
    place = address(url)
    options = options or Options(settle_seconds=0.0, append_seconds=5.0, deadlines=QUICK)
    return AzureSource(place, credential(url, place, environ), options)


@pytest.fixture
def source(container: Container) -> AzureSource:
    return opened(container)


def listed(source: AzureSource) -> dict[str, Found]:
    return {found.name: found for found in source.list()}


def only(source: AzureSource) -> Found:
    (found,) = source.list()
    return found


def signature(container: Container, rights: str, *, ends: float = 3600.0) -> str:
    return generate_container_sas(
        "devstoreaccount1",
        container.client.container_name,
        account_key=EMULATOR_KEY,
        permission=ContainerSasPermissions.from_string(rights),
        expiry=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + ends)),
    )


# -------------------------------------------------------------------- LISTING


def test_the_uri_is_the_blobs_url_and_the_version_its_etag_without_quotes(
    container: Container, source: AzureSource
) -> None:
    container.put("metrics/a b&c.csv", b"1")

    found = only(source)

    assert found.uri == f"{container.url}/metrics/a%20b%26c.csv"
    assert f'"{found.version}"' == container.client.get_blob_client("metrics/a b&c.csv").get_blob_properties().etag


def test_only_what_is_below_the_folder_is_listed_by_its_name_there(container: Container) -> None:
    for name in ("in/a.csv", "in/deep/b.csv", "inner/c.csv", "in", "d.csv"):
        container.put(name, b"1")
    source = opened(container, f"{container.url}/in")

    found = listed(source)
    source.settle(found["deep/b.csv"], After.ARCHIVE)

    assert set(found) == {"a.csv", "deep/b.csv"}
    assert found["a.csv"].uri == f"{container.url}/in/a.csv"
    assert container.names() == {"in/a.csv", "in/_archive/deep/b.csv", "inner/c.csv", "in", "d.csv"}


def test_pages_are_followed_to_their_end(
    container: Container, source: AzureSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("daemon.sources.azure_listing.PAGE", 2)
    for number in range(7):
        container.put(f"a&{number}.csv", b"1")

    assert set(listed(source)) == {f"a&{number}.csv" for number in range(7)}


def test_a_large_archive_is_not_listed_again_and_again(
    container: Container, source: AzureSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("daemon.sources.azure_listing.PAGE", 5)
    monkeypatch.setattr("daemon.sources.azure.PAGE", 5)
    for number in range(22):
        container.put(f"_archive/{number:02}.csv", b"1")
    dropped = {"a.csv", "z.csv", "acme/b.csv", "acme/_x/c.csv", "zoe/d&e.csv"}
    for name in dropped:
        container.put(name, b"1")
    asked: list[str] = []
    send = source._client().send

    def counted(*args: object, **options: Any) -> object:
        asked.append(options["query"].get("prefix", ""))
        return send(*args, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(source._client(), "send", counted)
    names, requests = [], []
    for _ in range(3):
        asked.clear()
        names.append(set(listed(source)))
        requests.append(list(asked))
    for number in range(9):
        container.put(f"c{number}/a.csv", b"1")

    assert names == [dropped - {"acme/_x/c.csv"}] * 3
    assert requests == [[""] * 6, ["", "acme/", "zoe/"], ["", "acme/", "zoe/"]]
    assert len(listed(source)) == 4 + 9, "with many folders it is cheaper to pass over the archive"


def test_blobs_without_bytes_and_uploads_in_progress_are_no_drops_and_said_once(
    container: Container, source: AzureSource
) -> None:
    container.put("empty.csv", b"")
    container.put("folder/", b"")
    container.put("_READY", b"")
    uploading = container.client.get_blob_client("uploading.csv")
    uploading.stage_block("MDAx", b"1,2\n")

    with capture_logs() as first:
        assert set(listed(source)) == {"_READY"}
    with capture_logs() as second:
        listed(source)
    uploading.commit_block_list([BlobBlock("MDAx")])

    assert {each["name"] for each in first} == {"empty.csv", "uploading.csv"}
    assert second == []
    assert set(listed(source)) == {"_READY", "uploading.csv"}


def test_a_signal_without_bytes_is_listed_and_a_drop_in_a_feeds_own_folder_of_that_name_is_not(
    container: Container, source: AzureSource
) -> None:
    container.put("acme/signals/march.csv", b"")
    container.put("own/signals/a.csv", b"")
    container.put("signals/", b"")
    assert set(listed(source)) == {"acme/signals/march.csv", "own/signals/a.csv"}, "by their names alone"

    environ = {CONNECTION_STRING: container.connection_string}
    paths = ("own/signals/**", "metrics/**")
    feed = FeedSettings(name="own", paths=paths, contract="validators.metrics:precomputed_metrics")
    settings = Settings(source=SourceSettings(url=container.url), feeds=(feed,))
    knows_feeds = wiring.source_of(settings, environ)

    with capture_logs() as said:
        (found,) = knows_feeds.list()
    assert found.name == "acme/signals/march.csv"
    assert [(each["event"], each["name"]) for each in said] == [("blob_empty", "own/signals/a.csv")]
    with knows_feeds.fetch(found) as path:
        assert path.read_bytes() == b""


def test_of_many_blobs_without_bytes_a_few_are_named(container: Container, source: AzureSource) -> None:
    for number in range(23):
        container.put(f"{number:02}.csv", b"")

    with capture_logs() as said:
        assert listed(source) == {}

    assert [each.get("name") for each in said] == [*(f"{number:02}.csv" for number in range(20)), None]
    assert said[-1]["more"] == 3


def test_an_append_blob_is_complete_when_it_is_sealed_or_has_not_grown_for_long(
    container: Container, source: AzureSource
) -> None:
    blob = container.client.get_blob_client("log.csv")
    blob.create_append_blob()
    blob.append_block(b"1\n")
    container.put("a.csv", b"1")

    def waits() -> dict[str, float]:
        """Ask of each as soon as it is listed, as the daemon does."""
        return {found.name: source.seconds_to_complete(found, 0.0, found.modified + 1) for found in source.list()}

    first, second = waits(), waits()
    blob.seal_append_blob()

    assert first == second == {"a.csv": 0.0, "log.csv": 4.0}
    assert waits() == {"a.csv": 0.0, "log.csv": 0.0}


def test_a_blob_in_the_archive_tier_is_said_and_left_alone(container: Container, source: AzureSource) -> None:
    container.put("cold.csv", b"1")
    found = only(source)
    container.client.get_blob_client("cold.csv").set_standard_blob_tier(StandardBlobTier.ARCHIVE)

    with capture_logs() as said:
        assert listed(source) == {}
    with pytest.raises(ChangedError, match="tier Archive"), source.fetch(found):
        pass

    assert [(each["event"], each["name"]) for each in said] == [("blob_in_archive_tier", "cold.csv")]


def test_a_container_that_is_missing_is_said_with_what_to_do(container: Container) -> None:
    source = opened(container, f"{container.url}x")
    for call in (source.prepare, lambda: list(source.list())):
        with pytest.raises(SourceError, match="there is no such container; make it"):
            call()


# -------------------------------------------------------------------- READING


def test_a_large_blob_is_read_in_parts_just_as_it_is(container: Container, source: AzureSource) -> None:
    data = os.urandom(2 * PART + 12345)
    md5 = bytearray(hashlib.md5(data, usedforsecurity=False).digest())
    container.client.upload_blob("a.csv", data, content_settings=ContentSettings(content_md5=md5))

    with source.fetch(only(source)) as path:
        assert path.read_bytes() == data
    assert not path.exists()
    assert not path.parent.exists()


def test_a_large_blob_that_changes_while_it_is_read_is_given_up(
    container: Container, source: AzureSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    container.put("a.csv", os.urandom(3 * PART))
    found = only(source)
    monkeypatch.setattr(source, "_options", Options(settle_seconds=0.0, connections=1, deadlines=QUICK))
    parts = iter((lambda: None, lambda: container.put("a.csv", os.urandom(3 * PART)), lambda: None))
    send = source._client().send

    def interrupted(*args: object, **options: object) -> object:
        next(parts)()
        return send(*args, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(source._client(), "send", interrupted)
    with pytest.raises(ChangedError), source.fetch(found):
        pass


@pytest.mark.parametrize("size", [10, 2 * PART])
def test_bytes_that_do_not_have_the_md5_that_the_blob_says_are_refused(
    container: Container, source: AzureSource, size: int
) -> None:
    wrong = bytearray(hashlib.md5(b"other", usedforsecurity=False).digest())
    container.client.upload_blob("a.csv", os.urandom(size))
    container.client.get_blob_client("a.csv").set_http_headers(ContentSettings(content_md5=wrong))

    with pytest.raises(SourceError) as caught, source.fetch(only(source)):
        pass
    assert base64.b64encode(wrong).decode() in str(caught.value)
    assert "have it uploaded again" in str(caught.value)


def test_a_blob_that_is_too_large_for_the_disk_that_is_lent_is_refused(container: Container) -> None:
    container.put("a.csv", b"12345")
    source = opened(container, options=Options(settle_seconds=0.0, spool_bytes=4, deadlines=QUICK))
    with pytest.raises(SourceError, match=r"has 5 bytes, and the disk is lent to 4.*source\.spool_mb"):
        source.fetch(only(source)).__enter__()


def test_compressed_bytes_stay_as_they_are(container: Container, source: AzureSource) -> None:
    settings = ContentSettings(content_encoding="gzip", content_type="text/csv")
    container.client.upload_blob("a.csv.gz", b"\x1f\x8bnot really", content_settings=settings)

    with source.fetch(only(source)) as path:
        assert path.read_bytes() == b"\x1f\x8bnot really"


def test_what_a_dead_process_has_left_on_the_disk_is_removed(
    container: Container, source: AzureSource, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    left = tmp_path / f"{SPOOL}x-{2**22 + 1}"
    left.mkdir()
    (left / "drop").write_bytes(b"1")
    container.put("a.csv", b"1")

    with source.fetch(only(source)) as path:
        assert list(tmp_path.iterdir()) == [path.parent]


# -------------------------------------------------------------------- SETTLING


def test_an_archived_blob_keeps_its_type_and_its_metadata(container: Container, source: AzureSource) -> None:
    settings = ContentSettings(content_type="text/csv")
    container.client.upload_blob("m/a.csv", b"1", metadata={"who": "acme"}, content_settings=settings)

    source.settle(only(source), After.ARCHIVE)

    kept = container.client.get_blob_client("_archive/m/a.csv").get_blob_properties()
    assert (kept.content_settings.content_type, kept.metadata) == ("text/csv", {"who": "acme"})


def test_a_copy_that_a_killed_run_had_made_is_not_made_again(container: Container, source: AzureSource) -> None:
    container.put("a.csv", b"1")
    found = only(source)
    container.client.get_blob_client("_archive/a.csv").start_copy_from_url(f"{container.url}/a.csv")

    source.settle(found, After.ARCHIVE)

    assert container.names() == {"_archive/a.csv"}


def test_another_blob_in_the_archive_under_the_same_name_is_never_taken_for_a_copy(
    container: Container, source: AzureSource
) -> None:
    container.put("_archive/a.csv", b"2")
    container.put("a.csv", b"1")
    found = only(source)

    source.settle(found, After.ARCHIVE)

    assert container.names() == {"_archive/a.csv", f"_archive/a.{found.drop_id}.csv"}
    assert container.get(f"_archive/a.{found.drop_id}.csv") == b"1"


@pytest.mark.parametrize("after", [After.ARCHIVE, After.DELETE])
def test_a_blob_under_a_lease_is_read_and_stays_until_the_lease_ends(
    container: Container, source: AzureSource, after: After
) -> None:
    container.put("a.csv", b"1")
    lease = container.client.get_blob_client("a.csv").acquire_lease()
    found = only(source)

    with source.fetch(found) as path:
        assert path.read_bytes() == b"1"
    with pytest.raises(SourceError, match="is under a lease"):
        source.settle(found, after)
    lease.release()
    source.settle(found, after)

    assert container.names() == ({"_archive/a.csv"} if after is After.ARCHIVE else set())


def test_a_blob_with_snapshots_stays(container: Container, source: AzureSource) -> None:
    container.put("a.csv", b"1")
    container.client.get_blob_client("a.csv").create_snapshot()

    with pytest.raises(SourceError, match="has snapshots"):
        source.settle(only(source), After.DELETE)


def test_whatever_is_stopped_says_so_for_all_that_is_left(container: Container, source: AzureSource) -> None:
    container.put("a.csv", b"1")
    found = only(source)
    source.stop()

    ((_, error),) = source.settle_all([found], After.DELETE)

    assert isinstance(error, UnreachableError)
    assert container.names() == {"a.csv"}


def test_a_receipt_under_a_lease_is_told_and_holds_up_no_other(container: Container, source: AzureSource) -> None:
    container.put("_receipts/a.csv.json", b"mine")
    container.client.get_blob_client("_receipts/a.csv.json").acquire_lease()

    (wrong,) = source.leave([("_receipts/a.csv.json", b"{}"), ("_receipts/b.csv.json", b"{}")])

    assert f"{container.url}/_receipts/a.csv.json cannot be written: 412 LeaseIdMissing" in str(wrong)
    assert container.get("_receipts/b.csv.json") == b"{}"


def test_no_listing_begins_once_it_is_to_stop(container: Container) -> None:
    with proxy_to(container) as proxy:
        settings = SourceSettings(url=proxy.environment(container)["BLOBDROP_SOURCE__URL"])
        source = azure_source(settings, proxy.environment(container))
        source.prepare()
        proxy.rule = lambda _method, _path: Fault(stall_seconds=6)
        source.stop()
        began = time.monotonic()
        with pytest.raises(UnreachableError, match="as the daemon stops"):
            listed(source)

    assert time.monotonic() - began < 2


# -------------------------------------------------------------------- RIGHTS


@pytest.mark.parametrize("step", ["list", "fetch", "archive", "delete"])
def test_each_step_needs_just_its_right_and_says_so_without_the_signature(container: Container, step: str) -> None:
    container.put("a.csv", b"1")
    found = only(opened(container))
    # With the least rights that are enough, and then without the one that the step is about.
    enough, without = {
        "list": ("l", "r"),
        "fetch": ("rl", "l"),
        "archive": ("rwld", "rld"),
        "delete": ("ld", "rl"),
    }[step]

    def take(rights: str) -> None:
        source = opened(container, sas=signature(container, rights))
        if step == "list":
            assert only(source) == found
        elif step == "fetch":
            with source.fetch(found):
                pass
        else:
            source.settle(found, After(step))

    sas = signature(container, without)
    with pytest.raises(NotPermittedError) as caught:
        take(without)
    assert "was refused with 403 Authorization" in str(caught.value)
    assert "shared access signature from AZURE_STORAGE_SAS_TOKEN" in str(caught.value)
    assert sas.partition("sig=")[2][:10] not in str(caught.value)
    take(enough)


def test_a_refusal_for_the_clock_says_by_how_much_it_is_off(container: Container) -> None:
    with proxy_to(container) as proxy:
        settings = SourceSettings(url=proxy.environment(container)["BLOBDROP_SOURCE__URL"])
        proxy.ahead_seconds = 3_600.0
        proxy.rule = lambda _method, _path: Fault(status=403, code="AuthenticationFailed")
        with pytest.raises(NotPermittedError, match=r"clock is ahead of this machine's by 3,[56]\d\d s: set this"):
            azure_source(settings, proxy.environment(container)).prepare()


def test_a_signature_that_is_over_says_so(container: Container) -> None:
    source = opened(container, sas=signature(container, "rl", ends=-60.0))
    with pytest.raises(NotPermittedError, match="the signature was over at 20"):
        source.prepare()


def test_a_signature_in_the_settings_works_and_is_warned_of(container: Container) -> None:
    container.put("a.csv", b"1")
    sas = signature(container, "rl")
    with capture_logs() as said:
        source = azure_source(SourceSettings(url=f"{container.url}?{sas}"), {})

    assert set(listed(source)) == {"a.csv"}
    assert [each["event"] for each in said] == ["source.url_has_key"]
    assert sas not in f"{said} {source.describe()} {only(source)}"


def test_without_any_key_a_place_without_tls_says_what_to_set(container: Container) -> None:
    source = azure_source(SourceSettings(url=container.url), {})

    (tried,) = [each for each in source.probe() if each.what == "list"]

    assert "no key or signature was found" in str(tried.error)
    assert CONNECTION_STRING in str(tried.error)


def test_where_nobody_answers_it_is_said_within_its_patience() -> None:
    url = "http://127.0.0.1:9/devstoreaccount1/drops"
    place = address(url)
    opener = credential(url, place, {SAS_TOKEN: "sv=1&sig=secret"})
    source = AzureSource(place, opener, Options(settle_seconds=0.0, deadlines=QUICK))
    began = time.monotonic()

    with pytest.raises(UnreachableError, match="cannot be reached: Connection refused") as caught:
        source.prepare()

    assert time.monotonic() - began < 3
    assert "secret" not in str(caught.value)


WAITING: dict[str, Callable[[AzureSource, Found], object]] = {
    "prepare": lambda source, _: source.prepare(),
    "fetch": lambda source, found: ExitStack().enter_context(source.fetch(found)),
    "settle": lambda source, found: source.settle(found, After.ARCHIVE),
}


@pytest.mark.parametrize("step", WAITING)
def test_the_daemons_own_thread_waits_no_longer_once_it_is_to_stop(container: Container, step: str) -> None:
    container.put("_READY", b"1772438400")
    found = only(opened(container))
    with proxy_to(container) as proxy:
        settings = SourceSettings(url=proxy.environment(container)["BLOBDROP_SOURCE__URL"])
        source = azure_source(settings, proxy.environment(container))
        proxy.rule = lambda _method, _path: Fault(stall_seconds=6)
        threading.Timer(0.3, source.stop).start()
        began = time.monotonic()
        with pytest.raises(UnreachableError):
            WAITING[step](source, found)

    assert time.monotonic() - began < 5
