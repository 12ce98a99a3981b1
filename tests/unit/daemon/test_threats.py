"""What somebody may try who can write into the container; and that the README names a test for each threat."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
import structlog

from daemon.lines import drop_line
from daemon.model import State
from daemon.receipts import Receipts
from daemon.sources.folder import FolderSource
from daemon.sources.memory import MemorySource
from tests.unit.daemon.conftest import NOON, Rig, dirty, good

ROOT = Path(__file__).parents[3]
#: A day before the test's clock.
INSTANT = int(NOON) - 86_400
NAMES = (
    "../../globex/metrics/x.csv",
    "acme/metrics/../../globex/metrics/x.csv",
    "acme/../globex/metrics/x.csv",
    "acme//globex/metrics/x.csv",
    "/globex/metrics/x.csv",
    "..\\globex\\metrics\\x.csv",
    "%2e%2e/metrics/x.csv",
    "acme/metrics/%2e%2e%2fx.csv",
    "acme/metrics/\x1b[2J\r\n{'event': 'drop.ingested'}.csv",
    "acme/metrics/<script>alert(1)</script>.csv",
    "acme/metrics/=cmd|'calc'!A1.csv",
    "acme/metrics/\u202evsc.exe.csv",
    f"acme/metrics/{'x' * 900}.csv",
    f"{'y' * 900}/metrics/x.csv",
)


@pytest.fixture
def source() -> MemorySource:
    return MemorySource()


@pytest.fixture
def rig(rig_of: Callable[..., Rig], source: MemorySource) -> Rig:
    return rig_of(source=source)


# ---------------------------------------------------------------- NAMES


def test_a_name_leads_nowhere_but_into_its_own_scope(rig: Rig, source: MemorySource, tmp_path: Path) -> None:
    source.put("globex/metrics/x.csv", good(3, "g"))
    rig.loop.run_once()
    before, beside = set(rig.entries()), set(tmp_path.parent.iterdir())
    for number, name in enumerate(NAMES):
        source.put(name, dirty(f"a{number}"))
    rig.clock.now += 60
    rig.loop.run_once()

    (theirs,) = rig.ledger.drops(customer="globex")
    assert (theirs.superseded_by, rig.rows()[theirs.id]) == (None, 3)
    mine = [row for row in rig.ledger.drops() if row.found.name in NAMES]
    assert {row.state for row in mine} == {State.PARTIAL, State.UNMATCHED}
    assert len(set(rig.entries()) - before) == sum(row.state is State.PARTIAL for row in mine)
    assert set(tmp_path.parent.iterdir()) == beside
    assert {path.name.split(".")[0] for path in tmp_path.iterdir()} == {"ledger", "quarantine", "tables"}
    for row in mine:
        assert row.name.isprintable()
        said = drop_line("drop.partial", {"name": row.found.name, "accepted": 1, "rows": 2, "seconds": 1.0}, "/") or (
            "",
            "",
        )
        assert "".join(said).isprintable()
        page = Path(row.report, "report.html").read_text() if row.report else ""
        assert "<script>alert" not in page


# ---------------------------------------------------------------- MARKERS

SAID: tuple[dict[str, object], ...] = (
    {"type": "metrics", "customer": "globex"},
    {"customer": "globex", "feed": "metrics"},
    {"type": "globex/metrics"},
    {"type": "../globex/metrics"},
    {"type": "metrics", "scope": ["globex", "metrics"]},
)
FOLDERS = (
    "acme",
    "acme/metrics",
    "acme/globex/metrics",
    "acme/metrics/globex/metrics",
    "acme/../globex/metrics",
    "acme//globex/metrics",
    "../globex/metrics",
    "_receipts/globex/metrics",
)


def test_a_marker_speaks_for_nobody_else_whatever_it_says_and_wherever_it_lies(rig: Rig, source: MemorySource) -> None:
    for folder in FOLDERS:
        for number, said in enumerate(SAID):
            source.put(f"{folder}/_READY-{number}", json.dumps({"timestamp": INSTANT + number, **said}).encode())
    for _ in range(3):
        rig.clock.now += 60
        rig.loop.run_once()
    assert len(rig.ledger.markers.newest()) >= 4 * len(SAID)
    assert {customer for _, customer in rig.ledger.markers.watermarks()} == {"acme"}


def test_a_marker_of_one_customer_closes_no_day_of_another(rig: Rig, source: MemorySource) -> None:
    rig.clock.now = NOON + 10 * 86_400
    for customer in ("acme", "globex"):
        source.put(f"{customer}/metrics/x.csv", good(3, customer))
    source.put("acme/metrics/_READY", str(int(rig.clock.now) - 60).encode())
    for _ in range(5):
        rig.clock.now += 60
        rig.loop.run_once()
    assert {row.customer for row in rig.ledger.days.newest()} == {"acme"}


# ---------------------------------------------------------------- RECEIPTS, ARCHIVE


def test_what_is_put_into_our_own_folders_is_neither_read_nor_believed(rig: Rig, source: MemorySource) -> None:
    for folder in ("_receipts", "_archive", "_blobdrop"):
        source.put(f"{folder}/globex/metrics/x.csv", good(3))
        source.put(f"{folder}/globex/metrics/x.csv.json", b'{"state": "ingested"}')
        source.put(f"{folder}/globex/metrics/_READY", str(INSTANT).encode())
    rig.loop.run_once()
    assert rig.ledger.drops() == ()
    assert rig.ledger.markers.newest() == ()


def test_a_receipt_that_somebody_overwrote_is_written_anew_with_the_next_news(
    rig: Rig, source: MemorySource, tmp_path: Path
) -> None:
    leaving = Receipts(rig.ledger, source, rig.quarantine, tmp_path / "receipts", log=structlog.get_logger())
    source.put("acme/metrics/x.csv", dirty())
    rig.loop.run_once()
    leaving.turn()
    told = "_receipts/acme/metrics/x.csv.json"
    assert json.loads(source.letters[told])["state"] == "partial"
    source.letters[told] = b"forged"
    rig.clock.now += 60
    source.put("acme/metrics/x.csv", good(4))
    rig.loop.run_once()
    leaving.turn()
    assert json.loads(source.letters[told])["state"] == "ingested"


def test_a_receipt_is_not_written_through_a_link_that_somebody_laid(tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.write_text("ours")
    folder = tmp_path / "drops" / "_receipts" / "acme"
    folder.mkdir(parents=True)
    for name in ("x.csv.json", ".x.csv.json.tmp"):
        (folder / name).symlink_to(precious)
    FolderSource(tmp_path / "drops", settle_seconds=0.0).leave([("_receipts/acme/x.csv.json", b"{}")])
    assert precious.read_text() == "ours"
    assert (folder / "x.csv.json").read_text() == "{}"


# ---------------------------------------------------------------- THE PAGE


def test_each_threat_that_the_readme_names_has_a_test_that_is_there() -> None:
    page = (
        (ROOT / "README.md").read_text(encoding="utf-8").partition("## What somebody may try")[2].partition("\n## ")[0]
    )
    rows = [line for line in page.splitlines() if line.startswith("| ")][1:]
    assert len(rows) >= 10
    for row in rows:
        named = re.findall(r"`(test_\w+)\.(test_\w+)`", row)
        assert named, row
        for module, test in named:
            (path,) = (ROOT / "tests").rglob(f"{module}.py")
            assert f"def {test}(" in path.read_text(encoding="utf-8"), f"{module}.{test}"
