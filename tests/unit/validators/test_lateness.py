"""Late rows: those whose time lies before the watermark, by the column that gives them their day."""

from __future__ import annotations

import datetime as dt
import zoneinfo
from pathlib import Path

import numpy as np
import pandera.pandas as pandera
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.days.bounds import last_complete
from validators.contract import Contract
from validators.days import SECONDS_PER_DAY, least_clock
from validators.files import check_file
from validators.judging import Judged, Policy
from validators.lateness import with_lateness
from validators.metrics import precomputed_metrics
from validators.model import LATE, Verdict

#: 2026-03-02T08:00:00Z, the end of 2026-03-01 in Etc/GMT+8.
WATERMARK = 1_772_438_400
METRICS = precomputed_metrics()
HEADER = "unit_id,id_type,metric_name,date,metric_value\n"
SECONDS = "unit_id,id_type,metric_name,timestamp,metric_value\n"


def check(path: Path, text: str, **policy: object) -> Verdict:
    file = path / "a.csv"
    file.write_text(text)
    wanted = {"watermark": WATERMARK, **policy}
    return check_file(file, METRICS, policy=Policy(**wanted))  # type: ignore[arg-type]


def line(when: object, value: object = 1) -> str:
    return f"u,user_id,visits,{when},{value}\n"


def test_a_date_is_late_when_its_whole_day_lies_before_the_watermark(tmp_path: Path) -> None:
    verdict = check(tmp_path, HEADER + line("2026-03-01") + line("2026-03-02"))
    assert (verdict.rows.read, verdict.rows.accepted, verdict.rows.rejected, verdict.rows.late) == (2, 1, 1, 1)
    (problem,) = verdict.problems
    assert (problem.rule, problem.column, problem.count) == (LATE, "date", 1)
    (sample,) = problem.sample
    assert sample.message == (
        "row 1 (line 2), column date: found '2026-03-01', expected a time from the watermark 2026-03-02T08:00:00Z on, "
        "as all before it was said to be there; it is of day 2026-03-01"
    )


def test_a_second_before_the_days_end_none_of_its_dates_is_late(tmp_path: Path) -> None:
    assert check(tmp_path, HEADER + line("2026-03-01"), watermark=WATERMARK - 1).ok
    assert not check(tmp_path, HEADER + line("2026-02-28"), watermark=WATERMARK - 1).ok


def test_a_moment_is_late_when_it_lies_before_the_watermark(tmp_path: Path) -> None:
    noon = WATERMARK + 12 * 3600
    verdict = check(tmp_path, SECONDS + "".join(map(line, (noon - 1, noon, noon + 1))), watermark=noon)
    assert (verdict.rows.accepted, verdict.rows.late) == (2, 1)
    assert verdict.problems[0].column == "timestamp"


def test_milliseconds_are_late_by_the_same_instant(tmp_path: Path) -> None:
    file = tmp_path / "a.csv"
    file.write_text("".join(f"{line}\n" for line in ("at", WATERMARK * 1000 - 1, WATERMARK * 1000)))
    schema = pandera.DataFrameSchema({"at": pandera.Column(int)})
    contract = Contract.of(schema, name="times", time_column="at", time_unit="ms")
    verdict = check_file(file, contract, policy=Policy(watermark=WATERMARK))
    assert (verdict.rows.accepted, verdict.rows.late) == (1, 1)


def test_without_a_watermark_nothing_is_late(tmp_path: Path) -> None:
    assert check(tmp_path, HEADER + line("1999-01-01"), watermark=None).rows.late == 0


def test_late_rows_are_counted_and_taken_where_the_feed_takes_them(tmp_path: Path) -> None:
    verdict = check(tmp_path, HEADER + line("2026-03-01") + line("2026-03-02"), refuses_late=False)
    assert verdict.ok
    assert (verdict.rows.accepted, verdict.rows.late) == (2, 1)


def test_late_rows_do_not_count_against_the_files_budget(tmp_path: Path) -> None:
    late = line("2026-03-01") * 8
    verdict = check(tmp_path, HEADER + late + line("2026-03-02") + line("2026-03-02", "lots"), max_rejected_ratio=0.1)
    assert not verdict.rejected_because
    assert (verdict.rows.read, verdict.rows.accepted, verdict.rows.rejected, verdict.rows.late) == (10, 1, 9, 8)
    broken = check(tmp_path, HEADER + late + line("2026-03-01", "lots") * 2, max_rejected_ratio=0.1)
    assert broken.rejected_because == "2 of 10 rows have problems, more than the 10% that the feed allows"


def test_a_file_of_which_no_row_is_left_is_rejected_as_a_whole(tmp_path: Path) -> None:
    verdict = check(tmp_path, HEADER + line("2026-03-01") * 3 + line("2026-03-02", "lots"))
    assert verdict.rejected_because == (
        "none of 4 rows is left: 3 lie before the watermark, 1 broke other rules; late rows can be waived"
    )
    assert verdict.rows.rejected == 4


def test_a_late_row_is_told_its_other_problems_too(tmp_path: Path) -> None:
    verdict = check(tmp_path, HEADER + line("2026-03-01", "lots") + line("2026-03-02"))
    assert {problem.rule for problem in verdict.problems} == {LATE, "type"}
    assert verdict.rows.late == 1


def test_a_row_whose_time_cannot_be_read_is_not_late(tmp_path: Path) -> None:
    verdict = check(tmp_path, HEADER + line("yesterday") + line("2026-03-02"))
    assert [problem.rule for problem in verdict.problems] == ["type"]
    assert verdict.rows.late == 0


def test_waived_late_rows_are_taken(tmp_path: Path) -> None:
    verdict = check(tmp_path, HEADER + line("2026-03-01") + line("2026-03-02"), waived=frozenset({LATE}))
    assert verdict.ok
    assert (verdict.rows.accepted, verdict.rows.late) == (2, 1)


def contract_of(dtype: object) -> Contract:
    return Contract.of(pandera.DataFrameSchema({"at": pandera.Column(dtype)}), name="times", time_column="at")


def judged(contract: Contract, values: pa.Array, zone: str) -> Judged:
    typed = pa.table({"at": values})
    rejected = np.zeros(len(values), np.bool_)
    return Judged(typed=typed, days=contract.days(typed, zone), hits=(), rejected=rejected, unknown={})


@pytest.mark.parametrize("zone", ["Etc/GMT+8", "Europe/Berlin", "America/Havana", "Asia/Kathmandu"])
@given(
    watermark=st.integers(1_700_000_000, 1_800_000_000),
    around=st.lists(st.integers(-200_000, 200_000), min_size=1, max_size=20),
)
def test_times_on_a_clock_are_late_just_when_no_clock_shows_them_any_more(
    zone: str, watermark: int, around: list[int]
) -> None:
    contract = contract_of("datetime64[us]")
    clock = zoneinfo.ZoneInfo(zone)
    local = [dt.datetime.fromtimestamp(watermark + each, clock).replace(tzinfo=None, microsecond=0) for each in around]
    marked = with_lateness(
        judged(contract, pa.array(local, pa.timestamp("us")), zone),
        contract,
        Policy(zone=zone, watermark=watermark),
        ["at"],
    )
    found = [False] * len(local) if marked.late is None else marked.late.tolist()
    for time, is_late in zip(local, found, strict=True):
        moments = [int(time.replace(tzinfo=clock, fold=fold).timestamp()) for fold in (0, 1)]
        assert is_late == (max(moments) < watermark), (time, moments)


@given(watermark=st.integers(1_000_000_000, 2_000_000_000))
@pytest.mark.parametrize("zone", ["Etc/GMT+8", "Europe/Berlin", "America/Havana", "Pacific/Apia", "America/Goose_Bay"])
def test_the_days_that_are_late_are_those_that_are_complete(zone: str, watermark: int) -> None:
    day = dt.date(1970, 1, 1) + dt.timedelta(days=least_clock(watermark, zone) // SECONDS_PER_DAY)
    assert day == last_complete(watermark, zone) + dt.timedelta(days=1)
