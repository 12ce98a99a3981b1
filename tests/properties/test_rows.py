"""Every row ends in exactly one place, unchanged or as the contract's type, whatever the file and the batches.

Design, section 4, invariants 1 and 6: the real thing against a reference that is slow and obvious.
"""

from __future__ import annotations

import datetime as dt
import gzip
import os
import re
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.parquet as pq
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from daemon.model import State
from tests.properties import generating, mending, reading
from tests.properties.generating import Dropped, source_of
from tests.properties.reference import LATE, Column, Contract, Expected, File, Value, judge
from tests.properties.running import Came, World, limits
from validators.files import check_file
from validators.frames import check_frame
from validators.model import Dialect, Verdict

WHOLE_BATCH = 131_072
#: More of them find rarer faults: PROPERTY_EXAMPLES=2000 python -m pytest tests/properties
EXAMPLES = int(os.environ.get("PROPERTY_EXAMPLES", "60"))
checked = settings(
    report_multiple_bugs=False,
    deadline=None,
    derandomize=True,
    max_examples=EXAMPLES,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


@contextmanager
def world(spec: Contract, dialect: Dialect) -> Iterator[World]:
    """Make a feed in a folder of its own."""
    root = Path(tempfile.mkdtemp(prefix="blobdrop-rows-"))
    try:
        yield World(root=root, spec=spec, dialect=dialect)
    finally:
        shutil.rmtree(root)


# ---------------------------------------------------------------- WHAT CAME, HELD AGAINST WHAT MUST


def hold(here: World, file: File, came: Came) -> None:
    """Hold everything that came of one drop against the reference; show all of it where it fails."""
    try:
        assert_as_expected(here.spec, here.dialect, file, came)
    except (AssertionError, KeyError) as error:
        said = f"{source_of(here.spec)}{here.spec.time_column=} {here.spec.max_rejected_ratio=} {here.dialect=}"
        shown = "\n".join(f"{each.row} {each.wrong} {dict(each.cells)}" for each in file.records)
        error.add_note(f"{said}\n{file.names}\n{shown}\n{came.outcome}\n{came.report}\n{came.rejected}")
        raise


def assert_as_expected(spec: Contract, dialect: Dialect, file: File, came: Came) -> None:
    """Hold everything that came of one drop against the reference."""
    expected = judge(spec, file)
    rows = {record.row for record in file.records}
    accepted = rows - expected.rejected
    counts = came.outcome.rows
    assert (counts.read, counts.accepted, counts.rejected) == (len(rows), len(accepted), len(expected.rejected))
    assert counts.late == len(expected.late)
    dated = Counter(expected.days[row] for row in accepted if spec.time_column)
    assert not spec.time_column or dated == {dt.date.fromisoformat(d.day): d.rows for d in came.outcome.days if d.rows}
    assert set(came.rows) == accepted
    for row in accepted:
        assert_values(spec, expected, row, came.rows[row])
    assert_report(expected, came)
    assert_rejected(file, dialect, expected, came)


def assert_values(spec: Contract, expected: Expected, row: int, found: Any) -> None:
    """Hold a row of the table against the reference's values, cell by cell."""
    for column in spec.columns:
        name = column.name
        assert plain(found[name], column) == plain(expected.values[row][name], column), (row, name, found[name])  # noqa: PD011
    if spec.time_column:
        assert found["date"] == expected.days[row]


def plain(value: Value, column: Column) -> object:
    """Return what is compared: floats with their sign, times with their offset, numbers by value."""
    if isinstance(value, float):
        return value.hex()
    if isinstance(value, dt.datetime):
        assert (value.utcoffset() == dt.timedelta(0)) == column.kind.zoned
        return value.replace(tzinfo=None)
    return (type(value) is bool, value)


def assert_rejected(file: File, dialect: Dialect, expected: Expected, came: Came) -> None:
    """Hold rejected.csv against the file's own records: the rejected ones, all of them, in order, as they came."""
    records = [record for record in file.records if record.row in expected.rejected]
    assert (came.rejected is None) == (not records)
    if came.rejected is None:
        return
    (_, header), *lines = reading.fields_of(came.rejected, dialect.delimiter, dialect.quote)
    names = [reading.unguarded(name) for name in header[:-2]]
    assert tuple(header[-2:]) == ("_line", "_problems")
    if file.names is not None:
        assert tuple(names) == file.names
    cells = [[reading.unguarded(cell) for cell in fields[:-2]] for _, fields in lines]
    assert cells == [reading.shown(record, names) for record in records]
    assert [fields[-2] for _, fields in lines] == [str(record.line or "") for record in records]
    assert all(reading.guarded(reading.unguarded(cell)) == cell for _, fields in lines for cell in fields)
    if not expected.whole:
        for record, (_, fields) in zip(records, lines, strict=True):
            assert_words(came, expected.faults.get(record.row, set()), reading.unguarded(fields[-1]))


def assert_words(came: Came, faults: set[tuple[str, str | None]], said: str) -> None:
    """Hold what rejected.csv says of a record against the rules that it breaks: each of them once, nothing else."""
    assert came.report is not None
    words = {(problem["rule"], problem["column"]): problem["expected"] for problem in came.report["problems"]}
    if faults <= {("field_count", None), ("invalid_json", None)}:
        assert not faults or said.endswith(f"expected {words[max(faults)]}"), said
        return
    said = f"; {said}; "
    for rule, column in faults:
        if rule == LATE:
            said, count = re.subn(rf"; {column}: expected a time from [^;]*, of day [0-9-]+; ", "; ", said)
            assert count == 1
            continue
        phrase = f"; {column}: expected {words[rule, column]}; " if column else f"; expected {words[rule, column]}; "
        assert phrase in said, (phrase, said)
        said = said.replace(phrase, "; ", 1)
    assert said == "; ", said


def assert_report(expected: Expected, came: Came) -> None:
    """Hold report.json against the reference: every rule, its exact count, and its rows."""
    whole = bool(expected.whole) or expected.over_budget or expected.none_left
    assert came.outcome.state is (State.REJECTED if whole else State.PARTIAL if expected.rejected else State.INGESTED)
    assert bool(came.outcome.reason) == whole
    nothing_to_say = not expected.whole and not expected.faults and came.outcome.rows.read > 0
    assert (came.report is None) == nothing_to_say
    if came.report is None:
        return
    found = {(problem["rule"], problem["column"]): problem for problem in came.report["problems"]}
    assert len(found) == len(came.report["problems"])
    counts = Counter(fault for faults in expected.faults.values() for fault in faults)
    assert set(found) == set(counts) | expected.whole
    for fault, count in counts.items():
        assert found[fault]["count"] == count, fault
        rows = sorted(row for row, faults in expected.faults.items() if fault in faults)
        assert [sample["row"] for sample in found[fault]["sample"]] == rows[:10], fault
    assert came.report["rows"] == {
        "read": came.outcome.rows.read,
        "accepted": came.outcome.rows.accepted,
        "rejected": came.outcome.rows.rejected,
    }


# ---------------------------------------------------------------- ONE FILE IN MANY WAYS

#: Files of one feed: one after another in batches of 1 and 3 rows, all of them in one unit, and compressed.
VARIANTS = ("one", "three", "together", "packed")


def work(here: World, files: Sequence[Dropped]) -> dict[tuple[str, int], Came]:
    """Work the same files in each way, and commit all of it at once."""
    ids = {}
    for variant in VARIANTS:
        names = []
        for place, dropped in enumerate(files):
            packed = variant == "packed"
            names.append(f"{variant}/{place}{dropped.suffix}{'.gz' if packed else ''}")
            here.drop(names[-1], gzip.compress(dropped.content) if packed else dropped.content)
        units = [names] if variant == "together" else [[name] for name in names]
        rows = {"one": 1, "three": 3}.get(variant, WHOLE_BATCH)
        found = here.work(units, limits(rows))
        ids.update({(variant, place): found[name] for place, name in enumerate(names)})
    came = here.commit()
    return {key: came[drop] for key, drop in ids.items()}


def assert_verdict(verdict: Verdict, came: Came) -> None:
    """Hold what `check_file` says against what the daemon said."""
    assert verdict.rows == came.outcome.rows
    assert verdict.rejected_because == came.outcome.reason
    said = [(each.rule, each.column, each.count, each.expected, each.hint) for each in verdict.problems]
    report = came.report or {"problems": []}
    assert said == [
        tuple(each[key] for key in ("rule", "column", "count", "expected", "hint")) for each in report["problems"]
    ]
    samples = [[(one.row, one.line, one.value, one.message) for one in each.sample] for each in verdict.problems]
    assert samples == [[tuple(one.values()) for one in each["sample"]] for each in report["problems"]]


def assert_all(here: World, files: Sequence[Dropped]) -> dict[tuple[str, int], Came]:
    """Work files in each way; hold every drop against the reference, and `check_file` against the daemon."""
    came = work(here, files)
    for (_, place), each in came.items():
        hold(here, files[place].file, each)
    for place, dropped in enumerate(files):
        path = here.root / "drops" / f"one/{place}{dropped.suffix}"
        verdict = check_file(path, here.contract, dialect=here.dialect, limits=limits(3), policy=here.policy)
        assert_verdict(verdict, came["one", place])
    return came


DIALECTS = st.builds(
    Dialect, delimiter=st.sampled_from((",", ",", ";", "\t", "|")), quote=st.sampled_from(('"', '"', "'"))
)


@checked
@given(st.data())
def test_every_csv_row_is_in_the_table_or_set_aside_for_the_right_reasons(data: st.DataObject) -> None:
    spec = data.draw(generating.contracts().flatmap(generating.watermarked))
    dialect = data.draw(DIALECTS)
    file = generating.csv_files(spec, dialect.delimiter, dialect.quote)
    with world(spec, dialect) as here:
        assert_all(here, data.draw(st.lists(file, min_size=1, max_size=2)))


@checked
@given(st.data())
def test_every_json_row_is_in_the_table_or_set_aside_for_the_right_reasons(data: st.DataObject) -> None:
    spec = data.draw(generating.contracts().flatmap(generating.watermarked))
    with world(spec, Dialect()) as here:
        assert_all(here, data.draw(st.lists(generating.json_files(spec), min_size=1, max_size=2)))


@checked
@given(st.data())
def test_every_parquet_row_is_in_the_table_or_set_aside_for_the_right_reasons(data: st.DataObject) -> None:
    spec = data.draw(generating.contracts().flatmap(generating.watermarked))
    with world(spec, Dialect()) as here:
        assert_all(here, data.draw(st.lists(generating.parquet_files(spec), min_size=1, max_size=2)))


# ---------------------------------------------------------------- REJECTED ROWS DROPPED BACK


def back(here: World, name: str, rejected: str) -> tuple[File, Came]:
    """Drop a rejected.csv, whatever a person has done to it, and work it alone."""
    here.drop(name, rejected.encode())
    ids = here.work([[name]], limits(WHOLE_BATCH))
    file = reading.delimited(rejected, here.dialect.delimiter, here.dialect.quote)
    return file, here.commit()[ids[name]]


def assert_comes_back(here: World, dropped: Dropped, came: Came) -> None:
    """Drop rejected rows back as they are, twice: the same cells are rejected for what is wrong with them still."""
    first = judge(here.spec, dropped.file)
    for go in ("again", "and again"):
        assert came.rejected is not None
        before = [record for record in dropped.file.records if record.row in first.rejected and not record.wrong]
        file, came = back(here, f"{go}/x.csv", came.rejected)
        hold(here, file, came)
        after = [record.cells for record in file.records if not record.wrong]
        if dropped.suffix == ".csv" and go == "again":
            assert after == [record.cells for record in before]
        assert sum(not record.wrong for record in file.records) <= len(before)
        if came.rejected is None:
            return


@checked
@given(st.data())
def test_rejected_rows_dropped_back_unchanged_are_judged_as_they_were(data: st.DataObject) -> None:
    spec, dialect = data.draw(generating.contracts()), data.draw(DIALECTS)
    kinds = (generating.csv_files(spec, dialect.delimiter, dialect.quote), generating.json_files(spec))
    dropped = data.draw(st.one_of(*kinds, generating.parquet_files(spec)))
    with world(spec, dialect) as here:
        name = f"first/0{dropped.suffix}"
        here.drop(name, dropped.content)
        ids = here.work([[name]], limits(WHOLE_BATCH))
        came = here.commit()[ids[name]]
        hold(here, dropped.file, came)
        if came.rejected is not None:
            assert_comes_back(here, dropped, came)


@checked
@given(st.data())
def test_rejected_rows_dropped_back_mended_are_in_the_table(data: st.DataObject) -> None:
    spec, dialect = data.draw(generating.contracts()), data.draw(DIALECTS)
    dropped = data.draw(generating.csv_files(spec, dialect.delimiter, dialect.quote))
    with world(spec, dialect) as here:
        here.drop("first/0.csv", dropped.content)
        ids = here.work([["first/0.csv"]], limits(WHOLE_BATCH))
        rejected = here.commit()[ids["first/0.csv"]].rejected
        mended = mending.mended(spec, rejected, dialect.delimiter, dialect.quote) if rejected else None
        if mended is None:
            return
        file, came = back(here, "again/0.csv", mended)
        hold(here, file, came)
        assert came.outcome.state is State.INGESTED
        assert set(came.rows) == {record.row for record in file.records}


# ---------------------------------------------------------------- FRAMES


@checked
@given(st.data())
def test_a_frame_is_judged_as_the_parquet_file_that_it_was_read_from(data: st.DataObject) -> None:
    spec = data.draw(generating.contracts())
    dropped = data.draw(generating.parquet_files(spec))
    with world(spec, Dialect()) as here:
        path = here.drop("frames/0.parquet", dropped.content)
        ids = here.work([["frames/0.parquet"]], limits(WHOLE_BATCH))
        came = here.commit()[ids["frames/0.parquet"]]
        verdict = check_file(path, here.contract, policy=here.policy)
        frame = pq.read_table(path).to_pandas(types_mapper=pd.ArrowDtype)
        checked_frame = check_frame(frame, here.contract, policy=here.policy, limits=limits(3))
        assert_verdict(verdict, came)
        assert_verdict(checked_frame.verdict, came)
        expected = judge(spec, dropped.file)
        assert [row + 1 for row in checked_frame.rejected.index] == sorted(expected.rejected)
        assert len(checked_frame.good) == len(came.rows)
