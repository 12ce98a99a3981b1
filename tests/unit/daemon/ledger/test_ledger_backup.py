"""Backups: whole and checked while the daemon writes, or nothing."""

from __future__ import annotations

import os
import sqlite3
import threading
from contextlib import closing
from pathlib import Path

import pytest

from daemon.errors import LedgerError
from daemon.ledger import Ledger
from daemon.ledger.backup import back_up, damage, drops_in
from tests.unit.daemon.ledger.conftest import World


def test_a_backup_is_one_file_that_is_a_ledger_by_itself(world: World, tmp_path: Path) -> None:
    drop = world.ingest("a.csv")
    target = tmp_path / "backup.db"

    size = back_up(world.path, target)

    assert target.stat().st_size == size
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == ["backup.db"]
    with Ledger.open_read(f"sqlite:///{target}") as copy:
        assert copy.identity == world.ledger.identity
        assert copy.drop(drop.id) == world.ledger.drop(drop.id)


def test_an_older_programs_ledger_is_backed_up_too_and_nothing_else_is_taken_for_one(
    world: World, tmp_path: Path
) -> None:
    world.ingest("a.csv")
    with closing(sqlite3.connect(world.path)) as older:
        older.execute("UPDATE alembic_version SET version_num = '0001'")
        older.commit()
    back_up(world.path, tmp_path / "backup.db")
    assert drops_in(tmp_path / "backup.db") == 1
    with closing(sqlite3.connect(tmp_path / "other.db")) as other:
        other.execute("CREATE TABLE things (id)")
    with pytest.raises(LedgerError, match=r"other\.db is no ledger: no such table: drops"):
        drops_in(tmp_path / "other.db")


def test_a_backup_has_one_state_however_fast_the_daemon_writes(world: World, tmp_path: Path) -> None:
    done = threading.Event()

    def write() -> None:
        for number in range(200):
            world.ingest(f"{number}.csv")
        done.set()

    writer = threading.Thread(target=write)
    writer.start()
    made = 0
    while not done.is_set() or made < 3:
        back_up(world.path, tmp_path / f"{made}.db")
        with closing(sqlite3.connect(tmp_path / f"{made}.db")) as copy:
            # A drop and its batch come in one transaction: one without the other would be half of it.
            (halves,) = copy.execute(
                "SELECT count(*) FROM drops JOIN batches ON drops.feed = batches.feed AND drops.batch = batches.number "
                "WHERE (drops.state = 'ingested') <> (batches.state = 'committed')"
            ).fetchone()
            assert halves == 0
            assert copy.execute("PRAGMA foreign_key_check").fetchall() == []
        made += 1
    writer.join()

    assert sum(world.ledger.counts()["metrics"].values()) == 200


def test_an_existing_file_is_replaced_only_when_asked_to(world: World, tmp_path: Path) -> None:
    target = tmp_path / "backup.db"
    target.write_text("precious")

    with pytest.raises(LedgerError, match="exists already; name another file, or replace it with --force"):
        back_up(world.path, target)
    assert target.read_text() == "precious"

    back_up(world.path, target, force=True)
    assert damage(target) == ""


def test_the_ledger_is_not_backed_up_onto_itself_nor_onto_a_folder(world: World, tmp_path: Path) -> None:
    with pytest.raises(LedgerError, match="is the ledger itself"):
        back_up(world.path, world.path, force=True)
    with pytest.raises(LedgerError, match=r"is a folder; name a file in it"):
        back_up(world.path, tmp_path)


def test_a_folder_that_is_missing_is_named(world: World, tmp_path: Path) -> None:
    with pytest.raises(LedgerError, match=r"cannot be (written|copied)"):
        back_up(world.path, tmp_path / "missing" / "backup.db")


def test_a_damaged_ledger_is_not_backed_up_and_leaves_the_last_backup_alone(world: World, tmp_path: Path) -> None:
    world.ledger.claim([world.drop(f"{number}.csv") for number in range(500)], world.now())
    target = tmp_path / "backup.db"
    back_up(world.path, target)
    world.ledger.close()
    before = target.read_bytes()
    size = world.path.stat().st_size
    with world.path.open("r+b") as file:
        file.seek(size // 2)
        file.write(os.urandom(size // 4))

    assert damage(world.path)
    with pytest.raises(LedgerError, match=r"damaged|malformed"):
        back_up(world.path, target, force=True)
    world.path.write_bytes(b"no database" * 999)
    with pytest.raises(LedgerError, match=r"is damaged, so no backup was made: file is not a database"):
        back_up(world.path, target, force=True)
    assert target.read_bytes() == before
    assert not list(tmp_path.glob(".*.tmp"))


@pytest.mark.parametrize("content", [b"", b"no database" * 100])
def test_what_is_no_database_is_damaged_and_what_is_empty_is_not(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "ledger.db"
    path.write_bytes(content)

    assert bool(damage(path)) is bool(content)
