"""What a contract adds to a schema: a time column, a key, names in the table, days, and a digest."""

from __future__ import annotations

import datetime as dt
import subprocess
import sys
from typing import Any

import pandas as pd
import pandera.pandas as pandera
import pyarrow as pa
import pytest

from validators.checking import check_rows
from validators.contract import Contract, load_contract
from validators.errors import ContractError


def schema(**columns: Any) -> pandera.DataFrameSchema:
    return pandera.DataFrameSchema({name: pandera.Column(dtype) for name, dtype in columns.items()})


def refusal(made: Any, **options: Any) -> str:
    with pytest.raises(ContractError) as caught:
        load_contract(made, **options)
    return str(caught.value)


@pytest.mark.parametrize("what", ["time_column", "key"])
def test_a_name_that_is_no_column_is_refused_with_what_was_meant(what: str) -> None:
    wrong = {what: "ordered_at" if what == "time_column" else ["ordered_at"]}
    said = refusal(schema(order_at="datetime64[ns]", n=int), **wrong)
    assert said == f"{what} names 'ordered_at', which is none of its columns; did you mean 'order_at'?"
    said = refusal(schema(n=int), **wrong)
    assert said == f"{what} names 'ordered_at', which is none of its columns; they are n"


def test_a_column_that_gives_no_day_cannot_be_the_time_column() -> None:
    assert "time_column names 'n', which is declared as float. Declare it as a date" in refusal(
        schema(n=float), time_column="n"
    )


@pytest.mark.parametrize("name", ["_drop", "_row", "_ingested_at", "_waived", "_line", "_problems", "_Row"])
def test_names_that_the_tables_need_are_refused(name: str) -> None:
    assert f"column '{name}' has a name that blobdrop's tables and quarantine files use" in refusal(
        schema(**{name: int})
    )


def test_columns_that_differ_only_in_case_are_refused() -> None:
    assert "columns 'a' and 'A' differ only in case" in refusal(schema(a=int, A=int))


def test_other_underscored_names_are_nobodys() -> None:
    assert load_contract(schema(_id=int)).stored_name("_id") == "_id"


def test_columns_that_share_a_name_with_the_tables_own_are_stored_under_another() -> None:
    plain = load_contract(schema(customer=str, Date=str, n=int, customer_=str))
    assert [plain.stored_name(name) for name in ("customer", "Date", "n")] == ["customer__", "Date_", "n"]
    day = load_contract(schema(date=pandera.Date), time_column="date")
    assert day.stored_name("date") == "date"
    moment = load_contract(schema(date="datetime64[ns]"), time_column="date")
    assert moment.stored_name("date") == "date_"
    beside = load_contract(schema(date=pandera.Date, at="datetime64[ns]"), time_column="at")
    assert beside.stored_name("date") == "date_"


def test_a_row_needs_a_value_in_the_one_time_column() -> None:
    made = pandera.DataFrameSchema(
        {"at": pandera.Column("datetime64[ns]", nullable=True, required=False), "n": pandera.Column(int)}
    )
    contract = load_contract(made, time_column="at")
    assert [problem.rule for problem in contract.match(["n"]).problems] == ["missing_column"]
    hits = check_rows(contract.match(["n", "at"]), pa.table({"n": ["1"], "at": pa.array([None], pa.string())})).hits
    assert [(hit.rule, hit.column) for hit in hits] == [("not_nullable", "at")]


def test_whole_numbers_in_a_time_column_must_be_unix_seconds() -> None:
    contract = load_contract(schema(at=int), time_column="at")
    table = pa.table({"at": ["1647975283", "1647975283000", "-62135596801", "-1"]})
    (hit,) = check_rows(contract.match(["at"]), table).hits
    assert (hit.rule, hit.column, hit.expected) == ("unix_seconds", "at", "unix seconds such as 1647975283")
    assert hit.hint.startswith("looks like milliseconds: divide by 1000 (16 digits are microseconds")
    assert hit.failed.tolist() == [False, True, True, False]


def test_whole_numbers_in_a_time_column_may_be_unix_milliseconds() -> None:
    contract = load_contract(schema(at=int), time_column="at", time_unit="ms")
    table = pa.table({"at": ["1647975283000", "1647975283", "1647975283000000", "-1"]})
    (hit,) = check_rows(contract.match(["at"]), table).hits
    assert (hit.rule, hit.expected) == ("unix_milliseconds", "unix milliseconds such as 1647975283000")
    assert hit.hint == "seconds have 10 digits: multiply them by 1000"
    assert hit.failed.tolist() == [False, True, True, True]
    assert days(contract, "Etc/GMT+8", at=["1647935999999", "1647936000000"]) == [
        dt.date(2022, 3, 21),
        dt.date(2022, 3, 22),
    ]
    assert contract.digest != load_contract(schema(at=int), time_column="at").digest
    assert load_contract(schema(at=int), time_column="at", time_unit="s") == load_contract(
        schema(at=int), time_column="at"
    )


@pytest.mark.parametrize("reference", ["validators.events:raw_events", "validators.metrics:precomputed_metrics"])
def test_contracts_of_the_house_may_have_milliseconds_too(reference: str) -> None:
    contract = load_contract(reference, time_unit="ms")
    rules = [rule.name for rule in contract.rules if rule.column == "timestamp"]
    assert "unix_milliseconds" in rules
    assert "unix_seconds" not in rules


def test_other_units_of_time_are_refused() -> None:
    with pytest.raises(ContractError, match="time_unit is 'us'; give s or ms"):
        load_contract(schema(at=int), time_column="at", time_unit="us")


def days(contract: Contract, zone: str, **columns: Any) -> list[Any]:
    table = pa.table({name: pa.array(cells) for name, cells in columns.items()})
    typed = check_rows(contract.match(table.column_names), table).typed
    found = contract.days(typed, zone)
    assert found is not None
    assert found.type == pa.date32()
    values: list[Any] = found.to_pylist()
    return values


def test_the_day_of_a_row_is_that_of_the_feeds_zone() -> None:
    day = dt.date(2026, 3, 1)
    assert days(load_contract(schema(d=pandera.Date), time_column="d"), "Etc/GMT+8", d=["2026-03-01"]) == [day]
    assert days(load_contract(schema(t="datetime64[ns]"), time_column="t"), "Etc/GMT+8", t=["2026-03-01T23:59:59"]) == [
        day
    ]
    aware = load_contract(schema(t="datetime64[ns, UTC]"), time_column="t")
    moments = ["2026-03-02T07:59:59Z", "2026-03-02T08:00:00Z", "2026-03-02T01:00:00+05:00"]
    assert days(aware, "Etc/GMT+8", t=moments) == [day, dt.date(2026, 3, 2), day]
    seconds = load_contract(schema(t=int), time_column="t")
    assert days(seconds, "Etc/GMT+8", t=["1647975283", "1647935999", "1647936000"]) == [
        dt.date(2022, 3, 22),
        dt.date(2022, 3, 21),
        dt.date(2022, 3, 22),
    ]


def test_a_contract_without_a_time_column_gives_no_days() -> None:
    assert load_contract(schema(n=int)).days(pa.table({"n": [1]}), "UTC") is None


def test_the_second_time_column_counts_where_the_first_has_no_value() -> None:
    columns = {"d": pandera.Column(pandera.Date, nullable=True), "t": pandera.Column("Int64", nullable=True)}
    contract = Contract.of(pandera.DataFrameSchema(columns), time_column=("d", "t"))
    found = days(contract, "UTC", d=["2026-03-01", None, None], t=["0", "86400", None])
    assert found == [dt.date(2026, 3, 1), dt.date(1970, 1, 2), None]


PROGRAM = """
import pandera.pandas as pa
from validators.contract import load_contract
schema = pa.DataFrameSchema(
    {"a": pa.Column(int, [pa.Check(lambda s: s.isin({"x", "y", "z"}), name="own"), pa.Check.isin({"k", "l", "m"})])},
    checks=pa.Check(lambda rows: rows["a"] > 0, name="rows"),
)
metrics = load_contract("validators.metrics:precomputed_metrics", options={"id_types": ["u"]})
print(load_contract(schema).digest, metrics.digest)
"""


def test_the_digest_is_the_same_in_every_process() -> None:
    said = {
        subprocess.run(
            [sys.executable, "-c", PROGRAM],
            env={"PYTHONHASHSEED": seed, "PYTHONPATH": ":".join(sys.path)},
            capture_output=True,
            check=True,
            text=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(said) == 1
    assert [len(digest) for digest in said.pop().split()] == [64, 64]


def test_the_digest_changes_with_everything_that_decides_a_verdict() -> None:
    def made(least: int = 0, above: int = 0, **options: Any) -> str:
        checks = [pandera.Check.ge(least), pandera.Check(lambda s: s > above)]
        columns = {
            "a": pandera.Column(int, checks),
            "t": pandera.Column("datetime64[ns]", nullable=options.pop("nullable", False)),
        }
        return load_contract(pandera.DataFrameSchema(columns), **options).digest

    variants: list[dict[str, Any]] = [
        {},
        {"least": 1},
        {"nullable": True},
        {"time_column": "t"},
        {"key": ["a"]},
        {"row_wise": ["check"]},
    ]
    assert len({made(**variant) for variant in variants}) == len(variants)
    assert made() == made()
    assert load_contract(
        pandera.DataFrameSchema({"a": pandera.Column(int, pandera.Check(lambda s: s > 0))})
    ).digest != (
        load_contract(pandera.DataFrameSchema({"a": pandera.Column(int, pandera.Check(lambda s: s >= 0))})).digest
    )


def test_the_digest_changes_with_the_text_of_the_file(tmp_path: Any) -> None:
    path = tmp_path / "orders.py"
    digests = set()
    for limit in (1, 2):
        rule = "pa.Check(lambda s: s > LIMIT)"
        schema_text = f"schema = pa.DataFrameSchema({{'a': pa.Column(int, {rule})}})"
        path.write_text(f"import pandera.pandas as pa\nLIMIT = {limit}\n{schema_text}")
        digests.add(load_contract(f"{path}:schema").digest)
    assert len(digests) == 2


def test_a_contract_at_hand_takes_what_a_feed_says_beside_it() -> None:
    check = pandera.Check(lambda s: s > 0, name="own")
    contract = Contract.of(
        pandera.DataFrameSchema({"a": pandera.Column(int, check), "t": pandera.Column("datetime64[ns]")})
    )
    assert contract.has_whole_drop_rules
    changed = load_contract(contract, time_column="t", key=["a"], row_wise=["own"])
    assert (changed.time_column, changed.key, changed.has_whole_drop_rules) == ("t", ("a",), False)
    assert load_contract(changed).time_column == "t"


def test_the_rule_on_unix_seconds_is_there_once_however_often_a_contract_is_adjusted() -> None:
    contract = load_contract(load_contract(schema(t=int), time_column="t"), key=["t"])
    assert [rule.name for rule in contract.rules] == ["unix_seconds"]


def test_a_zone_that_does_not_exist_is_refused() -> None:
    contract = load_contract(schema(t=pd.DatetimeTZDtype("ns", "UTC")), time_column="t")
    with pytest.raises(ContractError, match="there is no time zone 'Mars/Olympus'"):
        days(contract, "Mars/Olympus", t=["2026-03-01T00:00:00Z"])
