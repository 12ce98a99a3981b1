"""A ledger that is written anew: whole in its place, or not there."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from daemon.errors import LedgerError
from daemon.ledger import Ledger
from daemon.ledger.hold import held
from daemon.ledger.rebuilding import Known, put_in_place, write
from daemon.model import Found, Outcome, Rows, State

FOUND = Found(uri="file:///srv/a%20b.csv", name="a b.csv", version="1-2-3", size=7, modified=5.5)


def known(found: Found = FOUND, **what: object) -> Known:
    outcome = Outcome(drop_id=found.drop_id, state=State.INGESTED, sha256="ab", rows=Rows(read=3, accepted=3))
    values = {"found": found, "feed": "metrics", "customer": "acme", "outcome": outcome, "at": 9.0}
    return Known(**{**values, **what})  # type: ignore[arg-type]


def test_what_was_known_is_known_again(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    write(path, [known()], {"metrics": 7, "events": 0}, identity="same", now=10.0)

    with Ledger.open_read(f"sqlite:///{path}") as ledger:
        row = ledger.drop(FOUND.drop_id)
        assert (row.found, row.state, row.sha256, row.rows_accepted) == (FOUND, State.INGESTED, "ab", 3)
        assert row.settled_at == 9.0
        assert ledger.identity == "same"
        assert (ledger.last_batch("metrics"), ledger.last_batch("events")) == (7, 0)
        assert [event.kind.value for event in ledger.events(row.id)] == ["rebuilt"]
        assert ledger.duplicate_of("acme", "metrics", ["ab"]) == {"ab": row.id}


def test_what_was_not_settled_is_settled_by_the_daemon(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    write(path, [known(settled=False)], {}, identity="", now=10.0)

    with Ledger.open_read(f"sqlite:///{path}") as ledger:
        assert [drop.id for drop, _ in ledger.unsettled()] == [FOUND.drop_id]
        assert len(ledger.identity) == 36


def test_names_of_any_bytes_survive(tmp_path: Path) -> None:
    odd = Found(uri="file:///srv/%FF.csv", name="\udcff\n.csv", version="1", size=1, modified=1.0)
    write(tmp_path / "ledger.db", [known(odd)], {}, identity="", now=10.0)

    with Ledger.open_read(f"sqlite:///{tmp_path / 'ledger.db'}") as ledger:
        assert ledger.drop(odd.drop_id).found == odd


def test_what_a_killed_try_has_left_is_written_over(tmp_path: Path) -> None:
    unfinished = tmp_path / ".ledger.db.rebuild"
    unfinished.write_bytes(b"half")
    (tmp_path / ".ledger.db.rebuild-journal").write_bytes(b"half a journal")
    write(unfinished, [known()], {}, identity="", now=10.0)

    assert put_in_place(unfinished, tmp_path / "ledger.db", 0.0) is None
    assert [path.name for path in tmp_path.iterdir()] == ["ledger.db"]


def test_the_old_one_is_moved_aside_with_its_logs_and_never_over_another(tmp_path: Path) -> None:
    for round_ in ("first", "second"):
        for suffix in ("", "-wal", "-shm"):
            (tmp_path / f"ledger.db{suffix}").write_text(round_)
        write(tmp_path / "new", [known()], {}, identity="", now=10.0)
        aside = put_in_place(tmp_path / "new", tmp_path / "ledger.db", 0.0)
        assert aside is not None
        assert [aside.with_name(aside.name + suffix).read_text() for suffix in ("", "-wal", "-shm")] == [round_] * 3

    assert not list(tmp_path.glob("ledger.db-*"))
    assert len(list(tmp_path.glob("ledger.db.before-rebuild-19700101T000000*"))) == 6


def test_a_folder_that_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(LedgerError, match="cannot be written: No such file"):
        write(tmp_path / "missing" / "ledger.db", [known()], {}, identity="", now=10.0)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root makes files for others")
def test_what_root_makes_is_the_daemons(tmp_path: Path) -> None:
    folder = tmp_path / "state"
    folder.mkdir()
    os.chown(folder, 1234, 1235)
    with held(folder / "ledger.db", 1.0):
        write(folder / "new", [known()], {}, identity="", now=10.0)
        put_in_place(folder / "new", folder / "ledger.db", 0.0)
    owners = {path.name: (path.stat().st_uid, path.stat().st_gid) for path in folder.iterdir()}
    assert owners == {"ledger.db": (1234, 1235), "ledger.db.lock": (1234, 1235)}
