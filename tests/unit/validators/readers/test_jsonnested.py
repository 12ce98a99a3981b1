"""Nested values as text: the quick way gives what the slow one gives, or gives up."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from validators.readers.jsonnested import Nested, NotQuickError
from validators.readers.jsonrecords import compact

LETTERS = st.characters(codec="utf-8")
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(LETTERS),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(LETTERS, max_size=3), inner, max_size=3),
    max_leaves=8,
)


@given(value=VALUES, ascii_only=st.booleans(), indent=st.none() | st.just(1))
def test_the_text_means_the_same_and_has_no_blanks(value: object, ascii_only: bool, indent: int | None) -> None:
    text = json.dumps({"a": value}, ensure_ascii=ascii_only, indent=indent)
    try:
        found = Nested([text]).text(0, "a")
    except NotQuickError:
        assert "\ue000" in text or "\\ue000" in text
        return
    assert found == json.dumps(value, ensure_ascii=False, separators=(",", ":"))


@pytest.mark.parametrize("number", ["1.50", "-0", "1E+400", "0.1e-5", "12345678901234567890123"])
def test_numbers_keep_their_digits(number: str) -> None:
    assert Nested([f'{{"a": [ {number}, {{"b" : {number}}} ]}}']).text(0, "a") == f'[{number},{{"b":{number}}}]'


@pytest.mark.parametrize(
    "text",
    [
        '{"a":[NaN]}',
        '{"a":{"b":1,"b":2}}',
        '{"a":["\ue000"]}',
        '{"a":["\\uE000"]}',
        '{"a":' + "[" * 65 + "]" * 65 + "}",
    ],
)
def test_what_may_have_a_flaw_is_left_to_the_slow_way(text: str) -> None:
    with pytest.raises(NotQuickError):
        Nested([text]).text(0, "a")


def test_the_slow_way_writes_the_same() -> None:
    assert compact({"a": [None, True, "é\n"], "b": {}}) == '{"a":[null,true,"é\\n"],"b":{}}'
