"""What is let go, by which setting, and that it never hinders anything else."""

from __future__ import annotations

import itertools
import math
import os
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import structlog
from structlog.testing import capture_logs

from daemon.cabinets.folder import FolderCabinet
from daemon.decisions import Action, Decision, Standing
from daemon.ledger import Ledger
from daemon.model import After, Drop, Outcome, State
from daemon.places.folder import FolderPlace
from daemon.quarantine import Quarantine
from daemon.reports import Report, Subject
from daemon.retention import Expiry, Retention
from daemon.sources.folder import FolderSource
from daemon.stores.delta import DeltaStore
from daemon.workers.executor import Workers
from validators.model import Rows

DAY = 86_400.0
FOR_EVER = Retention(archive_days=0, quarantine_days=0, history_days=0)


class Site:
    """A site with something of everything, made now; its clock can be put forward."""

    def __init__(self, folder: Path) -> None:
        self.drops, self.aside = folder / "drops", folder / "quarantine"
        self.source = FolderSource(self.drops, settle_seconds=0.0)
        self.source.prepare()
        self.ledger = Ledger.open(f"sqlite:///{folder}/ledger.db", tables_exist=lambda: False, now=time.time())
        self.quarantine = Quarantine(FolderCabinet(self.aside))
        self.store = DeltaStore(FolderPlace(folder / "tables"), app="site")
        self.workers = Workers(processes=1, memory_mb=1024, timeout_seconds=30)
        self.days = 0.0

    def now(self) -> float:
        return time.time() + self.days * DAY

    def drop(self, name: str, finished_at: float | None = None) -> Drop:
        """Take a drop through: archived, with an entry in quarantine and its events."""
        (self.drops / name).write_text(name)
        (found,) = self.source.list()
        drop = Drop(id=found.drop_id, found=found, feed="metrics", customer="acme")
        self.ledger.claim([drop], time.time())
        subject = Subject(drop_id=drop.id, uri=found.uri, name=name, sha256=name, feed="metrics", customer="acme")
        at = time.time() if finished_at is None else finished_at
        with self.quarantine.open("acme", "metrics", drop.id) as entry:
            entry.rejected_path.write_text("a,_line,_problems\n")
            entry.write_report(
                Report(subject=subject, state=State.REJECTED, rows=Rows(read=1, rejected=1), finished_at=at)
            )
            folder = entry.publish()
        outcome = Outcome(drop_id=drop.id, state=State.REJECTED, sha256=name, report=folder)
        self.ledger.finish([outcome], time.time())
        self.source.settle(found, After.ARCHIVE)
        return drop

    def expiry(self, *, feeds: tuple[str, ...] = (), step_seconds: float = math.inf, **days: float) -> Expiry:
        return Expiry(
            replace(FOR_EVER, **days),
            ledger=self.ledger,
            source=self.source,
            store=self.store,
            workers=self.workers,
            quarantine=self.quarantine,
            feeds=feeds,
            log=structlog.get_logger(),
            step_seconds=step_seconds,
            clock=self.now,
        )

    def archive(self) -> set[str]:
        return {path.name for path in (self.drops / "_archive").glob("*")}

    def entries(self) -> set[str]:
        return {path.name for path in self.aside.glob("acme/metrics/*")}


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    site = Site(tmp_path)
    yield site
    site.workers.stop()
    site.ledger.close()


def test_without_settings_everything_stays_for_ever(site: Site) -> None:
    drop = site.drop("a.csv")
    site.days = 10_000

    with capture_logs() as told:
        site.expiry().turn()

    assert (site.archive(), site.entries()) == ({"a.csv"}, {drop.id})
    assert len(site.ledger.events(drop.id)) == 2
    assert told == []


def test_each_setting_is_for_what_it_says(site: Site) -> None:
    drop = site.drop("a.csv")
    site.days = 10
    with capture_logs() as told:
        site.expiry(archive_days=9).turn()
        assert (site.archive(), site.entries()) == (set(), {drop.id})
        site.expiry(quarantine_days=9).turn()
        assert (site.entries(), len(site.ledger.events(drop.id))) == (set(), 2)
        site.expiry(history_days=9).turn()
        assert len(site.ledger.events(drop.id)) == 1  # the newest of all

    assert [{key: value for key, value in each.items() if key != "log_level"} for each in told] == [
        {"event": "retention.applied", "archived_files": 1},
        {"event": "retention.applied", "quarantine_entries": 1},
        {"event": "retention.applied", "ledger_rows": 1},
    ]


def test_what_is_younger_stays(site: Site) -> None:
    drop = site.drop("a.csv")
    site.days = 8.9
    site.expiry(archive_days=9, quarantine_days=9, history_days=9).turn()

    assert (site.archive(), site.entries()) == ({"a.csv"}, {drop.id})
    assert len(site.ledger.events(drop.id)) == 2


def test_bytes_that_were_here_are_known_when_everything_else_of_them_has_gone(site: Site) -> None:
    drop = site.drop("a.csv")
    site.days = 1000
    site.expiry(archive_days=9, quarantine_days=9, history_days=9).turn()

    assert site.ledger.duplicate_of("acme", "metrics", ["a.csv"]) == {"a.csv": drop.id}
    assert site.ledger.drop(drop.id).state is State.REJECTED
    assert site.ledger.drop(drop.id).report == ""


def test_an_entry_goes_by_the_time_in_its_report(site: Site) -> None:
    old = site.drop("old.csv", finished_at=time.time() - 10 * DAY)
    new = site.drop("new.csv")
    site.expiry(quarantine_days=9).turn()

    assert site.entries() == {new.id}
    assert site.ledger.drop(old.id).report == ""
    assert site.ledger.drop(new.id).report


def test_an_entry_whose_report_is_damaged_goes_by_its_age(site: Site) -> None:
    drop = site.drop("a.csv", finished_at=1.0)
    (site.aside / "acme" / "metrics" / drop.id / "report.json").write_text("{")

    site.expiry(quarantine_days=9).turn()
    assert site.entries() == {drop.id}
    site.days = 10
    site.expiry(quarantine_days=9).turn()
    assert site.entries() == set()


def test_entries_that_a_killed_worker_left_go_after_a_day_whatever_is_set(site: Site) -> None:
    site.drop("a.csv")
    for name, days in ((".old.tmp", 2), (".new.tmp", 0.5)):
        folder = site.aside / "acme" / "metrics" / name
        folder.mkdir()
        os.utime(folder, (time.time() - days * DAY,) * 2)

    site.expiry().turn()
    assert not (site.aside / "acme" / "metrics" / ".old.tmp").exists()
    assert (site.aside / "acme" / "metrics" / ".new.tmp").exists()


def test_a_round_begins_once_an_hour(site: Site) -> None:
    expiry = site.expiry(archive_days=1)
    expiry.turn()
    site.drop("a.csv")
    site.days = 2
    site.drop("b.csv")
    expiry.turn()
    assert site.archive() == set()

    site.drop("c.csv")
    expiry.turn()
    assert site.archive() == {"c.csv"}


def test_a_round_is_spread_over_many_turns(site: Site) -> None:
    drops = [site.drop(f"{number}.csv", finished_at=1.0) for number in range(5)]
    expiry = site.expiry(quarantine_days=9, step_seconds=0.0)
    left = []
    for _ in range(8):
        expiry.turn()
        left.append(len(site.entries()))

    assert left[0] in (4, 5)
    assert sorted(left, reverse=True) == left
    assert all(one - other <= 1 for one, other in itertools.pairwise(left))
    assert left[-1] == 0
    assert [site.ledger.drop(drop.id).report for drop in drops] == [""] * 5


def test_what_fails_is_told_and_the_rest_is_done(site: Site) -> None:
    drop = site.drop("a.csv", finished_at=1.0)
    (site.drops / "_archive" / "a.csv").unlink()
    (site.drops / "_archive").rmdir()
    (site.drops / "_archive").write_text("not a folder")
    with capture_logs() as told:
        site.expiry(archive_days=1, quarantine_days=1).turn()

    assert [(each["event"], each.get("what")) for each in told] == [
        ("retention.failed", "archived_files"),
        ("retention.applied", None),
    ]
    assert drop.id not in site.entries()


def test_a_table_is_cleaned_by_a_worker_while_the_loop_goes_on(site: Site) -> None:
    forgotten = Path(site.store.describe("metrics")) / "date=2026-03-01" / "part-0-00.parquet"
    forgotten.parent.mkdir(parents=True)
    forgotten.touch()
    os.utime(forgotten, (1.0, 1.0))
    expiry = site.expiry(feeds=("metrics", "events"), table_days=1)
    began = time.monotonic()
    expiry.turn()
    assert forgotten.exists()  # the worker has just begun
    with capture_logs() as told:
        while not told and time.monotonic() - began < 20:
            expiry.turn()
            time.sleep(0.02)

    assert [each["event"] for each in told] == ["retention.applied"], told
    assert not forgotten.exists()


def test_an_entry_that_a_decision_waits_for_stays(site: Site) -> None:
    drop = site.drop("a.csv", finished_at=1.0)
    wanted = Decision(drop_id=drop.id, action=Action.RELEASE, reason="", by="ada", at=time.time())
    (decision,) = site.ledger.decisions.add([wanted])

    site.expiry(quarantine_days=1).turn()
    assert site.entries() == {drop.id}
    assert site.ledger.drop(drop.id).report

    site.ledger.decisions.end(decision, Standing.REFUSED, "no", time.time())
    site.expiry(quarantine_days=1).turn()
    assert site.entries() == set()
