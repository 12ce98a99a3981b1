"""What bad input gets: a report that its sender can act on, every row in one place, and the others' drops ingested."""

from __future__ import annotations

import csv
import html
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.acceptance.conftest import Blobdrop
from tests.corpus import files, text

#: Somebody without rights.
NOBODY = 65534
#: Megabytes that no process of a run may need for bad input, however large it says it is.
MEMORY_MB = 500


@dataclass(frozen=True, kw_only=True)
class Case:
    """A bad file, and what has to come of it."""

    name: str
    data: Callable[[], bytes]
    state: str
    #: Read and accepted; the others are rejected.
    read: int = 0
    accepted: int = 0
    #: The commonest broken rule; empty where there is none.
    rule: str = ""
    #: What the report has to say somewhere: what was found, and what to do.
    words: tuple[str, ...] = ()


CASES = (
    Case(
        name="empty.csv",
        data=text.empty_file,
        state="rejected",
        rule="empty_file",
        words=("the file is empty", "Drop the file again with its data"),
    ),
    Case(
        name="blanks.csv",
        data=text.only_blanks,
        state="rejected",
        rule="empty_file",
        words=("nothing but blanks", "Drop the file again with its data"),
    ),
    Case(name="header only.csv", data=text.header_only, state="ingested", words=("no rows",)),
    Case(
        name="header missing.csv",
        data=text.header_missing,
        state="rejected",
        read=9,
        rule="missing_column",
        words=("the column 'id_type' is missing", "headless0, user_id, revenue", "does it have a header"),
    ),
    Case(
        name="duplicate names.csv",
        data=text.duplicate_names,
        state="rejected",
        read=10,
        rule="duplicate_column",
        words=("'metric_value' is there 2 times", "leave one of them out, or rename it"),
    ),
    Case(
        name="ragged.csv",
        data=text.ragged_rows,
        state="partial",
        read=10,
        accepted=8,
        rule="field_count",
        words=("row 4 (line 5): found 4 fields, expected 5 fields", "found 7 fields", "a missing or extra delimiter"),
    ),
    Case(
        name="quote at the start.csv",
        data=text.quote_at_the_start,
        state="partial",
        read=10,
        accepted=9,
        rule="quote",
        words=('row 1 (line 2): found a field that opens with " and is not closed', "put quotes around the whole cell"),
    ),
    Case(
        name="quote in the middle.csv",
        data=text.quote_in_the_middle,
        state="partial",
        read=10,
        accepted=9,
        rule="quote",
        words=("row 6 (line 7)", "is not closed", "put quotes around the whole cell"),
    ),
    Case(
        name="quote at the end.csv",
        data=text.quote_at_the_end,
        state="partial",
        read=10,
        accepted=9,
        rule="quote",
        words=("row 10 (line 11)", "is not closed", "put quotes around the whole cell"),
    ),
    Case(
        name="nul.csv",
        data=text.nul_bytes,
        state="partial",
        read=10,
        accepted=9,
        rule="nul_byte",
        words=("row 5 (line 6): found a NUL byte at character 4 of the record",),
    ),
    Case(name="mixed line ends.csv", data=text.mixed_line_ends, state="ingested", read=9, accepted=9),
    Case(
        name="wrong encoding in one row.csv",
        data=text.wrong_encoding_in_one_row,
        state="partial",
        read=10,
        accepted=9,
        rule="encoding",
        words=("row 7 (line 8): found byte 0xFC in column 'unit_id'", "save the file as UTF-8"),
    ),
    Case(
        name="cut.csv.gz",
        data=text.truncated_gzip,
        state="rejected",
        read=-1,
        rule="truncated",
        words=("a part of the file is missing", "Send the whole file again"),
    ),
    Case(
        name="spoilt.csv.gz",
        data=text.corrupt_gzip,
        state="rejected",
        read=-1,
        rule="corrupt",
        words=("the gzip data is damaged", "Send the whole file again"),
    ),
    Case(
        name="pdf.csv",
        data=files.pdf,
        state="rejected",
        rule="not_data",
        words=("this is a PDF document", "Export the data as CSV"),
    ),
    Case(
        name="zip.csv",
        data=files.archive,
        state="rejected",
        rule="not_data",
        words=("this is a ZIP archive", "Take the data file out of it"),
    ),
    Case(
        name="png.csv",
        data=files.png,
        state="rejected",
        rule="not_data",
        words=("this is a PNG image", "Export the data as CSV"),
    ),
    Case(
        name="html.csv",
        data=files.html,
        state="rejected",
        rule="not_data",
        words=("this is an HTML page", "a login or error page"),
    ),
    Case(
        name="invalid line.ndjson",
        data=files.invalid_line,
        state="partial",
        read=10,
        accepted=9,
        rule="invalid_json",
        words=("row 5 (line 5)", "expected one JSON object"),
    ),
    Case(
        name="deep line.ndjson",
        data=files.deep_line,
        state="partial",
        read=10,
        accepted=9,
        rule="invalid_json",
        words=("row 10 (line 10): found values nested more than 64 levels deep",),
    ),
    Case(
        name="deep document.json",
        data=files.deep_document,
        state="rejected",
        read=-1,
        rule="invalid_json",
        words=("nested more than 64 levels deep", "nothing after it can be trusted", "written as NDJSON"),
    ),
    Case(
        name="numbers.csv",
        data=text.impossible_numbers,
        state="partial",
        read=20,
        accepted=10,
        rule="type",
        words=(
            "found '1e999', expected a finite number",
            "found 'inf', expected a finite number",
            "found '1_000', expected a finite number",
            "found '0x1A', expected a finite number",
            "found '99999999999999999999', expected a whole number",
            "found '9223372036854775808', expected a whole number",
            "found '12.7', expected a whole number",
            "looks like milliseconds: divide by 1000",
        ),
    ),
    Case(
        name="numbers.ndjson",
        data=files.impossible_json_numbers,
        state="partial",
        read=10,
        accepted=5,
        rule="type",
        words=("found '99999999999999999999'", "found '1e999', expected a finite number", "found NaN, which JSON"),
    ),
    Case(
        name="broken footer.parquet",
        data=files.broken_footer,
        state="rejected",
        rule="parquet",
        words=("the Parquet file is broken or cut off", "send the whole of it"),
    ),
    Case(
        name="cut.parquet",
        data=files.cut_parquet,
        state="rejected",
        rule="parquet",
        words=("the Parquet file is broken or cut off", "its end is missing"),
    ),
    Case(name="nested beside.parquet", data=files.nested_columns, state="ingested", read=10, accepted=10),
    Case(
        name="nested value.parquet",
        data=files.nested_value,
        state="rejected",
        read=10,
        rule="type",
        words=("10 of 10 rows have problems, more than the 50%", """found '{"v":1.5}', expected a finite number"""),
    ),
    Case(
        name="claims gigabytes.parquet",
        data=files.lying_parquet,
        state="rejected",
        rule="too_large",
        words=("24,000,000,000 bytes in memory", "Send it in parts, or raise limits.max_decompressed_mb"),
    ),
    Case(name="dates.xlsx", data=files.excel_dates, state="ingested", read=3, accepted=3),
    Case(
        name="formulas.xlsx",
        data=files.excel_formulas,
        state="partial",
        read=4,
        accepted=3,
        words=("formulas without a value, read as empty: E5", "opening and saving the file in Excel"),
    ),
    Case(
        name="merged.xlsx",
        data=files.merged_cells,
        state="partial",
        read=4,
        accepted=3,
        words=("merged cells: A3:A4; only the first cell of each has its value", "row 3 (line 4), column unit_id"),
    ),
    Case(
        name="wide.csv",
        data=text.many_columns,
        state="rejected",
        rule="too_many_columns",
        words=("5,000 columns; at most 2,000 are read", "Is the delimiter right?"),
    ),
)

#: Names that a file system allows and that no program should fall over.
NAMES = (
    """it's "quoted".csv""",
    "two\nlines.csv",
    "tab\tand\rreturn.csv",
    "🚀 übermäßig.csv",
    "x" * 251 + ".csv",
    "..%2F..%2Fetc%2Fpasswd.csv",
    "..\\..\\windows.csv",
    "-rf.csv",
    "$(touch pwned).csv",
    "<script>alert(1)</script".replace("/", "\u2215") + ".csv",
    os.fsdecode(b"not-utf8-\xff\xfe.csv"),
    "..csv".replace("..", "a..") + "",
    "deep/../" .replace("..", "…") + "er.csv",
)


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
        """The page that people see, without its tags' meaning."""
        page = (self.blobdrop.entry(name) / "report.html").read_text(encoding="utf-8")
        return html.unescape(re.sub(r"<[^>]*>", "", page))


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


@pytest.mark.parametrize("case", [c for c in CASES if c.words], ids=[case.name for case in CASES if case.words])
def test_a_bad_file_gets_a_report_that_its_sender_can_act_on(aftermath: Aftermath, case: Case) -> None:
    report = aftermath.blobdrop.report(case.name)

    assert report["state"] == case.state
    assert report["drop"]["name"] == f"metrics/{case.name}"
    assert report["rows"]["read"] == report["rows"]["accepted"] + report["rows"]["rejected"]
    rules = [problem["rule"] for problem in report["problems"]]
    assert case.rule in rules or not case.rule
    said, page = aftermath.words(case.name), aftermath.page(case.name)
    for word in case.words:
        assert word in said or word in page
        assert word in page


@pytest.mark.parametrize("case", [c for c in CASES if c.state == "rejected"], ids=lambda case: case.name)
def test_the_original_of_a_rejected_file_is_kept_byte_by_byte(aftermath: Aftermath, case: Case) -> None:
    (kept,) = aftermath.blobdrop.originals(case.name)

    assert kept.name == case.name
    assert kept.read_bytes() == case.data()


@pytest.mark.parametrize("case", [c for c in CASES if c.state == "partial"], ids=lambda case: case.name)
def test_the_rejected_rows_are_all_in_the_quarantine_with_their_lines_and_problems(
    aftermath: Aftermath, case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    csv.field_size_limit(10**7)
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
    assert "drop.unmatched" in aftermath.stderr


def test_a_directory_with_a_name_like_a_file_is_a_directory(aftermath: Aftermath) -> None:
    assert aftermath.blobdrop.found("x.csv/inner.csv").state == "ingested"
    assert "metrics/x.csv" not in {drop.name for drop in aftermath.blobdrop.drops()}


def test_every_row_is_in_one_place_and_nothing_is_left_lying_about(aftermath: Aftermath) -> None:
    csv.field_size_limit(10**7)

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


# ---------------------------------------------------------------- TOO LARGE


@pytest.mark.parametrize("make", [text.long_line, text.long_text_line], ids=lambda make: make.__name__)
def test_a_line_of_200_mb_is_refused_in_seconds_and_little_memory(
    blobdrop: Blobdrop, make: Callable[[Path], None]
) -> None:
    unfinished = blobdrop.folder / "unfinished"
    make(unfinished)
    blobdrop.drop("good.csv", text.good())
    with bounded(blobdrop, "line.csv", unfinished) as original:
        report = blobdrop.report("line.csv")

        assert blobdrop.found("line.csv").state == "rejected"
        assert report["problems"][0]["rule"] == "line_too_long"
        assert "line 7" in report["rejected_because"]
        assert "16,777,216 bytes" in report["rejected_because"]
        assert report["problems"][0]["hint"]
        assert blobdrop.found("good.csv").state == "ingested"
        (kept,) = blobdrop.originals("line.csv")
        assert kept.stat().st_size == original


def test_a_gzip_bomb_of_10_gb_of_zeros_is_refused_in_seconds_and_little_memory(blobdrop: Blobdrop) -> None:
    unfinished = blobdrop.folder / "unfinished"
    text.gzip_bomb(unfinished)
    assert unfinished.stat().st_size < 11 * 1024**2
    with bounded(blobdrop, "bomb.csv.gz", unfinished):
        drop = blobdrop.found("bomb.csv.gz")

        assert (drop.state, drop.rows_read) == ("rejected", 0)
        assert "not text" in blobdrop.report("bomb.csv.gz")["rejected_because"]
        assert len(blobdrop.originals("bomb.csv.gz")) == 1


def test_a_gzip_bomb_of_good_rows_is_capped_by_a_setting_and_leaves_nothing_in_the_table(blobdrop: Blobdrop) -> None:
    blobdrop.settings["BLOBDROP_LIMITS__MAX_DECOMPRESSED_MB"] = "24"
    unfinished = blobdrop.folder / "unfinished"
    text.gzip_bomb_of_rows(unfinished)
    blobdrop.drop("good.csv", text.good())
    with bounded(blobdrop, "rows.csv.gz", unfinished):
        report = blobdrop.report("rows.csv.gz")

        assert report["problems"][0]["rule"] == "too_large"
        assert "25,165,824 bytes" in report["rejected_because"]
        assert "limits.max_decompressed_mb" in report["problems"][0]["hint"]
        assert report["rows"]["accepted"] == 0
        assert blobdrop.table().num_rows == 10


@contextmanager
def bounded(blobdrop: Blobdrop, name: str, unfinished: Path) -> Iterator[int]:
    """Drop a file, run, and hold time and memory against what a person would wait; yield the file's size."""
    size = unfinished.stat().st_size
    (blobdrop.root / "metrics").mkdir(exist_ok=True)
    unfinished.rename(blobdrop.root / "metrics" / name)
    done = blobdrop.run("run", "--once", "--json")
    assert done.code == 1, done.stderr
    assert done.memory_mb < MEMORY_MB
    yield size
    assert blobdrop.leftovers() == []
    blobdrop.assert_every_row_is_in_one_place()


# ---------------------------------------------------------------- WHAT THE DISK AND OTHERS DO


@pytest.fixture
def shared() -> Iterator[Blobdrop]:
    """A folder that a user without rights can work in, which pytest's own folders are not."""
    with tempfile.TemporaryDirectory(prefix="blobdrop-test-") as name:
        folder = Path(name)
        made = Blobdrop(folder)
        (made.root / "metrics").mkdir()
        if os.geteuid() == 0:
            shutil.chown(folder, NOBODY, NOBODY)
            for path in folder.rglob("*"):
                shutil.chown(path, NOBODY, NOBODY)
        yield made


def without_rights() -> None:
    """Become somebody who cannot read everything; done in a process that is about to run the command."""
    if os.geteuid() == 0:
        os.setgroups([])
        os.setgid(NOBODY)
        os.setuid(NOBODY)


def test_an_unreadable_file_fails_with_the_remedy_and_a_retry_takes_it_when_it_is_readable(shared: Blobdrop) -> None:
    if not _nobody_can_run():
        pytest.skip("this Python is in a folder that only its owner can enter")
    secret = shared.drop("secret.csv", text.good(tag="secret"))
    secret.chmod(0)
    shared.drop("good.csv", text.good())
    summary = shared.once(code=3, before=without_rights)

    drop = shared.found("secret.csv")
    assert (summary["drops"]["failed"], summary["drops"]["ingested"]) == (1, 1)
    assert "permission denied" in drop.reason
    assert "chmod a+r" in drop.reason
    assert secret.exists()
    assert shared.leftovers() == []

    secret.chmod(0o644)
    assert shared.run("retry", drop.id, before=without_rights).code == 0
    assert shared.once(code=0, before=without_rights)["drops"]["ingested"] == 1
    assert shared.table().num_rows == 20


def _nobody_can_run() -> bool:
    probe = [sys.executable, "-c", "import daemon.cli, pandas"]
    checkout = str(Path(__file__).resolve().parents[2])
    return (
        subprocess.run(
            probe, env={"PYTHONPATH": checkout}, preexec_fn=without_rights, check=False, capture_output=True
        ).returncode  # noqa: PLW1509 - no thread runs here
        == 0
    )


def test_a_file_that_vanishes_or_changes_while_it_is_read_is_read_again_in_its_new_version(blobdrop: Blobdrop) -> None:
    """Files are replaced, appended to and removed for as long as the daemon runs; at the end every row counts once."""
    blobdrop.settings["BLOBDROP_SOURCE__SETTLE_SECONDS"] = "0"
    blobdrop.start()
    end = time.monotonic() + 4
    writers = [threading.Thread(target=_restless, args=(blobdrop, number, end)) for number in range(3)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    final = {f"restless{number}.csv": blobdrop.drop(f"restless{number}.csv", _last(number)) for number in range(3)}
    for name in final:
        _wait_until_last(blobdrop, name)
    assert blobdrop.stop() == 0

    assert "Traceback" not in blobdrop.log
    assert "failed" not in blobdrop.states()
    blobdrop.assert_every_row_is_in_one_place()
    assert blobdrop.leftovers() == []
    units = blobdrop.table()["unit_id"].to_pylist()
    assert sorted(units) == sorted(f"last{number}-{row}" for number in range(3) for row in range(1_000))


def _last(number: int) -> bytes:
    return text.good(1_000, tag=f"last{number}-")


def _wait_until_last(blobdrop: Blobdrop, name: str) -> None:
    from tests.acceptance.conftest import wait_for

    wait_for(
        lambda: any(d.found.name == f"metrics/{name}" and d.rows_accepted == 1_000 and d.settled_at for d in blobdrop.drops()),
        f"the last version of {name} is settled",
        told=lambda: blobdrop.log,
    )


def _restless(blobdrop: Blobdrop, number: int, end: float) -> None:
    """Write, append, replace and remove one file until time is up."""
    path = blobdrop.root / "metrics" / f"restless{number}.csv"
    path.parent.mkdir(exist_ok=True)
    go = 0
    while time.monotonic() < end:
        go += 1
        with path.open("wb") as file:
            file.write(text.HEADER)
            for line in text.rows(3_000, tag=f"go{number}-{go}-"):
                file.write(line)
        if go % 3 == 0:
            path.unlink(missing_ok=True)
        time.sleep(0.02 * (go % 4))


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 6 MB."""
    place = tmp_path / "small"
    place.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=6m", "tmpfs", place], check=False, capture_output=True)
    if mounted.returncode:
        pytest.skip(f"a small disk cannot be mounted here: {mounted.stderr.decode().strip()}")
    yield place
    subprocess.run(["umount", "--lazy", place], check=True)


def _many(count: int) -> bytes:
    """Rows that do not compress well."""
    return text.HEADER + b"".join(
        b"%s,user_id,revenue,2026-03-01,%d\n" % (os.urandom(40).hex().encode(), number) for number in range(count)
    )


@pytest.mark.parametrize("where", ["store", "quarantine", "ledger"])
def test_a_full_disk_loses_nothing_and_the_work_is_done_when_there_is_room(
    blobdrop: Blobdrop, small_disk: Path, where: str
) -> None:
    urls = {"store": "tables", "quarantine": "aside", "ledger": "ledger.db"}
    url = f"{'sqlite:///' if where == 'ledger' else ''}{small_disk / urls[where]}"
    blobdrop.settings[f"BLOBDROP_{where.upper()}__URL"] = url
    blobdrop.settings["BLOBDROP_WORKERS__ATTEMPTS"] = "1" if where != "quarantine" else "2"
    big = _many(120_000) if where == "store" else _many(60_000) + b"x,USERID,revenue,2026-03-01,1\n" * 59_000
    ballast = small_disk / "ballast"
    if where == "ledger":
        blobdrop.once(code=0)
    _fill(ballast, leave=64 * 1024 if where != "store" else 1024**2)
    blobdrop.drop("big.csv", big)
    done = blobdrop.run("run", "--once", "--json")

    assert done.code == 3, (done.stdout, done.stderr)
    assert "Traceback" not in done.stderr
    assert "space" in (done.stderr + done.stdout).lower()
    assert (blobdrop.root / "metrics" / "big.csv").exists()

    ballast.unlink()
    if where == "store":
        subprocess.run(["mount", "-o", "remount,size=64m", small_disk], check=True)
    else:
        subprocess.run(["mount", "-o", "remount,size=64m", small_disk], check=True)
    if where == "quarantine":
        blobdrop.run("retry", "metrics/big.csv")
    again = blobdrop.run("run", "--once", "--json")
    assert again.code == (0 if where == "store" else 1), again.stderr
    assert json.loads(again.stdout)["rows"]["read"] == big.count(b"\n") - 1
    assert not (blobdrop.root / "metrics" / "big.csv").exists()


def _fill(path: Path, leave: int) -> None:
    """Take the disk's free space but for so many bytes."""
    free = os.statvfs(path.parent)
    path.write_bytes(bytes(max(0, free.f_bavail * free.f_frsize - leave)))
