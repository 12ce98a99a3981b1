"""A drop's rejected rows judged again: by today's contract, under their own numbers, without rules that are waived."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from daemon.contracts import contract_of
from daemon.decisions import Action
from daemon.errors import DecisionError
from daemon.model import Dialect
from daemon.quarantine import read_report
from daemon.reviewing import refuse_unwaivable
from tests.corpus import files
from tests.unit.daemon.decided import MIXED, Desk, orders

Rows = Sequence[dict[str, Any]]


@pytest.fixture
def desk_of(tmp_path: Path) -> Iterator[Callable[..., Desk]]:
    """Make a daemon; keywords change its feed."""
    made: list[Desk] = []

    def make(**feed: Any) -> Desk:
        made.append(Desk(tmp_path, **feed))
        return made[-1]

    yield make
    for desk in made:
        desk.rig.close()


@pytest.fixture
def desk(desk_of: Callable[..., Desk]) -> Desk:
    return desk_of()


# ---------------------------------------------------------------- PARTIAL DROPS


def test_rows_keep_the_numbers_and_lines_of_the_dropped_file_however_often_they_are_judged(desk: Desk) -> None:
    drop = desk.take_in("a.csv", MIXED)
    before = {line.split(",")[0]: line for line in desk.kept(drop)}
    desk.judge_by()
    desk.decide(drop)
    desk.decide(drop, Action.WAIVE, "greater_than_or_equal_to")

    assert desk.names() == ["both", "none", "us"]
    assert {row for row in desk.table("order_id", "_row") if row[0] == "both"} == {("both", 13)}
    assert {line.split(",")[0]: line for line in desk.kept(drop)} == {
        name: before[name] for name in ("type", "twin", "short")
    }
    samples = {
        problem.rule: [(sample.row, sample.line) for sample in problem.sample]
        for problem in read_report(desk.entry(drop)).problems
    }
    assert samples == {"type": [(14, 15)], "unique": [(15, 16), (16, 17)], "field_count": [(17, 18)]}


def test_a_review_that_moves_nothing_changes_nothing_and_says_why(desk: Desk) -> None:
    drop = desk.take_in("a.csv", MIXED)
    before = {path.name: path.read_bytes() for path in desk.entry(drop).iterdir()}
    done = desk.decide(drop)

    assert (done.state, done.rows_accepted) == ("done", 0)
    assert done.note.startswith("no row passes (quantity: greater_than_or_equal_to; country: isin; order_id: unique; ")
    assert {path.name: path.read_bytes() for path in desk.entry(drop).iterdir()} == before


def test_when_nothing_stays_the_entry_keeps_its_report_with_what_was_decided(desk: Desk) -> None:
    drop = desk.take_in("a.csv", orders("1,DE,1", "us,US,2"))
    desk.judge_by()
    desk.decide(drop)

    assert desk.counts(drop) == ("ingested", 2, 2, 0)
    assert sorted(path.name for path in desk.entry(drop).iterdir()) == ["report.html", "report.json"]
    report = read_report(desk.entry(drop))
    assert (report.state, report.problems, report.rows.accepted) == ("ingested", (), 2)
    assert report.notes[-1].startswith("1 row released by tester on 2026-03-01")


@pytest.mark.parametrize("waived", [False, True])
def test_a_key_that_another_row_of_the_table_has_stays_out_unless_the_rule_is_waived(desk: Desk, waived: bool) -> None:
    (desk._folder / "first.py").write_text(
        "import pandera.pandas as pa\n"
        "columns = {'order_id': pa.Column(str), 'quantity': pa.Column(int)}\n"
        "Orders = pa.DataFrameSchema(columns, unique=['order_id'], report_duplicates='exclude_first')\n"
    )
    desk.rig.close()
    desk.rig.feed = type(desk.rig.feed)(**{**vars(desk.rig.feed), "contract": "first.py:Orders"})
    desk.rig.start()
    drop = desk.take_in("a.csv", b"order_id,quantity\nx,1\ny,1\nz,1\nx,2\n")
    assert [line.split(",")[0] for line in desk.kept(drop)] == ["x"]
    # By itself the second x has no twin among the rows that are judged again.
    done = desk.decide(drop, *((Action.WAIVE, "unique") if waived else (Action.RELEASE,)))

    assert done.rows_accepted == int(waived)
    assert desk.counts(drop) == ("ingested", 4, 4, 0) if waived else ("partial", 4, 3, 1)


def test_a_rule_over_the_whole_file_that_the_contract_has_no_more_holds_no_row_back(desk: Desk) -> None:
    drop = desk.take_in("a.csv", orders("1,DE,1", "2,DE,1", "twin,DE,1", "twin,DE,2"))
    path = desk._folder / "loose.py"
    path.write_text(
        "import pandera.pandas as pa\n"
        "class Orders(pa.DataFrameModel):\n"
        "    order_id: str\n    country: str\n    quantity: int\n"
    )
    desk.rig.close()
    desk.rig.feed = type(desk.rig.feed)(**{**vars(desk.rig.feed), "contract": "loose.py:Orders"})
    desk.rig.start()

    assert desk.decide(drop).rows_accepted == 2
    assert desk.counts(drop) == ("ingested", 4, 4, 0)


def as_ndjson(rows: Rows) -> bytes:
    return "".join(json.dumps(row) + "\n" for row in rows).encode() + b'{"order_id": "cut\n'


def as_parquet(rows: Rows) -> bytes:
    into = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(list(rows)), into)
    return into.getvalue()


def as_excel(rows: Rows) -> bytes:
    return files.workbook(tuple(rows[0]), *(tuple(row.values()) for row in rows))


@pytest.mark.parametrize(("suffix", "written"), [("ndjson", as_ndjson), ("parquet", as_parquet), ("xlsx", as_excel)])
def test_rows_of_typed_files_are_released_and_waived_too(
    desk: Desk, suffix: str, written: Callable[[Rows], bytes]
) -> None:
    rows = [{"order_id": f"{number}", "country": "DE", "quantity": 3} for number in range(8)]
    rows.append({"order_id": '@us "x",\ny', "country": "US", "quantity": 2})
    rows.append({"order_id": "z", "country": "DE", "quantity": 0})
    drop = desk.take_in(f"a.{suffix}", written(rows))
    broken = int(suffix == "ndjson")
    assert desk.row(drop).rows.rejected == 2 + broken
    desk.judge_by()
    assert desk.decide(drop).rows_accepted == 1
    desk.decide(drop, Action.WAIVE, "greater_than_or_equal_to")

    found = set(desk.table("order_id", "_row", "_waived"))
    assert {("z", 10, "greater_than_or_equal_to"), ('@us "x",\ny', 9, None)} <= found
    row = desk.row(drop)
    assert (row.rows.read, row.rows.rejected) == (10 + broken, broken)
    assert [problem.rule for problem in read_report(desk.entry(drop)).problems] == ["invalid_json"] * broken


@pytest.mark.parametrize(
    "dialect",
    [
        Dialect(delimiter=";", encoding="windows-1252"),
        Dialect(header=False, columns=("order_id", "country", "quantity")),
        Dialect(quote="'"),
        Dialect(null_tokens=("", "NA")),
    ],
    ids=["windows-1252", "headless", "apostrophes", "null tokens"],
)
def test_rows_are_read_back_as_they_were_written_whatever_the_dialect(
    desk_of: Callable[..., Desk], dialect: Dialect
) -> None:
    desk = desk_of(dialect=dialect)
    q = dialect.quote
    header = "" if dialect.columns else "order_id,country,quantity\n"
    text = header + f"1,DE,1\n2,DE,1\n3,DE,1\n{q}Müller, {q}{q}x{q}{q}{q},US,1\nNA-,US,2\n,US,3\n"
    drop = desk.take_in("a.csv", text.replace(",", dialect.delimiter).encode(dialect.encoding))
    assert desk.counts(drop)[3] == 3
    desk.judge_by()
    desk.decide(drop)

    comma = ";" if dialect.delimiter == ";" else ","
    assert {name for (name,) in desk.table("order_id")} == {"1", "2", "3", f"Müller{comma} {q}x{q}", "NA-"}
    assert len(desk.kept(drop)) == 1


def test_records_that_are_not_well_formed_stay_as_they_were(desk: Desk) -> None:
    data = (
        orders(*(f"{n},DE,1" for n in range(9)), "us,US,1") + b'short\nlong,DE,1,2\nnul\0,DE,1\nx,DE,\xff\n"open,DE,1\n'
    )
    drop = desk.take_in("a.csv", data)
    before = desk.kept(drop)
    rules = {problem.rule: problem.sample for problem in read_report(desk.entry(drop)).problems}
    desk.judge_by()
    assert desk.decide(drop).rows_accepted == 1

    assert desk.kept(drop) == before[1:]
    after = {problem.rule: problem.sample for problem in read_report(desk.entry(drop)).problems}
    assert after == {rule: sample for rule, sample in rules.items() if rule != "isin"}


# ---------------------------------------------------------------- REJECTED DROPS


def test_a_file_that_was_rejected_as_a_whole_is_judged_again_without_its_budget(desk: Desk) -> None:
    drop = desk.take_in("a.csv", orders("1,US,1", "2,US,1", "3,US,0", "4,DE,1"))
    assert desk.counts(drop) == ("rejected", 4, 0, 4)
    desk.judge_by()
    desk.decide(drop)

    assert desk.counts(drop) == ("partial", 4, 3, 1)
    assert sorted(path.name for path in desk.entry(drop).iterdir()) == [
        "origins.parquet",
        "rejected.csv",
        "report.html",
        "report.json",
    ]
    desk.decide(drop, Action.WAIVE, "greater_than_or_equal_to")
    assert desk.counts(drop) == ("ingested", 4, 4, 0)


def test_a_file_that_still_cannot_be_trusted_stays_rejected(desk: Desk) -> None:
    drop = desk.take_in("a.csv", b"order_id,country\n1,DE\n")
    done = desk.decide(drop)

    assert (done.state, done.rows_accepted) == ("done", 0)
    assert "the column 'quantity' is missing" in done.note
    assert desk.counts(drop) == ("rejected", 1, 0, 1)
    assert (desk.entry(drop) / "a.csv").exists()


# ---------------------------------------------------------------- WAIVED RULES


def test_rows_whose_only_problems_are_waived_are_marked_with_them(desk: Desk) -> None:
    drop = desk.take_in("a.csv", MIXED)
    desk.decide(drop, Action.WAIVE, "isin")
    desk.decide(drop, Action.WAIVE, "isin", "unique", "greater_than_or_equal_to", "type", "field_count")

    marked = {name: waived for name, waived in desk.table("order_id", "_waived") if waived}
    both = "greater_than_or_equal_to, isin"
    assert marked == {"us": "isin", "none": "greater_than_or_equal_to", "both": both, "twin": "unique"}
    assert desk.counts(drop) == ("partial", 17, 15, 2)
    assert read_report(desk.entry(drop)).notes[-1].startswith("4 rows waived (isin, unique, ")


def test_rules_that_cannot_be_waived_are_refused_with_those_that_can(desk: Desk) -> None:
    contract = contract_of(desk.rig.feed)
    refuse_unwaivable(["isin", "unique"], contract, ["isin"])
    with pytest.raises(DecisionError, match=r"'type' cannot be waived: .*; isin can be waived"):
        refuse_unwaivable(["isin", "type"], contract, ["isin", "type"])
    with pytest.raises(DecisionError, match=r"'field_count' cannot be waived: .*; none of this drop's rules can"):
        refuse_unwaivable(["field_count"], contract, ["field_count"])
    with pytest.raises(DecisionError, match=r"there is no rule 'isn'; did you mean 'isin'\?"):
        refuse_unwaivable(["isn"], contract, ["isin"])


# ---------------------------------------------------------------- ENTRIES


@pytest.mark.parametrize(
    ("data", "name", "says"),
    [
        (MIXED, "rejected.csv", r"rejected\.csv has been edited; drop it as a file instead"),
        (MIXED, "origins.parquet", r"origins\.parquet is damaged .*; drop .*rejected\.csv as a file instead"),
        (orders("1,US,1"), "a.csv", r"a\.csv has been edited; drop it as a file instead"),
    ],
)
def test_an_entry_that_was_changed_is_refused(desk: Desk, data: bytes, name: str, says: str) -> None:
    drop = desk.take_in("a.csv", data)
    path = desk.entry(drop) / name
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    desk.judge_by()
    decision = desk.decide(drop)

    assert decision.state == "refused"
    assert re.search(says, decision.note)
    assert desk.names() == []


@pytest.mark.parametrize(
    ("data", "name"), [(MIXED, "rejected.csv"), (MIXED, "origins.parquet"), (orders("1,US,1"), "a.csv")]
)
def test_an_entry_that_lacks_a_file_is_refused_with_its_name(desk: Desk, data: bytes, name: str) -> None:
    drop = desk.take_in("a.csv", data)
    (desk.entry(drop) / name).unlink()
    decision = desk.decide(drop)

    assert decision.state == "refused"
    assert f"has no {name}, so it cannot be judged" in decision.note


def test_an_entry_that_is_gone_or_an_older_one_is_refused(desk: Desk) -> None:
    gone, older = desk.take_in("a.csv", MIXED), desk.take_in("b.csv", MIXED + b"b,DE,1\n")
    kept = {path.name: path.read_bytes() for path in desk.entry(older).iterdir()}
    desk.judge_by()
    desk.rig.quarantine.remove(gone.customer, gone.feed, gone.id)
    assert "is gone" in desk.decide(gone).note
    desk.decide(older)
    for name, data in kept.items():
        (desk.entry(older) / name).write_bytes(data)
    decision = desk.decide(older)

    assert decision.state == "refused"
    assert "has 7 rows, and the ledger says that 6 were set aside" in decision.note
    assert desk.names().count("us") == 1
