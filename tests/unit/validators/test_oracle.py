"""Our masks against pandera's own: the same rows, columns and rules, for schemas as their users write them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import pandera.pandas as pandera
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from validators.checking import Checked, WholeDrop, check_rows
from validators.contract import Contract
from validators.rules import NOT_NULLABLE, UNIQUE

#: One thing found: what the check says of itself, the column if it is about cells, and the row; None for all rows.
Finding = tuple[str, str | None, int | None]

NUMBERS = st.lists(st.integers(-3, 4), min_size=8, max_size=8)
FLOATS = st.lists(st.one_of(st.none(), st.sampled_from([-1.5, -0.0, 0.0, 0.5, 2.0, 100.0])), min_size=8, max_size=8)
WORDS = st.lists(st.sampled_from(["a", "b", "ab", "abc", "B", " a", "é"]), min_size=8, max_size=8)
MAYBE_WORDS = st.lists(st.one_of(st.none(), st.sampled_from(["a", "b", "ab", ""])), min_size=8, max_size=8)
MOMENTS = st.lists(st.sampled_from(["2026-03-01", "2026-03-02T12:30:00", "1999-12-31"]), min_size=8, max_size=8)


def frame(values: Mapping[str, list[Any]], rows: int) -> pd.DataFrame:
    """Make a frame of exactly the dtypes that the schemas below declare."""
    dtypes = {"n": "int64", "m": "Int64", "x": "float64", "y": "float64", "s": "str", "w": "str", "t": "datetime64[ns]"}
    columns = {name: pd.Series(cells[:rows], dtype=dtypes[name]) for name, cells in values.items() if name != "c"}
    columns["c"] = pd.Series(values["c"][:rows], dtype=CATEGORY)
    return pd.DataFrame(columns)


FRAMES = st.builds(
    frame,
    st.fixed_dictionaries(
        {
            "n": NUMBERS,
            "m": NUMBERS,
            "x": FLOATS,
            "y": FLOATS,
            "s": WORDS,
            "w": MAYBE_WORDS,
            "t": MOMENTS,
            "c": MAYBE_WORDS,
        }
    ),
    st.integers(0, 8),
)
CATEGORY = pd.CategoricalDtype(["a", "b", "ab", ""])


class Model(pandera.DataFrameModel):
    """A contract as users write it: fields, checks on columns and frames, a configuration."""

    n: int = pandera.Field(ge=-2, le=3, unique=True)
    m: pd.Int64Dtype = pandera.Field(isin=[0, 1, 2], nullable=True)
    x: float = pandera.Field(nullable=True, in_range={"min_value": 0, "max_value": 2, "include_max": False})
    s: str = pandera.Field(str_matches="^[a-z]+$", str_length={"max_value": 2})
    w: str = pandera.Field(nullable=True, ne="b")

    @pandera.check("n", name="even")
    def even(cls, numbers: pd.Series) -> pd.Series:  # noqa: N805 - pandera makes a class method of it
        return numbers % 2 == 0

    @pandera.check("x", "n")
    def below_mean(cls, numbers: pd.Series) -> pd.Series:  # noqa: N805 - as above
        return numbers <= numbers.mean()

    @pandera.check("s", element_wise=True)
    def short(cls, word: str) -> bool:  # noqa: N805 - as above
        return len(word) < 3

    @pandera.dataframe_check
    @classmethod
    def ordered(cls, rows: pd.DataFrame) -> pd.Series:
        return rows["n"] < rows["x"]

    class Config:
        """Two columns are unique together."""

        unique: ClassVar = ["n", "s"]


def column(dtype: Any, *checks: pandera.Check, **options: Any) -> pandera.Column:
    return pandera.Column(dtype, list(checks), **options)


def groups_agree(groups: dict[Any, pd.Series]) -> bool:
    return all(group.mean() < 3 for group in groups.values())


SCHEMAS: Mapping[str, Callable[[], pandera.DataFrameSchema]] = {
    "a model": Model.to_schema,
    "built-ins of every kind": lambda: pandera.DataFrameSchema(
        {
            "n": column(int, pandera.Check.gt(-2), pandera.Check.lt(4), pandera.Check.notin([1])),
            "x": column(float, pandera.Check.eq(0.0), nullable=False),
            "s": column(
                str, pandera.Check.str_startswith("a"), pandera.Check.str_endswith("b"), pandera.Check.str_contains("b")
            ),
            "t": column("datetime64[ns]", pandera.Check.ge(pd.Timestamp("2000-01-01"))),
            "c": column(CATEGORY, pandera.Check.isin(["a"]), nullable=True),
        }
    ),
    "missing values that are not ignored": lambda: pandera.DataFrameSchema(
        {
            "x": column(float, pandera.Check.ge(0, ignore_na=False), nullable=True),
            "w": column(str, pandera.Check.str_length(1, 2, ignore_na=False), nullable=True),
            "y": column(float, pandera.Check(lambda s: s.notna(), name="there", ignore_na=False)),
        },
        checks=pandera.Check(lambda rows: rows["x"] > rows["y"], name="more", ignore_na=False),
    ),
    "uniqueness, first and last": lambda: pandera.DataFrameSchema(
        {
            "n": column(int, unique=True, report_duplicates="exclude_first"),
            "x": column(float, unique=True, report_duplicates="exclude_last", nullable=True),
            "w": column(str, unique=True, nullable=True),
            "c": column(CATEGORY, unique=True, nullable=True),
            "t": column("datetime64[ns]", unique=True),
        },
        unique=["x", "w"],
        report_duplicates="exclude_first",
    ),
    "checks over all rows": lambda: pandera.DataFrameSchema(
        {
            "n": column(
                int,
                pandera.Check(lambda s: s.sum() > 3, name="sum"),
                pandera.Check(lambda s: s.is_monotonic_increasing, name="up"),
            ),
            "x": column(float, pandera.Check(lambda s: s > s.mean(), name="above"), nullable=True),
            "s": column(str, pandera.Check.unique_values_eq({"a", "b"})),
            "y": column(float, pandera.Check(groups_agree, groupby="s"), nullable=True),
        },
        checks=[
            pandera.Check(lambda rows: len(rows) > 2, name="many"),
            pandera.Check(lambda rows: rows.groupby("s")["n"].transform("size") < 3, name="rare"),
            pandera.Check(lambda rows: rows.n + rows["x"].fillna(0) < 3, name="small"),
            pandera.Check(lambda rows: rows[["x", "y"]].sum(axis=1) < 3, name="sum of two"),
            pandera.Check(lambda rows: rows.select_dtypes("number").sum(axis=1) < 9, name="sum of all"),
        ],
    ),
    "row by row, and cell by cell": lambda: pandera.DataFrameSchema(
        {"n": column(int), "x": column(float, nullable=True), "y": column(float, nullable=True)},
        checks=[
            pandera.Check(lambda row: row["n"] < 3 and row.x != 0, name="row", element_wise=True),
            pandera.Check(lambda rows: rows < 2, name="cells"),
            pandera.Check.ne(2),
            pandera.Check(lambda rows: rows.x > 0, name="warned", raise_warning=True),
        ],
        coerce=False,
        strict="filter",
    ),
    "columns by pattern": lambda: pandera.DataFrameSchema(
        {
            "[xy]": column(
                float,
                pandera.Check.gt(0),
                pandera.Check(lambda s: s < s.max(), name="not most"),
                regex=True,
                nullable=True,
            ),
            "[sw]$": column(str, pandera.Check.str_length(max_value=1), regex=True, unique=True),
            "zz.*": column(int, regex=True, required=False),
            "absent": column(int, pandera.Check.ge(0), required=False),
        }
    ),
}


def theirs(schema: pandera.DataFrameSchema, data: pd.DataFrame) -> set[Finding]:
    """Return what pandera finds."""
    try:
        schema.validate(data, lazy=True)
    except pandera.errors.SchemaErrors as errors:
        return {each for case in errors.failure_cases.to_dict("records") for each in their_findings(case)}
    return set()


def their_findings(case: dict[str, Any]) -> list[Finding]:
    name, column, row, found = case["check"], case["column"], case["index"], case["failure_case"]
    if row is None or pd.isna(row):
        return [(name, None if case["schema_context"] == "DataFrameSchema" else column, None)]
    if isinstance(found, dict):
        return [(name, cell, int(row)) for cell in found]
    return [(name, None if case["schema_context"] == "DataFrameSchema" else column, int(row))]


def ours(contract: Contract, data: pd.DataFrame, batch: int = 100) -> set[Finding]:
    """Return what we find, batch by batch."""
    table = pa.Table.from_pandas(data, preserve_index=False)
    match = contract.match(table.column_names)
    assert not match.problems
    renamed, whole = match.renamed(table), WholeDrop(contract, 10**9)
    found: set[Finding] = set()
    for start in range(0, max(len(data), 1), batch):
        checked = check_rows(match, renamed.slice(start, batch))
        rows = np.arange(start, start + checked.typed.num_rows)
        whole.add(checked, rows)
        found |= row_findings(contract, checked, start)
    for hit in whole.finish():
        assert hit.rule != "check_error", hit.expected
        name = said(contract, hit.rule, hit.column)
        found |= {(name, hit.column, None)} if hit.whole_file else {(name, hit.column, int(row)) for row in hit.rows}
    return found


def row_findings(contract: Contract, checked: Checked, start: int) -> set[Finding]:
    return {
        (said(contract, hit.rule, hit.column), hit.column, start + int(row))
        for hit in checked.hits
        for row in np.flatnonzero(hit.failed)
    }


def said(contract: Contract, name: str, column: str | None) -> str:
    """Return what pandera calls our rule."""
    if name in (NOT_NULLABLE, UNIQUE):
        return {NOT_NULLABLE: NOT_NULLABLE, UNIQUE: "field_uniqueness" if column else "multiple_fields_uniqueness"}[
            name
        ]
    check = next(rule.check for rule in contract.rules if rule.name == name and rule.check)
    return str(check.error or check.name)


@pytest.mark.parametrize("name", SCHEMAS)
@settings(max_examples=8, deadline=None)
@given(data=FRAMES)
@pytest.mark.filterwarnings("ignore::pandera.errors.SchemaWarning")
def test_our_masks_are_those_of_pandera(name: str, data: pd.DataFrame) -> None:
    schema = SCHEMAS[name]()
    contract = Contract.of(schema)
    data = data[list(contract.match(list(data.columns)).names)]  # checks on all columns see declared ones only
    found = ours(contract, data)
    assert {each for each in found if listed(each, data, schema.unique)} == theirs(schema, data)


def listed(finding: Finding, data: pd.DataFrame, unique: list[str] | None) -> bool:
    """Tell whether pandera lists a finding: it refuses missing values that come twice, but shows no case of them."""
    name, column, row = finding
    columns = {"field_uniqueness": [column], "multiple_fields_uniqueness": unique or []}.get(name, [])
    return not columns or row is None or bool(data[columns].iloc[row].notna().any())


@pytest.mark.parametrize("name", SCHEMAS)
@settings(max_examples=3, deadline=None)
@given(data=FRAMES, batch=st.integers(1, 5))
def test_the_size_of_batches_changes_nothing(name: str, data: pd.DataFrame, batch: int) -> None:
    contract = Contract.of(SCHEMAS[name]())
    assert ours(contract, data, batch) == ours(contract, data)
