"""A file's column names against a contract's."""

from __future__ import annotations

from typing import Any

import pandera.pandas as pandera
import pyarrow as pa
import pytest

from validators.contract import Contract
from validators.matching import ABSENT

FOREIGN = "none of them is known here: is the file for another feed?"


def contract(*, aliases: dict[str, str] | None = None, any_of: Any = (), **options: Any) -> Contract:
    columns = {
        "unit_id": pandera.Column(str),
        "amount": pandera.Column(float, nullable=True),
        "note": pandera.Column(str, required=False, unique=True),
    }
    return Contract.of(pandera.DataFrameSchema(columns, **options), aliases=aliases, any_of=any_of)


def problems(found: Any) -> list[tuple[str, str | None, str, str]]:
    assert all(each.whole_file and each.count == 1 for each in found.problems)
    return [(each.rule, each.column, each.expected, each.hint) for each in found.problems]


def test_columns_are_found_in_any_order_and_extra_ones_are_named() -> None:
    match = contract().match(["more", "amount", "unit_id"])
    assert match.problems == ()
    assert match.ignored == ("more",)
    assert [column.name for column in match.columns] == ["unit_id", "amount", "note"]
    assert match.schema.types == [pa.string(), pa.float64(), pa.string()]
    assert match.absent == {"note"}
    assert match.schema.field("note").metadata == ABSENT
    assert match.rules == ()


def test_columns_that_may_not_be_empty_are_filled_unless_records_may_leave_them_out() -> None:
    names = ["unit_id", "amount", "note"]
    assert contract().match(names).filled == {"unit_id", "note"}
    assert contract().match(names[:2]).filled == {"unit_id"}
    assert contract().match(names, final=False).filled == {"unit_id"}


@pytest.mark.parametrize("wrong", ["Unit_ID", " unit_id", "unit id", "unitid", "unit_idd"])
def test_a_missing_column_is_told_with_what_was_probably_meant(wrong: str) -> None:
    said = "the column 'unit_id' is missing"
    hint = f"the file has '{wrong}': did you mean 'unit_id'?"
    assert problems(contract().match([wrong, "amount"])) == [("missing_column", "unit_id", said, hint)]


def test_a_missing_column_without_anything_near_is_told_with_the_files_columns() -> None:
    assert problems(contract().match(["x", "amount"]))[0][3] == "the file's columns are x, amount"
    assert problems(contract().match([]))[0][3] == "the file names no columns"


def test_a_file_of_which_no_column_is_known_may_be_for_another_feed() -> None:
    hint = "the file's columns are x, y; none of them is known here: is the file for another feed?"
    assert problems(contract().match(["x", "y"]))[0][3] == hint


def test_the_files_columns_are_told_once_however_many_are_missing() -> None:
    made = contract(any_of=[("a", "b"), ("a", "c"), ("d", "e")])
    assert problems(made.match(["x", "Amount"])) == [
        (
            "missing_column",
            "unit_id",
            "the column 'unit_id' is missing",
            "the file's columns are x, Amount; " + FOREIGN,
        ),
        ("missing_column", "amount", "the column 'amount' is missing", "the file has 'Amount': did you mean 'amount'?"),
        ("missing_column", "a", "the column 'a' is missing, and so are 'b' and 'c', which would do instead", ""),
        ("missing_column", "d", "one of the columns 'd' or 'e' is missing", ""),
    ]
    made = contract(any_of=[("a", "note"), ("a", "c")])
    assert [each[2] for each in problems(made.match(["unit_id", "amount", "note"]))] == [
        "one of the columns 'a' or 'c' is missing"
    ]


@pytest.mark.parametrize(("header", "written"), [("unit_id;amount", ";"), ("unit_id\tamount", "\\t"), ("u|a", "|")])
def test_a_header_that_is_one_name_is_probably_separated_otherwise(header: str, written: str) -> None:
    shown = header.replace("\t", "\\t")
    hint = f"the file's only column is '{shown}': are its fields separated by {written}? "
    hint += f'Then set delimiter = "{written}" in the feed\'s dialect'
    assert problems(contract().match([header]))[0][3] == hint


@pytest.mark.parametrize("cell", ["12.5", "-3", "1,5", "2026-03-01", "2026-03-01T12:00:00Z"])
def test_column_names_that_look_like_cells_are_probably_a_row(cell: str) -> None:
    hint = f"the file's columns are u1, amount, {cell}: is its header line missing?"
    assert problems(contract().match(["u1", "amount", cell]))[0][3] == hint


def test_an_alias_counts_only_where_the_column_itself_is_missing() -> None:
    made = contract(aliases={"user_id": "unit_id"})
    assert made.match(["user_id", "amount"]).names == {"user_id": "unit_id", "amount": "amount"}
    both = made.match(["user_id", "unit_id", "amount"])
    assert (both.names, both.ignored) == ({"unit_id": "unit_id", "amount": "amount"}, ("user_id",))


def test_a_column_that_comes_twice_rejects_the_file() -> None:
    made = contract(aliases={"uid": "unit_id", "user": "unit_id"})
    twice = made.match(["unit_id", "amount", "unit_id"])
    said, what = "the column 'unit_id' is there 2 times", "leave one of them out, or rename it"
    assert problems(twice) == [("duplicate_column", "unit_id", said, what)]
    as_aliases = made.match(["uid", "amount", "user"])
    assert problems(as_aliases) == [("duplicate_column", "unit_id", f"{said}, as uid, user", what)]
    assert made.match(["unit_id", "amount", "x", "x"]).problems == ()
    strict = contract(unique_column_names=True).match(["unit_id", "amount", "x", "x"])
    assert [each[0] for each in problems(strict)] == ["duplicate_column"]


def test_an_unknown_column_rejects_the_file_where_the_contract_is_strict() -> None:
    found = contract(strict=True).match(["unit_id", "amount", "Note", "x"])
    assert problems(found) == [
        ("unknown_column", None, "the contract knows no column 'Note'", "did you mean 'note'?"),
        ("unknown_column", None, "the contract knows no column 'x'", "its columns are unit_id, amount, note"),
    ]
    assert contract(strict="filter").match(["unit_id", "amount", "x"]).problems == ()


def test_the_order_of_columns_counts_where_the_contract_says_so() -> None:
    assert contract(ordered=True).match(["x", "unit_id", "y", "amount"]).problems == ()
    said = "the columns must come in the order unit_id, amount"
    assert problems(contract(ordered=True).match(["amount", "unit_id"])) == [
        ("column_order", None, said, "in the file they come as amount, unit_id")
    ]


def test_one_of_several_columns_is_enough() -> None:
    made = contract(any_of=[("note", "remark")])
    assert made.match(["unit_id", "amount", "note"]).problems == ()
    said = "one of the columns 'note' or 'remark' is missing"
    assert problems(made.match(["unit_id", "amount", "Note"])) == [
        ("missing_column", "note", said, "the file has 'Note': did you mean 'note'?")
    ]


def test_regex_columns_get_their_real_names_and_rules() -> None:
    columns = {
        "n_.*": pandera.Column(int, pandera.Check.ge(0), regex=True),
        "m_.*": pandera.Column(int, regex=True, required=False),
        "id": pandera.Column(str),
    }
    made = Contract.of(pandera.DataFrameSchema(columns))
    match = made.match(["n_b", "id", "n_a", "xn_c"])
    assert [column.name for column in match.columns] == ["n_b", "n_a", "id"]
    assert [(rule.name, rule.column) for rule in match.rules] == [
        ("greater_than_or_equal_to", "n_b"),
        ("greater_than_or_equal_to", "n_a"),
    ]
    assert match.ignored == ("xn_c",)
    assert problems(made.match(["id"])) == [
        ("missing_column", None, "no column has a name that matches n_.*", "the file's columns are id")
    ]


def test_records_that_name_their_own_columns_miss_none_before_the_end() -> None:
    match = contract(strict=True).match(["amount", "x"], final=False)
    assert (match.problems, match.absent, match.named_by_record) == ((), frozenset(), True)
    assert [rule.name for rule in match.rules] == ["unique"]


def test_records_may_use_a_column_and_its_alias_side_by_side() -> None:
    match = contract(aliases={"user_id": "unit_id"}).match(["user_id", "amount", "unit_id"], final=False)
    table = pa.table(
        {"user_id": ["a", "b", None], "amount": ["1", "2", "3"], "unit_id": [None, "c", None], "x": [1, 2, 3]}
    )
    assert match.renamed(table).to_pydict() == {"unit_id": ["a", "c", None], "amount": ["1", "2", "3"]}
    typed = table.set_column(2, "unit_id", pa.array([None, 7, None], pa.int64()))
    assert match.renamed(typed)["unit_id"].to_pylist() == ["a", "7", None]
