"""What people decide of drops in quarantine: released, waived, discarded; each carried out once, by the real daemon."""

from __future__ import annotations

import io
import json
import os
import pwd
import time
from collections.abc import Callable, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from daemon.decisions import Action, Decision
from tests.acceptance.conftest import Blobdrop, wait_for
from tests.acceptance.orders import GOOD, HEADER, MIXED, contract, mend_contract, set_up
from tests.corpus import files


@pytest.fixture
def orders(blobdrop: Blobdrop) -> Blobdrop:
    """A feed of orders, from Germany and France."""
    set_up(blobdrop)
    return blobdrop


def decide(blobdrop: Blobdrop, *arguments: str, code: int = 0) -> Any:
    """Give a command of `quarantine`; return its answer."""
    done = blobdrop.run("quarantine", *arguments, "--json")
    assert done.code == code, done.stderr
    return json.loads(done.stdout)


def refused(blobdrop: Blobdrop, *arguments: str) -> str:
    """Return the one message of a command that is refused."""
    done = blobdrop.run("quarantine", *arguments)
    assert done.code == 2, done.stdout
    assert done.stderr.startswith("blobdrop: ")
    assert "Traceback" not in done.stderr
    return done.stderr


def ids(blobdrop: Blobdrop) -> list[str]:
    """Return the orders of the table that were bad, in order."""
    names = blobdrop.table("orders")["order_id"].to_pylist() if blobdrop._tables() else []
    return sorted(name for name in names if not name.isdigit())


def kept(blobdrop: Blobdrop, name: str = "a.csv") -> list[str]:
    """Return the orders that are set aside."""
    return [record["order_id"] for record in blobdrop.rejected(name, feed="orders")]


def leave(blobdrop: Blobdrop, action: str, name: str = "a.csv", *rules: str, reason: str = "because") -> None:
    """Leave a decision in the ledger, as a command does."""
    drop = blobdrop.found(name, feed="orders").id
    decision = Decision(drop_id=drop, action=Action(action), rules=rules, reason=reason, by="tester", at=time.time())
    with blobdrop.ledger() as ledger:
        assert len(ledger.decisions.add([decision])) == 1


def decisions(blobdrop: Blobdrop, name: str = "a.csv") -> tuple[Decision, ...]:
    """Return what was decided on a drop."""
    drop = blobdrop.found(name, feed="orders").id
    with blobdrop.ledger() as ledger:
        return ledger.decisions.of([drop]).get(drop, ())


def assert_counted(blobdrop: Blobdrop, name: str, read: int, rejected: int, state: str) -> None:
    """Hold a drop's row in the ledger and its report against each other and against figures."""
    row, report = blobdrop.found(name, feed="orders"), blobdrop.report(name, feed="orders")
    expected = {"read": read, "accepted": read - rejected, "rejected": rejected}
    assert (row.state.value, report["state"]) == (state, state)
    assert {"read": row.rows.read, "accepted": row.rows.accepted, "rejected": row.rows.rejected} == expected
    assert report["rows"] == expected
    blobdrop.assert_every_row_is_in_one_place()
    assert blobdrop.leftovers() == []


# ---------------------------------------------------------------- RELEASE


def test_rows_that_pass_a_mended_contract_are_released_and_the_others_stay(orders: Blobdrop) -> None:
    orders.drop("a.csv", MIXED, feed="orders")
    orders.once(code=1)
    mend_contract(orders)
    said = decide(orders, "release", "a.csv")["decisions"]
    assert [(each["action"], each["state"]) for each in said] == [("release", "pending")]
    assert ids(orders) == []
    orders.once(code=0)

    assert ids(orders) == ["us"]
    assert kept(orders) == ["none", "both", "type", "twin", "twin", "short"]
    assert_counted(orders, "a.csv", 17, 6, "partial")
    (row,) = (row for row in orders.table("orders").to_pylist() if row["order_id"] == "us")
    assert row["_row"] == 11
    assert "_waived" not in row
    problems = {(each["rule"], each["count"]) for each in orders.report("a.csv", feed="orders")["problems"]}
    assert problems == {("greater_than_or_equal_to", 2), ("type", 1), ("unique", 2), ("field_count", 1)}
    (done,) = decide(orders, "show", "a.csv")["decisions"]
    user = pwd.getpwuid(os.geteuid()).pw_name
    assert (done["state"], done["rows_accepted"], done["by"]) == ("done", 1, user)


def test_lines_and_row_numbers_stay_those_of_the_dropped_file_however_often_it_is_released(orders: Blobdrop) -> None:
    orders.drop("a.csv", MIXED, feed="orders")
    orders.once(code=1)
    before = {row["order_id"]: row["_line"] for row in orders.rejected("a.csv", feed="orders")}
    mend_contract(orders)
    leave(orders, "release")
    orders.once(code=0)
    leave(orders, "waive", "a.csv", "greater_than_or_equal_to")
    orders.once(code=0)

    assert ids(orders) == ["both", "none", "us"]
    after = {row["order_id"]: row["_line"] for row in orders.rejected("a.csv", feed="orders")}
    assert after == {name: before[name] for name in ("type", "twin", "short")}
    samples = {
        each["rule"]: [(sample["row"], sample["line"]) for sample in each["sample"]]
        for each in orders.report("a.csv", feed="orders")["problems"]
    }
    assert samples == {"type": [(14, 15)], "unique": [(15, 16), (16, 17)], "field_count": [(17, 18)]}


def test_a_release_that_moves_nothing_changes_nothing_and_says_so(orders: Blobdrop) -> None:
    orders.drop("a.csv", MIXED, feed="orders")
    orders.once(code=1)
    before = orders.report("a.csv", feed="orders")
    leave(orders, "release")
    orders.once(code=0)

    assert orders.report("a.csv", feed="orders") == before
    (decision,) = decisions(orders)
    assert (decision.state, decision.rows_accepted) == ("done", 0)
    assert "no row passes" in decision.note


def test_a_file_that_was_rejected_as_a_whole_is_judged_again_without_its_budget(orders: Blobdrop) -> None:
    orders.drop("a.csv", (HEADER + "1,US,1\n2,US,1\n3,US,0\n4,DE,1\n").encode(), feed="orders")
    orders.once(code=1)
    assert orders.found("a.csv", feed="orders").state == "rejected"
    mend_contract(orders)
    leave(orders, "release")
    orders.once(code=0)

    assert orders.table("orders")["order_id"].to_pylist() == ["1", "2", "4"]
    assert kept(orders) == ["3"]
    assert orders.originals("a.csv", feed="orders") == []
    assert_counted(orders, "a.csv", 4, 1, "partial")
    leave(orders, "waive", "a.csv", "greater_than_or_equal_to")
    orders.once(code=0)
    assert sorted(orders.table("orders")["order_id"].to_pylist()) == ["1", "2", "3", "4"]
    assert_counted(orders, "a.csv", 4, 0, "ingested")
    assert not (orders.entry("a.csv", feed="orders") / "rejected.csv").exists()


def test_a_file_that_still_cannot_be_trusted_stays_rejected(orders: Blobdrop) -> None:
    orders.drop("a.csv", b"order_id,country\n1,DE\n", feed="orders")
    orders.once(code=1)
    leave(orders, "release")
    orders.once(code=0)

    (decision,) = decisions(orders)
    assert decision.state == "done"
    assert "the column 'quantity' is missing" in decision.note
    assert orders.originals("a.csv", feed="orders") != []
    assert orders.found("a.csv", feed="orders").state == "rejected"


def as_ndjson(rows: Sequence[dict[str, Any]]) -> bytes:
    return "".join(json.dumps(row) + "\n" for row in rows).encode() + b'{"order_id": "cut\n'


def as_parquet(rows: Sequence[dict[str, Any]]) -> bytes:
    into = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(list(rows)), into)
    return into.getvalue()


def as_excel(rows: Sequence[dict[str, Any]]) -> bytes:
    return files.workbook(tuple(rows[0]), *(tuple(row.values()) for row in rows))


@pytest.mark.parametrize(("suffix", "written"), [("ndjson", as_ndjson), ("parquet", as_parquet), ("xlsx", as_excel)])
def test_rows_of_typed_files_are_released_and_waived_too(
    orders: Blobdrop, suffix: str, written: Callable[[Sequence[dict[str, Any]]], bytes]
) -> None:
    rows = [{"order_id": f"{number}", "country": "DE", "quantity": 3} for number in range(8)]
    rows += [
        {"order_id": 'us "x",\ny', "country": "US", "quantity": 2},
        {"order_id": "z", "country": "DE", "quantity": 0},
    ]
    orders.drop(f"a.{suffix}", written(rows), feed="orders")
    orders.once(code=1)
    broken = int(suffix == "ndjson")
    assert orders.found(f"a.{suffix}", feed="orders").rows.rejected == 2 + broken
    mend_contract(orders)
    leave(orders, "release", f"a.{suffix}")
    orders.once(code=0)
    leave(orders, "waive", f"a.{suffix}", "greater_than_or_equal_to")
    orders.once(code=0)

    found = {row["order_id"]: (row["_row"], row["_waived"]) for row in orders.table("orders").to_pylist()}
    assert found['us "x",\ny'] == (9, None)
    assert found["z"] == (10, "greater_than_or_equal_to")
    assert_counted(orders, f"a.{suffix}", 10 + broken, broken, "partial" if broken else "ingested")
    if broken:
        assert orders.report(f"a.{suffix}", feed="orders")["problems"][0]["rule"] == "invalid_json"


def test_many_drops_are_released_at_once_after_their_contract_was_mended(orders: Blobdrop) -> None:
    for number in range(30):
        bad = "us,US,1\n" if number % 3 else "none,DE,0\n"
        data = HEADER + f"{number},DE,1\n{number}a,DE,1\n" + bad
        customer = "acme/" if number % 2 else ""
        orders.drop(f"{number}.csv", data.encode(), feed=f"{customer}orders")
    orders.once(code=1)
    mend_contract(orders)
    dry = decide(orders, "release", "--feed", "orders", "--rule", "isin", "--customer", "acme", "--dry-run")
    assert len(dry["drops"]) == 10
    assert {(each["rows"]["accepted"], each["rows"]["rejected"]) for each in dry["drops"]} == {(1, 0)}
    said = decide(orders, "release", "--feed", "orders", "--rule", "isin")
    assert len(said["decisions"]) == 20
    again = orders.run("quarantine", "release", "--feed", "orders", "--rule", "isin")
    assert "No drop fits." in again.stdout
    assert json.loads(orders.run("status", "--json").stdout)["decisions"] == {"pending": 20}
    orders.once(code=0)

    assert ids(orders).count("us") == 20
    assert orders.states() == {"ingested": 20, "partial": 10}
    assert orders.leftovers() == []
    orders.assert_every_row_is_in_one_place()
    assert json.loads(orders.run("status", "--json").stdout)["decisions"] == {"pending": 0}


# ---------------------------------------------------------------- WAIVE


def test_rows_whose_only_problems_are_waived_are_ingested_and_marked(orders: Blobdrop) -> None:
    orders.drop("a.csv", MIXED, feed="orders")
    orders.once(code=1)
    decide(orders, "waive", "a.csv", "--rule", "isin", "--reason", "the US are fine")
    orders.once(code=0)
    decide(orders, "waive", "a.csv", "--reason", "all of it")
    orders.once(code=0)

    marked = {row["order_id"]: row["_waived"] for row in orders.table("orders").to_pylist() if row["_waived"]}
    assert marked == {
        "us": "isin",
        "none": "greater_than_or_equal_to",
        "both": "greater_than_or_equal_to, isin",
        "twin": "unique",
    }
    assert kept(orders) == ["type", "short"]
    assert_counted(orders, "a.csv", 17, 2, "partial")
    said = decide(orders, "show", "a.csv")["decisions"]
    assert [each["rule"] for each in said] == ["isin", "greater_than_or_equal_to, unique, isin"]
    assert [each["reason"] for each in said] == ["the US are fine", "all of it"]


def test_what_cannot_be_waived_is_refused_with_what_can(orders: Blobdrop) -> None:
    orders.drop("a.csv", MIXED, feed="orders")
    orders.drop("b.csv", (HEADER + GOOD + "1,FR\n").encode(), feed="orders")
    orders.once(code=1)
    said = refused(orders, "waive", "a.csv", "--rule", "isin", "--rule", "type", "--reason", "x")
    assert "'type' cannot be waived" in said
    assert "greater_than_or_equal_to" in said
    assert "'field_count' cannot be waived" in refused(
        orders, "waive", "a.csv", "--rule", "field_count", "--reason", "x"
    )
    assert "did you mean 'isin'?" in refused(orders, "waive", "a.csv", "--rule", "isn", "--reason", "x")
    assert "none of its rules can be waived (field_count)" in refused(orders, "waive", "b.csv", "--reason", "x")
    assert "--reason is empty" in refused(orders, "waive", "a.csv", "--reason", " ")
    orders.once(code=0)
    assert ids(orders) == []


# ---------------------------------------------------------------- DISCARD


def test_discarded_rows_are_marked_and_nothing_is_deleted(orders: Blobdrop) -> None:
    orders.drop("a.csv", MIXED, feed="orders")
    orders.once(code=1)
    before = {path.name: path.read_bytes() for path in orders.entry("a.csv", feed="orders").iterdir()}
    decide(orders, "discard", "a.csv", "--reason", "a test of theirs")
    orders.once(code=0)

    assert {path.name: path.read_bytes() for path in orders.entry("a.csv", feed="orders").iterdir()} == before
    assert_counted(orders, "a.csv", 17, 7, "partial")
    (decision,) = decisions(orders)
    assert (decision.action, decision.state, decision.reason) == ("discard", "done", "a test of theirs")
    assert decide(orders, "list")[0]["decisions"][0]["action"] == "discard"
    assert decide(orders, "release", "--feed", "orders")["decisions"] == []


# ---------------------------------------------------------------- DRY RUN


@pytest.mark.parametrize("action", ["release", "waive", "discard"])
def test_a_dry_run_says_what_would_happen_and_changes_nothing(orders: Blobdrop, action: str) -> None:
    orders.drop("a.csv", MIXED, feed="orders")
    orders.once(code=1)
    mend_contract(orders)
    before = snapshot(orders)
    reason = () if action == "release" else ("--reason", "x")
    (said,) = decide(orders, action, "a.csv", "--dry-run", *reason)["drops"]

    assert (
        said["rows"]
        == {
            "release": {"read": 7, "accepted": 1, "rejected": 6},
            "waive": {"read": 7, "accepted": 5, "rejected": 2},
            "discard": {"read": 7, "accepted": 0, "rejected": 7},
        }[action]
    )
    assert snapshot(orders) == before
    orders.once(code=0)
    assert ids(orders) == []


def snapshot(blobdrop: Blobdrop) -> dict[str, bytes]:
    """Return everything below `var` but the ledger's own files for readers."""
    var = blobdrop.folder / "var"
    return {str(path): path.read_bytes() for path in var.rglob("*") if path.is_file() and "-shm" not in path.name}


# ---------------------------------------------------------------- WHAT IS REFUSED


def test_only_drops_in_quarantine_can_be_decided_on_and_only_once_at_a_time(orders: Blobdrop) -> None:
    assert "nothing was ingested yet" in refused(orders, "release", "a.csv")
    orders.drop("good.csv", (HEADER + GOOD).encode(), feed="orders")
    orders.drop("a.csv", MIXED, feed="orders")
    orders.once(code=1)
    assert "it is ingested" in refused(orders, "release", "good.csv")
    assert "did you mean orders/good.csv" in refused(orders, "release", "goood.csv")
    assert "there is no feed 'ordrs'; did you mean 'orders'?" in refused(orders, "release", "--feed", "ordrs")
    assert "name one drop, or the feed" in refused(orders, "release")
    leave(orders, "release")
    assert "it waits for another decision (release by " in refused(orders, "discard", "a.csv", "--reason", "x")


def test_a_rejected_csv_that_was_edited_in_place_is_refused(orders: Blobdrop) -> None:
    orders.drop("a.csv", MIXED, feed="orders")
    orders.once(code=1)
    rejected = orders.entry("a.csv", feed="orders") / "rejected.csv"
    rejected.write_bytes(rejected.read_bytes().replace(b"us,US,2", b"us,DE,2"))

    assert "rejected.csv has been edited; drop it as a file instead" in refused(orders, "release", "a.csv")


def test_an_entry_that_goes_while_its_decision_waits_ends_the_decision_with_the_reason(orders: Blobdrop) -> None:
    orders.drop("a.csv", MIXED, feed="orders")
    orders.once(code=1)
    mend_contract(orders)
    leave(orders, "release")
    (orders.entry("a.csv", feed="orders") / "origins.parquet").unlink()
    orders.once(code=0)

    (decision,) = decisions(orders)
    assert decision.state == "refused"
    assert "has no origins.parquet" in decision.note
    assert "has no origins.parquet" in refused(orders, "release", "a.csv")


def test_a_revision_that_arrives_before_the_decision_is_carried_out_wins(orders: Blobdrop) -> None:
    orders.drop("a.csv", MIXED, feed="orders")
    orders.once(code=1)
    old = orders.found("a.csv", feed="orders")
    mend_contract(orders)
    orders.start()
    orders.drop("a.csv", (HEADER + "new,DE,1\n").encode(), feed="orders")
    orders.wait_settled(2)
    said = refused(orders, "release", old.id)
    assert "superseded by drop" in said
    assert orders.stop() == 0

    assert ids(orders) == ["new"]
    assert decide(orders, "list")[0]["superseded_by"] == orders.found("a.csv", feed="orders").id
    assert "superseded by" in orders.run("quarantine", "list").stdout


def test_a_decision_that_waits_is_refused_when_a_revision_comes_first(orders: Blobdrop) -> None:
    orders.drop("a.csv", MIXED, feed="orders")
    orders.once(code=1)
    old = orders.found("a.csv", feed="orders").id
    contract(orders, '"DE"')
    orders.drop("a.csv", (HEADER + "new,DE,1\n").encode(), feed="orders")
    with orders.ledger() as ledger:
        decision = Decision(drop_id=old, action=Action.RELEASE, by="tester", at=time.time())
        assert ledger.decisions.add([decision])
    orders.once(code=0)

    with orders.ledger() as ledger:
        (decision,) = ledger.decisions.of([old])[old]
    assert decision.state in ("refused", "done")
    assert decision.rows_accepted == 0
    assert ids(orders) == ["new"]
    orders.assert_every_row_is_in_one_place()


def test_a_rejected_version_is_not_released_over_a_later_one_and_replaces_an_earlier_one(orders: Blobdrop) -> None:
    orders.drop("a.csv", (HEADER + "first,DE,1\n").encode(), feed="orders")
    orders.once(code=0)
    orders.drop("a.csv", (HEADER + "second,US,1\n").encode(), feed="orders")
    orders.once(code=1)
    second = orders.found("a.csv", feed="orders").id
    mend_contract(orders)
    decide(orders, "release", second)
    orders.once(code=0)
    assert ids(orders) == ["second"]
    contract(orders)
    orders.drop("a.csv", (HEADER + "third,US,1\n").encode(), feed="orders")
    orders.once(code=1)
    third = orders.found("a.csv", feed="orders").id
    orders.drop("a.csv", (HEADER + "fourth,DE,1\n").encode(), feed="orders")
    orders.once(code=0)

    assert ids(orders) == ["fourth"]
    assert "superseded by drop" in refused(orders, "release", third)


def test_bytes_that_came_again_under_another_name_are_not_released_twice(orders: Blobdrop) -> None:
    data = (HEADER + "us,US,1\n").encode()
    orders.drop("a.csv", data, feed="orders")
    orders.once(code=1)
    mend_contract(orders)
    orders.drop("b.csv", data, feed="orders")
    orders.once(code=0)
    assert ids(orders) == ["us"]
    assert "its very bytes were ingested as drop" in refused(orders, "release", "a.csv")


def test_two_rejected_drops_with_the_same_bytes_are_released_once(orders: Blobdrop) -> None:
    data = (HEADER + "us,US,1\n").encode()
    orders.drop("a.csv", data, feed="orders")
    orders.once(code=1)
    contract(orders, '"DE"')
    orders.drop("b.csv", data, feed="orders")
    orders.once(code=1)
    assert orders.states() == {"rejected": 2}
    mend_contract(orders)
    decide(orders, "release", "--feed", "orders")
    orders.once(code=0)

    assert ids(orders) == ["us"]
    assert sorted(orders.states().items()) == [("ingested", 1), ("rejected", 1)]


# ---------------------------------------------------------------- THE RUNNING DAEMON


def test_the_running_daemon_carries_a_decision_out_and_the_command_says_so(orders: Blobdrop) -> None:
    orders.drop("a.csv", MIXED, feed="orders")
    orders.once(code=1)
    mend_contract(orders)
    orders.start()
    assert orders.process is not None
    said = orders.run("quarantine", "release", "a.csv").stdout
    assert f"The running daemon (process {orders.process.pid}) carries it out." in said
    wait_for(lambda: ids(orders) == ["us"], "the row is in the table", told=lambda: orders.log)
    wait_for(lambda: decisions(orders)[0].state == "done", "the decision is done", told=lambda: orders.log)
    assert orders.stop() == 0
    assert "Traceback" not in orders.log
    assert_counted(orders, "a.csv", 17, 6, "partial")
