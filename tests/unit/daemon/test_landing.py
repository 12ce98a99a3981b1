"""Landing: good rows in the stage, the others in the quarantine entry, neither when the drop is not believed."""

from __future__ import annotations

import csv
import datetime as dt
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from daemon.cabinets.folder import FolderCabinet
from daemon.contracts import contract_of
from daemon.landing import Landing, Stages, day_of, subject_of, table_rows
from daemon.model import Drop, Found, Limits, Outcome, State
from daemon.places.folder import FolderPlace
from daemon.quarantine import Quarantine, read_report
from tests.corpus import text
from tests.unit.daemon.conftest import METRICS, NOON, dirty, good
from validators.files import judge
from validators.judging import Policy
from validators.model import Verdict
from validators.readers import open_file

FOUND = Found(uri="file:///d/a.csv", name="acme/metrics/a.csv", version="1", size=1, modified=0.0)
DROP = Drop(id=FOUND.drop_id, found=FOUND, feed="metrics", customer="acme")


@dataclass
class Place:
    """A drop's landing on folders of its own."""

    folder: Path

    def __post_init__(self) -> None:
        self.quarantine = Quarantine(FolderCabinet(self.folder / "quarantine"))
        self.stages = Stages(FolderPlace(self.folder / "table"), "u")
        self.landing = Landing(
            DROP, stages=self.stages, quarantine=self.quarantine, now=NOON, zone_day=day_of(NOON, "UTC")
        )

    def read(self, data: bytes) -> Verdict:
        """Judge a file into the landing."""
        path = self.folder / "a.csv"
        path.write_bytes(data)
        with closing(open_file(path, name="a.csv", dialect=METRICS.dialect, limits=Limits())) as reader:
            self.landing.reading(reader)
            return judge(reader, contract_of(METRICS), Policy(), Limits(), self.landing)

    def conclude(self, verdict: Verdict) -> Outcome:
        return self.landing.conclude(verdict, sha256="5ha", started=1.0, now=2.0)

    def files(self) -> list[Path]:
        return sorted((self.folder / "table").rglob("*.parquet"))

    def rows(self) -> list[int]:
        found: list[int] = []
        for path in self.files():
            with pq.ParquetFile(path) as opened:
                found += opened.read()["_row"].to_pylist()
        return found

    def kept(self) -> list[str]:
        return sorted(path.name for path in (self.folder / "quarantine").rglob("*") if path.is_file())


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def test_good_rows_are_staged_under_their_numbers_and_the_others_kept(place: Place) -> None:
    outcome = place.conclude(place.read(dirty()))
    files, schema = place.stages.finish()

    assert (outcome.state, outcome.rows.accepted, outcome.rows.rejected) == (State.PARTIAL, 9, 1)
    assert place.rows() == [1, 2, 3, 4, 6, 7, 8, 9, 10]
    assert [file.rows for file in files] == [9]
    assert schema is not None
    assert schema.names[-4:] == ["customer", "_drop", "_row", "_ingested_at"]
    rejected = (Path(outcome.report) / "rejected.csv").read_text(encoding="utf-8-sig")
    (record,) = csv.DictReader(rejected.splitlines())
    assert (record["metric_value"], record["_line"]) == ("lots", "6")
    assert read_report(Path(outcome.report)).finished_at == 2.0


def test_a_good_drop_leaves_nothing_in_quarantine(place: Place) -> None:
    outcome = place.conclude(place.read(good(3)))
    assert (outcome.state, outcome.report, outcome.reason) == (State.INGESTED, "", "")
    assert place.kept() == []


def test_a_file_without_rows_gets_a_report_for_somebody_expected_some(place: Place) -> None:
    outcome = place.conclude(place.read(text.HEADER))
    assert outcome.state is State.INGESTED
    assert place.kept() == ["report.html", "report.json"]
    assert place.stages.finish() == ((), None)


def test_a_second_reading_forgets_what_the_first_has_staged_and_kept(place: Place) -> None:
    """Over its budget: the first reading has staged a row already, which must not stay."""
    bad = b"x,user_id,revenue,2026-03-01,lots\n"
    outcome = place.conclude(place.read(text.good(1) + bad * 3))
    assert (outcome.state, outcome.rows.accepted, outcome.rows.rejected) == (State.REJECTED, 0, 4)
    place.stages.finish()
    assert place.files() == []
    rejected = (Path(outcome.report) / "rejected.csv").read_text(encoding="utf-8-sig").splitlines()
    assert len(rejected) == 1 + 4


def test_a_stage_after_a_second_reading_never_has_the_name_of_the_first(place: Place) -> None:
    for _ in range(2):
        place.stages.forget(place.stages.new())
    place.read(good(2))
    ((file,), _) = place.stages.finish()
    assert file.path == "date=2026-03-01/part-u-2-00.parquet"


@pytest.mark.parametrize("data", [good(3), dirty()], ids=["good", "dirty"])
def test_a_drop_that_is_not_to_be_believed_leaves_nothing(place: Place, data: bytes) -> None:
    place.read(data)
    place.landing.discard()
    place.landing.discard()
    assert place.stages.finish() == ((), None)
    assert place.files() == []
    assert place.kept() == []


def test_aborting_a_unit_removes_every_stage(place: Place) -> None:
    place.read(good(3))
    place.stages.finish()
    assert len(place.files()) == 1
    place.stages.abort()
    assert place.files() == []


def test_the_original_is_kept_beside_the_report(place: Place, tmp_path: Path) -> None:
    verdict = place.read(b"nothing,of,ours\n1,2,3\n")
    place.landing.keep_original(tmp_path / "a.csv")
    outcome = place.conclude(verdict)
    assert (Path(outcome.report) / "a.csv").read_bytes() == b"nothing,of,ours\n1,2,3\n"
    assert outcome.reason == verdict.rejected_because


def test_a_report_says_whose_drop_it_is() -> None:
    subject = subject_of(DROP, "5ha")
    assert (subject.drop_id, subject.name, subject.customer, subject.sha256) == (DROP.id, FOUND.name, "acme", "5ha")


@pytest.mark.parametrize("days", [None, [dt.date(2026, 3, 1)]], ids=["no-time-column", "time-column"])
def test_rows_without_a_day_of_their_own_get_that_of_their_ingestion(days: list[dt.date] | None) -> None:
    contract = contract_of(METRICS)
    match = contract.match(text.HEADER.decode().strip().split(","))
    typed = pa.table({column.name: pa.nulls(1, column.type.arrow) for column in match.columns})
    stored, got = table_rows(
        match,
        typed,
        None if days is None else pa.array(days),
        zone_day=7,
        drops=pa.array(["d"]),
        customers=pa.array(["acme"]),
        rows=pa.array([5]),
        now=1.5,
    )
    assert got.to_pylist() == (days or [dt.date(1970, 1, 8)])
    assert "date" not in stored.column_names
    assert stored["_ingested_at"].to_pylist() == [dt.datetime(1970, 1, 1, 0, 0, 1, 500_000, dt.UTC)]


def test_stages_of_a_unit_have_names_of_their_own(tmp_path: Path) -> None:
    stages = Stages(FolderPlace(tmp_path), "u")
    table = pa.table({"_drop": ["d"], "_row": [1]})
    day = pa.array([dt.date(2026, 3, 1)])
    for _ in range(3):
        stages.new().add(table, day)
    files, _ = stages.finish()
    assert len({file.path for file in files}) == 3
