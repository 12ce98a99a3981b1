"""What people decide of drops in quarantine by commands; the real daemon carries it out."""

from __future__ import annotations

import json
import os
import pwd
from typing import Any

import pytest

from tests.acceptance.conftest import Blobdrop, wait_for
from tests.acceptance.orders import GOOD, HEADER, MIXED, mend_contract, set_up


@pytest.fixture
def orders(blobdrop: Blobdrop) -> Blobdrop:
    """A feed of orders, from Germany and France."""
    set_up(blobdrop)
    return blobdrop


def answer(blobdrop: Blobdrop, *arguments: str) -> Any:
    """Give a command of `quarantine`; return its answer."""
    done = blobdrop.run("quarantine", *arguments, "--json")
    assert done.code == 0, done.stderr
    return json.loads(done.stdout)


def refused(blobdrop: Blobdrop, *arguments: str) -> str:
    """Return the one message of a command that is refused."""
    done = blobdrop.run("quarantine", *arguments)
    assert done.code == 2, done.stdout
    assert done.stderr.startswith("blobdrop: ")
    assert "Traceback" not in done.stderr
    return done.stderr


def ids(blobdrop: Blobdrop) -> list[str]:
    """Return the orders of the table whose names are no numbers."""
    names = blobdrop.table("orders")["order_id"].to_pylist() if blobdrop._tables() else []
    return sorted(name for name in names if not name.isdigit())


def assert_counted(blobdrop: Blobdrop, name: str, read: int, rejected: int) -> None:
    """Hold a drop's row in the ledger, its report and the table against each other and against figures."""
    row, report = blobdrop.found(name, feed="orders"), blobdrop.report(name, feed="orders")
    expected = {"read": read, "accepted": read - rejected, "rejected": rejected}
    assert row.state.value == report["state"] == ("partial" if rejected else "ingested")
    assert {"read": row.rows.read, "accepted": row.rows.accepted, "rejected": row.rows.rejected} == expected
    assert report["rows"] == expected
    blobdrop.assert_every_row_is_in_one_place()
    assert blobdrop.leftovers() == []


def test_rejected_rows_are_released_then_waived_and_what_was_decided_is_shown(orders: Blobdrop) -> None:
    orders.drop("a.csv", MIXED, feed="orders")
    orders.once(code=1)
    mend_contract(orders)
    told = orders.run("quarantine", "release", "a.csv").stdout
    assert "its 7 rejected rows will be judged again by today's contract" in told
    assert "No daemon is running; this carries it out: blobdrop run --once" in told
    assert ids(orders) == []
    orders.once(code=0)
    assert ids(orders) == ["us"]
    assert_counted(orders, "a.csv", 17, 6)
    said = answer(orders, "waive", "a.csv", "--reason", "all of it")["decisions"]
    assert [(each["action"], each["rule"], each["state"]) for each in said] == [
        ("waive", "greater_than_or_equal_to, unique", "pending")
    ]
    orders.once(code=0)

    assert ids(orders) == ["both", "none", "twin", "twin", "us"]
    assert_counted(orders, "a.csv", 17, 2)
    decisions = answer(orders, "show", "a.csv")["decisions"]
    user = pwd.getpwuid(os.geteuid()).pw_name
    assert [(each["action"], each["state"], each["rows_accepted"], each["by"]) for each in decisions] == [
        ("release", "done", 1, user),
        ("waive", "done", 4, user),
    ]
    shown = orders.run("quarantine", "show", "a.csv").stdout
    assert f"waive (greater_than_or_equal_to, unique) by {user}: all of it [done; 4 rows went into the table" in shown


def test_many_drops_are_released_at_once_after_their_contract_was_mended(orders: Blobdrop) -> None:
    for number in range(30):
        bad = "us,US,1\n" if number % 3 else "none,DE,0\n"
        data = HEADER + f"{number},DE,1\n{number}a,DE,1\n" + bad
        orders.drop(f"{number}.csv", data.encode(), feed="acme/orders" if number % 2 else "orders")
    orders.once(code=1)
    mend_contract(orders)
    chosen = ("release", "--feed", "orders", "--rule", "isin")
    dry = answer(orders, *chosen, "--customer", "acme", "--dry-run")
    assert len(dry["drops"]) == 10
    assert {(each["rows"]["accepted"], each["rows"]["rejected"]) for each in dry["drops"]} == {(1, 0)}
    assert len(answer(orders, *chosen)["decisions"]) == 20
    assert "No drop fits." in orders.run("quarantine", *chosen).stdout
    assert json.loads(orders.run("status", "--json").stdout)["decisions"] == {"pending": 20}
    orders.once(code=0)

    assert ids(orders).count("us") == 20
    assert orders.states() == {"ingested": 20, "partial": 10}
    assert orders.leftovers() == []
    orders.assert_every_row_is_in_one_place()


def test_discarded_rows_are_marked_and_nothing_is_deleted(orders: Blobdrop) -> None:
    orders.drop("a.csv", MIXED, feed="orders")
    orders.once(code=1)
    before = {path.name: path.read_bytes() for path in orders.entry("a.csv", feed="orders").iterdir()}
    answer(orders, "discard", "a.csv", "--reason", "a test of theirs")
    orders.once(code=0)

    assert {path.name: path.read_bytes() for path in orders.entry("a.csv", feed="orders").iterdir()} == before
    assert_counted(orders, "a.csv", 17, 7)
    (decision,) = answer(orders, "list")[0]["decisions"]
    assert (decision["action"], decision["state"], decision["reason"]) == ("discard", "done", "a test of theirs")
    assert answer(orders, "release", "--feed", "orders")["decisions"] == []


def test_a_dry_run_says_what_would_happen_and_changes_nothing(orders: Blobdrop) -> None:
    orders.drop("a.csv", MIXED, feed="orders")
    orders.once(code=1)
    mend_contract(orders)
    before = snapshot(orders)
    for action, accepted in {"release": 1, "waive": 5, "discard": 0}.items():
        reason = () if action == "release" else ("--reason", "x")
        (said,) = answer(orders, action, "a.csv", "--dry-run", *reason)["drops"]
        assert said["rows"] == {"read": 7, "accepted": accepted, "rejected": 7 - accepted}
    assert snapshot(orders) == before


def snapshot(blobdrop: Blobdrop) -> dict[str, bytes]:
    """Return everything below `var` but what SQLite keeps for readers."""
    var = blobdrop.folder / "var"
    return {str(path): path.read_bytes() for path in var.rglob("*") if path.is_file() and "-shm" not in path.name}


@pytest.mark.slow
def test_what_cannot_be_decided_is_refused_with_the_reason(orders: Blobdrop) -> None:
    assert "nothing was ingested yet" in refused(orders, "release", "a.csv")
    orders.drop("good.csv", (HEADER + GOOD).encode(), feed="orders")
    orders.drop("a.csv", MIXED, feed="orders")
    orders.drop("b.csv", (HEADER + GOOD + "1,FR\n").encode(), feed="orders")
    orders.once(code=1)
    assert "name one drop, or the feed" in refused(orders, "release")
    assert "there is no feed 'ordrs'; did you mean 'orders'?" in refused(orders, "release", "--feed", "ordrs")
    assert "there is no rule 'isn'" in refused(orders, "release", "--feed", "orders", "--rule", "isn")
    assert "did you mean orders/good.csv" in refused(orders, "release", "goood.csv")
    assert "it is ingested" in refused(orders, "release", "good.csv")
    waive = ("waive", "a.csv", "--reason", "x", "--rule", "isin", "--rule")
    assert "'type' cannot be waived" in refused(orders, *waive, "type")
    assert "did you mean 'isin'?" in refused(orders, *waive, "isn")
    assert "none of its rules can be waived (field_count)" in refused(orders, "waive", "b.csv", "--reason", "x")
    assert "--reason is empty" in refused(orders, "discard", "a.csv", "--reason", " ")
    answer(orders, "release", "a.csv")
    assert "it waits for another decision (release by " in refused(orders, "discard", "a.csv", "--reason", "x")
    rejected = orders.entry("b.csv", feed="orders") / "rejected.csv"
    rejected.write_bytes(rejected.read_bytes() + b"2,FR,1,12,\n")
    assert "rejected.csv has been edited; drop it as a file instead" in refused(orders, "release", "b.csv")


def test_the_running_daemon_carries_a_decision_out_and_a_newer_version_ends_the_deciding(orders: Blobdrop) -> None:
    orders.drop("a.csv", MIXED, feed="orders")
    orders.once(code=1)
    old = orders.found("a.csv", feed="orders").id
    mend_contract(orders)
    orders.start()
    assert orders.process is not None
    said = orders.run("quarantine", "release", "a.csv").stdout
    assert f"The running daemon (process {orders.process.pid}) carries it out." in said
    wait_for(lambda: ids(orders) == ["us"], "the row is in the table", told=lambda: orders.log)
    orders.drop("a.csv", (HEADER + "new,DE,1\n").encode(), feed="orders")
    wait_for(lambda: ids(orders) == ["new"], "the newer version is in the table", told=lambda: orders.log)
    assert orders.stop() == 0

    assert "Traceback" not in orders.log
    assert "superseded by drop" in refused(orders, "waive", old, "--reason", "x")
    newest = orders.found("a.csv", feed="orders").id
    assert {each["drop"]: each["superseded_by"] for each in answer(orders, "list")}[old] == newest
    assert f"superseded by {newest}" in orders.run("quarantine", "list").stdout
    orders.assert_every_row_is_in_one_place()
