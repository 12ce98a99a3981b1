"""What customers are told of their drops: in words, for each, again when it has changed, and after any crash."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import structlog
from structlog.testing import capture_logs

from daemon.errors import MissingRightError, SourceError, UnreachableError
from daemon.receipts import Receipts
from daemon.sources.memory import MemorySource
from tests.unit.daemon.conftest import Rig, dirty, good


class Deaf(MemorySource):
    """A source that refuses receipts for as long as it has a reason to."""

    why: SourceError | None = None

    def leave(self, letters: Sequence[tuple[str, bytes]]) -> Sequence[SourceError]:
        if self.why is not None:
            raise self.why
        kept = [letter for letter in letters if "held" in letter[0]]
        super().leave([letter for letter in letters if letter not in kept])
        return [SourceError(f"{name} is held") for name, _ in kept]


@pytest.fixture
def source() -> Deaf:
    return Deaf()


@pytest.fixture
def rig(rig_of: Callable[..., Rig], source: Deaf) -> Rig:
    return rig_of(source=source)


def receipts(rig: Rig, file: Path) -> Receipts:
    return Receipts(rig.ledger, rig.source, rig.quarantine, file, log=structlog.get_logger())


def work(rig: Rig) -> None:
    """Have what was dropped worked to its end, a minute later than what was before."""
    rig.clock.now += 60
    rig.loop.run_once()


def told(source: Deaf, name: str) -> Any:
    return json.loads(source.letters[f"_receipts/{name}.json"])


def test_each_drop_has_a_receipt_that_says_what_became_of_it(rig: Rig, source: Deaf, tmp_path: Path) -> None:
    leaving = receipts(rig, tmp_path / "receipts")
    source.put("metrics/good.csv", good(3))
    source.put("metrics/bad.csv", dirty())
    source.put("other/a.csv", b"1")
    work(rig)

    leaving.catch_up()

    fine, bad, other = (told(source, name) for name in ("metrics/good.csv", "metrics/bad.csv", "other/a.csv"))
    assert (fine["state"], fine["says"], fine["report"]) == ("ingested", "3 of 3 rows are in the table.", None)
    assert (bad["state"], bad["rows"]) == ("partial", {"read": 10, "accepted": 9, "rejected": 1})
    assert bad["says"] == "1 of 10 rows was set aside; the other 9 are in the table."
    (problem,) = bad["problems"]
    assert problem.startswith("row 5 (line 6), column metric_value: found 'lots', expected a finite number")
    assert bad["report"] == "_receipts/metrics/bad.csv.html"
    assert source.letters["_receipts/metrics/bad.csv.html"].startswith(b"<!doctype html>")
    assert (other["state"], other["says"][:26]) == ("unmatched", "No feed wants a file of th")
    assert leaving.turn() is False


def test_the_receipt_of_a_file_that_was_rejected_as_a_whole_says_why_in_words(
    rig: Rig, source: Deaf, tmp_path: Path
) -> None:
    leaving = receipts(rig, tmp_path / "receipts")
    source.put("metrics/short.csv", b"unit_id,metric_name,date,metric_value\nu-1,visits,2026-03-01,1\n")
    work(rig)

    leaving.catch_up()

    told_of = told(source, "metrics/short.csv")
    assert told_of["state"] == "rejected"
    assert told_of["says"].endswith("nothing of it is in the table: the column 'id_type' is missing.")
    assert told_of["problems"] == ["the column 'id_type' is missing"]


def test_the_next_daemon_goes_on_where_the_last_one_was_killed(rig: Rig, source: Deaf, tmp_path: Path) -> None:
    file = tmp_path / "receipts"
    receipts(rig, file)
    source.put("metrics/a.csv", good(3))
    work(rig)

    receipts(rig, file).catch_up()

    assert told(source, "metrics/a.csv")["state"] == "ingested"


def test_what_was_there_before_receipts_were_wanted_gets_none(rig: Rig, source: Deaf, tmp_path: Path) -> None:
    source.put("metrics/a.csv", good(3))
    work(rig)

    receipts(rig, tmp_path / "receipts").catch_up()

    assert source.letters == {}


def test_the_receipt_of_a_name_is_that_of_its_newest_version(rig: Rig, source: Deaf, tmp_path: Path) -> None:
    leaving = receipts(rig, tmp_path / "receipts")
    for count in (3, 2):
        source.put("metrics/a.csv", good(count))
        work(rig)

    leaving.catch_up()

    assert told(source, "metrics/a.csv")["rows"]["read"] == 2


def test_a_receipt_that_cannot_be_left_now_is_left_later_and_that_is_said_once(
    rig: Rig, source: Deaf, tmp_path: Path
) -> None:
    leaving = receipts(rig, tmp_path / "receipts")
    source.put("metrics/a.csv", good(3))
    work(rig)
    source.why = UnreachableError("away")

    with capture_logs() as said:
        assert [leaving.turn() for _ in range(3)] == [False] * 3
    source.why = None
    leaving.catch_up()

    assert [each["event"] for each in said] == ["receipts.failed"]
    assert told(source, "metrics/a.csv")["state"] == "ingested"


def test_a_receipt_that_can_never_be_left_is_said_and_holds_up_no_other(rig: Rig, source: Deaf, tmp_path: Path) -> None:
    leaving = receipts(rig, tmp_path / "receipts")
    with capture_logs() as said:
        for name in ("held", "a", "b"):
            source.put(f"metrics/{name}.csv", good(3, name))
            work(rig)
            leaving.catch_up()
    told_once = [each["reason"] for each in said if each["event"].startswith("receipts")]

    assert told_once == ["_receipts/metrics/held.csv.json is held"]
    assert set(source.letters) == {"_receipts/metrics/a.csv.json", "_receipts/metrics/b.csv.json"}


def test_without_the_right_to_leave_receipts_it_is_said_once_and_left_at_that(
    rig: Rig, source: Deaf, tmp_path: Path
) -> None:
    leaving = receipts(rig, tmp_path / "receipts")
    source.why = MissingRightError("no")
    with capture_logs() as said:
        for number in range(3):
            source.put(f"metrics/{number}.csv", good(3, f"{number}-"))
            work(rig)
            leaving.catch_up()

    assert [each["event"] for each in said if each["event"].startswith("receipts")] == ["receipts.failed"]
    assert source.letters == {}
