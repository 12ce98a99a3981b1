"""NDJSON: values exactly as written, and every kind of broken line a malformed record of its own."""

from __future__ import annotations

import json
import tracemalloc
from collections import deque
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from validators.errors import FileProblem
from validators.model import Chunk, Dialect, Limits, Malformed
from validators.readers.jsonlines import JsonLinesReader


def read(path: Path, data: bytes | str, **limits: int) -> list[Chunk]:
    path.write_bytes(data if isinstance(data, bytes) else data.encode())
    return list(JsonLinesReader(path, dialect=Dialect(), limits=Limits(**limits)).chunks())


def rows_of(chunks: list[Chunk]) -> list[dict[str, Any]]:
    return [row for chunk in chunks for row in chunk.table.to_pylist()]


def malformed_of(chunks: list[Chunk]) -> list[Malformed]:
    return [record for chunk in chunks for record in chunk.malformed]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "drop.ndjson"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("12345678901234567890123", "12345678901234567890123"),
        ("1e999", "1e999"),
        ("12.0", "12.0"),
        ("1.10", "1.10"),
        ("-0", "-0"),
        ("1E+2", "1E+2"),
        ('"12.0"', "12.0"),
        ('""', ""),
        ('"  a "', "  a "),
        ('"NA"', "NA"),
        ("true", "true"),
        ("false", "false"),
        ("null", None),
        ('"\\ud83d\\ude00"', "\N{GRINNING FACE}"),
        ('{ "x" : [1.50, {"y": null}], "z": "\\u00e9\\"" }', '{"x":[1.50,{"y":null}],"z":"é\\""}'),
        ("[true, 1e999, -0.0]", "[true,1e999,-0.0]"),
        ("{}", "{}"),
        ("[]", "[]"),
    ],
)
def test_a_value_arrives_as_it_is_written(path: Path, value: str, text: str | None) -> None:
    assert rows_of(read(path, f'{{"a": {value}}}\n')) == [{"a": text}]


def test_values_of_several_kinds_share_a_column(path: Path) -> None:
    chunks = read(path, '{"a":1}\n{"a":"x"}\n{"a":true}\n{"a":[1.0]}\n{"a":null}\n{"b":2}\n')
    assert [row["a"] for row in rows_of(chunks)] == ["1", "x", "true", "[1.0]", None, None]


def test_a_key_that_a_record_lacks_is_null_and_one_that_none_has_is_no_column(path: Path) -> None:
    chunks = read(path, '{"a":1}\n{"b":2}\n{}\n')
    assert rows_of(chunks) == [{"a": "1", "b": None}, {"a": None, "b": "2"}, {"a": None, "b": None}]
    assert chunks[0].table.column_names == ["a", "b"]


def test_records_without_any_key_are_rows(path: Path) -> None:
    chunks = read(path, "{}\n{}\n")
    assert [(chunk.table.num_rows, chunk.rows.tolist()) for chunk in chunks] == [(2, [1, 2])]


def test_blank_lines_are_not_records_but_count_as_lines(path: Path) -> None:
    chunks = read(path, '\n\n{"a":1}\r\n \t\n{"a":2}\n\n{"a":3}')
    assert [chunk.rows.tolist() for chunk in chunks] == [[1, 2, 3]]
    assert [chunk.lines.tolist() for chunk in chunks] == [[3, 5, 7]]


@pytest.mark.parametrize(
    ("line", "rule", "found"),
    [
        (b'{"a":1,}', "invalid_json", "Expecting property name enclosed in double quotes"),
        (b"{'a':1}", "invalid_json", "Expecting property name enclosed in double quotes"),
        (b'{"a":NaN}', "invalid_json", "NaN, which JSON does not have"),
        (b'{"a":[-Infinity]}', "invalid_json", "-Infinity, which JSON does not have"),
        (b'{"a":01}', "invalid_json", "Expecting ',' delimiter at character 7"),
        (b'{"a":1', "invalid_json", "Expecting ',' delimiter"),
        (b'{"a":"x', "invalid_json", "Unterminated string"),
        (b'{"a":"\t"}', "invalid_json", "Invalid control character"),
        (b'{"a":1} {"a":2}', "invalid_json", "more text after the value, from character 8 on"),
        (b"1,2", "invalid_json", "more text after the value"),
        (b"[1]", "invalid_json", "a value that is not an object: '[1]'"),
        (b"null", "invalid_json", "a value that is not an object"),
        (b"NaN", "invalid_json", "NaN, which JSON does not have"),
        (b'{"a":1,"a":2}', "invalid_json", "the same key twice"),
        (b'{"a":{"b":1,"b":2}}', "invalid_json", "the same key twice"),
        (b'{"a":' + b"[" * 70 + b"]" * 70 + b"}", "invalid_json", "nested more than 64 levels deep"),
        (b"[" * 100_000, "invalid_json", "nested more than 64 levels deep"),
        (b'{"a":' * 100_000, "invalid_json", "nested more than 64 levels deep"),
        (b'{"a":"\xff"}', "encoding", "bytes that are not UTF-8"),
        (b'{"a\xff":1}', "encoding", "bytes that are not UTF-8"),
        (b"\xff", "encoding", "bytes that are not UTF-8"),
        (b'{"a":"\xed\xa0\x80"}', "encoding", "bytes that are not UTF-8"),
        (b'{"a":"\\ud800"}', "encoding", "half of a surrogate pair"),
        (b'{"a":[{"\\udfff":1}]}', "encoding", "half of a surrogate pair"),
        (b'{"a":"x\\u0000"}', "nul_byte", "a NUL character"),
        (b'{"a":{"\\u0000":1}}', "nul_byte", "a NUL character"),
        (b'{"a":"\x00"}', "invalid_json", "Invalid control character"),
    ],
)
def test_a_broken_line_is_malformed_and_spoils_no_other(path: Path, line: bytes, rule: str, found: str) -> None:
    chunks = read(path, b'{"a":"before"}\n' + line + b'\r\n{"a":"after"}\n')
    assert [row["a"] for row in rows_of(chunks)] == ["before", "after"]
    assert [row for chunk in chunks for row in chunk.rows.tolist()] == [1, 3]
    (record,) = malformed_of(chunks)
    assert (record.row, record.line, record.rule) == (2, 2, rule)
    assert found in record.found
    assert record.expected
    assert record.raw == line.decode("utf-8", "backslashreplace")


def test_lines_that_only_parse_when_put_together_are_malformed(path: Path) -> None:
    chunks = read(path, '{"a":[1\n2]}\n{"x":1},{"y":2}\n')
    assert rows_of(chunks) == []
    assert [record.row for record in malformed_of(chunks)] == [1, 2, 3]


def test_deep_but_allowed_nesting_is_kept(path: Path) -> None:
    nested = "[" * 60 + "]" * 60
    assert rows_of(read(path, f'{{"a":{nested}}}')) == [{"a": nested}]


def test_an_over_long_line_refuses_the_file_with_its_number(path: Path) -> None:
    for data in ('{"a":1}\n{"a":"' + "x" * 200 + '"}\n{"a":2}\n', '{"a":1}\n{"a":"' + "x" * 200):
        with pytest.raises(FileProblem) as caught:
            read(path, data, max_line_bytes=100)
        assert (caught.value.rule, caught.value.line) == ("line_too_long", 2)


def test_a_line_without_end_is_refused_before_it_fills_memory(path: Path) -> None:
    path.write_bytes(b'{"a":1}\n{"a":"' + b"x" * 8_000_000)
    tracemalloc.start()
    with pytest.raises(FileProblem, match="line 2 has more than"):
        list(JsonLinesReader(path, dialect=Dialect(), limits=Limits(max_line_bytes=1_000_000)).chunks())
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 5_000_000


def test_too_many_different_keys_refuse_the_file(path: Path) -> None:
    lines = "\n".join(json.dumps({f"k{number}": 1}) for number in range(50))
    with pytest.raises(FileProblem) as caught:
        read(path, lines, max_columns=49)
    assert caught.value.rule == "too_many_columns"
    assert len(rows_of(read(path, lines, max_columns=50))) == 50


def test_very_many_different_keys_are_refused_before_they_are_columns(path: Path) -> None:
    path.write_text("".join(f'{{"k{number}":1}}\n' for number in range(30_000)))
    tracemalloc.start()
    with pytest.raises(FileProblem, match="different keys or more"):
        deque(JsonLinesReader(path, dialect=Dialect(), limits=Limits()).chunks(), maxlen=0)
    assert tracemalloc.get_traced_memory()[1] < 20 << 20
    tracemalloc.stop()


def test_records_with_few_of_many_keys_keep_every_value_in_chunks_of_bounded_size(path: Path) -> None:
    values = [("1", "1"), ('"a"', "a"), ("null", None), ("true", "true"), ('{"n": 1.50}', '{"n":1.50}'), ("[1]", "[1]")]
    lines = [f'{{"k{n % 1_500}": {values[n % 6][0]}, "every": {n}}}' for n in range(14_000)]
    chunks = read(path, "\n".join(lines))
    assert len(chunks) == 2
    assert max(len(chunk.rows) * chunk.table.num_columns for chunk in chunks) <= 16 * 1024**2
    assert [n for chunk in chunks for n in chunk.table["every"].to_pylist()] == [str(n) for n in range(14_000)]
    for key in (0, 1, 2, 3, 4, 5, 1_499):
        found = [text for chunk in chunks for text in chunk.table[f"k{key}"].to_pylist()]
        assert found == [values[n % 6][1] if n % 1_500 == key else None for n in range(14_000)]


def test_a_file_of_blank_lines_is_empty(path: Path) -> None:
    with pytest.raises(FileProblem) as caught:
        read(path, "\n" * 100_000)
    assert caught.value.rule == "empty_file"


def test_utf_16_with_its_mark_is_read_and_noted(path: Path) -> None:
    path.write_bytes('{"a":"é"}\n{"a":"ü"}\n'.encode("utf-16"))
    reader = JsonLinesReader(path, dialect=Dialect(), limits=Limits())
    assert rows_of(list(reader.chunks())) == [{"a": "é"}, {"a": "ü"}]
    assert any("utf-16" in note for note in reader.notes)


def test_a_feeds_codec_for_delimited_text_is_not_used_for_json(path: Path) -> None:
    path.write_bytes('{"a":"é"}\n'.encode())
    reader = JsonLinesReader(path, dialect=Dialect(encoding="cp1252", null_tokens=("x",)), limits=Limits())
    assert rows_of(list(reader.chunks())) == [{"a": "é"}]


def test_memory_does_not_grow_with_the_file(path: Path) -> None:
    peaks = []
    for count in (10_000, 40_000):
        path.write_bytes(b"".join(b'{"unit_id":"u%d","value":%d.5}\n' % (i, i) for i in range(count)))
        reader = JsonLinesReader(path, dialect=Dialect(), limits=Limits(batch_rows=2_000))
        tracemalloc.start()
        deque(reader.chunks(), maxlen=0)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < peaks[0] * 1.3


SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=8)
)
VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("ab"), inner))


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    rows=st.lists(st.dictionaries(st.sampled_from("abc"), VALUES, max_size=3) | st.sampled_from(["?", "[1]"])),
    batch_rows=st.integers(1, 5),
)
def test_every_line_is_counted_once_and_means_what_it_says(path: Path, rows: list[Any], batch_rows: int) -> None:
    lines = [row if isinstance(row, str) else json.dumps(row) for row in rows]
    chunks = read(path, "\n".join([*lines, '{"z":1}']), batch_rows=batch_rows)
    bad = [number for number, row in enumerate(rows, 1) if isinstance(row, str)]
    assert [record.row for record in malformed_of(chunks)] == bad
    good = [row for row in rows if not isinstance(row, str)]
    found = rows_of(chunks)[:-1]
    assert len(found) == len(good)
    for row, cells in zip(good, found, strict=True):
        for key in "abc":
            assert cells.get(key) == plain_text(row.get(key))


def plain_text(value: object) -> str | None:
    """The slow and obvious way from a value to its cell."""
    if value is None or isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
