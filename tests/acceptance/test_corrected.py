"""A corrected file dropped again under its name: one version in the table at any time, for every reader."""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from collections.abc import Callable

import duckdb
import polars as pl
import pytest
from deltalake import DeltaTable

from tests.acceptance.conftest import Blobdrop, wait_for
from tests.corpus import text

#: Rows of each version of the file, over three days.
ROWS = 60
DAYS = ("2026-03-01", "2026-03-02", "2026-03-03")


def version(number: int, rows: int = ROWS) -> bytes:
    lines = (f"v{number},user_id,m{row},{DAYS[row % 3]},{row}\n" for row in range(rows))
    return text.HEADER + "".join(lines).encode()


def by_deltalake(root: str) -> list[str]:
    units: list[str] = DeltaTable(root).to_pyarrow_table(columns=["unit_id"])["unit_id"].to_pylist()
    return units


def by_polars(root: str) -> list[str]:
    return pl.read_delta(root, columns=["unit_id"])["unit_id"].to_list()


def by_duckdb(root: str) -> list[str]:
    """Without DuckDB's own extension for Delta, which has to be downloaded: it reads the files of one version."""
    with duckdb.connect() as database:
        uris = DeltaTable(root).file_uris()
        return [unit for (unit,) in database.execute("SELECT unit_id FROM read_parquet(?)", [uris]).fetchall()]


def has(root: str, unit: str) -> Callable[[], bool]:
    """Return what tells whether a unit is in the table."""
    return lambda: unit in by_polars(root)


@pytest.mark.slow
def test_no_reader_ever_sees_both_versions_or_neither_while_files_are_corrected_and_compacted(
    blobdrop: Blobdrop,
) -> None:
    blobdrop.settings |= {"BLOBDROP_SOURCE__SETTLE_SECONDS": "0", "BLOBDROP_STORE__COMPACT_FILES": "2"}
    root = str(blobdrop.store / "metrics")
    blobdrop.start()
    blobdrop.drop("corrected.csv", version(0))
    blobdrop.wait_settled(1)
    over = threading.Event()
    wrong: list[Counter[str]] = []
    looks: Counter[str] = Counter()

    def look(read: Callable[[str], list[str]]) -> None:
        while not over.is_set():
            seen = Counter(unit for unit in read(root) if unit.startswith("v"))
            looks[read.__name__] += 1
            if list(seen.values()) != [ROWS]:
                wrong.append(seen)

    readers = [threading.Thread(target=look, args=(read,)) for read in (by_deltalake, by_polars, by_duckdb)]
    for reader in readers:
        reader.start()
    try:
        for number in range(1, 13):
            blobdrop.drop(f"other{number}.csv", text.good(9, tag=f"o{number}-"))
            blobdrop.drop("corrected.csv", version(number))
            if number % 4 == 0:
                assert blobdrop.run("compact").code == 0
            wait_for(has(root, f"v{number}"), f"version {number} is in the table")
    finally:
        over.set()
        for reader in readers:
            reader.join()
    blobdrop.wait_settled(25)

    assert wrong == []
    assert min(looks.values()) > 3
    assert Counter(by_deltalake(root))["v12"] == ROWS
    assert len(by_deltalake(root)) == ROWS + 12 * 9
    assert blobdrop.stop() == 0
    blobdrop.assert_every_row_is_in_one_place()
    assert blobdrop.leftovers() == []


def test_a_partly_rejected_file_that_is_corrected_is_told_as_superseded_everywhere(blobdrop: Blobdrop) -> None:
    blobdrop.drop("day.csv", version(1, 9) + b"x,USERID,revenue,2026-03-01,1\n")
    blobdrop.once()
    first = blobdrop.found("day.csv").id
    blobdrop.drop("other.csv", text.good(5))
    blobdrop.once()
    assert blobdrop.run("compact").code == 0
    blobdrop.drop("day.csv", version(2, 12))
    blobdrop.once(code=0)
    second = blobdrop.found("day.csv").id

    assert (blobdrop.rows_of(first), blobdrop.rows_of(second), blobdrop.table().num_rows) == (0, 12, 17)
    (entry,) = json.loads(blobdrop.run("quarantine", "list", "--json").stdout)
    assert (entry["drop"], entry["state"], entry["superseded_by"]) == (first, "superseded", second)
    assert f"superseded by {second}" in blobdrop.run("quarantine", "list").stdout
    shown = json.loads(blobdrop.run("quarantine", "show", first, "--json").stdout)
    assert (shown["state"], shown["judged"], shown["superseded_by"]) == ("superseded", "partial", second)
    assert (
        f"drop {second}, has taken its place; nothing is left to do" in blobdrop.run("quarantine", "show", first).stdout
    )
    versions = json.loads(blobdrop.run("drops", "--history", "metrics/day.csv", "--json").stdout)
    assert [(each["id"], each["superseded_by"], each["supersedes"]) for each in versions] == [
        (first, second, []),
        (second, None, [first]),
    ]
    said = blobdrop.run("drops", "--history", "day.csv").stdout
    assert f"superseded by drop {second}\n" in said
    assert f"takes the place of drop {first}\n" in said


def test_versions_that_come_faster_than_they_are_worked_leave_the_newest_once(blobdrop: Blobdrop) -> None:
    blobdrop.settings["BLOBDROP_SOURCE__SETTLE_SECONDS"] = "0"
    blobdrop.start()
    for number in range(40):
        blobdrop.drop("day.csv", version(number))
        blobdrop.drop(f"noise{number}.csv", text.good(3, tag=f"n{number}-"))
        time.sleep(0.02)
    wait_for(
        lambda: blobdrop.table().num_rows == ROWS + 120 and "v39" in by_polars(str(blobdrop.store / "metrics")),
        "the newest version is in the table, and every other file",
        told=lambda: blobdrop.log,
    )
    assert blobdrop.stop() == 0

    versions = [drop for drop in blobdrop.drops() if drop.name == "metrics/day.csv"]
    assert [drop.superseded_by for drop in versions] == [*(drop.id for drop in versions[1:]), None]
    assert Counter(unit for unit in by_polars(str(blobdrop.store / "metrics")) if unit[0] == "v") == {"v39": ROWS}
    blobdrop.assert_every_row_is_in_one_place()
