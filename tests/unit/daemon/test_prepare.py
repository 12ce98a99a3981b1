"""One unit from bytes to outcomes: every row in one place, each drop by itself, nothing staged after a failure."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from daemon import contracts
from daemon.contracts import describe
from daemon.errors import ChangedError, ContractError, SourceError, StoreError, WorkError
from daemon.landing import Landing, day_of
from daemon.model import Drop, Found, Limits, OnDuplicate, Outcome, Prepared, State
from daemon.prepare import SMALL_BYTES
from daemon.quarantine import read_report
from daemon.sources.memory import MemorySource
from tests.corpus import text
from tests.unit.daemon.conftest import METRICS, NOON, Rig, dirty, good

#: A user's own contract, whose check stumbles over the files of one name.
STUMBLING = """
import pandera.pandas as pa

def looks(series):
    if (series == "boom").any():
        raise ValueError("boom")
    return series != "bad"

contract = pa.DataFrameSchema({"word": pa.Column(str, pa.Check(looks, name="looks"))})
"""


#: One with a column that need not be there, and has no empty cells where it is.
LEAVING_OUT = """
import pandera.pandas as pa

contract = pa.DataFrameSchema({"word": pa.Column(str), "note": pa.Column(str, required=False)})
"""

#: What a drop may bring: nothing of ours, nothing at all, rows.
DATA = [good(3), dirty(), b"nothing,of,ours\n1,2,3\n", b""]


def large(drop: Drop) -> Drop:
    """Return the drop with a size at which it is judged by itself, whatever it really has."""
    return replace(drop, found=replace(drop.found, size=SMALL_BYTES + 1))


def as_it_is(drop: Drop) -> Drop:
    return drop


@pytest.fixture(params=[large, as_it_is])
def sized(request: pytest.FixtureRequest) -> Callable[[Drop], Drop]:
    """Both ways in which a drop can be worked."""
    way: Callable[[Drop], Drop] = request.param
    return way


def states(prepared: Prepared) -> dict[str, State]:
    return {outcome.drop_id: outcome.state for outcome in prepared.outcomes}


def of(prepared: Prepared, drop: Drop) -> Outcome:
    (found,) = (outcome for outcome in prepared.outcomes if outcome.drop_id == drop.id)
    return found


def staged_rows(rig: Rig, prepared: Prepared) -> dict[str, int]:
    """Return how many rows of each drop the unit's files hold."""
    root = Path(rig.store.describe(rig.feed.name))
    return Counter(drop for file in prepared.files for drop in read(root / file.path)["_drop"].to_pylist())


def read(path: Path) -> pa.Table:
    with pq.ParquetFile(path) as opened:
        return opened.read()


class Leaving(MemorySource):
    """A source that finds out, when one name has been read, that it cannot be believed."""

    def __init__(self, name: str, error: Exception) -> None:
        super().__init__()
        self.name, self.error = f"metrics/{name}.csv", error
        self.fetched: list[str] = []

    @contextmanager
    def fetch(self, found: Found) -> Iterator[Path]:
        self.fetched.append(found.name)
        with super().fetch(found) as path:
            yield path
        if found.name == self.name:
            raise self.error


# ---------------------------------------------------------------- SMALL DROPS TOGETHER


def test_small_drops_share_a_file_and_each_row_knows_whose_it_is(rig: Rig) -> None:
    drops = rig.put(a=good(2), b=dirty(), c=good(4, "c"))
    _, prepared = rig.prepare(drops)

    a, b, c = drops
    assert states(prepared) == {a.id: State.INGESTED, b.id: State.PARTIAL, c.id: State.INGESTED}
    (file,) = prepared.files
    table = read(Path(rig.store.describe("metrics"), file.path))
    assert staged_rows(rig, prepared) == {a.id: 2, b.id: 9, c.id: 4}
    numbers = [row["_row"] for row in table.to_pylist() if row["_drop"] == b.id]
    assert numbers == [1, 2, 3, 4, 6, 7, 8, 9, 10]
    assert set(table["customer"].to_pylist()) == {"default"}
    assert table["_ingested_at"][0].as_py().timestamp() == NOON
    assert prepared.schema is not None
    absent = {"timestamp", "numerator", "denominator", "timeuuid", "is_test"}
    assert [name for name in prepared.schema.names if name not in absent] == table.schema.names
    assert absent < set(prepared.schema.names)


def test_read_is_accepted_and_rejected_in_every_outcome(rig: Rig) -> None:
    _, prepared = rig.prepare(rig.put(a=good(2), b=dirty(), c=b"", d=b"x\n1\n", e=text.HEADER))
    assert len(prepared.outcomes) == 5
    for outcome in prepared.outcomes:
        assert outcome.rows.read == outcome.rows.accepted + outcome.rows.rejected
        assert staged_rows(rig, prepared).get(outcome.drop_id, 0) == outcome.rows.accepted


def test_the_outcome_says_what_the_ledger_needs(rig: Rig) -> None:
    (drop,) = rig.put(b=dirty())
    (outcome,) = rig.prepare([drop])[1].outcomes
    assert outcome.sha256 == hashlib.sha256(dirty()).hexdigest()
    assert outcome.rules == (("type", "metric_value", 1),)
    assert outcome.contract == describe(METRICS).digest
    assert outcome.report == str(rig.quarantine.folder("default", "metrics", drop.id))
    assert NOON < outcome.started_at <= outcome.finished_at  # by the machine's clock
    assert read_report(Path(outcome.report)).state is State.PARTIAL


def test_a_good_drop_needs_no_report(rig: Rig) -> None:
    (outcome,) = rig.prepare(rig.put(a=good(2)))[1].outcomes
    assert (outcome.report, rig.entries()) == ("", [])


def test_a_rejected_drop_keeps_its_original_and_stages_nothing(rig: Rig) -> None:
    (drop,) = rig.put(a=b"nothing,of,ours\n1,2,3\n")
    _, prepared = rig.prepare([drop])
    assert prepared.files == ()
    assert prepared.schema is None
    folder = Path(of(prepared, drop).report)
    assert (folder / "a.csv").read_bytes() == b"nothing,of,ours\n1,2,3\n"


def test_a_feeds_budget_rejects_the_drop_that_is_over_it_and_no_other(rig: Rig) -> None:
    bad = text.HEADER + b"x,user_id,revenue,2026-03-01,lots\n" * 2 + text.rows(1)[0]
    a, b = rig.put(a=bad, b=good(3))
    _, prepared = rig.prepare([a, b])
    assert states(prepared) == {a.id: State.REJECTED, b.id: State.INGESTED}
    assert "2 of 3 rows have problems, more than the 50% that the feed allows" in of(prepared, a).reason
    assert staged_rows(rig, prepared) == {b.id: 3}


def test_a_check_that_stumbles_over_one_file_is_not_held_against_the_others(
    rig_of: Callable[..., Rig], tmp_path: Path
) -> None:
    (tmp_path / "words.py").write_text(STUMBLING)
    rig = rig_of(feed_contract="words.py:contract", feed_base=tmp_path, feed_row_wise=("*",))
    a, b, c = rig.put(a=b"word\ngood\n", b=b"word\nboom\n", c=b"word\ngood\nfine\nbad\n")
    _, prepared = rig.prepare([a, b, c])
    assert states(prepared) == {a.id: State.INGESTED, b.id: State.REJECTED, c.id: State.PARTIAL}
    assert of(prepared, b).rules[0][0] == "check_error"
    assert staged_rows(rig, prepared) == {a.id: 1, c.id: 2}


def test_a_column_that_records_may_leave_out_is_not_said_to_be_filled_by_others(
    rig_of: Callable[..., Rig], tmp_path: Path, sized: Callable[[Drop], Drop]
) -> None:
    (tmp_path / "notes.py").write_text(LEAVING_OUT)
    rig = rig_of(feed_contract="notes.py:contract", feed_base=tmp_path)
    rig.source.put("metrics/a.csv", b"word,note\na,x\nb,y\n")
    rig.source.put("metrics/b.ndjson", b'{"word": "c", "note": "z"}\n{"word": "d"}\n')
    drops = rig.intake.look().drops
    for given in [drops] if sized is as_it_is else [[drop] for drop in drops]:
        _, prepared = rig.prepare([sized(drop) for drop in given])
        assert set(states(prepared).values()) == {State.INGESTED}
        for file in prepared.files:
            table = read(Path(rig.store.describe("metrics"), file.path))
            filled = {field.name for field in table.schema if not field.nullable}
            assert filled == {"word", "customer", "_drop", "_row", "_ingested_at"} | (
                set() if "d" in table["word"].to_pylist() else {"note"}
            )
            assert json.loads(file.stats)["nullCount"]["note"] == table["note"].null_count
            assert json.loads(file.stats)["nullCount"]["word"] == 0


# ---------------------------------------------------------------- LARGE ONES


def test_a_large_drop_is_streamed_into_files_of_its_own(rig: Rig) -> None:
    a, b, c = rig.put(a=dirty(), b=good(2), c=good(3))
    _, prepared = rig.prepare([large(a), b, c])
    assert of(prepared, a).state is State.PARTIAL
    assert (of(prepared, a).rows.read, of(prepared, a).rows.accepted) == (10, 9)
    assert sorted(file.rows for file in prepared.files) == [5, 9]


def test_a_large_drop_gets_the_outcome_that_a_small_one_gets(rig: Rig) -> None:
    for number, data in enumerate(DATA):
        (drop,) = rig.put(**{f"a{number}": data})[-1:]
        (small,) = rig.prepare([drop])[1].outcomes
        (alone,) = rig.prepare([large(drop)])[1].outcomes
        assert replace(alone, started_at=0.0, finished_at=0.0) == replace(small, started_at=0.0, finished_at=0.0)


def test_a_small_file_of_several_batches_is_read_from_its_start_again(rig_of: Callable[..., Rig]) -> None:
    rig = rig_of(limits=Limits(batch_rows=16))
    lines = [line.decode().strip().split(",") for line in text.rows(40)]
    table = pa.table(dict(zip(text.HEADER.decode().strip().split(","), zip(*lines, strict=True), strict=True)))
    pq.write_table(table, rig.folder / "a.parquet")
    rig.source.put("metrics/a.parquet", (rig.folder / "a.parquet").read_bytes())
    drops = rig.intake.look().drops
    _, prepared = rig.prepare(drops)
    assert staged_rows(rig, prepared) == {drops[0].id: 40}
    assert of(prepared, drops[0]).rows.read == 40


# ---------------------------------------------------------------- DUPLICATES


def test_the_same_bytes_twice_in_a_unit_are_one_drop_and_a_duplicate(rig: Rig) -> None:
    a, b = rig.put(a=good(2), b=good(2))
    _, prepared = rig.prepare([a, b])
    assert states(prepared) == {a.id: State.INGESTED, b.id: State.DUPLICATE}
    assert of(prepared, b).sha256 == of(prepared, a).sha256


def test_bytes_that_are_known_are_not_even_opened(rig: Rig) -> None:
    (drop,) = rig.put(a=b"\x00 no table at all")
    known = frozenset({("default", hashlib.sha256(b"\x00 no table at all").hexdigest())})
    _, prepared = rig.prepare([drop], known=known)
    assert states(prepared) == {drop.id: State.DUPLICATE}
    _, prepared = rig.prepare([drop], known=frozenset({("acme", digest) for _, digest in known}))
    assert states(prepared) == {drop.id: State.REJECTED}


def test_a_feed_may_take_duplicates(rig_of: Callable[..., Rig]) -> None:
    rig = rig_of(feed_duplicates=OnDuplicate.INGEST)
    a, b = rig.put(a=good(2), b=good(2))
    assert staged_rows(rig, rig.prepare([a, b])[1]) == {a.id: 2, b.id: 2}


# ---------------------------------------------------------------- WHAT CANNOT BE BELIEVED


@pytest.mark.parametrize("data", DATA, ids=len)
def test_nothing_is_kept_of_a_drop_that_changed_while_it_was_read(
    rig_of: Callable[..., Rig], sized: Callable[[Drop], Drop], data: bytes
) -> None:
    rig = rig_of(source=Leaving("a", ChangedError()))
    a, b = rig.put(a=data, b=good(2))
    _, prepared = rig.prepare([sized(a), b])
    assert prepared.changed == (a.id,)
    assert states(prepared) == {b.id: State.INGESTED}
    assert staged_rows(rig, prepared) == {b.id: 2}
    assert rig.entries() == []


@pytest.mark.parametrize("data", DATA, ids=len)
def test_nothing_is_kept_of_a_drop_that_could_not_be_looked_at_again(
    rig_of: Callable[..., Rig], sized: Callable[[Drop], Drop], data: bytes
) -> None:
    """It is tried again, so rows that were kept would be in the table twice."""
    rig = rig_of(source=Leaving("a", SourceError("permission denied")))
    a, b = rig.put(a=data, b=good(2))
    _, prepared = rig.prepare([sized(a), b])
    assert states(prepared) == {a.id: State.FAILED, b.id: State.INGESTED}
    assert of(prepared, a).reason == "permission denied"
    assert staged_rows(rig, prepared) == {b.id: 2}
    assert rig.entries() == []


@pytest.mark.parametrize(
    "error", [ChangedError(), SourceError("permission denied")], ids=lambda error: type(error).__name__
)
def test_bytes_of_a_drop_that_is_not_believed_are_not_known(
    rig_of: Callable[..., Rig], sized: Callable[[Drop], Drop], error: Exception
) -> None:
    """Another drop that brings the same is no duplicate: its rows would be nowhere."""
    rig = rig_of(source=Leaving("a", error))
    a, b = rig.put(a=good(3), b=good(3))
    _, prepared = rig.prepare([sized(a), sized(b)])
    assert of(prepared, b).state is State.INGESTED
    assert staged_rows(rig, prepared) == {b.id: 3}


def test_a_duplicate_that_changed_while_it_was_read_has_no_outcome(rig_of: Callable[..., Rig]) -> None:
    rig = rig_of(source=Leaving("b", ChangedError()))
    a, b = rig.put(a=good(3), b=good(3))
    _, prepared = rig.prepare([a, b])
    assert prepared.changed == (b.id,)
    assert states(prepared) == {a.id: State.INGESTED}


def test_a_rejected_drop_that_changed_before_its_original_was_kept_takes_its_duplicates_with_it(
    rig_of: Callable[..., Rig],
) -> None:
    """A small file is judged when it has been read, and fetched again for its original."""

    class Second(Leaving):
        @contextmanager
        def fetch(self, found: Found) -> Iterator[Path]:
            if found.name in self.fetched:
                raise self.error
            self.fetched.append(found.name)
            with MemorySource.fetch(self, found) as path:
                yield path

    rig = rig_of(source=Second("a", ChangedError()))
    a, b, c = rig.put(a=b"nope\n1\n", b=b"nope\n1\n", c=good(1))
    _, prepared = rig.prepare([a, b, c])
    assert sorted(prepared.changed) == sorted([a.id, b.id])
    assert states(prepared) == {c.id: State.INGESTED}
    assert rig.entries() == []


# ---------------------------------------------------------------- FAILURES


def test_a_unit_that_fails_leaves_nothing_staged(rig: Rig) -> None:
    blocked = Path(rig.store.describe("metrics"), "date=2026-03-02")
    blocked.parent.mkdir(parents=True)
    blocked.write_text("a file where the day's folder should be")
    other_day = good(2, "later").replace(b"2026-03-01", b"2026-03-02")
    with pytest.raises(StoreError, match="cannot be written: Not a directory"):
        rig.prepare([large(drop) for drop in rig.put(a=good(3), b=other_day)])
    assert rig.staged() == set()


def test_a_quarantine_that_cannot_be_written_ends_the_unit_and_nothing_is_staged(rig: Rig) -> None:
    (rig.folder / "quarantine").write_text("a file where the folder should be")
    for way in (as_it_is, large):
        with pytest.raises(WorkError, match=r"The quarantine at .* cannot be used"):
            rig.prepare([way(drop) for drop in rig.put(a=good(3), b=dirty())])
        assert rig.staged() == set()


def test_rows_that_are_staged_are_held_against_those_that_were_accepted(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file too large for one of its rules was once told to have been accepted, and none of its rows were staged."""
    monkeypatch.setattr(Landing, "batch", lambda *_: None)
    (drop,) = rig.put(a=good(3))
    with pytest.raises(WorkError, match="0 rows are staged where 3 were accepted: this is a fault of blobdrop"):
        rig.prepare([large(drop)])
    assert rig.staged() == set()


def test_doing_a_unit_again_overwrites_what_the_first_go_left(rig: Rig) -> None:
    drops = rig.put(a=good(2), b=dirty())
    first, again = rig.prepare(drops)[1], rig.prepare(drops)[1]
    assert [file.path for file in first.files] == [file.path for file in again.files]
    assert len(rig.staged()) == 1
    assert rig.entries() == [drops[1].id]


def test_a_contract_that_cannot_be_loaded_says_which(rig_of: Callable[..., Rig]) -> None:
    rig = rig_of(feed_contract="validators.metrics:precomputed")
    with pytest.raises(ContractError, match="precomputed_metrics"):
        rig.prepare(rig.put(a=good(2)))
    assert rig.staged() == set()


def test_a_contract_is_described_and_loaded_once() -> None:
    summary = describe(METRICS)
    assert summary.columns[:3] == ("unit_id", "id_type", "metric_name")
    assert summary.time_column == "date"
    before = contracts._loaded.cache_info()
    assert describe(replace(METRICS, name="other")).digest == summary.digest
    assert contracts._loaded.cache_info().hits == before.hits + 1
    assert describe(replace(METRICS, options={"id_types": ["team_id"]})).digest != summary.digest


@pytest.mark.parametrize(
    ("seconds", "zone", "day"),
    [(0.0, "UTC", 0), (-1.0, "UTC", -1), (8 * 3600 - 1, "Etc/GMT+8", -1), (8 * 3600, "Etc/GMT+8", 0)],
)
def test_the_day_of_an_instant_is_that_of_the_feeds_zone(seconds: float, zone: str, day: int) -> None:
    assert day_of(seconds, zone) == day


def test_a_large_drop_of_texts_that_repeat_loses_and_changes_none(rig: Rig, sized: Callable[[Drop], Drop]) -> None:
    """Its batches hold texts as codes; those of one bad row in five are left out of them."""
    names = ["checkout", "search", "basket"]
    kinds = ["user_id", "stable_id", "userid", "user_id", "stable_id"]
    cells = [(f"u{n}", kinds[n % 5], f"2026-03-0{1 + n % 3}", names[n % 3], str(n / 2)) for n in range(6000)]
    lines = ["unit_id,id_type,date,metric_name,metric_value", *(",".join(row) for row in cells)]
    (drop,) = rig.put(a="\n".join(lines).encode())
    _, prepared = rig.prepare([sized(drop)])

    assert of(prepared, drop).rows.accepted == 4800
    root = Path(rig.store.describe("metrics"))
    found = [
        (row["unit_id"], row["id_type"], file.date, row["metric_name"], row["metric_value"], row["_row"])
        for file in prepared.files
        for row in read(root / file.path).to_pylist()
    ]
    good_rows = [
        (unit, kind, day, name, float(value), number)
        for number, (unit, kind, day, name, value) in enumerate(cells, start=1)
        if kind != "userid"
    ]
    assert sorted(found, key=lambda row: row[-1]) == good_rows
