"""What bad input gets: a report that its sender can act on, every row in one place, and the others' drops ingested.

All of the bad files are in one folder and worked in one run, as they would be on a bad day.
"""

from __future__ import annotations

import html
import re
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.acceptance.cases import CASES, NAMES, Case
from tests.acceptance.conftest import Blobdrop
from tests.corpus import text

#: Cases in which somebody has something to do, or to know.
REPORTED = [case for case in CASES if case.words or case.reported]


@dataclass(frozen=True)
class Aftermath:
    """What a run over all of the cases has left behind."""

    blobdrop: Blobdrop
    code: int
    stderr: str

    def words(self, name: str) -> str:
        """Everything that a report says in words, as its JSON has it."""
        report = self.blobdrop.report(name)
        said = [report["rejected_because"], *report["notes"]]
        for problem in report["problems"]:
            said += [problem["expected"], problem["hint"], *(sample["message"] for sample in problem["sample"])]
        return "\n".join(said)

    def page(self, name: str) -> str:
        """The page as plain text."""
        page = (self.blobdrop.entry(name) / "report.html").read_text(encoding="utf-8")
        return plain(html.unescape(re.sub(r"<[^>]*>", "", page)))


def plain(words: str) -> str:
    """Return words as they are compared: a page begins sentences with a capital letter, and breaks lines anywhere."""
    return " ".join(words.casefold().split())


@pytest.fixture(scope="module")
def aftermath(tmp_path_factory: pytest.TempPathFactory) -> Aftermath:
    """All cases, all names and a good drop among them, in one run."""
    blobdrop = Blobdrop(tmp_path_factory.mktemp("bad"))
    for case in CASES:
        blobdrop.drop(case.name, case.data())
    for number, name in enumerate(NAMES):
        blobdrop.drop(name, text.with_record(b"bad,USER_ID,revenue,2026-03-01,1\n", 3, f"name{number}-"))
    blobdrop.drop("good.csv", text.good(tag="fine"))
    blobdrop.drop("notes.csv", text.good(tag="elsewhere"), feed="nobody's")
    (blobdrop.root / "metrics" / "x.csv").mkdir()
    blobdrop.drop("x.csv/inner.csv", text.good(tag="inner"))
    done = blobdrop.run("run", "--once", "--json")
    assert done.stdout, done.stderr
    return Aftermath(blobdrop, done.code, done.stderr)


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_a_bad_file_gets_its_state_and_its_rows_are_counted(aftermath: Aftermath, case: Case) -> None:
    drop = aftermath.blobdrop.found(case.name)

    assert drop.state == case.state, drop.reason
    if case.read >= 0:  # what is read before a break in the middle is as the blocks fall
        assert (drop.rows_read, drop.rows_accepted) == (case.read, case.accepted)
    assert drop.rows_rejected == drop.rows_read - case.accepted
    assert aftermath.blobdrop.rows_of(drop.id) == case.accepted


@pytest.mark.parametrize("case", REPORTED, ids=[case.name for case in REPORTED])
def test_a_bad_file_gets_a_report_that_its_sender_can_act_on(aftermath: Aftermath, case: Case) -> None:
    report = aftermath.blobdrop.report(case.name)

    assert report["state"] == case.state
    assert report["drop"]["name"] == f"metrics/{case.name}"
    assert report["rows"]["read"] == report["rows"]["accepted"] + report["rows"]["rejected"]
    rules = [problem["rule"] for problem in report["problems"]]
    assert case.rule in rules or not case.rule
    said = aftermath.words(case.name)
    for word in case.words:
        assert word in said


@pytest.mark.parametrize("case", REPORTED, ids=[case.name for case in REPORTED])
def test_the_page_says_what_the_report_says(aftermath: Aftermath, case: Case) -> None:
    report, page = aftermath.blobdrop.report(case.name), aftermath.page(case.name)

    assert plain(case.name) in page
    assert plain(report["rejected_because"]) in page
    for problem in report["problems"]:
        assert plain(problem["expected"]) in page
        assert plain(problem["hint"]) in page


def test_a_file_with_nothing_but_a_header_is_said_to_have_no_rows(aftermath: Aftermath) -> None:
    assert "the file has no rows, so nothing was added to the table" in aftermath.page("header only.csv")


@pytest.mark.parametrize("case", [c for c in CASES if c.state == "rejected"], ids=lambda case: case.name)
def test_the_original_of_a_rejected_file_is_kept_byte_by_byte(aftermath: Aftermath, case: Case) -> None:
    (kept,) = aftermath.blobdrop.originals(case.name)

    assert kept.name == case.name
    assert kept.read_bytes() == case.data()


@pytest.mark.parametrize("case", [c for c in CASES if c.state == "partial"], ids=lambda case: case.name)
def test_the_rejected_rows_are_all_in_the_quarantine_with_their_lines_and_problems(
    aftermath: Aftermath, case: Case
) -> None:
    rejected = aftermath.blobdrop.rejected(case.name)

    assert len(rejected) == case.read - case.accepted
    assert all(record["_line"].isdigit() and record["_problems"] for record in rejected)


def test_good_drops_in_the_same_run_are_ingested(aftermath: Aftermath) -> None:
    drop = aftermath.blobdrop.found("good.csv")

    assert (drop.state, drop.rows_accepted) == ("ingested", 10)
    assert aftermath.blobdrop.rows_of(drop.id) == 10


@pytest.mark.parametrize("name", NAMES, ids=range(len(NAMES)))
def test_a_drop_may_have_any_name(aftermath: Aftermath, name: str) -> None:
    drop = aftermath.blobdrop.found(name)

    assert (drop.state, drop.rows_read, drop.rows_accepted) == ("partial", 10, 9)
    assert drop.name.isprintable()
    assert len(aftermath.blobdrop.rejected(name)) == 1
    assert Path(drop.report).is_relative_to(aftermath.blobdrop.folder / "var" / "quarantine")
    page = (Path(drop.report) / "report.html").read_text(encoding="utf-8")
    assert "<script>alert" not in page
    assert (aftermath.blobdrop.root / "_archive" / "metrics" / name).is_file()


def test_a_path_that_no_feed_matches_is_listed_and_left_where_it_is(aftermath: Aftermath) -> None:
    drop = aftermath.blobdrop.found("notes.csv", feed="nobody's")

    assert drop.state == "unmatched"
    assert (aftermath.blobdrop.root / "nobody's" / "notes.csv").is_file()
    assert "nobody's/notes.csv  no feed has a pattern for this name" in aftermath.stderr


def test_a_directory_with_a_name_like_a_file_is_a_directory(aftermath: Aftermath) -> None:
    assert aftermath.blobdrop.found("x.csv/inner.csv").state == "ingested"
    assert "metrics/x.csv" not in {drop.name for drop in aftermath.blobdrop.drops()}


def test_every_row_is_in_one_place_and_nothing_is_left_lying_about(aftermath: Aftermath) -> None:

    aftermath.blobdrop.assert_every_row_is_in_one_place()
    assert aftermath.blobdrop.leftovers() == []
    assert not (aftermath.blobdrop.folder / "pwned").exists()
    # Nothing but what the test put there, beside the program's own folder.
    assert {path.name for path in aftermath.blobdrop.folder.iterdir()} == {"drops", "var", "stdout.txt", "stderr.txt"}


def test_the_exit_code_says_that_data_has_problems_and_the_log_has_no_traceback(aftermath: Aftermath) -> None:
    assert aftermath.code == 1
    assert "Traceback" not in aftermath.stderr
    assert "failed" not in aftermath.blobdrop.states()


def test_the_same_bad_files_are_not_worked_again(aftermath: Aftermath) -> None:
    before = aftermath.blobdrop.drops()
    summary = aftermath.blobdrop.once(code=0)

    assert summary["rows"]["read"] == 0
    assert aftermath.blobdrop.drops() == before
