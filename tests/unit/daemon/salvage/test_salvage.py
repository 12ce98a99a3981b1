"""What is concluded from tables, reports, archived files and an old ledger."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from daemon.ledger.rebuilding import Known
from daemon.model import Found, Held, Rows, State
from daemon.quarantine import Listed
from daemon.reports import Report, Subject
from daemon.salvage import SOMEBODY, Evidence, Object, Salvage, salvage

SCOPE = ("metrics", "acme")


def version(name: str, number: str = "1") -> Found:
    return Found(uri=f"file:///drops/{name}", name=name, version=number, size=10, modified=1.0)


def archived(found: Found, sha256: str = "", *, at: float = 1.0, **what: Any) -> Object:
    values = {"found": found, "sha256": sha256 or found.drop_id, "scope": SCOPE, "at": at, "archived": True}
    return Object(**{**values, **what})


def held(found: Found, rows: int = 5, *, at: float = 1.0) -> Held:
    return Held(drop_id=found.drop_id, customer="acme", rows=rows, at=at)


def entry(found: Found, state: State, rows: Rows, *, at: float = 1.0, sha256: str = "") -> Listed:
    subject = Subject(
        drop_id=found.drop_id,
        uri=found.uri,
        name=found.name,
        version=found.version,
        size=found.size,
        sha256=sha256 or found.drop_id,
        feed="metrics",
        customer="acme",
    )
    made = Report(subject=subject, state=state, rows=rows, digest="contract", finished_at=at, started_at=at)
    return Listed(drop=found.drop_id, folder=f"/quarantine/{found.drop_id}", report=made)


def found_out(*objects: Object, held: tuple[Held, ...] = (), entries: tuple[Listed, ...] = (), **what: Any) -> Salvage:
    return salvage(Evidence(tables={"metrics": held}, entries=entries, objects=objects, **what))


def of(salvaged: Salvage, found: Found) -> Known:
    (one,) = [one for one in salvaged.known if one.outcome.drop_id == found.drop_id]
    return one


PARTIAL, REJECTED = Rows(read=6, accepted=5, rejected=1), Rows(read=6, rejected=6)


def test_a_drop_with_rows_and_an_archived_file_is_ingested_and_known_by_its_bytes() -> None:
    a = version("a.csv")
    one = of(found_out(archived(a, "digest"), held=(held(a),)), a)

    assert (one.found, one.feed, one.customer, one.superseded_by, one.settled) == (a, *SCOPE, None, True)
    assert (one.outcome.state, one.outcome.sha256) == (State.INGESTED, "digest")
    assert one.outcome.rows == Rows(read=5, accepted=5)


def test_a_drop_with_rows_and_a_report_is_partial_with_what_the_report_says() -> None:
    a = version("a.csv")
    one = of(found_out(held=(held(a),), entries=(entry(a, State.PARTIAL, PARTIAL, sha256="digest"),)), a)

    assert (one.outcome.state, one.outcome.rows, one.outcome.sha256) == (State.PARTIAL, PARTIAL, "digest")
    assert (one.outcome.report, one.outcome.contract) == (f"/quarantine/{a.drop_id}", "contract")
    assert (one.found.uri, one.found.name, one.found.version) == (a.uri, a.name, a.version)


def test_the_table_is_the_truth_about_rows() -> None:
    a = version("a.csv")
    one = of(found_out(held=(held(a, 4),), entries=(entry(a, State.PARTIAL, PARTIAL),)), a)

    assert one.outcome.rows == Rows(read=5, accepted=4, rejected=1)


def test_a_rejected_drop_is_rejected() -> None:
    a = version("a.csv")
    one = of(found_out(archived(a), entries=(entry(a, State.REJECTED, REJECTED),)), a)

    assert (one.outcome.state, one.outcome.rows, one.superseded_by) == (State.REJECTED, REJECTED, None)


def test_a_file_without_rows_is_known_by_its_report() -> None:
    a = version("a.csv")
    one = of(found_out(archived(a), entries=(entry(a, State.INGESTED, Rows()),)), a)

    assert (one.outcome.state, one.superseded_by) == (State.INGESTED, None)


def test_a_version_whose_rows_have_left_the_table_was_replaced_by_the_next_one() -> None:
    first, second, third = (version("a.csv", number) for number in "123")
    objects = (archived(first, at=1.0), archived(second, at=2.0), archived(third, at=3.0))
    told = found_out(*objects, held=(held(third, at=3.0),), entries=(entry(second, State.PARTIAL, PARTIAL, at=2.0),))

    assert of(told, first).superseded_by == second.drop_id
    assert of(told, second).superseded_by == third.drop_id
    assert of(told, third).superseded_by is None
    assert told.unlinked == ()


def test_going_back_to_earlier_bytes_is_a_revision_and_no_duplicate() -> None:
    first, second, third = (version("a.csv", number) for number in "123")
    objects = (archived(first, "x", at=1.0), archived(second, "y", at=2.0), archived(third, "x", at=3.0))
    told = found_out(*objects, held=(held(third, at=3.0),))

    assert [of(told, one).superseded_by for one in (first, second, third)] == [second.drop_id, third.drop_id, None]
    assert {one.outcome.state for one in told.known} == {State.INGESTED}


def test_what_was_replaced_by_nobody_knows_whom_is_superseded_all_the_same() -> None:
    a = version("a.csv")
    one = of(found_out(entries=(entry(a, State.PARTIAL, PARTIAL),)), a)

    assert (one.outcome.state, one.outcome.rows, one.superseded_by) == (State.PARTIAL, PARTIAL, SOMEBODY)


def test_the_same_bytes_again_were_a_duplicate_of_one_customer_only() -> None:
    a, b, c = version("a.csv"), version("b.csv"), version("c.csv")
    other = archived(c, "x", at=3.0, scope=("metrics", "globex"))
    told = found_out(archived(a, "x"), archived(b, "x", at=2.0), other, held=(held(a),))

    assert [of(told, one).outcome.state for one in (a, b, c)] == [State.INGESTED, State.DUPLICATE, State.INGESTED]
    assert told.unlinked == ("c.csv",)


def test_a_drop_whose_commit_never_came_is_found_again() -> None:
    a = version("a.csv")
    dropped = archived(a, archived=False)

    assert found_out(dropped, entries=(entry(a, State.PARTIAL, PARTIAL),)).known == ()
    assert found_out(dropped).known == ()


def test_a_drop_that_was_not_settled_is_still_to_be() -> None:
    a, b = version("a.csv"), version("b.csv")
    told = found_out(
        archived(a, archived=False),
        archived(b, archived=False),
        held=(held(a),),
        entries=(entry(b, State.REJECTED, REJECTED),),
    )

    assert [(one.outcome.state, one.settled) for one in told.known] == [
        (State.INGESTED, False),
        (State.REJECTED, False),
    ]


def test_rows_of_which_no_object_is_left_are_known_by_their_id() -> None:
    a = version("a.csv")
    told = found_out(held=(held(a),))

    assert told.nameless == (a.drop_id,)
    assert of(told, a).outcome.rows == Rows(read=5, accepted=5)
    assert of(told, a).outcome.sha256 == ""


def test_a_copied_file_is_the_drop_of_its_report_by_name_and_bytes() -> None:
    a = version("a.csv")
    copy = replace(a, version="another-inode")
    told = found_out(
        archived(copy, "digest"), held=(held(a),), entries=(entry(a, State.PARTIAL, PARTIAL, sha256="digest"),)
    )

    assert [one.outcome.drop_id for one in told.known] == [a.drop_id]
    assert told.unlinked == ()


def test_a_copied_file_of_a_good_drop_is_named_and_its_bytes_are_known() -> None:
    a = version("a.csv")
    copy = replace(a, version="another-inode")
    told = found_out(archived(copy, "digest"), held=(held(a),))

    assert told.unlinked == ("a.csv",)
    assert told.nameless == (a.drop_id,)
    assert of(told, copy).outcome.sha256 == "digest"


def test_what_cannot_be_told_is_named() -> None:
    nobody = archived(version("notes.txt"), scope=None)
    damaged = Listed(drop="x", folder="/quarantine/x", report=None, damaged="cut off")
    told = found_out(nobody, entries=(damaged,))

    assert (told.known, told.unwanted, told.damaged) == ((), ("notes.txt",), ("/quarantine/x",))
