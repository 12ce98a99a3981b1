"""Uniqueness over batches, in memory and on disk, against pandas over everything at once."""

from __future__ import annotations

import gc
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from validators.rules import Keep
from validators.uniqueness import Uniqueness

ROWS = st.lists(
    st.tuples(
        st.one_of(st.none(), st.sampled_from([0.0, -0.0, 1.5, float("nan"), 2.0])),
        st.one_of(st.none(), st.sampled_from(["", "a", "b", "é"])),
        st.one_of(st.none(), st.integers(0, 2)),
    ),
    max_size=30,
)


def table(rows: list[tuple[Any, ...]]) -> pa.Table:
    floats, words, days = zip(*rows, strict=True) if rows else ((), (), ())
    return pa.table(
        {
            "x": pa.array(floats, pa.float64()),
            "s": pa.array(words, pa.string()),
            "d": pa.array(days, pa.int32()).cast(pa.date32()),
            "t": pa.array(days, pa.int64()).cast(pa.timestamp("us", "UTC")),
            "n": pa.array(days, pa.int64()).cast(pa.decimal128(20, 0)),
        }
    )


def found(rows: list[tuple[Any, ...]], names: list[str], keep: Keep, spill_bytes: int, batch: int) -> list[int]:
    uniqueness, everything = Uniqueness(spill_bytes), table(rows).select(names)
    for start in range(0, len(rows), batch):
        piece = everything.slice(start, batch)
        uniqueness.add(piece, np.arange(start, start + piece.num_rows))
    numbers: list[int] = uniqueness.finish(keep).tolist()
    return numbers


@settings(deadline=None, max_examples=25)
@given(
    rows=ROWS,
    names=st.sampled_from([["x"], ["s"], ["x", "s"], ["d", "t", "n"], ["x", "s", "d"]]),
    keep=st.sampled_from(["first", "last", False]),
    spill_bytes=st.sampled_from([0, 10**9]),
    batch=st.integers(1, 12),
)
def test_the_rows_are_those_that_pandas_finds(
    rows: list[tuple[Any, ...]], names: list[str], keep: Keep, spill_bytes: int, batch: int
) -> None:
    # Text apart, which pandas holds as objects: there None and NaN would differ, and our columns know only one of them.
    data = table(rows).select(names).to_pandas(date_as_object=False)
    assert found(rows, names, keep, spill_bytes, batch) == np.flatnonzero(data.duplicated(keep=keep)).tolist()


@pytest.mark.parametrize("keep", ["first", "last", False])
def test_more_values_than_fit_into_memory_are_kept_on_disk(keep: Keep) -> None:
    count, uniqueness = 20_000, Uniqueness(spill_bytes=10_000)
    words = [f"word-{number}" for number in range(count)]
    words[15_000] = words[7]
    for start in range(0, count, 3_000):
        piece = pa.table({"s": words[start : start + 3_000]})
        uniqueness.add(piece, np.arange(start, start + piece.num_rows) + 1)
    assert uniqueness.finish(keep).tolist() == {"first": [15_001], "last": [8], False: [8, 15_001]}[keep]


def test_what_is_on_disk_goes_with_its_owner(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    uniqueness = Uniqueness(spill_bytes=0)
    uniqueness.add(pa.table({"s": ["a"]}), np.array([1]))
    assert len(list(tmp_path.iterdir())) == 1
    del uniqueness
    gc.collect()
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_unique() -> None:
    assert Uniqueness().finish(keep=False).tolist() == []
    assert pd.DataFrame({"x": []}).duplicated().empty
