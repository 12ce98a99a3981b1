"""JSON documents: arrays and envelopes, streamed; and what cannot be trusted."""

from __future__ import annotations

import codecs
import json
import tracemalloc
from collections import deque
from pathlib import Path
from typing import Any

import pytest

from validators.errors import FileProblem
from validators.model import Chunk, Dialect, Limits
from validators.readers import jsondocument
from validators.readers.jsondocument import JsonDocumentReader


@pytest.fixture(params=[1, 5, 256 * 1024], ids=lambda size: f"blocks of {size}")
def path(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Read in blocks of any size: what comes out may not depend on where they are cut."""
    monkeypatch.setattr(jsondocument, "_BLOCK_BYTES", request.param)
    return tmp_path / "drop.json"


def opened(path: Path, data: bytes | str, **limits: int) -> JsonDocumentReader:
    path.write_bytes(data if isinstance(data, bytes) else data.encode())
    return JsonDocumentReader(path, dialect=Dialect(), limits=Limits(**limits))


def read(path: Path, data: bytes | str, **limits: int) -> list[Chunk]:
    return list(opened(path, data, **limits).chunks())


def rows_of(chunks: list[Chunk]) -> list[dict[str, Any]]:
    return [row for chunk in chunks for row in chunk.table.to_pylist()]


def test_an_array_of_objects_is_read_with_values_as_written(path: Path) -> None:
    chunks = read(path, '[{"a": 1.10, "b": {"c": [1e5]}},\n {"a": 12345678901234567890123}, {"a": true}]')
    assert [row["a"] for row in rows_of(chunks)] == ["1.10", "12345678901234567890123", "true"]
    assert rows_of(chunks)[0]["b"] == '{"c":[1e5]}'
    assert [(chunk.rows.tolist(), chunk.lines.tolist()) for chunk in chunks] == [([1, 2, 3], [1, 2, 2])]


@pytest.mark.parametrize("number", ["1", "-0", "1.5", "1e5", "1E+5", "12.50e-10"])
def test_a_number_is_whole_wherever_blocks_are_cut(path: Path, number: str) -> None:
    assert rows_of(read(path, f'{{"k": {number}, "metrics": [{{"a": {number}}}]}}')) == [{"k": number, "a": number}]


@pytest.mark.parametrize(
    "document",
    [
        '{"isTest": true, "metrics": [{"a": 1}, {"a": 2, "isTest": false}, {"isTest": null}]}',
        '{"metrics": [{"a": 1}, {"a": 2, "isTest": false}, {"isTest": null}], "isTest": true}\n\n',
        '{"isTest": true, "events": [{"a": 1}, {"a": 2, "isTest": false}, {"isTest": null}]}',
        '{"whatever": [{"a": 1}, {"a": 2, "isTest": false}, {"isTest": null}], "isTest": true}',
    ],
)
def test_single_values_beside_the_array_hold_for_records_that_do_not_have_them(path: Path, document: str) -> None:
    rows = rows_of(read(path, document))
    assert [row["isTest"] for row in rows] == ["true", "false", None]
    assert [row["a"] for row in rows] == ["1", "2", None]


def test_what_is_neither_rows_nor_a_single_value_is_left_out_and_noted(path: Path) -> None:
    reader = opened(path, '{"meta": {"v": 1}, "tags": ["x"], "n": null, "metrics": [{"a": 1}]}')
    assert rows_of(list(reader.chunks())) == [{"n": None, "a": "1"}]
    assert reader.notes == ("beside the rows, these members are not single values and were left out: meta, tags",)
    assert rows_of(list(reader.chunks())) == [{"n": None, "a": "1"}]
    assert len(reader.notes) == 1


@pytest.mark.parametrize("document", ["[]", " [ ] ", '{"metrics": []}', '{"isTest": true, "events": [ ]}'])
def test_no_rows_are_no_rows(path: Path, document: str) -> None:
    assert read(path, document) == []


def test_an_object_without_an_array_of_rows_is_the_one_record(path: Path) -> None:
    chunks = read(path, '{"a": 1.0, "tags": [], "b": {"c": 2.50}}')
    assert rows_of(chunks) == [{"a": "1.0", "tags": "[]", "b": '{"c":2.50}'}]
    assert chunks[0].rows.tolist() == chunks[0].lines.tolist() == [1]
    assert [chunk.table.num_rows for chunk in read(path, "{}")] == [1]


def test_elements_that_are_no_records_are_malformed_rows(path: Path) -> None:
    elements = ['{"a":1}', "3", '"x"', '{"a":NaN}', '{"a":1,"a":2}', '{"a":"\\ud800"}', "[1]", '{"a":2}']
    chunks = read(path, "[" + ",\n".join(elements) + "]", batch_rows=3)
    assert [row["a"] for row in rows_of(chunks)] == ["1", "2"]
    assert [row for chunk in chunks for row in chunk.rows.tolist()] == [1, 8]
    malformed = [record for chunk in chunks for record in chunk.malformed]
    assert [(record.row, record.line) for record in malformed] == [(number, number) for number in range(2, 8)]
    assert [record.raw for record in malformed] == elements[1:-1]
    assert {record.rule for record in malformed} == {"invalid_json", "encoding"}


def test_bytes_that_are_not_utf_8_spoil_only_their_record(path: Path) -> None:
    chunks = read(path, b'[{"a":"\xff\xc3\xa9"},{"a":"\xc3\xa9"}]')
    assert rows_of(chunks) == [{"a": "é"}]
    (record,) = chunks[0].malformed
    assert (record.row, record.rule, record.raw) == (1, "encoding", '{"a":"\\xffé"}')


@pytest.mark.parametrize(
    ("document", "line", "column", "words"),
    [
        ('[{"a":1},\n {"a":1 "b":2}]', 2, 9, "Expecting ',' delimiter"),
        ('[{"a":1},\n]', 2, 1, "Expecting value"),
        ('[{"a":1}\n {"a":2}]', 2, 2, "expected ',' or ']', found '{'"),
        ('[{"a":1}', 1, 9, "expected ',' or ']', found the end of the file"),
        ('[{"a":1}]\n\nx', 3, 1, "expected the end of the file, found 'x'"),
        ('{"metrics":[{"a":1}]}\n{}', 2, 1, "expected the end of the file"),
        ('{"metrics":[{"a":1}],}', 1, 22, "expected '\"', found '}'"),
        ('{"metrics" [{"a":1}]}', 1, 12, "expected ':', found '['"),
        ("x", 1, 1, "expected '[' or '{', found 'x'"),
        ('[{"a":"x', 1, 7, "Unterminated string"),
        ("[tru", 1, 2, "Expecting value"),
    ],
)
def test_a_syntax_error_refuses_the_file_and_says_where(
    path: Path, document: str, line: int, column: int, words: str
) -> None:
    with pytest.raises(FileProblem) as caught:
        read(path, document)
    assert (caught.value.rule, caught.value.line) == ("invalid_json", line)
    assert caught.value.message.startswith(f"line {line}, column {column} is not JSON: {words}")
    assert "NDJSON" in caught.value.hint


def test_records_before_a_syntax_error_have_been_read(path: Path) -> None:
    reader = opened(path, "[" + '{"a":1},' * 9 + "oops]", batch_rows=2)
    seen: list[int] = []
    with pytest.raises(FileProblem):
        seen.extend(row for chunk in reader.chunks() for row in chunk.rows.tolist())
    assert seen == list(range(1, len(seen) + 1))
    assert len(seen) >= 6


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ('{"a": [{"x": 1}], "b": [{"x": 1}]}', "several members are arrays of objects: a, b"),
        ('{"isTest": true, "isTest": false, "metrics": [{"x": 1}]}', "the member 'isTest' comes twice"),
        ('{"metrics": [{"x": 1}], "k": NaN}', "the member 'k' has NaN"),
    ],
)
def test_an_envelope_that_can_mean_two_things_is_refused(path: Path, document: str, words: str) -> None:
    with pytest.raises(FileProblem) as caught:
        read(path, document)
    assert caught.value.rule == "invalid_json"
    assert words in caught.value.message


@pytest.mark.parametrize("document", ["[" * 100_000, '{"a":' * 100_000, '[{"a":' + "[" * 100_000])
def test_deep_nesting_is_refused(tmp_path: Path, document: str) -> None:
    with pytest.raises(FileProblem) as caught:
        read(tmp_path / "drop.json", document)
    assert caught.value.rule == "invalid_json"


@pytest.mark.parametrize("document", ['[{"a":1},\n{"a":"' + "x" * 300 + '"}]', '{"b":1,\n"a":"' + "x" * 300 + '"}'])
def test_a_record_over_the_limit_refuses_the_file(path: Path, document: str) -> None:
    with pytest.raises(FileProblem) as caught:
        read(path, document, max_line_bytes=200)
    assert (caught.value.rule, caught.value.line) == ("line_too_long", 2)


def test_too_many_different_keys_refuse_the_file(path: Path) -> None:
    for document in ('[{"a":1,"b":2,"c":3}]', '{"a":1,"b":2,"c":3}', '{"a":1,"b":2,"c":3,"metrics":[{"d":1}]}'):
        with pytest.raises(FileProblem) as caught:
            read(path, document, max_columns=2)
        assert caught.value.rule == "too_many_columns"


def test_a_file_of_blanks_is_empty(path: Path) -> None:
    with pytest.raises(FileProblem) as caught:
        read(path, " \n" * 50)
    assert caught.value.rule == "empty_file"


def test_utf_16_with_its_mark_is_read_and_noted(path: Path) -> None:
    reader = opened(path, codecs.BOM_UTF16_BE + '[{"é": "😀"}]'.encode("utf-16-be"))
    assert rows_of(list(reader.chunks())) == [{"é": "😀"}]
    assert any("utf-16" in note for note in reader.notes)


def test_memory_does_not_grow_with_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jsondocument, "_BLOCK_BYTES", 16 * 1024)
    peaks = []
    for count in (3_000, 12_000):
        rows = json.dumps([{"unit_id": f"u{number}", "value": number} for number in range(count)])
        reader = opened(tmp_path / "drop.json", '{"metrics": ' + rows + ', "isTest": false}', batch_rows=500)
        tracemalloc.start()
        deque(reader.chunks(), maxlen=0)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < peaks[0] * 1.3
