"""Rejected rows, mended and dropped back: they join the others, and no value has changed on the way."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.acceptance.conftest import Blobdrop
from tests.corpus import files, text

Record = dict[str, str]

#: Cells that a spreadsheet would run or change.
FORMULAS = ("=cmd|' /C calc'!A0", "+1+1", "-2+3", "@SUM(A1)", "'=1", "''=1", "\t=1", "\uff1d1+1")


def mended(rejected: Path, mend: Callable[[Record], None], *, delimiter: str = ",") -> bytes:
    """Return a rejected.csv as somebody saves it again after mending each record."""
    with rejected.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.DictReader(file, delimiter=delimiter)
        records = list(reader)
    into = io.StringIO()
    writer = csv.DictWriter(into, reader.fieldnames or (), delimiter=delimiter, lineterminator="\r\n")
    writer.writeheader()
    for record in records:
        mend(record)
        writer.writerow(record)
    return into.getvalue().encode("utf-8")


def id_type(record: Record) -> None:
    """Mend the commonest mistake."""
    record["id_type"] = "user_id"


def units(blobdrop: Blobdrop) -> list[str]:
    """Return the unit ids of the table, in order."""
    return sorted(blobdrop.table()["unit_id"].to_pylist())


def test_mended_rows_of_a_csv_file_join_the_others(blobdrop: Blobdrop) -> None:
    bad = b"".join(b"bad%d,USER_ID,revenue,2026-03-02,%d\n" % (n, n) for n in range(4))
    blobdrop.drop("day.csv", text.good(10) + bad)
    blobdrop.once(code=1)
    first = blobdrop.entry("day.csv") / "rejected.csv"
    blobdrop.drop("day mended.csv", mended(first, id_type))
    summary = blobdrop.once(code=0)

    assert summary["rows"] == {"read": 4, "accepted": 4, "rejected": 0}
    assert units(blobdrop) == sorted([*(f"u{n}" for n in range(10)), *(f"bad{n}" for n in range(4))])
    blobdrop.assert_every_row_is_in_one_place()


def test_rows_that_were_not_mended_are_set_aside_again_as_often_as_they_are_dropped(
    blobdrop: Blobdrop,
) -> None:
    blobdrop.drop("day.csv", text.good(10) + b"bad,USER_ID,revenue,2026-03-02,1\nshort,user_id,revenue\n")
    blobdrop.once(code=1)
    first = blobdrop.rejected("day.csv")
    for go in range(2):
        before = "day.csv" if go == 0 else "again0.csv"
        blobdrop.drop(f"again{go}.csv", (blobdrop.entry(before) / "rejected.csv").read_bytes() + b"\n" * go)
        blobdrop.once(code=1)
        again = blobdrop.rejected(f"again{go}.csv")

        assert [record["unit_id"] for record in again] == [record["unit_id"] for record in first]
        assert ["id_type" in record["_problems"] for record in again] == [True, False]
        # In words of this file, which has two columns more.
        assert "found 5 fields, expected 7 fields" in again[1]["_problems"]
    assert blobdrop.table().num_rows == 10


def test_mended_rows_of_an_ndjson_file_come_back_as_csv(blobdrop: Blobdrop) -> None:
    rows = [files.row(f"json{n}") for n in range(6)]
    wrong = [files.row('says "hi", he does', id_type="nobody"), files.row("line\nbreak", id_type="nobody")]
    blobdrop.drop("day.ndjson", files.ndjson(*rows, *wrong))
    blobdrop.once(code=1)
    blobdrop.drop("day mended.csv", mended(blobdrop.entry("day.ndjson") / "rejected.csv", id_type))
    blobdrop.once(code=0)

    assert units(blobdrop) == sorted([*(row["unit_id"] for row in rows), *(row["unit_id"] for row in wrong)])
    blobdrop.assert_every_row_is_in_one_place()


def test_mended_rows_of_a_feed_in_windows_1252_keep_their_letters(blobdrop: Blobdrop) -> None:
    blobdrop.configure(
        '[[feeds]]\nname = "metrics"\npaths = ["metrics/**"]\n'
        'contract = "validators.metrics:precomputed_metrics"\n'
        'dialect = { delimiter = ";", encoding = "windows-1252" }\n'
    )
    lines = text.good(10).replace(b",", b";") + "Müller €;USER_ID;Größe;2026-03-02;1\n".encode("cp1252")
    blobdrop.drop("day.csv", lines)
    blobdrop.once(code=1)
    rejected = blobdrop.entry("day.csv") / "rejected.csv"
    blobdrop.drop(
        "day mended.csv", mended(rejected, id_type, delimiter=";").replace(b"unit_id", b"\xef\xbb\xbfunit_id", 1)
    )
    blobdrop.drop("straight.csv", rejected.read_bytes().replace(b"USER_ID", b"stable_id", 1))
    blobdrop.once(code=0)

    table = blobdrop.table()
    assert [unit for unit in table["unit_id"].to_pylist() if unit.startswith("M")] == ["Müller €"] * 2
    assert table["metric_name"].to_pylist().count("Größe") == 2


@pytest.mark.parametrize("suffix", ["csv", "ndjson"])
def test_formulas_do_not_come_alive_in_a_spreadsheet_and_survive_being_dropped_back(
    blobdrop: Blobdrop, suffix: str
) -> None:
    if suffix == "csv":
        into = io.StringIO()
        csv.writer(into, lineterminator="\n").writerows(
            [formula, "USER_ID", "-12", "2026-03-02", "-1.5"] for formula in FORMULAS
        )
        data = text.good(20) + into.getvalue().encode()
    else:
        wrong = [files.row(formula, id_type="USER_ID", metric_name="-12", metric_value=-1.5) for formula in FORMULAS]
        data = files.ndjson(*(files.row(f"u{n}") for n in range(20)), *wrong)
    blobdrop.drop(f"day.{suffix}", data)
    blobdrop.once(code=1)
    rejected = blobdrop.entry(f"day.{suffix}") / "rejected.csv"
    kept = blobdrop.rejected(f"day.{suffix}")

    assert len(kept) == len(FORMULAS)
    assert all(record["unit_id"].startswith("'") for record in kept)
    assert {record["metric_value"] for record in kept} == {"-1.5"}
    blobdrop.drop("mended.csv", mended(rejected, id_type))
    blobdrop.once(code=0)
    assert units(blobdrop) == sorted([*(f"u{n}" for n in range(20)), *FORMULAS])
    assert set(blobdrop.table()["metric_name"].to_pylist()) == {"revenue", "-12"}


def test_a_rejected_file_is_mended_by_dropping_its_original_under_the_same_name(blobdrop: Blobdrop) -> None:
    blobdrop.drop("day.csv", text.header_missing())
    blobdrop.once(code=1)
    (original,) = blobdrop.originals("day.csv")
    blobdrop.drop("day.csv", text.HEADER + original.read_bytes())
    blobdrop.once(code=0)

    assert blobdrop.table().num_rows == 10
    assert blobdrop.states() == {"rejected": 1, "ingested": 1}


def test_a_report_is_json_with_every_field_that_others_read(blobdrop: Blobdrop) -> None:
    blobdrop.drop("day.csv", text.good(10) + b"bad,USER_ID,revenue,2026-03-02,1\n")
    blobdrop.once(code=1)
    report = json.loads((blobdrop.entry("day.csv") / "report.json").read_bytes())

    assert set(report["drop"]) >= {"id", "uri", "version", "size", "sha256"}
    assert set(report["contract"]) == {"name", "digest"}
    assert report["rows"] == {"read": 11, "accepted": 10, "rejected": 1}
    (problem,) = report["problems"]
    assert (problem["rule"], problem["column"], problem["count"]) == ("isin", "id_type", 1)
    assert "user_id" in problem["expected"]
    (sample,) = problem["sample"]
    assert (sample["row"], sample["line"], sample["value"]) == (11, 12, "USER_ID")
    assert "did you mean 'user_id'?" in sample["message"]
