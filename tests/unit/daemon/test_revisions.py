"""A corrected file under its old name: whose place it takes in table, quarantine and ledger, and when it does not."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from daemon.errors import LedgerError
from daemon.model import Drop, OnRevision, State
from daemon.quarantine import read_report
from tests.corpus import text
from tests.unit.daemon.conftest import Rig, dirty, good, killed

#: Nothing of it is taken.
BAD = text.HEADER + b"x,USERID,revenue,2026-03-01,lots\n" * 3


def entry(rig: Rig, drop: Drop) -> Path:
    return Path(rig.quarantine.folder(drop.customer, drop.feed, drop.id))


def report(rig: Rig, drop: Drop) -> dict[str, Any]:
    read: dict[str, Any] = json.loads((entry(rig, drop) / "report.json").read_bytes())
    return read


def take(rig: Rig, data: bytes, name: str = "a") -> Drop:
    (drop,) = rig.take_in(**{name: data})
    return drop


def superseded_by(rig: Rig, drop: Drop) -> str | None:
    return rig.ledger.drop(drop.id).superseded_by


# ---------------------------------------------------------------- IT TAKES THE PLACE


def test_the_newest_of_many_versions_is_in_the_table_once_and_each_names_the_next(rig: Rig) -> None:
    other = take(rig, good(4, tag="other"), name="other")
    drops = [take(rig, good(number + 1, tag=f"v{number}")) for number in range(5)]

    assert rig.rows() == {other.id: 4, drops[-1].id: 5}
    assert [superseded_by(rig, drop) for drop in drops] == [*(drop.id for drop in drops[1:]), None]
    assert rig.kinds(drops[0])[-1] == "superseded"


def test_a_version_that_was_partly_set_aside_is_superseded_with_its_entry(rig: Rig) -> None:
    old = take(rig, dirty())
    new = take(rig, good(3))

    assert rig.rows() == {new.id: 3}
    found = report(rig, old)
    assert (found["state"], found["judged"], found["superseded_by"]) == ("superseded", "partial", new.id)
    page = (entry(rig, old) / "report.html").read_text()
    assert "Superseded" in page
    assert f"drop {new.id}, has taken its place; nothing is left to do" in page
    assert "What to do" not in page
    assert (entry(rig, old) / "rejected.csv").exists()


@pytest.mark.parametrize("policy", [OnRevision.REPLACE, OnRevision.REJECT])
def test_a_corrected_file_supersedes_the_one_that_was_rejected(rig_of: Callable[..., Rig], policy: OnRevision) -> None:
    rig = rig_of(feed_revision=policy)
    old = take(rig, BAD)
    new = take(rig, good(3))

    assert rig.state(old) is State.REJECTED
    assert superseded_by(rig, old) == new.id
    assert report(rig, old)["state"] == "superseded"
    assert rig.rows() == {new.id: 3}


def test_a_newer_version_supersedes_one_that_failed(rig_of: Callable[..., Rig]) -> None:
    rig = rig_of(rules={"attempts": 1})
    rig.workers.hold = True
    (old,) = rig.put(a=good(2))
    rig.ingest.claim([old])
    rig.ingest.pump()
    rig.workers.lose(killed())
    rig.ingest.collect()
    rig.workers.hold = False
    new = take(rig, good(3))

    assert (rig.state(old), superseded_by(rig, old)) == (State.FAILED, new.id)
    assert rig.ledger.retry(None, rig.clock()) == ()


def test_a_version_without_rows_takes_the_place_too(rig: Rig) -> None:
    old = take(rig, dirty())
    new = take(rig, text.HEADER)

    assert rig.state(new) is State.INGESTED
    assert rig.rows() == {}
    assert superseded_by(rig, old) == new.id
    rejected, empty = take(rig, BAD, name="b"), take(rig, text.HEADER + b"\n", name="b")
    assert superseded_by(rig, rejected) == empty.id


def test_going_back_to_earlier_bytes_is_a_version_of_its_own(rig: Rig) -> None:
    first, second, third = (take(rig, good(count)) for count in (2, 3, 2))

    assert rig.rows() == {third.id: 2}
    assert [superseded_by(rig, drop) for drop in (first, second, third)] == [second.id, third.id, None]


def test_a_version_is_replaced_after_compaction_has_mixed_its_rows_with_others(rig: Rig) -> None:
    old = take(rig, dirty())
    others = {take(rig, good(count, tag=f"o{count}"), name=f"o{count}").id: count for count in (2, 3, 4)}
    assert rig.store.compact("metrics", target_bytes=2**30, min_files=2) == 4
    assert len(rig.in_table()) == 1
    new = take(rig, good(5, tag="new"))

    assert rig.rows() == {**others, new.id: 5}
    assert report(rig, old)["superseded_by"] == new.id


# ---------------------------------------------------------------- IT DOES NOT


def test_a_version_that_is_rejected_leaves_the_rows_in_place_and_says_so(rig: Rig) -> None:
    old = take(rig, good(3))
    new = take(rig, BAD)

    assert rig.rows() == {old.id: 3}
    assert superseded_by(rig, old) is None
    row = rig.ledger.drop(new.id)
    assert row.state is State.REJECTED
    assert row.reason.endswith(f"; the earlier version's rows (drop {old.id}) stay in the table")
    assert report(rig, new)["notes"][-1] == f"The rows of the file's earlier version, drop {old.id}, stay in the table."
    assert old.id in (entry(rig, new) / "report.html").read_text()


def test_where_versions_are_appended_each_stands_for_itself(rig_of: Callable[..., Rig]) -> None:
    rig = rig_of(feed_revision=OnRevision.APPEND)
    drops = [take(rig, data) for data in (BAD, dirty(), good(3))]

    assert rig.rows() == {drops[1].id: 9, drops[2].id: 3}
    assert [superseded_by(rig, drop) for drop in drops] == [None, None, None]
    assert [report(rig, drop)["state"] for drop in drops[:2]] == ["rejected", "partial"]


def test_where_a_name_is_taken_once_the_earlier_version_stays_and_is_named(rig_of: Callable[..., Rig]) -> None:
    rig = rig_of(feed_revision=OnRevision.REJECT)
    old = take(rig, dirty())
    new = take(rig, good(3))

    assert rig.rows() == {old.id: 9}
    assert report(rig, old)["state"] == "partial"
    assert f"(drop {old.id}) stay in the table" in rig.ledger.drop(new.id).reason


def test_another_customers_file_of_the_same_name_is_no_version(rig: Rig) -> None:
    rig.source.put("acme/metrics/a.csv", BAD)
    (old,) = rig.intake.look().drops
    rig.ingest.claim([old])
    rig.turn()
    take(rig, good(3))

    assert superseded_by(rig, old) is None


# ---------------------------------------------------------------- IT BREAKS OFF


def test_killed_between_the_tables_commit_and_the_ledgers_record_the_version_is_replaced_once(rig: Rig) -> None:
    old, bad = take(rig, dirty()), take(rig, BAD, name="b")
    rig.break_ledger("UPDATE ON batches")
    with pytest.raises(LedgerError):
        rig.take_in(a=good(3), b=good(2, tag="b"))
    rig.crash()
    rig.mend_ledger()
    # As if it had been killed before the entries were marked.
    for drop, state in ((old, "partial"), (bad, "rejected")):
        path = entry(rig, drop) / "report.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), "state": state, "superseded_by": ""}))
    rig.start()
    rig.ingest.recover()

    new = {row.name: row.id for row in rig.ledger.drops() if row.id not in (old.id, bad.id)}
    assert rig.rows() == {new["metrics/a.csv"]: 3, new["metrics/b.csv"]: 2}
    for drop in (old, bad):
        assert superseded_by(rig, drop) == new[drop.found.name]
        assert report(rig, drop)["superseded_by"] == new[drop.found.name]
        assert rig.kinds(drop).count("superseded") == 1


def test_an_entry_that_is_gone_or_damaged_stops_no_version(rig: Rig) -> None:
    gone, damaged = take(rig, dirty("a")), take(rig, dirty("b"), name="b")
    rig.quarantine.remove(gone.customer, gone.feed, gone.id)
    (entry(rig, damaged) / "report.json").write_text("{")
    rig.take_in(a=good(1, tag="x"), b=good(2, tag="y"))
    while rig.ingest.busy:
        rig.turn()

    assert sum(rig.rows().values()) == 3
    assert superseded_by(rig, gone)
    assert (entry(rig, damaged) / "report.json").read_text() == "{"


def test_marking_an_entry_again_changes_nothing_and_leaves_no_other_file(rig: Rig) -> None:
    old = take(rig, BAD)
    folder = entry(rig, old)
    before = {path.name for path in folder.iterdir()}
    for _ in range(2):
        rig.quarantine.supersede(str(folder), "0123456789abcdef")

    assert {path.name for path in folder.iterdir()} == before
    made = read_report(folder)
    assert (made.state, made.superseded_by) == (State.REJECTED, "0123456789abcdef")
    assert "a.csv" in (folder / "report.html").read_text()
