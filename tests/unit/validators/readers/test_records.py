"""The record scanner against a slow, obvious reader that goes character by character, whatever the blocks."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from validators.errors import FileProblem, SetupError
from validators.model import Dialect, Limits
from validators.readers import lines, records, tidiness
from validators.readers.delimited import DelimitedReader
from validators.readers.records import Fault, Grammar

COMMAS = Grammar(delimiter=b",", quote=b'"', max_bytes=1 << 20)

#: Pieces of text that go wrong together in every way.
PIECES = st.sampled_from(
    [b"a", b"bc", b",", b",", b'"', b'"', b'""', b"\n", b"\n", b"\r\n", b"\r", b"\0", b"\xff", "é".encode(), b" ", b","]
)
#: Mostly sound rows of three fields, with something odd now and then.
ROWS = st.lists(
    st.sampled_from(
        [
            *(b"1,2,3\n", b'"1","2","3"\n', b'1,"2\n2",3\n', b'1,"a""b",3\r\n', b'1,"2,3\n', b'x"y,2,3\n'),
            *(b"\n", b"1,2\n", b"1,2,3,4\n", b'"",,\n', b'1,2,"3\r\n3"\r\n', b"1,\xff,3\n", b"1,\0,3\n"),
            *(b"1,2,3\r", b"1,2,3", b'1,",",3\n', b'1,"\n\n",3\n', b'""",2,3\n', b'1,2,"""\n', b'"1"x,2,3\n'),
        ]
    ),
    max_size=12,
).map(b"".join)
TEXTS = st.one_of(ROWS, st.lists(PIECES, max_size=40).map(b"".join))


@dataclass(frozen=True)
class Record:
    """One record: the line it starts on, what is wrong with it (nothing if empty), its bytes and its cells."""

    line: int
    fault: str
    raw: bytes
    cells: tuple[bytes, ...] = ()


class SlowReader:
    """Reads one character after the other."""

    def __init__(self, data: bytes, grammar: Grammar) -> None:
        self.data = data
        self.grammar = grammar
        self.quote = grammar.quote[0] if grammar.quote else -1
        self.stops = (grammar.delimiter[0], 10, 13)

    def read(self) -> Iterator[Record]:
        at, line = 0, 1
        while at < len(self.data):
            end, after = self.physical_line(at)
            if end == at:
                at, line = after, line + 1
                continue
            record, after_record, count = self.record(at, line)
            if record is None:
                record, after_record, count = Record(line, "OPEN_QUOTE", self.data[at:end]), after, 1
            yield record
            at, line = after_record, line + count

    def physical_line(self, at: int) -> tuple[int, int]:
        """Return where the line ends and where the next one starts."""
        end = at
        while end < len(self.data) and self.data[end] not in b"\r\n":
            end += 1
        width = 2 if self.data[end : end + 2] == b"\r\n" else 1
        return end, min(end + width, len(self.data))

    def record(self, start: int, line: int) -> tuple[Record | None, int, int]:
        """Return the record, where the next one starts, its lines; None where its quotes go wrong on a later line."""
        first_end, first_after = self.physical_line(start)
        cells: list[bytes] = []
        at, fault = start - 1, ""
        while not fault and (not cells or self.data[at : at + 1] == self.grammar.delimiter):
            cell, at, fault = self.field(at + 1)
            cells.append(cell)
        if fault:
            broken = Record(line, fault, self.data[start:first_end])
            return (broken, first_after, 1) if at < first_end and fault != "OPEN_QUOTE" else (None, 0, 0)
        raw = self.data[start:at]
        count = len(raw.replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n"))
        wrong_count = bool(self.grammar.width) and len(cells) != self.grammar.width
        if count > 1 and (len(raw) > self.grammar.max_bytes or wrong_count):
            return None, 0, 0
        fault = self.fault_of(raw) or ("FIELD_COUNT" if wrong_count else "")
        return Record(line, fault, raw, () if fault else tuple(cells)), self.physical_line(at)[1], count

    def field(self, at: int) -> tuple[bytes, int, str]:
        """Return the field's value, where it ends, and what is wrong with it."""
        start = at
        if at >= len(self.data) or self.data[at] != self.quote:
            while at < len(self.data) and self.data[at] not in self.stops:
                if self.data[at] == self.quote:
                    return b"", at, "STRAY_QUOTE"
                at += 1
            return self.data[start:at], at, ""
        value = b""
        at += 1
        while at < len(self.data):
            if self.data[at] != self.quote:
                value += self.data[at : at + 1]
            elif self.data[at + 1 : at + 2] == self.grammar.quote:
                value += self.grammar.quote
                at += 1
            else:
                at += 1
                sound = at == len(self.data) or self.data[at] in self.stops
                return value, at, "" if sound else "TEXT_AFTER_QUOTE"
            at += 1
        return b"", at, "OPEN_QUOTE"

    @staticmethod
    def fault_of(raw: bytes) -> str:
        if b"\0" in raw:
            return "NUL_BYTE"
        try:
            raw.decode()
        except UnicodeDecodeError:
            return "ENCODING"
        return ""


def scanned(data: bytes, grammar: Grammar, cuts: list[int]) -> list[Record]:
    """Scan the data in blocks that end at `cuts`."""
    found: list[Record] = []
    rest, line = b"", 1
    for start, stop in itertools.pairwise([0, *cuts, len(data), None]):
        block = data[start:stop] if stop is not None else None
        rest = lines.closed(rest) if block is None else rest + block
        end = len(rest) if block is None else lines.last_line_end(rest)
        part = records.scan(rest, end, grammar, final=block is None, line=line)
        for i in range(len(part)):
            raw = rest[part.starts[i] : part.ends[i]]
            fault = Fault(part.faults[i])
            found.append(Record(line + int(part.lines[i]), fault.name if fault else "", raw))
        rest, line = rest[part.used :], line + part.used_lines
    assert rest == b""
    return found


def slowly(data: bytes, grammar: Grammar) -> list[Record]:
    return [replace(record, cells=()) for record in SlowReader(data, grammar).read()]


class TestTheScanner:
    @settings(max_examples=120, deadline=None)
    @given(data=TEXTS, width=st.sampled_from([0, 1, 2, 3]), cuts=st.lists(st.integers(0, 60), max_size=4))
    @example(data=b'1,"\n\n",3\n1,"\n\n",3\n', width=1, cuts=[])
    def test_it_finds_what_the_slow_reader_finds_whatever_the_blocks(
        self, data: bytes, width: int, cuts: list[int]
    ) -> None:
        grammar = COMMAS.of_width(width)
        assert scanned(data, grammar, sorted(cut for cut in cuts if cut < len(data))) == slowly(data, grammar)

    @settings(max_examples=60, deadline=None)
    @given(data=TEXTS, longest=st.integers(1, 12))
    def test_a_record_over_several_lines_may_not_be_longer_than_a_line(self, data: bytes, longest: int) -> None:
        grammar = replace(COMMAS.of_width(3), max_bytes=longest)
        if max(map(len, data.replace(b"\r", b"\n").split(b"\n"))) > longest:
            with pytest.raises(FileProblem, match="which is the limit"):
                scanned(data, grammar, [])
        else:
            for cuts in ([], list(range(1, len(data)))):
                assert scanned(data, grammar, cuts) == slowly(data, grammar)

    @settings(max_examples=60, deadline=None)
    @given(data=TEXTS)
    def test_without_a_quote_character_quotes_are_text(self, data: bytes) -> None:
        grammar = Grammar(delimiter=b",", quote=b"", max_bytes=1 << 20, width=3)
        assert scanned(data, grammar, [len(data) // 2]) == slowly(data, grammar)

    @settings(max_examples=120, deadline=None)
    @given(
        data=st.one_of(
            TEXTS, st.lists(st.sampled_from([b'"1","2"\n', b"1,2\n", b"3,4\r\n"]), max_size=90).map(b"".join)
        )
    )
    @example(data=b'"a' + b"x" * 61 + b'"\n"b"\n')
    @example(data=b'"' + b"x" * 62 + b'"\n')
    def test_the_quick_look_never_calls_tidy_what_is_not(self, data: bytes) -> None:
        data = lines.closed(data)
        count = tidiness.tidy_lines(data, len(data), COMMAS)
        found = slowly(data, COMMAS)
        tidy = not any(record.fault or b"\n" in record.raw or b"\r" in record.raw for record in found)
        if count is not None:
            assert tidy
            blank = len(data.splitlines()) - len(found) if b"\0" not in data else 0
            assert count == len(found) + blank
        elif b"\r" not in data:
            assert not tidy

    def test_one_broken_quote_does_not_swallow_the_rows_after_it(self) -> None:
        data = b'1,2,3\n1,"2,3\n' + b"4,5,6\n" * 1000
        found = scanned(data, COMMAS.of_width(3), [500])
        assert [record.fault for record in found[:3]] == ["", "OPEN_QUOTE", ""]
        assert len(found) == 1002
        assert sum(bool(record.fault) for record in found) == 1

    def test_a_line_that_is_too_long_is_named(self) -> None:
        with pytest.raises(FileProblem, match="line 3 has more than 10 bytes") as caught:
            records.scan(b"a\nb\nccccccccccccc\n", 18, replace(COMMAS, max_bytes=10), final=True)
        assert caught.value.rule == "line_too_long"
        assert caught.value.line == 3
        assert "limits.max_line_mb" in caught.value.hint

    @pytest.mark.parametrize(
        "dialect",
        [
            *(Dialect(delimiter=delimiter) for delimiter in ("", "::", "é", "\n")),
            *(Dialect(quote=quote) for quote in ("''", ",", "\r", "»")),
        ],
    )
    def test_a_dialect_that_cannot_be_is_a_wrong_set_up(self, dialect: Dialect) -> None:
        with pytest.raises(SetupError, match="one ASCII character"):
            records.grammar_of(dialect, Limits())


class TestTheReaderAsAWhole:
    @settings(max_examples=60, deadline=None)
    @given(data=TEXTS, block_bytes=st.sampled_from([1, 2, 7, 30, 1 << 20]), batch_rows=st.sampled_from([1, 3, 1000]))
    def test_its_rows_lines_cells_and_malformed_records_are_those_of_the_slow_reader(
        self, tmp_path_factory: pytest.TempPathFactory, data: bytes, block_bytes: int, batch_rows: int
    ) -> None:
        path = tmp_path_factory.getbasetemp() / "whole.csv"
        path.write_bytes(b"a,b,c\n" + data)
        limits = Limits(batch_rows=batch_rows)
        reader = DelimitedReader(path, name="whole.csv", dialect=Dialect(), limits=limits, block_bytes=block_bytes)
        expected = list(SlowReader(b"a,b,c\n" + data, COMMAS.of_width(3)).read())[1:]
        numbered = list(enumerate(expected, 1))
        chunks = list(reader.chunks())
        good = [(row, record) for row, record in numbered if not record.fault]
        assert np.concatenate([np.zeros(0), *(chunk.rows for chunk in chunks)]).tolist() == [row for row, _ in good]
        assert [line for chunk in chunks for line in chunk.lines] == [record.line for _, record in good]
        cells = [tuple(row.values()) for chunk in chunks for row in chunk.table.to_pylist()]
        assert cells == [tuple(cell.decode() or None for cell in record.cells) for _, record in good]
        raw = [value for chunk in chunks for value in raw_of(chunk.raw, len(chunk.rows))]
        assert raw == [record.raw for _, record in good]
        malformed = [(bad.row, bad.line) for chunk in chunks for bad in chunk.malformed]
        assert malformed == [(row, record.line) for row, record in numbered if record.fault]
        assert sum(chunk.read for chunk in chunks) == len(expected)

    @settings(max_examples=50, deadline=None)
    @given(
        data=st.lists(
            st.sampled_from([b"1\n", b'""\n', b"\n", b"\r\n", b"2\r", b'"a\n\nb"\n', b'"\n', b" \n", b"x"])
        ).map(b"".join),
        block_bytes=st.sampled_from([1, 5, 1 << 20]),
    )
    def test_in_a_file_of_one_column_a_blank_line_is_no_row_and_empty_quotes_are_one(
        self, tmp_path_factory: pytest.TempPathFactory, data: bytes, block_bytes: int
    ) -> None:
        path = tmp_path_factory.getbasetemp() / "one.csv"
        path.write_bytes(b"a\n" + data)
        reader = DelimitedReader(path, name="one.csv", dialect=Dialect(), limits=Limits(), block_bytes=block_bytes)
        expected = [record for record in SlowReader(data, COMMAS.of_width(1)).read() if not record.fault]
        cells = [cell for chunk in reader.chunks() for cell in chunk.table["a"].to_pylist()]
        assert cells == [record.cells[0].decode() or None for record in expected]


def raw_of(raw: object, count: int) -> list[bytes]:
    assert callable(raw)
    array: pa.Array = raw(np.arange(count))
    values: list[bytes] = array.to_pylist()
    return values


def test_the_cells_of_a_path(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(b"a,b\n1,x\n2,y\n3,z\n")
    (chunk,) = DelimitedReader(path, name="a.csv", dialect=Dialect(), limits=Limits()).chunks(["b"])
    assert chunk.raw is not None
    assert chunk.raw(np.array([2, 0, 0])).to_pylist() == [b"3,z", b"1,x", b"1,x"]
