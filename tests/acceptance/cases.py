"""Bad files, and what has to come of each: a table to read and to add to."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass

from tests.corpus import files, text


@dataclass(frozen=True, kw_only=True)
class Case:
    """A bad file, and what has to come of it."""

    name: str
    data: Callable[[], bytes]
    state: str
    #: Read and accepted; the others are rejected.
    read: int = 0
    accepted: int = 0
    #: The commonest broken rule; empty where there is none.
    rule: str = ""
    #: What the report has to say somewhere: what was found, and what to do.
    words: tuple[str, ...] = ()
    #: Whether there is a report though there are no words to look for.
    reported: bool = False


CASES = (
    Case(
        name="empty.csv",
        data=text.empty_file,
        state="rejected",
        rule="empty_file",
        words=("the file is empty", "Drop the file again with its data"),
    ),
    Case(
        name="blanks.csv",
        data=text.only_blanks,
        state="rejected",
        rule="empty_file",
        words=("nothing but blanks", "Drop the file again with its data"),
    ),
    Case(name="header only.csv", data=text.header_only, state="ingested", reported=True),
    Case(
        name="header missing.csv",
        data=text.header_missing,
        state="rejected",
        read=9,
        rule="missing_column",
        words=("the column 'id_type' is missing", "headless0, user_id, revenue", "is its header line missing"),
    ),
    Case(
        name="duplicate names.csv",
        data=text.duplicate_names,
        state="rejected",
        read=10,
        rule="duplicate_column",
        words=("'metric_value' is there 2 times", "leave one of them out, or rename it"),
    ),
    Case(
        name="ragged.csv",
        data=text.ragged_rows,
        state="partial",
        read=10,
        accepted=8,
        rule="field_count",
        words=("row 4 (line 5): found 4 fields, expected 5 fields", "found 7 fields", "a missing or extra delimiter"),
    ),
    Case(
        name="quote at the start.csv",
        data=text.quote_at_the_start,
        state="partial",
        read=10,
        accepted=9,
        rule="quote",
        words=('row 1 (line 2): found a field that opens with " and is not closed', "put quotes around the whole cell"),
    ),
    Case(
        name="quote in the middle.csv",
        data=text.quote_in_the_middle,
        state="partial",
        read=10,
        accepted=9,
        rule="quote",
        words=("row 6 (line 7)", "is not closed", "put quotes around the whole cell"),
    ),
    Case(
        name="quote at the end.csv",
        data=text.quote_at_the_end,
        state="partial",
        read=10,
        accepted=9,
        rule="quote",
        words=("row 10 (line 11)", "is not closed", "put quotes around the whole cell"),
    ),
    Case(
        name="nul.csv",
        data=text.nul_bytes,
        state="partial",
        read=10,
        accepted=9,
        rule="nul_byte",
        words=("row 5 (line 6): found a NUL byte at character 4 of the record",),
    ),
    Case(name="mixed line ends.csv", data=text.mixed_line_ends, state="ingested", read=9, accepted=9),
    Case(
        name="wrong encoding in one row.csv",
        data=text.wrong_encoding_in_one_row,
        state="partial",
        read=10,
        accepted=9,
        rule="encoding",
        words=("row 7 (line 8): found byte 0xFC in column 'unit_id'", "save the file as UTF-8"),
    ),
    Case(
        name="cut.csv.gz",
        data=text.truncated_gzip,
        state="rejected",
        read=-1,
        rule="truncated",
        words=("a part of the file is missing", "Send the whole file again"),
    ),
    Case(
        name="spoilt.csv.gz",
        data=text.corrupt_gzip,
        state="rejected",
        read=-1,
        rule="corrupt",
        words=("the gzip data is damaged", "Send the whole file again"),
    ),
    Case(
        name="pdf.csv",
        data=files.pdf,
        state="rejected",
        rule="not_data",
        words=("this is a PDF document", "Export the data as CSV"),
    ),
    Case(
        name="zip.csv",
        data=files.archive,
        state="rejected",
        rule="not_data",
        words=("this is a ZIP archive", "Take the data file out of it"),
    ),
    Case(
        name="png.csv",
        data=files.png,
        state="rejected",
        rule="not_data",
        words=("this is a PNG image", "Export the data as CSV"),
    ),
    Case(
        name="html.csv",
        data=files.html,
        state="rejected",
        rule="not_data",
        words=("this is an HTML page", "a login or error page"),
    ),
    Case(
        name="invalid line.ndjson",
        data=files.invalid_line,
        state="partial",
        read=10,
        accepted=9,
        rule="invalid_json",
        words=("row 5 (line 5)", "expected one JSON object"),
    ),
    Case(
        name="deep line.ndjson",
        data=files.deep_line,
        state="partial",
        read=10,
        accepted=9,
        rule="invalid_json",
        words=("row 10 (line 10): found values nested more than 64 levels deep",),
    ),
    Case(
        name="deep document.json",
        data=files.deep_document,
        state="rejected",
        read=-1,
        rule="invalid_json",
        words=("nested more than 64 levels deep", "nothing after it can be trusted", "written as NDJSON"),
    ),
    Case(
        name="numbers.csv",
        data=text.impossible_numbers,
        state="partial",
        read=20,
        accepted=10,
        rule="type",
        words=(
            "found '1e999', expected a finite number",
            "found 'inf', expected a finite number",
            "found '1_000', expected a finite number",
            "found '0x1A', expected a finite number",
            "found '99999999999999999999', expected a whole number",
            "found '9223372036854775808', expected a whole number",
            "found '12.7', expected a whole number",
            "looks like milliseconds: divide by 1000",
        ),
    ),
    Case(
        name="numbers.ndjson",
        data=files.impossible_json_numbers,
        state="partial",
        read=10,
        accepted=5,
        rule="type",
        words=("found '99999999999999999999'", "found '1e999', expected a finite number", "found NaN, which JSON"),
    ),
    Case(
        name="broken footer.parquet",
        data=files.broken_footer,
        state="rejected",
        rule="parquet",
        words=("the Parquet file is broken or cut off", "send the whole of it"),
    ),
    Case(
        name="cut.parquet",
        data=files.cut_parquet,
        state="rejected",
        rule="parquet",
        words=("the Parquet file is broken or cut off", "its end is missing"),
    ),
    Case(name="nested beside.parquet", data=files.nested_columns, state="ingested", read=10, accepted=10),
    Case(
        name="nested value.parquet",
        data=files.nested_value,
        state="rejected",
        read=10,
        rule="type",
        words=("10 of 10 rows have problems, more than the 50%", """found '{"v":1.5}', expected a finite number"""),
    ),
    Case(
        name="claims gigabytes.parquet",
        data=files.lying_parquet,
        state="rejected",
        rule="too_large",
        words=("24,000,000,000 bytes in memory", "Send it in parts, or raise limits.max_decompressed_mb"),
    ),
    Case(name="dates.xlsx", data=files.excel_dates, state="ingested", read=3, accepted=3),
    Case(
        name="formulas.xlsx",
        data=files.excel_formulas,
        state="partial",
        read=4,
        accepted=3,
        words=("formulas without a value, read as empty: E5", "opening and saving the file in Excel"),
    ),
    Case(
        name="merged.xlsx",
        data=files.merged_cells,
        state="partial",
        read=4,
        accepted=3,
        words=("merged cells: A3:A4; only the first cell of each has its value", "row 3 (line 4), column unit_id"),
    ),
    Case(
        name="wide.csv",
        data=text.many_columns,
        state="rejected",
        rule="too_many_columns",
        words=("5,000 columns; at most 2,000 are read", "Is the delimiter right?"),
    ),
)

#: Names that a file system allows and that no program should fall over.
NAMES = (
    """it's "quoted".csv""",
    "two\nlines.csv",
    "tab\tand\rreturn.csv",
    "🚀 übermäßig.csv",
    "x" * 251 + ".csv",
    "a..%2F..%2Fetc%2Fpasswd.csv",
    "a..\\..\\windows.csv",
    "-rf.csv",
    "$(touch pwned).csv",
    "<script>alert(1)<\u2215script>.csv",
    "x\x1b[31mred.csv",
    os.fsdecode(b"not-utf8-\xff\xfe.csv"),
    "over/a../there.csv",
)
