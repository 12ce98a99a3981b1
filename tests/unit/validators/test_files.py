"""One file to its verdict: exact counts, one reading where it stands, a second one where not, no error for bad data."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pandera.pandas as pandera
import pyarrow as pa
import pytest

from validators.contract import Contract, load_contract
from validators.errors import ContractError, FileProblem
from validators.files import Part, check_file, judge, refused
from validators.judging import Judged, Policy
from validators.model import Dialect, Limits, Verdict
from validators.readers import open_file

NUMBERS = pandera.DataFrameSchema({"n": pandera.Column(int, pandera.Check.ge(0)), "w": pandera.Column(str)})
UNIQUE = pandera.DataFrameSchema({"w": pandera.Column(str, unique=True)})
#: Never over the budget.
PATIENT = Policy(max_rejected_ratio=1.0)


class Noting:
    """A sink that notes which records it was given as good and as bad, and how often it was told to begin again."""

    def __init__(self) -> None:
        self.restarts = -1
        self.restart()

    def restart(self) -> None:
        self.restarts += 1
        self.good: list[int] = []
        self.bad: list[int] = []
        self.words: list[str] = []

    def batch(self, part: Part, judged: Judged, problems: pa.Array) -> None:
        self.good += part.chunk.rows[~judged.rejected].tolist()
        self.bad += part.chunk.rows[judged.rejected].tolist()
        self.bad += [record.row for record in part.chunk.malformed]
        self.words += problems.to_pylist()


def read(path: Path, schema: Any, *, policy: Policy = PATIENT, limits: Limits | None = None) -> tuple[Verdict, Noting]:
    sink, limits = Noting(), limits or Limits()
    contract = schema if isinstance(schema, Contract) else load_contract(schema)
    with closing(open_file(path, name=path.name, dialect=Dialect(), limits=limits)) as reader:
        return judge(reader, contract, policy, limits, sink), sink


def write(folder: Path, *lines: str, name: str = "a.csv") -> Path:
    path = folder / name
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return path


def rules(verdict: Verdict) -> Sequence[tuple[str, str | None, int]]:
    return [(problem.rule, problem.column, problem.count) for problem in verdict.problems]


# ---------------------------------------------------------------- ROWS


def test_each_row_is_good_or_bad_and_counted_once(tmp_path: Path) -> None:
    verdict, sink = read(write(tmp_path, "n,w", "1,a", "-1,b", "x,c", "4,d", "5,e,f"), NUMBERS)
    assert (sink.good, sorted(sink.bad), sink.restarts) == ([1, 4], [2, 3, 5], 0)
    assert (verdict.rows.read, verdict.rows.accepted, verdict.rows.rejected) == (5, 2, 3)
    assert rules(verdict) == [("field_count", None, 1), ("greater_than_or_equal_to", "n", 1), ("type", "n", 1)]
    assert sink.words == ["n: expected at least 0", "n: expected a whole number"]
    assert not verdict.ok


def test_a_good_file_is_fine_and_says_what_it_left_out(tmp_path: Path) -> None:
    verdict = check_file(write(tmp_path, "n,w,extra", "1,a,z"), NUMBERS)
    assert verdict.ok
    assert verdict.ignored_columns == ("extra",)
    assert len(verdict.digest) == 64


def test_a_file_without_rows_is_fine(tmp_path: Path) -> None:
    verdict, sink = read(write(tmp_path, "n,w"), NUMBERS)
    assert verdict.ok
    assert (verdict.rows.read, sink.good) == (0, [])


# ---------------------------------------------------------------- THE FILE AS A WHOLE


def test_a_missing_column_rejects_the_file_and_its_rows_are_still_counted(tmp_path: Path) -> None:
    verdict, sink = read(write(tmp_path, "n", "1", "2"), NUMBERS)
    assert (verdict.rows.read, verdict.rows.accepted) == (2, 0)
    assert verdict.rejected_because == "the column 'w' is missing"
    assert (sink.good, sink.bad) == ([], [1, 2])
    assert sink.words == [verdict.rejected_because] * 2


def test_a_file_over_its_budget_is_read_again_with_every_row_rejected(tmp_path: Path) -> None:
    path = write(tmp_path, "n,w", "1,a", "-1,b", "-2,c")
    verdict, sink = read(path, NUMBERS, policy=Policy(max_rejected_ratio=0.5))
    assert (sink.good, sink.bad, sink.restarts) == ([], [1, 2, 3], 1)
    assert verdict.rejected_because == "2 of 3 rows have problems, more than the 50% that the feed allows"
    assert verdict.rows.accepted == 0
    assert rules(verdict) == [("greater_than_or_equal_to", "n", 2)]


def test_just_at_its_budget_a_file_is_taken(tmp_path: Path) -> None:
    verdict, sink = read(write(tmp_path, "n,w", "1,a", "-1,b"), NUMBERS, policy=Policy(max_rejected_ratio=0.5))
    assert (sink.good, sink.restarts, verdict.rejected_because) == ([1], 0, "")


def test_a_file_that_breaks_off_in_its_middle_takes_back_the_rows_before_it(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text('[{"n": 1, "w": "a"}, {"n": 2, "w": "b"}, {"n": 3')
    verdict, sink = read(path, NUMBERS)
    assert sink.good == []
    assert verdict.rows.accepted == 0
    assert verdict.problems[0].rule == "invalid_json"
    assert verdict.problems[0].whole_file


def test_a_file_that_cannot_be_opened_as_one_of_ours_is_a_verdict_and_no_error(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(b"%PDF-1.7 and so on")
    verdict = check_file(path, NUMBERS)
    assert verdict.rejected_because
    assert (verdict.rows.read, verdict.problems[0].whole_file) == (0, True)
    problem = FileProblem("truncated", "cut off", hint="send it again", line=7)
    (told,) = refused(problem, load_contract(NUMBERS), Policy()).problems
    assert (told.rule, told.expected, told.hint, told.sample[0].line) == ("truncated", "cut off", "send it again", 7)


# ---------------------------------------------------------------- RULES OVER THE WHOLE FILE


@pytest.mark.parametrize("batch_rows", [1, 2, 1000])
def test_rules_over_the_whole_file_reject_rows_in_a_second_reading(tmp_path: Path, batch_rows: int) -> None:
    path = write(tmp_path, "w", "a", "b", "a", "c")
    verdict, sink = read(path, UNIQUE, limits=Limits(batch_rows=batch_rows))
    assert (sink.good, sink.bad, sink.restarts) == ([2, 4], [1, 3], 1)
    assert rules(verdict) == [("unique", "w", 2)]
    assert sink.words == ["w: expected a value that no other row of the file has"] * 2


def test_rows_that_a_rule_over_the_file_rejects_may_put_it_over_its_budget(tmp_path: Path) -> None:
    path = write(tmp_path, "w", "a", "b", "a", "a")
    verdict, sink = read(path, UNIQUE, policy=Policy(max_rejected_ratio=0.5))
    assert sink.good == []
    assert verdict.rejected_because.startswith("3 of 4 rows have problems")
    assert rules(verdict) == [("unique", "w", 3)]


def test_a_rule_that_says_no_to_the_file_rejects_all_of_it(tmp_path: Path) -> None:
    schema = pandera.DataFrameSchema(
        {"n": pandera.Column(int, pandera.Check(lambda s: s.sum() < 5, name="sum", error="a sum below 5"))}
    )
    verdict, sink = read(write(tmp_path, "n", "3", "4"), schema)
    assert (sink.good, verdict.rows.accepted) == ([], 0)
    assert verdict.rejected_because == (
        "the rule 'sum' of column n does not hold over the whole file: expected a sum below 5"
    )


def test_a_file_too_large_for_a_rule_is_refused_with_what_to_do(tmp_path: Path) -> None:
    schema = pandera.DataFrameSchema({"n": pandera.Column(int, pandera.Check(lambda s: s <= s.mean(), name="m"))})
    verdict, sink = read(write(tmp_path, "n", "3", "4"), schema, limits=Limits(max_whole_drop_bytes=1))
    assert (sink.good, sink.bad) == ([], [1, 2])
    assert rules(verdict) == [("too_large_for_rule", None, 1)]
    assert verdict.rejected_because.startswith("the file is too large for 'm'")
    assert (verdict.rows.read, verdict.rows.accepted) == (2, 0)


def test_a_check_of_ones_own_that_raises_is_the_contracts_fault_and_no_error(tmp_path: Path) -> None:
    def stumbles(_: Any) -> Any:
        raise ZeroDivisionError("by zero")

    schema = pandera.DataFrameSchema({"n": pandera.Column(int, pandera.Check(stumbles, name="odd"))})
    verdict, _ = read(write(tmp_path, "n", "3"), load_contract(schema, row_wise=["odd"]))
    (problem,) = verdict.problems
    assert problem.rule == "check_error"
    assert problem.expected == "the contract's rule 'odd' of column n raised ZeroDivisionError: by zero"
    assert verdict.rows.accepted == 0


# ---------------------------------------------------------------- RECORDS THAT NAME THEIR OWN COLUMNS


def test_a_column_that_no_record_has_is_missing_and_one_that_some_have_is_not(tmp_path: Path) -> None:
    path = write(tmp_path, '{"n": 1}', '{"n": 2}', name="a.ndjson")
    verdict, sink = read(path, NUMBERS)
    assert (sink.good, verdict.rejected_because) == ([], "the column 'w' is missing")
    path = write(tmp_path, '{"n": 1, "w": "a"}', '{"n": 2}', name="b.ndjson")
    verdict, sink = read(path, NUMBERS)
    assert (sink.good, rules(verdict)) == ([1], [("not_nullable", "w", 1)])


def test_no_records_miss_no_column(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text("[]")
    assert read(path, NUMBERS)[0].rows.read == 0


# ---------------------------------------------------------------- WRONG USE


def test_a_contract_that_is_none_is_an_error(tmp_path: Path) -> None:
    path = write(tmp_path, "n,w", "1,a")
    with pytest.raises(ContractError, match="nowhere"):
        check_file(path, "nowhere:at_all")
    with pytest.raises(FileNotFoundError):
        check_file(tmp_path / "gone.csv", NUMBERS)


def test_what_is_shown_of_a_record_does_not_depend_on_the_batch_that_it_is_in(tmp_path: Path) -> None:
    path = tmp_path / "a.ndjson"
    path.write_text('{"n": 1, "w": 2}\n{"w": 5, "n": 5}\n')
    columns = {"n": pandera.Column(int), "w": pandera.Column(int)}
    unlike = pandera.Check(lambda rows: rows["n"] != rows["w"], name="unlike")
    contract = load_contract(pandera.DataFrameSchema(columns, checks=[unlike]))
    limits = (Limits(batch_rows=rows) for rows in (1, 100))
    shown = {check_file(path, contract, limits=each).problems[0].sample[0].value for each in limits}
    assert shown == {"n=5, w=5"}
