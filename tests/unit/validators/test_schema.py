"""What a pandera schema becomes: columns and rules in words; and what of it is refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pandas as pd
import pandera.pandas as pandera
import pytest
from pandera.typing import Index, Series

from validators.errors import ContractError
from validators.kinds import Kind
from validators.rules import Rule, Scope
from validators.schema import compile_schema, declared_row_wise


def compiled(columns: dict[Any, Any], **options: Any) -> Any:
    return compile_schema(pandera.DataFrameSchema(columns, **options))


def rules(*checks: Any, dtype: Any = float, **options: Any) -> tuple[Rule, ...]:
    found = compiled({"x": pandera.Column(dtype, list(checks), **options)}).rules
    assert isinstance(found, tuple)
    return found


def test_a_model_is_compiled_with_its_aliases_titles_and_settings() -> None:
    class Orders(pandera.DataFrameModel):
        amount: Series[float] = pandera.Field(
            ge=0, nullable=True, alias="Amount (EUR)", title="Amount", description="Gross."
        )
        day: Series[pandera.Date] = pandera.Field(coerce=True)
        note: Series[str] | None

        class Config:
            strict = True
            ordered = True
            unique_column_names = True
            drop_invalid_rows = False

    found = compile_schema(Orders.to_schema())
    assert (found.name, found.strict, found.ordered, found.unique_names) == ("Orders", True, True, True)
    assert [(each.name, each.type.kind, each.required, each.nullable) for each in found.columns] == [
        ("Amount (EUR)", Kind.FLOAT, True, True),
        ("day", Kind.DATE, True, False),
        ("note", Kind.STRING, False, False),
    ]
    assert (found.columns[0].title, found.columns[0].description) == ("Amount", "Gross.")


def test_a_dtype_of_the_whole_schema_is_that_of_each_column() -> None:
    found = compiled({"a": pandera.Column(), "b": pandera.Column(str)}, dtype=float)
    assert [column.type.kind for column in found.columns] == [Kind.FLOAT, Kind.FLOAT]


@pytest.mark.parametrize(
    ("check", "words"),
    [
        (pandera.Check.ge(0), "at least 0"),
        (pandera.Check.ge(pd.Timestamp("2026-03-01")), "at least 2026-03-01"),
        (pandera.Check.gt(0.5), "more than 0.5"),
        (pandera.Check.le(1e6), "at most 1000000"),
        (pandera.Check.lt(3), "less than 3"),
        (pandera.Check.eq("x"), "exactly x"),
        (pandera.Check.ne("x"), "anything but x"),
        (pandera.Check.in_range(1, 5), "between 1 and 5"),
        (pandera.Check.in_range(1, 5, include_min=False), "more than 1 and at most 5"),
        (pandera.Check.in_range(1, 5, include_max=False), "at least 1 and less than 5"),
        (pandera.Check.isin(["user_id", "stable_id"]), "one of user_id, stable_id"),
        (pandera.Check.isin({"b", "a"}), "one of a, b"),
        (pandera.Check.isin(range(30)), "one of " + ", ".join(map(str, range(20))) + " and 10 more"),
        (pandera.Check.notin([1]), "none of 1"),
        (pandera.Check.str_matches("^[a-z]+$"), "text that matches ^[a-z]+$"),
        (pandera.Check.str_contains("a"), "text that contains a"),
        (pandera.Check.str_startswith("a"), "text that starts with 'a'"),
        (pandera.Check.str_endswith("a"), "text that ends with 'a'"),
        (pandera.Check.str_length(1, 127), "between 1 and 127 characters"),
        (pandera.Check.str_length(min_value=1), "at least 1 character"),
        (pandera.Check.str_length(max_value=127), "at most 127 characters"),
        (pandera.Check.str_length(exact_value=2), "exactly 2 characters"),
        (pandera.Check.unique_values_eq({"b", "a"}), "each of a, b somewhere in the file, and nothing else"),
        (pandera.Check.ge(0, error="no debts"), "no debts"),
        (pandera.Check(lambda s: s > 0, error="more than nothing"), "more than nothing"),
        (pandera.Check(lambda s: s > 0, name="positive", description="A gain."), "A gain."),
        (pandera.Check(lambda s: s > 0, name="positive", title="Gain"), "Gain"),
        (pandera.Check(lambda s: s > 0, name="positive"), "the rule 'positive' to hold"),
        (pandera.Check(lambda s: s > 0), "the rule 'check' to hold"),
    ],
)
def test_a_check_says_in_plain_words_what_it_expects(check: Any, words: str) -> None:
    bounds = [value for value in (check.statistics or {}).values() if not isinstance(value, str | bool)]
    dtype = {int: float, float: float, pd.Timestamp: "datetime64[ns]"}.get(type(bounds[0]) if bounds else str, object)
    on_text = (check.name or "").startswith("str_")
    assert [rule.expected for rule in rules(check, dtype=object if on_text else dtype)] == [words]


def test_a_function_says_what_it_expects_by_its_first_line() -> None:
    def even(numbers: Any) -> Any:
        """An even number.

        Nothing else will do.
        """
        return numbers % 2 == 0

    assert [(rule.name, rule.expected) for rule in rules(pandera.Check(even))] == [("even", "An even number.")]


def test_rules_of_one_name_are_told_apart() -> None:
    found = rules(
        pandera.Check.ge(0), pandera.Check.ge(1), pandera.Check(lambda s: s > 0), pandera.Check(lambda s: s < 9)
    )
    assert [rule.name for rule in found] == [
        "greater_than_or_equal_to",
        "greater_than_or_equal_to_2",
        "check",
        "check_2",
    ]


@pytest.mark.parametrize(
    ("check", "scope"),
    [
        (pandera.Check.ge(0), Scope.ROW),
        (pandera.Check.ge(0, name="renamed"), Scope.ROW),
        (pandera.Check(lambda x: x > 0, element_wise=True), Scope.ROW),
        (pandera.Check(lambda s: s > 0), Scope.DROP),
        (pandera.Check.unique_values_eq([1]), Scope.DROP),
        (pandera.Check(lambda groups: True, groupby="x"), Scope.DROP),  # noqa: ARG005 - pandera calls it with groups
        (pandera.Hypothesis(lambda numbers: (numbers.mean(), 0.5), relationship=lambda *_: True), Scope.DROP),
    ],
)
def test_a_rule_is_judged_over_what_it_may_look_at(check: Any, scope: Scope) -> None:
    assert [rule.scope for rule in rules(check)] == [scope]


def test_a_check_that_only_warns_rejects_nothing() -> None:
    assert rules(pandera.Check.ge(0, raise_warning=True)) == ()


def test_the_columns_that_a_check_on_rows_reads_are_seen_beforehand() -> None:
    columns = {name: pandera.Column(float) for name in "abc"}
    checks: list[tuple[Callable[..., Any], tuple[str, ...] | None]] = [
        (lambda rows: rows["a"] < rows.b, ("a", "b")),
        (lambda rows: rows[["a", "c"]].sum(axis=1) > 0, ("a", "c")),
        (lambda rows: rows.loc[rows["a"] > 0, "b"] > 0, ("a", "b")),
        (lambda rows: rows.groupby("a")["b"].transform("sum") > 0, ("a", "b")),
        (lambda rows: rows.get("a") > 0, ("a",)),
        (lambda rows: rows.sum(axis=1) > 0, None),
        (lambda rows: rows > 0, None),
        (lambda rows: len(rows) > 3, ()),
    ]
    for check, read in checks:
        assert [rule.columns for rule in compiled(columns, checks=pandera.Check(check)).rules] == [read]


def test_rules_of_ones_own_can_be_declared_to_look_at_single_rows() -> None:
    found = rules(
        pandera.Check(lambda s: s > 0, name="own"),
        pandera.Check(lambda s: s > 1, name="other"),
        pandera.Check.unique_values_eq([1]),
        unique=True,
    )
    by_name = {rule.name: rule.scope for rule in declared_row_wise(found, ["own"])}
    assert by_name == {"unique": Scope.UNIQUE, "own": Scope.ROW, "other": Scope.DROP, "unique_values_eq": Scope.DROP}
    every = {rule.name: rule.scope for rule in declared_row_wise(found, ["*"])}
    assert every == {"unique": Scope.UNIQUE, "own": Scope.ROW, "other": Scope.ROW, "unique_values_eq": Scope.DROP}
    with pytest.raises(
        ContractError, match="row_wise names 'onw', which is no rule on single rows; did you mean 'own'"
    ):
        declared_row_wise(found, ["onw"])
    with pytest.raises(ContractError, match="such rules are other, own"):
        declared_row_wise(found, ["unique_values_eq"])


class Indexed(pandera.DataFrameModel):
    a: Series[int]
    index: Index[int]


class Parsed(pandera.DataFrameModel):
    a: Series[str]

    @pandera.parser("a")
    def stripped(cls, texts: pd.Series) -> pd.Series:  # noqa: N805 - pandera makes a class method of it
        return texts.str.strip()


@pytest.mark.parametrize(
    ("schema", "words"),
    [
        (Indexed.to_schema, "it declares an index, and files have none. Declare a column"),
        (Parsed.to_schema, "column 'a' has a parser, which would change values"),
        (
            lambda: pandera.DataFrameSchema({"a": pandera.Column(int)}, parsers=pandera.Parser(abs)),
            "the schema has a parser",
        ),
        (lambda: pandera.DataFrameSchema({"a": pandera.Column(int, default=0)}), "column 'a' has default=0"),
        (
            lambda: pandera.DataFrameSchema({"a": pandera.Column(int, nullable=True)}, add_missing_columns=True),
            "add_missing_columns would put values",
        ),
        (lambda: pandera.DataFrameSchema({}), "it declares no columns"),
        (
            lambda: pandera.DataFrameSchema({("a", "b"): pandera.Column(int)}),
            "column ('a', 'b'): a file's columns are named",
        ),
        (lambda: pandera.DataFrameSchema({1: pandera.Column(int)}), "column 1: a file's columns are named by text"),
        (
            lambda: pandera.DataFrameSchema({"a(": pandera.Column(int, regex=True)}),
            "column 'a(' is not a regular expression",
        ),
        (
            lambda: pandera.DataFrameSchema({"a": pandera.Column("timedelta64[ns]")}),
            "column 'a': dtype timedelta64[ns]",
        ),
        (
            lambda: pandera.DataFrameSchema({"amount": pandera.Column(int)}, unique=["amuont"]),
            "unique names 'amuont', which is none of its columns; did you mean 'amount'?",
        ),
    ],
)
def test_what_cannot_be_honoured_is_refused_with_what_to_do(schema: Callable[[], Any], words: str) -> None:
    with pytest.raises(ContractError) as caught:
        compile_schema(schema())
    assert words in str(caught.value)
