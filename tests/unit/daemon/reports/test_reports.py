"""Reports: the JSON that machines read, and the sentence and the page that people read."""

from __future__ import annotations

import json
import re
import time
from dataclasses import replace
from html.parser import HTMLParser
from typing import Any

import pytest

from daemon.model import State
from daemon.reports import Report, Subject, encoded, iso, judged_state, parsed, report, summary
from daemon.reports.pages import NAMED_COLUMNS, RULES_IN_FULL, Beside, display, html, in_words, size_in_words
from validators.model import Problem, Rows, Sample, Verdict
from validators.sentences import sentence

EVIL = '<script>alert("x")</script>\'&\u202egnp.\x1b[31m\x00'
SUBJECT = Subject(
    drop_id="9f3c2a7be01d44c8",
    uri="file:///srv/drops/acme/metrics/march.csv",
    name="acme/metrics/march.csv",
    version="17-48213-88",
    size=48_213,
    sha256="ab" * 32,
    feed="metrics",
    customer="acme",
)
ID_TYPES = "one of user_id, stable_id"
STARTED = 1_772_366_405.25


def sample(row: int, value: str | None, hint: str = "") -> Sample:
    message = sentence(row, row + 1, "id_type", value, ID_TYPES, hint)
    return Sample(row=row, line=row + 1, value=value, message=message)


def id_type(*samples: Sample, count: int | None = None, hint: str = "") -> Problem:
    count = len(samples) if count is None else count
    return Problem(rule="isin", column="id_type", count=count, expected=ID_TYPES, sample=samples, hint=hint)


def verdict(*problems: Problem, read: int = 120, rejected: int = 4, **more: Any) -> Verdict:
    rows = Rows(read=read, accepted=read - rejected, rejected=rejected)
    return Verdict(rows=rows, problems=problems, contract="m:c", digest="3be1", **more)


def made(found: Verdict, subject: Subject = SUBJECT) -> Report:
    return report(subject, found, judged_state(found), started_at=STARTED, finished_at=STARTED + 1)


MISSING = Problem(
    rule="missing_column",
    column="metric_value",
    count=1,
    expected="the column 'metric_value' is missing",
    hint="did you mean 'Metric Value'?",
    whole_file=True,
)
DIRTY = made(verdict(id_type(sample(3, "userid", "did you mean 'user_id'?"), sample(9, None), count=4)))
REJECTED = made(
    verdict(MISSING, read=7, rejected=7, rejected_because=MISSING.expected, ignored_columns=("Metric Value",))
)


class _Page(HTMLParser):
    """What a browser would make of a page: its tags, its attributes, its text."""

    def __init__(self, page: bytes) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.words: list[str] = []
        self._hidden = False
        self.feed(page.decode())
        self.text = re.sub(r"\s+", " ", "".join(self.words))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs
        self._hidden = tag == "style"

    def handle_endtag(self, tag: str) -> None:  # noqa: ARG002 - the parser's signature
        self._hidden = False

    def handle_data(self, data: str) -> None:
        if not self._hidden:
            self.words.append(data)


def test_report_json_has_just_the_fields_that_others_build_on() -> None:
    assert DIRTY.to_json() == {
        "drop": {
            "id": "9f3c2a7be01d44c8",
            "uri": "file:///srv/drops/acme/metrics/march.csv",
            "name": "acme/metrics/march.csv",
            "version": "17-48213-88",
            "size": 48_213,
            "sha256": "ab" * 32,
        },
        "feed": "metrics",
        "customer": "acme",
        "contract": {"name": "m:c", "digest": "3be1"},
        "state": "partial",
        "rows": {"read": 120, "accepted": 116, "rejected": 4},
        "late_rows": 0,
        "problems": [
            {
                "rule": "isin",
                "column": "id_type",
                "count": 4,
                "expected": ID_TYPES,
                "hint": "",
                "sample": [
                    {
                        "row": 3,
                        "line": 4,
                        "value": "userid",
                        "message": "row 3 (line 4), column id_type: found 'userid', expected one of user_id, "
                        "stable_id; did you mean 'user_id'?",
                    },
                    {
                        "row": 9,
                        "line": 10,
                        "value": None,
                        "message": "row 9 (line 10), column id_type: found nothing, expected one of user_id, stable_id",
                    },
                ],
            }
        ],
        "sampled": True,
        "rejected_because": "",
        "ignored_columns": [],
        "notes": [],
        "started_at": "2026-03-01T12:00:05.250Z",
        "finished_at": "2026-03-01T12:00:06.250Z",
    }


@pytest.mark.parametrize("original", [DIRTY, REJECTED], ids=["dirty", "rejected"])
def test_a_report_comes_back_from_its_json_as_it_was(original: Report) -> None:
    assert parsed(json.loads(encoded(original))) == original


@pytest.mark.parametrize("data", [{}, [], {"drop": {}}, {**DIRTY.to_json(), "state": "odd"}, {"drop": 1}])
def test_what_is_not_a_reports_json_is_refused(data: dict[str, object]) -> None:
    with pytest.raises((KeyError, TypeError, ValueError)):
        parsed(data)


def test_json_is_valid_utf8_whatever_stands_in_names_and_values() -> None:
    subject = replace(SUBJECT, name="caf\udce9\n.csv", customer="a\udcff", version="\ud800")
    problem = Problem(rule="isin", column="c\udcfe", count=1, expected="x", sample=(sample(1, "v\udcfd\x00é"),))
    data = json.loads(encoded(made(verdict(problem, notes=("n\udcfc",)), subject)).decode("utf-8"))
    assert data["drop"]["name"] == r"caf\xe9\n.csv"
    assert data["customer"] == r"a\xff"
    assert data["problems"][0]["column"] == r"c\xfe"
    assert data["problems"][0]["sample"][0]["value"] == "v\\xfd\x00é"
    json.dumps(data, ensure_ascii=False).encode()


def test_a_value_stands_in_json_as_it_came() -> None:
    data = json.loads(encoded(made(verdict(id_type(sample(1, EVIL))))))
    assert data["problems"][0]["sample"][0]["value"] == EVIL


@pytest.mark.parametrize(
    ("read", "rejected", "said", "checked"),
    [
        (120, 4, "4 of 120 rows were set aside; the other 116 are in the table.",
         "4 of 120 rows would be set aside; the other 116 would go into the table."),
        (120, 1, "1 of 120 rows was set aside; the other 119 are in the table.",
         "1 of 120 rows would be set aside; the other 119 would go into the table."),
        (2, 1, "1 of 2 rows was set aside; the other one is in the table.",
         "1 of 2 rows would be set aside; the other one would go into the table."),
        (2_000_000, 1_000, "1,000 of 2,000,000 rows were set aside; the other 1,999,000 are in the table.",
         "1,000 of 2,000,000 rows would be set aside; the other 1,999,000 would go into the table."),
        (3, 3, "All 3 rows were set aside; nothing was left for the table.",
         "All 3 rows would be set aside; nothing is left for the table."),
        (2, 2, "Both rows were set aside; nothing was left for the table.",
         "Both rows would be set aside; nothing is left for the table."),
        (120, 0, "All 120 rows are in the table.", "All 120 rows would go into the table."),
        (1, 0, "The one row is in the table.", "The one row would go into the table."),
        (0, 0, "The file has no rows, so nothing was added to the table.",
         "The file has no rows, so nothing was added to the table."),
    ],
)  # fmt: skip
def test_what_happened_is_said_in_one_sentence(read: int, rejected: int, said: str, checked: str) -> None:
    one = made(verdict(read=read, rejected=rejected))
    assert summary(one) == said
    assert summary(one, checked_only=True) == checked


def test_every_state_has_its_sentence() -> None:
    assert summary(REJECTED) == "The whole file was set aside; nothing of it is in the table."
    assert all(summary(replace(DIRTY, state=state)).endswith(".") for state in State)


def test_a_rule_on_the_whole_file_is_not_a_sample_of_more() -> None:
    assert not REJECTED.sampled
    assert DIRTY.sampled


def test_the_page_says_what_happened_and_what_to_do() -> None:
    page = _Page(html(DIRTY, Beside(rejected=True)))
    for said in (
        "4 of 120 rows were set aside; the other 116 are in the table.",
        "expected one of user_id, stable_id",
        "Did you mean 'user_id'?",
        "The first 2 of 4 rows.",
        "Open rejected.csv",
        "such as march-corrected.csv",
        "_line",
        "_problems",
        "apostrophe",
        "1 March 2026, 12:00:05 UTC",
        "48.2 kB",
    ):
        assert said in page.text


def test_the_page_of_a_rejected_file_names_the_original_beside_it() -> None:
    page = _Page(html(REJECTED, Beside(original="march.csv")))
    assert "The column 'metric_value' is missing." in page.text
    assert "Did you mean 'Metric Value'?" in page.text
    assert "It lies beside this page as march.csv" in page.text
    assert "rejected.csv" not in page.text


def test_the_page_speaks_only_of_files_that_are_there() -> None:
    assert "rejected.csv" not in _Page(html(DIRTY, Beside())).text
    assert "lies beside" not in _Page(html(REJECTED, Beside())).text


def test_nothing_from_a_file_becomes_part_of_the_page() -> None:
    subject = replace(SUBJECT, name=f"a/{EVIL}.csv", customer=EVIL, version=EVIL, uri=EVIL)
    problem = Problem(
        rule=EVIL, column=EVIL, count=1, expected=EVIL, hint=EVIL,
        sample=(Sample(row=1, line=2, value=EVIL, message=EVIL),),
    )  # fmt: skip
    found = verdict(problem, ignored_columns=(EVIL,), notes=(EVIL,), rejected_because=EVIL)
    page = html(made(found, subject), Beside(rejected=True, original=EVIL))
    honest = html(REJECTED, Beside(rejected=True, original="x"))
    assert set(_Page(page).tags) <= set(_Page(honest).tags) | {"table", "thead", "tbody", "tr", "th", "td", "ul", "li"}
    assert b"<script" not in page
    assert not {"\u202e", "\x1b", "\x00"} & set(page.decode())


def test_the_page_loads_nothing_and_runs_nothing() -> None:
    page = _Page(html(DIRTY, Beside(rejected=True)))
    assert ("content", "default-src 'none'; style-src 'unsafe-inline'") in page.attributes
    assert {"script", "link", "img", "iframe", "object"}.isdisjoint(page.tags)
    names = {name for name, _ in page.attributes}
    assert not {"src", "srcset", "action"} & names
    assert not [name for name in names if name.startswith("on")]
    assert all(value is not None and value.startswith("#") for name, value in page.attributes if name == "href")
    assert b"url(" not in html(DIRTY, Beside())


def test_hidden_characters_become_labels_and_long_values_are_cut() -> None:
    assert display("user_id\xa0") == 'user_id<span class="hidden">\\xa0</span>'
    assert display("  a b") == '<span class="hidden">␣␣</span>a b'
    assert display("é\t<") == 'é<span class="hidden">\\t</span>&lt;'
    assert display("x" * 5_000, 10) == "x" * 9 + "…"
    assert display("") == ""


def test_an_empty_text_and_nothing_are_told_apart() -> None:
    page = _Page(html(made(verdict(id_type(sample(1, ""), sample(2, None)))), Beside()))
    assert "empty text" in page.text
    assert "nothing" in page.text


def test_many_rules_and_columns_do_not_make_an_endless_page() -> None:
    problems = [replace(id_type(sample(1, "x")), column=f"c{number}") for number in range(RULES_IN_FULL + 5)]
    ignored = tuple(f"extra_{number}" for number in range(5_000))
    page = _Page(html(made(verdict(*problems, ignored_columns=ignored)), Beside()))
    assert "5 more rules in report.json" in page.text
    assert f"and {5_000 - NAMED_COLUMNS:,} more" in page.text
    assert len(page.text) < 50_000


def test_a_malformed_record_shows_what_is_wrong_beside_the_record() -> None:
    message = "row 7 (line 9): found 5 fields, expected 4 fields"
    record = Sample(row=7, line=9, value="a,b,c,d,e", message=message)
    problem = Problem(rule="field_count", column=None, count=1, expected="4 fields", sample=(record,))
    page = _Page(html(made(verdict(problem)), Beside()))
    assert "a,b,c,d,e" in page.text
    assert "Found 5 fields, expected 4 fields." in page.text


def test_a_file_of_tabs_comes_back_with_the_suffix_that_says_so() -> None:
    tabs = replace(DIRTY, subject=replace(SUBJECT, name="metrics/march.v2.TSV.gz"))
    assert "march-corrected.tsv" in _Page(html(tabs, Beside(rejected=True))).text


def test_a_report_is_made_in_less_than_a_millisecond() -> None:
    samples = [sample(row, f"value {row}", "did you mean 'user_id'?") for row in range(1, 11)]
    dirty = made(verdict(*(replace(id_type(*samples, count=50), column=f"c{number}") for number in range(6))))
    html(dirty, Beside())
    started = time.process_time()
    for _ in range(50):
        encoded(dirty), html(dirty, Beside(rejected=True))
    # A good machine takes 0.6 ms; the test leaves room for a busy one.
    assert (time.process_time() - started) / 50 < 0.004


@pytest.mark.parametrize(
    ("size", "said"),
    [(0, "0 bytes"), (1, "1 byte"), (999, "999 bytes"), (48_213, "48.2 kB"), (1_500_000, "1.5 MB"),
     (2_500_000_000_000, "2,500.0 GB")],
)  # fmt: skip
def test_sizes_are_said_as_people_say_them(size: int, said: str) -> None:
    assert size_in_words(size) == said


def test_instants_are_in_utc() -> None:
    assert in_words(0) == "1 January 1970, 00:00:00 UTC"
    assert iso(0) == "1970-01-01T00:00:00.000Z"
