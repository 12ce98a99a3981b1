"""The page, parsed as a browser parses it: whatever a file brings is text on it, and nothing comes from outside."""

from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from daemon.model import State
from daemon.reports import Report, Subject
from daemon.reports.pages import RULES_IN_FULL, TEXT_CHARACTERS, VALUE_CHARACTERS, Beside, display, html, page
from validators.model import Problem, Rows, Sample

#: Texts that would be markup, styles, scripts, addresses or another order of reading where they are not escaped.
HOSTILE = (
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    '"><svg onload=alert(1)>',
    "' onmouseover='alert(1)",
    "</title></style></script><base href=//evil.example>",
    "{{ 7 * 7 }}{% raw %}",
    "&lt;b&gt; &amp; &#60;i&#62;",
    "<!-- ]]> -->",
    "javascript:alert(1)",
    "a\u202eb\u0000c\x1b[31m\ud800",
    "=cmd|'/c calc'!A1",
)
#: What the template itself may bring.
TAGS = re.compile(
    "html|head|meta|title|style|body|main|header|h1|h2|h3|span|p|section|div|i|dl|dt|dd|table|thead|tbody|tr|th|td|a|"
    "code|article|small|ol|ul|li|strong"
)
ATTRIBUTES = re.compile("lang|charset|http-equiv|content|name|class|id|href|scope|data-label|aria-hidden|style")
#: Elements without an end of their own.
VOID = {"meta"}


class Parsed(HTMLParser):
    """A page's elements, attributes and text; fails where an element is not closed in its order."""

    def __init__(self, document: bytes) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.text: list[str] = []
        self.styles: list[str] = []
        self._open: list[str] = []
        self.feed(document.decode())
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]
        if tag not in VOID:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        (self.styles if self._open[-1:] == ["style"] else self.text).append(data)

    def handle_comment(self, data: str) -> None:
        pytest.fail(f"a comment: {data}")

    @property
    def said(self) -> str:
        return " ".join(" ".join(self.text).split())


def report_with(text: str, *, state: State = State.PARTIAL) -> Report:
    """Return a report that has the text in every place where a file, a contract or a sender can put one."""
    sample = Sample(row=3, line=4, value=text, message=text)
    return Report(
        subject=Subject(
            drop_id="9f3c",
            uri="file:///d/m.csv",
            name=f"in/{text}/{text}.csv",
            version=text,
            size=10,
            sha256="5ha",
            feed=text,
            customer=text,
        ),
        state=state,
        contract=text,
        digest=text,
        rows=Rows(read=10, accepted=6, rejected=4),
        problems=(
            Problem(rule=text, column=text, count=4, expected=text, hint=text, sample=(sample,)),
            Problem(rule=text, column=None, count=1, expected=text, hint=text, whole_file=True),
            Problem(rule="isin", column=None, count=2, expected="", sample=(replace(sample, row=None, line=None),)),
        ),
        rejected_because=text if state is State.REJECTED else "",
        ignored_columns=(text, "other"),
        notes=(text,),
        started_at=1.0,
        finished_at=2.0,
    )


def assert_harmless(document: bytes) -> Parsed:
    """Assert that a page has only what the template brings, and reaches for nothing."""
    parsed = Parsed(document)
    assert all(TAGS.fullmatch(tag) for tag in parsed.tags)
    assert all(ATTRIBUTES.fullmatch(name) for name, _ in parsed.attributes)
    for name, value in parsed.attributes:
        if name == "href":
            assert re.fullmatch(r"#p\d+", value)
        if name == "style":
            assert re.fullmatch(r"width:\d+(\.\d+)?%", value)
        if name == "http-equiv":
            assert value == "Content-Security-Policy"
    (style,) = parsed.styles
    assert not re.search(r"url\(|@import|expression|</", style)
    return parsed


@pytest.mark.parametrize("state", [State.PARTIAL, State.REJECTED, State.FAILED, State.INGESTED])
@pytest.mark.parametrize("text", HOSTILE)
def test_whatever_stands_in_a_file_is_only_text_on_its_page(text: str, state: State) -> None:
    parsed = assert_harmless(html(report_with(text, state=state), Beside(rejected=True, original=text)))
    if text.isprintable():
        assert text in parsed.said


@settings(max_examples=25, deadline=None)
@given(st.text(max_size=60))
def test_any_text_at_all_is_only_text(text: str) -> None:
    assert_harmless(html(report_with(text), Beside(rejected=True, original=text)))


def test_a_hostile_page_has_the_very_elements_of_a_harmless_one() -> None:
    harmless = Parsed(html(report_with("plain"), Beside(rejected=True, original="plain")))
    for text in HOSTILE:
        if text.isprintable():
            assert Parsed(html(report_with(text), Beside(rejected=True, original=text))).tags == harmless.tags


def test_the_policy_forbids_the_browser_whatever_could_slip_through() -> None:
    parsed = assert_harmless(html(report_with("x")))
    assert ("content", "default-src 'none'; style-src 'unsafe-inline'") in parsed.attributes
    assert ("content", "no-referrer") in parsed.attributes


def test_each_reference_on_the_page_leads_to_a_place_on_it() -> None:
    problems = tuple(Problem(rule=f"r{n}", column=f"c{n}", count=n, expected="x") for n in range(1, RULES_IN_FULL + 5))
    parsed = assert_harmless(html(replace(report_with("x"), problems=problems)))
    targets = {f"#{value}" for name, value in parsed.attributes if name == "id"}
    references = [value for name, value in parsed.attributes if name == "href"]
    assert len(references) == RULES_IN_FULL
    assert set(references) <= targets
    assert "4 more rules in report.json beside this page." in parsed.said


@pytest.mark.parametrize(
    ("rows", "state", "share"),
    [
        (Rows(), State.INGESTED, 100.0),
        (Rows(), State.REJECTED, 0.0),
        (Rows(read=4, accepted=3, rejected=1), State.PARTIAL, 75.0),
        (Rows(read=10**6, accepted=10**6 - 1, rejected=1), State.PARTIAL, 99.0),
        (Rows(read=10**6, accepted=1, rejected=10**6 - 1), State.PARTIAL, 1.0),
        (Rows(read=5, accepted=5), State.INGESTED, 100.0),
    ],
)
def test_one_row_in_a_million_still_shows_in_the_bar(rows: Rows, state: State, share: float) -> None:
    made = replace(report_with("x", state=state), rows=rows)
    assert page(made, Beside()).accepted_share == share


@pytest.mark.parametrize(
    ("state", "beside", "advice"),
    [
        (State.PARTIAL, Beside(rejected=True), "rows"),
        (State.PARTIAL, Beside(), ""),
        (State.REJECTED, Beside(original="a.csv"), "file"),
        (State.FAILED, Beside(), "file"),
        (State.INGESTED, Beside(), ""),
    ],
)
def test_the_advice_fits_what_happened(state: State, beside: Beside, advice: str) -> None:
    assert page(report_with("x", state=state), beside).advice == advice


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain", "plain"),
        (" a ", '<span class="hidden">␣</span>a<span class="hidden">␣</span>'),
        ("a b", "a b"),
        ("a\u200bb", 'a<span class="hidden">\\u200b</span>b'),
        ("<\n", '&lt;<span class="hidden">\\n</span>'),
        ("naïve 東京 🙂", "naïve 東京 🙂"),
        ("", ""),
    ],
)
def test_two_values_that_differ_never_look_alike(text: str, shown: str) -> None:
    assert display(text) == shown


def test_long_texts_are_cut_and_say_so() -> None:
    assert len(display("x" * 10_000)) <= TEXT_CHARACTERS
    assert len(display("x" * 10_000, VALUE_CHARACTERS)) <= VALUE_CHARACTERS
    assert "…" in display("x" * 10_000)
