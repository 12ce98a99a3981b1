"""Rows judged once more: waived rules do not reject, and what a whole file has said of its rows holds on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandera.pandas as pandera
import pyarrow as pa
import pytest

from validators.contract import Contract
from validators.files import Nowhere, Part, judge
from validators.judging import Judged, Policy
from validators.model import Broken, Dialect, Limits, Numbers, Verdict
from validators.readers import open_file
from validators.rejudging import still_broken, waivable

SCHEMA = pandera.DataFrameSchema(
    {
        "name": pandera.Column(str, unique=True),
        "day": pandera.Column("datetime64[ns]", nullable=True),
        "count": pandera.Column(int, [pandera.Check.ge(1), pandera.Check.le(9)]),
    },
    checks=pandera.Check(lambda frame: bool((frame["count"] < 100).all()), name="all_small"),
)
ROWS = b"name,day,count\na,2026-03-01,1\nb,2026-03-01,0\nc,2026-03-01,x\nd,,0\na,2026-03-01,2\ne,2026-03-01,50\n"


class Kept(Nowhere):
    """A sink that keeps what it is given."""

    def __init__(self) -> None:
        self.parts: list[tuple[Part, Judged, pa.Array]] = []

    def batch(self, part: Part, judged: Judged, problems: pa.Array) -> None:
        self.parts.append((part, judged, problems))

    def restart(self) -> None:
        self.parts.clear()

    def accepted(self) -> dict[int, str | None]:
        """Return the numbers of accepted rows with the rules that were waived for them."""
        found: dict[int, str | None] = {}
        for part, judged, _ in self.parts:
            waived = judged.waived.to_pylist() if judged.waived is not None else [None] * len(judged.rejected)
            found |= {
                int(row): rules
                for row, rejected, rules in zip(part.chunk.rows, judged.rejected, waived, strict=True)
                if not rejected
            }
        return found


def judged(
    folder: Path, *waived: str, data: bytes = ROWS, time: str | None = None, before: tuple[Broken, ...] = ()
) -> tuple[Verdict, Kept]:
    path = folder / "a.csv"
    path.write_bytes(data)
    contract = Contract.of(SCHEMA, time_column=time)
    policy = Policy(max_rejected_ratio=1.0, waived=frozenset(waived))
    sink = Kept()
    reader = open_file(path, name="a.csv", dialect=Dialect(), limits=Limits())
    verdict = judge(reader, contract, policy, Limits(), sink, before=before)
    reader.close()
    return verdict, sink


def test_rows_whose_only_problems_are_waived_are_accepted_with_their_names(tmp_path: Path) -> None:
    assert judged(tmp_path)[1].accepted() == {}
    verdict, sink = judged(tmp_path, "greater_than_or_equal_to", "unique")

    assert sink.accepted() == {1: "unique", 2: "greater_than_or_equal_to", 4: "greater_than_or_equal_to", 5: "unique"}
    assert (verdict.rows.accepted, verdict.rows.rejected) == (4, 2)
    assert {(problem.rule, problem.count) for problem in verdict.problems} == {
        ("type", 1),
        ("less_than_or_equal_to", 1),
    }


def test_a_row_that_stays_is_told_its_waived_problems_too(tmp_path: Path) -> None:
    data = b"name,day,count\na,2026-03-01,0\na,2026-03-01,1\n"
    _, sink = judged(tmp_path, "unique", data=data)
    assert sink.accepted() == {2: "unique"}
    ((_, rows, problems),) = sink.parts
    assert rows.rejected.tolist() == [True, False]
    assert "expected at least 1" in problems[0].as_py()
    assert "name: expected a value that no other row of the file has" in problems[0].as_py()


def test_a_row_without_a_day_is_never_accepted(tmp_path: Path) -> None:
    verdict, sink = judged(tmp_path, "greater_than_or_equal_to", "not_nullable", time="day")

    assert 4 not in sink.accepted()
    assert ("no_day", 1) in {(problem.rule, problem.count) for problem in verdict.problems}


def test_a_waived_rule_over_the_whole_file_marks_every_row(tmp_path: Path) -> None:
    data = b"name,day,count\na,2026-03-01,1\nb,2026-03-01,500\n"
    assert judged(tmp_path, data=data)[0].rejected_because != ""
    verdict, sink = judged(tmp_path, "all_small", data=data)

    assert verdict.rejected_because == ""
    assert sink.accepted() == {1: "all_small"}
    assert judged(tmp_path, "all_small", "less_than_or_equal_to", data=data)[1].accepted() == {
        1: "all_small",
        2: "all_small, less_than_or_equal_to",
    }


@pytest.mark.parametrize("waived", [(), ("unique",)])
def test_what_the_whole_file_has_said_of_a_row_holds_on(tmp_path: Path, waived: tuple[str, ...]) -> None:
    data = b"name,day,count\na,2026-03-01,1\nb,2026-03-01,2\n"
    before = (("unique", "name", numbers(2)), ("gone", None, numbers(1)))
    verdict, sink = judged(tmp_path, *waived, data=data, before=before)

    assert sink.accepted() == ({1: None, 2: "unique"} if waived else {1: None})
    assert [(each.rule, each.column, each.count) for each in verdict.problems] == (
        [] if waived else [("unique", "name", 1)]
    )


def test_the_same_rule_found_again_is_told_once() -> None:
    rules = Contract.of(SCHEMA).rules
    (first,) = still_broken((), [("unique", "name", numbers(3, 7))], rules)
    (both,) = still_broken((first,), [("unique", "name", numbers(5, 7))], rules)

    assert both.rows.tolist() == [3, 5, 7]
    assert both.expected == "a value that no other row of the file has"
    # A rule that looks at one row at a time judges by itself.
    assert still_broken((), [("greater_than_or_equal_to", "count", numbers(1))], rules) == ()


def test_what_cannot_be_read_can_never_be_waived() -> None:
    found = waivable(Contract.of(SCHEMA))

    assert found >= {"unique", "all_small", "greater_than_or_equal_to", "not_nullable"}
    assert not found & {"type", "check_error", "field_count", "missing_column", "no_day"}


def numbers(*values: int) -> Numbers:
    return np.array(values, np.int64)
