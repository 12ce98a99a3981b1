"""`status`, `drops` and `retry`: what the ledger knows, in words and as JSON."""

from __future__ import annotations

from typing import Any

import pytest

from daemon.commands import looking
from daemon.errors import ConfigError, NotFoundError
from daemon.ledger import Ledger
from daemon.model import State
from tests.unit.daemon.commands.conftest import LAST_WORDS, Place

EVERY = {"state": None, "feed": None, "customer": None, "name": None, "history": None, "limit": 100, "json": True}


def drops(place: Place, **options: Any) -> Any:
    values: dict[str, Any] = {**EVERY, **options}
    assert looking.drops(place.config, **values) == 0
    return place.json() if options.get("json", True) else place.out()


def test_before_the_first_run_every_command_says_so_and_makes_nothing(place: Place) -> None:
    assert looking.status(place.config, json=False) == 0
    assert place.out().startswith("Nothing was ingested yet. Start the daemon with: blobdrop run\n")
    assert drops(place) == []
    with pytest.raises(NotFoundError, match="nothing was ingested yet"):
        looking.retry(place.config, drop="x", all_failed=False, json=False)
    assert [path.name for path in place.folder.iterdir()] == ["blobdrop.toml"]


def test_status_counts_drops_and_rows(worked: Place) -> None:
    assert looking.status(worked.config, json=True) == 0
    found = worked.json()
    counts = {state: count for state, count in found["drops"].items() if count}
    assert counts == {"ingested": 1, "partial": 1, "rejected": 1, "failed": 1, "unmatched": 1}
    (feed,) = found["feeds"]
    assert feed["rows"] == {"accepted": 14, "rejected": 3}
    assert found["in_quarantine"] == 2
    assert found["daemon"] == {"running": False, "pid": None, "since": None}
    assert found["unsettled"] == 0


def test_status_is_for_people_too(worked: Place) -> None:
    looking.status(worked.config, json=False)
    said = worked.out()
    assert "(no feed)" in said
    assert "metrics" in said
    assert str(worked.folder / "quarantine") in said


def test_status_says_why_drops_have_failed_and_what_their_workers_wrote_last(worked: Place) -> None:
    looking.status(worked.config, json=True)
    (failed,) = worked.json()["failed"]
    assert failed["name"] == "metrics/failed.csv"
    assert failed["reason"] == "the worker was killed by SIGKILL, perhaps for want of memory"
    assert failed["log"] == LAST_WORDS.splitlines()

    looking.status(worked.config, json=False)
    said = worked.out()
    assert f"  {failed['drop']}  metrics/failed.csv: {failed['reason']}\n" in said
    assert 'File "orders.py", line 7 in endless' in said
    assert "prepare.py" not in said
    assert "Failed last; for another go: blobdrop retry DROP, or --all-failed" in said


def test_drops_can_be_narrowed_down(worked: Place) -> None:
    assert len(drops(worked)) == 5
    for options in ({"state": "partial"}, {"name": "PARTIAL"}, {"feed": "metrics", "name": "partial"}):
        (row,) = drops(worked, **options)
        assert (row["name"], row["rows"]) == ("metrics/partial.csv", {"read": 10, "accepted": 9, "rejected": 1})
    assert drops(worked, customer="nobody") == []


def test_a_full_list_says_how_to_get_more_of_it(worked: Place) -> None:
    assert "These are the newest 2; for more: --limit 20" in drops(worked, limit=2, json=False)
    assert "There are no such drops." in drops(worked, customer="nobody", json=False)


def test_the_history_of_a_name_has_every_event(worked: Place) -> None:
    (row,) = drops(worked, history="metrics/failed.csv")
    assert [event["kind"] for event in row["events"]] == ["claimed", "given_back"] * 2 + ["claimed", "finished"]
    assert [bool(event["log"]) for event in row["events"]] == [False, True] * 3
    assert row["events"][-1]["note"] == "the worker was killed by SIGKILL, perhaps for want of memory"
    assert row["events"][-1]["log"] == LAST_WORDS.splitlines()
    said = drops(worked, history="metrics/failed.csv", json=False)
    assert said.count("the last lines of the worker that was lost at ") == 1
    assert all(f"  {line}\n" in said for line in LAST_WORDS.splitlines())
    said = drops(worked, history="partial.csv", json=False)
    assert "metrics/partial.csv" in said
    assert "/report.html" in said
    with pytest.raises(NotFoundError, match=r"did you mean metrics/partial\.csv"):
        drops(worked, history="partail.csv")


def test_a_failed_drop_gets_another_go_and_no_other_one_does(worked: Place) -> None:
    with pytest.raises(NotFoundError, match="only failed drops can be tried again"):
        looking.retry(worked.config, drop="metrics/good.csv", all_failed=False, json=False)
    assert looking.retry(worked.config, drop="failed.csv", all_failed=False, json=True) == 0
    (drop,) = worked.json()["retried"]
    with Ledger.open_read(f"sqlite:///{worked.folder}/ledger.db") as ledger:
        assert ledger.drop(drop).state is State.FOUND
    looking.retry(worked.config, drop=None, all_failed=True, json=False)
    assert worked.out() == "No drop has failed.\n"


@pytest.mark.parametrize(("drop", "all_failed"), [(None, False), ("x", True)])
def test_retry_wants_one_drop_or_all(place: Place, drop: str | None, all_failed: bool) -> None:
    with pytest.raises(ConfigError, match="name one drop, or give --all-failed"):
        looking.retry(place.config, drop=drop, all_failed=all_failed, json=False)


def test_a_table_that_cannot_be_read_is_told_with_its_feed(worked: Place) -> None:
    entry = max((worked.folder / "tables/metrics/_delta_log").glob("*.json"))
    entry.write_bytes(b"{garbage")
    assert looking.status(worked.config, json=True) == 0
    assert "the table cannot be read" in worked.json()["ailing"]["metrics"]
    assert looking.status(worked.config, json=False) == 0
    assert "feed metrics waits until its table is mended or restored: " in worked.out()
