"""A window that slides over one long JSON text: the same values wherever the text is cut, in bounded memory."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from validators.errors import FileProblem
from validators.readers.jsontext import JsonText, decoded


def text(said: str, *, piece: int = 10**6, most: int = 10**6) -> JsonText:
    return JsonText(iter([said[at : at + piece] for at in range(0, len(said), piece)]), most)


def step_through(made: JsonText) -> None:
    for _ in made.members() if made.peek() == "{" else made.elements():
        pass
    made.end()


@pytest.mark.parametrize("piece", [1, 2, 3, 7, 100])
def test_elements_are_the_same_wherever_the_text_is_cut(piece: int) -> None:
    elements = [1.5, -2e10, "a\\u00e9\n,]", {"k": [1, {}]}, None, True, [], "é🙂"]
    said = " [ " + " ,\n".join(json.dumps(each, ensure_ascii=False) for each in elements) + " ] "
    made = text(said, piece=piece)
    found = list(made.elements())
    made.end()
    assert [json.loads(raw) for _, raw, _ in found] == elements
    assert [line for _, _, line in found] == list(range(1, len(elements) + 1))


@pytest.mark.parametrize("piece", [1, 3, 100])
def test_members_come_key_by_key(piece: int) -> None:
    made = text('{"a": 1, "b" :[2], "": {}}', piece=piece)
    assert {key: made.value()[1] for key in made.members()} == {"a": "1", "b": "[2]", "": "{}"}


@pytest.mark.parametrize(
    ("said", "is_one"), [(" [ {", True), ("[1]", False), ("[]", False), ("{}", False), ("[", False)]
)
def test_an_array_of_objects_is_told_without_moving(said: str, is_one: bool) -> None:
    made = text(said, piece=1)
    assert made.array_of_objects() is is_one
    assert made.peek() == said.strip()[0]


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ("[1,\n 2 x]", "line 2, column 4 is not JSON: expected ',' or ']', found 'x'; nothing after it can be trusted"),
        ("[1", "line 1, column 3 is not JSON: expected ',' or ']', found the end of the file; nothing after"),
        ("[1] 2", "line 1, column 5 is not JSON: expected the end of the file, found"),
        ("{1: 2}", "line 1, column 2 is not JSON: expected '\"', found '1'"),
    ],
)
@pytest.mark.parametrize("piece", [1, 100])
def test_a_mistake_is_named_by_line_and_column_wherever_the_text_is_cut(said: str, message: str, piece: int) -> None:
    with pytest.raises(FileProblem) as caught:
        step_through(text(said, piece=piece))
    assert str(caught.value).startswith(message)


def test_a_value_over_the_limit_is_refused_before_it_is_read_whole() -> None:
    read: list[int] = []

    def blocks() -> Iterator[str]:
        yield '["'
        for number in range(10_000):
            read.append(number)
            yield "x" * 100

    with pytest.raises(FileProblem, match="more than 1,000 characters, which is the limit"):
        next(JsonText(blocks(), 1_000).elements())
    assert len(read) < 100


def test_bytes_that_are_cut_within_a_letter_are_put_together() -> None:
    data = "é🙂".encode()
    assert "".join(decoded(data[at : at + 1] for at in range(len(data)))) == "é🙂"
    assert "".join(decoded([b"a\xff", b"b"])) == "a\udcffb"
