"""The tally of a file's problems: exact counts, capped samples, words for each row, one budget."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandera.pandas as pandera
import pyarrow as pa
import pytest

from validators.checking import DropHit
from validators.contract import Contract, load_contract
from validators.errors import FileProblem
from validators.judging import Forced, Judgement, Policy, forced_hits, judge_rows, told, unchecked
from validators.model import SAMPLES_PER_RULE, Chunk, Hit, Malformed, MalformedRecords, Mask
from validators.sampling import SAMPLE_CHARACTERS

CONTRACT = load_contract(
    pandera.DataFrameSchema(
        {"s": pandera.Column(str, pandera.Check.isin(["user_id", "stable_id"])), "n": pandera.Column(int)}
    )
)
TIMED = load_contract(
    pandera.DataFrameSchema({"at": pandera.Column("datetime64[us, UTC]", nullable=True), "n": pandera.Column(int)}),
    time_column="at",
)


def chunk(table: pa.Table, start: int = 1, malformed: tuple[Malformed, ...] = ()) -> Chunk:
    rows = np.arange(start, start + table.num_rows)
    return Chunk(table=table, rows=rows, lines=rows + 1, malformed=MalformedRecords.of(malformed))


def texts(**columns: Sequence[str | None]) -> pa.Table:
    return pa.table({name: pa.array(cells, pa.string()) for name, cells in columns.items()})


def judged(contract: Contract, table: pa.Table) -> Any:
    return judge_rows(contract.match(table.column_names), table, "UTC")


def judgement(contract: Contract, *tables: pa.Table, ratio: float = 1.0) -> Judgement:
    made, start = Judgement(contract, Policy(max_rejected_ratio=ratio)), 1
    for table in tables:
        made.rows(judged(contract, table), chunk(table, start), table)
        start += table.num_rows
    return made


def mask(*flags: bool) -> Mask:
    return np.array(flags, np.bool_)


# ---------------------------------------------------------------- ROWS


def test_a_row_is_rejected_once_however_many_rules_it_breaks() -> None:
    made = judged(CONTRACT, texts(s=["user_id", "x", "x"], n=["1", "y", "2"]))
    assert made.rejected.tolist() == [False, True, True]
    assert told(made).to_pylist() == [
        "n: expected a whole number; s: expected one of user_id, stable_id",
        "s: expected one of user_id, stable_id",
    ]


def test_a_row_for_which_nothing_is_said_keeps_its_place() -> None:
    made = unchecked(pa.table({"_": pa.nulls(2)}))
    assert told(made).to_pylist() == ["", ""]


def test_a_row_without_a_day_has_no_place_and_says_so_only_where_nothing_else_is_wrong() -> None:
    made = judged(TIMED, texts(at=["2026-03-01T00:00:00Z", "nonsense", None], n=["1", "2", "3"]))
    assert {(hit.rule, hit.column): np.flatnonzero(hit.failed).tolist() for hit in made.hits}[("type", "at")] == [1]
    assert made.rejected.tolist() == [False, True, True]
    assert all(not hit.failed[1] for hit in made.hits if hit.rule == "no_day")


def test_files_that_were_judged_together_come_apart_as_they_were() -> None:
    first, second = texts(s=["user_id", "x"], n=["1", "2"]), texts(s=["user_id"], n=["z"])
    together = judged(CONTRACT, pa.concat_tables([first, second]))
    for part, alone in (
        (together.part(0, 2), judged(CONTRACT, first)),
        (together.part(2, 1), judged(CONTRACT, second)),
    ):
        assert part.rejected.tolist() == alone.rejected.tolist()
        assert part.typed.equals(alone.typed)
        assert [(hit.rule, hit.failed.tolist()) for hit in part.hits] == [
            (hit.rule, hit.failed.tolist()) for hit in alone.hits
        ]
        assert set(part.unknown) == set(alone.unknown)
    assert together.part(0, 3) is together


# ---------------------------------------------------------------- THE TALLY


def test_counts_are_exact_and_samples_are_the_first() -> None:
    many = texts(s=["x"] * 3 * SAMPLES_PER_RULE, n=["1"] * 3 * SAMPLES_PER_RULE)
    verdict = judgement(CONTRACT, many, many).verdict()
    (problem,) = verdict.problems
    assert problem.count == 6 * SAMPLES_PER_RULE
    assert [sample.row for sample in problem.sample] == list(range(1, SAMPLES_PER_RULE + 1))
    assert verdict.sampled


def test_problems_come_the_commonest_first_whatever_the_order_of_the_batches() -> None:
    tables = [texts(s=["x"], n=["1"]), texts(s=["user_id"] * 2, n=["y", "z"]), texts(s=["x"], n=["1"])]
    forth, back = judgement(CONTRACT, *tables).verdict(), judgement(CONTRACT, *reversed(tables)).verdict()
    assert [(problem.rule, problem.count) for problem in forth.problems] == [("isin", 2), ("type", 2)]
    assert [problem.rule for problem in back.problems] == [problem.rule for problem in forth.problems]


def test_a_sample_says_row_line_value_and_what_was_probably_meant() -> None:
    (problem,) = judgement(CONTRACT, texts(s=["userid"], n=["1"])).verdict().problems
    (sample,) = problem.sample
    assert (sample.row, sample.line, sample.value) == (1, 2, "userid")
    assert sample.message == (
        "row 1 (line 2), column s: found 'userid', expected one of user_id, stable_id; did you mean 'user_id'?"
    )


def test_a_long_value_is_cut() -> None:
    (problem,) = judgement(CONTRACT, texts(s=["x" * 10_000], n=["1"])).verdict().problems
    assert len(problem.sample[0].value or "") == SAMPLE_CHARACTERS


def test_records_without_cells_are_read_and_rejected() -> None:
    made = Judgement(CONTRACT, Policy(max_rejected_ratio=1.0))
    made.malformed(
        MalformedRecords.of(
            Malformed(row=row, line=row, rule="quote", found="a quote", expected="none", raw="r" * 10_000)
            for row in range(1, SAMPLES_PER_RULE + 3)
        )
    )
    verdict = made.verdict()
    (problem,) = verdict.problems
    assert (verdict.rows.read, verdict.rows.rejected, problem.count) == (12, 12, 12)
    assert len(problem.sample) == SAMPLES_PER_RULE
    assert len(problem.sample[0].value or "") == SAMPLE_CHARACTERS
    assert problem.hint.startswith("put quotes around the whole cell")


# ---------------------------------------------------------------- THE FILE


@pytest.mark.parametrize(
    ("bad", "good", "ratio", "over"),
    [
        (1, 1, 0.5, False),
        (2, 1, 0.5, True),
        (1, 99, 0.0, True),
        (0, 5, 0.0, False),
        (3, 0, 1.0, False),
        (0, 0, 0.0, False),
    ],
)
def test_a_file_is_over_its_budget_only_above_the_ratio(bad: int, good: int, ratio: float, over: bool) -> None:
    table = texts(s=["x"] * bad + ["user_id"] * good, n=["1"] * (bad + good))
    verdict = judgement(CONTRACT, table, ratio=ratio).verdict()
    assert bool(verdict.rejected_because) is over
    assert verdict.rows.accepted == (0 if over else good)
    assert verdict.rows.read == verdict.rows.accepted + verdict.rows.rejected


def test_a_problem_of_the_whole_file_is_noted_once_and_rejects_every_row() -> None:
    made = judgement(CONTRACT, texts(s=["user_id"] * 3, n=["1"] * 3))
    for _ in range(2):
        made.broken(FileProblem("truncated", "the file is cut off", line=9))
    verdict = made.verdict()
    assert [(problem.rule, problem.whole_file) for problem in verdict.problems] == [("truncated", True)]
    assert verdict.rejected_because == "the file is cut off"
    assert (verdict.rows.read, verdict.rows.accepted) == (3, 0)


def test_what_a_rule_over_the_file_says_is_found_by_record_number() -> None:
    hit = DropHit(rule="unique", column="s", expected="unique", rows=np.array([2, 4, 9]))
    forced = Forced(hits=(hit,))
    (found,) = forced_hits(forced, np.array([3, 4, 5]))
    assert (found.failed.tolist(), found.rule) == ([False, True, False], "unique")
    assert forced_hits(forced, np.array([5, 6])) == ()
    assert bool(forced)
    assert bool(Forced(everything=True))
    assert not Forced()


def test_words_of_a_forced_problem_join_the_others() -> None:
    made = judged(CONTRACT, texts(s=["x", "user_id"], n=["1", "1"]))
    forced = Hit(rule="own", column=None, expected="", failed=mask(True, False))
    assert told(replace(made, forced=(forced,))).to_pylist() == ["s: expected one of user_id, stable_id; own"]
