"""rejected.csv: rejected records as they came, in order, safe to open in a spreadsheet and safe to drop back."""

from __future__ import annotations

import codecs
import csv
import io
import re
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from daemon.errors import WorkError
from daemon.quarantine.rejects import RejectedWriter
from validators.formulas import unguard
from validators.model import Chunk, Dialect, Limits, Malformed, MalformedRecords
from validators.readers import open_file

ALIVE = re.compile(r"[=+\-@\t\r\n\uff1d\uff0b\uff0d\uff20]")
NUMBER = re.compile(r"[+-](?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
EVIL = ["=1+1", "'=1", "''=1", "@x", "+49 123", "-5-3", "-5", "+.5e-3", "-E5", "-", "+", "-.", "-5.5.5", "\t="]
EVIL += ["\r=", "\uff1d1", "'\uff20", "'", "''", "'-5", "a=b", "-1e5", "-1e+5x", "-1e", "=\n", "\n=", "-1,5", '"=', ""]


def delimited(*records: str, rows: Sequence[int] = (), malformed: Sequence[Malformed] = ()) -> Chunk:
    """Return a chunk of delimited text as its reader gives it: the columns asked for are none of ours."""
    raw = pa.array([record.encode() for record in records], pa.binary())
    numbers = np.array(rows or range(1, len(records) + 1), np.int64)
    return Chunk(
        table=pa.table({}),
        rows=numbers,
        lines=numbers + 1,
        malformed=MalformedRecords.of(malformed),
        raw=lambda positions: raw.take(pa.array(positions)),
    )


def typed(**columns: object) -> Chunk:
    table = pa.table(columns)
    rows = np.arange(1, table.num_rows + 1, dtype=np.int64)
    return Chunk(table=table, rows=rows, lines=np.zeros(len(rows), np.int64))


def malformed(row: int, raw: str, rule: str = "field_count") -> Malformed:
    return Malformed(row=row, line=row + 1, rule=rule, found="3 fields", expected="2 fields", raw=raw)


def write(
    path: Path,
    *chunks: Chunk,
    names: Sequence[str] | None = ("a", "b"),
    dialect: Dialect | None = None,
    problem: str = "bad",
    returned: bool = False,
    feed: Dialect | None = None,
) -> str:
    """Reject all rows of all chunks, and return what the file holds."""
    declared = (feed or Dialect()).encoding
    file = path / "rejected.csv"
    with RejectedWriter(file, names, dialect or Dialect(), returned=returned, declared=declared) as writer:
        for chunk in chunks:
            writer.batch(chunk, np.arange(len(chunk.rows)), pa.array([problem] * len(chunk.rows), pa.string()))
    return (path / "rejected.csv").read_bytes().decode()


def cells(text: str, dialect: Dialect | None = None) -> list[list[str]]:
    dialect = dialect or Dialect()
    if not dialect.quote:
        return [line.split(dialect.delimiter) for line in text.removesuffix("\n").split("\n")]
    reading = csv.reader(io.StringIO(text, newline=""), delimiter=dialect.delimiter, quotechar=dialect.quote)
    return list(reading)


def encoded(record: Sequence[str], dialect: Dialect, *, everything: bool = False) -> str:
    """Write a record as some program of a customer's would."""
    special = f"{dialect.delimiter}{dialect.quote}\r\n"
    quote, double = dialect.quote, dialect.quote * 2
    needs = [everything or any(character in cell for character in special) for cell in record]
    written = [
        f"{quote}{cell.replace(quote, double)}{quote}" if quoted else cell
        for cell, quoted in zip(record, needs, strict=True)
    ]
    return dialect.delimiter.join(written)


def test_rejected_records_stand_as_they_came_with_line_and_problems_at_their_end(tmp_path: Path) -> None:
    text = write(tmp_path, delimited('1, "x" ', '"2","a ""q"""', "3,"), problem='b: expected "x", or y')
    assert text == (
        "a,b,_line,_problems\n"
        '1, "x" ,2,"b: expected ""x"", or y"\n'
        '"2","a ""q""",3,"b: expected ""x"", or y"\n'
        '3,,4,"b: expected ""x"", or y"\n'
    )


def test_only_the_rejected_rows_are_written(tmp_path: Path) -> None:
    with RejectedWriter(tmp_path / "r.csv", ("a",), Dialect()) as writer:
        writer.batch(delimited("x", "y", "z"), np.array([0, 2]), pa.array(["p", "q"]))
        assert writer.rows == 2
    assert cells((tmp_path / "r.csv").read_text()) == [["a", "_line", "_problems"], ["x", "2", "p"], ["z", "4", "q"]]


def test_without_a_rejected_row_there_is_no_file(tmp_path: Path) -> None:
    for names in (("a",), None):
        with RejectedWriter(tmp_path / "r.csv", names, Dialect()) as writer:
            writer.batch(delimited("x"), np.array([], np.int64), pa.array([], pa.string()))
    assert list(tmp_path.iterdir()) == []


def test_batches_follow_each_other_and_malformed_records_stand_where_they_stood(tmp_path: Path) -> None:
    first = delimited("1,x", "4,x", rows=[1, 4], malformed=[malformed(2, "2,x,x"), malformed(3, '3"', "quote")])
    second = delimited("5,x", rows=[5], malformed=[malformed(6, "6")])
    said = "row {} (line {}): found 3 fields, expected 2 fields"
    assert cells(write(tmp_path, first, second))[1:] == [
        ["1", "x", "2", "bad"],
        ["2", "x", "x", "3", said.format(2, 3)],
        ['3"', "4", said.format(3, 4)],
        ["4", "x", "5", "bad"],
        ["5", "x", "6", "bad"],
        ["6", "7", said.format(6, 7)],
    ]


@pytest.mark.parametrize("raw", ['"open', 'a,"b\nc,d', "x\n\r\ny", '=1,"', "nul\x00,", "\\xff,b", "\udc80"])
def test_a_record_that_is_not_well_formed_cannot_damage_the_lines_below(tmp_path: Path, raw: str) -> None:
    chunk = delimited("1,x", "3,x", rows=[1, 3], malformed=[malformed(2, raw, "quote")])
    lines = cells(write(tmp_path, chunk))
    assert [len(line) for line in lines] == [4, 4, 3, 4]
    assert unguard(pa.array([lines[2][0]]))[0].as_py() == raw.encode("utf-8", "backslashreplace").decode()


def test_a_batch_of_malformed_records_alone_is_written(tmp_path: Path) -> None:
    assert len(cells(write(tmp_path, delimited(malformed=[malformed(1, "1"), malformed(2, "2")])))) == 3


@pytest.mark.parametrize(
    ("record", "kept"),
    [
        ("=cmd|' /C calc'!A0,x", "'=cmd|' /C calc'!A0,x"),
        ('"=HYPERLINK(""x"",""y"")",x', '"\'=HYPERLINK(""x"",""y"")",x'),
        ("x,@SUM(1)", "x,'@SUM(1)"),
        ("+49 123,-5", "'+49 123,-5"),
        ("-5-3,+1.5e7", "'-5-3,+1.5e7"),
        ("'=1,'x", "''=1,'x"),
        ('"a,=b",=c', '"a,=b",\'=c'),
        ('"a\n=b",x', '"a\n=b",x'),
        ("\uff1d1+1,x", "'\uff1d1+1,x"),
    ],
)
def test_a_formula_does_not_come_alive_and_nothing_else_of_its_record_changes(
    tmp_path: Path, record: str, kept: str
) -> None:
    assert write(tmp_path, delimited(record)) == f'a,b,_line,_problems\n{kept},2,"bad"\n'


def test_names_and_problems_do_not_come_alive_either(tmp_path: Path) -> None:
    text = write(tmp_path, delimited("1,x"), names=("=a", 'b "q", c'), problem="=1+1: expected more")
    assert cells(text) == [["'=a", 'b "q", c', "_line", "_problems"], ["1", "x", "2", "'=1+1: expected more"]]


def test_quotes_that_are_apostrophes_are_kept_apart_from_guards(tmp_path: Path) -> None:
    dialect = Dialect(quote="'")
    text = write(tmp_path, delimited("=1,x", "'=1,2','it''s'"), dialect=dialect)
    assert cells(text, dialect)[1:] == [["'=1", "x", "2", "bad"], ["'=1,2", "it's", "3", "bad"]]


def test_tabs_between_cells_are_not_formulas(tmp_path: Path) -> None:
    dialect = Dialect(delimiter="\t")
    text = write(tmp_path, delimited("1\t", "\t", "\t=1", '"\t1"\tx'), dialect=dialect)
    assert cells(text, dialect)[1:] == [
        ["1", "", "2", "bad"],
        ["", "", "3", "bad"],
        ["", "'=1", "4", "bad"],
        ["'\t1", "x", "5", "bad"],
    ]


def test_without_quotes_problems_hold_no_delimiter(tmp_path: Path) -> None:
    dialect = Dialect(delimiter="|", quote="")
    text = write(tmp_path, delimited('1|"x', "=1|x"), dialect=dialect, problem="this | that\nand more")
    assert text == "a|b|_line|_problems\n1|\"x|2|this   that and more\n'=1|x|3|this   that and more\n"


DIALECTS = [Dialect(), Dialect(delimiter=";", quote="'"), Dialect(delimiter="\t"), Dialect(delimiter="|")]
CELLS = st.one_of(st.sampled_from(EVIL), st.text(alphabet="ab '\",;|\t=+-@.1e5é\uff1d\n\r", max_size=8))


@settings(deadline=None)
@given(st.sampled_from(DIALECTS), st.lists(st.tuples(CELLS, CELLS), min_size=1, max_size=8), st.booleans())
def test_cells_of_delimited_text_are_never_alive_and_come_back_the_same(
    tmp_path_factory: pytest.TempPathFactory, dialect: Dialect, records: list[tuple[str, str]], everything: bool
) -> None:
    folder = tmp_path_factory.mktemp("raw")
    chunk = delimited(*(encoded(record, dialect, everything=everything) for record in records))
    text = write(folder, chunk, dialect=dialect)
    written = cells(text, dialect)[1:]
    _assert_safe_and_same(written, records)
    again = delimited(*(encoded(line, dialect, everything=everything) for line in written))
    assert [line[:2] for line in cells(write(folder, again, dialect=dialect, returned=True), dialect)[1:]] == [
        line[:2] for line in written
    ]


@settings(deadline=None)
@given(st.sampled_from(DIALECTS), st.lists(st.tuples(CELLS, CELLS), min_size=1, max_size=8))
def test_cells_of_typed_files_are_never_alive_and_come_back_the_same(
    tmp_path_factory: pytest.TempPathFactory, dialect: Dialect, records: list[tuple[str, str]]
) -> None:
    folder = tmp_path_factory.mktemp("typed")
    chunk = typed(a=[record[0] for record in records], b=[record[1] for record in records])
    for names in (("a", "b"), None):
        _assert_safe_and_same(cells(write(folder, chunk, dialect=dialect, names=names), dialect)[1:], records)


def _assert_safe_and_same(written: list[list[str]], records: list[tuple[str, str]]) -> None:
    for line, record in zip(written, records, strict=True):
        assert all(NUMBER.fullmatch(cell) or not ALIVE.match(cell) for cell in line)
        assert tuple(unguard(pa.array(line[:2], pa.string())).to_pylist()) == record


def test_a_file_dropped_back_is_not_guarded_twice_and_loses_its_old_columns(tmp_path: Path) -> None:
    chunk = delimited('\'=1,x,2,"b: bad, ""very"""', "=2,x,3,", '-5,"x,y",,')
    text = write(tmp_path, chunk, returned=True)
    assert text == 'a,b,_line,_problems\n\'=1,x,2,"bad"\n\'=2,x,3,"bad"\n-5,"x,y",4,"bad"\n'


@pytest.mark.parametrize("dialect", [Dialect(), Dialect(delimiter=";", encoding="cp1252"), Dialect(encoding="utf-16")])
def test_a_real_file_comes_back_through_a_real_reader_with_the_same_cells_however_often(
    tmp_path: Path, dialect: Dialect
) -> None:
    rows = [["id", "näme"], ["1", "=1+1"], ["2", "'=x"], ["-3", ""], ["+49 1", 'a "b"\n=c'], ["5", "é;,"]]
    dropped = tmp_path / "dropped.csv"
    lines = "\r\n".join(encoded(row, dialect) for row in rows)
    dropped.write_bytes((lines + "\r\n").encode(dialect.encoding))
    for go in range(3):
        reader = open_file(dropped, name=dropped.name, dialect=dialect, limits=Limits())
        assert reader.returned == (go > 0)
        chunks = list(reader.chunks())
        table = pa.concat_tables(chunk.table for chunk in chunks)
        assert reader.header() == ("id", "näme")
        assert table.to_pylist() == [
            dict(zip(rows[0], [cell or None for cell in row], strict=True)) for row in rows[1:]
        ]
        folder = tmp_path / f"go {go}"
        folder.mkdir()
        write(folder, *chunks, names=reader.header(), dialect=reader.dialect, returned=reader.returned, feed=dialect)
        reader.close()
        dropped = folder / "rejected.csv"
    assert dropped.read_bytes() == (tmp_path / "go 1" / "rejected.csv").read_bytes()


def test_nothing_and_an_empty_text_stay_apart_in_typed_files(tmp_path: Path) -> None:
    chunk = typed(a=["", None, "NA", " x"], b=[1, None, -3, 12])
    text = write(tmp_path, chunk, dialect=Dialect(null_tokens=("", "NA")))
    assert text == 'a,b,_line,_problems\n"",1,,"bad"\n,,,"bad"\n"NA",-3,,"bad"\n" x",12,,"bad"\n'


def test_typed_values_are_written_as_text_that_reads_back(tmp_path: Path) -> None:
    chunk = typed(a=pa.array([1.5, 12.0]), b=pa.array([[1, 2], None]))
    assert cells(write(tmp_path, chunk))[1:] == [["1.5", "[1,2]", "", "bad"], ["12", "", "", "bad"]]


def test_a_name_that_stands_twice_keeps_both_columns(tmp_path: Path) -> None:
    table = pa.table([pa.array(["1"]), pa.array(["2"])], names=["a", "a"])
    chunk = Chunk(table=table, rows=np.array([1]), lines=np.array([0]))
    assert cells(write(tmp_path, chunk, names=("a", "a")))[1] == ["1", "2", "", "bad"]


def test_records_that_name_their_own_columns_get_all_names_of_all_batches(tmp_path: Path) -> None:
    first, second = typed(a=["1"], b=["x"]), typed(c=[True], a=[2])
    broken = Chunk(
        table=pa.table({"a": ["4"]}),
        rows=np.array([4]),
        lines=np.array([5]),
        malformed=MalformedRecords.of([malformed(3, '{"a": 1, "b"', "invalid_json")]),
    )
    assert cells(write(tmp_path, first, second, broken, names=None)) == [
        ["a", "b", "c", "_line", "_problems"],
        ["1", "x", "", "", "bad"],
        ["2", "", "true", "", "bad"],
        ['{"a": 1, "b"', "4", "row 3 (line 4): found 3 fields, expected 2 fields"],
        ["4", "", "", "5", "bad"],
    ]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["origins.parquet", "rejected.csv"]


def test_records_without_any_name_are_kept_whole(tmp_path: Path) -> None:
    chunk = Chunk(
        table=pa.table({}),
        rows=np.array([], np.int64),
        lines=np.array([], np.int64),
        malformed=MalformedRecords.of([malformed(1, "{", "invalid_json")]),
    )
    said = "row 1 (line 2): found 3 fields, expected 2 fields"
    assert cells(write(tmp_path, chunk, names=None)) == [["_line", "_problems"], ["{", "2", said]]


@pytest.mark.parametrize(
    ("encoding", "marked"), [("utf-8", False), ("UTF8", False), ("ascii", False), ("cp1252", True), ("utf-16", True)]
)
def test_a_mark_says_that_it_is_utf8_where_the_feed_says_otherwise(tmp_path: Path, encoding: str, marked: bool) -> None:
    write(tmp_path, delimited("é,x"), dialect=Dialect(encoding=encoding))
    data = (tmp_path / "rejected.csv").read_bytes()
    assert data.startswith(codecs.BOM_UTF8) == marked
    assert "é,x".encode() in data


def test_an_older_file_is_replaced(tmp_path: Path) -> None:
    write(tmp_path, delimited("1,x", "2,x"))
    assert len(cells(write(tmp_path, delimited("3,x")))) == 2


@pytest.mark.parametrize("names", [("a", "b"), None])
def test_a_full_disk_is_work_that_cannot_be_done_now(tmp_path: Path, names: Sequence[str] | None) -> None:
    (tmp_path / "rejected.csv").symlink_to("/dev/full")
    chunk = delimited("1,x") if names else typed(a=["1"])
    with pytest.raises(WorkError, match="No space left on device") as caught:
        write(tmp_path, chunk, names=names)
    assert isinstance(caught.value.__cause__, OSError)


def test_an_error_while_writing_leaves_no_temporary_file(tmp_path: Path) -> None:
    writer = RejectedWriter(tmp_path / "r.csv", None, Dialect())
    writer.batch(typed(a=["1"]), np.array([0]), pa.array(["p"]))
    with pytest.raises(RuntimeError), writer:
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []


def test_many_rejected_rows_are_quick(tmp_path: Path) -> None:
    chunk = delimited(*(f"u{number},userid,revenue,2026-03-01,-12.5," for number in range(100_000)))
    started = time.process_time()
    write(tmp_path, chunk, names=tuple("abcdef"))
    # 0.05 s on a good machine; the test leaves room for a busy one.
    assert time.process_time() - started < 1
