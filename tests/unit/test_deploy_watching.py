"""The dashboard and the alert rules ask for what `/metrics` gives, and are as their programs want them."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]
from prometheus_client.parser import text_string_to_metric_families

from daemon.tally import Timing
from daemon.watching.exposition import Exposition
from daemon.watching.standing import Standings
from tests.unit.daemon.conftest import Rig

ROOT = Path(__file__).parents[2]
ALERTS, DASHBOARD = ROOT / "deploy" / "alerts.yml", ROOT / "deploy" / "grafana.json"
PROMTOOL = shutil.which("promtool")
#: What is not a name of ours in an expression.
OTHERS = {"up"}

pytest_plugins = ("tests.unit.daemon.conftest",)


def alerts() -> list[dict[str, Any]]:
    (group,) = yaml.safe_load(ALERTS.read_text(encoding="utf-8"))["groups"]
    rules: list[dict[str, Any]] = group["rules"]
    return rules


def panels() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(DASHBOARD.read_text(encoding="utf-8"))["panels"]
    return found


def expressions() -> Iterator[str]:
    yield from (rule["expr"] for rule in alerts())
    yield from (target["expr"] for panel in panels() for target in panel["targets"])


@pytest.fixture
def page(rig: Rig) -> str:
    rig.parts.tally.stages["work"] = Timing()
    rig.parts.tally.rejects["metrics", "type"] = 1
    standings = Standings(rig.ledger, rig.store, ("metrics",))
    return Exposition(rig.parts.tally, standings, rig.workers, rig.clock).page("")[1].decode()


def test_every_name_that_they_use_is_one_that_the_endpoint_gives(page: str) -> None:
    given = set(re.findall(r"(?m)^# TYPE (\S+)", page))
    given |= {sample.name for family in text_string_to_metric_families(page) for sample in family.samples}
    used = {name for text in expressions() for name in re.findall(r"\b(?:blobdrop_\w+|up)\b(?=[{\[ )]|$)", text)}
    assert len(used) > 15
    assert used - OTHERS <= given


def test_the_readme_has_every_family_that_there_is_and_no_other(page: str) -> None:
    given = {family.name for family in text_string_to_metric_families(page)}
    readme = (ROOT / "README.md").read_text(encoding="utf-8").partition("## What watches it")[2].partition("\n## ")[0]
    named = {name.removesuffix("_total") for name in re.findall(r"`(blobdrop_\w+)`", readme)}
    assert {name.removesuffix("_info") for name in named} == {name.removesuffix("_info") for name in given}


def test_every_label_that_they_use_is_one_of_ours() -> None:
    ours = {"feed", "state", "rule", "reason", "verdict", "customer", "stage", "le", "instance", "job"}
    for text in expressions():
        labels = re.findall(r"(\w+)\s*(?:=~|!~|!=|=)\s*\"", text) + re.findall(r"\bby \(([^)]*)\)", text)
        assert {label.strip() for each in labels for label in each.split(",")} <= ours, text


def test_every_family_of_ours_has_a_panel() -> None:
    shown = " ".join(expressions())
    for name in ("drops", "rows_accepted", "rows_rejected", "rejects", "stage_seconds", "queue_age", "watermark_lag"):
        assert f"blobdrop_{name}" in shown
    for name in ("days_open", "batch_commits", "retries", "worker_kills", "bytes"):
        assert f"blobdrop_{name}" in shown


def test_each_alert_says_what_is_the_matter_and_what_to_do() -> None:
    assert len({rule["alert"] for rule in alerts()}) == len(alerts())
    for rule in alerts():
        assert set(rule["annotations"]) == {"summary", "action"}, rule["alert"]
        assert rule["labels"]["severity"] in ("warning", "critical")


def test_the_dashboard_has_each_panel_in_a_place_of_its_own() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in panels():
        at = panel["gridPos"]
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert max(x for x, _ in cells) < 24
        assert not cells & taken, panel["title"]
        taken |= cells
    assert len({panel["id"] for panel in panels()}) == len(panels())


@pytest.mark.skipif(PROMTOOL is None, reason="promtool is not here; Debian has it in the package prometheus")
def test_promtool_takes_the_rules_and_the_page(page: str) -> None:
    tool = str(PROMTOOL)
    rules = subprocess.run([tool, "check", "rules", str(ALERTS)], capture_output=True, text=True, check=False)
    assert rules.returncode == 0, rules.stderr
    metrics = subprocess.run([tool, "check", "metrics"], input=page, capture_output=True, text=True, check=False)
    complaints = [line for line in metrics.stderr.splitlines() if "base unit" not in line]
    assert not complaints


FIRING = """
rule_files: [ALERTS]
evaluation_interval: 1m
tests:
  - interval: 1m
    input_series:
      - { series: 'blobdrop_drops_total{feed="orders",state="failed"}', values: 0x10 1x20 }
      - { series: 'blobdrop_drops_total{feed="metrics",state="failed"}', values: 0x30 }
    alert_rule_test:
      - { eval_time: 9m, alertname: BlobdropDropsFailed }
      - eval_time: 12m
        alertname: BlobdropDropsFailed
        exp_alerts:
          - exp_labels: { severity: warning, feed: orders, state: failed }
            exp_annotations:
              summary: 1 drops of feed orders have failed, whatever their data
              action: blobdrop drops --state failed; blobdrop drops --history NAME; then blobdrop retry NAME
"""


@pytest.mark.skipif(PROMTOOL is None, reason="promtool is not here")
def test_a_rule_fires_when_it_should_and_not_before(tmp_path: Path) -> None:
    file = tmp_path / "tests.yml"
    file.write_text(FIRING.replace("ALERTS", str(ALERTS)), encoding="utf-8")
    done = subprocess.run([str(PROMTOOL), "test", "rules", str(file)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
