"""A frame at hand is judged as a file's rows are, and comes back in two parts."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pandera.pandas as pandera
import pytest

from validators import check_file, check_frame
from validators.errors import ContractError
from validators.judging import Policy
from validators.model import Limits

SCHEMA = pandera.DataFrameSchema(
    {"n": pandera.Column("Int64", pandera.Check.ge(0), nullable=True), "w": pandera.Column(str, unique=True)}
)
PATIENT = Policy(max_rejected_ratio=1.0)
FRAME = pd.DataFrame({"n": ["1", "x", "-2", None], "w": ["a", "b", "c", "d"], "more": [1, 2, 3, 4]})


@pytest.mark.parametrize("batch_rows", [1, 3, 1000])
def test_good_and_rejected_rows_come_back_apart(batch_rows: int) -> None:
    checked = check_frame(FRAME, SCHEMA, policy=PATIENT, limits=Limits(batch_rows=batch_rows))
    assert checked.good["w"].tolist() == ["a", "d"]
    assert checked.good["n"].tolist()[0] == 1
    assert checked.good["n"].isna().tolist() == [False, True]
    assert "more" not in checked.good.columns
    pd.testing.assert_frame_equal(checked.rejected, FRAME.iloc[[1, 2]])
    rows = checked.verdict.rows
    assert (rows.read, rows.accepted, rows.rejected) == (4, 2, 2)
    assert checked.verdict.ignored_columns == ("more",)


def test_rejected_rows_keep_their_own_index_and_it_need_not_be_unique() -> None:
    frame = FRAME.set_axis([7, 7, 8, 8])
    checked = check_frame(frame, SCHEMA, policy=PATIENT)
    assert checked.rejected.index.tolist() == [7, 8]
    assert checked.rejected["w"].tolist() == ["b", "c"]


def test_a_rule_over_the_whole_frame_forgets_what_the_first_reading_took() -> None:
    frame = pd.DataFrame({"n": [1, 2, 3], "w": ["a", "b", "a"]})
    checked = check_frame(frame, SCHEMA, policy=PATIENT)
    assert (checked.good["w"].tolist(), checked.rejected["w"].tolist()) == (["b"], ["a", "a"])


def test_over_the_budget_no_row_is_good() -> None:
    checked = check_frame(FRAME, SCHEMA, policy=Policy(max_rejected_ratio=0.25))
    assert len(checked.good) == 0
    assert len(checked.rejected) == 4
    assert checked.verdict.rejected_because


def test_an_empty_frame_is_fine() -> None:
    checked = check_frame(FRAME.iloc[:0], SCHEMA)
    assert checked.verdict.ok
    assert (len(checked.good), len(checked.rejected)) == (0, 0)


def test_a_frame_without_a_column_is_told_so() -> None:
    checked = check_frame(FRAME[["n"]], SCHEMA)
    assert checked.verdict.rejected_because == "the column 'w' is missing"
    assert len(checked.rejected) == 4


def test_the_verdict_is_that_of_the_same_rows_in_a_file(tmp_path: Path) -> None:
    FRAME.to_csv(tmp_path / "a.csv", index=False)
    of_file, of_frame = check_file(tmp_path / "a.csv", SCHEMA), check_frame(FRAME, SCHEMA).verdict
    assert (of_file.rows, of_file.digest) == (of_frame.rows, of_frame.digest)
    assert [(p.rule, p.column, p.count) for p in of_file.problems] == [
        (p.rule, p.column, p.count) for p in of_frame.problems
    ]


def test_a_contract_with_options_is_loaded_by_its_name() -> None:
    frame = pd.DataFrame(
        {"unit_id": ["u"], "id_type": ["team_id"], "metric_name": ["m"], "date": ["2026-03-01"], "metric_value": ["1"]}
    )
    reference = "validators.metrics:precomputed_metrics"
    assert not check_frame(frame, reference).verdict.ok
    assert check_frame(frame, reference, options={"id_types": ["team_id"]}).verdict.ok
    with pytest.raises(ContractError, match="precomputed"):
        check_frame(frame, "validators.metrics:precomputed")
