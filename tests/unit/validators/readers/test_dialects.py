"""dialect = "auto": what is found, what is told, and what is refused."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from validators.errors import FileProblem
from validators.model import Dialect, Limits
from validators.readers.delimited import DelimitedReader
from validators.readers.dialects import Found, find_dialect

AUTO = Dialect(auto=True)


def find(folder: Path, data: bytes, name: str = "a.csv", dialect: Dialect = AUTO) -> Found:
    path = folder / "drop"
    path.write_bytes(data)
    return find_dialect(path, name=name, dialect=dialect, limits=Limits())


def unclear(folder: Path, data: bytes) -> FileProblem:
    with pytest.raises(FileProblem) as caught:
        find(folder, data)
    assert caught.value.rule == "dialect_unclear"
    assert "Set delimiter" in caught.value.hint
    return caught.value


class TestTheDelimiter:
    @pytest.mark.parametrize(("delimiter", "words"), [(",", "comma"), (";", "semicolon"), ("\t", "tab"), ("|", "bar")])
    def test_it_is_found_and_told(self, tmp_path: Path, delimiter: str, words: str) -> None:
        found = find(tmp_path, "a,b\n1,2\n3,4\n".replace(",", delimiter).encode())
        assert found.dialect.delimiter == delimiter
        assert f"delimiter found: {words}" in found.notes

    def test_one_broken_quote_does_not_turn_quoting_off(self, tmp_path: Path) -> None:
        data = b'a;b\n"1;x";2\n3;"4\n' + b'"5;y";6\n' * 20
        assert find(tmp_path, data).dialect.delimiter == ";"
        reader = DelimitedReader(tmp_path / "drop", name="a.csv", dialect=AUTO, limits=Limits())
        (chunk,) = reader.chunks()
        assert [bad.line for bad in chunk.malformed] == [3]
        assert chunk.table["a"].to_pylist() == ["1;x"] + ["5;y"] * 20

    def test_some_ragged_rows_do_not_hide_it(self, tmp_path: Path) -> None:
        assert find(tmp_path, b"a|b|c\n" + b"1|2|3\n" * 7 + b"1|2\n" * 3).dialect.delimiter == "|"

    def test_decimal_commas_do_not_make_it_a_comma(self, tmp_path: Path) -> None:
        assert find(tmp_path, b"a;b\n1,5;2,5\n3,5;4,5\n").dialect.delimiter == ";"

    def test_two_that_fit_are_refused_with_what_was_seen(self, tmp_path: Path) -> None:
        found = unclear(tmp_path, b"a,b;c\n1,2;3\n")
        assert "comma and semicolon fit equally well" in found.message
        assert "comma: 2 in 2 of 2 records" in found.message

    def test_a_file_without_any_delimiter_has_one_column(self, tmp_path: Path) -> None:
        found = find(tmp_path, b"a\n1\n2\n")
        assert (found.dialect.delimiter, found.notes[-1]) == (",", "delimiter found: none, for the file has one column")

    def test_a_delimiter_in_few_records_is_refused(self, tmp_path: Path) -> None:
        assert "none of comma, semicolon, tab and bar fits" in unclear(tmp_path, b"a\n1\n2;3\n").message

    @pytest.mark.parametrize(
        ("name", "data", "delimiter", "note"),
        [
            ("a.tsv.gz", b"a,b\n1,2\t3\n", ",", "named as TSV, holds commas; read with them"),
            ("a.csv", b"\na\tb\n1,5\t2\n", "\t", "not named as TSV, holds tabs; read with them"),
            ("a", b'"a"\t"b"\n1\t2\n', "\t", "not named as TSV, holds tabs; read with them"),
            ("a.csv", "a\tb\n1\t2\n".encode("utf-16"), "\t", "not named as TSV, holds tabs; read with them"),
            ("a.csv", b'"a\tb"\n1\n', ",", ""),
            ("a.csv", b"a\n1\t2\n", ",", ""),
            ("a.tsv", b"a\n1,2\n", "\t", ""),
            ("a.csv", b"a;b\n1;2\n", ",", ""),
        ],
    )
    def test_a_name_that_lies_about_tabs_is_found_out(
        self, tmp_path: Path, name: str, data: bytes, delimiter: str, note: str
    ) -> None:
        found = find(tmp_path, data, name=name, dialect=Dialect())
        assert found.dialect.delimiter == delimiter
        assert note in (*found.notes, "")

    def test_a_name_that_lies_has_as_many_fields_as_columns_are_given(self, tmp_path: Path) -> None:
        given = Dialect(header=False, columns=("a", "b"))
        assert find(tmp_path, b"1\t2\n", name="a.csv", dialect=given).dialect.delimiter == "\t"
        assert find(tmp_path, b"1\t2\t3\n", name="a.csv", dialect=given).dialect.delimiter == ","

    def test_with_auto_a_name_that_lies_is_looked_through(self, tmp_path: Path) -> None:
        found = find(tmp_path, b"a,b\n1,2\n", name="a.tsv")
        assert (found.dialect.delimiter, found.notes[-1]) == (",", "delimiter found: comma")

    def test_an_empty_file_is_empty(self, tmp_path: Path) -> None:
        with pytest.raises(FileProblem) as caught:
            find(tmp_path, b"\n\n")
        assert caught.value.rule == "empty_file"

    def test_a_tsv_name_wins(self, tmp_path: Path) -> None:
        assert find(tmp_path, b"a,b\tc\n1,2\t3\n", name="a.tsv.gz").dialect.delimiter == "\t"

    def test_a_sample_that_ends_in_a_record_is_enough(self, tmp_path: Path) -> None:
        assert find(tmp_path, gzip.compress(b"a;b\n" + b"1;2\n" * 100_000)).dialect.delimiter == ";"


class TestTheEncoding:
    @pytest.mark.parametrize(
        ("codec", "name"),
        [
            *(("utf-8", "utf-8"), ("utf-8-sig", "utf-8"), ("cp1252", "cp1252")),
            *(("utf-16", "utf-16-le"), ("utf-16-be", "utf-16-be"), ("utf-16-le", "utf-16-le")),
        ],
    )
    def test_it_is_found_and_told(self, tmp_path: Path, codec: str, name: str) -> None:
        found = find(tmp_path, "id,Straße\n1,Zürich\n".encode(codec))
        assert found.dialect.encoding == name
        assert f"encoding found: {name}" in found.notes

    def test_an_accent_late_in_the_file_decides(self, tmp_path: Path) -> None:
        data = b"a,b\n" + b"1,2\n" * 200_000 + "3,ü\n".encode("cp1252")
        assert find(tmp_path, data).dialect.encoding == "cp1252"

    def test_a_stray_byte_among_much_utf_8_does_not_change_all_the_rest(self, tmp_path: Path) -> None:
        data = b"a,b\n" + "ü,é\n".encode() * 20 + b"\xff,1\n"
        assert find(tmp_path, data).dialect.encoding == "utf-8"

    def test_without_auto_nothing_is_guessed(self, tmp_path: Path) -> None:
        found = find(tmp_path, "a;b\nü;1\n".encode("cp1252"), dialect=Dialect())
        assert (found.dialect, found.notes) == (Dialect(), ())
