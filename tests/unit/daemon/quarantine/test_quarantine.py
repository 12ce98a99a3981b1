"""The quarantine on a real folder: entries appear whole or not at all, and are found, listed and cleared away."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest

from daemon.cabinets.folder import SYNC_ONE_BY_ONE, FolderCabinet
from daemon.errors import NotFoundError, WorkError
from daemon.model import State
from daemon.quarantine import Quarantine, read_report
from daemon.quarantine.entries import NAME_BYTES, safe_name
from daemon.reports import Report, Subject
from validators.model import Rows

SUBJECT = Subject(drop_id="0" * 16, uri="file:///d/m.csv", name="acme/metrics/m.csv", feed="metrics", customer="acme")
REPORT = Report(subject=SUBJECT, state=State.PARTIAL, rows=Rows(read=3, accepted=2, rejected=1), finished_at=100.0)


@pytest.fixture
def quarantine(tmp_path: Path) -> Quarantine:
    return Quarantine(FolderCabinet(tmp_path / "quarantine"))


def keep(
    quarantine: Quarantine, drop: str, *, customer: str = "acme", feed: str = "metrics", finished_at: float = 100.0
) -> Path:
    subject = replace(SUBJECT, drop_id=drop, customer=customer, feed=feed)
    with quarantine.open(customer, feed, drop) as entry:
        entry.rejected_path.write_text("a,_line,_problems\n")
        entry.write_report(replace(REPORT, subject=subject, finished_at=finished_at))
        return Path(entry.publish())


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_an_entry_lies_below_customer_feed_and_drop(quarantine: Quarantine, tmp_path: Path) -> None:
    folder = keep(quarantine, "ab12")
    assert folder == tmp_path / "quarantine" / "acme" / "metrics" / "ab12"
    assert names(folder) == {"rejected.csv", "report.json", "report.html"}
    assert read_report(folder) == replace(REPORT, subject=replace(SUBJECT, drop_id="ab12"))


def test_nothing_shows_before_an_entry_is_published(quarantine: Quarantine, tmp_path: Path) -> None:
    entry = quarantine.open("acme", "metrics", "ab12")
    entry.rejected_path.write_text("a\n")
    assert quarantine.list() == ()
    with pytest.raises(NotFoundError):
        quarantine.find("ab12")
    entry.discard()
    assert names(tmp_path / "quarantine" / "acme" / "metrics") == set()


def test_an_entry_left_by_an_error_is_discarded(quarantine: Quarantine, tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), quarantine.open("acme", "metrics", "ab12"):
        raise RuntimeError
    assert names(tmp_path / "quarantine" / "acme" / "metrics") == set()


def test_redoing_a_drop_replaces_its_entry_as_a_whole(quarantine: Quarantine) -> None:
    folder = keep(quarantine, "ab12")
    (folder / "original.csv").write_text("of the first go")
    assert keep(quarantine, "ab12", finished_at=200.0) == folder
    assert names(folder) == {"rejected.csv", "report.json", "report.html"}
    assert read_report(folder).finished_at == 200.0
    assert names(folder.parent) == {"ab12"}


def test_opening_again_starts_from_an_empty_folder(quarantine: Quarantine) -> None:
    quarantine.open("acme", "metrics", "ab12").rejected_path.write_text("half of it")
    assert not quarantine.open("acme", "metrics", "ab12").rejected_path.exists()


@pytest.mark.parametrize("customer", ["..", "a/b", ".hidden", "é\n", "caf\udce9", "", "x" * 300])
def test_a_customer_of_any_name_stays_below_the_root(quarantine: Quarantine, tmp_path: Path, customer: str) -> None:
    folder = keep(quarantine, "ab12", customer=customer)
    assert folder.resolve().is_relative_to(tmp_path / "quarantine")
    assert len(folder.relative_to(tmp_path / "quarantine").parts) == 3
    assert len(quarantine.list(customer=customer)) == 1
    quarantine.remove(customer, "metrics", "ab12")
    assert quarantine.list() == ()


def test_the_original_is_kept_as_a_copy_and_named_on_the_page(quarantine: Quarantine, tmp_path: Path) -> None:
    dropped = tmp_path / "dropped"
    dropped.write_bytes(b"%PDF-1.7")
    with quarantine.open("acme", "metrics", "ab12") as entry:
        kept = entry.keep_original(dropped, "acme/metrics/my report.csv")
        entry.write_report(replace(REPORT, state=State.REJECTED))
        folder = Path(entry.publish())
    dropped.write_bytes(b"changed")
    assert (folder / kept.name).read_bytes() == b"%PDF-1.7"
    assert kept.name == "my report.csv"
    assert "my report.csv" in (folder / "report.html").read_text()


@pytest.mark.parametrize(
    ("name", "safe"),
    [
        ("acme/m.csv", "m.csv"),
        ("rejected.csv", "original-rejected.csv"),
        ("a/report.html", "original-report.html"),
        ("../..", "original"),
        ("", "original"),
        ("a\nb\x1b\udce9.csv", "a_b__.csv"),
        (r"c:\x|y.csv", "c__x_y.csv"),
        ("Zoë 🎉.csv", "Zoë 🎉.csv"),
    ],
)
def test_the_originals_name_is_made_safe(name: str, safe: str) -> None:
    assert safe_name(name) == safe


def test_a_long_name_keeps_its_suffix() -> None:
    safe = safe_name("é" * 120 + ".csv.gz")
    assert safe.endswith("é.gz")
    assert len(safe.encode()) <= NAME_BYTES


def test_entries_are_listed_the_newest_first(quarantine: Quarantine) -> None:
    for number, drop in enumerate(["aa", "bb", "cc"]):
        keep(quarantine, drop, finished_at=100.0 + number)
    keep(quarantine, "dd", customer="other", feed="events", finished_at=50.0)
    listed = [one.report.subject.drop_id for one in quarantine.list() if one.report]
    assert listed == ["cc", "bb", "aa", "dd"]
    assert [one.drop for one in quarantine.list(customer="other")] == ["dd"]
    assert [one.drop for one in quarantine.list(feed="events")] == ["dd"]
    assert quarantine.list(customer="nobody") == ()


def test_a_limit_reads_only_the_newest(quarantine: Quarantine) -> None:
    for number, drop in enumerate(["aa", "bb", "cc"]):
        folder = keep(quarantine, drop, finished_at=100.0 + number)
        os.utime(folder, (100 + number, 100 + number))
    assert [one.drop for one in quarantine.list(limit=2)] == ["cc", "bb"]


def test_a_quarantine_that_is_not_there_yet_is_empty(quarantine: Quarantine) -> None:
    assert quarantine.list() == ()
    quarantine.sweep()
    quarantine.remove("acme", "metrics", "ab12")


@pytest.mark.parametrize("damage", [b"", b"{", b"[]", b'{"drop": 1}', b"\xff"])
def test_a_damaged_report_is_listed_with_the_reason(quarantine: Quarantine, damage: bytes) -> None:
    folder = keep(quarantine, "ab12")
    keep(quarantine, "cd34")
    (folder / "report.json").write_bytes(damage)
    damaged = [one for one in quarantine.list() if one.damaged]
    assert [one.folder for one in damaged] == [str(folder)]
    assert damaged[0].report is None
    with pytest.raises(WorkError, match="is damaged"):
        read_report(folder)


def test_an_entry_without_a_report_is_not_passed_over(quarantine: Quarantine) -> None:
    (keep(quarantine, "ab12") / "report.json").unlink()
    assert "no report.json" in quarantine.list()[0].damaged


def test_a_drop_is_found_by_its_id_or_the_start_of_it(quarantine: Quarantine) -> None:
    folder = keep(quarantine, "ab12cd")
    keep(quarantine, "ab34ef")
    assert quarantine.find("ab12cd") == str(folder)
    assert quarantine.find("ab1") == str(folder)


def test_an_id_that_is_the_start_of_another_is_found(quarantine: Quarantine) -> None:
    folder = keep(quarantine, "ab12")
    keep(quarantine, "ab12cd")
    assert quarantine.find("ab12") == str(folder)


def test_a_drop_that_is_not_there_is_an_error_that_names_near_ones(quarantine: Quarantine) -> None:
    keep(quarantine, "ab12cdef")
    with pytest.raises(NotFoundError, match=r"There is no drop 'ab21cdef' in quarantine. Did you mean ab12cdef\?"):
        quarantine.find("ab21cdef")
    with pytest.raises(NotFoundError, match="blobdrop quarantine list"):
        quarantine.find("../../etc")


def test_the_start_of_several_ids_is_an_error_that_names_them(quarantine: Quarantine) -> None:
    keep(quarantine, "ab12")
    keep(quarantine, "ab34")
    with pytest.raises(NotFoundError, match="2 drops in quarantine begin with 'ab': ab12, ab34"):
        quarantine.find("ab")
    with pytest.raises(NotFoundError):
        quarantine.find("")


def test_a_sweep_clears_what_a_killed_worker_left_and_nothing_else(quarantine: Quarantine) -> None:
    folder = keep(quarantine, "ab12")
    quarantine.open("acme", "metrics", "cd34").rejected_path.write_text("half")
    (folder.parent / ".ab12.old").mkdir()
    quarantine.sweep()
    assert names(folder.parent) == {"ab12"}


def test_a_sweep_puts_back_what_a_crash_within_a_replacement_moved_aside(quarantine: Quarantine) -> None:
    folder = keep(quarantine, "ab12")
    folder.rename(folder.with_name(".ab12.old"))
    quarantine.open("acme", "metrics", "ab12")
    quarantine.sweep()
    assert names(folder.parent) == {"ab12"}
    assert read_report(folder).rows.read == 3


def test_removing_an_entry_leaves_the_others(quarantine: Quarantine) -> None:
    folder = keep(quarantine, "ab12")
    keep(quarantine, "cd34")
    quarantine.remove("acme", "metrics", "ab12")
    quarantine.remove("acme", "metrics", "ab12")
    assert names(folder.parent) == {"cd34"}


@pytest.mark.parametrize("count", [1, SYNC_ONE_BY_ONE + 1])
def test_published_entries_can_be_brought_to_the_disk(quarantine: Quarantine, count: int) -> None:
    quarantine.flush([str(keep(quarantine, f"ab{number}")) for number in range(count)])


def test_flushing_an_entry_that_is_gone_is_an_error(quarantine: Quarantine, tmp_path: Path) -> None:
    with pytest.raises(WorkError):
        quarantine.flush([str(tmp_path / "gone")])


def test_a_full_disk_is_work_that_cannot_be_done_now(quarantine: Quarantine) -> None:
    with quarantine.open("acme", "metrics", "ab12") as entry:
        (entry.rejected_path.parent / "report.json").symlink_to("/dev/full")
        with pytest.raises(WorkError, match="No space left on device") as caught:
            entry.write_report(REPORT)
    assert isinstance(caught.value.__cause__, OSError)
    assert quarantine.list() == ()


def test_a_file_in_the_way_is_an_error_and_stays(tmp_path: Path) -> None:
    (tmp_path / "quarantine").write_text("mine")
    with pytest.raises(WorkError, match="Not a directory"):
        Quarantine(FolderCabinet(tmp_path / "quarantine")).open("acme", "metrics", "ab12")
    assert (tmp_path / "quarantine").read_text() == "mine"


def test_the_json_on_disk_is_one_line_of_utf8(quarantine: Quarantine) -> None:
    text = (keep(quarantine, "ab12") / "report.json").read_bytes()
    assert text.count(b"\n") == 1
    assert json.loads(text)["drop"]["id"] == "ab12"


def test_an_entry_that_waits_takes_its_place_where_its_batch_was_committed(quarantine: Quarantine) -> None:
    folders = {drop: keep(quarantine, drop) for drop in ("ab12", "cd34")}
    for drop, folder in folders.items():
        with quarantine.open("acme", "metrics", drop, pending=True) as entry:
            entry.write_report(replace(REPORT, subject=replace(SUBJECT, drop_id=drop), finished_at=200.0))
            entry.publish()
        assert read_report(folder).finished_at == 100.0

    quarantine.promote_where(lambda report: report.subject.drop_id == "ab12")

    assert {drop: read_report(folder).finished_at for drop, folder in folders.items()} == {"ab12": 200.0, "cd34": 100.0}
