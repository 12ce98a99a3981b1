"""`blobdrop init`: what it writes works as it is, and nothing is ever overwritten."""

from __future__ import annotations

from tests.acceptance.conftest import Blobdrop

ORDERS = b"""order_id,ordered_at,country,quantity,price
A-1,2026-03-01T10:00:00,DE,2,9.5
A-2,2026-03-01T11:00:00,US,500,1
A-3,2026-03-01T12:00:00,FR,1,
"""


def test_what_it_writes_takes_a_file_in(blobdrop: Blobdrop) -> None:
    done = blobdrop.run("init")
    assert done.code == 0, done.stderr
    assert blobdrop.run("config").code == 0

    blobdrop.drop("march.csv", ORDERS, feed="acme/orders")
    summary = blobdrop.once()
    assert summary["rows"] == {"read": 3, "accepted": 2, "rejected": 1}
    assert sorted(blobdrop.table("orders")["order_id"].to_pylist()) == ["A-1", "A-3"]


def test_it_overwrites_nothing_and_then_writes_nothing(blobdrop: Blobdrop) -> None:
    (blobdrop.folder / "orders.py").write_text("ours")
    done = blobdrop.run("init")
    assert done.code == 2
    assert "orders.py: already there, and nothing is overwritten" in done.stderr
    assert (blobdrop.folder / "orders.py").read_text() == "ours"
    assert not (blobdrop.folder / "blobdrop.toml").exists()


def test_it_makes_the_folder_that_is_named(blobdrop: Blobdrop) -> None:
    done = blobdrop.run("init", "new/site")
    assert done.code == 0, done.stderr
    assert "--config new/site/blobdrop.toml" in done.stdout
    assert blobdrop.run("config", "--config", "new/site/blobdrop.toml").code == 0
