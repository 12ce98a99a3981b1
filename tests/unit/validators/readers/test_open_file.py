"""The one way in: the reader that fits the bytes, its notes, and nothing left open when there is none."""

from __future__ import annotations

import gzip
import io
from contextlib import closing
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from validators.errors import FileProblem
from validators.model import Dialect, Limits
from validators.readers import open_file
from validators.readers.delimited import DelimitedReader
from validators.readers.excel import ExcelReader
from validators.readers.jsondocument import JsonDocumentReader
from validators.readers.jsonlines import JsonLinesReader
from validators.readers.parquet import ParquetReader


def parquet() -> bytes:
    sink = io.BytesIO()
    pq.write_table(pa.table({"a": [1]}), sink)
    return sink.getvalue()


def gzipped(data: bytes) -> bytes:
    """Pack without the time, which would be in the tests' names."""
    return gzip.compress(data, mtime=0)


@pytest.mark.parametrize(
    ("name", "data", "reader", "note"),
    [
        ("a.csv", b"a\n1\n", DelimitedReader, ""),
        ("a.dat", b"a\n1\n", DelimitedReader, "the name ends in .dat"),
        ("a.csv", b'{"a":1}\n{"a":2}\n', JsonLinesReader, "named .csv, holds NDJSON"),
        ("a.csv.gz", gzipped(b'[{"a":1}]'), JsonDocumentReader, "named .csv, holds JSON"),
        ("a", gzipped(parquet()), ParquetReader, ""),
        ("a.csv", parquet(), ParquetReader, "named .csv, holds Parquet"),
    ],
)
def test_the_bytes_choose_the_reader_and_a_lying_name_is_noted(
    tmp_path: Path, name: str, data: bytes, reader: type, note: str
) -> None:
    (tmp_path / "drop").write_bytes(data)
    with closing(open_file(tmp_path / "drop", name=name, dialect=Dialect(), limits=Limits())) as found:
        assert isinstance(found, reader)
        assert sum(chunk.read for chunk in found.chunks()) in (1, 2)
        assert [text for text in found.notes if note in text] == ([found.notes[0]] if note else [])
        assert bool(found.notes) == bool(note)


@pytest.mark.parametrize(
    ("name", "data", "rule"),
    [
        ("a.parquet", b"PAR1" + bytes(50), "parquet"),
        ("a.xlsx", b"PK\x03\x04" + bytes(50) + b"xl/", "excel"),
        ("a.parquet.gz", gzipped(b"PAR1" + bytes(50)), "parquet"),
        ("a.xlsx.gz", gzipped(b"PK\x03\x04" + bytes(50) + b"xl/"), "excel"),
        ("a.csv.gz", gzipped(b"a,b\n" * 9)[:-9], "truncated"),
        ("a.csv", b"%PDF-1.7", "not_data"),
    ],
)
def test_a_refused_file_is_closed(tmp_path: Path, name: str, data: bytes, rule: str) -> None:
    (tmp_path / "drop").write_bytes(data)
    with pytest.raises(FileProblem) as caught:
        open_file(tmp_path / "drop", name=name, dialect=Dialect(), limits=Limits())
    assert caught.value.rule == rule
    links = [str(link.readlink()) for link in Path("/proc/self/fd").iterdir() if link.is_symlink()]
    assert str(tmp_path / "drop") not in links


def test_a_packed_workbook_larger_than_the_limit_is_refused_while_it_is_unpacked(tmp_path: Path) -> None:
    (tmp_path / "drop").write_bytes(gzipped(b"PK\x03\x04xl/" + bytes(3_000_000)))
    with pytest.raises(FileProblem) as caught:
        open_file(tmp_path / "drop", name="a.xlsx.gz", dialect=Dialect(), limits=Limits(max_excel_bytes=1_000_000))
    assert caught.value.rule == "too_large"


def test_the_excel_reader_is_chosen_by_bytes_too(tmp_path: Path) -> None:
    (tmp_path / "drop").write_bytes(b"PK\x03\x04" + b"xl/workbook.xml" + bytes(50))
    with pytest.raises(FileProblem) as caught:
        open_file(tmp_path / "drop", name="a.csv", dialect=Dialect(), limits=Limits())
    assert caught.value.rule == "excel"
    assert ExcelReader.typed
