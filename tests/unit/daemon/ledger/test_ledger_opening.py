"""Opening: a ledger is made only where none is missed, and what is wrong with a file is said with its remedy."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic import command as alembic
from alembic.config import Config
from alembic.script import ScriptDirectory

from daemon.errors import LedgerBusyError, LedgerError, LedgerMissingError
from daemon.ledger import Ledger, database, tables
from daemon.ledger.database import Database
from daemon.ledger.hold import held
from daemon.ledger.opening import file_of, migrate
from tests.unit.daemon.ledger.conftest import World

ROOT = Path(__file__).parents[4]
#: The user without rights, on every Linux.
NOBODY = 65534


def exist() -> bool:
    return True


def must_not_be_asked() -> bool:
    raise AssertionError


def url_of(path: Path) -> str:
    return f"sqlite:///{path}"


def shape_of(path: Path) -> list[tuple[str, object]]:
    """Return the tables by their columns and references, as added columns stand at another place; indices by text."""
    with closing(sqlite3.connect(path)) as connection:
        found = connection.execute("SELECT name, type, sql FROM sqlite_master WHERE sql IS NOT NULL ORDER BY name")
        return [
            (name, _table(connection, name) if kind == "table" else " ".join(sql.split()))
            for name, kind, sql in found.fetchall()
        ]


def _table(connection: sqlite3.Connection, name: str) -> object:
    asked = ("table_info", "foreign_key_list")
    return [connection.execute(f"PRAGMA {what}('{name}')").fetchall() for what in asked]


class TestMakingOne:
    def test_a_new_ledger_is_made_with_its_folders_when_no_table_exists(self, world: World) -> None:
        assert world.path.is_file()
        assert world.ledger.drops() == ()
        assert world.ledger.last_activity() is None

    def test_a_ledger_that_is_there_opens_again_with_the_same_identity(self, world: World) -> None:
        again = Ledger.open(world.url, tables_exist=must_not_be_asked, now=2.0)

        assert again.identity == world.ledger.identity
        again.close()

    def test_two_ledgers_have_two_identities(self, world: World, tmp_path: Path) -> None:
        with Ledger.open(url_of(tmp_path / "other.db"), tables_exist=lambda: False, now=1.0) as other:
            assert other.identity != world.ledger.identity

    def test_a_missing_ledger_is_refused_when_tables_exist_and_nothing_is_made(self, tmp_path: Path) -> None:
        path = tmp_path / "var" / "ledger.db"

        with pytest.raises(LedgerMissingError) as caught:
            Ledger.open(url_of(path), tables_exist=exist, now=1.0)

        assert str(path) in str(caught.value)
        assert "Restore it from a backup" in str(caught.value)
        assert not path.parent.exists()

    def test_an_empty_file_is_a_missing_ledger(self, tmp_path: Path) -> None:
        path = tmp_path / "ledger.db"
        path.touch()

        with pytest.raises(LedgerMissingError):
            Ledger.open(url_of(path), tables_exist=exist, now=1.0)

        # Where no table exists it is what a crash at the first start leaves behind: it becomes a ledger.
        Ledger.open(url_of(path), tables_exist=lambda: False, now=1.0).close()

    def test_a_folder_that_cannot_be_made_is_named(self, tmp_path: Path) -> None:
        (tmp_path / "file").touch()

        with pytest.raises(LedgerError, match=r"file/ledger\.db cannot be made: .*ledger\.url"):
            Ledger.open(url_of(tmp_path / "file" / "ledger.db"), tables_exist=lambda: False, now=1.0)

    def test_names_with_question_marks_percents_and_spaces_are_just_names(self, tmp_path: Path) -> None:
        path = tmp_path / "50% of #1 ü" / "led ger.db"

        Ledger.open(url_of(path), tables_exist=lambda: False, now=1.0).close()

        assert path.is_file()

    def test_processes_that_open_a_new_ledger_at_once_share_one(self, tmp_path: Path) -> None:
        code = (
            "import sys, time, pathlib\n"
            "from daemon.ledger import Ledger\n"
            "while not pathlib.Path(sys.argv[2]).exists(): time.sleep(0.001)\n"
            "print(Ledger.open(sys.argv[1], tables_exist=lambda: False, now=1.0).identity)\n"
        )
        go = tmp_path / "go"
        command = [sys.executable, "-c", code, url_of(tmp_path / "ledger.db"), str(go)]
        started = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) for _ in range(3)]
        go.touch()

        identities = {process.communicate(timeout=90)[0] for process in started}

        assert [process.returncode for process in started] == [0, 0, 0]
        assert len(identities) == 1


@pytest.fixture
def older(tmp_path: Path) -> Path:
    """A ledger of the first program."""
    path = tmp_path / "older.db"
    path.touch()
    database = Database(path)
    config = Config()
    config.set_main_option("script_location", str(Path(tables.__file__).parent / "migrations"))
    with database.writing() as connection:
        config.attributes["connection"] = connection
        alembic.upgrade(config, tables.REVISIONS[0])
        connection.execute(tables.about.insert(), {"identity": "kept", "created_at": 1.0})
    database.close()
    return path


class TestMigrations:
    def test_migrating_from_nothing_gives_the_same_tables_as_making_them(self, world: World, tmp_path: Path) -> None:
        path = tmp_path / "migrated.db"
        path.touch()
        database = Database(path)
        with database.writing() as connection:
            migrate(connection)
        database.close()

        assert shape_of(path) == shape_of(world.path)

    def test_days_that_were_closed_before_are_as_of_their_feeds_newest_batch(self, tmp_path: Path) -> None:
        path = tmp_path / "older.db"
        path.touch()
        database = Database(path)
        with database.writing() as connection:
            migrate(connection, "0004")
            batch = (
                "INSERT INTO batches (feed, number, state, drops, intended_at) VALUES ('metrics', 7, 'committed', 1, 1)"
            )
            connection.exec_driver_sql(batch)
            connection.exec_driver_sql(
                "INSERT INTO days (feed, customer, day, version, state, watermark, ready_at, closed_at) VALUES "
                "('metrics', 'acme', '2026-03-01', 1, 'closed', 1, 1, 5), "
                "('metrics', 'acme', '2026-03-02', 1, 'ready', 1, 1, NULL)"
            )
            migrate(connection)
            found = connection.exec_driver_sql("SELECT as_of FROM days ORDER BY day").scalars().all()
        database.close()

        assert found == [7, None]

    def test_every_migration_is_among_the_known_revisions_in_order(self) -> None:
        config = Config()
        config.set_main_option("script_location", str(Path(tables.__file__).parent / "migrations"))
        newest_first = ScriptDirectory.from_config(config).walk_revisions()

        assert tuple(script.revision for script in newest_first)[::-1] == tables.REVISIONS

    def test_every_column_says_what_it_means(self) -> None:
        assert [column for table in tables.metadata.sorted_tables for column in table.c if not column.comment] == []

    def test_opening_a_ledger_of_this_version_does_not_import_alembic(self, world: World) -> None:
        code = (
            "import sys\n"
            "from daemon.ledger import Ledger\n"
            "Ledger.open(sys.argv[1], tables_exist=lambda: True, now=1.0).close()\n"
            "assert 'alembic' not in sys.modules\n"
        )
        subprocess.run([sys.executable, "-c", code, world.url], check=True, cwd=ROOT, timeout=30)

    def test_a_ledger_of_a_newer_program_says_upgrade(self, world: World) -> None:
        connection = sqlite3.connect(world.path)
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
        connection.commit()
        connection.close()

        for opened in (world.open, partial(Ledger.open_read, world.url)):
            with pytest.raises(LedgerError, match=r"newer program \(revision 9999, .*Upgrade blobdrop"):
                opened()

    def test_an_older_ledger_is_brought_up_to_date_with_all_that_is_in_it(self, older: Path) -> None:
        Ledger.open(url_of(older), tables_exist=lambda: True, now=2.0).close()
        with Ledger.open_read(url_of(older)) as ledger:
            assert ledger.identity == "kept"
            assert ledger.days.unclosed() == ()

    def test_an_older_ledger_is_left_alone_while_its_own_daemon_runs(self, older: Path) -> None:
        before = shape_of(older)
        with held(older, 1.0), pytest.raises(LedgerBusyError, match=r"holds this ledger"):
            Ledger.open(url_of(older), tables_exist=lambda: True, now=2.0)
        assert shape_of(older) == before

    def test_what_a_crash_has_left_is_known_after_a_migration_too(self, older: Path) -> None:
        with pytest.raises(RuntimeError), held(older, 1.0) as crashed:
            raise RuntimeError
        Ledger.open(url_of(older), tables_exist=lambda: True, now=2.0).close()
        with held(older, 3.0) as hold:
            assert hold.crashed == (crashed.session,)

    def test_processes_that_migrate_a_ledger_at_once_do_it_once(self, older: Path, tmp_path: Path) -> None:
        code = (
            "import sys, time, pathlib\n"
            "from daemon.errors import LedgerBusyError\n"
            "from daemon.ledger import Ledger\n"
            "while not pathlib.Path(sys.argv[2]).exists(): time.sleep(0.001)\n"
            "try: print(Ledger.open(sys.argv[1], tables_exist=lambda: True, now=1.0).identity)\n"
            "except LedgerBusyError: print('busy')\n"
        )
        go = tmp_path / "go"
        command = [sys.executable, "-c", code, url_of(older), str(go)]
        started = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) for _ in range(3)]
        go.touch()
        said = [process.communicate(timeout=90)[0].strip() for process in started]
        assert [process.returncode for process in started] == [0, 0, 0]
        assert "kept" in said
        assert set(said) <= {"kept", "busy"}
        with Ledger.open_read(url_of(older)) as ledger:
            assert ledger.drops() == ()

    def test_a_command_on_a_ledger_of_an_older_program_says_start_the_daemon(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(tables, "REVISIONS", (*tables.REVISIONS, "9999"))
        monkeypatch.setattr(tables, "HEAD", "9999")

        with pytest.raises(LedgerError, match=r"older program .*blobdrop run --once"):
            Ledger.open_read(world.url)


class TestBadFiles:
    @pytest.mark.parametrize("content", [b"id,name\n1,a\n" * 500, b"\x00" * 5000, b"SQLite format 3\x00" + b"x" * 5000])
    def test_a_file_that_is_no_database_is_named_with_the_remedy(self, tmp_path: Path, content: bytes) -> None:
        path = tmp_path / "ledger.db"
        path.write_bytes(content)

        with pytest.raises(LedgerError, match="Restore it from a backup") as caught:
            Ledger.open(url_of(path), tables_exist=exist, now=1.0)

        assert str(path) in str(caught.value)
        assert path.read_bytes() == content

    def test_a_ledger_cut_short_is_named_with_the_remedy(self, world: World) -> None:
        world.claim(*(f"{i}.csv" for i in range(300)))
        world.ledger.close()
        os.truncate(world.path, world.path.stat().st_size // 2)

        with pytest.raises(LedgerError, match=r"damaged\. Restore it from a backup"), world.open() as ledger:
            ledger.drops(limit=1000)

    def test_a_database_of_another_program_is_left_alone(self, tmp_path: Path) -> None:
        path = tmp_path / "other.db"
        connection = sqlite3.connect(path)
        connection.execute("CREATE TABLE notes (text)")
        connection.close()

        with pytest.raises(LedgerError, match="not a blobdrop ledger"):
            Ledger.open(url_of(path), tables_exist=lambda: False, now=1.0)

        assert [name for name, _ in shape_of(path)] == ["notes"]

    def test_a_folder_is_no_ledger(self, tmp_path: Path) -> None:
        with pytest.raises(LedgerError, match="cannot be opened"):
            Ledger.open(url_of(tmp_path), tables_exist=lambda: False, now=1.0)


class TestCommands:
    def test_a_command_without_a_ledger_says_that_nothing_was_ingested(self, tmp_path: Path) -> None:
        path = tmp_path / "ledger.db"

        with pytest.raises(LedgerError, match=r"nothing was ingested yet: .*blobdrop run"):
            Ledger.open_read(url_of(path))

        assert not path.exists()

    def test_a_command_reads_and_writes_beside_the_daemon(self, world: World) -> None:
        drop = world.finish("a.csv", reason="the worker died")

        with world.ledger.hold(1.0), Ledger.open_read(world.url) as command:
            assert command.drop("a.csv").reason == "the worker died"
            assert command.retry("a.csv", world.now()) == (drop.id,)


class TestUsersWhoMayOnlyLook:
    @pytest.fixture
    def folder(self) -> Iterator[Path]:
        """A folder that others may look into, as pytest's own are not, nor what is below a daemon's own."""
        with tempfile.TemporaryDirectory(dir="/var/tmp") as name:
            Path(name).chmod(0o755)
            yield Path(name)

    @pytest.mark.parametrize("daemon_runs", [False, True])
    def test_they_read_what_is_there(self, folder: Path, daemon_runs: bool) -> None:
        world = World(folder)
        world.ingest("a.csv")
        if not daemon_runs:
            world.ledger.close()

        said = as_nobody(lambda: ", ".join(each.found.name for each in Ledger.open_read(world.url).drops()))

        assert said == "a.csv"
        world.ledger.close()

    def test_they_start_no_daemon_and_are_told_which_right_is_missing(self, folder: Path) -> None:
        world = World(folder)
        world.ledger.close()

        def start() -> str:
            with pytest.raises(LedgerError) as caught:
                world.open()
            return str(caught.value)

        assert "this user may not write to it. Give the user the right" in as_nobody(start)


def as_nobody(work: Callable[[], str]) -> str:
    """Do the work in a process that may write nothing of ours."""
    if os.geteuid() != 0:
        pytest.skip("only root can become somebody else")
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.setgroups([])
            os.setuid(NOBODY)
            os.write(write, work().encode())
        finally:
            os._exit(0)
    os.close(write)
    with os.fdopen(read, "rb") as pipe:
        said = pipe.read().decode()
    os.waitpid(child, 0)
    return said


class TestUrls:
    def test_a_relative_url_starts_from_the_working_directory(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)

        assert file_of("sqlite:///var/ledger.db") == tmp_path / "var" / "ledger.db"

    @pytest.mark.parametrize(
        ("url", "said"),
        [
            ("var/ledger.db", "not a database URL"),
            ("", "not a database URL"),
            ("sqlite://", "names no file"),
            ("sqlite:///:memory:", "names no file"),
            ("sqlite:///file:x?mode=memory&uri=true", "names no file"),
            ("postgresql://me:secret@db/ledger", "keeps its ledger in SQLite"),
            ("sqlite+aiosqlite:///x.db", "keeps its ledger in SQLite"),
        ],
    )
    def test_a_url_that_names_no_sqlite_file_is_refused_with_an_example(self, url: str, said: str) -> None:
        with pytest.raises(LedgerError, match=said) as caught:
            file_of(url)

        assert "sqlite:///var/ledger.db" in str(caught.value)
        assert "secret" not in str(caught.value)


class TestWhatADatabaseReports:
    def test_a_full_disk_writes_nothing_by_half(self, world: World) -> None:
        database = world.ledger._database
        before = world.claim("a.csv")

        def fill(connection: sa.Connection) -> None:
            connection.exec_driver_sql("DELETE FROM drops")
            connection.exec_driver_sql("PRAGMA max_page_count = 1")
            connection.exec_driver_sql("INSERT INTO events SELECT 999, 1, hex(zeroblob(900000)), '', '', 1, 1, ''")

        with pytest.raises(LedgerError, match=r"disk is full\. Free some space"), database.writing() as connection:
            fill(connection)

        assert [row.id for row in world.ledger.drops()] == [before[0].id]

    def test_a_read_only_ledger_says_which_right_is_missing(self, world: World) -> None:
        database = world.ledger._database

        with database.reading() as connection:
            connection.exec_driver_sql("PRAGMA query_only = ON")

        with pytest.raises(LedgerError, match="right to write"):
            world.claim("a.csv")

    def test_a_locked_ledger_says_so_after_a_while(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(database, "BUSY_SECONDS", 0.05)
        other = Database(world.path)

        with world.ledger._database.writing(), pytest.raises(LedgerError, match="kept it locked"), other.writing():
            pass
        other.close()

    def test_who_is_in_a_hurry_hardly_waits_and_says_for_how_long(self, world: World) -> None:
        other = Database(world.path)
        began = time.monotonic()
        threading.Timer(0.3, other.hurry).start()

        with world.ledger._database.writing(), pytest.raises(LedgerError, match="locked for 1 s"), other.writing():
            pass
        assert time.monotonic() - began < 5
        with other.writing() as connection:
            assert connection.exec_driver_sql("PRAGMA busy_timeout").scalar() == 10_000
        other.close()

    def test_readers_do_not_wait_for_a_writer(self, world: World) -> None:
        (drop,) = world.claim("a.csv")
        with Ledger.open_read(world.url) as command, world.ledger._database.writing() as connection:
            connection.exec_driver_sql("DELETE FROM drops")

            assert command.drop(drop.id).name == "a.csv"

    def test_a_ledger_that_was_removed_while_in_use_is_not_written_to(self, world: World) -> None:
        world.claim("a.csv")
        world.path.unlink()

        with pytest.raises(LedgerError, match="was removed while in use"):
            world.claim("b.csv")

        assert not world.path.exists()

    def test_a_ledger_that_was_replaced_while_in_use_is_not_written_to(self, world: World) -> None:
        world.claim("a.csv")
        shutil.copy(world.path, world.path.with_name("copy.db"))
        world.path.with_name("copy.db").replace(world.path)

        with pytest.raises(LedgerError, match="was replaced while in use"):
            world.claim("b.csv")

    def test_commits_are_synced_and_logged_ahead(self, world: World) -> None:
        with world.ledger._database.writing() as connection:
            names = ("journal_mode", "synchronous", "foreign_keys")
            asked = {name: connection.exec_driver_sql(f"PRAGMA {name}").scalar() for name in names}

        assert asked == {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1}
