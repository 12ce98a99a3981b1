"""CSV and TSV as a feed's files really come: headers, dialects, encodings, and what is wrong with them."""

from __future__ import annotations

import gzip
import random
import time
import tracemalloc
from collections import deque
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from validators.errors import BlobdropError, FileProblem, SetupError
from validators.model import Chunk, Dialect, Limits, Malformed
from validators.readers import blocks
from validators.readers.delimited import DelimitedReader


class Drop:
    """Writes a file and reads it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def reader(
        self,
        data: bytes,
        *,
        name: str = "a.csv",
        limits: Limits | None = None,
        block_bytes: int = 1 << 20,
        **dialect: Any,
    ) -> DelimitedReader:
        path = self.folder / "drop"
        path.write_bytes(data)
        return DelimitedReader(
            path, name=name, dialect=Dialect(**dialect), limits=limits or Limits(), block_bytes=block_bytes
        )

    def rows(self, data: bytes, **options: Any) -> list[tuple[str | None, ...]]:
        return rows_of(list(self.reader(data, **options).chunks()))

    def malformed(self, data: bytes, **options: Any) -> list[Malformed]:
        return [bad for chunk in self.reader(data, **options).chunks() for bad in chunk.malformed]

    def problem(self, data: bytes, **options: Any) -> FileProblem:
        with pytest.raises(FileProblem) as caught:
            deque(self.reader(data, **options).chunks(), maxlen=0)
        return caught.value


@pytest.fixture
def drop(tmp_path: Path) -> Drop:
    return Drop(tmp_path)


def rows_of(chunks: list[Chunk]) -> list[tuple[str | None, ...]]:
    return [tuple(row.values()) for chunk in chunks for row in chunk.table.to_pylist()]


class TestHeaders:
    @pytest.mark.parametrize("data", [b"", b"\n\r\n\n", b"\xef\xbb\xbf", "\ufeff\n".encode("utf-16-le")])
    def test_a_file_without_a_record_is_empty(self, drop: Drop, data: bytes) -> None:
        assert drop.problem(data).rule == "empty_file"

    @pytest.mark.parametrize("end", [b"", b"\n", b"\r\n", b"\r", b"\n\n\n"])
    def test_a_header_alone_is_a_file_without_rows(self, drop: Drop, end: bytes) -> None:
        reader = drop.reader(b"a,b" + end)
        assert reader.header() == ("a", "b")
        assert list(reader.chunks()) == []

    def test_blank_lines_before_the_header_are_skipped_and_counted(self, drop: Drop) -> None:
        (chunk,) = drop.reader(b"\n\r\na,b\n\n1,2\n").chunks()
        assert (chunk.rows.tolist(), chunk.lines.tolist()) == ([1], [5])

    def test_names_are_taken_as_they_are(self, drop: Drop) -> None:
        header = ' a,"b, ""c""","d\ne",,a\n'
        reader = drop.reader(b"\xef\xbb\xbf" + header.encode() + b"1,2,3,4,5\n")
        assert reader.header() == (" a", 'b, "c"', "d\ne", "", "a")
        (chunk,) = reader.chunks()
        assert chunk.lines.tolist() == [3]

    def test_only_the_columns_asked_for_are_read_in_file_order(self, drop: Drop) -> None:
        reader = drop.reader(b"a,b,a,c\n1,2,3,4\n")
        (chunk,) = reader.chunks(["c", "b", "z"])
        assert chunk.table.to_pydict() == {"b": ["2"], "c": ["4"]}
        (chunk,) = reader.chunks([])
        assert (chunk.table.num_columns, chunk.read) == (0, 1)

    def test_given_columns_stand_for_a_header(self, drop: Drop) -> None:
        reader = drop.reader(b"1,2\n3,4\n", header=False, columns=("x", "y"))
        assert reader.header() == ("x", "y")
        (chunk,) = reader.chunks()
        assert chunk.table.to_pydict() == {"x": ["1", "3"], "y": ["2", "4"]}
        assert chunk.lines.tolist() == [1, 2]

    def test_no_header_and_no_columns_is_a_wrong_set_up(self, drop: Drop) -> None:
        with pytest.raises(SetupError, match="header = false"):
            drop.reader(b"1,2\n", header=False)

    def test_too_many_columns_are_refused_with_the_setting(self, drop: Drop) -> None:
        found = drop.problem(b",".join(b"c%d" % i for i in range(5000)) + b"\n")
        assert found.rule == "too_many_columns"
        assert "5,000 columns" in found.message
        assert "limits.max_columns" in found.hint

    def test_two_thousand_columns_are_read(self, drop: Drop) -> None:
        line = b",".join(b"%d" % i for i in range(2000))
        assert drop.rows(b"\n".join([line] * 3), block_bytes=1 << 14) == [tuple(map(str, range(2000)))] * 2

    @pytest.mark.parametrize("data", [b'a,"b\n1,2\n', b'a,b"c\n', b'"a"b,c\n1,2\n'])
    def test_a_header_with_a_broken_quote_rejects_the_file(self, drop: Drop, data: bytes) -> None:
        found = drop.problem(data)
        assert (found.rule, found.line) == ("header", 1)

    def test_a_header_in_another_encoding_gets_the_hint(self, drop: Drop) -> None:
        found = drop.problem("größe,b\n1,2\n".encode("cp1252"))
        assert found.rule == "encoding"
        assert "byte 0xF6" in found.message
        assert "windows-1252" in found.hint


class TestRows:
    def test_quoted_cells_keep_delimiters_line_breaks_and_quotes(self, drop: Drop) -> None:
        assert drop.rows(b'a,b\n"x, y","1\r\n2"\n"say ""hi""",\n') == [("x, y", "1\r\n2"), ('say "hi"', None)]

    def test_empty_and_quoted_empty_cells_are_null(self, drop: Drop) -> None:
        assert drop.rows(b'a,b,c\n,"", \n') == [(None, None, " ")]

    def test_null_tokens_are_those_of_the_dialect(self, drop: Drop) -> None:
        assert drop.rows(b'a,b,c\nNA,,"NA"\n', null_tokens=("NA",)) == [(None, "", None)]

    @pytest.mark.parametrize("cell", ["00123", "1_000", "0x1A", "nan", "null", "NULL", "true", " 1 ", "1e999", "None"])
    def test_no_cell_is_changed(self, drop: Drop, cell: str) -> None:
        assert drop.rows(f"a,b\n{cell},1\n".encode()) == [(cell, "1")]

    def test_without_quote_character_quotes_are_text(self, drop: Drop) -> None:
        assert drop.rows(b'a,b\n"x,y"\n', quote="") == [('"x', 'y"')]

    def test_other_delimiters_and_quotes_work(self, drop: Drop) -> None:
        assert drop.rows(b"a;b\n'x;''y';2\n", delimiter=";", quote="'") == [("x;'y", "2")]

    @pytest.mark.parametrize("name", ["a.tsv", "A.TSV.gz", "x.tab", "a.tsv.zst"])
    def test_a_tsv_name_means_tabs(self, drop: Drop, name: str) -> None:
        reader = drop.reader(b"a\tb\n1\t2,3\n", name=name)
        assert reader.dialect.delimiter == "\t"
        assert rows_of(list(reader.chunks())) == [("1", "2,3")]

    def test_mixed_line_ends_end_lines(self, drop: Drop) -> None:
        (chunk,) = drop.reader(b"a,b\r\n1,2\n3,4\r5,6\r\n\r\n7,8").chunks()
        assert rows_of([chunk]) == [("1", "2"), ("3", "4"), ("5", "6"), ("7", "8")]
        assert chunk.lines.tolist() == [2, 3, 4, 6]

    def test_lines_count_line_breaks_in_cells_and_blank_lines(self, drop: Drop) -> None:
        (chunk,) = drop.reader(b'a,b\n1,"x\ny\n\nz"\n\n2,3\n').chunks()
        assert (chunk.rows.tolist(), chunk.lines.tolist()) == ([1, 2], [2, 7])

    def test_chunks_are_about_as_large_as_asked_for(self, drop: Drop) -> None:
        data = b"a,b\n" + b"1,2\n" * 1000
        chunks = list(drop.reader(data, limits=Limits(batch_rows=100)).chunks())
        assert {len(chunk.rows) for chunk in chunks} == {100}
        assert np.concatenate([chunk.rows for chunk in chunks]).tolist() == list(range(1, 1001))
        assert [chunk.lines[0] for chunk in chunks] == list(range(2, 1002, 100))

    def test_a_file_can_be_read_twice(self, drop: Drop) -> None:
        reader = drop.reader(b"a,b\n1,2\n", block_bytes=3)
        next(reader.chunks())
        first, second = list(reader.chunks()), list(reader.chunks())
        assert rows_of(first) == rows_of(second) == [("1", "2")]
        reader.close()

    def test_packed_and_utf_16_files_read_alike(self, drop: Drop) -> None:
        text = "id,name\n1,Zoë €\n2,東京\n"
        expected = [("1", "Zoë €"), ("2", "東京")]
        assert drop.rows(gzip.compress(text.encode("utf-16"))) == expected
        assert drop.rows(text.encode("utf-16-le"), encoding="utf-16-le", block_bytes=3) == expected

    def test_several_threads_give_the_same_rows(self, tmp_path: Path) -> None:
        lines = [b"%d,%s\n" % (i, b"x" * (i % 50)) for i in range(150_000)]
        lines[70_000] = b'70000,"a\n' + b"y" * 1_500_000 + b'"\n'
        path = tmp_path / "a.csv"
        path.write_bytes(b"a,b\n" + b"".join(lines))
        limits = Limits(batch_rows=50_000)
        both = [
            list(DelimitedReader(path, name="a.csv", dialect=Dialect(), limits=limits, use_threads=flag).chunks())
            for flag in (False, True)
        ]
        assert [chunk.table.to_pydict() for chunk in both[0]] == [chunk.table.to_pydict() for chunk in both[1]]
        assert sum(chunk.read for chunk in both[0]) == 150_000


class TestMalformedRecords:
    def test_too_few_and_too_many_fields_are_told(self, drop: Drop) -> None:
        few, many = drop.malformed(b"a,b\n1\n1,2\n1,2,3\n")
        assert (few.row, few.line, few.rule, few.found, few.expected) == (1, 2, "field_count", "1 field", "2 fields")
        assert (many.row, many.line, many.found, many.raw) == (3, 4, "3 fields", "1,2,3")

    def test_ragged_rows_that_make_up_for_each_other_are_told(self, drop: Drop) -> None:
        assert len(drop.malformed(b"a,b\n1\n2,3,4\n5,6\n")) == 2

    @pytest.mark.parametrize(
        ("line", "found"),
        [
            (b'"1,2', "not closed"),
            (b'1,"2', "not closed"),
            (b'1,2"', "in the middle of a field"),
            (b'1"1,2', "in the middle of a field"),
            (b'"1"1,2', "text between a closing"),
            (b'1,""2', "text between a closing"),
        ],
    )
    @pytest.mark.parametrize("where", [0, 50, 99])
    def test_an_unbalanced_quote_costs_its_own_line_only(self, drop: Drop, line: bytes, found: str, where: int) -> None:
        rows = [b"%d,x" % i for i in range(100)]
        rows[where] = line
        data = b"a,b\n" + b"\n".join(rows)
        for block_bytes in (7, 1 << 20):
            reader = drop.reader(data, block_bytes=block_bytes)
            chunks = list(reader.chunks())
            (bad,) = (bad for chunk in chunks for bad in chunk.malformed)
            assert (bad.row, bad.line, bad.rule, bad.raw) == (where + 1, where + 2, "quote", line.decode())
            assert found in bad.found
            assert sum(len(chunk.rows) for chunk in chunks) == 99

    def test_a_nul_byte_costs_its_own_record(self, drop: Drop) -> None:
        (bad,) = drop.malformed(b"a,b\n1,2\n3,\x004\n5,6\n")
        assert (bad.row, bad.line, bad.rule, bad.raw) == (2, 3, "nul_byte", "3,\x004")
        assert "character 3" in bad.found

    def test_a_byte_in_another_encoding_is_named_with_its_column(self, drop: Drop) -> None:
        (bad,) = drop.malformed("a,Ort\n1,Köln\n".encode() + b'"2, x",K\xf6ln\n3,Bonn\n')
        assert (bad.row, bad.line, bad.rule) == (2, 3, "encoding")
        assert bad.found == "byte 0xF6 in column 'Ort', character 9 of the record"
        assert bad.expected == "text in utf-8"
        assert bad.raw == '"2, x",K\\xf6ln'

    def test_a_byte_that_windows_1252_does_not_have_is_told_as_it_was(self, drop: Drop) -> None:
        (bad,) = drop.malformed(b"a,b\n1,\x80\n2,\x81\n", encoding="windows-1252")
        assert (bad.row, bad.rule, bad.raw) == (2, "encoding", "2,\\x81")
        assert "byte 0x81 in column 'b'" in bad.found

    def test_rows_beside_malformed_ones_keep_numbers_lines_and_raw(self, drop: Drop) -> None:
        (chunk,) = drop.reader(b'a,b\n1,2\nx\n\n"3",4\r\n').chunks()
        assert (chunk.rows.tolist(), chunk.lines.tolist()) == ([1, 3], [2, 5])
        assert chunk.raw is not None
        assert chunk.raw(np.array([1, 0])).to_pylist() == [b'"3",4', b"1,2"]

    def test_a_chunk_may_have_malformed_records_only(self, drop: Drop) -> None:
        (chunk,) = drop.reader(b"a,b\n1\n2\n").chunks(["b"])
        assert (chunk.table.num_rows, chunk.table.column_names, chunk.read) == (0, ["b"], 2)
        assert chunk.raw is not None
        assert chunk.raw(np.array([], np.int64)).to_pylist() == []

    def test_counts_that_differ_stop_the_reading_loudly(self, drop: Drop, monkeypatch: pytest.MonkeyPatch) -> None:
        reader = drop.reader(b"a,b\n1,2\n\n3,4\n")
        monkeypatch.setattr(blocks, "_only", lambda *_: pa.py_buffer(b"1,2\n"))
        with pytest.raises(BlobdropError, match="2 records and 1 rows"):
            list(reader.chunks())


class TestFilesThatCannotBeRead:
    def test_a_line_beyond_the_limit_is_found_without_holding_it(self, tmp_path: Path) -> None:
        path = tmp_path / "long.csv"
        with path.open("wb") as file:
            file.write(b"a,b\n1,2\n")
            for _ in range(60):
                file.write(b"x" * (1 << 20))
        limits = Limits(max_line_bytes=4 << 20)
        reader = DelimitedReader(path, name="long.csv", dialect=Dialect(), limits=limits, block_bytes=1 << 20)
        tracemalloc.start()
        start = time.monotonic()
        with pytest.raises(FileProblem) as caught:
            deque(reader.chunks(), maxlen=0)
        assert tracemalloc.get_traced_memory()[1] < 30 << 20
        tracemalloc.stop()
        assert time.monotonic() - start < 5
        assert (caught.value.rule, caught.value.line) == ("line_too_long", 3)
        assert "limits.max_line_mb" in caught.value.hint

    @pytest.mark.parametrize("block_bytes", [3, 1 << 20])
    def test_an_open_quote_over_many_lines_is_not_a_long_line(self, drop: Drop, block_bytes: int) -> None:
        data = b'a,b\n1,"2\n' + b"3,4\n" * 500
        (bad,) = drop.malformed(data, limits=Limits(max_line_bytes=100), block_bytes=block_bytes)
        assert (bad.line, bad.rule) == (2, "quote")

    @pytest.mark.parametrize(
        "data",
        [
            b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 4,
            bytes(5000),
            b"PK\x03\x04\x00\n1,2",
            b"a,\x00b\n1,2\n",
            *(random.Random(seed).randbytes(4000) for seed in range(5)),  # noqa: S311 - no secret
        ],
    )
    @pytest.mark.parametrize("encoding", ["utf-8", "windows-1252"])
    def test_a_binary_mess_is_not_text(self, drop: Drop, data: bytes, encoding: str) -> None:
        assert drop.problem(data, encoding=encoding).rule == "not_text"

    @settings(max_examples=100, deadline=None)
    @given(
        data=st.binary(max_size=300),
        encoding=st.sampled_from(["utf-8", "cp1252", "utf-16", "utf-16-le", "shift_jis", "utf-7"]),
        header=st.booleans(),
        auto=st.booleans(),
    )
    def test_arbitrary_bytes_give_rows_malformed_records_or_a_file_problem(
        self, tmp_path_factory: pytest.TempPathFactory, data: bytes, encoding: str, header: bool, auto: bool
    ) -> None:
        drop = Drop(tmp_path_factory.getbasetemp())
        try:
            reader = drop.reader(data, encoding=encoding, header=header, columns=("a", "b"), auto=auto)
            chunks = list(reader.chunks())
        except FileProblem:
            return
        numbers = [row for chunk in chunks for row in (*chunk.rows, *(bad.row for bad in chunk.malformed))]
        assert sorted(numbers) == list(range(1, len(numbers) + 1))

    def test_a_file_beyond_the_size_limit_is_refused(self, drop: Drop) -> None:
        found = drop.problem(b"a,b\n" + b"1,2\n" * 50_000, limits=Limits(max_decompressed_bytes=100_000))
        assert found.rule == "too_large"


class TestReturnedFiles:
    DATA = b"""a,b,_line,_problems\n'=1+1,x,2,"row 1: found 'x', expected y"\n''@a,2,3,\n"""

    def test_its_two_columns_are_left_out_and_guards_taken_away(self, drop: Drop) -> None:
        reader = drop.reader(self.DATA)
        assert reader.returned
        assert reader.header() == ("a", "b")
        assert rows_of(list(reader.chunks())) == [("=1+1", "x"), ("'@a", "2")]

    def test_it_is_known_where_the_feed_has_no_header(self, drop: Drop) -> None:
        reader = drop.reader(self.DATA, header=False, columns=("a", "b"))
        assert reader.returned
        assert reader.header() == ("a", "b")
        assert len(rows_of(list(reader.chunks(["b"])))) == 2

    def test_it_is_known_with_the_delimiter_of_the_file_it_came_from(self, drop: Drop) -> None:
        reader = drop.reader(self.DATA.replace(b",", b"\t"), name="rejected.csv")
        assert reader.returned
        assert reader.dialect.delimiter == "\t"

    def test_other_files_keep_their_apostrophes(self, drop: Drop) -> None:
        reader = drop.reader(b"a,_line\n'=1,2\n")
        assert not reader.returned
        assert rows_of(list(reader.chunks())) == [("'=1", "2")]
