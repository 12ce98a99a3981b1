"""Source, tables and quarantine all in containers: every command works there as it does on folders."""

from __future__ import annotations

import json
import signal
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from daemon.ledger import Ledger
from tests.acceptance.cloudy import QUARANTINE, Cloud
from tests.acceptance.conftest import wait_for
from tests.azurite.faults import Fault, proxy_to
from tests.azurite.running import Container
from tests.corpus import text

DIRTY = b"w,USERID,revenue,2026-03-01,1\nx,user_id,revenue,2026-03-01,?\n"


@pytest.fixture
def cloud(tmp_path: Path, container: Container, lake: Container) -> Iterator[Cloud]:
    with tempfile.TemporaryDirectory(prefix="bd") as scratch:
        yield Cloud(tmp_path / "world", scratch=Path(scratch) / "t", source=container, lake=lake)


@pytest.mark.slow
def test_drops_decisions_days_and_compaction_go_their_way_in_the_cloud(cloud: Cloud, container: Container) -> None:
    # Clean, dirty and broken drops
    container.put("acme/metrics/clean.csv", text.good(4, tag="clean"))
    container.put("acme/metrics/dirty.csv", text.good(5, tag="dirty") + DIRTY)
    container.put("metrics/broken.csv", text.header_missing())
    first = cloud.once(code=1)
    assert first["rows"]["accepted"] == 9
    assert first["tables"] == {"metrics": f"{cloud.settings['BLOBDROP_STORE__URL']}/metrics"}
    cloud.look()
    cloud.assert_every_row_is_in_one_place()
    receipt = json.loads(container.get("_receipts/acme/metrics/dirty.csv.json"))
    url = f"{cloud.lake.url}/{QUARANTINE.replace(' ', '%20')}/acme/metrics/{receipt['drop']}/report.html"
    assert receipt["quarantine_url"] == url
    assert {problem["report"].rsplit("/", 1)[-1] for problem in first["problems"]} == {
        drop.id for drop in cloud.drops() if drop.report
    }

    # A revision, decisions, and a marker that closes the day
    container.put("acme/metrics/clean.csv", text.good(3, tag="revised"))
    container.put("acme/metrics/_READY", b"1772524800")
    shown = cloud.run("quarantine", "show", "acme/metrics/dirty.csv", "--json")
    assert json.loads(shown.stdout)["rows"]["rejected"] == 2
    assert cloud.run("quarantine", "waive", "dirty.csv", "--rule", "isin", "--reason", "known").code == 0
    assert cloud.run("quarantine", "release", "broken.csv").code == 0
    second = cloud.once(code=0)
    assert second["days_closed"] == [{"customer": "acme", "feed": "metrics", "date": "2026-03-01"}]
    cloud.look()
    cloud.assert_every_row_is_in_one_place()
    states = Counter(drop.state.value for drop in cloud.drops())
    assert states == {"ingested": 2, "partial": 1, "rejected": 1}
    assert cloud.table().num_rows == 3 + 5 + 1
    assert sum(cloud.table("metric_days")["rows"].to_pylist()) == 9
    listed = json.loads(cloud.run("quarantine", "list", "--json").stdout)
    assert {each["name"]: each["rows"]["rejected"] for each in listed}["acme/metrics/dirty.csv"] == 1

    # Compaction, and nothing new
    merged = json.loads(cloud.run("compact", "metrics", "--json").stdout)
    assert merged[0]["merged"] > 1
    assert cloud.once(code=0)["rows"]["read"] == 0
    cloud.look()
    cloud.assert_every_row_is_in_one_place()
    assert [name for name in cloud.lake.names() if ".next/" in name or "_compacting.begun" in name] == []
    assert json.loads(cloud.run("status", "--json").stdout)["in_quarantine"] == 2
    assert cloud.run("days").code == cloud.run("metrics").code == cloud.run("doctor").code == 0


def watermarks(cloud: Cloud) -> dict[tuple[str, str], int]:
    with Ledger.open_read(f"sqlite:///{cloud.folder / 'var' / 'ledger.db'}") as ledger:
        return ledger.markers.watermarks()


@pytest.mark.slow
def test_a_lost_ledger_is_made_anew_from_containers_and_nothing_comes_twice(cloud: Cloud, container: Container) -> None:
    container.put("metrics/clean.csv", text.good(4, tag="first"))
    container.put("metrics/other.csv", text.good(2, tag="other"))
    cloud.once()
    container.put("metrics/clean.csv", text.good(3, tag="second"))
    container.put("acme/metrics/dirty.csv", text.good(5, tag="dirty") + DIRTY)
    container.put("acme/metrics/_READY", b"1772524800")
    container.put("globex/signals/march.csv", b"finished_date\n2026-03-02\n")
    container.put("globex/metrics/signals/bad.csv", b"finished_date\nsoon\n")
    cloud.once(code=1)
    marks = watermarks(cloud)
    before = {(drop.id, drop.state.value, drop.superseded_by) for drop in cloud.drops()}
    for path in (cloud.folder / "var").glob("ledger.db*"):
        path.unlink()

    refused = cloud.run("run", "--once")
    rebuilt = json.loads(cloud.run("ledger", "rebuild", "--json").stdout)

    assert (refused.code, "no ledger at" in refused.stderr) == (3, True)
    unheard = rebuilt["unknown"].pop("signals")
    assert {(each["name"], each["verdict"]) for each in unheard} == {("globex/metrics/signals/bad.csv", "unreadable")}
    assert not any(rebuilt["unknown"].values())
    assert watermarks(cloud) == marks
    assert len(marks) == 3
    after = {(drop.id, drop.state.value, drop.superseded_by) for drop in cloud.drops()}
    # Of the first version, which a later one has replaced, the archive has a copy under another etag.
    assert {one for one in before if one[2] is None} == {one for one in after if one[2] is None}
    container.put("metrics/again.csv", text.good(2, tag="other"))
    assert cloud.once()["drops"]["duplicate"] == 1
    container.put("metrics/other.csv", text.good(1, tag="corrected"))
    cloud.once()
    cloud.look()
    # again.csv still has the bytes that other.csv had.
    assert cloud.table().num_rows == 3 + 5 + 2 + 1
    assert [row for row in json.loads(cloud.run("days", "--json").stdout)["days"] if row["state"] == "closed"] != []


@pytest.mark.slow
def test_the_daemon_stops_in_time_though_tables_and_quarantine_do_not_answer(
    cloud: Cloud, container: Container
) -> None:
    with proxy_to(container) as proxy:
        cloud.settings.update(proxy.environment(container))
        cloud.settings["BLOBDROP_SOURCE__PATIENCE_SECONDS"] = "60"
        cloud.start()
        container.put("metrics/a.csv", text.good(3, tag="a"))
        cloud.wait_settled(1)
        lake = f"/{cloud.lake.client.container_name}/"
        proxy.rule = lambda _method, path: Fault(stall_seconds=60) if lake in path else None
        before = proxy.count(part=lake)
        container.put("metrics/b.csv", text.good(3, tag="b") + DIRTY)
        wait_for(lambda: proxy.count(part=lake) > before, "the tables are asked", told=lambda: cloud.log)
        began = time.monotonic()
        cloud.stop(signal.SIGTERM)
        took = time.monotonic() - began
        proxy.rule = lambda _method, _path: None
        assert cloud.once(code=1)["drops"]["partial"] == 1
    cloud.look()

    assert took < 10
    assert cloud.table().num_rows == 6
    cloud.assert_every_row_is_in_one_place()
    assert cloud.leftovers() == []
