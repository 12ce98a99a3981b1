"""Excel: cells as text, what the parser does not tell, and workbooks that are broken, protected or bombs."""

from __future__ import annotations

import datetime as dt
import io
import zipfile
from collections.abc import Callable
from typing import Any

import openpyxl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from validators.errors import FileProblem
from validators.model import Chunk, Dialect, Limits
from validators.readers.excel import ExcelReader, text_of

HEADER = '<row r="1"><c r="A1" t="inlineStr"><is><t>h</t></is></c><c r="B1" t="inlineStr"><is><t>i</t></is></c></row>'


def saved(fill: Callable[[openpyxl.Workbook], None]) -> bytes:
    book = openpyxl.Workbook()
    fill(book)
    sink = io.BytesIO()
    book.save(sink)
    return sink.getvalue()


def sheet(*rows: list[Any]) -> bytes:
    def fill(book: openpyxl.Workbook) -> None:
        for row in rows:
            book.active.append(row)

    return saved(fill)


def with_xml(rows: str) -> bytes:
    """Return a workbook whose first sheet has these rows, in XML."""
    namespace = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
    xml = f'<worksheet xmlns="{namespace}"><sheetData>{rows}</sheetData></worksheet>'
    return replaced(sheet(["x"]), {"xl/worksheets/sheet1.xml": xml.encode()})


def replaced(data: bytes, parts: dict[str, bytes]) -> bytes:
    """Return a workbook with some of its parts replaced or added."""
    source, sink = zipfile.ZipFile(io.BytesIO(data)), io.BytesIO()
    with source, zipfile.ZipFile(sink, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in dict.fromkeys([*source.namelist(), *parts]):
            archive.writestr(name, parts[name] if name in parts else source.read(name))
    return sink.getvalue()


def with_strings(data: bytes, *items: str) -> bytes:
    """Return a workbook with shared strings, as Excel itself writes them."""
    namespace = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
    relations = "xl/_rels/workbook.xml.rels"
    kind = "http://schemas.openxmlformats.org/officeDocument/2006/relationships/sharedStrings"
    relation = f'<Relationship Type="{kind}" Target="sharedStrings.xml" Id="rId99"/></Relationships>'
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        known = archive.read(relations).decode().replace("</Relationships>", relation)
    strings = f'<sst xmlns="{namespace}">{"".join(items)}</sst>'
    return replaced(data, {"xl/sharedStrings.xml": strings.encode(), relations: known.encode()})


def opened(data: bytes, **limits: int) -> ExcelReader:
    return ExcelReader(io.BytesIO(data), dialect=Dialect(), limits=Limits(**limits))


def read(data: bytes, **limits: int) -> list[Chunk]:
    return list(opened(data, **limits).chunks())


def rows_of(chunks: list[Chunk]) -> list[dict[str, Any]]:
    return [row for chunk in chunks for row in chunk.table.to_pylist()]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (12, "12"),
        (12.0, "12"),
        (-0.0, "0"),
        (0.1, "0.1"),
        (1e300, "1e+300"),
        (1e16, "10000000000000000"),
        (1234567890123456.0, "1234567890123456"),
        (1e-7, "1e-07"),
        ("00123", "00123"),
        ("  a ", "  a "),
        ("NA", "NA"),
        (True, "true"),
        (False, "false"),
        (dt.date(2026, 3, 1), "2026-03-01"),
        (dt.datetime(2026, 3, 1), "2026-03-01"),  # noqa: DTZ001 - Excel has no zones
        (dt.datetime(2026, 3, 1, 4, 5, 6), "2026-03-01T04:05:06"),  # noqa: DTZ001
        (dt.time(3, 4, 5), "03:04:05"),
        (dt.timedelta(hours=30, seconds=1), "30:00:01"),
    ],
)
def test_a_cell_becomes_the_text_that_it_means(value: object, text: str) -> None:
    assert rows_of(read(sheet(["h"], [value]))) == [{"h": text}]


@pytest.mark.parametrize("number", ["0.30000000000000004", "1.7976931348623157e+308", "5e-324", "-1.1", "0"])
def test_a_number_is_the_shortest_text_that_means_the_same(number: str) -> None:
    row = f'<row r="2"><c r="A2"><v>{number}</v></c></row>'
    assert rows_of(read(with_xml(HEADER + row))) == [{"h": number, "i": None}]


def test_an_empty_cell_is_null_and_durations_may_be_negative_or_have_fractions() -> None:
    assert text_of("") is None
    assert text_of(dt.timedelta(seconds=-1.5)) == "-0:00:01.500000"
    assert rows_of(read(sheet(["a", "b"], [None, 1]))) == [{"a": None, "b": "1"}]


def test_the_first_row_that_is_not_empty_names_the_columns_and_empty_rows_are_no_rows() -> None:
    reader = opened(sheet([], [None, "a", 5, None], [], [None, 1, 2], [], [None, None, 3]))
    chunks = list(reader.chunks())
    assert reader.header() == ("a", "5")
    assert rows_of(chunks) == [{"a": "1", "5": "2"}, {"a": None, "5": "3"}]
    assert [(chunk.rows.tolist(), chunk.lines.tolist()) for chunk in chunks] == [([1, 2], [4, 6])]
    assert "the column names are in row 2 of the sheet, the first that is not empty" in reader.notes


def test_only_the_first_sheet_is_read_and_the_others_are_named() -> None:
    def fill(book: openpyxl.Workbook) -> None:
        book.active.title = "Data & more"
        book.active.append(["a"])
        for number in range(7):
            book.create_sheet(f"S{number}").append([number])

    assert opened(saved(fill)).notes == (
        "read the first sheet, 'Data & more'; not read: 'S0', 'S1', 'S2', 'S3', 'S4' and 2 more",
    )


def test_a_chart_sheet_is_not_the_first_sheet() -> None:
    def fill(book: openpyxl.Workbook) -> None:
        book.active.append(["a"])
        book.active.append([1])
        book.create_chartsheet("Chart", 0)

    assert rows_of(read(saved(fill))) == [{"a": "1"}]


def test_merged_cells_have_their_value_once_and_are_noted() -> None:
    def fill(book: openpyxl.Workbook) -> None:
        for row in (["a", "b"], ["x", None], [None, None], [1, 2]):
            book.active.append(row)
        book.active.merge_cells("A2:B3")

    reader = opened(saved(fill))
    assert rows_of(list(reader.chunks())) == [{"a": "x", "b": None}, {"a": "1", "b": "2"}]
    assert any("merged cells: A2:B3;" in note for note in reader.notes)


def test_cells_without_a_name_above_them_are_left_out_and_noted() -> None:
    reader = opened(sheet(["a", None, "b"], [1, 2, 3], [1, None, 3, None, 5]))
    assert rows_of(list(reader.chunks())) == [{"a": "1", "b": "3"}] * 2
    assert reader.notes[-1] == "columns with cells but without a name in row 1: B, E; left out"


def test_formulas_give_the_values_they_last_came_to() -> None:
    data = with_xml(HEADER + '<row r="2"><c r="A2"><f>1+1</f><v>2</v></c><c r="B2" t="str"><f>B1</f><v></v></c></row>')
    reader = opened(data)
    assert rows_of(list(reader.chunks())) == [{"h": "2", "i": None}]
    assert not reader.notes


def test_formulas_without_a_value_are_empty_and_noted_and_their_rows_still_count() -> None:
    reader = opened(sheet(["a", "b"], ["=1+1", 5], ["=A2", "=A2"]))
    assert rows_of(list(reader.chunks())) == [{"a": None, "b": "5"}, {"a": None, "b": None}]
    assert "formulas without a value, read as empty: A2, A3, B3" in reader.notes[0]


def test_an_error_makes_its_row_malformed_unless_its_column_is_not_asked_for() -> None:
    data = with_xml(
        HEADER
        + '<row r="2"><c r="A2"><v>1</v></c><c r="B2" t="e"><f>1/0</f><v>#DIV/0!</v></c></row>'
        + '<row r="3"><c r="A3" t="e"><v>#N/A</v></c></row><row r="4"><c r="A4"><v>4</v></c></row>'
    )
    (chunk,) = read(data)
    assert (chunk.rows.tolist(), chunk.lines.tolist()) == ([3], [4])
    first, second = chunk.malformed
    assert (first.row, first.line, first.rule) == (1, 2, "excel_error")
    assert first.found == "#DIV/0! in B2, an error of its formula"
    assert (first.raw, second.raw) == ("1,#DIV/0!", "#N/A,")
    (only,) = opened(data).chunks(("h",))
    assert (only.rows.tolist(), [record.row for record in only.malformed]) == ([1, 3], [2])


def test_a_number_that_would_lose_digits_makes_its_row_malformed() -> None:
    cells = "".join(
        f'<row r="{at}"><c r="A{at}"><v>{number}</v></c></row>'
        for at, number in enumerate(("12345678901234567891", "9007199254740993", "9007199254740992"), 2)
    )
    (chunk,) = read(with_xml(HEADER + cells))
    assert chunk.table["h"].to_pylist() == ["9007199254740992"]
    assert [record.found for record in chunk.malformed] == [
        "12345678901234567891 in A2, a number with more digits than Excel keeps",
        "9007199254740993 in A3, a number with more digits than Excel keeps",
    ]


def test_prefixes_quotes_and_cells_without_a_place_are_read_too() -> None:
    row = "<row><c><v>1</v></c><c t='e'><v>#REF!</v></c></row>"
    assert rows_of(read(with_xml(HEADER + row))) == [{"h": "1", "i": None}]
    quoted = "<row r='2'><c s='0' r='A2' t='n'><v>7</v></c><c  t = 'e'  r = 'B2' ><v>#REF!</v></c></row>"
    assert [record.row for chunk in read(with_xml(HEADER + quoted)) for record in chunk.malformed] == [1]


@pytest.mark.parametrize(
    ("rows", "rule", "words"),
    [
        ('<row r="2"><c r="ZZZZ2"><v>1</v></c></row>', "excel", "a cell's place is not one of a sheet"),
        ('<row r="2"><c r="A99999999999"><v>1</v></c></row>', "excel", "a cell's place is not one of a sheet"),
        ('<row r="99999999999"><c r="A2"><v>1</v></c></row>', "excel", "a cell's place is not one of a sheet"),
        ('<row r="2"><c r="XFE2"><v>1</v></c></row>', "excel", "beyond the last one"),
        ('<row r="2"><c r="XFD1048576"><v>1</v></c></row>', "too_large", "the sheet reaches to XFD1048576, with 3"),
        ('<row r="2"><c r="A2"><v>1</c></row>', "excel", "broken or cut off"),
        ('<row r="2"><c r="A2" t="s"><v>99</v></c></row>', "excel", "broken or cut off"),
    ],
)
def test_a_sheet_that_would_harm_or_mislead_is_refused(rows: str, rule: str, words: str) -> None:
    with pytest.raises(FileProblem, match=words) as caught:
        read(with_xml(HEADER + rows))
    assert caught.value.rule == rule


def test_empty_cells_far_away_do_no_harm() -> None:
    rows = '<row r="2"><c r="A2"><v>1</v></c></row><row r="1048576"><c r="XFD1048576" s="0"/></row>'
    assert rows_of(read(with_xml(HEADER + rows))) == [{"h": "1", "i": None}]


def test_a_zip_bomb_is_refused_before_it_is_unpacked() -> None:
    bomb = with_xml(HEADER + " " * 30_000_000)
    assert len(bomb) < 100_000
    with pytest.raises(FileProblem, match="have 30,0") as caught:
        opened(bomb, max_excel_bytes=20_000_000)
    assert caught.value.rule == "too_large"


def test_a_part_that_lies_about_its_size_is_refused() -> None:
    bomb = bytearray(with_xml(HEADER + " " * 1_000_000))
    real = zipfile.ZipFile(io.BytesIO(bomb)).getinfo("xl/worksheets/sheet1.xml").file_size
    lied = bytes(bomb).replace(real.to_bytes(4, "little"), (500).to_bytes(4, "little"))
    with pytest.raises(FileProblem, match="broken or cut off"):
        opened(lied)


def test_shared_and_rich_texts_are_put_together() -> None:
    rows = '<row r="2"><c r="A2" t="s"><v>0</v></c><c r="B2" t="s"><v>1</v></c></row>'
    rich = '<si><r><t>ri</t></r><r><t xml:space="preserve">ch </t></r></si>'
    assert rows_of(read(with_strings(with_xml(HEADER + rows), "<si><t>a&amp;b</t></si>", rich))) == [
        {"h": "a&b", "i": "rich "}
    ]


def test_one_long_text_in_very_many_cells_is_refused() -> None:
    rows = "".join(f'<row r="{at}"><c r="A{at}" t="s"><v>0</v></c></row>' for at in range(2, 1000))
    data = with_strings(with_xml(HEADER + rows), f"<si><t>{'y' * 30_000}</t></si>")
    assert len(read(data)[0].rows) == 998
    with pytest.raises(FileProblem, match="each cell has its own") as caught:
        opened(data, max_excel_bytes=1_000_000)
    assert caught.value.rule == "too_large"


def test_too_many_columns_refuse_the_file() -> None:
    with pytest.raises(FileProblem) as caught:
        opened(sheet([f"c{number}" for number in range(30)]), max_columns=29)
    assert caught.value.rule == "too_many_columns"


def test_an_empty_sheet_is_an_empty_file() -> None:
    with pytest.raises(FileProblem, match="'Sheet', has no cells") as caught:
        opened(sheet())
    assert caught.value.rule == "empty_file"


@pytest.mark.parametrize(
    ("part", "what"),
    [
        ("data.csv", "a ZIP archive"),
        ("xl/workbook.bin", "a binary Excel workbook"),
        ("word/document.xml", "a Word document"),
        ("content.xml", "an OpenDocument file"),
    ],
)
def test_an_archive_of_something_else_is_named(part: str, what: str) -> None:
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w") as archive:
        archive.writestr(part, "x")
    with pytest.raises(FileProblem, match=what) as caught:
        opened(sink.getvalue())
    assert caught.value.rule == "not_data"


@pytest.mark.parametrize("cut", [0, 30, 500, -1, -30])
def test_a_cut_workbook_is_refused(cut: int) -> None:
    with pytest.raises(FileProblem, match="broken or cut off") as caught:
        opened(sheet(["a"], [1])[:cut])
    assert caught.value.rule == "excel"


ROWS = '<row r="2"><c r="A2" t="s"><v>0</v></c><c r="B2" s="1"><v>46082.5</v></c></row>'
WHOLE = with_strings(
    with_xml(f'{HEADER}{ROWS}<row r="3"><c r="A3" t="b"><v>1</v></c><c r="B3" t="e"><f>1/0</f><v>#N/A</v></c></row>'),
    "<si><t>x</t></si>",
    "<si/>",
)
PARTS = ("xl/worksheets/sheet1.xml", "xl/sharedStrings.xml", "xl/styles.xml", "xl/workbook.xml")


@settings(max_examples=150, deadline=None)
@given(
    part=st.sampled_from(PARTS),
    at=st.floats(0, 1),
    cut=st.integers(0, 6),
    put=st.binary(max_size=4) | st.sampled_from([b"9999999", b"ZZZZ", b"<", b"</c>", b'"', b"1048577"]),
)
def test_whatever_stands_in_its_parts_a_workbook_is_read_or_refused(part: str, at: float, cut: int, put: bytes) -> None:
    xml = bytearray(zipfile.ZipFile(io.BytesIO(WHOLE)).read(part))
    start = int(at * len(xml))
    xml[start : start + cut] = put
    try:
        read(replaced(WHOLE, {part: bytes(xml)}), max_excel_bytes=4_000_000)
    except FileProblem as problem:
        assert problem.rule in {"excel", "too_large", "empty_file", "not_data"}  # noqa: PT017 - either is fine
